//! A set of sequences with a time for each, for sequences of which most follow each other: 4 to 5 bytes for each.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use kogge_proto::time::UnixMillis;

/// Sequences that share a block.
const BLOCK: u64 = 64;

/// The set. Times of sequences beside each other are right if they lie within 24 days; else the oldest is, and the others are said to be older than they are.
#[derive(Debug, Default)]
pub(crate) struct Waiting {
    /// By sequence, divided by [`BLOCK`]. None is empty.
    blocks: BTreeMap<u64, Box<Block>>,
    count: usize,
}

#[derive(Debug)]
struct Block {
    /// Bit n is set if the block's n-th sequence is in the set.
    present: u64,
    /// From here the times count.
    base: UnixMillis,
    /// Of each sequence, milliseconds after that.
    times: [i32; BLOCK as usize],
}

impl Block {
    fn new(time: UnixMillis) -> Self {
        Self { present: 0, base: time, times: [0; BLOCK as usize] }
    }

    fn insert(&mut self, bit: u64, time: UnixMillis) {
        if i32::try_from(time.0.saturating_sub(self.base.0)).is_err() {
            self.move_base(time);
        }
        self.present |= 1 << bit;
        let after = clamp(time.0.saturating_sub(self.base.0));
        if let Some(slot) = usize::try_from(bit).ok().and_then(|bit| self.times.get_mut(bit)) {
            *slot = after;
        }
    }

    /// Counts from the oldest that is there or comes: those that were long ago may have left.
    fn move_base(&mut self, coming: UnixMillis) {
        let oldest = self.sequences(0).map(|(_, time)| time).min().unwrap_or(coming).min(coming);
        let moved = self.base.0.saturating_sub(oldest.0);
        self.times = self.times.map(|time| clamp(moved.saturating_add(i64::from(time))));
        self.base = oldest;
    }

    fn sequences(&self, number: u64) -> impl Iterator<Item = (u64, UnixMillis)> {
        (0..BLOCK).zip(self.times).filter(|(bit, _)| self.present >> bit & 1 == 1).map(move |(bit, time)| {
            (number * BLOCK + bit, UnixMillis(self.base.0.saturating_add(i64::from(time))))
        })
    }
}

fn clamp(millis: i64) -> i32 {
    i32::try_from(millis).unwrap_or(if millis < 0 { i32::MIN } else { i32::MAX })
}

impl Waiting {
    pub(crate) fn insert(&mut self, sequence: u64, time: UnixMillis) {
        let block = self.blocks.entry(sequence / BLOCK).or_insert_with(|| Box::new(Block::new(time)));
        let mask = 1 << (sequence % BLOCK);
        self.count += usize::from(block.present & mask == 0);
        block.insert(sequence % BLOCK, time);
    }

    pub(crate) fn remove(&mut self, sequence: u64) {
        let number = sequence / BLOCK;
        let Some(block) = self.blocks.get_mut(&number) else { return };
        let mask = 1 << (sequence % BLOCK);
        self.count -= usize::from(block.present & mask != 0);
        block.present &= !mask;
        if block.present == 0 {
            self.blocks.remove(&number);
        }
    }

    pub(crate) fn contains(&self, sequence: u64) -> bool {
        self.blocks.get(&(sequence / BLOCK)).is_some_and(|block| block.present >> (sequence % BLOCK) & 1 == 1)
    }

    pub(crate) fn len(&self) -> usize {
        self.count
    }

    /// All that are in the range, ascending.
    pub(crate) fn range(&self, range: RangeInclusive<u64>) -> impl Iterator<Item = (u64, UnixMillis)> {
        // An empty range of blocks must not be asked for.
        let (first, last) = (*range.start(), (*range.end()).max(*range.start()));
        self.blocks
            .range(first / BLOCK..=last / BLOCK)
            .flat_map(|(number, block)| block.sequences(*number))
            .filter(move |(sequence, _)| range.contains(sequence))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn holds_what_a_map_would() {
        let (mut waiting, mut expected) = (Waiting::default(), BTreeMap::new());
        let mut state = 7_u64;
        for step in 0..20_000 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let sequence = (state >> 33) % 500;
            let time = UnixMillis(1_800_000_000_000 + i64::from(step) - 40_000 * i64::from(step % 3));
            if state >> 60 < 9 {
                waiting.insert(sequence, time);
                expected.insert(sequence, time);
            } else {
                waiting.remove(sequence);
                expected.remove(&sequence);
            }
            assert_eq!(waiting.contains(sequence), expected.contains_key(&sequence));
            assert_eq!(waiting.len(), expected.len());
        }
        let pairs = |range: RangeInclusive<u64>| -> Vec<_> {
            expected.range(range).map(|(sequence, time)| (*sequence, *time)).collect()
        };
        for range in [0..=u64::MAX, 0..=0, 63..=64, 100..=300, 499..=600, 700..=800] {
            assert_eq!(Vec::from_iter(waiting.range(range.clone())), pairs(range));
        }
        #[expect(clippy::reversed_empty_ranges, reason = "that is the case")]
        let empty = 300..=100;
        assert_eq!(waiting.range(empty).count(), 0);
        expected.keys().for_each(|sequence| waiting.remove(*sequence));
        assert!(waiting.blocks.is_empty());
    }

    #[test]
    fn what_has_left_does_not_blur_the_time_of_what_comes_much_later() {
        let mut waiting = Waiting::default();
        let day = |day: i64| UnixMillis(1_800_000_000_000 + day * 86_400_000);
        let times = |waiting: &Waiting| waiting.range(0..=63).map(|(_, time)| time).collect::<Vec<_>>();
        waiting.insert(1, day(0));
        for number in 1..60 {
            waiting.insert(1 + number, day(20 * number.cast_signed()));
            waiting.remove(number);
            assert_eq!(times(&waiting), [day(20 * number.cast_signed())]);
        }
        // Side by side, the oldest is right and the newer one not older than 24 days after it.
        waiting.insert(62, day(0));
        assert_eq!(times(&waiting)[1], day(0));
        assert!(times(&waiting)[0] > day(24));
    }

    #[test]
    fn a_sequence_takes_less_than_five_bytes() {
        assert!(size_of::<Block>() + 2 * size_of::<u64>() < 5 * 64);
    }
}

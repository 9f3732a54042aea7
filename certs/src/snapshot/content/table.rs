//! A hash table that holds only places in bytes that lie elsewhere, and half of each hash: eight bytes per slot and no copy of any key.

use std::hash::{DefaultHasher, Hasher};

/// Open addressing with linear probing, filled once and never changed.
#[derive(Debug)]
pub(super) struct Table {
    slots: Box<[Slot]>,
}

/// The lower half of the hash spares a look at the far-away bytes of a key that merely stands in the way.
#[derive(Clone, Copy, Debug)]
struct Slot {
    half: u32,
    entry: u32,
}

/// Seeds the hashes with what nobody could know who chose a name or a certificate before the snapshot was made. Collisions would cost
/// time, never correctness.
#[derive(Clone, Copy, Debug)]
pub(super) struct Seed(u64);

impl Seed {
    pub(super) fn of(digest: &[u8; 32]) -> Self {
        Self(digest.iter().take(8).fold(0, |seed, byte| seed << 8 | u64::from(*byte)))
    }

    #[inline]
    pub(super) fn hash(self, parts: &[&[u8]]) -> u64 {
        let mut hasher = DefaultHasher::new();
        hasher.write_u64(self.0);
        for part in parts {
            hasher.write(part);
            // No code has a zero byte.
            hasher.write_u8(0);
        }
        hasher.finish()
    }
}

impl Table {
    /// Room for `entries`, two thirds full then.
    pub(super) fn with_capacity(entries: usize) -> Self {
        Self { slots: vec![Slot { half: 0, entry: EMPTY }; entries + entries / 2 + 1].into() }
    }

    /// Adds `entry`; `Err` with the one that is there already if `same` says so. Never more than the capacity.
    pub(super) fn insert(&mut self, hash: u64, entry: u32, same: impl Fn(u32) -> bool) -> Result<(), u32> {
        let new = Slot { half: hash as u32, entry };
        let mut place = self.first(hash);
        while let Some(slot) = self.slots.get_mut(place) {
            if slot.entry == EMPTY {
                *slot = new;
                return Ok(());
            }
            if slot.half == new.half && same(slot.entry) {
                return Err(slot.entry);
            }
            place = self.after(place);
        }
        Ok(())
    }

    /// The entry for which `same` says yes.
    pub(super) fn find(&self, hash: u64, same: impl Fn(u32) -> bool) -> Option<u32> {
        let mut place = self.first(hash);
        loop {
            match *self.slots.get(place)? {
                Slot { entry: EMPTY, .. } => return None,
                Slot { half, entry } if half == hash as u32 && same(entry) => return Some(entry),
                _ => place = self.after(place),
            }
        }
    }

    /// The hash, scaled to the number of slots.
    fn first(&self, hash: u64) -> usize {
        ((u128::from(hash) * self.slots.len() as u128) >> 64) as usize
    }

    fn after(&self, place: usize) -> usize {
        if place + 1 == self.slots.len() { 0 } else { place + 1 }
    }
}

/// No entry: snapshots have fewer bytes than that.
const EMPTY: u32 = u32::MAX;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_put_in_is_found_however_badly_it_hashes() {
        let good = Seed::of(&[7; 32]);
        for hash in [|_: Seed, _: u32| u64::MAX, |seed: Seed, entry: u32| seed.hash(&[&entry.to_be_bytes()])]
        {
            let mut table = Table::with_capacity(1000);
            for entry in 0..1000 {
                assert_eq!(table.insert(hash(good, entry), entry, |there| there == entry), Ok(()));
            }
            assert_eq!(table.insert(hash(good, 500), 500, |there| there == 500), Err(500));
            for entry in 0..1000 {
                assert_eq!(table.find(hash(good, entry), |there| there == entry), Some(entry));
            }
            assert_eq!(table.find(hash(good, 1000), |there| there == 1000), None);
        }
        assert_eq!(Table::with_capacity(0).find(3, |_| true), None);
    }

    #[test]
    fn parts_of_a_name_do_not_run_into_each_other() {
        let seed = Seed::of(&[1; 32]);
        assert_ne!(seed.hash(&[b"ab", b"c"]), seed.hash(&[b"a", b"bc"]));
        assert_ne!(seed.hash(&[b"ab"]), Seed::of(&[2; 32]).hash(&[b"ab"]));
    }
}

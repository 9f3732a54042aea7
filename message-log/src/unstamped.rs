//! Which message records wait for a timestamp, and the root that the next batch builds on.

use std::ops::RangeInclusive;

use kogge_proto::digest::Sha256;
use kogge_proto::time::UnixMillis;
use kogge_proto::wire::log::StampRecord;

use crate::entry::{Entry, Kind};
use crate::waiting::Waiting;

/// The records that no stamp covers, less than 5 bytes each. How many there can be is bounded by the caller: it stops exchanges when the
/// oldest is too old or there are too many.
#[derive(Debug, Default)]
pub(crate) struct Unstamped {
    waiting: Waiting,
    last_root: Option<Sha256>,
}

impl Unstamped {
    /// Takes note of an entry that is durable.
    pub(crate) fn apply(&mut self, entry: &Entry) {
        match &entry.kind {
            Kind::Message(_) => self.add(entry.sequence, UnixMillis(entry.time_ms)),
            Kind::Stamp(stamp) => {
                self.cover(stamp.leaves.iter().map(|leaf| leaf.sequence), Sha256::from_slice(&stamp.root));
            }
            Kind::SegmentStart(_) | Kind::Material(_) | Kind::Name(_) | Kind::Erasure(_) => {}
        }
    }

    pub(crate) fn add(&mut self, sequence: u64, time: UnixMillis) {
        self.waiting.insert(sequence, time);
    }

    pub(crate) fn cover(&mut self, leaves: impl Iterator<Item = u64>, root: Option<Sha256>) {
        for sequence in leaves {
            self.waiting.remove(sequence);
        }
        self.last_root = root;
    }

    /// Why the stamp does not continue this log.
    pub(crate) fn check(&self, stamp: &StampRecord) -> Result<(), String> {
        if Sha256::from_slice(&stamp.root).is_none() {
            return Err("the stamp's root is not a SHA-256".to_owned());
        }
        let previous = self.last_root.map(|root| root.0.to_vec()).unwrap_or_default();
        if stamp.previous_root != previous {
            return Err("the stamp does not build on the newest stamp's root".to_owned());
        }
        match stamp.leaves.iter().find(|leaf| !self.waiting.contains(leaf.sequence)) {
            Some(leaf) => Err(format!("entry {} is not a message that waits for a stamp", leaf.sequence)),
            None => Ok(()),
        }
    }

    pub(crate) fn oldest(&self, limit: usize) -> Vec<u64> {
        self.waiting.range(0..=u64::MAX).map(|(sequence, _)| sequence).take(limit).collect()
    }

    pub(crate) fn len(&self) -> usize {
        self.waiting.len()
    }

    pub(crate) fn oldest_time(&self) -> Option<UnixMillis> {
        self.waiting.range(0..=u64::MAX).next().map(|(_, time)| time)
    }

    /// Of the messages that no stamp covers, at most `limit` of those among these sequences.
    pub(crate) fn among(&self, sequences: RangeInclusive<u64>, limit: usize) -> Vec<(u64, UnixMillis)> {
        self.waiting.range(sequences).take(limit).collect()
    }

    /// The newest stamp had this root.
    pub(crate) fn set_last_root(&mut self, root: Option<Sha256>) {
        self.last_root = root;
    }

    /// Whether no stamp covers the message.
    pub(crate) fn contains(&self, sequence: u64) -> bool {
        self.waiting.contains(sequence)
    }

    pub(crate) fn last_root(&self) -> Option<Sha256> {
        self.last_root
    }
}

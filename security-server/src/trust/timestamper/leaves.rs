//! What is to be stamped next, remembered since it was logged: reading it back from the log would cost as much as the logging did.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use kogge_proto::digest::Sha256;
use kogge_proto::limits::BATCH_LEAVES_MAX;
use tokio::sync::Notify;

/// Leaves of records that wait for their timestamp, by the records' sequence. Only a memory: a leaf that is not here, after a restart
/// or when there are too many, is found in the log.
#[derive(Default)]
pub(crate) struct Leaves {
    known: Mutex<BTreeMap<u64, Sha256>>,
    batch_full: Notify,
}

impl Leaves {
    /// Remembers the leaf of a record that was just logged.
    pub(crate) fn note(&self, sequence: u64, leaf: Sha256) {
        let mut known = self.lock();
        if known.len() < LEAVES_MAX {
            known.insert(sequence, leaf);
        }
        if known.len() == BATCH_LEAVES_MAX {
            self.batch_full.notify_one();
        }
    }

    /// Returns once so many leaves have come together that no more fit into one batch.
    pub(super) async fn batch_full(&self) {
        self.batch_full.notified().await;
    }

    /// The leaf of each of these records as far as it is known; forgets those before the first of them. In rising order.
    pub(super) fn of(&self, waiting: &[u64]) -> Vec<(u64, Option<Sha256>)> {
        let mut known = self.lock();
        if let Some(oldest) = waiting.first() {
            *known = known.split_off(oldest);
        }
        waiting.iter().map(|sequence| (*sequence, known.get(sequence).copied())).collect()
    }

    /// A thread that panicked while it held the lock has left whole leaves behind.
    fn lock(&self) -> MutexGuard<'_, BTreeMap<u64, Sha256>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Ten batches, some 6 MB: as many as come together while a timestamping authority takes a moment. In a longer outage the rest is read
/// from the log afterwards.
const LEAVES_MAX: usize = 10 * BATCH_LEAVES_MAX;

#[cfg(test)]
mod tests {
    use super::*;

    fn leaf(sequence: u64) -> Sha256 {
        kogge_proto::digest::sha256(&sequence.to_be_bytes())
    }

    #[test]
    fn what_is_stamped_is_forgotten_and_what_waits_is_not() {
        let leaves = Leaves::default();
        for sequence in [1, 2, 5, 4] {
            leaves.note(sequence, leaf(sequence));
        }
        let known = |sequence| (sequence, Some(leaf(sequence)));
        assert_eq!(leaves.of(&[1, 2, 3, 4]), [known(1), known(2), (3, None), known(4)]);
        assert_eq!(leaves.of(&[2, 4, 5]), [known(2), known(4), known(5)], "asked again after a failure");
        assert_eq!(leaves.of(&[1, 5]), [(1, None), known(5)]);
        assert_eq!(leaves.of(&[]), []);
        assert_eq!(leaves.of(&[5]), [known(5)]);
    }

    #[test]
    fn they_are_bounded() {
        let leaves = Leaves::default();
        let last = LEAVES_MAX as u64;
        (0..=last).for_each(|sequence| leaves.note(sequence, leaf(sequence)));
        assert_eq!(leaves.of(&[0, last - 1, last])[1..], [(last - 1, Some(leaf(last - 1))), (last, None)]);
    }

    #[tokio::test]
    async fn a_full_batch_is_told_once() {
        let leaves = Leaves::default();
        let told = || futures_util::FutureExt::now_or_never(leaves.batch_full()).is_some();
        let last = BATCH_LEAVES_MAX as u64;
        (1..last).for_each(|sequence| leaves.note(sequence, leaf(sequence)));
        assert!(!told());
        leaves.note(last, leaf(last));
        assert!(told() && !told());
    }
}

//! From the written end to the durable one.

use std::io;
use std::mem::{swap, take};
use std::time::Instant;

use kogge_proto::digest::Sha256;

use super::Writer;
use crate::AppendError;
use crate::bodies::Moved;
use crate::draft::{Effect, Waiting};
use crate::index::Note;
use crate::live::locked;
use crate::segment::Sync;

/// What lies between the durable end and the written one.
#[derive(Default)]
pub(super) struct Unsynced {
    pub(super) waiting: Vec<Waiting>,
    pub(super) moved: Vec<Moved>,
    pub(super) notes: Vec<Note>,
    pub(super) hashes: Vec<Sha256>,
    /// Somebody waits for it.
    pub(super) is_urgent: bool,
    /// When it has to be synced at the latest.
    pub(super) due: Option<Instant>,
}

impl Writer {
    pub(super) fn sync_if_due(&mut self) {
        if let Some(sync) = self.begin_sync() {
            self.end_sync(sync.run());
        }
    }

    /// Makes durable what was written; on the log's thread, while no sync is under way.
    pub(super) fn sync(&mut self) {
        if !self.unsynced.waiting.is_empty() {
            let sync = self.mark();
            self.end_sync(sync.run());
        }
    }

    /// Writes the rest, and says what to do so that it is durable, if somebody waits for that or waited for long enough. Whoever appends may go on writing
    /// meanwhile; that counts for the next sync.
    pub(crate) fn begin_sync(&mut self) -> Option<Sync> {
        if self.draft.is_urgent() {
            self.commit();
        }
        let is_due = self.unsynced.due.is_some_and(|due| due <= Instant::now());
        (self.unsynced.is_urgent || is_due).then(|| self.mark())
    }

    fn mark(&mut self) -> Sync {
        swap(&mut self.unsynced, &mut self.syncing);
        self.syncing_end = (self.chain, self.segment.tail);
        self.segment.sync()
    }

    /// Takes note of how the sync went.
    pub(crate) fn end_sync(&mut self, outcome: io::Result<()>) {
        // A crash before this leaves the group in the log. What it says holds from here on.
        match outcome {
            Ok(()) => self.synced(),
            Err(error) => drop(self.seal(format!("a sync failed: {error}"))),
        }
    }

    /// All that was written is durable, without a sync of its own.
    pub(crate) fn all_synced(&mut self) {
        drop(self.mark());
        self.synced();
    }

    /// What was written up to the mark is durable.
    fn synced(&mut self) {
        let (chain, tail) = self.syncing_end;
        self.segment.is_synced(tail);
        self.durable = chain;
        // Before the index: what is found by it must be there for who reads everything.
        self.publish();
        // Before what waits for a stamp: the checkpoint that goes with a stamp covers what the stamp does.
        locked(&self.live.tree).grow(self.syncing.hashes.drain(..));
        let must_wake = self.live.index.add(self.syncing.notes.drain(..), self.durable, tail);
        self.syncing.due = None;
        self.syncing.is_urgent = false;
        self.syncing.moved.clear();
        if self.draft.is_empty() {
            self.begin_draft();
        }
        self.note_effects();
        let told = self.syncing.waiting.drain(..).filter_map(|mut waiting| waiting.told(Ok(())));
        self.told.extend(told);
        if must_wake {
            self.wake_indexer();
        }
    }

    /// Each lock once for all records. Before anybody is told: who is, may ask at once.
    fn note_effects(&mut self) {
        let mut window = locked(&self.live.window);
        let mut unstamped = locked(&self.live.unstamped);
        for Waiting { receipt, effect, .. } in &self.syncing.waiting {
            match effect {
                Effect::Message(key) => {
                    if let Some(key) = key {
                        window.insert(*key, receipt.time, receipt.time);
                        self.requests.remove(key);
                    }
                    unstamped.add(receipt.sequence, receipt.time);
                }
                Effect::Erasure(place) => *locked(&self.live.last_erasure) = Some(*place),
                Effect::Stamp { leaves, root } => unstamped.cover(leaves.iter().copied(), *root),
            }
        }
    }

    /// What was written after the durable end does not count any more. Who was told that it was written is not told again: what follows it will be refused.
    pub(crate) fn lose_unsynced(&mut self, error: &AppendError) {
        let (syncing, unsynced) = (take(&mut self.syncing), take(&mut self.unsynced));
        self.segment.tail = self.segment.synced;
        self.chain = self.durable;
        self.incarnations.cut(self.durable.sequence);
        for Unsynced { waiting, moved, .. } in [syncing, unsynced] {
            moved.into_iter().for_each(Moved::give_back);
            self.refuse(waiting, error);
        }
        // Its frames continue what is lost.
        self.refuse_draft(error);
    }
}

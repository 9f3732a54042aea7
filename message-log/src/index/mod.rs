//! Where to find a record: a view of the segments that can be rebuilt from them at any time.
//!
//! - The segment that is being written has its index in memory ([`MemoryIndex`]), fed by the writer with each group that became durable.
//! - When a segment is sealed, the [`Indexer`]'s thread writes what it had in memory to disk, once: the postings as checked blocks into sled
//!   ([`blocks`], [`Archive`]), and a summary ([`Summary`]) that says where groups of messages and stamps stand and holds a filter. After
//!   that the memory is given back.
//! - A segment without both is read from its beginning by whoever looks for something, until the indexer has filled the gap.
//!
//! What the index says is never believed blindly: blocks and summaries are checked whenever they are read, are bound to the segment by the hash
//! of its last entry, and only say where to look. What does not fit is set aside and rebuilt, with all segments that share the database.
//!
//! Nothing is read at start but the names of the summaries, and what of recent segments must be known before the log takes records ([`Recent`]).

mod archive;
mod blocks;
mod filter;
mod indexer;
mod memory;
mod note;
mod outline;
mod recent;
mod rows;
mod summary;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

pub(crate) use archive::Archive;
pub(crate) use indexer::{Indexer, read_segment};
pub(crate) use memory::MemoryIndex;
pub(crate) use note::{Field, Fingerprint, Keys, Note, Noted, Probe};
pub(crate) use outline::{Outline, StampSpan, Stretch};
pub(crate) use recent::Recent;
pub(crate) use rows::RowsError;
pub(crate) use summary::Summary;

use crate::chain::Chain;
use crate::layout::Layout;
use crate::live::locked;

/// Sealed segments that wait in memory to be written; older ones are read again when their turn comes.
pub(crate) const SEALED_WAITING_MAX: usize = 2;

/// The index of an open log, as its threads see it.
pub(crate) struct LogIndex {
    /// Of the segment that is being written.
    growing: Mutex<MemoryIndex>,
    /// Of segments that were sealed and have no summary yet, oldest first.
    sealed: Mutex<VecDeque<Arc<MemoryIndex>>>,
    /// Sealed segments without a summary and not in memory.
    missing: Mutex<BTreeSet<u64>>,
    /// What is wrong with the index of which segment; of each database the last that was said.
    complaints: Mutex<BTreeMap<u64, RowsError>>,
    pub(crate) archive: Archive,
    /// The indexer has nothing to do before the next entry.
    asleep: AtomicBool,
}

impl LogIndex {
    /// `growing` is of the last segment; `missing` are those before it that have no summary.
    pub(crate) fn new(
        layout: Layout,
        cache_bytes: u64,
        growing: MemoryIndex,
        missing: BTreeSet<u64>,
    ) -> Self {
        Self {
            growing: Mutex::new(growing),
            sealed: Mutex::default(),
            missing: Mutex::new(missing),
            complaints: Mutex::default(),
            archive: Archive::new(layout, cache_bytes),
            asleep: AtomicBool::new(false),
        }
    }

    /// Takes note of entries that became durable: up to `chain`, whose frame ends at `end`. Returns whether the
    /// indexer must be woken.
    pub(crate) fn add(&self, notes: impl Iterator<Item = Note>, chain: Chain, end: u64) -> bool {
        let mut growing = locked(&self.growing);
        for note in notes {
            growing.add(&note);
        }
        growing.reach(chain, end);
        drop(growing);
        self.asleep.load(Ordering::SeqCst)
    }

    /// The segment is sealed; the next, with this number, begins with the entry `start`, whose frame ends at `end`.
    pub(crate) fn seal(&self, number: u64, start: Chain, end: u64) {
        let mut next = MemoryIndex::new(number, start.sequence);
        next.reach(start, end);
        let mut growing = locked(&self.growing);
        let sealed = std::mem::replace(&mut *growing, next);
        let mut waiting = locked(&self.sealed);
        waiting.push_back(Arc::new(sealed));
        if waiting.len() > SEALED_WAITING_MAX {
            let dropped = waiting.pop_front().map(|index| index.outline.segment);
            locked(&self.missing).extend(dropped);
        }
    }

    /// The newest entry that is known.
    pub(crate) fn chain(&self) -> Chain {
        locked(&self.growing).chain
    }

    /// What is in memory of a segment, as of now.
    pub(crate) fn snapshot(&self, segment: u64) -> Option<Arc<MemoryIndex>> {
        let growing = locked(&self.growing);
        if growing.outline.segment == segment {
            return Some(Arc::new(growing.clone()));
        }
        drop(growing);
        locked(&self.sealed).iter().find(|index| index.outline.segment == segment).cloned()
    }

    /// The segment that holds an entry in memory, and the frames among which it is if it is a message.
    pub(crate) fn place(&self, sequence: u64) -> Option<(u64, Option<Stretch>)> {
        let within = |outline: &Outline| {
            (outline.first_sequence..=outline.last_sequence)
                .contains(&sequence)
                .then(|| (outline.segment, outline.stretch_of(sequence)))
        };
        let growing = within(&locked(&self.growing).outline);
        growing.or_else(|| locked(&self.sealed).iter().find_map(|index| within(&index.outline)))
    }

    /// The index of this segment is wrong: the indexer will set it aside and write it anew.
    pub(crate) fn report(&self, segment: u64, error: RowsError) {
        let first = Archive::neighbours(segment).start;
        locked(&self.complaints).insert(first, error);
    }

    fn take_complaint(&self) -> Option<(u64, RowsError)> {
        locked(&self.complaints).pop_first()
    }

    fn first_sealed(&self) -> Option<Arc<MemoryIndex>> {
        locked(&self.sealed).front().cloned()
    }

    /// The segment has its summary: what was in memory is given back.
    fn stored(&self, segment: u64) {
        locked(&self.sealed).retain(|index| index.outline.segment != segment);
        locked(&self.missing).remove(&segment);
    }

    /// All sealed segments among these have no summary any more.
    fn lost(&self, segments: std::ops::Range<u64>) {
        let newest = locked(&self.growing).outline.segment;
        locked(&self.missing).extend(segments.filter(|segment| *segment < newest));
    }
}

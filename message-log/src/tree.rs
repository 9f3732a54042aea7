//! The Merkle tree over all entries (RFC 6962): what a checkpoint says of the log.
//!
//! Leaf *n* − 1 is the SHA-256 of entry *n*'s payload, the hash that the chain has anyway. The tree grows with what is durable, so nothing that a checkpoint
//! covers is taken back by a failing disk. It goes on after a restart from what the newest segment's start says of the entries before it. The log of an older
//! version lacks that: its front is then read once, in the background, and until that is done there is no checkpoint.

use std::ops::Range;

use kogge_proto::digest::Sha256;
use kogge_tlog::proof::List;
use kogge_tlog::tree::{Head, Stretch, leaf_hash};

use crate::chain::Chain;
use crate::layout::Layout;
use crate::live::{Live, locked};
use crate::scan::{Bound, Manner, Scan, Start, read_start};
use crate::{LogError, MessageLog, Reader};

/// Leaves that are remembered until they are asked for, 2 MiB: more than a timestamp batch. What is forgotten is read from the segments.
const REMEMBERED_MAX: usize = 65_536;

/// How many entries of the front are read before it is looked whether the log is being closed.
const READ_AT_ONCE: u64 = 1024;

/// The tree over the durable entries.
#[derive(Clone, Debug)]
pub(crate) struct Tree {
    shape: Shape,
    /// The newest leaves, without a gap up to the tree's end.
    remembered: Vec<Sha256>,
    abandoned: bool,
}

#[derive(Clone, Debug)]
enum Shape {
    Whole(Head),
    /// What comes before is not known yet.
    Rest {
        from: u64,
        rest: Stretch,
    },
}

impl Default for Tree {
    fn default() -> Self {
        Self::of(Shape::Whole(Head::default()))
    }
}

impl Tree {
    fn of(shape: Shape) -> Self {
        Self { shape, remembered: Vec::new(), abandoned: false }
    }

    /// Before the segment's start with this sequence is added, which says what the entries before it come to; `is_first` if none of them was.
    pub(crate) fn meet(&mut self, sequence: u64, subtrees: &[u8], is_first: bool) {
        let from = sequence.saturating_sub(1);
        if !is_first && self.is_whole() {
            return;
        }
        match head_before(sequence, subtrees) {
            Some(head) => *self = Self::of(Shape::Whole(head)),
            None if is_first => *self = Self::of(Shape::Rest { from, rest: Stretch::from(from) }),
            None => {}
        }
    }

    /// Entries with these hashes follow.
    pub(crate) fn grow(&mut self, hashes: impl IntoIterator<Item = Sha256>) {
        for hash in hashes {
            let leaf = leaf_hash(hash.as_bytes());
            // A log is never so long that there is no room.
            let _ = match &mut self.shape {
                Shape::Whole(head) => head.push(leaf),
                Shape::Rest { rest, .. } => rest.push(leaf),
            };
            if self.remembered.len() >= REMEMBERED_MAX {
                self.remembered.clear();
            }
            self.remembered.push(leaf);
        }
    }

    pub(crate) fn is_whole(&self) -> bool {
        matches!(self.shape, Shape::Whole(_))
    }

    /// For a segment's start; empty if they are not known.
    pub(crate) fn subtrees(&self) -> Vec<u8> {
        match &self.shape {
            Shape::Whole(head) => head.subtrees().iter().flat_map(|root| root.0).collect(),
            Shape::Rest { .. } => Vec::new(),
        }
    }

    /// The same without what is remembered.
    pub(crate) fn clone_shape(&self) -> Self {
        Self::of(self.shape.clone())
    }

    /// As if it had been opened by a version that knew nothing of trees.
    #[cfg(test)]
    pub(crate) fn forget(&mut self) {
        let from = self.size();
        *self = Self::of(Shape::Rest { from, rest: Stretch::from(from) });
    }

    /// The log is being closed.
    pub(crate) fn abandon(&mut self) {
        self.abandoned = true;
    }

    fn size(&self) -> u64 {
        match &self.shape {
            Shape::Whole(head) => head.size(),
            Shape::Rest { rest, .. } => rest.end(),
        }
    }

    fn list(&self) -> Option<List> {
        match &self.shape {
            Shape::Whole(head) => Some(List { size: head.size(), root: head.root() }),
            Shape::Rest { .. } => None,
        }
    }

    /// These leaves, if they are remembered; those before them are forgotten.
    fn take(&mut self, leaves: &Range<u64>) -> Option<Vec<Sha256>> {
        let first = self.size() - self.remembered.len() as u64;
        let skip = usize::try_from(leaves.start.checked_sub(first)?).ok()?;
        let length = usize::try_from(leaves.end.checked_sub(leaves.start)?).ok()?;
        let found = self.remembered.get(skip..skip.checked_add(length)?)?.to_vec();
        self.remembered.drain(..skip);
        Some(found)
    }

    /// The head of everything before the rest has become known.
    fn complete(&mut self, mut head: Head) -> bool {
        if let Shape::Rest { rest, .. } = &self.shape {
            let roots: Vec<Sha256> = rest.roots().copied().collect();
            if head.pass(rest.end(), &roots).is_err() {
                return false;
            }
            self.shape = Shape::Whole(head);
        }
        true
    }
}

/// The head over the entries before the segment's start with this sequence, as that says; `None` if it does not say.
pub(crate) fn head_before(sequence: u64, subtrees: &[u8]) -> Option<Head> {
    let roots = subtrees.chunks(Sha256::LEN).map(Sha256::from_slice).collect::<Option<Vec<Sha256>>>()?;
    Head::resume(sequence.checked_sub(1)?, roots)
}

/// Reads the front of a log that does not say what it comes to.
pub(crate) fn complete(layout: &Layout, live: &Live) {
    let from = match &locked(&live.tree).shape {
        Shape::Rest { from, .. } => *from,
        Shape::Whole(_) => return,
    };
    tracing::info!(
        entries = from,
        "the message log's tree is computed once; there are no checkpoints until then"
    );
    match read_front(layout, live, from) {
        Ok(Some(head)) => {
            if locked(&live.tree).complete(head) {
                tracing::info!("the message log's tree is complete");
            } else {
                tracing::error!("the message log's tree does not fit together: there are no checkpoints");
            }
        }
        Ok(None) => {}
        Err(error) => {
            tracing::error!(%error, "the message log's tree cannot be computed: there are no checkpoints");
        }
    }
}

/// `None` if the log was closed meanwhile.
fn read_front(layout: &Layout, live: &Live, end: u64) -> Result<Option<Head>, LogError> {
    let numbers = layout.segment_numbers().map_err(LogError::io("list", &layout.segments()))?;
    let mut newest = (numbers.first().copied().unwrap_or(1), Head::default());
    for number in numbers.iter().rev() {
        let start = read_start(layout, *number).map_err(LogError::io("read", &layout.segment(*number)))?;
        let Some(Start::Entry(entry, start)) = start else { continue };
        if let Some(head) = head_before(entry.sequence, &start.subtrees).filter(|head| head.size() <= end) {
            newest = (*number, head);
            break;
        }
    }
    let (number, mut head) = newest;
    let chain = (number == 1).then_some(Chain::EMPTY);
    let manner = Manner::exclusive(Bound::Durable(live.durable.clone()));
    let mut scan = Scan::segment(layout, number, chain, manner)?;
    while head.size() < end {
        let Some(item) = scan.next_intact()? else { break };
        if item.entry.sequence != head.size() + 1 {
            break;
        }
        let _ = head.push(leaf_hash(item.hash.as_bytes()));
        if head.size() % READ_AT_ONCE == 0 && locked(&live.tree).abandoned {
            return Ok(None);
        }
    }
    Ok(Some(head))
}

impl MessageLog {
    /// Size and root of the tree over all durable entries; `None` while it is not known, which is once, after a log of an older version was opened.
    #[must_use]
    pub fn tree(&self) -> Option<List> {
        locked(&self.parts().1.tree).list()
    }

    /// The hashes of these leaves, counted from 0, in order: from memory, else from the segments. Those before them are forgotten. May block.
    ///
    /// # Errors
    /// A segment cannot be read, or does not have them.
    pub fn leaf_hashes(&self, leaves: Range<u64>, each: &mut dyn FnMut(Sha256)) -> Result<(), LogError> {
        if let Some(found) = locked(&self.parts().1.tree).take(&leaves) {
            found.into_iter().for_each(each);
            return Ok(());
        }
        self.reader().leaf_hashes(leaves, each)
    }
}

impl Reader {
    /// The hashes of these leaves, counted from 0, in order.
    ///
    /// # Errors
    /// A segment cannot be read or is damaged, or does not have them.
    pub fn leaf_hashes(&self, leaves: Range<u64>, each: &mut dyn FnMut(Sha256)) -> Result<(), LogError> {
        let mut next = leaves.start + 1;
        let segment = self.segment_of(next)?.unwrap_or(1);
        let mut scan = self.scan_from(segment)?;
        while next <= leaves.end {
            let Some(item) = scan.next_intact()? else { return Err(LogError::NoEntry(next)) };
            if item.entry.sequence > next {
                return Err(LogError::NoEntry(next));
            }
            if item.entry.sequence == next {
                each(leaf_hash(item.hash.as_bytes()));
                next += 1;
            }
        }
        Ok(())
    }
}

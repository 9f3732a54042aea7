//! The index of the segment that is being written, and of one that was sealed just now: in memory only.

use std::sync::Arc;

use kogge_proto::time::UnixMillis;

use super::note::{Field, Fingerprint, Keys, Note, Noted, Probe};
use super::outline::Outline;
use crate::chain::Chain;
use crate::window::RequestKey;

/// Messages whose keys are kept in one piece: a snapshot shares whole pieces and copies the last, 20 KiB.
const PIECE_MESSAGES: usize = 1024;

/// Which messages a segment holds and where. About 21 bytes for each message and 8 more for a provider-side request: for a segment of 64 MiB
/// with records of 700 bytes some 2 MiB, given back when the segment's blocks are written.
#[derive(Clone, Debug)]
pub(crate) struct MemoryIndex {
    pub(crate) outline: Outline,
    /// The newest entry that is known.
    pub(crate) chain: Chain,
    whole: Vec<Arc<[Keys]>>,
    last: Vec<Keys>,
    /// Of provider-side requests.
    pub(crate) requests: Arc<Vec<RequestKey>>,
}

impl MemoryIndex {
    /// Of a segment that holds its first entry only.
    pub(crate) fn new(segment: u64, first_sequence: u64) -> Self {
        Self {
            outline: Outline::new(segment, first_sequence),
            chain: Chain::EMPTY,
            whole: Vec::new(),
            last: Vec::new(),
            requests: Arc::default(),
        }
    }

    /// Takes note of the next entry.
    pub(crate) fn add(&mut self, note: &Note) {
        self.outline.add(note);
        let Noted::Message(keys, request) = &note.kind else { return };
        if self.last.capacity() == 0 {
            self.last.reserve_exact(PIECE_MESSAGES);
        }
        self.last.push(*keys);
        if self.last.len() == PIECE_MESSAGES {
            self.whole.push(Arc::from(self.last.as_slice()));
            self.last.clear();
        }
        if let Some(key) = request {
            Arc::make_mut(&mut self.requests).push(*key);
        }
    }

    /// Everything up to this entry is in it, whose frame ends there.
    pub(crate) fn reach(&mut self, chain: Chain, end: u64) {
        self.chain = chain;
        self.outline.last_sequence = chain.sequence;
        self.outline.end = end;
    }

    /// The groups in which messages may be that are found by every probe and were appended at `from` or later and before `to`. Reads
    /// 20 bytes for each message of the segment.
    pub(crate) fn find(
        &self,
        probes: &[Probe],
        from: Option<UnixMillis>,
        to: Option<UnixMillis>,
    ) -> Vec<u32> {
        let fits = |keys: &Keys| probes.iter().all(|probe| keys.get(probe.field) == probe.fingerprint);
        if probes.is_empty() {
            return self.outline.groups_at(from, to);
        }
        let mut groups: Vec<u32> = self
            .keys()
            .zip(self.outline.groups_of_messages())
            .filter_map(|(keys, group)| fits(keys).then_some(group))
            .filter(|group| self.outline.is_at(*group, from, to))
            .collect();
        groups.dedup();
        groups
    }

    /// Fingerprint and group of each message, ascending, each pair once.
    pub(crate) fn postings(&self, field: Field) -> Vec<(u32, u32)> {
        let mut postings: Vec<(u32, u32)> = self
            .keys()
            .zip(self.outline.groups_of_messages())
            .map(|(keys, group)| (keys.get(field), group))
            .filter(|(fingerprint, _)| field != Field::Subject || *fingerprint != Fingerprint::NONE)
            .map(|(fingerprint, group)| (fingerprint.0, group))
            .collect();
        postings.sort_unstable();
        postings.dedup();
        postings
    }

    fn keys(&self) -> impl Iterator<Item = &Keys> {
        self.whole.iter().flat_map(|piece| piece.iter()).chain(&self.last)
    }
}

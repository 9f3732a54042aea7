//! Finding the stamp that covers a record, without an index: a second scan that runs ahead.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use kogge_proto::wire::log::StampRecord;
use kogge_proto::wire::log::entry::Kind;

use crate::LogError;
use crate::layout::Layout;
use crate::material::read_entry;
use crate::scan::{Scan, Step};

/// Finds stamps for records that are asked for in ascending order. Remembers a few words for each stamp between the record and the newest
/// stamp read, and one stamp whole.
pub(crate) struct StampFinder {
    layout: Layout,
    ahead: Scan,
    spans: VecDeque<Span>,
    newest_used: Option<(Span, Arc<StampRecord>)>,
    /// Whether damage ends the search or is passed over (because someone else reports it).
    is_lenient: bool,
    /// The scan has met the end of the log; what is written later does not count for this query.
    is_at_end: bool,
}

/// A stamp's place, and the smallest and largest sequence that it covers.
#[derive(Clone, Copy, Eq, PartialEq)]
struct Span {
    first: u64,
    last: u64,
    segment: u64,
    offset: u64,
}

impl StampFinder {
    pub(crate) fn strict(layout: &Layout, ahead: Scan) -> Self {
        Self {
            layout: layout.clone(),
            ahead,
            spans: VecDeque::new(),
            newest_used: None,
            is_lenient: false,
            is_at_end: false,
        }
    }

    pub(crate) fn lenient(layout: &Layout, ahead: Scan) -> Self {
        Self { is_lenient: true, ..Self::strict(layout, ahead) }
    }

    /// The stamp that covers the record, if there is one.
    pub(crate) fn find(&mut self, sequence: u64) -> Result<Option<Arc<StampRecord>>, LogError> {
        while self.spans.front().is_some_and(|span| span.last < sequence) {
            self.spans.pop_front();
        }
        let candidates: Vec<Span> = self.spans.iter().copied().filter(|span| span.covers(sequence)).collect();
        for span in candidates {
            if let Some(stamp) = self.load(span)?.filter(|stamp| names(stamp, sequence)) {
                return Ok(Some(stamp));
            }
        }
        while !self.is_at_end {
            let Some((span, stamp)) = self.next_stamp()? else {
                self.is_at_end = true;
                break;
            };
            self.spans.push_back(span);
            let is_it = span.covers(sequence) && names(&stamp, sequence);
            self.newest_used = Some((span, stamp.clone()));
            if is_it {
                return Ok(Some(stamp));
            }
        }
        Ok(None)
    }

    fn load(&mut self, span: Span) -> Result<Option<Arc<StampRecord>>, LogError> {
        if self.newest_used.as_ref().is_none_or(|(used, _)| *used != span) {
            let entry = read_entry(&self.layout, span.segment, span.offset)?;
            self.newest_used = match entry.and_then(|entry| entry.kind) {
                Some(Kind::Stamp(stamp)) => Some((span, Arc::new(stamp))),
                _ => None,
            };
        }
        Ok(self.newest_used.as_ref().map(|(_, stamp)| stamp.clone()))
    }

    fn next_stamp(&mut self) -> Result<Option<(Span, Arc<StampRecord>)>, LogError> {
        while let Some(item) = self.next_item()? {
            let (segment, offset) = (item.segment, item.offset);
            let Some(Kind::Stamp(stamp)) = item.entry.kind else { continue };
            let sequences = || stamp.leaves.iter().map(|leaf| leaf.sequence);
            if let (Some(first), Some(last)) = (sequences().min(), sequences().max()) {
                return Ok(Some((Span { first, last, segment, offset }, Arc::new(stamp))));
            }
        }
        Ok(None)
    }

    fn next_item(&mut self) -> Result<Option<Box<crate::scan::Item>>, LogError> {
        if !self.is_lenient {
            return self.ahead.next_intact();
        }
        loop {
            match self.ahead.step()? {
                Step::Entry(item) => return Ok(Some(item)),
                Step::End => return Ok(None),
                Step::Damage(_) => {}
                Step::Torn(_) => self.ahead.skip()?,
            }
        }
    }
}

impl Span {
    fn covers(&self, sequence: u64) -> bool {
        (self.first..=self.last).contains(&sequence)
    }
}

pub(crate) fn names(stamp: &StampRecord, sequence: u64) -> bool {
    stamp.leaves.iter().any(|leaf| leaf.sequence == sequence)
}

/// The records that stamps have covered so far, as runs of sequences that follow each other: a few words for each run.
#[derive(Default)]
pub(crate) struct Covered(BTreeMap<u64, u64>);

impl Covered {
    /// Takes note of a record; `false` if it was covered before.
    pub(crate) fn insert(&mut self, sequence: u64) -> bool {
        let before = self.0.range(..=sequence).next_back().map(|(first, last)| (*first, *last));
        if before.is_some_and(|(_, last)| sequence <= last) {
            return false;
        }
        let first = match before {
            Some((first, last)) if last + 1 == sequence => first,
            _ => sequence,
        };
        let after = sequence.checked_add(1).and_then(|next| self.0.remove(&next));
        self.0.insert(first, after.unwrap_or(sequence));
        true
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn covered_records_are_remembered_in_whatever_order_they_come() {
        let (mut covered, mut expected) = (Covered::default(), BTreeSet::new());
        for sequence in [5, 3, 4, 4, 1, 2, 9, 8, 5, 1, 0, u64::MAX, u64::MAX, 7, 6, 10, 10] {
            assert_eq!(covered.insert(sequence), expected.insert(sequence), "{sequence}");
        }
        assert_eq!(Vec::from_iter(covered.0), [(0, 10), (u64::MAX, u64::MAX)]);
    }
}

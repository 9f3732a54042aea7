//! Finding the stamp that covers a record: by what is known of the segments after it, or by a scan that runs ahead.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use kogge_proto::wire::log::StampRecord;

use crate::entry::Kind;
use crate::index::StampSpan;
use crate::layout::Layout;
use crate::lookup::Known;
use crate::resolve::read_entry;
use crate::scan::{Item, Scan, Step};
use crate::{LogError, Reader};

/// Finds stamps for records that are asked for in ascending order. Remembers a few words for each stamp between the record and the newest
/// stamp read, and one stamp whole.
#[derive(Default)]
pub(crate) struct Stamps {
    spans: VecDeque<StampSpan>,
    /// The segment whose stamps are to be learnt next; 0 before the first question.
    next: u64,
    newest_used: Option<(StampSpan, Arc<StampRecord>)>,
}

impl Stamps {
    /// The stamp that covers a record of this segment, if there is one.
    pub(crate) fn find(
        &mut self,
        reader: &Reader,
        segment: u64,
        sequence: u64,
    ) -> Result<Option<Arc<StampRecord>>, LogError> {
        if reader.is_known_unstamped(sequence) {
            return Ok(None);
        }
        self.next = self.next.max(segment);
        while self.spans.front().is_some_and(|span| span.last < sequence) {
            self.spans.pop_front();
        }
        let mut asked = 0;
        loop {
            while let Some(span) = self.spans.get(asked).copied() {
                asked += 1;
                if span.covers(sequence)
                    && let Some(stamp) = self.load(reader, span)?.filter(|stamp| names(stamp, sequence))
                {
                    return Ok(Some(stamp));
                }
            }
            // A stamp comes after what it covers.
            if self.next > reader.last_segment(self.next)? {
                return Ok(None);
            }
            self.learn(reader, sequence)?;
        }
    }

    /// Learns the stamps of the next segment, unless all that they cover comes before `sequence`.
    fn learn(&mut self, reader: &Reader, sequence: u64) -> Result<(), LogError> {
        let segment = self.next;
        self.next += 1;
        let spans = match reader.known(segment) {
            Known::Memory(index) => index.outline.stamps.clone(),
            Known::Summary(summary) if !summary.may_cover_from(sequence) => Vec::new(),
            Known::Summary(summary) => match summary.stamps() {
                Ok(spans) => spans,
                Err(error) => {
                    reader.report(segment, error);
                    read_spans(reader, segment)?
                }
            },
            Known::Nothing => read_spans(reader, segment)?,
        };
        self.spans.extend(spans);
        Ok(())
    }

    fn load(&mut self, reader: &Reader, span: StampSpan) -> Result<Option<Arc<StampRecord>>, LogError> {
        if self.newest_used.as_ref().is_none_or(|(used, _)| *used != span) {
            self.newest_used = load(&reader.layout, span)?.map(|stamp| (span, stamp));
        }
        Ok(self.newest_used.as_ref().map(|(_, stamp)| stamp.clone()))
    }
}

fn load(layout: &Layout, span: StampSpan) -> Result<Option<Arc<StampRecord>>, LogError> {
    let entry = read_entry(layout, span.segment, span.offset)?;
    Ok(match entry.map(|entry| entry.kind) {
        Some(Kind::Stamp(stamp)) => Some(Arc::new(stamp)),
        _ => None,
    })
}

/// The stamps of a segment, by reading it.
fn read_spans(reader: &Reader, segment: u64) -> Result<Vec<StampSpan>, LogError> {
    let mut scan = reader.scan_from(segment)?;
    let mut spans = Vec::new();
    while let Some(item) = scan.next_intact()?.filter(|item| item.segment == segment) {
        spans.extend(span(*item).map(|(span, _)| span));
    }
    Ok(spans)
}

/// As [`Stamps`], without any index and whatever is damaged: for the audit, which reports that itself.
pub(crate) struct StampFinder {
    layout: Layout,
    ahead: Scan,
    spans: VecDeque<StampSpan>,
    newest_used: Option<(StampSpan, Arc<StampRecord>)>,
    /// The scan has met the end of the log; what is written later does not count for this query.
    is_at_end: bool,
}

impl StampFinder {
    pub(crate) fn new(layout: &Layout, ahead: Scan) -> Self {
        Self { layout: layout.clone(), ahead, spans: VecDeque::new(), newest_used: None, is_at_end: false }
    }

    /// The stamp that covers the record, if there is one.
    pub(crate) fn find(&mut self, sequence: u64) -> Result<Option<Arc<StampRecord>>, LogError> {
        while self.spans.front().is_some_and(|span| span.last < sequence) {
            self.spans.pop_front();
        }
        let candidates: Vec<StampSpan> =
            self.spans.iter().copied().filter(|span| span.covers(sequence)).collect();
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

    fn load(&mut self, span: StampSpan) -> Result<Option<Arc<StampRecord>>, LogError> {
        if self.newest_used.as_ref().is_none_or(|(used, _)| *used != span) {
            self.newest_used = load(&self.layout, span)?.map(|stamp| (span, stamp));
        }
        Ok(self.newest_used.as_ref().map(|(_, stamp)| stamp.clone()))
    }

    fn next_stamp(&mut self) -> Result<Option<(StampSpan, Arc<StampRecord>)>, LogError> {
        loop {
            match self.ahead.step()? {
                Step::Entry(item) => {
                    if let Some((span, stamp)) = span(*item) {
                        return Ok(Some((span, Arc::new(stamp))));
                    }
                }
                Step::End => return Ok(None),
                Step::Damage(_) => {}
                Step::Torn(_) => self.ahead.skip()?,
            }
        }
    }
}

/// The stamp in the item, if it is one that covers something.
fn span(item: Item) -> Option<(StampSpan, StampRecord)> {
    let (segment, offset) = (item.segment, item.offset);
    let Kind::Stamp(stamp) = item.entry.kind else { return None };
    let sequences = || stamp.leaves.iter().map(|leaf| leaf.sequence);
    let (first, last) = (sequences().min()?, sequences().max()?);
    Some((StampSpan { first, last, segment, offset }, stamp))
}

fn names(stamp: &StampRecord, sequence: u64) -> bool {
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

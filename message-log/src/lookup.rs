//! Finding records: segment by segment, where the index says, or by reading the whole segment where it says nothing.

use std::sync::Arc;

use crate::entry::Entry;
use crate::index::{Field, Fingerprint, MemoryIndex, Outline, Probe, RowsError, Stretch, Summary};
use crate::read::{Piece, SegmentReader};
use crate::reader::Message;
use crate::resolve::Meaning;
use crate::scan::{Item, Scan};
use crate::stamps::Stamps;
use crate::{Filter, Found, LogError, Reader};

/// Most bytes read at once.
const WINDOW_BYTES_MAX: u64 = 256 * 1024;

/// What is known of a segment without reading it.
pub(crate) enum Known {
    /// It is being written, or was sealed just now.
    Memory(Arc<MemoryIndex>),
    Summary(Box<Summary>),
    Nothing,
}

/// Why an index did not answer.
#[derive(Debug, thiserror::Error)]
enum LookupError {
    /// The index is at fault; the segment has the answer.
    #[error(transparent)]
    Rows(#[from] RowsError),
    /// The log is at fault.
    #[error(transparent)]
    Log(#[from] LogError),
}

/// One query.
pub(crate) struct Lookup<'a> {
    reader: &'a Reader,
    stamps: Stamps,
    whole: Option<WholeSegments>,
    /// The last record that was handed over.
    done: u64,
}

/// Reads segments that have no index, one after the other.
struct WholeSegments {
    scan: Scan,
    /// Read already, of a segment that was not asked for yet.
    ahead: Option<Box<Item>>,
}

impl<'a> Lookup<'a> {
    pub(crate) fn new(reader: &'a Reader) -> Self {
        Self { reader, stamps: Stamps::default(), whole: None, done: 0 }
    }

    /// Records that pass the filter, in order, handed to `each` until it returns false.
    pub(crate) fn list(
        mut self,
        filter: &Filter,
        each: &mut dyn FnMut(Found) -> bool,
    ) -> Result<(), LogError> {
        let probes = probes(filter);
        let mut segment = 1;
        // Asked each time: a server may have gone on to another segment meanwhile.
        while segment <= self.reader.last_segment(segment)? {
            let goes_on = match self.list_known(segment, &probes, filter, each) {
                Ok(Some(goes_on)) => goes_on,
                Ok(None) => self.list_whole(segment, filter, each)?,
                Err(LookupError::Log(error)) => return Err(error),
                Err(LookupError::Rows(error)) => {
                    self.reader.report(segment, error);
                    self.list_whole(segment, filter, each)?
                }
            };
            if !goes_on {
                break;
            }
            segment += 1;
        }
        Ok(())
    }

    /// The message with this sequence.
    pub(crate) fn get(self, sequence: u64) -> Result<Option<Found>, LogError> {
        if let Some((segment, stretch)) = self.reader.place_in_memory(sequence) {
            let Some(stretch) = stretch else { return Ok(None) };
            return self.get_at(segment, stretch, sequence);
        }
        let Some(segment) = self.reader.segment_of(sequence)? else { return Ok(None) };
        let outline = match self.reader.known(segment) {
            Known::Memory(index) => index.outline.clone(),
            Known::Nothing => return self.get_whole(segment, sequence),
            Known::Summary(summary) => match summary.outline() {
                Ok(outline) => outline,
                Err(error) => {
                    self.reader.report(segment, error);
                    return self.get_whole(segment, sequence);
                }
            },
        };
        match outline.stretch_of(sequence) {
            Some(stretch) => self.get_at(segment, stretch, sequence),
            None => Ok(None),
        }
    }

    /// What is found by the index of a segment; `None` if it has none. Returns whether to go on.
    fn list_known(
        &mut self,
        segment: u64,
        probes: &[Probe],
        filter: &Filter,
        each: &mut dyn FnMut(Found) -> bool,
    ) -> Result<Option<bool>, LookupError> {
        let (from, to) = (filter.from, filter.to);
        match self.reader.known(segment) {
            Known::Nothing => Ok(None),
            Known::Memory(index) => {
                let groups = index.find(probes, from, to);
                self.list_groups(&index.outline, &groups, filter, each).map(Some)
            }
            Known::Summary(summary) => {
                if !summary.may_hold(probes, from, to)? {
                    return Ok(Some(true));
                }
                let outline = summary.outline()?;
                let groups = self.groups(&summary, &outline, probes, filter);
                self.list_groups(&outline, &groups, filter, each).map(Some)
            }
        }
    }

    /// Where to look in a sealed segment: by its blocks if they can be asked and answer, else wherever the time fits.
    fn groups(&self, summary: &Summary, outline: &Outline, probes: &[Probe], filter: &Filter) -> Vec<u32> {
        let (from, to) = (filter.from, filter.to);
        let archive = self.reader.archive().filter(|_| !probes.is_empty());
        match archive.map(|archive| archive.find(summary, probes)) {
            Some(Ok(groups)) => groups.into_iter().filter(|group| outline.is_at(*group, from, to)).collect(),
            Some(Err(error)) => {
                self.reader.report(outline.segment, error);
                outline.groups_at(from, to)
            }
            None => outline.groups_at(from, to),
        }
    }

    fn list_groups(
        &mut self,
        outline: &Outline,
        groups: &[u32],
        filter: &Filter,
        each: &mut dyn FnMut(Found) -> bool,
    ) -> Result<bool, LookupError> {
        let Some(first) = groups.first() else { return Ok(true) };
        let segment = outline.segment;
        let begin = outline.stretch(*first).ok_or_else(|| disagrees(segment))?.offset;
        let mut frames = SegmentReader::open(&self.reader.layout, segment, begin)
            .map_err(LogError::io("open", &self.reader.layout.segment(segment)))?;
        for (groups_follow, group) in follow_each_other(groups) {
            let Stretch { mut sequence, offset, end } =
                outline.stretch(group).ok_or_else(|| disagrees(segment))?;
            let bytes = if groups_follow { WINDOW_BYTES_MAX } else { (end - offset).min(WINDOW_BYTES_MAX) };
            frames.move_to(offset, bytes);
            while frames.offset < end {
                let entry = self.next_entry(&mut frames, sequence)?;
                sequence += 1;
                let Some(message) = Message::admitted_entry(entry, segment, filter) else { continue };
                if message.sequence > self.done && !self.hand_over(message, each)? {
                    return Ok(false);
                }
            }
        }
        Ok(true)
    }

    fn next_entry(&self, frames: &mut SegmentReader, sequence: u64) -> Result<Entry, LookupError> {
        let segment = frames.number;
        let path = self.reader.layout.segment(segment);
        let piece = frames.next().map_err(LogError::io("read", &path))?;
        let Piece::Frame(frame) = piece else { return Err(disagrees(segment).into()) };
        match frames.interpret(frame).map_err(LogError::io("read", &path))? {
            Meaning::Entry(entry) if entry.sequence == sequence => Ok(*entry),
            // If it is the segment that is at fault, reading all of it says so.
            Meaning::Entry(_) | Meaning::Incomplete(..) | Meaning::None(_) => Err(disagrees(segment).into()),
        }
    }

    fn hand_over(&mut self, message: Message, each: &mut dyn FnMut(Found) -> bool) -> Result<bool, LogError> {
        let sequence = message.sequence;
        let found = self.found(message)?;
        self.done = sequence;
        Ok(each(found))
    }

    /// The message with its stamp.
    fn found(&mut self, message: Message) -> Result<Found, LogError> {
        let stamp = self.stamps.find(self.reader, message.segment, message.sequence)?;
        message.found(self.reader, stamp)
    }

    /// Reads a whole segment. Returns whether to go on.
    fn list_whole(
        &mut self,
        segment: u64,
        filter: &Filter,
        each: &mut dyn FnMut(Found) -> bool,
    ) -> Result<bool, LogError> {
        let mut whole = WholeSegments::at(self.whole.take(), self.reader, segment)?;
        while let Some(item) = whole.next_of(segment)? {
            if item.entry.sequence <= self.done {
                continue;
            }
            let Some(message) = Message::admitted(*item, filter) else { continue };
            if !self.hand_over(message, each)? {
                return Ok(false);
            }
        }
        self.whole = Some(whole);
        Ok(true)
    }

    /// The message among the entries of a stretch.
    fn get_at(mut self, segment: u64, stretch: Stretch, sequence: u64) -> Result<Option<Found>, LogError> {
        let outcome = self.entry_at(segment, stretch, sequence);
        match outcome {
            Ok(entry) => match Message::admitted_entry(entry, segment, &Filter::default()) {
                Some(message) => self.found(message).map(Some),
                None => Ok(None),
            },
            Err(LookupError::Log(error)) => Err(error),
            Err(LookupError::Rows(error)) => {
                self.reader.report(segment, error);
                self.get_whole(segment, sequence)
            }
        }
    }

    fn entry_at(&self, segment: u64, stretch: Stretch, wanted: u64) -> Result<Entry, LookupError> {
        let path = self.reader.layout.segment(segment);
        let mut frames = SegmentReader::open(&self.reader.layout, segment, stretch.offset)
            .map_err(LogError::io("open", &path))?;
        frames.move_to(stretch.offset, (stretch.end - stretch.offset).min(WINDOW_BYTES_MAX));
        for _ in stretch.sequence..wanted {
            let piece = frames.next().map_err(LogError::io("read", &path))?;
            if !matches!(piece, Piece::Frame(_)) || frames.offset >= stretch.end {
                return Err(disagrees(segment).into());
            }
        }
        self.next_entry(&mut frames, wanted)
    }

    fn get_whole(mut self, segment: u64, sequence: u64) -> Result<Option<Found>, LogError> {
        let mut whole = WholeSegments::at(None, self.reader, segment)?;
        while let Some(item) = whole.next_of(segment)?.filter(|item| item.entry.sequence <= sequence) {
            if item.entry.sequence < sequence {
                continue;
            }
            let Some(message) = Message::admitted(*item, &Filter::default()) else { return Ok(None) };
            return self.found(message).map(Some);
        }
        Ok(None)
    }
}

impl WholeSegments {
    /// Goes on with `former` if it has come to the segment, so that the chain is checked from one to the next.
    fn at(former: Option<Self>, reader: &Reader, segment: u64) -> Result<Self, LogError> {
        let comes_next = |former: &Self| match &former.ahead {
            Some(item) => item.segment == segment,
            None => former.scan.position().0.checked_add(1) == Some(segment),
        };
        if let Some(former) = former.filter(comes_next) {
            return Ok(former);
        }
        let scan = reader.scan_from(segment)?;
        Ok(Self { scan, ahead: None })
    }

    /// The next entry of this segment.
    fn next_of(&mut self, segment: u64) -> Result<Option<Box<Item>>, LogError> {
        let item = match self.ahead.take() {
            Some(item) => Some(item),
            None => self.scan.next_intact()?,
        };
        let Some(item) = item else { return Ok(None) };
        if item.segment != segment {
            self.ahead = Some(item);
            return Ok(None);
        }
        Ok(Some(item))
    }
}

/// What the filter's texts are looked for by.
fn probes(filter: &Filter) -> Vec<Probe> {
    let Filter { message_id, request_id, client, service, subject, .. } = filter;
    let subject = subject.map(|pseudonym| Fingerprint::of_subject(&pseudonym));
    let subject = subject.map(|fingerprint| Probe { field: Field::Subject, fingerprint });
    let texts = [
        (Field::RequestId, request_id),
        (Field::MessageId, message_id),
        (Field::Service, service),
        (Field::Client, client),
    ]
    .into_iter()
    .filter_map(|(field, text)| Some(Probe { field, fingerprint: Fingerprint::of(text.as_deref()?) }));
    subject.into_iter().chain(texts).collect()
}

/// Each group, and whether the next one follows it, so that reading ahead pays.
fn follow_each_other(groups: &[u32]) -> impl Iterator<Item = (bool, u32)> {
    let next = groups.iter().skip(1).map(Some).chain([None]);
    groups.iter().zip(next).map(|(group, next)| (next.is_some_and(|next| *next == group + 1), *group))
}

fn disagrees(segment: u64) -> RowsError {
    RowsError::Disagrees(format!("in segment {segment} an entry is not where it says"))
}

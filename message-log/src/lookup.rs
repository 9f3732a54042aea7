//! Finding records by the index, as far as it reaches, and after that by reading the segments.

use std::sync::Arc;

use kogge_proto::time::UnixMillis;
use kogge_proto::wire::log::entry::Kind;
use kogge_proto::wire::log::{Entry, StampRecord};

use crate::index::{Checkpoint, Index, Key, RowsError};
use crate::material::{Collector, MaterialMap, read_entry};
use crate::reader::Message;
use crate::scan::Scan;
use crate::stamps::{StampFinder, names};
use crate::{Filter, Found, LogError, Reader};

/// Why the index did not answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LookupError {
    /// The index is at fault; the segments have the answer.
    #[error(transparent)]
    Rows(#[from] RowsError),
    /// The log is at fault.
    #[error(transparent)]
    Log(#[from] LogError),
}

/// One query.
pub(crate) struct Lookup<'a> {
    reader: &'a Reader,
    index: Arc<Index>,
    /// How far the index reached when the query began. It goes on meanwhile; what it learns is read from the segments, so that nothing is
    /// handed over twice or never.
    known: Checkpoint,
    collector: Collector,
    /// Finds stamps that the index did not know.
    late_stamps: StampFinder,
    recent_stamp: Option<(u64, Arc<StampRecord>)>,
}

impl<'a> Lookup<'a> {
    pub(crate) fn new(reader: &'a Reader, index: Arc<Index>) -> Result<Self, LogError> {
        let known = index.checkpoint();
        let late_stamps = StampFinder::strict(&reader.layout, scan_after(reader, &known)?);
        let collector = Collector::new(&reader.layout);
        Ok(Self { reader, index, known, collector, late_stamps, recent_stamp: None })
    }

    /// The message with this sequence, if the index knows it.
    pub(crate) fn get(&mut self, sequence: u64) -> Result<Option<Found>, LookupError> {
        match self.message(sequence, &Filter::default())? {
            Some(message) => self.found(message).map(Some),
            None => Ok(None),
        }
    }

    /// Messages that pass the filter, in order; `done` is the last that was handed over.
    pub(crate) fn list(
        &mut self,
        filter: &Filter,
        done: &mut u64,
        each: &mut dyn FnMut(Found) -> bool,
    ) -> Result<(), LookupError> {
        if let Some((key, mut after, last)) = self.plan(filter)? {
            loop {
                let page = self.index.page(key, after)?;
                let Some(newest) = page.last().copied() else { break };
                after = newest;
                for sequence in page.into_iter().take_while(|sequence| *sequence <= last) {
                    let Some(message) = self.message(sequence, filter)? else { continue };
                    let found = self.found(message)?;
                    *done = sequence;
                    if !each(found) {
                        return Ok(());
                    }
                }
                if newest >= last {
                    break;
                }
            }
        }
        self.list_unknown(filter, done, each)
    }

    /// Where to look: the key that leaves the fewest records, the sequence to start after and the last one.
    fn plan<'f>(&self, filter: &'f Filter) -> Result<Option<(Key<'f>, u64, u64)>, RowsError> {
        let Filter { message_id, request_id, client, service, from, to } = filter;
        let last = self.known.chain.sequence;
        let key = None
            .or(request_id.as_deref().map(Key::RequestId))
            .or(message_id.as_deref().map(Key::MessageId))
            .or(service.as_deref().map(Key::Service))
            .or(client.as_deref().map(Key::Client));
        if let Some(key) = key {
            return Ok(Some((key, 0, last)));
        }
        if from.is_none() && to.is_none() {
            return Ok(Some((Key::Any, 0, last)));
        }
        let (from, to) = (from.unwrap_or(UnixMillis(i64::MIN)), to.unwrap_or(UnixMillis(i64::MAX)));
        let span = self.index.span(from, to)?;
        Ok(span.map(|(first, newest)| (Key::Any, first.saturating_sub(1), newest.min(last))))
    }

    /// Hands over what the index did not know when the query began.
    fn list_unknown(
        &mut self,
        filter: &Filter,
        done: &mut u64,
        each: &mut dyn FnMut(Found) -> bool,
    ) -> Result<(), LookupError> {
        let mut scan = scan_after(self.reader, &self.known)?;
        let mut materials = MaterialMap::default();
        while let Some(item) = scan.next_intact()? {
            materials.note(&item);
            let Some(message) = Message::admitted(*item, filter) else { continue };
            let sequence = message.sequence;
            let stamp = self.late_stamps.find(sequence)?;
            let (reader, index) = (self.reader, &self.index);
            let found = message.found(&mut self.collector, stamp, |segment, digest| {
                match materials.offset(segment, digest) {
                    Some(offset) => Ok(Some(offset)),
                    None => material_place(reader, index, segment, digest),
                }
            })?;
            *done = sequence;
            if !each(found) {
                break;
            }
        }
        Ok(())
    }

    /// The message at the place that the index names, if it passes the filter.
    fn message(&self, sequence: u64, filter: &Filter) -> Result<Option<Message>, LookupError> {
        let Some(place) = self.index.place(sequence)? else { return Ok(None) };
        if !place.is_message || !filter.admits_time(place.time) {
            return Ok(None);
        }
        let entry = self.entry(sequence, place.segment, place.offset)?;
        Ok(Message::of(entry, place.segment, place.offset).filter(|message| message.passes(filter)))
    }

    fn found(&mut self, message: Message) -> Result<Found, LookupError> {
        let stamp = match self.stamp(message.sequence)? {
            Some(stamp) => Some(stamp),
            None => self.late_stamps.find(message.sequence)?,
        };
        let (reader, index) = (self.reader, &self.index);
        let place = |segment, digest: &[u8]| material_place(reader, index, segment, digest);
        Ok(message.found(&mut self.collector, stamp, place)?)
    }

    fn stamp(&mut self, sequence: u64) -> Result<Option<Arc<StampRecord>>, LookupError> {
        for stamp in self.index.stamps_around(sequence)? {
            // What the index has learnt since the query began is found by reading the segments.
            if stamp > self.known.chain.sequence {
                continue;
            }
            let record = self.stamp_record(stamp)?;
            if names(&record, sequence) {
                return Ok(Some(record));
            }
        }
        Ok(None)
    }

    fn stamp_record(&mut self, stamp: u64) -> Result<Arc<StampRecord>, LookupError> {
        if let Some((recent, record)) = &self.recent_stamp
            && *recent == stamp
        {
            return Ok(record.clone());
        }
        let place = self.index.place(stamp)?.ok_or_else(|| disagrees(stamp))?;
        let Some(Kind::Stamp(record)) = self.entry(stamp, place.segment, place.offset)?.kind else {
            return Err(disagrees(stamp).into());
        };
        let record = Arc::new(record);
        self.recent_stamp = Some((stamp, record.clone()));
        Ok(record)
    }

    fn entry(&self, sequence: u64, segment: u64, offset: u64) -> Result<Entry, LookupError> {
        let entry = read_entry(&self.reader.layout, segment, offset)?;
        Ok(entry.filter(|entry| entry.sequence == sequence).ok_or_else(|| disagrees(sequence))?)
    }
}

/// Where the index says that a certificate or OCSP response stands; read from the segment's beginning if it does not know.
fn material_place(
    reader: &Reader,
    index: &Index,
    segment: u64,
    digest: &[u8],
) -> Result<Option<u64>, LogError> {
    match index.material(segment, digest) {
        Ok(Some(offset)) => return Ok(Some(offset)),
        Ok(None) => {}
        Err(error) => reader.report(error),
    }
    let mut materials = MaterialMap::default();
    let mut scan = reader.scan_from(segment)?;
    while let Some(item) = scan.next_intact()?.filter(|item| item.segment == segment) {
        materials.note(&item);
    }
    Ok(materials.offset(segment, digest))
}

fn scan_after(reader: &Reader, known: &Checkpoint) -> Result<Scan, LogError> {
    Scan::at(&reader.layout, known.segment, known.end, Some(known.chain), reader.manner.clone())
}

fn disagrees(sequence: u64) -> RowsError {
    RowsError::Disagrees(format!("entry {sequence} is not where it says"))
}

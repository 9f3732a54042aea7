//! Finding records, beside a server that writes or without one.
//!
//! A reader that was opened by path reads the segments and never touches the index: sled locks its directory and repairs files when it
//! opens them, and neither is a bystander's business. It may see an entry a moment before it is acknowledged. A reader that an open log hands out
//! uses the index as far as that reaches, and reads the rest, up to what is durable, from the segments.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use kogge_proto::time::UnixMillis;
use kogge_proto::wire::log::entry::Kind;
use kogge_proto::wire::log::{Entry, MessageRecord, StampRecord};

use crate::chain::Chain;
use crate::index::{Index, RowsError};
use crate::layout::{Layout, parse_body_name, segment_name};
use crate::live::Live;
use crate::lookup::{Lookup, LookupError};
use crate::material::{Collector, MaterialMap};
use crate::scan::{Bound, Item, Manner, Scan, Start, read_start};
use crate::stamps::StampFinder;
use crate::{Damage, Filter, Found, LogError};

/// Reads a log, also while a server writes it. Takes no lock.
#[derive(Clone)]
pub struct Reader {
    pub(crate) layout: Layout,
    /// The open log in this process that it belongs to.
    live: Option<Arc<Live>>,
    pub(crate) manner: Manner,
}

impl Reader {
    /// Opens the log in `dir` for reading.
    ///
    /// # Errors
    /// There is no log.
    pub fn open(dir: &Path) -> Result<Self, LogError> {
        let layout = Layout::new(dir);
        let segments = layout.segments();
        std::fs::read_dir(&segments).map_err(LogError::io("open the message log", &segments))?;
        Ok(Self { layout, live: None, manner: Manner::bystander() })
    }

    pub(crate) fn of(layout: Layout, live: Arc<Live>) -> Self {
        let manner = Manner::exclusive(Bound::Durable(live.durable.clone()));
        Self { layout, live: Some(live), manner }
    }

    /// The server whose log it is; `None` while the log is empty.
    ///
    /// # Errors
    /// The first segment cannot be read.
    pub fn server(&self) -> Result<Option<String>, LogError> {
        match self.start_of(1)? {
            Some(Start::Entry(_, start)) => Ok(Some(start.security_server)),
            Some(Start::Blank) | None => Ok(None),
            Some(Start::Unreadable) => {
                Err(damaged("log.frame", 1, 0, "the segment does not begin with its start".to_owned()))
            }
        }
    }

    /// Records that pass the filter, in order, handed to `each` until it returns false.
    ///
    /// # Errors
    /// A segment cannot be read or is damaged.
    pub fn list(&self, filter: &Filter, each: &mut dyn FnMut(Found) -> bool) -> Result<(), LogError> {
        let mut done = 0;
        if let Some(index) = self.index() {
            match Lookup::new(self, index)?.list(filter, &mut done, each) {
                Ok(()) => return Ok(()),
                Err(LookupError::Log(error)) => return Err(error),
                Err(LookupError::Rows(error)) => self.report(error),
            }
        }
        self.scan_list(filter, done, each)
    }

    /// The record of the entry with this sequence; `None` too if that entry is no message.
    ///
    /// # Errors
    /// A segment cannot be read or is damaged.
    pub fn get(&self, sequence: u64) -> Result<Option<Found>, LogError> {
        if let Some(index) = self.index() {
            match Lookup::new(self, index)?.get(sequence) {
                Ok(Some(found)) => return Ok(Some(found)),
                // The index does not know it yet, or it is no message: the segments tell.
                Ok(None) => {}
                Err(LookupError::Log(error)) => return Err(error),
                Err(LookupError::Rows(error)) => self.report(error),
            }
        }
        self.scan_get(sequence)
    }

    /// Path of a body file that a record names.
    #[must_use]
    pub fn body_path(&self, file: &str) -> Option<PathBuf> {
        parse_body_name(file).map(|_| self.layout.body(file))
    }

    fn index(&self) -> Option<Arc<Index>> {
        self.live.as_ref().and_then(|live| live.index.get())
    }

    pub(crate) fn report(&self, error: RowsError) {
        if let Some(live) = &self.live {
            live.index.report(error);
        }
    }

    /// Reads all segments; hands over what passes the filter and comes after `after`.
    fn scan_list(
        &self,
        filter: &Filter,
        after: u64,
        each: &mut dyn FnMut(Found) -> bool,
    ) -> Result<(), LogError> {
        if self.start_of(1)?.is_none() {
            return Ok(());
        }
        let mut scan = self.scan_from(1)?;
        let mut stamps = StampFinder::strict(&self.layout, self.scan_from(1)?);
        let mut collector = Collector::new(&self.layout);
        let mut materials = MaterialMap::default();
        while let Some(item) = scan.next_intact()? {
            materials.note(&item);
            if item.entry.sequence <= after {
                continue;
            }
            let Some(message) = Message::admitted(*item, filter) else { continue };
            let stamp = stamps.find(message.sequence)?;
            let place = |segment, digest: &[u8]| Ok(materials.offset(segment, digest));
            if !each(message.found(&mut collector, stamp, place)?) {
                return Ok(());
            }
        }
        Ok(())
    }

    fn scan_get(&self, sequence: u64) -> Result<Option<Found>, LogError> {
        let Some(segment) = self.segment_of(sequence)? else { return Ok(None) };
        let mut scan = self.scan_from(segment)?;
        let mut materials = MaterialMap::default();
        while let Some(item) = scan.next_intact()?.filter(|item| item.entry.sequence <= sequence) {
            materials.note(&item);
            if item.entry.sequence < sequence {
                continue;
            }
            let Some(message) = Message::admitted(*item, &Filter::default()) else { return Ok(None) };
            // Stamps come after what they cover.
            let stamp = StampFinder::strict(&self.layout, scan).find(sequence)?;
            let place = |segment, digest: &[u8]| Ok(materials.offset(segment, digest));
            return message.found(&mut Collector::new(&self.layout), stamp, place).map(Some);
        }
        Ok(None)
    }

    /// The segment whose entries include the sequence, by halving.
    fn segment_of(&self, sequence: u64) -> Result<Option<u64>, LogError> {
        let numbers = self.layout.segment_numbers().map_err(LogError::io("list", &self.layout.segments()))?;
        let (mut low, mut high) = (0, numbers.len());
        while low < high {
            let middle = low + (high - low) / 2;
            let number = numbers.get(middle).copied().unwrap_or_default();
            match self.start_of(number)? {
                Some(Start::Entry(entry, _)) if entry.sequence <= sequence => low = middle + 1,
                Some(Start::Unreadable) => {
                    let reason = "the segment does not begin with its start".to_owned();
                    return Err(damaged("log.frame", number, 0, reason));
                }
                Some(Start::Entry(..) | Start::Blank) | None => high = middle,
            }
        }
        Ok(low.checked_sub(1).and_then(|before| numbers.get(before)).copied())
    }

    pub(crate) fn scan_from(&self, segment: u64) -> Result<Scan, LogError> {
        let chain = (segment == 1).then_some(Chain::EMPTY);
        Scan::segment(&self.layout, segment, chain, self.manner.clone())
    }

    fn start_of(&self, number: u64) -> Result<Option<Start>, LogError> {
        read_start(&self.layout, number).map_err(LogError::io("read", &self.layout.segment(number)))
    }
}

/// A message record and its place.
pub(crate) struct Message {
    pub(crate) sequence: u64,
    time: UnixMillis,
    record: MessageRecord,
    segment: u64,
    offset: u64,
}

impl Message {
    pub(crate) fn of(entry: Entry, segment: u64, offset: u64) -> Option<Self> {
        let (sequence, time) = (entry.sequence, UnixMillis(entry.time_ms));
        match entry.kind {
            Some(Kind::Message(record)) => Some(Self { sequence, time, record, segment, offset }),
            _ => None,
        }
    }

    /// The message in the entry, if it is one and passes the filter.
    pub(crate) fn admitted(item: Item, filter: &Filter) -> Option<Self> {
        Self::of(item.entry, item.segment, item.offset).filter(|message| message.passes(filter))
    }

    pub(crate) fn passes(&self, filter: &Filter) -> bool {
        filter.admits(self.time, &self.record)
    }

    /// The record with its stamp and with its material, which stands where `place` says.
    pub(crate) fn found(
        self,
        collector: &mut Collector,
        stamp: Option<Arc<StampRecord>>,
        place: impl Fn(u64, &[u8]) -> Result<Option<u64>, LogError>,
    ) -> Result<Found, LogError> {
        let Self { sequence, time, record, segment, offset } = self;
        let signature = record.signature.clone().unwrap_or_default();
        let (material, missing) = collector.collect(segment, &signature, |digest| place(segment, digest))?;
        match missing.first() {
            Some(digest) => Err(damaged("log.material", segment, offset, missing_material(digest))),
            None => Ok(Found { sequence, time, record, material, stamp }),
        }
    }
}

pub(crate) fn missing_material(digest: &str) -> String {
    format!("the certificate or OCSP response {digest} is not in the segment")
}

fn damaged(check: &'static str, segment: u64, offset: u64, reason: String) -> LogError {
    LogError::Damaged(Damage { check, file: format!("segments/{}", segment_name(segment)), offset, reason })
}

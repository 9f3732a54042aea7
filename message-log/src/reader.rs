//! Finding records, beside a server that writes or without one.
//!
//! A reader that was opened by path reads segments and their summaries and never touches the blocks: sled locks its directory and repairs files when it
//! opens them, and neither is a bystander's business. It may see an entry a moment before it is acknowledged. A reader that an open log hands out
//! asks the blocks too, and the memory of the segment that is being written, and sees what is durable.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use kogge_proto::digest::Sha256;
use kogge_proto::time::UnixMillis;
use kogge_proto::wire::evidence::Material;
use kogge_proto::wire::log::body::Place;
use kogge_proto::wire::log::not_kept::Why;
use kogge_proto::wire::log::{Body, EntryPlace, MessageRecord, NotKept, StampRecord};

use crate::acknowledged;
use crate::audit::DAMAGES_MAX;
use crate::chain::Chain;
use crate::entry::{Entry, Kind, SealedPart};
use crate::index::{Archive, RowsError, Stretch, Summary};
use crate::keys::{BODY_KEY_BYTES, LogKeys, bare_key};
use crate::layout::{Layout, body_name, parse_body_name, segment_name};
use crate::live::{Live, locked};
use crate::lookup::{Known, Lookup};
use crate::scan::{Bound, Item, Manner, Scan, Start, Step, read_start};
use crate::{BodyFile, BodyKey, Damage, Filter, Found, LogError, LogKey, LogKeyError};

/// Reads a log, also while a server writes it. Takes no lock.
#[derive(Clone)]
pub struct Reader {
    pub(crate) layout: Layout,
    /// The open log in this process that it belongs to.
    live: Option<Arc<Live>>,
    pub(crate) manner: Manner,
    /// `None` if encrypted bodies are not to be read.
    keys: Option<Arc<LogKeys>>,
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
        Ok(Self { layout, live: None, manner: Manner::bystander(), keys: None })
    }

    /// What stands for a person in this log; `None` without the log key.
    ///
    /// # Errors
    /// The log key cannot be used.
    pub fn pseudonym(&self, subject: &str) -> Result<Option<[u8; 32]>, LogKeyError> {
        self.keys.as_ref().map(|keys| keys.key().pseudonym(subject)).transpose()
    }

    /// Whether there are keys of encrypted bodies in the log.
    #[must_use]
    pub fn has_keys(&self) -> bool {
        self.layout.key_files().is_ok_and(|files| !files.is_empty())
    }

    /// The same, but encrypted bodies are not read.
    #[must_use]
    pub fn without_log_key(self) -> Self {
        Self { keys: None, ..self }
    }

    /// The keys of encrypted bodies, if they are to be read.
    pub(crate) fn keys(&self) -> Option<&LogKeys> {
        self.keys.as_deref()
    }

    /// The same, but encrypted bodies are read with the keys that lie in the log under this one. Without, or where the keys are not there any more, records come with length and digest of
    /// their body, and say why.
    #[must_use]
    pub fn with_log_key(self, key: Arc<dyn LogKey>) -> Self {
        let keys = Some(Arc::new(LogKeys::new(self.layout.clone(), key)));
        Self { keys, ..self }
    }

    pub(crate) fn of(layout: Layout, live: Arc<Live>) -> Self {
        let manner = Manner::exclusive(Bound::Durable(live.durable.clone()));
        let keys = live.keys.clone();
        Self { layout, live: Some(live), manner, keys }
    }

    /// The server whose log it is, by the oldest segment that is there; `None` while the log is empty.
    ///
    /// # Errors
    /// That segment cannot be read.
    pub fn server(&self) -> Result<Option<String>, LogError> {
        let numbers = self.layout.segment_numbers().map_err(LogError::io("list", &self.layout.segments()))?;
        let Some(oldest) = numbers.first().copied() else { return Ok(None) };
        match self.start_of(oldest)? {
            Some(Start::Entry(_, start)) => Ok(Some(start.security_server)),
            Some(Start::Blank) | None => Ok(None),
            Some(Start::Unreadable) => {
                Err(damaged("log.frame", oldest, 0, "the segment does not begin with its start".to_owned()))
            }
        }
    }

    /// Sequence and hash (SHA-256 of the payload) of every entry from the first on, as the chain has them; what is damaged is returned.
    ///
    /// # Errors
    /// A segment cannot be read at all.
    pub fn audit_chain(&self, each: &mut dyn FnMut(u64, Sha256)) -> Result<Vec<Damage>, LogError> {
        let mut scan = self.scan_from(1)?;
        let mut damages = Vec::new();
        while damages.len() < DAMAGES_MAX {
            match scan.step()? {
                Step::Entry(item) => each(item.entry.sequence, item.hash),
                Step::Damage(damage) => damages.push(damage),
                Step::Torn(damage) => {
                    damages.push(damage);
                    scan.skip()?;
                }
                Step::End => break,
            }
        }
        let end = self.layout.segment_numbers().map_err(LogError::io("list", &self.layout.segments()))?;
        let (read, _) = scan.position();
        if damages.is_empty() && end.last().is_some_and(|last| *last > read) {
            damages.push(damage("log.sequence", read + 1, 0, "the segment is missing".to_owned()));
        }
        Ok(damages)
    }

    /// Whether the entry that the log's note says was acknowledged is there, as it was: its end was cut off, or replaced, or the note was
    /// copied later than the segments. Without a note there is nothing to compare.
    ///
    /// # Errors
    /// The note or a segment cannot be read.
    pub fn audit_end(&self) -> Result<Option<Damage>, LogError> {
        let noted = match acknowledged::read(&self.layout) {
            Ok(noted) => noted,
            Err(LogError::Damaged(damage)) => return Ok(Some(damage)),
            Err(error) => return Err(error),
        };
        if noted == Chain::EMPTY {
            return Ok(None);
        }
        let segment = self.segment_of(noted.sequence)?.unwrap_or(1);
        let mut found = None;
        let mut scan = match self.scan_from(segment) {
            Ok(scan) => scan,
            Err(LogError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
                return Ok(Some(end_is_missing(segment, noted.sequence)));
            }
            Err(error) => return Err(error),
        };
        while found.is_none() {
            match scan.step()? {
                Step::Entry(item) if item.entry.sequence >= noted.sequence => found = Some(item),
                Step::Entry(_) | Step::Damage(_) => {}
                Step::Torn(_) => scan.skip()?,
                Step::End => break,
            }
        }
        Ok(match found {
            Some(item) if item.entry.sequence == noted.sequence && item.hash == noted.hash => None,
            Some(item) if item.entry.sequence == noted.sequence => {
                let reason = format!("entry {} is not the one that was acknowledged", noted.sequence);
                Some(damage("log.chain", item.segment, item.offset, reason))
            }
            _ => Some(end_is_missing(scan.position().0, noted.sequence)),
        })
    }

    /// Records that pass the filter, in order, handed to `each` until it returns false.
    ///
    /// # Errors
    /// A segment cannot be read or is damaged.
    pub fn list(&self, filter: &Filter, each: &mut dyn FnMut(Found) -> bool) -> Result<(), LogError> {
        Lookup::new(self).list(filter, each)
    }

    /// The record of the entry with this sequence; `None` too if that entry is no message.
    ///
    /// # Errors
    /// A segment cannot be read or is damaged.
    pub fn get(&self, sequence: u64) -> Result<Option<Found>, LogError> {
        Lookup::new(self).get(sequence)
    }

    /// Path of a body file that a record names.
    #[must_use]
    pub fn body_path(&self, file: &str) -> Option<PathBuf> {
        parse_body_name(file).map(|_| self.layout.body(file))
    }

    /// Fills in the encrypted body of a record, or why it is not to be had.
    pub(crate) fn unseal(
        &self,
        record: &mut MessageRecord,
        (segment, sequence): (u64, u64),
        sealed: Option<SealedPart>,
    ) -> Result<Option<Arc<BodyKey>>, LogError> {
        let (Some(sealed), Some(body)) = (sealed, &mut record.body) else { return Ok(None) };
        let (place, key) = match (&self.keys, sealed) {
            (_, SealedPart::FileKey(bare)) if bare.len() == BODY_KEY_BYTES => {
                (Place::File(body_name(sequence)), bare_key(&bare))
            }
            (Some(keys), SealedPart::FileKey(wrapped)) => {
                match keys.unwrap_key((segment, sequence), &body.sha512, &wrapped)? {
                    Ok(key) => (Place::File(body_name(sequence)), Some(key)),
                    Err(why) => (absent(why), None),
                }
            }
            (Some(keys), SealedPart::Body(sealed)) => {
                match keys.open((segment, sequence), &body.sha512, &sealed)? {
                    Ok(opened) => (Place::Inline(opened), None),
                    Err(why) => (absent(why), None),
                }
            }
            (None, _) => return Ok(None),
        };
        body.place = Some(place);
        Ok(key.map(Arc::new))
    }

    /// The file that a record's body is in, to be read as the body; `None` if it is in no file.
    ///
    /// # Errors
    /// It cannot be opened.
    pub fn open_body(&self, found: &Found) -> std::io::Result<Option<BodyFile>> {
        let Some(Body { place: Some(Place::File(name)), length, .. }) = &found.record.body else {
            return Ok(None);
        };
        let path = self.body_path(name).ok_or(io::ErrorKind::InvalidFilename)?;
        Ok(Some(BodyFile::new(File::open(path)?, found.body_key.clone(), *length)))
    }

    /// What is known of a segment without reading it.
    pub(crate) fn known(&self, segment: u64) -> Known {
        if let Some(index) = self.live.as_ref().and_then(|live| live.index.snapshot(segment)) {
            return Known::Memory(index);
        }
        match Summary::open(&self.layout, segment) {
            Ok(Some(summary)) => Known::Summary(Box::new(summary)),
            Ok(None) => Known::Nothing,
            Err(error) => {
                self.report(segment, error);
                Known::Nothing
            }
        }
    }

    /// See [`LogIndex::place`](crate::index::LogIndex::place).
    pub(crate) fn place_in_memory(&self, sequence: u64) -> Option<(u64, Option<Stretch>)> {
        self.live.as_ref().and_then(|live| live.index.place(sequence))
    }

    /// Where the newest erasure is, if that is known without reading.
    pub(crate) fn live_erasure(&self) -> Option<Option<EntryPlace>> {
        self.live.as_ref().map(|live| *locked(&live.last_erasure))
    }

    /// Whether it is known without reading that no stamp covers the message.
    pub(crate) fn is_known_unstamped(&self, sequence: u64) -> bool {
        self.live.as_ref().is_some_and(|live| locked(&live.unstamped).contains(sequence))
    }

    /// The blocks of sealed segments, for readers within the process that has the log open.
    pub(crate) fn archive(&self) -> Option<&Archive> {
        self.live.as_ref().map(|live| &live.index.archive)
    }

    /// The index of a segment is wrong. Whoever has the log open rebuilds it; a bystander leaves that to the next server.
    pub(crate) fn report(&self, segment: u64, error: RowsError) {
        if let Some(live) = &self.live {
            live.index.report(segment, error);
        }
    }

    /// Number of the newest segment of those that follow `from` without a gap; less than `from` if that is missing.
    pub(crate) fn last_segment(&self, from: u64) -> Result<u64, LogError> {
        if let Some(live) = &self.live {
            return Ok(live.durable.get().segment);
        }
        let exists = |number| match std::fs::metadata(self.layout.segment(number)) {
            Ok(_) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(LogError::io("read", &self.layout.segment(number))(error)),
        };
        Ok(if exists(from)? { from } else { from.saturating_sub(1) })
    }

    /// The segment whose entries include the sequence, by halving.
    pub(crate) fn segment_of(&self, sequence: u64) -> Result<Option<u64>, LogError> {
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
    sealed: Option<SealedPart>,
    material: Vec<Bytes>,
    pub(crate) segment: u64,
}

impl Message {
    /// The message in the item, if it is one and passes the filter.
    pub(crate) fn admitted(item: Item, filter: &Filter) -> Option<Self> {
        Self::admitted_entry(item.entry, item.segment, filter)
    }

    /// The message in the entry of this segment, if it is one and passes the filter.
    pub(crate) fn admitted_entry(entry: Entry, segment: u64, filter: &Filter) -> Option<Self> {
        let (sequence, time) = (entry.sequence, UnixMillis(entry.time_ms));
        match entry.kind {
            Kind::Message(record) if filter.admits(time, &record) => {
                let Entry { sealed, material, .. } = entry;
                Some(Self { sequence, time, record: *record, sealed, material, segment })
            }
            _ => None,
        }
    }

    /// The record with its stamp, its material, and its body as far as that is to be had.
    pub(crate) fn found(self, reader: &Reader, stamp: Option<Arc<StampRecord>>) -> Result<Found, LogError> {
        let Self { sequence, time, mut record, sealed, material, segment } = self;
        let encrypted = sealed.is_some();
        let body_key = reader.unseal(&mut record, (segment, sequence), sealed)?;
        Ok(Found {
            sequence,
            time,
            record,
            encrypted,
            body_key,
            material: Material { items: material },
            stamp,
        })
    }
}

fn absent(why: Why) -> Place {
    Place::NotKept(NotKept { why: why.into() })
}

fn end_is_missing(segment: u64, acknowledged: u64) -> Damage {
    damage(
        "log.sequence",
        segment,
        0,
        format!("entry {acknowledged} was acknowledged, and is not in the log"),
    )
}

fn damage(check: &'static str, segment: u64, offset: u64, reason: String) -> Damage {
    Damage { check, file: format!("segments/{}", segment_name(segment)), offset, reason }
}

fn damaged(check: &'static str, segment: u64, offset: u64, reason: String) -> LogError {
    LogError::Damaged(damage(check, segment, offset, reason))
}

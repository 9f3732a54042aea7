//! Reading entries in order over all segments, checking frames and chain on the way. Opening the log, rebuilding its index,
//! listing and auditing all read through here.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use kogge_proto::digest::{Sha256, sha256};
use kogge_proto::wire::log::SegmentStart;

use crate::chain::Chain;
use crate::entry::{Entry, Kind};
use crate::layout::{Layout, segment_name};
use crate::live::Durable;
use crate::read::{Frame, Piece, SegmentReader};
use crate::resolve::Meaning;
use crate::{Damage, LogError};

/// The format of segments that this version writes and reads.
pub(crate) const FORMAT: u32 = 2;

/// An unfinished frame at the end of a log is read again after this time, in case a server is writing it just now …
const PATIENCE_STEP: Duration = Duration::from_millis(5);
/// … and this often: a group is written by one call within milliseconds.
const PATIENCE_STEPS: u32 = 20;

/// An entry and where it stands.
pub(crate) struct Item {
    pub(crate) segment: u64,
    pub(crate) offset: u64,
    /// Where its frame ends.
    pub(crate) end: u64,
    pub(crate) entry: Entry,
    pub(crate) payload: bytes::Bytes,
    /// SHA-256 of its payload.
    pub(crate) hash: Sha256,
}

/// What comes next in a log.
pub(crate) enum Step {
    Entry(Box<Item>),
    /// After the last whole entry of the last segment there is something that is none: a group that was being written when the server
    /// died, or damage. The scan stands before it until [`Scan::skip`].
    Torn(Damage),
    /// What is here is not what was written. The scan goes on behind it.
    Damage(Damage),
    /// No more entries, for now.
    End,
}

/// How far a scan may read.
#[derive(Clone)]
pub(crate) enum Bound {
    /// All there is: nobody is writing, or in another process.
    Open,
    /// What the writer in this process has synced.
    Durable(Arc<Durable>),
}

/// How a scan reads.
#[derive(Clone)]
pub(crate) struct Manner {
    pub(crate) bound: Bound,
    /// How often an unfinished frame is read again.
    pub(crate) patience: u32,
}

impl Manner {
    /// For opening and following, when nobody else writes.
    pub(crate) fn exclusive(bound: Bound) -> Self {
        Self { bound, patience: 0 }
    }

    /// Beside a server that may be writing.
    pub(crate) fn bystander() -> Self {
        Self { bound: Bound::Open, patience: PATIENCE_STEPS }
    }
}

/// Where the acknowledged frames of a segment end, as its successor or a note says.
#[derive(Clone, Copy)]
struct Limit {
    bytes: u64,
    suspect: bool,
}

/// What is known of the segment after.
enum Successor {
    Missing,
    /// The file exists, but nothing was acknowledged in it.
    Blank,
    Unreadable,
    Start(Limit),
}

/// A reading position in a log.
pub(crate) struct Scan {
    layout: Layout,
    manner: Manner,
    reader: SegmentReader,
    /// `None` where what came before was not read.
    chain: Option<Chain>,
    limit: Option<Limit>,
    /// Nothing more is to be read from this segment.
    exhausted: bool,
    patience_left: u32,
    /// Segment and offset for which the file was read afresh, so that it is not done for ever.
    refreshed: Option<(u64, u64)>,
    /// Segment and offset that were looked at once more after the next segment had appeared.
    looked_again: Option<(u64, u64)>,
    queued: VecDeque<Step>,
}

impl Scan {
    /// Starts at the beginning of a segment; `chain` is where the segment before ended, if that is known.
    pub(crate) fn segment(
        layout: &Layout,
        number: u64,
        chain: Option<Chain>,
        manner: Manner,
    ) -> Result<Self, LogError> {
        Self::at(layout, number, 0, chain, manner)
    }

    /// Starts at the frame at `offset`.
    pub(crate) fn at(
        layout: &Layout,
        number: u64,
        offset: u64,
        chain: Option<Chain>,
        manner: Manner,
    ) -> Result<Self, LogError> {
        let reader = SegmentReader::open(layout, number, offset)
            .map_err(LogError::io("open", &layout.segment(number)))?;
        let mut scan = Self {
            layout: layout.clone(),
            patience_left: manner.patience,
            manner,
            reader,
            chain,
            limit: None,
            exhausted: false,
            refreshed: None,
            looked_again: None,
            queued: VecDeque::new(),
        };
        scan.learn_limit()?;
        Ok(scan)
    }

    /// Segment and offset of the next frame.
    pub(crate) fn position(&self) -> (u64, u64) {
        (self.reader.number, self.reader.offset)
    }

    /// The next entry; damage is an error, a torn tail the end unless it is known to have been acknowledged.
    pub(crate) fn next_intact(&mut self) -> Result<Option<Box<Item>>, LogError> {
        match self.step()? {
            Step::Entry(item) => Ok(Some(item)),
            Step::End => Ok(None),
            Step::Damage(damage) => Err(LogError::Damaged(damage)),
            Step::Torn(damage) => match self.proof_of_acknowledgement()? {
                Some(reason) => Err(LogError::Damaged(Damage { reason, ..damage })),
                None => Ok(None),
            },
        }
    }

    /// What comes next.
    pub(crate) fn step(&mut self) -> Result<Step, LogError> {
        let number = self.reader.number;
        self.try_step().map_err(|source| self.read_error(number, source))
    }

    /// Moves past what is broken here to the next whole entry, or to the end of the segment.
    pub(crate) fn skip(&mut self) -> Result<(), LogError> {
        self.chain = None;
        let found = self
            .reader
            .find_entry(self.reader.offset)
            .map_err(|source| self.read_error(self.reader.number, source))?
            .filter(|(offset, _)| self.limit.is_none_or(|limit| *offset < limit.bytes));
        match (found, self.limit) {
            (Some((offset, _)), _) => self.reader.offset = offset,
            (None, Some(limit)) => self.reader.offset = limit.bytes,
            (None, None) => self.exhausted = true,
        }
        Ok(())
    }

    /// Why the entry that should stand here must have been acknowledged: a later whole entry says that it was written after this one was
    /// durable. `None` means that a group was torn while it was written.
    pub(crate) fn proof_of_acknowledgement(&mut self) -> Result<Option<String>, LogError> {
        let Some(expected) = self.chain.map(|chain| chain.next()) else { return Ok(None) };
        let number = self.reader.number;
        let mut at = self.reader.offset;
        while let Some((offset, entry)) =
            self.reader.find_entry(at).map_err(|source| self.read_error(number, source))?
        {
            let durable = entry.sequence.saturating_sub(entry.unsynced);
            if entry.sequence > expected && durable >= expected && durable < entry.sequence {
                let later = entry.sequence;
                return Ok(Some(format!(
                    "entry {expected} was acknowledged before entry {later} was written"
                )));
            }
            at = offset;
        }
        Ok(None)
    }

    fn try_step(&mut self) -> io::Result<Step> {
        loop {
            if let Some(step) = self.queued.pop_front() {
                return Ok(step);
            }
            if self.is_at_bound()? {
                self.reader.forget_window();
                return Ok(Step::End);
            }
            if self.exhausted || self.limit.is_some_and(|limit| self.reader.offset >= limit.bytes) {
                if !self.enter_successor()? {
                    return Ok(Step::End);
                }
                continue;
            }
            let interrupted = match self.reader.next()? {
                Piece::Frame(frame) => {
                    self.accept(frame)?;
                    continue;
                }
                Piece::Blank => None,
                Piece::Bad { check, reason } => Some((check, reason)),
            };
            if self.refresh() || self.learn_limit_late()? {
                continue;
            }
            if let Some(step) = self.interrupt(interrupted)? {
                return Ok(step);
            }
        }
    }

    /// Decides what it means that no frame stands here, with a fresh view of the file. `None`: go on.
    fn interrupt(&mut self, bad: Option<(&'static str, String)>) -> io::Result<Option<Step>> {
        let offset = self.reader.offset;
        if let Some(limit) = self.limit {
            let (check, reason) = bad.unwrap_or_else(|| {
                ("log.sequence", format!("entries are missing from here to byte {}", limit.bytes))
            });
            self.queued.push_back(Step::Damage(self.damage(check, offset, reason)));
            self.skip_broken()?;
            return Ok(None);
        }
        let is_last = matches!(self.successor()?, Successor::Missing);
        // Everything was written here before the next segment was created. What was read may be older than that.
        if !is_last && self.looked_again != Some(self.position()) {
            self.looked_again = Some(self.position());
            self.reader.forget_window();
            return Ok(None);
        }
        match bad {
            None if is_last => self.end_of_log(),
            None => {
                self.exhausted = true;
                Ok(None)
            }
            Some((check, reason)) if !is_last => {
                self.queued.push_back(Step::Damage(self.damage(check, offset, reason)));
                self.skip_broken()?;
                Ok(None)
            }
            Some(_) if self.patience_left > 0 => {
                self.patience_left -= 1;
                std::thread::sleep(PATIENCE_STEP);
                self.reader.forget_window();
                Ok(None)
            }
            Some((check, reason)) => {
                // A payload is never all zeros: what stands here is in the bytes after the last entry.
                let blank_payload = self.reader.first_nonzero(offset + 8)?.is_none();
                let (check, reason) = if blank_payload { tail_damage() } else { (check, reason) };
                Ok(Some(Step::Torn(self.damage(check, offset, reason))))
            }
        }
    }

    fn end_of_log(&mut self) -> io::Result<Option<Step>> {
        let offset = self.reader.offset;
        let torn = self.reader.first_nonzero(offset)?.is_some();
        // What comes later may be written over what was read ahead.
        self.reader.forget_window();
        if !torn {
            return Ok(Some(Step::End));
        }
        if self.patience_left > 0 {
            self.patience_left -= 1;
            std::thread::sleep(PATIENCE_STEP);
            return Ok(None);
        }
        let (check, reason) = tail_damage();
        Ok(Some(Step::Torn(self.damage(check, offset, reason))))
    }

    fn accept(&mut self, frame: Frame) -> io::Result<()> {
        let (offset, end) = (frame.offset, frame.end);
        if self.limit.is_some_and(|limit| end > limit.bytes) {
            let reason = "the entry reaches beyond the segment's end".to_owned();
            self.queued.push_back(Step::Damage(self.damage("log.frame", offset, reason)));
            self.chain = None;
            return Ok(());
        }
        let (hash, payload) = (sha256(&frame.payload), frame.payload.clone());
        let (entry, missing) = match self.reader.interpret(frame)? {
            Meaning::Entry(entry) => (*entry, None),
            Meaning::Incomplete(entry, reason) => (*entry, Some(reason)),
            Meaning::None(reason) => {
                self.queued.push_back(Step::Damage(self.damage("log.frame", offset, reason)));
                self.chain = None;
                return Ok(());
            }
        };
        if let Some(reason) = missing {
            self.queued.push_back(Step::Damage(self.damage("log.material", offset, reason)));
        }
        let misplaced = self.check_place(offset, &entry);
        let follows = self.chain.map_or(Ok(()), |chain| chain.check(&entry));
        for (check, reason) in [misplaced, follows].into_iter().filter_map(Result::err) {
            self.queued.push_back(Step::Damage(self.damage(check, offset, reason)));
        }
        self.chain = Some(Chain { sequence: entry.sequence, hash });
        self.patience_left = self.manner.patience;
        let segment = self.reader.number;
        self.queued.push_back(Step::Entry(Box::new(Item { segment, offset, end, entry, hash, payload })));
        Ok(())
    }

    /// A segment begins with its own start, and has no other.
    fn check_place(&self, offset: u64, entry: &Entry) -> Result<(), (&'static str, String)> {
        let number = self.reader.number;
        match (&entry.kind, offset) {
            (Kind::SegmentStart(start), 0) if start.format != FORMAT => {
                Err(("log.frame", format!("format {} is unknown", start.format)))
            }
            (Kind::SegmentStart(start), 0) if start.segment != number => {
                Err(("log.sequence", format!("this is segment {}, not {number}", start.segment)))
            }
            (Kind::SegmentStart(_), 0) => Ok(()),
            (Kind::SegmentStart(_), _) => Err(("log.frame", "a segment starts within a segment".to_owned())),
            (_, 0) => Err(("log.frame", "the segment does not begin with its start".to_owned())),
            (_, _) => Ok(()),
        }
    }

    /// Goes on to the next segment, if there is one; checks the zeros that this one leaves.
    fn enter_successor(&mut self) -> io::Result<bool> {
        let next = self.reader.number + 1;
        if matches!(self.successor()?, Successor::Missing) {
            return Ok(false);
        }
        let suspect = self.limit.is_some_and(|limit| limit.suspect);
        if !suspect
            && !self.exhausted
            && let Some(offset) = self.reader.first_nonzero(self.reader.offset)?
        {
            let (check, reason) = tail_damage();
            self.queued.push_back(Step::Damage(self.damage(check, offset, reason)));
        }
        // Beside a server whose sync failed just now we may have read what it then refused.
        if self.limit.is_some_and(|limit| suspect && self.reader.offset > limit.bytes) {
            self.chain = None;
        }
        self.reader = SegmentReader::open(&self.layout, next, 0)?;
        self.exhausted = false;
        self.limit = None;
        self.read_limit()?;
        Ok(true)
    }

    fn skip_broken(&mut self) -> io::Result<()> {
        self.skip().map_err(|error| match error {
            LogError::Io { source, .. } => source,
            other => io::Error::other(other),
        })
    }

    fn is_at_bound(&mut self) -> io::Result<bool> {
        let Bound::Durable(durable) = &self.manner.bound else { return Ok(false) };
        let mark = durable.get();
        if self.position() >= (mark.segment, mark.end) {
            return Ok(true);
        }
        // The writer has moved on to another segment: where this one ends is fixed now.
        if mark.segment > self.reader.number && self.limit.is_none() {
            self.read_limit()?;
        }
        Ok(false)
    }

    /// Makes sure that no frame is missed because the file was read before it was written. False if that was done here already.
    fn refresh(&mut self) -> bool {
        let here = Some(self.position());
        self.reader.forget_window();
        std::mem::replace(&mut self.refreshed, here) != here
    }

    /// Whether a limit has appeared since the segment was entered; then everything before it is there to be read.
    fn learn_limit_late(&mut self) -> io::Result<bool> {
        if self.limit.is_some() {
            return Ok(false);
        }
        self.read_limit()?;
        Ok(self.limit.is_some())
    }

    fn learn_limit(&mut self) -> Result<(), LogError> {
        let number = self.reader.number;
        self.read_limit().map_err(|source| self.read_error(number, source))
    }

    fn read_limit(&mut self) -> io::Result<()> {
        self.limit = match self.successor()? {
            Successor::Start(limit) => Some(limit),
            Successor::Missing | Successor::Blank | Successor::Unreadable => {
                suspect_note(&self.layout, self.reader.number)?.map(|bytes| Limit { bytes, suspect: true })
            }
        };
        Ok(())
    }

    fn successor(&self) -> io::Result<Successor> {
        match read_start(&self.layout, self.reader.number + 1)? {
            None => Ok(Successor::Missing),
            Some(Start::Blank) => Ok(Successor::Blank),
            Some(Start::Unreadable) => Ok(Successor::Unreadable),
            Some(Start::Entry(_, start)) => {
                Ok(Successor::Start(Limit { bytes: start.previous_bytes, suspect: start.previous_suspect }))
            }
        }
    }

    fn damage(&self, check: &'static str, offset: u64, reason: String) -> Damage {
        Damage { check, file: format!("segments/{}", segment_name(self.reader.number)), offset, reason }
    }

    fn read_error(&self, number: u64, source: io::Error) -> LogError {
        LogError::Io { what: "read", path: self.layout.segment(number), source }
    }
}

/// How a segment's file begins.
pub(crate) enum Start {
    Blank,
    Unreadable,
    /// The first entry and what it says.
    Entry(Box<Entry>, SegmentStart),
}

/// Reads the first entry of a segment; `None` if there is no such file.
pub(crate) fn read_start(layout: &Layout, number: u64) -> io::Result<Option<Start>> {
    let mut reader = match SegmentReader::open_narrow(layout, number, 0) {
        Ok(reader) => reader,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let frame = match reader.next()? {
        Piece::Frame(frame) => frame,
        Piece::Blank => return Ok(Some(Start::Blank)),
        Piece::Bad { .. } => return Ok(Some(Start::Unreadable)),
    };
    Ok(Some(match reader.interpret(frame)? {
        Meaning::Entry(entry) => match &entry.kind {
            Kind::SegmentStart(start) => {
                let start = start.clone();
                Start::Entry(entry, start)
            }
            _ => Start::Unreadable,
        },
        Meaning::Incomplete(..) | Meaning::None(_) => Start::Unreadable,
    }))
}

/// Where the acknowledged frames of a segment end whose sync failed, if such a note was left.
pub(crate) fn suspect_note(layout: &Layout, number: u64) -> io::Result<Option<u64>> {
    match std::fs::read_to_string(layout.suspect_note(number)) {
        Ok(text) => match text.trim().parse() {
            Ok(bytes) => Ok(Some(bytes)),
            Err(_) => {
                Err(io::Error::new(io::ErrorKind::InvalidData, "the note of a failed sync is not a number"))
            }
        },
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

fn tail_damage() -> (&'static str, String) {
    ("log.tail", "there are bytes after the last entry".to_owned())
}

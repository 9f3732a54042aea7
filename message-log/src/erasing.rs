//! Erasing bodies: an entry says that the keys of some records are destroyed, and then they are.
//!
//! | a crash …                                | leaves behind                                                     |
//! |------------------------------------------|-------------------------------------------------------------------|
//! | before the entry is durable              | nothing                                                           |
//! | after that, before the keys are destroyed | an erasure that is yet to be carried out: the next start does that |
//!
//! Erasures that were carried out are carried out again at each start: it changes nothing, unless somebody has put back keys from a backup.

use std::io;
use std::sync::mpsc;

use kogge_proto::time::UnixMillis;
use kogge_proto::wire::evidence::SignatureMethod;
use kogge_proto::wire::log::{EntryPlace, Erasure, ErasureStatement, Span};
use prost::Message;

use crate::bodies;
use crate::entry::Kind;
use crate::keys::LogKeys;
use crate::layout::Layout;
use crate::resolve::read_entry;
use crate::scan::{Start, Step, read_start};
use crate::{AppendError, LogError, MessageLog, Reader, Receipt};

/// Most erasures that are followed from one to the one before.
const ERASURES_MAX: usize = 1_000_000;

/// Longest statement in bytes.
const STATEMENT_BYTES_MAX: usize = 64 * 1024;

/// Longest reason, and longest name of who asked for it.
const TEXT_BYTES_MAX: usize = 1024;

/// That bodies are to be erased, signed.
#[derive(Clone, Debug)]
pub struct NewErasure {
    /// An [`ErasureStatement`], encoded: what was signed.
    pub statement: Vec<u8>,
    /// How it was signed.
    pub method: SignatureMethod,
    /// Over [`erasure_bytes`] of the statement.
    pub signature: Vec<u8>,
    /// DER: of the key that signed, then its issuers as far as they are known.
    pub certificates: Vec<Vec<u8>>,
}

/// What is signed when bodies are erased.
#[must_use]
pub fn erasure_bytes(statement: &[u8]) -> Vec<u8> {
    [b"kogge erasure 1\n", statement].concat()
}

/// An erasure as found.
#[derive(Clone, Debug)]
pub struct FoundErasure {
    /// Sequence of its entry.
    pub sequence: u64,
    /// When it was appended.
    pub time: UnixMillis,
    /// What it says.
    pub statement: ErasureStatement,
    /// The same, as it was signed.
    pub erasure: Erasure,
}

impl FoundErasure {
    /// Whether it is about the record with this sequence.
    #[must_use]
    pub fn is_about(&self, sequence: u64) -> bool {
        self.statement.records.iter().any(|span| (span.first..=span.last).contains(&sequence))
    }
}

/// The records that some erasures are about.
#[derive(Clone, Debug, Default)]
pub struct ErasedRecords(Vec<(u64, u64)>);

impl ErasedRecords {
    /// Of these erasures.
    #[must_use]
    pub fn of(erasures: &[FoundErasure]) -> Self {
        let spans = erasures.iter().flat_map(|found| &found.statement.records);
        let mut sorted: Vec<(u64, u64)> = spans.map(|span| (span.first, span.last)).collect();
        sorted.sort_unstable();
        let mut merged: Vec<(u64, u64)> = Vec::with_capacity(sorted.len());
        for (first, last) in sorted {
            match merged.last_mut() {
                Some((_, end)) if first <= *end => *end = last.max(*end),
                _ => merged.push((first, last)),
            }
        }
        Self(merged)
    }

    /// Whether the record with this sequence is one of them.
    #[must_use]
    pub fn contains(&self, sequence: u64) -> bool {
        let after = self.0.partition_point(|(_, last)| *last < sequence);
        self.0.get(after).is_some_and(|(first, _)| *first <= sequence)
    }
}

/// Why bodies were not erased.
#[derive(Debug, thiserror::Error)]
pub enum EraseError {
    /// The log has no key under which bodies could be encrypted.
    #[error("the message log stores bodies as they are: what is in its segments cannot be erased")]
    NotEncrypted,
    /// The erasure is not on record: nothing was done.
    #[error("nothing was erased: {0}")]
    Append(#[from] AppendError),
    /// The erasure is on record, and not carried out: the next start of the log does that.
    #[error("the erasure is on record, but not carried out; it will be when the log is next opened: {0}")]
    Unfinished(LogError),
}

impl MessageLog {
    /// Erases the bodies of records for good: the erasure becomes durable, then the records' keys are destroyed, and body files removed. Blocks until that is done.
    ///
    /// # Errors
    /// See [`EraseError`].
    pub fn erase(&self, erasure: NewErasure) -> Result<Receipt, EraseError> {
        let (layout, live) = self.parts();
        let Some(keys) = &live.keys else { return Err(EraseError::NotEncrypted) };
        let statement = check(&erasure, &live.server, live.durable.get().sequence)?;
        let NewErasure { statement: bytes, method, signature, certificates } = erasure;
        let erasure =
            Erasure { statement: bytes, method: method.into(), signature, certificates, previous: None };
        let (tell, told) = mpsc::channel();
        self.append_erasure(erasure, Box::new(move |outcome| drop(tell.send(outcome))));
        let receipt = told.recv().map_err(|_| AppendError::Closed)??;
        carry_out(layout, keys, &statement.records).map_err(EraseError::Unfinished)?;
        Ok(receipt)
    }
}

/// Carries out, once more or for the first time, all erasures that a log holds. The caller has the log to himself.
pub(crate) fn carry_out_all(
    layout: &Layout,
    keys: &LogKeys,
    newest: Option<EntryPlace>,
) -> Result<(), LogError> {
    follow(layout, newest, &mut |found| carry_out(layout, keys, &found.statement.records))
}

fn carry_out(layout: &Layout, keys: &LogKeys, records: &[Span]) -> Result<(), LogError> {
    for Span { first, last } in records {
        keys.erase(*first, *last)?;
    }
    bodies::remove_erased(layout, records)
}

fn check(erasure: &NewErasure, server: &str, durable: u64) -> Result<ErasureStatement, AppendError> {
    let unfit = |reason: &str| AppendError::Unfit(reason.to_owned());
    if erasure.statement.len() > STATEMENT_BYTES_MAX {
        return Err(unfit("it is about too many records at once"));
    }
    let statement = ErasureStatement::decode(erasure.statement.as_slice())
        .map_err(|_| unfit("the statement of the erasure is malformed"))?;
    if statement.security_server != server {
        return Err(unfit("the erasure is of another server's log"));
    }
    if statement.reason.len() > TEXT_BYTES_MAX || statement.actor.len() > TEXT_BYTES_MAX {
        return Err(unfit("the reason of the erasure, or the name of who asks for it, is too long"));
    }
    are_spans(&statement.records, durable + 1).map_err(unfit)?;
    Ok(statement)
}

/// Why these are not entries before `before`, in order and without touching each other.
pub(crate) fn are_spans(records: &[Span], before: u64) -> Result<(), &'static str> {
    let mut free = 1;
    for Span { first, last } in records {
        if *first < free || last < first {
            return Err("the records that are erased are not in order");
        }
        free = last.saturating_add(2);
    }
    match records.last() {
        None => Err("the erasure is of no record"),
        Some(newest) if newest.last >= before => Err("the erasure is of records that are not there yet"),
        Some(_) => Ok(()),
    }
}

impl Reader {
    /// All erasures, oldest first, as far as they are followed from the newest on without a gap; [`Reader::audit`] tells whether there are others.
    ///
    /// # Errors
    /// A segment cannot be read.
    pub fn erasures(&self) -> Result<Vec<FoundErasure>, LogError> {
        let newest = match self.live_erasure() {
            Some(newest) => newest,
            None => self.newest_erasure()?,
        };
        let mut found = Vec::new();
        follow(&self.layout, newest, &mut |erasure| {
            found.push(erasure);
            Ok(())
        })?;
        found.reverse();
        Ok(found)
    }

    /// The last segment has it, or says where it is.
    fn newest_erasure(&self) -> Result<Option<EntryPlace>, LogError> {
        let numbers = self.layout.segment_numbers().map_err(LogError::io("list", &self.layout.segments()))?;
        let mut newest = None;
        for number in numbers.into_iter().rev() {
            let start = read_start(&self.layout, number)
                .map_err(LogError::io("read", &self.layout.segment(number)))?;
            let Some(Start::Entry(_, start)) = start else { continue };
            newest = start.last_erasure;
            let mut scan = self.scan_from(number)?;
            loop {
                match scan.step()? {
                    Step::Entry(item) => {
                        if matches!(item.entry.kind, Kind::Erasure(_)) {
                            newest = Some(EntryPlace { segment: item.segment, offset: item.offset });
                        }
                    }
                    Step::Damage(_) => {}
                    Step::Torn(_) | Step::End => break,
                }
            }
            break;
        }
        Ok(newest)
    }
}

/// From the newest to the oldest that is there: segments may be archived.
fn follow(
    layout: &Layout,
    newest: Option<EntryPlace>,
    each: &mut dyn FnMut(FoundErasure) -> Result<(), LogError>,
) -> Result<(), LogError> {
    let mut next = newest;
    for _ in 0..ERASURES_MAX {
        let Some(place) = next else { break };
        let entry = match read_entry(layout, place.segment, place.offset) {
            Err(LogError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => break,
            entry => entry?,
        };
        let Some(entry) = entry else { break };
        let (sequence, time) = (entry.sequence, UnixMillis(entry.time_ms));
        let Kind::Erasure(erasure) = entry.kind else { break };
        // Only ever back: whatever stands there, it ends.
        next =
            erasure.previous.filter(|before| (before.segment, before.offset) < (place.segment, place.offset));
        if let Ok(statement) = ErasureStatement::decode(erasure.statement.as_slice()) {
            each(FoundErasure { sequence, time, statement, erasure: *erasure })?;
        }
    }
    Ok(())
}

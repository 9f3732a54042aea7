//! A whole message log: its structure on this thread, the evidence of each record on the others.

use std::io::{self, IsTerminal, Write};
use std::path::Path;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use kogge_certs::snapshot::VerifiedSnapshot;
use kogge_evidence::log_checkpoints::LogCheckpoints;
use kogge_evidence::report::{Check, Outcome};
use kogge_evidence::verify::{LogRecord, Records, RenewalAudit, Verdict};
use kogge_message_log::{Damage, Found, LogError, LogKey, Reader};
use kogge_proto::digest::{Sha512, sha512};
use kogge_proto::wire::log::body::Place;
use kogge_proto::wire::log::{Role, StampRecord};
use serde_json::{Value, json};

use super::{erasure, outcome, statement_json, statement_text};
use crate::digest;
use crate::failure::Failure;
use crate::output;
use crate::renewals;

/// What a log was found to be.
#[derive(Default)]
pub(crate) struct LogVerdict {
    /// Damage to the structure.
    damage: Vec<Damage>,
    /// What is to be said of checkpoints, erasures and renewed timestamps.
    further: Vec<Check>,
    /// Records that passed, failed, or could not be decided.
    counts: Counts,
    /// Records to show, in order: those that did not pass, or all of them.
    records: Vec<RecordVerdict>,
}

/// Records by their verdict.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct Counts {
    pub(super) passed: u64,
    pub(super) failed: u64,
    pub(super) undecided: u64,
}

/// A record with what its checks found.
pub(crate) struct RecordVerdict {
    pub(crate) sequence: u64,
    /// As the log says, whose own knowledge this is.
    pub(crate) role: Role,
    /// Bytes of the message and of its body.
    pub(crate) payload_bytes: u64,
    pub(crate) verdict: Verdict,
}

/// Checks the log in `dir`. With `verbose` every record is kept for showing, else only those that did not pass.
///
/// # Errors
/// The directory or a file in it cannot be read. What can be read and is wrong is in the verdict.
pub(super) fn verify(
    dir: &Path,
    snapshot: &VerifiedSnapshot,
    key: Option<&Arc<dyn LogKey>>,
    verbose: bool,
) -> anyhow::Result<LogVerdict> {
    verify_each(dir, snapshot, key, verbose, |_| {})
}

/// As [`verify`]; hands each record to `each` as it is checked, in no order.
///
/// # Errors
/// See [`verify`].
pub(crate) fn verify_each(
    dir: &Path,
    snapshot: &VerifiedSnapshot,
    key: Option<&Arc<dyn LogKey>>,
    verbose: bool,
    each: impl FnMut(&RecordVerdict) + Send,
) -> anyhow::Result<LogVerdict> {
    let reader = match Reader::open(dir) {
        Ok(reader) => reader,
        Err(LogError::Damaged(damage)) => {
            return Ok(LogVerdict { damage: vec![damage], ..LogVerdict::default() });
        }
        Err(error) => return Err(error).context("is not a readable message log"),
    };
    let reader = match key {
        Some(key) => reader.with_log_key(key.clone()),
        None => reader,
    };
    let renewals = renewals::read(dir)?;
    let mut renewal_audit = RenewalAudit::new(&renewals, snapshot);
    let (to_check, queue) = sync_channel(QUEUE_RECORDS);
    let (to_tell, told) = sync_channel(QUEUE_RECORDS);
    let queue = Mutex::new(queue);
    let server = reader.server().unwrap_or_default().unwrap_or_default();
    let mut checkpoints = LogCheckpoints::new(&server, None);
    let (audited, mut verdict) = thread::scope(|scope| {
        let (queue, reader) = (&queue, &reader);
        let check = || {
            let to_tell = to_tell.clone();
            scope.spawn(move || check_records(queue, &to_tell, reader, snapshot))
        };
        let checking: Vec<_> = (0..workers()).map(|_| check()).collect();
        drop(to_tell);
        let telling = scope.spawn(move || gather(told, verbose, each));
        let audited = audit(reader, to_check, &mut checkpoints, &mut renewal_audit);
        // Whether a thread came to a bad end shows in the count of verdicts.
        checking.into_iter().for_each(|worker| drop(worker.join()));
        (audited, telling.join().unwrap_or_default())
    });
    let (handed_over, mut damage) = audited?;
    ensure!(verdict.counts.total() == handed_over, "not every record was checked: this is an error in Kogge");
    // After the audit: what was acknowledged meanwhile is in the segments by now.
    damage.extend(end_of(&reader)?);
    verdict.damage = damage;
    if verdict.damage.is_empty() {
        verdict.further = held_against(checkpoints, &reader)?;
    }
    verdict.further.extend(erasure::check(reader.erasures(), &server, snapshot));
    verdict.further.extend(renewal_audit.finish());
    verdict.records.sort_by_key(|record| record.sequence);
    Ok(verdict)
}

/// Whether the end is that which the log's own note says was acknowledged.
fn end_of(reader: &Reader) -> anyhow::Result<Option<Damage>> {
    match reader.audit_end() {
        Ok(damage) => Ok(damage),
        Err(LogError::Damaged(damage)) => Ok(Some(damage)),
        Err(error) => bail!(error),
    }
}

/// Reads the log from end to end and hands each record over; how many, and what is damaged.
fn audit(
    reader: &Reader,
    to_check: SyncSender<Found>,
    checkpoints: &mut LogCheckpoints,
    renewals: &mut RenewalAudit<'_>,
) -> anyhow::Result<(u64, Vec<Damage>)> {
    let mut handed_over = 0;
    let mut noted: Option<Arc<StampRecord>> = None;
    let damage = reader.audit(&mut |found| {
        handed_over += 1;
        if let Some(stamp) = &found.stamp {
            checkpoints.note(stamp);
            // The records of a stamp share it, and follow each other.
            if !noted.as_ref().is_some_and(|noted| Arc::ptr_eq(noted, stamp)) {
                renewals.note(stamp);
                noted = Some(Arc::clone(stamp));
            }
        }
        // If all workers were gone, the count of verdicts would show it.
        drop(to_check.send(found));
    });
    drop(to_check);
    match damage {
        Ok(damage) => Ok((handed_over, damage)),
        Err(LogError::Damaged(damage)) => Ok((handed_over, vec![damage])),
        Err(error) => bail!(error),
    }
}

/// The checkpoints in the stamps, against the entries: the log is read once more for that, if there are any.
fn held_against(checkpoints: LogCheckpoints, reader: &Reader) -> anyhow::Result<Vec<Check>> {
    if checkpoints.is_empty() {
        return Ok(Vec::new());
    }
    let mut judging = checkpoints.judging();
    reader.audit_chain(&mut |_, hash| judging.entry(&hash))?;
    Ok(judging.checks())
}

fn check_records(
    queue: &Mutex<Receiver<Found>>,
    to_tell: &SyncSender<RecordVerdict>,
    reader: &Reader,
    snapshot: &VerifiedSnapshot,
) {
    let mut records = Records::new(snapshot);
    loop {
        let next = queue.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(found) = next else { return };
        let record = LogRecord {
            sequence: found.sequence,
            time: found.time,
            record: &found.record,
            material: &found.material,
            stamp: None,
            body: body(reader, &found),
        };
        let verdict = records.check_stamped(&record, found.stamp.as_ref());
        let body = found.record.body.as_ref().map_or(0, |body| body.length);
        let told = RecordVerdict {
            sequence: found.sequence,
            role: found.record.role(),
            payload_bytes: found.record.message.len() as u64 + body,
            verdict,
        };
        if to_tell.send(told).is_err() {
            return;
        }
    }
}

/// Digest and length of the body as it lies on the disk now; `None` if there is none, or it cannot be read.
fn body(reader: &Reader, found: &Found) -> Option<(Sha512, u64)> {
    match found.record.body.as_ref()?.place.as_ref()? {
        Place::Inline(bytes) => Some((sha512(bytes), bytes.len() as u64)),
        Place::File(_) => digest::of_file(&mut reader.open_body(found).ok()??).ok(),
        Place::NotKept(_) => None,
    }
}

fn gather(told: Receiver<RecordVerdict>, verbose: bool, mut each: impl FnMut(&RecordVerdict)) -> LogVerdict {
    let mut gathered = LogVerdict::default();
    let mut progress = Progress::new();
    for record in told {
        each(&record);
        let found = outcome(&record.verdict.report);
        gathered.counts.note(found);
        if verbose || found != Outcome::Passed {
            gathered.records.push(record);
        }
        progress.tell(gathered.counts.total());
    }
    progress.end();
    gathered
}

/// A line on the terminal that says how far the work is.
struct Progress {
    on_terminal: bool,
    told: Instant,
    shown: bool,
}

impl Progress {
    fn new() -> Self {
        Self { on_terminal: io::stderr().is_terminal(), told: Instant::now(), shown: false }
    }

    fn tell(&mut self, records: u64) {
        if self.on_terminal && self.told.elapsed() >= PROGRESS_EVERY {
            eprint!("\r{records} records checked");
            (self.told, self.shown) = (Instant::now(), true);
        }
    }

    fn end(&self) {
        if self.shown {
            eprintln!();
        }
    }
}

impl Counts {
    pub(super) fn total(self) -> u64 {
        self.passed + self.failed + self.undecided
    }

    /// Counts a record.
    pub(super) fn note(&mut self, found: Outcome) {
        match found {
            Outcome::Passed => self.passed += 1,
            Outcome::Failed => self.failed += 1,
            Outcome::Indeterminate | Outcome::NotApplicable => self.undecided += 1,
        }
    }

    /// Counts those of another count.
    pub(super) fn add(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.undecided += other.undecided;
    }
}

impl LogVerdict {
    /// Whether the structure is whole, there is a record, and every record passed.
    pub(crate) fn passed(&self) -> bool {
        let further = self.further.iter().all(|check| check.outcome == Outcome::Passed);
        self.damage.is_empty()
            && further
            && self.counts.total() > 0
            && self.counts.passed == self.counts.total()
    }

    fn word(&self) -> &'static str {
        if self.passed() {
            "PASSED"
        } else if self.damage.is_empty()
            && self.counts.failed == 0
            && self.further.iter().all(|check| check.outcome != Outcome::Failed)
        {
            "NOT DECIDED"
        } else {
            "FAILED"
        }
    }
}

/// The verdict for people.
pub(super) fn print(out: &mut dyn Write, path: &str, verdict: &LogVerdict) -> Result<(), Failure> {
    let Counts { passed, failed, undecided } = verdict.counts;
    writeln!(
        out,
        "{path}: {}, {} records: {passed} passed, {failed} failed, {undecided} not decided",
        verdict.word(),
        verdict.counts.total()
    )?;
    for record in &verdict.records {
        record_text(out, record)?;
    }
    for check in structure(verdict) {
        writeln!(out, "{:<6}  {}  {}", check.outcome.word(), check.name, output::line(&check.reason))?;
    }
    Ok(())
}

/// A record for people.
pub(super) fn record_text(out: &mut dyn Write, record: &RecordVerdict) -> Result<(), Failure> {
    let RecordVerdict { sequence, verdict, .. } = record;
    writeln!(out, "record {sequence}: {}", super::word(&verdict.report))?;
    writeln!(out, "{}\n{}", statement_text(&verdict.statement), verdict.report.to_string().trim_end())?;
    Ok(())
}

/// A record for programs.
pub(super) fn record_json(record: &RecordVerdict) -> Value {
    let RecordVerdict { sequence, verdict, .. } = record;
    json!({
        "sequence": sequence,
        "passed": verdict.report.passed(),
        "statement": statement_json(&verdict.statement),
        "checks": verdict.report.checks,
    })
}

/// The verdict for programs.
pub(super) fn as_json(path: &str, verdict: &LogVerdict) -> Value {
    let records: Vec<Value> = verdict.records.iter().map(record_json).collect();
    let Counts { passed, failed, undecided } = verdict.counts;
    json!({
        "path": path,
        "kind": "log",
        "passed": verdict.passed(),
        "counts": {"records": verdict.counts.total(), "passed": passed, "failed": failed, "undecided": undecided},
        "checks": structure(verdict),
        "records": records,
    })
}

/// The checks of the log as a whole.
fn structure(verdict: &LogVerdict) -> Vec<Check> {
    if verdict.damage.is_empty() && verdict.counts.total() == 0 {
        // A log from which everything was taken looks like one that never held anything.
        let reason = "there is no record in it, so nothing was checked".to_owned();
        return vec![Check { name: "log.structure", outcome: Outcome::Indeterminate, reason }];
    }
    if verdict.damage.is_empty() {
        let reason =
            "every frame, checksum, sequence number, link of the chain and body file is as it was written";
        let whole = Check { name: "log.structure", outcome: Outcome::Passed, reason: reason.to_owned() };
        return [whole].into_iter().chain(verdict.further.iter().cloned()).collect();
    }
    let failed = |damage: &Damage| Check {
        name: damage.check,
        outcome: Outcome::Failed,
        reason: format!("{}, byte {}: {}", damage.file, damage.offset, damage.reason),
    };
    verdict.damage.iter().map(failed).chain(verdict.further.iter().cloned()).collect()
}

/// One per core: the work is signatures.
pub(super) fn workers() -> usize {
    thread::available_parallelism().map_or(1, usize::from)
}

/// Records waiting for a worker; enough to keep all busy, and with inline bodies never more than some MiB.
const QUEUE_RECORDS: usize = 64;
const PROGRESS_EVERY: Duration = Duration::from_millis(500);

//! An auditor's bundle: read from end to end on this thread, its records checked on the others. Memory does not grow with the bundle.

mod checking;

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufReader, Read, Write};
use std::path::Path;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Mutex, atomic::AtomicU64, atomic::Ordering};
use std::thread;

use anyhow::{Context, ensure};
use kogge_certs::anchor::Anchor;
use kogge_certs::snapshot::VerifiedSnapshot;
use kogge_evidence::bundle::block::{BundleError, COMPLETE, INCLUSION, STRUCTURE};
use kogge_evidence::bundle::read::{BundleReader, CHECKPOINT, Ending, Part};
use kogge_evidence::bundle::{Counts as Parts, MAGIC};
use kogge_evidence::report::{Outcome, Report};
use kogge_message_log::Origin;
use kogge_proto::digest::{Sha512Hasher, sha256};
use serde_json::{Value, json};

pub(crate) use self::checking::read_entry;
use self::checking::{Checked, Job};
use super::log::{Counts, RecordVerdict, record_json, record_text, workers};
use crate::failure::Failure;
use crate::output;
use crate::progress::Progress;

/// What a bundle was found to be.
pub(super) struct BundleVerdict {
    /// The checks of the bundle as a whole.
    report: Report,
    /// Whose log it is from, as the log's first entry says.
    server: Option<String>,
    /// Size of the log at the checkpoint.
    entries: Option<u64>,
    /// The snapshot that was checked against.
    snapshot: Option<Value>,
    told: Told,
}

/// What was told of the records.
#[derive(Default)]
struct Told {
    counts: Counts,
    parts: Parts,
    /// To show, by sequence: those that did not pass, or all; at most [`RECORDS_SHOWN_MAX`].
    records: BTreeMap<u64, RecordVerdict>,
    /// Of those that are not shown, how many did not pass a check.
    not_shown: BTreeMap<&'static str, u64>,
    /// How many that would be shown are not.
    left_out: u64,
}

/// What is checked against, and what is kept for showing.
pub(super) struct Given<'a> {
    pub(super) anchor: &'a Anchor,
    /// Instead of the one in the bundle.
    pub(super) snapshot: Option<&'a VerifiedSnapshot>,
    pub(super) verbose: bool,
}

/// Whether the file begins as a bundle.
pub(super) fn is_one(path: &Path) -> bool {
    let mut magic = [0; MAGIC.len()];
    let read = File::open(path).and_then(|mut file| file.read_exact(&mut magic));
    read.is_ok() && magic == MAGIC
}

/// Checks the bundle.
///
/// # Errors
/// It cannot be read. What can be read and is wrong is in the verdict.
pub(super) fn verify(path: &Path, given: &Given<'_>) -> anyhow::Result<BundleVerdict> {
    let file = File::open(path)?;
    let length = file.metadata()?.len();
    let mut found = Whole::default();
    let mut reader = match BundleReader::open(BufReader::with_capacity(READ_BYTES, file)) {
        Ok(reader) => reader,
        Err(error) => return found.broken(error),
    };
    found.server =
        Origin::read(reader.origin().clone()).map(|origin| origin.server).map_err(|error| error.to_string());
    let own;
    let snapshot =
        match (given.snapshot, VerifiedSnapshot::verify_archived(reader.take_snapshot(), given.anchor)) {
            (Some(snapshot), _) => {
                found.report.pass("bundle.snapshot", "not looked at: --snapshot was given");
                snapshot
            }
            (None, Ok(snapshot)) => {
                let words = format!(
                    "version {} of instance {}, issued {}, by keys that the anchor vouches for",
                    snapshot.version(),
                    snapshot.instance(),
                    snapshot.issued()
                );
                found.report.pass("bundle.snapshot", words);
                own = snapshot;
                &own
            }
            (None, Err(error)) => {
                found.report.fail("bundle.snapshot", error.to_string());
                return Ok(found.verdict(Told::default(), None));
            }
        };
    let (read, told) = check_all(&mut reader, length, snapshot, given.verbose)?;
    match read {
        Ok(ending) => found.end(&ending, &told),
        Err(BundleError::Io(error)) => return Err(error.into()),
        Err(error) => found.refuse(&error),
    }
    Ok(found.verdict(told, Some(snapshot)))
}

/// Reads the rest of the bundle and has its records checked.
fn check_all<R: Read>(
    reader: &mut BundleReader<R>,
    length: u64,
    snapshot: &VerifiedSnapshot,
    verbose: bool,
) -> anyhow::Result<(Result<Ending, BundleError>, Told)> {
    let workers = workers();
    let (to_check, queue) = sync_channel(workers * GROUPS_PER_WORKER);
    let (to_tell, told) = sync_channel(workers * GROUPS_PER_WORKER);
    let queue = Mutex::new(queue);
    let done = AtomicU64::new(0);
    let (read, handed_over, told) = thread::scope(|scope| {
        let (queue, done) = (&queue, &done);
        let check = || {
            let to_tell = to_tell.clone();
            scope.spawn(move || checking::check_groups(queue, &to_tell, snapshot, verbose))
        };
        let checking: Vec<_> = (0..workers).map(|_| check()).collect();
        drop(to_tell);
        let telling = scope.spawn(move || gather(told, length, done));
        let (read, handed_over) = hand_over(reader, &to_check, done);
        drop(to_check);
        // Whether a thread came to a bad end shows in the count of verdicts.
        checking.into_iter().for_each(|worker| drop(worker.join()));
        (read, handed_over, telling.join().unwrap_or_default())
    });
    ensure!(told.counts.total() == handed_over, "not every record was checked: this is an error in Kogge");
    Ok((read, told))
}

/// Reads groups, and the bodies that follow them, until the end or something that is wrong; how many records were handed over.
fn hand_over<R: Read>(
    reader: &mut BundleReader<R>,
    to_check: &SyncSender<Job>,
    done: &AtomicU64,
) -> (Result<Ending, BundleError>, u64) {
    let mut handed_over = 0;
    let mut send = |job: Job, at| {
        handed_over += job.group.records.len() as u64;
        done.store(at, Ordering::Relaxed);
        // If all workers were gone, the count of verdicts would show it.
        drop(to_check.send(job));
    };
    let mut waiting = None;
    let read = loop {
        match reader.read() {
            Ok(Part::Group(group)) => match group.records.last().and_then(|last| last.body_follows) {
                None => send(Job { group, body: None }, reader.at()),
                Some(length) => waiting = Some((group, Sha512Hasher::new(), length, length)),
            },
            Ok(Part::Body(piece)) => {
                let Some((group, mut hasher, length, left)) = waiting.take() else { continue };
                hasher.update(&piece);
                match left.saturating_sub(piece.len() as u64) {
                    0 => send(Job { group, body: Some((hasher.finish(), length)) }, reader.at()),
                    left => waiting = Some((group, hasher, length, left)),
                }
            }
            Ok(Part::End(ending)) => break Ok(ending),
            Err(error) => break Err(error),
        }
    };
    (read, handed_over)
}

fn gather(told: Receiver<Checked>, length: u64, done: &AtomicU64) -> Told {
    let mut all = Told::default();
    let mut progress = Progress::new("records checked", length);
    for checked in told {
        all.add(checked);
        progress.tell(done.load(Ordering::Relaxed), all.counts.total());
    }
    progress.end();
    all
}

impl Told {
    fn add(&mut self, checked: Checked) {
        self.counts.add(checked.counts);
        let Parts { requests, responses, without_body, unstamped } = checked.parts;
        self.parts.requests += requests;
        self.parts.responses += responses;
        self.parts.without_body += without_body;
        self.parts.unstamped += unstamped;
        for record in checked.shown {
            if self.records.len() < RECORDS_SHOWN_MAX {
                self.records.insert(record.sequence, record);
                continue;
            }
            self.left_out += 1;
            for check in record.verdict.report.checks.iter().filter(|check| check.outcome != Outcome::Passed)
            {
                *self.not_shown.entry(check.name).or_default() += 1;
            }
        }
    }
}

/// What is known of the bundle as a whole.
struct Whole {
    report: Report,
    server: Result<String, String>,
    entries: Option<u64>,
}

impl Default for Whole {
    fn default() -> Self {
        Self { report: Report::new(), server: Err("not read".to_owned()), entries: None }
    }
}

impl Whole {
    /// The file does not even begin as it must.
    fn broken(mut self, error: BundleError) -> anyhow::Result<BundleVerdict> {
        if let BundleError::Io(error) = error {
            return Err(error).context("cannot be read");
        }
        self.refuse(&error);
        Ok(self.verdict(Told::default(), None))
    }

    /// Reading ended before the end. What the bundle as a whole must show was not looked at.
    fn refuse(&mut self, error: &BundleError) {
        let failed = error.check().unwrap_or(STRUCTURE);
        for check in [STRUCTURE, COMPLETE, CHECKPOINT, INCLUSION] {
            if check == failed {
                self.report.fail(check, error.to_string());
            } else {
                self.report.unsure(check, format!("not checked: {failed} failed"));
            }
        }
    }

    /// The end was read.
    fn end(&mut self, ending: &Ending, told: &Told) {
        let report = &mut self.report;
        report.pass(STRUCTURE, "every block is the one that was written, at its place");
        let (said, found) = (ending.counts, told.parts);
        if said != found {
            report.fail(
                COMPLETE,
                format!("the end speaks of {}, there are {}", of_counts(said), of_counts(found)),
            );
        } else if said.records() == 0 {
            report.unsure(COMPLETE, "there is no record in it, so nothing was checked");
        } else {
            report.pass(COMPLETE, of_counts(said));
        }
        let checkpoint = &ending.checkpoint;
        match &self.server {
            Err(reason) => report.fail(CHECKPOINT, format!("the log's first entry: {reason}")),
            Ok(server) if server != checkpoint.origin() => report.fail(
                CHECKPOINT,
                format!("it is of {}, the log's first entry says {server}", checkpoint.origin()),
            ),
            Ok(_) if !checkpoint.extensions().is_empty() => {
                report.fail(CHECKPOINT, "it has lines whose meaning is not known");
            }
            Ok(_) if ending.is_signed => {
                report.unsure(CHECKPOINT, "it has signatures, and nothing says whose they must be");
            }
            Ok(server) => report.pass(
                CHECKPOINT,
                format!(
                    "the log of {server} with {} entries, root {}; not signed",
                    checkpoint.size(),
                    checkpoint.root()
                ),
            ),
        }
        if ending.root == *checkpoint.root() {
            let words = format!("all records are among the {} entries of the checkpoint", checkpoint.size());
            report.pass(INCLUSION, words);
        } else {
            let words = "the records and what was left out between them do not lead to the checkpoint's root";
            report.fail(INCLUSION, words);
        }
        self.entries = Some(checkpoint.size());
    }

    fn verdict(self, told: Told, snapshot: Option<&VerifiedSnapshot>) -> BundleVerdict {
        BundleVerdict {
            report: self.report,
            server: self.server.ok(),
            entries: self.entries,
            snapshot: snapshot.map(snapshot_json),
            told,
        }
    }
}

impl BundleVerdict {
    /// Whether the bundle is whole, there is a record, and every record passed.
    pub(super) fn passed(&self) -> bool {
        let counts = self.told.counts;
        self.report.passed() && counts.total() > 0 && counts.passed == counts.total()
    }

    fn word(&self) -> &'static str {
        if self.passed() {
            "PASSED"
        } else if self.told.counts.failed == 0 && self.report.failed().next().is_none() {
            "NOT DECIDED"
        } else {
            "FAILED"
        }
    }
}

/// The verdict for people.
pub(super) fn print(out: &mut dyn Write, path: &str, verdict: &BundleVerdict) -> Result<(), Failure> {
    let Told { counts, records, left_out, not_shown, .. } = &verdict.told;
    let Counts { passed, failed, undecided } = *counts;
    writeln!(
        out,
        "{path}: {}, {} records: {passed} passed, {failed} failed, {undecided} not decided",
        verdict.word(),
        counts.total()
    )?;
    for record in records.values() {
        record_text(out, record)?;
    }
    if *left_out > 0 {
        let list: Vec<String> =
            not_shown.iter().map(|(check, count)| format!("{check} of {count}")).collect();
        let not_good =
            if list.is_empty() { String::new() } else { format!("; not passed: {}", list.join(", ")) };
        writeln!(out, "{left_out} more records are not shown{not_good}")?;
    }
    write!(out, "{}", verdict.report)?;
    Ok(())
}

/// The verdict for programs.
pub(super) fn as_json(path: &str, verdict: &BundleVerdict) -> Value {
    let Told { counts, parts, records, left_out, not_shown } = &verdict.told;
    let Counts { passed, failed, undecided } = *counts;
    json!({
        "path": path,
        "kind": "bundle",
        "passed": verdict.passed(),
        "server": verdict.server,
        "entries": verdict.entries,
        "snapshot": verdict.snapshot,
        "counts": {"records": counts.total(), "passed": passed, "failed": failed, "undecided": undecided},
        "requests": parts.requests,
        "responses": parts.responses,
        "without_body": parts.without_body,
        "unstamped": parts.unstamped,
        "checks": verdict.report.checks,
        "records": records.values().map(record_json).collect::<Vec<_>>(),
        "records_not_shown": { "count": left_out, "not_passed": not_shown },
    })
}

fn snapshot_json(snapshot: &VerifiedSnapshot) -> Value {
    json!({
        "sha256": sha256(snapshot.bytes()).to_string(),
        "instance": snapshot.instance(),
        "environment": snapshot.environment().to_string(),
        "version": snapshot.version(),
        "issued": snapshot.issued().to_string(),
        "expires": snapshot.expires().to_string(),
    })
}

fn of_counts(counts: Parts) -> String {
    let Parts { requests, responses, without_body, unstamped } = counts;
    let shown = |server: &str| output::line(server);
    shown(&format!(
        "{requests} requests and {responses} responses, of which {without_body} are without their body and {unstamped} without a timestamp"
    ))
}

/// Read at once.
const READ_BYTES: usize = 1024 * 1024;
/// Groups that wait for a worker, each of some hundred records and at most some MiB: enough to keep it busy.
const GROUPS_PER_WORKER: usize = 2;
/// Records that are told one by one; of more, it is said how many did not pass which check, so that a bundle of bad records does not fill the memory.
const RECORDS_SHOWN_MAX: usize = 5000;

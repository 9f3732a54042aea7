//! Checking the records of one group after the other, on a thread of its own.

use std::sync::mpsc::{Receiver, SyncSender};
use std::sync::{Mutex, PoisonError};

use bytes::Bytes;
use kogge_certs::snapshot::VerifiedSnapshot;
use kogge_evidence::bundle::Counts as Parts;
use kogge_evidence::bundle::read::{Group, Record};
use kogge_evidence::report::{Outcome, Report};
use kogge_evidence::verify::{Batch, LogRecord, Records, Statement, Verdict};
use kogge_message_log::Detached;
use kogge_proto::digest::{Sha256, Sha512, sha256, sha512};
use kogge_proto::wire::evidence::Material;
use kogge_proto::wire::log::body::Place;
use kogge_proto::wire::log::{Direction, Role};

use crate::command::verify::log::{Counts, RecordVerdict};
use crate::command::verify::outcome;

/// A group to be checked.
pub(super) struct Job {
    pub(super) group: Group,
    /// Digest and length of the body that followed the last record.
    pub(super) body: Option<(Sha512, u64)>,
}

/// What a group was found to be.
#[derive(Default)]
pub(super) struct Checked {
    pub(super) counts: Counts,
    pub(super) parts: Parts,
    /// Records to show.
    pub(super) shown: Vec<RecordVerdict>,
}

/// Takes groups until there are no more.
pub(super) fn check_groups(
    queue: &Mutex<Receiver<Job>>,
    to_tell: &SyncSender<Checked>,
    snapshot: &VerifiedSnapshot,
    verbose: bool,
) {
    let mut records = Records::new(snapshot);
    loop {
        let next = queue.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(job) = next else { return };
        if to_tell.send(check_group(&job, &mut records, verbose)).is_err() {
            return;
        }
    }
}

fn check_group(job: &Job, records: &mut Records<'_>, verbose: bool) -> Checked {
    let batches = batches(&job.group, records);
    let mut checked = Checked::default();
    let count = job.group.records.len();
    for (at, record) in job.group.records.iter().enumerate() {
        let followed = job.body.filter(|_| at + 1 == count);
        let batch = record.leaf.and_then(|(way, _)| batches.get(way));
        checked.parts.unstamped += u64::from(batch.is_none());
        let verdict = check(record, followed, batch, records, &mut checked.parts);
        let found = outcome(&verdict.verdict.report);
        checked.counts.note(found);
        if verbose || found != Outcome::Passed {
            checked.shown.push(verdict);
        }
    }
    checked
}

/// What each way of the group proves.
fn batches(group: &Group, records: &mut Records<'_>) -> Vec<Batch> {
    let mut sequences: Vec<Vec<u64>> = vec![Vec::new(); group.ways.len()];
    for record in &group.records {
        if let Some(of_way) = record.leaf.and_then(|(way, _)| sequences.get_mut(way)) {
            of_way.push(record.sequence);
        }
    }
    group.ways.iter().zip(&sequences).map(|(way, sequences)| records.batch(way, sequences)).collect()
}

fn check(
    record: &Record,
    followed: Option<(Sha512, u64)>,
    batch: Option<&Batch>,
    records: &mut Records<'_>,
    parts: &mut Parts,
) -> RecordVerdict {
    let Record { sequence, body: given, .. } = record;
    let read = read_entry(record);
    let Ok(Detached { time, record: mut message, .. }) = read else {
        let reason = read.err().unwrap_or_default();
        let mut report = Report::new();
        report.fail("record.entry", reason);
        let verdict = Verdict { report, statement: Statement::default() };
        return RecordVerdict { sequence: *sequence, role: Role::Unspecified, payload_bytes: 0, verdict };
    };
    let body = body(&mut message, given.as_ref(), followed);
    let is_response = message.direction() == Direction::Response;
    *if is_response { &mut parts.responses } else { &mut parts.requests } += 1;
    let is_missing = message.body.as_ref().is_some_and(|body| matches!(body.place, Some(Place::NotKept(_))));
    parts.without_body += u64::from(is_missing);

    let items = record.material.iter().flatten().map(|(_, der)| der.clone()).collect();
    let material = Material { items };
    let logged = LogRecord {
        sequence: *sequence,
        time,
        record: &message,
        material: &material,
        stamp: None,
        body: body.digest,
    };
    let mut verdict = records.check_in(&logged, batch);
    match body.flaw {
        None => verdict.report.pass("record.entry", "the entry is the one that the log's tree is built of"),
        Some(reason) => verdict.report.fail("record.entry", reason),
    }
    let payload_bytes = message.message.len() as u64 + message.body.as_ref().map_or(0, |body| body.length);
    RecordVerdict { sequence: *sequence, role: message.role(), payload_bytes, verdict }
}

/// The entry, if it is the one of which the log's tree was built anew.
pub(crate) fn read_entry(record: &Record) -> Result<Detached, String> {
    let digests: Vec<Option<Sha256>> =
        record.material.iter().map(|item| item.as_ref().map(|(digest, _)| *digest)).collect();
    if sha256(&record.entry) != record.sha256 {
        return Err("the entry is not the one that the log's tree is built of".to_owned());
    }
    let read = Detached::read(record.entry.clone(), &record.client, &record.service, &digests)
        .map_err(|error| error.to_string())?;
    if read.sequence != record.sequence {
        return Err(format!(
            "it is entry {}, and stands at the place of entry {}",
            read.sequence, record.sequence
        ));
    }
    Ok(read)
}

/// What a body was found to be.
struct Body {
    digest: Option<(Sha512, u64)>,
    /// A body came along where the entry holds it, or has none.
    flaw: Option<&'static str>,
}

/// The body: out of the entry, beside it in the record, or after it. One that is not kept in the log may still come along, if it was kept encrypted.
fn body(
    message: &mut kogge_proto::wire::log::MessageRecord,
    given: Option<&Bytes>,
    followed: Option<(Sha512, u64)>,
) -> Body {
    let good = |digest| Body { digest: Some(digest), flaw: None };
    let place = message.body.as_mut().map(|body| &mut body.place);
    match (place, given, followed) {
        (Some(Some(Place::Inline(bytes))), None, None) => good((sha512(bytes), bytes.len() as u64)),
        (Some(place @ Some(Place::File(_) | Place::NotKept(_))), Some(bytes), None) => {
            *place = Some(Place::Inline(bytes.clone()));
            good((sha512(bytes), bytes.len() as u64))
        }
        (Some(place @ Some(Place::File(_) | Place::NotKept(_))), None, Some(found)) => {
            *place = Some(Place::File(String::new()));
            good(found)
        }
        (_, None, None) => Body { digest: None, flaw: None },
        (_, Some(_), _) | (_, None, Some(_)) => Body {
            digest: None,
            flaw: Some("a body came along with an entry that holds its own, or has none"),
        },
    }
}

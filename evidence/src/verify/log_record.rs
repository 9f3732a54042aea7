//! Checking a record of the message log: the signature document is written out and then read back like that of a container.

use std::time::Duration;

use kogge_certs::snapshot::{Policy, VerifiedSnapshot};
use kogge_proto::digest::Sha512;
use kogge_proto::message::AnyMessage;
use kogge_proto::time::UnixMillis;
use kogge_proto::wire::log::body::Place;
use kogge_proto::wire::log::{Direction, MessageRecord};

use super::checks::{self, BodyDigest, Evidence};
use super::finding::{Finding, Flaw, need, settle, wrong};
use super::hash_chain::ChainFiles;
use super::known::Known;
use super::stamp::{Batch, Stamp};
use super::{LogRecord, Statement, Verdict};
use crate::container;
use crate::material::Material;
use crate::report::Report;
use crate::xades::{self, HashChain};

/// All checks of the record.
pub(super) fn check(
    record: &LogRecord<'_>,
    batch: Option<&Batch>,
    snapshot: &VerifiedSnapshot,
    known: &mut Known,
) -> Verdict {
    let mut report = Report::new();
    let signatures = signatures(record);
    let hash_chain = hash_chain(record.record);
    let evidence = Evidence {
        message: Ok(&record.record.message),
        body: body(record),
        signatures: signatures.as_deref().map_err(Clone::clone),
        hash_chain: hash_chain.as_ref().map(|files| ChainFiles {
            result: Ok(files.result.as_slice()),
            chain: Ok(files.chain.as_slice()),
        }),
        stamp: stamp(record, batch),
    };
    let judged = checks::judge(&evidence, snapshot, known, &mut report);
    settle(&mut report, "record.fields", fields(record.record, judged.message.as_ref()));
    settle(&mut report, "record.time", time(record.time, &judged.statement, snapshot.policy()));
    Verdict { report, statement: judged.statement }
}

fn signatures(record: &LogRecord<'_>) -> Result<Vec<u8>, Flaw> {
    let signature = record.record.signature.as_ref().ok_or_else(|| wrong("the record has no signature"))?;
    let parts = container::parts_of(record.record).map_err(wrong)?;
    let material = Material::new(record.material).map_err(wrong)?;
    xades::document(signature, &parts, &material).map_err(wrong)
}

/// Of a signature that cannot be written out there is none; `signature.xml` says why.
fn hash_chain(record: &MessageRecord) -> Option<HashChain> {
    let parts = container::parts_of(record).ok()?;
    xades::hash_chain(record.signature.as_ref()?, &parts).ok()?
}

/// The body as it lies on the disk now, if its length is the recorded one. Of a body that was not kept the record's own digest counts: the signature
/// is about it, so nobody else could have made it up.
fn body(record: &LogRecord<'_>) -> Option<Result<BodyDigest, Flaw>> {
    let named = record.record.body.as_ref()?;
    if let Some(Place::NotKept(_)) = named.place {
        let digest = Sha512::from_slice(&named.sha512);
        return Some(
            digest
                .map(BodyDigest::Recorded)
                .ok_or_else(|| wrong("the record's body digest is not 64 bytes long")),
        );
    }
    Some(match record.body {
        None => Err(Flaw::Missing("the body is not there: it was left out of the log or erased".to_owned())),
        Some((_, length)) if length != named.length => {
            Err(wrong(format!("the body has {length} bytes, the record says {}", named.length)))
        }
        Some((digest, _)) => Ok(BodyDigest::Computed(digest)),
    })
}

fn stamp<'a>(record: &LogRecord<'_>, batch: Option<&'a Batch>) -> Result<Stamp<'a>, Flaw> {
    let batch = batch.ok_or_else(|| Flaw::Missing("the record is not stamped yet".to_owned()))?;
    Ok(Stamp::InBatch(batch, record.sequence))
}

/// What the record says beside the message is what the message says. Role and peer are the log's own knowledge: no message has them.
fn fields(record: &MessageRecord, message: Option<&AnyMessage>) -> Finding<()> {
    let (direction, request_id, client, service) = match need(message, "message.parse")? {
        AnyMessage::Request(request) => {
            (Direction::Request, request.request_id(), request.client(), request.service())
        }
        AnyMessage::Response(response) => {
            (Direction::Response, response.request_id(), response.client(), response.service())
        }
    };
    let message_id = message.map(AnyMessage::message_id).unwrap_or_default();
    for (what, holds) in [
        ("direction", record.direction == i32::from(direction)),
        ("message id", record.message_id == message_id),
        ("request id", record.request_id == request_id),
        ("client", record.client == client.to_string()),
        ("service", record.service == service.to_string()),
    ] {
        if !holds {
            return Err(wrong(format!("the {what} of the record is not that of the message")));
        }
    }
    Ok(((), "the record says of the message what the message says".to_owned()))
}

/// The log's own word on when the record was appended lies between what others prove: the signature, and the timestamp if there is one yet.
fn time(appended: UnixMillis, proven: &Statement, policy: &Policy) -> Finding<()> {
    let signed = *need(proven.signing_time.as_ref(), "signature.xml")?;
    if appended < signed.minus(policy.clock_skew) {
        return Err(wrong(format!("appended at {appended}, before it was signed at {signed}")));
    }
    match proven.timestamp {
        // A token may state its time in whole seconds.
        Some(stamped) if appended > stamped.plus(policy.clock_skew).plus(Duration::from_secs(1)) => {
            Err(wrong(format!("appended at {appended}, after it was timestamped at {stamped}")))
        }
        Some(_) => Ok(((), "appended between signature and timestamp".to_owned())),
        None => Ok(((), "appended after the signature".to_owned())),
    }
}

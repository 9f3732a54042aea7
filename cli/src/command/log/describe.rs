//! A record of the message log as a line, as text and as JSON.

use std::fmt::Write;

use kogge_message_log::{Found, FoundErasure};
use kogge_proto::time::UnixMillis;
use kogge_proto::wire::evidence::SignatureMethod;
use kogge_proto::wire::log::body::Place;
use kogge_proto::wire::log::not_kept::Why;
use kogge_proto::wire::log::{Direction, NotKept, Role, Span};
use serde_json::{Value, json};

use crate::output::line;

/// The word for a role.
pub(super) fn role(found: &Found) -> &'static str {
    match found.record.role() {
        Role::Consumer => "consumer",
        Role::Provider => "provider",
        Role::Unspecified => "unknown",
    }
}

/// The word for a direction.
pub(super) fn direction(found: &Found) -> &'static str {
    match found.record.direction() {
        Direction::Request => "request",
        Direction::Response => "response",
        Direction::Unspecified => "unknown",
    }
}

/// One line of a list.
pub(super) fn as_line(found: &Found) -> String {
    let record = &found.record;
    let stamped = if found.stamp.is_some() { "stamped" } else { "unstamped" };
    format!(
        "{:>8}  {}  {:<8}  {:<8}  {:<9}  {}  {} -> {}",
        found.sequence,
        found.time,
        role(found),
        direction(found),
        stamped,
        line(&record.message_id),
        line(&record.client),
        line(&record.service),
    )
}

/// All about a record, for people.
pub(super) fn as_text(found: &Found) -> String {
    let record = &found.record;
    let mut text = format!("record {} ({}, {})\n", found.sequence, role(found), direction(found));
    let mut field = |name: &str, value: &str| {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "  {name:<12} {}", line(value));
    };
    field("logged", &found.time.to_string());
    field("message id", &record.message_id);
    field("request id", &record.request_id);
    field("client", &record.client);
    field("service", &record.service);
    field("peer server", &record.peer_server);
    field("body", &body(found));
    field("signature", &signature(found));
    field("timestamp", &stamp(found));
    text.push_str("  message\n");
    for header in String::from_utf8_lossy(&record.message).lines() {
        let _ = writeln!(text, "    {}", line(header));
    }
    text
}

fn body(found: &Found) -> String {
    match &found.record.body {
        None => "none".to_owned(),
        Some(body) => {
            let place = match &body.place {
                Some(Place::Inline(_)) => "in the record".to_owned(),
                Some(Place::File(name)) => format!("in the file bodies/{name}"),
                Some(Place::NotKept(absent)) => match absent.why() {
                    Why::Configuration => "not kept by the server's configuration".to_owned(),
                    Why::Sealed => "encrypted".to_owned(),
                    why => format!("not readable ({})", why_absent(why)),
                },
                None => "in an unknown place".to_owned(),
            };
            format!("{} bytes {place}, SHA-512 {}", body.length, hex::encode(&body.sha512))
        }
    }
}

/// Why a body is not to be had, for people.
pub(super) fn why_absent(why: Why) -> &'static str {
    match why {
        Why::Configuration => "the server was configured not to keep it",
        Why::Sealed => "it is encrypted, and its key is not here",
        Why::Erased => "it was erased",
        Why::Damaged => "it does not open with its key",
    }
}

/// The same for programs.
fn why_absent_word(why: Why) -> &'static str {
    match why {
        Why::Configuration => "not kept",
        Why::Sealed => "encrypted",
        Why::Erased => "erased",
        Why::Damaged => "damaged",
    }
}

fn signature(found: &Found) -> String {
    let Some(signature) = &found.record.signature else { return "none".to_owned() };
    let (method, certificate) = (method(signature.method()), hex::encode(&signature.certificate_sha256));
    format!("{method} at {}, certificate {certificate}", UnixMillis(signature.signing_time_ms))
}

fn method(method: SignatureMethod) -> &'static str {
    match method {
        SignatureMethod::Unspecified => "unknown",
        SignatureMethod::EcdsaP256Sha256 => "ecdsa-sha256",
        SignatureMethod::RsaSha512 => "rsa-sha512",
        SignatureMethod::RsaPssSha512 => "sha512-rsa-MGF1",
        SignatureMethod::Ed25519 => "ed25519",
    }
}

fn stamp(found: &Found) -> String {
    match &found.stamp {
        Some(stamp) => format!("in a batch of {}, root {}", stamp.leaves.len(), hex::encode(&stamp.root)),
        None => "not yet".to_owned(),
    }
}

/// All about a record, for programs.
pub(super) fn as_json(found: &Found) -> Value {
    let record = &found.record;
    json!({
        "sequence": found.sequence,
        "time": found.time.to_string(),
        "role": role(found),
        "direction": direction(found),
        "message_id": record.message_id,
        "request_id": record.request_id,
        "client": record.client,
        "service": record.service,
        "peer_server": record.peer_server,
        "message": String::from_utf8_lossy(&record.message),
        "body": record.body.as_ref().map(|body| json!({
            "length": body.length,
            "sha512": hex::encode(&body.sha512),
            "file": match &body.place {
                Some(Place::File(name)) => Some(name),
                _ => None,
            },
            "kept": !matches!(&body.place, Some(Place::NotKept(absent)) if absent.why() == Why::Configuration),
            "absent": match &body.place {
                Some(Place::NotKept(absent)) => Some(why_absent_word(absent.why())),
                _ => None,
            },
        })),
        "signature": record.signature.as_ref().map(|signature| json!({
            "method": method(signature.method()),
            "time": UnixMillis(signature.signing_time_ms).to_string(),
            "certificate_sha256": hex::encode(&signature.certificate_sha256),
        })),
        "timestamped": found.stamp.is_some(),
    })
}

/// The body was erased: where it was encrypted, its key is gone everywhere, not only here.
pub(super) fn mark_erased(found: &mut Found) {
    if let Some(body) = &mut found.record.body
        && !matches!(&body.place, Some(Place::NotKept(absent)) if absent.why() == Why::Configuration)
    {
        body.place = Some(Place::NotKept(NotKept { why: Why::Erased.into() }));
    }
}

/// An erasure in one line.
pub(super) fn erasure_as_line(found: &FoundErasure) -> String {
    format!(
        "{:>8}  {}  erasure of the bodies of {}, by {}: {}",
        found.sequence,
        found.time,
        spans(found),
        line(&found.statement.actor),
        line(&found.statement.reason)
    )
}

fn spans(found: &FoundErasure) -> String {
    let span = |span: &Span| match span.first == span.last {
        true => span.first.to_string(),
        false => format!("{} to {}", span.first, span.last),
    };
    found.statement.records.iter().map(span).collect::<Vec<_>>().join(", ")
}

/// An erasure for programs.
pub(super) fn erasure_as_json(found: &FoundErasure) -> Value {
    let statement = &found.statement;
    json!({
        "sequence": found.sequence,
        "time": found.time.to_string(),
        "kind": "erasure",
        "records": statement.records.iter().map(|span| json!([span.first, span.last])).collect::<Vec<_>>(),
        "reason": statement.reason,
        "actor": statement.actor,
        "signed": UnixMillis(statement.time_ms).to_string(),
    })
}

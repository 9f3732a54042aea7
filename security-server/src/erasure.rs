//! Erasing the bodies of a message from the log: which records, signed by whom.

use kogge_certs::certificate::Certificate;
use kogge_certs::key::{SignError, SignatureScheme};
use kogge_certs::profile;
use kogge_message_log::{
    EraseError, ErasedRecords, Filter, Found, LogError, MessageLog, NewErasure, erasure_bytes,
};
use kogge_proto::id::SecurityServerId;
use kogge_proto::time::UnixMillis;
use kogge_proto::wire::log::body::Place;
use kogge_proto::wire::log::not_kept::Why;
use kogge_proto::wire::log::{ErasureStatement, Span};
use kogge_signer::{KeyEntry, KeyUse, SoftToken, TokenError};
use prost::Message;
use serde::{Deserialize, Serialize};

/// What an operator asks for.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct EraseRequest {
    /// `x-road-id` of the message.
    pub message_id: String,
    /// `x-road-request-id`, where the message id was used for more than one exchange.
    pub request_id: Option<String>,
    /// Why; on record for good.
    pub reason: String,
    /// Who asks; on record for good.
    pub actor: String,
}

/// What was done.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Erased {
    /// Sequences of the records whose bodies are gone.
    pub records: Vec<u64>,
    /// Sequence of the entry that says so.
    pub entry: u64,
}

/// Why nothing was erased, or not all is done.
#[derive(Debug, thiserror::Error)]
pub enum ErasureError {
    /// The log has no such message.
    #[error("the log has no record with this message id: see `kogge log show`")]
    NotFound,
    /// More than one exchange has the message id.
    #[error("the message id was used for more than one exchange: say which with --request-id\n{}", .0.join("\n"))]
    Ambiguous(Vec<String>),
    /// There is nothing to erase.
    #[error("the log has no body of the message: there was none, it was not kept, or it was erased before")]
    NoBody,
    /// The body stands in the segment as it is.
    #[error(
        "the body of record {0} was logged before bodies were encrypted: it cannot be erased without the segment that it stands in"
    )]
    NotEncrypted(u64),
    /// A text is missing.
    #[error("the {0} must be given: it stays on record")]
    Unexplained(&'static str),
    /// Nobody can sign.
    #[error("the token has no certificate to sign the erasure with")]
    NoCertificate,
    /// The token does not give its keys.
    #[error(transparent)]
    Token(#[from] TokenError),
    /// The token does not sign.
    #[error(transparent)]
    Sign(#[from] SignError),
    /// The log cannot be read.
    #[error(transparent)]
    Log(#[from] LogError),
    /// The log refuses.
    #[error(transparent)]
    Erase(#[from] EraseError),
}

/// Erases the bodies of request and response of a message, as far as the log has them. Blocks.
///
/// # Errors
/// See [`ErasureError`].
pub fn erase(
    log: &MessageLog,
    token: &SoftToken,
    server: &SecurityServerId,
    request: &EraseRequest,
    now: UnixMillis,
) -> Result<Erased, ErasureError> {
    for (text, name) in [(&request.reason, "reason"), (&request.actor, "name of who asks")] {
        if text.trim().is_empty() {
            return Err(ErasureError::Unexplained(name));
        }
    }
    let records = with_bodies(log, request)?;
    let statement = ErasureStatement {
        security_server: server.to_string(),
        records: spans(&records),
        reason: request.reason.clone(),
        actor: request.actor.clone(),
        time_ms: now.0,
    };
    let receipt = log.erase(signed(&statement, token, server, now)?)?;
    Ok(Erased { records, entry: receipt.sequence })
}

/// Sequences of the message's records whose bodies are there, ascending.
fn with_bodies(log: &MessageLog, request: &EraseRequest) -> Result<Vec<u64>, ErasureError> {
    let filter = Filter {
        message_id: Some(request.message_id.clone()),
        request_id: request.request_id.clone(),
        ..Filter::default()
    };
    let mut found = Vec::new();
    log.reader().without_log_key().list(&filter, &mut |record| {
        found.push(record);
        found.len() < MATCHES_MAX
    })?;
    if found.is_empty() {
        return Err(ErasureError::NotFound);
    }
    let mut exchanges: Vec<String> = found.iter().map(|found| found.record.request_id.clone()).collect();
    exchanges.sort_unstable();
    exchanges.dedup();
    if exchanges.len() > 1 {
        return Err(ErasureError::Ambiguous(exchanges));
    }
    let erased = ErasedRecords::of(&log.reader().erasures()?);
    let mut records = Vec::new();
    for found in found.iter().filter(|found| !erased.contains(found.sequence)) {
        match holding(found) {
            Holding::Erasable => records.push(found.sequence),
            Holding::Plain => return Err(ErasureError::NotEncrypted(found.sequence)),
            Holding::None => {}
        }
    }
    if records.is_empty() { Err(ErasureError::NoBody) } else { Ok(records) }
}

/// How the log holds a body.
enum Holding {
    Erasable,
    Plain,
    None,
}

fn holding(found: &Found) -> Holding {
    match found.record.body.as_ref().and_then(|body| body.place.as_ref()) {
        Some(Place::NotKept(absent)) if absent.why() == Why::Sealed => Holding::Erasable,
        Some(Place::File(_)) => Holding::Erasable,
        Some(Place::Inline(_)) => Holding::Plain,
        Some(Place::NotKept(_)) | None => Holding::None,
    }
}

/// Ascending sequences as spans that do not touch.
fn spans(records: &[u64]) -> Vec<Span> {
    let mut spans: Vec<Span> = Vec::new();
    for record in records {
        match spans.last_mut() {
            Some(span) if span.last + 1 == *record => span.last = *record,
            _ => spans.push(Span { first: *record, last: *record }),
        }
    }
    spans
}

/// Signs with the newest certificate of the server's owner, or of another member, or else of the server itself.
fn signed(
    statement: &ErasureStatement,
    token: &SoftToken,
    server: &SecurityServerId,
    now: UnixMillis,
) -> Result<NewErasure, ErasureError> {
    let entries = token.entries()?;
    let mut candidates: Vec<(u8, &KeyEntry, &Vec<Certificate>)> = Vec::new();
    for entry in &entries {
        for chain in &entry.chains {
            let Some(leaf) = chain.first().filter(|leaf| leaf.is_valid_at(now)) else { continue };
            let rank = match entry.key_use {
                KeyUse::Signing => match profile::signing_member(leaf) {
                    Ok(member) if member == *server.owner() => 2,
                    Ok(_) => 1,
                    Err(_) => continue,
                },
                KeyUse::Authentication => 0,
                KeyUse::Service => continue,
            };
            candidates.push((rank, entry, chain));
        }
    }
    let newest = |(rank, _, chain): &(u8, &KeyEntry, &Vec<Certificate>)| {
        (*rank, chain.first().map(|leaf| leaf.not_before().0))
    };
    let (_, entry, chain) = candidates.into_iter().max_by_key(newest).ok_or(ErasureError::NoCertificate)?;
    let key = token.key(&entry.id)?;
    let scheme = SignatureScheme::for_messages(entry.public_key.kind()).ok_or(SignError::Scheme)?;
    let method = scheme.to_wire().ok_or(SignError::Scheme)?;
    let statement = statement.encode_to_vec();
    let signature = key.sign(scheme, &erasure_bytes(&statement))?;
    let certificates = chain.iter().map(|certificate| certificate.der().to_vec()).collect();
    Ok(NewErasure { statement, method, signature, certificates })
}

/// More records than any exchange has.
const MATCHES_MAX: usize = 1000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_that_follow_each_other_are_one_span() {
        let found: Vec<_> =
            spans(&[3, 4, 5, 7, 9, 10]).into_iter().map(|span| (span.first, span.last)).collect();
        assert_eq!(found, [(3, 5), (7, 7), (9, 10)]);
        assert!(spans(&[]).is_empty());
    }
}

//! Asking, reading what was asked, and taking the token out of an answer.

use der::asn1::{IntRef, OctetString};
use der::{Decode, Encode};
use kogge_proto::limits::TRUST_RESPONSE_BYTES_MAX;

use super::structures::{MessageImprint, StatusInfo, TimeStampReq, TimeStampResp};
use super::{Imprint, ParsedRequest, TimestampError};
use crate::asn1::{DigestAlgorithm, strict};

/// A DER TimeStampReq that asks for the TSA's certificate to be included.
#[must_use]
pub fn request(imprint: &Imprint, nonce: Option<u64>) -> Vec<u8> {
    encode(imprint, nonce).unwrap_or_default()
}

/// Encoding cannot fail: every part is far below DER's limits.
fn encode(imprint: &Imprint, nonce: Option<u64>) -> der::Result<Vec<u8>> {
    let nonce = nonce.map(|nonce| nonce.to_der()).transpose()?;
    let message_imprint = MessageImprint {
        hash_algorithm: imprint.algorithm().identifier_with_null(),
        hashed_message: OctetString::new(imprint.as_bytes())?,
    };
    TimeStampReq {
        version: VERSION,
        message_imprint,
        policy: None,
        nonce: nonce.as_deref().map(IntRef::from_der).transpose()?,
        cert_req: true,
        extensions: None,
    }
    .to_der()
}

/// The token (DER ContentInfo) out of a DER TimeStampResp with status granted or grantedWithMods.
///
/// # Errors
/// Not a response, or not granted.
pub fn token_of_response(response: &[u8]) -> Result<Vec<u8>, TimestampError> {
    if response.len() > TRUST_RESPONSE_BYTES_MAX {
        return Err(TimestampError::Malformed("larger than is accepted".to_owned()));
    }
    let malformed = |error: der::Error| TimestampError::Malformed(error.to_string());
    let response: TimeStampResp<'_> = strict(response).map_err(malformed)?;
    if response.status.status > GRANTED_WITH_MODS {
        return Err(TimestampError::NotGranted(words(&response.status)));
    }
    let token = response.token.ok_or(TimestampError::Rule("granted, but without a token"))?;
    token.to_der().map_err(malformed)
}

/// Reads a DER TimeStampReq.
///
/// # Errors
/// The failure bit of RFC 3161 section 2.4.2 (badAlg 0, badRequest 2, badDataFormat 5, unacceptedPolicy 15, unacceptedExtension 16) to answer
/// with.
pub fn parse_request(request: &[u8]) -> Result<ParsedRequest, u8> {
    if request.len() > REQUEST_BYTES_MAX {
        return Err(BAD_DATA_FORMAT);
    }
    let request: TimeStampReq<'_> = strict(request).map_err(|_| BAD_DATA_FORMAT)?;
    if request.version != VERSION {
        return Err(BAD_REQUEST);
    }
    let algorithm = DigestAlgorithm::from_identifier(&request.message_imprint.hash_algorithm)
        .filter(|algorithm| *algorithm != DigestAlgorithm::Sha1)
        .ok_or(BAD_ALG)?;
    if request.message_imprint.hashed_message.as_bytes().len() != algorithm.len() {
        return Err(BAD_DATA_FORMAT);
    }
    if request.extensions.is_some() {
        return Err(UNACCEPTED_EXTENSION);
    }
    let nonce = request.nonce.map(|nonce| nonce.to_der()).transpose().map_err(|_| BAD_DATA_FORMAT)?;
    if nonce.as_ref().is_some_and(|nonce| nonce.len() > NONCE_BYTES_MAX) {
        return Err(BAD_REQUEST);
    }
    Ok(ParsedRequest {
        imprint: request.message_imprint.to_der().map_err(|_| BAD_DATA_FORMAT)?,
        policy: request.policy.map(|policy| policy.to_string()),
        nonce,
        cert_req: request.cert_req,
    })
}

/// What a TSA says when it does not grant: status, failure bits by name, its own text.
fn words(info: &StatusInfo) -> String {
    let status = STATUS_NAMES.get(usize::from(info.status)).copied().unwrap_or("unknown status");
    let bits = info.failure.iter().flat_map(|failure| failure.bits().enumerate());
    let failures = bits.filter(|(_, set)| *set).map(|(bit, _)| failure_name(bit).to_owned());
    let texts = info.text.iter().flatten().map(|text| text.chars().take(TEXT_CHARS_MAX).collect::<String>());
    std::iter::once(status.to_owned()).chain(failures).chain(texts.take(1)).collect::<Vec<_>>().join(", ")
}

fn failure_name(bit: usize) -> &'static str {
    match bit {
        0 => "badAlg",
        2 => "badRequest",
        5 => "badDataFormat",
        14 => "timeNotAvailable",
        15 => "unacceptedPolicy",
        16 => "unacceptedExtension",
        17 => "addInfoNotAvailable",
        25 => "systemFailure",
        _ => "unknown failure",
    }
}

/// PKIStatus in the order of its numbers.
const STATUS_NAMES: [&str; 6] =
    ["granted", "grantedWithMods", "rejection", "waiting", "revocationWarning", "revocationNotification"];

const GRANTED_WITH_MODS: u8 = 1;

const BAD_ALG: u8 = 0;
const BAD_REQUEST: u8 = 2;
const BAD_DATA_FORMAT: u8 = 5;
const UNACCEPTED_EXTENSION: u8 = 16;

/// TimeStampReq and TSTInfo have version 1.
pub(super) const VERSION: u8 = 1;

/// Largest request that a TSA reads: a digest, a policy and a nonce need no more than 200 bytes.
const REQUEST_BYTES_MAX: usize = 4 * 1024;

/// Longest nonce with tag and length that is echoed: 256 bits, far more than anybody sends.
const NONCE_BYTES_MAX: usize = 2 + 33;

/// Most characters of a TSA's own text that reach a log line.
const TEXT_CHARS_MAX: usize = 200;

//! Making tokens.

use der::asn1::{AnyRef, BitString, IntRef, ObjectIdentifier, UintRef};
use der::{Decode, Encode, Tag};

use super::request::VERSION;
use super::structures::{
    Accuracy, SIGNING_CERTIFICATE_V2, StatusInfo, TST_INFO, TimeStampResp, TstInfo, write_gen_time,
};
use super::{Issue, ParsedRequest, ess};
use crate::cms;
use crate::key::SignError;

/// A DER TimeStampResp with status granted.
///
/// # Errors
/// The key cannot sign, or the time or the policy cannot be encoded.
pub fn respond(request: &ParsedRequest, issue: &Issue<'_>) -> Result<Vec<u8>, SignError> {
    let content = tst_info(request, issue).map_err(unencodable)?;
    let certificate_ids = (SIGNING_CERTIFICATE_V2, ess::naming(issue.certificate).map_err(unencodable)?);
    let token =
        cms::sign(TST_INFO, &content, &[certificate_ids], issue.certificate, request.cert_req, issue.key)?;
    let granted = StatusInfo { status: GRANTED, text: None, failure: None };
    AnyRef::from_der(&token)
        .and_then(|token| TimeStampResp { status: granted, token: Some(token) }.to_der())
        .map_err(unencodable)
}

/// A DER TimeStampResp with status rejection and this failure bit.
#[must_use]
pub fn reject(failure: u8) -> Vec<u8> {
    encode_rejection(failure).unwrap_or_default()
}

/// Encoding cannot fail: a BIT STRING of at most 32 bytes is far below DER's limits.
fn encode_rejection(failure: u8) -> der::Result<Vec<u8>> {
    let mut bits = vec![0; usize::from(failure / 8)];
    bits.push(0x80 >> (failure % 8));
    let failure = BitString::new(7 - failure % 8, bits)?;
    TimeStampResp {
        status: StatusInfo { status: REJECTION, text: None, failure: Some(failure) },
        token: None,
    }
    .to_der()
}

fn tst_info(request: &ParsedRequest, issue: &Issue<'_>) -> der::Result<Vec<u8>> {
    let serial = UintRef::new(&issue.serial)?.to_der()?;
    let gen_time = write_gen_time(issue.now)?;
    TstInfo {
        version: VERSION,
        policy: ObjectIdentifier::new(issue.policy).map_err(|_| der::ErrorKind::OidMalformed)?,
        message_imprint: Decode::from_der(&request.imprint)?,
        serial_number: AnyRef::from_der(&serial)?,
        gen_time: AnyRef::new(Tag::GeneralizedTime, &gen_time)?,
        accuracy: Some(Accuracy { seconds: Some(ACCURACY_SECONDS), millis: None, micros: None }),
        ordering: false,
        nonce: request.nonce.as_deref().map(IntRef::from_der).transpose()?,
        tsa: None,
        extensions: None,
    }
    .to_der()
}

fn unencodable(error: der::Error) -> SignError {
    SignError::Token(format!("the timestamp token cannot be encoded: {error}"))
}

const GRANTED: u8 = 0;
const REJECTION: u8 = 2;

/// What a machine that runs NTP can promise.
const ACCURACY_SECONDS: u32 = 1;

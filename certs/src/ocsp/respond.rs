//! Making answers.

use der::asn1::{AnyRef, BitStringRef, Null, OctetString};
use der::{Decode, Encode};
use kogge_proto::time::UnixMillis;

use super::structures::{
    BASIC, BasicResponse, CertId, CertStatus, NONCE, OcspResponse, ResponderId, ResponseBytes, ResponseData,
    ResponseStatus, RevokedInfo, SingleResponse,
};
use super::{Answer, ParsedRequest};
use crate::asn1::{Extension, generalized_time, scheme_identifier};
use crate::certificate::Certificate;
use crate::key::{SignError, SignatureScheme, SigningKey};

/// Makes a signed DER OCSPResponse by a delegated responder. `answers` are in the order of the request's questions; a question
/// without one is answered `unknown`.
///
/// # Errors
/// The key cannot sign, or a time has no GeneralizedTime form.
pub fn respond(
    request: &ParsedRequest,
    answers: &[Answer],
    responder: &Certificate,
    key: &dyn SigningKey,
    now: UnixMillis,
    next_update: UnixMillis,
) -> Result<Vec<u8>, SignError> {
    let scheme = SignatureScheme::for_certificates(key.public_key().kind()).ok_or(SignError::Scheme)?;
    let tbs = response_data(request, answers, responder, now, next_update).map_err(unencodable)?;
    let signature = key.sign(scheme, &tbs)?;
    basic_response(&tbs, scheme, &signature, responder).map_err(unencodable)
}

/// An unsigned error response: malformedRequest 1, internalError 2, tryLater 3, unauthorized 6.
#[must_use]
pub fn error_response(status: u8) -> Vec<u8> {
    vec![0x30, 0x03, 0x0A, 0x01, status]
}

fn response_data(
    request: &ParsedRequest,
    answers: &[Answer],
    responder: &Certificate,
    now: UnixMillis,
    next_update: UnixMillis,
) -> der::Result<Vec<u8>> {
    let answers = answers.iter().copied().chain(std::iter::repeat(Answer::Unknown));
    let responses = request
        .questions
        .iter()
        .zip(answers)
        .map(|(question, answer)| {
            Ok(SingleResponse {
                cert_id: CertId::from_der(&question.cert_id)?,
                status: cert_status(answer)?,
                this_update: generalized_time(now)?,
                next_update: Some(generalized_time(next_update)?),
                extensions: None,
            })
        })
        .collect::<der::Result<Vec<_>>>()?;
    let nonce = match &request.nonce {
        Some(value) => {
            Some(vec![Extension { id: NONCE, critical: false, value: OctetString::new(value.as_slice())? }])
        }
        None => None,
    };
    ResponseData {
        version: 0,
        responder_id: ResponderId::ByName(AnyRef::from_der(responder.subject_der())?),
        produced_at: generalized_time(now)?,
        responses,
        extensions: nonce,
    }
    .to_der()
}

fn cert_status(answer: Answer) -> der::Result<CertStatus<'static>> {
    Ok(match answer {
        Answer::Good => CertStatus::Good(Null),
        Answer::Revoked(at) => CertStatus::Revoked(RevokedInfo { at: generalized_time(at)?, reason: None }),
        Answer::Unknown => CertStatus::Unknown(Null),
    })
}

fn basic_response(
    tbs: &[u8],
    scheme: SignatureScheme,
    signature: &[u8],
    responder: &Certificate,
) -> der::Result<Vec<u8>> {
    let basic = BasicResponse {
        tbs: AnyRef::from_der(tbs)?,
        signature_algorithm: scheme_identifier(scheme).ok_or(der::ErrorKind::Failed)?,
        signature: BitStringRef::from_bytes(signature)?,
        certificates: Some(vec![AnyRef::from_der(responder.der())?]),
    };
    let bytes = ResponseBytes { response_type: BASIC, response: OctetString::new(basic.to_der()?)? };
    OcspResponse { status: ResponseStatus::Successful, bytes: Some(bytes) }.to_der()
}

fn unencodable(error: der::Error) -> SignError {
    SignError::Token(format!("the OCSP response cannot be encoded: {error}"))
}

//! Asking, and reading what was asked.

use der::asn1::AnyRef;
use der::{Decode, Encode};

use super::structures::{
    CertId, OcspRequest, Request, TbsRequest, nonce_extension, nonce_value, unknown_critical,
};
use super::{Nonce, OcspError, ParsedRequest, Question};
use crate::certificate::Certificate;

/// A DER OCSPRequest for `certificate`, with a SHA-1 CertID as every responder understands it; `nonce` if it is to be echoed.
#[must_use]
pub fn request(certificate: &Certificate, issuer: &Certificate, nonce: Option<&Nonce>) -> Vec<u8> {
    encode(certificate, issuer, nonce).unwrap_or_default()
}

/// Encoding cannot fail: every part is far below DER's limits, and a [`Certificate`] has a well-formed key and serial number.
fn encode(certificate: &Certificate, issuer: &Certificate, nonce: Option<&Nonce>) -> der::Result<Vec<u8>> {
    let cert_id = CertId::new(certificate.serial(), issuer)?.to_der()?;
    let request = Request { cert_id: AnyRef::from_der(&cert_id)?, extensions: None };
    let extensions = nonce.map(|nonce| nonce_extension(nonce)).transpose()?.map(|nonce| vec![nonce]);
    let tbs = TbsRequest { version: 0, requestor: None, requests: vec![request], extensions };
    OcspRequest { tbs, signature: None }.to_der()
}

/// Reads a DER OCSPRequest.
///
/// # Errors
/// It is none.
pub fn parse_request(request: &[u8], issuer: &Certificate) -> Result<ParsedRequest, OcspError> {
    if request.len() > REQUEST_BYTES_MAX {
        return Err(malformed("the request is larger than is accepted"));
    }
    let tbs = OcspRequest::from_der(request).map_err(|error| malformed(&error.to_string()))?.tbs;
    if tbs.version != 0 {
        return Err(malformed("the version is not v1"));
    }
    if tbs.requests.is_empty() || tbs.requests.len() > QUESTIONS_MAX {
        return Err(malformed("a request has 1 to 16 questions"));
    }
    let extensions = tbs.extensions.as_deref();
    if unknown_critical(extensions)
        || tbs.requests.iter().any(|one| unknown_critical(one.extensions.as_deref()))
    {
        return Err(malformed("a critical extension is not understood"));
    }
    let nonce = nonce_value(extensions).map_err(|()| malformed("more than one nonce"))?;
    if nonce.is_some_and(|nonce| nonce.len() > NONCE_EXTENSION_BYTES_MAX) {
        return Err(malformed("the nonce is longer than 128 bytes"));
    }
    let questions = tbs.requests.iter().map(|one| question(one, issuer)).collect::<Result<_, _>>()?;
    Ok(ParsedRequest { questions, nonce: nonce.map(<[u8]>::to_vec) })
}

fn question(request: &Request<'_>, issuer: &Certificate) -> Result<Question, OcspError> {
    let bytes = request.cert_id.to_der().map_err(|error| malformed(&error.to_string()))?;
    let cert_id = CertId::from_der(&bytes).map_err(|error| malformed(&error.to_string()))?;
    let serial =
        cert_id.serial().ok_or_else(|| malformed("the serial number is not a positive INTEGER"))?.to_vec();
    let of_this_issuer = cert_id.is_of(issuer);
    Ok(Question { cert_id: bytes, serial, of_this_issuer })
}

fn malformed(reason: &str) -> OcspError {
    OcspError::Malformed(reason.to_owned())
}

/// Largest request that a responder reads: room for all questions with the largest CertIDs.
const REQUEST_BYTES_MAX: usize = 8 * 1024;

/// Most questions in one request: each costs a look-up and lengthens the answer.
const QUESTIONS_MAX: usize = 16;

/// RFC 9654 section 2.1: a nonce has at most 128 bytes; with tag and length of its OCTET STRING.
const NONCE_EXTENSION_BYTES_MAX: usize = 128 + 3;

//! PKCS#10 requests (RFC 2986).

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use der::{Decode, Encode};
use kogge_proto::limits::MATERIAL_ITEM_BYTES_MAX;
use x509_cert::request::CertReq;
use x509_parser::certification_request::X509CertificationRequest;
use x509_parser::prelude::FromDer;

use super::rcgen_key::RcgenKey;
use super::{CertificateRequest, ProfileError, Subject, params};
use crate::key::{PublicKey, SignatureScheme, SigningKey};

/// A request in DER.
pub(super) fn make(key: &dyn SigningKey, subject: &Subject) -> Result<Vec<u8>, ProfileError> {
    let request = params::wish(subject)?.serialize_request(&RcgenKey::new(key)?)?;
    Ok(request.der().to_vec())
}

/// Reads DER or PEM and checks the proof of possession.
pub(super) fn read(bytes: &[u8]) -> Result<CertificateRequest, ProfileError> {
    if bytes.len() > REQUEST_BYTES_MAX {
        return Err(refused("it is larger than is accepted"));
    }
    let decoded = pem_content(bytes)?;
    let der = decoded.as_deref().unwrap_or(bytes);
    // The parser overlooks some bytes outside of what is signed, as unused bits of the signature.
    let again = CertReq::from_der(der).ok().filter(|request| request.signature.as_bytes().is_some());
    if again.and_then(|request| request.to_der().ok()).as_deref() != Some(der) {
        return Err(refused("it is not in DER"));
    }
    let (_, request) =
        X509CertificationRequest::from_der(der).map_err(|error| ProfileError::Request(error.to_string()))?;
    let public_key = PublicKey::from_spki(request.certification_request_info.subject_pki.raw)
        .map_err(|error| ProfileError::Request(error.to_string()))?;
    if SignatureScheme::for_certificates(public_key.kind()).is_none() {
        return Err(refused("keys of this kind only verify"));
    }
    let algorithm = request.signature_algorithm.algorithm.to_id_string();
    if !SIGNATURE_ALGORITHMS.contains(&algorithm.as_str()) {
        return Err(refused("its signature algorithm is not accepted"));
    }
    request.verify_signature().map_err(|_| refused("its signature is wrong"))?;
    Ok(CertificateRequest { public_key })
}

/// The content if the bytes are PEM of one request; `None` if they are not PEM at all.
fn pem_content(bytes: &[u8]) -> Result<Option<Vec<u8>>, ProfileError> {
    let Ok(text) = std::str::from_utf8(bytes) else { return Ok(None) };
    let text = text.trim_ascii();
    let Some(rest) = text.strip_prefix("-----BEGIN ") else { return Ok(None) };
    let content = LABELS.iter().find_map(|label| {
        let rest = rest.strip_prefix(label)?.strip_prefix("-----")?;
        rest.strip_suffix("-----")?.strip_suffix(label)?.strip_suffix("-----END ")
    });
    let base64: String = content
        .ok_or_else(|| refused("it is PEM of something else"))?
        .chars()
        .filter(|c| !c.is_ascii_whitespace())
        .collect();
    STANDARD.decode(base64).map(Some).map_err(|_| refused("its PEM is damaged"))
}

fn refused(reason: &str) -> ProfileError {
    ProfileError::Request(reason.to_owned())
}

/// RFC 7468 section 7; the second is what older programs write.
const LABELS: [&str; 2] = ["CERTIFICATE REQUEST", "NEW CERTIFICATE REQUEST"];
/// A request is no larger than the certificate that follows from it, in PEM by a third larger.
const REQUEST_BYTES_MAX: usize = 2 * MATERIAL_ITEM_BYTES_MAX;
/// ECDSA with SHA-256, RSA with SHA-256, SHA-384 and SHA-512, Ed25519.
const SIGNATURE_ALGORITHMS: [&str; 5] = [
    "1.2.840.10045.4.3.2",
    "1.2.840.113549.1.1.11",
    "1.2.840.113549.1.1.12",
    "1.2.840.113549.1.1.13",
    "1.3.101.112",
];

//! Checking an answer: first who signed it, then what it says.

use der::{Decode, Encode};
use kogge_proto::limits::MATERIAL_ITEM_BYTES_MAX;
use kogge_proto::time::UnixMillis;
use rustls_pki_types::{CertificateDer, UnixTime};
use webpki::{EndEntityCert, KeyUsage, anchor_from_trusted_cert};

use super::structures::{
    BASIC, BasicResponse, CertStatus, OcspResponse, ResponseData, ResponseStatus, SingleResponse,
    nonce_extension, nonce_value, unknown_critical,
};
use super::{Freshness, Nonce, OcspError, OcspStatus};
use crate::asn1::{scheme_of, strict, unix_millis};
use crate::certificate::Certificate;
use crate::path::VerifiedPath;
use crate::profile::{self, Profile};

/// Checks that `response` says good about the leaf of `path` at time `at`: signature by the issuer itself, by a responder that the
/// issuer delegated (extended key usage OCSPSigning), or by one that the snapshot lists for the CA; CertID; status; freshness.
/// A responder that leaves out the nonce passes; one that sends another does not.
///
/// Every byte is accounted for: besides the responder's own certificate, a response may carry only certificates of the path
/// and those listed for the CA.
///
/// # Errors
/// It does not; see [`OcspError`].
pub fn verify(
    response: &[u8],
    path: &VerifiedPath,
    freshness: Freshness,
    nonce: Option<&Nonce>,
    at: UnixMillis,
) -> Result<OcspStatus, OcspError> {
    verify_with_responder(response, path, freshness, nonce, at).map(|(status, _)| status)
}

/// As [`verify`], with the certificate by which the answer is believed.
pub(super) fn verify_with_responder(
    response: &[u8],
    path: &VerifiedPath,
    freshness: Freshness,
    nonce: Option<&Nonce>,
    at: UnixMillis,
) -> Result<(OcspStatus, Certificate), OcspError> {
    if response.len() > MATERIAL_ITEM_BYTES_MAX {
        return Err(malformed("larger than is accepted"));
    }
    let basic_bytes = successful(response)?;
    let basic: BasicResponse<'_> = strict(&basic_bytes).map_err(not_der)?;
    let signed = basic.tbs.to_der().map_err(not_der)?;
    let data = ResponseData::from_der(&signed).map_err(not_der)?;
    let responder = find_signer(&basic, &signed, &data, path, at)?;

    check_nonce(&data, nonce)?;
    let single = the_single_response(&data, path)?;
    check_status(single)?;
    let status = status_of(&data, single)?;
    status.check_freshness(freshness, at)?;
    Ok((status, responder))
}

/// The DER BasicOCSPResponse of a successful response.
fn successful(response: &[u8]) -> Result<Vec<u8>, OcspError> {
    let response: OcspResponse = strict(response).map_err(not_der)?;
    if response.status != ResponseStatus::Successful {
        return Err(OcspError::NotSuccessful(response.status.name()));
    }
    let bytes = response.bytes.ok_or_else(|| malformed("successful, but without a response"))?;
    if bytes.response_type != BASIC {
        return Err(malformed("not of the type id-pkix-ocsp-basic"));
    }
    Ok(bytes.response.into_bytes().into_vec())
}

/// RFC 6960 section 4.2.2.2: whom the response names as its responder, whether that one may answer, and its signature.
fn find_signer(
    basic: &BasicResponse<'_>,
    signed: &[u8],
    data: &ResponseData<'_>,
    path: &VerifiedPath,
    at: UnixMillis,
) -> Result<Certificate, OcspError> {
    let carried = carried_certificates(basic)?;
    let mut candidates: Vec<&Certificate> = vec![path.issuer()];
    candidates.extend(&path.ca().ocsp_responders);
    candidates.extend(&carried);
    candidates.retain(|certificate| data.responder_id.names(certificate));

    let mut refusal = "its certificate is neither known nor in the response".to_owned();
    let mut may_answer = false;
    for candidate in candidates {
        match check_authority(candidate, path, at) {
            Err(reason) => refusal = reason,
            Ok(()) if signature_holds(basic, signed, candidate) => {
                check_carried(&carried, candidate, path)?;
                return Ok(candidate.clone());
            }
            // Another one of the same name may have signed: responders keep their name when they change their key.
            Ok(()) => may_answer = true,
        }
    }
    Err(if may_answer { OcspError::BadSignature } else { OcspError::WrongResponder(refusal) })
}

fn carried_certificates(basic: &BasicResponse<'_>) -> Result<Vec<Certificate>, OcspError> {
    let carried = basic.certificates.as_deref().unwrap_or_default();
    if carried.len() > CARRIED_CERTIFICATES_MAX {
        return Err(malformed("carries too many certificates"));
    }
    carried
        .iter()
        .map(|any| {
            let der = any.to_der().map_err(not_der)?;
            Certificate::from_der(&der).map_err(|error| malformed(&error.to_string()))
        })
        .collect()
}

/// Whether the responder may answer for the issuer; the reason if not.
fn check_authority(responder: &Certificate, path: &VerifiedPath, at: UnixMillis) -> Result<(), String> {
    if responder == path.issuer() {
        return Ok(());
    }
    if path.ca().ocsp_responders.contains(responder) {
        return check_validity(responder, at);
    }
    check_delegation(responder, path.issuer(), at)
}

fn check_validity(responder: &Certificate, at: UnixMillis) -> Result<(), String> {
    if !responder.is_valid_at(at) {
        return Err(format!("the certificate of {} is not valid at {at}", responder.subject()));
    }
    Ok(())
}

/// The responder's certificate was issued by the issuer itself, for OCSP signing, and is valid. Its own revocation is not asked for: the
/// issuer vouches for it by a short life (RFC 6960 section 4.2.2.2.1).
fn check_delegation(responder: &Certificate, issuer: &Certificate, at: UnixMillis) -> Result<(), String> {
    check_validity(responder, at)?;
    profile::check(responder, Profile::OcspResponder).map_err(|error| error.to_string())?;
    let issuer_der = CertificateDer::from(issuer.der());
    let responder_der = CertificateDer::from(responder.der());
    let describe =
        |error: webpki::Error| format!("{} was not delegated by the issuer: {error}", responder.subject());
    let anchor = anchor_from_trusted_cert(&issuer_der).map_err(describe)?;
    let seconds = u64::try_from(at.seconds()).map_err(|_| "before 1970".to_owned())?;
    EndEntityCert::try_from(&responder_der)
        .and_then(|certificate| {
            let time = UnixTime::since_unix_epoch(std::time::Duration::from_secs(seconds));
            let usage = KeyUsage::required(OCSP_SIGNING);
            let algorithms = webpki::ALL_VERIFICATION_ALGS;
            certificate.verify_for_usage(algorithms, &[anchor], &[], time, usage, None, None).map(|_| ())
        })
        .map_err(describe)
}

fn signature_holds(basic: &BasicResponse<'_>, signed: &[u8], responder: &Certificate) -> bool {
    let (Some(scheme), Some(signature)) = (scheme_of(&basic.signature_algorithm), basic.signature.as_bytes())
    else {
        return false;
    };
    responder.public_key().verify(scheme, signed, signature).is_ok()
}

/// No signature covers the carried certificates, so each must be one that is known otherwise, or the one that signed.
fn check_carried(
    carried: &[Certificate],
    responder: &Certificate,
    path: &VerifiedPath,
) -> Result<(), OcspError> {
    let ca = path.ca();
    let known = |certificate: &Certificate| {
        certificate == responder
            || *certificate == ca.certificate
            || path.intermediates().contains(certificate)
            || ca.intermediates.contains(certificate)
            || ca.ocsp_responders.contains(certificate)
    };
    if carried.iter().all(known) {
        Ok(())
    } else {
        Err(malformed("carries a certificate that has no part in it"))
    }
}

fn check_nonce(data: &ResponseData<'_>, sent: Option<&Nonce>) -> Result<(), OcspError> {
    let found = nonce_value(data.extensions.as_deref()).map_err(|()| malformed("more than one nonce"))?;
    let (Some(sent), Some(found)) = (sent, found) else { return Ok(()) };
    let expected = nonce_extension(sent).map_err(not_der)?;
    if expected.value.as_bytes() == found { Ok(()) } else { Err(OcspError::Nonce) }
}

/// The one SingleResponse about the leaf.
fn the_single_response<'d, 'a>(
    data: &'d ResponseData<'a>,
    path: &VerifiedPath,
) -> Result<&'d SingleResponse<'a>, OcspError> {
    if data.version != 0 {
        return Err(malformed("the version is not v1"));
    }
    let about_leaf = |single: &&SingleResponse<'_>| {
        single.cert_id.serial() == Some(path.leaf().serial()) && single.cert_id.is_of(path.issuer())
    };
    let mut matching = data.responses.iter().filter(about_leaf);
    let single = matching.next().ok_or(OcspError::OtherCertificate)?;
    if matching.next().is_some() {
        return Err(malformed("answers twice about the certificate"));
    }
    if unknown_critical(data.extensions.as_deref()) || unknown_critical(single.extensions.as_deref()) {
        return Err(malformed("a critical extension is not understood"));
    }
    Ok(single)
}

fn check_status(single: &SingleResponse<'_>) -> Result<(), OcspError> {
    match &single.status {
        CertStatus::Good(_) => Ok(()),
        CertStatus::Revoked(revoked) => Err(OcspError::Revoked { at: unix_millis(&revoked.at) }),
        CertStatus::Unknown(_) => Err(OcspError::Unknown),
    }
}

fn status_of(data: &ResponseData<'_>, single: &SingleResponse<'_>) -> Result<OcspStatus, OcspError> {
    let status = OcspStatus {
        this_update: unix_millis(&single.this_update),
        next_update: single.next_update.as_ref().map(unix_millis),
        produced_at: unix_millis(&data.produced_at),
    };
    if status.next_update.is_some_and(|next| next < status.this_update) {
        return Err(malformed("nextUpdate lies before thisUpdate"));
    }
    Ok(status)
}

fn malformed(reason: &str) -> OcspError {
    OcspError::Malformed(reason.to_owned())
}

fn not_der(error: der::Error) -> OcspError {
    OcspError::Malformed(format!("not DER as RFC 6960 has it: {error}"))
}

/// A responder's certificate and a path are all that has a reason to be carried.
const CARRIED_CERTIFICATES_MAX: usize = kogge_proto::limits::MATERIAL_ITEMS_MAX;

/// id-kp-OCSPSigning 1.3.6.1.5.5.7.3.9, content bytes.
const OCSP_SIGNING: &[u8] = &[0x2B, 0x06, 0x01, 0x05, 0x05, 0x07, 0x03, 0x09];

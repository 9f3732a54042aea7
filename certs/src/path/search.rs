//! One approved CA at a time, by rustls-webpki.

use std::time::Duration;

use kogge_proto::time::UnixMillis;
use rustls_pki_types::{CertificateDer, SignatureVerificationAlgorithm, TrustAnchor, UnixTime};
use webpki::{
    EndEntityCert, ExtendedKeyUsageValidator, KeyPurposeIdIter, KeyUsage, anchor_from_trusted_cert, aws_lc_rs,
};

use super::{PathError, check_validity, unknown_issuer};
use crate::certificate::Certificate;
use crate::profile::Profile;
use crate::trust::ApprovedCa;

/// The intermediates of a valid path from `leaf` to `ca`, the leaf's issuer first.
pub(super) fn to_ca(
    leaf: &Certificate,
    given: &[Certificate],
    ca: &ApprovedCa,
    profile: Profile,
    at: UnixMillis,
) -> Result<Vec<Certificate>, PathError> {
    let candidates: Vec<&Certificate> = given.iter().chain(&ca.intermediates).collect();
    let candidates_der: Vec<CertificateDer<'_>> =
        candidates.iter().map(|certificate| CertificateDer::from(certificate.der())).collect();
    let explain = |error| explain(&error, leaf, &candidates);

    let leaf_der = CertificateDer::from(leaf.der());
    let end_entity = EndEntityCert::try_from(&leaf_der).map_err(explain)?;
    let anchor_der = CertificateDer::from(ca.certificate.der());
    let anchors: [TrustAnchor<'_>; 1] = [anchor_from_trusted_cert(&anchor_der).map_err(explain)?];
    let time = UnixTime::since_unix_epoch(Duration::from_secs(u64::try_from(at.seconds()).unwrap_or(0)));
    let path = end_entity
        .verify_for_usage(ALGORITHMS, &anchors, &candidates_der, time, Purpose(profile), None, None)
        .map_err(explain)?;
    // webpki does not look at the dates of an anchor; an approval does not outlive the CA's own certificate.
    check_validity(&ca.certificate, at)?;

    let issuer = |der: &[u8]| candidates.iter().find(|candidate| candidate.der() == der);
    path.intermediate_certificates()
        .map(|used| issuer(&used.der()).map(|found| (*found).clone()).ok_or_else(|| unknown_issuer(leaf)))
        .collect()
}

/// What the CAs of a path must not exclude by an extended key usage of their own. That the leaf has its profile's purpose, and not only does
/// not exclude it, is judged by [`crate::profile::check`].
struct Purpose(Profile);

impl ExtendedKeyUsageValidator for Purpose {
    fn validate(&self, purposes: KeyPurposeIdIter<'_, '_>) -> Result<(), webpki::Error> {
        match self.0 {
            // No purpose of X.509 stands for signing messages.
            Profile::Signing => Ok(()),
            Profile::Authentication => KeyUsage::client_auth().validate(purposes),
            Profile::Tls => KeyUsage::server_auth().validate(purposes),
            Profile::OcspResponder => KeyUsage::required_if_present(OCSP_SIGNING).validate(purposes),
            Profile::Timestamping => KeyUsage::required_if_present(TIME_STAMPING).validate(purposes),
        }
    }
}

/// The reason in words; with the certificate concerned where webpki tells it.
fn explain(error: &webpki::Error, leaf: &Certificate, candidates: &[&Certificate]) -> PathError {
    use webpki::Error as E;
    let invalid = |reason: &str| PathError::Invalid(reason.to_owned());
    let dated = |date: UnixTime, of: fn(&Certificate) -> UnixMillis| {
        let date = UnixMillis(0).plus(Duration::from_secs(date.as_secs()));
        let found = candidates.iter().find(|candidate| of(candidate) == date);
        (found.map_or_else(|| leaf.subject(), |found| found.subject()), date)
    };
    match error {
        E::CertExpired { not_after, .. } => {
            let (subject, at) = dated(*not_after, Certificate::not_after);
            PathError::Expired { subject, at }
        }
        E::CertNotValidYet { not_before, .. } => {
            let (subject, at) = dated(*not_before, Certificate::not_before);
            PathError::NotYetValid { subject, at }
        }
        E::UnknownIssuer => unknown_issuer(leaf),
        E::MaximumPathDepthExceeded
        | E::MaximumPathBuildCallsExceeded
        | E::MaximumSignatureChecksExceeded
        | E::MaximumNameConstraintComparisonsExceeded => PathError::TooLong,
        E::InvalidSignatureForPublicKey => invalid("a certificate is not signed by the issuer that it names"),
        E::EndEntityUsedAsCa => invalid("a certificate is used as a CA's that is none"),
        E::CaUsedAsEndEntity => invalid("the certificate of a CA is used as an end entity's"),
        E::PathLenConstraintViolated => invalid("a CA allows fewer CAs below it"),
        E::NameConstraintViolation => invalid("a CA does not allow the name"),
        E::UnsupportedCriticalExtension => {
            invalid("a certificate has a critical extension that is not understood")
        }
        E::RequiredEkuNotFoundContext(_) => invalid("a CA does not allow this extended key usage"),
        E::UnsupportedSignatureAlgorithmContext(_)
        | E::UnsupportedSignatureAlgorithmForPublicKeyContext(_) => {
            invalid("a certificate is signed with an algorithm that is not accepted")
        }
        other => PathError::Invalid(other.to_string()),
    }
}

/// Algorithms accepted in certificates: those that this project verifies itself, and their mixed pairs, which some CAs use.
static ALGORITHMS: &[&dyn SignatureVerificationAlgorithm] = &[
    aws_lc_rs::ECDSA_P256_SHA256,
    aws_lc_rs::ECDSA_P256_SHA384,
    aws_lc_rs::ECDSA_P384_SHA256,
    aws_lc_rs::ECDSA_P384_SHA384,
    aws_lc_rs::ED25519,
    aws_lc_rs::RSA_PKCS1_2048_8192_SHA256,
    aws_lc_rs::RSA_PKCS1_2048_8192_SHA384,
    aws_lc_rs::RSA_PKCS1_2048_8192_SHA512,
    aws_lc_rs::RSA_PSS_2048_8192_SHA256_LEGACY_KEY,
    aws_lc_rs::RSA_PSS_2048_8192_SHA384_LEGACY_KEY,
    aws_lc_rs::RSA_PSS_2048_8192_SHA512_LEGACY_KEY,
];

/// id-kp-OCSPSigning, content bytes of 1.3.6.1.5.5.7.3.9.
const OCSP_SIGNING: &[u8] = &[0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x03, 0x09];
/// id-kp-timeStamping, content bytes of 1.3.6.1.5.5.7.3.8.
const TIME_STAMPING: &[u8] = &[0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x03, 0x08];

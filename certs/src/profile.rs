//! What signing, authentication, OCSP-responder and timestamping certificates look like: making requests and certificates
//! for a profile, and reading from a certificate whom it names.
//!
//! Subjects follow X-Road's FI-VRK profile: `O=member name, serialNumber=INSTANCE/SERVER/CLASS, CN=MEMBERCODE` for signing
//! certificates, `CN=SERVERCODE` instead for authentication certificates.
//!
//! Certificates are issued with `rcgen` through [`crate::key::SigningKey`], so a CA's key may live in any token.

mod extension;
mod params;
mod rcgen_key;
mod read;
mod request;
mod xroad;

use kogge_proto::id::{MemberId, SecurityServerId};
use kogge_proto::time::UnixMillis;

use crate::certificate::Certificate;
use crate::key::{PublicKey, SigningKey};

use rcgen_key::RcgenKey;

pub use xroad::SubjectForm;

/// A profile of end-entity certificates.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Profile {
    /// A member's signing certificate: key usage contentCommitment (nonRepudiation) alone, critical.
    Signing,
    /// A security server's TLS certificate: digitalSignature; extended key usage serverAuth and clientAuth.
    Authentication,
    /// Delegated OCSP responder: extended key usage OCSPSigning, id-pkix-ocsp-nocheck.
    OcspResponder,
    /// TSA: extended key usage timeStamping, critical and alone (RFC 3161 section 2.3).
    Timestamping,
    /// A server's HTTPS certificate for its information systems and operators: serverAuth with subject alternative names.
    Tls,
}

/// Whom a certificate is for.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Subject {
    /// A signing certificate of `member`, used on `server`.
    Signing {
        /// Who signs.
        member: MemberId,
        /// The member's name, for people (organizationName).
        name: String,
        /// The security server whose token holds the key.
        server: SecurityServerId,
    },
    /// An authentication certificate of `server`.
    Authentication {
        /// The server.
        server: SecurityServerId,
        /// The owner's name, for people (organizationName).
        name: String,
    },
    /// A trust service or CA, named by its common name and organisation.
    Service {
        /// commonName.
        common_name: String,
        /// organizationName; empty for none.
        organisation: String,
    },
    /// A TLS server by its DNS names and IP addresses (subject alternative names); the first is also the commonName.
    Tls {
        /// At least one.
        names: Vec<String>,
    },
}

/// A PKCS#10 request whose proof of possession holds.
#[derive(Clone, Debug)]
pub struct CertificateRequest {
    /// The key that is to be certified.
    pub public_key: PublicKey,
}

/// What an issuing CA decides beside profile and subject.
#[derive(Clone, Debug)]
pub struct IssueTerms {
    /// First moment of validity.
    pub not_before: UnixMillis,
    /// Last second of validity.
    pub not_after: UnixMillis,
    /// Positive serial number, at most 20 bytes, unique for the CA.
    pub serial: [u8; 16],
    /// URL of the OCSP responder for the Authority Information Access extension.
    pub ocsp_url: Option<String>,
}

/// Why a certificate cannot be made or does not fit its profile.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum ProfileError {
    /// The request is not DER or PEM PKCS#10, or its signature is wrong.
    #[error("not a valid certificate request: {0}")]
    Request(String),
    /// The certificate could not be made.
    #[error("the certificate could not be made: {0}")]
    Issue(String),
    /// The certificate lacks what the profile requires or has what it forbids.
    #[error("not a certificate of the profile {profile:?}: {reason}")]
    Unfit {
        /// The profile.
        profile: Profile,
        /// What is wrong.
        reason: String,
    },
}

/// A PKCS#10 request in DER for `key`, with `subject` as the wish; the CA decides itself.
///
/// # Errors
/// The key cannot sign, or the subject cannot be written.
pub fn request(key: &dyn SigningKey, subject: &Subject) -> Result<Vec<u8>, ProfileError> {
    request::make(key, subject)
}

/// Reads a request in DER or PEM and checks its proof of possession (RFC 2986 section 3).
///
/// # Errors
/// Not a request, wrong signature, or a key of a kind that cannot sign messages or connections here.
pub fn read_request(bytes: &[u8]) -> Result<CertificateRequest, ProfileError> {
    request::read(bytes)
}

/// A self-signed CA certificate (path length 1 at most, keyCertSign, cRLSign).
///
/// # Errors
/// The key cannot sign.
pub fn self_signed_ca(
    key: &dyn SigningKey,
    subject: &Subject,
    terms: &IssueTerms,
) -> Result<Certificate, ProfileError> {
    let params = params::ca(subject, terms, ROOT_PATH_LENGTH)?;
    issued(params.self_signed(&RcgenKey::new(key)?))
}

/// An intermediate CA certificate (path length 0).
///
/// # Errors
/// The issuer is no CA or not the owner of `issuer_key`, or the key cannot sign.
pub fn intermediate_ca(
    issuer: &Certificate,
    issuer_key: &dyn SigningKey,
    public_key: &PublicKey,
    subject: &Subject,
    terms: &IssueTerms,
) -> Result<Certificate, ProfileError> {
    sign(issuer, issuer_key, public_key, &params::ca(subject, terms, INTERMEDIATE_PATH_LENGTH)?)
}

/// An end-entity certificate of `profile` for `public_key`.
///
/// # Errors
/// The subject does not fit the profile, the issuer is no CA or not the owner of `issuer_key`, or the key cannot sign.
pub fn issue(
    issuer: &Certificate,
    issuer_key: &dyn SigningKey,
    public_key: &PublicKey,
    profile: Profile,
    subject: &Subject,
    terms: &IssueTerms,
) -> Result<Certificate, ProfileError> {
    let certificate = sign(issuer, issuer_key, public_key, &params::end_entity(profile, subject, terms)?)?;
    check(&certificate, profile)?;
    Ok(certificate)
}

/// Whether the certificate's usages fit the profile.
///
/// # Errors
/// They do not; see X-Road's usage checks: signing needs keyUsage with nonRepudiation, and is not for TLS;
/// authentication needs extended key usage clientAuth.
pub fn check(certificate: &Certificate, profile: Profile) -> Result<(), ProfileError> {
    read::check(certificate, profile)
}

/// The member that a signing certificate names.
///
/// # Errors
/// The subject does not have the profile's attributes, or they are not valid codes.
pub fn signing_member(certificate: &Certificate) -> Result<MemberId, ProfileError> {
    read::signing_member(certificate)
}

/// Signs with the issuer's key, and hands out only what reads back as issued by exactly this issuer.
fn sign(
    issuer: &Certificate,
    issuer_key: &dyn SigningKey,
    public_key: &PublicKey,
    params: &rcgen::CertificateParams,
) -> Result<Certificate, ProfileError> {
    if !issuer.is_ca() || issuer.public_key() != issuer_key.public_key() {
        return Err(ProfileError::Issue(
            "the issuer's certificate is no CA's, or the key is not its own".to_owned(),
        ));
    }
    let subject_key = rcgen::SubjectPublicKeyInfo::from_der(public_key.spki())?;
    let issuer_name = params::issuer(issuer, RcgenKey::new(issuer_key)?)?;
    let certificate = issued(params.signed_by(&subject_key, &issuer_name))?;
    if certificate.issuer_der() != issuer.subject_der() || certificate.public_key() != public_key {
        return Err(ProfileError::Issue(
            "the issuer's name cannot be written as it stands in its certificate".to_owned(),
        ));
    }
    Ok(certificate)
}

fn issued(made: Result<rcgen::Certificate, rcgen::Error>) -> Result<Certificate, ProfileError> {
    Certificate::from_der(made?.der()).map_err(|error| ProfileError::Issue(error.to_string()))
}

impl From<rcgen::Error> for ProfileError {
    fn from(error: rcgen::Error) -> Self {
        Self::Issue(error.to_string())
    }
}

/// One intermediate below a root.
const ROOT_PATH_LENGTH: u8 = 1;
/// Only end entities below an intermediate.
const INTERMEDIATE_PATH_LENGTH: u8 = 0;

#[cfg(test)]
mod tests;

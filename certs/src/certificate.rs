//! An X.509 v3 certificate (RFC 5280), parsed once.

mod pem;
mod usage;

use std::fmt;
use std::sync::Arc;

use der::{Decode, Encode};
use kogge_proto::digest::{Sha256, sha256};
use kogge_proto::limits::MATERIAL_ITEM_BYTES_MAX;
use kogge_proto::time::UnixMillis;
use x509_cert::name::RdnSequence;
use x509_parser::prelude::{FromDer, X509Certificate, X509Version};

use crate::key::PublicKey;

pub(crate) use usage::Usages;

/// A well-formed certificate whose key is of an accepted kind. Says nothing about whether to believe it: that is
/// [`crate::path`]. Cheap to clone.
#[derive(Clone)]
pub struct Certificate(Arc<Inner>);

struct Inner {
    der: Vec<u8>,
    sha256: Sha256,
    public_key: PublicKey,
    subject: Box<[u8]>,
    issuer: Box<[u8]>,
    serial: Box<[u8]>,
    not_before: UnixMillis,
    not_after: UnixMillis,
    usages: Usages,
}

/// Why bytes are not an acceptable certificate.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum CertificateError {
    /// Longer than is accepted.
    #[error("the certificate is larger than is accepted")]
    TooLarge,
    /// Not a DER certificate, or followed by other bytes.
    #[error("not a DER certificate: {0}")]
    Malformed(String),
    /// Not PEM of certificates.
    #[error("not PEM of certificates")]
    Pem,
    /// The key is of a kind that is not accepted.
    #[error("the certificate's key is not acceptable: {0}")]
    Key(#[from] crate::key::KeyError),
}

impl Certificate {
    /// From DER.
    ///
    /// # Errors
    /// Not a certificate, too large, or with a key of a kind that is not accepted.
    pub fn from_der(der: &[u8]) -> Result<Self, CertificateError> {
        if der.len() > MATERIAL_ITEM_BYTES_MAX {
            return Err(CertificateError::TooLarge);
        }
        require_canonical(der)?;
        let (rest, parsed) =
            X509Certificate::from_der(der).map_err(|error| CertificateError::Malformed(error.to_string()))?;
        if !rest.is_empty() {
            return Err(malformed("other bytes follow it"));
        }
        if parsed.version() != X509Version::V3 {
            return Err(malformed("it is not of version 3"));
        }
        if parsed.signature_algorithm != parsed.tbs_certificate.signature {
            return Err(malformed("its two signature algorithms differ"));
        }
        let usages = Usages::read(&parsed)?;
        Ok(Self(Arc::new(Inner {
            der: der.to_vec(),
            sha256: sha256(der),
            public_key: PublicKey::from_spki(parsed.public_key().raw)?,
            subject: parsed.subject().as_raw().into(),
            issuer: parsed.issuer().as_raw().into(),
            serial: parsed.raw_serial().into(),
            not_before: UnixMillis(parsed.validity().not_before.timestamp().saturating_mul(1000)),
            not_after: UnixMillis(parsed.validity().not_after.timestamp().saturating_mul(1000)),
            usages,
        })))
    }

    /// All certificates of a PEM text, in order; at least one.
    ///
    /// # Errors
    /// No certificate in it, or one that [`Certificate::from_der`] refuses.
    pub fn from_pem(text: &str) -> Result<Vec<Self>, CertificateError> {
        pem::decode(text)?.iter().map(|der| Self::from_der(der)).collect()
    }

    /// The exact DER.
    #[must_use]
    pub fn der(&self) -> &[u8] {
        &self.0.der
    }

    /// As PEM with a trailing line end.
    #[must_use]
    pub fn to_pem(&self) -> String {
        pem::encode(&self.0.der)
    }

    /// SHA-256 of the DER.
    #[must_use]
    pub fn sha256(&self) -> Sha256 {
        self.0.sha256
    }

    /// The subject's public key.
    #[must_use]
    pub fn public_key(&self) -> &PublicKey {
        &self.0.public_key
    }

    /// The subject for people (RFC 4514).
    #[must_use]
    pub fn subject(&self) -> String {
        display_name(self.subject_der())
    }

    /// The issuer for people (RFC 4514).
    #[must_use]
    pub fn issuer(&self) -> String {
        display_name(self.issuer_der())
    }

    /// DER of the subject Name.
    #[must_use]
    pub fn subject_der(&self) -> &[u8] {
        &self.0.subject
    }

    /// DER of the issuer Name.
    #[must_use]
    pub fn issuer_der(&self) -> &[u8] {
        &self.0.issuer
    }

    /// The content bytes of the serial number INTEGER, big-endian, as encoded.
    #[must_use]
    pub fn serial(&self) -> &[u8] {
        &self.0.serial
    }

    /// First moment of validity.
    #[must_use]
    pub fn not_before(&self) -> UnixMillis {
        self.0.not_before
    }

    /// Last second of validity.
    #[must_use]
    pub fn not_after(&self) -> UnixMillis {
        self.0.not_after
    }

    /// Whether `at` lies within the validity. The last second of it belongs to it, all of it (RFC 5280 section 4.1.2.5).
    #[must_use]
    pub fn is_valid_at(&self, at: UnixMillis) -> bool {
        self.not_before() <= at && at.floor_seconds() <= self.not_after()
    }

    /// Whether the Basic Constraints say CA.
    #[must_use]
    pub fn is_ca(&self) -> bool {
        self.0.usages.is_ca()
    }

    /// What the certificate's extensions allow its key to do.
    pub(crate) fn usages(&self) -> &Usages {
        &self.0.usages
    }
}

/// Refuses bytes that are not the one DER encoding of what they say: the parser reads some BER, and a second encoding of the same certificate
/// would have another digest.
fn require_canonical(der: &[u8]) -> Result<(), CertificateError> {
    let certificate = x509_cert::Certificate::from_der(der)
        .map_err(|error| CertificateError::Malformed(error.to_string()))?;
    // Unused bits of the signature would be re-encoded as they came.
    let whole_bytes = certificate.signature().as_bytes().is_some();
    match certificate.to_der() {
        Ok(again) if again == der && whole_bytes => Ok(()),
        _ => Err(malformed("it is not in DER")),
    }
}

fn display_name(der: &[u8]) -> String {
    match RdnSequence::from_der(der) {
        Ok(name) => name.to_string(),
        Err(_) => format!("#{}", hex::encode(der)),
    }
}

fn malformed(reason: &str) -> CertificateError {
    CertificateError::Malformed(reason.to_owned())
}

impl PartialEq for Certificate {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0) || self.0.der == other.0.der
    }
}

impl Eq for Certificate {}

impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "certificate {}", self.0.sha256)
    }
}

#[cfg(test)]
mod tests;

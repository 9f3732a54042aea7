//! The small ASN.1 pieces that OCSP and timestamps share: strict decoding, algorithm identifiers, extensions, times.
//!
//! Everything is DER. What a signature covers is kept as it came; what no signature covers must be encoded in the one way
//! that DER allows, so that no byte of it can change without the whole being refused.

use der::asn1::{AnyRef, GeneralizedTime, ObjectIdentifier, OctetString};
use der::{Decode, Encode, Sequence};
use kogge_proto::time::UnixMillis;
use spki::{AlgorithmIdentifierRef, SubjectPublicKeyInfoRef};

use crate::certificate::Certificate;
use crate::key::{KeyKind, SignatureScheme};

/// Decodes and insists that encoding again yields the same bytes.
pub(crate) fn strict<'a, T>(bytes: &'a [u8]) -> der::Result<T>
where
    T: Decode<'a, Error = der::Error> + Encode,
{
    let value = T::from_der(bytes)?;
    if value.to_der()? == bytes { Ok(value) } else { Err(der::ErrorKind::Failed.into()) }
}

/// Extension ::= SEQUENCE { extnID, critical DEFAULT FALSE, extnValue } (RFC 5280 section 4.1).
#[derive(Clone, Debug, Eq, PartialEq, Sequence)]
pub(crate) struct Extension {
    pub(crate) id: ObjectIdentifier,
    #[asn1(default = "Default::default")]
    pub(crate) critical: bool,
    pub(crate) value: OctetString,
}

/// A digest algorithm of CertIDs, imprints, signer infos and ESS certificate ids.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum DigestAlgorithm {
    /// Only names things (CertID, ESSCertID); never signed with.
    Sha1,
    /// SHA-256.
    Sha256,
    /// SHA-384.
    Sha384,
    /// SHA-512.
    Sha512,
}

impl DigestAlgorithm {
    /// From an identifier whose parameters are absent or NULL (RFC 5754 section 2: both are in use).
    pub(crate) fn from_identifier(identifier: &AlgorithmIdentifierRef<'_>) -> Option<Self> {
        if identifier.parameters.is_some_and(|parameters| !parameters.is_null()) {
            return None;
        }
        [Self::Sha1, Self::Sha256, Self::Sha384, Self::Sha512]
            .into_iter()
            .find(|algorithm| algorithm.oid() == identifier.oid)
    }

    /// The identifier without parameters.
    pub(crate) fn identifier(self) -> AlgorithmIdentifierRef<'static> {
        AlgorithmIdentifierRef { oid: self.oid(), parameters: None }
    }

    /// The identifier with NULL parameters, which older programs expect for SHA-1.
    pub(crate) fn identifier_with_null(self) -> AlgorithmIdentifierRef<'static> {
        AlgorithmIdentifierRef { oid: self.oid(), parameters: Some(AnyRef::NULL) }
    }

    pub(crate) fn digest(self, bytes: &[u8]) -> Vec<u8> {
        use ring::digest;
        let algorithm = match self {
            Self::Sha1 => &digest::SHA1_FOR_LEGACY_USE_ONLY,
            Self::Sha256 => &digest::SHA256,
            Self::Sha384 => &digest::SHA384,
            Self::Sha512 => &digest::SHA512,
        };
        digest::digest(algorithm, bytes).as_ref().to_vec()
    }

    /// Length of the digest in bytes.
    pub(crate) fn len(self) -> usize {
        match self {
            Self::Sha1 => 20,
            Self::Sha256 => 32,
            Self::Sha384 => 48,
            Self::Sha512 => 64,
        }
    }

    fn oid(self) -> ObjectIdentifier {
        match self {
            Self::Sha1 => SHA1,
            Self::Sha256 => SHA256,
            Self::Sha384 => SHA384,
            Self::Sha512 => SHA512,
        }
    }
}

/// The scheme that a signatureAlgorithm of X.509 and OCSP names (RFC 5758, RFC 4055, RFC 8410); RSA with NULL parameters, the
/// others without.
pub(crate) fn scheme_of(identifier: &AlgorithmIdentifierRef<'_>) -> Option<SignatureScheme> {
    CERTIFICATE_SCHEMES.into_iter().find(|scheme| scheme_identifier(*scheme).as_ref() == Some(identifier))
}

/// The signatureAlgorithm of X.509 and OCSP for a scheme; `None` for schemes that they do not use.
pub(crate) fn scheme_identifier(scheme: SignatureScheme) -> Option<AlgorithmIdentifierRef<'static>> {
    let (oid, parameters) = match scheme {
        SignatureScheme::EcdsaP256Sha256Asn1 => (ECDSA_SHA256, None),
        SignatureScheme::EcdsaP384Sha384Asn1 => (ECDSA_SHA384, None),
        SignatureScheme::RsaPkcs1Sha256 => (RSA_SHA256, Some(AnyRef::NULL)),
        SignatureScheme::RsaPkcs1Sha384 => (RSA_SHA384, Some(AnyRef::NULL)),
        SignatureScheme::RsaPkcs1Sha512 => (RSA_SHA512, Some(AnyRef::NULL)),
        SignatureScheme::Ed25519 => (ED25519, None),
        SignatureScheme::EcdsaP256Sha256Fixed
        | SignatureScheme::EcdsaP256Sha384Fixed
        | SignatureScheme::EcdsaP256Sha512Fixed
        | SignatureScheme::EcdsaP384Sha256Fixed
        | SignatureScheme::EcdsaP384Sha384Fixed
        | SignatureScheme::EcdsaP384Sha512Fixed
        | SignatureScheme::RsaPssSha256
        | SignatureScheme::RsaPssSha384
        | SignatureScheme::RsaPssSha512 => return None,
    };
    Some(AlgorithmIdentifierRef { oid, parameters })
}

/// What a CMS signer info has to name for a kind of key and a digest: signatureAlgorithm and scheme. RSA is named
/// `rsaEncryption` (RFC 5754 section 3.2), so that there is one way only; Ed25519 goes with SHA-512 (RFC 8419 section 3).
pub(crate) fn cms_scheme(
    kind: KeyKind,
    digest: DigestAlgorithm,
) -> Option<(AlgorithmIdentifierRef<'static>, SignatureScheme)> {
    let rsa = AlgorithmIdentifierRef { oid: RSA_ENCRYPTION, parameters: Some(AnyRef::NULL) };
    match (kind, digest) {
        (KeyKind::EcdsaP256, DigestAlgorithm::Sha256) => {
            with_identifier(SignatureScheme::EcdsaP256Sha256Asn1)
        }
        (KeyKind::EcdsaP384, DigestAlgorithm::Sha384) => {
            with_identifier(SignatureScheme::EcdsaP384Sha384Asn1)
        }
        (KeyKind::Ed25519, DigestAlgorithm::Sha512) => with_identifier(SignatureScheme::Ed25519),
        (KeyKind::Rsa(_), DigestAlgorithm::Sha256) => Some((rsa, SignatureScheme::RsaPkcs1Sha256)),
        (KeyKind::Rsa(_), DigestAlgorithm::Sha384) => Some((rsa, SignatureScheme::RsaPkcs1Sha384)),
        (KeyKind::Rsa(_), DigestAlgorithm::Sha512) => Some((rsa, SignatureScheme::RsaPkcs1Sha512)),
        _ => None,
    }
}

/// The key bits of a certificate, without tag, length and unused-bits octet: what key hashes are over (RFC 6960 section 4.1.1).
pub(crate) fn key_bits(certificate: &Certificate) -> Option<&[u8]> {
    SubjectPublicKeyInfoRef::from_der(certificate.public_key().spki()).ok()?.subject_public_key.as_bytes()
}

/// Whole seconds, as OCSP has them. Times before 1970 and after 9999 have no such form.
pub(crate) fn generalized_time(at: UnixMillis) -> der::Result<GeneralizedTime> {
    let seconds = u64::try_from(at.seconds()).map_err(|_| der::ErrorKind::DateTime)?;
    GeneralizedTime::from_unix_duration(std::time::Duration::from_secs(seconds))
}

/// The point in time of a GeneralizedTime.
pub(crate) fn unix_millis(time: &GeneralizedTime) -> UnixMillis {
    UnixMillis(0).plus(time.to_unix_duration())
}

fn with_identifier(scheme: SignatureScheme) -> Option<(AlgorithmIdentifierRef<'static>, SignatureScheme)> {
    scheme_identifier(scheme).map(|identifier| (identifier, scheme))
}

const CERTIFICATE_SCHEMES: [SignatureScheme; 6] = [
    SignatureScheme::EcdsaP256Sha256Asn1,
    SignatureScheme::EcdsaP384Sha384Asn1,
    SignatureScheme::RsaPkcs1Sha256,
    SignatureScheme::RsaPkcs1Sha384,
    SignatureScheme::RsaPkcs1Sha512,
    SignatureScheme::Ed25519,
];

const SHA1: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.14.3.2.26");
const SHA256: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.2.1");
const SHA384: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.2.2");
const SHA512: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.2.3");
const ECDSA_SHA256: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.4.3.2");
const ECDSA_SHA384: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.4.3.3");
const RSA_ENCRYPTION: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");
const RSA_SHA256: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.11");
const RSA_SHA384: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.12");
const RSA_SHA512: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.13");
const ED25519: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.101.112");

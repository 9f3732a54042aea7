//! Public keys, signature schemes, and the trait behind which private keys live.

mod verifier;

use std::fmt;
use std::sync::Arc;

use kogge_proto::digest::{Sha256, sha256};
use kogge_proto::wire::evidence as wire;

use verifier::Verifier;

/// A signature algorithm together with the form of its value.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum SignatureScheme {
    /// ECDSA P-256 with SHA-256, value r‖s of 64 bytes: XML signatures, registry snapshots.
    EcdsaP256Sha256Fixed,
    /// ECDSA P-256 with SHA-256, value a DER SEQUENCE: X.509, CMS, OCSP, TLS.
    EcdsaP256Sha256Asn1,
    /// ECDSA P-384 with SHA-384, DER; verification only (CAs and TSAs of others).
    EcdsaP384Sha384Asn1,
    /// RSA PKCS#1 v1.5 with SHA-256.
    RsaPkcs1Sha256,
    /// RSA PKCS#1 v1.5 with SHA-384; verification only.
    RsaPkcs1Sha384,
    /// RSA PKCS#1 v1.5 with SHA-512: message signatures of RSA keys, unless they are told to use PSS.
    RsaPkcs1Sha512,
    /// RSA-PSS with SHA-256, salt as long as the digest: TLS 1.3.
    RsaPssSha256,
    /// RSA-PSS with SHA-384, salt as long as the digest: XML signatures of others.
    RsaPssSha384,
    /// RSA-PSS with SHA-512, salt as long as the digest: message signatures of RSA keys that are told so, XML signatures of others.
    RsaPssSha512,
    /// ECDSA P-256 with SHA-384, r‖s of 64 bytes: XML signatures of others.
    EcdsaP256Sha384Fixed,
    /// ECDSA P-256 with SHA-512, r‖s of 64 bytes: XML signatures of others (what X-Road makes with an EC key unless told otherwise).
    EcdsaP256Sha512Fixed,
    /// ECDSA P-384 with SHA-256, r‖s of 96 bytes: XML signatures of others.
    EcdsaP384Sha256Fixed,
    /// ECDSA P-384 with SHA-384, r‖s of 96 bytes: XML signatures of others.
    EcdsaP384Sha384Fixed,
    /// ECDSA P-384 with SHA-512, r‖s of 96 bytes: XML signatures of others.
    EcdsaP384Sha512Fixed,
    /// Ed25519.
    Ed25519,
}

/// What kind of key.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum KeyKind {
    /// ECDSA on P-256.
    EcdsaP256,
    /// ECDSA on P-384; verification only.
    EcdsaP384,
    /// RSA with a modulus of this many bits, 2048 to 4096.
    Rsa(u16),
    /// Ed25519.
    Ed25519,
}

/// A public key of an accepted kind; always well-formed: a point on its curve, an RSA modulus with a sane exponent. Cheap to clone.
#[derive(Clone)]
pub struct PublicKey(Arc<Inner>);

struct Inner {
    spki: Vec<u8>,
    kind: KeyKind,
    key_id: Sha256,
    verifier: Verifier,
}

/// Why bytes are not an acceptable public key, or a signature is not one by it.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum KeyError {
    /// Not a DER SubjectPublicKeyInfo.
    #[error("not a DER SubjectPublicKeyInfo")]
    Malformed,
    /// A kind of key that is not accepted.
    #[error("keys must be ECDSA P-256 or P-384, RSA of 2048 to 4096 bits, or Ed25519")]
    Kind,
    /// The scheme does not fit the key.
    #[error("the signature scheme does not fit the kind of key")]
    Scheme,
    /// The signature is not by this key over these bytes.
    #[error("the signature is wrong")]
    BadSignature,
}

/// A private key somewhere: only what it can do, never what it is. Implemented by `kogge-signer`.
pub trait SigningKey: Send + Sync {
    /// The public half.
    fn public_key(&self) -> &PublicKey;

    /// Signs `message` itself, not a digest of it. May block for the time of one signature.
    ///
    /// # Errors
    /// The scheme does not fit the key, or the token cannot sign now.
    fn sign(&self, scheme: SignatureScheme, message: &[u8]) -> Result<Vec<u8>, SignError>;

    /// The scheme in which it signs messages; `None` for a key that does not sign any. RSA has two, and a key may be told to use the other.
    fn message_scheme(&self) -> Option<SignatureScheme> {
        SignatureScheme::for_messages(self.public_key().kind())
    }
}

/// Why a key did not sign.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum SignError {
    /// The scheme does not fit the kind of key.
    #[error("the signature scheme does not fit the kind of key")]
    Scheme,
    /// The token could not sign; what it says about the reason.
    #[error("the token could not sign: {0}")]
    Token(String),
}

impl SignatureScheme {
    /// The scheme of snapshots for a kind of key, and of message signatures unless the key says otherwise
    /// ([`SigningKey::message_scheme`]); `None` for keys that only verify.
    #[must_use]
    pub fn for_messages(kind: KeyKind) -> Option<Self> {
        match kind {
            KeyKind::EcdsaP256 => Some(Self::EcdsaP256Sha256Fixed),
            KeyKind::EcdsaP384 => None,
            KeyKind::Rsa(_) => Some(Self::RsaPkcs1Sha512),
            KeyKind::Ed25519 => Some(Self::Ed25519),
        }
    }

    /// The scheme for certificates, certificate requests, OCSP responses and timestamp tokens that we make.
    #[must_use]
    pub fn for_certificates(kind: KeyKind) -> Option<Self> {
        match kind {
            KeyKind::EcdsaP256 => Some(Self::EcdsaP256Sha256Asn1),
            KeyKind::EcdsaP384 => None,
            KeyKind::Rsa(_) => Some(Self::RsaPkcs1Sha256),
            KeyKind::Ed25519 => Some(Self::Ed25519),
        }
    }

    /// The scheme for TLS 1.3 handshakes.
    #[must_use]
    pub fn for_tls(kind: KeyKind) -> Option<Self> {
        match kind {
            KeyKind::Rsa(_) => Some(Self::RsaPssSha256),
            other => Self::for_certificates(other),
        }
    }

    /// The number that compact message signatures carry; `None` for schemes that they never use.
    #[must_use]
    pub fn to_wire(self) -> Option<wire::SignatureMethod> {
        match self {
            Self::EcdsaP256Sha256Fixed => Some(wire::SignatureMethod::EcdsaP256Sha256),
            Self::RsaPkcs1Sha512 => Some(wire::SignatureMethod::RsaSha512),
            Self::RsaPssSha512 => Some(wire::SignatureMethod::RsaPssSha512),
            Self::Ed25519 => Some(wire::SignatureMethod::Ed25519),
            _ => None,
        }
    }

    /// From the number in a compact message signature.
    #[must_use]
    pub fn from_wire(method: i32) -> Option<Self> {
        match wire::SignatureMethod::try_from(method).ok()? {
            wire::SignatureMethod::Unspecified => None,
            wire::SignatureMethod::EcdsaP256Sha256 => Some(Self::EcdsaP256Sha256Fixed),
            wire::SignatureMethod::RsaSha512 => Some(Self::RsaPkcs1Sha512),
            wire::SignatureMethod::RsaPssSha512 => Some(Self::RsaPssSha512),
            wire::SignatureMethod::Ed25519 => Some(Self::Ed25519),
        }
    }
}

impl PublicKey {
    /// From a DER SubjectPublicKeyInfo (RFC 5280 section 4.1.2.7).
    ///
    /// # Errors
    /// Not one, or of a kind that is not accepted.
    pub fn from_spki(spki: &[u8]) -> Result<Self, KeyError> {
        let (kind, verifier) = verifier::read(spki)?;
        Ok(Self(Arc::new(Inner { spki: spki.to_vec(), kind, key_id: sha256(spki), verifier })))
    }

    /// The DER SubjectPublicKeyInfo.
    #[must_use]
    pub fn spki(&self) -> &[u8] {
        &self.0.spki
    }

    /// The raw key (RFC 8032, section 5.1.5) of an Ed25519 key; `None` of others.
    #[must_use]
    pub fn ed25519(&self) -> Option<[u8; 32]> {
        // The SubjectPublicKeyInfo ends in the key (RFC 8410, section 4).
        (self.kind() == KeyKind::Ed25519).then(|| self.spki().last_chunk::<32>().copied()).flatten()
    }

    /// SHA-256 of the SubjectPublicKeyInfo.
    #[must_use]
    pub fn key_id(&self) -> Sha256 {
        self.0.key_id
    }

    /// What kind of key.
    #[must_use]
    pub fn kind(&self) -> KeyKind {
        self.0.kind
    }

    /// Checks a signature over `message` (not over a digest of it).
    ///
    /// # Errors
    /// The scheme does not fit the key, or the signature is wrong.
    pub fn verify(&self, scheme: SignatureScheme, message: &[u8], signature: &[u8]) -> Result<(), KeyError> {
        self.0.verifier.verify(scheme, message, signature)
    }
}

impl PartialEq for PublicKey {
    fn eq(&self, other: &Self) -> bool {
        self.0.spki == other.0.spki
    }
}

impl Eq for PublicKey {}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} {}", self.0.kind, self.0.key_id)
    }
}

#[cfg(test)]
mod tests;
#[cfg(test)]
mod wycheproof;

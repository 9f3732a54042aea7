//! Lets `rcgen` sign with any key behind [`SigningKey`].

use rcgen::{PublicKeyData, SignatureAlgorithm, SubjectPublicKeyInfo};

use super::ProfileError;
use crate::key::{KeyKind, SignatureScheme, SigningKey};

/// A key as rcgen sees it: the scheme is fixed by the kind of key.
pub(super) struct RcgenKey<'a> {
    key: &'a dyn SigningKey,
    scheme: SignatureScheme,
    algorithm: &'static SignatureAlgorithm,
    public: SubjectPublicKeyInfo,
}

impl<'a> RcgenKey<'a> {
    /// Of a key that can sign certificates.
    pub(super) fn new(key: &'a dyn SigningKey) -> Result<Self, ProfileError> {
        let kind = key.public_key().kind();
        let algorithm = match kind {
            KeyKind::EcdsaP256 => &rcgen::PKCS_ECDSA_P256_SHA256,
            KeyKind::Rsa(_) => &rcgen::PKCS_RSA_SHA256,
            KeyKind::Ed25519 => &rcgen::PKCS_ED25519,
            KeyKind::EcdsaP384 => return Err(verifies_only()),
        };
        let scheme = SignatureScheme::for_certificates(kind).ok_or_else(verifies_only)?;
        let public = SubjectPublicKeyInfo::from_der(key.public_key().spki())?;
        Ok(Self { key, scheme, algorithm, public })
    }
}

impl PublicKeyData for RcgenKey<'_> {
    fn der_bytes(&self) -> &[u8] {
        self.public.der_bytes()
    }

    fn algorithm(&self) -> &'static SignatureAlgorithm {
        self.algorithm
    }
}

impl rcgen::SigningKey for RcgenKey<'_> {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, rcgen::Error> {
        // rcgen's error for keys outside of it has no room for the reason.
        self.key.sign(self.scheme, message).map_err(|_| rcgen::Error::RemoteKeyError)
    }
}

fn verifies_only() -> ProfileError {
    ProfileError::Issue("keys of this kind only verify".to_owned())
}

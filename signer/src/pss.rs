//! RSA keys that sign messages with PSS.

use std::sync::Arc;

use kogge_certs::key::{KeyKind, PublicKey, SignError, SignatureScheme, SigningKey};

/// An RSA key that signs messages with PSS and SHA-512 in place of PKCS#1 v1.5 (RFC 9231 section 2.3.10). Keys of other kinds have one
/// scheme, and come back as they are.
#[must_use]
pub fn with_pss(key: Arc<dyn SigningKey>) -> Arc<dyn SigningKey> {
    match key.public_key().kind() {
        KeyKind::Rsa(_) => Arc::new(PssKey(key)),
        KeyKind::EcdsaP256 | KeyKind::EcdsaP384 | KeyKind::Ed25519 => key,
    }
}

struct PssKey(Arc<dyn SigningKey>);

impl SigningKey for PssKey {
    fn public_key(&self) -> &PublicKey {
        self.0.public_key()
    }

    fn sign(&self, scheme: SignatureScheme, message: &[u8]) -> Result<Vec<u8>, SignError> {
        self.0.sign(scheme, message)
    }

    fn message_scheme(&self) -> Option<SignatureScheme> {
        Some(SignatureScheme::RsaPssSha512)
    }
}

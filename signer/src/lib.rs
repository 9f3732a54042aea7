//! The only home of private keys: the software token, a directory of keys encrypted under a PIN.
//!
//! Threat model: whoever reads the directory (a backup, a stolen disk) learns nothing secret without the PIN; whoever can write
//! to it can take keys and certificates away, but not swap one key for another or change what a key is for; whoever can read this
//! process's memory has lost the keys. Nothing here returns the bytes of a private key; the log key, which signs nothing, is handed to the message log. Keys and PINs are zeroised when dropped:
//! that is why every private operation is aws-lc-rs', which clears its memory, and none is ring's, which does not.
//!
//! # What is in the directory
//! | file | content |
//! |---|---|
//! | `token` | Argon2id parameters and salt; the *token key* (256 bits, random), sealed under the key derived from the PIN. It opens with the right PIN alone, so it is the PIN's check value as well |
//! | `keys/ID.key` | use, label, SubjectPublicKeyInfo; the private key (PKCS#8), sealed under the token key and bound to ID, use and label. ID is the SHA-256 of the SubjectPublicKeyInfo in hex |
//! | `certificates/ID.LEAF.pem` | a chain for the key ID, leaf first; LEAF is the SHA-256 of the leaf certificate in hex |
//! | `log.key` | the key under which the message log keeps the keys of bodies (256 random bits), sealed under the token key; made when it is first needed |
//! | `lock` | nothing; held while a token is made |
//!
//! `token`, `log.key` and `*.key` are one line with kind, version and SHA-256 of the rest, then JSON. Sealing is AES-256-GCM with a random nonce.
//! Every file is written whole and atomically, under a name that nothing else has, so writers need no lock and a crash loses at most the
//! file that was being written.
//!
//! Deliberately absent: the network, a runtime, which key is used for what message.
#![forbid(unsafe_code)]

use std::path::PathBuf;
use std::sync::Arc;

use kogge_certs::certificate::Certificate;
use kogge_certs::key::{PublicKey, SigningKey};
use kogge_durable::DurableError;
use kogge_proto::digest::Sha256;

mod checkpoint_key;
mod directory;
mod file;
mod key;
mod log_key;
mod pin;
mod pss;
mod seal;
mod token;

pub use self::checkpoint_key::CHECKPOINT_KEY_LABEL;
pub use self::directory::{entries, import_chain};
pub use self::log_key::{LOG_KEY_FILE, LogKeyBytes};
pub use self::pin::{PIN_CHARACTERS_MIN, Pin, PinSource};
pub use self::pss::with_pss;
pub use self::token::SoftToken;

/// Which kind of key to generate.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum NewKeyKind {
    /// ECDSA P-256.
    #[default]
    EcdsaP256,
    /// RSA of 2048, 3072 or 4096 bits.
    Rsa(u16),
    /// Ed25519.
    Ed25519,
}

/// What a key in the token is for. Kept beside the key so that a signing key never authenticates a connection.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum KeyUse {
    /// A member's message signatures.
    Signing,
    /// A security server's TLS connections.
    Authentication,
    /// A trust service, the registry, or anything else of the operator's own.
    Service,
}

/// A key in the token, as far as it is public.
#[derive(Clone, Debug)]
pub struct KeyEntry {
    /// SHA-256 of the SubjectPublicKeyInfo: the key's name in the token.
    pub id: Sha256,
    /// What it is for.
    pub key_use: KeyUse,
    /// The operator's own words.
    pub label: String,
    /// The public half.
    pub public_key: PublicKey,
    /// Imported certificate chains, newest last; each has the leaf first and then its intermediates.
    pub chains: Vec<Vec<Certificate>>,
}

/// Why the token does not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// There is no token in the directory.
    #[error("there is no token in {path}: run `kogge token init` first", path = .0.display())]
    Missing(PathBuf),
    /// There is one already.
    #[error("there is a token in {path} already", path = .0.display())]
    Exists(PathBuf),
    /// The PIN is wrong.
    #[error("the PIN is wrong")]
    WrongPin,
    /// The PIN is too short.
    #[error("the PIN must have at least {0} characters")]
    ShortPin(usize),
    /// The PIN cannot be had.
    #[error("the PIN cannot be read: {0}")]
    Pin(String),
    /// A file of the token is damaged or from another version.
    #[error("the token file {path} is damaged: {reason}", path = .path.display())]
    Damaged {
        /// Which.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// The label cannot be kept.
    #[error("a label has at most {0} characters and none that control the terminal")]
    Label(usize),
    /// There is no certificate to import.
    #[error("there is no certificate to import")]
    NoCertificate,
    /// No such key.
    #[error("the token has no key {0}")]
    NoKey(String),
    /// The certificate belongs to none of the keys.
    #[error("the certificate belongs to no key of this token")]
    ForeignCertificate,
    /// RSA of a size that is not offered.
    #[error("RSA keys have 2048, 3072 or 4096 bits")]
    KeySize,
    /// The cryptographic library refused.
    #[error("the key cannot be made or used: {0}")]
    Crypto(String),
    /// The directory cannot be read or written.
    #[error(transparent)]
    Durable(#[from] DurableError),
}

/// A key that lives only in memory, for tests and for protocols that need a throw-away key.
///
/// # Errors
/// The size is not offered.
pub fn ephemeral(kind: NewKeyKind) -> Result<Arc<dyn SigningKey>, TokenError> {
    Ok(Arc::new(key::SoftKey::generate(kind)?))
}

impl KeyUse {
    /// The word in files and on the command line.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Signing => "signing",
            Self::Authentication => "authentication",
            Self::Service => "service",
        }
    }

    /// From the word; `None` for any other.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        [Self::Signing, Self::Authentication, Self::Service].into_iter().find(|known| known.as_str() == word)
    }
}

#[cfg(test)]
mod tests;

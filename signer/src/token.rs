//! The unlocked token.

use std::path::Path;
use std::sync::Arc;

use kogge_certs::key::SigningKey;
use kogge_proto::digest::Sha256;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::directory::{self, KeyFile};
use crate::file::{self, Kind, damaged};
use crate::key::SoftKey;
use crate::seal::{Derivation, KEY_BYTES, OpenError, Sealed, SealingKey, random};
use crate::{KeyEntry, KeyUse, NewKeyKind, Pin, TokenError};

/// An unlocked software token. Cheap to clone. Several processes may have it open; writes are atomic.
#[derive(Clone)]
pub struct SoftToken {
    pub(crate) dir: Arc<Path>,
    pub(crate) token_key: Arc<SealingKey>,
}

/// The content of `token`.
#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct TokenFile {
    argon2id: Derivation,
    token_key: Sealed,
}

impl SoftToken {
    /// Makes an empty token in `dir` under `pin`. The key-encryption key is derived with Argon2id; its parameters and salt
    /// are stored beside.
    ///
    /// # Errors
    /// There is one already, the PIN is too short, or the directory cannot be written.
    pub fn create(dir: &Path, pin: &Pin) -> Result<Self, TokenError> {
        pin.check_length()?;
        kogge_durable::create_dir(dir, true)?;
        // Of two that create the same token at once, one must not overwrite the other's token key.
        let _lock = kogge_durable::DirLock::acquire(dir)?;
        let path = directory::token_file(dir);
        if path.exists() {
            return Err(TokenError::Exists(dir.to_path_buf()));
        }
        let bytes: Zeroizing<[u8; KEY_BYTES]> = Zeroizing::new(random()?);
        let argon2id = Derivation::new()?;
        let pin_key = argon2id.key(pin).ok_or_else(|| TokenError::Crypto("Argon2id failed".to_owned()))?;
        let token_key = pin_key.seal(&*bytes, TOKEN_KEY)?;
        kogge_durable::create_dir(&directory::keys(dir), true)?;
        kogge_durable::create_dir(&directory::certificates(dir), true)?;
        // A crash before this line leaves no token, only empty directories.
        file::write(&path, Kind::Token, &TokenFile { argon2id, token_key })?;
        Self::unlocked(dir, &bytes)
    }

    /// Unlocks the token in `dir`.
    ///
    /// # Errors
    /// There is none, the PIN is wrong, or a file is damaged.
    pub fn open(dir: &Path, pin: &Pin) -> Result<Self, TokenError> {
        let path = directory::token_file(dir);
        let content: Option<TokenFile> = file::read(&path, Kind::Token)?;
        let content = content.ok_or_else(|| TokenError::Missing(dir.to_path_buf()))?;
        let pin_key = content
            .argon2id
            .key(pin)
            .ok_or_else(|| damaged(&path, "its Argon2id parameters are not acceptable"))?;
        let bytes = pin_key.open(&content.token_key, TOKEN_KEY).map_err(|error| match error {
            OpenError::Malformed => damaged(&path, "its token key is malformed"),
            OpenError::Refused => TokenError::WrongPin,
        })?;
        let bytes =
            bytes.as_slice().try_into().map_err(|_| damaged(&path, "its token key has a wrong length"))?;
        Self::unlocked(dir, bytes)
    }

    /// Generates a key, stores it encrypted (AES-256-GCM) and durable, and returns its id.
    ///
    /// # Errors
    /// The size is not offered, the label is too long, or the directory cannot be written.
    pub fn generate(&self, kind: NewKeyKind, key_use: KeyUse, label: &str) -> Result<Sha256, TokenError> {
        if label.chars().count() > LABEL_CHARACTERS_MAX || label.chars().any(char::is_control) {
            return Err(TokenError::Label(LABEL_CHARACTERS_MAX));
        }
        let key = SoftKey::generate(kind)?;
        let id = key.public_key().key_id();
        let sealed = self.token_key.seal(&key.to_pkcs8()?, &bound_to(&id, key_use, label))?;
        let path = directory::key_file(&self.dir, &id);
        file::write(&path, Kind::Key, &KeyFile::new(key.public_key(), key_use, label, sealed))?;
        Ok(id)
    }

    /// The key with this id, ready to sign.
    ///
    /// # Errors
    /// There is none, or its file is damaged.
    pub fn key(&self, id: &Sha256) -> Result<Arc<dyn SigningKey>, TokenError> {
        let path = directory::key_file(&self.dir, id);
        let content: Option<KeyFile> = file::read(&path, Kind::Key)?;
        let content = content.ok_or_else(|| TokenError::NoKey(id.to_string()))?;
        let public = content.public(&path)?;
        let place = bound_to(id, public.key_use, &public.label);
        let pkcs8 = self
            .token_key
            .open(&content.private_key, &place)
            .map_err(|_| damaged(&path, "its private key does not open, or is not the one for this place"))?;
        let key = SoftKey::from_pkcs8(&pkcs8, public.public_key)
            .ok_or_else(|| damaged(&path, "its private key is not that of its public key"))?;
        Ok(Arc::new(key))
    }

    /// All keys with their certificates.
    ///
    /// # Errors
    /// A file is damaged.
    pub fn entries(&self) -> Result<Vec<KeyEntry>, TokenError> {
        directory::entries(&self.dir)
    }

    fn unlocked(dir: &Path, token_key: &[u8; KEY_BYTES]) -> Result<Self, TokenError> {
        Ok(Self { dir: Arc::from(dir), token_key: Arc::new(SealingKey::new(token_key)?) })
    }
}

/// What a sealed private key is bound to. Labels have no line ends, so no two places read the same.
fn bound_to(id: &Sha256, key_use: KeyUse, label: &str) -> String {
    format!("kogge private key 1\n{id}\n{}\n{label}", key_use.as_str())
}

/// What the sealed token key is bound to.
const TOKEN_KEY: &str = "kogge token key 1";

/// Longest label in characters: a line of a list.
const LABEL_CHARACTERS_MAX: usize = 100;

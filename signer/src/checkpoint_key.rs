//! The key that checkpoints of the message log are signed with: an Ed25519 key of its own, so that it vouches for nothing else.

use kogge_certs::key::KeyKind;
use kogge_proto::digest::Sha256;

use crate::{KeyEntry, KeyUse, NewKeyKind, SoftToken, TokenError};

/// Its label in the token.
pub const CHECKPOINT_KEY_LABEL: &str = "log checkpoint";

impl KeyEntry {
    /// Whether checkpoints are signed with it.
    #[must_use]
    pub fn signs_checkpoints(&self) -> bool {
        self.key_use == KeyUse::Service
            && self.label == CHECKPOINT_KEY_LABEL
            && self.public_key.kind() == KeyKind::Ed25519
    }

    /// The raw public key (RFC 8032, section 5.1.5) of an Ed25519 key; `None` of others.
    #[must_use]
    pub fn ed25519(&self) -> Option<[u8; 32]> {
        self.public_key.ed25519()
    }
}

impl SoftToken {
    /// The id of the checkpoint key: the first by id, if the operator has made several. Makes one, durable, if there is none.
    ///
    /// # Errors
    /// A file of the token is damaged, or the directory cannot be written.
    pub fn checkpoint_key_or_new(&self) -> Result<Sha256, TokenError> {
        if let Some(id) = self.checkpoint_key()? {
            return Ok(id);
        }
        // Of two that make it at once, each would go on with its own.
        let _lock = kogge_durable::DirLock::acquire(&self.dir)?;
        match self.checkpoint_key()? {
            Some(id) => Ok(id),
            None => self.generate(NewKeyKind::Ed25519, KeyUse::Service, CHECKPOINT_KEY_LABEL),
        }
    }

    fn checkpoint_key(&self) -> Result<Option<Sha256>, TokenError> {
        Ok(self.entries()?.into_iter().find(KeyEntry::signs_checkpoints).map(|entry| entry.id))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Pin;

    #[test]
    fn it_is_made_once_and_is_an_ed25519_key_with_its_label() {
        let dir = tempfile::tempdir().unwrap();
        let token = SoftToken::create(dir.path(), &Pin::new("a long enough pin")).unwrap();
        for (kind, key_use, label) in [
            (NewKeyKind::EcdsaP256, KeyUse::Service, CHECKPOINT_KEY_LABEL),
            (NewKeyKind::Ed25519, KeyUse::Signing, CHECKPOINT_KEY_LABEL),
            (NewKeyKind::Ed25519, KeyUse::Service, "log checkpoints"),
        ] {
            token.generate(kind, key_use, label).unwrap();
        }
        assert!(!token.entries().unwrap().iter().any(KeyEntry::signs_checkpoints));
        let id = token.checkpoint_key_or_new().unwrap();
        assert_eq!(token.checkpoint_key_or_new().unwrap(), id);
        let entry = token.entries().unwrap().into_iter().find(|entry| entry.id == id).unwrap();
        assert!(entry.signs_checkpoints() && entry.public_key.spki().ends_with(&entry.ed25519().unwrap()));
    }
}

//! The log key: under it the message log keeps the keys of bodies. It lies beside the token's private keys and not beside the log, so that a copy of the log, its keys included, is not enough
//! to read a body.

use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::file::{self, Kind, damaged};
use crate::seal::{KEY_BYTES, Sealed, random};
use crate::{SoftToken, TokenError};

/// Its file within the token's directory.
pub const LOG_KEY_FILE: &str = "log.key";

/// The log key's bytes; cleared when dropped.
pub type LogKeyBytes = Zeroizing<[u8; KEY_BYTES]>;

/// What the sealed log key is bound to.
const LOG_KEY: &str = "kogge log key 1";

/// The content of the file.
#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct LogKeyFile {
    key: Sealed,
}

impl SoftToken {
    /// The log key, if there is one.
    ///
    /// # Errors
    /// Its file is damaged, or from another token.
    pub fn log_key(&self) -> Result<Option<LogKeyBytes>, TokenError> {
        let path = self.dir.join(LOG_KEY_FILE);
        let Some(content) = file::read::<LogKeyFile>(&path, Kind::LogKey)? else { return Ok(None) };
        let opened = self
            .token_key
            .open(&content.key, LOG_KEY)
            .map_err(|_| damaged(&path, "the key in it does not open, or is not of this token"))?;
        let bytes =
            opened.as_slice().try_into().map_err(|_| damaged(&path, "the key in it has a wrong length"))?;
        Ok(Some(Zeroizing::new(bytes)))
    }

    /// The log key; makes it, durable, if there is none.
    ///
    /// # Errors
    /// As [`SoftToken::log_key`], or the file cannot be written.
    pub fn log_key_or_new(&self) -> Result<LogKeyBytes, TokenError> {
        if let Some(key) = self.log_key()? {
            return Ok(key);
        }
        // Of two that make it at once, one must not overwrite the other's.
        let _lock = kogge_durable::DirLock::acquire(&self.dir)?;
        if let Some(key) = self.log_key()? {
            return Ok(key);
        }
        let key: LogKeyBytes = Zeroizing::new(random()?);
        let sealed = self.token_key.seal(&*key, LOG_KEY)?;
        file::write(&self.dir.join(LOG_KEY_FILE), Kind::LogKey, &LogKeyFile { key: sealed })?;
        Ok(key)
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;
    use std::path::Path;

    use super::*;
    use crate::Pin;

    fn token(dir: &Path) -> SoftToken {
        SoftToken::create(dir, &pin()).unwrap()
    }

    fn pin() -> Pin {
        Pin::new("a long enough pin")
    }

    #[test]
    fn the_log_key_is_made_once_and_is_the_owners_alone() {
        let dir = tempfile::tempdir().unwrap();
        let token = token(dir.path());
        assert!(token.log_key().unwrap().is_none());
        let key = token.log_key_or_new().unwrap();
        assert_eq!(token.log_key_or_new().unwrap(), key);
        assert_eq!(SoftToken::open(dir.path(), &pin()).unwrap().log_key().unwrap(), Some(key.clone()));
        let file = dir.path().join(LOG_KEY_FILE);
        assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(!std::fs::read(&file).unwrap().windows(32).any(|window| window == key.as_slice()));
    }

    #[test]
    fn a_log_key_of_another_token_or_damaged_is_refused_and_not_replaced() {
        let (dir, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let (token, stranger) = (token(dir.path()), token(other.path()));
        stranger.log_key_or_new().unwrap();
        let file = dir.path().join(LOG_KEY_FILE);
        std::fs::copy(other.path().join(LOG_KEY_FILE), &file).unwrap();
        for content in [std::fs::read(&file).unwrap(), b"kogge-log-key 1 abc\n{}".to_vec(), Vec::new()] {
            std::fs::write(&file, &content).unwrap();
            assert!(matches!(token.log_key(), Err(TokenError::Damaged { .. })));
            assert!(matches!(token.log_key_or_new(), Err(TokenError::Damaged { .. })));
            assert_eq!(std::fs::read(&file).unwrap(), content);
        }
    }
}

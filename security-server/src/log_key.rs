//! The key that the message log's keys are kept under, out of the token.

use std::path::Path;
use std::sync::Arc;

use kogge_message_log::{LogKey, LogKeyError, SoftLogKey};
use kogge_signer::{LOG_KEY_FILE, PinSource, SoftToken, TokenError};

use crate::config::TokenConfig;

/// Why the log key cannot be had. The operator must act.
#[derive(Debug, thiserror::Error)]
pub enum OpenLogKeyError {
    /// The token does not give it.
    #[error("cannot use the log key: {0}")]
    Token(#[from] TokenError),
    /// It is no key.
    #[error(transparent)]
    Key(#[from] LogKeyError),
    /// There is none, so there can be no body that needs it.
    #[error("the token {0} has no log key: a security server makes it when it first encrypts bodies")]
    None(String),
    /// A log key lies in a token.
    #[error("{0} is not a token's {LOG_KEY_FILE}")]
    NoTokens(String),
}

/// The log key of a token; made if there is none.
pub(crate) fn make(token: &SoftToken) -> Result<Arc<dyn LogKey>, OpenLogKeyError> {
    Ok(Arc::new(SoftLogKey::new(&*token.log_key_or_new()?)?))
}

/// The log key of the token that a configuration names, for readers of the log.
///
/// # Errors
/// The token cannot be opened, or has no log key.
pub fn open(config: &TokenConfig) -> Result<Arc<dyn LogKey>, OpenLogKeyError> {
    let token = SoftToken::open(&config.dir, &config.pin.read()?)?;
    let key = token.log_key()?.ok_or_else(|| OpenLogKeyError::None(config.dir.display().to_string()))?;
    Ok(Arc::new(SoftLogKey::new(&key)?))
}

/// The log key in this file, which lies in its token.
///
/// # Errors
/// As [`open`].
pub fn open_file(file: &Path, pin: PinSource) -> Result<Arc<dyn LogKey>, OpenLogKeyError> {
    if file.file_name().is_none_or(|name| name != LOG_KEY_FILE) {
        return Err(OpenLogKeyError::NoTokens(file.display().to_string()));
    }
    let dir = file.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."));
    open(&TokenConfig { dir: dir.to_path_buf(), pin })
}

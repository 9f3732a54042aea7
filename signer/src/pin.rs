//! The PIN of a token and where it comes from.

use std::fs::File;
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use crate::TokenError;

/// A PIN; shown nowhere, zeroised when dropped.
pub struct Pin(Zeroizing<Vec<u8>>);

/// Where a PIN comes from: `file:PATH`, `env:NAME` or `prompt` in configuration files.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum PinSource {
    /// First line of a file that only its owner may read.
    File(PathBuf),
    /// An environment variable.
    Env(String),
    /// Asked on the terminal without echo.
    Prompt,
}

impl Pin {
    /// From text in memory (tests, the demo).
    #[must_use]
    pub fn new(text: &str) -> Self {
        Self(Zeroizing::new(text.as_bytes().to_vec()))
    }

    /// The secret, for this crate.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// Whether it is long enough for a new token.
    pub(crate) fn check_length(&self) -> Result<(), TokenError> {
        let characters = String::from_utf8_lossy(&self.0).chars().count();
        if characters < PIN_CHARACTERS_MIN { Err(TokenError::ShortPin(PIN_CHARACTERS_MIN)) } else { Ok(()) }
    }
}

impl PinSource {
    /// From `file:PATH`, `env:NAME` or `prompt`. A path is taken as it stands.
    ///
    /// # Errors
    /// The text is anything else. It is not repeated in the error, since it may be a PIN put in the wrong place.
    pub fn parse(text: &str) -> Result<Self, TokenError> {
        match text.split_once(':') {
            Some(("file", path)) if !path.is_empty() => Ok(Self::File(PathBuf::from(path))),
            Some(("env", name)) if !name.is_empty() => Ok(Self::Env(name.to_owned())),
            None if text == "prompt" => Ok(Self::Prompt),
            _ => Err(TokenError::Pin("say where it is with file:PATH, env:NAME or prompt".to_owned())),
        }
    }

    /// Gets the PIN. Refuses a file that others may read.
    ///
    /// # Errors
    /// The file cannot be read or is readable by others, the variable is not set, there is no terminal.
    pub fn read(&self) -> Result<Pin, TokenError> {
        let pin = match self {
            Self::File(path) => read_file(path)?,
            Self::Env(name) => read_env(name)?,
            Self::Prompt => prompt("PIN of the token: ")?,
        };
        if pin.0.is_empty() {
            return Err(TokenError::Pin(format!("{} is empty", self.describe())));
        }
        Ok(pin)
    }

    /// Gets the PIN of a token that is to be made: typed ones are asked for twice.
    ///
    /// # Errors
    /// As [`PinSource::read`]; or what was typed differs.
    pub fn read_new(&self) -> Result<Pin, TokenError> {
        let pin = self.read()?;
        if *self == Self::Prompt && prompt("The same PIN again: ")?.0 != pin.0 {
            return Err(TokenError::Pin("the two that were typed differ".to_owned()));
        }
        Ok(pin)
    }

    fn describe(&self) -> String {
        match self {
            Self::File(path) => format!("the file {}", path.display()),
            Self::Env(name) => format!("the environment variable {name}"),
            Self::Prompt => "what was typed".to_owned(),
        }
    }
}

fn read_file(path: &Path) -> Result<Pin, TokenError> {
    let unreadable = |error: std::io::Error| TokenError::Pin(format!("{}: {error}", path.display()));
    let mut file = File::open(path).map_err(unreadable)?;
    let mode = file.metadata().map_err(unreadable)?.permissions().mode();
    if mode & 0o077 != 0 {
        return Err(TokenError::Pin(format!(
            "others than its owner may use {}: run `chmod 600` on it",
            path.display()
        )));
    }
    // One buffer of fixed size, so that no copy is left behind where a growing one was.
    let mut buffer = Zeroizing::new(vec![0u8; PIN_BYTES_MAX + 1]);
    let mut length = 0;
    while let Some(free) = buffer.get_mut(length..).filter(|free| !free.is_empty()) {
        match file.read(free).map_err(unreadable)? {
            0 => break,
            more => length += more,
        }
    }
    let line = buffer.split(|&byte| byte == b'\n').next().unwrap_or_default();
    let line = line.get(..length.min(line.len())).unwrap_or_default();
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    if line.len() > PIN_BYTES_MAX {
        return Err(TokenError::Pin(format!("the first line of {} is too long", path.display())));
    }
    Ok(Pin(Zeroizing::new(line.to_vec())))
}

fn read_env(name: &str) -> Result<Pin, TokenError> {
    match std::env::var(name) {
        Ok(text) => Ok(Pin(Zeroizing::new(text.into_bytes()))),
        Err(std::env::VarError::NotPresent) => {
            Err(TokenError::Pin(format!("the environment variable {name} is not set")))
        }
        Err(std::env::VarError::NotUnicode(_)) => {
            Err(TokenError::Pin(format!("the environment variable {name} is not text")))
        }
    }
}

fn prompt(question: &str) -> Result<Pin, TokenError> {
    rpassword::prompt_password(question)
        .map(|text| Pin(Zeroizing::new(text.into_bytes())))
        .map_err(|error| TokenError::Pin(format!("there is no terminal to ask on: {error}")))
}

/// Fewest characters of a new token's PIN: with Argon2id at its cost here, guessing eight random ones offline is hopeless.
pub const PIN_CHARACTERS_MIN: usize = 8;

/// Longest PIN in a file; a longer first line means that the wrong file was named.
const PIN_BYTES_MAX: usize = 1024;

#[cfg(test)]
mod tests;

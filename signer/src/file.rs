//! The form of `token`, `log.key` and `*.key`: a line with kind, version and checksum, then JSON.
//!
//! The checksum tells bit rot from a wrong PIN; against forgery there is the sealing.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use kogge_proto::digest::sha256;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::TokenError;

/// Which kind of file, with its version.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Kind {
    Token,
    Key,
    LogKey,
}

impl Kind {
    fn magic(self) -> &'static str {
        match self {
            Self::Token => "kogge-token 1",
            Self::Key => "kogge-key 1",
            Self::LogKey => "kogge-log-key 1",
        }
    }
}

/// Writes a file for the owner alone.
pub(crate) fn write<T: Serialize>(path: &Path, kind: Kind, content: &T) -> Result<(), TokenError> {
    let mut json =
        serde_json::to_string_pretty(content).map_err(|error| TokenError::Crypto(error.to_string()))?;
    json.push('\n');
    let text = format!("{}{json}", header(kind, &json));
    Ok(kogge_durable::write_atomic(path, text.as_bytes(), true)?)
}

/// Reads a file; `None` if there is none.
pub(crate) fn read<T: DeserializeOwned>(path: &Path, kind: Kind) -> Result<Option<T>, TokenError> {
    let Some(bytes) = read_bytes(path)? else { return Ok(None) };
    let damaged = |reason: &str| damaged(path, reason);
    let text = std::str::from_utf8(&bytes).map_err(|_| damaged("it is not text"))?;
    let end = text.find('\n').ok_or_else(|| damaged("it has no first line"))?;
    let (line, json) = text.split_at_checked(end + 1).unwrap_or_default();
    if !line.starts_with(kind.magic()) {
        return Err(damaged("it is another kind of file or from another version"));
    }
    if line != header(kind, json) {
        return Err(damaged("its checksum is wrong"));
    }
    serde_json::from_str(json).map(Some).map_err(|error| damaged(&error.to_string()))
}

/// The content of a file of the token; `None` if there is none.
pub(crate) fn read_bytes(path: &Path) -> Result<Option<Vec<u8>>, TokenError> {
    let mut bytes = Vec::new();
    match File::open(path).and_then(|file| file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes)) {
        Ok(_) if bytes.len() as u64 > FILE_BYTES_MAX => Err(damaged(path, "it is too large")),
        Ok(_) => Ok(Some(bytes)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(unreadable(path, source)),
    }
}

pub(crate) fn damaged(path: &Path, reason: &str) -> TokenError {
    TokenError::Damaged { path: path.to_path_buf(), reason: reason.to_owned() }
}

pub(crate) fn unreadable(path: &Path, source: std::io::Error) -> TokenError {
    TokenError::Durable(kogge_durable::DurableError::Io { what: "read", path: path.to_path_buf(), source })
}

fn header(kind: Kind, json: &str) -> String {
    format!("{} {}\n", kind.magic(), sha256(json.as_bytes()))
}

/// Several times an RSA-4096 key or a chain of four such certificates.
const FILE_BYTES_MAX: u64 = 64 * 1024;

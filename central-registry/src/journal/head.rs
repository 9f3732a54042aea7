//! How far the journal is acknowledged.

use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};

use kogge_durable::write_atomic;
use kogge_proto::digest::Sha256;
use serde::{Deserialize, Serialize};

use super::JournalError;
use crate::state::digest;

/// A place between two entries.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Head {
    /// Number of entries before it.
    pub(super) sequence: u64,
    /// Number of bytes before it.
    pub(super) length: u64,
    /// Hash of the last entry before it.
    #[serde(with = "digest")]
    pub(super) hash: Sha256,
}

impl Head {
    /// Before the first entry, which names a hash of zeros as its previous one.
    pub(super) const START: Self = Self { sequence: 0, length: 0, hash: Sha256([0; Sha256::LEN]) };

    pub(super) fn read(dir: &Path) -> Result<Self, JournalError> {
        let path = path(dir);
        let mut text = Vec::new();
        let read = File::open(&path).and_then(|file| file.take(HEAD_BYTES_MAX).read_to_end(&mut text));
        match read {
            Ok(_) => serde_json::from_slice(&text)
                .map_err(|error| JournalError::Head { path, reason: error.to_string() }),
            Err(error) if error.kind() == ErrorKind::NotFound => {
                Err(JournalError::Head { path, reason: error.to_string() })
            }
            Err(source) => Err(JournalError::Io { what: "read", path, source }),
        }
    }

    pub(super) fn write(&self, dir: &Path) -> Result<(), JournalError> {
        let Self { sequence, length, hash } = self;
        let text = format!("{{\"sequence\":{sequence},\"length\":{length},\"hash\":\"{hash}\"}}\n");
        Ok(write_atomic(&path(dir), text.as_bytes(), false)?)
    }
}

fn path(dir: &Path) -> PathBuf {
    dir.join("head")
}

/// Several times its usual length.
const HEAD_BYTES_MAX: u64 = 1024;

//! The last good snapshot on disk, and beside it what was accepted last: a lost or older snapshot file must not open the way back.

use std::path::{Path, PathBuf};

use kogge_certs::anchor::Anchor;
use kogge_certs::snapshot::{Meta, VerifiedSnapshot, accept_over};
use kogge_durable::DurableError;
use kogge_proto::digest::Sha256;
use kogge_proto::limits::SNAPSHOT_BYTES_MAX;
use kogge_proto::time::UnixMillis;
use serde::{Deserialize, Serialize};

/// `snapshot` (an encoded `SignedSnapshot`, as `kogge verify --snapshot` reads it) and `snapshot.json` in one directory.
#[derive(Debug)]
pub(crate) struct Cache {
    snapshot: PathBuf,
    accepted: PathBuf,
}

/// What the cache holds.
#[derive(Debug, Default)]
pub(super) struct Loaded {
    /// Verified except for its time, which the gate judges at every exchange.
    pub(super) snapshot: Option<VerifiedSnapshot>,
    pub(super) accepted: Option<Meta>,
    pub(super) problems: Vec<String>,
}

impl Cache {
    pub(crate) fn new(dir: &Path) -> Self {
        Self { snapshot: dir.join("snapshot"), accepted: dir.join("snapshot.json") }
    }

    pub(super) fn load(&self, anchor: &Anchor) -> Loaded {
        let mut loaded = Loaded::default();
        match read(&self.accepted).map(|bytes| bytes.map(|bytes| Accepted::decode(&bytes))) {
            Ok(None) => {}
            Ok(Some(Some(meta))) => loaded.accepted = Some(meta),
            Ok(Some(None)) => loaded.problems.push(format!("{} is damaged", self.accepted.display())),
            Err(problem) => loaded.problems.push(problem),
        }
        match read(&self.snapshot) {
            Ok(None) => {}
            Ok(Some(bytes)) => match self.check(bytes, anchor, loaded.accepted.as_ref()) {
                Ok(snapshot) => loaded.snapshot = Some(snapshot),
                Err(problem) => loaded.problems.push(problem),
            },
            Err(problem) => loaded.problems.push(problem),
        }
        loaded
    }

    fn check(
        &self,
        bytes: Vec<u8>,
        anchor: &Anchor,
        accepted: Option<&Meta>,
    ) -> Result<VerifiedSnapshot, String> {
        let refused = |error| format!("{}: {error}", self.snapshot.display());
        let snapshot = VerifiedSnapshot::verify_archived(bytes, anchor).map_err(refused)?;
        accept_over(accepted, snapshot.meta()).map_err(refused)?;
        Ok(snapshot)
    }

    /// Keeps a snapshot. A crash between the two writes leaves the new snapshot beside the old note, which it may follow.
    pub(super) fn store(&self, snapshot: &VerifiedSnapshot) -> Result<(), DurableError> {
        kogge_durable::write_atomic(&self.snapshot, snapshot.bytes(), false)?;
        kogge_durable::write_atomic(&self.accepted, &Accepted::encode(snapshot.meta()), false)
    }
}

fn read(path: &Path) -> Result<Option<Vec<u8>>, String> {
    match std::fs::metadata(path) {
        Ok(metadata) if metadata.len() > SNAPSHOT_BYTES_MAX as u64 => {
            return Err(format!("{} is too large", path.display()));
        }
        Ok(_) => {}
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(format!("{}: {error}", path.display())),
    }
    std::fs::read(path).map(Some).map_err(|error| format!("{}: {error}", path.display()))
}

/// [`Meta`] as JSON.
#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Accepted {
    instance: String,
    version: u64,
    delegation_version: u64,
    sha256: String,
    issued_ms: i64,
    expires_ms: i64,
}

impl Accepted {
    fn encode(meta: &Meta) -> Vec<u8> {
        let accepted = Self {
            instance: meta.instance.clone(),
            version: meta.version,
            delegation_version: meta.delegation_version,
            sha256: meta.digest.to_string(),
            issued_ms: meta.issued.0,
            expires_ms: meta.expires.0,
        };
        // Numbers and strings always have a JSON form.
        serde_json::to_vec_pretty(&accepted).unwrap_or_default()
    }

    fn decode(bytes: &[u8]) -> Option<Meta> {
        let accepted: Self = serde_json::from_slice(bytes).ok()?;
        Some(Meta {
            instance: accepted.instance,
            version: accepted.version,
            delegation_version: accepted.delegation_version,
            digest: Sha256::from_slice(&hex::decode(accepted.sha256).ok()?)?,
            issued: UnixMillis(accepted.issued_ms),
            expires: UnixMillis(accepted.expires_ms),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_note_reads_back_and_damage_is_seen() {
        let meta = Meta {
            instance: "DEMO".to_owned(),
            version: 7,
            delegation_version: 2,
            digest: kogge_proto::digest::sha256(b"snapshot"),
            issued: UnixMillis(1),
            expires: UnixMillis(2),
        };
        let encoded = Accepted::encode(&meta);
        assert_eq!(Accepted::decode(&encoded), Some(meta));
        assert_eq!(Accepted::decode(&encoded[1..]), None);
        assert_eq!(Accepted::decode(b""), None);
    }
}

//! What the central registry hands out, and what it keeps.

use std::path::Path;

use kogge_central_registry::{Config, history};
use kogge_certs::anchor::Anchor;
use kogge_certs::snapshot::VerifiedSnapshot;

use crate::world::{ANCHOR, JOURNAL, SNAPSHOT};

/// Only the known bytes are signed.
pub(crate) fn snapshot(data: &[u8]) {
    let Ok(anchor) = Anchor::parse(ANCHOR) else { return };
    let verified = VerifiedSnapshot::verify_archived(data.to_vec(), &anchor);
    assert!(verified.is_err() || data == SNAPSHOT, "an altered snapshot is believed");
}

/// What is read says the same once written and read again.
pub(crate) fn anchor(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Ok(anchor) = Anchor::parse(text) {
        let written = anchor.to_toml();
        match Anchor::parse(&written) {
            Ok(again) => assert!(again.to_toml() == written, "an anchor says something else once written"),
            Err(error) => panic!("an anchor is not read back: {error}"),
        }
    }
}

/// Under the known head: no other journal is read to its end.
pub(crate) fn journal(data: &[u8]) {
    let Ok(dir) = tempfile::tempdir() else { return };
    if write(dir.path(), data).is_err() {
        return;
    }
    let config = Config {
        dir: dir.path().to_path_buf(),
        listen: ([127, 0, 0, 1], 0).into(),
        public_url: String::new(),
        pin: kogge_signer::PinSource::Env("NONE".to_owned()),
        snapshot_lifetime: std::time::Duration::from_secs(60),
        tls: None,
    };
    let Ok(decisions) = history(&config) else { return };
    let [known, _] = JOURNAL;
    let whole = decisions.collect::<Result<Vec<_>, _>>().is_ok();
    assert!(!whole || data.starts_with(known), "an altered journal is believed");
}

fn write(dir: &Path, decisions: &[u8]) -> std::io::Result<()> {
    let journal = dir.join("journal");
    std::fs::create_dir(&journal)?;
    std::fs::write(dir.join("anchor.toml"), ANCHOR)?;
    std::fs::write(journal.join("decisions"), decisions)?;
    let [_, head] = JOURNAL;
    std::fs::write(journal.join("head"), head)
}

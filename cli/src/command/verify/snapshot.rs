//! The anchor, and the registry snapshot that evidence is checked against.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use kogge_certs::anchor::{ANCHOR_BYTES_MAX, Anchor};
use kogge_certs::snapshot::VerifiedSnapshot;
use kogge_proto::limits::SNAPSHOT_BYTES_MAX;

/// Reads an anchor file.
pub(crate) fn load_anchor(path: &Path) -> anyhow::Result<Anchor> {
    let what = || format!("cannot use the anchor {}", path.display());
    let bytes = read(path, ANCHOR_BYTES_MAX as u64).with_context(what)?;
    let text = std::str::from_utf8(&bytes).with_context(what)?;
    Anchor::parse(text).with_context(what)
}

/// Reads a snapshot that the user named.
pub(crate) fn load(path: &Path, anchor: &Anchor) -> anyhow::Result<VerifiedSnapshot> {
    let what = || format!("cannot use the registry snapshot {}", path.display());
    let bytes = read(path, SNAPSHOT_BYTES_MAX as u64).with_context(what)?;
    VerifiedSnapshot::verify_archived(bytes, anchor).with_context(what)
}

/// The newest snapshot beside the evidence or the anchor. Files of that name which the anchor does not vouch for are passed over with a word.
pub(crate) fn find(
    paths: &[PathBuf],
    anchor_path: &Path,
    anchor: &Anchor,
) -> anyhow::Result<(PathBuf, VerifiedSnapshot)> {
    let mut newest: Option<(PathBuf, VerifiedSnapshot)> = None;
    for candidate in candidates(paths, anchor_path) {
        match load(&candidate, anchor) {
            Ok(found) if newest.as_ref().is_none_or(|(_, best)| found.version() > best.version()) => {
                newest = Some((candidate, found));
            }
            Ok(_) => {}
            Err(error) => eprintln!("kogge: {error:#}: passed over"),
        }
    }
    match newest {
        Some(found) => Ok(found),
        None => bail!(
            "there is no registry snapshot beside the evidence or the anchor: name one with --snapshot FILE \
             (a security server keeps it as DATA_DIR/snapshot, the registry serves it at {}/snapshot)",
            anchor.registry_urls().first().map_or("", |url| url.trim_end_matches('/'))
        ),
    }
}

fn candidates(paths: &[PathBuf], anchor: &Path) -> BTreeSet<PathBuf> {
    let places: BTreeSet<&Path> = paths.iter().map(PathBuf::as_path).chain([anchor]).map(parent).collect();
    let mut found = BTreeSet::new();
    for place in places {
        add(&mut found, place);
        // An unreadable directory has nothing to offer.
        for below in std::fs::read_dir(place).into_iter().flatten().take(ENTRIES_MAX).flatten() {
            if below.path().is_dir() {
                add(&mut found, &below.path());
            }
        }
    }
    found
}

fn add(found: &mut BTreeSet<PathBuf>, dir: &Path) {
    let names = [dir.join("snapshot"), dir.join("data").join("snapshot")];
    found.extend(names.into_iter().filter(|path| path.is_file()));
}

fn parent(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

fn read(path: &Path, bytes_max: u64) -> anyhow::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(bytes_max + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > bytes_max {
        bail!("it is larger than {bytes_max} bytes");
    }
    Ok(bytes)
}

/// Entries of one directory that are looked at: many times what lies beside evidence that was handed over with a snapshot.
const ENTRIES_MAX: usize = 1000;

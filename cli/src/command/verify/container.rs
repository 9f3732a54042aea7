//! One container file.

use std::fs::File;
use std::path::Path;

use anyhow::Context;
use kogge_certs::snapshot::VerifiedSnapshot;
use kogge_evidence::verify::{self, Verdict};

/// Checks the container at `path`; whatever is in the file, there is a verdict.
///
/// # Errors
/// The file cannot be opened.
pub(super) fn verify(path: &Path, snapshot: &VerifiedSnapshot) -> anyhow::Result<Verdict> {
    let file = File::open(path).context("cannot be read")?;
    Ok(verify::container(file, snapshot))
}

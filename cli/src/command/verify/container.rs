//! One container file.

use std::fs::File;
use std::path::Path;

use anyhow::Context;
use kogge_evidence::verify::{self, Verdict};

use super::trust::Trust;

/// Checks the container at `path`, in the form that goes with the trust; whatever is in the file, there is a verdict.
///
/// # Errors
/// The file cannot be opened.
pub(super) fn verify(path: &Path, trust: &Trust) -> anyhow::Result<Verdict> {
    let file = File::open(path).context("cannot be read")?;
    Ok(match trust {
        Trust::Snapshot(_, snapshot) => verify::container(file, snapshot),
        Trust::GlobalConf(_, conf) => verify::xroad_container(file, conf),
    })
}

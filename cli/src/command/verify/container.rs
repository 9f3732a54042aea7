//! One container file.

use std::fs::File;
use std::io::Seek;
use std::path::Path;

use anyhow::{Context, bail};
use kogge_evidence::verify::{self, Verdict};
use kogge_proto::digest::Sha256;

use super::trust::Trust;
use crate::digest;

/// Checks the container at `path`; whatever is in the file, there is a verdict, with the digest of the file that it is about.
///
/// # Errors
/// The file cannot be read.
pub(super) fn verify(path: &Path, trust: &Trust) -> anyhow::Result<(Sha256, Verdict)> {
    let mut file = File::open(path).context("cannot be read")?;
    let sha256 = digest::sha256_of_file(&mut file).context("cannot be read")?;
    file.rewind().context("cannot be read")?;
    let verdict = match trust {
        Trust::Snapshot(_, snapshot) => verify::container(file, snapshot.as_ref()),
        Trust::Anchor(..) => bail!("is no bundle any more"),
        Trust::GlobalConf(_, _, conf) => verify::container(file, conf),
    };
    Ok((sha256, verdict))
}

//! `kogge registry export-verificationconf`: a registry snapshot as the configuration directory that X-Road's verifier takes.
//!
//! `instance-identifier` is written last, so a directory that a crash left unfinished is one that no verifier takes.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use clap::Args;
use kogge_durable::write_atomic;
use kogge_evidence::verification_conf::{METADATA, directory_name, shared_params};

use crate::command::verify::snapshot;
use crate::failure::{Failure, OrFail};

#[derive(Args, Debug)]
pub(crate) struct ExportArgs {
    /// The instance's anchor, which the snapshot must follow from
    #[arg(long, value_name = "FILE")]
    anchor: PathBuf,
    /// The registry snapshot: a security server keeps it as DATA_DIR/snapshot, the registry serves it at URL/snapshot
    #[arg(long, value_name = "FILE")]
    snapshot: PathBuf,
    /// Directory to write; it must not exist, or be empty
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
}

/// Carries it out.
pub(super) fn run(args: &ExportArgs, out: &mut dyn Write) -> Result<(), Failure> {
    let anchor = snapshot::load_anchor(&args.anchor).or_unusable()?;
    let snapshot = snapshot::load(&args.snapshot, &anchor).or_unusable()?;
    make_empty(&args.out).or_failed()?;
    let instance = args.out.join(directory_name(snapshot.instance()));
    fs::create_dir(&instance)
        .with_context(|| format!("cannot make the directory {}", instance.display()))
        .or_failed()?;
    let document = shared_params(&snapshot, anchor.registry_urls());
    let files = [
        (instance.join("shared-params.xml"), document.as_str()),
        (instance.join("shared-params.xml.metadata"), METADATA),
        (args.out.join("instance-identifier"), snapshot.instance()),
    ];
    for (path, content) in files {
        write_atomic(&path, content.as_bytes(), false).or_failed()?;
    }
    writeln!(
        out,
        "wrote snapshot {} of instance {} as an X-Road configuration directory to {}; nothing in it is signed, so hand it only to those who trust you",
        snapshot.version(),
        crate::output::line(snapshot.instance()),
        args.out.display()
    )?;
    Ok(())
}

/// What another snapshot approved must not stay beside this one.
fn make_empty(directory: &Path) -> anyhow::Result<()> {
    let what = || format!("cannot use {}", directory.display());
    let mut entries = match fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return fs::create_dir_all(directory).with_context(what);
        }
        Err(error) => return Err(error).with_context(what),
    };
    if entries.next().is_some() {
        bail!("{} is not empty: name a directory that is not there yet", directory.display());
    }
    Ok(())
}

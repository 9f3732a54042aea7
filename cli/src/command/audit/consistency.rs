//! `kogge audit consistency`: has a log only grown since its auditor last looked? The auditor keeps a checkpoint of some hundred bytes for it.

use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{anyhow, ensure};
use kogge_message_log::{Damage, LogError, Reader};
use kogge_proto::digest::Sha256;
use kogge_tlog::checkpoint::Checkpoint;
use kogge_tlog::note::{NOTE_BYTES_MAX, NoteKey, SignedNote};
use kogge_tlog::tree::{Head, leaf_hash};

use crate::failure::{FAILED, Failure, OrFail};
use crate::output;

/// Arguments of `kogge audit consistency`.
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Examples:
  kogge audit consistency bremen/log > bremen.checkpoint
  kogge audit consistency bremen/log --old bremen.checkpoint > bremen.checkpoint.new

Standard output is the log's present checkpoint, standard error the verdict. There is no checkpoint of a log that is damaged or was not extended.

Exit codes: 0 the log is whole, and extends the old checkpoint; 1 it does not; 2 a file cannot be read, or bad usage.")]
pub(crate) struct Args {
    /// Directory of the message log, or a copy of it
    #[arg(value_name = "LOG")]
    log: PathBuf,
    /// The checkpoint that this command printed before, or a signed one
    #[arg(long, value_name = "CHECKPOINT")]
    old: Option<PathBuf>,
    /// Who must have signed the old checkpoint: NAME+ID+BASE64, an Ed25519 key
    #[arg(long, value_name = "KEY", requires = "old", value_parser = NoteKey::parse)]
    key: Option<NoteKey>,
}

/// Carries it out.
pub(crate) fn run(args: &Args, out: &mut dyn Write) -> Result<ExitCode, Failure> {
    let shown = output::line(&args.log.display().to_string());
    let reader = Reader::open(&args.log).or_unusable_with(&shown)?;
    let server = reader.server().or_unusable_with(&shown)?;
    let server = server.ok_or_else(|| anyhow!("the log is empty: nothing says whose it is"));
    let server = server.or_unusable_with(&shown)?;
    let old = match &args.old {
        Some(path) => Some(load(path, args.key.as_ref()).or_unusable_with(path.display())?),
        None => None,
    };
    let read = read(&reader, old.as_ref().map(Checkpoint::size)).or_unusable_with(&shown)?;
    for damage in &read.damage {
        eprintln!("kogge: {shown}: {}", output::line(&damage.to_string()));
    }
    if !read.damage.is_empty() {
        return Ok(FAILED.into());
    }
    if let Some(old) = &old {
        if let Err(error) = read.extends(old, &server) {
            eprintln!("kogge: {shown}: {}", output::line(&error.to_string()));
            return Ok(FAILED.into());
        }
        eprintln!(
            "{shown}: the {} entries of the old checkpoint are there, and {} more",
            old.size(),
            read.head.size() - old.size()
        );
    }
    let present = Checkpoint::new(&server, read.head.size(), read.head.root()).or_failed()?;
    out.write_all(present.to_text().as_bytes())?;
    Ok(ExitCode::SUCCESS)
}

/// A log as it is now.
struct Present {
    damage: Vec<Damage>,
    head: Head,
    /// Root when it had as many entries as the old checkpoint says; `None` if it has fewer.
    old_root: Option<Sha256>,
}

fn read(reader: &Reader, old_size: Option<u64>) -> anyhow::Result<Present> {
    // Before the log is read: what was acknowledged then must be found.
    let end = match reader.audit_end() {
        Err(LogError::Damaged(damage)) => Some(damage),
        other => other?,
    };
    let mut head = Head::default();
    let mut grown = Ok(());
    let mut old_root = (old_size == Some(0)).then(|| head.root());
    let mut damage = reader.audit_chain(&mut |_, hash| {
        grown = grown.and(head.push(leaf_hash(hash.as_bytes())));
        if old_size == Some(head.size()) {
            old_root = Some(head.root());
        }
    })?;
    grown?;
    damage.extend(end.filter(|end| !damage.contains(end)));
    Ok(Present { damage, head, old_root })
}

impl Present {
    /// Why the log does not extend the old checkpoint.
    fn extends(&self, old: &Checkpoint, server: &str) -> anyhow::Result<()> {
        ensure!(
            old.origin() == server,
            "this is the log of {server}, the old checkpoint is of {}",
            old.origin()
        );
        let found = self.old_root.ok_or_else(|| {
            anyhow!(
                "the log has {} entries, the old checkpoint {}: its end was cut off",
                self.head.size(),
                old.size()
            )
        })?;
        ensure!(
            found == *old.root(),
            "the first {} entries of the log are not those of the old checkpoint: the log was rewritten",
            old.size()
        );
        Ok(())
    }
}

/// Reads a checkpoint; one with signatures only with the key of which one must be.
fn load(path: &Path, key: Option<&NoteKey>) -> anyhow::Result<Checkpoint> {
    let mut bytes = Vec::new();
    std::fs::File::open(path)?.take(NOTE_BYTES_MAX as u64 + 1).read_to_end(&mut bytes)?;
    let Some(key) = key else {
        let text = std::str::from_utf8(&bytes)?;
        ensure!(!text.contains("\n\n"), "the checkpoint is signed: say by whom with --key");
        return Ok(Checkpoint::parse(text)?);
    };
    let note = SignedNote::parse(&bytes)?;
    note.verify(std::slice::from_ref(key))?;
    Ok(Checkpoint::parse(note.text())?)
}

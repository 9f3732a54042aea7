//! Large bodies on their way from the spool into `bodies/`.
//!
//! A body is synced by a thread of its own before its record reaches the writer, so that a body of gigabytes does not hold up the small
//! exchanges beside it.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use kogge_proto::wire::log::Span;

use crate::job::Job;
use crate::layout::{Layout, parse_body_name};
use crate::queue::{Queue, Taken};
use crate::turns::Turns;
use crate::{AppendError, LogError};

/// Syncs the spooled bodies of the jobs that come in and passes the jobs on. Ends when nobody can send any more.
pub(crate) fn sync_spooled(jobs: &Queue<Job>, turns: &Turns) {
    let mut taken = Vec::new();
    while jobs.take(&mut taken, None) == Taken::Jobs {
        for job in taken.drain(..) {
            match job.spooled().map_or(Ok(()), |spooled| sync(&spooled.path, spooled.file_length())) {
                Ok(()) => turns.leave(job),
                Err(error) => job.refuse(error),
            }
        }
    }
}

/// A body that was moved into `bodies/`.
#[derive(Debug)]
pub(crate) struct Moved {
    from: PathBuf,
    to: PathBuf,
}

impl Moved {
    /// Renames a synced spool file to its final name. A crash after this leaves a body without a record, which the next start removes.
    pub(crate) fn rename(layout: &Layout, from: &Path, name: &str) -> Result<Self, AppendError> {
        if from.parent() != Some(layout.spool().as_path()) {
            return Err(AppendError::Unfit(format!("{} is not in the log's spool", from.display())));
        }
        let to = layout.body(name);
        std::fs::rename(from, &to).map_err(|error| refusal("move the body", from, &error))?;
        Ok(Self { from: from.to_path_buf(), to })
    }

    /// Gives the file back to its owner, whose record was refused.
    pub(crate) fn give_back(self) {
        if let Err(error) = std::fs::rename(&self.to, &self.from) {
            // It stays a body without a record: the next start removes it.
            tracing::warn!(body = %self.to.display(), %error, "cannot move a refused body back into the spool");
        }
    }
}

/// Removes what is left in the spool from the last run; returns how many files.
pub(crate) fn empty_spool(layout: &Layout) -> Result<usize, LogError> {
    let spool = layout.spool();
    let mut removed = 0;
    for entry in std::fs::read_dir(&spool).map_err(LogError::io("list", &spool))? {
        let path = entry.map_err(LogError::io("list", &spool))?.path();
        std::fs::remove_file(&path).map_err(LogError::io("remove", &path))?;
        removed += 1;
    }
    Ok(removed)
}

/// Removes bodies whose records were never acknowledged: those of entries after the last one.
pub(crate) fn remove_unrecorded(layout: &Layout, last_sequence: u64) -> Result<(), LogError> {
    let bodies = layout.bodies();
    for entry in std::fs::read_dir(&bodies).map_err(LogError::io("list", &bodies))? {
        let entry = entry.map_err(LogError::io("list", &bodies))?;
        let sequence = entry.file_name().to_str().and_then(parse_body_name);
        if sequence.is_some_and(|sequence| sequence > last_sequence) {
            std::fs::remove_file(entry.path()).map_err(LogError::io("remove", &entry.path()))?;
        }
    }
    Ok(())
}

/// Removes the files of bodies that were erased.
pub(crate) fn remove_erased(layout: &Layout, records: &[Span]) -> Result<(), LogError> {
    let bodies = layout.bodies();
    for entry in std::fs::read_dir(&bodies).map_err(LogError::io("list", &bodies))? {
        let entry = entry.map_err(LogError::io("list", &bodies))?;
        let sequence = entry.file_name().to_str().and_then(parse_body_name);
        let is_erased = |sequence| records.iter().any(|span| (span.first..=span.last).contains(&sequence));
        if sequence.is_some_and(is_erased) {
            std::fs::remove_file(entry.path()).map_err(LogError::io("remove", &entry.path()))?;
        }
    }
    Ok(())
}

fn sync(path: &Path, length: u64) -> Result<(), AppendError> {
    let file = File::open(path).map_err(|error| refusal("open the body", path, &error))?;
    let found = file.metadata().map_err(|error| refusal("read the body", path, &error))?.len();
    if found != length {
        return Err(AppendError::Unfit(format!("the spooled body has {found} bytes, not {length}")));
    }
    file.sync_data().map_err(|error| refusal("sync the body", path, &error))
}

fn refusal(what: &str, path: &Path, error: &io::Error) -> AppendError {
    if error.kind() == io::ErrorKind::NotFound {
        return AppendError::Unfit(format!("there is no spooled body {}", path.display()));
    }
    AppendError::from_io(what, error)
}

//! Why the journal cannot be used.

use std::path::PathBuf;

use kogge_certs::key::SignError;
use kogge_durable::DurableError;

/// Why the journal cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// The operating system refused.
    #[error("cannot {what} {path}: {source}", path = .path.display())]
    Io {
        /// What was tried.
        what: &'static str,
        /// With which file.
        path: PathBuf,
        /// What the operating system says.
        source: std::io::Error,
    },
    /// A durable write or a lock failed.
    #[error(transparent)]
    Durable(#[from] DurableError),
    /// An acknowledged entry is not as it was written.
    #[error(
        "{path} is damaged at byte {offset}, in entry {sequence}: {reason}; restore the directory from a backup, the registry does \
         not guess what was decided",
        path = .path.display()
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Where the damaged frame begins.
        offset: u64,
        /// Which entry it should be.
        sequence: u64,
        /// What is wrong.
        reason: &'static str,
    },
    /// The head cannot be read.
    #[error("{path} is missing or damaged: {reason}; restore the directory from a backup", path = .path.display())]
    Head {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// The journal has become shorter while it was being followed.
    #[error(
        "the journal had {known} entries and now has {found}: it was replaced; start the registry again if that was meant"
    )]
    RolledBack {
        /// Entries seen before.
        known: u64,
        /// Entries now.
        found: u64,
    },
    /// The last entry is not signed by a key that has a say.
    #[error("entry {sequence} of the journal is not signed by an online key of this instance")]
    Signature {
        /// The entry.
        sequence: u64,
    },
    /// The decision is too long to be recorded.
    #[error("the change is {bytes} bytes long, more than is recorded in one entry")]
    TooLong {
        /// Its length.
        bytes: usize,
    },
    /// The decision has no JSON form.
    #[error("the change cannot be written down: {0}")]
    Json(#[source] serde_json::Error),
    /// The key could not sign the entry.
    #[error("the change could not be signed: {0}")]
    Sign(#[from] SignError),
    /// Other operators' commands hold the journal for longer than we wait.
    #[error("the journal in {path} is in use by another command: try again", path = .path.display())]
    Busy {
        /// The journal's directory.
        path: PathBuf,
    },
}

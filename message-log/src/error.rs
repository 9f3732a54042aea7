//! Why the log cannot be opened, read or written.

use std::io;
use std::path::{Path, PathBuf};

/// Why a log cannot be opened or read.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The directory is missing or cannot be used.
    #[error("cannot {what} {path}: {source}", path = .path.display())]
    Io {
        /// What was tried.
        what: &'static str,
        /// With what.
        path: PathBuf,
        /// What the operating system says.
        source: io::Error,
    },
    /// From the durable layer: lock held, write refused.
    #[error(transparent)]
    Durable(#[from] kogge_durable::DurableError),
    /// The log is another server's.
    #[error("the message log belongs to {found}, not to {expected}")]
    OtherServer {
        /// The server that wants to open it.
        expected: String,
        /// The server that wrote it.
        found: String,
    },
    /// An entry that was acknowledged is damaged or missing; nothing is repaired silently.
    #[error("{}", .0)]
    Damaged(Damage),
    /// An entry was asked for that the log does not have.
    #[error("the message log has no entry {0}")]
    NoEntry(u64),
    /// The keys of a segment's bodies cannot be had. Without the file the segment is read as one whose keys were destroyed.
    #[error("cannot use the keys in {path}: {reason}; restore the file, or give the log key under which it was made", path = .path.display())]
    Keys {
        /// The key file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// `reindex` could not write the new index; the segments are untouched.
    #[error("cannot rebuild the index of the message log: {0}")]
    Index(String),
}

/// One place where the log is not what was written.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("damage in {file} at byte {offset} (check {check}): {reason}")]
pub struct Damage {
    /// Stable name of the check that failed: `log.frame`, `log.checksum`, `log.sequence`, `log.chain`, `log.tail`, `log.material`,
    /// `log.body`, `log.erasure`, `log.stamp` or `log.checkpoint`.
    pub check: &'static str,
    /// File name within the log.
    pub file: String,
    /// Byte offset of the frame.
    pub offset: u64,
    /// What is wrong, for people.
    pub reason: String,
}

/// Why a record was not appended. The exchange must not go on.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum AppendError {
    /// The disk is full; later appends may succeed.
    #[error("the message log's disk is full")]
    Full,
    /// A write or sync failed and what is on disk is in doubt; appends are refused until a new segment has been proven.
    #[error("the message log cannot be written: {0}")]
    Suspect(String),
    /// A provider-side request with this request id is in the log already.
    #[error("the request id was seen before")]
    Replayed,
    /// The record that this one follows was written, but lost before it became durable. The exchange must be given up.
    #[error("the record that this one follows was lost when the message log's disk failed")]
    Orphaned,
    /// As many records wait for the disk as may; later appends may succeed.
    #[error("too many records wait for the message log's disk")]
    Busy,
    /// The record is larger than a frame may be, or its body is not where it should be.
    #[error("the record cannot be logged: {0}")]
    Unfit(String),
    /// The log is closed.
    #[error("the message log is closed")]
    Closed,
}

impl AppendError {
    /// What a failed system call means for the record that needed it.
    pub(crate) fn from_io(what: &str, source: &io::Error) -> Self {
        if is_full(source) { Self::Full } else { Self::Suspect(format!("cannot {what}: {source}")) }
    }
}

impl LogError {
    pub(crate) fn io(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_path_buf();
        move |source| Self::Io { what, path, source }
    }
}

/// Whether the disk, or this user's share of it, is used up: the one failure that passes by itself.
pub(crate) fn is_full(source: &io::Error) -> bool {
    matches!(source.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

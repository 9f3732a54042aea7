//! Why the registry does not do what it was asked.

use std::path::PathBuf;

use kogge_certs::anchor::AnchorError;
use kogge_certs::snapshot::SnapshotError;
use kogge_daemon::server::{ListenError, TlsConfigError};
use kogge_durable::DurableError;
use kogge_proto::time::UnixMillis;
use kogge_signer::TokenError;

use crate::archive::ArchiveError;
use crate::journal::JournalError;
use crate::state::Refusal;

/// Why the registry does not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    /// The change contradicts what has been decided before. The fault is the operator's.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// More changes at once than are taken.
    #[error("more than {} changes at once: split them", crate::CHANGES_MAX)]
    TooManyChanges,
    /// The change would make a snapshot that nobody accepts, or a snapshot cannot be signed.
    #[error(transparent)]
    Snapshot(#[from] SnapshotError),
    /// The online keys may no longer, or not yet, sign.
    #[error(
        "the delegation of the online keys is valid from {issued} to {expires}, not now: run `kogge central-registry \
         renew-delegation`, or check the clock"
    )]
    DelegationExpired {
        /// Since when it is valid.
        issued: UnixMillis,
        /// Until when.
        expires: UnixMillis,
    },
    /// There is no registry in the directory.
    #[error("there is no registry in {path}: run `kogge central-registry init` first", path = .0.display())]
    Missing(PathBuf),
    /// There is one already.
    #[error("there is a registry in {path} already; it is left as it is", path = .0.display())]
    Exists(PathBuf),
    /// A former `init` did not come to its end.
    #[error("{path} holds an unfinished registry: remove it and run `kogge central-registry init` again", path = .0.display())]
    Unfinished(PathBuf),
    /// The journal cannot be read or written.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// A recorded decision contradicts an earlier one: written by other software, or damaged in memory.
    #[error("entry {sequence} of the journal contradicts the entries before it: {refusal}")]
    Fold {
        /// The entry.
        sequence: u64,
        /// The rule that it breaks.
        refusal: Refusal,
    },
    /// The published snapshots cannot be read or written.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    /// The keys cannot be used.
    #[error(transparent)]
    Token(#[from] TokenError),
    /// A file or directory cannot be written, or another registry runs in the directory.
    #[error(transparent)]
    Durable(#[from] DurableError),
    /// The anchor cannot be made: the public URL or the keys are not acceptable.
    #[error(transparent)]
    Anchor(#[from] AnchorError),
    /// The port cannot be had.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// The HTTPS certificate or key cannot be used.
    #[error(transparent)]
    Tls(#[from] TlsConfigError),
    /// A part of the registry ended although nobody asked it to.
    #[error("the registry's publisher has failed; see the log, and start the registry again")]
    Stopped,
}

//! Development CA, OCSP responder and TSA that speak the real protocols. Refuses to serve an instance that is not marked as test.
//!
//! [`init`] makes the authority: a token with its keys, a root CA, on request an issuing CA below it, and the certificates of the
//! OCSP responder and the TSA. [`issue`], [`revoke`] and [`reinstate`] work on the directory without the service; a running
//! service ([`run`]) sees what they did at its next request.
//!
//! # What is in the directory
//! | file | content |
//! |---|---|
//! | `token/` | the keys, see `kogge-signer` |
//! | `ca.pem`, `issuing.pem` | root CA; issuing CA, if there is one |
//! | `ocsp.pem`, `tsa.pem` | certificates of the OCSP responder and the TSA |
//! | `certificates.journal` | what was issued, revoked and reinstated; append-only, see `journal.rs` |
//!
//! Deliberately absent: revocation lists, identity checks, renewal, ceremonies, anything that a real trust service is trusted for.
#![forbid(unsafe_code)]

use std::path::PathBuf;

use kogge_certs::certificate::CertificateError;
use kogge_certs::profile::ProfileError;
use kogge_daemon::server::ListenError;
use kogge_durable::DurableError;
use kogge_signer::TokenError;

mod authority;
mod config;
mod init;
mod journal;
mod serial;
mod service;

pub use self::authority::{issue, reinstate, revoke};
pub use self::config::Config;
pub use self::init::{Initialised, init};
pub use self::serial::Serial;
pub use self::service::{TrustServices, run};

/// Why the trust services do not do what they were asked.
#[derive(Debug, thiserror::Error)]
pub enum TrustServicesError {
    /// There is one already.
    #[error("there are trust services in {path} already: choose another directory or remove it", path = .0.display())]
    Exists(PathBuf),
    /// There is none, or its making was interrupted.
    #[error("there are no finished trust services in {path}: run `kogge trust-services init` first, in an empty directory",
        path = .0.display())]
    Missing(PathBuf),
    /// A file that `init` wrote cannot be read any more.
    #[error("cannot read {path}: {reason}", path = .path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// The journal holds something that was not written by these services.
    #[error("the journal {path} is damaged at line {line}: {reason}; restore it from a backup", path = .path.display())]
    Journal {
        /// Which.
        path: PathBuf,
        /// From which line on, counted from 1.
        line: usize,
        /// What is wrong.
        reason: &'static str,
    },
    /// Only members' and servers' certificates are issued on request.
    #[error("certificates of this profile are not issued on request")]
    ProfileNotOffered,
    /// The request is none, or does not fit.
    #[error(transparent)]
    Profile(#[from] ProfileError),
    /// Not a serial number.
    #[error("a serial number is 1 to 20 bytes in hexadecimal")]
    SerialForm,
    /// The CA never issued it.
    #[error("no certificate with the serial number {0} was issued here")]
    NotIssued(Serial),
    /// The operating system gave no random bytes.
    #[error("the operating system gives no random bytes")]
    NoRandomness,
    /// The keys cannot be used.
    #[error(transparent)]
    Token(#[from] TokenError),
    /// The directory cannot be read or written, or another process is writing.
    #[error(transparent)]
    Durable(#[from] DurableError),
    /// The port cannot be had.
    #[error(transparent)]
    Listen(#[from] ListenError),
}

impl TrustServicesError {
    fn certificate(path: PathBuf, error: &CertificateError) -> Self {
        Self::File { path, reason: error.to_string() }
    }
}

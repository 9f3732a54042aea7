//! What can go wrong, and what to do about it.

use std::path::PathBuf;

/// Why something could not be measured.
#[derive(Debug, thiserror::Error)]
pub enum BenchError {
    /// A program that is part of a chain is missing or does not start.
    #[error("cannot start {program}: {source}")]
    Start {
        /// Which.
        program: String,
        /// Why.
        source: std::io::Error,
    },
    /// A part of a chain does not answer.
    #[error("{name} did not answer at {address} within {seconds} s{log}")]
    NotUp {
        /// The chain.
        name: String,
        /// Where it should.
        address: std::net::SocketAddr,
        /// How long it was waited for.
        seconds: u64,
        /// The end of what it printed.
        log: String,
    },
    /// A chain answers otherwise than the backend behind it does, so it may not be compared.
    #[error("{name} is not fit to be measured: {reason}")]
    Unfit {
        /// The chain.
        name: String,
        /// What is wrong.
        reason: String,
    },
    /// A file cannot be read or written.
    #[error("cannot {action} {}: {source}", path.display())]
    File {
        /// What was tried.
        action: &'static str,
        /// Which file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// An exchange was refused or broke off: a run with one such is void.
    #[error("{failed} of {issued} exchanges through {name} failed, the first one: {first}")]
    Exchanges {
        /// The chain.
        name: String,
        /// How many.
        failed: u64,
        /// Of how many.
        issued: u64,
        /// What happened to the first.
        first: String,
    },
    /// A TLS certificate or configuration cannot be made.
    #[error("cannot set up TLS for the chains: {0}")]
    Tls(String),
    /// What a process of a chain used cannot be read.
    #[error("process {pid} of {name} has ended")]
    Ended {
        /// The chain.
        name: String,
        /// The process.
        pid: u32,
    },
    /// Somebody asked to stop.
    #[error("interrupted")]
    Interrupted,
    /// This machine does not tell what is needed.
    #[error("cannot measure on this machine: {0}")]
    Machine(String),
}

impl BenchError {
    /// Wraps an I/O error of a file.
    pub(crate) fn file<P: Into<PathBuf>>(
        action: &'static str,
        path: P,
    ) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |source| Self::File { action, path, source }
    }
}

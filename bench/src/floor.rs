//! The floor: two hops of mutual TLS 1.3 by dumb proxies, with kept connections everywhere. They do not sign, log, decide or sync, so an exchange layer
//! cannot cost less by design. Files are made here; the programs must be installed.

pub(crate) mod haproxy;
pub(crate) mod nginx;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::backend::Backend;
use crate::chain::{Chain, ChainKind, Part};
use crate::child::Child;
use crate::load::{Pair, Requests};
use crate::{BenchError, TlsFiles};

/// Which proxy.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Stack {
    /// nginx, one worker per core.
    Nginx,
    /// HAProxy, one thread per core.
    Haproxy,
}

/// A floor that is up.
#[derive(Debug)]
pub struct Floor {
    first: Child,
    second: Child,
    chain: Chain,
}

impl Floor {
    /// The proxies that are installed.
    #[must_use]
    pub fn installed() -> Vec<Stack> {
        let found = [(Stack::Nginx, nginx::program()), (Stack::Haproxy, haproxy::program())];
        found.into_iter().filter(|(_, program)| program.is_some()).map(|(stack, _)| stack).collect()
    }

    /// Starts both hops on the given addresses in front of the backend, and makes sure that the second one refuses who shows no certificate.
    ///
    /// # Errors
    /// The program is missing or does not start.
    pub fn start(
        stack: Stack,
        dir: &Path,
        tls: &TlsFiles,
        [a, b]: [SocketAddr; 2],
        backend: &Backend,
        pairs: &[Pair],
        post: usize,
    ) -> Result<Self, BenchError> {
        let (name, program) = match stack {
            Stack::Nginx => ("nginx", nginx::program()),
            Stack::Haproxy => ("haproxy", haproxy::program()),
        };
        let program = program.unwrap_or_else(|| PathBuf::from(name));
        let [first, second] = match stack {
            Stack::Nginx => nginx::hops(dir, tls, [a, b], backend.address())?,
            Stack::Haproxy => haproxy::hops(dir, tls, [a, b], backend.address())?,
        };
        let second = Child::start(&program, second, &dir.join(format!("{name}-b.log")))?;
        let mut first = Child::start(&program, first, &dir.join(format!("{name}-a.log")))?;
        first.wait_up(name, a, "/")?;
        refuses_strangers(name, b, tls)?;
        let parts =
            vec![Part { name: "A", pid: first.pid() }, Part { name: "B", pid: second.pid() }, backend.part()];
        let requests = Arc::new(Requests::new(pairs, post, backend.body_bytes()));
        let chain = Chain {
            name: name.to_owned(),
            kind: ChainKind::Floor,
            address: a,
            requests,
            parts,
            logs: Vec::new(),
        };
        Ok(Self { first, second, chain })
    }

    /// What to measure.
    #[must_use]
    pub fn chain(&self) -> &Chain {
        debug_assert!(self.first.pid() != self.second.pid());
        &self.chain
    }
}

/// Who shows no certificate must not be answered with 200: a floor without mutual TLS would be no floor.
fn refuses_strangers(name: &str, address: SocketAddr, tls: &TlsFiles) -> Result<(), BenchError> {
    match tls.answers_strangers(address) {
        Ok(true) => Err(BenchError::Unfit {
            name: name.to_owned(),
            reason: "its second hop answers who shows no certificate".to_owned(),
        }),
        // A handshake that breaks off is a refusal as well.
        Ok(false) | Err(_) => Ok(()),
    }
}

/// A program in one of the usual places.
pub(crate) fn find(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let dirs =
        std::env::split_paths(&path).chain([PathBuf::from("/usr/sbin"), PathBuf::from("/usr/local/sbin")]);
    dirs.map(|dir| dir.join(name)).find(|file| file.is_file())
}

#[cfg(test)]
mod tests;

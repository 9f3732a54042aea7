//! The floor: two hops of mutual TLS 1.3 by dumb proxies, with kept connections everywhere. They do not sign, log, decide or sync, so an exchange layer
//! cannot cost less by design. Files are made here; the programs must be installed.

pub(crate) mod haproxy;
pub(crate) mod nginx;

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::audit::Answered;
use crate::backend::Backend;
use crate::chain::{Chain, ChainKind, Part};
use crate::child::Child;
use crate::first::until_answered;
use crate::load::{Pair, Requests};
use crate::{BenchError, Stop, TlsFiles};

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
    stack: Stack,
    /// Both hops, the second one first; none while they are being started again.
    hops: Vec<Child>,
    commands: [Command; 2],
    chain: Chain,
}

/// How a hop is started.
#[derive(Debug)]
struct Command {
    program: PathBuf,
    args: Vec<OsString>,
    log: PathBuf,
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
        let log = |hop: &str| dir.join(format!("{name}-{hop}.log"));
        let commands = [
            Command { program: program.clone(), args: second, log: log("b") },
            Command { program, args: first, log: log("a") },
        ];
        let [second, mut first] = [commands[0].start()?, commands[1].start()?];
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
        Ok(Self { stack, hops: vec![second, first], commands, chain })
    }

    /// Which proxy it is.
    #[must_use]
    pub fn stack(&self) -> Stack {
        self.stack
    }

    /// Stops both hops and starts them again; how long it takes from then until the first request is answered.
    ///
    /// # Errors
    /// They do not start.
    pub fn start_again(&mut self, answered: &mut Answered, stop: &Stop) -> Result<Duration, BenchError> {
        self.hops.clear();
        let start = Instant::now();
        self.hops = self.commands.iter().map(Command::start).collect::<Result<_, _>>()?;
        let elapsed = until_answered(&self.chain, start, answered, stop)?;
        // The backend, the last part, goes on as it is.
        for (part, hop) in self.chain.parts.iter_mut().zip(self.hops.iter().rev()) {
            part.pid = hop.pid();
        }
        Ok(elapsed)
    }

    /// What to measure.
    #[must_use]
    pub fn chain(&self) -> &Chain {
        &self.chain
    }
}

impl Command {
    fn start(&self) -> Result<Child, BenchError> {
        Child::start(&self.program, &self.args, &self.log)
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

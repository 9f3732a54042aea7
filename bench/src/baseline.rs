//! The base line: the libraries that the product is made of (hyper, rustls, quinn) as a bare two-hop without any of its work. What the product costs above it
//! is the product's own.
//!
//! A takes HTTP/1.1, collects the body and sends it over two kept connections of mutual TLS 1.3: HTTP/2, many requests on each, or QUIC, a stream per
//! request. B collects, calls the backend over kept HTTP/1.1, and answers.

mod http2;
mod outer;
mod quic;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::backend::Backend;
use crate::chain::{Chain, ChainKind, Part};
use crate::child::Child;
use crate::load::{Pair, Requests};
use crate::{BenchError, TlsFiles};

/// What carries the requests from A to B.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Carrier {
    /// HTTP/2 over TCP.
    H2,
    /// QUIC.
    Quic,
}

impl Carrier {
    /// The word on the command line.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::H2 => "h2",
            Self::Quic => "quic",
        }
    }
}

/// Which of the two hops.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum HopRole {
    /// Towards the load generator.
    A,
    /// Towards the backend.
    B,
}

/// One hop, as a process of its own.
#[derive(Clone, Debug)]
pub struct HopArgs {
    /// Which.
    pub role: HopRole,
    /// What is between the two.
    pub carrier: Carrier,
    /// Where it listens.
    pub listen: SocketAddr,
    /// Where the next one listens.
    pub next: SocketAddr,
    /// Where [`TlsFiles`] lie.
    pub tls: PathBuf,
}

/// A base line that is up.
#[derive(Debug)]
pub struct BaseLine {
    _hops: [Child; 2],
    chain: Chain,
}

impl BaseLine {
    /// Starts both hops on the given addresses in front of the backend. `kogge` is the program whose `bench hop` is a hop.
    ///
    /// # Errors
    /// One does not start.
    pub fn start(
        carrier: Carrier,
        kogge: &Path,
        dir: &Path,
        [a, b]: [SocketAddr; 2],
        backend: &Backend,
        pairs: &[Pair],
        post: usize,
    ) -> Result<Self, BenchError> {
        let name = format!("base-{}", carrier.word());
        let start = |role: &str, listen: SocketAddr, next: SocketAddr| {
            let args = ["bench", "hop", role, "--carrier", carrier.word()].map(Into::into);
            let places =
                ["--listen".into(), listen.to_string().into(), "--next".into(), next.to_string().into()];
            let tls = ["--tls".into(), dir.as_os_str().to_owned()];
            let args = args.into_iter().chain(places).chain(tls);
            Child::start(kogge, args, &dir.join(format!("{name}-{role}.log")))
        };
        let second = start("b", b, backend.address())?;
        let mut first = start("a", a, b)?;
        first.wait_up(&name, a, "/")?;
        let parts =
            vec![Part { name: "A", pid: first.pid() }, Part { name: "B", pid: second.pid() }, backend.part()];
        let requests = Arc::new(Requests::new(pairs, post, backend.body_bytes()));
        let chain = Chain { name, kind: ChainKind::Base, address: a, requests, parts, logs: Vec::new() };
        Ok(Self { _hops: [first, second], chain })
    }

    /// What to measure.
    #[must_use]
    pub fn chain(&self) -> &Chain {
        &self.chain
    }
}

/// Serves one hop until the process that started it is gone.
///
/// # Errors
/// It cannot listen, or its TLS files are not there.
pub fn serve_hop(args: &HopArgs) -> Result<(), BenchError> {
    let failed = |source| BenchError::Start { program: "the hop".to_owned(), source };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(failed)?;
    let tls = TlsFiles::in_dir(&args.tls);
    runtime.block_on(async {
        let serving = async {
            match (args.role, args.carrier) {
                (HopRole::A, Carrier::H2) => {
                    outer::serve(args.listen, http2::Next::new(args.next, &tls)?).await
                }
                (HopRole::A, Carrier::Quic) => {
                    outer::serve(args.listen, quic::Next::new(args.next, &tls)?).await
                }
                (HopRole::B, Carrier::H2) => http2::serve(args.listen, args.next, &tls).await,
                (HopRole::B, Carrier::Quic) => quic::serve(args.listen, args.next, &tls).await,
            }
        };
        tokio::select! {
            served = serving => served,
            () = crate::spin::orphaned() => Ok(()),
        }
    })
}

/// Connections from A to B.
const CONNECTIONS: usize = 2;
/// Largest body that a hop collects.
const BODY_BYTES_MAX: usize = 16 * 1024 * 1024;

//! A way from the load generator to the backend, over two servers.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use crate::load::Requests;

/// What a chain is in a comparison.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum ChainKind {
    /// What it is measured against: dumb proxies.
    Floor,
    /// The libraries that the product is made of, without its work.
    Base,
    /// The product.
    Product,
}

/// A chain that is up.
#[derive(Clone, Debug)]
pub struct Chain {
    /// For people and programs: `nginx`, `base-h2`, `product` …
    pub name: String,
    /// What it is in the comparison.
    pub kind: ChainKind,
    /// Where the first server takes requests.
    pub address: SocketAddr,
    /// What it is asked.
    pub requests: Arc<Requests>,
    /// Its processes: A and B, then the backend.
    pub parts: Vec<Part>,
    /// Message logs that it writes.
    pub logs: Vec<PathBuf>,
}

/// One process of a chain, with all that it starts.
#[derive(Clone, Debug)]
pub struct Part {
    /// `A`, `B` or `backend`.
    pub name: &'static str,
    /// Its process id.
    pub pid: u32,
}

impl Chain {
    /// The two servers, without the backend.
    pub(crate) fn servers(&self) -> impl Iterator<Item = &Part> {
        self.parts.iter().filter(|part| part.name != BACKEND)
    }
}

/// Name of the part that is no server of the chain.
pub(crate) const BACKEND: &str = "backend";

//! What stands around the product: the backend behind every chain, the floor and the base line.

use std::path::{Path, PathBuf};

use anyhow::Context;
use kogge_bench::{Backend, BaseLine, Carrier, Chain, Floor, Pair, TlsFiles};

use super::say;
use crate::demo::layout::free_ports;

/// What is wanted.
pub(super) struct Surroundings {
    pub(super) body: usize,
    pub(super) post: usize,
    /// Length of the large body, if there is one.
    pub(super) large: Option<u64>,
    pub(super) services: u32,
    pub(super) floor: bool,
    pub(super) base: bool,
}

/// What is up; it stops when this is dropped.
pub(super) struct Around {
    pub(super) backend: Backend,
    pub(super) floors: Vec<Floor>,
    bases: Vec<BaseLine>,
}

impl Around {
    /// Starts everything with its files in `dir`.
    ///
    /// # Errors
    /// A program does not start.
    pub(super) fn start(wanted: &Surroundings, dir: &Path) -> anyhow::Result<Self> {
        kogge_durable::create_dir(dir, false)?;
        let kogge = kogge()?;
        let [backend, a1, b1, a2, b2, a3, b3, a4, b4] = free_ports()?;
        let backend = Backend::start(dir, backend, wanted.body, wanted.large, &kogge)?;
        say(&format!("backend: {} with bodies of {} bytes", backend.program(), backend.body_bytes()));
        let tls = TlsFiles::create(dir)?;
        let pairs = plain_pairs(wanted.services);
        let mut floors = Vec::new();
        if wanted.floor {
            for (stack, ports) in Floor::installed().into_iter().zip([[a1, b1], [a2, b2]]) {
                floors.push(Floor::start(stack, dir, &tls, ports, &backend, &pairs, wanted.post)?);
            }
            if floors.is_empty() {
                say("neither nginx nor haproxy is installed: there is no floor to measure against");
            }
        }
        let mut bases = Vec::new();
        if wanted.base {
            for (carrier, ports) in [(Carrier::H2, [a3, b3]), (Carrier::Quic, [a4, b4])] {
                bases.push(BaseLine::start(carrier, &kogge, dir, ports, &backend, &pairs, wanted.post)?);
            }
        }
        Ok(Self { backend, floors, bases })
    }

    /// Floor and base line.
    pub(super) fn chains(&self) -> Vec<Chain> {
        self.floors.iter().map(Floor::chain).chain(self.bases.iter().map(BaseLine::chain)).cloned().collect()
    }

    /// Each floor with what to fetch the large body by.
    pub(super) fn large(&self) -> Vec<(Chain, Pair)> {
        let plain = Pair { path: Backend::LARGE_PATH.to_owned(), client: CLIENT.to_owned() };
        self.floors.iter().map(|floor| (floor.chain().clone(), plain.clone())).collect()
    }
}

/// This very program, which is also what several processes of a bench are.
pub(super) fn kogge() -> anyhow::Result<PathBuf> {
    std::env::current_exe().context("cannot find the kogge binary itself")
}

/// The same resources without an exchange layer in front.
fn plain_pairs(services: u32) -> Vec<Pair> {
    let pair =
        |number| Pair { path: format!("/s{number:03}/{}", super::product::ITEM), client: CLIENT.to_owned() };
    (1..=services).map(pair).collect()
}

/// Who asks the floor, which does not care.
const CLIENT: &str = "DEMO/GOV/1001/c001";

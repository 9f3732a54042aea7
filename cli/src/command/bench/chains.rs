//! Everything that is measured, up and with the same backend behind it.

use std::sync::Arc;

use anyhow::Context;
use kogge_bench::{Backend, BaseLine, Carrier, Chain, ChainKind, Floor, Pair, Part, Requests, TlsFiles};

use super::{Args, Only, say};
use crate::demo::layout::{Layout, Ports, free_ports};
use crate::demo::processes::Processes;
use crate::demo::{Instance, Shape};

/// What is up; the floor and the base line stop when this is dropped.
pub(super) struct Chains {
    pub(super) backend: Backend,
    floors: Vec<Floor>,
    bases: Vec<BaseLine>,
    pub(super) product: Option<Instance>,
    chain: Option<Chain>,
    product_pairs: Vec<Pair>,
}

/// How the message logs are to be filled.
pub(super) struct Fill {
    pub(super) chain: Chain,
    pub(super) pairs: Vec<Pair>,
    pub(super) answer_bytes: usize,
    pub(super) bytes: u64,
}

impl Chains {
    pub(super) async fn start(
        args: &Args,
        layout: &Layout,
        processes: &mut Processes,
    ) -> anyhow::Result<Self> {
        let wanted = |what: Only| args.only.is_empty() || args.only.contains(&what);
        let dir = layout.path("bench");
        kogge_durable::create_dir(&dir, false)?;
        let kogge = std::env::current_exe().context("cannot find the kogge binary itself")?;
        let [backend, a1, b1, a2, b2, a3, b3, a4, b4] = free_ports()?;
        let backend = Backend::start(&dir, backend, args.body, args.large, &kogge)?;
        say(&format!("backend: {} with bodies of {} bytes", backend.program(), backend.body_bytes()));
        let tls = TlsFiles::create(&dir)?;
        let pairs = plain_pairs(args.services);
        let mut floors = Vec::new();
        if wanted(Only::Floor) {
            for (stack, ports) in Floor::installed().into_iter().zip([[a1, b1], [a2, b2]]) {
                floors.push(Floor::start(stack, &dir, &tls, ports, &backend, &pairs, args.post)?);
            }
            if floors.is_empty() {
                say("neither nginx nor haproxy is installed: there is no floor to measure against");
            }
        }
        let mut bases = Vec::new();
        // The base line holds bodies in memory: it says nothing about large ones.
        if wanted(Only::Base) && args.large.is_none() {
            for (carrier, ports) in [(Carrier::H2, [a3, b3]), (Carrier::Quic, [a4, b4])] {
                bases.push(BaseLine::start(carrier, &kogge, &dir, ports, &backend, &pairs, args.post)?);
            }
        }
        let mut chains =
            Self { backend, floors, bases, product: None, chain: None, product_pairs: Vec::new() };
        if wanted(Only::Product) {
            chains.start_product(args, layout, processes).await?;
        }
        Ok(chains)
    }

    async fn start_product(
        &mut self,
        args: &Args,
        layout: &Layout,
        processes: &mut Processes,
    ) -> anyhow::Result<()> {
        let shape = Shape {
            transport: args.transport,
            register: Some(format!("http://{}", self.backend.address())),
            signing_key: args.keys.kind(),
            signature: args.signature.map(super::Signature::word),
            clients: args.clients,
            services: args.services,
            bystanders: args.members,
            time_max_s: args.large.map(|_| LARGE_TIME_MAX_S),
        };
        let instance = Instance::start(&shape, layout, &Ports::choose(0)?, processes).await?;
        let pair = |(client, service): &(String, String)| Pair {
            path: format!("/r1/{service}/{ITEM}"),
            client: client.clone(),
        };
        self.product_pairs = instance.pairs.iter().map(pair).collect();
        let [consumer, provider] = &instance.servers[..] else {
            anyhow::bail!("the instance has not two servers")
        };
        let parts = vec![
            Part { name: "A", pid: consumer.pid },
            Part { name: "B", pid: provider.pid },
            self.backend.part(),
        ];
        self.chain = Some(Chain {
            name: "product".to_owned(),
            kind: ChainKind::Product,
            address: instance.consumer.trim_start_matches("http://").parse()?,
            requests: Arc::new(Requests::new(&self.product_pairs, args.post, self.backend.body_bytes())),
            parts,
            logs: instance.servers.iter().map(|server| server.log_dir.clone()).collect(),
        });
        self.product = Some(instance);
        Ok(())
    }

    /// Floor, base line, product.
    pub(super) fn all(&self) -> Vec<Chain> {
        let floors = self.floors.iter().map(Floor::chain);
        floors.chain(self.bases.iter().map(BaseLine::chain)).chain(&self.chain).cloned().collect()
    }

    /// Floor and product, each with what to fetch the large body by.
    pub(super) fn large(&self) -> Vec<(Chain, Pair)> {
        let plain = Pair { path: Backend::LARGE_PATH.to_owned(), client: CLIENT.to_owned() };
        let floors = self.floors.iter().map(|floor| (floor.chain().clone(), plain.clone()));
        let product = self.chain.iter().zip(&self.product_pairs).map(|(chain, pair)| {
            let service = pair.path.trim_end_matches(ITEM).trim_end_matches('/');
            let path = format!("{service}{}", Backend::LARGE_PATH);
            (chain.clone(), Pair { path, client: pair.client.clone() })
        });
        floors.chain(product).collect()
    }

    /// What to do before, if the logs are not to be empty.
    pub(super) fn fill(&self, args: &Args) -> Option<Fill> {
        let chain = self.chain.clone().filter(|_| args.log_mib > 0)?;
        let (pairs, answer_bytes) = (self.product_pairs.clone(), self.backend.body_bytes());
        Some(Fill { chain, pairs, answer_bytes, bytes: args.log_mib << 20 })
    }
}

/// The same resources without an exchange layer in front.
fn plain_pairs(services: u32) -> Vec<Pair> {
    let pair = |number| Pair { path: format!("/s{number:03}/{ITEM}"), client: CLIENT.to_owned() };
    (1..=services).map(pair).collect()
}

/// The last part of each path.
const ITEM: &str = "item";
/// Who asks the floor, which does not care.
const CLIENT: &str = "DEMO/GOV/1001/c001";
/// The longest that a security server allows: sixteen bodies of a GiB at once take their time on a small machine.
const LARGE_TIME_MAX_S: u32 = 300;

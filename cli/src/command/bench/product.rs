//! Kogge as a chain: an instance of the demo whose register is the bench's backend.

use std::sync::Arc;
use std::time::{Duration, Instant};

use kogge_bench::{Answered, Backend, Chain, ChainKind, Pair, Part, Requests, Stop, until_answered};
use tokio::time::sleep;

use crate::demo::layout::{Layout, Ports};
use crate::demo::processes::Processes;
use crate::demo::{Instance, Shape, plain_http};

/// An instance that is up, with its processes.
pub(super) struct Product {
    pub(super) instance: Instance,
    pub(super) chain: Chain,
    pairs: Vec<Pair>,
}

impl Product {
    /// Starts an instance of this shape in front of the backend.
    ///
    /// # Errors
    /// It cannot be set up or does not start.
    pub(super) async fn start(
        name: &str,
        shape: Shape,
        post: usize,
        backend: &Backend,
        layout: &Layout,
        processes: &mut Processes,
    ) -> anyhow::Result<Self> {
        let shape = Shape { register: Some(format!("http://{}", backend.address())), ..shape };
        let instance = Instance::start(&shape, layout, &Ports::choose(0)?, processes).await?;
        let pair = |(client, service): &(String, String)| Pair {
            path: format!("/r1/{service}/{ITEM}"),
            client: client.clone(),
        };
        let pairs: Vec<Pair> = instance.pairs.iter().map(pair).collect();
        let names = ["A", "B"].into_iter().zip(&instance.servers);
        let servers = names.map(|(name, server)| Part { name, pid: server.pid });
        let chain = Chain {
            name: name.to_owned(),
            kind: ChainKind::Product,
            address: instance.consumer.trim_start_matches("http://").parse()?,
            requests: Arc::new(Requests::new(&pairs, post, backend.body_bytes())),
            parts: servers.chain([backend.part()]).collect(),
            logs: instance.servers.iter().map(|server| server.log_dir.clone()).collect(),
        };
        Ok(Self { instance, chain, pairs })
    }

    /// What to fetch a large body by, that of `path` at the backend.
    pub(super) fn large(&self, path: &str) -> Option<(Chain, Pair)> {
        let pair = self.pairs.first()?;
        let service = pair.path.trim_end_matches(ITEM).trim_end_matches('/');
        let path = format!("{service}{path}");
        Some((self.chain.clone(), Pair { path, client: pair.client.clone() }))
    }

    /// Makes exchanges until each log holds so many bytes.
    ///
    /// # Errors
    /// An exchange failed, or somebody asked to stop.
    pub(super) fn fill(
        &self,
        backend: &Backend,
        bytes: u64,
        answered: &mut Answered,
        stop: &Stop,
    ) -> anyhow::Result<()> {
        let answer_bytes = backend.body_bytes();
        let mut progress = |line: &str| super::say(line);
        Ok(kogge_bench::fill(&self.chain, &self.pairs, answer_bytes, bytes, answered, stop, &mut progress)?)
    }

    /// Stops both servers, starts them again, and asks until they have made an exchange; how long it takes from the start.
    ///
    /// # Errors
    /// A server does not stop or start, or there is no answer in time.
    pub(super) async fn first_exchange(
        &mut self,
        processes: &mut Processes,
        answered: &mut Answered,
        stop: &Stop,
    ) -> anyhow::Result<Duration> {
        for role in ROLES {
            processes.end(role, false).await?;
        }
        let start = Instant::now();
        for (role, place) in ROLES.into_iter().zip(0..) {
            self.note_pid(place, processes.start_again(role)?);
        }
        Ok(tokio::task::block_in_place(|| until_answered(&self.chain, start, answered, stop))?)
    }

    /// Kills one server and starts it again; how long it takes until it says that it is ready.
    ///
    /// # Errors
    /// It does not start, or is not ready in time.
    pub(super) async fn ready_after_kill(
        &mut self,
        place: usize,
        processes: &mut Processes,
    ) -> anyhow::Result<Duration> {
        let Some((role, server)) = ROLES.get(place).zip(self.instance.servers.get(place)) else {
            anyhow::bail!("there is no server {place}")
        };
        let url = format!("http://{}/ready", server.status);
        processes.end(role, true).await?;
        let start = Instant::now();
        let pid = processes.start_again(role)?;
        while !plain_http::get(&url).await.is_ok_and(|answer| answer.status == 200) {
            anyhow::ensure!(start.elapsed() < READY_MAX, "the {role} was not ready in time");
            processes.check()?;
            sleep(POLL).await;
        }
        let elapsed = start.elapsed();
        self.note_pid(place, pid);
        Ok(elapsed)
    }

    fn note_pid(&mut self, place: usize, pid: u32) {
        if let Some(server) = self.instance.servers.get_mut(place) {
            server.pid = pid;
        }
        if let Some(part) = self.chain.parts.get_mut(place) {
            part.pid = pid;
        }
    }
}

/// The last part of each path.
pub(super) const ITEM: &str = "item";
/// The servers in their order, by the names of their processes.
const ROLES: [&str; 2] = ["consumer", "provider"];
const POLL: Duration = Duration::from_millis(1);
const READY_MAX: Duration = Duration::from_secs(30);

//! Load for the tunnel alone: exchanges, bulk and idle connections between two processes, beside the bare libraries.
//!
//! `tunnel_load exchanges h2,quic,bare-h2,bare-quic concurrency=64 seconds=3 rounds=3 connections=2 bytes=1024 material=2500`
//! `tunnel_load bulk h2,quic,bare-tcp mib=1024 rounds=3`
//! `tunnel_load idle h2,quic connections=1000 seconds=20`
//!
//! Prints CPU time and wake-ups of both processes (A asks, B answers): other work on the machine disturbs them less than it does rates.
//! `prefix="ip netns exec xr2" listen=10.77.0.2:5500` starts the provider elsewhere.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    missing_docs,
    reason = "a tool for measuring"
)]

mod account;
mod bare;
mod instance;

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use kogge_certs::snapshot::SecurityServer;
use kogge_proto::limits::BODY_CHUNK_BYTES;
use kogge_transport::{
    Frame, Head, Listener, ListenerLimits, PeerStream, TransportError, TransportMode, TunnelLimits, Tunnels,
    frame::Kind,
};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use crate::account::{Process, Reading};
use crate::instance::Equipment;

fn main() {
    let mut words = std::env::args().skip(1);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    match (words.next().as_deref(), words.next()) {
        (Some("provide"), address) => {
            runtime.block_on(provide(address.as_deref().unwrap_or("127.0.0.1:0")));
        }
        (Some(kind), Some(carriers)) => {
            let options = words.filter_map(|word| {
                word.split_once('=').map(|(name, value)| (name.to_owned(), value.to_owned()))
            });
            let run = Run { carriers, options: options.collect() };
            match kind {
                "exchanges" => runtime.block_on(exchanges(&run)),
                "bulk" => runtime.block_on(bulk(&run)),
                "idle" => runtime.block_on(idle(&run)),
                other => panic!("{other} is nothing that is measured here"),
            }
        }
        _ => panic!("say what to measure, see the top of this file"),
    }
}

/// What the command line asks for.
struct Run {
    carriers: String,
    options: HashMap<String, String>,
}

impl Run {
    fn number(&self, name: &str, default: u64) -> u64 {
        self.options.get(name).map_or(default, |value| value.parse().unwrap())
    }

    fn carriers(&self) -> impl Iterator<Item = &str> {
        self.carriers.split(',')
    }

    fn seconds(&self, default: u64) -> Duration {
        Duration::from_secs(self.number("seconds", default))
    }
}

/// The provider's process, as the driver sees it.
struct Provider {
    child: Child,
    equipment: Equipment,
    server: SecurityServer,
    bare: Vec<SocketAddr>,
}

impl Provider {
    /// Starts it, by `prefix` (for instance `ip netns exec xr2`) if one is given, at `address`.
    fn start(run: &Run) -> Self {
        let (consumer, provider) = instance::make();
        let exe = std::env::current_exe().unwrap();
        let address = run.options.get("listen").map_or("127.0.0.1:0", String::as_str);
        let mut command = match run.options.get("prefix") {
            Some(prefix) => {
                let mut words = prefix.split_whitespace();
                let mut command = Command::new(words.next().unwrap());
                command.args(words).arg(exe);
                command
            }
            None => Command::new(exe),
        };
        let mut child =
            command.args(["provide", address]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        provider.write(child.stdin.as_mut().unwrap());
        let mut line = String::new();
        BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        let mut addrs: Vec<SocketAddr> = line.split_whitespace().map(|word| word.parse().unwrap()).collect();
        let server = provider.entry(&addrs.remove(0).to_string());
        Self { child, equipment: consumer, server, bare: addrs }
    }

    fn tunnels(&self, carrier: &str, connections: usize) -> Tunnels {
        let mode = if carrier == "quic" { TransportMode::Quic } else { TransportMode::H2 };
        let limits = TunnelLimits { connections_per_address_max: connections, ..TunnelLimits::default() };
        Tunnels::new(self.equipment.identity(), self.equipment.trust(), mode, limits)
    }

    fn readings(&self) -> [Reading; 2] {
        [Process(std::process::id()).reading(), Process(self.child.id()).reading()]
    }

    fn pss(&self) -> [u64; 2] {
        [Process(std::process::id()).pss_kib(), Process(self.child.id()).pss_kib()]
    }
}

impl Drop for Provider {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Answers until it is killed: as many bytes as the question's `body_length` says.
async fn provide(address: &str) {
    let equipment = Equipment::read(&mut std::io::stdin().lock());
    let limits = ListenerLimits {
        connections_max: 4096,
        connections_per_address_max: 4096,
        ..ListenerLimits::default()
    };
    let addr = address.parse().unwrap();
    let listener = Listener::bind(addr, equipment.identity(), equipment.trust(), limits).unwrap();
    let bare = bare::serve(&equipment, addr.ip()).await;
    println!("{} {} {} {}", listener.local_addr(), bare[0], bare[1], bare[2]);
    std::io::stdout().flush().unwrap();
    let chunk = Bytes::from(vec![7; BODY_CHUNK_BYTES]);
    let serving = listener.serve(move |stream| {
        let chunk = chunk.clone();
        tokio::spawn(async move {
            if let Err(error) = answer(stream, chunk).await {
                eprintln!("an answer failed: {error}");
            }
        });
    });
    serving.await;
}

async fn answer(mut stream: PeerStream, chunk: Bytes) -> Result<(), TransportError> {
    let (mut left, mut material) = (0, Vec::new());
    while let Some(frame) = stream.recv().await? {
        if let Some(Kind::Head(head)) = frame.kind {
            (left, material) = (head.body_length, head.auth_ocsp);
        }
    }
    stream.queue(head(256, left, material)).await?;
    while left > 0 {
        let length = left.min(chunk.len() as u64);
        stream.queue(Frame { kind: Some(Kind::BodyChunk(chunk.slice(..length as usize))) }).await?;
        left -= length;
    }
    stream.finish().await
}

/// `material` is what both heads carry beside the message.
fn head(message_bytes: usize, body_length: u64, material: Vec<u8>) -> Frame {
    let message = Bytes::from(vec![7; message_bytes]);
    let head = Head { message, body_length, has_body: true, auth_ocsp: material, ..Head::default() };
    Frame { kind: Some(Kind::Head(head)) }
}

/// One carrier's way to ask.
enum Asker {
    Tunnel { tunnels: Tunnels, server: SecurityServer, material: Vec<u8> },
    BareH2(bare::H2),
    BareQuic(bare::Quic),
    BareTls(SocketAddr),
}

impl Asker {
    async fn new(run: &Run, provider: &Provider, carrier: &str, connections: usize) -> Self {
        match carrier {
            "bare-tcp" => Self::BareTls(provider.bare[0]),
            "bare-h2" => Self::BareH2(bare::H2::dial(provider.bare[1]).await),
            "bare-quic" => Self::BareQuic(bare::Quic::dial(provider.bare[2]).await),
            _ => Self::Tunnel {
                tunnels: provider.tunnels(carrier, connections),
                server: provider.server.clone(),
                material: vec![7; run.number("material", 0) as usize],
            },
        }
    }

    /// Asks for so many bytes, and takes them.
    async fn ask(&self, bytes: u64) -> Result<(), TransportError> {
        let got = match self {
            Self::Tunnel { tunnels, server, material } => {
                ask_tunnel(tunnels, server, bytes, material.clone()).await?
            }
            Self::BareH2(bare) => bare.exchange(Bytes::from(vec![7; 300]), bytes).await,
            Self::BareQuic(bare) => bare.exchange(Bytes::from(vec![7; 300]), bytes).await,
            Self::BareTls(addr) => bare::tls_transfer(*addr, bytes).await,
        };
        assert_eq!(got, bytes);
        Ok(())
    }
}

async fn ask_tunnel(
    tunnels: &Tunnels,
    server: &SecurityServer,
    bytes: u64,
    material: Vec<u8>,
) -> Result<u64, TransportError> {
    let mut stream = tunnels.open(server, Instant::now() + Duration::from_secs(300)).await?;
    stream.queue(head(256, bytes, material)).await?;
    stream.finish().await?;
    let mut got = 0;
    while let Some(frame) = stream.recv().await? {
        if let Some(Kind::BodyChunk(chunk)) = frame.kind {
            got += chunk.len() as u64;
        }
    }
    Ok(got)
}

async fn exchanges(run: &Run) {
    let provider = Provider::start(run);
    let (concurrency, bytes) = (run.number("concurrency", 64), run.number("bytes", 1024));
    let connections = run.number("connections", 2) as usize;
    for _ in 0..run.number("rounds", 3) {
        for carrier in run.carriers() {
            let asker = Arc::new(Asker::new(run, &provider, carrier, connections).await);
            asker.ask(bytes).await.unwrap();
            let (count, stop) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
            let mut askers = JoinSet::new();
            for _ in 0..concurrency {
                let (asker, count, stop) = (Arc::clone(&asker), Arc::clone(&count), Arc::clone(&stop));
                askers.spawn(async move {
                    while !stop.load(Ordering::Relaxed) {
                        asker.ask(bytes).await.unwrap();
                        count.fetch_add(1, Ordering::Relaxed);
                    }
                });
            }
            sleep(Duration::from_millis(500)).await; // until everything is warm
            let (begin, before, first) = (Instant::now(), provider.readings(), count.load(Ordering::Relaxed));
            sleep(run.seconds(3)).await;
            let (time, after, last) = (begin.elapsed(), provider.readings(), count.load(Ordering::Relaxed));
            stop.store(true, Ordering::Relaxed);
            askers.join_all().await;
            let done = (last - first) as f64;
            let [a, b] = [after[0] - before[0], after[1] - before[1]];
            let micros = |reading: Reading| reading.cpu.as_secs_f64() * 1e6 / done;
            println!(
                "{carrier:9} c={concurrency:<3} {:7.0}/s  A {:5.1} + B {:5.1} = {:5.1} us  wake-ups A {:.2} B {:.2}  PSS {:?} KiB",
                done / time.as_secs_f64(),
                micros(a),
                micros(b),
                micros(a) + micros(b),
                a.wake_ups as f64 / done,
                b.wake_ups as f64 / done,
                provider.pss(),
            );
        }
    }
}

async fn bulk(run: &Run) {
    let provider = Provider::start(run);
    let mib = run.number("mib", 1024);
    for _ in 0..run.number("rounds", 3) {
        for carrier in run.carriers() {
            let asker = Asker::new(run, &provider, carrier, 2).await;
            asker.ask(1024).await.unwrap();
            let (pss, begin, before) = (provider.pss(), Instant::now(), provider.readings());
            asker.ask(mib * 1024 * 1024).await.unwrap();
            let (time, after) = (begin.elapsed().as_secs_f64(), provider.readings());
            let [a, b] = [after[0] - before[0], after[1] - before[1]];
            let per_gib = |reading: Reading| reading.cpu.as_secs_f64() * 1024.0 / mib as f64;
            println!(
                "{carrier:9} {:6.0} MB/s  CPU per GiB A {:.3} + B {:.3} = {:.3} s  PSS {pss:?} -> {:?} KiB",
                mib as f64 * 1.048_576 / time,
                per_gib(a),
                per_gib(b),
                per_gib(a) + per_gib(b),
                provider.pss(),
            );
        }
    }
}

async fn idle(run: &Run) {
    let count = run.number("connections", 1000);
    for carrier in run.carriers() {
        let provider = Provider::start(run);
        // One set of tunnels to warm up, whose costs are not counted.
        let mut all = vec![provider.tunnels(carrier, 1)];
        ask_tunnel(&all[0], &provider.server, 1024, Vec::new()).await.unwrap();
        let before = provider.pss();
        for _ in 0..count {
            let tunnels = provider.tunnels(carrier, 1);
            ask_tunnel(&tunnels, &provider.server, 1024, Vec::new()).await.unwrap();
            all.push(tunnels);
        }
        let after = provider.pss();
        let each = |side: usize| (after[side].saturating_sub(before[side])) as f64 / count as f64;
        println!(
            "{carrier:9} {count} connections: KiB for each A {:.1} B {:.1}  PSS {after:?} KiB",
            each(0),
            each(1)
        );
        sleep(Duration::from_secs(10)).await; // until the first exchange is forgotten
        let (begin, before) = (Instant::now(), provider.readings());
        sleep(run.seconds(20)).await;
        let (time, after) = (begin.elapsed().as_secs_f64(), provider.readings());
        for (name, cost) in [("A", after[0] - before[0]), ("B", after[1] - before[1])] {
            println!(
                "{carrier:9} idle {name}: {:.3} % of a core, {:.1} wake-ups/s",
                cost.cpu.as_secs_f64() * 100.0 / time,
                cost.wake_ups as f64 / time,
            );
        }
    }
}

//! What logging costs in the pattern of a security server: tasks of a runtime that append a request as written, work for a while, and append the response as durable.
//!
//! `cargo run --profile profiling -p kogge-message-log --example exchanges -- DIR [TASKS,… [EXCHANGES [ROUNDS]]]`
//!
//! Each line is the cost beside the same tasks without a log, in turn with it: of a log that stores bodies as they are, and of one that encrypts them. Counted are the disk's own flushes and sectors, so what others write meanwhile counts too.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a measurement")]

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use kogge_message_log::{
    Durability, LogKey, MessageLog, NewBody, NewBodyPlace, NewMessage, Options, Receipt, SoftLogKey,
};
use kogge_proto::digest::{sha256, sha512};
use kogge_proto::id::SecurityServerId;
use kogge_proto::time::UnixMillis;
use kogge_proto::wire::evidence::{Material, Signature, SignatureMethod};
use kogge_proto::wire::log::{Direction, Role};
use tokio::sync::oneshot;

/// Threads of the runtime, as in a server on two cores.
const WORKERS: usize = 2;
/// What a task hashes between its two records, for the signatures, TLS and parsing of an exchange: about 100 µs.
const WORK_BYTES: usize = 160 * 1024;

#[tokio::main(worker_threads = 2)]
async fn main() {
    let mut args = std::env::args().skip(1);
    let dir = PathBuf::from(args.next().unwrap_or_else(|| ".".to_owned()));
    let tasks = args.next().unwrap_or_else(|| "1,16,64".to_owned());
    let exchanges: u32 = args.next().map_or(10_000, |text| text.parse().unwrap());
    let rounds: usize = args.next().map_or(3, |text| text.parse().unwrap());
    println!("{WORKERS} workers, {exchanges} exchanges a run");
    for _ in 0..rounds {
        for tasks in tasks.split(',').map(|text| text.parse().unwrap()) {
            for encrypts in [false, true] {
                let without = measure(&dir, None, tasks, exchanges).await;
                let work = tempfile::tempdir_in(&dir).unwrap();
                let log = MessageLog::open(work.path(), options(encrypts)).unwrap().0;
                let with = measure(&dir, Some(log.clone()), tasks, exchanges).await;
                log.close();
                println!(
                    "{tasks:>3} tasks, {}: {:>6.0} exchanges/s, log {:>5.1} us CPU and {:>5.2} switches an exchange, {:>5.3} flushes, {:>5.0} device bytes, p50 {:>5} us, p99 {:>6} us",
                    if encrypts { "encrypted" } else { "plain" },
                    with.rate,
                    with.cpu - without.cpu,
                    with.switches - without.switches,
                    with.flushes,
                    with.bytes,
                    with.p50,
                    with.p99,
                );
            }
        }
    }
}

/// What a run came to; sums are for each exchange.
struct Outcome {
    rate: f64,
    cpu: f64,
    switches: f64,
    flushes: f64,
    bytes: f64,
    p50: u128,
    p99: u128,
}

async fn measure(dir: &Path, log: Option<MessageLog>, tasks: u32, exchanges: u32) -> Outcome {
    let before = (cpu_micros(), switches(), disk(dir));
    let begun = Instant::now();
    let next = Arc::new(AtomicU32::new(0));
    let handles: Vec<_> =
        (0..tasks).map(|_| tokio::spawn(run(log.clone(), next.clone(), exchanges))).collect();
    let mut latencies = Vec::new();
    for handle in handles {
        latencies.extend(handle.await.unwrap());
    }
    let elapsed = begun.elapsed();
    let after = (cpu_micros(), switches(), disk(dir));
    latencies.sort_unstable();
    let count = f64::from(exchanges);
    Outcome {
        rate: count / elapsed.as_secs_f64(),
        cpu: (after.0 - before.0) / count,
        switches: (after.1 - before.1) as f64 / count,
        flushes: (after.2.1 - before.2.1) as f64 / count,
        bytes: (after.2.0 - before.2.0) as f64 / count,
        p50: latencies[latencies.len() / 2].as_micros(),
        p99: latencies[latencies.len() * 99 / 100].as_micros(),
    }
}

/// One connection: an exchange after the other.
async fn run(log: Option<MessageLog>, next: Arc<AtomicU32>, exchanges: u32) -> Vec<Duration> {
    let (template, work) = (message(), vec![7; WORK_BYTES]);
    let mut latencies = Vec::new();
    loop {
        let number = next.fetch_add(1, Ordering::Relaxed);
        if number >= exchanges {
            return latencies;
        }
        let begun = Instant::now();
        let request_id = format!("550e8400-e29b-41d4-a716-{number:012x}");
        let request = NewMessage { message_id: format!("DEMO-{request_id}"), request_id, ..template.clone() };
        let response = NewMessage { direction: Direction::Response, ..request.clone() };
        let follows = match &log {
            Some(log) => Some(append(log, request, Durability::WithNext).await),
            None => None,
        };
        std::hint::black_box(sha256(&work));
        tokio::task::yield_now().await;
        if let Some(log) = &log {
            append(log, NewMessage { follows, ..response }, Durability::Now).await;
        }
        latencies.push(begun.elapsed());
    }
}

async fn append(log: &MessageLog, message: NewMessage, durability: Durability) -> Receipt {
    let (tell, told) = oneshot::channel();
    let sync = log.append_before_sync(message, durability, Box::new(move |outcome| drop(tell.send(outcome))));
    if sync.is_some() {
        tokio::task::yield_now().await;
    }
    drop(sync);
    told.await.unwrap().unwrap()
}

fn options(encrypts: bool) -> Options {
    let key: Arc<dyn LogKey> = Arc::new(SoftLogKey::new(&[7; 32]).unwrap());
    Options {
        server: SecurityServerId::parse("DEMO/GOV/1001/main").unwrap(),
        segment_bytes: 64 * 1024 * 1024,
        index_cache_bytes: 8 * 1024 * 1024,
        replay_window: Duration::from_secs(3600),
        log_key: encrypts.then_some(key),
        clock: || UnixMillis(1_800_000_000_000),
    }
}

fn message() -> NewMessage {
    let (certificate, ocsp) = (Bytes::from(vec![1; 700]), Bytes::from(vec![2; 1500]));
    let body = Bytes::from(vec![b'b'; 1024]);
    NewMessage {
        role: Role::Provider,
        direction: Direction::Request,
        message_id: String::new(),
        request_id: String::new(),
        client: "DEMO/GOV/2000/client".to_owned(),
        service: "DEMO/GOV/1001/register/service".to_owned(),
        subject: None,
        peer_server: "DEMO/GOV/2000/main".to_owned(),
        message: Bytes::from(vec![b'm'; 500]),
        body: Some(NewBody { length: 1024, sha512: sha512(&body), place: NewBodyPlace::Inline(body) }),
        signature: Signature {
            method: SignatureMethod::EcdsaP256Sha256.into(),
            signing_time_ms: 1_800_000_000_000,
            value: vec![7; 64],
            certificate_sha256: sha256(&certificate).0.to_vec(),
            ocsp_sha256: sha256(&ocsp).0.to_vec(),
            ..Signature::default()
        },
        material: Material { items: vec![certificate, ocsp] },
        follows: None,
    }
}

/// Bytes written to the disk on which a directory lies, and its flushes; zeros if it says nothing.
fn disk(dir: &Path) -> (u64, u64) {
    let device = std::fs::metadata(dir).unwrap().dev();
    let (major, minor) = ((device >> 8) & 0xfff, (device & 0xff) | ((device >> 12) & 0xfff00));
    let text = std::fs::read_to_string(format!("/sys/dev/block/{major}:{minor}/stat")).unwrap_or_default();
    // Documentation/block/stat.rst: the seventh is sectors written, the sixteenth flushes.
    let field =
        |index: usize| text.split_whitespace().nth(index).map_or(0, |field| field.parse().unwrap_or(0));
    (field(6) * 512, field(15))
}

/// How often a thread of this process that still lives was taken off a core, or went by itself.
fn switches() -> u64 {
    let mut sum = 0;
    for task in std::fs::read_dir("/proc/self/task").unwrap().flatten() {
        let status = std::fs::read_to_string(task.path().join("status")).unwrap_or_default();
        sum += status
            .lines()
            .filter(|line| line.contains("ctxt_switches"))
            .filter_map(|line| line.split_whitespace().next_back()?.parse::<u64>().ok())
            .sum::<u64>();
    }
    sum
}

/// CPU time of this process so far, in µs, to a hundredth of a second.
fn cpu_micros() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let fields = stat.rsplit_once(')').unwrap().1.split_whitespace();
    let ticks: u64 = fields.skip(11).take(2).map(|field| field.parse::<u64>().unwrap()).sum();
    ticks as f64 * 10_000.0
}

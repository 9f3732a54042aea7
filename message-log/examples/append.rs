//! How close the log comes to the plainest thing that keeps the same promise: a preallocated file, one writer thread, one `fdatasync` for all who wait.
//!
//! `cargo run --profile profiling -p kogge-message-log --example append -- DIR [PAIRS [RECORDS]]`
//!
//! Both are run in turn on the same disk, 32 threads with records of 4 KiB, each waiting for its own. The plain writer's file is filled with zeros before its time
//! begins; what the log does to have space ahead of need is within its time and its bytes. Counted are the disk's own flushes and sectors, so what others write
//! meanwhile counts too: look at the best pairs.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a measurement")]

use std::fs::File;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::Thread;
use std::time::{Duration, Instant};

use bytes::Bytes;
use kogge_message_log::{Durability, MessageLog, NewMessage, Options};
use kogge_proto::digest::sha256;
use kogge_proto::id::SecurityServerId;
use kogge_proto::time::UnixMillis;
use kogge_proto::wire::evidence::{Material, Signature, SignatureMethod};
use kogge_proto::wire::log::{Direction, Role};

const THREADS: u32 = 32;
const RECORD_BYTES: usize = 4096;
/// What the log adds to the message part of a record like this.
const OVERHEAD_BYTES: usize = 220;

fn main() {
    let mut args = std::env::args().skip(1);
    let dir = PathBuf::from(args.next().unwrap_or_else(|| ".".to_owned()));
    let pairs: usize = args.next().map_or(7, |text| text.parse().unwrap());
    let records: u32 = args.next().map_or(2000, |text| text.parse().unwrap());
    println!("{THREADS} threads, {records} records of {RECORD_BYTES} B each");
    let mut ratios = Vec::new();
    for pair in 0..pairs {
        // In turn first and second, so that a drift of the machine's speed favours neither.
        let (plain, log) = if pair % 2 == 0 {
            let plain = measure(&dir, records, plain);
            (plain, measure(&dir, records, log))
        } else {
            let log = measure(&dir, records, log);
            (measure(&dir, records, plain), log)
        };
        println!("plain {plain}\nlog   {log}");
        ratios.push((log.rate / plain.rate, log.bytes, log.cpu / plain.cpu));
    }
    let median = |mut values: Vec<f64>| {
        values.sort_by(f64::total_cmp);
        (values[values.len() / 2], values[0], values[values.len() - 1])
    };
    let show = |what: &str, values: Vec<f64>| {
        let (middle, low, high) = median(values);
        println!("{what}: {middle:.2} ({low:.2} to {high:.2})");
    };
    show("records/s, log to plain", ratios.iter().map(|ratio| ratio.0).collect());
    show("device bytes to logical bytes", ratios.iter().map(|ratio| ratio.1).collect());
    show("CPU of a record, log to plain", ratios.iter().map(|ratio| ratio.2).collect());
}

/// What a run came to.
struct Outcome {
    /// Records per second.
    rate: f64,
    /// CPU of this process for a record, in µs.
    cpu: f64,
    /// Device bytes for each logical byte.
    bytes: f64,
    /// Flushes for each record.
    flushes: f64,
}

impl std::fmt::Display for Outcome {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { rate, cpu, bytes, flushes } = self;
        let group = 1.0 / flushes;
        write!(
            f,
            "{rate:>7.0} records/s {cpu:>5.1} us CPU {bytes:>5.2} device/logical {group:>5.1} records a flush"
        )
    }
}

fn measure(dir: &Path, records: u32, run: fn(&Path, u32) -> Duration) -> Outcome {
    let work = tempfile::tempdir_in(dir).unwrap();
    std::fs::create_dir(work.path().join("run")).unwrap();
    let (cpu, disk) = (cpu_micros(), Disk::of(dir));
    let elapsed = run(&work.path().join("run"), records);
    let after = Disk::of(dir);
    let total = f64::from(THREADS * records);
    Outcome {
        rate: total / elapsed.as_secs_f64(),
        cpu: (cpu_micros() - cpu) / total,
        bytes: (after.bytes - disk.bytes) as f64 / (total * RECORD_BYTES as f64),
        flushes: (after.flushes - disk.flushes) as f64 / total,
    }
}

/// Runs the threads; `append` returns when its record is durable.
fn drive(records: u32, append: impl Fn(u32) + Sync) -> Duration {
    let begun = Instant::now();
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let append = &append;
            scope.spawn(move || (0..records).for_each(|number| append(thread * records + number)));
        }
    });
    begun.elapsed()
}

/// One who waits to be told.
struct Waiter {
    thread: Thread,
    is_done: AtomicBool,
}

impl Waiter {
    fn new() -> Arc<Self> {
        Arc::new(Self { thread: std::thread::current(), is_done: AtomicBool::new(false) })
    }

    fn wait(&self) {
        while !self.is_done.load(Ordering::Acquire) {
            std::thread::park();
        }
    }

    fn tell(&self) {
        self.is_done.store(true, Ordering::Release);
        self.thread.unpark();
    }
}

fn log(dir: &Path, records: u32) -> Duration {
    let options = Options {
        server: SecurityServerId::parse("DEMO/GOV/1001/main").unwrap(),
        segment_bytes: 64 * 1024 * 1024,
        index_cache_bytes: 8 * 1024 * 1024,
        replay_window: Duration::from_secs(3600),
        log_key: None,
        clock: || UnixMillis(1_800_000_000_000),
    };
    let (log, _) = MessageLog::open(dir, options).unwrap();
    let message = message();
    let elapsed = drive(records, |number| {
        let waiter = Waiter::new();
        let told = waiter.clone();
        let request_id = format!("550e8400-e29b-41d4-a716-{number:012x}");
        let message = NewMessage { message_id: format!("DEMO-{request_id}"), request_id, ..message.clone() };
        log.append(
            message,
            Durability::Now,
            Box::new(move |outcome| {
                outcome.unwrap();
                told.tell();
            }),
        );
        waiter.wait();
    });
    log.close();
    elapsed
}

fn message() -> NewMessage {
    let (certificate, ocsp) = (Bytes::from(vec![1; 700]), Bytes::from(vec![2; 1500]));
    NewMessage {
        role: Role::Provider,
        direction: Direction::Request,
        message_id: String::new(),
        request_id: String::new(),
        client: "DEMO/GOV/2000/client".to_owned(),
        service: "DEMO/GOV/1001/register/service".to_owned(),
        subject: None,
        peer_server: "DEMO/GOV/2000/main".to_owned(),
        message: Bytes::from(vec![b'm'; RECORD_BYTES - OVERHEAD_BYTES]),
        body: None,
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

/// The plainest group commit.
#[derive(Default)]
struct Plain {
    queue: Mutex<PlainQueue>,
    arrived: Condvar,
}

#[derive(Default)]
struct PlainQueue {
    records: Vec<(Vec<u8>, Arc<Waiter>)>,
    is_closed: bool,
}

fn plain(dir: &Path, records: u32) -> Duration {
    let file = File::create_new(dir.join("plain")).unwrap();
    let total = u64::from(THREADS * records) * RECORD_BYTES as u64;
    let zeros = vec![0; 1 << 20];
    (0..=total >> 20).for_each(|piece| file.write_all_at(&zeros, piece << 20).unwrap());
    file.sync_all().unwrap();
    let plain = Plain::default();
    std::thread::scope(|scope| {
        scope.spawn(|| plain.write(&file));
        let elapsed = drive(records, |number| {
            let waiter = Waiter::new();
            let record = vec![number as u8; RECORD_BYTES];
            plain.queue.lock().unwrap().records.push((record, waiter.clone()));
            plain.arrived.notify_one();
            waiter.wait();
        });
        plain.queue.lock().unwrap().is_closed = true;
        plain.arrived.notify_one();
        elapsed
    })
}

impl Plain {
    fn write(&self, file: &File) {
        let (mut offset, mut frames) = (0, Vec::new());
        loop {
            let mut queue = self.queue.lock().unwrap();
            while queue.records.is_empty() && !queue.is_closed {
                queue = self.arrived.wait(queue).unwrap();
            }
            let group = std::mem::take(&mut queue.records);
            drop(queue);
            if group.is_empty() {
                return;
            }
            frames.clear();
            group.iter().for_each(|(record, _)| frames.extend_from_slice(record));
            file.write_all_at(&frames, offset).unwrap();
            file.sync_data().unwrap();
            offset += frames.len() as u64;
            group.iter().for_each(|(_, waiter)| waiter.tell());
        }
    }
}

/// Sums that the kernel keeps of a disk.
struct Disk {
    bytes: u64,
    flushes: u64,
}

impl Disk {
    /// The one on which a directory lies; zeros if it says nothing.
    fn of(dir: &Path) -> Self {
        let device = std::fs::metadata(dir).unwrap().dev();
        let (major, minor) = ((device >> 8) & 0xfff, (device & 0xff) | ((device >> 12) & 0xfff00));
        let text =
            std::fs::read_to_string(format!("/sys/dev/block/{major}:{minor}/stat")).unwrap_or_default();
        let fields: Vec<u64> = text.split_whitespace().map(|field| field.parse().unwrap()).collect();
        // Documentation/block/stat.rst: the seventh is sectors written, the sixteenth flushes.
        let field = |index: usize| fields.get(index).copied().unwrap_or_default();
        Self { bytes: field(6) * 512, flushes: field(15) }
    }
}

/// CPU time of this process so far, in µs, to a hundredth of a second.
fn cpu_micros() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let fields = stat.rsplit_once(')').unwrap().1.split_whitespace();
    let ticks: u64 = fields.skip(11).take(2).map(|field| field.parse::<u64>().unwrap()).sum();
    ticks as f64 * 10_000.0
}

//! What a long log costs: `scale fill DIR RECORDS` writes one with small records, `scale measure DIR RECORDS` opens it and says how long starting
//! and looking up take, and how much memory and disk the index takes.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a measuring tool")]

use std::path::Path;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use bytes::Bytes;
use kogge_message_log::{Durability, Filter, MessageLog, NewMessage, Options, Reader, reindex};
use kogge_proto::digest::sha256;
use kogge_proto::id::SecurityServerId;
use kogge_proto::time::UnixMillis;
use kogge_proto::wire::evidence::{Material, Signature, SignatureMethod};
use kogge_proto::wire::log::{Direction, Role, StampLeaf, StampRecord};

/// Records between two stamps.
const BATCH: u64 = 10_000;

/// Records that wait at the same time.
const WAITING_MAX: u64 = 1000;

/// Log time between two records: ten million take eleven days.
const STEP_MS: i64 = 100;

const START_MS: i64 = 1_800_000_000_000;

/// sled's page cache.
const CACHE_BYTES: u64 = 1024 * 1024;

static CLOCK: AtomicI64 = AtomicI64::new(START_MS);

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["fill", dir, records] => fill(Path::new(dir), records.parse().unwrap()),
        ["measure", dir, records] => measure(Path::new(dir), records.parse().unwrap()),
        ["soak", dir, records] => soak(Path::new(dir), records.parse().unwrap()),
        ["reindex", dir] => rebuild(Path::new(dir)),
        _ => println!("scale fill|measure|soak DIR RECORDS, scale reindex DIR"),
    }
}

fn options() -> Options {
    Options {
        server: SecurityServerId::parse("DEMO/GOV/1001/main").unwrap(),
        segment_bytes: 64 * 1024 * 1024,
        index_cache_bytes: CACHE_BYTES,
        replay_window: Duration::from_secs(600),
        log_key: None,
        clock: || UnixMillis(CLOCK.load(Ordering::Relaxed)),
    }
}

fn fill(dir: &Path, records: u64) {
    let (log, _) = MessageLog::open(dir, options()).unwrap();
    let (begin, cpu) = (Instant::now(), cpu_micros());
    let durable = Arc::new(AtomicU64::new(0));
    for number in 0..records {
        CLOCK.fetch_add(STEP_MS, Ordering::Relaxed);
        let counted = durable.clone();
        log.append(
            message(number),
            Durability::Now,
            Box::new(move |outcome| {
                outcome.unwrap();
                counted.fetch_add(1, Ordering::Relaxed);
            }),
        );
        let is_batch = (number + 1).is_multiple_of(BATCH);
        let needed = if is_batch { number + 1 } else { number.saturating_sub(WAITING_MAX) };
        while durable.load(Ordering::Relaxed) < needed {
            std::thread::sleep(Duration::from_micros(100));
        }
        if is_batch {
            stamp(&log);
        }
    }
    println!("before closing: {}", memory());
    for (name, micros) in threads() {
        println!("thread {name}: {:.2} µs of CPU each", micros as f64 / records as f64);
    }
    log.close();
    let micros = (cpu_micros() - cpu) as f64 / records as f64;
    println!("{records} records in {:.1?}, {micros:.2} µs of CPU each with making them", begin.elapsed());
    println!("after closing: {}", memory());
}

fn measure(dir: &Path, records: u64) {
    let (segments, index) = (disk(&dir.join("segments")), disk(&dir.join("index")));
    let each = index as f64 / records as f64;
    println!("segments {} MiB, index {} MiB: {each:.1} bytes a record", segments >> 20, index >> 20);
    CLOCK.store(START_MS + STEP_MS * i64::try_from(records).unwrap(), Ordering::Relaxed);
    println!("before opening: {}", memory());
    let begin = Instant::now();
    let (log, recovery) = MessageLog::open(dir, options()).unwrap();
    println!("opened in {:.1?}: {recovery:?}", begin.elapsed());
    println!("open: {}", memory());
    std::thread::sleep(Duration::from_secs(3));
    let (cpu, before) = (cpu_micros(), switches());
    std::thread::sleep(Duration::from_secs(5));
    println!(
        "idle for 5 s: {} µs of CPU, {} wake-ups, one of them ours",
        cpu_micros() - cpu,
        switches() - before
    );
    look_up("in the server", &log.reader(), records);
    println!("after looking up: {}", memory());
    std::thread::sleep(Duration::from_secs(1));
    println!("a second later: {}, {} threads", memory(), tasks().count());
    log.close();
    look_up("beside a server", &Reader::open(dir).unwrap(), records);
}

/// Whether looking up again and again takes more and more memory.
fn soak(dir: &Path, records: u64) {
    CLOCK.store(START_MS + STEP_MS * i64::try_from(records).unwrap(), Ordering::Relaxed);
    let (log, _) = MessageLog::open(dir, options()).unwrap();
    println!("open: {}", memory());
    for round in 1..=400 {
        let number = round * 7919 % records;
        let filter = Filter { request_id: Some(id("r", number)), ..Filter::default() };
        assert_eq!(count(&log.reader(), &filter, 9), 1);
        if round.is_power_of_two() {
            println!("after {round} look-ups: {}, {} threads", memory(), tasks().count());
        }
    }
    std::thread::sleep(Duration::from_secs(12));
    println!("12 s later: {}, {} threads", memory(), tasks().count());
}

fn look_up(who: &str, reader: &Reader, records: u64) {
    let all = Filter::default;
    let time = |number: u64, later: i64| {
        Some(UnixMillis(START_MS + STEP_MS * i64::try_from(number).unwrap() + later))
    };
    let old: Vec<u64> = (0..20).map(|part| records / 21 * part + 17).collect();
    let timed = |what: &str, numbers: &[u64], filter: &dyn Fn(u64) -> Filter, limit: usize| {
        timed(&format!("{who}, {what}"), numbers, |number| count(reader, &filter(number), limit));
    };
    timed("message id", &old, &|number| Filter { message_id: Some(id("m", number)), ..all() }, 9);
    timed("request id", &old, &|number| Filter { request_id: Some(id("r", number)), ..all() }, 9);
    timed("nobody's request id", &old, &|number| Filter { request_id: Some(id("x", number)), ..all() }, 9);
    timed(
        "a minute",
        &old,
        &|number| Filter { from: time(number, 0), to: time(number, 60_000), ..all() },
        9999,
    );
    timed("100 of a client", &old[..3], &|number| Filter { client: Some(client(number)), ..all() }, 100);
    let an_hour = |number| Filter {
        client: Some(client(number)),
        from: time(number, 0),
        to: time(number, 3_600_000),
        ..all()
    };
    timed("a client in an hour", &old, &an_hour, 9999);
    timed(
        "a service that nobody called",
        &old,
        &|_| Filter { service: Some("nobody".to_owned()), ..all() },
        9,
    );
    self::timed(&format!("{who}, sequence"), &old, |number| {
        usize::from(reader.get(number + 500).unwrap().is_some())
    });
}

fn timed(what: &str, numbers: &[u64], mut work: impl FnMut(u64) -> usize) {
    let mut found = 0;
    let mut times: Vec<Duration> = numbers
        .iter()
        .map(|number| {
            let begin = Instant::now();
            found += work(*number);
            begin.elapsed()
        })
        .collect();
    times.sort_unstable();
    let (median, slowest) = (times[times.len() / 2], times[times.len() - 1]);
    println!(
        "{what}: median {median:.2?}, slowest {slowest:.2?}, {found} records in {} look-ups",
        times.len()
    );
}

fn count(reader: &Reader, filter: &Filter, limit: usize) -> usize {
    let mut count = 0;
    reader
        .list(filter, &mut |_| {
            count += 1;
            count < limit
        })
        .unwrap();
    count
}

fn rebuild(dir: &Path) {
    let (begin, cpu) = (Instant::now(), cpu_micros());
    let entries = reindex(dir, CACHE_BYTES, &mut |_| ()).unwrap();
    let micros = (cpu_micros() - cpu) as f64 / entries as f64;
    println!("{entries} entries in {:.1?}, {micros:.2} µs of CPU each; {}", begin.elapsed(), memory());
}

fn id(kind: &str, number: u64) -> String {
    let digest = sha256(&number.to_be_bytes()).to_string();
    format!("{kind}{}-{}-{}", &digest[..8], &digest[8..12], &digest[12..31])
}

fn client(number: u64) -> String {
    format!("DEMO/GOV/{}/client", 2000 + number % 100)
}

fn message(number: u64) -> NewMessage {
    let certificate = Bytes::from(format!("certificate {}", number % 100).repeat(60));
    NewMessage {
        role: Role::Provider,
        direction: if number.is_multiple_of(2) { Direction::Request } else { Direction::Response },
        message_id: id("m", number),
        request_id: id("r", number),
        client: client(number),
        service: format!("DEMO/GOV/1001/register/service-{}", number % 101),
        subject: None,
        peer_server: format!("DEMO/GOV/{}/main", 2000 + number % 100),
        message: Bytes::from_static(b"GET /r1/DEMO/GOV/1001/register/persons HTTP/1.1\r\n"),
        body: None,
        signature: Signature {
            method: SignatureMethod::EcdsaP256Sha256.into(),
            signing_time_ms: START_MS,
            value: vec![7; 64],
            certificate_sha256: sha256(&certificate).0.to_vec(),
            ..Signature::default()
        },
        material: Material { items: vec![certificate] },
        follows: None,
    }
}

fn stamp(log: &MessageLog) {
    let leaves: Vec<StampLeaf> = log
        .unstamped(usize::try_from(BATCH).unwrap())
        .into_iter()
        .map(|sequence| StampLeaf { sequence, sha256: sha256(&sequence.to_be_bytes()).0.to_vec() })
        .collect();
    let previous_root = log.last_root().map(|root| root.0.to_vec()).unwrap_or_default();
    let root = sha256(&leaves[0].sha256).0.to_vec();
    let (tell, told) = mpsc::channel();
    let stamp = StampRecord { token: vec![1; 4000], leaves, previous_root, root, ..StampRecord::default() };
    log.append_stamp(stamp, Box::new(move |outcome| tell.send(outcome).unwrap()));
    told.recv().unwrap().unwrap();
}

fn disk(dir: &Path) -> u64 {
    let Ok(entries) = std::fs::read_dir(dir) else { return 0 };
    entries
        .map(|entry| {
            let path = entry.unwrap().path();
            if path.is_dir() { disk(&path) } else { path.metadata().unwrap().len() }
        })
        .sum()
}

fn memory() -> String {
    let text = std::fs::read_to_string("/proc/self/smaps_rollup").unwrap();
    let mebibytes = |name: &str| {
        let line = text.lines().find(|line| line.starts_with(name)).unwrap();
        line.split_whitespace().nth(1).unwrap().parse::<f64>().unwrap() / 1024.0
    };
    format!("{:.1} MiB PSS, {:.1} of it anonymous", mebibytes("Pss:"), mebibytes("Anonymous:"))
}

/// Of all threads, also those that have ended; in steps of 10 ms.
fn cpu_micros() -> u64 {
    let text = std::fs::read_to_string("/proc/self/stat").unwrap();
    let fields = text.rsplit_once(')').unwrap().1;
    fields.split_whitespace().skip(11).take(2).map(|ticks| ticks.parse::<u64>().unwrap() * 10_000).sum()
}

/// Name and CPU time of each thread that runs.
fn threads() -> Vec<(String, u64)> {
    let read =
        |task: &str, file: &str| std::fs::read_to_string(format!("/proc/self/task/{task}/{file}")).ok();
    tasks()
        .filter_map(|task| {
            let nanos = read(&task, "schedstat")?.split_whitespace().next()?.parse::<u64>().ok()?;
            Some((read(&task, "comm")?.trim().to_owned(), nanos / 1000))
        })
        .collect()
}

fn switches() -> u64 {
    tasks()
        .filter_map(|task| std::fs::read_to_string(format!("/proc/self/task/{task}/status")).ok())
        .filter_map(|text| {
            let line = text.lines().find(|line| line.starts_with("voluntary"))?;
            line.split_whitespace().nth(1)?.parse::<u64>().ok()
        })
        .sum()
}

fn tasks() -> impl Iterator<Item = String> {
    let entries = std::fs::read_dir("/proc/self/task").unwrap();
    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap())
}

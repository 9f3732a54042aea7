//! `kill -9` at random moments: what was acknowledged is there afterwards.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod fixture;

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;

use fixture::*;
use kogge_message_log::{AppendError, Durability, Filter, MessageLog, Options, Reader, State};
use kogge_proto::wire::log::body::Place;

/// Directory in which the child is to work; only set for a child.
const CHILD_DIR: &str = "KOGGE_TEST_LOG_DIR";

/// How often the child is killed.
const ROUNDS: u32 = 30;

/// Small segments, so that a kill often hits while a new one is created.
fn crash_options() -> Options {
    Options { segment_bytes: 128 * 1024, ..options() }
}

#[test]
fn every_record_acknowledged_before_a_kill_is_there_after_it() {
    let dir = tempfile::tempdir().unwrap();
    let mut acknowledged: BTreeMap<u64, String> = BTreeMap::new();
    let mut torn = 0;
    for round in 0..ROUNDS {
        let mut child = start("appends_until_it_is_killed", dir.path(), round);
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        // Another number of records each time; the first kill may come before any.
        let wait_for = (round * 37) % 180;
        let mut seen = 0;
        let mut note = |line: String| {
            if let Some((sequence, request_id)) =
                line.strip_prefix("ack ").and_then(|rest| rest.split_once(' '))
            {
                acknowledged.insert(sequence.parse().unwrap(), request_id.to_owned());
                seen += 1;
            }
            seen
        };
        for line in lines.by_ref().take_while(|_| wait_for > 0) {
            if note(line.unwrap()) >= wait_for {
                break;
            }
        }
        assert_eq!(child.try_wait().unwrap(), None, "the child ended by itself in round {round}");
        child.kill().unwrap();
        // Acknowledged, printed, not yet read.
        for line in lines.map_while(Result::ok) {
            note(line);
        }
        child.wait().unwrap();

        if round % 3 == 0 {
            // The other rounds are recovered by the next child.
            continue;
        }
        let (log, recovery) = MessageLog::open(dir.path(), crash_options()).unwrap();
        torn += recovery.torn_bytes;
        assert_eq!(recovery.index_rebuilt, None, "round {round}");
        assert_all_there(&log.reader(), &acknowledged);
        log.close();
        let found = assert_sound(dir.path());
        assert_bodies_match(dir.path(), found.iter().filter_map(|found| found.record.body.as_ref()));
    }
    assert!(acknowledged.len() > 1000, "{}", acknowledged.len());
    eprintln!("{} records over {ROUNDS} kills, {torn} torn bytes", acknowledged.len());
}

#[track_caller]
fn assert_all_there(reader: &Reader, acknowledged: &BTreeMap<u64, String>) {
    let found: BTreeMap<u64, String> = list(reader, &Filter::default())
        .into_iter()
        .map(|found| (found.sequence, found.record.request_id))
        .collect();
    let lost: Vec<_> = acknowledged.iter().filter(|(sequence, id)| found.get(sequence) != Some(id)).collect();
    assert!(lost.is_empty(), "{lost:?}");
}

/// Every file in `bodies/` belongs to a record.
fn assert_bodies_match<'a>(dir: &Path, bodies: impl Iterator<Item = &'a kogge_proto::wire::log::Body>) {
    let named = bodies.filter(|body| matches!(body.place, Some(Place::File(_)))).count();
    assert_eq!(std::fs::read_dir(dir.join("bodies")).unwrap().count(), named);
}

fn start(test: &str, dir: &Path, round: u32) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args([test, "--exact", "--nocapture"])
        .env(CHILD_DIR, dir)
        .env("KOGGE_TEST_ROUND", round.to_string())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap()
}

/// Does nothing unless it is a child of the test above.
#[test]
fn appends_until_it_is_killed() {
    let Some(dir) = std::env::var_os(CHILD_DIR) else { return };
    let round: u32 = std::env::var("KOGGE_TEST_ROUND").unwrap().parse().unwrap();
    let (log, _) = MessageLog::open(Path::new(&dir), crash_options()).unwrap();
    let (tell, told) = mpsc::channel::<(u64, String)>();
    for thread in 0..4 {
        let (log, tell) = (log.clone(), tell.clone());
        std::thread::spawn(move || {
            for number in 0.. {
                let number = round * 1_000_000 + thread * 100_000 + number;
                let new = if number % 20 == 7 { spooled(&log, number, 300_000) } else { request(number) };
                // Half of them are acknowledged before they are synced: the end of the process does not take them back either.
                let durability = if thread % 2 == 0 { Durability::WithNext } else { Durability::Now };
                let receipt = append_as(&log, new, durability).unwrap();
                tell.send((receipt.sequence, format!("request-{number}"))).unwrap();
            }
        });
    }
    drop(tell);
    let mut out = std::io::stdout();
    for (count, (sequence, request_id)) in told.iter().enumerate() {
        writeln!(out, "ack {sequence} {request_id}").unwrap();
        out.flush().unwrap();
        if count % 50 == 49 {
            append_stamp(&log, stamp(&log, &log.unstamped(1000))).unwrap();
        }
    }
}

/// On a file system that is really full. Needs a mount of its own, in a namespace of its own.
#[test]
fn a_full_file_system_refuses_and_recovers() {
    let dir = tempfile::tempdir().unwrap();
    let script = format!(
        "mount -t tmpfs -o size=8m tmpfs '{0}' && exec '{1}' fills_a_file_system --exact --nocapture",
        dir.path().display(),
        std::env::current_exe().unwrap().display()
    );
    let child = Command::new("unshare")
        .args(["--map-root-user", "--mount", "sh", "-c", &script])
        .env(CHILD_DIR, dir.path())
        .output();
    match child {
        Ok(output) if output.status.success() => {
            assert!(String::from_utf8_lossy(&output.stdout).contains("recovered from a full disk"));
        }
        Ok(output) if !String::from_utf8_lossy(&output.stdout).contains("running 1 test") => {
            skip(&format!("cannot mount a small tmpfs: {}", String::from_utf8_lossy(&output.stderr)));
        }
        Ok(output) => panic!("{}", String::from_utf8_lossy(&output.stdout)),
        Err(error) => skip(&format!("cannot run unshare: {error}")),
    }
}

/// Says loudly what is missing; in CI, where nothing may be missing, that is a failure.
fn skip(reason: &str) {
    assert!(std::env::var("CI").as_deref() != Ok("true"), "{reason}");
    eprintln!("SKIPPED: {reason}");
}

/// Does nothing unless it is a child of the test above.
#[test]
fn fills_a_file_system() {
    let Some(dir) = std::env::var_os(CHILD_DIR).filter(|_| std::env::var_os("KOGGE_TEST_ROUND").is_none())
    else {
        return;
    };
    let dir = Path::new(&dir).join("log");
    let (log, _) = MessageLog::open(&dir, options()).unwrap();
    let ballast = dir.with_file_name("ballast");
    let mut accepted = Vec::new();
    let mut fill = |log: &MessageLog, from: u32| {
        for number in from.. {
            let mut large = request(number);
            large.message = vec![b'x'; 60_000].into();
            match append(log, large) {
                Ok(_) => accepted.push(format!("request-{number}")),
                Err(AppendError::Full) => return number,
                Err(error) => panic!("{error}"),
            }
        }
        unreachable!()
    };
    std::fs::write(&ballast, vec![1; 1024 * 1024]).unwrap();
    let refused = fill(&log, 0);
    assert_eq!(log.state(), State::Full);
    std::fs::remove_file(&ballast).unwrap();
    // Without any append: the log notices by itself.
    while log.state() != State::Writable {
        std::thread::yield_now();
    }
    let refused = fill(&log, refused);
    log.close();
    // A full disk does not keep a log from opening and being read.
    let (log, _) = MessageLog::open(&dir, options()).unwrap();
    let outcome = append(&log, request(refused));
    assert!(matches!(outcome, Ok(_) | Err(AppendError::Full)), "{outcome:?}");
    log.close();
    let found: Vec<String> = assert_sound(&dir).into_iter().map(|found| found.record.request_id).collect();
    assert_eq!(found[..accepted.len()], accepted);
    println!("recovered from a full disk");
}

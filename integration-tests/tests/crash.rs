//! `kill -9` on each process in turn, at random moments, with clients at work: nothing that a client was answered is lost, and the register
//! was never called without a durable request record.
//!
//! `KOGGE_KILLS` sets how often (default 10); `KOGGE_KILL_SEED` repeats a run's choices.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests fail by panicking")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Child;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use kogge_integration_tests::dice::{Dice, from_environment};
use kogge_integration_tests::{Demo, demo, http};
use kogge_message_log::{Filter, Reader};
use kogge_proto::wire::log::{Direction, Role};

const CLIENTS: usize = 32;

#[test]
fn what_was_answered_is_in_both_logs_whatever_was_killed() {
    let kills: u64 = from_environment("KOGGE_KILLS").unwrap_or(10);
    let seed = from_environment("KOGGE_KILL_SEED").unwrap_or_else(|| u64::from(std::process::id()));
    eprintln!("{kills} kills, KOGGE_KILL_SEED={seed}");
    let demo = Demo::start(env!("CARGO_BIN_EXE_kogge-under-test"), &[]).unwrap();
    let stop = AtomicBool::new(false);
    let answered = Mutex::new(BTreeSet::new());
    let failed = AtomicU64::new(0);
    let mut victims = Victims::new(&demo, seed);
    thread::scope(|scope| {
        for client in 0..CLIENTS {
            let (demo, stop, answered, failed) = (&demo, &stop, &answered, &failed);
            scope.spawn(move || work(demo, client, stop, answered, failed));
        }
        for kill in 0..kills {
            thread::sleep(Duration::from_millis(50 + victims.dice.below(400)));
            victims.kill_and_restart(&demo, kill);
        }
        // The last word belongs to a chain that works: otherwise the test would prove nothing about recovery.
        let before = answered.lock().unwrap().len();
        let recovered =
            demo.wait_until("exchanges succeed again", || answered.lock().unwrap().len() > before + CLIENTS);
        stop.store(true, Ordering::Relaxed);
        recovered.unwrap();
    });
    let answered = answered.into_inner().unwrap();
    eprintln!("{} exchanges answered, {} refused or broken", answered.len(), failed.load(Ordering::Relaxed));
    assert!(answered.len() > CLIENTS, "too few exchanges succeeded for the test to mean anything");
    verify_both_logs(&demo);
    for (role, side) in [("consumer", Role::Consumer), ("provider", Role::Provider)] {
        let records = records(&demo.server(role).log_dir, side);
        for id in &answered {
            let directions = records.get(id).map(BTreeSet::len).unwrap_or_default();
            assert_eq!(
                directions, 2,
                "exchange {id} was answered, but the {role}'s log has {directions} of its 2 records"
            );
        }
    }
    assert_no_unlogged_register_call(&demo);
}

/// One client: requests without pause, each with an id of its own, until told to stop.
fn work(
    demo: &Demo,
    client: usize,
    stop: &AtomicBool,
    answered: &Mutex<BTreeSet<String>>,
    failed: &AtomicU64,
) {
    for turn in 0_u64.. {
        if stop.load(Ordering::Relaxed) {
            return;
        }
        let id = format!("crash-{client}-{turn}");
        let headers = [("X-Road-Client", demo.endpoints.client.as_str()), ("X-Road-Id", id.as_str())];
        let body = format!("{{\"ids\":[\"{client}{turn}\"]}}");
        match http::send("POST", &demo.url("/query"), &headers, body.as_bytes()) {
            Ok(answer) if answer.header("x-road-error").is_none() && answer.status == 200 => {
                assert_eq!(answer.header("x-road-id"), Some(id.as_str()));
                answered.lock().unwrap().insert(id);
            }
            Ok(_) | Err(_) => {
                failed.fetch_add(1, Ordering::Relaxed);
                thread::sleep(Duration::from_millis(20));
            }
        }
    }
}

/// The processes that are killed in turn.
struct Victims {
    running: Vec<Victim>,
    dice: Dice,
}

struct Victim {
    pid: u32,
    args: Vec<String>,
    restarted: Option<Child>,
}

impl Victims {
    fn new(demo: &Demo, seed: u64) -> Self {
        let endpoints = &demo.endpoints;
        let servers = endpoints.security_servers.iter().map(|server| server.pid);
        let others = [endpoints.registry_pid, endpoints.trust_services_pid, endpoints.register_pid];
        let running =
            servers.chain(others).map(|pid| Victim { pid, args: arguments(pid), restarted: None }).collect();
        Self { running, dice: Dice::new(seed) }
    }

    fn kill_and_restart(&mut self, demo: &Demo, turn: u64) {
        let pause = Duration::from_millis(self.dice.below(300));
        let index = usize::try_from(turn).unwrap() % self.running.len();
        let victim = &mut self.running[index];
        eprintln!("kill {turn}: {}", victim.args.join(" "));
        demo::signal(victim.pid, "KILL");
        if let Some(mut child) = victim.restarted.take() {
            child.wait().unwrap();
        }
        thread::sleep(pause);
        let child = demo.spawn(&victim.args).unwrap();
        victim.pid = child.id();
        victim.restarted = Some(child);
    }
}

impl Drop for Victims {
    fn drop(&mut self) {
        for child in self.running.iter_mut().filter_map(|victim| victim.restarted.as_mut()) {
            demo::signal(child.id(), "TERM");
            drop(child.wait());
        }
    }
}

/// The arguments that a process was started with.
fn arguments(pid: u32) -> Vec<String> {
    let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap();
    let parts = line.split(|byte| *byte == 0).filter(|part| !part.is_empty());
    parts.skip(1).map(|part| String::from_utf8(part.to_vec()).unwrap()).collect()
}

/// Waits until everything is timestamped, then has the auditor's command look at both logs.
fn verify_both_logs(demo: &Demo) {
    for role in ["consumer", "provider"] {
        let log = demo.server(role).log_dir.clone();
        let mut last = String::new();
        let verified = demo.wait_until(&format!("the {role}'s log verifies"), || {
            let args = [Path::new("verify"), &log, Path::new("--anchor"), &demo.endpoints.anchor];
            let output = demo.kogge(args).unwrap();
            last = String::from_utf8_lossy(&output.stdout).into_owned()
                + &String::from_utf8_lossy(&output.stderr);
            output.status.success()
        });
        assert!(verified.is_ok(), "{verified:?}\n{last}");
    }
}

/// Which directions each message id has in a log.
fn records(log: &Path, side: Role) -> BTreeMap<String, BTreeSet<i32>> {
    let mut found: BTreeMap<String, BTreeSet<i32>> = BTreeMap::new();
    let mut each = |entry: kogge_message_log::Found| {
        assert_eq!(entry.record.role, side as i32);
        found.entry(entry.record.message_id).or_default().insert(entry.record.direction);
        true
    };
    Reader::open(log).unwrap().list(&Filter::default(), &mut each).unwrap();
    found
}

/// Every request id that the register wrote down before it answered has a request record at the provider.
fn assert_no_unlogged_register_call(demo: &Demo) {
    let mut logged = BTreeSet::new();
    let mut each = |entry: kogge_message_log::Found| {
        if entry.record.direction == Direction::Request as i32 {
            logged.insert(entry.record.request_id);
        }
        true
    };
    Reader::open(&demo.server("provider").log_dir).unwrap().list(&Filter::default(), &mut each).unwrap();
    let calls = std::fs::read_to_string(demo.dir().join("register/calls.log")).unwrap();
    let mut number = 0;
    for request_id in calls.lines().filter_map(|line| line.split_whitespace().nth(2)) {
        number += 1;
        assert!(
            logged.contains(request_id),
            "the register was called for {request_id}, which is not in the provider's log"
        );
    }
    assert!(number > 0, "the register wrote no calls down");
}

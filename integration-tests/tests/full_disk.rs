//! The disk of a message log is full: exchanges are refused before anything leaves or reaches a register, and go on by themselves when there is
//! space again.
//!
//! A small file system in memory is mounted where the log lies; that needs root.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests fail by panicking")]

use std::collections::BTreeSet;
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use kogge_integration_tests::{Demo, http, tool};
use kogge_message_log::{Filter, Reader};
use kogge_proto::wire::log::Direction;

const BINARY: &str = env!("CARGO_BIN_EXE_kogge-under-test");
const EXCHANGES_MAX: usize = 200;
/// Stays within a record, and fills a segment of 1 MiB soon.
const BODY_BYTES: usize = 100 * 1024;

#[test]
fn a_provider_whose_disk_is_full_calls_no_register() {
    full_disk("provider", "server.serverproxy.logging_failed");
}

#[test]
fn a_consumer_whose_disk_is_full_sends_nothing() {
    full_disk("consumer", "server.clientproxy.logging_failed");
}

fn full_disk(role: &str, fault: &str) {
    let demo = Demo::start(BINARY, &[]).unwrap();
    let mut server = demo.process(role);
    server.stop().unwrap();
    let Some(disk) = Disk::mount(&demo.server(role).log_dir, "a full disk") else { return };
    demo.configure(&demo.server(role).config, |config| {
        config["message_log"].as_table_mut().unwrap().insert("segment_mib".to_owned(), 1.into());
    });
    server.start().unwrap();
    demo.wait_ready(role).unwrap();
    assert_eq!(attach(&demo).status, 201);

    disk.fill();
    let refused = (0..EXCHANGES_MAX).map(|_| attach(&demo)).find(|answer| answer.status != 201);
    let refused = refused.expect("the disk was never full");
    assert_eq!((refused.status, refused.fault().as_str()), (503, fault), "{}", refused.text());
    // The first one may have met the end of the disk with its response; from now on not even a request fits.
    assert_eq!(attach(&demo).fault(), fault);
    let calls = calls(&demo);
    for _ in 0..5 {
        let answer = attach(&demo);
        assert_eq!((answer.status, answer.fault().as_str()), (503, fault), "{}", answer.text());
    }
    assert_eq!(self::calls(&demo), calls, "the register was called for a request that is not in the log");
    let readiness = demo.readiness(role);
    assert_eq!(
        (&readiness["ready"], &readiness["message_log"]),
        (&false.into(), &"full".into()),
        "{readiness}"
    );

    disk.free();
    demo.wait_until("an exchange after there is space again", || attach(&demo).status == 201).unwrap();
    demo.wait_ready(role).unwrap();
    demo.wait_stamped().unwrap();
    demo.assert_logs_verify();
    let logged = logged_requests(&demo.server("provider").log_dir);
    assert!(logged.is_superset(&self::calls(&demo)), "the register was called without a record");
    server.stop().unwrap();
}

fn attach(demo: &Demo) -> http::Answer {
    demo.call("POST", "/attachments", &vec![b'x'; BODY_BYTES]).unwrap()
}

/// The request ids that the register wrote down.
fn calls(demo: &Demo) -> BTreeSet<String> {
    let calls = std::fs::read_to_string(demo.dir().join("register/calls.log")).unwrap();
    let attachments = calls.lines().filter(|line| line.contains("/attachments"));
    attachments.filter_map(|line| line.split_whitespace().nth(2)).map(str::to_owned).collect()
}

fn logged_requests(log: &Path) -> BTreeSet<String> {
    let mut logged = BTreeSet::new();
    let mut each = |found: kogge_message_log::Found| {
        if found.record.direction() == Direction::Request {
            logged.insert(found.record.request_id);
        }
        true
    };
    Reader::open(log).unwrap().list(&Filter::default(), &mut each).unwrap();
    logged
}

/// A file system of a few MiB; gone when dropped.
struct Disk(PathBuf);

impl Disk {
    /// `None`, loudly, where that is not allowed.
    fn mount(dir: &Path, test: &str) -> Option<Self> {
        let mounted =
            Command::new("mount").args(["-t", "tmpfs", "-o", "size=16m", "kogge-test"]).arg(dir).output();
        if mounted.is_ok_and(|output| output.status.success()) {
            return Some(Self(dir.to_owned()));
        }
        let _ = tool::missing("the right to mount a tmpfs", test);
        None
    }

    /// Leaves not a single byte.
    fn fill(&self) {
        let mut filler = File::create(self.0.join("filler")).unwrap();
        while filler.write_all(&[1; 4096]).is_ok() {}
    }

    fn free(&self) {
        std::fs::remove_file(self.0.join("filler")).unwrap();
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // Lazily: after a failure the server may still use it.
        drop(Command::new("umount").arg("-l").arg(&self.0).status());
    }
}

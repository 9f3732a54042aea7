//! The tree over the log is that of what is durable, whatever happens to the server; judged by a tree that is computed anew.
#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

use std::io;
use std::path::Path;
use std::time::Duration;

use kogge_proto::digest::{Sha256, sha256};
use kogge_tlog::proof::List;

use crate::faults::{Faults, FaultyDisk};
use crate::fixture::{append, append_requests, append_stamp, open, options, request, small_segments, stamp};
use crate::live::locked;
use crate::{AppendError, LogError, MessageLog, Options, Reader};

/// The root by its definition (RFC 6962, section 2.1), over SHA-256 values as entries.
fn root(entries: &[Sha256]) -> Sha256 {
    match entries {
        [] => sha256(&[]),
        [entry] => sha256(&[&[0], entry.0.as_slice()].concat()),
        _ => {
            let (left, right) = entries.split_at(entries.len().next_power_of_two() / 2);
            sha256(&[&[1], root(left).0.as_slice(), &root(right).0].concat())
        }
    }
}

fn entries(dir: &Path) -> Vec<Sha256> {
    let mut entries = Vec::new();
    let damage = Reader::open(dir).unwrap().audit_chain(&mut |_, hash| entries.push(hash)).unwrap();
    assert_eq!(damage, []);
    entries
}

fn computed(dir: &Path) -> Option<List> {
    let entries = entries(dir);
    Some(List { size: entries.len() as u64, root: root(&entries) })
}

fn leaf(entry: &Sha256) -> Sha256 {
    root(&[*entry])
}

/// Nothing older than the newest segments is needed for anything else.
fn forgetful() -> Options {
    Options { replay_window: Duration::from_millis(1), ..small_segments() }
}

fn stamp_all(log: &MessageLog) {
    append_stamp(log, stamp(log, &log.unstamped(usize::MAX))).unwrap();
}

#[test]
fn it_grows_with_the_log_over_segments_and_restarts() {
    let dir = tempfile::tempdir().unwrap();
    for round in 0..4 {
        let (log, _) = MessageLog::open(dir.path(), forgetful()).unwrap();
        for number in round * 30..(round + 1) * 30 {
            append(&log, request(number)).unwrap();
            assert_eq!(log.tree(), computed(dir.path()), "after {number}");
        }
        stamp_all(&log);
        log.close();
    }
    let audited = Reader::open(dir.path()).unwrap().audit(&mut |_| {}).unwrap();
    assert_eq!(audited, [], "what each segment's start says of the tree is so");
}

#[test]
fn leaves_come_from_memory_and_from_the_segments_alike() {
    let dir = tempfile::tempdir().unwrap();
    let (log, _) = MessageLog::open(dir.path(), small_segments()).unwrap();
    append_requests(&log, 0..40);
    let leaves: Vec<Sha256> = entries(dir.path()).iter().map(leaf).collect();
    let end = leaves.len() as u64;
    let read = |from: u64, to: u64| {
        let mut read = Vec::new();
        log.leaf_hashes(from..to, &mut |leaf| read.push(leaf)).map(|()| read)
    };
    assert_eq!(read(0, end).unwrap(), leaves);
    assert_eq!(read(7, end).unwrap(), leaves[7..]);
    // What comes before is forgotten now.
    assert_eq!(read(3, 9).unwrap(), leaves[3..9]);
    assert_eq!(read(end, end).unwrap(), []);
    for (from, to, missing) in [(0, end + 1, end + 1), (end + 5, end + 6, end + 6)] {
        assert!(matches!(read(from, to), Err(LogError::NoEntry(entry)) if entry == missing));
    }
}

#[test]
fn what_a_failing_disk_takes_back_is_not_in_it() {
    let dir = tempfile::tempdir().unwrap();
    let disk = FaultyDisk::default();
    let (log, _) = MessageLog::open_on(dir.path(), options(), Box::new(disk.clone())).unwrap();
    append_requests(&log, 0..3);
    let before = log.tree().unwrap();
    disk.set(Faults { sync: Some(io::ErrorKind::Other), ..Faults::default() });
    assert!(matches!(append(&log, request(3)), Err(AppendError::Suspect(_))));
    assert_eq!(log.tree(), Some(before), "it was written, and is not durable");
    disk.lift();
    append(&log, request(4)).unwrap();
    assert_eq!(log.tree(), computed(dir.path()));
    log.close();
    assert_eq!(open(dir.path()).tree(), computed(dir.path()));
}

#[test]
fn a_log_that_knew_nothing_of_it_is_read_once() {
    let dir = tempfile::tempdir().unwrap();
    let (log, _) = MessageLog::open(dir.path(), forgetful()).unwrap();
    append_requests(&log, 0..20);
    stamp_all(&log);
    locked(&log.parts().1.tree).forget();
    append_requests(&log, 20..60);
    assert_eq!(log.tree(), None, "nothing is said before it is known");
    stamp_all(&log);
    log.close();
    assert_eq!(Reader::open(dir.path()).unwrap().audit(&mut |_| {}).unwrap(), [], "that is no damage");

    let (log, _) = MessageLog::open(dir.path(), forgetful()).unwrap();
    append_requests(&log, 60..70);
    while log.tree().is_none() {
        std::thread::yield_now();
    }
    assert_eq!(log.tree(), computed(dir.path()));
    append_requests(&log, 70..100);
    stamp_all(&log);
    log.close();

    // From now on its segments say it themselves.
    let (log, _) = MessageLog::open(dir.path(), forgetful()).unwrap();
    assert!(locked(&log.parts().1.tree).is_whole());
    assert_eq!(log.tree(), computed(dir.path()));
}

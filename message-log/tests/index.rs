//! The index is never needed: whatever happens to it, it is rebuilt and every record is found.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod fixture;

use std::fs;
use std::path::Path;

use fixture::*;
use kogge_message_log::{Filter, MessageLog, Reader, reindex};

const RECORDS: u32 = 1500;

/// A closed log with stamps, and the sequences of its messages.
fn filled(dir: &Path) -> Vec<u64> {
    let log = open(dir);
    let (tell, told) = std::sync::mpsc::channel();
    for number in 0..RECORDS {
        let tell = tell.clone();
        log.append(request(number), Box::new(move |outcome| tell.send(outcome.unwrap().sequence).unwrap()));
    }
    drop(tell);
    let sequences: Vec<u64> = told.iter().collect();
    append_stamp(&log, stamp(&log, &sequences[..1000])).unwrap();
    log.close();
    sequences
}

/// Every record by list, by get and by id, with its stamp; appends go on.
#[track_caller]
fn assert_nothing_lost(log: &MessageLog, sequences: &[u64]) {
    let reader = log.reader();
    let listed: Vec<u64> = list(&reader, &Filter::default()).iter().map(|found| found.sequence).collect();
    assert_eq!(listed, sequences);
    for number in [0, 1, 700, 1499] {
        let request_id = Some(format!("request-{number}"));
        let [found] = list(&reader, &Filter { request_id, ..Filter::default() }).try_into().unwrap();
        assert_eq!(found.sequence, sequences[number]);
        assert_eq!(found.stamp.is_some(), number < 1000);
        assert_eq!(reader.get(found.sequence).unwrap().unwrap().record, found.record);
    }
    assert_eq!(log.unstamped(usize::MAX), sequences[1000..]);
    assert!(log.seen_request("request-3"));
    assert!(log.last_root().is_some());
}

fn set_aside(dir: &Path) -> usize {
    let is_bad = |name: &std::ffi::OsStr| name.to_str().unwrap().starts_with("index.bad-");
    fs::read_dir(dir).unwrap().filter(|entry| is_bad(&entry.as_ref().unwrap().file_name())).count()
}

/// sled's data file.
fn data_file(dir: &Path) -> std::path::PathBuf {
    dir.join("index/db")
}

#[test]
fn an_index_in_order_is_kept() {
    let dir = tempfile::tempdir().unwrap();
    let sequences = filled(dir.path());
    let (log, recovery) = MessageLog::open(dir.path(), options()).unwrap();
    assert_eq!(recovery.index_rebuilt, None);
    assert_nothing_lost(&log, &sequences);
    assert_eq!(set_aside(dir.path()), 0);
}

#[test]
fn two_flipped_bytes_end_in_a_rebuilt_index_and_no_lost_record() {
    let intact = tempfile::tempdir().unwrap();
    let sequences = filled(intact.path());
    let length = fs::metadata(data_file(intact.path())).unwrap().len();
    let mut rebuilt = 0;
    for part in 1..8 {
        let dir = tempfile::tempdir().unwrap();
        copy_dir(intact.path(), dir.path());
        let mut bytes = fs::read(data_file(dir.path())).unwrap();
        let at = usize::try_from(length / 8 * part).unwrap();
        bytes[at] ^= 0xff;
        bytes[at + 1] ^= 0xff;
        fs::write(data_file(dir.path()), bytes).unwrap();

        let (log, _) = MessageLog::open(dir.path(), options()).unwrap();
        assert_nothing_lost(&log, &sequences);
        append(&log, request(RECORDS)).unwrap();
        log.close();
        rebuilt += set_aside(dir.path());
        let (log, _) = MessageLog::open(dir.path(), options()).unwrap();
        assert_eq!(list(&log.reader(), &Filter::default()).len(), sequences.len() + 1);
        log.close();
        assert_sound(dir.path());
    }
    // Some places in the file hold nothing any more; not all.
    assert!(rebuilt > 0);
}

#[test]
fn a_file_cut_to_seventy_percent_ends_in_a_rebuilt_index_and_no_lost_record() {
    let dir = tempfile::tempdir().unwrap();
    let sequences = filled(dir.path());
    let file = fs::OpenOptions::new().write(true).open(data_file(dir.path())).unwrap();
    file.set_len(file.metadata().unwrap().len() * 7 / 10).unwrap();
    drop(file);
    rebuilt_without_loss(dir.path(), &sequences, 1);
}

#[test]
fn a_removed_folder_ends_in_a_rebuilt_index_and_no_lost_record() {
    let dir = tempfile::tempdir().unwrap();
    let sequences = filled(dir.path());
    fs::remove_dir_all(dir.path().join("index")).unwrap();
    rebuilt_without_loss(dir.path(), &sequences, 0);
}

#[test]
fn an_emptied_folder_ends_in_a_rebuilt_index_and_no_lost_record() {
    let dir = tempfile::tempdir().unwrap();
    let sequences = filled(dir.path());
    fs::remove_dir_all(dir.path().join("index")).unwrap();
    fs::create_dir(dir.path().join("index")).unwrap();
    rebuilt_without_loss(dir.path(), &sequences, 1);
}

#[test]
fn an_index_that_forgot_what_it_had_flushed_is_not_believed() {
    let (dir, older) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let mut sequences = filled(dir.path());
    copy_dir(&dir.path().join("index"), &older.path().join("index"));
    let log = open(dir.path());
    sequences.extend(append_requests(&log, RECORDS..RECORDS + 5));
    log.close();
    fs::remove_dir_all(dir.path().join("index")).unwrap();
    copy_dir(&older.path().join("index"), &dir.path().join("index"));
    rebuilt_without_loss(dir.path(), &sequences, 1);
}

#[test]
fn another_logs_index_is_not_believed() {
    let (dir, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let sequences = filled(dir.path());
    let log = open(other.path());
    append_requests(&log, 0..5);
    log.close();
    fs::remove_dir_all(dir.path().join("index")).unwrap();
    copy_dir(&other.path().join("index"), &dir.path().join("index"));
    rebuilt_without_loss(dir.path(), &sequences, 1);
}

#[track_caller]
fn rebuilt_without_loss(dir: &Path, sequences: &[u64], bad: usize) {
    let (log, recovery) = MessageLog::open(dir, options()).unwrap();
    assert!(recovery.index_rebuilt.is_some());
    assert_nothing_lost(&log, sequences);
    log.close();
    assert_eq!(set_aside(dir), bad);
    let (log, recovery) = MessageLog::open(dir, options()).unwrap();
    assert_eq!(recovery.index_rebuilt, None);
    assert_nothing_lost(&log, sequences);
    log.close();
    assert_sound(dir);
}

#[test]
fn stamps_that_cover_each_others_gaps_are_told_apart() {
    let dir = tempfile::tempdir().unwrap();
    let log = open(dir.path());
    let sequences = append_requests(&log, 0..5);
    let [a, b, c, d, waiting] = sequences[..] else { panic!("five records") };
    for leaves in [[a, c], [b, d]] {
        append_stamp(&log, stamp(&log, &leaves)).unwrap();
    }
    log.close();
    let log = open(dir.path());
    let reader = log.reader();
    let leaves_of = |sequence| {
        let stamp = reader.get(sequence).unwrap().unwrap().stamp?;
        Some(stamp.leaves.iter().map(|leaf| leaf.sequence).collect::<Vec<_>>())
    };
    for (sequence, leaves) in [(a, vec![a, c]), (b, vec![b, d]), (c, vec![a, c]), (d, vec![b, d])] {
        assert_eq!(leaves_of(sequence), Some(leaves), "{sequence}");
    }
    assert_eq!(leaves_of(waiting), None);
}

#[test]
fn an_index_answers_every_filter_as_the_segments_do() {
    let dir = tempfile::tempdir().unwrap();
    let sequences = filled(dir.path());
    let log = open(dir.path());
    let (indexed, plain) = (log.reader(), Reader::open(dir.path()).unwrap());
    let times: Vec<_> = list(&plain, &Filter::default()).iter().map(|found| found.time).collect();
    let all = Filter::default;
    let filters = [
        Filter { client: Some("DEMO/GOV/2001/client".to_owned()), ..all() },
        Filter { service: Some("DEMO/GOV/1001/register/service-2".to_owned()), ..all() },
        Filter { message_id: Some("message-64".to_owned()), ..all() },
        Filter { message_id: Some("message-1499".to_owned()), from: Some(times[1499]), ..all() },
        Filter { message_id: Some("nobody's".to_owned()), ..all() },
        Filter { from: Some(times[63]), to: Some(times[130]), ..all() },
        Filter { from: Some(times[1499]), ..all() },
        Filter { to: Some(times[1]), ..all() },
        Filter { from: Some(times[9]), to: Some(times[9]), ..all() },
    ];
    for filter in filters {
        let found = |reader| list(reader, &filter).iter().map(|found| found.sequence).collect::<Vec<_>>();
        assert_eq!(found(&indexed), found(&plain), "{filter:?}");
    }
    assert_eq!(sequences.len(), times.len());
}

#[test]
fn reindex_builds_the_same_again() {
    let dir = tempfile::tempdir().unwrap();
    let sequences = filled(dir.path());
    let mut progress = Vec::new();
    let entries = reindex(dir.path(), 8 << 20, &mut |done| progress.push(done)).unwrap();
    assert_eq!(progress.last(), Some(&entries));
    assert!(progress.is_sorted());
    let (log, recovery) = MessageLog::open(dir.path(), options()).unwrap();
    assert_eq!((recovery.index_rebuilt, recovery.entries), (None, entries));
    assert_nothing_lost(&log, &sequences);
    assert!(reindex(&dir.path().join("nothing"), 8 << 20, &mut |_| ()).is_err());
}

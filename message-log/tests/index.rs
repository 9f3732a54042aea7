//! The index is never needed: whatever happens to it, it is rebuilt and every record is found.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod fixture;

use std::fs;
use std::path::{Path, PathBuf};

use fixture::{
    append, append_requests, append_stamp, assert_sound, content_end, copy_dir, list, request, stamp,
};
use kogge_message_log::{Filter, MessageLog, Options, Reader, reindex};

const RECORDS: u32 = 1500;

/// Segments that are soon sealed: eight or so for all records, whose blocks share a database.
fn options() -> Options {
    Options { segment_bytes: 64 * 1024, ..fixture::options() }
}

fn open(dir: &Path) -> MessageLog {
    MessageLog::open(dir, options()).unwrap().0
}

/// A closed log with stamps, and the sequences of its messages.
fn filled(dir: &Path) -> Vec<u64> {
    let log = open(dir);
    let (tell, told) = std::sync::mpsc::channel();
    for number in 0..RECORDS {
        let tell = tell.clone();
        log.append(
            request(number),
            kogge_message_log::Durability::Now,
            Box::new(move |outcome| tell.send(outcome.unwrap().sequence).unwrap()),
        );
    }
    drop(tell);
    let sequences: Vec<u64> = told.iter().collect();
    append_stamp(&log, stamp(&log, &sequences[..1000])).unwrap();
    log.close();
    let sealed = fs::read_dir(dir.join("segments")).unwrap().count() - 1;
    assert!((4..16).contains(&sealed), "{sealed}");
    assert_eq!(summaries(dir).len(), sealed);
    sequences
}

/// Every record by list, by get and by id, with its stamp.
#[track_caller]
fn assert_nothing_lost(log: &MessageLog, sequences: &[u64]) {
    assert_all_found(&log.reader(), sequences);
    assert_eq!(log.unstamped(usize::MAX), sequences[1000..]);
    assert!(log.seen_request("request-3"));
    assert!(log.last_root().is_some());
}

#[track_caller]
fn assert_all_found(reader: &Reader, sequences: &[u64]) {
    let listed: Vec<u64> = list(reader, &Filter::default()).iter().map(|found| found.sequence).collect();
    assert_eq!(listed, sequences);
    for number in (0..1500).step_by(50).chain([1, 1499]) {
        let request_id = Some(format!("request-{number}"));
        let [found] = list(reader, &Filter { request_id, ..Filter::default() }).try_into().unwrap();
        assert_eq!(found.sequence, sequences[number]);
        assert_eq!(found.stamp.is_some(), number < 1000);
        assert_eq!(found.material.items.len(), 2);
        let again = reader.get(found.sequence).unwrap().unwrap();
        assert_eq!((again.record, again.stamp, again.material), (found.record, found.stamp, found.material));
    }
}

fn set_aside(dir: &Path) -> usize {
    let is_bad = |name: &std::ffi::OsStr| name.to_str().unwrap().starts_with("index.bad-");
    fs::read_dir(dir).unwrap().filter(|entry| is_bad(&entry.as_ref().unwrap().file_name())).count()
}

/// The summaries of sealed segments, in order.
fn summaries(dir: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir.join("index")).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<_> =
        entries.filter(|path| path.extension().is_some_and(|it| it == "summary")).collect();
    files.sort();
    files
}

/// The database with the blocks of the first segments.
fn blocks(dir: &Path) -> PathBuf {
    dir.join("index/blocks-0000000001")
}

/// sled's data file.
fn data_file(dir: &Path) -> PathBuf {
    blocks(dir).join("db")
}

fn flip(file: &Path, at: usize, bytes: usize) {
    let mut content = fs::read(file).unwrap();
    content[at..at + bytes].iter_mut().for_each(|byte| *byte ^= 0xff);
    fs::write(file, content).unwrap();
}

/// Whatever is wrong: nothing is lost, and after it was noticed the index is as it was.
#[track_caller]
fn rebuilt_without_loss(dir: &Path, sequences: &[u64], bad: usize) {
    let sealed = fs::read_dir(dir.join("segments")).unwrap().count() - 1;
    assert_all_found(&Reader::open(dir).unwrap(), sequences);
    let log = open(dir);
    assert_nothing_lost(&log, sequences);
    log.close();
    assert_eq!(set_aside(dir), bad);
    assert_eq!(summaries(dir).len(), sealed);
    let (log, recovery) = MessageLog::open(dir, options()).unwrap();
    assert_eq!(recovery.index_rebuilt, None);
    assert_nothing_lost(&log, sequences);
    log.close();
    assert_eq!(set_aside(dir), bad);
    assert_sound(dir);
}

#[test]
fn an_index_in_order_is_kept() {
    let dir = tempfile::tempdir().unwrap();
    let sequences = filled(dir.path());
    rebuilt_without_loss(dir.path(), &sequences, 0);
}

#[test]
fn two_flipped_bytes_end_in_a_rebuilt_index_and_no_lost_record() {
    let intact = tempfile::tempdir().unwrap();
    let sequences = filled(intact.path());
    let length = usize::try_from(fs::metadata(data_file(intact.path())).unwrap().len()).unwrap();
    let mut rebuilt = 0;
    for part in 1..8 {
        let dir = tempfile::tempdir().unwrap();
        copy_dir(intact.path(), dir.path());
        flip(&data_file(dir.path()), length / 8 * part, 2);
        let log = open(dir.path());
        assert_nothing_lost(&log, &sequences);
        append(&log, request(RECORDS)).unwrap();
        log.close();
        rebuilt += set_aside(dir.path());
        let log = open(dir.path());
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
    // The file is longer than what sled has written into it.
    file.set_len(content_end(&data_file(dir.path())) as u64 * 7 / 10).unwrap();
    drop(file);
    rebuilt_without_loss(dir.path(), &sequences, 1);
}

#[test]
fn an_emptied_file_ends_in_a_rebuilt_index_and_no_lost_record() {
    let dir = tempfile::tempdir().unwrap();
    let sequences = filled(dir.path());
    fs::write(data_file(dir.path()), b"").unwrap();
    rebuilt_without_loss(dir.path(), &sequences, 1);
}

#[test]
fn removed_blocks_are_written_again() {
    let dir = tempfile::tempdir().unwrap();
    let sequences = filled(dir.path());
    fs::remove_dir_all(blocks(dir.path())).unwrap();
    rebuilt_without_loss(dir.path(), &sequences, 0);
}

#[test]
fn a_removed_or_emptied_folder_ends_in_a_rebuilt_index_and_no_lost_record() {
    let dir = tempfile::tempdir().unwrap();
    let sequences = filled(dir.path());
    let sealed = summaries(dir.path()).len();
    for again in [false, true] {
        fs::remove_dir_all(dir.path().join("index")).unwrap();
        if again {
            fs::create_dir(dir.path().join("index")).unwrap();
        }
        let (log, recovery) = MessageLog::open(dir.path(), options()).unwrap();
        assert_eq!(recovery.index_rebuilt, Some(format!("{sealed} of {sealed} sealed segments have none")));
        assert_nothing_lost(&log, &sequences);
        log.close();
        rebuilt_without_loss(dir.path(), &sequences, 0);
    }
}

#[test]
fn what_a_crash_between_sealing_and_indexing_leaves_out_is_filled_in() {
    let dir = tempfile::tempdir().unwrap();
    let sequences = filled(dir.path());
    // Blocks without their summary; a summary that was not renamed; neither.
    for segment in [0, 3] {
        fs::remove_file(&summaries(dir.path())[segment]).unwrap();
    }
    fs::write(dir.path().join("index/.0000000001.summary.tmp"), b"half a summary").unwrap();
    rebuilt_without_loss(dir.path(), &sequences, 0);
}

#[test]
fn blocks_that_forgot_what_they_had_flushed_are_not_believed() {
    let (dir, older) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let mut sequences = filled(dir.path());
    copy_dir(&blocks(dir.path()), &blocks(older.path()));
    let log = open(dir.path());
    sequences.extend(append_requests(&log, RECORDS..RECORDS + 300));
    log.close();
    fs::remove_dir_all(blocks(dir.path())).unwrap();
    copy_dir(&blocks(older.path()), &blocks(dir.path()));
    let log = open(dir.path());
    let request_id = Some(format!("request-{}", RECORDS + 20));
    assert_eq!(list(&log.reader(), &Filter { request_id, ..Filter::default() }).len(), 1);
    log.close();
    assert_eq!(set_aside(dir.path()), 1);
}

#[test]
fn another_logs_index_is_not_believed() {
    let (dir, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let sequences = filled(dir.path());
    let log = open(other.path());
    append_requests(&log, 0..700);
    log.close();
    // All of it; and only the blocks, under the right summaries.
    let kept = tempfile::tempdir().unwrap();
    copy_dir(&dir.path().join("index"), kept.path());
    fs::remove_dir_all(dir.path().join("index")).unwrap();
    copy_dir(&other.path().join("index"), &dir.path().join("index"));
    rebuilt_without_loss(dir.path(), &sequences, 1);
    fs::remove_dir_all(blocks(dir.path())).unwrap();
    copy_dir(&blocks(other.path()), &blocks(dir.path()));
    rebuilt_without_loss(dir.path(), &sequences, 1);
}

#[test]
fn a_damaged_summary_is_written_again_and_nothing_is_lost_meanwhile() {
    let intact = tempfile::tempdir().unwrap();
    let sequences = filled(intact.path());
    let length = usize::try_from(fs::metadata(&summaries(intact.path())[1]).unwrap().len()).unwrap();
    // Format, hash, filter, stamps and groups, the end.
    for at in [0, 100, 4096 + 60, 4096 + 4090, length - 400, length - 1] {
        let dir = tempfile::tempdir().unwrap();
        copy_dir(intact.path(), dir.path());
        for summary in summaries(dir.path()) {
            let length = usize::try_from(fs::metadata(&summary).unwrap().len()).unwrap();
            flip(&summary, at.min(length - 1), 1);
        }
        rebuilt_without_loss(dir.path(), &sequences, 1);
    }
    let dir = tempfile::tempdir().unwrap();
    copy_dir(intact.path(), dir.path());
    let files = summaries(dir.path());
    fs::write(&files[0], fs::read(&files[0]).unwrap().split_at(5000).0).unwrap();
    fs::copy(&files[2], &files[3]).unwrap();
    rebuilt_without_loss(dir.path(), &sequences, 1);
}

#[test]
fn stamps_that_cover_each_others_gaps_are_told_apart() {
    let dir = tempfile::tempdir().unwrap();
    let log = fixture::open(dir.path());
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
    let (indexed, beside) = (log.reader(), Reader::open(dir.path()).unwrap());
    let without = tempfile::tempdir().unwrap();
    copy_dir(dir.path(), without.path());
    fs::remove_dir_all(without.path().join("index")).unwrap();
    let plain = Reader::open(without.path()).unwrap();
    let times: Vec<_> = list(&plain, &Filter::default()).iter().map(|found| found.time).collect();
    let all = Filter::default;
    let filters = [
        Filter { client: Some("DEMO/GOV/2001/client".to_owned()), ..all() },
        Filter {
            client: Some("DEMO/GOV/2001/client".to_owned()),
            service: Some("DEMO/GOV/1001/register/service-2".to_owned()),
            from: Some(times[100]),
            to: Some(times[1300]),
            ..all()
        },
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
        assert_eq!(found(&beside), found(&plain), "{filter:?}");
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

//! Opening a log after a crash, and after worse.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod fixture;

use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use fixture::*;
use kogge_message_log::{LogError, MessageLog, NewBody, NewBodyPlace, NewMessage, Options, Reader};
use kogge_proto::digest::sha512;
use kogge_proto::wire::log::{Entry, Name, entry::Kind};
use prost::Message;

#[test]
fn a_torn_tail_is_kept_and_cut_at_every_byte() {
    let dir = tempfile::tempdir().unwrap();
    let before = tempfile::tempdir().unwrap();
    let log = open(dir.path());
    append_requests(&log, 0..3);
    log.close();
    let start = content_end(&last_segment(dir.path()));
    copy_dir(dir.path(), before.path());
    let log = open(dir.path());
    append(&log, request(3)).unwrap();
    log.close();
    let whole = std::fs::read(last_segment(dir.path())).unwrap();
    let end = content_end(&last_segment(dir.path()));

    for torn_at in start + 1..end {
        let dir = before.path();
        let segment = last_segment(dir);
        // What a crash leaves of a group: its first bytes, then the zeros that were there before.
        let mut torn = whole[..torn_at].to_vec();
        torn.resize(start + 4096, 0);
        std::fs::write(&segment, &torn).unwrap();
        let kept = torn.iter().rposition(|byte| *byte != 0).unwrap() + 1 - start.min(torn_at);

        let (log, recovery) = MessageLog::open(dir, options()).unwrap();
        assert_eq!(recovery.torn_bytes, kept as u64, "{torn_at}");
        assert_eq!(recovery.index_rebuilt, None);
        assert_eq!(log.unstamped(10).len(), 3);
        drop(log);
        assert_eq!(content_end(&segment), start);
        let file = torn_files(dir).pop().unwrap();
        assert_eq!(std::fs::read(&file).unwrap(), torn[start..start + kept]);
        std::fs::remove_file(file).unwrap();
    }
    let log = open(before.path());
    append(&log, request(3)).unwrap();
    log.close();
    assert_eq!(assert_sound(before.path()).len(), 4);
}

/// Frames as an enemy would write them who knows the format: entries that claim that all before them was durable.
fn forged_frames(sequences: std::ops::Range<u64>) -> Vec<u8> {
    let mut frames = Vec::new();
    for sequence in sequences {
        let kind = Some(Kind::Name(Name::default()));
        let payload = Entry { sequence, unsynced: 1, kind, ..Entry::default() }.encode_to_vec();
        frames.extend_from_slice(&u32::try_from(payload.len()).unwrap().to_le_bytes());
        frames.extend_from_slice(&crc32c::crc32c(&payload).to_le_bytes());
        frames.extend_from_slice(&payload);
    }
    frames
}

#[test]
fn a_body_that_imitates_frames_does_not_make_a_torn_group_look_acknowledged() {
    let dir = tempfile::tempdir().unwrap();
    let log = open(dir.path());
    append_requests(&log, 0..3);
    log.close();
    let segment = last_segment(dir.path());
    let start = content_end(&segment);
    let log = open(dir.path());
    let body = Bytes::from(forged_frames(1..200));
    let place = NewBodyPlace::Inline(body.clone());
    let body = NewBody { length: body.len() as u64, sha512: sha512(&body), place };
    append(&log, NewMessage { body: Some(body), ..request(3) }).unwrap();
    log.close();
    // The power went while the group was written: its beginning is missing, and nothing says that it was acknowledged.
    std::fs::remove_file(dir.path().join("acknowledged")).unwrap();
    let mut torn = std::fs::read(&segment).unwrap();
    torn[start..start + 20].fill(0);
    std::fs::write(&segment, &torn).unwrap();

    let (log, recovery) = MessageLog::open(dir.path(), options()).unwrap();
    assert!(recovery.torn_bytes > 3000, "{recovery:?}");
    append(&log, request(4)).unwrap();
    log.close();
    assert_eq!(assert_sound(dir.path()).len(), 4);
}

#[test]
fn what_the_note_says_was_acknowledged_is_damaged_and_not_torn() {
    let dir = tempfile::tempdir().unwrap();
    let log = open(dir.path());
    append_requests(&log, 0..3);
    log.close();
    let segment = last_segment(dir.path());
    let whole = std::fs::read(&segment).unwrap();
    let end = content_end(&segment);
    for torn_at in [end - 1, end - 100, end - 200] {
        let mut torn = whole.clone();
        torn[torn_at..].fill(0);
        std::fs::write(&segment, &torn).unwrap();
        let damage = damage_at_open(dir.path());
        assert!(damage.reason.contains("but entry 15 was acknowledged"), "{damage}");
        assert_eq!(std::fs::read(&segment).unwrap(), torn, "nothing is repaired");
    }
    // Without any trace of the last record.
    let mut cut = whole.clone();
    cut[end_of_entry_before_last(&whole)..].fill(0);
    std::fs::write(&segment, &cut).unwrap();
    assert_eq!(damage_at_open(dir.path()).check, "log.sequence");
    std::fs::remove_file(&segment).unwrap();
    assert_eq!(damage_at_open(dir.path()).check, "log.sequence");
    std::fs::write(&segment, &whole).unwrap();
    drop(open(dir.path()));
}

#[test]
fn what_later_entries_prove_was_acknowledged_is_damaged_also_without_the_note() {
    let dir = tempfile::tempdir().unwrap();
    let log = open(dir.path());
    append_requests(&log, 0..4);
    log.close();
    std::fs::remove_file(dir.path().join("acknowledged")).unwrap();
    let segment = last_segment(dir.path());
    let whole = std::fs::read(&segment).unwrap();
    let last = end_of_entry_before_last(&whole);
    for (flipped_at, check) in [
        (1, "log.checksum"),
        (3, "log.frame"),
        (4, "log.checksum"),
        (60, "log.checksum"),
        (last - 1, "log.checksum"),
    ] {
        let mut flipped = whole.clone();
        flipped[flipped_at] ^= 0x80;
        std::fs::write(&segment, &flipped).unwrap();
        let damage = damage_at_open(dir.path());
        assert_eq!((damage.check, damage.file.as_str()), (check, "segments/0000000001.log"), "{damage}");
        assert!(damage.reason.contains("was acknowledged before entry"), "{damage}");
        assert_eq!(torn_files(dir.path()), [] as [std::path::PathBuf; 0]);
    }
    // A frame that was blanked out does not end the log.
    let mut blanked = whole.clone();
    blanked[last - 300..last].fill(0);
    std::fs::write(&segment, &blanked).unwrap();
    damage_at_open(dir.path());
    let listed = Reader::open(dir.path()).unwrap().list(&kogge_message_log::Filter::default(), &mut |_| true);
    assert!(matches!(listed, Err(LogError::Damaged(_))));
}

#[test]
fn a_damaged_or_missing_earlier_segment_is_not_passed_over() {
    let dir = tempfile::tempdir().unwrap();
    let log = MessageLog::open(dir.path(), small_segments()).unwrap().0;
    append_requests(&log, 0..100);
    log.close();
    std::fs::remove_dir_all(dir.path().join("index")).unwrap();
    let second = dir.path().join("segments/0000000002.log");
    let whole = std::fs::read(&second).unwrap();
    let end = content_end(&second);

    let mut cut = whole.clone();
    cut.truncate(end_of_entry_before_last(&whole));
    std::fs::write(&second, &cut).unwrap();
    let damage = damage_at_open(dir.path());
    assert_eq!(damage.check, "log.sequence");
    assert!(damage.reason.contains("entries are missing"), "{damage}");

    let mut flipped = whole.clone();
    flipped[end - 1] ^= 1;
    std::fs::write(&second, &flipped).unwrap();
    assert_eq!(damage_at_open(dir.path()).check, "log.checksum");

    std::fs::remove_file(&second).unwrap();
    let damage = damage_at_open(dir.path());
    assert_eq!((damage.check, damage.file.as_str()), ("log.sequence", "segments/0000000002.log"));
    let damages = Reader::open(dir.path()).unwrap().audit(&mut |_| ()).unwrap();
    assert_eq!(damages, [damage]);
}

#[test]
fn a_segment_that_a_crash_left_without_an_entry_is_replaced() {
    let dir = tempfile::tempdir().unwrap();
    let log = open(dir.path());
    append_requests(&log, 0..3);
    log.close();
    let second = dir.path().join("segments/0000000002.log");
    for content in [vec![], vec![0; 1 << 20], b"half a segment's start".to_vec()] {
        std::fs::write(&second, &content).unwrap();
        let (log, recovery) = MessageLog::open(dir.path(), options()).unwrap();
        assert_eq!(recovery.torn_bytes, content.iter().filter(|byte| **byte != 0).count() as u64);
        assert!(!second.exists());
        drop(log);
    }
    assert_eq!(assert_sound(dir.path()).len(), 3);
}

#[test]
fn what_never_became_a_record_is_removed() {
    let dir = tempfile::tempdir().unwrap();
    let log = open(dir.path());
    let receipt = append(&log, spooled(&log, 1, 300_000)).unwrap();
    log.close();
    let body = |sequence: u64| dir.path().join(format!("bodies/{sequence:020}.body"));
    std::fs::write(body(receipt.sequence + 3), b"never acknowledged").unwrap();
    std::fs::write(dir.path().join("spool/left-over"), b"half a body").unwrap();
    let (log, recovery) = MessageLog::open(dir.path(), options()).unwrap();
    assert_eq!(recovery.spool_files_removed, 1);
    assert!(!body(receipt.sequence + 3).exists());
    assert!(body(receipt.sequence).exists());
    drop(log);
    assert_sound(dir.path());
}

#[test]
fn opening_a_fresh_log_tells_nothing_and_reads_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let (log, recovery) = MessageLog::open(&dir.path().join("new/log"), options()).unwrap();
    assert_eq!(recovery, kogge_message_log::Recovery::default());
    assert_eq!(log.last_root(), None);
}

#[track_caller]
fn damage_at_open(dir: &Path) -> kogge_message_log::Damage {
    match MessageLog::open(dir, small_segments()) {
        Err(LogError::Damaged(damage)) => damage,
        Err(error) => panic!("{error}"),
        Ok((_, recovery)) => panic!("{recovery:?}"),
    }
}

fn torn_files(dir: &Path) -> Vec<std::path::PathBuf> {
    std::fs::read_dir(dir.join("segments"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "torn"))
        .collect()
}

/// Where the last frame of a segment begins.
fn end_of_entry_before_last(segment: &[u8]) -> usize {
    let (mut at, mut before) = (0, 0);
    while let Some(head) = segment.get(at..at + 4).filter(|head| **head != [0; 4]) {
        before = at;
        at += 8 + u32::from_le_bytes(head.try_into().unwrap()) as usize;
    }
    before
}

/// A log of several segments, closed: its messages by number, and which of them a stamp covers.
fn several_segments(dir: &Path) -> (Vec<u64>, Vec<u64>) {
    let log = MessageLog::open(dir, small_segments()).unwrap().0;
    let mut sequences = append_requests(&log, 0..100);
    // A stamp over some of the messages of all segments, and a later one over older ones.
    let (even, odd): (Vec<u64>, Vec<u64>) = sequences[20..90].iter().partition(|sequence| *sequence % 2 == 0);
    append_stamp(&log, stamp(&log, &even)).unwrap();
    sequences.extend(append_requests(&log, 100..150));
    append_stamp(&log, stamp(&log, &sequences[..10])).unwrap();
    sequences.extend(append_requests(&log, 150..250));
    log.close();
    let waiting = [&sequences[10..20], &odd, &sequences[90..]].concat();
    (sequences, waiting)
}

fn recents(dir: &Path) -> Vec<std::path::PathBuf> {
    let entries = std::fs::read_dir(dir.join("index")).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<_> =
        entries.filter(|path| path.extension().is_some_and(|it| it == "recent")).collect();
    files.sort();
    files
}

#[track_caller]
fn assert_knows(dir: &Path, sequences: &[u64], waiting: &[u64]) {
    let (log, recovery) = MessageLog::open(dir, small_segments()).unwrap();
    let mut unstamped = waiting.to_vec();
    unstamped.sort_unstable();
    assert_eq!(log.unstamped(usize::MAX), unstamped);
    assert_eq!(recovery.entries, *sequences.last().unwrap());
    for number in 0..sequences.len() {
        assert!(log.seen_request(&format!("request-{number}")), "{number}");
    }
    assert!(!log.seen_request("request-250"));
    assert_eq!(append_stamp(&log, stamp(&log, &unstamped[..3])).err(), None);
}

#[test]
fn a_start_reads_no_sealed_segment_and_yet_knows_what_is_recent() {
    let dir = tempfile::tempdir().unwrap();
    let (sequences, waiting) = several_segments(dir.path());
    let sealed = recents(dir.path()).len();
    assert!(sealed > 6, "{sealed}");
    // Damage in a sealed segment shows that it was not read, and without the note, that it was.
    let third = dir.path().join("segments/0000000003.log");
    let mut bytes = std::fs::read(&third).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&third, &bytes).unwrap();
    assert_knows(dir.path(), &sequences, &waiting);
    std::fs::remove_file(&recents(dir.path())[2]).unwrap();
    assert_eq!(damage_at_open(dir.path()).file, "segments/0000000003.log");
}

#[test]
fn what_was_noted_as_recent_is_not_believed_when_it_is_damaged_or_of_another_segment() {
    let intact = tempfile::tempdir().unwrap();
    let (sequences, waiting) = several_segments(intact.path());
    type Spoil = fn(&[std::path::PathBuf]);
    let spoilt: [Spoil; 5] = [
        |_| (),
        |files| files.iter().for_each(|file| std::fs::remove_file(file).unwrap()),
        |files| {
            let mut bytes = std::fs::read(&files[1]).unwrap();
            let last = bytes.len() - 10;
            bytes[last] ^= 1;
            std::fs::write(&files[1], bytes).unwrap();
        },
        |files| assert!(std::fs::copy(&files[2], &files[3]).unwrap() > 0),
        |files| std::fs::write(files.last().unwrap(), b"").unwrap(),
    ];
    for spoil in spoilt {
        let dir = tempfile::tempdir().unwrap();
        copy_dir(intact.path(), dir.path());
        spoil(&recents(dir.path()));
        assert_knows(dir.path(), &sequences, &waiting);
    }
}

#[test]
fn what_is_no_longer_recent_is_forgotten() {
    let dir = tempfile::tempdir().unwrap();
    let options = Options { replay_window: Duration::ZERO, ..small_segments() };
    let log = MessageLog::open(dir.path(), options.clone()).unwrap().0;
    let mut sequences = append_requests(&log, 0..150);
    append_stamp(&log, stamp(&log, &sequences)).unwrap();
    sequences.extend(append_requests(&log, 150..300));
    log.close();
    let summaries = std::fs::read_dir(dir.path().join("index")).unwrap().count();
    let kept = recents(dir.path()).len();
    assert!(kept > 2 && kept < summaries - kept, "{kept} of {summaries}");
    let log = MessageLog::open(dir.path(), options).unwrap().0;
    assert_eq!(log.unstamped(usize::MAX), sequences[150..]);
}

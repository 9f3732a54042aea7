//! A failing disk: nothing acknowledged is lost, nothing refused is taken for acknowledged, and the log recovers by itself.

use std::io::ErrorKind;
use std::path::Path;

use crate::faults::{Faults, FaultyDisk};
use crate::fixture::*;
use crate::{AppendError, LogError, MessageLog, NewBodyPlace, Options, Reader, State};

pub(crate) fn open_faulty(dir: &Path, options: Options) -> (MessageLog, FaultyDisk) {
    let disk = FaultyDisk::default();
    let (log, _) = MessageLog::open_on(dir, options, Box::new(disk.clone())).unwrap();
    (log, disk)
}

/// Appends until it works; how often the log tries by itself meanwhile does not matter.
pub(crate) fn append_at_last(log: &MessageLog, number: u32) {
    while append(log, request(number)).is_err() {
        std::thread::yield_now();
    }
}

pub(crate) fn expect_only(dir: &Path, numbers: &[u32]) {
    let expected: Vec<String> = numbers.iter().map(|number| format!("request-{number}")).collect();
    let found: Vec<String> = assert_sound(dir).into_iter().map(|found| found.record.request_id).collect();
    assert_eq!(found, expected);
}

/// What the faults are, what is refused, and that all is well after they are gone.
fn refused_then_well(
    options: Options,
    faults: Faults,
    is_expected: fn(&AppendError) -> bool,
    states: &[State],
) {
    let dir = tempfile::tempdir().unwrap();
    let (log, disk) = open_faulty(dir.path(), options.clone());
    append_requests(&log, 0..3);
    disk.set(faults);
    let mut accepted = vec![0, 1, 2];
    let mut refused = Vec::new();
    for number in 3..60 {
        match append(&log, request(number)) {
            Ok(_) => accepted.push(number),
            Err(error) => {
                assert!(is_expected(&error), "{error}");
                refused.push(number);
            }
        }
    }
    assert!(!refused.is_empty());
    assert!(states.contains(&log.state()) || matches!(log.state(), State::Suspect(_)), "{:?}", log.state());
    disk.lift();
    append_at_last(&log, 100);
    accepted.push(100);
    assert_eq!(log.state(), State::Writable);
    // What was refused was not seen: it may come again.
    assert!(refused.iter().all(|number| !log.seen_request(&format!("request-{number}"))));
    append(&log, request(refused[0])).unwrap();
    accepted.push(refused[0]);
    log.close();
    expect_only(dir.path(), &accepted);
    drop(MessageLog::open(dir.path(), options).unwrap());
    expect_only(dir.path(), &accepted);
}

fn is_full(error: &AppendError) -> bool {
    *error == AppendError::Full
}

pub(crate) fn is_suspect(error: &AppendError) -> bool {
    matches!(error, AppendError::Suspect(_))
}

#[test]
fn a_disk_without_space_for_the_next_segment() {
    let faults = Faults { space: Some(0), ..Faults::default() };
    refused_then_well(small_segments(), faults, is_full, &[State::Full]);
}

#[test]
fn a_disk_with_space_for_half_a_segment() {
    let faults = Faults { space: Some(8_000), ..Faults::default() };
    refused_then_well(small_segments(), faults, is_full, &[State::Full]);
}

#[test]
fn a_disk_that_fills_up_within_a_group() {
    for reached in [0, 1, 7, 8, 9, 100, 300] {
        let faults = Faults { write: Some((reached, ErrorKind::StorageFull)), ..Faults::default() };
        refused_then_well(options(), faults, is_full, &[State::Full]);
    }
}

#[test]
fn what_was_written_of_a_group_is_taken_back_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let (log, disk) = open_faulty(dir.path(), options());
    append_requests(&log, 0..3);
    let before = content_end(&last_segment(dir.path()));
    disk.set(Faults { write: Some((300, ErrorKind::StorageFull)), ..Faults::default() });
    assert_eq!(append(&log, request(3)), Err(AppendError::Full));
    assert_eq!(content_end(&last_segment(dir.path())), before);
    log.close();
    assert_eq!(MessageLog::open(dir.path(), options()).unwrap().1.torn_bytes, 0);
}

#[test]
fn a_partly_written_group_that_cannot_be_taken_back() {
    let faults = Faults {
        write: Some((100, ErrorKind::StorageFull)),
        set_len: Some(ErrorKind::Other),
        ..Faults::default()
    };
    refused_then_well(options(), faults, is_suspect, &[]);
}

#[test]
fn a_write_that_fails() {
    let faults = Faults { write: Some((100, ErrorKind::Other)), ..Faults::default() };
    refused_then_well(options(), faults, is_suspect, &[]);
}

#[test]
fn a_sync_that_fails() {
    let faults = Faults { sync: Some(ErrorKind::Other), ..Faults::default() };
    refused_then_well(options(), faults, is_suspect, &[]);
}

#[test]
fn a_sync_that_fails_because_the_disk_is_full_is_as_bad_as_any() {
    let faults = Faults { sync: Some(ErrorKind::StorageFull), ..Faults::default() };
    refused_then_well(options(), faults, is_suspect, &[]);
}

#[test]
fn a_sync_that_fails_seals_the_segment_and_the_next_one_goes_on_from_the_last_acknowledged() {
    let dir = tempfile::tempdir().unwrap();
    let (log, disk) = open_faulty(dir.path(), options());
    let before = append_requests(&log, 0..3);
    disk.set(Faults { sync: Some(ErrorKind::Other), ..Faults::default() });
    assert!(is_suspect(&append(&log, request(3)).unwrap_err()));
    assert!(matches!(log.state(), State::Suspect(_)));
    let first = dir.path().join("segments/0000000001.log");
    let refused_end = content_end(&first);
    disk.lift();
    append_at_last(&log, 4);
    // The refused frames are still there, and nobody takes them for entries.
    assert_eq!(content_end(&first), refused_end);
    let found = list(&log.reader(), &crate::Filter::default());
    // The second segment's start, two items of material, three names, then the record.
    assert_eq!(found.last().unwrap().sequence, before[2] + 7);
    assert_eq!(
        request_ids(&Reader::open(dir.path()).unwrap()),
        ["request-0", "request-1", "request-2", "request-4"]
    );
    log.close();
    expect_only(dir.path(), &[0, 1, 2, 4]);
    drop(MessageLog::open(dir.path(), options()).unwrap());
    expect_only(dir.path(), &[0, 1, 2, 4]);
}

/// A log whose process died after a failed sync, before a new segment was proven.
fn died_suspect(dir: &Path, note_fails: bool) {
    let (log, disk) = open_faulty(dir, options());
    append_requests(&log, 0..3);
    let note = dir.join("segments/0000000001.suspect");
    if note_fails {
        std::fs::create_dir(&note).unwrap();
    }
    disk.set(Faults { sync: Some(ErrorKind::Other), create: Some(ErrorKind::Other), ..Faults::default() });
    assert!(is_suspect(&append(&log, request(3)).unwrap_err()));
    assert!(is_suspect(&append(&log, request(4)).unwrap_err()));
    log.close();
    if note_fails {
        std::fs::remove_dir(&note).unwrap();
    }
}

#[test]
fn what_was_refused_before_a_crash_is_cut_by_the_note() {
    let dir = tempfile::tempdir().unwrap();
    died_suspect(dir.path(), false);
    // Beside the dead log a reader goes by the note too.
    assert_eq!(request_ids(&Reader::open(dir.path()).unwrap()).len(), 3);
    let (log, recovery) = MessageLog::open(dir.path(), options()).unwrap();
    assert!(recovery.torn_bytes > 200, "{recovery:?}");
    assert!(!dir.path().join("segments/0000000001.suspect").exists());
    append(&log, request(3)).unwrap();
    log.close();
    expect_only(dir.path(), &[0, 1, 2, 3]);
}

#[test]
fn a_note_that_promises_more_than_there_is_means_damage() {
    let dir = tempfile::tempdir().unwrap();
    died_suspect(dir.path(), false);
    std::fs::remove_file(dir.path().join("acknowledged")).unwrap();
    let segment = last_segment(dir.path());
    let mut bytes = std::fs::read(&segment).unwrap();
    let acknowledged: usize =
        std::fs::read_to_string(dir.path().join("segments/0000000001.suspect")).unwrap().parse().unwrap();
    bytes[acknowledged - 100..].fill(0);
    std::fs::write(&segment, bytes).unwrap();
    let Err(LogError::Damaged(damage)) = MessageLog::open(dir.path(), options()) else { panic!("opened") };
    assert_eq!(damage.check, "log.checksum");
}

#[test]
fn without_the_note_a_refused_record_may_stay_but_no_acknowledged_one_goes() {
    let dir = tempfile::tempdir().unwrap();
    died_suspect(dir.path(), true);
    let log = open(dir.path());
    append(&log, request(5)).unwrap();
    log.close();
    expect_only(dir.path(), &[0, 1, 2, 3, 5]);
}

#[test]
fn a_refused_body_is_given_back() {
    let dir = tempfile::tempdir().unwrap();
    let (log, disk) = open_faulty(dir.path(), options());
    for faults in [
        Faults { sync_dir: Some(ErrorKind::Other), ..Faults::default() },
        Faults { write: Some((0, ErrorKind::StorageFull)), ..Faults::default() },
        Faults { sync: Some(ErrorKind::Other), ..Faults::default() },
    ] {
        let new = spooled(&log, 1, 300_000);
        let Some(NewBodyPlace::Spooled(path)) = new.body.clone().map(|body| body.place) else {
            unreachable!()
        };
        disk.set(faults);
        append(&log, new).unwrap_err();
        assert!(path.exists());
        assert_eq!(std::fs::read_dir(dir.path().join("bodies")).unwrap().count(), 0);
        disk.lift();
        append_at_last(&log, content_number(&log));
    }
    log.close();
    assert_sound(dir.path());
}

/// A number that was not used yet.
fn content_number(log: &MessageLog) -> u32 {
    100 + u32::try_from(log.unstamped(usize::MAX).len()).unwrap()
}

#[test]
fn closing_a_log_that_cannot_write_ends() {
    let dir = tempfile::tempdir().unwrap();
    let (log, disk) = open_faulty(dir.path(), options());
    append(&log, request(1)).unwrap();
    disk.set(Faults { sync: Some(ErrorKind::Other), create: Some(ErrorKind::Other), ..Faults::default() });
    append(&log, request(2)).unwrap_err();
    log.close();
    assert_eq!(append(&log, request(3)), Err(AppendError::Closed));
}

//! What is acknowledged before it is synced, what follows it, and what is never kept waiting.

use std::io::ErrorKind;
use std::path::Path;
use std::sync::mpsc;

use kogge_proto::wire::log::{Direction, Role};

use crate::failure_tests::{append_at_last, expect_only, is_suspect, open_faulty};
use crate::faults::{Faults, FaultyDisk};
use crate::fixture::*;
use crate::writer::QUEUE;
use crate::{AppendError, Durability, MessageLog, NewMessage, Options, Receipt};

const NO_SYNC: Faults = Faults {
    sync: Some(ErrorKind::Other),
    syncs_left: None,
    space: None,
    write: None,
    sync_dir: None,
    set_len: None,
    create: None,
};

/// The answer to the request with this number, whose record is `request`.
fn response(number: u32, request: Receipt) -> NewMessage {
    NewMessage { follows: Some(request), ..message(number, Role::Provider, Direction::Response) }
}

/// Appends until the log has left its seal behind.
fn append_when_unsealed(log: &MessageLog, message: &NewMessage) -> Result<Receipt, AppendError> {
    loop {
        match append(log, message.clone()) {
            Err(error) if is_suspect(&error) => std::thread::yield_now(),
            outcome => return outcome,
        }
    }
}

/// A request that was acknowledged when it was written, and lost when it was to be synced.
fn lose_a_request(dir: &Path) -> (MessageLog, Receipt) {
    let (log, disk) = open_faulty(dir, options());
    append(&log, request(1)).unwrap();
    disk.set(NO_SYNC);
    let receipt = append_as(&log, request(2), Durability::WithNext).unwrap();
    assert!(is_suspect(&append(&log, request(3)).unwrap_err()));
    disk.lift();
    (log, receipt)
}

#[test]
fn what_was_written_is_acknowledged_without_a_sync_and_lost_with_it() {
    let dir = tempfile::tempdir().unwrap();
    let (log, _) = lose_a_request(dir.path());
    append_at_last(&log, 4);
    log.close();
    expect_only(dir.path(), &[1, 4]);
}

#[test]
fn nothing_stands_behind_a_request_that_was_lost() {
    let dir = tempfile::tempdir().unwrap();
    let (log, lost) = lose_a_request(dir.path());
    assert_eq!(append_when_unsealed(&log, &response(2, lost)), Err(AppendError::Orphaned));
    // Another record has that sequence by now.
    append_at_last(&log, 4);
    append_at_last(&log, 5);
    assert_eq!(append(&log, response(2, lost)), Err(AppendError::Orphaned));
    // Its request may have been passed on: it does not come in a second time.
    assert_eq!(append(&log, request(2)), Err(AppendError::Replayed));
    log.close();
    expect_only(dir.path(), &[1, 4, 5]);
}

#[test]
fn a_request_that_was_durable_survives_the_seal_and_so_does_what_follows_it() {
    let dir = tempfile::tempdir().unwrap();
    let (log, disk) = open_faulty(dir.path(), options());
    let durable = append(&log, request(1)).unwrap();
    disk.set(NO_SYNC);
    assert!(is_suspect(&append(&log, request(2)).unwrap_err()));
    disk.lift();
    append_when_unsealed(&log, &response(1, durable)).unwrap();
    log.close();
    expect_only(dir.path(), &[1, 1]);
}

#[test]
fn a_response_in_the_group_that_fails_goes_with_its_request() {
    let dir = tempfile::tempdir().unwrap();
    let (log, disk) = open_faulty(dir.path(), options());
    disk.set(NO_SYNC);
    let noted = append_as(&log, request(1), Durability::WithNext).unwrap();
    let refused = append(&log, response(1, noted)).unwrap_err();
    assert!(is_suspect(&refused) || refused == AppendError::Orphaned, "{refused}");
    disk.lift();
    append_at_last(&log, 2);
    log.close();
    expect_only(dir.path(), &[2]);
}

#[test]
fn what_nothing_follows_becomes_durable_by_itself() {
    let dir = tempfile::tempdir().unwrap();
    let log = open(dir.path());
    let receipt = append_as(&log, request(1), Durability::WithNext).unwrap();
    while log.unstamped_count() == 0 {
        std::thread::yield_now();
    }
    assert_eq!(log.unstamped(10), [receipt.sequence]);
    assert_eq!(log.reader().get(receipt.sequence).unwrap().unwrap().record.request_id, "request-1");
    log.close();
    expect_only(dir.path(), &[1]);
}

#[test]
fn what_follows_makes_both_durable_with_one_sync() {
    let dir = tempfile::tempdir().unwrap();
    let log = open(dir.path());
    let noted = append_as(&log, request(1), Durability::WithNext).unwrap();
    append(&log, response(1, noted)).unwrap();
    assert_eq!(log.unstamped_count(), 2);
    assert_eq!(list(&log.reader(), &crate::Filter::default()).len(), 2);
}

#[test]
fn a_replay_of_a_request_that_was_only_written_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let log = open(dir.path());
    append_as(&log, request(1), Durability::WithNext).unwrap();
    assert!(log.seen_request("request-1"));
    assert_eq!(append_as(&log, request(1), Durability::WithNext), Err(AppendError::Replayed));
    assert_eq!(append(&log, request(1)), Err(AppendError::Replayed));
}

#[test]
fn a_full_disk_takes_back_the_refused_and_keeps_what_was_only_written() {
    let dir = tempfile::tempdir().unwrap();
    let (log, disk) = open_faulty(dir.path(), options());
    let noted = append_as(&log, request(1), Durability::WithNext).unwrap();
    disk.set(Faults { write: Some((100, ErrorKind::StorageFull)), ..Faults::default() });
    assert_eq!(append_as(&log, request(2), Durability::WithNext), Err(AppendError::Full));
    assert_eq!(append(&log, request(3)), Err(AppendError::Full));
    disk.lift();
    append(&log, response(1, noted)).unwrap();
    log.close();
    expect_only(dir.path(), &[1, 1]);
}

#[test]
fn what_is_only_written_is_synced_before_the_next_segment_and_before_closing() {
    let dir = tempfile::tempdir().unwrap();
    let log = MessageLog::open(dir.path(), small_segments()).unwrap().0;
    for number in 0..60 {
        append_as(&log, request(number), Durability::WithNext).unwrap();
    }
    log.close();
    let numbers: Vec<u32> = (0..60).collect();
    expect_only(dir.path(), &numbers);
}

#[test]
fn a_request_in_an_earlier_segment_can_be_followed() {
    let dir = tempfile::tempdir().unwrap();
    let log = MessageLog::open(dir.path(), Options { segment_bytes: 4096, ..options() }).unwrap().0;
    let noted = append_as(&log, request(0), Durability::WithNext).unwrap();
    for number in 1..30 {
        append_as(&log, request(number), Durability::WithNext).unwrap();
    }
    append(&log, response(0, noted)).unwrap();
    log.close();
    assert!(std::fs::read_dir(dir.path().join("segments")).unwrap().count() > 2);
    assert_eq!(assert_sound(dir.path()).len(), 31);
}

#[test]
fn a_disk_that_hangs_makes_the_log_refuse_and_never_wait() {
    let dir = tempfile::tempdir().unwrap();
    let (log, disk) = open_faulty(dir.path(), options());
    let stalled = disk.stall();
    let (tell, told) = mpsc::channel();
    // The writer takes what it finds before it hangs; then the queue fills up.
    for number in 0..2 * u32::try_from(QUEUE.jobs).unwrap() + 1 {
        let tell = tell.clone();
        log.append(request(number), Durability::Now, Box::new(move |outcome| tell.send(outcome).unwrap()));
    }
    drop(tell);
    assert_eq!(told.recv().unwrap(), Err(AppendError::Busy));
    drop(stalled);
    log.close();
    let outcomes: Vec<_> = told.iter().collect();
    assert!(outcomes.iter().all(|outcome| matches!(outcome, Ok(_) | Err(AppendError::Busy))));
    let accepted = outcomes.iter().filter(|outcome| outcome.is_ok()).count();
    assert!(accepted >= QUEUE.jobs, "{accepted}");
    assert_eq!(assert_sound(dir.path()).len(), accepted);
}

/// Appends and says where the outcome will come.
fn append_beside(
    log: &MessageLog,
    message: NewMessage,
    durability: Durability,
) -> mpsc::Receiver<Result<Receipt, AppendError>> {
    let (tell, told) = mpsc::channel();
    log.append(message, durability, Box::new(move |outcome| drop(tell.send(outcome))));
    told
}

/// Waits until the log's thread has begun a sync, which the test has stalled.
fn wait_until_syncing(disk: &FaultyDisk) {
    while disk.waiting_syncs() == 0 {
        std::thread::yield_now();
    }
}

#[test]
fn a_sync_keeps_nobody_from_writing_and_makes_durable_only_what_came_before_it() {
    let dir = tempfile::tempdir().unwrap();
    let (log, disk) = open_faulty(dir.path(), options());
    let stalled = disk.stall();
    let first = append_beside(&log, request(1), Durability::Now);
    wait_until_syncing(&disk);
    // On this thread, although the sync hangs.
    let noted = append_beside(&log, request(2), Durability::WithNext).try_recv().unwrap().unwrap();
    let third = append_beside(&log, request(3), Durability::Now);
    let segment = std::fs::read(last_segment(dir.path())).unwrap();
    assert!(segment.windows(8).any(|piece| piece == b"number=2"), "the record stands in the file");
    assert!(first.try_recv().is_err() && third.try_recv().is_err());
    disk.set(Faults { syncs_left: Some(1), ..NO_SYNC });
    drop(stalled);
    first.recv().unwrap().unwrap();
    assert!(is_suspect(&third.recv().unwrap().unwrap_err()));
    disk.lift();
    assert_eq!(append_when_unsealed(&log, &response(2, noted)), Err(AppendError::Orphaned));
    append_at_last(&log, 4);
    log.close();
    expect_only(dir.path(), &[1, 4]);
}

#[test]
fn a_failed_sync_takes_with_it_what_was_written_meanwhile() {
    let dir = tempfile::tempdir().unwrap();
    let (log, disk) = open_faulty(dir.path(), options());
    disk.set(NO_SYNC);
    let stalled = disk.stall();
    let first = append_beside(&log, request(1), Durability::Now);
    wait_until_syncing(&disk);
    let second = append_beside(&log, request(2), Durability::WithNext).recv().unwrap();
    let third = append_beside(&log, request(3), Durability::Now);
    drop(stalled);
    assert!(is_suspect(&first.recv().unwrap().unwrap_err()));
    let refused = third.recv().unwrap();
    assert!(is_suspect(&refused.unwrap_err()));
    disk.lift();
    assert_eq!(append_when_unsealed(&log, &response(2, second.unwrap())), Err(AppendError::Orphaned));
    append_at_last(&log, 1);
    append(&log, request(3)).unwrap();
    log.close();
    expect_only(dir.path(), &[1, 3]);
}

#[test]
fn a_replay_of_a_request_that_is_being_synced_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let (log, disk) = open_faulty(dir.path(), options());
    let stalled = disk.stall();
    let first = append_beside(&log, request(1), Durability::Now);
    wait_until_syncing(&disk);
    for durability in [Durability::Now, Durability::WithNext] {
        // Refused on this thread, not kept waiting.
        assert_eq!(append_beside(&log, request(1), durability).try_recv(), Ok(Err(AppendError::Replayed)));
    }
    drop(stalled);
    first.recv().unwrap().unwrap();
    assert_eq!(append(&log, request(1)), Err(AppendError::Replayed));
    log.close();
    expect_only(dir.path(), &[1]);
}

#[test]
fn a_write_that_fails_while_a_sync_is_under_way_costs_only_its_own_record() {
    let dir = tempfile::tempdir().unwrap();
    let (log, disk) = open_faulty(dir.path(), options());
    let stalled = disk.stall();
    let first = append_beside(&log, request(1), Durability::Now);
    wait_until_syncing(&disk);
    disk.set(Faults { write: Some((100, ErrorKind::StorageFull)), ..Faults::default() });
    let second = append_beside(&log, request(2), Durability::WithNext);
    // Not over what may stand there in part: it waits for the log's thread.
    disk.lift();
    let third = append_beside(&log, request(3), Durability::WithNext);
    assert!(second.try_recv().is_err() && third.try_recv().is_err());
    drop(stalled);
    assert_eq!(first.recv().unwrap().map(|receipt| receipt.sequence > 1), Ok(true));
    assert_eq!(second.recv().unwrap(), Err(AppendError::Full));
    third.recv().unwrap().unwrap();
    log.close();
    expect_only(dir.path(), &[1, 3]);
}

#[test]
fn a_callback_on_the_thread_of_who_appends_may_append_and_close() {
    let dir = tempfile::tempdir().unwrap();
    let log = open(dir.path());
    let (tell, told) = mpsc::channel();
    let again = log.clone();
    log.append(
        request(1),
        Durability::WithNext,
        Box::new(move |outcome| {
            outcome.unwrap();
            let second = append_beside(&again, request(2), Durability::WithNext);
            again.close();
            tell.send(second.recv().unwrap()).unwrap();
        }),
    );
    told.recv().unwrap().unwrap();
    assert_eq!(append(&log, request(3)), Err(AppendError::Closed));
    expect_only(dir.path(), &[1, 2]);
}

#[test]
fn many_who_append_at_once_lose_nothing_and_are_all_told() {
    let dir = tempfile::tempdir().unwrap();
    let log = MessageLog::open(dir.path(), Options { segment_bytes: 64 * 1024, ..options() }).unwrap().0;
    std::thread::scope(|scope| {
        for thread in 0..8 {
            let log = &log;
            scope.spawn(move || {
                for number in (0..60).map(|number| 1000 * thread + number) {
                    let noted = append_as(log, request(number), Durability::WithNext).unwrap();
                    append(log, response(number, noted)).unwrap();
                }
            });
        }
    });
    log.close();
    let mut found: Vec<String> =
        assert_sound(dir.path()).into_iter().map(|found| found.record.request_id).collect();
    found.sort();
    found.dedup();
    assert_eq!(found.len(), 8 * 60);
    assert!(std::fs::read_dir(dir.path().join("segments")).unwrap().count() > 2);
}

#[test]
fn a_sync_is_put_off_until_it_is_let_go_and_serves_all_who_came_before() {
    let dir = tempfile::tempdir().unwrap();
    let (log, disk) = open_faulty(dir.path(), options());
    let stalled = disk.stall();
    let first = append_beside(&log, request(0), Durability::Now);
    wait_until_syncing(&disk);
    let before = disk.syncs();
    // While the log's thread is busy, so that it is this thread's turn.
    let appended: Vec<_> = (1..=20)
        .map(|number| {
            let (tell, told) = mpsc::channel();
            let callback = Box::new(move |outcome| drop(tell.send(outcome)));
            (log.append_before_sync(request(number), Durability::Now, callback).unwrap(), told)
        })
        .collect();
    drop(stalled);
    first.recv().unwrap().unwrap();
    let (syncs, told): (Vec<_>, Vec<_>) = appended.into_iter().unzip();
    assert!(told.iter().all(|told| told.try_recv().is_err()));
    assert_eq!(disk.syncs() - before, 1);
    drop(syncs);
    assert!(told.iter().all(|told| told.recv().unwrap().is_ok()));
    assert_eq!(disk.syncs() - before, 2);
    // What needs no sync puts none off, and neither does what is refused.
    let callback = || -> crate::Acknowledge { Box::new(|_| {}) };
    assert!(log.append_before_sync(request(30), Durability::WithNext, callback()).is_none());
    let sync = log.append_before_sync(request(31), Durability::Now, callback());
    log.close();
    drop(sync);
    assert!(log.append_before_sync(request(32), Durability::Now, callback()).is_none());
    assert_eq!(assert_sound(dir.path()).len(), 23);
}

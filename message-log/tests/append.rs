//! Appending and finding again.

mod fixture;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};

use fixture::*;
use kogge_message_log::{
    AppendError, Durability, Filter, LogError, MessageLog, NewBody, NewBodyPlace, Options, Reader, State,
    reindex,
};
use kogge_proto::digest::sha512;
use kogge_proto::id::SecurityServerId;
use kogge_proto::wire::log::body::Place;
use kogge_proto::wire::log::{Direction, NotKept, Role};

#[test]
fn what_was_appended_is_found_with_its_material_and_stamp() {
    let dir = tempfile::tempdir().unwrap();
    let log = open(dir.path());
    let receipts: Vec<_> = (0..10).map(|number| append(&log, request(number)).unwrap()).collect();
    let sequences: Vec<u64> = receipts.iter().map(|receipt| receipt.sequence).collect();
    assert_eq!(log.unstamped(100), sequences);
    assert_eq!(log.unstamped_count(), sequences.len());
    assert_eq!(log.oldest_unstamped(), Some(receipts[0].time));
    append_stamp(&log, stamp(&log, &sequences[..6])).unwrap();
    assert_eq!(log.unstamped(2), sequences[6..8]);
    assert_eq!(log.unstamped_count(), sequences.len() - 6);
    assert_eq!(log.oldest_unstamped(), Some(receipts[6].time));

    for reader in [log.reader(), Reader::open(dir.path()).unwrap()] {
        let filter = Filter { message_id: Some("message-3".to_owned()), ..Filter::default() };
        let [found] = list(&reader, &filter).try_into().unwrap();
        assert_eq!((found.sequence, found.time), (sequences[3], receipts[3].time));
        assert_eq!(found.material.items, [certificate(1), ocsp(1)]);
        assert_eq!(found.stamp.unwrap().leaves[3].sequence, sequences[3]);
        let unstamped = reader.get(sequences[7]).unwrap().unwrap();
        assert_eq!(unstamped.record.request_id, "request-7");
        assert_eq!(unstamped.stamp, None);
        assert_eq!(reader.server().unwrap().unwrap(), "DEMO/GOV/1001/main");
        // The first entry starts the segment: no message.
        assert!(reader.get(1).unwrap().is_none());
        assert!(reader.get(1000).unwrap().is_none());
    }
    log.close();
    assert_eq!(assert_sound(dir.path()).len(), 10);
}

#[test]
fn every_filter_narrows_with_and_without_an_index() {
    let dir = tempfile::tempdir().unwrap();
    let log = MessageLog::open(dir.path(), small_segments()).unwrap().0;
    let receipts: Vec<_> = (0..60).map(|number| append(&log, request(number)).unwrap()).collect();
    log.close();
    let log = MessageLog::open(dir.path(), small_segments()).unwrap().0;
    for number in 60..66 {
        append(&log, request(number)).unwrap();
    }
    let text = |text: &str| Some(text.to_owned());
    let filters = [
        (Filter { client: text("DEMO/GOV/2001/client"), ..Filter::default() }, 33),
        (Filter { service: text("DEMO/GOV/1001/register/service-2"), ..Filter::default() }, 22),
        (
            Filter {
                service: text("DEMO/GOV/1001/register/service-2"),
                client: text("DEMO/GOV/2000/client"),
                ..Filter::default()
            },
            11,
        ),
        (Filter { request_id: text("request-5"), ..Filter::default() }, 1),
        (Filter { request_id: text("request-5"), message_id: text("message-6"), ..Filter::default() }, 0),
        (Filter { from: Some(receipts[10].time), to: Some(receipts[20].time), ..Filter::default() }, 10),
        (Filter { from: Some(receipts[50].time), ..Filter::default() }, 16),
        (Filter { to: Some(receipts[5].time), ..Filter::default() }, 5),
        (
            Filter {
                from: Some(receipts[10].time),
                to: Some(receipts[20].time),
                client: text("DEMO/GOV/2000/client"),
                ..Filter::default()
            },
            5,
        ),
        (Filter { from: Some(receipts[9].time), to: Some(receipts[9].time), ..Filter::default() }, 0),
        (Filter::default(), 66),
    ];
    let scanning = Reader::open(dir.path()).unwrap();
    for (filter, expected) in filters {
        let sequences = |reader: &Reader| -> Vec<u64> {
            list(reader, &filter).iter().map(|found| found.sequence).collect()
        };
        let found = sequences(&log.reader());
        assert_eq!(found.len(), expected, "{filter:?}");
        assert!(found.is_sorted());
        assert_eq!(sequences(&scanning), found, "{filter:?}");
    }
}

#[test]
fn a_list_stops_when_it_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let log = open(dir.path());
    append_requests(&log, 0..5);
    for reader in [log.reader(), Reader::open(dir.path()).unwrap()] {
        let mut count = 0;
        reader
            .list(&Filter::default(), &mut |_| {
                count += 1;
                count < 3
            })
            .unwrap();
        assert_eq!(count, 3);
    }
}

#[test]
fn segments_follow_each_other_without_gaps_and_repeat_their_material() {
    let dir = tempfile::tempdir().unwrap();
    let log = MessageLog::open(dir.path(), small_segments()).unwrap().0;
    append_requests(&log, 0..100);
    log.close();
    let segments = std::fs::read_dir(dir.path().join("segments")).unwrap().count();
    assert!(segments > 3, "{segments}");
    let found = assert_sound(dir.path());
    assert_eq!(found.len(), 100);
    let scanning = Reader::open(dir.path()).unwrap();
    for found in found {
        assert_eq!(scanning.get(found.sequence).unwrap().unwrap().record, found.record);
    }
}

#[test]
fn a_record_larger_than_a_segment_gets_one_of_its_own() {
    let dir = tempfile::tempdir().unwrap();
    let log = MessageLog::open(dir.path(), Options { segment_bytes: 2048, ..options() }).unwrap().0;
    for number in 0..4 {
        let mut large = request(number);
        large.message = vec![b'x'; 5000].into();
        append(&log, large).unwrap();
    }
    log.close();
    assert_eq!(std::fs::read_dir(dir.path().join("segments")).unwrap().count(), 4);
    assert_eq!(assert_sound(dir.path()).len(), 4);
}

#[test]
fn a_replayed_request_is_refused_also_after_a_restart_and_within_one_group() {
    let dir = tempfile::tempdir().unwrap();
    let log = open(dir.path());
    assert!(!log.seen_request("request-1"));
    append(&log, request(1)).unwrap();
    assert!(log.seen_request("request-1"));
    assert_eq!(append(&log, request(1)), Err(AppendError::Replayed));
    // The same id elsewhere in the exchange is no replay.
    append(&log, message(1, Role::Provider, Direction::Response)).unwrap();
    append(&log, message(1, Role::Consumer, Direction::Request)).unwrap();
    append(&log, message(1, Role::Consumer, Direction::Request)).unwrap();

    let (tell, told) = mpsc::channel();
    for _ in 0..50 {
        let tell = tell.clone();
        log.append(request(2), Durability::Now, Box::new(move |outcome| tell.send(outcome).unwrap()));
    }
    let accepted = told.iter().take(50).filter(|outcome| outcome.is_ok()).count();
    assert_eq!(accepted, 1);
    log.close();

    let log = open(dir.path());
    assert!(log.seen_request("request-1"));
    assert_eq!(append(&log, request(2)), Err(AppendError::Replayed));
}

#[test]
fn of_a_body_that_is_not_kept_the_log_has_length_and_digest() {
    let dir = tempfile::tempdir().unwrap();
    let log = open(dir.path());
    let mut new = request(1);
    // Of any size: nothing of it is here.
    new.body =
        Some(NewBody { length: 1 << 32, sha512: sha512(b"elsewhere"), place: NewBodyPlace::DigestOnly });
    let receipt = append(&log, new).unwrap();
    let body = log.reader().get(receipt.sequence).unwrap().unwrap().record.body.unwrap();
    assert_eq!(body.place, Some(Place::NotKept(NotKept::default())));
    assert_eq!((body.length, body.sha512), (1 << 32, sha512(b"elsewhere").0.to_vec()));
    assert_eq!(std::fs::read_dir(dir.path().join("bodies")).unwrap().count(), 0);
    log.close();
    assert_sound(dir.path());
}

#[test]
fn large_bodies_move_out_of_the_spool() {
    let dir = tempfile::tempdir().unwrap();
    let log = open(dir.path());
    let new = spooled(&log, 1, 700_000);
    let Some(NewBodyPlace::Spooled(spool_file)) = new.body.clone().map(|body| body.place) else {
        unreachable!()
    };
    let receipt = append(&log, new).unwrap();
    assert!(!spool_file.exists());
    let found = log.reader().get(receipt.sequence).unwrap().unwrap();
    let body = found.record.body.unwrap();
    let Some(Place::File(name)) = body.place else { panic!("{:?}", body.place) };
    let bytes = std::fs::read(log.reader().body_path(&name).unwrap()).unwrap();
    assert_eq!(sha512(&bytes).as_bytes(), body.sha512);
    assert_eq!(log.reader().body_path("../lock"), None);
    log.close();
    assert_sound(dir.path());

    let path = dir.path().join("bodies").join(&name);
    std::fs::write(&path, &bytes[..bytes.len() - 1]).unwrap();
    assert_eq!(only_damage(dir.path()), "log.body");
    let mut flipped = bytes.clone();
    flipped[123_456] ^= 1;
    std::fs::write(&path, &flipped).unwrap();
    assert_eq!(only_damage(dir.path()), "log.body");
    std::fs::remove_file(&path).unwrap();
    assert_eq!(only_damage(dir.path()), "log.body");
}

#[test]
fn what_cannot_be_logged_is_refused_and_leaves_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let log = open(dir.path());
    let unfit = |change: &dyn Fn(&mut kogge_message_log::NewMessage)| {
        let mut message = request(1);
        change(&mut message);
        match append(&log, message) {
            Err(AppendError::Unfit(reason)) => reason,
            outcome => panic!("{outcome:?}"),
        }
    };
    assert!(unfit(&|message| message.role = Role::Unspecified).contains("role"));
    assert!(unfit(&|message| message.message = vec![0; 1 << 20].into()).contains("larger"));
    assert!(unfit(&|message| message.material.items.truncate(1)).contains("does not come with it"));
    assert!(
        unfit(&|message| message.signature.certificate_sha256 = vec![1; 31])
            .contains("does not come with it")
    );
    assert!(unfit(&|message| message.material.items.push(vec![0; 17 * 1024].into())).contains("too large"));
    assert!(unfit(&|message| message.body.as_mut().unwrap().length = 3).contains("length"));
    assert!(
        unfit(&|message| {
            let body = message.body.as_mut().unwrap();
            body.length = 300_000;
            body.place = NewBodyPlace::Inline(vec![0; 300_000].into());
        })
        .contains("too large")
    );
    let spool = log.spool_dir();
    let place_at = |path: std::path::PathBuf| {
        move |message: &mut kogge_message_log::NewMessage| {
            message.body.as_mut().unwrap().place = NewBodyPlace::Spooled(path.clone());
        }
    };
    assert!(unfit(&place_at(spool.join("missing"))).contains("no spooled body"));
    std::fs::write(spool.join("short"), b"short").unwrap();
    assert!(unfit(&place_at(spool.join("short"))).contains("has 5 bytes"));
    assert!(spool.join("short").exists());
    let elsewhere = dir.path().join("elsewhere");
    std::fs::write(&elsewhere, vec![0; request(1).body.unwrap().length as usize]).unwrap();
    assert!(unfit(&place_at(elsewhere.clone())).contains("not in the log's spool"));
    assert!(elsewhere.exists());
    assert!(!log.seen_request("request-1"));
    assert_eq!(log.state(), State::Writable);
    log.close();
    assert_eq!(assert_sound(dir.path()).len(), 0);
}

#[test]
fn stamps_must_continue_the_log() {
    let dir = tempfile::tempdir().unwrap();
    let log = open(dir.path());
    let first = append(&log, request(1)).unwrap().sequence;
    let second = append(&log, request(2)).unwrap().sequence;
    let refused = |stamp| match append_stamp(&log, stamp) {
        Err(AppendError::Unfit(reason)) => reason,
        outcome => panic!("{outcome:?}"),
    };
    assert!(refused(stamp(&log, &[first, 1])).contains("entry 1 is not a message"));
    assert!(refused(stamp(&log, &[second + 1])).contains("not a message"));
    let mut other_root = stamp(&log, &[first]);
    other_root.previous_root = vec![1; 32];
    assert!(refused(other_root).contains("newest stamp's root"));
    let mut short_root = stamp(&log, &[first]);
    short_root.root.pop();
    assert!(refused(short_root).contains("not a SHA-256"));
    let accepted = stamp(&log, &[first]);
    append_stamp(&log, accepted.clone()).unwrap();
    assert_eq!(log.last_root().unwrap().as_bytes(), accepted.root);
    assert!(refused(accepted).contains("newest stamp's root"));
    assert!(refused(stamp(&log, &[first, second])).contains("not a message that waits"));

    log.close();
    let log = open(dir.path());
    assert_eq!(log.unstamped(10), [second]);
    append_stamp(&log, stamp(&log, &[second])).unwrap();
    assert_eq!(log.unstamped(10), [0; 0]);
    assert_eq!(log.oldest_unstamped(), None);
    log.close();
    let found = assert_sound(dir.path());
    assert!(found.iter().all(|found| found.stamp.is_some()));
}

#[test]
fn one_opener_of_the_right_server_at_a_time() {
    let dir = tempfile::tempdir().unwrap();
    let log = open(dir.path());
    let second = MessageLog::open(dir.path(), options()).err().unwrap();
    assert!(matches!(second, LogError::Durable(kogge_durable::DurableError::Locked { .. })), "{second}");
    assert!(matches!(reindex(dir.path(), 1 << 20, &mut |_| ()), Err(LogError::Durable(_))));
    log.close();
    let server = SecurityServerId::parse("DEMO/GOV/1001/other").unwrap();
    let other = MessageLog::open(dir.path(), Options { server, ..options() }).err().unwrap();
    assert!(
        matches!(&other, LogError::OtherServer { expected, found } if expected == "DEMO/GOV/1001/other" && found == "DEMO/GOV/1001/main"),
        "{other}"
    );
    drop(open(dir.path()));
    drop(open(dir.path()));
}

#[test]
fn a_closed_log_refuses_and_its_reader_still_reads() {
    let dir = tempfile::tempdir().unwrap();
    let log = open(dir.path());
    append(&log, request(1)).unwrap();
    let reader = log.reader();
    log.close();
    log.close();
    assert_eq!(log.state(), State::Closed);
    assert_eq!(append(&log, request(2)), Err(AppendError::Closed));
    assert_eq!(request_ids(&reader), ["request-1"]);
    assert!(matches!(Reader::open(&dir.path().join("nothing")), Err(LogError::Io { .. })));
}

#[test]
fn closing_writes_out_what_was_handed_over() {
    let dir = tempfile::tempdir().unwrap();
    let log = open(dir.path());
    let (tell, told) = mpsc::channel();
    for number in 0..300 {
        let tell = tell.clone();
        let new = if number % 50 == 0 { spooled(&log, number, 300_000) } else { request(number) };
        log.append(new, Durability::Now, Box::new(move |outcome| tell.send(outcome).unwrap()));
    }
    drop(tell);
    log.close();
    assert_eq!(told.iter().filter(Result::is_ok).count(), 300);
    assert_eq!(assert_sound(dir.path()).len(), 300);
}

#[test]
fn a_callback_may_panic_or_drop_the_last_clone() {
    let dir = tempfile::tempdir().unwrap();
    let log = open(dir.path());
    log.append(request(1), Durability::Now, Box::new(|_| panic!("a bug of the caller")));
    append(&log, request(2)).unwrap();
    let (tell, told) = mpsc::channel();
    let last = log.clone();
    let held = Arc::new(Mutex::new(Some(log)));
    let in_callback = held.clone();
    last.append(
        request(3),
        Durability::Now,
        Box::new(move |outcome| {
            drop(in_callback.lock().unwrap().take());
            tell.send(outcome).unwrap();
        }),
    );
    drop(last);
    told.recv().unwrap().unwrap();
    drop(held);
    // The threads end by themselves, and the last of them frees the directory.
    let reopened = loop {
        match MessageLog::open(dir.path(), options()) {
            Ok((log, _)) => break log,
            Err(LogError::Durable(_)) => std::thread::yield_now(),
            Err(error) => panic!("{error}"),
        }
    };
    drop(reopened);
    assert_eq!(assert_sound(dir.path()).len(), 3);
}

#[test]
fn thirty_two_threads_are_acknowledged_in_the_order_of_the_log() {
    let dir = tempfile::tempdir().unwrap();
    let log = open(dir.path());
    let order = Arc::new(Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for thread in 0..32 {
            let (log, order) = (log.clone(), order.clone());
            scope.spawn(move || {
                for number in 0..50 {
                    let (tell, told) = mpsc::channel();
                    let order = order.clone();
                    log.append(
                        request(thread * 1000 + number),
                        Durability::Now,
                        Box::new(move |outcome| {
                            order.lock().unwrap().push(outcome.unwrap().sequence);
                            tell.send(()).unwrap();
                        }),
                    );
                    told.recv().unwrap();
                }
            });
        }
    });
    let order = order.lock().unwrap();
    assert_eq!(order.len(), 32 * 50);
    assert!(order.is_sorted());
    log.close();
    assert_eq!(assert_sound(dir.path()).len(), 32 * 50);
}

#[test]
fn readers_beside_the_writer_see_whole_records_and_all_that_was_acknowledged() {
    let dir = tempfile::tempdir().unwrap();
    let log = MessageLog::open(dir.path(), Options { segment_bytes: 64 * 1024, ..options() }).unwrap().0;
    let acknowledged = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let (log, acknowledged) = (&log, &acknowledged);
            scope.spawn(move || {
                for number in 0..250 {
                    append(log, request(thread * 1000 + number)).unwrap();
                    acknowledged.fetch_add(1, Ordering::SeqCst);
                }
            });
        }
        for reader in [log.reader(), Reader::open(dir.path()).unwrap()] {
            let acknowledged = &acknowledged;
            scope.spawn(move || {
                loop {
                    let before = acknowledged.load(Ordering::SeqCst);
                    let listed = list(&reader, &Filter::default());
                    assert!(listed.len() >= before, "{} of {before}", listed.len());
                    assert!(listed.is_sorted_by(|a, b| a.sequence < b.sequence));
                    let mut audited = 0;
                    let damages = reader.audit(&mut |_| audited += 1).unwrap();
                    assert_eq!(damages, []);
                    assert!(audited >= listed.len());
                    if before == 1000 {
                        break;
                    }
                }
            });
        }
    });
    log.close();
    assert_eq!(assert_sound(dir.path()).len(), 1000);
}

//! An audit finds every change to what was acknowledged.

use std::path::Path;

use crate::fixture::*;
use crate::{Damage, MessageLog, NewBody, NewBodyPlace, NewMessage, Options, Reader};
use kogge_proto::digest::{sha256, sha512};
use kogge_proto::wire::log::entry::Kind;
use kogge_proto::wire::log::{Entry, StampRecord, StoredMessage};

use crate::frame::Mask;
use crate::stored;
use prost::Message;

/// A log of three small segments with stamps and a body file.
fn small_log(dir: &Path) {
    let log = MessageLog::open(dir, Options { segment_bytes: 3000, ..options() }).unwrap().0;
    let sequences = append_requests(&log, 0..3);
    append_stamp(&log, stamp(&log, &sequences[..2])).unwrap();
    let path = log.spool_dir().join("body");
    std::fs::write(&path, b"a body in a file").unwrap();
    let body =
        NewBody { length: 16, sha512: sha512(b"a body in a file"), place: NewBodyPlace::Spooled(path) };
    append(&log, NewMessage { body: Some(body), ..request(3) }).unwrap();
    append_requests(&log, 4..7);
    append_stamp(&log, stamp(&log, &log.unstamped(3))).unwrap();
    append_requests(&log, 7..8);
    log.close();
}

/// Damages of a log that nobody writes: there is no use in waiting for a writer.
fn damages(dir: &Path) -> Vec<Damage> {
    let mut reader = Reader::open(dir).unwrap();
    reader.manner.patience = 0;
    reader.audit(&mut |_| ()).unwrap()
}

#[test]
fn every_flipped_byte_is_found_and_named() {
    let dir = tempfile::tempdir().unwrap();
    small_log(dir.path());
    assert_sound(dir.path());
    let mut flipped = 0;
    let mut checks = std::collections::BTreeSet::new();
    let segments = std::fs::read_dir(dir.path().join("segments")).unwrap();
    let bodies = std::fs::read_dir(dir.path().join("bodies")).unwrap();
    for file in segments.chain(bodies).map(|entry| entry.unwrap().path()) {
        let whole = std::fs::read(&file).unwrap();
        let end = content_end(&file);
        let is_segment = file.extension().unwrap() == "log";
        for at in 0..whole.len() {
            let mut bytes = whole.clone();
            bytes[at] ^= 1 << (at % 8);
            std::fs::write(&file, &bytes).unwrap();
            let found = damages(dir.path());
            let first = found.first().unwrap_or_else(|| panic!("{} at {at}", file.display()));
            if is_segment {
                assert!(file.ends_with(&first.file), "{first} at {at}");
                assert_eq!(first.check == "log.tail", at >= end, "{first} at {at} of {end}");
            } else {
                assert_eq!(first.check, "log.body");
            }
            checks.insert(first.check);
            flipped += 1;
        }
        std::fs::write(&file, &whole).unwrap();
    }
    assert!(flipped > 9000, "{flipped}");
    assert_eq!(Vec::from_iter(checks), ["log.body", "log.checksum", "log.frame", "log.tail"]);
    assert_eq!(damages(dir.path()), []);
}

/// The payloads of a segment's frames.
fn payloads(file: &Path) -> Vec<Vec<u8>> {
    let bytes = std::fs::read(file).unwrap();
    let mut rest = bytes.as_slice();
    let mut payloads = Vec::new();
    while let Some((head, after)) = rest.split_first_chunk::<8>().filter(|(head, _)| head[..4] != [0; 4]) {
        let length = u32::from_le_bytes(head[..4].try_into().unwrap()) as usize;
        payloads.push(after[..length].to_vec());
        rest = &after[length..];
    }
    payloads
}

/// What a segment's checksums are masked with.
fn mask_of(payloads: &[Vec<u8>]) -> Mask {
    match Entry::decode(payloads[0].as_slice()).unwrap().kind {
        Some(Kind::SegmentStart(start)) => Mask(start.checksum_mask),
        other => panic!("{other:?}"),
    }
}

/// Writes a segment's frames with correct checksums, as somebody with a motive would.
fn write_payloads(file: &Path, payloads: &[Vec<u8>], mask: Mask) {
    let mut bytes = Vec::new();
    for (number, payload) in payloads.iter().enumerate() {
        let mask = if number == 0 { Mask::NONE } else { mask };
        bytes.extend_from_slice(&u32::try_from(payload.len()).unwrap().to_le_bytes());
        bytes.extend_from_slice(&mask.checksum(payload).to_le_bytes());
        bytes.extend_from_slice(payload);
    }
    std::fs::write(file, bytes).unwrap();
}

/// Changes the stamp in an entry.
fn change_stamp(entry: &mut Entry, change: impl FnOnce(&mut StampRecord)) {
    let Some(Kind::Stamp(stored)) = entry.kind.take() else { panic!("no stamp") };
    let mut stamp = stored::restore_stamp(stored).unwrap();
    change(&mut stamp);
    entry.kind = Some(Kind::Stamp(stored::stamp(stamp)));
}

/// Numbers of the entries in the log of [`after_change`]: start, two items of material, three names, request 0, two items, three names, request 1, a
/// name, requests 2 and 3, stamp, requests 4 and 5.
const MATERIAL: usize = 1;
const NAME: usize = 3;
const REQUEST_1: usize = 12;
const REQUEST_2: usize = 14;
const REQUEST_3: usize = 15;
const STAMP: usize = 16;

/// What an audit says after the payloads of the first segment were changed and their checksums made right.
fn after_change(change: impl FnOnce(&mut Vec<Vec<u8>>)) -> Vec<&'static str> {
    let dir = tempfile::tempdir().unwrap();
    let log = open(dir.path());
    let sequences = append_requests(&log, 0..4);
    append_stamp(&log, stamp(&log, &sequences)).unwrap();
    append_requests(&log, 4..6);
    log.close();
    let file = last_segment(dir.path());
    let mut changed = payloads(&file);
    let mask = mask_of(&changed);
    change(&mut changed);
    write_payloads(&file, &changed, mask);
    damages(dir.path()).into_iter().map(|damage| damage.check).collect()
}

#[test]
fn changes_with_right_checksums_break_the_chain() {
    assert_eq!(after_change(|_| ()), [] as [&str; 0]);
    assert_eq!(after_change(|payloads| drop(payloads.remove(REQUEST_2))), ["log.sequence"]);
    assert_eq!(after_change(|payloads| payloads.swap(REQUEST_2, REQUEST_3)), ["log.sequence"; 3]);
    assert_eq!(
        after_change(|payloads| payloads.insert(REQUEST_2, payloads[REQUEST_2].clone())),
        ["log.sequence"]
    );
    let alter = |number: usize, from: &'static [u8], to: u8| {
        move |payloads: &mut Vec<Vec<u8>>| {
            let at = payloads[number].windows(from.len()).position(|window| window == from).unwrap();
            payloads[number][at] = to;
        }
    };
    assert_eq!(after_change(alter(REQUEST_2, b"persons?n", b'P')), ["log.chain"]);
    assert_eq!(after_change(alter(MATERIAL, b"certificate", b'C')), ["log.chain"]);
    assert_eq!(after_change(alter(NAME, b"client", b'C')), ["log.chain"]);
    assert_eq!(after_change(|payloads| payloads[STAMP].truncate(50)), ["log.frame"]);
    assert_eq!(after_change(|payloads| payloads[REQUEST_2].truncate(50)), ["log.frame"]);
    // And nothing stands where records say that it does.
    let without_start = after_change(|payloads| drop(payloads.remove(0)));
    assert_eq!(without_start[..2], ["log.frame", "log.sequence"]);
}

#[test]
fn a_record_that_refers_to_what_is_not_there_is_found() {
    let refer = |change: fn(&mut StoredMessage)| {
        after_change(move |payloads| {
            payloads.truncate(REQUEST_1 + 1);
            let mut entry = Entry::decode(payloads[REQUEST_1].as_slice()).unwrap();
            let Some(Kind::Message(stored)) = &mut entry.kind else { panic!("no message") };
            change(stored);
            payloads[REQUEST_1] = entry.encode_to_vec();
        })
    };
    assert_eq!(refer(|_| ()), [] as [&str; 0]);
    assert_eq!(refer(|stored| stored.names[1] += 1), ["log.material"]);
    assert_eq!(refer(|stored| stored.names[0] = stored.material[0]), ["log.material"]);
    assert_eq!(refer(|stored| stored.material[0] = stored.names[0]), ["log.material"]);
    assert_eq!(refer(|stored| stored.material[1] = 1 << 40), ["log.material"]);
    assert_eq!(refer(|stored| stored.names.truncate(2)), ["log.frame"]);
    assert_eq!(refer(|stored| stored.signature = None), ["log.frame"]);
    assert_eq!(refer(|stored| stored.body.as_mut().unwrap().place = None), ["log.frame"]);
    assert_eq!(refer(|stored| stored.request_id.push('x')), [] as [&str; 0]);
    assert_eq!(refer(|stored| stored.request_uuid.push(1)), ["log.frame"]);
}

#[test]
fn stamps_over_what_is_no_message_and_out_of_line_are_found() {
    let restamp = |change: fn(&mut StampRecord)| {
        after_change(move |payloads| {
            payloads.truncate(STAMP + 1);
            let mut entry = Entry::decode(payloads[STAMP].as_slice()).unwrap();
            change_stamp(&mut entry, change);
            payloads[STAMP] = entry.encode_to_vec();
        })
    };
    assert_eq!(restamp(|_| ()), [] as [&str; 0]);
    assert_eq!(restamp(|stamp| stamp.leaves[0].sequence = 1), ["log.stamp"]);
    assert_eq!(restamp(|stamp| stamp.leaves[0].sequence = 2), ["log.stamp"]);
    assert_eq!(restamp(|stamp| stamp.leaves[0].sequence = 10), ["log.stamp"]);
    assert_eq!(restamp(|stamp| stamp.leaves[0].sequence = 99), ["log.stamp"]);
    assert_eq!(restamp(|stamp| stamp.leaves[0].sequence = 0), ["log.stamp"]);
    assert_eq!(restamp(|stamp| stamp.previous_root = vec![1; 32]), ["log.stamp"]);
    assert_eq!(restamp(|stamp| stamp.leaves.push(stamp.leaves[0].clone())), ["log.stamp"]);
    assert_eq!(restamp(|stamp| stamp.leaves.clear()), ["log.stamp"]);
}

/// A batch of records was removed, and a stamp that nobody would check stands in its place to carry its root on.
#[test]
fn a_stamp_that_stands_in_for_a_removed_batch_is_found() {
    let stand_in = |change: fn(&mut StampRecord)| {
        after_change(move |payloads| {
            payloads.truncate(STAMP + 1);
            let mut entry = Entry::decode(payloads[STAMP].as_slice()).unwrap();
            entry.previous_sha256 = sha256(&payloads[STAMP]).0.to_vec();
            entry.sequence += 1;
            change_stamp(&mut entry, |stamp| {
                stamp.previous_root = std::mem::replace(&mut stamp.root, vec![7; 32]);
                change(stamp);
            });
            payloads.push(entry.encode_to_vec());
        })
    };
    assert_eq!(stand_in(|stamp| stamp.leaves.clear()), ["log.stamp"]);
    assert_eq!(stand_in(|_| ()), ["log.stamp"]);
    assert_eq!(stand_in(|stamp| stamp.leaves.truncate(1)), ["log.stamp"]);
}

#[test]
fn an_audit_goes_on_behind_the_damage() {
    let dir = tempfile::tempdir().unwrap();
    small_log(dir.path());
    let first = dir.path().join("segments/0000000001.log");
    let mut bytes = std::fs::read(&first).unwrap();
    let end = content_end(&first);
    bytes[end - 60] ^= 1;
    std::fs::write(&first, bytes).unwrap();
    let mut reader = Reader::open(dir.path()).unwrap();
    reader.manner.patience = 0;
    let mut found = Vec::new();
    let damages = reader.audit(&mut |record| found.push(record)).unwrap();
    assert_eq!(damages.len(), 1, "{damages:?}");
    assert!(found.len() >= 7, "{}", found.len());
    assert!(found.iter().filter(|record| record.stamp.is_some()).count() >= 4);
}

/// A segment's checksums hang on its first frame. One that cannot be read must not take the others with it.
#[test]
fn a_segment_whose_start_is_broken_is_still_read() {
    let dir = tempfile::tempdir().unwrap();
    let log = open(dir.path());
    append_requests(&log, 0..4);
    log.close();
    let file = last_segment(dir.path());
    let whole = std::fs::read(&file).unwrap();
    let start_end = 8 + payloads(&file)[0].len();
    for at in (0..start_end).step_by(3) {
        let mut bytes = whole.clone();
        bytes[at] ^= 1 << (at % 8);
        std::fs::write(&file, &bytes).unwrap();
        let mut reader = Reader::open(dir.path()).unwrap();
        reader.manner.patience = 0;
        let mut found = 0;
        let damages = reader.audit(&mut |_| found += 1).unwrap();
        assert_eq!((damages.len(), found), (1, 4), "{at}: {damages:?}");
        assert_eq!(damages[0].offset, 0);
    }
}

#[test]
fn damage_without_end_ends_the_audit() {
    let dir = tempfile::tempdir().unwrap();
    let log = open(dir.path());
    log.close();
    let file = last_segment(dir.path());
    // Each frame has a right checksum and no entry.
    let mut broken = payloads(&file);
    broken.extend((0..2000).map(|_| vec![0xff; 3]));
    let mask = mask_of(&broken);
    write_payloads(&file, &broken, mask);
    assert_eq!(damages(dir.path()).len(), crate::audit::DAMAGES_MAX);
}

#[test]
fn what_was_noted_as_acknowledged_must_be_there() {
    let dir = tempfile::tempdir().unwrap();
    small_log(dir.path());
    let note = dir.path().join("acknowledged");
    let end = || {
        let mut reader = Reader::open(dir.path()).unwrap();
        reader.manner.patience = 0;
        reader.audit_end().unwrap().map(|damage| damage.check)
    };
    assert_eq!(end(), None);
    let noted = std::fs::read_to_string(&note).unwrap();
    let (sequence, hash) = noted.trim_end().split_once(' ').unwrap();
    let sequence: u64 = sequence.parse().unwrap();
    for (text, expected) in [
        (format!("{} {hash}\n", sequence + 1), Some("log.sequence")),
        (format!("{} {hash}\n", sequence - 1), Some("log.chain")),
        (format!("{} {hash}\n", u64::MAX), Some("log.sequence")),
        (format!("{sequence} {}\n", "ab".repeat(32)), Some("log.chain")),
        ("no note".to_owned(), Some("log.sequence")),
        (noted.clone(), None),
    ] {
        std::fs::write(&note, &text).unwrap();
        assert_eq!(end(), expected, "{text}");
    }
    std::fs::remove_file(last_segment(dir.path())).unwrap();
    assert_eq!(end(), Some("log.sequence"));
    std::fs::remove_file(&note).unwrap();
    assert_eq!(end(), None, "nothing says what was acknowledged");
}

#[test]
fn an_audit_of_records_alone_needs_no_bodies_and_finds_the_same_records() {
    let dir = tempfile::tempdir().unwrap();
    small_log(dir.path());
    std::fs::remove_dir_all(dir.path().join("bodies")).unwrap();
    let reader = Reader::open(dir.path()).unwrap();
    let (mut whole, mut alone) = (Vec::new(), Vec::new());
    let damages = reader.audit(&mut |found| whole.push(found.record)).unwrap();
    assert_eq!(damages.iter().map(|damage| damage.check).collect::<Vec<_>>(), ["log.body"]);
    let damages = reader.audit_records(&mut |found| {
        assert_eq!(found.stamp, None);
        alone.push(found.record);
    });
    assert_eq!((damages.unwrap(), alone), (vec![], whole));
}

#[test]
fn the_chain_is_told_entry_by_entry_or_the_damage_in_it() {
    let dir = tempfile::tempdir().unwrap();
    small_log(dir.path());
    let chain = || {
        let mut reader = Reader::open(dir.path()).unwrap();
        reader.manner.patience = 0;
        let mut sequences = Vec::new();
        let damages = reader.audit_chain(&mut |sequence, _| sequences.push(sequence)).unwrap();
        (sequences, damages.first().map(|damage| damage.check))
    };
    let (sequences, damage) = chain();
    assert_eq!(damage, None);
    assert!(sequences.len() > 10 && sequences.iter().copied().eq(1..=sequences.len() as u64));
    let second = dir.path().join("segments/0000000002.log");
    let whole = std::fs::read(&second).unwrap();
    let mut flipped = whole.clone();
    flipped[100] ^= 1;
    std::fs::write(&second, flipped).unwrap();
    assert_eq!(chain().1, Some("log.checksum"));
    std::fs::remove_file(&second).unwrap();
    assert_eq!(chain().1, Some("log.sequence"));
}

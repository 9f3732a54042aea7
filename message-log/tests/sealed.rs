//! Encrypted bodies: who has the keys reads them, who has not finds everything else as it was.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod fixture;

use std::io::Read;
use std::path::Path;

use fixture::*;
use kogge_message_log::{
    BODY_CHUNK_BYTES, BodyKey, Filter, LogError, MessageLog, NewBody, NewBodyPlace, NewErasure, NewMessage,
    Options, Reader, erasure_bytes,
};
use kogge_proto::digest::sha512;
use kogge_proto::wire::evidence::SignatureMethod;
use kogge_proto::wire::log::body::Place;
use kogge_proto::wire::log::not_kept::Why;
use kogge_proto::wire::log::{ErasureStatement, Span};
use prost::Message;

fn open_sealed(dir: &Path) -> MessageLog {
    MessageLog::open(dir, sealed_options()).unwrap().0
}

fn text(number: u32) -> String {
    format!("{{\"secret of the person with the number\":{number}}}")
}

fn confidential(number: u32) -> NewMessage {
    let body = text(number);
    let place = NewBodyPlace::Inline(body.clone().into());
    let body = NewBody { length: body.len() as u64, sha512: sha512(body.as_bytes()), place };
    NewMessage { body: Some(body), ..request(number) }
}

fn append_confidential(log: &MessageLog, numbers: std::ops::Range<u32>) -> Vec<u64> {
    numbers.map(|number| append(log, confidential(number)).unwrap().sequence).collect()
}

/// The bodies of all records, or why they are not to be had.
fn bodies(reader: &Reader) -> Vec<Result<String, Why>> {
    let body = |found: kogge_message_log::Found| match found.record.body.unwrap().place.unwrap() {
        Place::Inline(bytes) => Ok(String::from_utf8(bytes.to_vec()).unwrap()),
        Place::NotKept(absent) => Err(absent.why()),
        Place::File(name) => panic!("{name}"),
    };
    list(reader, &Filter::default()).into_iter().map(body).collect()
}

fn texts(numbers: std::ops::Range<u32>) -> Vec<Result<String, Why>> {
    numbers.map(|number| Ok(text(number))).collect()
}

fn reader(dir: &Path) -> Reader {
    Reader::open(dir).unwrap().with_log_key(log_key(1))
}

#[test]
fn a_body_is_nowhere_on_the_disk_and_comes_back_with_the_log_key_alone() {
    let dir = tempfile::tempdir().unwrap();
    let log = open_sealed(dir.path());
    append_confidential(&log, 0..20);
    assert_eq!(bodies(&log.reader()), texts(0..20));
    assert_eq!(bodies(&reader(dir.path())), texts(0..20));
    log.close();
    assert_eq!(files_with(dir.path(), b"secret of"), Vec::<std::path::PathBuf>::new());
    let found = assert_sound(dir.path());
    for (number, found) in found.iter().enumerate() {
        let expected = text(number as u32);
        let body = found.record.body.as_ref().unwrap();
        assert_eq!(body.length, expected.len() as u64);
        assert_eq!(body.sha512, sha512(expected.as_bytes()).as_bytes());
    }
    assert_eq!(bodies(&Reader::open(dir.path()).unwrap()), vec![Err(Why::Sealed); 20]);
    assert_eq!(bodies(&reader(dir.path())), texts(0..20));
    assert_eq!(reader(dir.path()).audit(&mut |_| ()).unwrap(), []);
    let other = Reader::open(dir.path()).unwrap().with_log_key(log_key(2));
    let refused = other.list(&Filter::default(), &mut |_| true).unwrap_err();
    assert!(
        matches!(&refused, LogError::Keys { reason, .. } if reason.contains("another log key")),
        "{refused}"
    );
    // It goes on with the same keys after a restart.
    let log = open_sealed(dir.path());
    append_confidential(&log, 20..25);
    assert_eq!(bodies(&log.reader()), texts(0..25));
    assert_eq!(std::fs::read_dir(dir.path().join("keys")).unwrap().count(), 1);
}

#[test]
fn each_segment_has_its_keys() {
    let dir = tempfile::tempdir().unwrap();
    let options = Options { segment_bytes: 8 * 1024, ..sealed_options() };
    let log = MessageLog::open(dir.path(), options).unwrap().0;
    append_confidential(&log, 0..100);
    log.close();
    let segments = std::fs::read_dir(dir.path().join("segments")).unwrap().count();
    assert!(segments > 3);
    assert_eq!(std::fs::read_dir(dir.path().join("keys")).unwrap().count(), segments);
    assert_eq!(bodies(&reader(dir.path())), texts(0..100));
    // Records are read one by one as well.
    let last = list(&reader(dir.path()), &Filter::default()).pop().unwrap();
    assert_eq!(reader(dir.path()).get(last.sequence).unwrap().unwrap().record, last.record);
    std::fs::remove_file(dir.path().join("keys/0000000001")).unwrap();
    let left = bodies(&reader(dir.path()));
    let lost = left.iter().filter(|body| **body == Err(Why::Sealed)).count();
    assert!(lost > 5 && lost < 50);
    assert_eq!(left[lost..], texts(lost as u32..100));
    assert_eq!(reader(dir.path()).audit(&mut |_| ()).unwrap(), []);
}

#[test]
fn a_log_gets_keys_with_its_next_segment() {
    let dir = tempfile::tempdir().unwrap();
    let log = open(dir.path());
    append_confidential(&log, 0..5);
    append_stamp(&log, stamp(&log, &log.unstamped(2))).unwrap();
    log.close();
    let log = open_sealed(dir.path());
    append_confidential(&log, 5..10);
    assert_eq!(log.unstamped_count(), 8);
    append_stamp(&log, stamp(&log, &log.unstamped(8))).unwrap();
    log.close();
    assert_sound(dir.path());
    assert_eq!(bodies(&reader(dir.path())), texts(0..10));
    let without = bodies(&Reader::open(dir.path()).unwrap());
    assert_eq!((&without[..5], &without[5..]), (&texts(0..5)[..], &vec![Err(Why::Sealed); 5][..]));
    // Without the key it goes on too: then bodies are stored as they are.
    let log = open(dir.path());
    append_confidential(&log, 10..12);
    log.close();
    let without = bodies(&Reader::open(dir.path()).unwrap());
    assert_eq!(without[10..], texts(10..12)[..]);
    assert_sound(dir.path());
}

#[test]
fn a_log_whose_keys_were_not_restored_goes_on_with_new_ones() {
    let dir = tempfile::tempdir().unwrap();
    let log = open_sealed(dir.path());
    append_confidential(&log, 0..5);
    log.close();
    std::fs::remove_dir_all(dir.path().join("keys")).unwrap();
    let log = open_sealed(dir.path());
    append_confidential(&log, 5..10);
    log.close();
    assert_sound(dir.path());
    let left = bodies(&reader(dir.path()));
    assert_eq!((&left[..5], &left[5..]), (&vec![Err(Why::Sealed); 5][..], &texts(5..10)[..]));
}

#[test]
fn damaged_keys_stop_the_start_and_say_where() {
    let dir = tempfile::tempdir().unwrap();
    let log = open_sealed(dir.path());
    append_confidential(&log, 0..5);
    log.close();
    let path = dir.path().join("keys/0000000001");
    let mut bytes = std::fs::read(&path).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    std::fs::write(&path, bytes).unwrap();
    let refused = MessageLog::open(dir.path(), sealed_options()).err().unwrap();
    assert!(matches!(&refused, LogError::Keys { path: named, .. } if *named == path), "{refused}");
    // What needs no keys can still be read.
    assert_sound(dir.path());
}

#[test]
fn keys_of_another_log_open_nothing_and_the_audit_says_so() {
    let (dir, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    for dir in [&dir, &other] {
        let log = open_sealed(dir.path());
        append_confidential(&log, 0..3);
        log.close();
    }
    std::fs::copy(other.path().join("keys/0000000001"), dir.path().join("keys/0000000001")).unwrap();
    assert_eq!(bodies(&reader(dir.path())), vec![Err(Why::Damaged); 3]);
    let damages = reader(dir.path()).audit(&mut |_| ()).unwrap();
    assert_eq!(damages.iter().map(|damage| damage.check).collect::<Vec<_>>(), ["log.body"; 3]);
}

/// An erasure as a server would sign it; the log does not judge signatures.
fn erasure(records: &[(u64, u64)]) -> NewErasure {
    let statement = ErasureStatement {
        security_server: "DEMO/GOV/1001/main".to_owned(),
        records: records.iter().map(|(first, last)| Span { first: *first, last: *last }).collect(),
        reason: "court order".to_owned(),
        actor: "operator".to_owned(),
        time_ms: 1_800_000_000_000,
    };
    NewErasure {
        statement: statement.encode_to_vec(),
        method: SignatureMethod::EcdsaP256Sha256,
        signature: vec![1; 64],
        certificates: vec![vec![2; 100]],
    }
}

fn refusal(log: &MessageLog, erasure: NewErasure) -> String {
    log.erase(erasure).unwrap_err().to_string()
}

#[test]
fn an_erased_body_is_gone_from_the_log_and_from_every_copy_of_its_segments() {
    let (dir, copy) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let log = open_sealed(dir.path());
    let sequences = append_confidential(&log, 0..10);
    let old_keys = std::fs::read(dir.path().join("keys/0000000001")).unwrap();
    copy_dir(dir.path(), copy.path());
    let receipt = log.erase(erasure(&[(sequences[3], sequences[3]), (sequences[5], sequences[6])])).unwrap();
    let expected: Vec<_> = texts(0..10)
        .into_iter()
        .enumerate()
        .map(|(number, body)| if [3, 5, 6].contains(&number) { Err(Why::Erased) } else { body })
        .collect();
    assert_eq!(bodies(&log.reader()), expected);
    append_confidential(&log, 10..12);
    log.close();
    assert_eq!(bodies(&reader(dir.path()))[..10], expected);
    assert_eq!(bodies(&reader(dir.path()))[10..], texts(10..12));
    // The segments of before, with the keys of today: all that a backup of segments gives.
    std::fs::copy(dir.path().join("keys/0000000001"), copy.path().join("keys/0000000001")).unwrap();
    assert_eq!(bodies(&reader(copy.path())), expected);
    assert_eq!(files_with(dir.path(), b"secret of"), Vec::<std::path::PathBuf>::new());
    assert_eq!(files_with(dir.path(), &old_keys), Vec::<std::path::PathBuf>::new());
    // All verifies, with the keys and without, and it is on record.
    for reader in [reader(dir.path()), Reader::open(dir.path()).unwrap()] {
        let mut why = Vec::new();
        let damages = reader.audit(&mut |found| {
            if let Some(Place::NotKept(absent)) = found.record.body.unwrap().place {
                why.push((found.sequence, absent.why()));
            }
        });
        assert_eq!(damages.unwrap(), []);
        for sequence in [3, 5, 6].map(|number: usize| sequences[number]) {
            assert!(why.contains(&(sequence, Why::Erased)));
        }
        let found = reader.erasures().unwrap();
        assert_eq!((found.len(), found[0].sequence), (1, receipt.sequence));
        assert_eq!(found[0].statement.reason, "court order");
        assert_eq!(
            erasure_bytes(&found[0].erasure.statement),
            [
                b"kogge erasure 1\n".as_slice(),
                &erasure(&[(sequences[3], sequences[3]), (sequences[5], sequences[6])]).statement
            ]
            .concat()
        );
    }
}

#[test]
fn an_erasure_that_a_crash_cut_short_is_carried_out_at_the_next_start() {
    let dir = tempfile::tempdir().unwrap();
    let options = || Options { segment_bytes: 8 * 1024, ..sealed_options() };
    let log = MessageLog::open(dir.path(), options()).unwrap().0;
    let sequences = append_confidential(&log, 0..60);
    copy_dir(&dir.path().join("keys"), &dir.path().join("backup"));
    log.erase(erasure(&[(sequences[2], sequences[2])])).unwrap();
    append_confidential(&log, 60..120);
    log.erase(erasure(&[(sequences[4], sequences[40])])).unwrap();
    append_confidential(&log, 120..180);
    log.close();
    // As if the keys had never been destroyed.
    for entry in std::fs::read_dir(dir.path().join("backup")).unwrap() {
        let entry = entry.unwrap();
        std::fs::copy(entry.path(), dir.path().join("keys").join(entry.file_name())).unwrap();
    }
    std::fs::remove_dir_all(dir.path().join("backup")).unwrap();
    assert_eq!(bodies(&reader(dir.path())), texts(0..180));
    let damages = reader(dir.path()).audit(&mut |_| ()).unwrap();
    assert_eq!(damages.iter().map(|damage| damage.check).collect::<Vec<_>>(), ["log.erasure"; 2]);
    MessageLog::open(dir.path(), options()).unwrap().0.close();
    let erased = |number: usize| number == 2 || (4..=40).contains(&number);
    let left = bodies(&reader(dir.path()));
    for (number, body) in left.into_iter().enumerate() {
        let expected = if erased(number) { Err(Why::Erased) } else { Ok(text(number as u32)) };
        assert_eq!(body, expected, "{number}");
    }
    assert_eq!(reader(dir.path()).audit(&mut |_| ()).unwrap(), []);
    assert_eq!(reader(dir.path()).erasures().unwrap().len(), 2);
}

#[test]
fn an_erasure_that_is_not_of_records_of_this_log_is_refused_and_leaves_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let log = open_sealed(dir.path());
    let last = *append_confidential(&log, 0..5).last().unwrap();
    let whole = std::fs::read(last_segment(dir.path())).unwrap();
    let of_other =
        |statement: ErasureStatement| NewErasure { statement: statement.encode_to_vec(), ..erasure(&[]) };
    let other = ErasureStatement { security_server: "DEMO/GOV/1001/other".to_owned(), ..Default::default() };
    for (wrong, reason) in [
        (erasure(&[]), "of no record"),
        (erasure(&[(0, 1)]), "not in order"),
        (erasure(&[(3, 2)]), "not in order"),
        (erasure(&[(2, 3), (4, 5)]), "not in order"),
        (erasure(&[(last, last + 1)]), "not there yet"),
        (erasure(&[(1, u64::MAX)]), "not there yet"),
        (of_other(other), "another server's log"),
        (NewErasure { statement: vec![0xff; 10], ..erasure(&[]) }, "malformed"),
        (NewErasure { statement: vec![0; 70_000], ..erasure(&[]) }, "too many records"),
    ] {
        let refused = refusal(&log, wrong);
        assert!(refused.starts_with("nothing was erased") && refused.contains(reason), "{refused}");
    }
    assert_eq!(std::fs::read(last_segment(dir.path())).unwrap(), whole);
    assert_eq!(bodies(&log.reader()), texts(0..5));
    log.close();
    let plain = tempfile::tempdir().unwrap();
    let log = open(plain.path());
    append_confidential(&log, 0..1);
    assert!(refusal(&log, erasure(&[(1, 1)])).contains("stores bodies as they are"));
}

#[test]
fn an_erasure_that_was_taken_out_or_moved_is_found() {
    let dir = tempfile::tempdir().unwrap();
    let options = || Options { segment_bytes: 4 * 1024, ..sealed_options() };
    let log = MessageLog::open(dir.path(), options()).unwrap().0;
    for number in 0..10 {
        let sequence = append_confidential(&log, number..number + 1)[0];
        log.erase(erasure(&[(sequence, sequence)])).unwrap();
    }
    assert_eq!(log.reader().erasures().unwrap().len(), 10);
    log.close();
    assert_eq!(Reader::open(dir.path()).unwrap().erasures().unwrap().len(), 10);
    assert_eq!(reader(dir.path()).audit(&mut |_| ()).unwrap(), []);
    // Without the oldest segment what is left is found.
    std::fs::remove_file(dir.path().join("segments/0000000001.log")).unwrap();
    let left = Reader::open(dir.path()).unwrap().erasures().unwrap().len();
    assert!(left > 3 && left < 10);
}

fn about(number: u32, subject: Option<&str>) -> NewMessage {
    NewMessage { subject: subject.map(ToOwned::to_owned), ..confidential(number) }
}

#[test]
fn records_about_a_person_are_found_by_a_pseudonym_that_only_the_key_gives() {
    let dir = tempfile::tempdir().unwrap();
    let options = || Options { segment_bytes: 16 * 1024, ..sealed_options() };
    let log = MessageLog::open(dir.path(), options()).unwrap().0;
    for number in 0..200 {
        let subject = match number % 10 {
            0 => Some("DE/1"),
            1 => Some("DE/2"),
            _ => None,
        };
        append(&log, about(number, subject)).unwrap();
    }
    let numbers = |reader: &Reader, subject: &str| -> Vec<String> {
        let pseudonym = reader.pseudonym(subject).unwrap().unwrap();
        let filter = Filter { subject: Some(pseudonym), ..Filter::default() };
        list(reader, &filter).into_iter().map(|found| found.record.request_id).collect()
    };
    let expected = |rest: u32| -> Vec<String> {
        (0..200).filter(|number| number % 10 == rest).map(|number| format!("request-{number}")).collect()
    };
    let check = |reader: &Reader| {
        assert_eq!(numbers(reader, "DE/1"), expected(0));
        assert_eq!(numbers(reader, "DE/2"), expected(1));
        assert_eq!(numbers(reader, "DE/3"), Vec::<String>::new());
        assert_eq!(numbers(reader, ""), Vec::<String>::new());
    };
    check(&log.reader());
    log.close();
    check(&reader(dir.path()));
    // By the blocks of sealed segments, and without any index.
    let log = MessageLog::open(dir.path(), options()).unwrap().0;
    check(&log.reader());
    log.close();
    std::fs::remove_dir_all(dir.path().join("index")).unwrap();
    check(&reader(dir.path()));
    let stranger = Reader::open(dir.path()).unwrap();
    assert_eq!(stranger.pseudonym("DE/1").unwrap(), None);
    assert_eq!(
        numbers(&stranger.with_log_key(log_key(2)).without_log_key().with_log_key(log_key(1)), "DE/1"),
        expected(0)
    );
    assert_eq!(files_with(dir.path(), b"DE/1"), Vec::<std::path::PathBuf>::new());
    // A log without a key keeps nothing of the person.
    let plain = tempfile::tempdir().unwrap();
    let log = open(plain.path());
    append(&log, about(1, Some("DE/1"))).unwrap();
    assert!(list(&log.reader(), &Filter::default())[0].record.subject.is_empty());
}

/// A message whose encrypted body lies in the log's spool, and the body.
fn confidential_file(log: &MessageLog, number: u32) -> (NewMessage, Vec<u8>) {
    let body = text(number).repeat(20_000).into_bytes();
    let key = BodyKey::random().unwrap();
    let mut file = Vec::new();
    let count = body.chunks(BODY_CHUNK_BYTES).count();
    for (at, chunk) in body.chunks(BODY_CHUNK_BYTES).enumerate() {
        let mut chunk = chunk.to_vec();
        key.seal_chunk(at as u32, at + 1 == count, &mut chunk).unwrap();
        file.extend(chunk);
    }
    let path = log.spool_dir().join(format!("body-{number}"));
    std::fs::write(&path, file).unwrap();
    let place = NewBodyPlace::Sealed { path, key: key.into() };
    let new = NewBody { length: body.len() as u64, sha512: sha512(&body), place };
    (NewMessage { body: Some(new), ..request(number) }, body)
}

fn file_body(reader: &Reader, sequence: u64) -> Result<Vec<u8>, Why> {
    let found = reader.get(sequence).unwrap().unwrap();
    if let Some(Place::NotKept(absent)) = &found.record.body.as_ref().unwrap().place {
        return Err(absent.why());
    }
    let mut body = Vec::new();
    reader.open_body(&found).unwrap().unwrap().read_to_end(&mut body).unwrap();
    Ok(body)
}

#[test]
fn a_body_in_a_file_is_encrypted_and_erased_as_others_are() {
    let (dir, copy) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let log = open_sealed(dir.path());
    let [first, second] = [0, 1].map(|number| {
        let (message, body) = confidential_file(&log, number);
        (append(&log, message).unwrap().sequence, body)
    });
    assert_eq!(files_with(dir.path(), b"secret of"), Vec::<std::path::PathBuf>::new());
    copy_dir(dir.path(), copy.path());
    for reader in [log.reader(), reader(dir.path())] {
        assert!(file_body(&reader, first.0).as_ref() == Ok(&first.1));
        assert_eq!(reader.audit(&mut |_| ()).unwrap(), []);
    }
    let stranger = Reader::open(dir.path()).unwrap();
    assert_eq!(file_body(&stranger, first.0), Err(Why::Sealed));
    assert_eq!(stranger.audit(&mut |_| ()).unwrap(), []);

    log.erase(erasure(&[(first.0, first.0)])).unwrap();
    log.close();
    assert_eq!(std::fs::read_dir(dir.path().join("bodies")).unwrap().count(), 1);
    // A copy of segments and bodies of before, with the keys of today.
    std::fs::copy(dir.path().join("keys/0000000001"), copy.path().join("keys/0000000001")).unwrap();
    for dir in [&dir, &copy] {
        assert_eq!(file_body(&reader(dir.path()), first.0), Err(Why::Erased));
        assert!(file_body(&reader(dir.path()), second.0).as_ref() == Ok(&second.1));
    }
    assert_eq!(reader(dir.path()).audit(&mut |_| ()).unwrap(), []);
    assert_eq!(stranger.audit(&mut |_| ()).unwrap(), []);
    // Somebody puts the file back: it is of no use, and it is named.
    let file = format!("bodies/{:020}.body", first.0);
    std::fs::copy(copy.path().join(&file), dir.path().join(&file)).unwrap();
    assert_eq!(only_damage(dir.path()), "log.erasure");
    MessageLog::open(dir.path(), sealed_options()).unwrap().0.close();
    assert_eq!(stranger.audit(&mut |_| ()).unwrap(), []);
}

#[test]
fn an_encrypted_file_that_is_altered_short_or_missing_is_named_also_without_its_key() {
    let dir = tempfile::tempdir().unwrap();
    let log = open_sealed(dir.path());
    let (message, _) = confidential_file(&log, 0);
    let sequence = append(&log, message).unwrap().sequence;
    log.close();
    let path = dir.path().join(format!("bodies/{sequence:020}.body"));
    let bytes = std::fs::read(&path).unwrap();
    let checks = |reader: Reader| -> Vec<&'static str> {
        reader.audit(&mut |_| ()).unwrap().iter().map(|damage| damage.check).collect()
    };
    let mut altered = bytes.clone();
    altered[100_000] ^= 1;
    std::fs::write(&path, altered).unwrap();
    assert_eq!(checks(reader(dir.path())), ["log.body"]);
    assert_eq!(checks(Reader::open(dir.path()).unwrap()), [""; 0], "only the key tells");
    std::fs::write(&path, &bytes[..bytes.len() - 1]).unwrap();
    for reader in [reader(dir.path()), Reader::open(dir.path()).unwrap()] {
        assert_eq!(checks(reader), ["log.body"]);
    }
    std::fs::remove_file(&path).unwrap();
    for reader in [reader(dir.path()), Reader::open(dir.path()).unwrap()] {
        assert_eq!(checks(reader), ["log.body"]);
    }
}

#[test]
fn a_log_without_a_key_keeps_encrypted_files_with_their_keys_beside_them() {
    let dir = tempfile::tempdir().unwrap();
    let log = open(dir.path());
    let (message, body) = confidential_file(&log, 0);
    let sequence = append(&log, message).unwrap().sequence;
    log.close();
    let reader = Reader::open(dir.path()).unwrap();
    assert!(file_body(&reader, sequence).as_ref() == Ok(&body));
    assert_eq!(reader.audit(&mut |_| ()).unwrap(), []);
}

//! Torn, damaged and crowded journals.

use super::*;

fn serial(number: u8) -> Serial {
    Serial::parse(&format!("40{number:02x}")).unwrap()
}

fn issued(number: u8) -> Event {
    let serial = serial(number).to_string();
    Event::Issued { serial, at: 1, subject: "CN=Ä".to_owned(), sha256: "00".to_owned() }
}

fn revoked(number: u8) -> Event {
    Event::Revoked { serial: serial(number).to_string(), at: 2 }
}

fn reinstated(number: u8) -> Event {
    Event::Reinstated { serial: serial(number).to_string(), at: 3 }
}

fn journal() -> (tempfile::TempDir, Journal) {
    let dir = tempfile::tempdir().unwrap();
    let journal = Journal::of(dir.path());
    journal.create(&[issued(1), issued(2)]).unwrap();
    (dir, journal)
}

fn append(journal: &Journal, event: Event) {
    journal.append(|_| Ok(Some(event))).unwrap();
}

/// Line and reason of the refusal of this content.
fn refusal(journal: &Journal, content: &[u8]) -> (usize, &'static str) {
    std::fs::write(&journal.path, content).unwrap();
    match journal.read().unwrap_err() {
        TrustServicesError::Journal { line, reason, .. } => (line, reason),
        other => panic!("{other}"),
    }
}

#[test]
fn the_last_word_about_a_certificate_counts() {
    let (_dir, journal) = journal();
    let status = |number| journal.read().unwrap().status(&serial(number));
    assert_eq!((status(1), status(3)), (Some(Status::Good), None));
    append(&journal, revoked(1));
    assert_eq!((status(1), status(2)), (Some(Status::Revoked(UnixMillis(2))), Some(Status::Good)));
    append(&journal, reinstated(1));
    append(&journal, issued(3));
    assert_eq!((status(1), status(3)), (Some(Status::Good), Some(Status::Good)));
    assert_eq!(journal.read().unwrap().bytes(), journal.len().unwrap());
}

#[test]
fn a_torn_line_is_skipped_and_then_cut_away() {
    let (_dir, journal) = journal();
    let complete = std::fs::read(&journal.path).unwrap();
    append(&journal, revoked(1));
    let whole = std::fs::read(&journal.path).unwrap();
    for length in complete.len()..whole.len() {
        std::fs::write(&journal.path, &whole[..length]).unwrap();
        assert_eq!(journal.read().unwrap().status(&serial(1)), Some(Status::Good), "{length}");
    }
    append(&journal, revoked(2));
    let certificates = journal.read().unwrap();
    assert_eq!(certificates.status(&serial(1)), Some(Status::Good));
    assert_eq!(certificates.status(&serial(2)), Some(Status::Revoked(UnixMillis(2))));
}

#[test]
fn every_altered_byte_of_a_complete_line_is_found() {
    let (_dir, journal) = journal();
    append(&journal, revoked(1));
    append(&journal, reinstated(1));
    let good = std::fs::read(&journal.path).unwrap();
    for at in 0..good.len() - 1 {
        let mut altered = good.clone();
        altered[at] ^= 1;
        std::fs::write(&journal.path, &altered).unwrap();
        assert!(matches!(journal.read(), Err(TrustServicesError::Journal { .. })), "byte {at}");
    }
}

#[test]
fn lines_that_are_missing_doubled_or_swapped_are_found() {
    let (_dir, journal) = journal();
    append(&journal, revoked(1));
    let text = std::fs::read_to_string(&journal.path).unwrap();
    let lines: Vec<&str> = text.split_inclusive('\n').collect();
    let wrong = "its checksum is wrong";
    assert_eq!(refusal(&journal, [lines[0], lines[2]].concat().as_bytes()), (2, wrong));
    assert_eq!(refusal(&journal, [lines[1], lines[2]].concat().as_bytes()), (1, wrong));
    assert_eq!(refusal(&journal, [lines[0], lines[0], lines[1]].concat().as_bytes()), (2, wrong));
    assert_eq!(refusal(&journal, [lines[1], lines[0], lines[2]].concat().as_bytes()), (1, wrong));
    assert_eq!(refusal(&journal, b"\n"), (1, "it has no checksum"));
    assert_eq!(refusal(&journal, b"\xff\n"), (1, "it is not text"));
}

#[test]
fn events_that_cannot_have_happened_are_refused() {
    let (_dir, journal) = journal();
    let content = |events: &[Event]| {
        let mut certificates = Certificates::default();
        events.iter().map(|event| certificates.push(event)).collect::<String>()
    };
    let twice = content(&[issued(1), issued(1)]);
    assert_eq!(refusal(&journal, twice.as_bytes()), (2, "the serial number was issued before"));
    for event in [revoked(1), reinstated(1)] {
        let never = content(&[event]);
        assert_eq!(refusal(&journal, never.as_bytes()), (1, "the serial number was never issued"));
    }
    let json = r#"{"event":"issued","serial":"4001","at":1,"subject":"","sha256":"","more":1}"#;
    let unknown = format!("{} {json}\n", checksum("", json));
    assert_eq!(refusal(&journal, unknown.as_bytes()), (1, "it is not an event"));
}

#[test]
fn writers_take_turns() {
    let (_dir, journal) = journal();
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let journal = journal.clone();
            scope.spawn(move || {
                for number in 0..8 {
                    append(&journal, issued(16 * (thread + 1) + number));
                }
            });
        }
    });
    assert_eq!(journal.read().unwrap().count(), 2 + 4 * 8);
}

#[test]
fn nobody_else_writes_while_one_decides() {
    let (dir, journal) = journal();
    journal
        .append(|_| {
            assert!(matches!(DirLock::acquire(dir.path()), Err(DurableError::Locked { .. })));
            Ok(Some(issued(3)))
        })
        .unwrap();
    DirLock::acquire(dir.path()).unwrap();
}

#[test]
fn a_decision_against_it_changes_nothing() {
    let (_dir, journal) = journal();
    let before = std::fs::read(&journal.path).unwrap();
    journal.append(|_| Ok(None)).unwrap();
    let refused = journal.append(|_| Err(TrustServicesError::SerialForm));
    assert!(matches!(refused, Err(TrustServicesError::SerialForm)));
    assert_eq!(std::fs::read(&journal.path).unwrap(), before);
}

#[test]
fn a_missing_journal_is_told_from_an_empty_one() {
    let dir = tempfile::tempdir().unwrap();
    let journal = Journal::of(dir.path());
    assert!(matches!(journal.read(), Err(TrustServicesError::Missing(_))));
    assert!(matches!(journal.append(|_| Ok(Some(issued(1)))), Err(TrustServicesError::Missing(_))));
    assert!(!journal.exists());
}

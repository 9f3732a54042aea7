//! Torn, cut, altered and replaced journals.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use kogge_certs::key::SigningKey;
use kogge_signer::{NewKeyKind, ephemeral};
use tempfile::TempDir;

use super::*;
use crate::error::RegistryError;
use crate::ledger::Ledger;
use crate::state::Event;
use crate::testing::{Keys, NOW, add_member};

/// A journal of the creation and `members` members, and where each entry ends.
struct Fixture {
    _temp: TempDir,
    dir: PathBuf,
    keys: Keys,
    ends: Vec<usize>,
}

impl Fixture {
    fn new(members: u32) -> Self {
        let (temp, keys) = (tempfile::tempdir().unwrap(), Keys::new());
        let dir = temp.path().join("journal");
        create(&dir, &NewEntries { events: &[Event::Created(keys.created())], at: NOW, key: &*keys.online })
            .unwrap();
        let mut fixture = Self { ends: vec![0], _temp: temp, dir, keys };
        fixture.ends.push(fixture.bytes().len());
        for number in 0..members {
            fixture.add(&number.to_string(), &fixture.keys.online.clone()).unwrap();
            fixture.ends.push(fixture.bytes().len());
        }
        fixture
    }

    fn add(&self, code: &str, key: &Arc<dyn SigningKey>) -> Result<u64, RegistryError> {
        let lock = JournalLock::acquire(&self.dir)?;
        let mut ledger = Ledger::open(&self.dir)?;
        let (mut next, event) = (ledger.state().clone(), Event::Changed(add_member(code)));
        next.apply(&event)?;
        Ok(ledger.append(&lock, next, &[event], NOW, &**key)?)
    }

    fn decisions(&self) -> PathBuf {
        self.dir.join(DECISIONS)
    }

    fn bytes(&self) -> Vec<u8> {
        fs::read(self.decisions()).unwrap()
    }

    fn head(&self) -> Vec<u8> {
        fs::read(self.dir.join("head")).unwrap()
    }

    fn write(&self, bytes: &[u8]) {
        fs::write(self.decisions(), bytes).unwrap();
    }

    fn write_head(&self, head: &[u8]) {
        fs::write(self.dir.join("head"), head).unwrap();
    }

    /// Codes of the members, as a reader finds them.
    fn members(&self) -> Result<Vec<String>, RegistryError> {
        let ledger = Ledger::open(&self.dir)?;
        Ok(ledger.state().members().map(|member| member.id.code().to_owned()).collect())
    }

    fn damage(&self) -> (u64, u64, &'static str) {
        damage(&Ledger::open(&self.dir).unwrap_err())
    }
}

fn damage(error: &RegistryError) -> (u64, u64, &'static str) {
    match error {
        RegistryError::Journal(JournalError::Damaged { offset, sequence, reason, .. }) => {
            (*offset, *sequence, reason)
        }
        other => panic!("{other}"),
    }
}

#[test]
fn what_was_recorded_is_read() {
    let fixture = Fixture::new(3);
    assert_eq!(fixture.members().unwrap(), ["0", "1", "2"]);
}

#[test]
fn an_append_torn_at_any_byte_never_happened() {
    let fixture = Fixture::new(1);
    let (before, head) = (fixture.bytes(), fixture.head());
    fixture.add("torn", &fixture.keys.online).unwrap();
    let whole = fixture.bytes();
    for length in before.len()..=whole.len() {
        fixture.write(&whole[..length]);
        fixture.write_head(&head);
        assert_eq!(fixture.members().unwrap(), ["0"], "{length} bytes");
        // The next writer cuts it off, and goes on.
        fixture.add("next", &fixture.keys.online).unwrap();
        assert_eq!(fixture.members().unwrap(), ["0", "next"], "{length} bytes");
    }
}

#[test]
fn a_tail_of_zeros_never_happened() {
    let fixture = Fixture::new(1);
    let bytes = [fixture.bytes(), vec![0; 5000]].concat();
    fixture.write(&bytes);
    assert_eq!(fixture.members().unwrap(), ["0"]);
    fixture.add("next", &fixture.keys.online).unwrap();
    assert_eq!(fixture.members().unwrap(), ["0", "next"]);
    assert!(fixture.bytes().len() < bytes.len());
}

#[test]
fn an_acknowledged_entry_cut_at_any_byte_is_damage() {
    let fixture = Fixture::new(2);
    let whole = fixture.bytes();
    let last = fixture.ends[2];
    for length in last..whole.len() {
        fixture.write(&whole[..length]);
        assert_eq!(fixture.damage(), (last as u64, 3, "the file ends within it"), "{length} bytes");
        // Nobody goes on from there.
        assert_eq!(damage(&fixture.add("next", &fixture.keys.online).unwrap_err()).1, 3);
        assert_eq!(fixture.bytes().len(), length);
    }
}

#[test]
fn a_flipped_bit_is_found_and_its_place_is_named() {
    let fixture = Fixture::new(2);
    let whole = fixture.bytes();
    for place in 0..whole.len() {
        let mut bytes = whole.clone();
        bytes[place] ^= 1 << (place % 8);
        fixture.write(&bytes);
        let sequence = fixture.ends.partition_point(|end| *end <= place);
        let (offset, found, _) = fixture.damage();
        assert_eq!((offset, found), (fixture.ends[sequence - 1] as u64, sequence as u64), "byte {place}");
    }
}

/// Replaces `from` by `to`, of the same length, within one entry, and makes the checksum right again.
fn forge(bytes: &mut [u8], from: &str, to: &str, (start, end): (usize, usize)) {
    let place = bytes[start..end].windows(from.len()).position(|part| part == from.as_bytes()).unwrap();
    bytes[start + place..start + place + to.len()].copy_from_slice(to.as_bytes());
    let checksum = crc32c::crc32c(&bytes[start + FRAME_HEAD_BYTES..end]);
    bytes[start + 4..start + FRAME_HEAD_BYTES].copy_from_slice(&checksum.to_be_bytes());
}

#[test]
fn an_entry_that_was_rewritten_breaks_the_chain_behind_it() {
    let fixture = Fixture::new(2);
    let mut bytes = fixture.bytes();
    forge(&mut bytes, "Agency 0", "Agency X", (fixture.ends[1], fixture.ends[2]));
    fixture.write(&bytes);
    let expected = (fixture.ends[2] as u64, 3, "it does not follow the entry before it");
    assert_eq!(fixture.damage(), expected);
}

#[test]
fn entries_cannot_be_left_out_or_swapped() {
    let fixture = Fixture::new(3);
    let (bytes, ends) = (fixture.bytes(), &fixture.ends);
    let (first, a, b) = (&bytes[..ends[2]], &bytes[ends[2]..ends[3]], &bytes[ends[3]..]);
    let expected = (ends[2] as u64, 3, "it does not follow the entry before it");
    fixture.write(&[first, b, a].concat());
    assert_eq!(fixture.damage(), expected);
    fixture.write(&[first, b].concat());
    assert_eq!(fixture.damage(), expected);
}

#[test]
fn a_last_entry_that_was_rewritten_has_no_signature() {
    let fixture = Fixture::new(1);
    let mut bytes = fixture.bytes();
    let (start, end) = (fixture.ends[1], fixture.ends[2]);
    forge(&mut bytes, "Agency 0", "Agency X", (start, end));
    fixture.write(&bytes);
    assert_eq!(fixture.damage(), (end as u64, 3, "the head does not fit it"));
    // Whoever also replaces the head still lacks the key.
    let hash = kogge_proto::digest::sha256(&bytes[start + FRAME_HEAD_BYTES..]);
    fixture.write_head(format!("{{\"sequence\":2,\"length\":{end},\"hash\":\"{hash}\"}}").as_bytes());
    let error = fixture.members().unwrap_err();
    assert!(matches!(error, RegistryError::Journal(JournalError::Signature { sequence: 2 })), "{error}");
}

#[test]
fn an_entry_signed_by_a_stranger_is_not_believed() {
    let fixture = Fixture::new(1);
    let stranger = ephemeral(NewKeyKind::EcdsaP256).unwrap();
    fixture.add("stranger", &stranger).unwrap();
    let error = fixture.members().unwrap_err();
    assert!(matches!(error, RegistryError::Journal(JournalError::Signature { sequence: 3 })), "{error}");
}

#[test]
fn an_entry_that_breaks_a_rule_is_not_believed_although_signed() {
    let fixture = Fixture::new(1);
    let mut ledger = Ledger::open(&fixture.dir).unwrap();
    let lock = JournalLock::acquire(&fixture.dir).unwrap();
    let (state, event) = (ledger.state().clone(), Event::Changed(add_member("0")));
    ledger.append(&lock, state, &[event], NOW, &*fixture.keys.online).unwrap();
    let error = fixture.members().unwrap_err();
    assert!(matches!(error, RegistryError::Fold { sequence: 3, .. }), "{error}");
}

#[test]
fn a_journal_begins_with_the_creation() {
    let temp = tempfile::tempdir().unwrap();
    let (dir, keys) = (temp.path().join("journal"), Keys::new());
    create(&dir, &NewEntries { events: &[Event::Changed(add_member("0"))], at: NOW, key: &*keys.online })
        .unwrap();
    let error = Ledger::open(&dir).unwrap_err();
    let refusal = crate::Refusal::NotCreated;
    assert!(matches!(error, RegistryError::Fold { sequence: 1, refusal: found } if found == refusal));
}

#[test]
fn without_its_head_a_journal_is_not_guessed_at() {
    let fixture = Fixture::new(1);
    let head = fixture.head();
    for bad in [&b""[..], b"{}", &head[..head.len() - 3], b"{\"sequence\":2,\"length\":0,\"hash\":\"00\"}"] {
        fixture.write_head(bad);
        let error = fixture.members().unwrap_err();
        assert!(matches!(error, RegistryError::Journal(JournalError::Head { .. })), "{error}");
    }
    fs::remove_file(fixture.dir.join("head")).unwrap();
    let error = fixture.members().unwrap_err();
    assert!(matches!(error, RegistryError::Journal(JournalError::Head { .. })), "{error}");
}

#[test]
fn whoever_follows_a_journal_notices_when_it_is_replaced() {
    let fixture = Fixture::new(1);
    let (bytes, head) = (fixture.bytes(), fixture.head());
    fixture.add("1", &fixture.keys.online).unwrap();
    let mut follower = Ledger::open(&fixture.dir).unwrap();
    // An older backup.
    fixture.write(&bytes);
    fixture.write_head(&head);
    let rolled_back = |error: RegistryError| match error {
        RegistryError::Journal(JournalError::RolledBack { known, found }) => (known, found),
        other => panic!("{other}"),
    };
    assert_eq!(rolled_back(follower.refresh().unwrap_err()), (3, 2));
    // As many entries, but others.
    fixture.add("other", &fixture.keys.online).unwrap();
    assert_eq!(rolled_back(follower.refresh().unwrap_err()), (3, 3));
    fixture.add("another", &fixture.keys.online).unwrap();
    assert_eq!(damage(&follower.refresh().unwrap_err()).1, 4);
}

#[test]
fn followers_read_what_is_new() {
    let fixture = Fixture::new(1);
    let mut follower = Ledger::open(&fixture.dir).unwrap();
    for code in ["1", "2", "3"] {
        fixture.add(code, &fixture.keys.online).unwrap();
        follower.refresh().unwrap();
        assert!(follower.state().members().any(|member| member.id.code() == code));
    }
    assert_eq!(follower.sequence(), 5);
}

#[test]
fn too_long_a_decision_is_not_begun() {
    let fixture = Fixture::new(0);
    let before = fixture.bytes();
    let mut ledger = Ledger::open(&fixture.dir).unwrap();
    let lock = JournalLock::acquire(&fixture.dir).unwrap();
    let addresses = vec!["x".repeat(PAYLOAD_BYTES_MAX)];
    let server = "EE/GOV/1/ss".parse().unwrap();
    let event = Event::Changed(crate::Change::AddSecurityServer { server, addresses });
    let state = ledger.state().clone();
    let error = ledger.append(&lock, state, &[event], NOW, &*fixture.keys.online).unwrap_err();
    assert!(matches!(error, JournalError::TooLong { .. }), "{error}");
    assert_eq!(fixture.bytes(), before);
}

#[test]
fn writers_take_turns() {
    let fixture = Fixture::new(0);
    let dir: &Path = &fixture.dir;
    std::thread::scope(|scope| {
        for writer in 0..4 {
            let fixture = &fixture;
            scope.spawn(move || {
                for number in 0..5 {
                    fixture.add(&format!("{writer}-{number}"), &fixture.keys.online).unwrap();
                }
            });
        }
    });
    let ledger = Ledger::open(dir).unwrap();
    assert_eq!((ledger.sequence(), ledger.state().members().len()), (21, 20));
}

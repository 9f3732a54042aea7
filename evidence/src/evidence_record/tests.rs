use std::process::Command;

use kogge_proto::digest::sha256;
use kogge_proto::wire::log::StampLeaf;
use proptest::prelude::*;

use super::*;

/// A ContentInfo of SignedData whose content is only a NULL: enough for what this module looks at.
fn token() -> Vec<u8> {
    let content_type = ID_SIGNED_DATA.to_der().unwrap();
    tlv(SEQUENCE, &[content_type, tlv(0xA0, &[0x05, 0x00])].concat())
}

/// Records 100, 101, … in one batch.
fn stamp(count: usize, previous: bool) -> StampRecord {
    let leaves: Vec<Sha256> =
        (0..count).map(|number| sha256(format!("record {number}").as_bytes())).collect();
    let previous_root = previous.then(|| sha256(b"previous batch"));
    StampRecord {
        token: token(),
        leaves: leaves
            .iter()
            .zip(100..)
            .map(|(leaf, sequence)| StampLeaf { sequence, sha256: leaf.as_bytes().to_vec() })
            .collect(),
        previous_root: previous_root.map(|root| root.as_bytes().to_vec()).unwrap_or_default(),
        root: batch_root(previous_root, &leaves).unwrap().as_bytes().to_vec(),
        ..StampRecord::default()
    }
}

fn refusal(der: &[u8]) -> String {
    match EvidenceRecord::from_der(der).unwrap_err() {
        EvidenceRecordError::Malformed(reason) => reason,
        other => panic!("{other}"),
    }
}

fn record(groups: Vec<Vec<Sha256>>) -> EvidenceRecord {
    EvidenceRecord { first: ArchiveTimestamp { groups, token: token() }, renewals: vec![] }
}

#[test]
fn the_encoding_is_that_of_the_rfc() {
    let groups = vec![vec![Sha256([1; 32]), Sha256([2; 32])], vec![Sha256([3; 32])]];
    let octets = |byte: u8| format!("0420{}", hex::encode([byte; 32]));
    let token = hex::encode(token());
    let expected = format!(
        "308196 020101 300d300b0609608648016503040201 308181 307f 307d a26a 3044{}{} 3022{} {token}",
        octets(1),
        octets(2),
        octets(3),
    )
    .replace(' ', "");
    let der = record(groups.clone()).to_der();
    assert_eq!(hex::encode(&der), expected);
    assert_eq!(EvidenceRecord::from_der(&der), Ok(record(groups)));
}

#[test]
fn a_single_leaf_has_no_tree() {
    let alone = EvidenceRecord::of_batch(&stamp(1, false), 100).unwrap();
    assert_eq!(alone, record(vec![]));
    let der = alone.to_der();
    assert!(!der.contains(&REDUCED_HASH_TREE));
    assert_eq!(EvidenceRecord::from_der(&der), Ok(alone));
}

#[test]
fn renewals_stand_behind_the_first_archive_timestamp() {
    let mut renewed = record(vec![vec![Sha256([1; 32]), Sha256([2; 32])]]);
    renewed.renewals = vec![renewed.first.clone(), ArchiveTimestamp { groups: vec![], token: token() }];
    let der = renewed.to_der();
    let once = renewed.first.to_der();
    let chain = tlv(SEQUENCE, &[once.clone(), once, tlv(SEQUENCE, &token())].concat());
    let expected = tlv(SEQUENCE, &[VERSION_1, DIGEST_ALGORITHMS, &tlv(SEQUENCE, &chain)].concat());
    assert_eq!(hex::encode(&der), hex::encode(expected));
    assert_eq!(EvidenceRecord::from_der(&der), Ok(renewed));
}

#[test]
fn another_asn1_reader_sees_the_structure() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("evidencerecord.ers");
    std::fs::write(&file, EvidenceRecord::of_batch(&stamp(5, true), 102).unwrap().to_der()).unwrap();
    let output = Command::new("openssl").args(["asn1parse", "-inform", "DER", "-in"]).arg(&file).output();
    let Ok(output) = output else {
        assert_ne!(std::env::var("CI").as_deref(), Ok("true"), "openssl is missing");
        eprintln!("SKIPPED: openssl is missing");
        return;
    };
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{text}");
    for (what, count) in [("sha256", 1), ("cont [ 2 ]", 1), ("OCTET STRING", 4), ("pkcs7-signedData", 1)] {
        assert_eq!(text.matches(what).count(), count, "{what} in\n{text}");
    }
}

#[test]
fn a_batch_that_contradicts_itself_proves_nothing() {
    let of = |change: &dyn Fn(&mut StampRecord), sequence| {
        let mut stamp = stamp(5, true);
        change(&mut stamp);
        EvidenceRecord::of_batch(&stamp, sequence).unwrap_err()
    };
    let short = EvidenceRecordError::Malformed("a digest is not 32 bytes long".to_owned());
    assert_eq!(of(&|_| (), 105), EvidenceRecordError::NotCovered(105));
    assert_eq!(of(&|_| (), 0), EvidenceRecordError::NotCovered(0));
    assert_eq!(of(&|stamp| stamp.leaves.clear(), 100), EvidenceRecordError::NotCovered(100));
    assert_eq!(of(&|stamp| stamp.previous_root.clear(), 100), EvidenceRecordError::Root);
    assert_eq!(of(&|stamp| stamp.root.clear(), 100), EvidenceRecordError::Root);
    assert_eq!(of(&|stamp| stamp.root[31] ^= 1, 100), EvidenceRecordError::Root);
    assert_eq!(of(&|stamp| stamp.leaves[4].sha256[0] ^= 1, 100), EvidenceRecordError::Root);
    assert_eq!(of(&|stamp| stamp.leaves.swap(0, 3), 100), EvidenceRecordError::Root);
    assert_eq!(of(&|stamp| stamp.leaves[4].sha256.truncate(31), 100), short);
    assert_eq!(of(&|stamp| stamp.previous_root.truncate(1), 100), short);
    let many = EvidenceRecordError::Malformed("the batch has too many leaves".to_owned());
    assert_eq!(of(&|stamp| stamp.leaves = vec![stamp.leaves[0].clone(); BATCH_LEAVES_MAX + 1], 100), many);
}

#[test]
fn a_checkpoint_is_a_leaf_between_the_previous_root_and_the_records() {
    for previous in [false, true] {
        let mut with = stamp(3, previous);
        with.checkpoint = b"a signed note".to_vec();
        let leaves: Vec<Sha256> =
            with.leaves.iter().map(|leaf| Sha256::from_slice(&leaf.sha256).unwrap()).collect();
        let before =
            previous.then(|| sha256(b"previous batch")).into_iter().chain([sha256(b"a signed note")]);
        let root = batch_root(before, &leaves).unwrap();
        let unlike = EvidenceRecord::of_batch(&with, 101);
        assert_eq!(unlike, Err(EvidenceRecordError::Root), "the root is one without it");
        with.root = root.0.to_vec();
        for (leaf, sequence) in leaves.iter().zip(100..) {
            let record = EvidenceRecord::of_batch(&with, sequence).unwrap();
            assert_eq!(record.root_of(*leaf), Some(root));
        }
        with.checkpoint.push(b'.');
        assert_eq!(EvidenceRecord::of_batch(&with, 101), Err(EvidenceRecordError::Root));
    }
}

#[test]
fn other_forms_are_refused() {
    let [low, high] = [Sha256([1; 32]), Sha256([2; 32])];
    for (groups, reason) in [
        (vec![vec![high, low]], "a group of the hash tree is not in order"),
        (vec![vec![]], "a group of the hash tree is empty or too large"),
        (vec![vec![low, low, high]], "a group of the hash tree is empty or too large"),
        (vec![vec![low]; GROUPS_MAX + 1], "the hash tree is too deep"),
    ] {
        assert_eq!(refusal(&record(groups).to_der()), reason);
    }
    let mut other = record(vec![]);
    other.first.token =
        tlv(SEQUENCE, &[vec![0x06, 0x03, 0x2A, 0x03, 0x04], tlv(0xA0, &[0x05, 0x00])].concat());
    assert_eq!(refusal(&other.to_der()), "the timestamp is not SignedData");
    assert_eq!(refusal(&vec![0x30; EVIDENCE_RECORD_BYTES_MAX + 1]), "it is too large");

    let of_parts = |parts: &[&[u8]]| refusal(&tlv(SEQUENCE, &parts.concat()));
    let archive_timestamp = tlv(SEQUENCE, &token());
    let chain = tlv(SEQUENCE, &archive_timestamp);
    let sequence = tlv(SEQUENCE, &chain);
    let two_chains = tlv(SEQUENCE, &[chain.clone(), chain].concat());
    let nothing = tlv(SEQUENCE, &tlv(SEQUENCE, &[]));
    let too_many = tlv(SEQUENCE, &tlv(SEQUENCE, &archive_timestamp.repeat(2 + RENEWALS_MAX)));
    let differs = "it differs from its own encoding";
    assert_eq!(
        of_parts(&[VERSION_1, DIGEST_ALGORITHMS, &two_chains]),
        "there is not exactly one archive timestamp chain"
    );
    assert_eq!(of_parts(&[VERSION_1, DIGEST_ALGORITHMS, &nothing]), "there is no archive timestamp");
    assert_eq!(of_parts(&[VERSION_1, DIGEST_ALGORITHMS, &too_many]), "there are too many archive timestamps");
    assert_eq!(of_parts(&[&[0x02, 0x01, 0x02], DIGEST_ALGORITHMS, &sequence]), differs);
    assert_eq!(of_parts(&[VERSION_1, &[0x30, 0x00], &sequence]), differs);
    let empty_tree =
        tlv(SEQUENCE, &tlv(SEQUENCE, &tlv(SEQUENCE, &[tlv(REDUCED_HASH_TREE, &[]), token()].concat())));
    assert_eq!(of_parts(&[VERSION_1, DIGEST_ALGORITHMS, &empty_tree]), differs);
}

proptest! {
    #[test]
    fn every_record_of_a_batch_leads_to_its_root(count in 1_usize..40, previous: bool) {
        let stamp = stamp(count, previous);
        for leaf in &stamp.leaves {
            let record = EvidenceRecord::of_batch(&stamp, leaf.sequence).unwrap();
            let read = EvidenceRecord::from_der(&record.to_der()).unwrap();
            let root = read.root_of(Sha256::from_slice(&leaf.sha256).unwrap()).unwrap();
            prop_assert_eq!(root.as_bytes(), stamp.root.as_slice());
            prop_assert_eq!(read, record);
        }
    }

    /// Whatever still reads after a changed bit does not prove the leaf any more, or has another token.
    #[test]
    fn no_bit_can_change_unnoticed(bit in 0_usize..200 * 8) {
        let stamp = stamp(3, false);
        let original = EvidenceRecord::of_batch(&stamp, 101).unwrap();
        let leaf = Sha256::from_slice(&stamp.leaves[1].sha256).unwrap();
        let mut der = original.to_der();
        let bit = bit % (der.len() * 8);
        der[bit / 8] ^= 1 << (bit % 8);
        if let Ok(read) = EvidenceRecord::from_der(&der) {
            let root = read.root_of(leaf);
            prop_assert!(read.first.token != original.first.token || root.is_none_or(|root| root.as_bytes() != stamp.root));
        }
    }

    #[test]
    fn arbitrary_bytes_are_refused(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        prop_assert!(EvidenceRecord::from_der(&bytes).is_err());
    }
}

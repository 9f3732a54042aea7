//! Who has signed, how often, and for which instance.

use kogge_proto::digest::sha256;
use kogge_proto::wire::registry as wire;
use prost::Message;

use super::fixture::{Absent, DAY, KEYS, NOW, Wrong, anchor, delegation, draft, forge, parts, sign};
use crate::anchor::{ANCHOR_KEYS_MAX, Anchor, Environment};
use crate::key::{PublicKey, SignError, SigningKey};
use crate::snapshot::{
    Draft, Part, SignedDelegation, SnapshotError, VerifiedSnapshot, sign_delegation, sign_snapshot,
    signatures,
};
use crate::testing::{TestKey, openssl};

fn refusal(bytes: &[u8]) -> SnapshotError {
    VerifiedSnapshot::verify(bytes.to_vec(), &anchor(), NOW).unwrap_err()
}

fn delegate(online: &[PublicKey], threshold: u32, root: &[&dyn SigningKey]) -> SignedDelegation {
    sign_delegation("EE", 1, NOW.minus(DAY), NOW.plus(DAY), online, threshold, root).unwrap()
}

fn publish(delegation: &SignedDelegation) -> Vec<u8> {
    sign_snapshot(&draft(), delegation, &[&KEYS.online]).unwrap()
}

#[test]
fn every_kind_of_key_may_sign_alone_or_with_others() {
    let rsa = TestKey::rsa(2048);
    let online = [rsa.public_key().clone(), KEYS.stranger.public_key().clone()];
    let delegation = delegate(&online, 2, &[&KEYS.root[2], &KEYS.root[1], &KEYS.root[0]]);
    let bytes = sign_snapshot(&draft(), &delegation, &[&KEYS.stranger, &rsa]).unwrap();
    assert_eq!(VerifiedSnapshot::verify(bytes.clone(), &anchor(), NOW).unwrap().version(), 7);
}

/// A reader that we did not write, for those who keep snapshots and not Kogge: the context, the digest of the bytes, the signature.
#[test]
fn openssl_verifies_both_parts() {
    let rsa = [TestKey::rsa(2048), TestKey::rsa(3072)];
    let online = [rsa[1].public_key().clone()];
    let delegation = delegate(&online, 1, &[&rsa[0]]);
    let signed = sign_snapshot(&draft(), &delegation, &[&rsa[1]]).unwrap();
    let signed = wire::SignedSnapshot::decode(signed.as_slice()).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let file = |name: &str, bytes: &[u8]| {
        let path = dir.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        path.to_str().unwrap().to_owned()
    };
    for (context, bytes, signature, key) in [
        (&b"kogge-delegation-v2\0"[..], &signed.delegation, &signed.delegation_signatures[0], &rsa[0]),
        (&b"kogge-snapshot-v2\0"[..], &signed.snapshot, &signed.snapshot_signatures[0], &rsa[1]),
    ] {
        let Some(digest) = openssl(&["dgst", "-sha256", "-binary"], bytes) else { return };
        let key = file("key.der", key.public_key().spki());
        let value = file("signature", &signature.value);
        let arguments = ["dgst", "-sha512", "-keyform", "DER", "-verify", &key, "-signature", &value];
        let Some(said) = openssl(&arguments, &[context, digest.as_slice()].concat()) else { return };
        assert_eq!(String::from_utf8_lossy(&said).trim(), "Verified OK");
    }
}

#[test]
fn too_few_root_keys() {
    let online = [KEYS.online.public_key().clone()];
    for root in [&[][..], &[&KEYS.root[0] as &dyn SigningKey][..]] {
        let error = refusal(&publish(&delegate(&online, 1, root)));
        let (part, found) = (Part::Delegation, root.len());
        assert_eq!(error, SnapshotError::TooFewSignatures { part, found, threshold: 2 });
    }
}

#[test]
fn too_few_online_keys_are_noticed_by_the_writer_already() {
    let online = [KEYS.online.public_key().clone(), KEYS.stranger.public_key().clone()];
    let delegation = delegate(&online, 2, &[&KEYS.root[0], &KEYS.root[1]]);
    let expected = SnapshotError::TooFewSignatures { part: Part::Snapshot, found: 1, threshold: 2 };
    let error = sign_snapshot(&draft(), &delegation, &[&KEYS.online]).unwrap_err();
    assert_eq!(error, expected);
    let (signed, _) = parts(&draft());
    assert_eq!(refusal(&forge(&delegation.bytes, &signed.snapshot)), expected);
}

#[test]
fn the_same_key_does_not_count_twice() {
    let online = [KEYS.online.public_key().clone()];
    let key = KEYS.root[0].public_key().key_id();
    let bytes = publish(&delegate(&online, 1, &[&KEYS.root[0], &KEYS.root[0]]));
    assert_eq!(refusal(&bytes), SnapshotError::RepeatedSigner { part: Part::Delegation, key });
    let error = sign_snapshot(&draft(), &delegation(), &[&KEYS.online, &KEYS.online]).unwrap_err();
    let key = KEYS.online.public_key().key_id();
    assert_eq!(error, SnapshotError::RepeatedSigner { part: Part::Snapshot, key });
}

#[test]
fn keys_without_a_say() {
    let online = [KEYS.online.public_key().clone()];
    let key = KEYS.stranger.public_key().key_id().to_string();
    let bytes = publish(&delegate(&online, 1, &[&KEYS.root[0], &KEYS.stranger]));
    assert_eq!(refusal(&bytes), SnapshotError::UnknownSigner { part: Part::Delegation, key: key.clone() });
    let error = sign_snapshot(&draft(), &delegation(), &[&KEYS.stranger]).unwrap_err();
    assert_eq!(error, SnapshotError::UnknownSigner { part: Part::Snapshot, key });
    // A root key is no online key: each signs its own part.
    let key = KEYS.root[0].public_key().key_id().to_string();
    let error = sign_snapshot(&draft(), &delegation(), &[&KEYS.root[0]]).unwrap_err();
    assert_eq!(error, SnapshotError::UnknownSigner { part: Part::Snapshot, key });
}

#[test]
fn a_key_id_that_is_none_is_shown_in_short() {
    let (mut signed, _) = parts(&draft());
    signed.snapshot_signatures[0].key_id = vec![0xab; 1000];
    let expected = SnapshotError::UnknownSigner { part: Part::Snapshot, key: "ab".repeat(32) };
    assert_eq!(refusal(&signed.encode_to_vec()), expected);
}

#[test]
fn a_signature_over_other_bytes() {
    let (mut signed, _) = parts(&draft());
    let (other, _) = parts(&Draft { version: 8, ..draft() });
    signed.snapshot_signatures = other.snapshot_signatures;
    let key = KEYS.online.public_key().key_id();
    assert_eq!(refusal(&signed.encode_to_vec()), SnapshotError::BadSignature { part: Part::Snapshot, key });
    // A token that signs something else is noticed before anything is published.
    let error = sign_snapshot(&draft(), &delegation(), &[&Wrong(&KEYS.online)]).unwrap_err();
    assert_eq!(error, SnapshotError::BadSignature { part: Part::Snapshot, key });
}

#[test]
fn a_signature_for_the_other_part_does_not_count() {
    let (mut signed, _) = parts(&draft());
    let root: [&dyn SigningKey; 2] = [&KEYS.root[0], &KEYS.root[1]];
    signed.delegation_signatures =
        signatures::sign(Part::Snapshot, &sha256(&signed.delegation), &root).unwrap();
    let key = KEYS.root[0].public_key().key_id();
    assert_eq!(refusal(&signed.encode_to_vec()), SnapshotError::BadSignature { part: Part::Delegation, key });
}

#[test]
fn signatures_are_checked_before_the_content_is_looked_at() {
    let (signed, _) = parts(&draft());
    let junk = wire::SignedSnapshot { snapshot: b"\xff\xff".to_vec(), ..signed.clone() };
    let key = KEYS.online.public_key().key_id();
    assert_eq!(refusal(&junk.encode_to_vec()), SnapshotError::BadSignature { part: Part::Snapshot, key });
    let junk = wire::SignedSnapshot { delegation: b"\xff\xff".to_vec(), ..signed };
    let key = KEYS.root[0].public_key().key_id();
    assert_eq!(refusal(&junk.encode_to_vec()), SnapshotError::BadSignature { part: Part::Delegation, key });
}

#[test]
fn a_flood_of_signatures_is_refused_before_it_takes_memory() {
    let (signed, _) = parts(&draft());
    let flood = vec![wire::KeySignature::default(); ANCHOR_KEYS_MAX + 1];
    let by_root = wire::SignedSnapshot { delegation_signatures: flood.clone(), ..signed.clone() };
    let part = Part::Delegation;
    assert_eq!(refusal(&by_root.encode_to_vec()), SnapshotError::TooManySignatures { part });
    let by_online = wire::SignedSnapshot { snapshot_signatures: flood, ..signed };
    let part = Part::Snapshot;
    assert_eq!(refusal(&by_online.encode_to_vec()), SnapshotError::TooManySignatures { part });
    // Two bytes each: decoded they would become gigabytes. They are not, or the junk behind them would have been noticed.
    let part = Part::Delegation;
    let flood = [b"\x12\x00".repeat(1_000_000), b"\xff".to_vec()].concat();
    assert_eq!(refusal(&flood), SnapshotError::TooManySignatures { part });
}

#[test]
fn the_delegation_keeps_its_own_rules() {
    let key = |key: &TestKey| key.public_key().spki().to_vec();
    let p384 = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P384_SHA384).unwrap();
    let p384 = rcgen::PublicKeyData::subject_public_key_info(&p384);
    let kind = "an online key is malformed or of a kind that cannot sign snapshots";
    let threshold = "the threshold is zero or higher than the number of online keys";
    let cases = [
        (vec![], 0, threshold),
        (vec![], 1, threshold),
        (vec![key(&KEYS.online)], 0, threshold),
        (vec![key(&KEYS.online)], 2, threshold),
        (vec![key(&KEYS.online), key(&KEYS.online)], 2, "an online key is there twice"),
        (vec![key(&KEYS.online), vec![1, 2, 3]], 1, kind),
        (vec![key(&KEYS.online), p384], 1, kind),
        (vec![key(&KEYS.online); ANCHOR_KEYS_MAX + 1], 1, "it has too many online keys"),
    ];
    let (signed, _) = parts(&draft());
    for (online_keys, online_threshold, reason) in cases {
        let delegation = wire::Delegation::decode(signed.delegation.as_slice()).unwrap();
        let delegation = wire::Delegation { online_keys, online_threshold, ..delegation };
        let error = refusal(&forge(&delegation.encode_to_vec(), &signed.snapshot));
        assert_eq!(error, SnapshotError::Delegation(reason));
    }
    let online = [KEYS.online.public_key().clone()];
    let error = sign_delegation("EE", 1, NOW, NOW.plus(DAY), &online, 2, &[&KEYS.root[0]]).unwrap_err();
    assert_eq!(error, SnapshotError::Delegation(threshold));
}

#[test]
fn a_delegation_can_be_checked_by_itself() {
    let (signed, keys) = (delegation(), anchor().root_keys().to_vec());
    let read = signed.verify("EE", &keys, 2).unwrap();
    assert_eq!((read.version, read.online_keys), (1, vec![KEYS.online.public_key().clone()]));
    let part = Part::Delegation;
    let too_few = SnapshotError::TooFewSignatures { part, found: 2, threshold: 3 };
    assert_eq!(signed.verify("EE", &keys, 3), Err(too_few));
    let other = SnapshotError::Instance { expected: "FI".to_owned(), found: "EE".to_owned() };
    assert_eq!(signed.verify("FI", &keys, 2), Err(other));
    let key = KEYS.root[0].public_key().key_id();
    let mut altered = signed;
    altered.bytes[3] ^= 1;
    assert_eq!(altered.verify("EE", &keys, 2), Err(SnapshotError::BadSignature { part, key }));
}

#[test]
fn instances_and_environments_do_not_mix() {
    let (signed, snapshot) = parts(&draft());
    let anchor_of = |instance, environment| {
        let anchor = anchor();
        let (urls, keys) = (anchor.registry_urls().to_vec(), anchor.root_keys().to_vec());
        Anchor::new(instance, environment, urls, keys, 2).unwrap()
    };
    let mixed = |expected: &str, found: &str| SnapshotError::Instance {
        expected: expected.to_owned(),
        found: found.to_owned(),
    };
    // The same root keys serve two instances.
    let error =
        VerifiedSnapshot::verify(sign(&draft()), &anchor_of("FI", Environment::Test), NOW).unwrap_err();
    assert_eq!(error, mixed("FI", "EE"));
    // A delegation of the one instance over a snapshot of the other.
    let other = wire::Snapshot { instance: "FI".to_owned(), ..snapshot.clone() };
    assert_eq!(refusal(&forge(&signed.delegation, &other.encode_to_vec())), mixed("EE", "FI"));
    let environment = |expected: &str, found: &str| SnapshotError::Environment {
        expected: expected.to_owned(),
        found: found.to_owned(),
    };
    let production = anchor_of("EE", Environment::Production);
    let error = VerifiedSnapshot::verify(sign(&draft()), &production, NOW).unwrap_err();
    assert_eq!(error, environment("production", "test"));
    let other = wire::Snapshot { environment: "Test".to_owned(), ..snapshot };
    assert_eq!(refusal(&forge(&signed.delegation, &other.encode_to_vec())), environment("test", "Test"));
}

#[test]
fn a_draft_of_another_instance_is_not_signed() {
    let error =
        sign_snapshot(&Draft { instance: "FI".to_owned(), ..draft() }, &delegation(), &[&KEYS.online])
            .unwrap_err();
    assert_eq!(error, SnapshotError::Instance { expected: "FI".to_owned(), found: "EE".to_owned() });
    let empty = Draft {
        instance: "FI".to_owned(),
        members: vec![],
        subsystems: vec![],
        security_servers: vec![],
        registrations: Default::default(),
        services: vec![],
        ..draft()
    };
    let error = sign_snapshot(&empty, &delegation(), &[&KEYS.online]).unwrap_err();
    assert_eq!(error, SnapshotError::Instance { expected: "EE".to_owned(), found: "FI".to_owned() });
}

#[test]
fn a_token_that_is_away_is_said_to_be() {
    let away = SnapshotError::Sign(SignError::Token("no token in the slot".to_owned()));
    let error = sign_snapshot(&draft(), &delegation(), &[&Absent(&KEYS.online)]).unwrap_err();
    assert_eq!(error, away);
    let online = [KEYS.online.public_key().clone()];
    let absent = Absent(&KEYS.root[0]);
    let error = sign_delegation("EE", 1, NOW, NOW.plus(DAY), &online, 1, &[&absent]).unwrap_err();
    assert_eq!(error, away);
}

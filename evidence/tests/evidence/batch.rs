//! Batch signatures: each message of a batch stands alone, and nothing else is covered.

use std::fs;
use std::io::Cursor;

use kogge_certs::key::SignError;
use kogge_evidence::material::Material;
use kogge_evidence::report::Outcome;
use kogge_evidence::signature::{
    Parts, SignatureError, Signed, VerifiedSignature, sign, sign_batch, verify, verify_with,
};
use kogge_evidence::{verify, xades};
use kogge_proto::digest::sha512;
use kogge_proto::limits::SIGNATURE_BATCH_MAX;
use kogge_proto::wire::evidence as wire;
use kogge_signer::NewKeyKind;
use proptest::prelude::*;
use prost::Message;
use zip::CompressionMethod;

use crate::altered::{entries, pack, repaired};
use crate::exported::Exported;
use crate::judges::{run, says, xmlsec1};
use crate::world::{NOW, Wish, World};

/// Messages with and without body.
fn messages(count: usize) -> Vec<Parts> {
    let of = |number: usize| Parts {
        message: sha512(format!("message {number}").as_bytes()),
        body: (!number.is_multiple_of(3)).then(|| sha512(format!("body {number}").as_bytes())),
    };
    (0..count).map(of).collect()
}

fn check(world: &World, signed: &Signed, parts: &Parts) -> Result<VerifiedSignature, SignatureError> {
    verify(&signed.signature, parts, &Material::new(&signed.material).unwrap(), &world.expected())
}

fn proof(signed: &mut Signed) -> &mut wire::BatchProof {
    signed.signature.batch.as_mut().unwrap()
}

#[test]
fn each_message_of_a_batch_stands_alone() {
    for kind in [NewKeyKind::EcdsaP256, NewKeyKind::Rsa(2048), NewKeyKind::Ed25519] {
        let world = World::new();
        let credential = world.credential(&Wish { kind, ..Wish::default() });
        for count in [2, 3, 7, 16, SIGNATURE_BATCH_MAX] {
            let messages = messages(count);
            let signed = sign_batch(&messages, &credential, NOW).unwrap();
            assert_eq!(signed.len(), count);
            for (one, parts) in signed.iter().zip(&messages) {
                let verified = check(&world, one, parts).unwrap();
                let leaf =
                    xades::leaf(&one.signature, parts, &Material::new(&one.material).unwrap()).unwrap();
                assert_eq!((one.leaf, verified.leaf()), (leaf, leaf));
                let shared = |signed: &Signed| wire::Signature { batch: None, ..signed.signature.clone() };
                assert_eq!(shared(one), shared(&signed[0]), "all but the way is the same");
            }
        }
    }
}

#[test]
fn one_message_is_signed_directly_and_too_many_are_not() {
    let world = World::new();
    let credential = world.credential(&Wish { kind: NewKeyKind::Ed25519, ..Wish::default() });
    let alone = sign_batch(&messages(1), &credential, NOW).unwrap();
    assert_eq!(alone[0].signature, sign(&messages(1)[0], &credential, NOW).unwrap().signature);
    for count in [0, SIGNATURE_BATCH_MAX + 1] {
        let refusal = sign_batch(&messages(count), &credential, NOW).unwrap_err();
        assert_eq!(refusal, SignError::Token("a batch has 1 to 64 messages".to_owned()));
    }
}

#[test]
fn what_is_not_in_the_batch_is_refused() {
    let world = World::new();
    let credential = world.credential(&Wish::default());
    let messages = messages(5);
    let signed = sign_batch(&messages, &credential, NOW).unwrap();
    let refused = |parts: &Parts| check(&world, &signed[1], parts).unwrap_err();
    let Parts { message, body } = messages[1];
    // Another message's proof, a body that is not covered, a body left out, parts that changed places.
    assert_eq!(refused(&messages[0]), SignatureError::Value);
    assert_eq!(refused(&messages[2]), SignatureError::Value);
    assert_eq!(refused(&Parts { message, body: None }), SignatureError::Value);
    assert_eq!(refused(&Parts { message, body: Some(sha512(b"other")) }), SignatureError::Value);
    assert_eq!(refused(&Parts { message: body.unwrap(), body: Some(message) }), SignatureError::Value);
    let with_body = Parts { body: Some(sha512(b"{}")), ..messages[0] };
    assert_eq!(check(&world, &signed[0], &with_body).unwrap_err(), SignatureError::Value);
}

#[test]
fn a_proof_is_the_only_one() {
    let world = World::new();
    let credential = world.credential(&Wish::default());
    let messages = messages(8);
    let signed = sign_batch(&messages, &credential, NOW).unwrap();
    let other = sign_batch(&messages[..4], &credential, NOW).unwrap();
    let refused = |change: &dyn Fn(&mut Signed)| {
        let mut altered = signed[3].clone();
        change(&mut altered);
        check(&world, &altered, &messages[3]).unwrap_err()
    };
    let form = SignatureError::Malformed("the way through the signature batch is not in its only form");
    let swap = |bytes: &mut [u8], (from, to): (usize, usize)| {
        for at in 0..32 {
            bytes.swap(from * 32 + at, to * 32 + at);
        }
    };
    for levels in [(0, 1), (1, 2), (0, 2)] {
        assert_eq!(refused(&|s| swap(&mut proof(s).siblings, levels)), SignatureError::Value);
    }
    for bit in 0..3 {
        assert_eq!(refused(&|s| proof(s).left ^= 1 << bit), SignatureError::Value);
    }
    assert_eq!(refused(&|s| proof(s).left ^= 1 << 3), form);
    for length in [0, 31, 95] {
        assert_eq!(refused(&|s| proof(s).siblings.truncate(length)), form);
    }
    assert_eq!(
        refused(&|s| *proof(s) = wire::BatchProof { siblings: vec![1; 64], left: 0 }),
        SignatureError::Value
    );
    for deeper in [1, 2, 3] {
        assert_eq!(refused(&|s| proof(s).siblings.extend(vec![0; 32 * deeper])), SignatureError::Value);
    }
    for deep in [4, 1000] {
        assert_eq!(refused(&|s| proof(s).siblings.extend(vec![0; 32 * deep])), form);
    }
    // A plain signature in place of a batch signature, another place in the batch, the root of another batch.
    assert_eq!(refused(&|s| s.signature.batch = None), SignatureError::Value);
    assert_eq!(refused(&|s| s.signature.batch = signed[2].signature.batch.clone()), SignatureError::Value);
    assert_eq!(refused(&|s| s.signature.batch = other[3].signature.batch.clone()), SignatureError::Value);
    assert_eq!(refused(&|s| s.signature.value = other[3].signature.value.clone()), SignatureError::Value);
    let plain = sign(&messages[3], &credential, NOW).unwrap();
    assert_eq!(refused(&|s| s.signature.value = plain.signature.value.clone()), SignatureError::Value);
}

/// A signer that is known has verified the root once. What is not in the batch, or is signed otherwise, is still refused.
#[test]
fn a_verified_root_vouches_for_its_own_messages_only() {
    let world = World::new();
    let credential = world.credential(&Wish::default());
    let messages = messages(8);
    let signed = sign_batch(&messages, &credential, NOW).unwrap();
    let known = check(&world, &signed[0], &messages[0]).unwrap().signer().clone();
    let check = |signed: &Signed, parts: &Parts| {
        let material = Material::new(&signed.material).unwrap();
        let known = |_: &_| Some(known.clone());
        verify_with(&signed.signature, parts, &material, &world.expected(), known).map(|_| ())
    };
    for (one, parts) in signed.iter().zip(&messages) {
        assert_eq!(check(one, parts), Ok(()));
    }
    assert_eq!(check(&signed[1], &messages[2]), Err(SignatureError::Value));
    let refused = |change: &dyn Fn(&mut Signed)| {
        let mut altered = signed[1].clone();
        change(&mut altered);
        check(&altered, &messages[1]).unwrap_err()
    };
    assert_eq!(refused(&|s| s.signature.value[40] ^= 1), SignatureError::Value);
    assert_eq!(refused(&|s| s.signature.signing_time_ms += 1000), SignatureError::Value);
    assert_eq!(refused(&|s| proof(s).siblings[0] ^= 1), SignatureError::Value);
    assert_eq!(refused(&|s| s.signature.batch = None), SignatureError::Value);
    let unfit = SignatureError::Malformed("the signature method does not fit the key");
    assert_eq!(refused(&|s| s.signature.method = wire::SignatureMethod::Ed25519.into()), unfit);
    let another = sign_batch(&messages[..2], &credential, NOW).unwrap();
    assert_eq!(check(&another[1], &messages[1]), Ok(()));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever single bit changes on the way, the signature is refused.
    #[test]
    fn no_bit_of_the_compact_form_can_change(position in any::<prop::sample::Index>(), bit in 0_u8..8, place in 0_usize..7) {
        let world = World::new();
        let messages = messages(7);
        let signed = sign_batch(&messages, &world.credential(&Wish::default()), NOW).unwrap();
        let mut altered = signed[place].clone();
        let mut bytes = altered.signature.encode_to_vec();
        let position = position.index(bytes.len());
        bytes[position] ^= 1 << bit;
        if let Ok(signature) = wire::Signature::decode(bytes.as_slice()) {
            // Bits of a field that this version does not know are not part of the signature.
            prop_assume!(signature != altered.signature);
            altered.signature = signature;
            prop_assert!(check(&world, &altered, &messages[place]).is_err());
        }
    }
}

#[test]
fn a_container_of_a_batch_passes_every_check() {
    for (count, place) in [(2, 0), (2, 1), (3, 2), (7, 3), (64, 63)] {
        for body in [None, Some(&b"{}"[..])] {
            let exported = Exported::in_batch(World::new(), body, count, place);
            for verdict in [exported.verdict(), exported.record_verdict()] {
                assert!(verdict.report.passed(), "{}", verdict.report);
                let chain = verdict.report.checks.iter().find(|check| check.name == "signature.hash_chain");
                assert!(
                    chain.unwrap().reason.contains("lead from the parts to the signed result of a batch")
                );
            }
            let names: Vec<_> = entries(&exported.container()).into_iter().map(|(name, _)| name).collect();
            assert!(names.iter().any(|name| name == "sig-hashchainresult.xml"), "{names:?}");
            assert!(names.iter().any(|name| name == "sig-hashchain.xml"), "{names:?}");
        }
    }
}

/// With repaired checksums and without a timestamp, so that only the signature and the layout can tell.
#[test]
fn every_single_byte_of_a_batch_container_counts() {
    let mut exported = Exported::in_batch(World::new(), Some(b"{}"), 3, 1);
    exported.stamp = None;
    let snapshot = exported.snapshot();
    let good = exported.container();
    assert_eq!(verify::container(Cursor::new(&good), &snapshot).report.failed().count(), 0);
    for (name, content) in entries(&good) {
        for at in 0..content.len() {
            let altered = repaired(&good, &name, |content| content[at] ^= 1 << (at % 8));
            let verdict = verify::container(Cursor::new(&altered), &snapshot);
            assert!(verdict.report.failed().count() > 0, "{name}, byte {at}\n{}", verdict.report);
        }
    }
    for at in 0..good.len() {
        let mut altered = good.clone();
        altered[at] ^= 0xff;
        let verdict = verify::container(Cursor::new(&altered), &snapshot);
        assert!(verdict.report.failed().count() > 0, "byte {at}\n{}", verdict.report);
    }
}

/// The container with one of its files written by this change of its text.
fn rewritten(exported: &Exported, file: &str, change: &dyn Fn(&str) -> String) -> Vec<u8> {
    let mut parts = entries(&exported.container());
    let (_, content) = parts.iter_mut().find(|(name, _)| name == file).unwrap();
    *content = change(std::str::from_utf8(content).unwrap()).into_bytes();
    pack(&parts, CompressionMethod::Stored)
}

#[track_caller]
fn chain_fails(exported: &Exported, container: Vec<u8>, why: &str) {
    let verdict = verify::container(Cursor::new(container), &exported.snapshot());
    let check = verdict.report.checks.iter().find(|check| check.name == "signature.hash_chain").unwrap();
    assert_eq!((check.outcome, check.reason.as_str()), (Outcome::Failed, why), "{}", verdict.report);
}

#[test]
fn a_chain_that_is_not_about_exactly_the_parts_fails() {
    let exported = Exported::in_batch(World::new(), Some(b"{}"), 4, 2);
    let another = Exported::in_batch(World::new(), Some(b"{}"), 4, 3);
    let chain = |change: &dyn Fn(&str) -> String| rewritten(&exported, "sig-hashchain.xml", change);
    let elsewhere = "the steps do not lead to the result";
    chain_fails(
        &exported,
        chain(&|text| text.replace("/attachment1", "/attachment2")),
        "the hash chain is not about /attachment1 at its place",
    );
    chain_fails(
        &exported,
        chain(&|text| text.replace("/message.xml", "/massage.xml")),
        "the hash chain is not about /message.xml at its place",
    );
    let message = |text: &str| {
        let (start, end) =
            (text.find("<DataRef").unwrap(), text.find("</DataRef>").unwrap() + "</DataRef>".len());
        text[start..end].to_owned()
    };
    chain_fails(
        &exported,
        chain(&|text| text.replacen(&message(text), &message(text).repeat(2), 1)),
        elsewhere,
    );
    chain_fails(&exported, chain(&|text| text.replacen(&message(text), "", 1)), elsewhere);
    let foreign = |file: &str| {
        let parts = entries(&another.container());
        String::from_utf8(parts.into_iter().find(|(name, _)| name == file).unwrap().1).unwrap()
    };
    chain_fails(&exported, chain(&|_| foreign("sig-hashchain.xml")), elsewhere);
    let result = rewritten(&exported, "sig-hashchainresult.xml", &|_| foreign("sig-hashchainresult.xml"));
    chain_fails(&exported, result, "the result of the hash chain is not what was signed");
}

/// X-Road's verifier lets this pass.
#[test]
fn a_chain_that_nothing_signs_fails() {
    let plain = Exported::request(Some(b"{}"));
    let batch = Exported::in_batch(World::new(), Some(b"{}"), 2, 0);
    let files = |exported: &Exported, chain: bool| -> Vec<_> {
        entries(&exported.container())
            .into_iter()
            .filter(|(name, _)| name.starts_with("sig-") == chain)
            .collect()
    };
    let mut added = files(&plain, false);
    added.splice(5..5, files(&batch, true));
    chain_fails(
        &plain,
        pack(&added, CompressionMethod::Stored),
        "there is a hash chain that the signature is not about",
    );
    let without = pack(&files(&batch, false), CompressionMethod::Stored);
    chain_fails(&batch, without, "there is no hash chain that leads to what was signed");
}

/// The body is not one of the parts that the chain is about, though it lies in the container.
#[test]
fn a_body_that_was_not_signed_fails() {
    let exported = Exported::in_batch(World::new(), None, 2, 0);
    let mut parts = entries(&exported.container());
    parts.insert(2, ("attachment1".to_owned(), b"{}".to_vec()));
    let container = pack(&parts, CompressionMethod::Stored);
    chain_fails(&exported, container, "the hash chain is not about /attachment1 at its place");
}

#[test]
fn xmlsec1_accepts_the_signature_over_the_result() {
    let exported = Exported::in_batch(World::new(), Some(b"{}"), 5, 2);
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("META-INF")).unwrap();
    for (name, content) in entries(&exported.container()) {
        fs::write(dir.path().join(name), content).unwrap();
    }
    let Some(verdict) = xmlsec1(dir.path()) else { return };
    let text = says(&verdict);
    assert!(verdict.status.success() && text.contains("SignedInfo References (ok/all): 2/2"), "{text}");
    for file in ["sig-hashchain.xml", "sig-hashchainresult.xml"] {
        let Some(xmllint) = run(dir.path(), "xmllint", &["--c14n", file]) else { return };
        assert_eq!(
            xmllint.stdout,
            fs::read(dir.path().join(file)).unwrap(),
            "{file} is its own canonical form"
        );
    }
    let path = dir.path().join("sig-hashchainresult.xml");
    let mut result = fs::read(&path).unwrap();
    result.push(b'\n');
    fs::write(&path, &result).unwrap();
    let Some(verdict) = xmlsec1(dir.path()) else { return };
    assert!(!verdict.status.success(), "{}", says(&verdict));
}

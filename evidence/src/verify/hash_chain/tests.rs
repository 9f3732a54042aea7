use std::io::{Cursor, Read};
use std::path::Path;

use kogge_proto::wire::evidence as wire;
use zip::ZipArchive;

use kogge_proto::digest::{Sha256, sha256, sha512};

use super::*;
use crate::hash_chain::timestamps;
use crate::signature::Parts;
use crate::xades;

/// A message with a body, the third of four.
fn good() -> (String, String) {
    let parts = Parts { message: sha512(b"message"), body: Some(sha512(b"body")) };
    let batch = wire::BatchProof { siblings: [[1; 32], [2; 32]].concat(), left: 0b10 };
    let signature = wire::Signature {
        method: wire::SignatureMethod::Ed25519.into(),
        value: vec![0; 64],
        certificate_sha256: vec![3; 32],
        ocsp_sha256: vec![4; 32],
        batch: Some(batch),
        ..wire::Signature::default()
    };
    let files = xades::hash_chain(&signature, &parts).unwrap().unwrap();
    (String::from_utf8(files.result).unwrap(), String::from_utf8(files.chain).unwrap())
}

#[track_caller]
fn refused(result: &str, chain: &str) -> String {
    match read(result.as_bytes(), chain.as_bytes()) {
        Err(reason) => reason,
        Ok(_) => panic!("accepted: {result} {chain}"),
    }
}

/// Refused with a change of the chain.
#[track_caller]
fn with(from: &str, to: &str) -> String {
    let (result, chain) = good();
    assert!(chain.contains(from), "{from}");
    refused(&result, &chain.replacen(from, to, 1))
}

#[test]
fn the_steps_are_followed_to_the_result() {
    let (result, chain) = good();
    let chain = read(result.as_bytes(), chain.as_bytes()).unwrap_or_else(|reason| panic!("{reason}"));
    assert_eq!(chain.steps().len(), 3);
    let data: Vec<_> = chain.data().map(|data| data.uri.as_str()).collect();
    assert_eq!(data, ["/message.xml", "/attachment1"]);
    assert_eq!(chain.siblings(), Some(([[1; 32], [2; 32]].concat(), 0b10)));
}

#[test]
fn what_leads_elsewhere_is_refused() {
    let elsewhere = "the steps do not lead to the result";
    let digest = |byte: u8| {
        use base64::Engine;
        base64::engine::general_purpose::STANDARD.encode([byte; 32])
    };
    let sibling = |byte| format!("<HashValue><ds:DigestValue>{}</ds:DigestValue></HashValue>", digest(byte));
    assert_eq!(with(&digest(1), &digest(9)), elsewhere);
    let below = "<StepRef URI=\"#STEP2\"></StepRef>";
    assert_eq!(with(&format!("{below}{}", sibling(1)), &format!("{}{below}", sibling(1))), elsewhere);
    assert_eq!(with(&sibling(1), ""), elsewhere);
    assert_eq!(with(&sibling(1), &sibling(1).repeat(2)), elsewhere);
    let (result, chain) = good();
    assert_eq!(
        refused(&result.replace("#STEP0", "#STEP1"), &chain),
        "the step \"STEP0\" does not lead to the result"
    );
    assert_eq!(refused(&result.replace("#sha256", "#sha512"), &chain), elsewhere);
    let step2 = chain.find("<HashStep id=\"STEP2\">").unwrap();
    let body = chain.find("<DataRef URI=\"/attachment1\">").unwrap();
    let end = chain.len() - "</HashStep></HashChain>".len();
    let swapped = [&chain[..step2 + 21], &chain[body..end], &chain[step2 + 21..body], &chain[end..]].concat();
    assert_eq!(refused(&result, &swapped), elsewhere);
}

#[test]
fn steps_are_there_once_and_reached_once() {
    assert_eq!(
        with("id=\"STEP2\"", "id=\"STEP3\""),
        "the step \"STEP2\" is not there, or was reached before"
    );
    assert_eq!(with("id=\"STEP2\"", "id=\"STEP1\""), "the chain: the Id \"STEP1\" stands twice");
    assert_eq!(
        with("URI=\"#STEP2\"", "URI=\"#STEP0\""),
        "the step \"STEP0\" is not there, or was reached before"
    );
    assert_eq!(
        with("URI=\"#STEP2\"", "URI=\"#STEP1\""),
        "the step \"STEP1\" is not there, or was reached before"
    );
    assert_eq!(with("URI=\"#STEP2\"", "URI=\"/x.xml#STEP2\""), "the chain: a step refers to another file");
    let more = "<HashStep id=\"STEP3\"><StepRef URI=\"#STEP2\"></StepRef></HashStep></HashChain>";
    assert_eq!(with("</HashChain>", more), "the step \"STEP3\" does not lead to the result");
    let empty = "<HashStep id=\"STEP3\"></HashStep></HashChain>";
    assert_eq!(with("</HashChain>", empty), "the chain: a step stands on nothing");
}

#[test]
fn a_step_has_only_what_it_may_have() {
    assert_eq!(with("</HashStep>", "<x></x></HashStep>"), "the chain: HashStep must not have x here");
    assert_eq!(
        with("</HashStep>", "x</HashStep>"),
        "the chain: HashStep has text, a comment or an instruction between its elements"
    );
    let transforms = "<ds:Transforms></ds:Transforms><ds:DigestValue>";
    assert_eq!(with("<ds:DigestValue>", transforms), "the chain: HashValue lacks DigestValue at its place");
    assert_eq!(
        with("#sha512", "#sha384"),
        "the chain: the digest method \"http://www.w3.org/2001/04/xmlenc#sha384\" is not accepted"
    );
    assert_eq!(
        with("xmlenc#sha512\"></ds:DigestMethod>", "xmlenc#sha256\"></ds:DigestMethod>"),
        "the chain: a digest by http://www.w3.org/2001/04/xmlenc#sha256 has a wrong length"
    );
    assert_eq!(
        with("<HashChain ", "<!DOCTYPE x><HashChain "),
        "the chain: not acceptable XML: XML with DTD detected"
    );
    assert_eq!(with("cyber.ee/hashchain", "cyber.ee/other"), "the chain: the document is not one HashChain");
    let (result, chain) = good();
    assert_eq!(refused(&chain, &chain), "the result: the document is not one HashChainResult");
    assert_eq!(
        refused(&result.replace("/sig-hashchain.xml#", "/ts-hashchain.xml#"), &chain),
        "the result: it is about \"/ts-hashchain.xml#STEP0\""
    );
}

/// Deep, wide and long documents end before they cost anything.
#[test]
fn hostile_sizes_are_refused() {
    let step = |number: usize| {
        format!("<HashStep id=\"S{number}\"><StepRef URI=\"#S{}\"></StepRef></HashStep>", number + 1)
    };
    let deep: String = (0..STEPS_MAX + 1).map(step).collect();
    assert_eq!(with("</HashChain>", &format!("{deep}</HashChain>")), "the chain: it has more than 64 steps");
    let wide = "<StepRef URI=\"#STEP2\"></StepRef>".repeat(900);
    assert_eq!(
        with("</HashStep>", &format!("{wide}</HashStep>")),
        "the step \"STEP2\" is not there, or was reached before"
    );
    let long = "<a></a>".repeat(2000);
    assert_eq!(
        with("</HashChain>", &format!("{long}</HashChain>")),
        "the chain: not acceptable XML: nodes limit reached"
    );
    let space = " ".repeat(XML_BYTES_MAX);
    assert_eq!(
        with("</HashChain>", &format!("{space}</HashChain>")),
        "the chain: the document is larger than 32768 bytes"
    );
}

/// Two of the containers that X-Road tests its own verifier with.
#[test]
fn x_roads_own_hash_chains_lead_to_their_results() {
    let vectors = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/xroad");
    for (file, holds) in
        [("valid-signed-hashchain.asice", true), ("invalid-not-signed-hashchain.asice", true)]
    {
        let bytes = std::fs::read(vectors.join(file)).unwrap();
        let mut container = ZipArchive::new(Cursor::new(bytes)).unwrap();
        let mut entry = |name: &str| {
            let mut content = Vec::new();
            container.by_name(name).unwrap().read_to_end(&mut content).unwrap();
            content
        };
        let (result, chain) = (entry("sig-hashchainresult.xml"), entry("sig-hashchain.xml"));
        let (message, signatures) = (entry("message.xml"), entry("META-INF/signatures.xml"));
        let read = read(&result, &chain).unwrap_or_else(|reason| panic!("{file}: {reason}"));
        let data: Vec<_> = read.data().map(|data| (data.uri.as_str(), data.digest.value.clone())).collect();
        assert_eq!(data.iter().map(|(uri, _)| *uri).collect::<Vec<_>>(), ["/message.xml", "/attachment1"]);
        let signed = String::from_utf8(signatures).unwrap().contains("URI=\"/sig-hashchainresult.xml\"");
        let is_about_message = data[0].1 == sha512(&message).as_bytes();
        let expected = holds && file.starts_with("valid");
        assert_eq!((signed, is_about_message), (expected, expected), "{file}");

        let mut altered = chain.clone();
        let at = String::from_utf8(chain).unwrap().find("<DigestValue>").unwrap() + 20;
        altered[at] = if altered[at] == b'A' { b'B' } else { b'A' };
        assert_eq!(
            super::read(&result, &altered).err().as_deref(),
            Some("the steps do not lead to the result")
        );
    }
}

/// Signature documents of a batch of timestamps, by their digests.
fn stamped(count: u32) -> Vec<Sha256> {
    (0..count).map(|number| sha256(&number.to_be_bytes())).collect()
}

#[test]
fn each_stamped_signature_leads_to_the_result_whatever_their_number() {
    for count in 1..=20 {
        let leaves = stamped(count);
        let result = timestamps::result_document(&leaves).unwrap();
        for (place, leaf) in leaves.iter().enumerate() {
            let chain = timestamps::chain_document(&leaves, place).unwrap();
            let chain = read_timestamps(result.as_bytes(), chain.as_bytes())
                .unwrap_or_else(|reason| panic!("{place} of {count}: {reason}"));
            let data: Vec<_> =
                chain.data().map(|data| (data.uri.as_str(), data.digest.value.clone())).collect();
            assert_eq!(data, [("/META-INF/signatures.xml", leaf.as_bytes().to_vec())], "{place} of {count}");
        }
    }
}

#[test]
fn a_stamped_signature_does_not_lead_to_the_result_of_another_batch() {
    let result = timestamps::result_document(&stamped(5)).unwrap();
    let mut swapped = stamped(5);
    swapped.swap(0, 1);
    let others = [1, 2, 3, 4, 8].map(stamped);
    for leaves in others.iter().chain([&swapped]) {
        let chain = timestamps::chain_document(leaves, 0).unwrap();
        let Err(reason) = read_timestamps(result.as_bytes(), chain.as_bytes()) else { panic!("{leaves:?}") };
        assert_eq!(reason, "the steps do not lead to the result");
    }
    assert_eq!(timestamps::result_document(&[]), None);
    assert_eq!(timestamps::chain_document(&[], 0), None);
    assert_eq!(timestamps::chain_document(&stamped(2), 2), None);
}

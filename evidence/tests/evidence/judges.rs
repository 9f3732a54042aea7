//! What programs of others say about our containers: xmlsec1, unzip, openssl.

use std::fs;
use std::io::Cursor;
use std::path::Path;
use std::process::{Command, Output};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use kogge_evidence::container::{self, Body, Contents};
use kogge_evidence::evidence_record::{EvidenceRecord, batch_root};
use kogge_evidence::material::Material;
use kogge_evidence::signature::{Parts, sign};
use kogge_proto::digest::{sha256, sha512};
use kogge_proto::wire::log::{StampLeaf, StampRecord};
use kogge_signer::NewKeyKind;
use tempfile::TempDir;

use crate::world::{NOW, Wish, World};

const MESSAGE: &[u8] = b"POST /r1/TEST/GOV/70000002/POPULATION/persons\r\nx-road-id:1\r\n\r\n";
const BODY: &[u8] = br#"{"code":"12345678901"}"#;

/// A container of one message, unpacked by `unzip`; `None` without that program.
fn unpacked(wish: &Wish, body: bool) -> Option<TempDir> {
    let world = World::new();
    let parts = Parts { message: sha512(MESSAGE), body: body.then(|| sha512(BODY)) };
    let signed = sign(&parts, &world.credential(wish), NOW).unwrap();
    let material = Material::new(&signed.material).unwrap();
    let contents = Contents {
        message: MESSAGE,
        parts,
        signature: &signed.signature,
        material: &material,
        evidence_record: None,
    };
    let mut file = Cursor::new(Vec::new());
    let mut content = BODY;
    let body = body.then(|| Body { length: BODY.len() as u64, content: &mut content });
    container::write(&mut file, &contents, body).unwrap();

    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("message.asice"), file.into_inner()).unwrap();
    let unzip = run(dir.path(), "unzip", &["-q", "message.asice"])?;
    assert!(unzip.status.success(), "{}", String::from_utf8_lossy(&unzip.stderr));
    Some(dir)
}

pub(crate) fn run(dir: &Path, program: &str, arguments: &[&str]) -> Option<Output> {
    match Command::new(program).args(arguments).current_dir(dir).output() {
        Ok(output) => Some(output),
        Err(error) => {
            assert_ne!(std::env::var("CI").as_deref(), Ok("true"), "{program}: {error}");
            eprintln!("SKIPPED: {program}: {error}");
            None
        }
    }
}

pub(crate) fn xmlsec1(dir: &Path) -> Option<Output> {
    let arguments = [
        "--verify",
        "--insecure",
        "--id-attr:Id",
        "http://uri.etsi.org/01903/v1.3.2#:SignedProperties",
        "--url-map:/message.xml",
        "message.xml",
        "--url-map:/attachment1",
        "attachment1",
        "--url-map:/sig-hashchainresult.xml",
        "sig-hashchainresult.xml",
        "META-INF/signatures.xml",
    ];
    run(dir, "xmlsec1", &arguments)
}

pub(crate) fn says(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

#[test]
fn xmlsec1_accepts_the_signature_and_every_reference() {
    for kind in [NewKeyKind::EcdsaP256, NewKeyKind::Rsa(2048)] {
        for (body, references) in [(false, "2/2"), (true, "3/3")] {
            let wish = Wish { kind, by_intermediate: body, ..Wish::default() };
            let Some(dir) = unpacked(&wish, body) else { return };
            let Some(verdict) = xmlsec1(dir.path()) else { return };
            let text = says(&verdict);
            assert!(verdict.status.success(), "{kind:?} {body}: {text}");
            let counted = format!("SignedInfo References (ok/all): {references}");
            assert!(text.contains(&counted), "{kind:?} {body}: {text}");
        }
    }
}

#[test]
fn xmlsec1_refuses_what_was_altered() {
    for (file, from, to) in [
        ("message.xml", "POST", "GET"),
        ("attachment1", "1", "2"),
        ("META-INF/signatures.xml", "2026-11-24T03:02:01Z", "2026-11-24T03:02:02Z"),
        ("META-INF/signatures.xml", "text/plain", "text/other"),
        ("META-INF/signatures.xml", "URI=\"/message.xml\"", "URI=\"message.xml\""),
    ] {
        let Some(dir) = unpacked(&Wish::default(), true) else { return };
        let path = dir.path().join(file);
        let text = fs::read_to_string(&path).unwrap();
        fs::write(&path, text.replacen(from, to, 1)).unwrap();
        let Some(verdict) = xmlsec1(dir.path()) else { return };
        assert!(!verdict.status.success(), "{file} {to}: {}", says(&verdict));
    }
}

#[test]
fn xmlsec1_accepts_ed25519_where_it_knows_it() {
    let Some(dir) = unpacked(&Wish { kind: NewKeyKind::Ed25519, ..Wish::default() }, true) else { return };
    let Some(known) = run(dir.path(), "xmlsec1", &["--list-transforms"]) else { return };
    if !says(&known).contains("eddsa-ed25519") {
        eprintln!("SKIPPED: this version of xmlsec1 does not know Ed25519");
        return;
    }
    let Some(verdict) = xmlsec1(dir.path()) else { return };
    assert!(verdict.status.success(), "{}", says(&verdict));
}

#[test]
fn openssl_reads_the_certificates_inside() {
    let Some(dir) = unpacked(&Wish { by_intermediate: true, ..Wish::default() }, false) else { return };
    let signatures = fs::read_to_string(dir.path().join("META-INF/signatures.xml")).unwrap();
    let document = roxmltree::Document::parse(&signatures).unwrap();
    for (element, subject) in
        [("X509Certificate", "CN = 70000001"), ("EncapsulatedX509Certificate", "CN = Test Inter")]
    {
        let node = document.descendants().find(|node| node.tag_name().name() == element).unwrap();
        fs::write(dir.path().join("certificate.der"), STANDARD.decode(node.text().unwrap()).unwrap())
            .unwrap();
        let arguments = ["x509", "-inform", "DER", "-in", "certificate.der", "-noout", "-subject"];
        let Some(openssl) = run(dir.path(), "openssl", &arguments) else { return };
        assert!(openssl.status.success() && says(&openssl).contains(subject), "{}", says(&openssl));
    }
}

/// Whoever has only the container computes the root from `META-INF/signatures.xml`; openssl judges the token over it.
#[test]
fn openssl_accepts_the_token_of_an_evidence_record() {
    let world = World::new();
    let signatures = b"bytes of META-INF/signatures.xml";
    let leaves = [sha256(b"one"), sha256(signatures), sha256(b"three")];
    let previous = sha256(b"previous batch");
    let root = batch_root(Some(previous), &leaves).unwrap();
    let (token, tsa) = world.token(root);
    let stamp = StampRecord {
        token,
        leaves: leaves
            .iter()
            .zip(7..)
            .map(|(leaf, sequence)| StampLeaf { sequence, sha256: leaf.as_bytes().to_vec() })
            .collect(),
        previous_root: previous.as_bytes().to_vec(),
        root: root.as_bytes().to_vec(),
        ..StampRecord::default()
    };
    let record = EvidenceRecord::of_batch(&stamp, 8).unwrap();
    let read = EvidenceRecord::from_der(&record.to_der()).unwrap();

    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("token.tst"), &read.first.token).unwrap();
    fs::write(dir.path().join("tsa.pem"), tsa.to_pem()).unwrap();
    let time = NOW.seconds().to_string();
    for (leaf, accepted) in [(sha256(signatures), true), (sha256(b"one"), false)] {
        let digest = read.root_of(leaf).unwrap_or(leaf).to_string();
        let arguments = [
            "ts",
            "-verify",
            "-token_in",
            "-in",
            "token.tst",
            "-digest",
            &digest,
            "-CAfile",
            "tsa.pem",
            "-partial_chain",
            "-attime",
            &time,
        ];
        let Some(openssl) = run(dir.path(), "openssl", &arguments) else { return };
        assert_eq!(openssl.status.success(), accepted, "{}", says(&openssl));
    }
}

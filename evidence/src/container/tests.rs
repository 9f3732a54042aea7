use std::io::Cursor;
use std::process::Command;

use kogge_proto::wire::log::{Body as LoggedBody, NotKept, StampLeaf};
use zip::ZipArchive;

use super::*;
use crate::evidence_record::batch_root;

pub(super) const SEQUENCE: u64 = 41;

pub(super) fn material() -> wire::Material {
    wire::Material { items: vec!["certificate".into(), "OCSP response".into()] }
}

pub(super) fn record(body: Option<Place>) -> MessageRecord {
    let named = |item: &str| sha256(item.as_bytes()).as_bytes().to_vec();
    MessageRecord {
        message: "GET /r1/ HTTP/1.1\r\n\r\n".into(),
        body: body.map(|place| LoggedBody {
            length: 2,
            sha512: sha512(b"{}").as_bytes().to_vec(),
            place: Some(place),
        }),
        signature: Some(wire::Signature {
            method: wire::SignatureMethod::EcdsaP256Sha256.into(),
            signing_time_ms: 1_795_489_321_000,
            value: vec![0xAB; 64],
            certificate_sha256: named("certificate"),
            ocsp_sha256: named("OCSP response"),
            issuer_sha256: vec![],
            batch: None,
        }),
        ..MessageRecord::default()
    }
}

pub(super) fn inline() -> MessageRecord {
    record(Some(Place::Inline("{}".into())))
}

pub(super) fn in_file() -> MessageRecord {
    record(Some(Place::File("41".to_owned())))
}

pub(super) fn not_kept() -> MessageRecord {
    record(Some(Place::NotKept(NotKept::default())))
}

/// The batch of `record` and one other.
pub(super) fn stamp(record: &MessageRecord) -> StampRecord {
    let material = Material::new(&material()).unwrap();
    let own = xades::leaf(record.signature.as_ref().unwrap(), &parts_of(record).unwrap(), &material).unwrap();
    let leaves = [sha256(b"another record"), own];
    StampRecord {
        // A ContentInfo of SignedData without content: this module does not look at it.
        token: hex::decode("300f06092a864886f70d010702a0020500").unwrap(),
        leaves: leaves
            .iter()
            .zip(SEQUENCE - 1..)
            .map(|(leaf, sequence)| StampLeaf { sequence, sha256: leaf.as_bytes().to_vec() })
            .collect(),
        previous_root: vec![],
        checkpoint: vec![],
        xroad_token: b"token over X-Road's hash chain".to_vec(),
        root: batch_root(None, &leaves).unwrap().as_bytes().to_vec(),
    }
}

fn export(
    record: &MessageRecord,
    stamp: Option<&StampRecord>,
    body: Option<&mut dyn Read>,
) -> Result<Vec<u8>, ContainerError> {
    let mut out = Cursor::new(Vec::new());
    write_record(&mut out, SEQUENCE, record, &material(), stamp, body)?;
    Ok(out.into_inner())
}

fn refusal(record: &MessageRecord, stamp: Option<&StampRecord>, body: Option<&mut dyn Read>) -> String {
    export(record, stamp, body).unwrap_err().to_string()
}

pub(super) fn names(container: &[u8]) -> Vec<String> {
    let mut archive = ZipArchive::new(Cursor::new(container)).unwrap();
    (0..archive.len()).map(|index| archive.by_index(index).unwrap().name().unwrap().into_owned()).collect()
}

pub(super) fn entry(container: &[u8], name: &str) -> Vec<u8> {
    let mut content = Vec::new();
    let mut archive = ZipArchive::new(Cursor::new(container)).unwrap();
    archive.by_name(name).unwrap().read_to_end(&mut content).unwrap();
    content
}

#[test]
fn a_stamped_record_is_complete() {
    let record = inline();
    let stamp = stamp(&record);
    let container = export(&record, Some(&stamp), None).unwrap();
    assert_eq!(
        names(&container),
        [MIMETYPE, MESSAGE, BODY, MANIFEST, SIGNATURES, EVIDENCE_RECORD, EVIDENCE_RECORD_MANIFEST]
    );
    assert_eq!(entry(&container, MESSAGE), &record.message[..]);
    assert_eq!(entry(&container, BODY), b"{}");
    let leaf = sha256(&entry(&container, SIGNATURES));
    let evidence_record = EvidenceRecord::from_der(&entry(&container, EVIDENCE_RECORD)).unwrap();
    assert_eq!(evidence_record.root_of(leaf).unwrap().as_bytes(), stamp.root);
    let manifest = String::from_utf8(entry(&container, EVIDENCE_RECORD_MANIFEST)).unwrap();
    assert!(manifest.contains(&STANDARD.encode(leaf.as_bytes())));
}

#[test]
fn the_same_record_gives_the_same_bytes_wherever_its_body_lies() {
    let from_record = export(&inline(), None, None).unwrap();
    let from_file = export(&in_file(), None, Some(&mut &b"{}"[..])).unwrap();
    assert_eq!(from_record, from_file);
    assert_eq!(from_record, export(&inline(), None, None).unwrap());
}

#[test]
fn a_message_without_body_has_no_attachment() {
    let container = export(&record(None), None, None).unwrap();
    assert_eq!(names(&container), [MIMETYPE, MESSAGE, MANIFEST, SIGNATURES]);
    assert_eq!(manifest_paths(&container), ["/", MESSAGE]);
    assert_eq!(manifest_paths(&export(&inline(), None, None).unwrap()), ["/", MESSAGE, BODY]);
}

fn manifest_paths(container: &[u8]) -> Vec<String> {
    let manifest = String::from_utf8(entry(container, MANIFEST)).unwrap();
    let document = roxmltree::Document::parse(&manifest).unwrap();
    let paths = document.root_element().children().filter_map(|entry| {
        entry.attribute(("urn:oasis:names:tc:opendocument:xmlns:manifest:1.0", "full-path"))
    });
    paths.map(str::to_owned).collect()
}

#[test]
fn the_media_type_stands_at_its_place() {
    let container = export(&record(None), None, None).unwrap();
    // EN 319 162-1 annex A.1: readable without a ZIP library.
    assert_eq!(&container[30..38], b"mimetype");
    assert_eq!(&container[38..69], MEDIA_TYPE.as_bytes());
}

#[test]
fn unzip_is_content() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("message.asice");
    let record = inline();
    std::fs::write(&path, export(&record, Some(&stamp(&record)), None).unwrap()).unwrap();
    let Ok(unzip) = Command::new("unzip").arg("-t").arg(&path).output() else {
        assert_ne!(std::env::var("CI").as_deref(), Ok("true"), "unzip is missing");
        eprintln!("SKIPPED: unzip is missing");
        return;
    };
    let text = String::from_utf8_lossy(&unzip.stdout).into_owned();
    assert!(unzip.status.success() && text.contains("No errors detected"), "{text}");
}

#[test]
fn a_body_that_was_not_kept_makes_the_same_container_once_it_is_given() {
    let kept = export(&inline(), Some(&stamp(&inline())), None).unwrap();
    let given = export(&not_kept(), Some(&stamp(&not_kept())), Some(&mut &b"{}"[..])).unwrap();
    assert!(kept == given, "the containers differ");
}

#[test]
fn an_altered_record_is_not_exported() {
    let altered = "attachment1 is not what was signed: the record or the body file is damaged";
    let short = "the container cannot be written: the body does not have its 2 bytes";
    let missing = "the body of the message is not there: it was left out of the log or erased";
    assert_eq!(refusal(&in_file(), None, Some(&mut &b"[]"[..])), altered);
    assert_eq!(refusal(&in_file(), None, Some(&mut &b"{"[..])), short);
    assert_eq!(refusal(&in_file(), None, Some(&mut &b"{} "[..])), short);
    assert_eq!(refusal(&in_file(), None, None), missing);
    assert_eq!(refusal(&not_kept(), None, Some(&mut &b"[]"[..])), altered);
    assert_eq!(refusal(&not_kept(), None, Some(&mut &b"{"[..])), short);
    assert_eq!(refusal(&not_kept(), None, None), missing);
    assert_eq!(refusal(&record(Some(Place::Inline("[]".into()))), None, None), altered);

    let mut erased = inline();
    erased.body.as_mut().unwrap().place = None;
    assert_eq!(refusal(&erased, None, None), missing);
    let mut unsigned = inline();
    unsigned.signature = None;
    assert_eq!(refusal(&unsigned, None, None), "the log record is damaged: it has no signature");
    let mut cut = inline();
    cut.body.as_mut().unwrap().sha512.pop();
    assert_eq!(refusal(&cut, None, None), "the log record is damaged: its body digest is not 64 bytes long");
}

#[test]
fn a_stamp_of_something_else_is_not_exported() {
    let record = inline();
    let other = "the timestamp is not about this signature: the record or its timestamp batch is damaged";
    let mut later = record.clone();
    later.signature.as_mut().unwrap().signing_time_ms += 1000;
    assert_eq!(refusal(&later, Some(&stamp(&record)), None), other);
    let mut elsewhere = stamp(&record);
    elsewhere.leaves[1].sequence += 1;
    assert_eq!(refusal(&record, Some(&elsewhere), None), "the timestamp batch does not cover the record 41");
    let mut alone = stamp(&later);
    alone.leaves.remove(0);
    alone.root = alone.leaves[0].sha256.clone();
    assert_eq!(refusal(&record, Some(&alone), None), other);
    assert!(export(&later, Some(&alone), None).is_ok());
}

#[test]
fn parts_other_than_the_signed_ones_are_not_written() {
    let record = inline();
    let material = Material::new(&material()).unwrap();
    let contents = |message: &'static [u8], body: Option<Sha512>| Contents {
        message,
        parts: Parts { message: sha512(b"message"), body },
        signature: record.signature.as_ref().unwrap(),
        material: &material,
        evidence_record: None,
    };
    let refused = |contents: Contents<'_>, body: Option<Body<'_>>| {
        write(Cursor::new(Vec::new()), &contents, body).unwrap_err().to_string()
    };
    assert_eq!(
        refused(contents(b"massage", None), None),
        "message.xml is not what was signed: the record or the body file is damaged"
    );
    let missing = "the body of the message is not there: it was left out of the log or erased";
    assert_eq!(refused(contents(b"message", Some(sha512(b""))), None), missing);
    let body = Body { length: 0, content: &mut io::empty() };
    assert_eq!(refused(contents(b"message", None), Some(body)), missing);
}

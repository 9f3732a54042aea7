use std::io::Cursor;

use super::super::tests::{SEQUENCE, entry, in_file, inline, material, names, not_kept, record, stamp};
use super::*;

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

/// A record that was signed together with others.
fn in_batch() -> MessageRecord {
    let mut record = inline();
    let signature = record.signature.as_mut().unwrap();
    signature.batch = Some(wire::BatchProof { siblings: vec![1; 32], left: 0 });
    record
}

#[test]
fn entries_stand_as_in_x_road() {
    let record = in_batch();
    let container = export(&record, Some(&stamp(&record)), None).unwrap();
    assert_eq!(
        names(&container),
        [
            "mimetype",
            "message.xml",
            "META-INF/signatures.xml",
            "sig-hashchainresult.xml",
            "sig-hashchain.xml",
            "ts-hashchainresult.xml",
            "ts-hashchain.xml",
            "META-INF/manifest.xml",
            "META-INF/ASiCManifest.xml",
            "META-INF/timestamp.tst",
            "attachment1"
        ]
    );
    assert_eq!(entry(&container, TIMESTAMP), stamp(&record).xroad_token);
}

#[test]
fn without_a_body_and_a_batch_there_is_less() {
    let record = record(None);
    let container = export(&record, Some(&stamp(&record)), None).unwrap();
    let expected = [
        MIMETYPE,
        MESSAGE,
        SIGNATURES,
        TIMESTAMP_CHAIN_RESULT,
        TIMESTAMP_CHAIN,
        MANIFEST,
        ASIC_MANIFEST,
        TIMESTAMP,
    ];
    assert_eq!(names(&container), expected);
    let unstamped = export(&record, None, None).unwrap();
    assert_eq!(names(&unstamped), [MIMETYPE, MESSAGE, SIGNATURES, MANIFEST]);
}

#[test]
fn the_signature_is_that_of_the_other_profile() {
    for record in [record(None), inline(), in_batch()] {
        let stamp = stamp(&record);
        let ours = export(&record, Some(&stamp), None).unwrap();
        let mut other = Cursor::new(Vec::new());
        super::super::write_record(&mut other, SEQUENCE, &record, &material(), Some(&stamp), None).unwrap();
        let other = other.into_inner();
        for name in [MESSAGE, SIGNATURES] {
            assert_eq!(entry(&ours, name), entry(&other, name));
        }
    }
}

#[test]
fn the_same_record_gives_the_same_bytes_wherever_its_body_lies() {
    let stamp = stamp(&inline());
    let from_record = export(&inline(), Some(&stamp), None).unwrap();
    assert_eq!(from_record, export(&in_file(), Some(&stamp), Some(&mut &b"{}"[..])).unwrap());
    assert_eq!(from_record, export(&not_kept(), Some(&stamp), Some(&mut &b"{}"[..])).unwrap());
}

#[test]
fn what_does_not_belong_together_is_refused() {
    let record = inline();
    let good = stamp(&record);
    let with = |change: &dyn Fn(&mut StampRecord)| {
        let mut stamp = good.clone();
        change(&mut stamp);
        refusal(&record, Some(&stamp), None)
    };
    let without = "this batch was stamped without X-Road's form";
    assert_eq!(with(&|stamp| stamp.xroad_token.clear()), without);
    assert_eq!(with(&|stamp| stamp.leaves.truncate(1)), "the timestamp batch does not cover the record 41");
    let other = ContainerError::OtherSignature.to_string();
    assert_eq!(with(&|stamp| stamp.leaves[1].sha256 = stamp.leaves[0].sha256.clone()), other);

    let missing = ContainerError::BodyMissing.to_string();
    assert_eq!(refusal(&in_file(), Some(&good), None), missing);
    let altered = "attachment1 is not what was signed: the record or the body file is damaged";
    assert_eq!(refusal(&in_file(), Some(&good), Some(&mut &b"[]"[..])), altered);
    let unsigned = MessageRecord { signature: None, ..record.clone() };
    assert_eq!(refusal(&unsigned, Some(&good), None), "the log record is damaged: it has no signature");
}

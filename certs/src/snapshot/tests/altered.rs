//! Bytes that are not exactly what was signed.

use kogge_proto::limits::SNAPSHOT_BYTES_MAX;
use proptest::prelude::*;
use prost::Message;

use super::fixture::{NOW, anchor, draft, forge, parts, sign};
use crate::snapshot::{SnapshotError, VerifiedSnapshot};

fn refusal(bytes: &[u8]) -> SnapshotError {
    VerifiedSnapshot::verify(bytes.to_vec(), &anchor(), NOW).unwrap_err()
}

#[test]
fn no_byte_can_be_flipped() {
    let anchor = anchor();
    let mut bytes = sign(&draft());
    assert!(VerifiedSnapshot::verify(bytes.clone(), &anchor, NOW).is_ok());
    for place in 0..bytes.len() {
        let mask = 1 << (place % 8);
        bytes[place] ^= mask;
        assert!(VerifiedSnapshot::verify(bytes.clone(), &anchor, NOW).is_err(), "bit {mask} of byte {place}");
        bytes[place] ^= mask;
    }
}

#[test]
fn no_byte_can_be_cut_off() {
    let (anchor, bytes) = (anchor(), sign(&draft()));
    for length in 0..bytes.len() {
        assert!(VerifiedSnapshot::verify(bytes[..length].to_vec(), &anchor, NOW).is_err(), "{length} bytes");
    }
}

#[test]
fn what_is_no_snapshot_is_malformed() {
    let envelope = SnapshotError::Malformed("signed snapshot");
    for junk in [&b"<html>"[..], b"\xff", b"\x0a\xff\xff\xff\xff\x7f", b"\x12\x02\x0a\x05"] {
        assert_eq!(refusal(junk), envelope, "{junk:?}");
    }
    let (signed, _) = parts(&draft());
    assert_eq!(refusal(&forge(b"\xff", &signed.snapshot)), SnapshotError::Malformed("delegation"));
    assert_eq!(refusal(&forge(&signed.delegation, b"\xff")), SnapshotError::Malformed("snapshot"));
}

#[test]
fn unknown_fields_and_other_encodings_are_refused_although_signed() {
    let (signed, _) = parts(&draft());
    // Field 99, and field 6 of a delegation (its threshold) once more.
    let unknown = b"\x9a\x06\x01x";
    let envelope = [signed.encode_to_vec().as_slice(), unknown].concat();
    assert_eq!(refusal(&envelope), SnapshotError::NotCanonical("signed snapshot"));
    let delegation = [signed.delegation.as_slice(), b"\x30\x01"].concat();
    assert_eq!(refusal(&forge(&delegation, &signed.snapshot)), SnapshotError::NotCanonical("delegation"));
    // The version before the instance: as long, and of the same content.
    let swapped = [b"\x10\x01\x0a\x02EE", &signed.delegation[6..]].concat();
    assert_ne!(swapped, signed.delegation);
    assert_eq!(refusal(&forge(&swapped, &signed.snapshot)), SnapshotError::NotCanonical("delegation"));
    let snapshot = [signed.snapshot.as_slice(), unknown].concat();
    assert_eq!(refusal(&forge(&signed.delegation, &snapshot)), SnapshotError::NotCanonical("snapshot"));
    // The version in two bytes instead of one: decodes to the same, and has another digest.
    let place = signed.snapshot.windows(2).position(|pair| pair == b"\x18\x07").unwrap();
    let mut snapshot = signed.snapshot.clone();
    snapshot.splice(place..place + 2, *b"\x18\x87\x00");
    assert_eq!(refusal(&forge(&signed.delegation, &snapshot)), SnapshotError::NotCanonical("snapshot"));
}

#[test]
fn what_is_too_large_is_not_read() {
    let bytes = vec![0; SNAPSHOT_BYTES_MAX + 1];
    assert_eq!(refusal(&bytes), SnapshotError::TooLarge { bytes: bytes.len() });
}

proptest! {
    #[test]
    fn altered_bytes_are_refused(changes in prop::collection::vec((any::<prop::sample::Index>(), 1..=255u8), 1..4)) {
        let original = sign(&draft());
        let mut bytes = original.clone();
        for (place, mask) in changes {
            let place = place.index(bytes.len());
            bytes[place] ^= mask;
        }
        if bytes != original {
            prop_assert!(VerifiedSnapshot::verify(bytes.clone(), &anchor(), NOW).is_err());
        }
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        prop_assert!(VerifiedSnapshot::verify(bytes.clone(), &anchor(), NOW).is_err());
        prop_assert!(VerifiedSnapshot::verify(forge(&bytes, &bytes), &anchor(), NOW).is_err());
    }
}

//! The form in which records lie in a segment, and back.
//!
//! What a record adds to the message part, the body and the signature value is what costs when there are many: names, certificates and OCSP responses are stored once per
//! segment, ids that are UUIDs as 16 bytes, and a digest only where the bytes are not beside it. `tests/bytes.rs` holds the sum.

use kogge_proto::digest::{Sha256, Sha512, sha512};
use kogge_proto::wire::evidence::Signature;
use kogge_proto::wire::log::stored_body::Place as StoredPlace;
use kogge_proto::wire::log::{
    Body, Elsewhere, MessageRecord, NotKept, SealedBody, SealedFile, StampLeaf, StampRecord, StoredBody,
    StoredMessage, StoredStamp, body::Place, not_kept::Why,
};
use prost::Message;
use prost::encoding::{WireType, encode_key, encode_varint, encoded_len_varint, key_len};

use crate::entry::SealedPart;
use crate::keys::TAG_BYTES;
use crate::layout::body_name;

/// Most bytes that [`head`] and the references of a message take.
pub(crate) const HEAD_BYTES_MAX: usize = 256;

/// Length of a UUID's text form (RFC 9562, section 4), always in lower case here.
const UUID_TEXT_BYTES: usize = 36;
/// Where its hyphens are.
const HYPHENS: [usize; 4] = [8, 13, 18, 23];

/// Fields of `Entry`, `StoredMessage` and what is in it, which are written without the generated types: whoever writes copies a record's bytes once and allocates nothing.
mod field {
    pub(super) const SEQUENCE: u32 = 1;
    pub(super) const PREVIOUS_SHA256: u32 = 2;
    pub(super) const TIME_MS: u32 = 3;
    pub(super) const UNSYNCED: u32 = 8;
    pub(super) const MESSAGE: u32 = 6;
    pub(super) const BODY: u32 = 8;
    pub(super) const NAMES: u32 = 10;
    pub(super) const MATERIAL: u32 = 11;
    /// Of `StoredBody`.
    pub(super) const SEALED: u32 = 4;
    /// Of `SealedBody`.
    pub(super) const SHA512: u32 = 1;
    /// As well.
    pub(super) const CIPHERTEXT: u32 = 2;
}

/// Appends what every entry begins with to `out`.
pub(crate) fn head(out: &mut Vec<u8>, sequence: u64, previous: &Sha256, time_ms: i64, unsynced: u64) {
    encode_key(field::SEQUENCE, WireType::Varint, out);
    encode_varint(sequence, out);
    bytes_field(field::PREVIOUS_SHA256, previous.as_bytes(), out);
    encode_key(field::TIME_MS, WireType::Varint, out);
    encode_varint(time_ms.cast_unsigned(), out);
    encode_key(field::UNSYNCED, WireType::Varint, out);
    encode_varint(unsynced, out);
}

/// An encrypted body and the digest of what it is.
#[derive(Clone, Copy)]
pub(crate) struct Sealed<'a> {
    pub(crate) sha512: &'a Sha512,
    pub(crate) ciphertext: &'a [u8],
}

/// A body that depends on the record's place in the log.
#[derive(Clone, Copy)]
pub(crate) enum LateBody<'a> {
    Sealed(Sealed<'a>),
    /// A `StoredBody`, encoded.
    Encoded(&'a [u8]),
}

/// The encoded `StoredBody` of an encrypted file.
pub(crate) fn sealed_file(length: u64, sha512: &Sha512, key: Vec<u8>) -> Vec<u8> {
    let file = SealedFile { length, sha512: sha512.as_bytes().to_vec(), key };
    StoredBody { place: Some(StoredPlace::SealedFile(file)) }.encode_to_vec()
}

/// Appends a message to `out`: `fixed` is its [`message`] without references, and without the body if that comes `late`.
pub(crate) fn message_kind(
    out: &mut Vec<u8>,
    fixed: &[u8],
    late: Option<LateBody<'_>>,
    names: &[u64],
    material: &[u64],
) {
    let references =
        packed_field_length(field::NAMES, names) + packed_field_length(field::MATERIAL, material);
    let body_length = late.map_or(0, |body| match body {
        LateBody::Sealed(sealed) => bytes_field_length(field::BODY, SealedLengths::of(sealed).stored),
        LateBody::Encoded(bytes) => bytes_field_length(field::BODY, bytes.len()),
    });
    encode_key(field::MESSAGE, WireType::LengthDelimited, out);
    encode_varint((fixed.len() + body_length + references) as u64, out);
    out.extend_from_slice(fixed);
    match late {
        Some(LateBody::Sealed(sealed)) => sealed.append(out),
        Some(LateBody::Encoded(bytes)) => bytes_field(field::BODY, bytes, out),
        None => {}
    }
    packed_field(field::NAMES, names, out);
    packed_field(field::MATERIAL, material, out);
}

impl Sealed<'_> {
    fn append(self, out: &mut Vec<u8>) {
        let lengths = SealedLengths::of(self);
        encode_key(field::BODY, WireType::LengthDelimited, out);
        encode_varint(lengths.stored as u64, out);
        encode_key(field::SEALED, WireType::LengthDelimited, out);
        encode_varint(lengths.sealed as u64, out);
        bytes_field(field::SHA512, self.sha512.as_bytes(), out);
        bytes_field(field::CIPHERTEXT, self.ciphertext, out);
    }
}

/// What the messages take that a sealed body is wrapped in.
struct SealedLengths {
    sealed: usize,
    stored: usize,
}

impl SealedLengths {
    fn of(Sealed { sha512, ciphertext }: Sealed<'_>) -> Self {
        let sealed = bytes_field_length(field::SHA512, sha512.as_bytes().len())
            + bytes_field_length(field::CIPHERTEXT, ciphertext.len());
        Self { sealed, stored: bytes_field_length(field::SEALED, sealed) }
    }
}

fn bytes_field_length(number: u32, length: usize) -> usize {
    key_len(number) + encoded_len_varint(length as u64) + length
}

fn bytes_field(number: u32, bytes: &[u8], out: &mut Vec<u8>) {
    encode_key(number, WireType::LengthDelimited, out);
    encode_varint(bytes.len() as u64, out);
    out.extend_from_slice(bytes);
}

fn packed_field(number: u32, values: &[u64], out: &mut Vec<u8>) {
    if values.is_empty() {
        return;
    }
    encode_key(number, WireType::LengthDelimited, out);
    encode_varint(packed_length(values), out);
    values.iter().for_each(|value| encode_varint(*value, out));
}

fn packed_length(values: &[u64]) -> u64 {
    values.iter().map(|value| encoded_len_varint(*value) as u64).sum()
}

/// What [`packed_field`] appends.
fn packed_field_length(number: u32, values: &[u64]) -> usize {
    if values.is_empty() {
        return 0;
    }
    let length = values.iter().map(|value| encoded_len_varint(*value)).sum::<usize>();
    key_len(number) + encoded_len_varint(length as u64) + length
}

/// The record without what it refers to.
pub(crate) fn message(record: MessageRecord) -> StoredMessage {
    let (message_id, message_uuid) = split_uuid(record.message_id);
    let (request_id, request_uuid) = split_uuid(record.request_id);
    StoredMessage {
        role: record.role,
        direction: record.direction,
        message_id,
        message_uuid,
        request_id,
        request_uuid,
        message: record.message,
        body: record.body.map(body),
        signature: record.signature.map(|signature| Signature {
            certificate_sha256: Vec::new(),
            ocsp_sha256: Vec::new(),
            issuer_sha256: Vec::new(),
            ..signature
        }),
        names: Vec::new(),
        material: Vec::new(),
        subject: record.subject,
    }
}

fn body(body: Body) -> StoredBody {
    let elsewhere = Elsewhere { length: body.length, sha512: body.sha512 };
    let place = body.place.map(|place| match place {
        Place::Inline(bytes) => StoredPlace::Inline(bytes),
        Place::File(_) => StoredPlace::File(elsewhere),
        Place::NotKept(_) => StoredPlace::NotKept(elsewhere),
    });
    StoredBody { place }
}

/// What a stored message refers to: names and digests in the order of the references, empty for a reference that is 0.
#[derive(Debug, Default)]
pub(crate) struct Referred {
    pub(crate) names: Vec<String>,
    pub(crate) material: Vec<Vec<u8>>,
}

/// The record that was stored as the entry with this sequence; or why there is none.
pub(crate) fn restore_message(
    stored: StoredMessage,
    referred: Referred,
    sequence: u64,
) -> Result<MessageRecord, &'static str> {
    let mut names = referred.names.into_iter();
    let (Some(client), Some(service), Some(peer_server), None) =
        (names.next(), names.next(), names.next(), names.next())
    else {
        return Err("the record does not name client, service and peer");
    };
    let mut signature = stored.signature.ok_or("the record has no signature")?;
    let mut material = referred.material.into_iter();
    signature.certificate_sha256 = material.next().unwrap_or_default();
    signature.ocsp_sha256 = material.next().unwrap_or_default();
    signature.issuer_sha256 = material.collect();
    Ok(MessageRecord {
        role: stored.role,
        direction: stored.direction,
        message_id: join_uuid(stored.message_id, &stored.message_uuid)?,
        request_id: join_uuid(stored.request_id, &stored.request_uuid)?,
        client,
        service,
        peer_server,
        message: stored.message,
        body: stored.body.map(|body| restore_body(body, sequence)).transpose()?,
        signature: Some(signature),
        subject: stored.subject,
    })
}

/// What of the body of a stored message can be read only with a key.
pub(crate) fn sealed_part(stored: &StoredMessage) -> Option<SealedPart> {
    match stored.body.as_ref()?.place.as_ref()? {
        StoredPlace::Sealed(sealed) => Some(SealedPart::Body(sealed.ciphertext.clone())),
        StoredPlace::SealedFile(file) => Some(SealedPart::FileKey(file.key.clone())),
        StoredPlace::Inline(_) | StoredPlace::File(_) | StoredPlace::NotKept(_) => None,
    }
}

fn restore_body(stored: StoredBody, sequence: u64) -> Result<Body, &'static str> {
    Ok(match stored.place.ok_or("the record does not say where its body is")? {
        StoredPlace::Inline(bytes) => Body {
            length: bytes.len() as u64,
            sha512: sha512(&bytes).0.to_vec(),
            place: Some(Place::Inline(bytes)),
        },
        StoredPlace::File(Elsewhere { length, sha512 }) => {
            Body { length, sha512, place: Some(Place::File(body_name(sequence))) }
        }
        StoredPlace::NotKept(Elsewhere { length, sha512 }) => {
            Body { length, sha512, place: Some(Place::NotKept(NotKept::default())) }
        }
        StoredPlace::SealedFile(SealedFile { length, sha512, .. }) => {
            let sealed = NotKept { why: Why::Sealed.into() };
            Body { length, sha512, place: Some(Place::NotKept(sealed)) }
        }
        StoredPlace::Sealed(SealedBody { sha512, ciphertext }) => {
            let length = ciphertext.len().checked_sub(TAG_BYTES).ok_or("the encrypted body is cut off")?;
            let sealed = NotKept { why: Why::Sealed.into() };
            Body { length: length as u64, sha512, place: Some(Place::NotKept(sealed)) }
        }
    })
}

/// The stamp as it is stored. Its leaves' digests must have the length of a SHA-256.
pub(crate) fn stamp(stamp: StampRecord) -> StoredStamp {
    let mut before = 0;
    let step = |leaf: &StampLeaf| {
        let step = leaf.sequence.wrapping_sub(before).cast_signed();
        before = leaf.sequence;
        step
    };
    StoredStamp {
        steps: stamp.leaves.iter().map(step).collect(),
        sha256: stamp.leaves.iter().flat_map(|leaf| leaf.sha256.iter().copied()).collect(),
        token: stamp.token,
        previous_root: stamp.previous_root,
        root: stamp.root,
        xroad_token: stamp.xroad_token,
        checkpoint: stamp.checkpoint,
    }
}

/// The stamp that was stored; or why there is none.
pub(crate) fn restore_stamp(stored: StoredStamp) -> Result<StampRecord, &'static str> {
    if Some(stored.sha256.len()) != stored.steps.len().checked_mul(Sha256::LEN) {
        return Err("the stamp does not have one digest for each record");
    }
    let mut sequence = 0_u64;
    let leaves = stored.steps.iter().zip(stored.sha256.chunks_exact(Sha256::LEN));
    let leaves = leaves.map(|(step, sha256)| {
        sequence = sequence.wrapping_add(step.cast_unsigned());
        StampLeaf { sequence, sha256: sha256.to_vec() }
    });
    Ok(StampRecord {
        leaves: leaves.collect(),
        token: stored.token,
        previous_root: stored.previous_root,
        root: stored.root,
        xroad_token: stored.xroad_token,
        checkpoint: stored.checkpoint,
    })
}

/// Splits a UUID off the end of an id, if it can be put together again byte by byte.
fn split_uuid(mut text: String) -> (String, Vec<u8>) {
    let uuid = text.len().checked_sub(UUID_TEXT_BYTES).and_then(|start| {
        let uuid = parse_uuid(text.get(start..)?)?;
        Some((start, uuid))
    });
    match uuid {
        Some((start, uuid)) => {
            text.truncate(start);
            (text, uuid)
        }
        None => (text, Vec::new()),
    }
}

/// Reads the text form in lower case, and nothing else: [`format_uuid`] makes the same text of it.
fn parse_uuid(text: &str) -> Option<Vec<u8>> {
    let mut uuid = [0; 16];
    let mut digits = text.bytes().enumerate().filter(|(at, _)| !HYPHENS.contains(at)).map(|(_, byte)| byte);
    for byte in &mut uuid {
        *byte = hex_digit(digits.next()?)? << 4 | hex_digit(digits.next()?)?;
    }
    let hyphens = HYPHENS.iter().all(|at| text.as_bytes().get(*at) == Some(&b'-'));
    (hyphens && text.len() == UUID_TEXT_BYTES).then(|| uuid.to_vec())
}

fn hex_digit(byte: u8) -> Option<u8> {
    match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    }
}

fn format_uuid(uuid: &[u8]) -> String {
    let mut text = hex::encode(uuid);
    HYPHENS.iter().for_each(|at| text.insert(*at, '-'));
    text
}

fn join_uuid(mut text: String, uuid: &[u8]) -> Result<String, &'static str> {
    match uuid.len() {
        0 => Ok(text),
        16 => {
            text.push_str(&format_uuid(uuid));
            Ok(text)
        }
        _ => Err("an id does not end in a UUID"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_comes_back_as_it_was_and_a_uuid_takes_16_bytes() {
        let uuid = "550e8400-e29b-41d4-a716-446655440000";
        for (text, left, bytes) in [
            (uuid.to_owned(), 0, 16),
            (format!("DEMO-{uuid}"), 5, 16),
            (format!("ä{uuid}"), 2, 16),
            (uuid.to_uppercase(), 36, 0),
            (uuid.replace('-', "0"), 36, 0),
            (format!("{uuid}0"), 37, 0),
            (format!("--{}", &uuid[2..]), 36, 0),
            (format!("{}é", &uuid[..35]), 37, 0),
            (String::new(), 0, 0),
            ("4711".to_owned(), 4, 0),
        ] {
            let (rest, split) = split_uuid(text.clone());
            assert_eq!((rest.len(), split.len()), (left, bytes), "{text}");
            assert_eq!(join_uuid(rest, &split).unwrap(), text);
        }
        assert!(join_uuid(String::new(), &[0; 15]).is_err());
    }

    #[test]
    fn a_stamp_comes_back_whatever_the_order_of_its_leaves() {
        let leaf = |sequence: u64| StampLeaf { sequence, sha256: vec![sequence as u8; 32] };
        let record = StampRecord {
            token: vec![1],
            leaves: [5, 6, 9, 3, 3, u64::MAX, 0].map(leaf).to_vec(),
            previous_root: vec![2],
            root: vec![3],
            xroad_token: vec![4],
            checkpoint: vec![5],
        };
        assert_eq!(restore_stamp(stamp(record.clone())).unwrap(), record);
        let without = StampRecord { xroad_token: vec![], checkpoint: vec![], ..record.clone() };
        assert_eq!(restore_stamp(stamp(without.clone())).unwrap(), without, "as older logs have it");
        let mut short = stamp(record);
        short.sha256.pop();
        assert!(restore_stamp(short).is_err());
    }
}

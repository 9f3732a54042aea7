//! Segments of the message log and the records in them.

use std::io;

use kogge_evidence::verify::{self, LogRecord};
use kogge_message_log::{Filter, Reader};
use kogge_proto::time::UnixMillis;
use kogge_proto::wire::evidence::Material;
use kogge_proto::wire::log::{MessageRecord, StampRecord};
use prost::Message;
use tempfile::TempDir;

use crate::world::TRUSTED;

/// A log of one segment, read by every way there is.
pub(crate) fn segment(data: &[u8]) {
    let Ok(dir) = log_of(data) else { return };
    let Ok(reader) = Reader::open(dir.path()) else { return };
    drop(reader.server());
    let mut sequences = Vec::new();
    drop(reader.audit(&mut |found| sequences.push(found.sequence)));
    drop(reader.audit_records(&mut |_| {}));
    drop(reader.audit_chain(&mut |_, _| {}));
    drop(reader.audit_end());
    drop(reader.list(&Filter::default(), &mut |_| true));
    for sequence in sequences.into_iter().take(LOOKED_UP_MAX) {
        drop(reader.get(sequence));
    }
}

/// As [`segment`], with the checksum of each frame made good: what a checksum keeps out is let in.
pub(crate) fn segment_entries(data: &[u8]) {
    let mut bytes = data.to_vec();
    let mut mask = 0;
    let mut at = 0;
    while let Some(header) = bytes.get(at..at + HEADER_BYTES) {
        let length = header.first_chunk::<4>().map_or(0, |length| u32::from_le_bytes(*length)) as usize;
        let Some(payload) = bytes.get(at + HEADER_BYTES..).and_then(|rest| rest.get(..length)) else { break };
        let checksum = crc32c::crc32c(payload) ^ mask;
        if at == 0 {
            mask = mask_of(payload);
        }
        if let Some(place) = bytes.get_mut(at + 4..at + HEADER_BYTES) {
            place.copy_from_slice(&checksum.to_le_bytes());
        }
        at += HEADER_BYTES + length;
    }
    segment(&bytes);
}

/// A record with its stamp and material, as the verifier takes it: three messages, each with its length (u16, big-endian) before it.
pub(crate) fn record(data: &[u8]) {
    let Some((record, rest)) =
        piece(data).and_then(|(bytes, rest)| Some((decode::<MessageRecord>(bytes)?, rest)))
    else {
        return;
    };
    let Some((material, rest)) =
        piece(rest).and_then(|(bytes, rest)| Some((decode::<Material>(bytes)?, rest)))
    else {
        return;
    };
    let stamp = piece(rest).and_then(|(bytes, _)| decode::<StampRecord>(bytes));
    let body = record
        .body
        .as_ref()
        .and_then(|body| Some((kogge_proto::digest::Sha512::from_slice(&body.sha512)?, body.length)));
    let time = record.signature.as_ref().map_or(0, |signature| signature.signing_time_ms);
    let record = LogRecord {
        sequence: SEQUENCE,
        time: UnixMillis(time),
        record: &record,
        material: &material,
        stamp: stamp.as_ref(),
        body,
    };
    let _ = verify::record(&record, &TRUSTED);
}

fn log_of(segment: &[u8]) -> io::Result<TempDir> {
    let dir = tempfile::tempdir()?;
    std::fs::create_dir(dir.path().join("segments"))?;
    std::fs::write(dir.path().join("segments/0000000001.log"), segment)?;
    // A torn end of the newest segment is read again and again for a while, since a server may be writing it: seldom, or nothing else is tried.
    if !segment.len().is_multiple_of(NEWEST_ONE_IN) {
        std::fs::write(dir.path().join("segments/0000000002.log"), b"")?;
    }
    Ok(dir)
}

fn piece(data: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = data.split_first_chunk::<2>()?;
    rest.split_at_checked(usize::from(u16::from_be_bytes(*length)))
}

fn decode<M: Message + Default>(bytes: &[u8]) -> Option<M> {
    M::decode(bytes).ok()
}

/// The mask that the segment's first entry names (`log.proto`).
fn mask_of(first_payload: &[u8]) -> u32 {
    use kogge_proto::wire::log::entry::Kind;
    match decode::<kogge_proto::wire::log::Entry>(first_payload).and_then(|entry| entry.kind) {
        Some(Kind::SegmentStart(start)) => start.checksum_mask,
        _ => 0,
    }
}

/// Length and checksum of a frame.
const HEADER_BYTES: usize = 8;
/// The record's place in the log that the corpus is made of.
const SEQUENCE: u64 = 5;
/// How seldom the segment is the log's newest.
const NEWEST_ONE_IN: usize = 61;
/// So many records are enough to look up by their place.
const LOOKED_UP_MAX: usize = 4;

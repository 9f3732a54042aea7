//! Postings of one segment, cut into blocks that are each checked when they are read.
//!
//! A posting says: messages with this fingerprint are in that group. A block holds the postings from its lower bound, which stands in its key, to
//! before its upper bound, which stands in its value. So the blocks of a field join without a gap from 0 to the end, and one that is missing or in
//! the wrong place is noticed by whoever looks for what should be in it.
//!
//! Key: segment (8 bytes, big-endian), field (1), lower bound (8: fingerprint, group). Value: upper bound (8), postings, CRC-32C (4, little-endian) of the
//! segment's last hash, the key and the rest of the value. A posting is a varint: twice the step in the group plus 1 if the fingerprint is
//! the one before, else twice the step in the fingerprint, followed by the group as a varint.

use kogge_proto::digest::Sha256;
use prost::encoding::{decode_varint, encode_varint};

use super::note::{Field, Fingerprint, Probe};
use super::rows::{Row, RowsError};

/// A block is closed at this size: sixteen of them are a page of the store, which it rewrites and caches as a whole.
const BLOCK_BYTES: usize = 1024;

/// Fingerprint and group as one number, which sorts as they do.
type Posting = u64;

/// After all postings: a group never has the largest number.
const END: Posting = u64::MAX;

/// Whose blocks they are.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Owner {
    pub(crate) segment: u64,
    /// Hash of the segment's last entry: no other segment of any log has it.
    pub(crate) last_sha256: Sha256,
}

/// The blocks of the postings, which ascend.
pub(crate) fn encode(owner: Owner, field: Field, postings: &[(u32, u32)]) -> Vec<Row> {
    let mut blocks = Vec::new();
    let mut lower: Posting = 0;
    let mut before = (0, 0);
    let mut body = Vec::with_capacity(BLOCK_BYTES + 16);
    for posting in postings {
        if body.len() >= BLOCK_BYTES {
            let upper = join(*posting);
            blocks.push(close(owner, field, (lower, upper), &body));
            body.clear();
            (lower, before) = (upper, *posting);
        }
        let (fingerprint, group) = *posting;
        if fingerprint == before.0 {
            encode_varint(u64::from(group - before.1) << 1 | 1, &mut body);
        } else {
            encode_varint(u64::from(fingerprint - before.0) << 1, &mut body);
            encode_varint(group.into(), &mut body);
        }
        before = *posting;
    }
    blocks.push(close(owner, field, (lower, END), &body));
    blocks
}

/// Key of the first block that may hold what is looked for is at or before the first of these, all others before the second.
pub(crate) fn range(owner: Owner, probe: Probe) -> (Vec<u8>, Vec<u8>) {
    let (first, after) = bounds(probe.fingerprint);
    (key(owner.segment, probe.field, first), key(owner.segment, probe.field, after))
}

/// First key of a segment's rows, and the first after them.
pub(crate) fn segment_range(segment: u64) -> (Vec<u8>, Vec<u8>) {
    (segment.to_be_bytes().to_vec(), segment.saturating_add(1).to_be_bytes().to_vec())
}

/// The groups under the probe. `blocks` are those from [`range`], the first of them at or before its beginning.
pub(crate) fn groups(owner: Owner, probe: Probe, blocks: &[Row]) -> Result<Vec<u32>, RowsError> {
    let (first, after) = bounds(probe.fingerprint);
    let mut groups = Vec::new();
    let mut reached = None;
    for (block_key, value) in blocks {
        let block = open(owner, probe.field, block_key, value)?;
        let joins = reached.map_or(block.lower <= first, |reached| reached == block.lower);
        if !joins {
            return Err(RowsError::Disagrees("a block is missing".to_owned()));
        }
        reached = Some(block.upper);
        each(&block, |fingerprint, group| {
            if fingerprint == probe.fingerprint.0 {
                groups.push(group);
            }
        })?;
    }
    match reached {
        Some(reached) if reached >= after => Ok(groups),
        _ => Err(RowsError::Disagrees("a block is missing".to_owned())),
    }
}

struct Block<'a> {
    lower: Posting,
    upper: Posting,
    body: &'a [u8],
}

fn open<'a>(owner: Owner, field: Field, block_key: &[u8], value: &'a [u8]) -> Result<Block<'a>, RowsError> {
    let prefix = key(owner.segment, field, 0);
    let lower = block_key
        .split_last_chunk::<8>()
        .filter(|(rest, _)| prefix.starts_with(rest))
        .map(|(_, lower)| u64::from_be_bytes(*lower));
    let parts = value.split_last_chunk::<4>().and_then(|(rest, checksum)| {
        let (upper, body) = rest.split_first_chunk::<8>()?;
        Some((rest, u32::from_le_bytes(*checksum), u64::from_be_bytes(*upper), body))
    });
    match (lower, parts) {
        (Some(lower), Some((rest, checksum, upper, body)))
            if checksum == sum(owner, block_key, rest) && lower < upper =>
        {
            Ok(Block { lower, upper, body })
        }
        _ => Err(RowsError::Disagrees("a block does not match its checksum".to_owned())),
    }
}

fn close(owner: Owner, field: Field, (lower, upper): (Posting, Posting), body: &[u8]) -> Row {
    let block_key = key(owner.segment, field, lower);
    let mut value = Vec::with_capacity(body.len() + 12);
    value.extend_from_slice(&upper.to_be_bytes());
    value.extend_from_slice(body);
    let checksum = sum(owner, &block_key, &value);
    value.extend_from_slice(&checksum.to_le_bytes());
    (block_key, value)
}

fn each(block: &Block<'_>, mut visit: impl FnMut(u32, u32)) -> Result<(), RowsError> {
    let malformed = || RowsError::Disagrees("a block is malformed".to_owned());
    let (mut fingerprint, mut group) = split(block.lower);
    let mut rest = block.body;
    while !rest.is_empty() {
        let step = decode_varint(&mut rest).map_err(|_| malformed())?;
        let by = u32::try_from(step >> 1).map_err(|_| malformed())?;
        if step & 1 == 1 {
            group = group.checked_add(by).ok_or_else(malformed)?;
        } else {
            fingerprint = fingerprint.checked_add(by).ok_or_else(malformed)?;
            group = decode_varint(&mut rest)
                .ok()
                .and_then(|group| u32::try_from(group).ok())
                .ok_or_else(malformed)?;
        }
        visit(fingerprint, group);
    }
    Ok(())
}

fn sum(owner: Owner, block_key: &[u8], value: &[u8]) -> u32 {
    let sum = crc32c::crc32c(owner.last_sha256.as_bytes());
    crc32c::crc32c_append(crc32c::crc32c_append(sum, block_key), value)
}

fn key(segment: u64, field: Field, lower: Posting) -> Vec<u8> {
    let mut key = Vec::with_capacity(17);
    key.extend_from_slice(&segment.to_be_bytes());
    key.push(field.letter());
    key.extend_from_slice(&lower.to_be_bytes());
    key
}

/// The postings of a fingerprint are at or after the first of these and before the second.
fn bounds(Fingerprint(fingerprint): Fingerprint) -> (Posting, Posting) {
    (join((fingerprint, 0)), fingerprint.checked_add(1).map_or(END, |next| join((next, 0))))
}

fn join((fingerprint, group): (u32, u32)) -> Posting {
    u64::from(fingerprint) << 32 | u64::from(group)
}

fn split(posting: Posting) -> (u32, u32) {
    let [a, b, c, d, e, f, g, h] = posting.to_be_bytes();
    (u32::from_be_bytes([a, b, c, d]), u32::from_be_bytes([e, f, g, h]))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    const OWNER: Owner = Owner { segment: 7, last_sha256: Sha256([9; 32]) };

    /// What a store would hand over.
    fn fetch(rows: &BTreeMap<Vec<u8>, Vec<u8>>, probe: Probe) -> Vec<Row> {
        let (first, after) = range(OWNER, probe);
        let begin = rows.range(..=first.clone()).next_back().map_or(first, |(key, _)| key.clone());
        rows.range(begin..after).map(|(key, value)| (key.clone(), value.clone())).collect()
    }

    fn look(rows: &BTreeMap<Vec<u8>, Vec<u8>>, fingerprint: u32) -> Result<Vec<u32>, RowsError> {
        let probe = Probe { field: Field::Client, fingerprint: Fingerprint(fingerprint) };
        groups(OWNER, probe, &fetch(rows, probe))
    }

    /// Few messages under most fingerprints, very many under one, and both ends.
    fn postings() -> Vec<(u32, u32)> {
        let mut postings: Vec<(u32, u32)> =
            (0..2000_u32).map(|number| (number.wrapping_mul(2_654_435_761), number % 97)).collect();
        postings.extend((0..9000).map(|group| (777, group)));
        postings.extend([(0, 3), (u32::MAX, 5), (u32::MAX, u32::MAX - 1)]);
        postings.sort_unstable();
        postings.dedup();
        postings
    }

    #[test]
    fn every_posting_is_found_again_and_no_other() {
        let postings = postings();
        let rows: BTreeMap<_, _> = encode(OWNER, Field::Client, &postings).into_iter().collect();
        assert!(rows.len() > 10);
        assert!(rows.values().all(|value| value.len() < BLOCK_BYTES + 64));
        let mut expected: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
        for (fingerprint, group) in postings {
            expected.entry(fingerprint).or_default().push(group);
        }
        for (fingerprint, groups) in &expected {
            assert_eq!(look(&rows, *fingerprint).as_ref(), Ok(groups), "{fingerprint}");
        }
        for absent in [1, 776, 778, u32::MAX - 1] {
            assert_eq!(look(&rows, absent), Ok(Vec::new()));
        }
        assert_eq!(encode(OWNER, Field::Client, &[]).len(), 1);
    }

    #[test]
    fn a_block_that_is_missing_is_noticed_by_whoever_looks_for_what_it_held() {
        let postings = postings();
        let whole: BTreeMap<_, _> = encode(OWNER, Field::Client, &postings).into_iter().collect();
        for missing in whole.keys() {
            let mut rows = whole.clone();
            rows.remove(missing);
            let (fingerprint, _) = split(u64::from_be_bytes(*missing.last_chunk().unwrap()));
            assert_eq!(look(&rows, fingerprint), Err(RowsError::Disagrees("a block is missing".to_owned())));
        }
        assert!(look(&BTreeMap::new(), 5).is_err());
    }

    #[test]
    fn a_block_of_another_place_segment_or_log_is_not_believed() {
        let rows = encode(OWNER, Field::Client, &[(5, 1)]);
        let probe = Probe { field: Field::Client, fingerprint: Fingerprint(5) };
        assert_eq!(groups(OWNER, probe, &rows), Ok(vec![1]));
        let wrong = Err(RowsError::Disagrees("a block does not match its checksum".to_owned()));
        assert_eq!(groups(Owner { segment: 8, ..OWNER }, probe, &rows), wrong);
        assert_eq!(groups(Owner { last_sha256: Sha256([1; 32]), ..OWNER }, probe, &rows), wrong);
        assert_eq!(groups(OWNER, Probe { field: Field::Service, ..probe }, &rows), wrong);
        let (key, value) = &rows[0];
        for at in 0..value.len() {
            let mut flipped = value.clone();
            flipped[at] ^= 1;
            assert_eq!(groups(OWNER, probe, &[(key.clone(), flipped)]), wrong, "{at}");
            assert_eq!(groups(OWNER, probe, &[(key.clone(), value[..at].to_vec())]), wrong, "{at}");
        }
    }
}

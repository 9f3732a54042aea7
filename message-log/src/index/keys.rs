//! How rows are spelt: numbers big-endian, so that they sort, and digests in part.

use kogge_proto::digest::{Sha256, sha256};
use kogge_proto::time::UnixMillis;

use super::{Place, RowsError};
use crate::scan::Item;

/// Sequences that share their rows by id and time: a query reads as many entries for each block that it meets.
pub(super) const BLOCK: u64 = 64;

/// Bytes of an id's digest that a key holds: with the rest of the key few enough for sled to store them without an allocation of their own.
const ID_BYTES: usize = 12;

pub(super) fn encode_place(item: &Item, is_message: bool) -> Vec<u8> {
    let time = time_to_key(UnixMillis(item.entry.time_ms));
    let mut value: Vec<u8> =
        [item.segment, item.offset, time].into_iter().flat_map(u64::to_be_bytes).collect();
    value.push(u8::from(is_message));
    value
}

pub(super) fn decode_place(value: &[u8]) -> Option<Place> {
    let mut fields = Fields(value);
    let [segment, offset, time] = [fields.number()?, fields.number()?, fields.number()?];
    let is_message = match fields.0 {
        [0] => false,
        [1] => true,
        _ => return None,
    };
    Some(Place { segment, offset, time: time_from_key(time), is_message })
}

pub(super) fn text_prefix(space: u8, text: &str) -> Vec<u8> {
    let mut key = vec![space];
    key.extend(sha256(text.as_bytes()).0.into_iter().take(ID_BYTES));
    key
}

pub(super) fn number_key(space: u8, number: u64) -> Vec<u8> {
    let mut key = vec![space];
    key.extend_from_slice(&number.to_be_bytes());
    key
}

/// Times before 1970 sort before those after.
pub(super) fn time_to_key(time: UnixMillis) -> u64 {
    time.0.cast_unsigned() ^ (1 << 63)
}

/// The minute in which a time lies, as part of a key.
pub(super) fn minute(time: UnixMillis) -> u64 {
    time_to_key(UnixMillis(time.0.div_euclid(60_000)))
}

/// The sequences of a block.
pub(super) fn block_sequences(block: u64) -> Result<std::ops::RangeInclusive<u64>, RowsError> {
    let first = block.checked_mul(BLOCK).ok_or_else(malformed)?;
    Ok(first..=first.saturating_add(BLOCK - 1))
}

/// The first key after this one.
pub(super) fn after(mut key: Vec<u8>) -> Vec<u8> {
    key.push(0);
    key
}

pub(super) fn time_from_key(key: u64) -> UnixMillis {
    UnixMillis((key ^ (1 << 63)).cast_signed())
}

/// The first key after all that begin with `prefix`, whose first byte is a letter.
pub(super) fn end_of(prefix: &[u8]) -> Vec<u8> {
    let mut end = prefix.to_vec();
    while let Some(last) = end.pop() {
        if let Some(next) = last.checked_add(1) {
            end.push(next);
            break;
        }
    }
    end
}

pub(super) fn malformed() -> RowsError {
    RowsError::Disagrees("a row is malformed".to_owned())
}

/// Numbers and digests one after the other.
pub(super) struct Fields<'a>(pub(super) &'a [u8]);

impl Fields<'_> {
    pub(super) fn number(&mut self) -> Option<u64> {
        let (bytes, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(u64::from_be_bytes(*bytes))
    }

    pub(super) fn digest(&mut self) -> Option<Sha256> {
        let (bytes, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(Sha256(*bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_sort_as_their_keys() {
        let times = [i64::MIN, -1, 0, 1, i64::MAX].map(UnixMillis);
        assert!(times.map(time_to_key).is_sorted());
        assert_eq!(times.map(|time| time_from_key(time_to_key(time))), times);
    }

    #[test]
    fn the_end_of_a_prefix_is_after_all_that_begin_with_it() {
        assert_eq!(end_of(b"p"), b"q");
        assert_eq!(end_of(&[b'm', 3, 0xff, 0xff]), [b'm', 4]);
    }
}

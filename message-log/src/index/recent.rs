//! What a start needs of a sealed segment that is still recent, so that it need not be read: the request ids of the replay window, and the messages that
//! no stamp covered when it was written.
//!
//! `[format, 8] [last sequence, 8] [hash of the last entry, 32] [latest time, 8] [unstamped: count, then steps in sequence and time as varints]
//! [requests, 8 each] [CRC-32C, 4]`, numbers big-endian. It is believed as a summary is: if its checksum holds and the next segment's start names the
//! same last entry. Without it the segment is read. It is removed when nothing in it is recent any more.

use std::io;

use kogge_proto::digest::Sha256;
use kogge_proto::time::UnixMillis;
use prost::encoding::{decode_varint, encode_varint};

use super::memory::MemoryIndex;
use super::rows::RowsError;
use crate::chain::Chain;
use crate::layout::Layout;
use crate::scan::{Start, read_start};
use crate::window::RequestKey;

const FORMAT: [u8; 8] = *b"kogge-r1";

/// What is recent in a sealed segment.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Recent {
    /// The segment's last entry.
    pub(crate) chain: Chain,
    /// When the latest of its messages was appended.
    pub(crate) latest: UnixMillis,
    /// Messages that no stamp covered when this was written, with the time when each was appended.
    pub(crate) unstamped: Vec<(u64, UnixMillis)>,
    /// Provider-side requests.
    pub(crate) requests: Vec<RequestKey>,
}

impl Recent {
    /// Of a segment that was sealed.
    pub(crate) fn of(index: &MemoryIndex, unstamped: Vec<(u64, UnixMillis)>) -> Self {
        let latest = index.outline.time_span().map_or(UnixMillis(i64::MIN), |span| span.latest);
        Self { chain: index.chain, latest, unstamped, requests: index.requests.to_vec() }
    }

    /// Whether a start needs nothing of it, now that the replay window begins at `window` and all messages before `unstamped_from` are stamped.
    pub(crate) fn is_past(&self, window: UnixMillis, unstamped_from: u64) -> bool {
        self.latest < window && self.chain.sequence < unstamped_from
    }

    /// Writes it, durably.
    pub(crate) fn write(&self, layout: &Layout, segment: u64) -> Result<(), RowsError> {
        Ok(kogge_durable::write_atomic(&layout.recent(segment), &self.encode(segment), true)?)
    }

    /// What was written about a segment; `None` if nothing was, or it cannot be believed.
    pub(crate) fn read(layout: &Layout, segment: u64) -> io::Result<Option<Self>> {
        let bytes = match std::fs::read(layout.recent(segment)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            bytes => bytes?,
        };
        let Some(recent) = Self::decode(segment, &bytes) else { return Ok(None) };
        let Some(Start::Entry(next, _)) = read_start(layout, segment.saturating_add(1))? else {
            return Ok(None);
        };
        let is_followed = recent.chain.check(&next).is_ok();
        Ok(is_followed.then_some(recent))
    }

    fn encode(&self, segment: u64) -> Vec<u8> {
        let mut bytes = FORMAT.to_vec();
        bytes.extend_from_slice(&self.chain.sequence.to_be_bytes());
        bytes.extend_from_slice(self.chain.hash.as_bytes());
        bytes.extend_from_slice(&self.latest.0.to_be_bytes());
        encode_varint(self.unstamped.len() as u64, &mut bytes);
        let mut before = (0, 0);
        for (sequence, time) in &self.unstamped {
            encode_varint(sequence.wrapping_sub(before.0), &mut bytes);
            encode_varint(zigzag(time.0.wrapping_sub(before.1)), &mut bytes);
            before = (*sequence, time.0);
        }
        bytes.extend(self.requests.iter().flat_map(|key| key.0.to_be_bytes()));
        let checksum = sum(segment, &bytes);
        bytes.extend_from_slice(&checksum.to_be_bytes());
        bytes
    }

    fn decode(segment: u64, bytes: &[u8]) -> Option<Self> {
        let (rest, checksum) = bytes.split_last_chunk::<4>()?;
        if sum(segment, rest) != u32::from_be_bytes(*checksum) {
            return None;
        }
        let (sequence, rest) = rest.strip_prefix(&FORMAT)?.split_first_chunk::<8>()?;
        let (hash, rest) = rest.split_first_chunk::<32>()?;
        let (latest, mut rest) = rest.split_first_chunk::<8>()?;
        let mut unstamped = Vec::new();
        let mut before = (0_u64, 0_i64);
        for _ in 0..decode_varint(&mut rest).ok()? {
            before.0 = before.0.wrapping_add(decode_varint(&mut rest).ok()?);
            before.1 = before.1.wrapping_add(unzigzag(decode_varint(&mut rest).ok()?));
            unstamped.push((before.0, UnixMillis(before.1)));
        }
        let (requests, []) = rest.as_chunks::<8>() else { return None };
        Some(Self {
            chain: Chain { sequence: u64::from_be_bytes(*sequence), hash: Sha256(*hash) },
            latest: UnixMillis(i64::from_be_bytes(*latest)),
            unstamped,
            requests: requests.iter().map(|key| RequestKey(u64::from_be_bytes(*key))).collect(),
        })
    }
}

/// The segment's number is covered too.
fn sum(segment: u64, bytes: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(&segment.to_be_bytes()), bytes)
}

/// Small numbers of either sign become small numbers.
fn zigzag(number: i64) -> u64 {
    (number << 1 ^ number >> 63).cast_unsigned()
}

fn unzigzag(number: u64) -> i64 {
    (number >> 1).cast_signed() ^ -(number & 1).cast_signed()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn recent() -> Recent {
        Recent {
            chain: Chain { sequence: 900, hash: Sha256([5; 32]) },
            latest: UnixMillis(1_800_000_000_500),
            // The clock was set back.
            unstamped: vec![(700, UnixMillis(1_800_000_000_000)), (702, UnixMillis(1_799_999_000_000))],
            requests: vec![RequestKey::of("a"), RequestKey::of("b")],
        }
    }

    #[test]
    fn what_was_written_is_read_and_nothing_else() {
        let bytes = recent().encode(3);
        assert_eq!(Recent::decode(3, &bytes), Some(recent()));
        assert_eq!(Recent::decode(4, &bytes), None);
        for at in 0..bytes.len() {
            assert_eq!(Recent::decode(3, &bytes[..at]), None, "{at}");
            let mut flipped = bytes.clone();
            flipped[at] ^= 1;
            assert_eq!(Recent::decode(3, &flipped), None, "{at}");
        }
        let numbers = [i64::MIN, -1, 0, 1, i64::MAX];
        assert_eq!(numbers.map(|number| unzigzag(zigzag(number))), numbers);
    }

    #[test]
    fn it_is_past_when_neither_the_window_nor_a_stamp_needs_it() {
        let latest = recent().latest;
        assert!(recent().is_past(UnixMillis(latest.0 + 1), 901));
        assert!(!recent().is_past(latest, 901));
        assert!(!recent().is_past(UnixMillis(latest.0 + 1), 900));
    }
}

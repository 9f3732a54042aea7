//! One frame: length (u32 LE), CRC-32C of the payload (u32 LE), payload = one `Entry`.

use kogge_proto::digest::{Sha256, sha256};
use kogge_proto::wire::log::Entry;
use prost::Message;

/// Length and checksum.
pub(crate) const HEADER_BYTES: usize = 8;

/// Largest payload: a message part with an inline body takes 320 KiB, a full timestamp batch half a MiB.
pub(crate) const PAYLOAD_BYTES_MAX: usize = 1024 * 1024;

/// First byte of every payload: the protobuf tag of `Entry.sequence`, which is never zero and is encoded first.
pub(crate) const FIRST_PAYLOAD_BYTE: u8 = 0x08;

/// Appends the entry's frame to `out`; returns the SHA-256 of its payload.
pub(crate) fn append(out: &mut Vec<u8>, entry: &Entry) -> Sha256 {
    let start = out.len();
    out.extend_from_slice(&[0; HEADER_BYTES]);
    out.extend_from_slice(&entry.encode_to_vec());
    let (header, payload) = out[start..].split_at_mut(HEADER_BYTES);
    // Entries above PAYLOAD_BYTES_MAX were refused before.
    let length = u32::try_from(payload.len()).unwrap_or(u32::MAX);
    header[..4].copy_from_slice(&length.to_le_bytes());
    header[4..].copy_from_slice(&crc32c::crc32c(payload).to_le_bytes());
    sha256(payload)
}

/// What the eight bytes at the head of a frame say.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Header {
    /// Nothing was written here yet.
    Blank,
    /// A payload of this length and checksum follows.
    Payload {
        /// 1 to [`PAYLOAD_BYTES_MAX`].
        length: usize,
        /// CRC-32C.
        checksum: u32,
    },
    /// No frame begins like this.
    Implausible,
}

impl Header {
    pub(crate) fn parse(bytes: [u8; HEADER_BYTES]) -> Self {
        let [a, b, c, d, rest @ ..] = bytes;
        let checksum = u32::from_le_bytes(rest);
        match usize::try_from(u32::from_le_bytes([a, b, c, d])) {
            Ok(0) if checksum == 0 => Self::Blank,
            Ok(length @ 1..=PAYLOAD_BYTES_MAX) => Self::Payload { length, checksum },
            _ => Self::Implausible,
        }
    }
}

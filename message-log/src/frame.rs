//! One frame: length (u32 LE), checksum (u32 LE), payload = one `Entry`.

use std::io;

use kogge_proto::digest::{Sha256, sha256};
use ring::rand::{SecureRandom, SystemRandom};

/// Length and checksum.
pub(crate) const HEADER_BYTES: usize = 8;

/// Largest payload: a message part with an inline body takes 320 KiB, a full timestamp batch half a MiB.
pub(crate) const PAYLOAD_BYTES_MAX: usize = 1024 * 1024;

/// First byte of every payload: the protobuf tag of `Entry.sequence`, which is never zero and is encoded first.
pub(crate) const FIRST_PAYLOAD_BYTE: u8 = 0x08;

/// What the checksums of a segment's frames are XORed with, all but the first frame's, in which it stands. Who sends a body does not know it, so that no part of a body is taken for
/// a frame: the chance is one in four billion for each place where one could begin.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Mask(pub(crate) u32);

impl Mask {
    /// Of a segment's first frame.
    pub(crate) const NONE: Self = Self(0);

    /// For a new segment.
    pub(crate) fn random() -> io::Result<Self> {
        let mut bytes = [0; 4];
        SystemRandom::new()
            .fill(&mut bytes)
            .map_err(|_| io::Error::other("the operating system gives no random numbers"))?;
        Ok(Self(u32::from_le_bytes(bytes)))
    }

    /// The checksum of a payload.
    pub(crate) fn checksum(self, payload: &[u8]) -> u32 {
        crc32c::crc32c(payload) ^ self.0
    }

    /// The mask with which a payload has this checksum.
    pub(crate) fn between(checksum: u32, payload: &[u8]) -> Self {
        Self(crc32c::crc32c(payload) ^ checksum)
    }
}

/// Appends the frame of a payload, which `write` appends, to `out`; returns the payload's SHA-256.
pub(crate) fn append(out: &mut Vec<u8>, mask: Mask, write: impl FnOnce(&mut Vec<u8>)) -> Sha256 {
    let start = out.len();
    out.extend_from_slice(&[0; HEADER_BYTES]);
    write(out);
    let (header, payload) = out[start..].split_at_mut(HEADER_BYTES);
    // Entries above PAYLOAD_BYTES_MAX were refused before.
    let length = u32::try_from(payload.len()).unwrap_or(u32::MAX);
    header[..4].copy_from_slice(&length.to_le_bytes());
    header[4..].copy_from_slice(&mask.checksum(payload).to_le_bytes());
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
        /// As it stands there.
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

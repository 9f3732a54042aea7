//! One entry: its payload, its signature, and its place in the chain.

use kogge_certs::key::{PublicKey, SignError, SignatureScheme, SigningKey};
use kogge_proto::digest::{Sha256, sha256};
use kogge_proto::time::UnixMillis;
use serde::{Deserialize, Serialize};

use super::{FRAME_HEAD_BYTES, JournalError, PAYLOAD_BYTES_MAX};
use crate::state::{Event, digest};

/// An entry as it was read.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) sequence: u64,
    pub(crate) event: Event,
    pub(crate) at: UnixMillis,
    /// Which key claims to have signed it; see [`Entry::verify`].
    pub(crate) signer: Sha256,
    pub(super) previous: Sha256,
    /// SHA-256 of the payload: what the next entry holds.
    pub(super) hash: Sha256,
    body: Vec<u8>,
    signature: Vec<u8>,
}

#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Body {
    sequence: u64,
    #[serde(with = "digest")]
    previous: Sha256,
    at_ms: i64,
    #[serde(with = "digest")]
    signer: Sha256,
    event: Event,
}

impl Entry {
    /// From a payload; `Err` says what is wrong with it.
    pub(super) fn read(payload: &[u8]) -> Result<Self, &'static str> {
        let (length, rest) = payload.split_first_chunk().ok_or("the entry is too short")?;
        let length = usize::try_from(u32::from_be_bytes(*length)).map_err(|_| "the entry is too short")?;
        let (body, signature) = rest.split_at_checked(length).ok_or("the entry is too short")?;
        let read: Body =
            serde_json::from_slice(body).map_err(|_| "the entry is not a decision this version knows")?;
        Ok(Self {
            sequence: read.sequence,
            event: read.event,
            at: UnixMillis(read.at_ms),
            signer: read.signer,
            previous: read.previous,
            hash: sha256(payload),
            body: body.to_vec(),
            signature: signature.to_vec(),
        })
    }

    /// The decision as JSON in one line.
    pub(crate) fn event_text(&self) -> Result<String, JournalError> {
        serde_json::to_string(&self.event).map_err(JournalError::Json)
    }

    /// Whether one of `keys` has signed this entry, and with it everything before.
    pub(crate) fn verify(&self, keys: &[PublicKey]) -> Result<(), JournalError> {
        let signed = keys.iter().filter(|key| key.key_id() == self.signer).any(|key| {
            SignatureScheme::for_messages(key.kind())
                .is_some_and(|scheme| key.verify(scheme, &message(&self.body), &self.signature).is_ok())
        });
        if signed { Ok(()) } else { Err(JournalError::Signature { sequence: self.sequence }) }
    }
}

/// The frame of a new entry, and the hash of its payload.
pub(super) fn frame(
    (sequence, previous): (u64, Sha256),
    event: &Event,
    at: UnixMillis,
    key: &dyn SigningKey,
) -> Result<(Vec<u8>, Sha256), JournalError> {
    let signer = key.public_key().key_id();
    let body = Body { sequence, previous, at_ms: at.0, signer, event: event.clone() };
    let body = serde_json::to_vec(&body).map_err(JournalError::Json)?;
    let scheme = SignatureScheme::for_messages(key.public_key().kind()).ok_or(SignError::Scheme)?;
    let signature = key.sign(scheme, &message(&body))?;
    let length = 4 + body.len() + signature.len();
    if length > PAYLOAD_BYTES_MAX {
        return Err(JournalError::TooLong { bytes: length });
    }
    let payload = [&be(body.len()), body.as_slice(), signature.as_slice()].concat();
    let mut frame = Vec::with_capacity(FRAME_HEAD_BYTES + payload.len());
    frame.extend_from_slice(&be(payload.len()));
    frame.extend_from_slice(&crc32c::crc32c(&payload).to_be_bytes());
    frame.extend_from_slice(&payload);
    Ok((frame, sha256(&payload)))
}

/// Lengths are below [`PAYLOAD_BYTES_MAX`], which is checked before anything is written.
fn be(length: usize) -> [u8; 4] {
    u32::try_from(length).unwrap_or(u32::MAX).to_be_bytes()
}

fn message(body: &[u8]) -> Vec<u8> {
    [b"kogge-journal-v1\0", body].concat()
}

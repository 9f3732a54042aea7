//! A message as its caller's thread leaves it to the writer: checked, with all that can be done without knowing its place in the log.

use std::path::PathBuf;

use bytes::Bytes;
use kogge_proto::digest::{Sha256, sha256};
use kogge_proto::limits::{INLINE_BODY_BYTES_MAX, MATERIAL_ITEM_BYTES_MAX, MATERIAL_ITEMS_MAX};
use kogge_proto::wire::log::body::Place;
use kogge_proto::wire::log::{Body, Direction, MessageRecord, NotKept, Role, StampRecord};
use prost::Message;

use crate::frame::{HEADER_BYTES, PAYLOAD_BYTES_MAX};
use crate::layout::body_name;
use crate::message::named_material;
use crate::window::RequestKey;
use crate::{AppendError, Durability, NewBody, NewBodyPlace, NewMessage, Receipt};

/// What an entry adds to its kind: sequences, time, previous hash, tags and lengths; rounded up.
const ENTRY_BYTES: usize = 128;

/// A message whose record can be logged.
pub(crate) struct Prepared {
    pub(crate) record: MessageRecord,
    pub(crate) spooled: Option<Spooled>,
    /// What the signature names, each once.
    pub(crate) material: Vec<(Sha256, Vec<u8>)>,
    pub(crate) key: Option<RequestKey>,
    pub(crate) durability: Durability,
    pub(crate) follows: Option<Receipt>,
}

/// A body in the log's spool.
#[derive(Debug)]
pub(crate) struct Spooled {
    pub(crate) path: PathBuf,
    /// How long it should be.
    pub(crate) length: u64,
}

impl Prepared {
    /// Checks what the writer's invariants need; what signatures and digests mean is the caller's business.
    pub(crate) fn new(message: NewMessage, durability: Durability) -> Result<Self, AppendError> {
        if message.role == Role::Unspecified || message.direction == Direction::Unspecified {
            return Err(unfit("its role and direction are not given"));
        }
        let material = select_material(&message)?;
        let (body, spooled) = match message.body {
            None => (None, None),
            Some(body) => place_body(body).map(|(body, spooled)| (Some(body), spooled))?,
        };
        let record = MessageRecord {
            role: message.role.into(),
            direction: message.direction.into(),
            message_id: message.message_id,
            request_id: message.request_id,
            client: message.client,
            service: message.service,
            peer_server: message.peer_server,
            message: message.message,
            body,
            signature: Some(message.signature),
        };
        if record.encoded_len() > PAYLOAD_BYTES_MAX - ENTRY_BYTES {
            return Err(unfit("it is larger than a frame may be"));
        }
        let key = RequestKey::guarded(&record);
        // A body is synced before its record is written: nothing is gained by acknowledging the record earlier.
        let durability = if spooled.is_some() { Durability::Now } else { durability };
        Ok(Self { record, spooled, material, key, durability, follows: message.follows })
    }

    /// Bytes that it holds in memory, about.
    pub(crate) fn memory(&self) -> usize {
        self.record.encoded_len() + self.material.iter().map(|(_, der)| der.len()).sum::<usize>()
    }

    /// Bytes that its frames take in a segment that holds `present` already; never too few.
    pub(crate) fn bytes(&self, present: impl Fn(&Sha256) -> bool) -> usize {
        let material: usize = self
            .material
            .iter()
            .filter(|(digest, _)| !present(digest))
            .map(|(_, der)| HEADER_BYTES + ENTRY_BYTES + der.len())
            .sum();
        material + HEADER_BYTES + ENTRY_BYTES + self.record.encoded_len()
    }
}

/// Bytes that a stamp's frame takes; never too few.
pub(crate) fn stamp_bytes(stamp: &StampRecord) -> Result<usize, AppendError> {
    match stamp.encoded_len() {
        length if length > PAYLOAD_BYTES_MAX - ENTRY_BYTES => {
            Err(unfit("the stamp is larger than a frame may be"))
        }
        length => Ok(HEADER_BYTES + ENTRY_BYTES + length),
    }
}

/// The items that the signature names; each must be there.
fn select_material(message: &NewMessage) -> Result<Vec<(Sha256, Vec<u8>)>, AppendError> {
    let items = &message.material.items;
    if items.len() > MATERIAL_ITEMS_MAX || items.iter().any(|item| item.len() > MATERIAL_ITEM_BYTES_MAX) {
        return Err(unfit("its certificates and OCSP responses are too many or too large"));
    }
    let offered: Vec<(Sha256, &Bytes)> = items.iter().map(|item| (sha256(item), item)).collect();
    let mut selected: Vec<(Sha256, Vec<u8>)> = Vec::new();
    for named in named_material(&message.signature) {
        let Some((digest, item)) = offered.iter().find(|(digest, _)| digest.as_bytes() == named) else {
            return Err(unfit(
                "its signature names a certificate or OCSP response that does not come with it",
            ));
        };
        if !selected.iter().any(|(present, _)| present == digest) {
            selected.push((*digest, item.to_vec()));
        }
    }
    Ok(selected)
}

fn place_body(body: NewBody) -> Result<(Body, Option<Spooled>), AppendError> {
    let (place, spooled) = match body.place {
        NewBodyPlace::Inline(bytes) if bytes.len() as u64 != body.length => {
            return Err(unfit("its body does not have the length that is given"));
        }
        NewBodyPlace::Inline(_) if body.length > INLINE_BODY_BYTES_MAX => {
            return Err(unfit("its body is too large to be stored inside the record"));
        }
        NewBodyPlace::Inline(bytes) => (Place::Inline(bytes), None),
        // The sequence is not known yet, but every name has the same length.
        NewBodyPlace::Spooled(path) => {
            (Place::File(body_name(0)), Some(Spooled { path, length: body.length }))
        }
        NewBodyPlace::DigestOnly => (Place::NotKept(NotKept {}), None),
    };
    Ok((Body { length: body.length, sha512: body.sha512.0.to_vec(), place: Some(place) }, spooled))
}

fn unfit(reason: &str) -> AppendError {
    AppendError::Unfit(reason.to_owned())
}

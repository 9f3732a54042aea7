//! A group in the making: which records fit, and their frames.

use std::collections::HashSet;
use std::mem::take;
use std::path::PathBuf;

use bytes::Bytes;
use kogge_proto::digest::{Sha256, sha256};
use kogge_proto::limits::{INLINE_BODY_BYTES_MAX, MATERIAL_ITEM_BYTES_MAX, MATERIAL_ITEMS_MAX};
use kogge_proto::time::UnixMillis;
use kogge_proto::wire::log::body::Place;
use kogge_proto::wire::log::entry::Kind;
use kogge_proto::wire::log::{Body, Direction, MaterialItem, MessageRecord, Role, StampRecord};
use prost::Message;

use crate::bodies::Moved;
use crate::chain::Chain;
use crate::frame::{HEADER_BYTES, PAYLOAD_BYTES_MAX};
use crate::index::Note;
use crate::layout::{Layout, body_name};
use crate::message::named_material;
use crate::window::RequestKey;
use crate::{Acknowledge, AppendError, NewBody, NewBodyPlace, NewMessage, Receipt};

/// What an entry adds to its kind: sequences, time, previous hash, tags and lengths; rounded up.
const ENTRY_BYTES: usize = 128;

/// A message whose record can be logged.
pub(crate) struct Prepared {
    record: MessageRecord,
    spooled: Option<PathBuf>,
    /// What the signature names, each once.
    material: Vec<(Sha256, Vec<u8>)>,
    pub(crate) key: Option<RequestKey>,
}

impl Prepared {
    /// Checks what the writer's invariants need; what signatures and digests mean is the caller's business.
    pub(crate) fn new(message: NewMessage) -> Result<Self, AppendError> {
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
        Ok(Self { record, spooled, material, key })
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

/// What an acknowledged entry changes.
pub(crate) enum Effect {
    Message(Option<RequestKey>),
    Stamp { leaves: Vec<u64>, root: Option<Sha256> },
}

/// One who waits for the group to be durable.
pub(crate) struct Waiting {
    pub(crate) receipt: Receipt,
    pub(crate) effect: Effect,
    pub(crate) acknowledge: Acknowledge,
}

/// Frames that will be written at once, and who waits for them.
pub(crate) struct Draft {
    pub(crate) frames: Vec<u8>,
    /// Where the chain stands after these frames.
    pub(crate) chain: Chain,
    /// Newest entry that was durable when the draft was begun.
    durable: u64,
    pub(crate) materials: HashSet<Sha256>,
    requests: HashSet<RequestKey>,
    pub(crate) moved: Vec<Moved>,
    pub(crate) waiting: Vec<Waiting>,
    /// What the index keeps of the entries.
    pub(crate) notes: Vec<Note>,
}

impl Draft {
    /// An empty group after the durable end of the log.
    pub(crate) fn after(chain: Chain) -> Self {
        Self {
            frames: Vec::new(),
            chain,
            durable: chain.sequence,
            materials: HashSet::new(),
            requests: HashSet::new(),
            moved: Vec::new(),
            waiting: Vec::new(),
            notes: Vec::new(),
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Whether the group holds a request with this id.
    pub(crate) fn has_request(&self, key: RequestKey) -> bool {
        self.requests.contains(&key)
    }

    /// Adds a message with the material that the segment does not hold yet. Moves a spooled body to its final name.
    pub(crate) fn add_message(
        &mut self,
        mut prepared: Prepared,
        in_segment: &HashSet<Sha256>,
        time: UnixMillis,
        layout: &Layout,
        acknowledge: Acknowledge,
    ) {
        prepared
            .material
            .retain(|(digest, _)| !in_segment.contains(digest) && !self.materials.contains(digest));
        let sequence = self.chain.next() + prepared.material.len() as u64;
        if let Some(spooled) = &prepared.spooled {
            let name = body_name(sequence);
            match Moved::rename(layout, spooled, &name) {
                Ok(moved) => self.moved.push(moved),
                Err(error) => return acknowledge(Err(error)),
            }
            if let Some(body) = &mut prepared.record.body {
                body.place = Some(Place::File(name));
            }
        }
        for (digest, der) in take(&mut prepared.material) {
            self.push(time, Kind::Material(MaterialItem { der }));
            self.materials.insert(digest);
        }
        self.requests.extend(prepared.key);
        self.push(time, Kind::Message(prepared.record));
        let receipt = Receipt { sequence, time };
        self.waiting.push(Waiting { receipt, effect: Effect::Message(prepared.key), acknowledge });
    }

    /// Adds a stamp.
    pub(crate) fn add_stamp(&mut self, stamp: StampRecord, time: UnixMillis, acknowledge: Acknowledge) {
        let effect = Effect::Stamp {
            leaves: stamp.leaves.iter().map(|leaf| leaf.sequence).collect(),
            root: Sha256::from_slice(&stamp.root),
        };
        self.push(time, Kind::Stamp(stamp));
        self.waiting.push(Waiting {
            receipt: Receipt { sequence: self.chain.sequence, time },
            effect,
            acknowledge,
        });
    }

    fn push(&mut self, time: UnixMillis, kind: Kind) {
        let entry = self.chain.entry(time, self.durable, kind);
        self.notes.push(Note::of(&entry, self.frames.len() as u64));
        self.chain.append(&mut self.frames, &entry);
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

fn place_body(body: NewBody) -> Result<(Body, Option<PathBuf>), AppendError> {
    let (place, spooled) = match body.place {
        NewBodyPlace::Inline(bytes) if bytes.len() as u64 != body.length => {
            return Err(unfit("its body does not have the length that is given"));
        }
        NewBodyPlace::Inline(_) if body.length > INLINE_BODY_BYTES_MAX => {
            return Err(unfit("its body is too large to be stored inside the record"));
        }
        NewBodyPlace::Inline(bytes) => (Place::Inline(bytes), None),
        // The sequence is not known yet, but every name has the same length.
        NewBodyPlace::Spooled(path) => (Place::File(body_name(0)), Some(path)),
    };
    Ok((Body { length: body.length, sha512: body.sha512.0.to_vec(), place: Some(place) }, spooled))
}

fn unfit(reason: &str) -> AppendError {
    AppendError::Unfit(reason.to_owned())
}

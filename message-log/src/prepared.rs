//! A message as its caller's thread leaves it to the writer: checked, and encoded as far as that can be done without knowing its place in the log.

use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use kogge_proto::digest::{Sha256, Sha512, sha256};
use kogge_proto::limits::{INLINE_BODY_BYTES_MAX, MATERIAL_ITEM_BYTES_MAX, MATERIAL_ITEMS_MAX};
use kogge_proto::wire::evidence::{Material, Signature};
use kogge_proto::wire::log::body::Place;
use kogge_proto::wire::log::{Body, Direction, MessageRecord, NotKept, Role, StampRecord, StoredStamp};
use prost::Message;

use crate::draft::Effect;
use crate::frame::{HEADER_BYTES, PAYLOAD_BYTES_MAX};
use crate::index::{Fingerprint, Noted};
use crate::interned::{Interned, NamePlace};
use crate::keys::{LogKeys, TAG_BYTES};
use crate::stored::{self, HEAD_BYTES_MAX};
use crate::window::{RequestKey, is_guarded};
use crate::{AppendError, BodyKey, Durability, NewBody, NewBodyPlace, NewMessage, Receipt};

/// Longest text form of a client, a service or a server: far above what identifiers can have.
const NAME_BYTES_MAX: usize = 16 * 1024;

/// A message whose record can be logged.
pub(crate) struct Prepared {
    /// The stored record without references.
    pub(crate) fixed: Vec<u8>,
    /// Client, service, peer server.
    pub(crate) names: [String; 3],
    /// Digests that the signature names: certificate, OCSP response, issuers; `None` where it names none.
    pub(crate) named: Vec<Option<Sha256>>,
    offered: Material,
    pub(crate) spooled: Option<Spooled>,
    /// The body, if it is to be encrypted with the record's key.
    pub(crate) to_seal: Option<ToSeal>,
    /// Of message id, request id and subject.
    pub(crate) found_by: [Fingerprint; 3],
    pub(crate) key: Option<RequestKey>,
    pub(crate) durability: Durability,
    pub(crate) follows: Option<Receipt>,
}

/// A body that goes into the record encrypted. The key depends on the record's place in the log.
pub(crate) struct ToSeal {
    pub(crate) body: Bytes,
    pub(crate) sha512: Sha512,
}

/// So much more than the body itself it takes in the record: tag, digest, and the fields around them.
const SEALING_BYTES: usize = TAG_BYTES + 64 + 24;

/// What the record of an encrypted file takes: length, digest, wrapped key, and the fields around them.
const FILE_BYTES: usize = 64 + 60 + 32;

/// A body in the log's spool.
#[derive(Debug)]
pub(crate) struct Spooled {
    pub(crate) path: PathBuf,
    /// How long the body is.
    pub(crate) length: u64,
    /// Its key and digest, if the file is encrypted: then the record gets its body with its place.
    pub(crate) sealed: Option<(Arc<BodyKey>, Sha512)>,
}

impl Spooled {
    /// How long the file should be.
    pub(crate) fn file_length(&self) -> u64 {
        match self.sealed {
            Some(_) => BodyKey::sealed_length(self.length),
            None => self.length,
        }
    }
}

impl Prepared {
    /// Checks what the writer's invariants need; what signatures and digests mean is the caller's business.
    pub(crate) fn new(
        message: NewMessage,
        durability: Durability,
        keys: Option<&LogKeys>,
    ) -> Result<Self, AppendError> {
        if message.role == Role::Unspecified || message.direction == Direction::Unspecified {
            return Err(unfit("its role and direction are not given"));
        }
        let items = &message.material.items;
        if items.len() > MATERIAL_ITEMS_MAX || items.iter().any(|item| item.len() > MATERIAL_ITEM_BYTES_MAX) {
            return Err(unfit("its certificates and OCSP responses are too many or too large"));
        }
        let names = [message.client, message.service, message.peer_server];
        if names.iter().any(|name| name.len() > NAME_BYTES_MAX) {
            return Err(unfit("the name of a party is too long"));
        }
        let named = named_digests(&message.signature)?;
        let (body, spooled) = match message.body {
            None => (None, None),
            Some(body) => place_body(body)?,
        };
        let (body, to_seal) = match keys {
            Some(_) => split_off(body),
            None => (body, None),
        };
        let subject = match (keys, &message.subject) {
            (Some(keys), Some(subject)) => keys.pseudonym(subject)?.to_vec(),
            _ => Vec::new(),
        };
        let subject_found_by = Fingerprint::of_subject(&subject);
        let request_key = RequestKey::of(&message.request_id);
        let found_by = [Fingerprint::of(&message.message_id), request_key.into(), subject_found_by];
        let key = is_guarded(message.role, message.direction).then_some(request_key);
        let fixed = stored::message(MessageRecord {
            role: message.role.into(),
            direction: message.direction.into(),
            message_id: message.message_id,
            request_id: message.request_id,
            message: message.message,
            body,
            signature: Some(message.signature),
            subject,
            ..MessageRecord::default()
        })
        .encode_to_vec();
        let length = fixed.len() + to_seal.as_ref().map_or(0, ToSeal::bytes);
        if length > PAYLOAD_BYTES_MAX - HEAD_BYTES_MAX {
            return Err(unfit("it is larger than a frame may be"));
        }
        // A body is synced before its record is written: nothing is gained by acknowledging the record earlier.
        let durability = if spooled.is_some() { Durability::Now } else { durability };
        let (offered, follows) = (message.material, message.follows);
        Ok(Self { fixed, names, named, offered, spooled, to_seal, found_by, key, durability, follows })
    }

    /// Bytes that it holds in memory, about.
    pub(crate) fn memory(&self) -> usize {
        self.record_bytes() + size_of::<Self>()
    }

    /// Bytes of the record but for what it refers to; never too few.
    fn record_bytes(&self) -> usize {
        let file = self.spooled.as_ref().map_or(0, |_| FILE_BYTES);
        self.fixed.len() + self.to_seal.as_ref().map_or(0, ToSeal::bytes) + file
    }

    /// Bytes that its frames take in a segment of which this is known; never too few.
    pub(crate) fn bytes(&self, interned: [&Interned; 2]) -> usize {
        let alone = |length: usize| HEADER_BYTES + HEAD_BYTES_MAX + length;
        let names =
            self.names.iter().filter(|name| name_in(interned, name).is_none()).map(|name| alone(name.len()));
        let missing = self.named.iter().flatten().any(|digest| material_in(interned, digest).is_none());
        let offered: usize = self.offered.items.iter().map(|item| alone(item.len())).sum();
        alone(self.record_bytes()) + names.sum::<usize>() + if missing { offered } else { 0 }
    }

    /// Where what the signature names stands, 0 for what is not named; `None` if some of it is not there yet.
    pub(crate) fn material(&self, interned: [&Interned; 2]) -> Option<Vec<u64>> {
        self.named
            .iter()
            .map(|named| named.as_ref().map_or(Some(0), |digest| material_in(interned, digest)))
            .collect()
    }

    /// What the signature names and the segment does not hold yet, each once. It must have come with the message.
    pub(crate) fn missing_material(
        &self,
        is_there: impl Fn(&Sha256) -> bool,
    ) -> Result<Vec<(Sha256, Bytes)>, AppendError> {
        let mut missing: Vec<(Sha256, Bytes)> = Vec::new();
        for digest in self.named.iter().flatten().filter(|digest| !is_there(digest)) {
            if missing.iter().any(|(present, _)| present == digest) {
                continue;
            }
            let item = self
                .offered
                .items
                .iter()
                .find(|item| sha256(item) == *digest)
                .ok_or_else(strange_material)?;
            missing.push((*digest, item.clone()));
        }
        Ok(missing)
    }
}

impl ToSeal {
    fn bytes(&self) -> usize {
        self.body.len() + SEALING_BYTES
    }
}

/// Parts a body that would lie in the record from the rest of it.
fn split_off(body: Option<Body>) -> (Option<Body>, Option<ToSeal>) {
    match body {
        Some(Body { sha512, place: Some(Place::Inline(bytes)), length }) => {
            match Sha512::from_slice(&sha512) {
                Some(sha512) => (None, Some(ToSeal { body: bytes, sha512 })),
                None => (Some(Body { sha512, place: Some(Place::Inline(bytes)), length }), None),
            }
        }
        other => (other, None),
    }
}

/// Where a name stands.
pub(crate) fn name_in(interned: [&Interned; 2], text: &str) -> Option<NamePlace> {
    if text.is_empty() {
        // No entry is needed for it.
        return Some(NamePlace::new(text, 0));
    }
    interned.iter().find_map(|interned| interned.name(text))
}

/// Where a certificate or an OCSP response stands.
pub(crate) fn material_in(interned: [&Interned; 2], digest: &Sha256) -> Option<u64> {
    interned.iter().find_map(|interned| interned.material(digest))
}

/// A stamp that can be logged.
pub(crate) struct PreparedStamp {
    pub(crate) stored: StoredStamp,
    pub(crate) effect: Effect,
    pub(crate) noted: Noted,
}

impl PreparedStamp {
    pub(crate) fn new(stamp: StampRecord) -> Result<Self, AppendError> {
        if stamp.leaves.iter().any(|leaf| leaf.sha256.len() != Sha256::LEN) {
            return Err(unfit("a leaf of the stamp is not a SHA-256"));
        }
        let noted = Noted::stamp(&stamp);
        let effect = Effect::Stamp {
            leaves: stamp.leaves.iter().map(|leaf| leaf.sequence).collect(),
            root: Sha256::from_slice(&stamp.root),
        };
        let stored = stored::stamp(stamp);
        if stored.encoded_len() > PAYLOAD_BYTES_MAX - HEAD_BYTES_MAX {
            return Err(unfit("the stamp is larger than a frame may be"));
        }
        Ok(Self { stored, effect, noted })
    }

    /// Bytes that its frame takes; never too few.
    pub(crate) fn bytes(&self) -> usize {
        HEADER_BYTES + HEAD_BYTES_MAX + self.stored.encoded_len()
    }
}

fn named_digests(signature: &Signature) -> Result<Vec<Option<Sha256>>, AppendError> {
    [&signature.certificate_sha256, &signature.ocsp_sha256]
        .into_iter()
        .chain(&signature.issuer_sha256)
        .map(|named| match named.as_slice() {
            [] => Ok(None),
            named => Sha256::from_slice(named).map(Some).ok_or_else(strange_material),
        })
        .collect()
}

fn place_body(body: NewBody) -> Result<(Option<Body>, Option<Spooled>), AppendError> {
    let (place, spooled) = match body.place {
        NewBodyPlace::Inline(bytes) if bytes.len() as u64 != body.length => {
            return Err(unfit("its body does not have the length that is given"));
        }
        NewBodyPlace::Inline(_) if body.length > INLINE_BODY_BYTES_MAX => {
            return Err(unfit("its body is too large to be stored inside the record"));
        }
        NewBodyPlace::Inline(bytes) => (Place::Inline(bytes), None),
        // Its name follows from the record's sequence.
        NewBodyPlace::Spooled(path) => {
            (Place::File(String::new()), Some(Spooled { path, length: body.length, sealed: None }))
        }
        NewBodyPlace::Sealed { path, key } => {
            let sealed = Some((key, body.sha512));
            return Ok((None, Some(Spooled { path, length: body.length, sealed })));
        }
        NewBodyPlace::DigestOnly => (Place::NotKept(NotKept::default()), None),
    };
    let body = Body { length: body.length, sha512: body.sha512.0.to_vec(), place: Some(place) };
    Ok((Some(body), spooled))
}

fn strange_material() -> AppendError {
    unfit("its signature names a certificate or OCSP response that does not come with it")
}

fn unfit(reason: &str) -> AppendError {
    AppendError::Unfit(reason.to_owned())
}

//! A group in the making: which records fit, and their frames.

use std::mem::take;

use kogge_proto::digest::Sha256;
use kogge_proto::time::UnixMillis;
use kogge_proto::wire::log::entry::Kind;
use kogge_proto::wire::log::{Entry, EntryPlace, Erasure, MaterialItem, Name};
use prost::Message;

use crate::bodies::Moved;
use crate::chain::Chain;
use crate::index::{Keys, Note, Noted};
use crate::interned::{Interned, NamePlace};
use crate::job::Told;
use crate::layout::{Layout, body_name};
use crate::prepared::{Prepared, PreparedStamp, Spooled, ToSeal, material_in, name_in};
use crate::segment::Segment;
use crate::stored::{LateBody, Sealed, message_kind, sealed_file};
use crate::window::RequestKey;
use crate::{Acknowledge, AppendError, Durability, Incarnation, Receipt};

/// What a durable entry changes.
pub(crate) enum Effect {
    Message(Option<RequestKey>),
    Stamp { leaves: Vec<u64>, root: Option<Sha256> },
    Erasure(EntryPlace),
}

/// A record that is not durable yet, and who waits for it.
pub(crate) struct Waiting {
    pub(crate) receipt: Receipt,
    pub(crate) effect: Effect,
    pub(crate) durability: Durability,
    /// `None` once it was called.
    pub(crate) acknowledge: Option<Acknowledge>,
}

impl Waiting {
    /// What to tell him, unless that was done before.
    pub(crate) fn told(&mut self, outcome: Result<(), AppendError>) -> Option<Told> {
        let outcome = outcome.map(|()| self.receipt);
        self.acknowledge.take().map(|acknowledge| Told { acknowledge, outcome })
    }
}

/// So much of the buffer for frames is kept for the next group; what one large group took is given back.
const FRAMES_KEPT_BYTES: usize = 256 * 1024;

/// Frames that will be written at once, and who waits for them.
#[derive(Default)]
pub(crate) struct Draft {
    pub(crate) frames: Vec<u8>,
    /// Where the chain stands after these frames.
    pub(crate) chain: Chain,
    /// Newest entry that was durable when the draft was begun.
    durable: u64,
    incarnation: Incarnation,
    is_urgent: bool,
    /// Somebody waits for the group to be written, and for no more.
    pub(crate) is_noted: bool,
    /// What the frames add to what the segment holds.
    pub(crate) interned: Interned,
    pub(crate) moved: Vec<Moved>,
    /// Space for one encrypted body.
    sealed: Vec<u8>,
    pub(crate) waiting: Vec<Waiting>,
    /// SHA-256 of the entries' payloads.
    pub(crate) hashes: Vec<Sha256>,
    /// What the index keeps of the entries; offsets count from the segment's beginning.
    pub(crate) notes: Vec<Note>,
}

impl Draft {
    /// Begins a group after what was written up to `chain`, of which what came after `durable` is not synced. What was in the draft is dropped, its
    /// buffers are used again.
    pub(crate) fn begin(&mut self, chain: Chain, durable: Chain, incarnation: Incarnation) {
        self.frames.clear();
        self.frames.shrink_to(FRAMES_KEPT_BYTES);
        self.chain = chain;
        self.durable = durable.sequence;
        self.incarnation = incarnation;
        self.interned = Interned::default();
        self.is_urgent = false;
        self.is_noted = false;
        self.moved.clear();
        self.waiting.clear();
        self.notes.clear();
        self.hashes.clear();
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Whether somebody waits for the group to be durable.
    pub(crate) fn is_urgent(&self) -> bool {
        self.is_urgent
    }

    /// Adds a message, and before it what it refers to and the segment does not hold yet. Moves a spooled body to its final name. [`Self::wait`] must follow.
    pub(crate) fn add_message(
        &mut self,
        prepared: Prepared,
        segment: &Segment,
        time: UnixMillis,
        layout: &Layout,
    ) -> Result<Waiting, AppendError> {
        let material = self.material(&prepared, segment, time)?;
        let names = prepared.names.each_ref().map(|text| self.name(text, segment, time));
        if let Some(spooled) = &prepared.spooled {
            self.moved.push(Moved::rename(layout, &spooled.path, &body_name(self.chain.next()))?);
        }
        let mut sealed = take(&mut self.sealed);
        sealed.clear();
        if let Some(ToSeal { body, sha512 }) = &prepared.to_seal {
            let keys = segment.keys.as_ref();
            let keys = keys.ok_or_else(|| AppendError::Suspect("the segment has no keys".to_owned()))?;
            keys.seal(self.chain.next(), sha512, body, &mut sealed)?;
        }
        let file = self.file_body(&prepared, segment)?;
        let Prepared { fixed, to_seal, found_by: [message_id, request_id, subject], key, durability, .. } =
            prepared;
        let [client, service, _] = names.map(|name| name.fingerprint);
        let keys = Keys { message_id, request_id, client, service, subject };
        self.push(segment, time, Noted::Message(keys, key), |out| {
            let ciphertext = sealed.as_slice();
            let sealed = to_seal.as_ref().map(|ToSeal { sha512, .. }| Sealed { sha512, ciphertext });
            let late = sealed.map(LateBody::Sealed).or(file.as_deref().map(LateBody::Encoded));
            message_kind(out, &fixed, late, &names.map(|name| name.offset), &material);
        });
        self.sealed = sealed;
        Ok(self.newest(Effect::Message(key), time, durability))
    }

    /// What the next record says of the encrypted file that its body is in.
    fn file_body(&self, prepared: &Prepared, segment: &Segment) -> Result<Option<Vec<u8>>, AppendError> {
        let Some(Spooled { length, sealed: Some((key, sha512)), .. }) = &prepared.spooled else {
            return Ok(None);
        };
        let key = match &segment.keys {
            Some(keys) => keys.wrap(self.chain.next(), sha512, key)?,
            None => key.bytes().to_vec(),
        };
        Ok(Some(sealed_file(*length, sha512, key)))
    }

    /// Where what the message's signature names stands; adds what the segment does not hold yet.
    fn material(
        &mut self,
        prepared: &Prepared,
        segment: &Segment,
        time: UnixMillis,
    ) -> Result<Vec<u64>, AppendError> {
        if let Some(places) = prepared.material([&segment.interned, &self.interned]) {
            return Ok(places);
        }
        let interned = [&segment.interned, &self.interned];
        let missing = prepared.missing_material(|digest| material_in(interned, digest).is_some())?;
        for (digest, der) in missing {
            let item = Kind::Material(MaterialItem { der: der.to_vec() });
            let offset = self.push_kind(segment, time, Noted::Other, item);
            self.interned.add_material(digest, offset);
        }
        let places = prepared.material([&segment.interned, &self.interned]);
        places.ok_or_else(|| AppendError::Unfit("it names more than a segment can remember".to_owned()))
    }

    /// Where a name stands; adds it if the segment does not hold it yet.
    fn name(&mut self, text: &str, segment: &Segment, time: UnixMillis) -> NamePlace {
        if let Some(place) = name_in([&segment.interned, &self.interned], text) {
            return place;
        }
        let entry = Kind::Name(Name { text: text.to_owned() });
        let place = NamePlace::new(text, self.push_kind(segment, time, Noted::Other, entry));
        self.interned.add_name(text, place);
        place
    }

    /// Adds a stamp. [`Self::wait`] must follow.
    pub(crate) fn add_stamp(&mut self, stamp: PreparedStamp, segment: &Segment, time: UnixMillis) -> Waiting {
        let PreparedStamp { stored, effect, noted, .. } = stamp;
        self.push_kind(segment, time, noted, Kind::Stamp(stored));
        self.newest(effect, time, Durability::Now)
    }

    /// Adds an erasure. [`Self::wait`] must follow.
    pub(crate) fn add_erasure(&mut self, erasure: Erasure, segment: &Segment, time: UnixMillis) -> Waiting {
        let offset = self.push_kind(segment, time, Noted::Other, Kind::Erasure(erasure));
        let place = EntryPlace { segment: segment.number, offset };
        self.newest(Effect::Erasure(place), time, Durability::Now)
    }

    /// Takes note of who waits for the record that was added last.
    pub(crate) fn wait(&mut self, waiting: Waiting) {
        match waiting.durability {
            Durability::Now => self.is_urgent = true,
            Durability::WithNext => self.is_noted = true,
        }
        self.waiting.push(waiting);
    }

    /// The entry that was pushed last; nobody waits for it yet.
    fn newest(&self, effect: Effect, time: UnixMillis, durability: Durability) -> Waiting {
        let receipt = Receipt { sequence: self.chain.sequence, time, incarnation: self.incarnation };
        Waiting { receipt, effect, durability, acknowledge: None }
    }

    fn push_kind(&mut self, segment: &Segment, time: UnixMillis, noted: Noted, kind: Kind) -> u64 {
        let entry = Entry { kind: Some(kind), ..Entry::default() };
        // The other fields are blank, and a blank field is not encoded.
        self.push(segment, time, noted, |out| out.extend_from_slice(&entry.encode_to_vec()))
    }

    /// Adds an entry; returns where its frame will stand in the segment.
    fn push(
        &mut self,
        segment: &Segment,
        time: UnixMillis,
        noted: Noted,
        kind: impl FnOnce(&mut Vec<u8>),
    ) -> u64 {
        let offset = segment.tail + self.frames.len() as u64;
        self.chain.append(&mut self.frames, segment.mask, time, self.durable, kind);
        self.hashes.push(self.chain.hash);
        self.notes.push(Note { sequence: self.chain.sequence, offset, time, kind: noted });
        offset
    }
}

//! A group in the making: which records fit, and their frames.

use std::collections::HashSet;
use std::mem::take;

use kogge_proto::digest::Sha256;
use kogge_proto::time::UnixMillis;
use kogge_proto::wire::log::body::Place;
use kogge_proto::wire::log::entry::Kind;
use kogge_proto::wire::log::{MaterialItem, StampRecord};

use crate::bodies::Moved;
use crate::chain::Chain;
use crate::index::Note;
use crate::layout::{Layout, body_name};
use crate::prepared::Prepared;
use crate::window::RequestKey;
use crate::writer::tell;
use crate::{Acknowledge, AppendError, Durability, Incarnation, Receipt};

/// What a durable entry changes.
pub(crate) enum Effect {
    Message(Option<RequestKey>),
    Stamp { leaves: Vec<u64>, root: Option<Sha256> },
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
    /// Calls back, unless that was done before.
    pub(crate) fn tell(&mut self, outcome: Result<(), AppendError>) {
        if let Some(acknowledge) = self.acknowledge.take() {
            tell(acknowledge, outcome.map(|()| self.receipt));
        }
    }
}

/// Frames that will be written at once, and who waits for them.
pub(crate) struct Draft {
    pub(crate) frames: Vec<u8>,
    /// Where the chain stands after these frames.
    pub(crate) chain: Chain,
    /// Newest entry that was durable when the draft was begun.
    durable: u64,
    incarnation: Incarnation,
    pub(crate) materials: HashSet<Sha256>,
    requests: HashSet<RequestKey>,
    pub(crate) moved: Vec<Moved>,
    pub(crate) waiting: Vec<Waiting>,
    /// What the index keeps of the entries.
    pub(crate) notes: Vec<Note>,
}

impl Draft {
    /// An empty group after what was written up to `chain`, of which what came after `durable` is not synced.
    pub(crate) fn after(chain: Chain, durable: Chain, incarnation: Incarnation) -> Self {
        Self {
            frames: Vec::new(),
            chain,
            durable: durable.sequence,
            incarnation,
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

    /// Whether somebody waits for the group to be durable.
    pub(crate) fn is_urgent(&self) -> bool {
        self.waiting.iter().any(|waiting| waiting.durability == Durability::Now)
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
            match Moved::rename(layout, &spooled.path, &name) {
                Ok(moved) => self.moved.push(moved),
                Err(error) => return tell(acknowledge, Err(error)),
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
        self.wait(Effect::Message(prepared.key), time, prepared.durability, acknowledge);
    }

    /// Adds a stamp.
    pub(crate) fn add_stamp(&mut self, stamp: StampRecord, time: UnixMillis, acknowledge: Acknowledge) {
        let effect = Effect::Stamp {
            leaves: stamp.leaves.iter().map(|leaf| leaf.sequence).collect(),
            root: Sha256::from_slice(&stamp.root),
        };
        self.push(time, Kind::Stamp(stamp));
        self.wait(effect, time, Durability::Now, acknowledge);
    }

    /// Takes note of who waits for the entry that was pushed last.
    fn wait(&mut self, effect: Effect, time: UnixMillis, durability: Durability, acknowledge: Acknowledge) {
        let receipt = Receipt { sequence: self.chain.sequence, time, incarnation: self.incarnation };
        self.waiting.push(Waiting { receipt, effect, durability, acknowledge: Some(acknowledge) });
    }

    fn push(&mut self, time: UnixMillis, kind: Kind) {
        let entry = self.chain.entry(time, self.durable, kind);
        self.notes.push(Note::of(&entry, self.frames.len() as u64));
        self.chain.append(&mut self.frames, &entry);
    }
}

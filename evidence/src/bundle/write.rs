//! Writing a bundle in one pass over the log.

use std::collections::HashMap;
use std::io::{self, Read, Write};
use std::rc::Rc;
use std::sync::Arc;

use bytes::Bytes;
use kogge_proto::digest::{Sha256, sha256};
use kogge_proto::wire::bundle::{End, Forget, Item, Record, Way, item};
use kogge_proto::wire::log::StampRecord;
use kogge_tlog::checkpoint::{Checkpoint, CheckpointError};
use kogge_tlog::tree::{Full, Head, Stretch, leaf_hash};
use prost::Message;

use super::block::{BlockWriter, Kind};
use super::way::{BatchTree, Leaf, WayError};
use super::{BLOCK_ITEMS_MAX, Counts};

/// A record that goes into a bundle.
pub struct NewRecord<'a> {
    /// Sequence of its entry.
    pub sequence: u64,
    /// The entry's payload.
    pub entry: Bytes,
    /// Text form of the client; empty if the entry does not refer to one.
    pub client: &'a str,
    /// Text form of the service, likewise.
    pub service: &'a str,
    /// Signing certificate, OCSP response and issuers, as the entry refers to them; `None` where it refers to nothing.
    pub material: Vec<Option<Bytes>>,
    /// The stamp that covers it.
    pub stamp: Option<Arc<StampRecord>>,
    /// Where its body is.
    pub body: NewBody<'a>,
    /// Whether it is a response.
    pub is_response: bool,
}

/// Where the body of a record is.
pub enum NewBody<'a> {
    /// There is none, or it stands in the entry.
    None,
    /// The log does not have it.
    Missing,
    /// Here; at most [`super::BODY_BYTES_IN_RECORD_MAX`] bytes.
    Here(Bytes),
    /// To be read.
    Read(u64, &'a mut dyn Read),
}

/// Why a bundle cannot be written.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// The output cannot be written, or the body not be read.
    #[error("the bundle cannot be written: {0}")]
    Io(#[from] io::Error),
    /// A stamp is damaged.
    #[error("record {sequence}: {source}: the log is damaged")]
    Way {
        /// Of the record.
        sequence: u64,
        /// What is wrong.
        source: WayError,
    },
    /// A stamp does not cover the record.
    #[error("record {0} is not in the timestamp batch that is said to cover it: the log is damaged")]
    NotCovered(u64),
    /// Entries were not given in order and without a gap.
    #[error("entry {0} does not follow the one before")]
    Order(u64),
    /// A body is not as long as the record says.
    #[error("the body of record {0} is not as long as the record says: the log is damaged")]
    Body(u64),
    /// More entries than a log can have.
    #[error(transparent)]
    Full(#[from] Full),
    /// There is no such checkpoint.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
}

/// A bundle being written. Holds one block, the tables' digests, and the tree of one batch.
pub struct BundleWriter<W> {
    blocks: BlockWriter<W>,
    head: Head,
    passed: Stretch,
    tables: Tables,
    group: Group,
    batch: Option<Batch>,
    counts: Counts,
}

impl<W: Write> BundleWriter<W> {
    /// Begins with the payload of the log's first entry, and the registry snapshot.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn begin(out: W, origin: &[u8], snapshot: &[u8]) -> Result<Self, WriteError> {
        let mut blocks = BlockWriter::begin(out)?;
        blocks.write(Kind::Origin, origin)?;
        for piece in snapshot.chunks(PIECE_BYTES) {
            blocks.write(Kind::Snapshot, piece)?;
        }
        let mut head = Head::default();
        head.push(leaf_hash(sha256(origin).as_bytes()))?;
        Ok(Self {
            blocks,
            head,
            passed: Stretch::from(1),
            tables: Tables::default(),
            group: Group::default(),
            batch: None,
            counts: Counts::default(),
        })
    }

    /// Passes an entry that is not to be in the bundle; the first one was given before.
    ///
    /// # Errors
    /// It does not follow the one before.
    pub fn pass(&mut self, sequence: u64, hash: Sha256) -> Result<(), WriteError> {
        self.must_follow(sequence)?;
        let leaf = leaf_hash(hash.as_bytes());
        self.head.push(leaf)?;
        Ok(self.passed.push(leaf)?)
    }

    /// Puts a record in.
    ///
    /// # Errors
    /// It cannot be written, does not follow the entry before, or its stamp or body are not what they should be.
    pub fn add(&mut self, new: NewRecord<'_>) -> Result<(), WriteError> {
        self.must_follow(new.sequence)?;
        if self.group.is_full() {
            self.flush()?;
        }
        self.count(&new);
        let sha256 = sha256(&new.entry);
        let passed = joined(self.passed.roots());
        let leaf = leaf_hash(sha256.as_bytes());
        self.head.push(leaf)?;
        self.passed = Stretch::from(self.head.size());

        let Self { tables, group, .. } = self;
        let material = new.material.iter().map(|der| match der {
            Some(der) => tables.material(der, group),
            None => 0,
        });
        let material = material.collect();
        let (client, service) = (tables.name(new.client, group), tables.name(new.service, group));
        let way = match &new.stamp {
            Some(stamp) => self.way(new.sequence, stamp)?,
            None => 0,
        };
        let mut record = Record {
            sequence: new.sequence,
            entry: new.entry,
            sha256: sha256.0.to_vec().into(),
            passed,
            client,
            service,
            material,
            way,
            body: None,
            body_follows: None,
        };
        match new.body {
            NewBody::None | NewBody::Missing => self.group.push(record),
            NewBody::Here(body) => {
                record.body = Some(body);
                self.group.push(record);
            }
            NewBody::Read(length, content) => {
                record.body_follows = Some(length);
                self.group.push(record);
                self.flush()?;
                self.body(new.sequence, length, content)?;
            }
        }
        Ok(())
    }

    /// Writes the checkpoint of the log, known as `server`, at the entry that was given last. Returns what was written to.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn finish(mut self, server: &str) -> Result<(W, Counts), WriteError> {
        self.flush()?;
        let Counts { requests, responses, without_body, unstamped } = self.counts;
        let checkpoint = Checkpoint::new(server, self.head.size(), self.head.root())?.to_text();
        let passed = joined(self.passed.roots());
        let end = End { checkpoint, passed, requests, responses, without_body, unstamped };
        self.blocks.write(Kind::End, &end.encode_to_vec())?;
        Ok((self.blocks.into_inner(), self.counts))
    }

    fn must_follow(&self, sequence: u64) -> Result<(), WriteError> {
        if self.head.size().checked_add(1) == Some(sequence) {
            Ok(())
        } else {
            Err(WriteError::Order(sequence))
        }
    }

    fn count(&mut self, new: &NewRecord<'_>) {
        let counts = &mut self.counts;
        *if new.is_response { &mut counts.responses } else { &mut counts.requests } += 1;
        counts.without_body += u64::from(matches!(new.body, NewBody::Missing));
        counts.unstamped += u64::from(new.stamp.is_none());
    }

    /// Adds the record's leaf to the group's way of its batch; that way's index plus 1.
    fn way(&mut self, sequence: u64, stamp: &Arc<StampRecord>) -> Result<u32, WriteError> {
        if !self.batch.as_ref().is_some_and(|batch| batch.is_of(stamp)) {
            let batch = Batch::of(stamp).map_err(|source| WriteError::Way { sequence, source })?;
            self.batch = Some(batch);
        }
        let batch = self.batch.as_ref().ok_or(WriteError::NotCovered(sequence))?;
        let leaf = batch.leaf(sequence).ok_or(WriteError::NotCovered(sequence))?;
        let token = self.tables.token(&batch.token, &mut self.group);
        Ok(self.group.way(token, &batch.tree, leaf))
    }

    /// The pieces of a body.
    fn body(&mut self, sequence: u64, length: u64, content: &mut dyn Read) -> Result<(), WriteError> {
        let mut left = length;
        let mut piece = vec![0; PIECE_BYTES];
        while left > 0 {
            let wanted = usize::try_from(left).unwrap_or(PIECE_BYTES).min(PIECE_BYTES);
            let Some(part) = piece.get_mut(..wanted) else { break };
            content.read_exact(part).map_err(|error| match error.kind() {
                io::ErrorKind::UnexpectedEof => WriteError::Body(sequence),
                _ => error.into(),
            })?;
            self.blocks.write(Kind::Body, part)?;
            left -= wanted as u64;
        }
        // One byte more would be another body.
        if content.read(&mut [0])? == 0 { Ok(()) } else { Err(WriteError::Body(sequence)) }
    }

    /// Writes the group.
    fn flush(&mut self) -> Result<(), WriteError> {
        let group = std::mem::take(&mut self.group);
        if group.records.is_empty() {
            return Ok(());
        }
        self.blocks.write(Kind::Items, &group.encode()?)?;
        if self.tables.is_large() {
            self.tables = Tables::default();
            self.group.first.push(Item { item: Some(item::Item::Forget(Forget {})) });
        }
        Ok(())
    }
}

/// What was written into the tables since they were empty.
#[derive(Default)]
struct Tables {
    material: HashMap<Bytes, u32>,
    names: HashMap<String, u32>,
    tokens: HashMap<Bytes, u32>,
    bytes: usize,
}

impl Tables {
    /// Index of the item plus 1.
    fn material(&mut self, der: &Bytes, group: &mut Group) -> u32 {
        match self.material.get(der) {
            Some(index) => *index + 1,
            None => {
                group.first(item::Item::Material(der.clone()), der.len());
                self.bytes += der.len();
                1 + put(&mut self.material, der.clone())
            }
        }
    }

    /// Index of the name plus 1; 0 for an empty one.
    fn name(&mut self, name: &str, group: &mut Group) -> u32 {
        match self.names.get(name) {
            _ if name.is_empty() => 0,
            Some(index) => *index + 1,
            None => {
                group.first(item::Item::Name(name.to_owned()), name.len());
                self.bytes += name.len();
                1 + put(&mut self.names, name.to_owned())
            }
        }
    }

    /// Index of the token.
    fn token(&mut self, token: &Bytes, group: &mut Group) -> u32 {
        match self.tokens.get(token) {
            Some(index) => *index,
            None => {
                group.first(item::Item::Token(token.clone()), token.len());
                self.bytes += token.len();
                put(&mut self.tokens, token.clone())
            }
        }
    }

    fn is_large(&self) -> bool {
        let items = self.material.len() + self.names.len() + self.tokens.len();
        self.bytes >= TABLE_BYTES_ENOUGH || items >= TABLE_ITEMS_ENOUGH
    }
}

fn put<K: std::hash::Hash + Eq>(table: &mut HashMap<K, u32>, key: K) -> u32 {
    let index = table.len() as u32;
    table.insert(key, index);
    index
}

/// What the next block will hold.
#[derive(Default)]
struct Group {
    /// Additions to tables.
    first: Vec<Item>,
    ways: Vec<GroupWay>,
    records: Vec<Item>,
    bytes: usize,
}

struct GroupWay {
    token: u32,
    tree: Rc<BatchTree>,
    leaves: Vec<Leaf>,
}

impl Group {
    fn first(&mut self, item: item::Item, bytes: usize) {
        self.first.push(Item { item: Some(item) });
        self.bytes += bytes;
    }

    fn push(&mut self, record: Record) {
        self.bytes += record.entry.len() + record.passed.len() + record.body.as_ref().map_or(0, Bytes::len);
        self.records.push(Item { item: Some(item::Item::Record(record)) });
    }

    /// Adds a leaf to the way of its batch, which is begun where there is none that it can go on; that way's index plus 1.
    fn way(&mut self, token: u32, tree: &Rc<BatchTree>, leaf: Leaf) -> u32 {
        let goes_on = |way: &&mut GroupWay| {
            Rc::ptr_eq(&way.tree, tree) && way.leaves.last().is_none_or(|last| last.position < leaf.position)
        };
        match self.ways.last_mut().filter(goes_on) {
            Some(way) => way.leaves.push(leaf),
            None => self.ways.push(GroupWay { token, tree: Rc::clone(tree), leaves: vec![leaf] }),
        }
        self.ways.len() as u32
    }

    fn is_full(&self) -> bool {
        // A record adds itself, a way, and what it refers to.
        let items = self.first.len() + self.ways.len() + self.records.len();
        self.bytes >= GROUP_BYTES_ENOUGH || items >= GROUP_ITEMS_ENOUGH
    }

    fn encode(self) -> Result<Vec<u8>, WriteError> {
        let mut payload = Vec::with_capacity(self.bytes + self.bytes / 8);
        let mut ways = Vec::with_capacity(self.ways.len());
        for way in &self.ways {
            ways.push(Item { item: Some(item::Item::Way(way.to_wire()?)) });
        }
        for item in self.first.iter().chain(&ways).chain(&self.records) {
            item.encode_length_delimited(&mut payload).map_err(io::Error::other)?;
        }
        Ok(payload)
    }
}

impl GroupWay {
    fn to_wire(&self) -> Result<Way, WriteError> {
        let nodes =
            self.tree.nodes(&self.leaves).map_err(|source| WriteError::Way { sequence: 0, source })?;
        Ok(Way {
            token: self.token,
            size: self.tree.size(),
            leaves: self.leaves.iter().map(|leaf| leaf.position).collect(),
            sha256: joined(self.leaves.iter().map(|leaf| &leaf.value)),
            nodes: joined(nodes.iter()),
        })
    }
}

/// A batch that records of a group are in.
struct Batch {
    stamp: Arc<StampRecord>,
    token: Bytes,
    tree: Rc<BatchTree>,
    positions: HashMap<u64, u32>,
}

impl Batch {
    fn of(stamp: &Arc<StampRecord>) -> Result<Self, WayError> {
        let before = [&stamp.previous_root, &stamp.checkpoint];
        let first = before.into_iter().filter(|value| !value.is_empty()).count() as u32;
        let sequences = stamp.leaves.iter().map(|leaf| leaf.sequence);
        Ok(Self {
            token: Bytes::from(stamp.token.clone()),
            tree: Rc::new(BatchTree::of(stamp)?),
            positions: sequences.zip(first..).collect(),
            stamp: Arc::clone(stamp),
        })
    }

    fn is_of(&self, stamp: &Arc<StampRecord>) -> bool {
        Arc::ptr_eq(&self.stamp, stamp)
    }

    fn leaf(&self, sequence: u64) -> Option<Leaf> {
        self.tree.leaf(*self.positions.get(&sequence)?)
    }
}

fn joined<'a>(digests: impl Iterator<Item = &'a Sha256>) -> Bytes {
    digests.flat_map(|digest| digest.0).collect::<Vec<u8>>().into()
}

/// Pieces of bodies and of the snapshot.
const PIECE_BYTES: usize = 256 * 1024;
/// A group is written from this size on: some hundred records of a few KiB, as many as keep a reader's cores busy for some milliseconds.
const GROUP_BYTES_ENOUGH: usize = 192 * 1024;
/// A record brings up to ten items with it.
const GROUP_ITEMS_ENOUGH: usize = BLOCK_ITEMS_MAX - 16;
/// Far enough below what a reader takes that a group does not go beyond.
const TABLE_BYTES_ENOUGH: usize = super::TABLE_BYTES_MAX / 2;
const TABLE_ITEMS_ENOUGH: usize = super::TABLE_ITEMS_MAX / 2;

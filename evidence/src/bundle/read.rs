//! Reading a bundle from its first byte to its last, once: groups of records, each with all that they refer to.
//!
//! What is judged here is the file: that its blocks are whole and in order, that each item has one encoding, that the tables are within their limits, and that the entries lead to the
//! checkpoint. The records are for others to judge.

use std::io::Read;
use std::sync::Arc;

use bytes::{Buf, Bytes};
use kogge_proto::digest::{Sha256, sha256};
use kogge_proto::limits::{BODY_BYTES_MAX, SNAPSHOT_BYTES_MAX};
use kogge_proto::wire::bundle::{self as wire, Item, item};
use kogge_tlog::checkpoint::Checkpoint;
use kogge_tlog::note::SignedNote;
use kogge_tlog::tree::{Head, leaf_hash};
use prost::Message;

use super::block::{Block, BlockReader, BundleError, INCLUSION, Kind, refused};
use super::way::Leaf;
use super::{BLOCK_ITEMS_MAX, BODY_BYTES_IN_RECORD_MAX, Counts, TABLE_BYTES_MAX, TABLE_ITEMS_MAX};

/// The next part of a bundle.
#[derive(Debug)]
pub enum Part {
    /// Records that stand together.
    Group(Group),
    /// The next piece of the body of the last record.
    Body(Bytes),
    /// The end. Nothing comes after it.
    End(Ending),
}

/// Records that can be checked by themselves.
#[derive(Debug)]
pub struct Group {
    /// Where its block begins.
    pub at: u64,
    /// The ways that its records name.
    pub ways: Vec<Way>,
    /// The records.
    pub records: Vec<Record>,
}

/// How some records lead to the root of their batch, as it is told.
#[derive(Debug)]
pub struct Way {
    /// The RFC 3161 token.
    pub token: Bytes,
    /// Leaves of the whole tree.
    pub size: u32,
    /// The leaves of the records that name it, in their order.
    pub leaves: Vec<Leaf>,
    /// The other nodes.
    pub nodes: Vec<Sha256>,
}

/// A record, with what it refers to.
#[derive(Debug)]
pub struct Record {
    /// Sequence of its entry, as the bundle says.
    pub sequence: u64,
    /// The entry's payload.
    pub entry: Bytes,
    /// SHA-256 of the payload, as the bundle says: the log's tree was built anew of it.
    pub sha256: Sha256,
    /// Text form of the client.
    pub client: Arc<str>,
    /// Text form of the service.
    pub service: Arc<str>,
    /// Signing certificate, OCSP response and issuers, each with its SHA-256.
    pub material: Vec<Option<(Sha256, Bytes)>>,
    /// Index of its way, and of its leaf within.
    pub leaf: Option<(usize, usize)>,
    /// The body, if the entry does not hold it.
    pub body: Option<Bytes>,
    /// Length of the body, if that follows.
    pub body_follows: Option<u64>,
}

/// What the end of a bundle says.
#[derive(Debug)]
pub struct Ending {
    /// The log's checkpoint.
    pub checkpoint: Checkpoint,
    /// Whether it has signatures.
    pub is_signed: bool,
    /// The root to which the entries lead.
    pub root: Sha256,
    /// How many records there are said to be.
    pub counts: Counts,
}

/// A bundle being read.
pub struct BundleReader<R> {
    blocks: BlockReader<R>,
    origin: Bytes,
    snapshot: Bytes,
    /// A block that was read to see that the snapshot ends before it.
    ahead: Option<(u64, Block)>,
    head: Head,
    tables: Tables,
    /// Bytes of the last record's body that are still to come.
    body_left: u64,
}

impl<R: Read> BundleReader<R> {
    /// Reads the origin and the snapshot.
    ///
    /// # Errors
    /// It cannot be read, or is no bundle.
    pub fn open(input: R) -> Result<Self, BundleError> {
        let mut blocks = BlockReader::open(input)?;
        let at = blocks.at();
        let first = blocks.read()?;
        if first.kind != Kind::Origin {
            return Err(refused(at, "the first block is not the log's first entry".to_owned()));
        }
        let mut snapshot = Vec::new();
        let ahead = loop {
            let at = blocks.at();
            let block = blocks.read()?;
            if block.kind != Kind::Snapshot && snapshot.is_empty() {
                return Err(refused(at, "there is no registry snapshot before it".to_owned()));
            }
            if block.kind != Kind::Snapshot {
                break (at, block);
            }
            if block.payload.is_empty() || snapshot.len() + block.payload.len() > SNAPSHOT_BYTES_MAX {
                return Err(refused(at, "the snapshot has an empty piece, or is too large".to_owned()));
            }
            snapshot.extend_from_slice(&block.payload);
        };
        let mut head = Head::default();
        head.push(leaf_hash(sha256(&first.payload).as_bytes()))
            .map_err(|error| refused(at, error.to_string()))?;
        Ok(Self {
            blocks,
            origin: first.payload,
            snapshot: snapshot.into(),
            ahead: Some(ahead),
            head,
            tables: Tables::default(),
            body_left: 0,
        })
    }

    /// The payload of the log's first entry.
    pub fn origin(&self) -> &Bytes {
        &self.origin
    }

    /// Takes the encoded registry snapshot out.
    pub fn take_snapshot(&mut self) -> Bytes {
        std::mem::take(&mut self.snapshot)
    }

    /// Where the next block begins.
    pub fn at(&self) -> u64 {
        self.blocks.at()
    }

    /// The next part. Nobody asks after [`Part::End`], or after an error.
    ///
    /// # Errors
    /// It cannot be read, ends too early, or is not as it must be.
    pub fn read(&mut self) -> Result<Part, BundleError> {
        let (at, block) = match self.ahead.take() {
            Some(ahead) => ahead,
            None => (self.blocks.at(), self.blocks.read()?),
        };
        match (block.kind, self.body_left) {
            (Kind::Body, 1..) => self.body(at, block.payload),
            (Kind::Items, 0) => self.group(at, block.payload).map(Part::Group),
            (Kind::End, 0) => self.end(at, &block.payload).map(Part::End),
            (kind, _) => Err(refused(at, format!("a block of the kind {kind:?} cannot stand here"))),
        }
    }

    fn body(&mut self, at: u64, piece: Bytes) -> Result<Part, BundleError> {
        let left = self.body_left.checked_sub(piece.len() as u64).filter(|_| !piece.is_empty());
        self.body_left = left.ok_or_else(|| refused(at, "a body is longer than was said".to_owned()))?;
        Ok(Part::Body(piece))
    }

    fn group(&mut self, at: u64, mut payload: Bytes) -> Result<Group, BundleError> {
        let mut group = Group { at, ways: Vec::new(), records: Vec::new() };
        let mut items = 0;
        let mut used = Vec::new();
        while payload.has_remaining() {
            items += 1;
            if items > BLOCK_ITEMS_MAX || self.body_left > 0 {
                return Err(refused(at, "there are more items in the block than may be".to_owned()));
            }
            match read_item(&mut payload).map_err(|reason| refused(at, reason))? {
                item::Item::Material(der) => self.tables.add_material(&der),
                item::Item::Name(name) => self.tables.add_name(&name),
                item::Item::Token(token) => self.tables.add_token(&token),
                item::Item::Forget(_) => {
                    self.tables = Tables::default();
                    Ok(())
                }
                item::Item::Way(way) => {
                    used.push(0);
                    self.tables.way(way).map(|way| group.ways.push(way))
                }
                item::Item::Record(record) => {
                    self.pass(at, &record)?;
                    self.tables.record(record, &group.ways, &mut used).map(|record| {
                        self.body_left = record.body_follows.unwrap_or(0);
                        group.records.push(record);
                    })
                }
            }
            .map_err(|reason| refused(at, reason.to_owned()))?;
        }
        let is_used = used.iter().zip(&group.ways).all(|(used, way)| *used == way.leaves.len());
        if group.records.is_empty() || !is_used {
            return Err(refused(at, "there is no record in the block, or a way that none names".to_owned()));
        }
        Ok(group)
    }

    /// Appends what stands before the record, and the record, to the tree.
    fn pass(&mut self, at: u64, record: &wire::Record) -> Result<(), BundleError> {
        let not_told = |reason: String| BundleError::Refused { check: INCLUSION, at, reason };
        let digests = digests(&record.passed).ok_or_else(|| not_told(NO_DIGEST.to_owned()))?;
        let entry = digest(&record.sha256).ok_or_else(|| not_told(NO_DIGEST.to_owned()))?;
        let index =
            record.sequence.checked_sub(1).ok_or_else(|| not_told("a record is the entry 0".to_owned()))?;
        self.head.pass(index, &digests).map_err(|error| not_told(error.to_string()))?;
        self.head.push(leaf_hash(entry.as_bytes())).map_err(|error| not_told(error.to_string()))
    }

    fn end(&mut self, at: u64, payload: &Bytes) -> Result<Ending, BundleError> {
        let wrong = |reason: String| refused(at, reason);
        let end = wire::End::decode(payload.clone()).map_err(|error| wrong(error.to_string()))?;
        if end.encode_to_vec() != *payload {
            return Err(wrong("the end is not in its only encoding".to_owned()));
        }
        let (checkpoint, is_signed) = read_checkpoint(&end.checkpoint)
            .map_err(|reason| BundleError::Refused { check: CHECKPOINT, at, reason })?;
        let not_told = |reason: String| BundleError::Refused { check: INCLUSION, at, reason };
        let digests = digests(&end.passed).ok_or_else(|| not_told(NO_DIGEST.to_owned()))?;
        self.head.pass(checkpoint.size(), &digests).map_err(|error| not_told(error.to_string()))?;
        self.blocks.end()?;
        let wire::End { requests, responses, without_body, unstamped, .. } = end;
        if requests.checked_add(responses).is_none() {
            return Err(wrong("no bundle has so many records".to_owned()));
        }
        let counts = Counts { requests, responses, without_body, unstamped };
        Ok(Ending { checkpoint, is_signed, root: self.head.root(), counts })
    }
}

/// What later records may refer to.
#[derive(Default)]
struct Tables {
    material: Vec<(Sha256, Bytes)>,
    names: Vec<Arc<str>>,
    tokens: Vec<Bytes>,
    bytes: usize,
}

impl Tables {
    fn add_material(&mut self, der: &Bytes) -> Result<(), &'static str> {
        self.make_room(der.len())?;
        // Copied, for otherwise a few bytes would hold a whole block.
        let der = Bytes::copy_from_slice(der);
        self.material.push((sha256(&der), der));
        Ok(())
    }

    fn add_name(&mut self, name: &str) -> Result<(), &'static str> {
        self.make_room(name.len())?;
        self.names.push(name.into());
        Ok(())
    }

    fn add_token(&mut self, token: &Bytes) -> Result<(), &'static str> {
        self.make_room(token.len())?;
        self.tokens.push(Bytes::copy_from_slice(token));
        Ok(())
    }

    fn make_room(&mut self, bytes: usize) -> Result<(), &'static str> {
        self.bytes += bytes;
        let items = self.material.len() + self.names.len() + self.tokens.len();
        if bytes == 0 || self.bytes > TABLE_BYTES_MAX || items >= TABLE_ITEMS_MAX {
            return Err("an item of a table is empty, or the tables are larger than may be");
        }
        Ok(())
    }

    fn way(&self, way: wire::Way) -> Result<Way, &'static str> {
        let token = self.tokens.get(way.token as usize).ok_or("a way refers to a token that is not there")?;
        let values = digests(&way.sha256).ok_or(NO_DIGEST)?;
        let nodes = digests(&way.nodes).ok_or(NO_DIGEST)?;
        if values.len() != way.leaves.len() || values.is_empty() {
            return Err("a way does not have a digest for each leaf");
        }
        let leaves = way.leaves.into_iter().zip(values).map(|(position, value)| Leaf { position, value });
        Ok(Way { token: token.clone(), size: way.size, leaves: leaves.collect(), nodes })
    }

    /// The record with what it refers to. `used` counts the leaves of each way that records have taken.
    fn record(&self, record: wire::Record, ways: &[Way], used: &mut [usize]) -> Result<Record, &'static str> {
        let name = |index: u32| match index.checked_sub(1) {
            None => Ok(Arc::from("")),
            Some(index) => {
                self.names.get(index as usize).cloned().ok_or("a record refers to a name that is not there")
            }
        };
        let material = record.material.iter().map(|index| match index.checked_sub(1) {
            None => Ok(None),
            Some(index) => {
                let item = self.material.get(index as usize).cloned();
                item.map(Some).ok_or("a record refers to material that is not there")
            }
        });
        let leaf = match record.way.checked_sub(1) {
            None => None,
            Some(way) => Some(take_leaf(way as usize, ways, used)?),
        };
        let body_bytes = record.body.as_ref().map_or(0, Bytes::len) as u64;
        let is_long = body_bytes > BODY_BYTES_IN_RECORD_MAX || record.body_follows > Some(BODY_BYTES_MAX);
        if is_long
            || record.body_follows == Some(0)
            || (record.body.is_some() && record.body_follows.is_some())
        {
            return Err("a record has more than one body, or one of a length that none has");
        }
        Ok(Record {
            sequence: record.sequence,
            entry: record.entry,
            sha256: digest(&record.sha256).ok_or(NO_DIGEST)?,
            client: name(record.client)?,
            service: name(record.service)?,
            material: material.collect::<Result<_, _>>()?,
            leaf,
            body: record.body,
            body_follows: record.body_follows,
        })
    }
}

/// The next leaf of a way that no record has taken.
fn take_leaf(way: usize, ways: &[Way], used: &mut [usize]) -> Result<(usize, usize), &'static str> {
    let missing = "a record refers to a way that is not there, or has no leaf for it";
    let (found, used) = (ways.get(way).ok_or(missing)?, used.get_mut(way).ok_or(missing)?);
    let leaf = *used;
    *used += 1;
    if leaf < found.leaves.len() { Ok((way, leaf)) } else { Err(missing) }
}

/// The next item, in its only encoding.
fn read_item(payload: &mut Bytes) -> Result<item::Item, String> {
    let before = payload.clone();
    let read = Item::decode_length_delimited(&mut *payload).map_err(|error| error.to_string())?;
    let taken = before.slice(..before.len() - payload.len());
    if read.encode_length_delimited_to_vec() != taken {
        return Err("an item is not in its only encoding".to_owned());
    }
    read.item.ok_or_else(|| "an item is of no kind that is known".to_owned())
}

/// The checkpoint, and whether it has signatures.
fn read_checkpoint(text: &str) -> Result<(Checkpoint, bool), String> {
    if !text.contains("\n\n") {
        return Checkpoint::parse(text)
            .map(|checkpoint| (checkpoint, false))
            .map_err(|error| error.to_string());
    }
    let note = SignedNote::parse(text.as_bytes()).map_err(|error| error.to_string())?;
    Checkpoint::parse(note.text()).map(|checkpoint| (checkpoint, true)).map_err(|error| error.to_string())
}

fn digests(joined: &[u8]) -> Option<Vec<Sha256>> {
    joined.chunks(Sha256::LEN).map(Sha256::from_slice).collect()
}

fn digest(bytes: &[u8]) -> Option<Sha256> {
    Sha256::from_slice(bytes)
}

/// The checkpoint is one, and of this log.
pub const CHECKPOINT: &str = "bundle.checkpoint";

const NO_DIGEST: &str = "a digest is not 32 bytes long";

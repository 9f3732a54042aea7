//! Where to find a record: a view of the segments that can be rebuilt from them at any time.
//!
//! Rows, by the first byte of their key (numbers are big-endian, `id` is the first 12 bytes of a SHA-256, a block is
//! [`BLOCK`] sequences):
//!
//! | key                        | value                                | for                                          |
//! |----------------------------|--------------------------------------|----------------------------------------------|
//! | `c`                        | checkpoint                           | how far the index reaches, and proof that it is this log's |
//! | `p` sequence               | segment, offset, time, kind          | place of a message or stamp                  |
//! | `m` id, block              |                                      | blocks with messages with this `x-road-id`   |
//! | `r` id, block              |                                      | blocks with this `x-road-request-id`         |
//! | `k` id, block              |                                      | blocks with messages of this client          |
//! | `s` id, block              |                                      | blocks with messages to this service         |
//! | `t` minute, block          |                                      | blocks with messages of this minute          |
//! | `a` segment, SHA-256       | offset                               | certificate or OCSP response in the segment  |
//! | `u` sequence               | time                                 | messages that no stamp covers                |
//! | `v` last leaf, stamp       | first leaf                           | the stamp whose leaves lie between these     |
//!
//! sled keeps about 300 bytes in memory for every eight rows, whatever its cache: so rows are few, and what they leave open is read from the
//! segments. One batch holds the rows of some entries and the checkpoint after them, so the index always agrees with some prefix of the log; only
//! what a stamp covers leaves `u` before.

mod follow;
mod keys;
mod rows;
mod slot;

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Mutex;

use kogge_proto::digest::{Sha256, sha256};
use kogge_proto::time::UnixMillis;
use kogge_proto::wire::log::MessageRecord;
use kogge_proto::wire::log::entry::Kind;

pub(crate) use follow::{Follower, build, replace};
use keys::{
    BLOCK, Fields, after, block_sequences, decode_place, encode_place, end_of, malformed, minute, number_key,
    text_prefix, time_from_key, time_to_key,
};
pub(crate) use rows::RowsError;
use rows::{Batch, Rows, SledRows};
pub(crate) use slot::IndexSlot;

use crate::chain::Chain;
use crate::layout::Layout;
use crate::live::locked;
use crate::scan::Item;

/// How many rows are counted before the log opens, at about a million a second; a larger index is counted in the background before it is used.
const COUNTED_AT_OPEN_MAX: u64 = 50_000;

/// Rows read from the store at once.
const PAGE_ROWS: usize = 1024;

/// Rows of stamped messages that are removed at once.
const REMOVED_ROWS_MAX: usize = 256;

/// Blocks whose sequences are handed over at once.
const PAGE_BLOCKS: usize = 16;

/// First byte of a checkpoint: an index with other rows is not believed.
const FORMAT: u8 = 2;

/// How far an index reaches.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Checkpoint {
    /// The newest entry that it knows.
    pub(crate) chain: Chain,
    /// Where that entry's frame ends.
    pub(crate) segment: u64,
    pub(crate) end: u64,
    /// Number of `p` rows.
    pub(crate) rows: u64,
    /// Root of the newest stamp.
    pub(crate) last_root: Option<Sha256>,
}

impl Checkpoint {
    const BLANK: Self = Self { chain: Chain::EMPTY, segment: 1, end: 0, rows: 0, last_root: None };

    fn encode(&self) -> Vec<u8> {
        let mut bytes = vec![FORMAT];
        for number in [self.chain.sequence, self.segment, self.end, self.rows] {
            bytes.extend_from_slice(&number.to_be_bytes());
        }
        bytes.extend_from_slice(self.chain.hash.as_bytes());
        bytes.extend(self.last_root.iter().flat_map(|root| root.0));
        bytes
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let mut fields = Fields(bytes.strip_prefix(&[FORMAT])?);
        let [sequence, segment, end, rows] =
            [fields.number()?, fields.number()?, fields.number()?, fields.number()?];
        let hash = fields.digest()?;
        let last_root = if fields.0.is_empty() { None } else { Some(fields.digest()?) };
        fields.0.is_empty().then_some(Self { chain: Chain { sequence, hash }, segment, end, rows, last_root })
    }
}

/// Where a message or stamp stands.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Place {
    pub(crate) segment: u64,
    pub(crate) offset: u64,
    pub(crate) time: UnixMillis,
    pub(crate) is_message: bool,
}

/// What a list of messages is narrowed to.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Key<'a> {
    MessageId(&'a str),
    RequestId(&'a str),
    Client(&'a str),
    Service(&'a str),
    Any,
}

impl Key<'_> {
    fn prefix(self) -> Vec<u8> {
        match self {
            Self::MessageId(text) => text_prefix(b'm', text),
            Self::RequestId(text) => text_prefix(b'r', text),
            Self::Client(text) => text_prefix(b'k', text),
            Self::Service(text) => text_prefix(b's', text),
            Self::Any => vec![b'p'],
        }
    }
}

/// An open index.
pub(crate) struct Index {
    rows: Box<dyn Rows>,
    checkpoint: Mutex<Checkpoint>,
}

impl Index {
    /// Opens the index that is there.
    pub(crate) fn open(layout: &Layout, cache_bytes: u64) -> Result<Self, RowsError> {
        if !layout.index().is_dir() {
            return Err(RowsError::Failed("it is missing".to_owned()));
        }
        let rows = SledRows::open(&layout.index(), cache_bytes)?;
        // Written before the index is used for the first time: without it the store has lost what it held.
        let checkpoint =
            rows.get(b"c")?.ok_or_else(|| RowsError::Disagrees("it has no checkpoint".to_owned()))?;
        let checkpoint = Checkpoint::decode(&checkpoint)
            .ok_or_else(|| RowsError::Disagrees("its checkpoint is malformed".to_owned()))?;
        Ok(Self { rows: Box::new(rows), checkpoint: Mutex::new(checkpoint) })
    }

    /// Creates a blank index.
    pub(crate) fn create(layout: &Layout, cache_bytes: u64) -> Result<Self, RowsError> {
        let rows = SledRows::open(&layout.index(), cache_bytes)?;
        rows.apply(vec![(b"c".to_vec(), Some(Checkpoint::BLANK.encode()))])?;
        rows.flush()?;
        Ok(Self { rows: Box::new(rows), checkpoint: Mutex::new(Checkpoint::BLANK) })
    }

    pub(crate) fn checkpoint(&self) -> Checkpoint {
        *locked(&self.checkpoint)
    }

    /// Whether counting the rows is quick enough to be done before the log opens.
    pub(crate) fn is_counted_quickly(&self) -> bool {
        self.checkpoint().rows <= COUNTED_AT_OPEN_MAX
    }

    /// Compares the number of rows with the checkpoint's.
    pub(crate) fn verify_count(&self) -> Result<(), RowsError> {
        let expected = self.checkpoint().rows;
        let mut counted = 0;
        self.each(b"p", |_, _| {
            counted += 1;
            Ok(())
        })?;
        if counted == expected {
            return Ok(());
        }
        Err(RowsError::Disagrees(format!("it has {counted} rows instead of {expected}")))
    }

    /// Adds entries that follow the checkpoint.
    pub(crate) fn apply(&self, items: &[Box<Item>]) -> Result<(), RowsError> {
        items.chunk_by(|_, next| !matches!(next.entry.kind, Some(Kind::Stamp(_)))).try_for_each(|items| {
            // After a crash in between the checkpoint is still before the stamp, which is then read again.
            items.first().map_or(Ok(()), |item| self.remove_stamped(item))?;
            self.apply_whole(items)
        })
    }

    /// Removes the rows of what a stamp covers, in pieces: sled keeps every page that a batch touches in memory.
    fn remove_stamped(&self, item: &Item) -> Result<(), RowsError> {
        let Some(Kind::Stamp(stamp)) = &item.entry.kind else { return Ok(()) };
        stamp.leaves.chunks(REMOVED_ROWS_MAX).try_for_each(|leaves| {
            self.rows.apply(leaves.iter().map(|leaf| (number_key(b'u', leaf.sequence), None)).collect())
        })
    }

    fn apply_whole(&self, items: &[Box<Item>]) -> Result<(), RowsError> {
        let mut checkpoint = self.checkpoint();
        let mut batch = Batch::new();
        for item in items {
            push_rows(&mut batch, item, &mut checkpoint);
        }
        batch.push((b"c".to_vec(), Some(checkpoint.encode())));
        self.rows.apply(batch)?;
        *locked(&self.checkpoint) = checkpoint;
        Ok(())
    }

    pub(crate) fn flush(&self) -> Result<(), RowsError> {
        self.rows.flush()
    }

    /// Messages that no stamp covers, with the time when each was appended.
    pub(crate) fn unstamped(&self) -> Result<BTreeMap<u64, UnixMillis>, RowsError> {
        let mut waiting = BTreeMap::new();
        self.each(b"u", |key, value| {
            let sequence = Fields(key).number();
            let time = Fields(value).number().map(time_from_key);
            waiting.insert(sequence.ok_or_else(malformed)?, time.ok_or_else(malformed)?);
            Ok(())
        })?;
        Ok(waiting)
    }

    pub(crate) fn place(&self, sequence: u64) -> Result<Option<Place>, RowsError> {
        self.rows
            .get(&number_key(b'p', sequence))?
            .map(|value| decode_place(&value).ok_or_else(malformed))
            .transpose()
    }

    /// The stamp that covers a message, by its sequence, is one of these; ascending by what they cover.
    pub(crate) fn stamps_around(&self, sequence: u64) -> Result<Vec<u64>, RowsError> {
        let mut stamps = Vec::new();
        let mut from = number_key(b'v', sequence);
        loop {
            let rows = self.rows.range(Bound::Included(&from), &end_of(b"v"), PAGE_ROWS)?;
            for (key, value) in &rows {
                let mut fields = Fields(key.get(1..).unwrap_or_default());
                let (_, stamp) = (fields.number(), fields.number().ok_or_else(malformed)?);
                if Fields(value).number().ok_or_else(malformed)? <= sequence {
                    stamps.push(stamp);
                }
            }
            match rows.into_iter().next_back() {
                Some((last, _)) => from = after(last),
                None => return Ok(stamps),
            }
        }
    }

    /// Offset of a certificate or OCSP response in a segment.
    pub(crate) fn material(&self, segment: u64, digest: &[u8]) -> Result<Option<u64>, RowsError> {
        let mut key = number_key(b'a', segment);
        key.extend_from_slice(digest);
        let value = self.rows.get(&key)?;
        value.map(|value| Fields(&value).number().ok_or_else(malformed)).transpose()
    }

    /// Sequences after `after` among which are all under the key, ascending; at most a page, none if there are no more. There may be others
    /// between them, and such that do not exist.
    pub(crate) fn page(&self, key: Key<'_>, after: u64) -> Result<Vec<u64>, RowsError> {
        let prefix = key.prefix();
        let next = after.saturating_add(1);
        let (first, rows_max) = match key {
            Key::Any => (next, PAGE_ROWS),
            _ => (next / BLOCK, PAGE_BLOCKS),
        };
        let mut from = prefix.clone();
        from.extend_from_slice(&first.to_be_bytes());
        let rows = self.rows.range(Bound::Included(&from), &end_of(&prefix), rows_max)?;
        let mut sequences = Vec::new();
        for (row, _) in &rows {
            let number =
                Fields(row.get(prefix.len()..).unwrap_or_default()).number().ok_or_else(malformed)?;
            match key {
                Key::Any => sequences.push(number),
                _ => sequences.extend(block_sequences(number)?.filter(|sequence| *sequence > after)),
            }
        }
        Ok(sequences)
    }

    /// A span of sequences that holds all messages that were appended at `from` or later and before `to`. There may be others in it, for
    /// clocks are set back now and then.
    pub(crate) fn span(&self, from: UnixMillis, to: UnixMillis) -> Result<Option<(u64, u64)>, RowsError> {
        if from >= to {
            return Ok(None);
        }
        let mut span: Option<(u64, u64)> = None;
        let mut start = number_key(b't', minute(from));
        let end = number_key(b't', minute(to).saturating_add(1));
        loop {
            let rows = self.rows.range(Bound::Included(&start), &end, PAGE_ROWS)?;
            for (key, _) in &rows {
                let mut fields = Fields(key.get(1..).unwrap_or_default());
                let (_, Some(block)) = (fields.number(), fields.number()) else { return Err(malformed()) };
                let sequences = block_sequences(block)?;
                let (low, high) = span.unwrap_or((*sequences.start(), *sequences.end()));
                span = Some((low.min(*sequences.start()), high.max(*sequences.end())));
            }
            match rows.into_iter().next_back() {
                Some((last, _)) => start = after(last),
                None => return Ok(span),
            }
        }
    }

    /// Hands all rows of a space to `visit`, the key without its first byte.
    fn each(
        &self,
        space: &[u8; 1],
        mut visit: impl FnMut(&[u8], &[u8]) -> Result<(), RowsError>,
    ) -> Result<(), RowsError> {
        let mut after = space.to_vec();
        loop {
            let rows = self.rows.range(Bound::Excluded(&after), &end_of(space), PAGE_ROWS)?;
            for (key, value) in &rows {
                visit(key.get(1..).unwrap_or_default(), value)?;
            }
            match rows.into_iter().next_back() {
                Some((last, _)) => after = last,
                None => return Ok(()),
            }
        }
    }
}

fn push_rows(batch: &mut Batch, item: &Item, checkpoint: &mut Checkpoint) {
    let sequence = item.entry.sequence;
    let time = UnixMillis(item.entry.time_ms);
    match &item.entry.kind {
        Some(Kind::Message(record)) => {
            checkpoint.rows += 1;
            batch.push((number_key(b'p', sequence), Some(encode_place(item, true))));
            batch.push((number_key(b'u', sequence), Some(time_to_key(time).to_be_bytes().to_vec())));
            push_message_keys(batch, sequence, time, record);
        }
        Some(Kind::Stamp(stamp)) => {
            checkpoint.rows += 1;
            checkpoint.last_root = Sha256::from_slice(&stamp.root);
            batch.push((number_key(b'p', sequence), Some(encode_place(item, false))));
            let leaves = || stamp.leaves.iter().map(|leaf| leaf.sequence);
            if let (Some(first), Some(last)) = (leaves().min(), leaves().max()) {
                let mut key = number_key(b'v', last);
                key.extend_from_slice(&sequence.to_be_bytes());
                batch.push((key, Some(first.to_be_bytes().to_vec())));
            }
        }
        Some(Kind::Material(material)) => {
            let mut key = number_key(b'a', item.segment);
            key.extend_from_slice(sha256(&material.der).as_bytes());
            batch.push((key, Some(item.offset.to_be_bytes().to_vec())));
        }
        Some(Kind::SegmentStart(_)) | None => {}
    }
    checkpoint.chain = Chain { sequence, hash: item.hash };
    checkpoint.segment = item.segment;
    checkpoint.end = item.end;
}

fn push_message_keys(batch: &mut Batch, sequence: u64, time: UnixMillis, record: &MessageRecord) {
    let block = sequence / BLOCK;
    let texts = [
        (b'm', &record.message_id),
        (b'r', &record.request_id),
        (b'k', &record.client),
        (b's', &record.service),
    ];
    for (space, text) in texts {
        let mut key = text_prefix(space, text);
        key.extend_from_slice(&block.to_be_bytes());
        batch.push((key, Some(Vec::new())));
    }
    let mut key = number_key(b't', minute(time));
    key.extend_from_slice(&block.to_be_bytes());
    batch.push((key, Some(Vec::new())));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture;

    #[test]
    fn a_checkpoint_of_wrong_length_is_none() {
        let checkpoint = Checkpoint { last_root: Some(Sha256([7; 32])), rows: 3, ..Checkpoint::BLANK };
        let bytes = checkpoint.encode();
        assert_eq!(Checkpoint::decode(&bytes), Some(checkpoint));
        for length in (0..bytes.len()).filter(|length| *length != 65) {
            assert_eq!(Checkpoint::decode(&bytes[..length]), None, "{length}");
        }
        assert_eq!(Checkpoint::decode(&[bytes.as_slice(), &[0]].concat()), None);
    }

    #[test]
    fn a_record_costs_few_rows_and_none_that_wait_once_it_is_stamped() {
        let dir = tempfile::tempdir().unwrap();
        let log = fixture::open(dir.path());
        let sequences = fixture::append_requests(&log, 0..640);
        fixture::append_stamp(&log, fixture::stamp(&log, &sequences)).unwrap();
        log.close();
        let index = Index::open(&Layout::new(dir.path()), fixture::options().index_cache_bytes).unwrap();
        let rows = |space: u8| {
            let mut rows = 0;
            index
                .each(&[space], |_, _| {
                    rows += 1;
                    Ok(())
                })
                .unwrap();
            rows
        };
        assert_eq!((rows(b'p'), rows(b'u'), rows(b'v')), (641, 0, 1));
        assert_eq!((rows(b'm'), rows(b'r')), (640, 640));
        let blocks = 640 / BLOCK + 2;
        assert!(rows(b'k') <= 2 * blocks, "two clients");
        assert!(rows(b's') <= 3 * blocks, "three services");
        assert!(rows(b't') <= 2 * blocks, "a minute or two");
    }
}

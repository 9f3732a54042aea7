//! Opening a log: what the last run left is read, checked, and where a group was torn, cut.
//!
//! Read are: the last segment, and of those before it the ones that may hold requests of the replay window or messages that no stamp covers. So a start
//! takes no longer for a longer log. Of most of them what is needed was written down when they were sealed ([`Recent`]).
//!
//! After the last whole entry of the last segment there may be a group that was torn while it was written. It is moved to a `*.torn` file and
//! cut, unless something proves that it was acknowledged: a later entry that was written after it was durable, the
//! note `acknowledged`, a later segment, the note of a failed sync. Then the log is damaged, and opening fails. What cannot be told from a torn group:
//! damage to the very last group before a crash, if that came within a second.

use std::collections::BTreeSet;
use std::mem::take;
use std::path::Path;

use kogge_proto::digest::Sha256;
use kogge_proto::time::UnixMillis;
use kogge_proto::wire::log::EntryPlace;

use crate::acknowledged;
use crate::bodies::{empty_spool, remove_unrecorded};
use crate::chain::Chain;
use crate::disk::Disk;
use crate::entry::Kind;
use crate::frame::Mask;
use crate::index::{MemoryIndex, Note, Recent, SEALED_WAITING_MAX, StampSpan, Summary};
use crate::interned::Interned;
use crate::keys::LogKeys;
use crate::layout::{Layout, segment_name};
use crate::next_segment::{self, Previous};
use crate::read::SegmentReader;
use crate::resolve::read_entry;
use crate::scan::{Bound, Item, Manner, Scan, Start, Step, read_start, suspect_note};
use crate::segment::Segment;
use crate::tree::Tree;
use crate::unstamped::Unstamped;
use crate::window::{ReplayWindow, RequestKey};

use crate::{Damage, LogError, Options};

/// What opening a log found and did; for the operator.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Recovery {
    /// Number of entries.
    pub entries: u64,
    /// Bytes of a torn tail that were moved to a `*.torn` file beside the segment.
    pub torn_bytes: u64,
    /// Why much of the index is rebuilt, if it is. It is filled in the background, and readers do without until then. What turns out to be wrong later is
    /// renamed to `index.bad-MILLIS`, of which only the last is kept, and rebuilt too.
    pub index_rebuilt: Option<String>,
    /// Spool files that were removed.
    pub spool_files_removed: usize,
}

/// A log that is ready to be written.
pub(crate) struct Recovered {
    pub(crate) report: Recovery,
    pub(crate) segment: Segment,
    pub(crate) chain: Chain,
    pub(crate) window: ReplayWindow,
    pub(crate) unstamped: Unstamped,
    pub(crate) last_erasure: Option<EntryPlace>,
    pub(crate) tree: Tree,
    /// Of the last segment.
    pub(crate) index: MemoryIndex,
    /// Earlier segments whose index is missing.
    pub(crate) unindexed: BTreeSet<u64>,
}

/// Makes the log ready. The caller holds the directory's lock.
pub(crate) fn recover(
    layout: &Layout,
    options: &Options,
    keys: Option<&LogKeys>,
    disk: &dyn Disk,
) -> Result<Recovered, LogError> {
    let mut report = Recovery::default();
    let numbers = segments_with_entries(layout, &options.server.to_string(), disk, &mut report, options)?;
    let mut unindexed = unindexed(layout, numbers.last().copied(), &mut report)?;
    let mut walk = Walk::run(layout, options, &numbers, acknowledged::read(layout)?)?;
    report.entries = walk.chain.sequence;
    let segment = match walk.last {
        Some(last) => {
            reopen(layout, options, disk, last, (take(&mut walk.interned), walk.mask), &mut report)?
        }
        None => None,
    };
    let (segment, chain) = match with_keys(segment, keys)? {
        Reopened::Whole(segment) => (segment, walk.chain),
        Reopened::Over(last) => {
            unindexed.extend(last.as_ref().map(|last| last.number));
            let previous = last.map_or(Previous::NONE, |last| Previous {
                number: last.number,
                bytes: last.synced,
                suspect: false,
                unstamped_from: walk.unstamped.oldest(1).first().copied(),
                last_root: walk.unstamped.last_root(),
                last_erasure: walk.last_erasure,
            });
            let (segment, chain) =
                next_segment::start(disk, layout, options, keys, (walk.chain, &walk.tree), previous)
                    .map_err(LogError::io("create", &layout.segment(previous.number + 1)))?;
            walk.tree.grow([chain.hash]);
            walk.index = MemoryIndex::new(segment.number, chain.sequence);
            walk.index.reach(chain, segment.tail);
            (segment, chain)
        }
    };
    report.spool_files_removed = empty_spool(layout)?;
    remove_unrecorded(layout, chain.sequence)?;
    let Walk { window, unstamped, last_erasure, tree, index, .. } = walk;
    Ok(Recovered { report, segment, chain, window, unstamped, last_erasure, tree, index, unindexed })
}

/// What becomes of the last segment.
enum Reopened {
    /// It takes the next records.
    Whole(Segment),
    /// The next one does.
    Over(Option<Segment>),
}

/// A segment goes on only with the keys that it began with. One that has none, of a log that had no key until now, or whose keys were not restored with it, is over.
fn with_keys(segment: Option<Segment>, keys: Option<&LogKeys>) -> Result<Reopened, LogError> {
    let Some(mut segment) = segment else { return Ok(Reopened::Over(None)) };
    let Some(keys) = keys else { return Ok(Reopened::Whole(segment)) };
    segment.keys = keys.of(segment.number)?;
    Ok(if segment.keys.is_some() { Reopened::Whole(segment) } else { Reopened::Over(Some(segment)) })
}

/// The segments before the last whose index is missing. One or two are what a crash leaves that came soon after they were sealed.
fn unindexed(layout: &Layout, last: Option<u64>, report: &mut Recovery) -> Result<BTreeSet<u64>, LogError> {
    let indexed = layout.summaries().map_err(LogError::io("list", &layout.index()))?;
    let last = last.unwrap_or_default();
    let missing: BTreeSet<u64> = (1..last).filter(|segment| !indexed.contains(segment)).collect();
    if missing.len() > SEALED_WAITING_MAX {
        let sealed = last - 1;
        report.index_rebuilt = Some(format!("{} of {sealed} sealed segments have none", missing.len()));
    }
    Ok(missing)
}

/// Numbers of the segments, after a last one without an entry was removed: a crash while it was created left it.
fn segments_with_entries(
    layout: &Layout,
    server: &str,
    disk: &dyn Disk,
    report: &mut Recovery,
    options: &Options,
) -> Result<Vec<u64>, LogError> {
    let mut numbers = layout.segment_numbers().map_err(LogError::io("list", &layout.segments()))?;
    for (number, expected) in numbers.iter().zip(1..) {
        if *number != expected {
            let reason = "the segment is missing".to_owned();
            return Err(LogError::Damaged(damage_at(expected, 0, "log.sequence", reason)));
        }
    }
    check_server(layout, server)?;
    let Some(last) = numbers.last().copied() else { return Ok(numbers) };
    let path = layout.segment(last);
    let begins = read_start(layout, last).map_err(LogError::io("read", &path))?;
    let mut reader = SegmentReader::open(layout, last, 0).map_err(LogError::io("open", &path))?;
    let has_entry = matches!(begins, Some(Start::Entry(..)))
        || reader.find_entry(0).map_err(LogError::io("read", &path))?.is_some();
    if !has_entry {
        report.torn_bytes += keep_torn(layout, last, 0, options)?;
        std::fs::remove_file(&path).map_err(LogError::io("remove", &path))?;
        disk.sync_dir(&layout.segments()).map_err(LogError::io("sync", &layout.segments()))?;
        numbers.pop();
    }
    Ok(numbers)
}

fn check_server(layout: &Layout, expected: &str) -> Result<(), LogError> {
    let first = read_start(layout, 1).map_err(LogError::io("read", &layout.segment(1)))?;
    match first {
        Some(Start::Entry(_, start)) if start.security_server != expected => {
            Err(LogError::OtherServer { expected: expected.to_owned(), found: start.security_server })
        }
        _ => Ok(()),
    }
}

/// What reading the segments brought to light.
struct Walk {
    chain: Chain,
    /// No entry was read yet.
    is_first: bool,
    /// Number of the last segment and where its entries end.
    last: Option<(u64, u64)>,
    /// What the last segment holds.
    interned: Interned,
    /// Of its frames.
    mask: Mask,
    window: ReplayWindow,
    unstamped: Unstamped,
    last_erasure: Option<EntryPlace>,
    tree: Tree,
    /// Of the last segment.
    index: MemoryIndex,
    /// What the note says was acknowledged.
    acknowledged: Chain,
    /// Where the walk met that entry with another hash.
    contradiction: Option<Damage>,
}

impl Walk {
    fn run(
        layout: &Layout,
        options: &Options,
        numbers: &[u64],
        acknowledged: Chain,
    ) -> Result<Self, LogError> {
        let now = (options.clock)();
        let mut walk = Self {
            chain: Chain::EMPTY,
            is_first: true,
            last: None,
            interned: Interned::default(),
            mask: Mask::NONE,
            window: ReplayWindow::new(options.replay_window),
            unstamped: Unstamped::default(),
            last_erasure: None,
            tree: Tree::default(),
            index: MemoryIndex::new(1, 1),
            acknowledged,
            contradiction: None,
        };
        let Some(last) = numbers.last().copied() else { return walk.finish(None) };
        let Needed { mut first, unstamped_from } = Needed::find(layout, last, walk.window.start(now))?;
        // Of segments that were sealed for long enough, what is needed was written down: they need not be read.
        while first < last && walk.take_recent(layout, first, unstamped_from, now)? {
            first += 1;
        }
        let known = Some(walk.chain).filter(|chain| first == 1 || *chain != Chain::EMPTY);
        let mut scan = Scan::segment(layout, first, known, Manner::exclusive(Bound::Open))?;
        let torn = loop {
            match scan.step()? {
                Step::Entry(item) => walk.apply(&item, now),
                Step::Damage(damage) => return Err(LogError::Damaged(damage)),
                Step::End => break None,
                Step::Torn(damage) => {
                    if let Some(reason) = scan.proof_of_acknowledgement()? {
                        return Err(LogError::Damaged(Damage { reason, ..damage }));
                    }
                    break Some(damage);
                }
            }
        };
        walk.last = Some(scan.position());
        walk.finish(torn)
    }

    /// Takes over what is recent in a segment; `false` if that is not known and it must be read.
    fn take_recent(
        &mut self,
        layout: &Layout,
        segment: u64,
        unstamped_from: u64,
        now: UnixMillis,
    ) -> Result<bool, LogError> {
        let known = Recent::read(layout, segment).map_err(LogError::io("read", &layout.recent(segment)))?;
        let stamps = Summary::open(layout, segment).ok().flatten().and_then(|summary| summary.stamps().ok());
        let (Some(recent), Some(stamps)) = (known, stamps) else { return Ok(false) };
        let Some(covered) = leaves(layout, &stamps, unstamped_from)? else { return Ok(false) };
        for key in recent.requests {
            // None of them is forgotten too early; all leave the window with the last.
            self.window.insert(key, recent.latest, now);
        }
        for (sequence, time) in recent.unstamped {
            if sequence >= unstamped_from {
                self.unstamped.add(sequence, time);
            }
        }
        self.unstamped.cover(covered.into_iter(), None);
        self.chain = recent.chain;
        Ok(true)
    }

    fn apply(&mut self, item: &Item, now: UnixMillis) {
        let entry = &item.entry;
        let is_first = std::mem::take(&mut self.is_first);
        self.chain = Chain { sequence: entry.sequence, hash: item.hash };
        if entry.sequence == self.acknowledged.sequence && item.hash != self.acknowledged.hash {
            let reason = "another entry was acknowledged here".to_owned();
            self.contradiction = Some(damage_at(item.segment, item.offset, "log.chain", reason));
        }
        match &entry.kind {
            Kind::SegmentStart(start) => {
                self.last_erasure = start.last_erasure;
                self.tree.meet(entry.sequence, &start.subtrees, is_first);
                self.mask = Mask(start.checksum_mask);
                self.index = MemoryIndex::new(item.segment, entry.sequence);
                if is_first {
                    self.unstamped.set_last_root(Sha256::from_slice(&start.last_root));
                }
            }
            Kind::Message(record) => {
                if let Some(key) = RequestKey::guarded(record.role(), record.direction(), &record.request_id)
                {
                    self.window.insert(key, UnixMillis(entry.time_ms), now);
                }
            }
            Kind::Erasure(_) => {
                self.last_erasure = Some(EntryPlace { segment: item.segment, offset: item.offset });
            }
            Kind::Material(_) | Kind::Name(_) | Kind::Stamp(_) => {}
        }
        self.tree.grow([item.hash]);
        self.interned.note(entry, item.offset);
        self.unstamped.apply(entry);
        self.index.add(&Note::of(entry, item.offset));
        self.index.reach(self.chain, item.end);
    }

    /// Compares the end with what the note knows was acknowledged.
    fn finish(self, torn: Option<Damage>) -> Result<Self, LogError> {
        if let Some(damage) = self.contradiction {
            return Err(LogError::Damaged(damage));
        }
        let acknowledged = self.acknowledged.sequence;
        if acknowledged <= self.chain.sequence {
            return Ok(self);
        }
        let reason = format!(
            "the log ends with entry {}, but entry {acknowledged} was acknowledged",
            self.chain.sequence
        );
        let (number, offset) = self.last.unwrap_or((1, 0));
        Err(LogError::Damaged(match torn {
            Some(damage) => Damage { reason, ..damage },
            None => damage_at(number, offset, "log.sequence", reason),
        }))
    }
}

fn damage_at(segment: u64, offset: u64, check: &'static str, reason: String) -> Damage {
    Damage { check, file: format!("segments/{}", segment_name(segment)), offset, reason }
}

/// What of a log must be known before it takes records.
struct Needed {
    /// Segments before this one hold nothing that is needed.
    first: u64,
    /// Messages before this one are covered by stamps.
    unstamped_from: u64,
}

impl Needed {
    /// The newest segment that began before the replay window did and before the oldest message that no stamp covers. A segment whose start cannot be read
    /// is needed: reading it says what is wrong.
    fn find(layout: &Layout, last: u64, window: UnixMillis) -> Result<Self, LogError> {
        let mut unstamped_from = None;
        for number in (2..=last).rev() {
            let start = read_start(layout, number).map_err(LogError::io("read", &layout.segment(number)))?;
            let Some(Start::Entry(entry, start)) = start else { continue };
            let unstamped_from = *unstamped_from.get_or_insert(start.unstamped_from);
            if UnixMillis(entry.time_ms) < window && entry.sequence <= unstamped_from {
                return Ok(Self { first: number, unstamped_from });
            }
        }
        Ok(Self { first: 1, unstamped_from: unstamped_from.unwrap_or_default() })
    }
}

/// What these stamps cover from a sequence on; `None` if one is not where it should be.
fn leaves(layout: &Layout, stamps: &[StampSpan], from: u64) -> Result<Option<Vec<u64>>, LogError> {
    let mut leaves = Vec::new();
    for span in stamps.iter().filter(|span| span.last >= from) {
        match read_entry(layout, span.segment, span.offset)?.map(|entry| entry.kind) {
            Some(Kind::Stamp(stamp)) => leaves.extend(stamp.leaves.iter().map(|leaf| leaf.sequence)),
            _ => return Ok(None),
        }
    }
    Ok(Some(leaves))
}

/// Opens the last segment for writing, after what stands behind its entries was kept and cut.
fn reopen(
    layout: &Layout,
    options: &Options,
    disk: &dyn Disk,
    (number, tail): (u64, u64),
    held: (Interned, Mask),
    report: &mut Recovery,
) -> Result<Option<Segment>, LogError> {
    let path = layout.segment(number);
    let torn_bytes = keep_torn(layout, number, tail, options)?;
    let mut segment = Segment::open(disk, layout, number, tail, held, options.segment_bytes)
        .map_err(LogError::io("open", &path))?;
    let note = suspect_note(layout, number).map_err(LogError::io("read", &layout.suspect_note(number)))?;
    if torn_bytes > 0 || note.is_some() {
        // A crash before this is durable leaves the torn tail to be kept and cut once more.
        segment.roll_back().map_err(LogError::io("cut", &path))?;
    }
    if note.is_some() {
        remove_durably(&layout.suspect_note(number), disk, layout)?;
    }
    report.torn_bytes += torn_bytes;
    Ok(Some(segment))
}

fn remove_durably(path: &Path, disk: &dyn Disk, layout: &Layout) -> Result<(), LogError> {
    std::fs::remove_file(path).map_err(LogError::io("remove", path))?;
    disk.sync_dir(&layout.segments()).map_err(LogError::io("sync", &layout.segments()))
}

/// Copies what stands in a segment from `offset` on to a `*.torn` file; returns how many bytes.
fn keep_torn(layout: &Layout, number: u64, offset: u64, options: &Options) -> Result<u64, LogError> {
    let path = layout.segment(number);
    let mut reader = SegmentReader::open(layout, number, offset).map_err(LogError::io("open", &path))?;
    let end = reader.nonzero_end(offset).map_err(LogError::io("read", &path))?;
    if end == offset {
        return Ok(0);
    }
    // At most a group, or what damage left of a segment.
    let mut bytes = Vec::new();
    reader.copy(offset, end, |piece| bytes.extend_from_slice(piece)).map_err(LogError::io("read", &path))?;
    kogge_durable::write_atomic(&layout.torn(number, offset, (options.clock)().0), &bytes, true)?;
    Ok(end - offset)
}

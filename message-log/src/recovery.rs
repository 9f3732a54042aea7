//! Opening a log: what the last run left is read, checked, and where a group was torn, cut.
//!
//! Read are: the segments that the index's checkpoint does not cover, those that the replay window needs, and always the last one. Without a
//! usable index that is all of them.
//!
//! After the last whole entry of the last segment there may be a group that was torn while it was written. It is moved to a `*.torn` file and
//! cut, unless something proves that it was acknowledged: a later entry that was written after it was durable, the index's
//! checkpoint, the note `acknowledged`, a later segment, the note of a failed sync. Then the log is damaged, and opening fails. What cannot be told from a torn group:
//! damage to the very last group before a crash, if the index had not yet caught up with it.

use std::collections::{BTreeMap, HashSet};
use std::path::Path;

use kogge_proto::digest::{Sha256, sha256};
use kogge_proto::time::UnixMillis;
use kogge_proto::wire::log::entry::Kind;

use crate::acknowledged;
use crate::bodies::{empty_spool, remove_unrecorded};
use crate::chain::Chain;
use crate::disk::Disk;
use crate::index::{self, Checkpoint, Index, RowsError};
use crate::layout::{Layout, segment_name};
use crate::read::SegmentReader;
use crate::scan::{Bound, Item, Manner, Scan, Start, Step, read_start, suspect_note};
use crate::segment::Segment;
use crate::unstamped::Unstamped;
use crate::window::{ReplayWindow, RequestKey};
use crate::writer::{Previous, start_segment};
use crate::{Damage, LogError, Options};

/// What opening a log found and did; for the operator.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Recovery {
    /// Number of entries.
    pub entries: u64,
    /// Bytes of a torn tail that were moved to a `*.torn` file beside the segment.
    pub torn_bytes: u64,
    /// Why the index is rebuilt, if it is. The old one was renamed to `index.bad-MILLIS`, of which only the last is kept; the new one is filled in the background, and readers do
    /// without until then.
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
    pub(crate) index: Option<Index>,
}

/// Makes the log ready. The caller holds the directory's lock.
pub(crate) fn recover(layout: &Layout, options: &Options, disk: &dyn Disk) -> Result<Recovered, LogError> {
    let mut report = Recovery::default();
    let numbers = segments_with_entries(layout, &options.server.to_string(), disk, &mut report, options)?;
    let acknowledged = acknowledged::read(layout)?;
    let index = match open_index(layout, options, numbers.is_empty(), acknowledged) {
        Ok(index) => index,
        Err(reason) => {
            report.index_rebuilt = Some(reason.to_string());
            None
        }
    };
    let (walk, index) = walk_checked(layout, options, &numbers, index, acknowledged, &mut report)?;
    report.entries = walk.chain.sequence;
    let segment = match walk.last {
        Some(last) => reopen(layout, options, disk, last, walk.materials, &mut report)?,
        None => None,
    };
    let (segment, chain) = match segment {
        Some(segment) => (segment, walk.chain),
        None => start_segment(disk, layout, options, Chain::EMPTY, Previous::NONE)
            .map_err(LogError::io("create", &layout.segment(1)))?,
    };
    report.spool_files_removed = empty_spool(layout)?;
    remove_unrecorded(layout, chain.sequence)?;
    let index = index.or_else(|| index::replace(layout, options));
    Ok(Recovered { report, segment, chain, window: walk.window, unstamped: walk.unstamped, index })
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

/// The index as far as it can be judged without the segments. None for a log that has none yet.
fn open_index(
    layout: &Layout,
    options: &Options,
    is_new: bool,
    acknowledged: Chain,
) -> Result<Option<Index>, RowsError> {
    if is_new && !layout.index().exists() {
        return Ok(None);
    }
    let index = Index::open(layout, options.index_cache_bytes)?;
    let reached = index.checkpoint().chain.sequence;
    if reached < acknowledged.sequence {
        let flushed = acknowledged.sequence;
        return Err(RowsError::Disagrees(format!(
            "it ends with entry {reached}, but had reached entry {flushed}"
        )));
    }
    if index.is_counted_quickly() {
        index.verify_count()?;
    }
    Ok(Some(index))
}

/// Walks with the index, and if it turns out to be another log's, without.
fn walk_checked(
    layout: &Layout,
    options: &Options,
    numbers: &[u64],
    index: Option<Index>,
    acknowledged: Chain,
    report: &mut Recovery,
) -> Result<(Walk, Option<Index>), LogError> {
    let disagreement = match index {
        None => return Ok((Walk::run(layout, options, numbers, None, acknowledged)?, None)),
        Some(index) => match index.unstamped() {
            Err(error) => error.to_string(),
            Ok(waiting) => {
                let checkpoint = index.checkpoint();
                let walk = Walk::run(layout, options, numbers, Some((checkpoint, waiting)), acknowledged)?;
                if walk.agrees {
                    return Ok((walk, Some(index)));
                }
                let sequence = checkpoint.chain.sequence;
                format!("the index disagrees with the segments: entry {sequence} is another one")
            }
        },
    };
    report.index_rebuilt = Some(disagreement);
    Ok((Walk::run(layout, options, numbers, None, acknowledged)?, None))
}

/// What reading the segments brought to light.
struct Walk {
    chain: Chain,
    /// Number of the last segment and where its entries end.
    last: Option<(u64, u64)>,
    /// What the last segment holds.
    materials: HashSet<Sha256>,
    window: ReplayWindow,
    unstamped: Unstamped,
    /// Whether the index's checkpoint is the hash of an entry here.
    agrees: bool,
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
        index: Option<(Checkpoint, BTreeMap<u64, UnixMillis>)>,
        acknowledged: Chain,
    ) -> Result<Self, LogError> {
        let now = (options.clock)();
        let known = index.as_ref().map_or(Chain::EMPTY, |(checkpoint, _)| checkpoint.chain);
        let covered = index.as_ref().map_or(1, |(checkpoint, _)| checkpoint.segment);
        let unstamped = index.map_or_else(Unstamped::default, |(checkpoint, waiting)| {
            Unstamped::new(waiting, checkpoint.last_root)
        });
        let window = ReplayWindow::new(options.replay_window);
        let mut walk = Self {
            chain: Chain::EMPTY,
            last: None,
            materials: HashSet::new(),
            window,
            unstamped,
            agrees: known == Chain::EMPTY,
            acknowledged,
            contradiction: None,
        };
        let Some(last) = numbers.last().copied() else { return walk.finish(known, None) };
        let first = covered.min(last).min(replay_start(layout, last, walk.window.start(now))?).max(1);
        let chain = (first == 1).then_some(Chain::EMPTY);
        let mut scan = Scan::segment(layout, first, chain, Manner::exclusive(Bound::Open))?;
        let torn = loop {
            match scan.step()? {
                Step::Entry(item) => walk.apply(&item, known, now),
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
        walk.finish(known, torn)
    }

    fn apply(&mut self, item: &Item, known: Chain, now: UnixMillis) {
        let entry = &item.entry;
        self.chain = Chain { sequence: entry.sequence, hash: item.hash };
        if entry.sequence == known.sequence {
            self.agrees = item.hash == known.hash;
        }
        if entry.sequence == self.acknowledged.sequence && item.hash != self.acknowledged.hash {
            let reason = "another entry was acknowledged here".to_owned();
            self.contradiction = Some(damage_at(item.segment, item.offset, "log.chain", reason));
        }
        if entry.sequence > known.sequence {
            self.unstamped.apply(entry);
        }
        match &entry.kind {
            Some(Kind::SegmentStart(_)) => self.materials.clear(),
            Some(Kind::Material(material)) => {
                self.materials.insert(sha256(&material.der));
            }
            Some(Kind::Message(record)) => {
                if let Some(key) = RequestKey::guarded(record) {
                    self.window.insert(key, UnixMillis(entry.time_ms), now);
                }
            }
            Some(Kind::Stamp(_)) | None => {}
        }
    }

    /// Compares the end with what the index and the note know was acknowledged.
    fn finish(self, known: Chain, torn: Option<Damage>) -> Result<Self, LogError> {
        if let Some(damage) = self.contradiction {
            return Err(LogError::Damaged(damage));
        }
        let acknowledged = known.sequence.max(self.acknowledged.sequence);
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

/// The newest segment that began before the replay window did: older ones hold nothing that it needs.
fn replay_start(layout: &Layout, last: u64, start: UnixMillis) -> Result<u64, LogError> {
    for number in (1..=last).rev() {
        let path = layout.segment(number);
        match read_start(layout, number).map_err(LogError::io("read", &path))? {
            Some(Start::Entry(entry, _)) if UnixMillis(entry.time_ms) < start => return Ok(number),
            _ => {}
        }
    }
    Ok(1)
}

/// Opens the last segment for writing, after what stands behind its entries was kept and cut.
fn reopen(
    layout: &Layout,
    options: &Options,
    disk: &dyn Disk,
    (number, tail): (u64, u64),
    materials: HashSet<Sha256>,
    report: &mut Recovery,
) -> Result<Option<Segment>, LogError> {
    let path = layout.segment(number);
    let torn_bytes = keep_torn(layout, number, tail, options)?;
    let mut segment = Segment::open(disk, layout, number, tail, options.segment_bytes)
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
    segment.materials = materials;
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

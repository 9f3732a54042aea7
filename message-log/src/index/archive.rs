//! The index of sealed segments on disk: for each a summary, and its postings as blocks in sled.
//!
//! One database holds the blocks of [`PERIOD`] segments, so that none grows with the log: sled keeps some memory for each page of an open database,
//! whatever its cache. It is open while a segment is added to it or a look-up asks for what only it knows, and closed by whoever lets go of it
//! last. So a log of any length costs no memory while nobody looks into the past.

use std::collections::BTreeSet;
use std::io;
use std::ops::Bound;
use std::path::Path;
use std::sync::{Arc, Mutex, Weak};

use super::blocks;
use super::memory::MemoryIndex;
use super::note::{Field, Probe};
use super::rows::{Row, Rows, RowsError, SledRows};
use super::summary::Summary;
use crate::layout::Layout;
use crate::live::locked;

/// Segments whose blocks share a database: 1 GiB of log, some 20 MiB of blocks.
pub(crate) const PERIOD: u64 = 16;

/// Rows written at once: sled keeps the pages of a batch in memory whatever its cache.
const BATCH_ROWS_MAX: usize = 16;

/// Blocks read at once.
const PAGE_ROWS: usize = 64;

/// The databases of a log that are open now, and how to open them.
pub(crate) struct Archive {
    layout: Layout,
    cache_bytes: u64,
    open: Mutex<Vec<(u64, Weak<SledRows>)>>,
}

impl Archive {
    pub(crate) fn new(layout: Layout, cache_bytes: u64) -> Self {
        Self { layout, cache_bytes, open: Mutex::default() }
    }

    /// Adds a sealed segment: first its blocks, then its summary. A crash in between leaves blocks that are written again.
    pub(crate) fn store(&self, index: &MemoryIndex) -> Result<(), RowsError> {
        let segment = index.outline.segment;
        kogge_durable::create_dir(&self.layout.index(), true)?;
        let rows = self.database(segment, true)?;
        remove_segment(rows.as_ref(), segment)?;
        let owner = blocks::Owner { segment, last_sha256: index.chain.hash };
        let mut fingerprints = Vec::new();
        for field in Field::ALL {
            let postings = index.postings(field);
            let blocks = blocks::encode(owner, field, &postings);
            for batch in blocks.chunks(BATCH_ROWS_MAX) {
                rows.apply(batch.iter().cloned().map(|(key, value)| (key, Some(value))).collect())?;
            }
            let mut distinct: Vec<u32> = postings.iter().map(|(fingerprint, _)| *fingerprint).collect();
            distinct.dedup();
            fingerprints.push((field, distinct));
        }
        rows.flush()?;
        Summary::write(&self.layout, index, &fingerprints)
    }

    /// A look-up in the segment of this summary.
    pub(crate) fn find(&self, summary: &Summary, probes: &[Probe]) -> Result<BTreeSet<u32>, RowsError> {
        let rows = self.database(summary.owner().segment, false)?;
        let mut found: Option<BTreeSet<u32>> = None;
        for probe in probes {
            let groups = groups(rows.as_ref(), summary.owner(), *probe)?;
            found = Some(match found {
                None => groups.into_iter().collect(),
                Some(found) => groups.into_iter().filter(|group| found.contains(group)).collect(),
            });
        }
        Ok(found.unwrap_or_default())
    }

    /// Renames the database that holds a segment's blocks to a name with the time, and forgets the summaries of its segments. Of those that were set aside
    /// before, none is kept: an index that fails again and again must not fill the disk.
    pub(crate) fn set_aside(&self, segment: u64, mut millis: i64) -> io::Result<()> {
        self.forget(segment)?;
        while self.layout.bad_index(millis).exists() {
            millis += 1;
        }
        let former = self.layout.bad_indexes()?;
        match std::fs::rename(self.layout.blocks(period(segment)), self.layout.bad_index(millis)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            renamed => renamed.and_then(|()| former.iter().try_for_each(|path| remove(path))),
        }
    }

    /// Removes the database that holds a segment's blocks and the summaries of its segments, so that records have the space.
    pub(crate) fn give_up(&self, segment: u64) -> io::Result<()> {
        self.forget(segment)?;
        remove(&self.layout.blocks(period(segment)))
    }

    /// Numbers of the segments that the same database holds.
    pub(crate) fn neighbours(segment: u64) -> std::ops::Range<u64> {
        let first = period(segment);
        first..first.saturating_add(PERIOD)
    }

    fn forget(&self, segment: u64) -> io::Result<()> {
        locked(&self.open).retain(|(open, _)| *open != period(segment));
        Self::neighbours(segment).try_for_each(|segment| {
            match std::fs::remove_file(self.layout.summary(segment)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
                Ok(()) | Err(_) => Ok(()),
            }
        })
    }

    fn database(&self, segment: u64, create: bool) -> Result<Arc<SledRows>, RowsError> {
        let period = period(segment);
        // Held while the database is opened: it can be open once only.
        let mut open = locked(&self.open);
        open.retain(|(_, rows)| rows.strong_count() > 0);
        if let Some(rows) = open.iter().find(|(open, _)| *open == period).and_then(|(_, rows)| rows.upgrade())
        {
            return Ok(rows);
        }
        let dir = self.layout.blocks(period);
        if !create && !dir.is_dir() {
            return Err(RowsError::Failed("it is missing".to_owned()));
        }
        let rows = Arc::new(SledRows::open(&dir, self.cache_bytes)?);
        open.retain(|(open, _)| *open != period);
        open.push((period, Arc::downgrade(&rows)));
        Ok(rows)
    }
}

/// Number of the first segment in the same database.
fn period(segment: u64) -> u64 {
    segment.saturating_sub(1) / PERIOD * PERIOD + 1
}

/// Removes what a former attempt left of a segment's blocks.
fn remove_segment(rows: &dyn Rows, segment: u64) -> Result<(), RowsError> {
    let (first, after) = blocks::segment_range(segment);
    loop {
        let left = rows.range(Bound::Included(&first), &after, BATCH_ROWS_MAX)?;
        if left.is_empty() {
            return Ok(());
        }
        rows.apply(left.into_iter().map(|(key, _)| (key, None)).collect())?;
    }
}

fn groups(rows: &dyn Rows, owner: blocks::Owner, probe: Probe) -> Result<Vec<u32>, RowsError> {
    let (first, after) = blocks::range(owner, probe);
    let mut fetched: Vec<Row> = rows.last_until(&first)?.into_iter().collect();
    loop {
        let from = fetched.last().map_or(Bound::Included(first.as_slice()), |(key, _)| Bound::Excluded(key));
        let more = rows.range(from, &after, PAGE_ROWS)?;
        if more.is_empty() {
            return blocks::groups(owner, probe, &fetched);
        }
        fetched.extend(more);
    }
}

fn remove(dir: &Path) -> io::Result<()> {
    match std::fs::remove_dir_all(dir) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        Ok(()) | Err(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_database_holds_a_period_of_segments() {
        assert_eq!(Archive::neighbours(1), 1..17);
        assert_eq!(Archive::neighbours(16), 1..17);
        assert_eq!(Archive::neighbours(17), 17..33);
    }
}

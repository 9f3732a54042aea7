//! The narrow waist between the index and its store: ordered rows, applied in atomic batches. sled may panic on a damaged file; no panic
//! passes through here.

use std::ops::Bound;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::time::Duration;

use kogge_durable::DurableError;

use crate::error::is_full;

/// Why the index of a segment cannot be used. It is then set aside and rebuilt.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub(crate) enum RowsError {
    /// The store says so.
    #[error("the index failed: {0}")]
    Failed(String),
    /// The disk is full: nothing is wrong with the store, but it must not take the space that records need.
    #[error("the disk is full")]
    Full,
    /// The store panicked, as sled does on damaged files.
    #[error("the index panicked: {0}")]
    Panicked(String),
    /// A row is not what was written.
    #[error("the index disagrees with the segments: {0}")]
    Disagrees(String),
}

/// Ordered rows.
///
/// A batch is applied whole or not at all, also across a crash; after [`Rows::flush`] it survives one. A store that loses rows or
/// invents them costs a rebuild, never a record.
pub(crate) trait Rows: Send + Sync {
    /// The last row whose key is not greater.
    fn last_until(&self, key: &[u8]) -> Result<Option<Row>, RowsError>;
    /// Rows from `from` to before `to`, ascending, at most `limit`.
    fn range(&self, from: Bound<&[u8]>, to: &[u8], limit: usize) -> Result<Vec<Row>, RowsError>;
    /// Sets rows, and removes those without a value.
    fn apply(&self, batch: Batch) -> Result<(), RowsError>;
    /// Makes what was applied durable.
    fn flush(&self) -> Result<(), RowsError>;
}

/// Size of sled's own segments and write buffers. Its default of 512 KiB, and batches of hundreds of entries, cost 90 MiB more at a steady load.
const SEGMENT_BYTES: usize = 64 * 1024;

/// What sled says while another handle has the store open. The log's own lock is ours, so that can only be a former handle of this process,
/// whose last work sled still does in the background.
const LOCKED: &str = "could not acquire lock";

/// That work takes milliseconds; a store that stays locked for seconds is replaced.
const LOCK_TRIES: u32 = 200;
const LOCK_PAUSE: Duration = Duration::from_millis(10);

/// Key and value.
pub(crate) type Row = (Vec<u8>, Vec<u8>);

/// Keys with their new values, or none to remove the row.
pub(crate) type Batch = Vec<(Vec<u8>, Option<Vec<u8>>)>;

/// Rows in sled 0.34.
pub(crate) struct SledRows(Option<sled::Db>);

impl SledRows {
    /// Opens the store in `dir`, creating it if there is none.
    pub(crate) fn open(dir: &Path, cache_bytes: u64) -> Result<Self, RowsError> {
        // Flushing is the follower's business: it knows when a checkpoint is worth one.
        let config = sled::Config::new()
            .path(dir)
            .cache_capacity(cache_bytes)
            .flush_every_ms(None)
            .segment_size(SEGMENT_BYTES);
        let mut opened = guarded(|| config.open());
        for _ in 0..LOCK_TRIES {
            match &opened {
                Err(RowsError::Failed(reason)) if reason.contains(LOCKED) => std::thread::sleep(LOCK_PAUSE),
                _ => break,
            }
            opened = guarded(|| config.open());
        }
        opened.map(|db| Self(Some(db)))
    }

    fn with<T>(&self, work: impl FnOnce(&sled::Db) -> sled::Result<T>) -> Result<T, RowsError> {
        match &self.0 {
            Some(db) => guarded(|| work(db)),
            None => Err(RowsError::Failed("it is closed".to_owned())),
        }
    }
}

impl Rows for SledRows {
    fn last_until(&self, key: &[u8]) -> Result<Option<Row>, RowsError> {
        self.with(|db| {
            db.range::<&[u8], _>(..=key)
                .next_back()
                .map(|row| row.map(|(key, value)| (key.to_vec(), value.to_vec())))
                .transpose()
        })
    }

    fn range(&self, from: Bound<&[u8]>, to: &[u8], limit: usize) -> Result<Vec<Row>, RowsError> {
        self.with(|db| {
            db.range::<&[u8], _>((from, Bound::Excluded(to)))
                .take(limit)
                .map(|row| row.map(|(key, value)| (key.to_vec(), value.to_vec())))
                .collect()
        })
    }

    fn apply(&self, batch: Batch) -> Result<(), RowsError> {
        let mut changes = sled::Batch::default();
        for (key, value) in batch {
            match value {
                Some(value) => changes.insert(key, value),
                None => changes.remove(key),
            }
        }
        self.with(|db| db.apply_batch(changes))
    }

    fn flush(&self) -> Result<(), RowsError> {
        self.with(|db| db.flush().map(drop))
    }
}

impl Drop for SledRows {
    fn drop(&mut self) {
        let db = self.0.take();
        if let Err(error) = guarded(|| {
            drop(db);
            Ok(())
        }) {
            tracing::warn!(%error, "closing the message log's index");
        }
    }
}

impl From<DurableError> for RowsError {
    fn from(error: DurableError) -> Self {
        match error {
            DurableError::Io { source, .. } if is_full(&source) => Self::Full,
            other => Self::Failed(other.to_string()),
        }
    }
}

fn guarded<T>(work: impl FnOnce() -> sled::Result<T>) -> Result<T, RowsError> {
    match catch_unwind(AssertUnwindSafe(work)) {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(sled::Error::Io(error))) if is_full(&error) => Err(RowsError::Full),
        Ok(Err(error)) => Err(RowsError::Failed(error.to_string())),
        Err(panic) => {
            let text = panic.downcast_ref::<String>().map(String::as_str);
            let text = text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("without a reason");
            // The first line says it; the rest are addresses.
            Err(RowsError::Panicked(text.lines().next().unwrap_or_default().to_owned()))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_is_told_from_other_failures() {
        let failed = |kind: std::io::ErrorKind| guarded::<()>(|| Err(sled::Error::Io(kind.into())));
        assert_eq!(failed(std::io::ErrorKind::StorageFull), Err(RowsError::Full));
        assert!(matches!(failed(std::io::ErrorKind::Other), Err(RowsError::Failed(_))));
    }

    #[test]
    fn a_store_that_is_being_closed_is_waited_for() {
        let dir = tempfile::tempdir().unwrap();
        let former = SledRows::open(dir.path(), 1 << 20).unwrap();
        let closing = std::thread::spawn(move || {
            std::thread::sleep(LOCK_PAUSE * 5);
            drop(former);
        });
        assert!(SledRows::open(dir.path(), 1 << 20).is_ok());
        closing.join().unwrap();
    }
}

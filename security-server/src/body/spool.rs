//! Spool files: made, filled and removed.

use std::fs::File;
use std::io::{self, IoSlice, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use tokio::task::{JoinHandle, spawn_blocking};
use uuid::Uuid;

use super::lane::Work;
use super::{BodyError, Retention};

/// An open spool file; removed when dropped, unless the log has adopted (renamed) it.
#[derive(Debug)]
pub struct SpoolFile {
    pub(super) file: File,
    path: PathBuf,
    /// Whether it was made with a name that stays.
    named: bool,
}

impl SpoolFile {
    /// A new file in `spool`. The one of a body that is not kept loses its name at once: whatever happens, nobody finds it later.
    pub(super) fn create(spool: &Path, retention: Retention) -> io::Result<Self> {
        let path = spool.join(format!("{}.body", Uuid::new_v4()));
        let file = File::options().create_new(true).read(true).write(true).mode(0o600).open(&path)?;
        let named = match retention {
            Retention::Kept => true,
            Retention::DigestOnly => {
                std::fs::remove_file(&path)?;
                false
            }
        };
        Ok(Self { file, path, named })
    }

    /// Where the file was created; no longer valid after the log has adopted it, and never for a body that is not kept.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for SpoolFile {
    fn drop(&mut self) {
        if !self.named {
            return;
        }
        // Adopted files have another name by now, so "not found" is the good case. Anything else leaves a file that the
        // log removes when it opens next.
        if let Err(error) = std::fs::remove_file(&self.path)
            && error.kind() != io::ErrorKind::NotFound
        {
            tracing::warn!(%error, "a spool file could not be removed");
        }
    }
}

/// Writes batches to the end of a spool file.
pub(super) struct Append(pub(super) Arc<SpoolFile>);

impl Work for Append {
    fn take(&mut self, batch: &[Bytes]) -> io::Result<()> {
        let mut slices: Vec<IoSlice<'_>> = batch.iter().map(|piece| IoSlice::new(piece)).collect();
        let mut left = slices.as_mut_slice();
        while !left.is_empty() {
            match (&self.0.file).write_vectored(left) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => IoSlice::advance_slices(&mut left, written),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

/// Brings what was written of a kept body to the disk while the rest of it arrives, so that the log's own sync finds little left to do.
///
/// Linux reports a failed write-back to each open file once, perhaps to this one alone: a failure here is one of the body.
pub(super) struct EarlySync {
    file: Arc<SpoolFile>,
    since: usize,
    running: Option<JoinHandle<io::Result<()>>>,
}

impl EarlySync {
    pub(super) fn new(file: Arc<SpoolFile>) -> Self {
        Self { file, since: 0, running: None }
    }

    /// Notes that so many bytes more are written, or soon will be. Never waits for the disk.
    pub(super) async fn note(&mut self, bytes: usize) -> Result<(), BodyError> {
        self.since += bytes;
        let busy = self.running.as_ref().is_some_and(|running| !running.is_finished());
        if self.since < SYNC_EVERY_BYTES || busy {
            return Ok(());
        }
        self.since = 0;
        self.settle().await?;
        let file = Arc::clone(&self.file);
        self.running = Some(spawn_blocking(move || file.file.sync_data()));
        Ok(())
    }

    /// What came of the last one.
    pub(super) async fn settle(&mut self) -> Result<(), BodyError> {
        match self.running.take() {
            Some(running) => Ok(running.await.map_err(|_| BodyError::ShuttingDown)??),
            None => Ok(()),
        }
    }
}

/// Rare enough that the journal commits which come with it cost nothing, often enough that the last sync is short.
const SYNC_EVERY_BYTES: usize = 32 * 1024 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_is_an_error_of_the_batch() {
        let file = File::options().write(true).open("/dev/full").unwrap();
        let spool_file = SpoolFile { file, path: PathBuf::new(), named: false };
        let error = Append(Arc::new(spool_file)).take(&[Bytes::from_static(b"abc")]).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::StorageFull);
    }

    #[test]
    fn pieces_of_a_batch_follow_each_other_however_many_they_are() {
        let dir = tempfile::tempdir().unwrap();
        let file = Arc::new(SpoolFile::create(dir.path(), Retention::Kept).unwrap());
        // More than the kernel takes in one call.
        let batch: Vec<Bytes> = (0..3000_u32).map(|number| Bytes::from(format!("{number},"))).collect();
        let mut append = Append(Arc::clone(&file));
        append.take(&batch).unwrap();
        append.take(&[Bytes::new(), Bytes::from_static(b"end")]).unwrap();
        let expected = [batch.concat(), b"end".to_vec()].concat();
        assert!(std::fs::read(file.path()).unwrap() == expected);
    }
}

//! Spool files: made, filled and removed.

use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use kogge_message_log::{BODY_CHUNK_BYTES, BodyKey, SEALED_CHUNK_BYTES};
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
    /// What the file is encrypted with. It is in memory only, until the log takes it over.
    key: Arc<BodyKey>,
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
        Ok(Self { file, path, named, key: Arc::new(BodyKey::random()?) })
    }

    /// The key that it is encrypted with.
    #[must_use]
    pub fn key(&self) -> &Arc<BodyKey> {
        &self.key
    }

    /// Reads bytes of a body of length `whole`, from `at` on, which is a chunk's beginning; as many as `buffer` has, which end with a chunk.
    pub(super) fn read_at(&self, buffer: &mut Vec<u8>, at: u64, whole: u64) -> io::Result<()> {
        let first = u32::try_from(at / BODY_CHUNK_BYTES as u64).map_err(io::Error::other)?;
        let to_end = at + buffer.len() as u64 == whole;
        let chunks = buffer.len().div_ceil(BODY_CHUNK_BYTES);
        buffer.resize(buffer.len() + chunks * (SEALED_CHUNK_BYTES - BODY_CHUNK_BYTES), 0);
        self.file.read_exact_at(buffer, u64::from(first) * SEALED_CHUNK_BYTES as u64)?;
        self.key.open_chunks(first, to_end, buffer)
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

/// Writes batches to the end of a spool file, encrypted in chunks.
pub(super) struct Append {
    file: Arc<SpoolFile>,
    /// What was not written yet: only who knows what follows knows whether a chunk is the last.
    chunk: Vec<u8>,
    number: u32,
}

impl Append {
    pub(super) fn new(file: Arc<SpoolFile>) -> Self {
        Self { file, chunk: Vec::with_capacity(SEALED_CHUNK_BYTES), number: 0 }
    }

    /// Writes the last chunk.
    pub(super) fn finish(mut self) -> io::Result<()> {
        self.write_chunk(true)
    }

    fn write_chunk(&mut self, is_last: bool) -> io::Result<()> {
        self.file.key.seal_chunk(self.number, is_last, &mut self.chunk)?;
        (&self.file.file).write_all(&self.chunk)?;
        self.chunk.clear();
        self.number = self.number.checked_add(1).ok_or(io::ErrorKind::FileTooLarge)?;
        Ok(())
    }
}

impl Work for Append {
    fn take(&mut self, batch: &[Bytes]) -> io::Result<()> {
        for piece in batch {
            let mut rest = piece.as_ref();
            while !rest.is_empty() {
                if self.chunk.len() == BODY_CHUNK_BYTES {
                    self.write_chunk(false)?;
                }
                let (now, later) = rest.split_at(rest.len().min(BODY_CHUNK_BYTES - self.chunk.len()));
                self.chunk.extend_from_slice(now);
                rest = later;
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
        let key = Arc::new(BodyKey::random().unwrap());
        let spool_file = SpoolFile { file, path: PathBuf::new(), named: false, key };
        let mut append = Append::new(Arc::new(spool_file));
        let error = append.take(&[vec![7; BODY_CHUNK_BYTES + 1].into()]).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::StorageFull);
    }

    #[test]
    fn pieces_of_a_batch_follow_each_other_however_many_they_are() {
        let dir = tempfile::tempdir().unwrap();
        let file = Arc::new(SpoolFile::create(dir.path(), Retention::Kept).unwrap());
        // More than one chunk.
        let batch: Vec<Bytes> = (0..30_000_u32).map(|number| Bytes::from(format!("{number},"))).collect();
        let mut append = Append::new(Arc::clone(&file));
        append.take(&batch).unwrap();
        append.take(&[Bytes::new(), Bytes::from_static(b"end")]).unwrap();
        let expected = [batch.concat(), b"end".to_vec()].concat();
        append.finish().unwrap();
        let mut read = vec![0; expected.len()];
        file.read_at(&mut read, 0, expected.len() as u64).unwrap();
        assert!(read == expected);
    }
}

//! Bodies of any size in bounded memory: small ones stay in memory, large ones are spooled to a file while they are hashed.
//!
//! The spool lies in the message log's directory, so that a spooled body becomes the log's own copy by a rename: it is
//! written to disk once. A crash leaves spool files behind; the log empties the spool when it opens.

use std::fs::File;
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use kogge_proto::digest::{Sha512, Sha512Hasher};
use kogge_proto::limits::{BODY_CHUNK_BYTES, INLINE_BODY_BYTES_MAX};
use tokio::task::spawn_blocking;
use uuid::Uuid;

/// A complete body with its length and digest.
#[derive(Clone, Debug)]
pub struct Body {
    length: u64,
    sha512: Sha512,
    place: Place,
}

/// Where a body's bytes are.
#[derive(Clone, Debug)]
pub enum Place {
    /// At most [`INLINE_BODY_BYTES_MAX`] bytes.
    Memory(Bytes),
    /// A file in the spool, or in the log once it was adopted.
    File(Arc<SpoolFile>),
}

/// An open spool file; removed when dropped, unless the log has adopted (renamed) it.
#[derive(Debug)]
pub struct SpoolFile {
    file: File,
    path: PathBuf,
}

/// Why a body could not be taken in or given out.
#[derive(Debug, thiserror::Error)]
pub enum BodyError {
    /// The body is larger than the limit.
    #[error("the body exceeds the limit of {limit} bytes")]
    TooLarge {
        /// The limit in force.
        limit: u64,
    },
    /// The spool file could not be written or read.
    #[error("the spool cannot be used: {0}")]
    Spool(#[from] io::Error),
    /// A blocking task was cancelled because the runtime is shutting down.
    #[error("the server is shutting down")]
    ShuttingDown,
}

impl Body {
    /// A body that is already in memory.
    #[must_use]
    pub fn from_bytes(bytes: Bytes) -> Self {
        let sha512 = kogge_proto::digest::sha512(&bytes);
        Self { length: bytes.len() as u64, sha512, place: Place::Memory(bytes) }
    }

    /// Length in bytes.
    #[must_use]
    pub fn length(&self) -> u64 {
        self.length
    }

    /// Digest of all bytes.
    #[must_use]
    pub fn sha512(&self) -> &Sha512 {
        &self.sha512
    }

    /// Where the bytes are.
    #[must_use]
    pub fn place(&self) -> &Place {
        &self.place
    }

    /// Reads it from the start in chunks of [`BODY_CHUNK_BYTES`].
    #[must_use]
    pub fn reader(&self) -> BodyReader {
        BodyReader { body: self.clone(), at: 0 }
    }
}

impl SpoolFile {
    /// Where the file was created; no longer valid after the log has adopted it.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for SpoolFile {
    fn drop(&mut self) {
        // Adopted files have another name by now, so "not found" is the good case. Anything else leaves a file that the
        // log removes when it opens next.
        if let Err(error) = std::fs::remove_file(&self.path)
            && error.kind() != io::ErrorKind::NotFound
        {
            tracing::warn!(%error, "a spool file could not be removed");
        }
    }
}

/// Takes a body in, piece by piece.
pub struct BodyWriter {
    spool: Arc<Path>,
    limit: u64,
    length: u64,
    hasher: Sha512Hasher,
    memory: BytesMut,
    file: Option<Arc<SpoolFile>>,
}

impl BodyWriter {
    /// An empty body that may grow to `limit` bytes; a large one goes into a file in `spool`.
    #[must_use]
    pub fn new(spool: Arc<Path>, limit: u64) -> Self {
        Self { spool, limit, length: 0, hasher: Sha512Hasher::new(), memory: BytesMut::new(), file: None }
    }

    /// Adds the next piece.
    ///
    /// # Errors
    /// The body grows over its limit, or the spool cannot be written.
    pub async fn write(&mut self, piece: &[u8]) -> Result<(), BodyError> {
        let length = self.length.saturating_add(piece.len() as u64);
        if length > self.limit {
            return Err(BodyError::TooLarge { limit: self.limit });
        }
        self.length = length;
        self.hasher.update(piece);
        self.memory.extend_from_slice(piece);
        let spooling = self.file.is_some() || length > INLINE_BODY_BYTES_MAX;
        if spooling && self.memory.len() as u64 >= INLINE_BODY_BYTES_MAX {
            self.flush().await?;
        }
        Ok(())
    }

    /// The complete body.
    ///
    /// # Errors
    /// The spool cannot be written.
    pub async fn finish(mut self) -> Result<Body, BodyError> {
        if self.file.is_some() {
            self.flush().await?;
        }
        let place = match self.file {
            Some(file) => Place::File(file),
            None => Place::Memory(self.memory.freeze()),
        };
        Ok(Body { length: self.length, sha512: self.hasher.finish(), place })
    }

    /// Moves what is in memory to the end of the spool file.
    async fn flush(&mut self) -> Result<(), BodyError> {
        let piece = self.memory.split().freeze();
        let at = self.length - piece.len() as u64;
        let file = match &self.file {
            Some(file) => Arc::clone(file),
            None => self.create().await?,
        };
        self.file = Some(Arc::clone(&file));
        blocking(move || file.file.write_all_at(&piece, at)).await
    }

    async fn create(&self) -> Result<Arc<SpoolFile>, BodyError> {
        let path = self.spool.join(format!("{}.body", Uuid::new_v4()));
        blocking(move || {
            let file = File::options().create_new(true).read(true).write(true).mode(0o600).open(&path)?;
            Ok(Arc::new(SpoolFile { file, path }))
        })
        .await
    }
}

/// Gives a body out, chunk by chunk.
pub struct BodyReader {
    body: Body,
    at: u64,
}

impl BodyReader {
    /// The next chunk; `None` at the end.
    ///
    /// # Errors
    /// The file cannot be read, or is shorter than it was.
    pub async fn next(&mut self) -> Result<Option<Bytes>, BodyError> {
        let left = self.body.length - self.at;
        if left == 0 {
            return Ok(None);
        }
        let length = usize::try_from(left).unwrap_or(usize::MAX).min(BODY_CHUNK_BYTES);
        let chunk = match &self.body.place {
            Place::Memory(bytes) => {
                let start = usize::try_from(self.at).unwrap_or(usize::MAX);
                bytes.slice(start..start + length)
            }
            Place::File(file) => {
                let (file, at) = (Arc::clone(file), self.at);
                blocking(move || {
                    let mut chunk = vec![0; length];
                    file.file.read_exact_at(&mut chunk, at)?;
                    Ok(Bytes::from(chunk))
                })
                .await?
            }
        };
        self.at += chunk.len() as u64;
        Ok(Some(chunk))
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> Result<T, BodyError> {
    match spawn_blocking(work).await {
        Ok(result) => Ok(result?),
        Err(_) => Err(BodyError::ShuttingDown),
    }
}

#[cfg(test)]
mod tests {
    use kogge_proto::digest::sha512;

    use super::*;

    async fn round_trip(length: usize, piece: usize) -> (Body, Vec<u8>) {
        let dir = tempfile::tempdir().unwrap();
        let bytes: Vec<u8> = (0..length).map(|i| (i * 31 % 251) as u8).collect();
        let mut writer = BodyWriter::new(dir.path().into(), u64::MAX);
        for piece in bytes.chunks(piece) {
            writer.write(piece).await.unwrap();
        }
        let body = writer.finish().await.unwrap();
        assert_eq!(body.sha512(), &sha512(&bytes));
        assert_eq!(body.length(), length as u64);
        let mut read = Vec::new();
        let mut reader = body.reader();
        while let Some(chunk) = reader.next().await.unwrap() {
            read.extend_from_slice(&chunk);
        }
        assert_eq!(read, bytes);
        (body, read)
    }

    #[tokio::test]
    async fn small_bodies_stay_in_memory_and_large_ones_do_not() {
        for length in [0, 1, 65_536, 262_144] {
            let (body, _) = round_trip(length, 10_000).await;
            assert!(matches!(body.place(), Place::Memory(_)), "{length}");
        }
        for (length, piece) in [(262_145, 65_536), (262_145, 1_000_000), (5_000_000, 4096)] {
            let (body, _) = round_trip(length, piece).await;
            assert!(matches!(body.place(), Place::File(_)), "{length}");
        }
    }

    #[tokio::test]
    async fn a_body_over_the_limit_is_refused_and_leaves_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let mut writer = BodyWriter::new(dir.path().into(), 300_000);
        writer.write(&[0; 300_000]).await.unwrap();
        assert!(matches!(writer.write(&[0]).await, Err(BodyError::TooLarge { limit: 300_000 })));
        drop(writer);
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
    }
}

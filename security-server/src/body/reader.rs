//! A body on its way out.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use kogge_proto::limits::BODY_CHUNK_BYTES;
use tokio::task::{JoinHandle, spawn_blocking};

use super::spool::SpoolFile;
use super::{BodyError, Place};

/// Gives a body out, chunk by chunk. From a file it reads ahead: while a chunk is sent, the next one is read.
pub struct BodyReader {
    place: Place,
    length: u64,
    /// How far the body was read.
    at: u64,
    /// What was read and not yet given out.
    ready: Bytes,
    ahead: Option<JoinHandle<io::Result<Lent>>>,
    buffers: Arc<Buffers>,
}

impl BodyReader {
    pub(super) fn new(place: Place, length: u64) -> Self {
        Self { place, length, at: 0, ready: Bytes::new(), ahead: None, buffers: Arc::default() }
    }

    /// The next chunk, of at most [`BODY_CHUNK_BYTES`]; `None` at the end.
    ///
    /// # Errors
    /// The file cannot be read, or is shorter than it was.
    pub async fn next(&mut self) -> Result<Option<Bytes>, BodyError> {
        self.next_up_to(BODY_CHUNK_BYTES).await
    }

    /// The next chunk as it was read; `None` at the end.
    ///
    /// # Errors
    /// As [`BodyReader::next`].
    pub async fn next_whole(&mut self) -> Result<Option<Bytes>, BodyError> {
        self.next_up_to(READ_BYTES).await
    }

    async fn next_up_to(&mut self, bytes_max: usize) -> Result<Option<Bytes>, BodyError> {
        if self.ready.is_empty() {
            self.ready = self.read().await?;
        }
        let chunk = self.ready.split_to(self.ready.len().min(bytes_max));
        Ok(Some(chunk).filter(|chunk| !chunk.is_empty()))
    }

    /// The next bytes of the body; none at its end.
    async fn read(&mut self) -> Result<Bytes, BodyError> {
        let file = match &self.place {
            Place::Memory(bytes) if self.at == 0 => {
                self.at = self.length;
                return Ok(bytes.clone());
            }
            Place::Memory(_) => return Ok(Bytes::new()),
            Place::File(file) => Arc::clone(file),
        };
        let Some(reading) = self.ahead.take().or_else(|| self.start(&file)) else { return Ok(Bytes::new()) };
        let lent = reading.await.map_err(|_| BodyError::ShuttingDown)??;
        self.ahead = self.start(&file);
        Ok(Bytes::from_owner(lent))
    }

    /// Begins to read the next piece, if there is one.
    ///
    /// The buffer is made here and not on the thread that fills it: glibc keeps memory apart for each thread that asks for some, and what many blocking
    /// threads asked for once stays with the process.
    fn start(&mut self, file: &Arc<SpoolFile>) -> Option<JoinHandle<io::Result<Lent>>> {
        let left = usize::try_from(self.length - self.at).unwrap_or(usize::MAX);
        let length = left.min(READ_BYTES);
        if length == 0 {
            return None;
        }
        let mut lent = Lent { buffer: self.buffers.take(), home: Arc::clone(&self.buffers) };
        lent.buffer.resize(length, 0);
        let (file, at, whole) = (Arc::clone(file), self.at, self.length);
        self.at += length as u64;
        Some(spawn_blocking(move || file.read_at(&mut lent.buffer, at, whole).map(|()| lent)))
    }
}

/// Buffers of one body that are not in use. They are used again and again: to ask for memory, clear it and give it back costs as much as
/// reading into it.
#[derive(Default)]
struct Buffers(Mutex<Vec<Vec<u8>>>);

impl Buffers {
    fn take(&self) -> Vec<u8> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).pop().unwrap_or_default()
    }

    fn give_back(&self, buffer: Vec<u8>) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(buffer);
    }
}

/// A buffer that goes home once all that was given out of it has been sent.
struct Lent {
    buffer: Vec<u8>,
    home: Arc<Buffers>,
}

impl AsRef<[u8]> for Lent {
    fn as_ref(&self) -> &[u8] {
        &self.buffer
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        self.home.give_back(std::mem::take(&mut self.buffer));
    }
}

/// What is read at once: long enough to be worth a hand-over between threads, short enough that a body costs little memory. One is sent while
/// the next one is read, and one may still be on its way. A multiple of what is encrypted at once.
const READ_BYTES: usize = 256 * 1024;

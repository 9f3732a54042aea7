//! A body on its way in → [`Body`].

use std::io;
use std::path::Path;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use kogge_proto::digest::{Sha512, Sha512Hasher};
use kogge_proto::limits::INLINE_BODY_BYTES_MAX;
use tokio::task::spawn_blocking;

use super::lane::{Lane, Work};
use super::spool::{Append, EarlySync, SpoolFile};
use super::{Body, BodyError, Place, Retention};

/// Takes a body in, piece by piece.
pub struct BodyWriter {
    spool: Arc<Path>,
    limit: u64,
    retention: Retention,
    length: u64,
    pieces: Pieces,
    way: Way,
}

/// Which way the bytes go.
enum Way {
    /// As long as they are few: into memory, hashed by who brings them.
    Memory(Sha512Hasher),
    /// To the disk.
    Spool(Spooling),
}

/// A large body between reception and disk.
struct Spooling {
    lane: Lane<Digesting>,
    /// Only for what is kept.
    early: Option<EarlySync>,
    file: Arc<SpoolFile>,
}

impl BodyWriter {
    /// An empty body that may grow to `limit` bytes; a large one goes into a file in `spool`.
    #[must_use]
    pub fn new(spool: Arc<Path>, limit: u64, retention: Retention) -> Self {
        let way = Way::Memory(Sha512Hasher::new());
        Self { spool, limit, retention, length: 0, pieces: Pieces::default(), way }
    }

    /// Adds the next piece. Waits while hashing or the disk are behind.
    ///
    /// # Errors
    /// The body grows over its limit, or the spool cannot be written.
    pub async fn write(&mut self, piece: Bytes) -> Result<(), BodyError> {
        let length = self.length.saturating_add(piece.len() as u64);
        if length > self.limit {
            return Err(BodyError::TooLarge { limit: self.limit });
        }
        self.length = length;
        if let Way::Memory(hasher) = &mut self.way {
            if length > INLINE_BODY_BYTES_MAX {
                let hasher = std::mem::take(hasher);
                // What is in memory already was hashed on its way there.
                self.way = Way::Spool(self.start(hasher).await?);
            } else {
                hasher.update(&piece);
            }
        }
        self.pieces.push(piece);
        match &mut self.way {
            Way::Spool(spooling) if self.pieces.length >= BATCH_BYTES => {
                spooling.take(self.pieces.split()).await
            }
            Way::Spool(_) | Way::Memory(_) => Ok(()),
        }
    }

    /// The complete body.
    ///
    /// # Errors
    /// The spool cannot be written.
    pub async fn finish(mut self) -> Result<Body, BodyError> {
        let (sha512, place) = match self.way {
            Way::Memory(hasher) => (hasher.finish(), Place::Memory(self.pieces.join())),
            Way::Spool(mut spooling) => {
                if self.pieces.length > 0 {
                    spooling.take(self.pieces.split()).await?;
                }
                let (sha512, file) = spooling.finish().await?;
                (sha512, Place::File(file))
            }
        };
        Ok(Body { length: self.length, sha512, place, retention: self.retention })
    }

    /// Makes the spool file and moves what is in memory there.
    async fn start(&mut self, hasher: Sha512Hasher) -> Result<Spooling, BodyError> {
        let (spool, retention) = (Arc::clone(&self.spool), self.retention);
        let file = Arc::new(blocking(move || SpoolFile::create(&spool, retention)).await?);
        let mut append = Append::new(Arc::clone(&file));
        let start = self.pieces.split().0;
        if !start.is_empty() {
            append = blocking(move || append.take(&start).map(|()| append)).await?;
        }
        Ok(Spooling {
            lane: Lane::new(Digesting { hasher, append }),
            early: (retention == Retention::Kept).then(|| EarlySync::new(Arc::clone(&file))),
            file,
        })
    }
}

impl Spooling {
    async fn take(&mut self, (pieces, length): (Vec<Bytes>, usize)) -> Result<(), BodyError> {
        self.lane.push(pieces).await?;
        match &mut self.early {
            Some(early) => early.note(length).await,
            None => Ok(()),
        }
    }

    async fn finish(self) -> Result<(Sha512, Arc<SpoolFile>), BodyError> {
        let Digesting { hasher, append } = self.lane.finish().await?;
        blocking(move || append.finish()).await?;
        if let Some(mut early) = self.early {
            early.settle().await?;
        }
        Ok((hasher.finish(), self.file))
    }
}

/// Hashes and writes, one after the other: two threads would wake each other more than they could do at once.
struct Digesting {
    hasher: Sha512Hasher,
    append: Append,
}

impl Work for Digesting {
    fn take(&mut self, batch: &[Bytes]) -> io::Result<()> {
        batch.iter().for_each(|piece| self.hasher.update(piece));
        self.append.take(batch)
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> Result<T, BodyError> {
    Ok(spawn_blocking(work).await.map_err(|_| BodyError::ShuttingDown)??)
}

/// Pieces in memory. Small ones are put together: each piece holds on to memory of its own, and a body may come byte by byte.
#[derive(Default)]
struct Pieces {
    whole: Vec<Bytes>,
    crumbs: BytesMut,
    length: usize,
}

impl Pieces {
    fn push(&mut self, piece: Bytes) {
        self.length += piece.len();
        if piece.len() < CRUMB_BYTES {
            self.crumbs.extend_from_slice(&piece);
        } else {
            self.sweep();
            self.whole.push(piece);
        }
    }

    fn sweep(&mut self) {
        if !self.crumbs.is_empty() {
            self.whole.push(self.crumbs.split().freeze());
        }
    }

    /// All pieces and their length, leaving none.
    fn split(&mut self) -> (Vec<Bytes>, usize) {
        self.sweep();
        (std::mem::take(&mut self.whole), std::mem::take(&mut self.length))
    }

    /// All of them in one, which is exactly as large as they are.
    fn join(mut self) -> Bytes {
        match self.split() {
            (mut one, _) if one.len() == 1 => one.pop().unwrap_or_default(),
            (many, _) => many.concat().into(),
        }
    }
}

/// What is hashed and written at once: long enough to be worth a hand-over between threads, short enough to stay in a processor's cache until both
/// are done with it.
const BATCH_BYTES: usize = 256 * 1024;

/// A piece shorter than this is copied.
const CRUMB_BYTES: usize = 4 * 1024;

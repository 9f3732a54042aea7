//! The framing: blocks that follow each other, each with a digest that covers it and all before it.
//!
//! A block is its kind (u8), the length of its payload (u32, little-endian), the payload, and the SHA-256 over: the digest of the block before (of the first: of the
//! magic line), kind, length, payload. A block that was altered, left out, put in or moved is seen at once, one that is missing at the end by the
//! missing END.

use std::io::{self, Read, Write};

use bytes::Bytes;
use kogge_proto::digest::{Sha256, Sha256Hasher, sha256};

use super::{BLOCK_BYTES_MAX, MAGIC};

/// What is in a block.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[repr(u8)]
pub enum Kind {
    /// The payload of the log's first entry.
    Origin = 1,
    /// The next piece of the registry snapshot.
    Snapshot = 2,
    /// Items: tables, ways, records.
    Items = 3,
    /// The next piece of the body of the record before.
    Body = 4,
    /// The end.
    End = 5,
}

/// A block as it was read.
#[derive(Clone, Debug)]
pub struct Block {
    /// What is in it.
    pub kind: Kind,
    /// Its payload.
    pub payload: Bytes,
}

/// Why a bundle cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum BundleError {
    /// The file cannot be read.
    #[error("the bundle cannot be read: {0}")]
    Io(#[from] io::Error),
    /// It does not begin as a bundle does.
    #[error("it is no bundle: it does not begin with the line KOGGE-BUNDLE 1")]
    Magic,
    /// It ends too early.
    #[error("the bundle ends at byte {at}, before its END block: it was cut off")]
    Cut {
        /// Where.
        at: u64,
    },
    /// Something in it is not as it must be.
    #[error("byte {at}: {reason}")]
    Refused {
        /// The check that it does not pass.
        check: &'static str,
        /// Where the block begins.
        at: u64,
        /// What is wrong.
        reason: String,
    },
}

impl BundleError {
    /// The check that it does not pass; `None` if the file itself cannot be read.
    #[must_use]
    pub fn check(&self) -> Option<&'static str> {
        match self {
            Self::Io(_) => None,
            Self::Magic => Some(STRUCTURE),
            Self::Cut { .. } => Some(COMPLETE),
            Self::Refused { check, .. } => Some(check),
        }
    }
}

/// Writes blocks.
pub struct BlockWriter<W> {
    out: W,
    digest: Sha256,
}

impl<W: Write> BlockWriter<W> {
    /// Begins a bundle.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn begin(mut out: W) -> io::Result<Self> {
        out.write_all(MAGIC)?;
        Ok(Self { out, digest: sha256(MAGIC) })
    }

    /// Writes a block.
    ///
    /// # Errors
    /// It cannot be written, or is larger than [`BLOCK_BYTES_MAX`].
    pub fn write(&mut self, kind: Kind, payload: &[u8]) -> io::Result<()> {
        if payload.len() > BLOCK_BYTES_MAX {
            return Err(io::Error::other("a block of the bundle would be larger than may be"));
        }
        let head = head(kind as u8, payload.len() as u32);
        self.digest = chained(&self.digest, &head, payload);
        self.out.write_all(&head)?;
        self.out.write_all(payload)?;
        self.out.write_all(self.digest.as_bytes())
    }

    /// What was written to.
    pub fn into_inner(self) -> W {
        self.out
    }
}

/// Reads blocks.
pub struct BlockReader<R> {
    input: R,
    digest: Sha256,
    at: u64,
}

impl<R: Read> BlockReader<R> {
    /// Reads the magic line.
    ///
    /// # Errors
    /// It cannot be read, or it is no bundle.
    pub fn open(mut input: R) -> Result<Self, BundleError> {
        let mut magic = vec![0; MAGIC.len()];
        match input.read_exact(&mut magic) {
            Err(error) if error.kind() != io::ErrorKind::UnexpectedEof => Err(error.into()),
            Ok(()) if magic == MAGIC => Ok(Self { input, digest: sha256(MAGIC), at: MAGIC.len() as u64 }),
            _ => Err(BundleError::Magic),
        }
    }

    /// Where the next block begins.
    pub fn at(&self) -> u64 {
        self.at
    }

    /// The next block; its digest holds.
    ///
    /// # Errors
    /// The file cannot be read, ends, or holds something else here.
    pub fn read(&mut self) -> Result<Block, BundleError> {
        let at = self.at;
        let mut first = [0; HEAD_BYTES];
        self.fill(&mut first)?;
        let [kind, length @ ..] = first;
        let length = u32::from_le_bytes(length) as usize;
        let kind = Kind::of(kind).ok_or_else(|| refused(at, format!("there is no block of kind {kind}")))?;
        if length > BLOCK_BYTES_MAX {
            return Err(refused(at, format!("a block of {length} bytes is larger than may be")));
        }
        let mut payload = vec![0; length];
        self.fill(&mut payload)?;
        let mut stated = [0; Sha256::LEN];
        self.fill(&mut stated)?;
        self.digest = chained(&self.digest, &first, &payload);
        if self.digest.as_bytes() != stated {
            return Err(refused(at, "the block is not the one that was written here".to_owned()));
        }
        Ok(Block { kind, payload: payload.into() })
    }

    /// Makes sure that nothing follows.
    ///
    /// # Errors
    /// Something does.
    pub fn end(&mut self) -> Result<(), BundleError> {
        match self.input.read(&mut [0])? {
            0 => Ok(()),
            _ => Err(BundleError::Refused {
                check: COMPLETE,
                at: self.at,
                reason: "something follows the END block".to_owned(),
            }),
        }
    }

    fn fill(&mut self, bytes: &mut [u8]) -> Result<(), BundleError> {
        match self.input.read_exact(bytes) {
            Ok(()) => {
                self.at += bytes.len() as u64;
                Ok(())
            }
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                Err(BundleError::Cut { at: self.at })
            }
            Err(error) => Err(error.into()),
        }
    }
}

impl Kind {
    fn of(number: u8) -> Option<Self> {
        [Self::Origin, Self::Snapshot, Self::Items, Self::Body, Self::End]
            .into_iter()
            .find(|kind| *kind as u8 == number)
    }
}

pub(super) fn refused(at: u64, reason: String) -> BundleError {
    BundleError::Refused { check: STRUCTURE, at, reason }
}

fn head(kind: u8, length: u32) -> [u8; HEAD_BYTES] {
    let [a, b, c, d] = length.to_le_bytes();
    [kind, a, b, c, d]
}

fn chained(before: &Sha256, head: &[u8], payload: &[u8]) -> Sha256 {
    let mut hasher = Sha256Hasher::new();
    hasher.update(before.as_bytes());
    hasher.update(head);
    hasher.update(payload);
    hasher.finish()
}

/// The framing, the order of blocks, the tables.
pub const STRUCTURE: &str = "bundle.structure";
/// The end is there, nothing follows, and there are as many records as it says.
pub const COMPLETE: &str = "bundle.complete";
/// The log's tree, built anew.
pub const INCLUSION: &str = "bundle.inclusion";

/// Kind and length.
const HEAD_BYTES: usize = 5;

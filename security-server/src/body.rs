//! Bodies of any size in bounded memory: small ones stay in memory, large ones are spooled to a file while they are hashed.
//!
//! The spool lies in the message log's directory, so that a spooled body becomes the log's own copy by a rename: it is
//! written to disk once, encrypted under a key of its own that is in memory until the log has it. A crash leaves spool files behind; the log empties the spool when it opens. The file of a body that is not
//! kept has no name at all from the start.
//!
//! While a large body arrives, pieces are received on one thread, and those before them hashed and written on another (`lane`), which does not
//! fall behind by more than a few batches. While one leaves, the next piece is read (`reader`).

mod lane;
mod reader;
mod spool;
mod writer;

use std::io;
use std::sync::Arc;

use bytes::Bytes;
use kogge_proto::digest::Sha512;

pub use self::reader::BodyReader;
pub use self::spool::SpoolFile;
pub use self::writer::BodyWriter;

/// Whether the log gets a body's bytes.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Retention {
    /// The bytes are part of the record.
    #[default]
    Kept,
    /// The record holds length and digest; the bytes are gone when the exchange is over.
    DigestOnly,
}

/// A complete body with its length and digest.
#[derive(Clone, Debug)]
pub struct Body {
    length: u64,
    sha512: Sha512,
    place: Place,
    retention: Retention,
}

/// Where a body's bytes are.
#[derive(Clone, Debug)]
pub enum Place {
    /// At most [`INLINE_BODY_BYTES_MAX`](kogge_proto::limits::INLINE_BODY_BYTES_MAX) bytes.
    Memory(Bytes),
    /// A file in the spool, or in the log once it was adopted.
    File(Arc<SpoolFile>),
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
    /// A body that is already in memory, and kept.
    #[must_use]
    pub fn from_bytes(bytes: Bytes) -> Self {
        let sha512 = kogge_proto::digest::sha512(&bytes);
        Self { length: bytes.len() as u64, sha512, place: Place::Memory(bytes), retention: Retention::Kept }
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

    /// Whether the log gets the bytes.
    #[must_use]
    pub fn retention(&self) -> Retention {
        self.retention
    }

    /// Reads it from the start.
    #[must_use]
    pub fn reader(&self) -> BodyReader {
        BodyReader::new(self.place.clone(), self.length)
    }
}

#[cfg(test)]
mod tests;

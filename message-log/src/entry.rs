//! An entry as it is handed to readers: with what it refers to.

use bytes::Bytes;
use kogge_proto::digest::Sha256;
use kogge_proto::wire::log::{Erasure, MaterialItem, MessageRecord, SegmentStart, StampRecord};

/// An entry of the log.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Entry {
    pub(crate) sequence: u64,
    /// Of the entry before; `None` if what stands there is no SHA-256.
    pub(crate) previous_sha256: Option<Sha256>,
    pub(crate) time_ms: i64,
    /// Newest entry that was known to be synced when this one was written.
    pub(crate) durable_sequence: u64,
    pub(crate) kind: Kind,
    /// What of a message's body can be read only with a key.
    pub(crate) sealed: Option<SealedPart>,
    /// The certificates and OCSP responses that a message refers to, each once.
    pub(crate) material: Vec<Bytes>,
}

/// What is encrypted of a body.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum SealedPart {
    /// All of it.
    Body(Bytes),
    /// The key of its file, or that key as it is.
    FileKey(Vec<u8>),
}

/// What an entry says.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Kind {
    SegmentStart(SegmentStart),
    Material(MaterialItem),
    Name(String),
    Message(Box<MessageRecord>),
    Stamp(StampRecord),
    Erasure(Box<Erasure>),
}

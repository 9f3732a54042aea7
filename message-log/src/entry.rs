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
    /// The encrypted body of a message that has one.
    pub(crate) sealed: Option<Bytes>,
    /// The certificates and OCSP responses that a message refers to, each once.
    pub(crate) material: Vec<Bytes>,
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

//! The journal: every decision ever taken, in order, each signed, each holding the hash of the one before.
//!
//! `journal/decisions` is a sequence of frames; numbers are big-endian:
//!
//! ```text
//! length of payload: u32 | CRC-32C of payload: u32 | payload = length of body: u32 | body: JSON | signature
//! ```
//!
//! The body is `{"sequence", "previous", "at_ms", "signer", "event"}`; `previous` is the SHA-256 of the previous payload. The signature
//! is over `"kogge-journal-v1\0" || body`. `journal/head` says how far the journal is acknowledged; it is replaced atomically after
//! each append, before the caller is told.
//!
//! So what lies behind the head was never acknowledged, and the next writer cuts it off; anything wrong before it is damage, and
//! nobody goes on from there. Readers need no lock: they never look behind the head.
//!
//! A signature covers, through the chain, everything before it. Whoever opens a journal therefore checks the last one; and each was
//! checked when it was the last.

mod entry;
mod error;
mod head;
mod reader;
#[cfg(test)]
mod tests;
mod writer;

pub(crate) use self::entry::Entry;
pub use self::error::JournalError;
pub(crate) use self::reader::Reader;
pub(crate) use self::writer::{JournalLock, NewEntries, append, create};

/// Longest payload: a decision with all certificates of a CA, several times over.
const PAYLOAD_BYTES_MAX: usize = 1024 * 1024;
/// Length and checksum.
const FRAME_HEAD_BYTES: usize = 8;
const DECISIONS: &str = "decisions";

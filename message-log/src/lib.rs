//! What happened, in order: durable segments, group commit, a hash chain, a rebuildable index, recovery.
//!
//! A log is a directory: `segments/NNNNNNNNNN.log` (append-only, with space reserved ahead), `bodies/` (large bodies, one file each),
//! `spool/` (bodies on their way in; emptied when the log opens), `index/` (sled; rebuilt whenever it is missing, damaged or disagrees),
//! `keys/` (keys of bodies, one file for each segment; to be backed up apart from everything else), `acknowledged` (a note of an entry that was), `lock`. The format of a segment is in `proto/schema/log.proto`.
//!
//! Whoever appends writes, if nobody else does just then; one thread syncs, and does all that takes longer than a write.
//!
//! Invariants:
//! - acknowledged ⇒ frame and body synced, and every earlier frame too; acknowledged as [`Durability::WithNext`] ⇒ frame written, and every earlier one;
//! - a record that follows another is never there without it;
//! - sequence n+1 carries the SHA-256 of entry n's payload, over all segments;
//! - a segment holds every certificate, OCSP response and name that its records refer to, before the first record that does;
//! - nothing in `index/` is needed to find or prove an acknowledged record.
//!
//! Deliberately absent: a runtime, the network, what signatures mean.
#![forbid(unsafe_code)]

mod acknowledged;
mod audit;
mod bodies;
mod chain;
mod detached;
mod disk;
mod draft;
mod entry;
mod erasing;
mod error;
mod failing;
mod frame;
mod incarnation;
mod index;
mod interned;
mod job;
mod keys;
mod layout;
mod live;
mod log;
mod lookup;
mod message;
mod next_segment;
mod prepared;
mod queue;
mod read;
mod reader;
mod recovery;
mod reindex;
mod resolve;
mod scan;
mod segment;
mod stamps;
mod stored;
mod tree;
mod turns;
mod unstamped;
mod waiting;
mod walk;
mod window;
mod writer;

#[cfg(test)]
extern crate self as kogge_message_log;
#[cfg(test)]
mod audit_tests;
#[cfg(test)]
mod durability_tests;
#[cfg(test)]
mod failure_tests;
#[cfg(test)]
mod faults;
#[cfg(test)]
#[path = "../tests/fixture/mod.rs"]
mod fixture;
#[cfg(test)]
mod tree_tests;

use std::sync::Arc;
use std::time::Duration;

use kogge_proto::id::SecurityServerId;
use kogge_proto::time::UnixMillis;

pub use detached::{Detached, DetachedError, Origin};
pub use erasing::{EraseError, ErasedRecords, FoundErasure, NewErasure, erasure_bytes};
pub use error::{AppendError, Damage, LogError};
pub use incarnation::Incarnation;
pub use keys::{
    BODY_CHUNK_BYTES, BodyFile, BodyKey, LOG_KEY_BYTES, LogKey, LogKeyError, SEALED_CHUNK_BYTES, SoftLogKey,
};
pub use log::{MessageLog, SyncNow};
pub use message::{
    Acknowledge, Durability, Filter, Found, NewBody, NewBodyPlace, NewMessage, Receipt, State,
};
pub use reader::Reader;
pub use recovery::Recovery;
pub use reindex::reindex;
pub use walk::Met;
pub use writer::SYNC_WITHIN;

/// How a log is kept.
#[derive(Clone, Debug)]
pub struct Options {
    /// Whose log it is; written into each segment, and checked when the log is opened again.
    pub server: SecurityServerId,
    /// Size to which a segment is preallocated, in bytes; a record larger than the rest starts a new one.
    pub segment_bytes: u64,
    /// sled's page cache in bytes.
    pub index_cache_bytes: u64,
    /// For how long request ids of provider-side requests are remembered, so that a replay is refused. Requests whose
    /// signing time is older must be refused by the caller.
    pub replay_window: Duration,
    /// The key under which the keys of bodies are kept. Without one, bodies are stored as they are.
    pub log_key: Option<Arc<dyn LogKey>>,
    /// The clock; an argument, so that tests own the time.
    pub clock: fn() -> UnixMillis,
}

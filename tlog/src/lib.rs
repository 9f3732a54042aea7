//! Transparency logs: what an append-only list commits to, and how others check it.
//!
//! - [`tree`]: hashes of RFC 6962, and the head of a growing list in memory that grows with the logarithm of its length;
//! - [`proof`]: that an entry is in the list, and that one list begins with another (RFC 9162, section 2.1);
//! - [`tile`]: the tree as static files (C2SP `tlog-tiles`);
//! - [`checkpoint`]: a head as text (C2SP `tlog-checkpoint`);
//! - [`note`]: text with signatures (C2SP `signed-note`), of which Ed25519 is checked.
//!
//! All that is read comes from outside: everything has one form, and what is not in it is refused.
//!
//! Deliberately absent: clocks, disk, network, private keys, what an entry is.
#![forbid(unsafe_code)]

pub mod checkpoint;
pub mod note;
pub mod proof;
pub mod tile;
pub mod tree;

/// Most entries of a list: sizes are within the signed 64-bit integers of other implementations.
pub const SIZE_MAX: u64 = i64::MAX as u64;

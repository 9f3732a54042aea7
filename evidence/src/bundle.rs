//! Auditor's bundles: many records of one log in one file, with all that their verification needs but the anchor.
//!
//! The form is described in `docs/bundle.md` and `proto/schema/bundle.proto`, so that others can read it. It is written and read in one pass, in memory that
//! does not grow with the file. In it are
//! - the log's first entry, which says whose log it is;
//! - a registry snapshot;
//! - certificates, OCSP responses, names and timestamp tokens, each before the first record that needs it;
//! - **records**: the log's own entries, byte for byte, in groups of which each can be checked by itself: with the way of its records to the root that was
//!   stamped ([`way`]);
//! - the log's **checkpoint**, and between the records the hashes of what was left out, so that the log's tree can be built anew.
//!
//! [`block`] is the framing, [`mod@write`] and [`mod@read`] the two directions. Whether a record is good says [`crate::verify::Records`].

pub mod block;
pub mod read;
pub mod way;
pub mod write;

use kogge_proto::limits::INLINE_BODY_BYTES_MAX;

/// Begins each bundle; the number is that of the form.
pub const MAGIC: &[u8] = b"KOGGE-BUNDLE 1\n";

/// How many records a bundle has, and of what kind.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Counts {
    /// Requests.
    pub requests: u64,
    /// Responses.
    pub responses: u64,
    /// Of these, those with a body that the log does not have.
    pub without_body: u64,
    /// Of these, those without a timestamp.
    pub unstamped: u64,
}

impl Counts {
    /// All records.
    #[must_use]
    pub fn records(&self) -> u64 {
        self.requests + self.responses
    }
}

/// Largest payload of a block: a record with a body of 256 KiB, once sealed and once in the clear, with all that it refers to, fits.
pub const BLOCK_BYTES_MAX: usize = 1024 * 1024;

/// Largest body that stands in its record; a larger one follows it in pieces.
pub const BODY_BYTES_IN_RECORD_MAX: u64 = INLINE_BODY_BYTES_MAX;

/// Most items in a block: bounds what a reader makes of its bytes.
pub const BLOCK_ITEMS_MAX: usize = 1024;

/// Most bytes of all that is in the tables; beyond, a writer begins them anew.
pub const TABLE_BYTES_MAX: usize = 8 * 1024 * 1024;

/// Most items of all tables.
pub const TABLE_ITEMS_MAX: usize = 16 * 1024;

#[cfg(test)]
mod tests;

//! The chain over all entries: sequence numbers without gaps, each entry with the SHA-256 of the one before.

use kogge_proto::digest::Sha256;
use kogge_proto::time::UnixMillis;

use crate::entry::Entry;
use crate::frame::{self, Mask};
use crate::stored;

/// Where a chain stands.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Chain {
    /// Sequence of the newest entry; 0 for none.
    pub(crate) sequence: u64,
    /// SHA-256 of the newest entry's payload; zeros for none.
    pub(crate) hash: Sha256,
}

impl Chain {
    pub(crate) const EMPTY: Self = Self { sequence: 0, hash: Sha256([0; 32]) };

    /// Sequence of the entry to come.
    pub(crate) fn next(&self) -> u64 {
        self.sequence.saturating_add(1)
    }

    /// Appends the frame of the next entry to `out` and moves on to it. `durable` is the newest synced entry's sequence, `kind` appends what the entry says.
    pub(crate) fn append(
        &mut self,
        out: &mut Vec<u8>,
        mask: Mask,
        time: UnixMillis,
        durable: u64,
        kind: impl FnOnce(&mut Vec<u8>),
    ) {
        let sequence = self.next();
        let previous = self.hash;
        self.hash = frame::append(out, mask, |out| {
            stored::head(out, sequence, &previous, time.0, sequence.saturating_sub(durable));
            kind(out);
        });
        self.sequence = sequence;
    }

    /// Why the entry does not follow, as check name and reason.
    pub(crate) fn check(&self, entry: &Entry) -> Result<(), (&'static str, String)> {
        let expected = self.next();
        if entry.sequence != expected {
            let found = entry.sequence;
            return Err(("log.sequence", format!("entry {expected} is expected, entry {found} is here")));
        }
        if entry.previous_sha256 != Some(self.hash) {
            let before = self.sequence;
            return Err(("log.chain", format!("entry {expected} was not written after this entry {before}")));
        }
        Ok(())
    }
}

impl Default for Chain {
    fn default() -> Self {
        Self::EMPTY
    }
}

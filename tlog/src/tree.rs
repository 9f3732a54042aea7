//! The Merkle tree hash of RFC 6962, section 2.1, with SHA-256.

use kogge_proto::digest::{Sha256, Sha256Hasher, sha256};

use crate::SIZE_MAX;

/// The hash of an entry: SHA-256 over 0x00 and the entry.
#[must_use]
pub fn leaf_hash(entry: &[u8]) -> Sha256 {
    let mut hasher = Sha256Hasher::new();
    hasher.update(&[0]);
    hasher.update(entry);
    hasher.finish()
}

/// The hash of two subtrees side by side: SHA-256 over 0x01 and both hashes.
#[must_use]
pub fn node_hash(left: &Sha256, right: &Sha256) -> Sha256 {
    let mut hasher = Sha256Hasher::new();
    hasher.update(&[1]);
    hasher.update(left.as_bytes());
    hasher.update(right.as_bytes());
    hasher.finish()
}

/// The root of a list without entries: SHA-256 over nothing.
#[must_use]
pub fn empty_root() -> Sha256 {
    sha256(&[])
}

/// The head of a growing list. Holds one hash for each bit that is set in its size.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Head {
    size: u64,
    /// Roots of the complete subtrees, the largest first.
    subtrees: Vec<Sha256>,
}

/// The list has as many entries as a list may have.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("the list is full: it has {SIZE_MAX} entries")]
pub struct Full;

impl Head {
    /// Number of entries.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Appends an entry, given as its leaf hash.
    ///
    /// # Errors
    /// There are [`SIZE_MAX`] entries.
    pub fn push(&mut self, leaf: Sha256) -> Result<(), Full> {
        if self.size >= SIZE_MAX {
            return Err(Full);
        }
        let mut node = leaf;
        // Each subtree that the new entry completes has a left half of the same size.
        for _ in 0..self.size.trailing_ones() {
            if let Some(left) = self.subtrees.pop() {
                node = node_hash(&left, &node);
            }
        }
        self.subtrees.push(node);
        self.size += 1;
        Ok(())
    }

    /// The root over all entries so far.
    #[must_use]
    pub fn root(&self) -> Sha256 {
        let mut smaller_first = self.subtrees.iter().rev();
        let Some(smallest) = smaller_first.next() else { return empty_root() };
        smaller_first.fold(*smallest, |right, left| node_hash(left, &right))
    }
}

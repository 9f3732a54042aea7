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
    /// The head of a list of `size` entries, by its [`Head::subtrees`]; `None` if a list of that size does not have so many.
    #[must_use]
    pub fn resume(size: u64, subtrees: Vec<Sha256>) -> Option<Self> {
        let fits = size <= SIZE_MAX && subtrees.len() == size.count_ones() as usize;
        fits.then_some(Self { size, subtrees })
    }

    /// Roots of the complete subtrees, the largest first: with the size, all that it takes to go on.
    #[must_use]
    pub fn subtrees(&self) -> &[Sha256] {
        &self.subtrees
    }

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
        self.append(0, leaf);
        Ok(())
    }

    /// Appends what stands between here and the list's `end`, given as the roots of the largest complete subtrees that fill it, in order.
    ///
    /// # Errors
    /// It takes more or fewer subtrees, or `end` lies before the last entry or beyond [`SIZE_MAX`].
    pub fn pass(&mut self, end: u64, subtrees: &[Sha256]) -> Result<(), PassError> {
        let wrong = PassError { from: self.size, end, found: subtrees.len() };
        if end < self.size || end > SIZE_MAX {
            return Err(wrong);
        }
        let mut given = subtrees.iter();
        while self.size < end {
            let (level, root) = (level_of_next(self.size, end), given.next().ok_or(wrong)?);
            self.append(level, *root);
        }
        if given.next().is_some() { Err(wrong) } else { Ok(()) }
    }

    /// Appends a complete subtree of 2^`level` entries, of which the size is a multiple.
    fn append(&mut self, level: u32, root: Sha256) {
        let mut node = root;
        // Each subtree that the new one completes has a left half of the same size.
        for _ in 0..(self.size >> level).trailing_ones() {
            if let Some(left) = self.subtrees.pop() {
                node = node_hash(&left, &node);
            }
        }
        self.subtrees.push(node);
        self.size += 1 << level;
    }

    /// The root over all entries so far.
    #[must_use]
    pub fn root(&self) -> Sha256 {
        let mut smaller_first = self.subtrees.iter().rev();
        let Some(smallest) = smaller_first.next() else { return empty_root() };
        smaller_first.fold(*smallest, |right, left| node_hash(left, &right))
    }
}

/// A stretch of a growing list, as the roots of the largest complete subtrees that fill it: what a reader needs of entries that he does not get. Holds at most
/// two hashes for each bit of the list's size.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Stretch {
    end: u64,
    /// Level and root of each, in order.
    subtrees: Vec<(u32, Sha256)>,
}

impl Stretch {
    /// An empty one, behind the first `start` entries.
    #[must_use]
    pub fn from(start: u64) -> Self {
        Self { end: start, subtrees: Vec::new() }
    }

    /// Where it ends: the number of entries up to there.
    #[must_use]
    pub fn end(&self) -> u64 {
        self.end
    }

    /// Appends an entry, given as its leaf hash.
    ///
    /// # Errors
    /// There are [`SIZE_MAX`] entries.
    pub fn push(&mut self, leaf: Sha256) -> Result<(), Full> {
        if self.end >= SIZE_MAX {
            return Err(Full);
        }
        let mut added = (0, leaf);
        // Two of the same size belong together only if the tree has a node over both.
        while let Some((level, left)) = self.subtrees.last().copied()
            && level == added.0
            && (self.end >> level) & 1 == 1
        {
            self.subtrees.pop();
            added = (level + 1, node_hash(&left, &added.1));
        }
        self.subtrees.push(added);
        self.end += 1;
        Ok(())
    }

    /// The roots, in order.
    pub fn roots(&self) -> impl Iterator<Item = &Sha256> {
        self.subtrees.iter().map(|(_, root)| root)
    }
}

/// What stands between two entries of a list was not told as it must be.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{found} subtrees do not fill the list from entry {from} to entry {end}")]
pub struct PassError {
    /// Number of entries before.
    pub from: u64,
    /// Number of entries with what was passed.
    pub end: u64,
    /// Number of subtrees given.
    pub found: usize,
}

/// Level of the largest complete subtree that begins at `from` and does not reach beyond `end`, which lies behind it.
fn level_of_next(from: u64, end: u64) -> u32 {
    from.trailing_zeros().min((end - from).ilog2())
}

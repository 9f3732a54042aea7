//! That an entry is in a list, and that one list begins with another: proofs and their verification by RFC 9162, section 2.1.

use kogge_proto::digest::Sha256;

use crate::SIZE_MAX;
use crate::tree::{empty_root, node_hash};

/// Where hashes of complete subtrees come from.
pub trait Nodes {
    /// Why one cannot be had.
    type Error;

    /// The root over the 2^`level` entries from `index` · 2^`level` on, all of which are in the list.
    ///
    /// # Errors
    /// The hash cannot be had.
    fn node(&self, level: u8, index: u64) -> Result<Sha256, Self::Error>;
}

/// Why there is no proof.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum ProveError<E> {
    /// Nothing is in the list at this place, or the older list is the longer one, or a list is larger than it may be.
    #[error("{of} is not within a list of {size} entries")]
    OutOfRange {
        /// Index of the entry, or size of the older list.
        of: u64,
        /// Size of the list.
        size: u64,
    },
    /// A hash is not to be had.
    #[error(transparent)]
    Nodes(E),
}

/// Why a proof is refused.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum VerifyError {
    /// What is to be proven cannot be: an entry beyond the end, or an older list that is the longer one.
    #[error("{of} is not within a list of {size} entries")]
    OutOfRange {
        /// Index of the entry, or size of the older list.
        of: u64,
        /// Size of the list.
        size: u64,
    },
    /// It has more or fewer hashes than a proof of these numbers.
    #[error("the proof has {0} hashes, which is not the number that it must have")]
    Length(usize),
    /// It leads to another root than the older list's.
    #[error("the proof does not lead to the older list's root")]
    OldRoot,
    /// It leads to another root than the list's.
    #[error("the proof does not lead to the list's root")]
    Root,
}

/// The root of a list of `size` entries.
///
/// # Errors
/// See [`ProveError`].
pub fn root<N: Nodes>(size: u64, nodes: &N) -> Result<Sha256, ProveError<N::Error>> {
    match size {
        0 => Ok(empty_root()),
        1..=SIZE_MAX => root_of(0, size, nodes).map_err(ProveError::Nodes),
        _ => Err(ProveError::OutOfRange { of: size, size: SIZE_MAX }),
    }
}

/// Proves that the entry at `index` is in the list of `size` entries (RFC 9162, section 2.1.3.1).
///
/// # Errors
/// See [`ProveError`].
pub fn inclusion<N: Nodes>(index: u64, size: u64, nodes: &N) -> Result<Vec<Sha256>, ProveError<N::Error>> {
    if index >= size || size > SIZE_MAX {
        return Err(ProveError::OutOfRange { of: index, size });
    }
    let (mut from, mut to) = (0, size);
    let mut proof = Vec::new();
    while to - from > 1 {
        let middle = from + split(to - from);
        let sibling = if index < middle { (middle, to) } else { (from, middle) };
        proof.push(root_of(sibling.0, sibling.1, nodes).map_err(ProveError::Nodes)?);
        (from, to) = if index < middle { (from, middle) } else { (middle, to) };
    }
    proof.reverse();
    Ok(proof)
}

/// Proves that the list of `size` entries begins with the one of `old_size` entries (RFC 9162, section 2.1.4.1).
///
/// # Errors
/// See [`ProveError`].
pub fn consistency<N: Nodes>(
    old_size: u64,
    size: u64,
    nodes: &N,
) -> Result<Vec<Sha256>, ProveError<N::Error>> {
    if old_size > size || size > SIZE_MAX {
        return Err(ProveError::OutOfRange { of: old_size, size });
    }
    if old_size == 0 {
        return Ok(Vec::new());
    }
    let (mut from, mut to) = (0, size);
    let mut proof = Vec::new();
    while to != old_size {
        let middle = from + split(to - from);
        let sibling = if old_size <= middle { (middle, to) } else { (from, middle) };
        proof.push(root_of(sibling.0, sibling.1, nodes).map_err(ProveError::Nodes)?);
        (from, to) = if old_size <= middle { (from, middle) } else { (middle, to) };
    }
    // The verifier knows the older root, but not that of a part of it.
    if from > 0 {
        proof.push(root_of(from, to, nodes).map_err(ProveError::Nodes)?);
    }
    proof.reverse();
    Ok(proof)
}

/// Checks that an entry with this leaf hash is at `index` of the list of `size` entries with this root (RFC 9162, section 2.1.3.2).
///
/// # Errors
/// It is not, or the proof does not show it.
pub fn verify_inclusion(
    leaf: &Sha256,
    index: u64,
    size: u64,
    root: &Sha256,
    proof: &[Sha256],
) -> Result<(), VerifyError> {
    if index >= size || size > SIZE_MAX {
        return Err(VerifyError::OutOfRange { of: index, size });
    }
    let mut way = Way { node: index, last: size - 1 };
    let mut hash = *leaf;
    for sibling in proof {
        hash = match way.step().ok_or(VerifyError::Length(proof.len()))? {
            Sibling::Left => node_hash(sibling, &hash),
            Sibling::Right => node_hash(&hash, sibling),
        };
    }
    way.must_be_at_root(proof)?;
    if hash == *root { Ok(()) } else { Err(VerifyError::Root) }
}

/// A list, told by its size and root.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct List {
    /// Number of entries.
    pub size: u64,
    /// Root over all of them.
    pub root: Sha256,
}

/// Checks that the list `new` begins with the list `old` (RFC 9162, section 2.1.4.2). Every list begins with the empty one, and with itself; neither takes a proof.
///
/// # Errors
/// It does not, or the proof does not show it.
pub fn verify_consistency(old: &List, new: &List, proof: &[Sha256]) -> Result<(), VerifyError> {
    if old.size > new.size || new.size > SIZE_MAX {
        return Err(VerifyError::OutOfRange { of: old.size, size: new.size });
    }
    if old.size == 0 || old.size == new.size {
        return verify_without_proof(old, new, proof);
    }
    let mut way = Way { node: old.size - 1, last: new.size - 1 };
    way.rise_while_right();
    // A complete older tree is a node of the newer one: the proof does not repeat its root.
    let (first, rest) = if old.size.is_power_of_two() {
        (old.root, proof)
    } else {
        let (first, rest) = proof.split_first().ok_or(VerifyError::Length(0))?;
        (*first, rest)
    };
    let (mut old_hash, mut hash) = (first, first);
    for sibling in rest {
        match way.step().ok_or(VerifyError::Length(proof.len()))? {
            Sibling::Left => {
                old_hash = node_hash(sibling, &old_hash);
                hash = node_hash(sibling, &hash);
            }
            Sibling::Right => hash = node_hash(&hash, sibling),
        }
    }
    way.must_be_at_root(proof)?;
    if old_hash != old.root {
        return Err(VerifyError::OldRoot);
    }
    if hash == new.root { Ok(()) } else { Err(VerifyError::Root) }
}

fn verify_without_proof(old: &List, new: &List, proof: &[Sha256]) -> Result<(), VerifyError> {
    if !proof.is_empty() {
        return Err(VerifyError::Length(proof.len()));
    }
    if old.size == 0 && old.root != empty_root() {
        return Err(VerifyError::OldRoot);
    }
    if old.size == new.size && old.root != new.root {
        return Err(VerifyError::Root);
    }
    Ok(())
}

/// The way from a node to the root, level by level: where it stands, and where the last node of its level does.
struct Way {
    node: u64,
    last: u64,
}

enum Sibling {
    Left,
    Right,
}

impl Way {
    /// Goes past the next sibling; `None` if this is the root.
    fn step(&mut self) -> Option<Sibling> {
        if self.last == 0 {
            return None;
        }
        let is_right = self.node & 1 == 1;
        let sibling = if is_right || self.node == self.last { Sibling::Left } else { Sibling::Right };
        if !is_right && self.node == self.last {
            // The last node of a level without a sibling is the same on the next.
            while self.node & 1 == 0 && self.node != 0 {
                self.rise();
            }
        }
        self.rise();
        Some(sibling)
    }

    fn rise_while_right(&mut self) {
        while self.node & 1 == 1 {
            self.rise();
        }
    }

    fn rise(&mut self) {
        self.node >>= 1;
        self.last >>= 1;
    }

    fn must_be_at_root(&self, proof: &[Sha256]) -> Result<(), VerifyError> {
        if self.last == 0 { Ok(()) } else { Err(VerifyError::Length(proof.len())) }
    }
}

/// The root over entries `from` to `to`, not empty; `from` is where a subtree of at least that size begins.
fn root_of<N: Nodes>(from: u64, to: u64, nodes: &N) -> Result<Sha256, N::Error> {
    let size = to - from;
    if size.is_power_of_two() {
        let level = size.trailing_zeros();
        return nodes.node(level as u8, from >> level);
    }
    let middle = from + split(size);
    Ok(node_hash(&root_of(from, middle, nodes)?, &root_of(middle, to, nodes)?))
}

/// The largest power of two that is less than `size`, which is at least 2.
fn split(size: u64) -> u64 {
    1 << (size - 1).ilog2()
}

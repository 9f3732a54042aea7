//! How some leaves of a timestamp batch lead to its root, told by as few digests as it takes.
//!
//! The tree is that of [`crate::tree`]. A way names the leaves, and the values of the highest nodes that none of them is under, from left to right: for a run of
//! neighbours about two for each level, for all leaves none.

use kogge_proto::digest::{Sha256, sha256};
use kogge_proto::limits::BATCH_LEAVES_MAX;
use kogge_proto::wire::log::StampRecord;

use crate::evidence_record::leaves_before;
use crate::tree;

/// A leaf of a batch.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Leaf {
    /// Its position in the tree.
    pub position: u32,
    /// Its value.
    pub value: Sha256,
}

/// Why there is no way.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum WayError {
    /// The batch contradicts itself.
    #[error("the timestamp batch's leaves do not lead to the root that it names")]
    Root,
    /// A digest is none.
    #[error("a digest of the timestamp batch is not 32 bytes long")]
    Digest,
    /// More leaves than a batch may have, or none.
    #[error("no timestamp batch has {0} leaves")]
    Size(usize),
    /// The leaves are not in the tree, in ascending order, and at least one.
    #[error("the leaves are not some of the tree's, in ascending order")]
    Leaves,
    /// It has more or fewer nodes than it must.
    #[error("the way does not have exactly the nodes that it must have")]
    Nodes,
}

/// The tree of a whole batch.
#[derive(Debug)]
pub struct BatchTree {
    levels: Vec<Vec<Sha256>>,
}

impl BatchTree {
    /// Of a batch whose leaves lead to its root.
    ///
    /// # Errors
    /// They do not, or there are too many.
    pub fn of(stamp: &StampRecord) -> Result<Self, WayError> {
        let digest = |bytes: &[u8]| Sha256::from_slice(bytes).ok_or(WayError::Digest);
        if stamp.leaves.len() > BATCH_LEAVES_MAX {
            return Err(WayError::Size(stamp.leaves.len()));
        }
        let before = leaves_before(stamp).map_err(|_| WayError::Digest)?;
        let leaves = stamp.leaves.iter().map(|leaf| digest(&leaf.sha256));
        let leaves: Vec<Sha256> = before.into_iter().map(Ok).chain(leaves).collect::<Result<_, _>>()?;
        check_size(leaves.len())?;
        let levels = tree::levels(&leaves);
        let root = levels.last().and_then(|top| top.first());
        if root.is_none_or(|root| root.as_bytes() != stamp.root.as_slice()) {
            return Err(WayError::Root);
        }
        Ok(Self { levels })
    }

    /// Number of leaves.
    #[must_use]
    pub fn size(&self) -> u32 {
        self.levels.first().map_or(0, |leaves| leaves.len() as u32)
    }

    /// The leaf at this position.
    #[must_use]
    pub fn leaf(&self, position: u32) -> Option<Leaf> {
        let value = *self.levels.first()?.get(position as usize)?;
        Some(Leaf { position, value })
    }

    /// The nodes of the way of these leaves.
    ///
    /// # Errors
    /// They are not the tree's, or not in order.
    pub fn nodes(&self, leaves: &[Leaf]) -> Result<Vec<Sha256>, WayError> {
        let mut nodes = Vec::new();
        let mut next = |level: u32, index: u32| {
            let value = *self.levels.get(level as usize)?.get(index as usize)?;
            nodes.push(value);
            Some(value)
        };
        climb(self.size(), leaves, &mut next, &mut |_, _, _| {})?;
        Ok(nodes)
    }
}

/// The root to which the leaves lead in a tree of `size` leaves.
///
/// # Errors
/// They do not: the nodes are too many or too few, or the leaves are not such.
pub fn lead(size: u32, leaves: &[Leaf], nodes: &[Sha256]) -> Result<Sha256, WayError> {
    lead_through(size, leaves, nodes, &mut |_, _, _| {})
}

/// The reduced hash tree of one of the leaves, as an evidence record has it ([`tree::reduced`]).
///
/// # Errors
/// As [`lead`], or it is none of the leaves.
pub fn reduced(
    size: u32,
    leaves: &[Leaf],
    nodes: &[Sha256],
    position: u32,
) -> Result<Vec<Vec<Sha256>>, WayError> {
    let leaf = leaves.iter().find(|leaf| leaf.position == position).ok_or(WayError::Leaves)?;
    let mut siblings = Vec::new();
    let mut note = |level: u32, index: u32, value: Sha256| {
        // What is not under a node without a sibling stands on its own level once; such a node is met on several with one value.
        if index == (position >> level) ^ 1 {
            siblings.push((level, value));
        }
    };
    lead_through(size, leaves, nodes, &mut note)?;
    siblings.sort_unstable_by_key(|(level, _)| *level);
    let groups = siblings.into_iter().enumerate().map(|(at, (_, sibling))| {
        let mut group = vec![sibling];
        if at == 0 {
            group.push(leaf.value);
            group.sort_unstable();
        }
        group
    });
    Ok(groups.collect())
}

fn lead_through(
    size: u32,
    leaves: &[Leaf],
    nodes: &[Sha256],
    note: &mut dyn FnMut(u32, u32, Sha256),
) -> Result<Sha256, WayError> {
    let mut rest = nodes.iter();
    let root = climb(size, leaves, &mut |_, _| rest.next().copied(), note)?;
    if rest.next().is_some() { Err(WayError::Nodes) } else { Ok(root) }
}

/// Goes through the tree from left to right: `next` gives the value of each highest node without a leaf of ours, `note` gets the value of every node.
fn climb(
    size: u32,
    leaves: &[Leaf],
    next: &mut dyn FnMut(u32, u32) -> Option<Sha256>,
    note: &mut dyn FnMut(u32, u32, Sha256),
) -> Result<Sha256, WayError> {
    check_size(size as usize)?;
    let ascending = leaves.windows(2).all(|pair| match pair {
        [left, right] => left.position < right.position,
        _ => true,
    });
    if !ascending || leaves.last().is_none_or(|leaf| leaf.position >= size) {
        return Err(WayError::Leaves);
    }
    let top = size.next_power_of_two().ilog2();
    Climb { size, next, note }.node(top, 0, leaves)
}

struct Climb<'a> {
    size: u32,
    next: &'a mut dyn FnMut(u32, u32) -> Option<Sha256>,
    note: &'a mut dyn FnMut(u32, u32, Sha256),
}

impl Climb<'_> {
    /// As deep as the tree is high: at most 14 levels.
    fn node(&mut self, level: u32, index: u32, leaves: &[Leaf]) -> Result<Sha256, WayError> {
        let value = match (leaves, level) {
            ([], _) => (self.next)(level, index).ok_or(WayError::Nodes)?,
            ([leaf, ..], 0) => leaf.value,
            _ => self.inner(level, index, leaves)?,
        };
        (self.note)(level, index, value);
        Ok(value)
    }

    fn inner(&mut self, level: u32, index: u32, leaves: &[Leaf]) -> Result<Sha256, WayError> {
        let middle = (2 * index + 1) << (level - 1);
        let (of_left, of_right) = leaves.split_at(leaves.partition_point(|leaf| leaf.position < middle));
        let left = self.node(level - 1, 2 * index, of_left)?;
        if middle >= self.size {
            // A node without a sibling moves up unhashed.
            return Ok(left);
        }
        let right = self.node(level - 1, 2 * index + 1, of_right)?;
        let (low, high) = if left <= right { (left, right) } else { (right, left) };
        Ok(sha256(&[low.0, high.0].concat()))
    }
}

/// A batch's own leaves, and before them the root of the batch before and the checkpoint.
fn check_size(size: usize) -> Result<(), WayError> {
    if (1..=BATCH_LEAVES_MAX + 2).contains(&size) { Ok(()) } else { Err(WayError::Size(size)) }
}

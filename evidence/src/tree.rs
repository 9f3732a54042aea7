//! Hash trees as RFC 4998 section 4.2 builds them: SHA-256, two children per node.
//!
//! A node's value is the digest of its children's values in ascending order of their bytes, so a proof needs no word on
//! left or right. A node without a sibling moves up unhashed. A tree of one leaf is that leaf.

use kogge_proto::digest::{Sha256, Sha256Hasher};

/// Digest of the whole tree; `None` without leaves.
#[must_use]
pub fn root(leaves: &[Sha256]) -> Option<Sha256> {
    levels(leaves).last().and_then(|top| top.first()).copied()
}

/// The reduced hash tree of the leaf at `index`: the groups of sibling digests on its way to the root.
///
/// The first group contains the leaf itself; each later group lacks the one digest that follows from the group before.
/// There are no groups for a tree of one leaf. `None` if there is no such leaf.
#[must_use]
pub fn reduced(leaves: &[Sha256], index: usize) -> Option<Vec<Vec<Sha256>>> {
    let leaf = leaves.get(index)?;
    Some(climb(&levels(leaves), index, *leaf))
}

/// All reduced hash trees of a batch, in the order of its leaves; the tree is hashed only once.
#[must_use]
pub fn reduced_all(leaves: &[Sha256]) -> Vec<Vec<Vec<Sha256>>> {
    let levels = levels(leaves);
    leaves.iter().enumerate().map(|(index, leaf)| climb(&levels, index, *leaf)).collect()
}

/// The root that follows from `leaf` and its reduced hash tree; `None` if the first group does not contain the leaf.
///
/// RFC 4998 section 4.3. The caller compares the result with the message imprint of the token.
#[must_use]
pub fn fold(leaf: Sha256, groups: &[Vec<Sha256>]) -> Option<Sha256> {
    let mut value = leaf;
    for (position, group) in groups.iter().enumerate() {
        let mut members = group.clone();
        if position > 0 {
            members.push(value);
        } else if !members.contains(&leaf) {
            return None;
        }
        value = node(members);
    }
    Some(value)
}

/// The tree from its leaves up to the level that holds only the root.
pub(crate) fn levels(leaves: &[Sha256]) -> Vec<Vec<Sha256>> {
    let mut levels = vec![leaves.to_vec()];
    while let Some(level) = levels.last()
        && level.len() > 1
    {
        let next = level.chunks(2).map(parent).collect();
        levels.push(next);
    }
    levels
}

fn climb(levels: &[Vec<Sha256>], mut index: usize, leaf: Sha256) -> Vec<Vec<Sha256>> {
    let mut groups: Vec<Vec<Sha256>> = Vec::new();
    for level in levels {
        if let Some(sibling) = level.get(index ^ 1) {
            let mut group = vec![*sibling];
            if groups.is_empty() {
                group.push(leaf);
                group.sort_unstable();
            }
            groups.push(group);
        }
        index /= 2;
    }
    groups
}

fn parent(children: &[Sha256]) -> Sha256 {
    match children {
        [only] => *only,
        several => node(several.to_vec()),
    }
}

fn node(mut members: Vec<Sha256>) -> Sha256 {
    members.sort_unstable();
    let mut hasher = Sha256Hasher::new();
    for member in &members {
        hasher.update(member.as_bytes());
    }
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use kogge_proto::digest::sha256;
    use proptest::prelude::*;

    use super::*;

    fn leaves(count: usize) -> Vec<Sha256> {
        (0..count).map(|number| sha256(format!("leaf {number}").as_bytes())).collect()
    }

    #[test]
    fn a_node_is_the_digest_of_its_sorted_children() {
        let [low, high] = [Sha256([1; 32]), Sha256([2; 32])];
        let expected = sha256(&[[1; 32], [2; 32]].concat());
        assert_eq!(root(&[low, high]), Some(expected));
        assert_eq!(root(&[high, low]), Some(expected));
        assert_eq!(reduced(&[high, low], 0), Some(vec![vec![low, high]]));
    }

    #[test]
    fn a_single_leaf_is_the_root() {
        let one = leaves(1);
        assert_eq!(root(&one), Some(one[0]));
        assert_eq!(reduced(&one, 0), Some(vec![]));
        assert_eq!(fold(one[0], &[]), Some(one[0]));
        assert_eq!(root(&[]), None);
        assert_eq!(reduced(&one, 1), None);
    }

    #[test]
    fn a_group_without_the_leaf_proves_nothing() {
        let four = leaves(4);
        let proof = reduced(&four, 2).unwrap();
        assert_eq!(fold(four[0], &proof), None);
    }

    proptest! {
        #[test]
        fn every_leaf_leads_to_the_root(count in 1_usize..70) {
            let leaves = leaves(count);
            let root = root(&leaves);
            let all = reduced_all(&leaves);
            for (index, leaf) in leaves.iter().enumerate() {
                let proof = reduced(&leaves, index).unwrap();
                prop_assert_eq!(&all[index], &proof);
                prop_assert_eq!(fold(*leaf, &proof), root);
            }
        }

        #[test]
        fn a_changed_proof_leads_elsewhere(count in 2_usize..40, index in 0_usize..40, group in 0_usize..8, bit in 0_usize..256) {
            let leaves = leaves(count);
            let index = index % count;
            let mut proof = reduced(&leaves, index).unwrap();
            let group = group % proof.len();
            proof[group][0].0[bit / 8] ^= 1 << (bit % 8);
            prop_assert_ne!(fold(leaves[index], &proof), root(&leaves));
        }
    }
}

use kogge_proto::digest::{Sha256, sha256};
use kogge_proto::wire::log::{StampLeaf, StampRecord};
use proptest::prelude::*;

use super::way::{Leaf, WayError, lead, reduced};
use crate::tree;

fn leaves(count: u32) -> Vec<Sha256> {
    (0..count).map(|number| sha256(&number.to_be_bytes())).collect()
}

proptest! {
    #[test]
    fn any_leaves_lead_to_the_root_and_have_the_evidence_record_of_the_whole_tree(
        count in 1_u32..80, chosen in proptest::collection::btree_set(0_u32..80, 1..30)
    ) {
        let all = leaves(count);
        let tree = super::way::BatchTree::of(&stamp(&all)).unwrap();
        let chosen: Vec<Leaf> = chosen.into_iter().filter_map(|position| tree.leaf(position)).collect();
        prop_assume!(!chosen.is_empty());
        let nodes = tree.nodes(&chosen).unwrap();
        prop_assert_eq!(lead(count, &chosen, &nodes), Ok(tree::root(&all).unwrap()));
        for leaf in &chosen {
            let expected = tree::reduced(&all, leaf.position as usize).unwrap();
            prop_assert_eq!(reduced(count, &chosen, &nodes, leaf.position).unwrap(), expected);
        }
        let more = [nodes.clone(), vec![all[0]]].concat();
        prop_assert_eq!(lead(count, &chosen, &more), Err(WayError::Nodes));
        if let Some((_, fewer)) = nodes.split_last() {
            prop_assert_eq!(lead(count, &chosen, fewer), Err(WayError::Nodes));
        }
    }
}

#[test]
fn leaves_are_some_of_the_trees_in_ascending_order() {
    let all = leaves(5);
    let leaf = |position: u32| Leaf { position, value: all[position as usize] };
    let tree = super::way::BatchTree::of(&stamp(&all)).unwrap();
    for wrong in
        [vec![], vec![leaf(1), leaf(0)], vec![leaf(2), leaf(2)], vec![Leaf { position: 5, value: all[0] }]]
    {
        assert_eq!(tree.nodes(&wrong), Err(WayError::Leaves));
        assert_eq!(lead(5, &wrong, &[all[0]; 3]), Err(WayError::Leaves));
    }
    for size in [0, 10_003, u32::MAX] {
        assert_eq!(lead(size, &[leaf(0)], &[]), Err(WayError::Size(size as usize)));
    }
}

#[test]
fn a_batch_that_contradicts_itself_has_no_tree() {
    let mut other = stamp(&leaves(3));
    other.root[0] ^= 1;
    assert_eq!(super::way::BatchTree::of(&other).unwrap_err(), WayError::Root);
    let mut short = stamp(&leaves(3));
    short.leaves[1].sha256.pop();
    assert_eq!(super::way::BatchTree::of(&short).unwrap_err(), WayError::Digest);
}

/// A batch whose first leaf is the root of the one before.
fn stamp(all: &[Sha256]) -> StampRecord {
    let (previous, own) = all.split_first().unwrap();
    let leaf = |(digest, sequence): (&Sha256, u64)| StampLeaf { sequence, sha256: digest.0.to_vec() };
    StampRecord {
        leaves: own.iter().zip(1..).map(leaf).collect(),
        previous_root: previous.0.to_vec(),
        root: tree::root(all).unwrap().0.to_vec(),
        ..StampRecord::default()
    }
}

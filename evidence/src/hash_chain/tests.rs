use kogge_proto::digest::{sha256, sha512};
use proptest::prelude::*;

use super::*;

fn leaves(count: usize) -> Vec<Sha256> {
    (0..count).map(|number| sha256(format!("leaf {number}").as_bytes())).collect()
}

fn of(way: &NewWay) -> Option<Way<'_>> {
    Way::new(&way.siblings, way.left)
}

/// The lists written out by hand.
#[test]
fn a_step_is_the_digest_of_its_der_list() {
    let entry = |digest: &[u8], method: &str| {
        let length = |length: usize| u8::try_from(length).unwrap();
        let content = [
            &[0x04, length(digest.len())][..],
            digest,
            &[0x0c, length(method.len())],
            method.as_bytes(),
            &[0x30, 0],
        ]
        .concat();
        [&[0x30, length(content.len())][..], &content].concat()
    };
    let (message, body) = (sha512(b"message"), sha512(b"body"));
    let of_message = entry(message.as_bytes(), "http://www.w3.org/2001/04/xmlenc#sha512");
    let of_body = entry(body.as_bytes(), "http://www.w3.org/2001/04/xmlenc#sha512");
    let alone = [&[0x30, 111][..], &of_message].concat();
    let both = [&[0x30, 0x81, 222][..], &of_message, &of_body].concat();
    assert_eq!(own_step(&Parts { message, body: None }), sha256(&alone));
    assert_eq!(own_step(&Parts { message, body: Some(body) }), sha256(&both));

    let [left, right] = [sha256(b"left"), sha256(b"right")];
    let of_left = entry(left.as_bytes(), "http://www.w3.org/2001/04/xmlenc#sha256");
    let of_right = entry(right.as_bytes(), "http://www.w3.org/2001/04/xmlenc#sha256");
    let list = [&[0x30, 0x81, 158][..], &of_left, &of_right].concat();
    assert_eq!(tree(&[left, right]).unwrap().0, sha256(&list));
}

#[test]
fn a_step_without_a_sibling_moves_up() {
    let three = leaves(3);
    let (root, ways) = tree(&three).unwrap();
    let pair = node(three[0].as_bytes(), three[1].as_bytes());
    assert_eq!(root, node(pair.as_bytes(), three[2].as_bytes()));
    assert_eq!(ways[2], NewWay { siblings: pair.as_bytes().to_vec(), left: 1 });
    let siblings = [three[0].as_bytes(), three[2].as_bytes()].concat();
    assert_eq!(ways[1], NewWay { siblings, left: 0b01 });
}

#[test]
fn no_leaves_no_tree_and_one_leaf_no_way() {
    assert_eq!(tree(&[]), None);
    let one = leaves(1);
    let (root, ways) = tree(&one).unwrap();
    assert_eq!(root, one[0]);
    assert_eq!(ways, [NewWay::default()]);
    assert_eq!(of(&ways[0]), None);
}

proptest! {
    #[test]
    fn every_leaf_leads_to_the_root(count in 2_usize..=64) {
        let leaves = leaves(count);
        let (root, ways) = tree(&leaves).unwrap();
        for (leaf, way) in leaves.iter().zip(&ways) {
            prop_assert_eq!(of(way).unwrap().root(*leaf), root);
        }
    }

    /// Another leaf, a changed sibling or side, a step cut off or added: none of it leads to the root.
    #[test]
    fn a_changed_way_leads_elsewhere(
        count in 2_usize..=64, leaf in 0_usize..64, other in 0_usize..64, bit in 0_usize..256, level in 0_usize..6,
    ) {
        let leaves = leaves(count);
        let (root, ways) = tree(&leaves).unwrap();
        let (leaf, other) = (leaf % count, other % count);
        let way = &ways[leaf];
        let leads = |way: &NewWay| of(way).map(|way| way.root(leaves[leaf]));
        let level = level % (way.siblings.len() / 32);
        if other != leaf {
            prop_assert_ne!(leads(&ways[other]), Some(root));
        }
        let changed = |change: &dyn Fn(&mut NewWay)| {
            let mut way = way.clone();
            change(&mut way);
            leads(&way)
        };
        prop_assert_ne!(changed(&|way| way.siblings[level * 32 + bit / 8] ^= 1 << (bit % 8)), Some(root));
        prop_assert_ne!(changed(&|way| way.left ^= 1 << level), Some(root));
        prop_assert_ne!(changed(&|way| way.siblings.truncate(level * 32)), Some(root));
        prop_assert_ne!(changed(&|way| way.siblings.extend([0; 32])), Some(root));
        prop_assert_ne!(changed(&|way| drop(way.siblings.drain(..32))), Some(root));
    }
}

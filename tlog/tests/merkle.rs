//! Trees and proofs: the vectors of certificate-transparency, the definition in RFC 6962 written down once more, and every single bit changed.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests fail by panicking")]

use std::convert::Infallible;

use kogge_proto::digest::{Sha256, sha256};
use kogge_tlog::proof::{
    List, Nodes, ProveError, VerifyError, consistency, inclusion, root, verify_consistency, verify_inclusion,
};
use kogge_tlog::tree::{Head, PassError, Stretch, empty_root, leaf_hash, node_hash};
use proptest::prelude::*;

/// The entries of the tree that certificate-transparency tests with, and its root after each.
const ENTRIES: [(&str, &str); 8] = [
    ("", "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d"),
    ("00", "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125"),
    ("10", "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77"),
    ("2021", "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7"),
    ("3031", "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4"),
    ("40414243", "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef"),
    ("5051525354555657", "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c"),
    ("606162636465666768696a6b6c6d6e6f", "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328"),
];

struct Leaves(Vec<Sha256>);

impl Nodes for Leaves {
    type Error = Infallible;

    fn node(&self, level: u8, index: u64) -> Result<Sha256, Infallible> {
        let (from, to) = (index << level, (index + 1) << level);
        Ok(definition(&self.0[from as usize..to as usize]))
    }
}

/// RFC 6962, section 2.1, word by word.
fn definition(leaves: &[Sha256]) -> Sha256 {
    match leaves {
        [] => sha256(b""),
        [leaf] => *leaf,
        _ => {
            let mut k = 1;
            while k * 2 < leaves.len() {
                k *= 2;
            }
            node_hash(&definition(&leaves[..k]), &definition(&leaves[k..]))
        }
    }
}

fn leaves(count: u64) -> Leaves {
    Leaves((0..count).map(|number| leaf_hash(&number.to_be_bytes())).collect())
}

fn vector_leaves() -> Leaves {
    Leaves(ENTRIES.iter().map(|(entry, _)| leaf_hash(&hex_bytes(entry))).collect())
}

fn hex_bytes(text: &str) -> Vec<u8> {
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
}

fn texts(hashes: &[Sha256]) -> Vec<String> {
    hashes.iter().map(ToString::to_string).collect()
}

#[test]
fn the_tree_of_certificate_transparency() {
    let mut head = Head::default();
    assert_eq!(head.root(), empty_root());
    assert_eq!(head.root().to_string(), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    for (entry, expected) in ENTRIES {
        head.push(leaf_hash(&hex_bytes(entry))).unwrap();
        assert_eq!(head.root().to_string(), expected, "{} entries", head.size());
        assert_eq!(root(head.size(), &vector_leaves()).unwrap().to_string(), expected);
    }
}

#[test]
fn the_proofs_of_certificate_transparency() {
    let leaves = vector_leaves();
    let first = [
        "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
        "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
        "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
    ];
    assert_eq!(texts(&inclusion(0, 8, &leaves).unwrap()), first);
    assert_eq!(texts(&consistency(1, 8, &leaves).unwrap()), first);
    assert_eq!(
        texts(&consistency(6, 8, &leaves).unwrap()),
        [
            "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a",
            "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
            "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        ]
    );
    assert_eq!(
        texts(&consistency(2, 5, &leaves).unwrap()),
        [
            "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
            "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
        ]
    );
}

#[test]
fn every_pair_of_sizes_up_to_40_is_proven() {
    let leaves = leaves(40);
    let list = |size: u64| List { size, root: definition(&leaves.0[..size as usize]) };
    let mut head = Head::default();
    for size in 0..=40 {
        let new = list(size);
        assert_eq!((head.size(), head.root()), (size, new.root));
        for index in 0..size {
            let leaf = leaves.0[index as usize];
            let proof = inclusion(index, size, &leaves).unwrap();
            verify_inclusion(&leaf, index, size, &new.root, &proof).unwrap();
            // At no other place, and in no other list.
            for other in (0..size).filter(|other| *other != index) {
                assert!(verify_inclusion(&leaf, other, size, &new.root, &proof).is_err());
            }
        }
        for old_size in 0..=size {
            let proof = consistency(old_size, size, &leaves).unwrap();
            verify_consistency(&list(old_size), &new, &proof).unwrap();
            let other = List { root: sha256(b"another"), ..list(old_size) };
            let refused = verify_consistency(&other, &new, &proof);
            // The root of a complete older tree is where the proof begins, so it is wrong as a whole.
            let is_start = old_size.is_power_of_two() || (old_size == size && size > 0);
            let expected = if is_start { VerifyError::Root } else { VerifyError::OldRoot };
            assert_eq!(refused, Err(expected), "{old_size} of {size}");
        }
        if size < 40 {
            head.push(leaves.0[size as usize]).unwrap();
        }
    }
}

#[test]
fn what_cannot_be_is_refused() {
    let leaves = leaves(8);
    let list = |size: u64| List { size, root: definition(&leaves.0[..size as usize]) };
    let none = leaves.0[0];
    assert_eq!(inclusion(8, 8, &leaves), Err(ProveError::OutOfRange { of: 8, size: 8 }));
    assert_eq!(consistency(9, 8, &leaves), Err(ProveError::OutOfRange { of: 9, size: 8 }));
    assert!(inclusion(0, u64::MAX, &leaves).is_err() && consistency(1, u64::MAX, &leaves).is_err());
    assert!(root(u64::MAX, &leaves).is_err());
    let out_of_range = |of, size| Err(VerifyError::OutOfRange { of, size });
    assert_eq!(verify_inclusion(&none, 8, 8, &none, &[]), out_of_range(8, 8));
    assert_eq!(verify_inclusion(&none, 0, 0, &none, &[]), out_of_range(0, 0));
    assert_eq!(verify_inclusion(&none, 0, u64::MAX, &none, &[]), out_of_range(0, u64::MAX));
    assert_eq!(verify_consistency(&list(8), &list(7), &[]), out_of_range(8, 7));
    for (old, new) in [(0, 8), (8, 8)] {
        assert_eq!(verify_consistency(&list(old), &list(new), &[none]), Err(VerifyError::Length(1)));
    }
    // A proof that ends early proves nothing, even if it has come to the right hash by then.
    let (one, two) = (List { size: 1, root: none }, List { size: 2, root: none });
    assert_eq!(verify_inclusion(&none, 0, 2, &none, &[]), Err(VerifyError::Length(0)));
    assert_eq!(verify_consistency(&one, &two, &[]), Err(VerifyError::Length(0)));
    let huge = List { size: u64::MAX >> 1, root: none };
    for length in 0..200 {
        let proof = vec![none; length];
        assert!(verify_consistency(&list(3), &huge, &proof).is_err(), "{length}");
        assert!(verify_inclusion(&none, 3, huge.size, &none, &proof).is_err(), "{length}");
    }
}

/// Hands over each way in which one bit of some hashes can be changed, and each shorter or longer list of them.
fn each_change(hashes: &[Sha256], mut each: impl FnMut(&[Sha256])) {
    for at in 0..hashes.len() {
        for bit in 0..256 {
            let mut changed = hashes.to_vec();
            changed[at].0[bit / 8] ^= 1 << (bit % 8);
            each(&changed);
        }
        let mut without = hashes.to_vec();
        without.remove(at);
        each(&without);
        let mut twice = hashes.to_vec();
        twice.insert(at, hashes[at]);
        each(&twice);
    }
    each(&[hashes, &[sha256(b"one more")]].concat());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn every_change_of_an_inclusion_proof_is_refused(size in 1_u64..700, index in any::<u64>()) {
        let (leaves, index) = (leaves(size), index % size);
        let (leaf, root) = (leaves.0[index as usize], definition(&leaves.0));
        let proof = inclusion(index, size, &leaves).unwrap();
        verify_inclusion(&leaf, index, size, &root, &proof).unwrap();
        each_change(&proof, |changed| assert!(verify_inclusion(&leaf, index, size, &root, changed).is_err()));
        each_change(&[leaf, root], |changed| {
            if let [leaf, root] = changed {
                assert_eq!(verify_inclusion(leaf, index, size, root, &proof), Err(VerifyError::Root));
            }
        });
    }

    #[test]
    fn every_change_of_a_consistency_proof_is_refused(size in 2_u64..700, old_size in any::<u64>()) {
        let (leaves, old_size) = (leaves(size), 1 + old_size % (size - 1));
        let old = List { size: old_size, root: definition(&leaves.0[..old_size as usize]) };
        let new = List { size, root: definition(&leaves.0) };
        let proof = consistency(old_size, size, &leaves).unwrap();
        verify_consistency(&old, &new, &proof).unwrap();
        each_change(&proof, |changed| assert!(verify_consistency(&old, &new, changed).is_err()));
        each_change(&[old.root, new.root], |changed| {
            if let [old_root, root] = changed {
                let (old, new) = (List { root: *old_root, ..old }, List { root: *root, ..new });
                assert!(verify_consistency(&old, &new, &proof).is_err());
            }
        });
    }
}

/// The head of a list of `size` of which only the entries in `shown` are given by themselves.
fn head_of_shown(size: u64, shown: &[u64]) -> Result<Head, PassError> {
    let all = leaves(size).0;
    let mut head = Head::default();
    for stop in shown.iter().copied().chain([size]) {
        let mut stretch = Stretch::from(head.size());
        all[head.size() as usize..stop as usize].iter().for_each(|leaf| stretch.push(*leaf).unwrap());
        assert_eq!(stretch.end(), stop);
        let roots: Vec<Sha256> = stretch.roots().copied().collect();
        head.pass(stop, &roots)?;
        if stop < size {
            head.push(all[stop as usize]).unwrap();
        }
    }
    Ok(head)
}

proptest! {
    #[test]
    fn what_is_passed_over_leads_to_the_same_root(
        size in 0_u64..300, shown in proptest::collection::btree_set(0_u64..300, 0..40)
    ) {
        let shown: Vec<u64> = shown.into_iter().filter(|index| *index < size).collect();
        let head = head_of_shown(size, &shown).unwrap();
        prop_assert_eq!((head.size(), head.root()), (size, definition(&leaves(size).0)));
    }
}

#[test]
fn a_stretch_is_told_in_one_way_only() {
    let mut head = Head::default();
    head.push(leaf_hash(b"first")).unwrap();
    let hash = leaf_hash(b"x");
    // From 1 to 7: 1, 2 to 3, 4 to 5, 6.
    for wrong in [0, 1, 3, 5, 6] {
        let error = head.clone().pass(7, &vec![hash; wrong]).unwrap_err();
        assert_eq!(error, PassError { from: 1, end: 7, found: wrong });
    }
    head.clone().pass(7, &[hash; 4]).unwrap();
    assert!(head.clone().pass(0, &[]).is_err(), "backwards");
    assert!(head.clone().pass(u64::MAX, &[]).is_err(), "beyond what a list can have");
    head.pass(1, &[]).unwrap();
    assert!(head.pass(1, &[hash]).is_err());
}

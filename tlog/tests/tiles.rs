//! Tiles: the examples of C2SP `tlog-tiles`, and proofs out of nothing but tiles.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests fail by panicking")]

use std::collections::BTreeMap;
use std::convert::Infallible;

use kogge_proto::digest::Sha256;
use kogge_tlog::proof::{List, Nodes, consistency, inclusion, root, verify_consistency, verify_inclusion};
use kogge_tlog::tile::{Tile, TileError, Tiles};
use kogge_tlog::tree::{Head, leaf_hash, node_hash};

#[derive(Debug)]
enum Missing {
    File(String),
    Tile(TileError),
}

impl From<TileError> for Missing {
    fn from(error: TileError) -> Self {
        Self::Tile(error)
    }
}

/// All complete nodes, level by level.
struct Tree(Vec<Vec<Sha256>>);

impl Tree {
    fn new(size: u64) -> Self {
        let mut levels = vec![(0..size).map(|number| leaf_hash(&number.to_be_bytes())).collect::<Vec<_>>()];
        while levels.last().unwrap().len() > 1 {
            let pairs = levels.last().unwrap().chunks_exact(2);
            let above = pairs.map(|pair| node_hash(&pair[0], &pair[1])).collect();
            levels.push(above);
        }
        Self(levels)
    }
}

impl Nodes for Tree {
    type Error = Infallible;

    fn node(&self, level: u8, index: u64) -> Result<Sha256, Infallible> {
        Ok(self.0[usize::from(level)][index as usize])
    }
}

#[test]
fn paths_are_as_the_specification_writes_them() {
    for (level, index, width, path) in [
        (0, 0, 256, "tile/0/000"),
        (0, 1_234_067, 256, "tile/0/x001/x234/067"),
        (0, 273, 112, "tile/0/273.p/112"),
        (1, 999, 1, "tile/1/999.p/1"),
        (2, 1000, 255, "tile/2/x001/000.p/255"),
        (7, 0, 127, "tile/7/000.p/127"),
    ] {
        let tile = Tile::new(level, index, width).unwrap();
        assert_eq!(tile.path(), path);
        assert_eq!(Tile::parse(path), Ok(tile));
        assert_eq!((tile.level(), tile.index(), tile.width()), (level, index, width));
    }
    let tile = Tile::new(0, 1_234_067, 3).unwrap();
    assert_eq!(tile.entries_path().unwrap(), "tile/entries/x001/x234/067.p/3");
    assert_eq!(Tile::new(1, 0, 3).unwrap().entries_path(), None);
}

#[test]
fn other_paths_are_refused() {
    for path in [
        "",
        "tile",
        "tile/",
        "tile/0",
        "tile/0/",
        "tile/0/0",
        "tile/0/00",
        "tile/0/0000",
        "tile/00/000",
        "tile/+0/000",
        "tile/8/000",
        "tile/64/000",
        "tile/-1/000",
        "tile/0/x000/000",
        "tile/0/x001/x234/x067",
        "tile/0/001/234/067",
        "tile/0/x01/234",
        "tile/0/000.p/0",
        "tile/0/000.p/256",
        "tile/0/000.p/01",
        "tile/0/000.p/+1",
        "tile/0/000.p/",
        "tile/0/000.p/1/",
        "tile/0/000.p/1.p/1",
        "tile/0/000/",
        "/tile/0/000",
        "tile/0/../000",
        "tile/0/000\n",
        "tile/0/٠٠٠",
        "tile/0/x999/x999/x999/x999/x999/x999/999",
        "tile/7/001",
        "tile/7/000",
        "tile/7/000.p/128",
        "tile/entries/000",
    ] {
        assert!(Tile::parse(path).is_err(), "{path}");
    }
    assert_eq!(Tile::parse(&"tile/0/x001".repeat(1000)), Err(TileError::Path));
    let huge = TileError::OutOfRange { level: 0, index: u64::MAX, width: 1 };
    assert_eq!(Tile::new(0, u64::MAX, 1), Err(huge));
}

#[test]
fn a_tree_has_the_tiles_that_the_specification_counts() {
    let count = |size| {
        let mut widths = BTreeMap::new();
        for tile in Tile::grown(0, size) {
            *widths.entry((tile.level(), tile.width())).or_insert(0) += 1;
        }
        widths.into_iter().map(|((level, width), count)| (level, width, count)).collect::<Vec<_>>()
    };
    assert_eq!(count(70_000), [(0, 112, 1), (0, 256, 273), (1, 17, 1), (1, 256, 1), (2, 1, 1)]);
    assert_eq!(count(256), [(0, 256, 1), (1, 1, 1)]);
    assert_eq!(count(0), []);
    let paths = |old, new| Tile::grown(old, new).map(|tile| tile.path()).collect::<Vec<_>>();
    assert_eq!(paths(70_000, 70_001), ["tile/0/273.p/113"]);
    assert_eq!(paths(511, 513), ["tile/0/001", "tile/0/002.p/1", "tile/1/000.p/2"]);
    assert_eq!(paths(513, 513), Vec::<String>::new());
    assert_eq!(Tile::grown(u64::MAX - 1, u64::MAX).count(), 0);
}

#[test]
fn proofs_out_of_tiles_hold() {
    const SIZE: u64 = 70_000;
    let tree = Tree::new(SIZE);
    let mut files = BTreeMap::new();
    // Written as the list grew, so that all that any of these sizes needs is there.
    let sizes = [0, 1, 255, 256, 257, 65_535, 65_536, 69_999, SIZE];
    for pair in sizes.windows(2) {
        for tile in Tile::grown(pair[0], pair[1]) {
            files.insert(tile.path(), tile.content(&tree).unwrap());
        }
    }
    let tiles = |size| {
        Tiles::new(size, |tile: &Tile| {
            files.get(&tile.path()).cloned().ok_or_else(|| Missing::File(tile.path()))
        })
    };
    let mut heads = BTreeMap::new();
    let mut head = Head::default();
    for leaf in &tree.0[0] {
        heads.insert(head.size(), head.root());
        head.push(*leaf).unwrap();
    }
    heads.insert(head.size(), head.root());
    for new in sizes {
        let list = List { size: new, root: heads[&new] };
        assert_eq!(root(new, &tiles(new)).unwrap(), list.root, "{new}");
        for old in sizes.into_iter().filter(|old| *old <= new) {
            let proof = consistency(old, new, &tiles(new)).unwrap();
            verify_consistency(&List { size: old, root: heads[&old] }, &list, &proof).unwrap();
        }
        for index in [0, 1, 254, 255, 256, 65_535, 65_536, 69_998, 69_999].into_iter().filter(|at| *at < new)
        {
            let proof = inclusion(index, new, &tiles(new)).unwrap();
            verify_inclusion(&tree.0[0][index as usize], index, new, &list.root, &proof).unwrap();
        }
    }
    // A tile that is not there, is too short, or is not in a tree of this size.
    assert!(inclusion(5, 300, &tiles(300)).is_err());
    assert!(matches!(
        tiles(257).node(0, 257),
        Err(Missing::Tile(TileError::NoNode { size: 257, level: 0, index: 257 }))
    ));
    assert!(matches!(tiles(257).node(63, 0), Err(Missing::Tile(TileError::NoNode { .. }))));
    assert!(matches!(tiles(258).node(0, 257), Err(Missing::File(path)) if path == "tile/0/001.p/2"));
    let short = Tiles::new(257, |_: &Tile| Ok::<_, Missing>(vec![0; 8191]));
    let expected = TileError::Length { expected: 8192, found: 8191 };
    assert!(matches!(short.node(0, 3), Err(Missing::Tile(error)) if error == expected));
}

//! The tree as static files: tiles of up to 256 hashes, eight levels of the tree high (C2SP `tlog-tiles`).

use kogge_proto::digest::Sha256;

use crate::SIZE_MAX;
use crate::proof::Nodes;
use crate::tree::node_hash;

/// Levels of the tree in a tile.
const HEIGHT: u8 = 8;
/// Hashes in a full tile.
pub const WIDTH_MAX: u16 = 1 << HEIGHT;
/// Highest level of a tile in a tree of [`SIZE_MAX`] entries. The format has room for more, of which none can exist.
pub const LEVEL_MAX: u8 = 7;

/// Which tile.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Tile {
    level: u8,
    index: u64,
    width: u16,
}

/// Why something is no tile.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum TileError {
    /// No tree has it.
    #[error("no tree has a tile of level {level}, index {index}, width {width}")]
    OutOfRange {
        /// Its level.
        level: u8,
        /// Its index within the level.
        index: u64,
        /// Its number of hashes.
        width: u16,
    },
    /// The path is not in the form in which tiles are named.
    #[error("the path names no tile")]
    Path,
    /// The content is not as long as the tile is wide.
    #[error("the tile has {found} bytes, it must have {expected}")]
    Length {
        /// By its width.
        expected: usize,
        /// As it is.
        found: usize,
    },
    /// The tree of this size does not have the node.
    #[error("a tree of {size} entries has no complete node {index} on level {level}")]
    NoNode {
        /// Size of the tree.
        size: u64,
        /// Level of the node, from 0 for leaves.
        level: u8,
        /// Index of the node within its level.
        index: u64,
    },
}

impl Tile {
    /// The tile of this level and index with `width` hashes.
    ///
    /// # Errors
    /// No tree has it.
    pub fn new(level: u8, index: u64, width: u16) -> Result<Self, TileError> {
        let hashes = index.checked_mul(WIDTH_MAX.into()).and_then(|first| first.checked_add(width.into()));
        let exists = level <= LEVEL_MAX
            && (1..=WIDTH_MAX).contains(&width)
            && hashes.is_some_and(|hashes| hashes <= SIZE_MAX >> (level * HEIGHT));
        if exists {
            Ok(Self { level, index, width })
        } else {
            Err(TileError::OutOfRange { level, index, width })
        }
    }

    /// 0 for tiles of leaf hashes; above, each hash is over a full tile of the level below.
    #[must_use]
    pub fn level(&self) -> u8 {
        self.level
    }

    /// Index within the level.
    #[must_use]
    pub fn index(&self) -> u64 {
        self.index
    }

    /// Number of hashes: 256, or fewer for a partial tile.
    #[must_use]
    pub fn width(&self) -> u16 {
        self.width
    }

    /// The tiles that a tree of `size` entries has and one of `old_size` entries does not have: what is to be written when a list grows.
    pub fn grown(old_size: u64, size: u64) -> impl Iterator<Item = Self> {
        let of_level = move |level: u8| {
            let shift = level * HEIGHT;
            let (old, new) = (old_size.min(SIZE_MAX) >> shift, size.min(SIZE_MAX) >> shift);
            let width_max = u64::from(WIDTH_MAX);
            let first = if old < new { old / width_max } else { new.div_ceil(width_max) };
            (first..new.div_ceil(width_max)).map(move |index| {
                let width = (new - index * width_max).min(width_max) as u16;
                Self { level, index, width }
            })
        };
        (0..=LEVEL_MAX).flat_map(of_level)
    }

    /// `tile/L/N`, with `.p/W` for a partial tile.
    #[must_use]
    pub fn path(&self) -> String {
        self.path_below(&self.level.to_string())
    }

    /// Path of the bundle of entries whose hashes are in this tile of level 0; `None` for tiles of other levels.
    #[must_use]
    pub fn entries_path(&self) -> Option<String> {
        (self.level == 0).then(|| self.path_below(ENTRIES))
    }

    fn path_below(&self, folder: &str) -> String {
        let digits = self.index.to_string();
        let mut path = format!("tile/{folder}");
        let padded = format!("{digits:0>width$}", width = digits.len().div_ceil(3) * 3);
        for (at, digit) in padded.chars().enumerate() {
            if at % 3 == 0 {
                path.push_str(if at + 3 < padded.len() { "/x" } else { "/" });
            }
            path.push(digit);
        }
        if self.width < WIDTH_MAX {
            path.push_str(&format!(".p/{}", self.width));
        }
        path
    }

    /// Reads the path of a tile of hashes.
    ///
    /// # Errors
    /// It names none, or in another form than [`Tile::path`] does.
    pub fn parse(path: &str) -> Result<Self, TileError> {
        if path.len() > PATH_BYTES_MAX {
            return Err(TileError::Path);
        }
        let rest = path.strip_prefix("tile/").ok_or(TileError::Path)?;
        let (level, rest) = rest.split_once('/').ok_or(TileError::Path)?;
        let (index, width) = match rest.split_once(".p/") {
            Some((index, width)) => (index, width.parse().map_err(|_| TileError::Path)?),
            None => (rest, WIDTH_MAX),
        };
        let digits: String = index.chars().filter(char::is_ascii_digit).collect();
        let (level, index) = (level.parse(), digits.parse());
        let tile =
            Self::new(level.map_err(|_| TileError::Path)?, index.map_err(|_| TileError::Path)?, width)?;
        // Whatever else stands there, written anew it would not be the same.
        if tile.path() == path { Ok(tile) } else { Err(TileError::Path) }
    }

    /// The tile's content: its hashes one after the other.
    ///
    /// # Errors
    /// A hash is not to be had.
    pub fn content<N: Nodes>(&self, nodes: &N) -> Result<Vec<u8>, N::Error> {
        let first = self.index * u64::from(WIDTH_MAX);
        let mut content = Vec::with_capacity(usize::from(self.width) * Sha256::LEN);
        for at in 0..u64::from(self.width) {
            content.extend_from_slice(nodes.node(self.level * HEIGHT, first + at)?.as_bytes());
        }
        Ok(content)
    }

    /// Reads the tile's content.
    ///
    /// # Errors
    /// It is not as long as the tile is wide.
    pub fn read(&self, content: &[u8]) -> Result<Vec<Sha256>, TileError> {
        let expected = usize::from(self.width) * Sha256::LEN;
        if content.len() != expected {
            return Err(TileError::Length { expected, found: content.len() });
        }
        Ok(content.chunks_exact(Sha256::LEN).filter_map(Sha256::from_slice).collect())
    }
}

/// Nodes of a tree of a certain size, out of tiles that are had from `fetch`. What comes from there is not trusted: a proof that is made of it shows by its verification whether it was right.
pub struct Tiles<F> {
    size: u64,
    fetch: F,
}

impl<F, E> Tiles<F>
where
    F: Fn(&Tile) -> Result<Vec<u8>, E>,
    E: From<TileError>,
{
    /// Of the tree of `size` entries.
    pub fn new(size: u64, fetch: F) -> Self {
        Self { size, fetch }
    }
}

impl<F, E> Nodes for Tiles<F>
where
    F: Fn(&Tile) -> Result<Vec<u8>, E>,
    E: From<TileError>,
{
    type Error = E;

    fn node(&self, level: u8, index: u64) -> Result<Sha256, E> {
        let missing = || TileError::NoNode { size: self.size, level, index };
        let (tile_level, height) = (level / HEIGHT, level % HEIGHT);
        let end = index.checked_add(1).ok_or_else(missing)?;
        if level >= 63 || end > self.size >> level {
            return Err(missing().into());
        }
        let first = index << height;
        let tile_index = first / u64::from(WIDTH_MAX);
        let hashes = (self.size >> (tile_level * HEIGHT)) - tile_index * u64::from(WIDTH_MAX);
        let tile = Tile::new(tile_level, tile_index, hashes.min(WIDTH_MAX.into()) as u16)?;
        let hashes = tile.read(&(self.fetch)(&tile)?)?;
        let within = (first % u64::from(WIDTH_MAX)) as usize;
        let mut nodes: Vec<Sha256> = hashes.into_iter().skip(within).take(1 << height).collect();
        while nodes.len() > 1 {
            nodes = nodes.chunks_exact(2).filter_map(pair_hash).collect();
        }
        Ok(nodes.pop().ok_or_else(missing)?)
    }
}

fn pair_hash(pair: &[Sha256]) -> Option<Sha256> {
    match pair {
        [left, right] => Some(node_hash(left, right)),
        _ => None,
    }
}

/// The folder of entries, in place of a level.
const ENTRIES: &str = "entries";
/// Longer than that of any tile: seven groups of digits and a width.
const PATH_BYTES_MAX: usize = 64;

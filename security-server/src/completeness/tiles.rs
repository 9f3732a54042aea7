//! The log's tree as static files (C2SP `tlog-tiles`): `LOG_DIR/tiles/checkpoint` and `LOG_DIR/tiles/tile/L/N`. Only hashes: the log's entries are personal
//! data, so there are no bundles of entries.
//!
//! Tiles are renamed into place, the checkpoint last and synced: whatever it names has been written before. Tiles are not synced, for they can always be made anew. After a
//! power cut some may be missing or blank; the first write after a start looks at all of them, and makes all anew if one is not as it must be, or if they lead to another root
//! than the log's. Partial tiles of the checkpoint before are kept, for whoever just reads by it; older ones are removed.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use kogge_durable::DurableError;
use kogge_message_log::{LogError, MessageLog};
use kogge_proto::digest::Sha256;
use kogge_tlog::checkpoint::Checkpoint;
use kogge_tlog::note::{NoteKey, SignedNote};
use kogge_tlog::proof;
use kogge_tlog::tile::{LEVEL_MAX, Tile, TileError, Tiles, WIDTH_MAX};
use kogge_tlog::tree::Head;

use super::Signed;

/// The folder within the log's directory.
pub(super) const FOLDER: &str = "tiles";
/// The file with the newest checkpoint.
const CHECKPOINT: &str = "checkpoint";

/// So many leaves are read at once while much is written, 2 MiB; two levels of tiles, so that no partial ones are written on the way.
const LEAVES_AT_ONCE: u64 = 1 << 16;

/// Tiles on the disk.
pub(super) struct TileFolder {
    dir: PathBuf,
    key: NoteKey,
    written: Mutex<Written>,
}

/// How far they go.
enum Written {
    /// Nobody has looked yet.
    Unknown,
    /// Up to the newest checkpoint; partial tiles of the one before are still there.
    Known { size: u64, before: Option<u64> },
}

/// Why tiles cannot be written.
#[derive(Debug, thiserror::Error)]
pub(super) enum TilesError {
    #[error("cannot use {path}: {source}", path = .path.display())]
    Io { path: PathBuf, source: io::Error },
    #[error(transparent)]
    Durable(#[from] DurableError),
    #[error(transparent)]
    Log(#[from] LogError),
    #[error(transparent)]
    Tile(#[from] TileError),
    #[error("the tiles do not lead to the checkpoint's root")]
    Root,
}

impl TileFolder {
    pub(super) fn new(dir: PathBuf, key: NoteKey) -> Self {
        Self { dir, key, written: Mutex::new(Written::Unknown) }
    }

    /// Makes the tiles those of the checkpoint.
    pub(super) fn publish(&self, log: &MessageLog, signed: &Signed) -> Result<(), TilesError> {
        let mut written = self.written.lock().unwrap_or_else(PoisonError::into_inner);
        let (size, before) = match *written {
            Written::Known { size, before } => (size, before),
            Written::Unknown => (self.checked_size(), None),
        };
        *written = Written::Unknown;
        let extended = size <= signed.list.size && self.extend(log, size, signed).is_ok();
        if !extended {
            self.remove()?;
            self.extend(log, 0, signed)?;
        }
        kogge_durable::write_atomic(&self.dir.join(CHECKPOINT), &signed.note, false)?;
        if let Some(before) = before.filter(|before| extended && *before < size) {
            self.remove_partial(before, [size, signed.list.size]);
        }
        *written = Written::Known { size: signed.list.size, before: extended.then_some(size) };
        Ok(())
    }

    fn extend(&self, log: &MessageLog, size: u64, signed: &Signed) -> Result<(), TilesError> {
        let mut from = size;
        while from < signed.list.size {
            let to = (from / LEAVES_AT_ONCE + 1).saturating_mul(LEAVES_AT_ONCE).min(signed.list.size);
            let mut leaves = Vec::new();
            log.leaf_hashes(from..to, &mut |leaf| leaves.push(leaf))?;
            self.grow(from, leaves)?;
            from = to;
        }
        if self.root(signed.list.size)? == signed.list.root { Ok(()) } else { Err(TilesError::Root) }
    }

    /// Adds leaves behind those that are there.
    fn grow(&self, size: u64, leaves: Vec<Sha256>) -> Result<(), TilesError> {
        let (mut row, mut first) = (leaves, size);
        for level in 0..=LEVEL_MAX {
            if row.is_empty() {
                break;
            }
            let width = (first % u64::from(WIDTH_MAX)) as u16;
            let index = first / u64::from(WIDTH_MAX);
            let mut hashes = match width {
                0 => Vec::new(),
                width => self.read(&Tile::new(level, index, width)?)?,
            };
            hashes.append(&mut row);
            for (hashes, index) in hashes.chunks(WIDTH_MAX.into()).zip(index..) {
                self.write(&Tile::new(level, index, hashes.len() as u16)?, hashes)?;
                row.extend((hashes.len() == usize::from(WIDTH_MAX)).then(|| root_over(hashes)));
            }
            first = index;
        }
        Ok(())
    }

    fn root(&self, size: u64) -> Result<Sha256, TilesError> {
        let tiles = Tiles::new(size, |tile: &Tile| self.content(tile));
        proof::root(size, &tiles).map_err(|error| match error {
            proof::ProveError::Nodes(error) => error,
            proof::ProveError::OutOfRange { .. } => TilesError::Root,
        })
    }

    /// The size of the checkpoint that is there, if it is ours and all tiles are there; else 0.
    fn checked_size(&self) -> u64 {
        let Ok(note) = fs::read(self.dir.join(CHECKPOINT)) else { return 0 };
        let read =
            SignedNote::parse(&note).ok().filter(|note| note.verify(std::slice::from_ref(&self.key)).is_ok());
        let Some(checkpoint) = read.and_then(|note| Checkpoint::parse(note.text()).ok()) else { return 0 };
        let is_whole = |tile: Tile| {
            let expected = u64::from(tile.width()) * Sha256::LEN as u64;
            fs::metadata(self.dir.join(tile.path())).is_ok_and(|file| file.len() == expected)
        };
        if Tile::grown(0, checkpoint.size()).all(is_whole) { checkpoint.size() } else { 0 }
    }

    fn read(&self, tile: &Tile) -> Result<Vec<Sha256>, TilesError> {
        Ok(tile.read(&self.content(tile)?)?)
    }

    fn content(&self, tile: &Tile) -> Result<Vec<u8>, TilesError> {
        let path = self.dir.join(tile.path());
        fs::read(&path).map_err(io_error(&path))
    }

    fn write(&self, tile: &Tile, hashes: &[Sha256]) -> Result<(), TilesError> {
        let path = self.dir.join(tile.path());
        let (Some(dir), Some(name)) = (path.parent(), path.file_name()) else { return Ok(()) };
        fs::create_dir_all(dir).map_err(io_error(dir))?;
        // No tile has such a name.
        let fresh = dir.join(format!(".{}.new", name.to_string_lossy()));
        let content: Vec<u8> = hashes.iter().flat_map(|hash| hash.0).collect();
        fs::write(&fresh, content).map_err(io_error(&fresh))?;
        fs::rename(&fresh, &path).map_err(io_error(&path))
    }

    /// Nobody reads by a checkpoint of this size any more.
    fn remove_partial(&self, size: u64, kept: [u64; 2]) {
        let kept: Vec<Tile> = kept.into_iter().flat_map(partial).collect();
        for tile in partial(size).filter(|tile| !kept.contains(tile)) {
            let path = self.dir.join(tile.path());
            // What stays takes up space, nothing else. The folder of a tile's parts goes with the last of them.
            let _ = fs::remove_file(&path);
            let _ = path.parent().map(fs::remove_dir);
        }
    }

    fn remove(&self) -> Result<(), TilesError> {
        let tiles = self.dir.join("tile");
        match fs::remove_dir_all(&tiles) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(io_error(&tiles)(error)),
            Ok(()) | Err(_) => Ok(()),
        }
    }
}

/// The partial tiles of a tree of this size.
fn partial(size: u64) -> impl Iterator<Item = Tile> {
    (0..=LEVEL_MAX).filter_map(move |level| {
        let hashes = size >> (8 * level);
        let width = (hashes % u64::from(WIDTH_MAX)) as u16;
        Tile::new(level, hashes / u64::from(WIDTH_MAX), width).ok()
    })
}

/// The root over a full tile's hashes.
fn root_over(hashes: &[Sha256]) -> Sha256 {
    let mut row = hashes.to_vec();
    while row.len() > 1 {
        let pair = |pair: &[Sha256]| match pair {
            [left, right] => Some(kogge_tlog::tree::node_hash(left, right)),
            _ => None,
        };
        row = row.chunks(2).filter_map(pair).collect();
    }
    row.pop().unwrap_or_else(|| Head::default().root())
}

fn io_error(path: &Path) -> impl FnOnce(io::Error) -> TilesError {
    let path = path.to_path_buf();
    move |source| TilesError::Io { path, source }
}

#[cfg(test)]
mod tests;

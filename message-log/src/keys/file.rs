//! A segment's key file: `LOG_DIR/keys/NNNNNNNNNN`.
//!
//! First line [`MAGIC`], then, sealed under the log key: sequence of the segment's first entry (u64), then for each node of the cover its depth (u8), its place at that
//! depth (u32) and its seed (32 bytes), from left to right; numbers big-endian.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::Path;

use ring::rand::{SecureRandom, SystemRandom};
use zeroize::Zeroizing;

use super::soft::{LogKey, LogKeyError};
use super::tree::{Cover, Node, SEED_BYTES, Seed};
use crate::LogError;
use crate::layout::Layout;

const MAGIC: &[u8] = b"kogge segment keys 1\n";

/// Depth, place, seed.
const NODE_BYTES: usize = 1 + 4 + SEED_BYTES;

/// More than every second record of a large segment can need.
const FILE_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// What a key file says.
pub(super) struct KeyFile {
    /// Sequence of the segment's first entry, which has the first leaf.
    pub(super) first: u64,
    pub(super) cover: Cover,
}

impl KeyFile {
    /// Of a new segment.
    pub(super) fn new(first: u64) -> io::Result<Self> {
        let mut root = Seed::default();
        SystemRandom::new()
            .fill(root.as_mut_slice())
            .map_err(|_| io::Error::other("the operating system gives no random numbers"))?;
        Ok(Self { first, cover: Cover::whole(root) })
    }

    /// Reads the keys of a segment; `None` if it has none.
    pub(super) fn read(layout: &Layout, segment: u64, key: &dyn LogKey) -> Result<Option<Self>, LogError> {
        let path = layout.keys_of(segment);
        let mut bytes = Vec::new();
        match File::open(&path).and_then(|file| file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            read => read.map_err(LogError::io("read", &path))?,
        };
        if bytes.len() as u64 > FILE_BYTES_MAX {
            return Err(unusable(&path, "it is too large"));
        }
        let sealed = bytes.strip_prefix(MAGIC).ok_or_else(|| unusable(&path, "it is no key file"))?;
        let opened = key.open(sealed, &bound_to(segment)).map_err(|error| sealing(&path, &error))?;
        parse(&opened).map(Some).ok_or_else(|| unusable(&path, "it is malformed"))
    }

    /// Writes it, durable. What stood there before is overwritten with zeros: on a file system or a disk that writes elsewhere, or keeps old versions, that does not reach the old bytes.
    /// A crash leaves the old file or the new one.
    pub(super) fn write(&self, layout: &Layout, segment: u64, key: &dyn LogKey) -> Result<(), LogError> {
        let path = layout.keys_of(segment);
        let sealed =
            key.seal(&self.to_bytes(), &bound_to(segment)).map_err(|error| sealing(&path, &error))?;
        let old = File::options().write(true).open(&path);
        kogge_durable::write_atomic(&path, &[MAGIC, &sealed].concat(), true)?;
        match old.and_then(overwrite) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                tracing::warn!(segment, %error, "the keys that were replaced could not be overwritten");
            }
            Ok(()) | Err(_) => {}
        }
        Ok(())
    }

    fn to_bytes(&self) -> Zeroizing<Vec<u8>> {
        let nodes = self.cover.nodes();
        let mut bytes = Zeroizing::new(Vec::with_capacity(8 + nodes.len() * NODE_BYTES));
        bytes.extend_from_slice(&self.first.to_be_bytes());
        for (node, seed) in nodes {
            bytes.push(node.depth);
            bytes.extend_from_slice(&node.prefix.to_be_bytes());
            bytes.extend_from_slice(seed.as_slice());
        }
        bytes
    }
}

fn parse(bytes: &[u8]) -> Option<KeyFile> {
    let (first, rest) = bytes.split_first_chunk::<8>()?;
    if !rest.len().is_multiple_of(NODE_BYTES) {
        return None;
    }
    let node = |bytes: &[u8]| {
        let (depth, rest) = bytes.split_first()?;
        let (prefix, seed) = rest.split_first_chunk::<4>()?;
        let node = Node::new(*depth, u32::from_be_bytes(*prefix))?;
        Some((node, Seed::new(seed.try_into().ok()?)))
    };
    let nodes = rest.chunks_exact(NODE_BYTES).map(node).collect::<Option<Vec<_>>>()?;
    Some(KeyFile { first: u64::from_be_bytes(*first), cover: Cover::new(nodes)? })
}

/// The file has another name by now, or none.
fn overwrite(mut file: File) -> io::Result<()> {
    let length = usize::try_from(file.metadata()?.len()).unwrap_or_default();
    file.write_all(&vec![0; length])?;
    file.sync_data()
}

fn bound_to(segment: u64) -> String {
    format!("kogge segment keys 1\n{segment}")
}

fn sealing(path: &Path, error: &LogKeyError) -> LogError {
    unusable(path, &error.to_string())
}

fn unusable(path: &Path, reason: &str) -> LogError {
    LogError::Keys { path: path.to_path_buf(), reason: reason.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SoftLogKey;

    fn world() -> (tempfile::TempDir, Layout, SoftLogKey) {
        let dir = tempfile::tempdir().unwrap();
        let layout = Layout::new(dir.path());
        std::fs::create_dir(layout.keys()).unwrap();
        (dir, layout, SoftLogKey::new(&[1; 32]).unwrap())
    }

    fn refusal(layout: &Layout, segment: u64, key: &SoftLogKey) -> String {
        match KeyFile::read(layout, segment, key) {
            Err(LogError::Keys { reason, .. }) => reason,
            Err(other) => panic!("{other}"),
            Ok(_) => panic!("it was read"),
        }
    }

    #[test]
    fn keys_come_back_as_they_were() {
        let (_dir, layout, key) = world();
        assert!(KeyFile::read(&layout, 7, &key).unwrap().is_none());
        let mut file = KeyFile::new(42).unwrap();
        file.cover = file.cover.without(5, 9);
        file.write(&layout, 7, &key).unwrap();
        let read = KeyFile::read(&layout, 7, &key).unwrap().unwrap();
        assert_eq!((read.first, read.cover.nodes()), (42, file.cover.nodes()));
    }

    #[test]
    fn whatever_is_not_as_it_was_written_is_refused() {
        let (_dir, layout, key) = world();
        KeyFile::new(42).unwrap().write(&layout, 7, &key).unwrap();
        let path = layout.keys_of(7);
        let bytes = std::fs::read(&path).unwrap();
        for at in 0..bytes.len() {
            let mut altered = bytes.clone();
            altered[at] ^= 1;
            std::fs::write(&path, &altered).unwrap();
            let expected = if at < MAGIC.len() {
                "it is no key file"
            } else {
                "it was sealed under another log key, or altered"
            };
            assert_eq!(refusal(&layout, 7, &key), expected, "{at}");
        }
        std::fs::write(layout.keys_of(8), &bytes).unwrap();
        assert_eq!(refusal(&layout, 8, &key), "it was sealed under another log key, or altered");
        std::fs::write(&path, &bytes).unwrap();
        let other = SoftLogKey::new(&[2; 32]).unwrap();
        assert_eq!(refusal(&layout, 7, &other), "it was sealed under another log key, or altered");
        let cut = key.seal(&[0; 8 + NODE_BYTES - 1], &bound_to(7)).unwrap();
        std::fs::write(&path, [MAGIC, &cut].concat()).unwrap();
        assert_eq!(refusal(&layout, 7, &key), "it is malformed");
    }

    #[test]
    fn the_old_keys_are_overwritten() {
        let (dir, layout, key) = world();
        KeyFile::new(1).unwrap().write(&layout, 7, &key).unwrap();
        let link = dir.path().join("another name of the old file");
        std::fs::hard_link(layout.keys_of(7), &link).unwrap();
        KeyFile::new(1).unwrap().write(&layout, 7, &key).unwrap();
        assert!(std::fs::read(&link).unwrap().iter().all(|byte| *byte == 0));
    }
}

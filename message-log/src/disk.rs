//! The few file operations that the writer's promises rest on, so that tests can make them fail.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;
use std::sync::LazyLock;

use kogge_durable::DurableError;
use rustix::fs::{FallocateFlags, fallocate};
use rustix::io::Errno;

/// Where segments are written.
///
/// When [`DiskFile::sync`] returns, everything written to the file before survives a power cut. When it fails, nothing is known
/// about any byte written since the last sync, now or later: the operating system may have dropped the pages and call the next
/// sync a success.
pub(crate) trait Disk: Send {
    /// Creates a file that does not exist yet.
    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>>;
    /// Opens an existing file for writing.
    fn open(&self, path: &Path) -> io::Result<Box<dyn DiskFile>>;
    /// Makes the names in a directory durable.
    fn sync_dir(&self, dir: &Path) -> io::Result<()>;
}

/// A file being written.
pub(crate) trait DiskFile: Send + Sync {
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()>;
    /// Makes sure that there is space up to `end`, all of it zeros where nothing was written.
    fn allocate(&self, end: u64) -> io::Result<()>;
    fn set_len(&self, length: u64) -> io::Result<()>;
    fn length(&self) -> io::Result<u64>;
    fn sync(&self) -> io::Result<()>;
}

/// The operating system's files.
pub(crate) struct RealDisk;

impl Disk for RealDisk {
    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        let file = OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(path)?;
        Ok(Box::new(file))
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        Ok(Box::new(OpenOptions::new().read(true).write(true).open(path)?))
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        kogge_durable::sync_dir(dir).map_err(|error| match error {
            DurableError::Io { source, .. } => source,
            locked @ DurableError::Locked { .. } => io::Error::other(locked),
        })
    }
}

impl DiskFile for File {
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.write_all_at(bytes, offset)
    }

    fn allocate(&self, end: u64) -> io::Result<()> {
        let begin = self.length()?;
        let Some(length) = end.checked_sub(begin).filter(|length| *length > 0) else { return Ok(()) };
        match fallocate(self, FallocateFlags::empty(), begin, length) {
            // A file system without such a call.
            Err(Errno::OPNOTSUPP) => write_zeros(self, begin, end),
            outcome => Ok(outcome?),
        }
    }

    fn set_len(&self, length: u64) -> io::Result<()> {
        File::set_len(self, length)
    }

    fn length(&self) -> io::Result<u64> {
        Ok(self.metadata()?.len())
    }

    fn sync(&self) -> io::Result<()> {
        self.sync_data()
    }
}

/// Zeros are written in pieces of this size.
const PIECE_BYTES: usize = 256 * 1024;
/// Memory that nobody wrote to, so that it costs neither pages nor a quarter of a megabyte in the binary.
static ZEROS: LazyLock<Box<[u8]>> = LazyLock::new(|| vec![0; PIECE_BYTES].into_boxed_slice());

/// Fills a part of a file with zeros.
pub(crate) fn write_zeros(file: &dyn DiskFile, begin: u64, end: u64) -> io::Result<()> {
    let mut at = begin;
    while at < end {
        let piece = usize::try_from(end - at).unwrap_or(PIECE_BYTES).min(PIECE_BYTES);
        file.write_at(ZEROS.get(..piece).unwrap_or(&ZEROS), at)?;
        at += piece as u64;
    }
    Ok(())
}

//! Bytes that survive: atomic, synced file writes and the directory lock.
//!
//! Defended against: a killed process and a power cut at any instant, as far as the disk honours `fsync`. Not defended
//! against: a disk that lies about `fsync`, bit rot (readers checksum what matters).
//!
//! Deliberately absent: a runtime, the network, formats.
#![forbid(unsafe_code)]

use std::fs::{DirBuilder, File, OpenOptions, Permissions, TryLockError};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// Why a durable operation failed.
#[derive(Debug, thiserror::Error)]
pub enum DurableError {
    /// The operating system refused.
    #[error("cannot {what} {path}: {source}", path = .path.display())]
    Io {
        /// What was tried.
        what: &'static str,
        /// With which file or directory.
        path: PathBuf,
        /// What the operating system says.
        source: io::Error,
    },
    /// Another process, or another part of this one, holds the lock.
    #[error("{path} is in use by another process", path = .path.display())]
    Locked {
        /// The locked directory.
        path: PathBuf,
    },
}

/// Replaces the file at `path` by `bytes`, readable by the owner alone if `secret`: temporary file, sync, rename, sync of the
/// directory. A crash leaves the old content or the new one, and perhaps a temporary file that the next write replaces.
/// Writers of the same file, in this process or another, take turns.
///
/// # Errors
/// The operating system refuses one of the steps; the old content is then still there.
pub fn write_atomic(path: &Path, bytes: &[u8], secret: bool) -> Result<(), DurableError> {
    write_atomic_with(path, secret, |file| {
        file.write_all(bytes).map_err(|source| io_error("write", path, source))
    })
}

/// As [`write_atomic`], for content that does not fit into memory: `fill` writes it into the empty temporary file.
///
/// # Errors
/// What `fill` says, or the operating system refuses one of the steps; the old content is then still there.
pub fn write_atomic_with<E: From<DurableError>>(
    path: &Path,
    secret: bool,
    fill: impl FnOnce(&mut File) -> Result<(), E>,
) -> Result<(), E> {
    let temporary = temporary_path(path)?;
    let mut file = open_temporary(&temporary, secret)?;
    let filled = empty(&file, secret).map_err(|source| io_error("write", &temporary, source).into());
    let filled = filled.and_then(|()| fill(&mut file));
    let synced =
        filled.and_then(|()| file.sync_all().map_err(|source| io_error("sync", &temporary, source).into()));
    if let Err(error) = synced {
        // A half-written file (full disk) should not take up space until the next write; it harms nothing if it stays.
        let _ = std::fs::remove_file(&temporary);
        return Err(error);
    }
    // A crash before this line leaves the old content and a temporary file; after it, one or the other content.
    std::fs::rename(&temporary, path).map_err(|source| io_error("replace", path, source))?;
    Ok(sync_dir(parent(path))?)
}

/// Makes the directory's entries durable: to be called after a file in it was created, renamed or removed.
///
/// # Errors
/// The operating system refuses.
pub fn sync_dir(dir: &Path) -> Result<(), DurableError> {
    File::open(dir)
        .and_then(|opened| opened.sync_all())
        .map_err(|source| io_error("sync the directory", dir, source))
}

/// Creates a directory with its parents, readable by the owner alone if `secret`, and makes that durable. What exists already
/// keeps its permissions.
///
/// # Errors
/// The operating system refuses, or there is a file in the way.
pub fn create_dir(dir: &Path, secret: bool) -> Result<(), DurableError> {
    let missing: Vec<&Path> =
        dir.ancestors().take_while(|part| !part.as_os_str().is_empty() && !part.exists()).collect();
    DirBuilder::new()
        .recursive(true)
        .mode(if secret { 0o700 } else { 0o777 })
        .create(dir)
        .map_err(|source| io_error("create the directory", dir, source))?;
    // From the outermost inwards, so that a crash in between leaves no durable entry in a directory that is not durable itself.
    missing.iter().rev().try_for_each(|part| sync_dir(parent(part)))
}

/// An exclusive advisory lock on a directory (file `lock` in it), released when dropped or when the process dies.
#[derive(Debug)]
pub struct DirLock {
    _file: File,
}

impl DirLock {
    /// Takes the lock without waiting.
    ///
    /// # Errors
    /// [`DurableError::Locked`] if another process holds it; otherwise what the operating system says.
    pub fn acquire(dir: &Path) -> Result<Self, DurableError> {
        let path = dir.join("lock");
        let file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&path)
            .map_err(|source| io_error("open", &path, source))?;
        match file.try_lock() {
            Ok(()) => Ok(Self { _file: file }),
            Err(TryLockError::WouldBlock) => Err(DurableError::Locked { path: dir.to_path_buf() }),
            Err(TryLockError::Error(source)) => Err(io_error("lock", &path, source)),
        }
    }
}

/// Always the same name beside the file, so that what a crash leaves behind is replaced and never piles up.
fn temporary_path(path: &Path) -> Result<PathBuf, DurableError> {
    let Some(name) = path.file_name() else {
        return Err(io_error(
            "write",
            path,
            io::Error::new(io::ErrorKind::InvalidInput, "not the name of a file"),
        ));
    };
    let mut temporary = std::ffi::OsString::from(".");
    temporary.push(name);
    temporary.push(".tmp");
    Ok(path.with_file_name(temporary))
}

/// Opens the temporary file and locks it against other writers of the same name.
fn open_temporary(path: &Path, secret: bool) -> Result<File, DurableError> {
    for _ in 0..TURNS_MAX {
        let file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .mode(if secret { 0o600 } else { 0o666 })
            .open(path)
            .map_err(|source| io_error("create", path, source))?;
        file.lock().map_err(|source| io_error("lock", path, source))?;
        // While we waited the other writer may have renamed the file away: then what we hold is the finished content.
        if is_still_at(&file, path) {
            return Ok(file);
        }
    }
    Err(io_error("create", path, io::Error::new(io::ErrorKind::ResourceBusy, "too many other writers")))
}

fn is_still_at(file: &File, path: &Path) -> bool {
    match (file.metadata(), std::fs::symlink_metadata(path)) {
        (Ok(held), Ok(there)) => (held.dev(), held.ino()) == (there.dev(), there.ino()),
        _ => false,
    }
}

fn empty(file: &File, secret: bool) -> io::Result<()> {
    if secret {
        // The file may be the remainder of an earlier write; its permissions must be right before the first byte is in it.
        file.set_permissions(Permissions::from_mode(0o600))?;
    }
    file.set_len(0)
}

fn parent(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        Some(_) => Path::new("."),
        None => path,
    }
}

fn io_error(what: &'static str, path: &Path, source: io::Error) -> DurableError {
    DurableError::Io { what, path: path.to_path_buf(), source }
}

/// How often a writer lets others of the same file go first: far more than there are writers of one configuration or key file.
const TURNS_MAX: u32 = 1000;

#[cfg(test)]
mod tests;

//! Appending to a journal: one writer at a time, in whichever process.

use std::fs::{File, OpenOptions};
use std::io::{Seek, SeekFrom, Write};
use std::path::Path;
use std::time::{Duration, Instant};

use kogge_certs::key::SigningKey;
use kogge_durable::{DirLock, DurableError, create_dir, sync_dir};
use kogge_proto::time::UnixMillis;

use super::head::Head;
use super::{DECISIONS, JournalError, Reader, entry};
use crate::state::Event;

/// The right to append, held by one process at a time.
#[derive(Debug)]
pub(crate) struct JournalLock {
    _lock: DirLock,
}

/// What is to be appended: one entry for each event, all of them or none.
pub(crate) struct NewEntries<'a> {
    pub(crate) events: &'a [Event],
    pub(crate) at: UnixMillis,
    pub(crate) key: &'a dyn SigningKey,
}

impl JournalLock {
    /// Waits its turn, for as long as other commands may reasonably take.
    pub(crate) fn acquire(dir: &Path) -> Result<Self, JournalError> {
        let until = Instant::now() + LOCK_WAIT_MAX;
        loop {
            match DirLock::acquire(dir) {
                Ok(lock) => return Ok(Self { _lock: lock }),
                Err(DurableError::Locked { .. }) if Instant::now() < until => std::thread::sleep(LOCK_RETRY),
                Err(DurableError::Locked { path }) => return Err(JournalError::Busy { path }),
                Err(other) => return Err(other.into()),
            }
        }
    }
}

/// Makes a journal with its first entry.
pub(crate) fn create(dir: &Path, first: &NewEntries<'_>) -> Result<Reader, JournalError> {
    create_dir(dir, false)?;
    let lock = JournalLock::acquire(dir)?;
    let path = dir.join(DECISIONS);
    OpenOptions::new().create_new(true).append(true).open(&path).map_err(|source| JournalError::Io {
        what: "create",
        path,
        source,
    })?;
    sync_dir(dir)?;
    let mut reader = Reader::new(dir);
    append(&lock, &mut reader, first)?;
    Ok(reader)
}

/// Appends entries where `reader` stands, which is at the head, and moves the reader behind them.
///
/// When this returns, entries and head are synced: the decisions are taken. If it fails, or the process dies in it, entries may be in
/// the file but not before the head: they were never taken, and the next append cuts them off.
pub(crate) fn append(
    _lock: &JournalLock,
    reader: &mut Reader,
    new: &NewEntries<'_>,
) -> Result<u64, JournalError> {
    let here = reader.here();
    let (mut head, mut frames) = (here, Vec::new());
    for event in new.events {
        let (frame, hash) = entry::frame((head.sequence + 1, head.hash), event, new.at, new.key)?;
        head = Head { sequence: head.sequence + 1, length: head.length + frame.len() as u64, hash };
        frames.extend_from_slice(&frame);
    }
    let path = reader.dir().join(DECISIONS);
    write_at(&path, here.length, &frames).map_err(|source| JournalError::Io {
        what: "append to",
        path,
        source,
    })?;
    head.write(reader.dir())?;
    reader.skip_to(head);
    Ok(head.sequence)
}

fn write_at(path: &Path, offset: u64, frames: &[u8]) -> std::io::Result<()> {
    let mut file: File = OpenOptions::new().write(true).open(path)?;
    file.set_len(offset)?;
    file.seek(SeekFrom::Start(offset))?;
    file.write_all(frames)?;
    file.sync_all()
}

/// Each command holds the lock for milliseconds.
const LOCK_WAIT_MAX: Duration = Duration::from_secs(10);
const LOCK_RETRY: Duration = Duration::from_millis(10);

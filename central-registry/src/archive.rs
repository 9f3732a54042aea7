//! `published/`: every snapshot that was ever served, one file each, for auditors and for the next version number.
//!
//! A file is named `VERSION_SEQUENCE_ISSUED.snapshot`, where SEQUENCE is the last decision in it. It is complete and synced before
//! anybody is served, so the highest name tells which versions are taken.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use kogge_durable::{DurableError, create_dir, write_atomic};
use kogge_proto::limits::SNAPSHOT_BYTES_MAX;
use kogge_proto::time::UnixMillis;

use crate::index::{Index, IndexError, Row};

/// Why published snapshots cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// The operating system refused.
    #[error("cannot read {path}: {source}", path = .path.display())]
    Read {
        /// Which file or directory.
        path: PathBuf,
        /// What the operating system says.
        source: std::io::Error,
    },
    /// The file is larger than a snapshot may be.
    #[error("{path} is larger than a snapshot may be", path = .path.display())]
    TooLarge {
        /// Which file.
        path: PathBuf,
    },
    /// A snapshot cannot be stored.
    #[error(transparent)]
    Durable(#[from] DurableError),
    /// The index can neither be used nor rebuilt.
    #[error(transparent)]
    Index(#[from] IndexError),
}

pub(crate) struct Archive {
    dir: PathBuf,
    index_dir: PathBuf,
    /// Opened when somebody asks for an old snapshot: from then on the database's own threads wake up every second.
    index: Mutex<Option<Index>>,
}

impl Archive {
    pub(crate) fn open(dir: &Path, index_dir: &Path) -> Result<Self, ArchiveError> {
        create_dir(dir, false)?;
        Ok(Self { dir: dir.to_path_buf(), index_dir: index_dir.to_path_buf(), index: Mutex::new(None) })
    }

    /// The one with the highest version, straight from the directory: versions must not depend on the index.
    pub(crate) fn newest(&self) -> Result<Option<Row>, ArchiveError> {
        Ok(list(&self.dir)?.pop())
    }

    /// Stores a snapshot. A crash before the file is in place leaves nothing that was served; one before the index knows of it
    /// leaves an index that is rebuilt, as does one that is not open.
    pub(crate) fn store(&self, row: &Row, bytes: &[u8]) -> Result<(), ArchiveError> {
        write_atomic(&self.path(row), bytes, false)?;
        let is_open = self.lock().is_some();
        if is_open { self.with_index(|index| index.insert(row)) } else { Ok(()) }
    }

    pub(crate) fn by_version(&self, version: u64) -> Result<Option<Row>, ArchiveError> {
        self.with_index(|index| index.by_version(version))
    }

    pub(crate) fn as_of(&self, time: UnixMillis) -> Result<Option<Row>, ArchiveError> {
        self.with_index(|index| index.as_of(time))
    }

    pub(crate) fn read(&self, row: &Row) -> Result<Bytes, ArchiveError> {
        let path = self.path(row);
        let size = std::fs::metadata(&path).map(|metadata| metadata.len());
        match size.and_then(|size| {
            if size > SNAPSHOT_BYTES_MAX as u64 { Ok(None) } else { std::fs::read(&path).map(Some) }
        }) {
            Ok(Some(bytes)) => Ok(bytes.into()),
            Ok(None) => Err(ArchiveError::TooLarge { path }),
            Err(source) => Err(ArchiveError::Read { path, source }),
        }
    }

    /// Asks the index; if it fails, rebuilds it from the directory and asks once more.
    fn with_index<T>(&self, ask: impl Fn(&Index) -> Result<T, IndexError>) -> Result<T, ArchiveError> {
        let mut index = self.lock();
        let opened = match index.take() {
            Some(opened) => opened,
            None => Index::open(&self.index_dir, &list(&self.dir)?)?,
        };
        let (used, answer) = match ask(&opened) {
            Ok(answer) => (opened, answer),
            Err(error) => {
                tracing::warn!(%error, "the index is damaged");
                drop(opened);
                let rebuilt = Index::rebuild(&self.index_dir, &list(&self.dir)?)?;
                let answer = ask(&rebuilt)?;
                (rebuilt, answer)
            }
        };
        *index = Some(used);
        Ok(answer)
    }

    /// A panic while the lock was held leaves no index, which is then opened anew.
    fn lock(&self) -> MutexGuard<'_, Option<Index>> {
        self.index.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn path(&self, row: &Row) -> PathBuf {
        self.dir.join(format!("{}_{}_{}{SUFFIX}", row.version, row.sequence, row.issued.0))
    }
}

/// All published snapshots, by version. Other files (a temporary one that a crash left) are passed over.
fn list(dir: &Path) -> Result<Vec<Row>, ArchiveError> {
    let read = |source| ArchiveError::Read { path: dir.to_path_buf(), source };
    let mut rows = Vec::new();
    for file in std::fs::read_dir(dir).map_err(read)? {
        rows.extend(file.map_err(read)?.file_name().to_str().and_then(parse));
    }
    rows.sort_unstable_by_key(|row: &Row| row.version);
    Ok(rows)
}

fn parse(name: &str) -> Option<Row> {
    let mut parts = name.strip_suffix(SUFFIX)?.split('_');
    let (version, sequence, issued) = (parts.next()?, parts.next()?, parts.next()?);
    let row = Row {
        version: version.parse().ok()?,
        sequence: sequence.parse().ok()?,
        issued: UnixMillis(issued.parse().ok()?),
    };
    parts.next().is_none().then_some(row)
}

const SUFFIX: &str = ".snapshot";

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    fn row(version: u64) -> Row {
        Row { version, sequence: 1, issued: UnixMillis(version.cast_signed()) }
    }

    fn archive(dir: &Path) -> Archive {
        Archive::open(&dir.join("published"), &dir.join("index")).unwrap()
    }

    #[test]
    fn an_index_that_fails_while_running_is_rebuilt_and_asked_again() {
        let dir = tempfile::tempdir().unwrap();
        let archive = archive(dir.path());
        archive.store(&row(1), b"one").unwrap();
        let asked = AtomicU32::new(0);
        let found = archive.with_index(|index| match asked.fetch_add(1, Ordering::Relaxed) {
            0 => Err(IndexError::Panicked { path: dir.path().to_path_buf() }),
            _ => index.by_version(1),
        });
        assert_eq!((found.unwrap(), asked.into_inner()), (Some(row(1)), 2));
        // The rebuilt one goes on.
        archive.store(&row(2), b"two").unwrap();
        assert_eq!(archive.as_of(UnixMillis(5)).unwrap(), Some(row(2)));
    }

    #[test]
    fn an_index_that_cannot_be_rebuilt_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        let archive = archive(dir.path());
        let failing = || IndexError::Panicked { path: dir.path().to_path_buf() };
        let error = archive.with_index(|_| Err::<(), _>(failing())).unwrap_err();
        assert!(matches!(error, ArchiveError::Index(IndexError::Panicked { .. })), "{error}");
    }

    #[test]
    fn the_index_is_opened_for_the_first_question_and_knows_all() {
        let dir = tempfile::tempdir().unwrap();
        let archive = archive(dir.path());
        archive.store(&row(1), b"one").unwrap();
        assert!(!dir.path().join("index").exists());
        assert_eq!(archive.by_version(1).unwrap(), Some(row(1)));
        archive.store(&row(2), b"two").unwrap();
        assert_eq!((archive.by_version(2).unwrap(), archive.by_version(3).unwrap()), (Some(row(2)), None));
    }

    #[test]
    fn what_is_no_snapshot_is_passed_over() {
        let dir = tempfile::tempdir().unwrap();
        let archive = archive(dir.path());
        archive.store(&row(7), b"seven").unwrap();
        for name in [
            "9.snapshot",
            "9_1.snapshot",
            "9_1_1_1.snapshot",
            "x_1_1.snapshot",
            "9_1_1",
            ".9_1_1.snapshot.tmp",
        ] {
            std::fs::write(dir.path().join("published").join(name), b"").unwrap();
        }
        assert_eq!(archive.newest().unwrap(), Some(row(7)));
        assert_eq!(archive.read(&row(7)).unwrap(), &b"seven"[..]);
        assert!(matches!(archive.read(&row(8)), Err(ArchiveError::Read { .. })));
    }

    #[test]
    fn what_is_too_large_is_not_read_into_memory() {
        let dir = tempfile::tempdir().unwrap();
        let archive = archive(dir.path());
        let file = std::fs::File::create(archive.path(&row(1))).unwrap();
        file.set_len(SNAPSHOT_BYTES_MAX as u64 + 1).unwrap();
        assert!(matches!(archive.read(&row(1)), Err(ArchiveError::TooLarge { .. })));
    }
}

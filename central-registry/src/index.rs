//! Finding old snapshots: by version, and by time. A sled database in `index/` that can be lost at any moment.
//!
//! Nothing is believed that is only here. At start the index is compared, row by row, with the files in `published/`, because sled
//! opens a damaged database as an empty one, or panics; whatever differs is rebuilt. While running, a panic or an error is
//! answered in the same way.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use kogge_proto::time::UnixMillis;

/// Why the index cannot be used. It is rebuilt from what is published; if that fails too, the disk is at fault.
#[derive(Debug, thiserror::Error)]
pub enum IndexError {
    /// sled refused.
    #[error("the index in {path} cannot be used: {reason}", path = .path.display())]
    Sled {
        /// The index's directory.
        path: PathBuf,
        /// What sled says.
        reason: String,
    },
    /// sled panicked.
    #[error("the index in {path} is damaged", path = .path.display())]
    Panicked {
        /// The index's directory.
        path: PathBuf,
    },
    /// The damaged index cannot be set aside.
    #[error("cannot set the damaged index {path} aside: {source}", path = .path.display())]
    Aside {
        /// The index's directory.
        path: PathBuf,
        /// What the operating system says.
        source: std::io::Error,
    },
}

/// One published snapshot.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Row {
    pub(crate) version: u64,
    /// The last decision in it.
    pub(crate) sequence: u64,
    pub(crate) issued: UnixMillis,
}

pub(crate) struct Index {
    path: PathBuf,
    db: sled::Db,
    by_version: sled::Tree,
    by_time: sled::Tree,
}

impl Index {
    /// Opens the index and makes sure that it holds exactly `rows`, rebuilding it if not.
    pub(crate) fn open(path: &Path, rows: &[Row]) -> Result<Self, IndexError> {
        let opened = Self::open_as_is(path).and_then(|index| {
            let same = index.all()? == rows;
            Ok((index, same))
        });
        match opened {
            Ok((index, true)) => Ok(index),
            Ok((index, false)) => {
                drop(index);
                Self::rebuild(path, rows)
            }
            Err(error) => {
                tracing::warn!(%error, "the index is damaged");
                Self::rebuild(path, rows)
            }
        }
    }

    /// Sets the index aside and makes a new one.
    pub(crate) fn rebuild(path: &Path, rows: &[Row]) -> Result<Self, IndexError> {
        tracing::info!(rows = rows.len(), path = %path.display(), "rebuilding the index from the published snapshots");
        set_aside(path).map_err(|source| IndexError::Aside { path: path.to_path_buf(), source })?;
        let index = Self::open_as_is(path)?;
        rows.iter().try_for_each(|row| index.insert_unsynced(row))?;
        index.sync()?;
        Ok(index)
    }

    pub(crate) fn insert(&self, row: &Row) -> Result<(), IndexError> {
        self.insert_unsynced(row)?;
        self.sync()
    }

    pub(crate) fn by_version(&self, version: u64) -> Result<Option<Row>, IndexError> {
        let value = guard(&self.path, || self.by_version.get(version.to_be_bytes()))?;
        value.map(|value| self.row(version, &value)).transpose()
    }

    /// The newest one issued at or before `time`.
    pub(crate) fn as_of(&self, time: UnixMillis) -> Result<Option<Row>, IndexError> {
        let end = time_key(time, u64::MAX);
        let found = guard(&self.path, || self.by_time.range(..=end).next_back().transpose())?;
        let Some((key, _)) = found else { return Ok(None) };
        let version = key.get(8..).and_then(|bytes| bytes.try_into().ok()).map(u64::from_be_bytes);
        self.by_version(version.ok_or_else(|| self.malformed())?)
    }

    fn open_as_is(path: &Path) -> Result<Self, IndexError> {
        let config = sled::Config::new().path(path).cache_capacity(CACHE_BYTES).flush_every_ms(None);
        let db = guard(path, || config.open())?;
        let by_version = guard(path, || db.open_tree("by_version"))?;
        let by_time = guard(path, || db.open_tree("by_time"))?;
        Ok(Self { path: path.to_path_buf(), db, by_version, by_time })
    }

    /// All rows by version; an error if the two trees disagree.
    fn all(&self) -> Result<Vec<Row>, IndexError> {
        let pairs = guard(&self.path, || self.by_version.iter().collect::<Result<Vec<_>, _>>())?;
        let mut rows = Vec::with_capacity(pairs.len());
        for (key, value) in pairs {
            let version = key.as_ref().try_into().map(u64::from_be_bytes).map_err(|_| self.malformed())?;
            rows.push(self.row(version, &value)?);
        }
        let times = guard(&self.path, || self.by_time.iter().keys().collect::<Result<Vec<_>, _>>())?;
        let mut expected: Vec<_> = rows.iter().map(|row| time_key(row.issued, row.version)).collect();
        expected.sort_unstable();
        if times.iter().map(AsRef::as_ref).ne(expected.iter().map(<[u8; 16]>::as_slice)) {
            return Err(self.malformed());
        }
        Ok(rows)
    }

    fn insert_unsynced(&self, row: &Row) -> Result<(), IndexError> {
        let value = [row.sequence.to_be_bytes(), row.issued.0.to_be_bytes()].concat();
        guard(&self.path, || self.by_version.insert(row.version.to_be_bytes(), value.as_slice()))?;
        guard(&self.path, || self.by_time.insert(time_key(row.issued, row.version), &[]))?;
        Ok(())
    }

    fn sync(&self) -> Result<(), IndexError> {
        guard(&self.path, || self.db.flush()).map(drop)
    }

    fn row(&self, version: u64, value: &[u8]) -> Result<Row, IndexError> {
        let split = value
            .split_first_chunk()
            .and_then(|(sequence, issued)| Some((sequence, issued.try_into().ok()?)));
        let (sequence, issued) = split.ok_or_else(|| self.malformed())?;
        let (sequence, issued) = (u64::from_be_bytes(*sequence), UnixMillis(i64::from_be_bytes(issued)));
        Ok(Row { version, sequence, issued })
    }

    fn malformed(&self) -> IndexError {
        IndexError::Sled { path: self.path.clone(), reason: "a row is malformed".to_owned() }
    }
}

/// sled 0.34 may panic where a page is damaged.
fn guard<T>(path: &Path, call: impl FnOnce() -> sled::Result<T>) -> Result<T, IndexError> {
    match catch_unwind(AssertUnwindSafe(call)) {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(error)) => Err(IndexError::Sled { path: path.to_path_buf(), reason: error.to_string() }),
        Err(_) => Err(IndexError::Panicked { path: path.to_path_buf() }),
    }
}

/// Keeps one damaged index for whoever wants to look at it; an older one makes room.
fn set_aside(path: &Path) -> std::io::Result<()> {
    if !path.exists() {
        return Ok(());
    }
    let aside = path.with_extension("damaged");
    if aside.exists() {
        std::fs::remove_dir_all(&aside)?;
    }
    std::fs::rename(path, &aside)
}

/// Times sort as they pass, also those before 1970.
fn time_key(time: UnixMillis, version: u64) -> [u8; 16] {
    let ordered = time.0.cast_unsigned() ^ (1 << 63);
    let mut key = [0; 16];
    key[..8].copy_from_slice(&ordered.to_be_bytes());
    key[8..].copy_from_slice(&version.to_be_bytes());
    key
}

/// sled's default of 1 GiB is more than the registry itself needs.
const CACHE_BYTES: u64 = 16 * 1024 * 1024;

#[cfg(test)]
mod tests;

//! A real disk that fails when told to.

use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use crate::disk::{Disk, DiskFile, RealDisk};
use crate::live::locked;

/// What fails until it is lifted.
#[derive(Clone, Debug, Default)]
pub(crate) struct Faults {
    /// Bytes by which files may still grow; what does not fit is written in part, as a disk does that fills up.
    pub(crate) space: Option<u64>,
    /// Writing anything but zeros: how many bytes still reach the file, and the error.
    pub(crate) write: Option<(usize, io::ErrorKind)>,
    pub(crate) sync: Option<io::ErrorKind>,
    /// So many syncs succeed before one fails.
    pub(crate) syncs_left: Option<usize>,
    pub(crate) sync_dir: Option<io::ErrorKind>,
    pub(crate) set_len: Option<io::ErrorKind>,
    pub(crate) create: Option<io::ErrorKind>,
}

/// The disk; a clone is the handle by which a test makes it fail.
#[derive(Clone, Default)]
pub(crate) struct FaultyDisk {
    faults: Arc<Mutex<Faults>>,
    /// Held while syncs are to take for ever.
    syncing: Arc<Mutex<()>>,
    /// Syncs that have begun and wait for that.
    waiting_syncs: Arc<AtomicUsize>,
    syncs: Arc<AtomicUsize>,
}

impl FaultyDisk {
    pub(crate) fn set(&self, faults: Faults) {
        *locked(&self.faults) = faults;
    }

    pub(crate) fn lift(&self) {
        self.set(Faults::default());
    }

    /// No sync ends before the guard is dropped.
    pub(crate) fn stall(&self) -> MutexGuard<'_, ()> {
        locked(&self.syncing)
    }

    pub(crate) fn waiting_syncs(&self) -> usize {
        self.waiting_syncs.load(Ordering::SeqCst)
    }

    /// Syncs so far.
    pub(crate) fn syncs(&self) -> usize {
        self.syncs.load(Ordering::SeqCst)
    }

    fn check(&self, which: impl FnOnce(&Faults) -> Option<io::ErrorKind>) -> io::Result<()> {
        match which(&locked(&self.faults)) {
            Some(kind) => Err(kind.into()),
            None => Ok(()),
        }
    }
}

impl Disk for FaultyDisk {
    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        self.check(|faults| faults.create)?;
        Ok(Box::new(FaultyFile { file: RealDisk.create(path)?, disk: self.clone() }))
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        Ok(Box::new(FaultyFile { file: RealDisk.open(path)?, disk: self.clone() }))
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        self.check(|faults| faults.sync_dir)?;
        RealDisk.sync_dir(dir)
    }
}

struct FaultyFile {
    file: Box<dyn DiskFile>,
    disk: FaultyDisk,
}

impl FaultyFile {
    fn write_in_part(
        &self,
        bytes: &[u8],
        offset: u64,
        reached: usize,
        kind: io::ErrorKind,
    ) -> io::Result<()> {
        self.file.write_at(&bytes[..reached.min(bytes.len())], offset)?;
        Err(kind.into())
    }
}

impl DiskFile for FaultyFile {
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let mut faults = locked(&self.disk.faults);
        if let Some((reached, kind)) = faults.write.filter(|_| bytes.iter().any(|byte| *byte != 0)) {
            return self.write_in_part(bytes, offset, reached, kind);
        }
        let growth = (offset + bytes.len() as u64).saturating_sub(self.file.length()?);
        if let Some(space) = &mut faults.space {
            let Some(rest) = space.checked_sub(growth) else {
                let reached = bytes.len() - usize::try_from(growth - *space).unwrap();
                *space = 0;
                return self.write_in_part(bytes, offset, reached, io::ErrorKind::StorageFull);
            };
            *space = rest;
        }
        self.file.write_at(bytes, offset)
    }

    fn allocate(&self, end: u64) -> io::Result<()> {
        let growth = end.saturating_sub(self.file.length()?);
        if let Some(space) = &mut locked(&self.disk.faults).space {
            *space = space.checked_sub(growth).ok_or(io::ErrorKind::StorageFull)?;
        }
        self.file.allocate(end)
    }

    fn set_len(&self, length: u64) -> io::Result<()> {
        self.disk.check(|faults| faults.set_len)?;
        self.file.set_len(length)
    }

    fn length(&self) -> io::Result<u64> {
        self.file.length()
    }

    fn sync(&self) -> io::Result<()> {
        self.disk.waiting_syncs.fetch_add(1, Ordering::SeqCst);
        drop(self.disk.stall());
        self.disk.waiting_syncs.fetch_sub(1, Ordering::SeqCst);
        self.disk.syncs.fetch_add(1, Ordering::SeqCst);
        let is_good = match &mut locked(&self.disk.faults).syncs_left {
            Some(left) if *left > 0 => {
                *left -= 1;
                true
            }
            _ => false,
        };
        if !is_good {
            self.disk.check(|faults| faults.sync)?;
        }
        self.file.sync()
    }
}

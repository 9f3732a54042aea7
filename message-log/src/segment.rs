//! The segment being written: one file with space ahead of the frames.

use std::io;
use std::sync::Arc;

use crate::disk::{Disk, DiskFile, write_zeros};
use crate::error::is_full;
use crate::frame::Mask;
use crate::interned::Interned;
use crate::keys::SegmentKeys;
use crate::layout::Layout;

/// How much space is reserved at once ahead of the last frame: a few dozen groups, and little for a log that hardly grows.
pub(crate) const AHEAD_BYTES: u64 = 4 * 1024 * 1024;

/// Groups that are smaller than this on average go into space that was filled with zeros before.
///
/// Reserved space that was never written costs each sync a write of the file system's own (4 to 12 KiB on ext4, and a second flush if it has a journal). Filling it with
/// zeros first makes syncs twice as fast and writes every byte twice. So a quiet log, where somebody waits for each sync, gets fast ones, and a busy one
/// saves its disk: 1.03 to 1.3 device bytes for each byte instead of 2.
const SMALL_GROUP_BYTES: u64 = 8 * 1024;

/// So much is filled with zeros at once, when less than a quarter of it is left: half a hundred small groups.
const ZEROED_BYTES: u64 = 256 * 1024;

/// The segment that takes the next frames. Its file is `[frames ‖ zeros]`.
pub(crate) struct Segment {
    pub(crate) number: u64,
    file: Arc<dyn DiskFile>,
    /// Where the next frame goes.
    pub(crate) tail: u64,
    /// Everything before this is synced.
    pub(crate) synced: u64,
    /// Where the frame of the segment's start ends.
    start_end: u64,
    /// Up to where the file has space.
    reserved: u64,
    /// Up to where that space was written, with frames or zeros.
    zeroed: u64,
    /// Length of the groups of late, in bytes.
    group_bytes: u64,
    /// Size to which the file is grown.
    bytes_max: u64,
    /// What this segment holds already.
    pub(crate) interned: Interned,
    /// Of its frames, but the first.
    pub(crate) mask: Mask,
    /// Of its records' bodies; `None` if they are stored as they are.
    pub(crate) keys: Option<Arc<SegmentKeys>>,
}

impl Segment {
    /// Creates the file of a new segment and reserves its beginning.
    pub(crate) fn create(
        disk: &dyn Disk,
        layout: &Layout,
        number: u64,
        mask: Mask,
        bytes_max: u64,
    ) -> io::Result<Self> {
        let file: Arc<dyn DiskFile> = Arc::from(disk.create(&layout.segment(number))?);
        let interned = Interned::default();
        let reserved = AHEAD_BYTES.min(bytes_max);
        file.allocate(reserved)?;
        Ok(Self {
            number,
            file,
            tail: 0,
            synced: 0,
            start_end: 0,
            reserved,
            zeroed: 0,
            group_bytes: 0,
            bytes_max,
            interned,
            mask,
            keys: None,
        })
    }

    /// The frame of the segment's start, of this length, is durable.
    pub(crate) fn begin(&mut self, length: usize) {
        self.tail = length as u64;
        self.synced = self.tail;
        self.start_end = self.tail;
    }

    /// Whether it holds nothing but its start.
    pub(crate) fn is_blank(&self) -> bool {
        self.tail == self.start_end
    }

    /// Opens a segment whose frames end at `tail`.
    pub(crate) fn open(
        disk: &dyn Disk,
        layout: &Layout,
        number: u64,
        tail: u64,
        (interned, mask): (Interned, Mask),
        bytes_max: u64,
    ) -> io::Result<Self> {
        let file: Arc<dyn DiskFile> = Arc::from(disk.open(&layout.segment(number))?);
        let reserved = file.length()?;
        // What a process wrote that was killed before it could sync is there, but would not survive a power cut: and from here on it counts.
        file.sync()?;
        Ok(Self {
            number,
            file,
            tail,
            synced: tail,
            start_end: 0,
            reserved,
            zeroed: tail,
            group_bytes: 0,
            bytes_max,
            interned,
            mask,
            keys: None,
        })
    }

    /// Whether `length` more bytes fit.
    pub(crate) fn has_room(&self, length: usize) -> bool {
        self.tail.saturating_add(length as u64) <= self.bytes_max
    }

    /// Whether there is space for `length` more bytes already.
    pub(crate) fn has_space(&self, length: usize) -> bool {
        self.tail.saturating_add(length as u64) <= self.reserved.min(self.bytes_max)
    }

    /// Makes sure that there is space for `length` bytes after the tail, so that writing them cannot fail for lack of it.
    pub(crate) fn reserve(&mut self, length: usize) -> io::Result<()> {
        let needed = self.tail.saturating_add(length as u64);
        if needed <= self.reserved {
            return Ok(());
        }
        let comfortable = needed.saturating_add(AHEAD_BYTES).min(self.bytes_max).max(needed);
        self.reserved = match self.file.allocate(comfortable) {
            Ok(()) => comfortable,
            // The disk may have room for these frames, if not for more.
            Err(error) if is_full(&error) => self.file.allocate(needed).map(|()| needed)?,
            Err(error) => return Err(error),
        };
        Ok(())
    }

    /// Reserves more space when little is left, and fills some of it with zeros, if that makes the next syncs faster. The next sync makes both durable.
    pub(crate) fn prepare_ahead(&mut self) -> io::Result<()> {
        if self.reserved.saturating_sub(self.tail) < AHEAD_BYTES / 4 && self.reserved < self.bytes_max {
            self.reserve(usize::try_from(self.reserved - self.tail + 1).unwrap_or_default())?;
        }
        let is_enough = self.zeroed.saturating_sub(self.tail) >= ZEROED_BYTES / 4;
        if is_enough || self.group_bytes >= SMALL_GROUP_BYTES {
            return Ok(());
        }
        let end = self.tail.saturating_add(ZEROED_BYTES).min(self.reserved);
        write_zeros(self.file.as_ref(), self.zeroed.max(self.tail), end)?;
        self.zeroed = self.zeroed.max(end);
        Ok(())
    }

    /// Frames of this length stand at the tail.
    pub(crate) fn advance(&mut self, length: usize) {
        self.tail += length as u64;
        self.zeroed = self.zeroed.max(self.tail);
    }

    /// What stands before `end` is durable.
    pub(crate) fn is_synced(&mut self, end: u64) {
        self.group_bytes = (7 * self.group_bytes + end.saturating_sub(self.synced)) / 8;
        self.synced = end;
    }

    /// Writes frames at the tail without moving it.
    pub(crate) fn write(&self, frames: &[u8]) -> io::Result<()> {
        self.file.write_at(frames, self.tail)
    }

    /// How to make durable what was written; may be run beside further writes.
    pub(crate) fn sync(&self) -> Sync {
        Sync(self.file.clone())
    }

    /// Takes back whatever was written after the tail, and makes that durable.
    pub(crate) fn roll_back(&mut self) -> io::Result<()> {
        self.file.set_len(self.tail)?;
        self.reserved = self.tail;
        self.zeroed = self.tail;
        self.file.sync()
    }
}

/// A sync to be run.
#[must_use]
pub(crate) struct Sync(Arc<dyn DiskFile>);

impl Sync {
    /// Makes durable what was written before. Takes as long as the disk does.
    pub(crate) fn run(&self) -> io::Result<()> {
        self.0.sync()
    }
}

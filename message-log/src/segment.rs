//! The segment being written: one file, grown ahead of the frames with zeros, so that a group's sync has no metadata to write.

use std::io;

use crate::disk::{Disk, DiskFile};
use crate::error::is_full;
use crate::frame::Mask;
use crate::interned::Interned;
use crate::layout::Layout;

/// How far a segment is grown ahead of its last frame: a few dozen groups, and yet a fresh log opens in milliseconds.
pub(crate) const AHEAD_BYTES: u64 = 4 * 1024 * 1024;

/// Zeros are written in pieces of this size.
const PIECE_BYTES: usize = 256 * 1024;
static ZEROS: [u8; PIECE_BYTES] = [0; PIECE_BYTES];

/// The segment that takes the next frames. Its file is `[frames ‖ zeros]`.
pub(crate) struct Segment {
    pub(crate) number: u64,
    file: Box<dyn DiskFile>,
    /// Where the next frame goes.
    pub(crate) tail: u64,
    /// Everything before this is synced.
    pub(crate) synced: u64,
    /// Where the frame of the segment's start ends.
    start_end: u64,
    /// Up to where the file is known to hold zeros or frames.
    allocated: u64,
    /// Size to which the file is grown.
    bytes_max: u64,
    /// What this segment holds already.
    pub(crate) interned: Interned,
    /// Of its frames, but the first.
    pub(crate) mask: Mask,
}

impl Segment {
    /// Creates the file of a new segment and fills its beginning with zeros.
    pub(crate) fn create(
        disk: &dyn Disk,
        layout: &Layout,
        number: u64,
        mask: Mask,
        bytes_max: u64,
    ) -> io::Result<Self> {
        let file = disk.create(&layout.segment(number))?;
        let interned = Interned::default();
        let mut segment =
            Self { number, file, tail: 0, synced: 0, start_end: 0, allocated: 0, bytes_max, interned, mask };
        segment.grow(AHEAD_BYTES.min(bytes_max))?;
        Ok(segment)
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
        let file = disk.open(&layout.segment(number))?;
        let allocated = file.length()?;
        // What a process wrote that was killed before it could sync is there, but would not survive a power cut: and from here on it counts.
        file.sync()?;
        Ok(Self { number, file, tail, synced: tail, start_end: 0, allocated, bytes_max, interned, mask })
    }

    /// Whether `length` more bytes fit.
    pub(crate) fn has_room(&self, length: usize) -> bool {
        self.tail.saturating_add(length as u64) <= self.bytes_max
    }

    /// Makes sure that `length` bytes after the tail are zeros on disk, so that writing them cannot fail for lack of space on file
    /// systems that overwrite in place.
    pub(crate) fn reserve(&mut self, length: usize) -> io::Result<()> {
        let needed = self.tail.saturating_add(length as u64);
        if needed <= self.allocated {
            return Ok(());
        }
        let comfortable = needed.saturating_add(AHEAD_BYTES).min(self.bytes_max).max(needed);
        match self.grow(comfortable) {
            // The disk has room for these frames, if not for more.
            Err(error) if is_full(&error) && needed <= self.allocated => Ok(()),
            outcome => outcome,
        }
    }

    /// Whether the zeros ahead of the tail run low.
    pub(crate) fn runs_low(&self) -> bool {
        self.allocated < self.bytes_max && self.allocated.saturating_sub(self.tail) < AHEAD_BYTES / 4
    }

    /// Grows the file ahead of the tail and syncs it, so that the next groups need not.
    pub(crate) fn grow_ahead(&mut self) -> io::Result<()> {
        self.grow(self.tail.saturating_add(AHEAD_BYTES).min(self.bytes_max))?;
        self.file.sync()
    }

    /// Writes frames at the tail without moving it.
    pub(crate) fn write(&self, frames: &[u8]) -> io::Result<()> {
        self.file.write_at(frames, self.tail)
    }

    /// Makes what was written durable.
    pub(crate) fn sync(&self) -> io::Result<()> {
        self.file.sync()
    }

    /// Takes back whatever was written after the tail, and makes that durable.
    pub(crate) fn roll_back(&mut self) -> io::Result<()> {
        self.file.set_len(self.tail)?;
        self.allocated = self.tail;
        self.file.sync()
    }

    fn grow(&mut self, target: u64) -> io::Result<()> {
        while self.allocated < target {
            let piece = usize::try_from(target - self.allocated).unwrap_or(PIECE_BYTES).min(PIECE_BYTES);
            self.file.write_at(&ZEROS[..piece], self.allocated)?;
            self.allocated += piece as u64;
        }
        Ok(())
    }
}

//! Reading one segment's file, frame by frame, through a window that never grows with the file.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use bytes::Bytes;
use kogge_proto::wire::log::Entry;
use prost::Message;

use crate::frame::{FIRST_PAYLOAD_BYTE, HEADER_BYTES, Header};
use crate::layout::Layout;

/// Bytes read at once when all frames are wanted; a larger frame is read alone.
const WINDOW_BYTES: usize = 256 * 1024;

/// Bytes read at once when one frame is wanted: a common record.
const NARROW_WINDOW_BYTES: usize = 4 * 1024;

/// A frame whose checksum holds.
pub(crate) struct Frame {
    pub(crate) offset: u64,
    pub(crate) end: u64,
    pub(crate) payload: Bytes,
}

/// What stands at the reader's offset.
pub(crate) enum Piece {
    Frame(Frame),
    /// Zeros, or the end of the file.
    Blank,
    /// Something that is no frame.
    Bad {
        check: &'static str,
        reason: String,
    },
}

/// Reads the frames of one segment in order.
pub(crate) struct SegmentReader {
    file: File,
    pub(crate) number: u64,
    /// Where the next frame is expected.
    pub(crate) offset: u64,
    window: Bytes,
    window_start: u64,
    window_bytes: usize,
}

impl SegmentReader {
    pub(crate) fn open(layout: &Layout, number: u64, offset: u64) -> io::Result<Self> {
        let file = File::open(layout.segment(number))?;
        let window_bytes = WINDOW_BYTES;
        Ok(Self { file, number, offset, window: Bytes::new(), window_start: 0, window_bytes })
    }

    /// For one frame only.
    pub(crate) fn open_narrow(layout: &Layout, number: u64, offset: u64) -> io::Result<Self> {
        Ok(Self { window_bytes: NARROW_WINDOW_BYTES, ..Self::open(layout, number, offset)? })
    }

    /// Goes on at `offset`, from where about `bytes` are wanted.
    pub(crate) fn move_to(&mut self, offset: u64, bytes: u64) {
        self.offset = offset;
        self.window_bytes = usize::try_from(bytes).unwrap_or(WINDOW_BYTES).min(WINDOW_BYTES);
    }

    /// Reads what stands at the offset, and moves on if it is a frame.
    pub(crate) fn next(&mut self) -> io::Result<Piece> {
        let piece = self.piece_at(self.offset)?;
        if let Piece::Frame(frame) = &piece {
            self.offset = frame.end;
        }
        Ok(piece)
    }

    /// Forgets what was read ahead: a writer may have written since.
    pub(crate) fn forget_window(&mut self) {
        self.window = Bytes::new();
    }

    /// Offset of the first byte at or after `from` that is not zero.
    pub(crate) fn first_nonzero(&mut self, from: u64) -> io::Result<Option<u64>> {
        let mut at = from;
        loop {
            let piece = self.view(at, 1)?;
            if piece.is_empty() {
                return Ok(None);
            }
            if let Some(index) = piece.iter().position(|byte| *byte != 0) {
                return Ok(Some(at + index as u64));
            }
            at += piece.len() as u64;
        }
    }

    /// End of the last byte at or after `from` that is not zero; `from` if all are.
    pub(crate) fn nonzero_end(&mut self, from: u64) -> io::Result<u64> {
        let (mut at, mut end) = (from, from);
        loop {
            let piece = self.view(at, 1)?;
            if piece.is_empty() {
                return Ok(end);
            }
            if let Some(index) = piece.iter().rposition(|byte| *byte != 0) {
                end = at + index as u64 + 1;
            }
            at += piece.len() as u64;
        }
    }

    /// The next whole entry after a place that is none: first where the broken frame's length leads, then byte by byte.
    pub(crate) fn find_entry(&mut self, broken: u64) -> io::Result<Option<(u64, Entry)>> {
        if let Header::Payload { length, .. } = self.header_at(broken)? {
            let next = broken + (HEADER_BYTES + length) as u64;
            if let Some(entry) = self.entry_at(next)? {
                return Ok(Some((next, entry)));
            }
        }
        let mut at = broken + 1;
        while let Some(candidate) = self.first_nonzero(at)? {
            // Up to three zeros may precede: a length is little-endian, and multiples of 256 begin with zeros.
            for start in candidate.saturating_sub(3).max(at)..=candidate {
                if let Some(entry) = self.entry_at(start)? {
                    return Ok(Some((start, entry)));
                }
            }
            at = candidate + 1;
        }
        Ok(None)
    }

    /// The bytes from `from` to `to`, in pieces.
    pub(crate) fn copy(&mut self, from: u64, to: u64, mut each: impl FnMut(&[u8])) -> io::Result<()> {
        let mut at = from;
        while at < to {
            let piece = self.view(at, 1)?;
            let wanted = usize::try_from(to - at).unwrap_or(usize::MAX);
            let piece = piece.slice(..piece.len().min(wanted));
            if piece.is_empty() {
                return Ok(());
            }
            each(&piece);
            at += piece.len() as u64;
        }
        Ok(())
    }

    fn entry_at(&mut self, at: u64) -> io::Result<Option<Entry>> {
        let plausible = matches!(self.header_at(at)?, Header::Payload { .. })
            && self.view(at + HEADER_BYTES as u64, 1)?.first() == Some(&FIRST_PAYLOAD_BYTE);
        if !plausible {
            return Ok(None);
        }
        match self.piece_at(at)? {
            Piece::Frame(frame) => Ok(Entry::decode(frame.payload).ok()),
            Piece::Blank | Piece::Bad { .. } => Ok(None),
        }
    }

    fn header_at(&mut self, at: u64) -> io::Result<Header> {
        let bytes = self.view(at, HEADER_BYTES)?;
        Ok(bytes
            .get(..HEADER_BYTES)
            .and_then(|head| head.try_into().ok())
            .map_or(Header::Blank, Header::parse))
    }

    fn piece_at(&mut self, at: u64) -> io::Result<Piece> {
        let bad = |check, reason: &str| Ok(Piece::Bad { check, reason: reason.to_owned() });
        let head = self.view(at, HEADER_BYTES)?;
        let Some(header) = head.get(..HEADER_BYTES).and_then(|bytes| bytes.try_into().ok()) else {
            return if head.iter().all(|byte| *byte == 0) {
                Ok(Piece::Blank)
            } else {
                bad("log.frame", "the file ends within a frame's header")
            };
        };
        let (length, checksum) = match Header::parse(header) {
            Header::Blank => return Ok(Piece::Blank),
            Header::Implausible => return bad("log.frame", "no frame has this length"),
            Header::Payload { length, checksum } => (length, checksum),
        };
        let start = at + HEADER_BYTES as u64;
        let view = self.view(start, length)?;
        let Some(payload) = (view.len() >= length).then(|| view.slice(..length)) else {
            return bad("log.frame", "the file ends within a frame");
        };
        if crc32c::crc32c(&payload) != checksum {
            return bad("log.checksum", "the entry does not match its checksum");
        }
        Ok(Piece::Frame(Frame { offset: at, end: start + length as u64, payload }))
    }

    /// At least `need` bytes from `at` on, fewer only at the end of the file.
    fn view(&mut self, at: u64, need: usize) -> io::Result<Bytes> {
        let held = at
            .checked_sub(self.window_start)
            .and_then(|skip| usize::try_from(skip).ok())
            .filter(|skip| self.window.len().saturating_sub(*skip) >= need);
        if let Some(skip) = held {
            return Ok(self.window.slice(skip..));
        }
        let mut bytes = vec![0; need.max(self.window_bytes)];
        let mut filled = 0;
        while let Some(rest) = bytes.get_mut(filled..).filter(|rest| !rest.is_empty()) {
            match self.file.read_at(rest, at + filled as u64) {
                Ok(0) => break,
                Ok(read) => filled += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        bytes.truncate(filled);
        self.window = Bytes::from(bytes);
        self.window_start = at;
        Ok(self.window.clone())
    }
}

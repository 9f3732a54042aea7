//! Reading one segment's file, frame by frame, through a window that never grows with the file.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use bytes::Bytes;
use kogge_proto::wire::log::{Entry, entry::Kind};
use prost::Message;

use crate::frame::{FIRST_PAYLOAD_BYTE, HEADER_BYTES, Header, Mask};
use crate::layout::Layout;
use crate::resolve::Referents;

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
    /// Of all frames but the first; `None` until it was needed, and while the first frame is not there or not whole.
    mask: Option<Mask>,
    pub(crate) referents: Referents,
}

impl SegmentReader {
    pub(crate) fn open(layout: &Layout, number: u64, offset: u64) -> io::Result<Self> {
        let file = File::open(layout.segment(number))?;
        let window_bytes = WINDOW_BYTES;
        let (window, window_start, mask, referents) = (Bytes::new(), 0, None, Referents::default());
        Ok(Self { file, number, offset, window, window_start, window_bytes, mask, referents })
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
        if self.learn_mask()?.is_none() {
            self.infer_mask(broken)?;
        }
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

    /// The frame at `at`, read beside the window.
    pub(crate) fn entry_alone(&mut self, at: u64) -> io::Result<Option<Entry>> {
        let mask = if at == 0 { Some(Mask::NONE) } else { self.learn_mask()? };
        let mut header = [0; HEADER_BYTES];
        let Some(mask) = mask else { return Ok(None) };
        if read_full(&self.file, &mut header, at)? < HEADER_BYTES {
            return Ok(None);
        }
        let Header::Payload { length, checksum } = Header::parse(header) else { return Ok(None) };
        let mut payload = vec![0; length];
        let whole = read_full(&self.file, &mut payload, at + HEADER_BYTES as u64)? == length;
        Ok(if whole && mask.checksum(&payload) == checksum {
            Entry::decode(payload.as_slice()).ok()
        } else {
            None
        })
    }

    fn learn_mask(&mut self) -> io::Result<Option<Mask>> {
        if self.mask.is_none()
            && let Some(Kind::SegmentStart(start)) = self.entry_alone(0)?.and_then(|entry| entry.kind)
        {
            self.mask = Some(Mask(start.checksum_mask));
        }
        Ok(self.mask)
    }

    /// Learns the mask from what follows a broken start: from the first frame that holds an entry and whose successor has the same mask, or that has none. So one
    /// flipped bit does not hide a whole segment.
    fn infer_mask(&mut self, broken: u64) -> io::Result<()> {
        let mut at = match self.header_at(broken)? {
            Header::Payload { length, .. } => broken + (HEADER_BYTES + length) as u64,
            Header::Blank | Header::Implausible => broken + 1,
        };
        // If the length leads nowhere, it is what was broken.
        if self.mask_at(at)?.is_none() {
            at = broken + 1;
        }
        while let Some(candidate) = self.first_nonzero(at)? {
            for start in candidate.saturating_sub(3).max(at)..=candidate {
                let Some((mask, next)) = self.mask_at(start)? else { continue };
                let is_last = self.header_at(next)? == Header::Blank;
                if is_last || self.mask_at(next)?.is_some_and(|(other, _)| other == mask) {
                    self.mask = Some(mask);
                    return Ok(());
                }
            }
            at = candidate + 1;
        }
        Ok(())
    }

    /// The mask under which an entry stands here, and where its frame ends.
    fn mask_at(&mut self, at: u64) -> io::Result<Option<(Mask, u64)>> {
        let Header::Payload { length, checksum } = self.header_at(at)? else { return Ok(None) };
        let start = at + HEADER_BYTES as u64;
        if self.view(start, 1)?.first() != Some(&FIRST_PAYLOAD_BYTE) {
            return Ok(None);
        }
        let view = self.view(start, length)?;
        let Some(payload) = view.get(..length) else { return Ok(None) };
        let is_entry = Entry::decode(payload).is_ok_and(|entry| entry.kind.is_some());
        Ok(is_entry.then(|| (Mask::between(checksum, payload), start + length as u64)))
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
        let Some(mask) = (if at == 0 { Some(Mask::NONE) } else { self.learn_mask()? }) else {
            return bad("log.checksum", "without the segment's start no entry can be checked");
        };
        if mask.checksum(&payload) != checksum {
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
        let filled = read_full(&self.file, &mut bytes, at)?;
        bytes.truncate(filled);
        self.window = Bytes::from(bytes);
        self.window_start = at;
        Ok(self.window.clone())
    }
}

/// Fills the buffer as far as the file goes; returns how far.
fn read_full(file: &File, bytes: &mut [u8], at: u64) -> io::Result<usize> {
    let mut filled = 0;
    while let Some(rest) = bytes.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        match file.read_at(rest, at + filled as u64) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

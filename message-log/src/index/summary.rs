//! The file beside a segment's blocks that answers most questions without them: when its messages were appended, whether one may be here, where
//! groups and stamps stand. Other processes read it too, since it needs no lock.
//!
//! `[head, 4 KiB] [pages of the filter, 4 KiB each] [stamps] [outline]`. It is written once, after the blocks are durable, and replaced as a whole. It
//! is believed if its checksums hold and the next segment's start names the same last entry and the same end: so it can be neither another
//! log's nor an older one's.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use kogge_proto::digest::Sha256;
use kogge_proto::time::UnixMillis;

use super::blocks::Owner;
use super::filter::{self, PAGE_BYTES};
use super::memory::MemoryIndex;
use super::note::{Field, Probe};
use super::outline::{Outline, StampSpan, TimeSpan, decode_stamps, encode_stamps};
use super::rows::RowsError;
use crate::layout::Layout;
use crate::scan::{Start, read_start};

/// First bytes of a summary: one of another form is not believed.
const FORMAT: [u8; 8] = *b"kogge-s2";

/// Where the first page of the filter begins.
const HEAD_PAGE_BYTES: u64 = 4096;

/// Bytes of a head: format, eleven numbers, hash, checksum.
const HEAD_BYTES: usize = 8 + 11 * 8 + 32 + 4;

/// Most bytes that a section is believed to have.
const SECTION_BYTES_MAX: u64 = 1 << 30;

/// An open summary, of which only the head was read.
pub(crate) struct Summary {
    file: File,
    segment: u64,
    head: Head,
}

#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
struct Head {
    last_sha256: [u8; 32],
    last_sequence: u64,
    /// Where the last entry's frame ends.
    end: u64,
    /// Number of the filter's pages.
    pages: u64,
    stamps_bytes: u64,
    stamps_sum: u64,
    outline_bytes: u64,
    outline_sum: u64,
    /// Smallest and largest sequence that a stamp in it covers; the wrong way round if there is none.
    first_covered: u64,
    last_covered: u64,
    /// Of messages; the wrong way round if there are none.
    earliest: u64,
    latest: u64,
}

impl Summary {
    /// Opens the summary of a segment; `None` if there is none, or the segment is the last.
    pub(crate) fn open(layout: &Layout, segment: u64) -> Result<Option<Self>, RowsError> {
        let file = match File::open(layout.summary(segment)) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(failed(&error)),
        };
        let mut bytes = [0; HEAD_BYTES];
        file.read_exact_at(&mut bytes, 0).map_err(|error| failed(&error))?;
        let head = Head::decode(segment, &bytes)
            .ok_or_else(|| RowsError::Disagrees(format!("the summary of segment {segment} is damaged")))?;
        let summary = Self { file, segment, head };
        match read_start(layout, segment.saturating_add(1)).map_err(|error| failed(&error))? {
            None | Some(Start::Blank) => Ok(None),
            Some(Start::Entry(entry, start))
                if entry.previous_sha256 == Some(Sha256(head.last_sha256))
                    && entry.sequence == head.last_sequence.saturating_add(1)
                    && start.previous_bytes == head.end =>
            {
                Ok(Some(summary))
            }
            Some(Start::Entry(..) | Start::Unreadable) => {
                Err(RowsError::Disagrees(format!("the summary of segment {segment} is of another one")))
            }
        }
    }

    /// Writes the summary of a sealed segment, durably. Its blocks must be durable.
    pub(crate) fn write(
        layout: &Layout,
        index: &MemoryIndex,
        fingerprints: &[(Field, Vec<u32>)],
    ) -> Result<(), RowsError> {
        let outline = &index.outline;
        let pages = filter::build(fingerprints);
        let (mut stamps, mut body) = (Vec::new(), Vec::new());
        encode_stamps(&outline.stamps, &mut stamps);
        outline.encode(&mut body);
        let span = outline.time_span();
        let head = Head {
            last_sha256: index.chain.hash.0,
            last_sequence: index.chain.sequence,
            end: outline.end,
            pages: (pages.len() / PAGE_BYTES) as u64,
            stamps_bytes: stamps.len() as u64,
            stamps_sum: crc32c::crc32c(&stamps).into(),
            outline_bytes: body.len() as u64,
            outline_sum: crc32c::crc32c(&body).into(),
            first_covered: outline.stamps.iter().map(|stamp| stamp.first).min().unwrap_or(u64::MAX),
            last_covered: outline.stamps.iter().map(|stamp| stamp.last).max().unwrap_or(0),
            earliest: span.map_or(i64::MAX, |span| span.earliest.0).cast_unsigned(),
            latest: span.map_or(i64::MIN, |span| span.latest.0).cast_unsigned(),
        };
        let mut bytes = head.encode(outline.segment);
        bytes.resize(usize::try_from(HEAD_PAGE_BYTES).unwrap_or_default(), 0);
        for part in [pages, stamps, body] {
            bytes.extend_from_slice(&part);
        }
        Ok(kogge_durable::write_atomic(&layout.summary(outline.segment), &bytes, true)?)
    }

    /// Whose blocks belong to it.
    pub(crate) fn owner(&self) -> Owner {
        Owner { segment: self.segment, last_sha256: Sha256(self.head.last_sha256) }
    }

    /// Whether messages may be here that are found by every probe and were appended at `from` or later and before `to`. Reads a page for each probe.
    pub(crate) fn may_hold(
        &self,
        probes: &[Probe],
        from: Option<UnixMillis>,
        to: Option<UnixMillis>,
    ) -> Result<bool, RowsError> {
        let (earliest, latest) = (self.head.earliest.cast_signed(), self.head.latest.cast_signed());
        let span = TimeSpan { earliest: UnixMillis(earliest), latest: UnixMillis(latest) };
        if earliest > latest || !span.meets(from, to) {
            return Ok(false);
        }
        for probe in probes {
            let mut page = [0; PAGE_BYTES];
            let at = HEAD_PAGE_BYTES + filter::page_of(*probe, self.head.pages) * PAGE_BYTES as u64;
            self.file.read_exact_at(&mut page, at).map_err(|error| failed(&error))?;
            if !filter::may_hold(&page, *probe).ok_or_else(|| self.damaged())? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Whether a stamp in it may cover a record with this sequence or a larger one.
    pub(crate) fn may_cover_from(&self, sequence: u64) -> bool {
        self.head.first_covered <= self.head.last_covered && sequence <= self.head.last_covered
    }

    /// The stamps in it, in order.
    pub(crate) fn stamps(&self) -> Result<Vec<StampSpan>, RowsError> {
        let bytes = self.section(self.stamps_at(), self.head.stamps_bytes, self.head.stamps_sum)?;
        decode_stamps(self.segment, &bytes).ok_or_else(|| self.damaged())
    }

    /// Where its groups and stamps stand.
    pub(crate) fn outline(&self) -> Result<Outline, RowsError> {
        let at = self.stamps_at().saturating_add(self.head.stamps_bytes);
        let bytes = self.section(at, self.head.outline_bytes, self.head.outline_sum)?;
        let mut outline = Outline::decode(self.segment, &bytes).ok_or_else(|| self.damaged())?;
        outline.stamps = self.stamps()?;
        Ok(outline)
    }

    fn stamps_at(&self) -> u64 {
        HEAD_PAGE_BYTES.saturating_add(self.head.pages.saturating_mul(PAGE_BYTES as u64))
    }

    fn section(&self, at: u64, length: u64, checksum: u64) -> Result<Vec<u8>, RowsError> {
        let length = Some(length).filter(|length| *length <= SECTION_BYTES_MAX);
        let mut bytes =
            vec![0; length.and_then(|length| usize::try_from(length).ok()).ok_or_else(|| self.damaged())?];
        self.file.read_exact_at(&mut bytes, at).map_err(|error| failed(&error))?;
        if u64::from(crc32c::crc32c(&bytes)) != checksum {
            return Err(self.damaged());
        }
        Ok(bytes)
    }

    fn damaged(&self) -> RowsError {
        RowsError::Disagrees(format!("the summary of segment {} is damaged", self.segment))
    }
}

impl Head {
    fn encode(&self, segment: u64) -> Vec<u8> {
        let mut bytes = FORMAT.to_vec();
        for number in self.numbers() {
            bytes.extend_from_slice(&number.to_be_bytes());
        }
        bytes.extend_from_slice(&self.last_sha256);
        let checksum = sum(segment, &bytes);
        bytes.extend_from_slice(&checksum.to_be_bytes());
        bytes
    }

    fn decode(segment: u64, bytes: &[u8; HEAD_BYTES]) -> Option<Self> {
        let (rest, checksum) = bytes.split_last_chunk::<4>()?;
        if sum(segment, rest) != u32::from_be_bytes(*checksum) {
            return None;
        }
        let (numbers, last_sha256) = rest.strip_prefix(&FORMAT)?.split_last_chunk::<32>()?;
        let mut numbers = numbers.as_chunks::<8>().0.iter().map(|bytes| u64::from_be_bytes(*bytes));
        let mut next = || numbers.next();
        Some(Self {
            last_sha256: *last_sha256,
            last_sequence: next()?,
            end: next()?,
            pages: next()?,
            stamps_bytes: next()?,
            stamps_sum: next()?,
            outline_bytes: next()?,
            outline_sum: next()?,
            first_covered: next()?,
            last_covered: next()?,
            earliest: next()?,
            latest: next()?,
        })
    }

    fn numbers(&self) -> [u64; 11] {
        [
            self.last_sequence,
            self.end,
            self.pages,
            self.stamps_bytes,
            self.stamps_sum,
            self.outline_bytes,
            self.outline_sum,
            self.first_covered,
            self.last_covered,
            self.earliest,
            self.latest,
        ]
    }
}

/// The segment's number is covered too: a summary under another name is not believed.
fn sum(segment: u64, bytes: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(&segment.to_be_bytes()), bytes)
}

fn failed(error: &io::Error) -> RowsError {
    RowsError::Failed(error.to_string())
}

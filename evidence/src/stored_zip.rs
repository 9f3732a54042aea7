//! ZIP files (PKWARE APPNOTE 6.3) of stored entries alone: names and contents determine every byte.
//!
//! No compression, no extra fields but ZIP64's where a size or offset needs it, no data descriptors, no comments, one
//! fixed entry time. What lies around the contents can be written again and compared ([`frame_holds`]), so that not one
//! byte of a file can change unnoticed. Files of others are read with the `zip` crate, never with this module.

use std::io::{self, Read, Seek, SeekFrom, Write};

/// One entry; its place follows from the entries before it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Entry {
    /// ASCII, at most 65,535 bytes.
    pub name: String,
    /// Length of the content in bytes.
    pub size: u64,
    /// CRC-32 of the content.
    pub crc32: u32,
}

/// Writes a file entry by entry; `out` must be empty.
#[derive(Debug)]
pub(crate) struct Writer<W> {
    out: W,
    entries: Vec<Entry>,
    position: u64,
}

impl<W: Write + Seek> Writer<W> {
    pub(crate) fn new(out: W) -> Self {
        Self { out, entries: Vec::new(), position: 0 }
    }

    /// Adds an entry that is in memory.
    pub(crate) fn add(&mut self, name: &str, content: &[u8]) -> io::Result<()> {
        let entry = Entry {
            name: name.to_owned(),
            size: u64::try_from(content.len()).map_err(io::Error::other)?,
            crc32: crc32fast::hash(content),
        };
        let header = local_header(&entry);
        self.out.write_all(&header)?;
        self.out.write_all(content)?;
        self.advance(&header, entry);
        Ok(())
    }

    /// Adds an entry of exactly `size` bytes from a reader, without holding it in memory. The checksum is written into the
    /// header afterwards; a crash in between leaves a file without a directory, which no reader opens.
    pub(crate) fn add_from(&mut self, name: &str, size: u64, content: &mut dyn Read) -> io::Result<()> {
        let mut entry = Entry { name: name.to_owned(), size, crc32: 0 };
        self.out.write_all(&local_header(&entry))?;
        entry.crc32 = self.copy(size, content)?;
        let header = local_header(&entry);
        self.out.seek(SeekFrom::Start(self.position))?;
        self.out.write_all(&header)?;
        self.advance(&header, entry);
        self.out.seek(SeekFrom::Start(self.position))?;
        Ok(())
    }

    /// Writes the directory.
    pub(crate) fn finish(mut self) -> io::Result<()> {
        self.out.write_all(&directory(&self.entries))?;
        self.out.flush()
    }

    fn copy(&mut self, size: u64, content: &mut dyn Read) -> io::Result<u32> {
        let mut checksum = crc32fast::Hasher::new();
        let mut buffer = vec![0; COPY_BYTES];
        let mut left = size;
        loop {
            let count = content.read(&mut buffer)?;
            let Some(piece) = buffer.get(..count).filter(|piece| !piece.is_empty()) else { break };
            left = left.checked_sub(piece.len() as u64).ok_or_else(|| wrong_length(size))?;
            checksum.update(piece);
            self.out.write_all(piece)?;
        }
        if left == 0 { Ok(checksum.finalize()) } else { Err(wrong_length(size)) }
    }

    fn advance(&mut self, header: &[u8], entry: Entry) {
        self.position += header.len() as u64 + entry.size;
        self.entries.push(entry);
    }
}

/// Whether everything in `file` but the contents of the entries is what this module writes for them, in this order.
///
/// # Errors
/// The file cannot be read; an end before the last entry is a `false`.
pub fn frame_holds(mut file: impl Read + Seek, entries: &[Entry]) -> io::Result<bool> {
    let mut position = 0_u64;
    for entry in entries {
        let header = local_header(entry);
        file.seek(SeekFrom::Start(position))?;
        if !continues_with(&mut file, &header)? {
            return Ok(false);
        }
        let length = header.len() as u64;
        let Some(next) = position.checked_add(length).and_then(|end| end.checked_add(entry.size)) else {
            return Ok(false);
        };
        position = next;
    }
    file.seek(SeekFrom::Start(position))?;
    let ends = continues_with(&mut file, &directory(entries))? && file.read(&mut [0])? == 0;
    Ok(ends)
}

fn continues_with(file: &mut impl Read, expected: &[u8]) -> io::Result<bool> {
    let mut found = Vec::with_capacity(expected.len());
    file.take(expected.len() as u64).read_to_end(&mut found)?;
    Ok(found == expected)
}

/// APPNOTE 4.3.7.
fn local_header(entry: &Entry) -> Vec<u8> {
    let large = entry.size >= ZIP64_SIZE;
    let extra = if large { zip64_extra(&[entry.size, entry.size]) } else { Vec::new() };
    let mut header = Bytes::default();
    header.u32(0x0403_4B50).u16(version(large));
    header.form_and_sizes(entry, &extra);
    header.raw(entry.name.as_bytes()).raw(&extra);
    header.0
}

/// APPNOTE 4.3.12 and 4.3.14 to 4.3.16: the central headers of all entries, and the end.
fn directory(entries: &[Entry]) -> Vec<u8> {
    let mut out = Bytes::default();
    let mut offset = 0_u64;
    for entry in entries {
        out.raw(&central_header(entry, offset));
        offset = offset.saturating_add(local_header(entry).len() as u64).saturating_add(entry.size);
    }
    let size = out.0.len() as u64;
    let count = entries.len() as u64;
    if offset >= ZIP64_SIZE {
        out.u32(0x0606_4B50).u64(44).u16(ZIP64_VERSION).u16(ZIP64_VERSION).u32(0).u32(0);
        out.u64(count).u64(count).u64(size).u64(offset);
        out.u32(0x0706_4B50).u32(0).u64(offset.saturating_add(size)).u32(1);
    }
    let count = u16::try_from(count).unwrap_or(u16::MAX);
    out.u32(0x0605_4B50).u16(0).u16(0).u16(count).u16(count).u32(low(size)).u32(low(offset)).u16(0);
    out.0
}

fn central_header(entry: &Entry, offset: u64) -> Vec<u8> {
    let large = entry.size >= ZIP64_SIZE;
    let mut wide = Vec::new();
    if large {
        wide.extend([entry.size, entry.size]);
    }
    if offset >= ZIP64_SIZE {
        wide.push(offset);
    }
    let extra = if wide.is_empty() { Vec::new() } else { zip64_extra(&wide) };
    let version = version(!wide.is_empty());
    let mut header = Bytes::default();
    header.u32(0x0201_4B50).u16(version).u16(version);
    header.form_and_sizes(entry, &extra);
    header.u16(0).u16(0).u16(0).u32(0).u32(low(offset));
    header.raw(entry.name.as_bytes()).raw(&extra);
    header.0
}

/// APPNOTE 4.5.3.
fn zip64_extra(values: &[u64]) -> Vec<u8> {
    let mut extra = Bytes::default();
    extra.u16(1).u16(u16::try_from(values.len() * 8).unwrap_or(u16::MAX));
    for value in values {
        extra.u64(*value);
    }
    extra.0
}

fn version(zip64: bool) -> u16 {
    if zip64 { ZIP64_VERSION } else { STORED_VERSION }
}

/// The value of a field of 32 bits, whose largest value says that ZIP64 has the real one.
fn low(value: u64) -> u32 {
    u32::try_from(value).unwrap_or(u32::MAX)
}

fn wrong_length(size: u64) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("the body does not have its {size} bytes"))
}

/// Little-endian fields.
#[derive(Default)]
struct Bytes(Vec<u8>);

impl Bytes {
    fn u16(&mut self, value: u16) -> &mut Self {
        self.raw(&value.to_le_bytes())
    }

    fn u32(&mut self, value: u32) -> &mut Self {
        self.raw(&value.to_le_bytes())
    }

    fn u64(&mut self, value: u64) -> &mut Self {
        self.raw(&value.to_le_bytes())
    }

    fn raw(&mut self, bytes: &[u8]) -> &mut Self {
        self.0.extend_from_slice(bytes);
        self
    }

    /// What local and central headers have alike: flags, method, time, date, checksum, sizes, lengths of name and extra.
    fn form_and_sizes(&mut self, entry: &Entry, extra: &[u8]) {
        let length = |bytes: &[u8]| u16::try_from(bytes.len()).unwrap_or(u16::MAX);
        self.u16(0).u16(STORED).u16(0).u16(FIRST_OF_JANUARY_1980).u32(entry.crc32);
        let size = low(entry.size);
        self.u32(size).u32(size).u16(length(entry.name.as_bytes())).u16(length(extra));
    }
}

const STORED: u16 = 0;
const STORED_VERSION: u16 = 10;
const ZIP64_VERSION: u16 = 45;

/// From here on a size or an offset does not fit into 32 bits.
const ZIP64_SIZE: u64 = u32::MAX as u64;

/// MS-DOS date; the time of an entry would say nothing that the signature does not say better.
const FIRST_OF_JANUARY_1980: u16 = 0x0021;

const COPY_BYTES: usize = 64 * 1024;

#[cfg(test)]
mod tests;

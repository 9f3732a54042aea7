//! Large bodies, encrypted while they arrive: in chunks, each with its number and whether it is the last in the nonce (STREAM; Hoang, Reyhanitabar, Rogaway, Vizár 2015), so that none can be
//! altered, left out, repeated or moved, and the end not be cut off.

use std::fmt;
use std::fs::File;
use std::io::{self, Read};

use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::rand::{SecureRandom, SystemRandom};
use zeroize::Zeroizing;

use super::TAG_BYTES;

/// Bytes of a body that are encrypted at once.
pub const BODY_CHUNK_BYTES: usize = 64 * 1024;

/// The same in a file.
pub const SEALED_CHUNK_BYTES: usize = BODY_CHUNK_BYTES + TAG_BYTES;

/// Length of a body's own key.
pub(crate) const BODY_KEY_BYTES: usize = 32;

/// A key for one body, made when it begins to arrive.
pub struct BodyKey {
    bytes: Zeroizing<[u8; BODY_KEY_BYTES]>,
    key: LessSafeKey,
}

impl BodyKey {
    /// A new one.
    ///
    /// # Errors
    /// The operating system gives no random numbers.
    pub fn random() -> io::Result<Self> {
        let mut bytes = Zeroizing::new([0; BODY_KEY_BYTES]);
        let refused = |_| io::Error::other("the operating system gives no random numbers");
        SystemRandom::new().fill(bytes.as_mut_slice()).map_err(refused)?;
        Self::new(bytes).ok_or_else(|| io::Error::other("the cryptographic library failed"))
    }

    pub(crate) fn new(bytes: Zeroizing<[u8; BODY_KEY_BYTES]>) -> Option<Self> {
        let key = LessSafeKey::new(UnboundKey::new(&AES_256_GCM, bytes.as_slice()).ok()?);
        Some(Self { bytes, key })
    }

    pub(crate) fn bytes(&self) -> &[u8; BODY_KEY_BYTES] {
        &self.bytes
    }

    /// How long the file of a body of this length is.
    #[must_use]
    pub fn sealed_length(length: u64) -> u64 {
        let chunks = length.div_ceil(BODY_CHUNK_BYTES as u64).max(1);
        length.saturating_add(chunks.saturating_mul(TAG_BYTES as u64))
    }

    /// Encrypts a chunk where it stands and appends the tag. All but the last have [`BODY_CHUNK_BYTES`].
    ///
    /// # Errors
    /// The cryptographic library fails.
    pub fn seal_chunk(&self, number: u32, is_last: bool, chunk: &mut Vec<u8>) -> io::Result<()> {
        let failed = |_| io::Error::other("the body cannot be encrypted");
        let tag = self
            .key
            .seal_in_place_separate_tag(nonce(number, is_last), Aad::empty(), chunk)
            .map_err(failed)?;
        chunk.extend_from_slice(tag.as_ref());
        Ok(())
    }

    /// Decrypts chunks that follow each other from `first` on where they stand; `to_end` if the last of them is the body's.
    ///
    /// # Errors
    /// One is not what was written here ([`io::ErrorKind::InvalidData`]).
    pub fn open_chunks(&self, first: u32, to_end: bool, sealed: &mut Vec<u8>) -> io::Result<()> {
        let count = sealed.len().div_ceil(SEALED_CHUNK_BYTES);
        let mut opened = 0;
        for (number, at) in (first..).zip((0..sealed.len()).step_by(SEALED_CHUNK_BYTES)) {
            let end = sealed.len().min(at + SEALED_CHUNK_BYTES);
            let is_last = to_end && u64::from(number - first) + 1 == count as u64;
            let chunk = sealed.get_mut(at..end).unwrap_or_default();
            let length = self
                .key
                .open_in_place(nonce(number, is_last), Aad::empty(), chunk)
                .map_err(|_| altered())?
                .len();
            sealed.copy_within(at..at + length, opened);
            opened += length;
        }
        sealed.truncate(opened);
        Ok(())
    }
}

impl fmt::Debug for BodyKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BodyKey").finish_non_exhaustive()
    }
}

fn nonce(number: u32, is_last: bool) -> Nonce {
    let [a, b, c, d] = number.to_be_bytes();
    let mut nonce = [0; NONCE_LEN];
    let end = [a, b, c, d, u8::from(is_last)];
    nonce.iter_mut().rev().zip(end.iter().rev()).for_each(|(byte, of_end)| *byte = *of_end);
    Nonce::assume_unique_for_key(nonce)
}

fn altered() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "the encrypted body is not the one that was written")
}

/// A body's file, read as the body.
#[derive(Debug)]
pub struct BodyFile {
    file: File,
    way: Way,
}

#[derive(Debug)]
enum Way {
    Plain,
    Sealed(Box<Opening>),
}

#[derive(Debug)]
struct Opening {
    key: std::sync::Arc<BodyKey>,
    /// Bytes of the file that were not read yet.
    left: u64,
    /// Number of the next chunk.
    next: u32,
    chunk: Vec<u8>,
    /// How much of the chunk was given out.
    given: usize,
}

impl BodyFile {
    /// A file as it is, or one with a body of this length under its key.
    pub(crate) fn new(file: File, key: Option<std::sync::Arc<BodyKey>>, length: u64) -> Self {
        let way = match key {
            None => Way::Plain,
            Some(key) => {
                let left = BodyKey::sealed_length(length);
                Way::Sealed(Box::new(Opening { key, left, next: 0, chunk: Vec::new(), given: 0 }))
            }
        };
        Self { file, way }
    }
}

impl Read for BodyFile {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let Way::Sealed(opening) = &mut self.way else { return self.file.read(buffer) };
        if opening.given == opening.chunk.len() {
            opening.advance(&mut self.file)?;
        }
        let ready = opening.chunk.get(opening.given..).unwrap_or_default();
        let count = ready.len().min(buffer.len());
        buffer.iter_mut().zip(ready).for_each(|(to, from)| *to = *from);
        opening.given += count;
        Ok(count)
    }
}

impl Opening {
    /// The next chunk; none at the end.
    fn advance(&mut self, file: &mut File) -> io::Result<()> {
        let length = usize::try_from(self.left).unwrap_or(usize::MAX).min(SEALED_CHUNK_BYTES);
        self.given = 0;
        self.chunk.clear();
        if length == 0 {
            // What stands behind the end is nothing that was written.
            return if file.read(&mut [0])? == 0 { Ok(()) } else { Err(altered()) };
        }
        self.chunk.resize(length, 0);
        file.read_exact(&mut self.chunk)?;
        self.left -= length as u64;
        self.key.open_chunks(self.next, self.left == 0, &mut self.chunk)?;
        self.next = self.next.saturating_add(1);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    fn sealed(key: &BodyKey, body: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        let count = body.chunks(BODY_CHUNK_BYTES).count();
        for (number, chunk) in body.chunks(BODY_CHUNK_BYTES).enumerate() {
            let mut chunk = chunk.to_vec();
            key.seal_chunk(number as u32, number + 1 == count, &mut chunk).unwrap();
            out.extend(chunk);
        }
        out
    }

    fn read(key: &Arc<BodyKey>, length: usize, bytes: &[u8]) -> io::Result<Vec<u8>> {
        let mut file = tempfile::tempfile().unwrap();
        io::Write::write_all(&mut file, bytes).unwrap();
        io::Seek::rewind(&mut file).unwrap();
        let mut out = Vec::new();
        BodyFile::new(file, Some(key.clone()), length as u64).read_to_end(&mut out)?;
        Ok(out)
    }

    #[test]
    fn a_body_comes_back_and_has_the_length_that_was_said() {
        let key = Arc::new(BodyKey::random().unwrap());
        for length in [1, 65_535, 65_536, 65_537, 131_072, 300_000] {
            let body: Vec<u8> = (0..length).map(|at| (at % 251) as u8).collect();
            let bytes = sealed(&key, &body);
            assert_eq!(bytes.len() as u64, BodyKey::sealed_length(length as u64));
            assert!(read(&key, length, &bytes).unwrap() == body, "{length}");
            let mut opened = bytes.clone();
            key.open_chunks(0, true, &mut opened).unwrap();
            assert!(opened == body, "{length}");
        }
    }

    #[test]
    fn chunks_that_are_altered_moved_left_out_or_cut_off_are_refused() {
        let key = Arc::new(BodyKey::random().unwrap());
        let body = vec![7; 3 * BODY_CHUNK_BYTES];
        let bytes = sealed(&key, &body);
        let mut altered = bytes.clone();
        altered[SEALED_CHUNK_BYTES + 5] ^= 1;
        let mut swapped = bytes.clone();
        swapped.rotate_left(SEALED_CHUNK_BYTES);
        for wrong in [&altered, &swapped] {
            let refused = read(&key, body.len(), wrong).unwrap_err();
            assert_eq!(refused.kind(), io::ErrorKind::InvalidData);
        }
        // The end cut off at a chunk's end, whether that is said or not.
        let cut = &bytes[..2 * SEALED_CHUNK_BYTES];
        assert_eq!(read(&key, body.len(), cut).unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
        assert_eq!(read(&key, 2 * BODY_CHUNK_BYTES, cut).unwrap_err().kind(), io::ErrorKind::InvalidData);
        let longer = [bytes.as_slice(), b"more"].concat();
        assert_eq!(read(&key, body.len(), &longer).unwrap_err().kind(), io::ErrorKind::InvalidData);
        let other = Arc::new(BodyKey::random().unwrap());
        assert_eq!(read(&other, body.len(), &bytes).unwrap_err().kind(), io::ErrorKind::InvalidData);
    }
}

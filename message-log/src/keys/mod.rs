//! Keys of bodies: each record's own, so that one body can be made unreadable for good, also in every copy of the segments, while all others stay as they are.
//!
//! A segment's keys grow from one random seed ([`tree`]), so that a record costs no file of its own. What is left of them lies in `keys/`, one [`file`] for each segment, sealed under the
//! [`LogKey`], and is durable before the segment holds a record. To erase a record is to write that file again without its key.
//!
//! A body's key is made of the record's seed and the body's digest: after a failed write a sequence is given again, and under one key only one text may ever be encrypted.

mod chunks;
mod file;
mod soft;
mod tree;

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use kogge_proto::digest::Sha512;
use kogge_proto::wire::log::not_kept::Why;
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, MAX_TAG_LEN, NONCE_LEN, Nonce, UnboundKey};
use ring::rand::{SecureRandom, SystemRandom};
use zeroize::Zeroizing;

pub(crate) use self::chunks::BODY_KEY_BYTES;
pub use self::chunks::{BODY_CHUNK_BYTES, BodyFile, BodyKey, SEALED_CHUNK_BYTES};
use self::file::KeyFile;
pub use self::soft::{LOG_KEY_BYTES, LogKey, LogKeyError, SoftLogKey};
use self::tree::{Seed, Tree, prf};
use crate::layout::Layout;
use crate::live::locked;
use crate::{AppendError, LogError};

/// How much longer a body is when it is sealed.
pub(crate) const TAG_BYTES: usize = MAX_TAG_LEN;

/// What keys for bodies in records, and for the keys of those in files, are made of beside seed and digest.
const BODY: &[u8] = b"kogge body key 1";
const FILE: &[u8] = b"kogge file key 1";

/// Segments whose keys are remembered; when there are more they are forgotten and read again.
const SEGMENTS_MAX: usize = 64;

/// The keys of a log.
#[derive(Debug)]
pub(crate) struct LogKeys {
    layout: Layout,
    key: Arc<dyn LogKey>,
    /// Keys that were used lately; `None` for a segment that has none.
    segments: Mutex<BTreeMap<u64, Option<Arc<SegmentKeys>>>>,
    /// Held while a key file is changed.
    changing: Mutex<()>,
}

impl LogKeys {
    pub(crate) fn new(layout: Layout, key: Arc<dyn LogKey>) -> Self {
        Self { layout, key, segments: Mutex::default(), changing: Mutex::new(()) }
    }

    pub(crate) fn key(&self) -> &dyn LogKey {
        self.key.as_ref()
    }

    /// Makes the keys of a new segment that begins with the entry `first`, durable. A crash after this leaves keys of nothing, which are replaced with the next attempt.
    pub(crate) fn create(&self, segment: u64, first: u64) -> io::Result<Arc<SegmentKeys>> {
        let file = KeyFile::new(first)?;
        file.write(&self.layout, segment, self.key.as_ref()).map_err(into_io)?;
        let keys = Arc::new(SegmentKeys::new(file));
        self.remember(segment, Some(keys.clone()));
        Ok(keys)
    }

    /// The keys of a segment; `None` if it has none.
    pub(crate) fn of(&self, segment: u64) -> Result<Option<Arc<SegmentKeys>>, LogError> {
        if let Some(known) = locked(&self.segments).get(&segment) {
            return Ok(known.clone());
        }
        let file = KeyFile::read(&self.layout, segment, self.key.as_ref())?;
        let keys = file.map(|file| Arc::new(SegmentKeys::new(file)));
        self.remember(segment, keys.clone());
        Ok(keys)
    }

    /// The body, or why it is not to be had.
    pub(crate) fn open(
        &self,
        (segment, sequence): (u64, u64),
        sha512: &[u8],
        sealed: &[u8],
    ) -> Result<Result<Bytes, Why>, LogError> {
        let Some(keys) = self.of(segment)? else { return Ok(Err(Why::Sealed)) };
        let Some(sha512) = Sha512::from_slice(sha512) else { return Ok(Err(Why::Damaged)) };
        Ok(keys.open(sequence, &sha512, sealed))
    }

    /// Destroys the keys of the entries from `first` to `last`; durable when it returns. A crash before that leaves those of some segments. Keys that are gone already are no error.
    pub(crate) fn erase(&self, first: u64, last: u64) -> Result<(), LogError> {
        let _changing = locked(&self.changing);
        for segment in self.segments_with(first, last)? {
            let Some(keys) = self.of(segment)? else { continue };
            let (Some(from), Some(to)) = (keys.leaf(first.max(keys.first)), keys.leaf(last)) else {
                continue;
            };
            let cover = locked(&keys.tree).cover().clone();
            if cover.holds_any(from, to) {
                let file = KeyFile { first: keys.first, cover: cover.without(from, to) };
                file.write(&self.layout, segment, self.key.as_ref())?;
                *locked(&keys.tree) = Tree::new(file.cover);
            }
        }
        Ok(())
    }

    /// Whether the key of any of these entries is still there.
    pub(crate) fn holds_any(&self, first: u64, last: u64) -> Result<bool, LogError> {
        for segment in self.segments_with(first, last)? {
            let Some(keys) = self.of(segment)? else { continue };
            let (Some(from), Some(to)) = (keys.leaf(first.max(keys.first)), keys.leaf(last)) else {
                continue;
            };
            if locked(&keys.tree).cover().holds_any(from, to) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Segments whose keys may be those of the entries from `first` to `last`: by the key files alone, for the segments themselves may be archived.
    fn segments_with(&self, first: u64, last: u64) -> Result<Vec<u64>, LogError> {
        let mut numbers = self.layout.key_files().map_err(LogError::io("list", &self.layout.keys()))?;
        let begin = |number: u64| Ok::<_, LogError>(self.of(number)?.map_or(0, |keys| keys.first));
        let (mut low, mut high) = (0, numbers.len());
        while low < high {
            let middle = low + (high - low) / 2;
            match begin(numbers.get(middle).copied().unwrap_or_default())? <= first {
                true => low = middle + 1,
                false => high = middle,
            }
        }
        let mut found = Vec::new();
        for number in numbers.split_off(low.saturating_sub(1)) {
            if begin(number)? > last {
                break;
            }
            found.push(number);
        }
        Ok(found)
    }

    /// The key of a body's file, or why it is not to be had.
    pub(crate) fn unwrap_key(
        &self,
        (segment, sequence): (u64, u64),
        sha512: &[u8],
        wrapped: &[u8],
    ) -> Result<Result<BodyKey, Why>, LogError> {
        let Some(keys) = self.of(segment)? else { return Ok(Err(Why::Sealed)) };
        let Some(sha512) = Sha512::from_slice(sha512) else { return Ok(Err(Why::Damaged)) };
        Ok(keys.unwrap_key(sequence, &sha512, wrapped))
    }

    /// What stands for a person in this log.
    pub(crate) fn pseudonym(&self, subject: &str) -> Result<[u8; 32], AppendError> {
        self.key.pseudonym(subject).map_err(|error| AppendError::Suspect(error.to_string()))
    }

    fn remember(&self, segment: u64, keys: Option<Arc<SegmentKeys>>) {
        let mut segments = locked(&self.segments);
        if segments.len() >= SEGMENTS_MAX {
            // All but those of the segment that is being written.
            segments.retain(|_, keys| keys.as_ref().is_some_and(|keys| Arc::strong_count(keys) > 1));
        }
        segments.insert(segment, keys);
    }
}

/// What is left of a segment's keys.
pub(crate) struct SegmentKeys {
    /// Sequence of the segment's first entry.
    first: u64,
    tree: Mutex<Tree>,
}

impl std::fmt::Debug for SegmentKeys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SegmentKeys").field("first", &self.first).finish_non_exhaustive()
    }
}

impl SegmentKeys {
    fn new(file: KeyFile) -> Self {
        Self { first: file.first, tree: Mutex::new(Tree::new(file.cover)) }
    }

    /// Appends the sealed body of the record with this sequence to `out`.
    pub(crate) fn seal(
        &self,
        sequence: u64,
        sha512: &Sha512,
        body: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<(), AppendError> {
        let refused = || AppendError::Suspect("the segment has no key for the record".to_owned());
        let key = self.body_key(sequence, sha512).ok_or_else(refused)?;
        let start = out.len();
        out.extend_from_slice(body);
        let plain = out.get_mut(start..).unwrap_or_default();
        let tag = key
            .seal_in_place_separate_tag(only_nonce(), Aad::from(associated(sequence, sha512)), plain)
            .map_err(|_| AppendError::Unfit("its body cannot be encrypted".to_owned()))?;
        out.extend_from_slice(tag.as_ref());
        Ok(())
    }

    fn open(&self, sequence: u64, sha512: &Sha512, sealed: &[u8]) -> Result<Bytes, Why> {
        let key = self.body_key(sequence, sha512).ok_or(Why::Erased)?;
        let mut body = sealed.to_vec();
        let length = key
            .open_in_place(only_nonce(), Aad::from(associated(sequence, sha512)), &mut body)
            .map_err(|_| Why::Damaged)?
            .len();
        body.truncate(length);
        Ok(Bytes::from(body))
    }

    /// The key of a body's file, encrypted for the record with this sequence. The nonce is random: after a failed write a sequence is given again.
    pub(crate) fn wrap(&self, sequence: u64, sha512: &Sha512, key: &BodyKey) -> Result<Vec<u8>, AppendError> {
        let refused = || AppendError::Suspect("the segment has no key for the record".to_owned());
        let wrapping = self.key_for(FILE, sequence, sha512).ok_or_else(refused)?;
        let mut nonce = [0; NONCE_LEN];
        let mut wrapped = Zeroizing::new(key.bytes().to_vec());
        let failed = |_| AppendError::Suspect("the body's key cannot be encrypted".to_owned());
        SystemRandom::new().fill(&mut nonce).map_err(failed)?;
        let aad = Aad::from(associated(sequence, sha512));
        let tag = wrapping
            .seal_in_place_separate_tag(Nonce::assume_unique_for_key(nonce), aad, &mut wrapped)
            .map_err(failed)?;
        Ok([nonce.as_slice(), wrapped.as_slice(), tag.as_ref()].concat())
    }

    fn unwrap_key(&self, sequence: u64, sha512: &Sha512, wrapped: &[u8]) -> Result<BodyKey, Why> {
        let wrapping = self.key_for(FILE, sequence, sha512).ok_or(Why::Erased)?;
        let (nonce, rest) = wrapped.split_at_checked(NONCE_LEN).ok_or(Why::Damaged)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| Why::Damaged)?;
        let mut rest = Zeroizing::new(rest.to_vec());
        let aad = Aad::from(associated(sequence, sha512));
        let opened = wrapping.open_in_place(nonce, aad, &mut rest).map_err(|_| Why::Damaged)?;
        let bytes: [u8; BODY_KEY_BYTES] = (&*opened).try_into().map_err(|_| Why::Damaged)?;
        BodyKey::new(Zeroizing::new(bytes)).ok_or(Why::Damaged)
    }

    /// The place of an entry's key; `None` if the segment cannot have such an entry.
    fn leaf(&self, sequence: u64) -> Option<u32> {
        u32::try_from(sequence.checked_sub(self.first)?).ok()
    }

    /// `None` if it was erased.
    fn body_key(&self, sequence: u64, sha512: &Sha512) -> Option<LessSafeKey> {
        self.key_for(BODY, sequence, sha512)
    }

    fn key_for(&self, label: &[u8], sequence: u64, sha512: &Sha512) -> Option<LessSafeKey> {
        let leaf = self.leaf(sequence)?;
        let seed: Seed = locked(&self.tree).leaf(leaf)?;
        let key = prf(&seed, &[label, sha512.as_bytes()].concat());
        UnboundKey::new(&AES_256_GCM, key.as_slice()).ok().map(LessSafeKey::new)
    }
}

/// Under a body's key nothing else is ever encrypted.
fn only_nonce() -> Nonce {
    Nonce::assume_unique_for_key([0; 12])
}

/// What a sealed body is bound to.
fn associated(sequence: u64, sha512: &Sha512) -> [u8; 72] {
    let mut bytes = [0; 72];
    let parts = sequence.to_be_bytes().into_iter().chain(sha512.as_bytes().iter().copied());
    bytes.iter_mut().zip(parts).for_each(|(byte, part)| *byte = part);
    bytes
}

/// The key of a body's file as it stands in a log without keys.
pub(crate) fn bare_key(bytes: &[u8]) -> Option<BodyKey> {
    BodyKey::new(Zeroizing::new(bytes.try_into().ok()?))
}

fn into_io(error: LogError) -> io::Error {
    match error {
        LogError::Io { source, .. } => source,
        LogError::Durable(kogge_durable::DurableError::Io { source, .. }) => source,
        other => io::Error::other(other),
    }
}

#[cfg(test)]
mod tests {
    use kogge_proto::digest::sha512;

    use super::*;

    fn keys() -> SegmentKeys {
        SegmentKeys::new(KeyFile::new(100).unwrap())
    }

    fn sealed(keys: &SegmentKeys, sequence: u64, body: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        keys.seal(sequence, &sha512(body), body, &mut out).unwrap();
        out
    }

    #[test]
    fn two_bodies_of_one_sequence_share_no_key_stream() {
        let (keys, bodies) = (keys(), [b"a body that was refused", b"another one in its room"]);
        let [first, second] = bodies.map(|body| sealed(&keys, 101, body));
        let xor = |a: &[u8], b: &[u8]| -> Vec<u8> { a.iter().zip(b).map(|(a, b)| a ^ b).collect() };
        let length = bodies[0].len();
        assert_ne!(xor(&first[..length], &second[..length]), xor(bodies[0], bodies[1]));
        assert_eq!(sealed(&keys, 101, bodies[0]), first);
    }

    #[test]
    fn a_sealed_body_opens_only_as_this_record_with_this_digest() {
        let (keys, body) = (keys(), b"a body");
        let bytes = sealed(&keys, 101, body);
        assert_eq!(keys.open(101, &sha512(body), &bytes), Ok(Bytes::from_static(body)));
        assert_eq!(keys.open(102, &sha512(body), &bytes), Err(Why::Damaged));
        assert_eq!(keys.open(101, &sha512(b"b body"), &bytes), Err(Why::Damaged));
        assert_eq!(keys.open(99, &sha512(body), &bytes), Err(Why::Erased), "before the segment");
        for at in 0..bytes.len() {
            let mut altered = bytes.clone();
            altered[at] ^= 1;
            assert_eq!(keys.open(101, &sha512(body), &altered), Err(Why::Damaged), "{at}");
        }
        assert_eq!(keys.open(101, &sha512(body), &bytes[..TAG_BYTES - 1]), Err(Why::Damaged));
    }
}

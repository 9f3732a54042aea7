//! Reading the ZIP file of a container: entries compressed or not, each where the directory says, with nothing between them.
//!
//! Other programs read a ZIP file by its directory, or from its start on; both must find the same. Data files stream through digests
//! and are never held.

use std::collections::BTreeMap;
use std::io::{Read, Seek, SeekFrom};

use kogge_proto::limits::{BODY_BYTES_MAX, TRUST_RESPONSE_BYTES_MAX};
use zip::{CompressionMethod, ZipArchive};

use super::names::{
    ASIC_MANIFEST, HASH_CHAIN, HASH_CHAIN_RESULT, MANIFEST, MESSAGE, META_INF, MIMETYPE, SIGNATURES,
    TIMESTAMP, TIMESTAMP_CHAIN, TIMESTAMP_CHAIN_RESULT, is_evidence_record, is_evidence_record_manifest,
    is_signature,
};
use crate::report::Report;
use crate::verify::digest_method::{DigestMethod, Digests, DigestsHasher};
use crate::verify::finding::{Finding, Flaw, settle, wrong};
use crate::verify::hash_chain;

/// What was read from a container. Files that could not be read carry the reason.
#[derive(Default)]
pub(super) struct Archive {
    /// Those whose name says what they are, with their content.
    pub(super) files: BTreeMap<String, Result<Vec<u8>, Flaw>>,
    /// Digests of the others outside of `META-INF`: the data files.
    pub(super) data: BTreeMap<String, Result<Digests, Flaw>>,
    /// Whatever else there is.
    pub(super) others: Vec<String>,
}

impl Archive {
    /// The content of a file that a container must have.
    pub(super) fn must(&self, name: &str) -> Result<&[u8], Flaw> {
        match self.files.get(name) {
            Some(content) => content.as_deref().map_err(Clone::clone),
            None => Err(Flaw::Missing(format!("not checked: there is no {name}"))),
        }
    }

    /// The content of a file that a container may have.
    pub(super) fn may(&self, name: &str) -> Option<Result<&[u8], Flaw>> {
        self.files.get(name).map(|content| content.as_deref().map_err(Clone::clone))
    }

    /// Whether there is such a file.
    pub(super) fn has(&self, name: &str) -> bool {
        self.files.contains_key(name) || self.data.contains_key(name)
    }

    /// The digest of a file, whichever kind it is of; `None` if it is not there.
    pub(super) fn digest(&self, name: &str, method: DigestMethod) -> Option<Result<Vec<u8>, Flaw>> {
        if let Some(digests) = self.data.get(name) {
            return Some(digests.as_ref().map(|digests| digests.by(method).to_vec()).map_err(Clone::clone));
        }
        self.may(name).map(|content| content.map(|content| method.digest(content)))
    }

    /// Files outside of `META-INF`, but what says the container's type: what can be signed.
    pub(super) fn data_names(&self) -> impl Iterator<Item = &str> {
        let files = self.files.keys().map(String::as_str);
        let files = files.filter(|name| *name != MIMETYPE && !name.starts_with(META_INF));
        files.chain(self.data.keys().map(String::as_str))
    }

    /// Files with signatures.
    pub(super) fn signature_names(&self) -> impl Iterator<Item = &str> {
        self.files.keys().map(String::as_str).filter(|name| is_signature(name))
    }

    /// The first file that could not be read.
    pub(super) fn flaw(&self) -> Option<&Flaw> {
        let files = self.files.values().filter_map(|file| file.as_ref().err());
        files.chain(self.data.values().filter_map(|file| file.as_ref().err())).next()
    }
}

/// Reads the file and makes the check `container.zip`.
pub(super) fn read(file: impl Read + Seek, report: &mut Report) -> Archive {
    let Some(mut zip) = settle(report, "container.zip", open(file)) else {
        let missing = || Flaw::Missing("not checked: the container cannot be opened".to_owned());
        let files = [MIMETYPE, MESSAGE, SIGNATURES].map(|name| (name.to_owned(), Err(missing())));
        return Archive { files: files.into(), ..Archive::default() };
    };
    let mut archive = Archive::default();
    let names: Vec<String> = zip.file_names_raw().map(|name| String::from_utf8_lossy(name).into()).collect();
    for (index, name) in names.iter().enumerate() {
        if let Some(bytes_max) = held(name) {
            let content = whole(&mut zip, index, name, bytes_max);
            archive.files.insert(name.clone(), content);
        } else if !name.starts_with(META_INF) && !name.ends_with('/') {
            let digests = digests(&mut zip, index, name);
            archive.data.insert(name.clone(), digests);
        } else if !(name.ends_with('/') && is_folder_of_others(name, &names)) {
            archive.others.push(name.clone());
        }
    }
    archive
}

/// A folder that files lie in says nothing that they do not say.
fn is_folder_of_others(folder: &str, names: &[String]) -> bool {
    folder == META_INF || names.iter().any(|name| name != folder && name.starts_with(folder))
}

/// The most bytes that are read of a file whose content is needed; `None` for others.
fn held(name: &str) -> Option<usize> {
    let known = KNOWN.iter().find(|(known, _)| *known == name).map(|(_, bytes_max)| *bytes_max);
    let by_kind = || {
        if is_signature(name) {
            Some(super::document::XML_BYTES_MAX)
        } else if is_evidence_record_manifest(name) {
            Some(MANIFEST_BYTES_MAX)
        } else if is_evidence_record(name) {
            Some(EVIDENCE_RECORD_BYTES_MAX)
        } else {
            None
        }
    };
    known.or_else(by_kind)
}

/// Looks at the end of the file before the directory is read, so that a hostile one does not fill the memory with entries, and then at
/// every entry's place.
pub(super) fn open<R: Read + Seek>(mut file: R) -> Finding<ZipArchive<R>> {
    let end = directory_end(&mut file).map_err(wrong)?;
    let end =
        end.ok_or_else(|| wrong("it does not end like a ZIP file: it is none, or was cut or altered"))?;
    if end.entries > ENTRIES_MAX {
        return Err(wrong(format!("it has {} entries; more than {ENTRIES_MAX} are not read", end.entries)));
    }
    let mut zip =
        ZipArchive::new(file).map_err(|error| wrong(format!("it cannot be read as a ZIP file: {error}")))?;
    if zip.len() != end.entries || zip.has_duplicate_names() {
        return Err(wrong("an entry stands twice"));
    }
    if zip.file_names_raw().filter(|name| is_signature(&String::from_utf8_lossy(name))).count()
        > SIGNATURES_MAX
    {
        return Err(wrong(format!("it has more than {SIGNATURES_MAX} signature files")));
    }
    let places = places(&mut zip)?;
    let mut file = zip.into_inner();
    check_places(&mut file, &places, &end)?;
    check_sizes(&places, end.at)?;
    file.rewind().map_err(wrong)?;
    let zip = ZipArchive::new(file).map_err(wrong)?;
    Ok((zip, format!("a ZIP file of {} entries", end.entries)))
}

/// The End of Central Directory record of APPNOTE 4.3.16.
struct DirectoryEnd {
    entries: usize,
    directory_at: u64,
    at: u64,
}

/// `None` if the file does not end with one that has no comment or X-Road's, right behind the directory.
fn directory_end(file: &mut (impl Read + Seek)) -> std::io::Result<Option<DirectoryEnd>> {
    let length = file.seek(SeekFrom::End(0))?;
    for comment in [&b""[..], COMMENT.as_bytes()] {
        let bytes = END_BYTES + comment.len();
        let Some(at) = length.checked_sub(bytes as u64) else { continue };
        file.seek(SeekFrom::Start(at))?;
        let mut end = vec![0; bytes];
        file.read_exact(&mut end)?;
        if !end.starts_with(END_SIGNATURE) || !end.ends_with(comment) {
            continue;
        }
        let (disks, here, entries) = (number::<4>(&end, 4), number::<2>(&end, 8), number::<2>(&end, 10));
        let (size, directory_at) = (number::<4>(&end, 12), number::<4>(&end, 16));
        let fits = disks == 0
            && here == entries
            && number::<2>(&end, 20) == comment.len() as u64
            && directory_at + size == at;
        let entries = usize::try_from(entries).unwrap_or(usize::MAX);
        file.rewind()?;
        return Ok(fits.then_some(DirectoryEnd { entries, directory_at, at }));
    }
    Ok(None)
}

/// Where the directory says that an entry is.
struct Place {
    name: Vec<u8>,
    at: u64,
    compressed: u64,
    size: u64,
    crc32: u32,
}

fn places<R: Read + Seek>(zip: &mut ZipArchive<R>) -> Result<Vec<Place>, Flaw> {
    let mut places = Vec::with_capacity(zip.len());
    for index in 0..zip.len() {
        let entry = zip.by_index_raw(index).map_err(wrong)?;
        if !matches!(entry.compression(), CompressionMethod::Stored | CompressionMethod::Deflated)
            || entry.encrypted()
        {
            return Err(wrong("an entry is encrypted, or compressed by another method than deflate"));
        }
        places.push(Place {
            name: entry.name_raw().to_vec(),
            at: entry.header_start(),
            compressed: entry.compressed_size(),
            size: entry.size(),
            crc32: entry.crc32(),
        });
    }
    places.sort_by_key(|place| place.at);
    Ok(places)
}

/// The entries stand one behind the other from the file's start to its directory, each under its own name.
fn check_places(file: &mut (impl Read + Seek), places: &[Place], end: &DirectoryEnd) -> Result<(), Flaw> {
    let gap = || wrong("there is something between the entries, or an entry is not where the directory says");
    let mut at = 0;
    for place in places {
        if place.at != at {
            return Err(gap());
        }
        let mut header = [0; LOCAL_HEADER_BYTES];
        file.seek(SeekFrom::Start(at)).and_then(|_| file.read_exact(&mut header)).map_err(wrong)?;
        let (flags, name_bytes, extra) =
            (number::<2>(&header, 6), number::<2>(&header, 26), number::<2>(&header, 28));
        let mut name = vec![0; usize::try_from(name_bytes).unwrap_or(0)];
        file.read_exact(&mut name).map_err(wrong)?;
        if !header.starts_with(LOCAL_SIGNATURE) || name != place.name {
            return Err(wrong("an entry has another name than in the directory"));
        }
        at += LOCAL_HEADER_BYTES as u64 + name_bytes + extra + place.compressed;
        if flags & FLAG_DESCRIPTOR != 0 {
            at += check_descriptor(file, at, place)?;
        }
    }
    if at == end.directory_at { Ok(()) } else { Err(gap()) }
}

/// Length of the data descriptor (APPNOTE 4.3.9) behind an entry that was written as a stream.
fn check_descriptor(file: &mut (impl Read + Seek), at: u64, place: &Place) -> Result<u64, Flaw> {
    let mut descriptor = [0; DESCRIPTOR_BYTES];
    file.seek(SeekFrom::Start(at)).and_then(|_| file.read_exact(&mut descriptor)).map_err(wrong)?;
    let says = [(4, u64::from(place.crc32)), (8, place.compressed), (12, place.size)];
    if descriptor.starts_with(DESCRIPTOR_SIGNATURE)
        && says.iter().all(|(at, expected)| number::<4>(&descriptor, *at) == *expected)
    {
        Ok(DESCRIPTOR_BYTES as u64)
    } else {
        Err(wrong("the sizes behind an entry are not those of the directory"))
    }
}

/// What comes out is bounded, whatever goes in.
fn check_sizes(places: &[Place], file_bytes: u64) -> Result<(), Flaw> {
    let total = places.iter().fold(0_u64, |total, place| total.saturating_add(place.size));
    let ratio_limit = file_bytes.saturating_mul(RATIO_MAX).saturating_add(RATIO_FREE_BYTES);
    if total > TOTAL_BYTES_MAX.min(ratio_limit) {
        return Err(wrong(format!("{file_bytes} bytes would become {total}: that is not read")));
    }
    Ok(())
}

/// A little-endian number; 0 where the bytes end, which no caller takes for a good one.
fn number<const N: usize>(bytes: &[u8], at: usize) -> u64 {
    let field = bytes.get(at..at + N).unwrap_or_default();
    field.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte))
}

fn whole<R: Read + Seek>(
    zip: &mut ZipArchive<R>,
    index: usize,
    name: &str,
    bytes_max: usize,
) -> Result<Vec<u8>, Flaw> {
    let mut content = Vec::new();
    stream(zip, index, name, bytes_max as u64, |piece| content.extend_from_slice(piece))?;
    Ok(content)
}

fn digests<R: Read + Seek>(zip: &mut ZipArchive<R>, index: usize, name: &str) -> Result<Digests, Flaw> {
    let mut hasher = DigestsHasher::new();
    stream(zip, index, name, BODY_BYTES_MAX, |piece| hasher.update(piece))?;
    Ok(hasher.finish())
}

/// Hands the content of an entry over in pieces; the ZIP reader compares the checksum at the end.
fn stream<R: Read + Seek>(
    zip: &mut ZipArchive<R>,
    index: usize,
    name: &str,
    bytes_max: u64,
    mut take: impl FnMut(&[u8]),
) -> Result<(), Flaw> {
    let mut entry =
        zip.by_index(index).map_err(|error| wrong(format!("the entry {name} cannot be read: {error}")))?;
    if entry.size() > bytes_max {
        return Err(wrong(format!("the entry {name} is larger than {bytes_max} bytes")));
    }
    let mut left = entry.size();
    let mut buffer = vec![0; READ_BYTES];
    loop {
        let read = entry.read(&mut buffer);
        let count = read.map_err(|error| wrong(format!("the entry {name} is damaged: {error}")))?;
        let Some(piece) = buffer.get(..count).filter(|piece| !piece.is_empty()) else { break };
        left = left
            .checked_sub(count as u64)
            .ok_or_else(|| wrong(format!("the entry {name} is longer than it says")))?;
        take(piece);
    }
    if left == 0 { Ok(()) } else { Err(wrong(format!("the entry {name} is shorter than it says"))) }
}

/// The files that are known by name, with the most bytes that are read of each.
const KNOWN: [(&str, usize); 10] = [
    (MIMETYPE, 256),
    (MESSAGE, super::message::MESSAGE_BYTES_MAX),
    (SIGNATURES, super::document::XML_BYTES_MAX),
    (HASH_CHAIN_RESULT, hash_chain::XML_BYTES_MAX),
    (HASH_CHAIN, hash_chain::XML_BYTES_MAX),
    (TIMESTAMP_CHAIN_RESULT, hash_chain::XML_BYTES_MAX),
    (TIMESTAMP_CHAIN, hash_chain::XML_BYTES_MAX),
    (MANIFEST, MANIFEST_BYTES_MAX),
    (ASIC_MANIFEST, MANIFEST_BYTES_MAX),
    (TIMESTAMP, TRUST_RESPONSE_BYTES_MAX),
];
/// X-Road's ZIP comment; files that were taken apart and packed again have none.
const COMMENT: &str = "mimetype=application/vnd.etsi.asic-e+zip";
/// Far more than people put into a container that they sign; X-Road's have ten files and a message's attachments.
const ENTRIES_MAX: usize = 256;
/// Each is held in memory, and verified.
const SIGNATURES_MAX: usize = 16;
/// A line for each file.
pub(super) const MANIFEST_BYTES_MAX: usize = 128 * 1024;
/// A token, and the digests of a hash tree.
const EVIDENCE_RECORD_BYTES_MAX: usize = TRUST_RESPONSE_BYTES_MAX + 4096;
/// Twice the largest body that X-Road can be told to log; others' files are smaller.
const TOTAL_BYTES_MAX: u64 = 2 * 1024 * 1024 * 1024;
/// Deflate cannot do more than 1032; messages stay far below this.
const RATIO_MAX: u64 = 250;
/// Small containers may be as regular as they like.
const RATIO_FREE_BYTES: u64 = 1024 * 1024;
const READ_BYTES: usize = 64 * 1024;
const END_BYTES: usize = 22;
const END_SIGNATURE: &[u8] = b"PK\x05\x06";
const LOCAL_HEADER_BYTES: usize = 30;
const LOCAL_SIGNATURE: &[u8] = b"PK\x03\x04";
const FLAG_DESCRIPTOR: u64 = 1 << 3;
const DESCRIPTOR_BYTES: usize = 16;
const DESCRIPTOR_SIGNATURE: &[u8] = b"PK\x07\x08";

//! Reading the ZIP file: the entries that a container has, each stored, small enough and intact. The body streams through a digest and
//! is never held.

use std::io::{Read, Seek, SeekFrom};

use kogge_proto::digest::{Sha512, Sha512Hasher};
use kogge_proto::limits::{BODY_BYTES_MAX, MESSAGE_BYTES_MAX};
use zip::{CompressionMethod, ZipArchive};

use super::document::XML_BYTES_MAX;
use super::finding::{Finding, Flaw, settle, wrong};
use super::hash_chain::{self, ChainFiles};
use crate::container::{
    BODY, EVIDENCE_RECORD, EVIDENCE_RECORD_MANIFEST, HASH_CHAIN, HASH_CHAIN_RESULT, MANIFEST, MEDIA_TYPE,
    MESSAGE, MIMETYPE, SIGNATURES,
};
use crate::evidence_record::EVIDENCE_RECORD_BYTES_MAX;
use crate::report::Report;
use crate::stored_zip::Entry;

/// What was read from a container. Parts that could not be read carry the reason.
pub(super) struct Archive {
    /// The message part.
    pub(super) message: Result<Vec<u8>, Flaw>,
    /// Digest of the body part; `None` if there is no such entry.
    pub(super) body: Option<Result<Sha512, Flaw>>,
    /// The signature document.
    pub(super) signatures: Result<Vec<u8>, Flaw>,
    /// The files of a hash chain; `None` if there is neither.
    pub(super) hash_chain: Option<ChainFiles<Vec<u8>>>,
    /// The manifest.
    pub(super) manifest: Result<Vec<u8>, Flaw>,
    /// The evidence record; `None` if there is no such entry.
    pub(super) evidence_record: Option<Result<Vec<u8>, Flaw>>,
    /// The evidence record's manifest; `None` if there is no such entry.
    pub(super) evidence_record_manifest: Option<Result<Vec<u8>, Flaw>>,
    /// All entries in the order of the directory, as the file describes them.
    pub(super) entries: Vec<Entry>,
}

/// Whether the file looks like a container of this project's own layout, so that it has to be one to the last byte: by its evidence
/// record under our name, or, where that is missing, by its signature, which begins as ours do, with no timestamp of X-Road's form beside it.
/// A message of X-Road's has neither. `None` if it is no ZIP file that others could have written.
pub(super) fn claims_own_layout(file: impl Read + Seek) -> Option<bool> {
    let mut zip = super::foreign::open_zip(file)?;
    let has = |zip: &ZipArchive<_>, name: &str| zip.index_for_name(name).is_some();
    let has_message = has(&zip, MESSAGE);
    let has_record = has(&zip, EVIDENCE_RECORD) || has(&zip, EVIDENCE_RECORD_MANIFEST);
    let has_token = has(&zip, TIMESTAMP);
    let mut start = [0; OWN_SIGNATURE.len()];
    let is_ours = zip.by_name(SIGNATURES).is_ok_and(|mut entry| {
        entry.read_exact(&mut start).is_ok() && start.as_slice() == OWN_SIGNATURE.as_bytes()
    });
    Some(has_message && !has_token && (has_record || is_ours))
}

/// Reads the file and makes the checks `container.zip`, `container.entries` and `container.mimetype`.
pub(super) fn read(file: impl Read + Seek, report: &mut Report) -> Archive {
    let Some(mut zip) = settle(report, "container.zip", open(file)) else {
        let missing = Flaw::Missing("not checked: the container cannot be opened".to_owned());
        settle::<()>(report, "container.entries", Err(missing.clone()));
        settle::<()>(report, "container.mimetype", Err(missing.clone()));
        return Archive {
            message: Err(missing.clone()),
            body: Some(Err(missing.clone())),
            signatures: Err(missing.clone()),
            hash_chain: None,
            manifest: Err(missing.clone()),
            evidence_record: Some(Err(missing.clone())),
            evidence_record_manifest: Some(Err(missing)),
            entries: Vec::new(),
        };
    };
    settle(report, "container.entries", check_names(&zip));
    let mimetype = whole(&mut zip, MIMETYPE, MEDIA_TYPE.len());
    settle(report, "container.mimetype", check_mimetype(mimetype));
    let has = |name| zip.index_for_name(name).is_some();
    let (has_body, has_record, has_record_manifest) =
        (has(BODY), has(EVIDENCE_RECORD), has(EVIDENCE_RECORD_MANIFEST));
    let has_hash_chain = has(HASH_CHAIN_RESULT) || has(HASH_CHAIN);
    Archive {
        message: whole(&mut zip, MESSAGE, MESSAGE_BYTES_MAX),
        body: has_body.then(|| digest(&mut zip, BODY)),
        signatures: whole(&mut zip, SIGNATURES, XML_BYTES_MAX),
        hash_chain: has_hash_chain.then(|| ChainFiles {
            result: whole(&mut zip, HASH_CHAIN_RESULT, hash_chain::XML_BYTES_MAX),
            chain: whole(&mut zip, HASH_CHAIN, hash_chain::XML_BYTES_MAX),
        }),
        manifest: whole(&mut zip, MANIFEST, MANIFEST_BYTES_MAX),
        evidence_record: has_record.then(|| whole(&mut zip, EVIDENCE_RECORD, EVIDENCE_RECORD_BYTES_MAX)),
        evidence_record_manifest: has_record_manifest
            .then(|| whole(&mut zip, EVIDENCE_RECORD_MANIFEST, MANIFEST_BYTES_MAX)),
        entries: entries(&mut zip),
    }
}

/// Looks at the end of the file before the directory is read, so that a hostile one does not fill the memory with entries.
fn open<R: Read + Seek>(mut file: R) -> Finding<ZipArchive<R>> {
    let end = directory_end(&mut file).map_err(wrong)?;
    let end =
        end.ok_or_else(|| wrong("it does not end like a ZIP file without comment: it was cut or altered"))?;
    let [count, total] = [8, 10].map(|at| field(&end, at));
    if count != total || usize::from(total) > ENTRIES_MAX {
        return Err(wrong(format!("it has {total} entries; no container has more than {ENTRIES_MAX}")));
    }
    let zip =
        ZipArchive::new(file).map_err(|error| wrong(format!("it cannot be read as a ZIP file: {error}")))?;
    if zip.len() != usize::from(total) || zip.has_duplicate_names() {
        return Err(wrong("an entry stands twice"));
    }
    let words = format!("a ZIP file of {total} entries");
    Ok((zip, words))
}

/// The End of Central Directory record of APPNOTE 4.3.16, if the file ends with one that has no comment.
fn directory_end(file: &mut (impl Read + Seek)) -> std::io::Result<Option<[u8; END_BYTES]>> {
    let length = file.seek(SeekFrom::End(0))?;
    let Some(start) = length.checked_sub(END_BYTES as u64) else { return Ok(None) };
    let mut end = [0; END_BYTES];
    file.seek(SeekFrom::Start(start))?;
    file.read_exact(&mut end)?;
    file.rewind()?;
    Ok(Some(end).filter(|end| end.starts_with(END_SIGNATURE) && field(end, 20) == 0))
}

fn field(end: &[u8; END_BYTES], at: usize) -> u16 {
    match end.get(at..at + 2) {
        Some([low, high]) => u16::from_le_bytes([*low, *high]),
        _ => u16::MAX,
    }
}

/// The names that a container has, in their order, and nothing else: no directories, no paths into other places.
fn check_names<R: Read + Seek>(zip: &ZipArchive<R>) -> Finding<()> {
    let found: Vec<&[u8]> = zip.file_names_raw().collect();
    let has = |name: &str| found.contains(&name.as_bytes());
    let mut expected = vec![MIMETYPE, MESSAGE];
    expected.extend(has(BODY).then_some(BODY));
    expected.extend([MANIFEST, SIGNATURES]);
    if has(HASH_CHAIN_RESULT) || has(HASH_CHAIN) {
        expected.extend([HASH_CHAIN_RESULT, HASH_CHAIN]);
    }
    if has(EVIDENCE_RECORD) || has(EVIDENCE_RECORD_MANIFEST) {
        expected.extend([EVIDENCE_RECORD, EVIDENCE_RECORD_MANIFEST]);
    }
    if found.iter().copied().eq(expected.iter().map(|name| name.as_bytes())) {
        return Ok(((), format!("exactly {}", expected.join(", "))));
    }
    let found: Vec<String> = found.iter().map(|name| String::from_utf8_lossy(name).into_owned()).collect();
    Err(wrong(format!("the entries are {:?}, and must be {expected:?}", found)))
}

fn check_mimetype(content: Result<Vec<u8>, Flaw>) -> Finding<()> {
    if content? == MEDIA_TYPE.as_bytes() {
        Ok(((), MEDIA_TYPE.to_owned()))
    } else {
        Err(wrong(format!("the entry {MIMETYPE} does not say {MEDIA_TYPE}")))
    }
}

/// The content of a stored entry of at most so many bytes.
fn whole<R: Read + Seek>(zip: &mut ZipArchive<R>, name: &str, bytes_max: usize) -> Result<Vec<u8>, Flaw> {
    let mut content = Vec::new();
    stream(zip, name, bytes_max as u64, |piece| content.extend_from_slice(piece))?;
    Ok(content)
}

fn digest<R: Read + Seek>(zip: &mut ZipArchive<R>, name: &str) -> Result<Sha512, Flaw> {
    let mut hasher = Sha512Hasher::new();
    stream(zip, name, BODY_BYTES_MAX, |piece| hasher.update(piece))?;
    Ok(hasher.finish())
}

/// Hands the content of a stored entry over in pieces; the ZIP reader compares the checksum at the end.
fn stream<R: Read + Seek>(
    zip: &mut ZipArchive<R>,
    name: &str,
    bytes_max: u64,
    mut take: impl FnMut(&[u8]),
) -> Result<(), Flaw> {
    let mut entry =
        zip.by_name(name).map_err(|error| wrong(format!("the entry {name} cannot be read: {error}")))?;
    if entry.compression() != CompressionMethod::Stored || entry.encrypted() {
        return Err(wrong(format!("the entry {name} is compressed or encrypted")));
    }
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

/// As the directory describes them; an entry that cannot be described is left out, so that the layout cannot hold.
fn entries<R: Read + Seek>(zip: &mut ZipArchive<R>) -> Vec<Entry> {
    (0..zip.len())
        .filter_map(|index| {
            let entry = zip.by_index_raw(index).ok()?;
            let name = String::from_utf8(entry.name_raw().to_vec()).ok()?;
            Some(Entry { name, size: entry.size(), crc32: entry.crc32() })
        })
        .collect()
}

/// X-Road's timestamp.
const TIMESTAMP: &str = "META-INF/timestamp.tst";
/// How our signature documents begin: without an XML declaration, which X-Road and others write.
const OWN_SIGNATURE: &str = "<asic:XAdESSignatures xmlns:asic=\"http://uri.etsi.org/02918/v1.2.1#\"><ds:Signature xmlns:ds=\"http://www.w3.org/2000/09/xmldsig#\" Id=\"signature\">";
/// A container has at most nine entries; a little more is read so that the report can say what is too much.
const ENTRIES_MAX: usize = 16;
/// The manifests have less than a thousand bytes.
const MANIFEST_BYTES_MAX: usize = 4096;
const READ_BYTES: usize = 64 * 1024;
const END_BYTES: usize = 22;
const END_SIGNATURE: &[u8] = b"PK\x05\x06";

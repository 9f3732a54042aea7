//! Reading a whole log and reporting everything that is not what was written.
//!
//! What an audit of the log alone cannot see, because nothing in the log speaks of it: the end of the log cut off at an entry's end, and a last
//! entry replaced by another. Stamps, the other side's log and the signatures tell.

use std::fs::File;
use std::io::{self, Read};
use std::sync::Arc;

use kogge_proto::digest::{Sha512, Sha512Hasher, sha512};
use kogge_proto::time::UnixMillis;
use kogge_proto::wire::evidence::Material;
use kogge_proto::wire::log::body::Place;
use kogge_proto::wire::log::not_kept::Why;
use kogge_proto::wire::log::{
    Body, EntryPlace, Erasure, ErasureStatement, MessageRecord, NotKept, Span, StampRecord,
};
use kogge_tlog::tree::{Head, leaf_hash};
use prost::Message;

use crate::entry::{Kind, SealedPart};
use crate::erasing::are_spans;
use crate::layout::{Layout, body_name, parse_body_name, segment_name};
use crate::scan::{Item, Scan, Step};
use crate::stamps::{Covered, StampFinder};
use crate::tree::head_before;
use crate::{BodyFile, BodyKey, Damage, ErasedRecords, Found, LogError, Reader};

/// An audit that found this many damages reads no further.
pub(crate) const DAMAGES_MAX: usize = 1000;

/// Bodies are read in pieces of this size.
const PIECE_BYTES: usize = 64 * 1024;

impl Reader {
    /// Reads the whole log and reports every damage: frames, checksums, chain, sequence, material, body files (length and digest), stamps that
    /// name no record, records that do not exist or that another stamp covers, bytes after the last entry. `each` gets every message record with its stamp for the checks of higher layers.
    /// A log that is being written is read up to its last whole entry. A group that was torn when a server died is reported too; opening the log
    /// for writing cuts it.
    ///
    /// Memory: 8 bytes for every entry that is no message, a few words for every run of records that were stamped without a gap.
    ///
    /// # Errors
    /// A file cannot be read at all.
    pub fn audit(&self, each: &mut dyn FnMut(Found)) -> Result<Vec<Damage>, LogError> {
        self.audit_to(Depth::Bodies, each)
    }

    /// As [`Reader::audit`], of what stands in the segments alone: body files need not be there, and records come without their stamps. Reads
    /// the log once.
    ///
    /// # Errors
    /// A segment cannot be read at all.
    pub fn audit_records(&self, each: &mut dyn FnMut(Found)) -> Result<Vec<Damage>, LogError> {
        self.audit_to(Depth::Records, each)
    }

    fn audit_to(&self, depth: Depth, each: &mut dyn FnMut(Found)) -> Result<Vec<Damage>, LogError> {
        let layout = &self.layout;
        let numbers = layout.segment_numbers().map_err(LogError::io("list", &layout.segments()))?;
        let erased = match depth {
            Depth::Bodies => ErasedRecords::of(&self.erasures()?),
            Depth::Records => ErasedRecords::default(),
        };
        let mut damages = Vec::new();
        let mut expected = 1;
        let mut other_kinds = Vec::new();
        let mut covered = Covered::default();
        for number in numbers {
            if number < expected {
                // Read already: a scan goes on from segment to segment.
                continue;
            }
            if number > expected {
                damages.push(missing_segment(expected));
            }
            let stamps = match depth {
                Depth::Bodies => Some(StampFinder::new(layout, self.scan_from(number)?)),
                Depth::Records => None,
            };
            let mut audit = Audit {
                reader: self,
                layout,
                stamps,
                other_kinds,
                covered,
                tree: (number == 1).then(Head::default),
                last_erasure: if number == 1 { Newest::Known(None) } else { Newest::Unknown },
                erased: &erased,
                last_root: if number == 1 { Root::Known(Vec::new()) } else { Root::Unknown },
                damages,
            };
            expected = audit.run(self.scan_from(number)?, each)? + 1;
            (damages, other_kinds, covered) = (audit.damages, audit.other_kinds, audit.covered);
            if damages.len() >= DAMAGES_MAX {
                break;
            }
        }
        Ok(damages)
    }
}

/// How far an audit looks.
#[derive(Clone, Copy)]
enum Depth {
    /// Segments only.
    Records,
    /// Body files, and the stamp of each record, too.
    Bodies,
}

/// An audit of segments that follow each other.
struct Audit<'a> {
    reader: &'a Reader,
    layout: &'a Layout,
    /// Finds the stamp of each record, if that is wanted; then body files are compared too.
    stamps: Option<StampFinder>,
    /// Sequences of entries that are no messages, ascending.
    other_kinds: Vec<u64>,
    covered: Covered,
    last_root: Root,
    last_erasure: Newest,
    /// Over all entries so far; `None` where some may have been lost.
    tree: Option<Head>,
    /// All of them: what they are about need not be there.
    erased: &'a ErasedRecords,
    damages: Vec<Damage>,
}

/// The newest erasure that was read.
enum Newest {
    Known(Option<EntryPlace>),
    /// Erasures may have been lost.
    Unknown,
}

/// The root that the next stamp must build on.
enum Root {
    Known(Vec<u8>),
    /// Stamps may have been lost.
    Unknown,
}

impl Audit<'_> {
    /// Returns the number of the last segment read.
    fn run(&mut self, mut scan: Scan, each: &mut dyn FnMut(Found)) -> Result<u64, LogError> {
        while self.damages.len() < DAMAGES_MAX {
            match scan.step()? {
                Step::Entry(item) => self.check(*item, each)?,
                Step::Damage(damage) => self.lose(damage),
                Step::Torn(damage) => {
                    self.lose(damage);
                    scan.skip()?;
                }
                Step::End => break,
            }
        }
        Ok(scan.position().0)
    }

    fn lose(&mut self, damage: Damage) {
        self.damages.push(damage);
        self.last_root = Root::Unknown;
        self.last_erasure = Newest::Unknown;
        self.tree = None;
    }

    fn check(&mut self, item: Item, each: &mut dyn FnMut(Found)) -> Result<(), LogError> {
        let Item { segment, offset, entry, hash, .. } = item;
        let sequence = entry.sequence;
        if let Kind::SegmentStart(start) = &entry.kind {
            self.check_subtrees(&start.subtrees, sequence, segment, offset);
        }
        if let Some(tree) = &mut self.tree {
            // A log is never so long that there is no room.
            let _ = tree.push(leaf_hash(hash.as_bytes()));
        }
        match entry.kind {
            Kind::Message(mut record) => {
                let stamp = match &mut self.stamps {
                    Some(stamps) => stamps.find(sequence)?,
                    None => None,
                };
                let encrypted = entry.sealed.is_some();
                let file = matches!(entry.sealed, Some(SealedPart::FileKey(_))).then(|| body_name(sequence));
                let mut body_key = None;
                if self.stamps.is_some() {
                    body_key = self.reader.unseal(&mut record, (segment, sequence), entry.sealed)?;
                    if self.erased.contains(sequence) {
                        self.mark_erased(&mut record, file.as_deref(), segment, offset);
                    }
                    self.check_body(&record, body_key.as_ref(), file.as_deref(), segment, offset)?;
                }
                let (time, material) = (UnixMillis(entry.time_ms), Material { items: entry.material });
                each(Found { sequence, time, record: *record, encrypted, body_key, material, stamp });
            }
            Kind::Stamp(stamp) => {
                self.check_stamp(&stamp, sequence, segment, offset);
                self.other_kinds.push(sequence);
            }
            Kind::Erasure(erasure) => {
                self.check_erasure(&erasure, sequence, segment, offset)?;
                self.last_erasure = Newest::Known(Some(EntryPlace { segment, offset }));
                self.other_kinds.push(sequence);
            }
            Kind::SegmentStart(start) => {
                self.check_last_erasure(start.last_erasure, segment, offset);
                self.last_erasure = Newest::Known(start.last_erasure);
                self.other_kinds.push(sequence);
            }
            Kind::Material(_) | Kind::Name(_) => {
                self.other_kinds.push(sequence);
            }
        }
        Ok(())
    }

    /// `file` is where an encrypted body is that is in a file.
    fn check_body(
        &mut self,
        record: &MessageRecord,
        key: Option<&Arc<BodyKey>>,
        file: Option<&str>,
        segment: u64,
        offset: u64,
    ) -> Result<(), LogError> {
        let Some(body) = &record.body else { return Ok(()) };
        let wrong = match &body.place {
            Some(Place::Inline(bytes)) => compare(body, bytes.len() as u64, sha512(bytes)),
            Some(Place::File(name)) => match self.digest_file(name, body.length, key)? {
                Ok((length, digest)) => compare(body, length, digest),
                Err(reason) => Some(reason),
            },
            // Nothing else to compare: whether the digest is the signed one shows with the signature.
            Some(Place::NotKept(absent)) if absent.why() == Why::Sealed => {
                file.and_then(|file| self.check_length(file, body.length))
            }
            Some(Place::NotKept(absent)) => {
                (absent.why() == Why::Damaged).then_some("the encrypted body is not the one that was written")
            }
            None => Some("the record does not say where its body is"),
        };
        if let Some(reason) = wrong {
            self.report("log.body", segment, offset, reason.to_owned());
        }
        Ok(())
    }

    /// What can be said of an encrypted file without its key.
    fn check_length(&self, file: &str, length: u64) -> Option<&'static str> {
        match std::fs::metadata(self.layout.body(file)) {
            Ok(found) if found.len() == BodyKey::sealed_length(length) => None,
            Ok(_) => Some("the encrypted body does not have the length that follows from the record"),
            Err(_) => Some("the body's file is missing"),
        }
    }

    /// Length and digest of a body file, or why there is none.
    fn digest_file(
        &self,
        name: &str,
        length: u64,
        key: Option<&Arc<BodyKey>>,
    ) -> Result<Result<(u64, Sha512), &'static str>, LogError> {
        if parse_body_name(name).is_none() {
            return Ok(Err("the body's file name is none that a log gives"));
        }
        let path = self.layout.body(name);
        let body = File::open(&path).map(|file| BodyFile::new(file, key.cloned(), length));
        match body.and_then(digest) {
            Ok(found) => Ok(Ok(found)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Err("the body's file is missing")),
            Err(error)
                if matches!(error.kind(), io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof) =>
            {
                Ok(Err("the encrypted body is not the one that was written"))
            }
            Err(error) => Err(LogError::io("read", &path)(error)),
        }
    }

    /// A stamp is proven by the records that it covers, each of which is checked against the first stamp that names it. One that covers nothing,
    /// or only what others cover, would be checked by nobody: it could take the place of a whole batch that was removed.
    fn check_stamp(&mut self, stamp: &StampRecord, sequence: u64, segment: u64, offset: u64) {
        if stamp.leaves.is_empty() {
            self.report("log.stamp", segment, offset, "the stamp covers no record".to_owned());
        }
        let is_message =
            |leaf: u64| (1..sequence).contains(&leaf) && self.other_kinds.binary_search(&leaf).is_err();
        let mut leaves = stamp.leaves.iter().map(|leaf| leaf.sequence);
        let wrong = if let Some(stranger) = leaves.clone().find(|leaf| !is_message(*leaf)) {
            Some(format!("the stamp covers entry {stranger}, which is no message"))
        } else {
            leaves
                .find(|leaf| !self.covered.insert(*leaf))
                .map(|twice| format!("the stamp covers record {twice}, which was covered before"))
        };
        if let Some(reason) = wrong {
            self.report("log.stamp", segment, offset, reason);
        }
        if matches!(&self.last_root, Root::Known(root) if *root != stamp.previous_root) {
            let reason = "the stamp does not build on the one before it".to_owned();
            self.report("log.stamp", segment, offset, reason);
        }
        self.last_root = Root::Known(stamp.root.clone());
    }

    /// What an erasure says of the log must be so: records that were there, and are not to be read any more.
    fn check_erasure(
        &mut self,
        erasure: &Erasure,
        sequence: u64,
        segment: u64,
        offset: u64,
    ) -> Result<(), LogError> {
        self.check_last_erasure(erasure.previous, segment, offset);
        let records = match ErasureStatement::decode(erasure.statement.as_slice()) {
            Ok(statement) => statement.records,
            Err(_) => {
                self.report("log.erasure", segment, offset, "the statement is malformed".to_owned());
                return Ok(());
            }
        };
        if let Err(reason) = are_spans(&records, sequence) {
            self.report("log.erasure", segment, offset, reason.to_owned());
        }
        let Some(keys) = self.reader.keys() else { return Ok(()) };
        for Span { first, last } in records {
            if keys.holds_any(first, last)? {
                let reason = format!(
                    "the keys of the records from {first} to {last} are still there: the server destroys them when it next starts"
                );
                self.report("log.erasure", segment, offset, reason);
            }
        }
        Ok(())
    }

    /// An erased body need not be there, and must not.
    fn mark_erased(&mut self, record: &mut MessageRecord, file: Option<&str>, segment: u64, offset: u64) {
        let Some(body) = &mut record.body else { return };
        let file = match &body.place {
            Some(Place::File(name)) => Some(name.as_str()),
            Some(Place::NotKept(absent)) if matches!(absent.why(), Why::Sealed | Why::Erased) => file,
            Some(Place::NotKept(_) | Place::Inline(_)) | None => return,
        };
        if file.is_some_and(|file| self.layout.body(file).exists()) {
            let reason = "the file of the erased body is still there".to_owned();
            return self.report("log.erasure", segment, offset, reason);
        }
        body.place = Some(Place::NotKept(NotKept { why: Why::Erased.into() }));
    }

    /// A server goes on from what a segment's start says of the tree before it, and signs what comes of it.
    fn check_subtrees(&mut self, named: &[u8], sequence: u64, segment: u64, offset: u64) {
        let is_wrong =
            |tree: &Head| !named.is_empty() && head_before(sequence, named).is_none_or(|head| head != *tree);
        if self.tree.as_ref().is_some_and(is_wrong) {
            let reason = "what it says of the tree over the entries before it is not so".to_owned();
            self.report("log.checkpoint", segment, offset, reason);
        }
    }

    fn check_last_erasure(&mut self, named: Option<EntryPlace>, segment: u64, offset: u64) {
        if matches!(self.last_erasure, Newest::Known(known) if known != named) {
            let reason = "it does not name the erasure before it".to_owned();
            self.report("log.erasure", segment, offset, reason);
        }
    }

    fn report(&mut self, check: &'static str, segment: u64, offset: u64, reason: String) {
        self.damages.push(Damage {
            check,
            file: format!("segments/{}", segment_name(segment)),
            offset,
            reason,
        });
    }
}

fn compare(body: &Body, length: u64, digest: Sha512) -> Option<&'static str> {
    if body.length != length {
        return Some("the body does not have the length that the record gives");
    }
    (body.sha512 != digest.as_bytes()).then_some("the body does not have the digest that the record gives")
}

fn digest(mut file: BodyFile) -> io::Result<(u64, Sha512)> {
    let mut hasher = Sha512Hasher::new();
    let mut piece = vec![0; PIECE_BYTES];
    let mut length = 0;
    loop {
        match file.read(&mut piece) {
            Ok(0) => return Ok((length, hasher.finish())),
            Ok(read) => {
                length += read as u64;
                hasher.update(piece.get(..read).unwrap_or_default());
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

fn missing_segment(number: u64) -> Damage {
    Damage {
        check: "log.sequence",
        file: format!("segments/{}", segment_name(number)),
        offset: 0,
        reason: "the segment is missing".to_owned(),
    }
}

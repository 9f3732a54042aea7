//! From what stands in a frame to what it means: filling in what an entry refers to.

use std::collections::HashMap;
use std::io;

use bytes::Bytes;
use kogge_proto::digest::{Sha256, sha256};
use kogge_proto::wire::log::{self as wire, StoredMessage, entry};
use prost::Message;

use crate::LogError;
use crate::entry::{Entry, Kind};
use crate::layout::Layout;
use crate::read::{Frame, Piece, SegmentReader};
use crate::stored::{self, Referred, restore_message, restore_stamp};

/// Names that a reader remembers; when there are more it forgets them all and reads them again where they are needed.
const NAMES_MAX: usize = 8192;

/// Certificates and OCSP responses that a reader remembers, as names: at most 4 MiB.
const MATERIAL_MAX: usize = 256;

/// Names and material of one segment, by the offset of their frames.
#[derive(Debug, Default)]
pub(crate) struct Referents {
    names: HashMap<u64, String>,
    material: HashMap<u64, (Sha256, Bytes)>,
}

/// What a frame means.
pub(crate) enum Meaning {
    Entry(Box<Entry>),
    /// An entry that refers to something that is not there. What can be filled in is.
    Incomplete(Box<Entry>, String),
    /// No entry.
    None(String),
}

impl Referents {
    fn note(&mut self, kind: &entry::Kind, offset: u64) {
        match kind {
            entry::Kind::Name(name) => {
                if self.names.len() >= NAMES_MAX {
                    self.names.clear();
                }
                self.names.insert(offset, name.text.clone());
            }
            entry::Kind::Material(item) => {
                if self.material.len() >= MATERIAL_MAX {
                    self.material.clear();
                }
                self.material.insert(offset, (sha256(&item.der), Bytes::from(item.der.clone())));
            }
            entry::Kind::SegmentStart(_)
            | entry::Kind::Message(_)
            | entry::Kind::Stamp(_)
            | entry::Kind::Erasure(_) => {}
        }
    }
}

impl SegmentReader {
    /// What the frame means.
    pub(crate) fn interpret(&mut self, frame: Frame) -> io::Result<Meaning> {
        let entry = match wire::Entry::decode(frame.payload) {
            Ok(entry) => entry,
            Err(error) => return Ok(Meaning::None(error.to_string())),
        };
        let wire::Entry { sequence, previous_sha256, time_ms, unsynced, kind } = entry;
        let Some(kind) = kind else { return Ok(Meaning::None("an entry of unknown kind".to_owned())) };
        self.referents.note(&kind, frame.offset);
        let (mut missing, mut material, mut sealed) = (None, Vec::new(), None);
        let kind = match kind {
            entry::Kind::SegmentStart(start) => Ok(Kind::SegmentStart(start)),
            entry::Kind::Material(item) => Ok(Kind::Material(item)),
            entry::Kind::Name(name) => Ok(Kind::Name(name.text)),
            entry::Kind::Stamp(stamp) => restore_stamp(stamp).map(Kind::Stamp),
            entry::Kind::Erasure(erasure) => Ok(Kind::Erasure(Box::new(erasure))),
            entry::Kind::Message(stored) => {
                sealed = stored::sealed_part(&stored);
                let referred = self.follow(&stored, frame.offset, &mut material, &mut missing)?;
                restore_message(stored, referred, sequence).map(|record| Kind::Message(Box::new(record)))
            }
        };
        let kind = match kind {
            Ok(kind) => kind,
            Err(reason) => return Ok(Meaning::None(reason.to_owned())),
        };
        let previous_sha256 = Sha256::from_slice(&previous_sha256);
        let durable_sequence = sequence.saturating_sub(unsynced);
        let entry =
            Box::new(Entry { sequence, previous_sha256, time_ms, durable_sequence, kind, sealed, material });
        Ok(match missing {
            None => Meaning::Entry(entry),
            Some(reason) => Meaning::Incomplete(entry, reason),
        })
    }

    /// What a record refers to, which stands before it; blank where it is missing.
    fn follow(
        &mut self,
        stored: &StoredMessage,
        before: u64,
        material: &mut Vec<Bytes>,
        missing: &mut Option<String>,
    ) -> io::Result<Referred> {
        let mut referred = Referred::default();
        for offset in &stored.names {
            let name = self.name(*offset, before)?;
            referred.names.push(name.unwrap_or_else(|| {
                *missing = Some(format!("the name at byte {offset} is not in the segment"));
                String::new()
            }));
        }
        for offset in &stored.material {
            let digest = match self.material(*offset, before)? {
                Some((digest, der)) => {
                    if !material.contains(&der) {
                        material.push(der);
                    }
                    digest.0.to_vec()
                }
                None => {
                    if *offset != 0 {
                        *missing = Some(format!(
                            "the certificate or OCSP response at byte {offset} is not in the segment"
                        ));
                    }
                    Vec::new()
                }
            };
            referred.material.push(digest);
        }
        Ok(referred)
    }

    fn name(&mut self, offset: u64, before: u64) -> io::Result<Option<String>> {
        if offset == 0 {
            return Ok(Some(String::new()));
        }
        if !self.referents.names.contains_key(&offset) {
            self.fetch(offset, before)?;
        }
        Ok(self.referents.names.get(&offset).cloned())
    }

    fn material(&mut self, offset: u64, before: u64) -> io::Result<Option<(Sha256, Bytes)>> {
        if offset != 0 && !self.referents.material.contains_key(&offset) {
            self.fetch(offset, before)?;
        }
        Ok(self.referents.material.get(&offset).cloned())
    }

    fn fetch(&mut self, offset: u64, before: u64) -> io::Result<()> {
        if offset < before
            && let Some(kind) = self.entry_alone(offset)?.and_then(|entry| entry.kind)
        {
            self.referents.note(&kind, offset);
        }
        Ok(())
    }
}

/// The entry whose frame stands at an offset; `None` if there is no whole one.
pub(crate) fn read_entry(layout: &Layout, segment: u64, offset: u64) -> Result<Option<Entry>, LogError> {
    let path = layout.segment(segment);
    let mut reader =
        SegmentReader::open_narrow(layout, segment, offset).map_err(LogError::io("open", &path))?;
    match reader.next().map_err(LogError::io("read", &path))? {
        Piece::Frame(frame) => match reader.interpret(frame).map_err(LogError::io("read", &path))? {
            Meaning::Entry(entry) => Ok(Some(*entry)),
            Meaning::Incomplete(..) | Meaning::None(_) => Ok(None),
        },
        Piece::Blank | Piece::Bad { .. } => Ok(None),
    }
}

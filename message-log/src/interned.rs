//! What the records of a segment share, and where it stands in the segment.

use std::collections::HashMap;

use kogge_proto::digest::{Sha256, sha256};

use crate::entry::{Entry, Kind};
use crate::index::Fingerprint;

/// Names and items that are remembered of a segment, about 1 MiB. What comes after is stored again for each record: it costs bytes, nothing else.
const REMEMBERED_MAX: usize = 8192;

/// Offsets of the frames of names, certificates and OCSP responses.
#[derive(Debug, Default)]
pub(crate) struct Interned {
    names: HashMap<Box<str>, NamePlace>,
    material: HashMap<Sha256, u64>,
}

/// Where a name stands, and what it is found by: both are the same for all records that refer to it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct NamePlace {
    pub(crate) offset: u64,
    pub(crate) fingerprint: Fingerprint,
}

impl NamePlace {
    pub(crate) fn new(text: &str, offset: u64) -> Self {
        Self { offset, fingerprint: Fingerprint::of(text) }
    }
}

impl Interned {
    pub(crate) fn name(&self, text: &str) -> Option<NamePlace> {
        self.names.get(text).copied()
    }

    pub(crate) fn material(&self, digest: &Sha256) -> Option<u64> {
        self.material.get(digest).copied()
    }

    pub(crate) fn add_name(&mut self, text: &str, place: NamePlace) {
        if self.names.len() < REMEMBERED_MAX {
            self.names.insert(text.into(), place);
        }
    }

    pub(crate) fn add_material(&mut self, digest: Sha256, offset: u64) {
        if self.material.len() < REMEMBERED_MAX {
            self.material.insert(digest, offset);
        }
    }

    /// Takes note of an entry that was read; a segment's start starts anew.
    pub(crate) fn note(&mut self, entry: &Entry, offset: u64) {
        match &entry.kind {
            Kind::SegmentStart(_) => *self = Self::default(),
            Kind::Name(text) => self.add_name(text, NamePlace::new(text, offset)),
            Kind::Material(item) => self.add_material(sha256(&item.der), offset),
            Kind::Message(_) | Kind::Stamp(_) | Kind::Erasure(_) => {}
        }
    }

    /// Takes over what another one knows, and leaves that one blank.
    pub(crate) fn absorb(&mut self, other: &mut Self) {
        for (text, place) in other.names.drain() {
            if self.names.len() < REMEMBERED_MAX {
                self.names.insert(text, place);
            }
        }
        for (digest, offset) in other.material.drain() {
            self.add_material(digest, offset);
        }
    }
}

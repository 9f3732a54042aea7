//! Certificates and OCSP responses: stored once per segment, found again for each record that names them.

use std::collections::HashMap;

use bytes::Bytes;
use kogge_proto::digest::{Sha256, sha256};
use kogge_proto::wire::evidence::{Material, Signature};
use kogge_proto::wire::log::Entry;
use kogge_proto::wire::log::entry::Kind;
use prost::Message;

use crate::LogError;
use crate::layout::Layout;
use crate::message::named_material;
use crate::read::{Piece, SegmentReader};
use crate::scan::Item;

/// Certificates and OCSP responses that a [`Collector`] remembers: at most 4 MiB.
const RECENT_ITEMS_MAX: usize = 256;

/// Where the material of one segment stands, as far as it was read: 40 bytes per item.
#[derive(Default)]
pub(crate) struct MaterialMap {
    segment: u64,
    offsets: HashMap<Sha256, u64>,
}

impl MaterialMap {
    /// Takes note of an entry that was read; a new segment starts anew.
    pub(crate) fn note(&mut self, item: &Item) {
        if item.segment != self.segment {
            self.segment = item.segment;
            self.offsets.clear();
        }
        if let Some(Kind::Material(material)) = &item.entry.kind {
            self.offsets.insert(sha256(&material.der), item.offset);
        }
    }

    /// Where the item with this SHA-256 stands.
    pub(crate) fn offset(&self, segment: u64, digest: &[u8]) -> Option<u64> {
        let digest = Sha256::from_slice(digest)?;
        (segment == self.segment).then(|| self.offsets.get(&digest).copied()).flatten()
    }
}

/// Collects what signatures name. Remembers what was read lately: the records of a segment name few certificates, each many times.
pub(crate) struct Collector {
    layout: Layout,
    recent: HashMap<(u64, Sha256), Bytes>,
}

impl Collector {
    pub(crate) fn new(layout: &Layout) -> Self {
        Self { layout: layout.clone(), recent: HashMap::new() }
    }

    /// What the signature of a record in this segment names, each item from the offset that `place` gives; also says what could not be found.
    pub(crate) fn collect(
        &mut self,
        segment: u64,
        signature: &Signature,
        place: impl Fn(&[u8]) -> Result<Option<u64>, LogError>,
    ) -> Result<(Material, Vec<String>), LogError> {
        let mut material = Material::default();
        let mut missing = Vec::new();
        for named in named_material(signature) {
            match self.item(segment, named, &place)? {
                Some(der) if !material.items.contains(&der) => material.items.push(der),
                Some(_) => {}
                None => missing.push(hex::encode(named)),
            }
        }
        Ok((material, missing))
    }

    fn item(
        &mut self,
        segment: u64,
        named: &[u8],
        place: impl Fn(&[u8]) -> Result<Option<u64>, LogError>,
    ) -> Result<Option<Bytes>, LogError> {
        let Some(digest) = Sha256::from_slice(named) else { return Ok(None) };
        if let Some(der) = self.recent.get(&(segment, digest)) {
            return Ok(Some(der.clone()));
        }
        let Some(offset) = place(named)? else { return Ok(None) };
        let Some(Kind::Material(item)) =
            read_entry(&self.layout, segment, offset)?.and_then(|entry| entry.kind)
        else {
            return Ok(None);
        };
        if sha256(&item.der) != digest {
            return Ok(None);
        }
        if self.recent.len() >= RECENT_ITEMS_MAX {
            self.recent.clear();
        }
        let der = Bytes::from(item.der);
        self.recent.insert((segment, digest), der.clone());
        Ok(Some(der))
    }
}

/// The entry whose frame stands at an offset; `None` if there is no whole one.
pub(crate) fn read_entry(layout: &Layout, segment: u64, offset: u64) -> Result<Option<Entry>, LogError> {
    let path = layout.segment(segment);
    let mut reader =
        SegmentReader::open_narrow(layout, segment, offset).map_err(LogError::io("open", &path))?;
    match reader.next().map_err(LogError::io("read", &path))? {
        Piece::Frame(frame) => Ok(Entry::decode(frame.payload).ok()),
        Piece::Blank | Piece::Bad { .. } => Ok(None),
    }
}

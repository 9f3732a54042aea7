//! An auditor's bundle.

use std::io::Cursor;

use kogge_evidence::bundle::MAGIC;
use kogge_evidence::bundle::block::{BlockWriter, Kind};
use kogge_evidence::bundle::read::{BundleReader, Part};
use kogge_message_log::{Detached, Origin};

/// With the digest of each block made good: what the digests keep out is let in.
pub(crate) fn bundle(data: &[u8]) {
    let Some(bytes) = with_good_digests(data) else { return };
    let Ok(mut reader) = BundleReader::open(Cursor::new(bytes)) else { return };
    drop(Origin::read(reader.origin().clone()));
    drop(reader.take_snapshot());
    while let Ok(part) = reader.read() {
        match part {
            Part::Group(group) => group.records.iter().for_each(read_record),
            Part::Body(_) => {}
            Part::End(_) => break,
        }
    }
}

fn read_record(record: &kogge_evidence::bundle::read::Record) {
    let digests: Vec<_> =
        record.material.iter().map(|item| item.as_ref().map(|(digest, _)| *digest)).collect();
    drop(Detached::read(record.entry.clone(), &record.client, &record.service, &digests));
}

/// Blocks as they stand there: kind, length, payload, digest.
fn with_good_digests(data: &[u8]) -> Option<Vec<u8>> {
    let mut rest = data.strip_prefix(MAGIC)?;
    let mut writer = BlockWriter::begin(Vec::new()).ok()?;
    while let Some((&[kind, l0, l1, l2, l3], after)) = rest.split_first_chunk::<5>() {
        let length = usize::try_from(u32::from_le_bytes([l0, l1, l2, l3])).ok()?;
        let (payload, after) = after.split_at_checked(length.min(after.len()))?;
        writer.write(KINDS.into_iter().find(|known| *known as u8 == kind)?, payload).ok()?;
        rest = after.get(DIGEST_BYTES..).unwrap_or_default();
    }
    Some(writer.into_inner())
}

const DIGEST_BYTES: usize = 32;
const KINDS: [Kind; 5] = [Kind::Origin, Kind::Snapshot, Kind::Items, Kind::Body, Kind::End];

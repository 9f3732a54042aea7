//! Creating the next segment.

use std::io;

use kogge_proto::digest::Sha256;
use kogge_proto::wire::log::entry::Kind;
use kogge_proto::wire::log::{Entry, EntryPlace, SegmentStart};
use prost::Message;

use crate::Options;
use crate::chain::Chain;
use crate::disk::Disk;
use crate::frame::Mask;
use crate::keys::LogKeys;
use crate::layout::Layout;
use crate::scan::FORMAT;
use crate::segment::Segment;
use crate::tree::Tree;

/// The segment before a new one.
#[derive(Clone, Copy)]
pub(crate) struct Previous {
    pub(crate) number: u64,
    pub(crate) bytes: u64,
    pub(crate) suspect: bool,
    /// The oldest message that no stamp covers, if there is one.
    pub(crate) unstamped_from: Option<u64>,
    /// Root of the newest stamp.
    pub(crate) last_root: Option<Sha256>,
    /// The newest erasure.
    pub(crate) last_erasure: Option<EntryPlace>,
}

impl Previous {
    /// There is none.
    pub(crate) const NONE: Self = Self {
        number: 0,
        bytes: 0,
        suspect: false,
        unstamped_from: None,
        last_root: None,
        last_erasure: None,
    };
}

/// Creates the segment after `previous` with its first entry, durable; `tree` is over all entries before.
pub(crate) fn start(
    disk: &dyn Disk,
    layout: &Layout,
    options: &Options,
    keys: Option<&LogKeys>,
    (mut chain, tree): (Chain, &Tree),
    previous: Previous,
) -> io::Result<(Segment, Chain)> {
    let number = previous.number + 1;
    let path = layout.segment(number);
    // Left by an attempt that failed: a new file, so that its failed syncs say nothing about ours.
    match std::fs::remove_file(&path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => {}
    }
    // Before the segment's first record, so that none is there whose key is not. A crash after this leaves keys of nothing.
    let keys = keys.map(|keys| keys.create(number, chain.next())).transpose()?;
    let mask = Mask::random()?;
    let start = SegmentStart {
        format: FORMAT,
        segment: number,
        security_server: options.server.to_string(),
        previous_bytes: previous.bytes,
        previous_suspect: previous.suspect,
        unstamped_from: previous.unstamped_from.unwrap_or(chain.next()),
        last_root: previous.last_root.map(|root| root.0.to_vec()).unwrap_or_default(),
        checksum_mask: mask.0,
        last_erasure: previous.last_erasure,
        subtrees: tree.subtrees(),
    };
    let start = Entry { kind: Some(Kind::SegmentStart(start)), ..Entry::default() };
    let mut frames = Vec::new();
    let durable = chain.sequence;
    chain.append(&mut frames, Mask::NONE, (options.clock)(), durable, |out| {
        // The other fields are blank, and a blank field is not encoded.
        out.extend_from_slice(&start.encode_to_vec());
    });
    let created =
        Segment::create(disk, layout, number, mask, options.segment_bytes).and_then(|mut segment| {
            segment.write(&frames)?;
            segment.sync().run()?;
            disk.sync_dir(&layout.segments())?;
            segment.begin(frames.len());
            segment.keys = keys;
            Ok(segment)
        });
    match created {
        Ok(segment) => Ok((segment, chain)),
        Err(error) => {
            // Takes up space on what may be a full disk; if it stays, the next attempt removes it.
            let _ = std::fs::remove_file(&path);
            Err(error)
        }
    }
}

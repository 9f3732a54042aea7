//! Going through a log from its first entry to its last, past every entry, with the records that somebody wants.

use std::ops::ControlFlow;

use bytes::Bytes;
use kogge_proto::digest::Sha256;

use crate::reader::Message;
use crate::stamps::Stamps;
use crate::{Filter, Found, LogError, Reader};

/// An entry that a walk comes by.
#[derive(Debug)]
pub struct Met {
    /// Sequence of the entry.
    pub sequence: u64,
    /// SHA-256 of its payload, as the chain has it.
    pub hash: Sha256,
    /// Its payload, as it lies in the segment.
    pub payload: Bytes,
    /// The record with its stamp, if the entry is one and passes the filter.
    pub found: Option<Found>,
}

impl Reader {
    /// Hands every entry over, in order, until `each` breaks off. A log that is being written is read as far as it goes when the walk comes
    /// to its end. Frames, checksums and chain are checked on the way; bodies are not.
    ///
    /// # Errors
    /// A segment cannot be read or is damaged, or the oldest segments are not there.
    pub fn walk(
        &self,
        filter: &Filter,
        each: &mut dyn FnMut(Met) -> ControlFlow<()>,
    ) -> Result<(), LogError> {
        let mut stamps = Stamps::default();
        let mut scan = self.scan_from(1)?;
        while let Some(item) = scan.next_intact()? {
            let (sequence, hash, payload) = (item.entry.sequence, item.hash, item.payload.clone());
            let found = match Message::admitted(*item, filter) {
                Some(message) => {
                    let stamp = stamps.find(self, message.segment, sequence)?;
                    Some(message.found(self, stamp)?)
                }
                None => None,
            };
            if each(Met { sequence, hash, payload, found }).is_break() {
                break;
            }
        }
        Ok(())
    }
}

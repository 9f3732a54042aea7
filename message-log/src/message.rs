//! What goes into the log and what comes out.

use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use kogge_proto::digest::Sha512;
use kogge_proto::time::UnixMillis;
use kogge_proto::wire::evidence::{Material, Signature};
use kogge_proto::wire::log::{Direction, MessageRecord, Role, StampRecord};

use crate::incarnation::Incarnation;
use crate::{AppendError, BodyKey};

/// A message that is to become a record.
#[derive(Clone, Debug)]
pub struct NewMessage {
    /// Which side of the exchange this server is on.
    pub role: Role,
    /// Request or response.
    pub direction: Direction,
    /// `x-road-id`.
    pub message_id: String,
    /// `x-road-request-id`.
    pub request_id: String,
    /// Text form of the client.
    pub client: String,
    /// Text form of the service.
    pub service: String,
    /// The person whom the request names. A log that has a log key keeps a pseudonym of it beside the message, and finds the record by it; others keep none.
    pub subject: Option<String>,
    /// Text form of the other side's security server; empty where not yet known.
    pub peer_server: String,
    /// The REST message part.
    pub message: Bytes,
    /// The body part, if there is one.
    pub body: Option<NewBody>,
    /// The compact signature.
    pub signature: Signature,
    /// The certificates and OCSP responses that the signature names; stored once per segment. What it does not name is not stored.
    pub material: Material,
    /// The record that this one must not stand without: for a response, the request of the same exchange. If that record has been lost meanwhile,
    /// which can only happen to one that was acknowledged as [`Durability::WithNext`], this one is refused with [`AppendError::Orphaned`].
    pub follows: Option<Receipt>,
}

/// When a record is acknowledged.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Durability {
    /// Once it is durable: written and synced. A power cut does not take it back.
    Now,
    /// Once it is written: the end of this process does not take it back, a power cut or a failing disk can. It becomes durable with the next record that
    /// wants to be durable now, or by itself within [`crate::SYNC_WITHIN`]; only then it is found and can be stamped. A record with a spooled body is
    /// acknowledged as with [`Durability::Now`].
    WithNext,
}

/// A body part with its digest.
#[derive(Clone, Debug)]
pub struct NewBody {
    /// Length in bytes.
    pub length: u64,
    /// Digest of all bytes, computed by the caller while the body arrived.
    pub sha512: Sha512,
    /// Where the bytes are.
    pub place: NewBodyPlace,
}

/// Where a new body's bytes are.
#[derive(Clone, Debug)]
pub enum NewBodyPlace {
    /// In memory; at most [`kogge_proto::limits::INLINE_BODY_BYTES_MAX`] bytes.
    Inline(Bytes),
    /// In a file of the log's spool; the log syncs it and renames it into `bodies/` before the record is acknowledged. If the
    /// record is refused, the file is, as far as the disk permits, still where it was, and the caller's to remove.
    Spooled(PathBuf),
    /// As [`Self::Spooled`], encrypted under a key of its own, in the way of [`BodyKey`]. A log that has a log key keeps the key encrypted for the record.
    Sealed {
        /// The file.
        path: PathBuf,
        /// Its key.
        key: Arc<BodyKey>,
    },
    /// Nowhere in the log: the record holds length and digest, and the bytes are the caller's to throw away.
    DigestOnly,
}

/// Where an acknowledged record stands.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Receipt {
    /// The entry's sequence number.
    pub sequence: u64,
    /// When it was appended.
    pub time: UnixMillis,
    /// Which end of the log it was written to. Means nothing to another run of the process.
    pub incarnation: Incarnation,
}

/// What is called once a record is acknowledged, or was refused. Runs on the log's own threads, or on that of anybody who appends: must not block.
pub type Acknowledge = Box<dyn FnOnce(Result<Receipt, AppendError>) + Send>;

/// Whether the log takes records.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum State {
    /// Yes.
    Writable,
    /// The disk is full; tried again with every append, and every second without one.
    Full,
    /// A write or sync failed; a new segment is being proven.
    Suspect(String),
    /// Closed.
    Closed,
}

/// A message record as found, with all that is needed to prove it.
#[derive(Clone, Debug)]
pub struct Found {
    /// Sequence of its entry.
    pub sequence: u64,
    /// When it was appended.
    pub time: UnixMillis,
    /// The record.
    pub record: MessageRecord,
    /// The entry holds the body encrypted: if `record` has it, it was opened with a key.
    pub encrypted: bool,
    /// The key of the body's file, if that is encrypted and can be opened.
    pub body_key: Option<Arc<BodyKey>>,
    /// The certificates and OCSP responses that its signature names.
    pub material: Material,
    /// The stamp that covers it, if there is one yet; shared by the records of a batch, for it may name ten thousand.
    pub stamp: Option<Arc<StampRecord>>,
}

/// Which records to list.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// Exactly this `x-road-id`.
    pub message_id: Option<String>,
    /// Exactly this `x-road-request-id`.
    pub request_id: Option<String>,
    /// Text form of the client.
    pub client: Option<String>,
    /// Text form of the service.
    pub service: Option<String>,
    /// Exactly this pseudonym of a person, see [`crate::LogKey::pseudonym`].
    pub subject: Option<[u8; 32]>,
    /// Appended at this time or later.
    pub from: Option<UnixMillis>,
    /// Appended before this time.
    pub to: Option<UnixMillis>,
}

impl Filter {
    /// Whether a record that was appended at `time` passes.
    pub(crate) fn admits(&self, time: UnixMillis, record: &MessageRecord) -> bool {
        let same = |wanted: &Option<String>, found: &str| wanted.as_deref().is_none_or(|text| text == found);
        self.admits_time(time)
            && same(&self.message_id, &record.message_id)
            && same(&self.request_id, &record.request_id)
            && same(&self.client, &record.client)
            && same(&self.service, &record.service)
            && self.subject.is_none_or(|subject| record.subject == subject)
    }

    pub(crate) fn admits_time(&self, time: UnixMillis) -> bool {
        self.from.is_none_or(|from| from <= time) && self.to.is_none_or(|to| time < to)
    }
}

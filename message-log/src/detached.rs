//! Entries outside of their log: read from their payload alone, with what they refer to given by whoever took them out.

use bytes::Bytes;
use kogge_proto::digest::Sha256;
use kogge_proto::time::UnixMillis;
use kogge_proto::wire::log::{self as wire, MessageRecord, entry};
use prost::Message;

use crate::scan::FORMAT;
use crate::stored::{Referred, restore_message};

/// A message record out of its log.
#[derive(Clone, Debug)]
pub struct Detached {
    /// Sequence of its entry.
    pub sequence: u64,
    /// When it was appended.
    pub time: UnixMillis,
    /// The record. Its peer is not known.
    pub record: MessageRecord,
}

/// What the first entry of a log says.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Origin {
    /// Whose log it is: INSTANCE/CLASS/CODE/SERVER.
    pub server: String,
}

/// Why a payload is not what it should be.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum DetachedError {
    /// It is no entry.
    #[error("it is no entry of a log: {0}")]
    Encoding(String),
    /// It is an entry of another kind, or does not say all that it must.
    #[error("{0}")]
    Content(&'static str),
}

impl Detached {
    /// Reads the payload of a message entry. `client` and `service`, and the digests of what the signature names (signing certificate, OCSP response,
    /// issuers; `None` for one that is not named), are what the entry's references lead to.
    ///
    /// # Errors
    /// It is no such entry, or refers to more or less than was given.
    pub fn read(
        payload: Bytes,
        client: &str,
        service: &str,
        material: &[Option<Sha256>],
    ) -> Result<Self, DetachedError> {
        let entry = decode(payload)?;
        let Some(entry::Kind::Message(stored)) = entry.kind else {
            return Err(DetachedError::Content("it is an entry of another kind than a message"));
        };
        let [named_client, named_service, _peer] = stored.names.as_slice() else {
            return Err(DetachedError::Content("the record does not name client, service and peer"));
        };
        let is_given = [(named_client, client), (named_service, service)]
            .into_iter()
            .all(|(offset, text)| (*offset == 0) == text.is_empty());
        let fits = stored.material.len() == material.len()
            && stored
                .material
                .iter()
                .zip(material)
                .all(|(offset, digest)| (*offset == 0) == digest.is_none());
        if !is_given || !fits {
            return Err(DetachedError::Content(
                "the record refers to something else than came along with it",
            ));
        }
        let digest = |digest: &Option<Sha256>| digest.map_or_else(Vec::new, |digest| digest.0.to_vec());
        let referred = Referred {
            names: vec![client.to_owned(), service.to_owned(), String::new()],
            material: material.iter().map(digest).collect(),
        };
        let record = restore_message(stored, referred, entry.sequence).map_err(DetachedError::Content)?;
        Ok(Self { sequence: entry.sequence, time: UnixMillis(entry.time_ms), record })
    }
}

impl Origin {
    /// Reads the payload of a log's first entry.
    ///
    /// # Errors
    /// It is none.
    pub fn read(payload: Bytes) -> Result<Self, DetachedError> {
        let entry = decode(payload)?;
        match entry.kind {
            Some(entry::Kind::SegmentStart(start)) if entry.sequence == 1 && start.segment == 1 => {
                if start.format != FORMAT {
                    return Err(DetachedError::Content(
                        "the log is of another format than this version reads",
                    ));
                }
                Ok(Self { server: start.security_server })
            }
            _ => Err(DetachedError::Content("it is not the first entry of a log")),
        }
    }
}

fn decode(payload: Bytes) -> Result<wire::Entry, DetachedError> {
    wire::Entry::decode(payload).map_err(|error| DetachedError::Encoding(error.to_string()))
}

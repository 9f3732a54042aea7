//! What is kept of a record for the matching, and what is shown of one that was found.

use kogge_message_log::Found;
use kogge_proto::digest::{Sha256, sha256};
use kogge_proto::time::UnixMillis;
use kogge_proto::wire::evidence::Signature;
use kogge_proto::wire::log::{Direction, MessageRecord, Role};

/// One of the two logs.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub(super) enum Side {
    A,
    B,
}

impl Side {
    pub(super) fn other(self) -> Self {
        match self {
            Self::A => Self::B,
            Self::B => Self::A,
        }
    }

    /// The one of two things that is this side's.
    pub(super) fn of<T>(self, both: &[T; 2]) -> &T {
        let [a, b] = both;
        match self {
            Self::A => a,
            Self::B => b,
        }
    }
}

/// What names an exchange: a digest of the request id, which may be any text, in 16 bytes; and on which side the consumer is.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub(super) struct ExchangeKey {
    request: [u8; 16],
    pub(super) consumer: Side,
}

/// Whom a record names as the other side.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Peer {
    /// The server whose log the other one is.
    Other,
    /// A third server.
    Third,
    /// Nobody: a consumer's request is logged before it is known who will take it.
    Unnamed,
}

/// A record, as far as the matching needs it.
#[derive(Clone, Debug)]
pub(super) struct Row {
    pub(super) exchange: ExchangeKey,
    pub(super) is_consumers: bool,
    pub(super) is_response: bool,
    pub(super) peer: Peer,
    pub(super) sequence: u64,
    pub(super) time: UnixMillis,
    /// Over all that the twin must have too.
    pub(super) print: Sha256,
}

impl Row {
    /// The row of a record in `side`'s log, if it is one of an exchange.
    pub(super) fn new(found: &Found, side: Side, other_server: &str) -> Option<Self> {
        let record = &found.record;
        let (exchange, is_consumers, is_response) = place(record, side)?;
        let peer = match record.peer_server.as_str() {
            "" => Peer::Unnamed,
            name if name == other_server => Peer::Other,
            _ => Peer::Third,
        };
        let print = sha256(&fields(record).concat());
        let (sequence, time) = (found.sequence, found.time);
        Some(Self { exchange, is_consumers, is_response, peer, sequence, time, print })
    }

    /// In whose log it stands.
    pub(super) fn side(&self) -> Side {
        if self.is_consumers { self.exchange.consumer } else { self.exchange.consumer.other() }
    }
}

/// All that is told of a record of an exchange in which something was found.
#[derive(Clone, Debug)]
pub(super) struct Detail {
    pub(super) exchange: ExchangeKey,
    pub(super) side: Side,
    pub(super) is_response: bool,
    pub(super) sequence: u64,
    pub(super) time: UnixMillis,
    pub(super) message_id: String,
    pub(super) request_id: String,
    pub(super) client: String,
    pub(super) service: String,
    fields: Fields,
}

impl Detail {
    /// Of a record in `side`'s log, if it is one of an exchange that is `wanted`.
    pub(super) fn new(found: Found, side: Side, wanted: impl Fn(&ExchangeKey) -> bool) -> Option<Self> {
        let record = found.record;
        let (exchange, _, is_response) = place(&record, side)?;
        let fields = wanted(&exchange).then(|| fields(&record))?;
        let (sequence, time) = (found.sequence, found.time);
        let MessageRecord { message_id, request_id, client, service, .. } = record;
        Some(Self {
            exchange,
            side,
            is_response,
            sequence,
            time,
            message_id,
            request_id,
            client,
            service,
            fields,
        })
    }

    /// Names of the fields in which two records differ.
    pub(super) fn differing(&self, twin: &Self) -> Vec<&'static str> {
        let pairs = self.fields.iter().zip(&twin.fields);
        FIELDS.iter().zip(pairs).filter(|(_, (mine, its))| mine != its).map(|(name, _)| *name).collect()
    }
}

/// Exchange, whether the consumer's, whether a response; `None` if it does not say.
fn place(record: &MessageRecord, side: Side) -> Option<(ExchangeKey, bool, bool)> {
    let is_consumers = match record.role() {
        Role::Consumer => true,
        Role::Provider => false,
        Role::Unspecified => return None,
    };
    let is_response = match record.direction() {
        Direction::Request => false,
        Direction::Response => true,
        Direction::Unspecified => return None,
    };
    let request = half_digest(record.request_id.as_bytes());
    let consumer = if is_consumers { side } else { side.other() };
    Some((ExchangeKey { request, consumer }, is_consumers, is_response))
}

/// What twins have in common, in the order of [`fields`].
const FIELDS: [&str; 8] = [
    "message_id",
    "client",
    "service",
    "message",
    "body_length",
    "body_digest",
    "signature",
    "signing_certificate",
];

/// The first half of a SHA-256 of each of [`FIELDS`].
type Fields = [[u8; 16]; FIELDS.len()];

fn fields(record: &MessageRecord) -> Fields {
    let body = record.body.as_ref();
    let signature = record.signature.as_ref();
    // A body of no bytes is not the same as none.
    let length = body.map(|body| body.length.to_be_bytes().to_vec()).unwrap_or_default();
    let texts: [&[u8]; FIELDS.len()] = [
        record.message_id.as_bytes(),
        record.client.as_bytes(),
        record.service.as_bytes(),
        &record.message,
        &length,
        body.map_or(&[], |body| &body.sha512),
        &signature.map(signature_bytes).unwrap_or_default(),
        signature.map_or(&[], |signature| &signature.certificate_sha256),
    ];
    texts.map(half_digest)
}

fn half_digest(text: &[u8]) -> [u8; 16] {
    let mut half = [0; 16];
    half.iter_mut().zip(sha256(text).as_bytes()).for_each(|(byte, of_digest)| *byte = *of_digest);
    half
}

/// Method, signing time and value; and the way to the signed result where several messages were signed together. Each of variable length with its length in front.
fn signature_bytes(signature: &Signature) -> Vec<u8> {
    let mut bytes = Vec::new();
    bytes.extend(signature.method.to_be_bytes());
    bytes.extend(signature.signing_time_ms.to_be_bytes());
    bytes.extend((signature.value.len() as u64).to_be_bytes());
    bytes.extend(&signature.value);
    if let Some(batch) = &signature.batch {
        bytes.extend(batch.left.to_be_bytes());
        bytes.extend(&batch.siblings);
    }
    bytes
}

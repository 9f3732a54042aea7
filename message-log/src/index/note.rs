//! What the index keeps of an entry, taken when the entry is written or read, so that nothing is read back.

use kogge_proto::digest::{Sha256, sha256};
use kogge_proto::time::UnixMillis;
use kogge_proto::wire::log::{MessageRecord, StampRecord};

use crate::entry::{Entry, Kind};
use crate::window::RequestKey;

/// An entry as the index sees it.
#[derive(Debug)]
pub(crate) struct Note {
    pub(crate) sequence: u64,
    /// Where its frame stands: in the segment, or in the group of frames that is being made.
    pub(crate) offset: u64,
    pub(crate) time: UnixMillis,
    pub(crate) kind: Noted,
}

/// What kind of entry it is, with what it can be found by.
#[derive(Debug)]
pub(crate) enum Noted {
    /// A message; with the key by which a second one is refused, if it is a provider-side request.
    Message(Keys, Option<RequestKey>),
    /// A stamp over records whose sequences lie between these, both included.
    Stamp { first: u64, last: u64 },
    /// Nothing that is looked for.
    Other,
}

impl Note {
    /// What to keep of an entry whose frame stands at `offset`.
    pub(crate) fn of(entry: &Entry, offset: u64) -> Self {
        let kind = match &entry.kind {
            Kind::Message(record) => Noted::Message(
                Keys::of(record),
                RequestKey::guarded(record.role(), record.direction(), &record.request_id),
            ),
            Kind::Stamp(stamp) => Noted::stamp(stamp),
            Kind::SegmentStart(_) | Kind::Material(_) | Kind::Name(_) | Kind::Erasure(_) => Noted::Other,
        };
        Self { sequence: entry.sequence, offset, time: UnixMillis(entry.time_ms), kind }
    }
}

impl Noted {
    /// What to keep of a stamp.
    pub(crate) fn stamp(stamp: &StampRecord) -> Self {
        let leaves = || stamp.leaves.iter().map(|leaf| leaf.sequence);
        match (leaves().min(), leaves().max()) {
            (Some(first), Some(last)) => Self::Stamp { first, last },
            _ => Self::Other,
        }
    }
}

/// The first four bytes of a text's SHA-256. Two texts may share them (once in four billion, or when somebody makes an effort): the index
/// only says where to look, and what stands there is compared with the whole text.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) struct Fingerprint(pub(crate) u32);

impl From<RequestKey> for Fingerprint {
    /// Of the request id that the key is of: both begin with the same bytes.
    fn from(RequestKey(key): RequestKey) -> Self {
        let [a, b, c, d, ..] = key.to_be_bytes();
        Self(u32::from_be_bytes([a, b, c, d]))
    }
}

impl Fingerprint {
    /// Of a subject that is not named.
    pub(crate) const NONE: Self = Self(0);

    /// The first four bytes of a pseudonym, never [`Self::NONE`] if there is one.
    pub(crate) fn of_subject(pseudonym: &[u8]) -> Self {
        match pseudonym {
            [a, b, c, d, ..] => Self(u32::from_be_bytes([*a, *b, *c, *d]).max(1)),
            _ => Self::NONE,
        }
    }

    pub(crate) fn of(text: &str) -> Self {
        let Sha256([a, b, c, d, ..]) = sha256(text.as_bytes());
        Self(u32::from_be_bytes([a, b, c, d]))
    }
}

/// By what a message can be found: 20 bytes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Keys {
    pub(crate) message_id: Fingerprint,
    pub(crate) request_id: Fingerprint,
    pub(crate) client: Fingerprint,
    pub(crate) service: Fingerprint,
    /// [`Fingerprint::NONE`] where the message names no person.
    pub(crate) subject: Fingerprint,
}

impl Keys {
    pub(crate) fn of(record: &MessageRecord) -> Self {
        Self {
            message_id: Fingerprint::of(&record.message_id),
            request_id: Fingerprint::of(&record.request_id),
            client: Fingerprint::of(&record.client),
            service: Fingerprint::of(&record.service),
            subject: Fingerprint::of_subject(&record.subject),
        }
    }

    pub(crate) fn get(&self, field: Field) -> Fingerprint {
        match field {
            Field::MessageId => self.message_id,
            Field::RequestId => self.request_id,
            Field::Client => self.client,
            Field::Service => self.service,
            Field::Subject => self.subject,
        }
    }
}

/// A field of a message by which it can be found.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(crate) enum Field {
    MessageId,
    RequestId,
    Client,
    Service,
    /// The person whom the message names; most name none.
    Subject,
}

impl Field {
    pub(crate) const ALL: [Self; 5] =
        [Self::MessageId, Self::RequestId, Self::Client, Self::Service, Self::Subject];

    /// The letter that stands for it in keys.
    pub(crate) fn letter(self) -> u8 {
        match self {
            Self::MessageId => b'm',
            Self::RequestId => b'r',
            Self::Client => b'c',
            Self::Service => b's',
            Self::Subject => b'p',
        }
    }
}

/// What is looked for in a field.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Probe {
    pub(crate) field: Field,
    pub(crate) fingerprint: Fingerprint,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_key_begins_with_the_fingerprint_of_its_request_id() {
        for text in ["", "request-1", "550e8400-e29b-41d4-a716-446655440000"] {
            assert_eq!(Fingerprint::from(RequestKey::of(text)), Fingerprint::of(text));
        }
    }
}

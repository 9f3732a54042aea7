//! Why a snapshot is refused.

use std::fmt;

use kogge_proto::digest::Sha256;
use kogge_proto::id::IdError;
use kogge_proto::time::UnixMillis;

use super::endpoint::EndpointError;
use crate::key::SignError;

/// Which of the two signed parts.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Part {
    /// Signed by root keys; names the online keys.
    Delegation,
    /// Signed by online keys; the content.
    Snapshot,
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Delegation => "delegation",
            Self::Snapshot => "snapshot",
        })
    }
}

/// Why a snapshot is refused. The fault is with whoever delivered or made it, except where the clock may be ours.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum SnapshotError {
    /// Larger than [`kogge_proto::limits::SNAPSHOT_BYTES_MAX`].
    #[error("the snapshot has {bytes} bytes, more than is accepted")]
    TooLarge {
        /// Its size.
        bytes: usize,
    },
    /// Not the protobuf message that it should be.
    #[error("the {0} cannot be decoded: it is damaged or not a registry snapshot")]
    Malformed(&'static str),
    /// Holds fields that this version does not know, or is encoded in another way than the registry does.
    #[error(
        "the {0} has unknown fields or an unusual encoding: altered, or made for a newer version of Kogge"
    )]
    NotCanonical(&'static str),
    /// Of another instance.
    #[error("the registry snapshot is of instance {found:?}, not {expected:?}")]
    Instance {
        /// The anchor's (or the previous snapshot's).
        expected: String,
        /// The one found.
        found: String,
    },
    /// Test content under a production anchor, or the other way round.
    #[error("the registry snapshot is of a {found:?} environment, the anchor of a {expected:?} one")]
    Environment {
        /// The anchor's.
        expected: String,
        /// The one found.
        found: String,
    },
    /// Fewer signatures than the threshold.
    #[error("the {part} has {found} signatures, {threshold} are needed")]
    TooFewSignatures {
        /// Which part.
        part: Part,
        /// Number of signatures present.
        found: usize,
        /// Number needed.
        threshold: u32,
    },
    /// More signatures than there can be keys.
    #[error("the {part} has too many signatures")]
    TooManySignatures {
        /// Which part.
        part: Part,
    },
    /// Signed by a key that has no say here.
    #[error("the {part} is signed by key {key}, which is not one of the keys that may sign it")]
    UnknownSigner {
        /// Which part.
        part: Part,
        /// SHA-256 of the key's SubjectPublicKeyInfo, in hexadecimal as far as it is one.
        key: String,
    },
    /// Signed twice by the same key.
    #[error("the {part} is signed twice by key {key}")]
    RepeatedSigner {
        /// Which part.
        part: Part,
        /// The key.
        key: Sha256,
    },
    /// A signature does not match: altered, or damaged.
    #[error("the signature of the {part} by key {key} is wrong: altered or damaged")]
    BadSignature {
        /// Which part.
        part: Part,
        /// The key.
        key: Sha256,
    },
    /// The delegation's own content is not valid.
    #[error("the delegation is not valid: {0}")]
    Delegation(&'static str),
    /// Version zero: versions start at 1.
    #[error("the {0} has version 0")]
    NoVersion(Part),
    /// Expires before it is issued, or lives longer than is accepted.
    #[error("the {0} has an impossible validity")]
    Validity(Part),
    /// The snapshot was not issued within the delegation's validity.
    #[error("the snapshot was issued at {issued}, outside the delegation's validity")]
    OutsideDelegation {
        /// When the snapshot was issued.
        issued: UnixMillis,
    },
    /// No longer valid at the present time.
    #[error("the registry snapshot has expired at {expires}")]
    Expired {
        /// When.
        expires: UnixMillis,
    },
    /// Issued later than now by more than the tolerated difference of clocks.
    #[error("the registry snapshot was issued at {issued}, in the future: check this machine's clock")]
    IssuedInFuture {
        /// When.
        issued: UnixMillis,
    },
    /// Older than the one accepted before.
    #[error("the registry snapshot has version {offered}, but version {accepted} was accepted before")]
    RolledBack {
        /// Accepted before.
        accepted: u64,
        /// Offered now.
        offered: u64,
    },
    /// Signed under an older delegation than the one accepted before.
    #[error(
        "the registry snapshot has delegation version {offered}, but version {accepted} was accepted before"
    )]
    DelegationRolledBack {
        /// Accepted before.
        accepted: u64,
        /// Offered now.
        offered: u64,
    },
    /// The version accepted before, with other content.
    #[error("there are two different registry snapshots of version {version}")]
    SameVersionDiffers {
        /// The version.
        version: u64,
    },
    /// Only when making one: a key could not sign.
    #[error("the registry snapshot could not be signed: {0}")]
    Sign(#[from] SignError),
    /// Correctly signed, but the content contradicts itself. The fault is the registry's.
    #[error("the registry snapshot's content is not valid: {0}")]
    Content(#[from] ContentError),
}

/// What is wrong with correctly signed content.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum ContentError {
    /// An identifier is not valid.
    #[error("{0}")]
    Id(#[from] IdError),
    /// An address or URL is not valid.
    #[error("{0}")]
    Endpoint(#[from] EndpointError),
    /// Something is there twice.
    #[error("the {what} {id} is there twice")]
    Duplicate {
        /// Kind of thing.
        what: &'static str,
        /// Which.
        id: String,
    },
    /// Something does not stand after all that comes before it by its codes.
    #[error("the {what} {id} is out of order")]
    Order {
        /// Kind of thing.
        what: &'static str,
        /// Which.
        id: String,
    },
    /// Something refers to what is not there.
    #[error("{from} refers to the {what} {id}, which does not exist")]
    Dangling {
        /// What refers.
        from: String,
        /// Kind of thing referred to.
        what: &'static str,
        /// Which.
        id: String,
    },
    /// A list has more entries than is accepted.
    #[error("there are more than {max} {what}")]
    TooMany {
        /// Kind of thing.
        what: &'static str,
        /// The limit.
        max: usize,
    },
    /// Something needed is missing or empty.
    #[error("{of} has no {what}")]
    Missing {
        /// Kind of thing.
        what: &'static str,
        /// Whose.
        of: String,
    },
    /// A name or title is too long or has control characters.
    #[error("the {what} of {of} is too long or has control characters")]
    Text {
        /// Kind of text.
        what: &'static str,
        /// Whose.
        of: String,
    },
    /// A policy value is zero or beyond what is accepted.
    #[error("the policy value {name} is {seconds} s; it must be between 1 and {max}")]
    Policy {
        /// Name of the field.
        name: &'static str,
        /// As found.
        seconds: u32,
        /// The limit.
        max: u32,
    },
    /// A certificate of a CA, responder or TSA cannot be used.
    #[error("a certificate of {of} is not acceptable: {reason}")]
    Certificate {
        /// Whose.
        of: String,
        /// What the parser or the profile says.
        reason: String,
    },
    /// A digest has the wrong length.
    #[error("an authentication certificate digest of {of} is not 32 bytes long")]
    Digest {
        /// Whose.
        of: String,
    },
    /// A timestamping policy is not an object identifier.
    #[error("{policy:?} of {of} is not a dotted object identifier")]
    TimestampPolicy {
        /// As found.
        policy: String,
        /// Whose.
        of: String,
    },
}

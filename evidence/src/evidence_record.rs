//! Evidence records (RFC 4998 section 3): one leaf's way to the root of its batch, and the token over that root; then, for each time that it was renewed, that
//! token's way to the root of the renewal, and the token over it.
//!
//! One form is written and read: version 1, SHA-256, one chain of archive timestamps, no encryption and no attributes. There is no hash tree renewal
//! (section 5.3), which would begin a second chain.
//! The digest algorithm of the hash tree is that of the token's imprint, so the archive timestamp does not repeat it.
//!
//! The record covers `META-INF/signatures.xml` and, through the digests in it, the parts of the message.

use der::asn1::{Any, ObjectIdentifier, OctetString};
use der::{Decode, Encode, Sequence};
use kogge_proto::digest::{Sha256, sha256};
use kogge_proto::limits::{BATCH_LEAVES_MAX, TRUST_RESPONSE_BYTES_MAX};
use kogge_proto::wire::log::StampRecord;
use spki::AlgorithmIdentifierOwned;

/// An evidence record, read strictly: one archive timestamp chain, SHA-256.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct EvidenceRecord {
    /// About the leaf.
    pub first: ArchiveTimestamp,
    /// Each about the token of the one before it (RFC 4998 section 5.2), oldest first; at most [`RENEWALS_MAX`].
    pub renewals: Vec<ArchiveTimestamp>,
}

/// A way through a hash tree, and the token over its root (RFC 4998 section 4.1).
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ArchiveTimestamp {
    /// The reduced hash tree; empty if the leaf itself was stamped.
    pub groups: Vec<Vec<Sha256>>,
    /// DER TimeStampToken.
    pub token: Vec<u8>,
}

/// Why there is no evidence record.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum EvidenceRecordError {
    /// Not a DER EvidenceRecord of the form that this version reads and writes.
    #[error("not an evidence record of the expected form: {0}")]
    Malformed(String),
    /// The stamp does not cover the record.
    #[error("the timestamp batch does not cover the record {0}")]
    NotCovered(u64),
    /// The stamp's tree does not lead to its root.
    #[error("the timestamp batch's leaves do not lead to its root")]
    Root,
}

impl EvidenceRecord {
    /// As DER.
    #[must_use]
    pub fn to_der(&self) -> Vec<u8> {
        // Whole pieces at once: a token has thousands of bytes.
        let chain: Vec<Vec<u8>> = self.chain().map(ArchiveTimestamp::to_der).collect();
        let chain = tlv(SEQUENCE, &chain.concat());
        tlv(SEQUENCE, &[VERSION_1, DIGEST_ALGORITHMS, &tlv(SEQUENCE, &chain)].concat())
    }

    /// From DER; what does not re-encode to the same bytes is refused.
    ///
    /// # Errors
    /// It is none.
    pub fn from_der(der: &[u8]) -> Result<Self, EvidenceRecordError> {
        if der.len() > EVIDENCE_RECORD_BYTES_MAX {
            return Err(malformed("it is too large"));
        }
        let asn1 = Asn1EvidenceRecord::from_der(der)
            .map_err(|error| EvidenceRecordError::Malformed(error.to_string()))?;
        let (first, renewals) = asn1.only_chain()?;
        let renewals = renewals.iter().map(Asn1ArchiveTimestamp::read).collect::<Result<_, _>>()?;
        let record = Self { first: first.read()?, renewals };
        // The fields that were not looked at (version, algorithms, absent options) are compared here, all at once.
        if record.to_der() != der {
            return Err(malformed("it differs from its own encoding"));
        }
        Ok(record)
    }

    /// Of the message record `sequence` out of the batch that covers it. Before the records' leaves come those of [`leaves_before`].
    ///
    /// # Errors
    /// The batch does not cover it, or contradicts itself.
    pub fn of_batch(stamp: &StampRecord, sequence: u64) -> Result<Self, EvidenceRecordError> {
        let before = leaves_before(stamp)?;
        let leaves = stamp.leaves.iter().map(|leaf| digest(&leaf.sha256));
        let leaves: Vec<Sha256> = before.iter().copied().map(Ok).chain(leaves).collect::<Result<_, _>>()?;
        let not_covered = EvidenceRecordError::NotCovered(sequence);
        let Some(position) = stamp.leaves.iter().position(|leaf| leaf.sequence == sequence) else {
            return Err(not_covered);
        };
        let index = position + before.len();
        let (Some(leaf), Some(groups)) = (leaves.get(index), crate::tree::reduced(&leaves, index)) else {
            return Err(not_covered);
        };

        if crate::tree::fold(*leaf, &groups).is_none_or(|root| root.as_bytes() != stamp.root.as_slice()) {
            return Err(EvidenceRecordError::Root);
        }
        Ok(Self { first: ArchiveTimestamp { groups, token: stamp.token.clone() }, renewals: Vec::new() })
    }

    /// The root that follows from `leaf`: what the token must be about. `None` if the record is not about this leaf.
    #[must_use]
    pub fn root_of(&self, leaf: Sha256) -> Option<Sha256> {
        self.first.root_of(leaf)
    }

    fn chain(&self) -> impl Iterator<Item = &ArchiveTimestamp> {
        std::iter::once(&self.first).chain(&self.renewals)
    }
}

impl ArchiveTimestamp {
    /// The root that follows from `leaf`: what the token must be about. `None` if the way does not begin at this leaf.
    #[must_use]
    pub fn root_of(&self, leaf: Sha256) -> Option<Sha256> {
        crate::tree::fold(leaf, &self.groups)
    }

    fn to_der(&self) -> Vec<u8> {
        let groups: Vec<u8> = self.groups.iter().flat_map(|group| encode_group(group)).collect();
        let tree = if groups.is_empty() { Vec::new() } else { tlv(REDUCED_HASH_TREE, &groups) };
        tlv(SEQUENCE, &[tree, self.token.clone()].concat())
    }
}

/// Root of a batch: what its token is asked for. `before` is what comes before the records' leaves.
#[must_use]
pub fn batch_root(before: impl IntoIterator<Item = Sha256>, leaves: &[Sha256]) -> Option<Sha256> {
    let all: Vec<Sha256> = before.into_iter().chain(leaves.iter().copied()).collect();
    crate::tree::root(&all)
}

/// The leaves of a batch's tree before those of its records: the previous batch's root, if there was one, and the SHA-256 of the log's checkpoint, if the batch has one.
///
/// # Errors
/// The batch has too many leaves, or the root is no SHA-256.
pub fn leaves_before(stamp: &StampRecord) -> Result<Vec<Sha256>, EvidenceRecordError> {
    if stamp.leaves.len() > BATCH_LEAVES_MAX {
        return Err(malformed("the batch has too many leaves"));
    }
    let previous = Some(stamp.previous_root.as_slice()).filter(|root| !root.is_empty()).map(digest);
    let checkpoint =
        Some(stamp.checkpoint.as_slice()).filter(|note| !note.is_empty()).map(|note| Ok(sha256(note)));
    previous.into_iter().chain(checkpoint).collect()
}

/// RFC 4998 section 3.1. The optional `cryptoInfos` and `encryptionInfo` are not accepted, so they are not named.
#[derive(Sequence)]
struct Asn1EvidenceRecord {
    version: u8,
    digest_algorithms: Vec<AlgorithmIdentifierOwned>,
    archive_timestamp_sequence: Vec<Vec<Asn1ArchiveTimestamp>>,
}

/// RFC 4998 section 4.1, likewise without `digestAlgorithm` and `attributes`.
#[derive(Sequence)]
struct Asn1ArchiveTimestamp {
    #[asn1(context_specific = "2", tag_mode = "IMPLICIT", optional = "true")]
    reduced_hash_tree: Option<Vec<Vec<OctetString>>>,
    timestamp: Asn1ContentInfo,
}

/// RFC 5652 section 3.
#[derive(Sequence)]
struct Asn1ContentInfo {
    content_type: ObjectIdentifier,
    #[asn1(context_specific = "0", tag_mode = "EXPLICIT")]
    content: Any,
}

impl Asn1EvidenceRecord {
    /// Its first archive timestamp, and the others.
    fn only_chain(&self) -> Result<(&Asn1ArchiveTimestamp, &[Asn1ArchiveTimestamp]), EvidenceRecordError> {
        let [chain] = self.archive_timestamp_sequence.as_slice() else {
            return Err(malformed("there is not exactly one archive timestamp chain"));
        };
        match chain.split_first() {
            Some(_) if chain.len() > 1 + RENEWALS_MAX => {
                Err(malformed("there are too many archive timestamps"))
            }
            Some(split) => Ok(split),
            None => Err(malformed("there is no archive timestamp")),
        }
    }
}

impl Asn1ArchiveTimestamp {
    fn read(&self) -> Result<ArchiveTimestamp, EvidenceRecordError> {
        Ok(ArchiveTimestamp { groups: self.groups()?, token: self.token()? })
    }

    fn groups(&self) -> Result<Vec<Vec<Sha256>>, EvidenceRecordError> {
        let groups = self.reduced_hash_tree.as_deref().unwrap_or_default();
        if groups.len() > GROUPS_MAX {
            return Err(malformed("the hash tree is too deep"));
        }
        groups.iter().map(|group| read_group(group)).collect()
    }

    fn token(&self) -> Result<Vec<u8>, EvidenceRecordError> {
        if self.timestamp.content_type != ID_SIGNED_DATA {
            return Err(malformed("the timestamp is not SignedData"));
        }
        self.timestamp.to_der().map_err(|error| EvidenceRecordError::Malformed(error.to_string()))
    }
}

/// Members of a group are digests in ascending order, as the tree hashes them.
fn read_group(group: &[OctetString]) -> Result<Vec<Sha256>, EvidenceRecordError> {
    if group.is_empty() || group.len() > GROUP_MEMBERS_MAX {
        return Err(malformed("a group of the hash tree is empty or too large"));
    }
    let members: Vec<Sha256> =
        group.iter().map(|member| digest(member.as_bytes())).collect::<Result<_, _>>()?;
    if members.is_sorted() { Ok(members) } else { Err(malformed("a group of the hash tree is not in order")) }
}

fn digest(bytes: &[u8]) -> Result<Sha256, EvidenceRecordError> {
    Sha256::from_slice(bytes).ok_or_else(|| malformed("a digest is not 32 bytes long"))
}

fn malformed(reason: &str) -> EvidenceRecordError {
    EvidenceRecordError::Malformed(reason.to_owned())
}

fn encode_group(group: &[Sha256]) -> Vec<u8> {
    let members: Vec<u8> = group.iter().flat_map(|member| tlv(OCTET_STRING, member.as_bytes())).collect();
    tlv(SEQUENCE, &members)
}

/// Tag, DER length, content.
fn tlv(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = content.len().to_be_bytes();
    let significant = length.iter().skip_while(|byte| **byte == 0).copied();
    let mut out = vec![tag];
    match u8::try_from(content.len()) {
        Ok(short) if short < 0x80 => out.push(short),
        _ => {
            out.push(0x80 | u8::try_from(significant.clone().count()).unwrap_or(u8::MAX));
            out.extend(significant);
        }
    }
    out.extend_from_slice(content);
    out
}

const SEQUENCE: u8 = 0x30;
const OCTET_STRING: u8 = 0x04;

/// `[2] IMPLICIT SEQUENCE OF PartialHashtree`.
const REDUCED_HASH_TREE: u8 = 0xA2;

/// `INTEGER 1`.
const VERSION_1: &[u8] = &[0x02, 0x01, 0x01];

/// `SEQUENCE OF AlgorithmIdentifier` with SHA-256 alone, its parameters absent (RFC 5754 section 2).
const DIGEST_ALGORITHMS: &[u8] =
    &[0x30, 0x0D, 0x30, 0x0B, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01];

/// RFC 5652 section 5.1.
const ID_SIGNED_DATA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.7.2");

/// Levels of a tree of a million leaves; a batch of [`BATCH_LEAVES_MAX`] has 14.
const GROUPS_MAX: usize = 20;

/// A binary tree has two members in the first group and one in each later group.
const GROUP_MEMBERS_MAX: usize = 2;

/// A TSA's certificate lasts for a year or more: renewals of a person's lifetime, if each is as late as it can be.
pub const RENEWALS_MAX: usize = 63;

/// Tokens and the digests of trees of [`GROUPS_MAX`] levels, with room for their framing.
pub(crate) const EVIDENCE_RECORD_BYTES_MAX: usize = (1 + RENEWALS_MAX) * (TRUST_RESPONSE_BYTES_MAX + 4096);

#[cfg(test)]
mod tests;

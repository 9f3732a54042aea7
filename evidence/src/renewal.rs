//! Renewals of timestamps (RFC 4998 section 5.2): a newer token over many older ones, got before those age out.
//!
//! A renewal is a file of its own beside the segments of a log: losing it loses nothing else. It has the digests of the tokens that it covers, as leaves of a hash
//! tree, and a token over the root. Tokens of other renewals may be among them, so that each token has a chain of newer ones. A renewal does not say which
//! records it is about: a token's digest is enough to find it.

use std::collections::HashMap;

use kogge_proto::digest::{Sha256, sha256};
use kogge_proto::limits::TRUST_RESPONSE_BYTES_MAX;
use kogge_proto::wire::log as wire;
use prost::Message;

use crate::evidence_record::{ArchiveTimestamp, RENEWALS_MAX};
use crate::tree;

/// A token over older ones.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Renewal {
    leaves: Vec<Sha256>,
    token: Vec<u8>,
}

/// Why there is no renewal, or none that helps.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum RenewalError {
    /// The file is cut, altered, or something else.
    #[error("not a renewal: {0}")]
    Malformed(&'static str),
    /// It has no leaf, or more than [`RENEWAL_LEAVES_MAX`].
    #[error("a renewal covers 1 to {RENEWAL_LEAVES_MAX} timestamps, this one {0}")]
    Leaves(usize),
    /// A token was renewed more often than an evidence record has room for.
    #[error("a timestamp was renewed more than {RENEWALS_MAX} times")]
    TooMany,
}

impl Renewal {
    /// Of these digests of tokens, with a token over their [`root`](tree::root), which is not looked at.
    ///
    /// # Errors
    /// [`RenewalError::Leaves`].
    pub fn new(leaves: Vec<Sha256>, token: Vec<u8>) -> Result<Self, RenewalError> {
        if leaves.is_empty() || leaves.len() > RENEWAL_LEAVES_MAX {
            return Err(RenewalError::Leaves(leaves.len()));
        }
        Ok(Self { leaves, token })
    }

    /// The content of its file: [`MAGIC`], SHA-256 of what follows, a protobuf `Renewal`.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let leaves = self.leaves.iter().flat_map(|leaf| leaf.0).collect();
        let payload = wire::Renewal { token: self.token.clone(), leaves }.encode_to_vec();
        [MAGIC, sha256(&payload).as_bytes(), &payload].concat()
    }

    /// From the content of its file, in its only encoding.
    ///
    /// # Errors
    /// It is none.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, RenewalError> {
        use RenewalError::Malformed;
        let rest = bytes.strip_prefix(MAGIC).ok_or(Malformed("it does not begin like one"))?;
        let (checksum, payload) = rest.split_first_chunk::<32>().ok_or(Malformed("it was cut"))?;
        if sha256(payload).as_bytes() != checksum {
            return Err(Malformed("its bytes are not those that were written"));
        }
        let read = wire::Renewal::decode(payload).map_err(|_| Malformed("it is no protobuf message"))?;
        let digests = read.leaves.chunks(32).map(Sha256::from_slice).collect::<Option<Vec<_>>>();
        let renewal = Self::new(digests.ok_or(Malformed("a digest is not 32 bytes long"))?, read.token)?;
        if renewal.to_bytes() == bytes {
            Ok(renewal)
        } else {
            Err(Malformed("it differs from its own encoding"))
        }
    }

    /// The digests of the tokens that it covers.
    #[must_use]
    pub fn leaves(&self) -> &[Sha256] {
        &self.leaves
    }

    /// DER TimeStampToken.
    #[must_use]
    pub fn token(&self) -> &[u8] {
        &self.token
    }

    /// The way of a leaf to the root, with the token.
    fn archive_timestamp(&self, index: usize) -> Option<ArchiveTimestamp> {
        let groups = tree::reduced(&self.leaves, index)?;
        Some(ArchiveTimestamp { groups, token: self.token.clone() })
    }
}

/// The renewals of a log.
#[derive(Clone, Debug, Default)]
pub struct Renewals {
    list: Vec<Renewal>,
    /// Renewal and leaf, by the digest of the token.
    places: HashMap<Sha256, (usize, usize)>,
}

impl Renewals {
    /// In the order in which they were made. A token that is in several is taken as renewed by the first of them.
    #[must_use]
    pub fn new(list: Vec<Renewal>) -> Self {
        let mut places = HashMap::new();
        for (at, renewal) in list.iter().enumerate() {
            for (index, leaf) in renewal.leaves.iter().enumerate() {
                places.entry(*leaf).or_insert((at, index));
            }
        }
        Self { list, places }
    }

    /// All of them.
    #[must_use]
    pub fn list(&self) -> &[Renewal] {
        &self.list
    }

    /// The tokens after this one in its chain, as archive timestamps of an evidence record; none if it was not renewed.
    ///
    /// # Errors
    /// [`RenewalError::TooMany`], as where renewals were made up that lead in a circle.
    pub fn of(&self, token: &[u8]) -> Result<Vec<ArchiveTimestamp>, RenewalError> {
        let steps = self.steps(token)?;
        Ok(steps.into_iter().filter_map(|(at, index)| self.list.get(at)?.archive_timestamp(index)).collect())
    }

    /// The renewal whose token is the last of this token's chain; `None` if that is the token itself.
    ///
    /// # Errors
    /// As for [`Self::of`].
    pub fn newest(&self, token: &[u8]) -> Result<Option<&Renewal>, RenewalError> {
        Ok(self.steps(token)?.last().and_then(|(at, _)| self.list.get(*at)))
    }

    /// Renewal and leaf of each step of the token's chain.
    fn steps(&self, token: &[u8]) -> Result<Vec<(usize, usize)>, RenewalError> {
        let mut steps = Vec::new();
        let mut next = self.places.get(&sha256(token));
        while let Some(place) = next {
            if steps.len() == RENEWALS_MAX {
                return Err(RenewalError::TooMany);
            }
            steps.push(*place);
            next = self.list.get(place.0).and_then(|renewal| self.places.get(&sha256(&renewal.token)));
        }
        Ok(steps)
    }
}

/// How the file of a renewal begins.
pub const MAGIC: &[u8] = b"kogge renewal 1\n";

/// One token for a month and a half of stamps a minute; more are renewed by several. A file has 2 MiB.
pub const RENEWAL_LEAVES_MAX: usize = 65_536;

/// Bytes of the largest file.
pub const RENEWAL_BYTES_MAX: usize = 32 * RENEWAL_LEAVES_MAX + TRUST_RESPONSE_BYTES_MAX + 1024;

#[cfg(test)]
mod tests;

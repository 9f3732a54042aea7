//! Timestamps (RFC 3161): asking, checking a token, and making one.

mod ess;
mod request;
mod respond;
mod structures;
mod verify;

use kogge_proto::digest::{Sha256, Sha512};
use kogge_proto::time::UnixMillis;

use crate::asn1::DigestAlgorithm;
use crate::certificate::Certificate;
use crate::key::SigningKey;

pub use request::{parse_request, request, token_of_response};
pub use respond::{reject, respond};
pub use verify::{ContentDigests, Policies, verify, verify_content};

/// The digest that a token is about.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Imprint {
    /// SHA-256: roots of hash trees.
    Sha256(Sha256),
    /// SHA-512.
    Sha512(Sha512),
}

/// A token that an approved TSA has signed. Only [`verify`] makes one.
#[derive(Clone, Debug)]
pub struct VerifiedToken {
    gen_time: UnixMillis,
    serial: Vec<u8>,
    policy: String,
    tsa: Certificate,
}

/// Why a token or a TSA's answer is refused.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum TimestampError {
    /// Not a DER TimeStampResp or token, or larger than is accepted.
    #[error("not a timestamp token: {0}")]
    Malformed(String),
    /// The TSA did not grant; its words.
    #[error("the TSA refused: {0}")]
    NotGranted(String),
    /// About something else.
    #[error("the timestamp token is about another digest")]
    Imprint,
    /// The nonce is missing or not the one sent.
    #[error("the timestamp token does not carry the nonce that was sent")]
    Nonce,
    /// The signer is not an approved TSA.
    #[error("the timestamp token is not signed by an approved TSA: {0}")]
    UnknownTsa(String),
    /// The TSA's certificate is not one for timestamping, or was not valid at the token's time.
    #[error("the TSA's certificate is not acceptable: {0}")]
    Certificate(String),
    /// The policy is not one that is approved for the TSA.
    #[error("the timestamping policy {0} is not approved")]
    Policy(String),
    /// The CMS structure breaks a rule of RFC 3161 or RFC 5652.
    #[error("the timestamp token breaks a rule: {0}")]
    Rule(&'static str),
    /// The signature is wrong.
    #[error("the signature of the timestamp token is wrong")]
    BadSignature,
}

impl Imprint {
    /// The digest's bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        match self {
            Self::Sha256(digest) => digest.as_bytes(),
            Self::Sha512(digest) => digest.as_bytes(),
        }
    }

    fn algorithm(&self) -> DigestAlgorithm {
        match self {
            Self::Sha256(_) => DigestAlgorithm::Sha256,
            Self::Sha512(_) => DigestAlgorithm::Sha512,
        }
    }
}

impl VerifiedToken {
    /// The time that the token states.
    #[must_use]
    pub fn gen_time(&self) -> UnixMillis {
        self.gen_time
    }

    /// Content bytes of the serial number INTEGER.
    #[must_use]
    pub fn serial(&self) -> &[u8] {
        &self.serial
    }

    /// Policy as a dotted object identifier.
    #[must_use]
    pub fn policy(&self) -> &str {
        &self.policy
    }

    /// The TSA's certificate, as approved.
    #[must_use]
    pub fn tsa(&self) -> &Certificate {
        &self.tsa
    }
}

/// A request as a TSA reads it.
#[derive(Clone, Debug)]
pub struct ParsedRequest {
    /// DER MessageImprint, to be echoed.
    pub imprint: Vec<u8>,
    /// Requested policy, dotted.
    pub policy: Option<String>,
    /// DER INTEGER of the nonce, to be echoed.
    pub nonce: Option<Vec<u8>>,
    /// Whether the TSA's certificate is to be included.
    pub cert_req: bool,
}

/// What a TSA puts into a token beside the request's values.
#[derive(Clone)]
pub struct Issue<'a> {
    /// The TSA's certificate.
    pub certificate: &'a Certificate,
    /// Its key.
    pub key: &'a dyn SigningKey,
    /// Policy, dotted.
    pub policy: &'a str,
    /// Unique positive serial number.
    pub serial: [u8; 16],
    /// The time to state.
    pub now: UnixMillis,
}

#[cfg(test)]
mod judges;
#[cfg(test)]
mod tests;

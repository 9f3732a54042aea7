//! OCSP (RFC 6960): asking, checking an answer, and making one.

mod known;
mod request;
mod respond;
mod structures;
mod verify;

use std::time::Duration;

use kogge_proto::time::UnixMillis;

pub use known::KnownAnswer;
pub use request::{parse_request, request};
pub use respond::{error_response, respond};
pub use verify::verify;

/// How fresh an answer must be.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Freshness {
    /// `thisUpdate` must not be older than this.
    pub age_max: Duration,
    /// Tolerated difference of clocks: `thisUpdate` may lie this far in the future, `nextUpdate` this far in the past.
    pub skew_max: Duration,
}

/// What a good answer says.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct OcspStatus {
    /// When the status was known to be correct.
    pub this_update: UnixMillis,
    /// When newer information will be available.
    pub next_update: Option<UnixMillis>,
    /// When the answer was signed.
    pub produced_at: UnixMillis,
}

impl OcspStatus {
    /// Checks that the answer is neither stale nor from the future at `at`.
    ///
    /// # Errors
    /// [`OcspError::Stale`] or [`OcspError::NotYetValid`].
    pub fn check_freshness(&self, freshness: Freshness, at: UnixMillis) -> Result<(), OcspError> {
        let Self { this_update, next_update, .. } = *self;
        if this_update > at.plus(freshness.skew_max) {
            return Err(OcspError::NotYetValid { this_update });
        }
        if this_update < at.minus(freshness.age_max)
            || next_update.is_some_and(|next| next < at.minus(freshness.skew_max))
        {
            return Err(OcspError::Stale { this_update });
        }
        Ok(())
    }
}

/// Why an answer does not show that a certificate is good now.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum OcspError {
    /// Not a DER OCSPResponse, or larger than is accepted.
    #[error("not an OCSP response: {0}")]
    Malformed(String),
    /// The responder answered with an error status (RFC 6960 section 4.2.1).
    #[error("the OCSP responder answered {0}")]
    NotSuccessful(&'static str),
    /// It is about another certificate.
    #[error("the OCSP response is about another certificate")]
    OtherCertificate,
    /// The signer may not answer for the issuer.
    #[error("the OCSP response is signed by a responder that may not answer for this CA: {0}")]
    WrongResponder(String),
    /// The signature is wrong.
    #[error("the signature of the OCSP response is wrong")]
    BadSignature,
    /// The nonce is not the one sent.
    #[error("the OCSP response does not carry the nonce that was sent")]
    Nonce,
    /// The certificate is revoked.
    #[error("the certificate was revoked at {at}")]
    Revoked {
        /// When.
        at: UnixMillis,
    },
    /// The responder does not know the certificate.
    #[error("the OCSP responder does not know the certificate")]
    Unknown,
    /// Older than is accepted, or past its `nextUpdate`.
    #[error("the OCSP response of {this_update} is too old")]
    Stale {
        /// Its `thisUpdate`.
        this_update: UnixMillis,
    },
    /// From the future.
    #[error("the OCSP response of {this_update} lies in the future: check the clocks")]
    NotYetValid {
        /// Its `thisUpdate`.
        this_update: UnixMillis,
    },
}

/// A nonce may have up to 128 bytes (RFC 9654), older responders take up to 32 (RFC 8954); ours have 16.
pub type Nonce = [u8; 16];

/// One question of a request, for responders.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Question {
    /// The whole DER CertID, to be echoed.
    pub cert_id: Vec<u8>,
    /// Content bytes of the serial number INTEGER.
    pub serial: Vec<u8>,
    /// Whether the CertID's name and key hashes are those of the given issuer.
    pub of_this_issuer: bool,
}

/// A request as a responder reads it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ParsedRequest {
    /// The questions, at least one.
    pub questions: Vec<Question>,
    /// DER value of the nonce extension, to be echoed.
    pub nonce: Option<Vec<u8>>,
}

/// What a responder says about one certificate.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Answer {
    /// Issued and not revoked.
    Good,
    /// Revoked at this time.
    Revoked(UnixMillis),
    /// Never issued.
    Unknown,
}

#[cfg(test)]
mod judges;
#[cfg(test)]
mod tests;

//! Asking a timestamping authority (RFC 3161) for a token over a digest.

use std::time::Duration;

use kogge_certs::timestamp::{self, Imprint, TimestampError, VerifiedToken};
use kogge_certs::trust::{ApprovedTsa, TrustStore};
use kogge_daemon::client::{self, FetchError};
use kogge_proto::digest::Sha256;
use kogge_proto::limits::TRUST_RESPONSE_BYTES_MAX;
use kogge_proto::time::UnixMillis;
use uuid::Uuid;

use crate::clock;

/// A token that was asked for, and verified.
#[derive(Clone, Debug)]
pub struct Obtained {
    /// DER TimeStampToken.
    pub token: Vec<u8>,
    /// What it says.
    pub verified: VerifiedToken,
    /// When it was asked for, by this machine's clock.
    pub asked: UnixMillis,
    /// When the answer was there.
    pub answered: UnixMillis,
}

/// Why a TSA gave no good token.
#[derive(Debug, thiserror::Error)]
pub enum TsaError {
    /// No answer.
    #[error(transparent)]
    Fetch(#[from] FetchError),
    /// An answer that is refused.
    #[error("{url}: {source}")]
    Token {
        /// The TSA's address.
        url: String,
        /// What is wrong.
        source: TimestampError,
    },
}

/// A token over `digest`, with a fresh nonce, verified against what is approved.
///
/// # Errors
/// See [`TsaError`].
pub async fn ask(tsa: &ApprovedTsa, digest: Sha256, trust: &TrustStore) -> Result<Obtained, TsaError> {
    let (nonce, _) = Uuid::new_v4().as_u64_pair();
    let imprint = Imprint::Sha256(digest);
    let request = timestamp::request(&imprint, Some(nonce));
    let asked = clock::now();
    let answer = client::post(
        &tsa.url,
        "application/timestamp-query",
        request.into(),
        TRUST_RESPONSE_BYTES_MAX,
        ASK_TIME_MAX,
    )
    .await?;
    let answered = clock::now();
    let refused = |source| TsaError::Token { url: tsa.url.clone(), source };
    let token = timestamp::token_of_response(&answer.body).map_err(refused)?;
    let verified = timestamp::verify(&token, &imprint, Some(nonce), trust).map_err(refused)?;
    Ok(Obtained { token, verified, asked, answered })
}

/// A TSA that takes longer is treated as one that does not answer.
const ASK_TIME_MAX: Duration = Duration::from_secs(20);

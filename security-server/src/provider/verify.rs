//! Is this a fresh request by the client that it names? → [`Verified`].

use kogge_certs::ocsp::OcspError;
use kogge_certs::snapshot::VerifiedSnapshot;
use kogge_certs::snapshot::limits::CLOCK_SKEW_S_MAX;
use kogge_evidence::signature::{Expected, Parts, SignatureError, Signer};
use kogge_message_log::MessageLog;
use kogge_proto::digest::Sha256;
use kogge_proto::id::{ClientId, SecurityServerId, SubsystemId};
use kogge_proto::limits::EXCHANGE_TIME_MAX;
use kogge_proto::time::UnixMillis;
use std::sync::Arc;
use std::time::Duration;

use super::accept::Received;
use crate::trust::{Shown, Verdicts};

/// A request that was signed by the client's member, came from a server on which the client is registered, and was never seen
/// before. Only `request` makes one.
pub struct Verified {
    received: Received,
    client: SubsystemId,
    parts: Parts,
    signer: Arc<Signer>,
    leaf: Sha256,
}

impl Verified {
    /// Who asks.
    #[must_use]
    pub fn client(&self) -> &SubsystemId {
        &self.client
    }

    /// Digests of the parts that were signed.
    pub(super) fn parts(&self) -> &Parts {
        &self.parts
    }

    /// With what the client's member has signed.
    pub(super) fn signer(&self) -> &Signer {
        &self.signer
    }

    /// Of the request's record in a batch's hash tree.
    pub(super) fn leaf(&self) -> Sha256 {
        self.leaf
    }

    pub(super) fn received(&self) -> &Received {
        &self.received
    }
}

/// Why a request is not believed.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum VerifyError {
    /// The peer's authentication certificate is not shown to be good now.
    #[error("the OCSP response for the peer's authentication certificate: {0}")]
    PeerOcsp(OcspError),
    /// The client's signature does not hold.
    #[error(transparent)]
    Signature(#[from] SignatureError),
    /// A member itself cannot ask, only its subsystems.
    #[error("the client {0} is no subsystem")]
    NoSubsystem(ClientId),
    /// The client is unknown, suspended, or registered on other servers only.
    #[error("the client {client} is not registered on the security server {server}")]
    UnknownClient {
        /// As signed.
        client: SubsystemId,
        /// Who brought the request.
        server: SecurityServerId,
    },
    /// The request id is in the log.
    #[error("the request id was seen before")]
    Replayed,
}

/// Verifies a request. The log refuses a replay once more when the request is appended, so that of two at once only one passes.
pub(super) fn request(
    received: Received,
    snapshot: &VerifiedSnapshot,
    verdicts: &Verdicts,
    log: &MessageLog,
    now: UnixMillis,
) -> Result<Verified, VerifyError> {
    let (peer, arrived) = (received.peer(), received.arrived());
    let (freshness, digest) = (snapshot.policy().freshness(), snapshot.meta().digest);
    verdicts
        .verify_peer(&arrived.head.auth_ocsp, peer.path(), freshness, digest, now)
        .map_err(VerifyError::PeerOcsp)?;
    let expected = Expected {
        member: received.request().client().member(),
        trust: snapshot.trust(),
        freshness,
        age_max: SIGNING_AGE_MAX,
        now,
    };
    let parts = arrived.parts();
    let (signature, material) = (&arrived.signature, &arrived.material);
    let verified =
        verdicts.verify_signature(&Shown { signature, parts: &parts, material }, &expected, digest)?;
    let (signer, leaf) = (Arc::clone(verified.signer()), verified.leaf());
    let client = match received.request().client() {
        ClientId::Subsystem(client) => client.clone(),
        member @ ClientId::Member(_) => return Err(VerifyError::NoSubsystem(member.clone())),
    };
    if !snapshot.is_provider(peer.server(), &client) {
        return Err(VerifyError::UnknownClient { client, server: peer.server().clone() });
    }
    if log.seen_request(received.request().request_id()) {
        return Err(VerifyError::Replayed);
    }
    Ok(Verified { received, client, parts, signer, leaf })
}

/// A request is signed within its exchange, so an older signature is a replay or a wrong clock.
const SIGNING_AGE_MAX: Duration = EXCHANGE_TIME_MAX;

/// How long request ids are remembered. A signature is accepted from the clocks' tolerated difference before its time until
/// [`SIGNING_AGE_MAX`] after it, and its record is appended within the exchange: a later replay finds the signature too old. Not longer,
/// since memory grows with it.
pub(crate) const REPLAY_WINDOW: Duration = SIGNING_AGE_MAX
    .saturating_add(EXCHANGE_TIME_MAX)
    .saturating_add(Duration::from_secs(CLOCK_SKEW_S_MAX as u64));

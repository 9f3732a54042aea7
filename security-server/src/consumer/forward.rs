//! Through the tunnel to one of the provider's servers, and back → [`Answered`].

use kogge_evidence::signature::Parts;
use kogge_proto::fault::Fault;
use kogge_proto::wire::evidence as wire;
use kogge_proto::wire::tunnel::frame::Kind;
use kogge_transport::{Carrier, FrameReceiver, FrameSender, PeerIdentity, TransportError, Tunnels};
use tokio::time::Instant;

use super::resolve::Routed;
use crate::body::Body;
use crate::exchange::{ArrivalError, Arrived, Departure, DepartureError, Intake, arrive, depart};
use crate::fault;
use crate::logging::OnRecord;
use crate::signing::Signed;
use crate::trust::OwnKeys;

/// What a peer answered: complete and as announced, but not verified. Only `send` makes one.
#[derive(Debug)]
pub struct Answered {
    arrived: Arrived,
    peer: Peer,
}

/// Who answered, and how.
struct Peer {
    identity: PeerIdentity,
    carrier: Carrier,
}

impl std::fmt::Debug for Peer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?} by {}", self.identity.server(), self.carrier)
    }
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum ForwardError {
    /// No server was reached, or the tunnel broke.
    #[error(transparent)]
    Transport(#[from] TransportError),
    /// The provider's server refused the request.
    #[error("the provider's security server refused: {code}: {message} (its detail: {detail})", code = .0.code, message = .0.message, detail = .0.detail)]
    Refused(Fault),
    /// The provider's server refused with something that is no fault of a provider.
    #[error("the provider's security server sent a malformed fault")]
    MalformedFault,
    /// What came is not a message.
    #[error("the answer of the provider's security server: {0}")]
    Arrival(#[from] ArrivalError),
    /// The request's body could not be read back from the spool.
    #[error("the request could not be sent: {0}")]
    Departure(DepartureError),
}

impl ForwardError {
    /// Whether the request certainly had no effect, so that it may be sent again.
    fn may_fail_over(&self) -> bool {
        match self {
            Self::Transport(error) | Self::Arrival(ArrivalError::Transport(error)) => error.may_fail_over(),
            Self::Refused(_) | Self::MalformedFault | Self::Arrival(_) | Self::Departure(_) => false,
        }
    }
}

/// Sends the request and takes the answer in. Another connection or server is tried only while nothing has been sent.
///
/// # Errors
/// There is no answer; see [`ForwardError`].
#[doc(hidden)] // public so that tests outside can show what it does not take
pub async fn send(
    request: &OnRecord<Signed<Routed>>,
    tunnels: &Tunnels,
    keys: &OwnKeys,
    intake: &Intake,
    deadline: Instant,
) -> Result<Answered, ForwardError> {
    let mut attempts_left = ATTEMPTS_MAX;
    loop {
        attempts_left -= 1;
        match attempt(request.stage(), tunnels, keys, intake, deadline).await {
            Err(error) if error.may_fail_over() && attempts_left > 0 => {
                tracing::debug!(%error, "trying another connection");
            }
            other => return other,
        }
    }
}

async fn attempt(
    request: &Signed<Routed>,
    tunnels: &Tunnels,
    keys: &OwnKeys,
    intake: &Intake,
    deadline: Instant,
) -> Result<Answered, ForwardError> {
    let routed = request.message();
    let stream = tunnels.open_any(&routed.servers(), deadline).await?;
    let peer = Peer { identity: stream.peer().clone(), carrier: stream.carrier() };
    let (mut sender, mut receiver) = stream.split();
    let auth_ocsp = keys.ocsp_of(peer.identity.local_certificate());
    let sending = depart_request(&mut sender, request, auth_ocsp, deadline);
    let receiving = receive(&mut receiver, intake);
    let arrived = both(sending, receiving).await?;
    Ok(Answered { arrived, peer })
}

async fn depart_request(
    sender: &mut FrameSender,
    request: &Signed<Routed>,
    auth_ocsp: Vec<u8>,
    deadline: Instant,
) -> Result<(), DepartureError> {
    let routed = request.message();
    let left = deadline.saturating_duration_since(Instant::now()).as_millis();
    let departure = Departure {
        message: routed.request().bytes().clone(),
        request_id: routed.request().request_id(),
        body: routed.body(),
        signature: request.signature().clone(),
        material: request.material().clone(),
        auth_ocsp,
        deadline_ms: u32::try_from(left).unwrap_or(u32::MAX).max(1),
    };
    sender.queue(departure.head()).await?;
    depart(sender, routed.body()).await
}

async fn receive(receiver: &mut FrameReceiver, intake: &Intake) -> Result<Arrived, ForwardError> {
    match receiver.recv().await?.and_then(|frame| frame.kind) {
        Some(Kind::Head(head)) => Ok(arrive(receiver, head, intake.clone()).await?),
        Some(Kind::Fault(fault)) => {
            Err(fault::from_provider(&fault).map_or(ForwardError::MalformedFault, ForwardError::Refused))
        }
        Some(Kind::BodyChunk(_)) => Err(ArrivalError::OutOfPlace.into()),
        None => Err(ArrivalError::Incomplete.into()),
    }
}

/// Sends and receives at once: a provider may refuse before it has taken the whole body, and then takes no more of it. What was
/// received counts; a failure to send is told only if nothing came back.
async fn both(
    sending: impl Future<Output = Result<(), DepartureError>>,
    receiving: impl Future<Output = Result<Arrived, ForwardError>>,
) -> Result<Arrived, ForwardError> {
    tokio::pin!(sending, receiving);
    let mut unsent = None;
    let mut sent = false;
    loop {
        tokio::select! {
            received = &mut receiving => return match (received, unsent) {
                (Err(ForwardError::Transport(_)), Some(error)) => Err(error),
                (received, _) => received,
            },
            result = &mut sending, if !sent => {
                sent = true;
                match result {
                    Ok(()) => {}
                    Err(DepartureError::Transport(error)) => unsent = Some(ForwardError::Transport(error)),
                    // Without its body the request will never be complete: no use in waiting for an answer.
                    Err(error @ DepartureError::Body(_)) => return Err(ForwardError::Departure(error)),
                }
            }
        }
    }
}

impl Answered {
    pub(super) fn peer(&self) -> &PeerIdentity {
        &self.peer.identity
    }

    pub(super) fn carrier(&self) -> Carrier {
        self.peer.carrier
    }

    pub(super) fn arrived(&self) -> &Arrived {
        &self.arrived
    }

    pub(super) fn parts(&self) -> Parts {
        self.arrived.parts()
    }

    pub(super) fn into_evidence(self) -> (wire::Signature, Option<Body>) {
        (self.arrived.signature, self.arrived.body)
    }
}

/// Each attempt already goes through all of the provider's servers; the second one is for a pooled connection that turned out dead.
const ATTEMPTS_MAX: u32 = 2;

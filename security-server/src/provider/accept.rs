//! A peer's stream → [`Received`].

use kogge_proto::limits::EXCHANGE_TIME_MAX;
use kogge_proto::message::{MessageError, RestRequest};
use kogge_proto::wire::tunnel::frame::Kind;
use kogge_transport::{PeerIdentity, PeerStream};
use std::time::Duration;
use tokio::time::Instant;
use uuid::Uuid;

use crate::exchange::{ArrivalError, Arrived, Intake, arrive};
use crate::services::Services;

/// A request message with its whole body, as announced, from a registered peer. Only `read` makes one.
pub struct Received {
    peer: PeerIdentity,
    request: RestRequest,
    arrived: Arrived,
    deadline: Instant,
}

/// Why a request cannot be taken in. The fault is the peer's, except for the spool.
#[derive(Debug, thiserror::Error)]
pub enum AcceptError {
    /// The frames are not those of a request.
    #[error(transparent)]
    Arrival(#[from] ArrivalError),
    /// The message part is not a request.
    #[error("the message is not a request: {0}")]
    Message(#[from] MessageError),
    /// The request id outside the message is not the one inside, or is no UUID.
    #[error("the request id is not a UUID, or stands differently inside and outside the message")]
    RequestId,
    /// The peer left no time.
    #[error("the request leaves no time for an answer")]
    NoTime,
}

/// Takes the request in until its end. The message is judged first, so that a malformed one costs no spool.
pub(super) async fn read(
    stream: &mut PeerStream,
    services: &Services,
    intake: &Intake,
) -> Result<Received, AcceptError> {
    let first = stream.recv().await.map_err(ArrivalError::from)?.ok_or(ArrivalError::Incomplete)?;
    let Some(Kind::Head(head)) = first.kind else { return Err(ArrivalError::OutOfPlace.into()) };
    let deadline = deadline(head.deadline_ms)?;
    stream.set_deadline(deadline);
    let request = RestRequest::parse(&head.message)?;
    // A UUID in its one text form: what this server remembers against replays has a known size.
    let is_uuid =
        Uuid::try_parse(request.request_id()).is_ok_and(|uuid| uuid.to_string() == request.request_id());
    if !is_uuid || request.request_id() != head.request_id {
        return Err(AcceptError::RequestId);
    }
    let mut intake = intake.clone();
    if let Some(service) = services.get(request.service()) {
        intake.body_bytes_max = service.body_bytes_max;
        intake.retention = service.retention;
    }
    let peer = stream.peer().clone();
    let arrived = arrive(stream, head, intake).await?;
    Ok(Received { peer, request, arrived, deadline })
}

fn deadline(left_ms: u32) -> Result<Instant, AcceptError> {
    match left_ms {
        0 => Err(AcceptError::NoTime),
        left => Ok(Instant::now() + Duration::from_millis(left.into()).min(EXCHANGE_TIME_MAX)),
    }
}

impl Received {
    /// Who brought it: the security server at the other end of the tunnel.
    #[must_use]
    pub fn peer(&self) -> &PeerIdentity {
        &self.peer
    }

    /// The message.
    #[must_use]
    pub fn request(&self) -> &RestRequest {
        &self.request
    }

    /// When the peer stops waiting.
    #[must_use]
    pub fn deadline(&self) -> Instant {
        self.deadline
    }

    pub(super) fn arrived(&self) -> &Arrived {
        &self.arrived
    }
}

//! HTTP request of an information system → [`Received`].

use std::collections::HashSet;
use std::time::Duration;

use bytes::Bytes;
use http::Request;
use http_body_util::BodyExt;
use hyper::body::Body as HttpBody;
use kogge_proto::id::{ClientId, SecurityServerId, SubsystemId};
use kogge_proto::message::{MessageError, RequestParts, RestRequest};
use tokio::time::{Instant, timeout, timeout_at};

use crate::body::{Body, BodyError, BodyWriter, Retention};
use crate::config::ClientConfig;
use crate::exchange::{HeaderNotText, Intake, text_headers};

/// A well-formed request message with its whole body, bounded and digested. Only `read` makes one.
#[derive(Debug)]
pub struct Received {
    request: RestRequest,
    body: Option<Body>,
    intake: Intake,
}

impl Received {
    /// The message.
    #[must_use]
    pub fn request(&self) -> &RestRequest {
        &self.request
    }

    /// The body part; `None` if the information system sent no bytes.
    #[must_use]
    pub fn body(&self) -> Option<&Body> {
        self.body.as_ref()
    }

    /// How bodies of this exchange are taken in.
    pub(super) fn intake(&self) -> &Intake {
        &self.intake
    }
}

/// How bodies of the exchanges of this server's clients are taken in.
#[derive(Clone, Debug)]
pub(crate) struct Intakes {
    kept: Intake,
    digest_only: HashSet<SubsystemId>,
}

impl Intakes {
    /// As `intake` has it, with the retention that each of the clients wants.
    pub(crate) fn new(intake: Intake, clients: &[ClientConfig]) -> Self {
        let digest_only = clients
            .iter()
            .filter(|client| client.retention == Retention::DigestOnly)
            .map(|client| client.subsystem.clone())
            .collect();
        Self { kept: Intake { retention: Retention::Kept, ..intake }, digest_only }
    }

    /// For the exchanges of this client. Whether it is one is decided later.
    fn of(&self, client: &ClientId) -> Intake {
        let digest_only = client.subsystem().is_some_and(|subsystem| self.digest_only.contains(subsystem));
        let retention = if digest_only { Retention::DigestOnly } else { Retention::Kept };
        Intake { retention, ..self.kept.clone() }
    }
}

/// Why a request cannot be taken in. The fault is the information system's, except for the spool.
#[derive(Debug, thiserror::Error)]
pub enum ReceiveError {
    /// Nothing is served at this path.
    #[error(
        "there is nothing at this path: services are called at /r1/INSTANCE/CLASS/CODE/SUBSYSTEM/SERVICE"
    )]
    NotRest,
    /// A header's value is not text.
    #[error(transparent)]
    HeaderNotText(#[from] HeaderNotText),
    /// It does not make a message.
    #[error(transparent)]
    Message(#[from] MessageError),
    /// The request did not arrive before the deadline.
    #[error("the request did not arrive in time")]
    Timeout,
    /// The connection broke before the request was complete.
    #[error("the request broke off: {0}")]
    BrokenOff(String),
    /// Over the limit, or the spool cannot be used.
    #[error(transparent)]
    Body(#[from] BodyError),
}

/// Takes the request in until its end. The message is judged first, so that a malformed one costs no spool.
pub(super) async fn read<B>(
    incoming: Request<B>,
    server: &SecurityServerId,
    request_id: &str,
    intakes: &Intakes,
    deadline: Instant,
) -> Result<Received, ReceiveError>
where
    B: HttpBody<Data = Bytes> + Unpin,
    B::Error: std::fmt::Display,
{
    let (head, body) = incoming.into_parts();
    // Of an absolute-form target, which proxies' clients send, only path and query matter.
    let target = head.uri.path_and_query().map_or("/", |target| target.as_str());
    if !target.starts_with("/r1/") {
        return Err(ReceiveError::NotRest);
    }
    let request = RestRequest::build(RequestParts {
        method: head.method.as_str(),
        target,
        headers: text_headers(&head.headers)?,
        request_id,
        fallback_message_id: &format!("{}-{request_id}", server.owner().instance()),
    })?;
    let intake = intakes.of(request.client());
    let body = read_body(body, &intake, deadline).await?;
    Ok(Received { request, body, intake })
}

async fn read_body<B>(mut body: B, intake: &Intake, deadline: Instant) -> Result<Option<Body>, ReceiveError>
where
    B: HttpBody<Data = Bytes> + Unpin,
    B::Error: std::fmt::Display,
{
    let limit = intake.body_bytes_max;
    if body.size_hint().lower() > limit {
        return Err(BodyError::TooLarge { limit }.into());
    }
    let mut writer = BodyWriter::new(intake.spool.clone(), limit, intake.retention);
    loop {
        let frame = timeout_at(deadline, body.frame()).await.map_err(|_| ReceiveError::Timeout)?;
        let Some(frame) = frame else { break };
        let frame = frame.map_err(|error| ReceiveError::BrokenOff(error.to_string()))?;
        // Trailers are no part of X-Road's message.
        if let Ok(piece) = frame.into_data() {
            writer.write(piece).await?;
        }
    }
    let body = writer.finish().await?;
    Ok(Some(body).filter(|body| body.length() > 0))
}

/// Takes the rest of a refused request and throws it away, for a while. A connection that is closed while its client still sends is
/// reset, and the reset may overtake the fault that says why. Not for clients that wait to be told to go on (`Expect`).
pub(super) async fn linger<B>(mut body: B)
where
    B: HttpBody<Data = Bytes> + Unpin,
{
    let mut left = LINGER_BYTES_MAX;
    let rest = async {
        while let Some(Ok(frame)) = body.frame().await {
            left = left.saturating_sub(frame.data_ref().map_or(1, Bytes::len));
            if left == 0 {
                return;
            }
        }
    };
    // After that the client has the fault, or will not read it.
    let _ = timeout(LINGER_TIME_MAX, rest).await;
}

/// What a client sends in [`LINGER_TIME_MAX`] over a fast line.
const LINGER_BYTES_MAX: usize = 256 * 1024 * 1024;

/// Long enough for a client to notice the fault and stop sending.
const LINGER_TIME_MAX: Duration = Duration::from_secs(2);

#[cfg(test)]
mod tests;

//! The two halves of an exchange's HTTP/2 stream.

use std::future::poll_fn;

use bytes::Bytes;
use futures_util::FutureExt;
use h2::client::ResponseFuture;
use h2::server::SendResponse;
use h2::{Reason, RecvStream, SendStream};
use http::{Response, StatusCode};

use super::{FULL, REASON, REFUSED};
use crate::carrier::Ending;
use crate::error::{ProtocolError, Refusal};

/// The sending half.
pub(crate) enum Sending {
    /// The listener's half before its first frame: the head of the response leaves together with it.
    Unanswered(SendResponse<Bytes>),
    /// Frames.
    Body(SendStream<Bytes>),
}

/// The receiving half.
pub(crate) enum Receiving {
    /// The dialler's half before the head of the response.
    Response(ResponseFuture),
    /// Frames.
    Body(RecvStream),
}

impl Sending {
    /// Hands some of `bytes` to HTTP/2; with the last of them the stream ends if they are the `last`.
    pub(in crate::carrier) async fn write_some(
        &mut self,
        bytes: &mut Bytes,
        last: bool,
    ) -> Result<(), Ending> {
        let stream = self.body()?;
        stream.reserve_capacity(bytes.len());
        // Only an increase of the capacity wakes us: what is there already must not be waited for.
        while stream.capacity() == 0 {
            match poll_fn(|cx| stream.poll_capacity(cx)).await {
                Some(Ok(_)) => {}
                Some(Err(error)) => return Err(ending(error)),
                None => return Err(self.reset_so_far().unwrap_or(Ending::GivenUp)),
            }
        }
        let piece = bytes.split_to(stream.capacity().min(bytes.len()));
        match stream.send_data(piece, last && bytes.is_empty()) {
            Ok(()) => Ok(()),
            Err(error) => Err(self.reset_so_far().unwrap_or_else(|| ending(error))),
        }
    }

    pub(in crate::carrier) fn finish(&mut self) -> Result<(), Ending> {
        match self {
            Self::Unanswered(respond) => respond.send_response(Response::new(()), true).map(drop),
            Self::Body(stream) => stream.send_data(Bytes::new(), true),
        }
        .map_err(ending)
    }

    pub(in crate::carrier) fn reset(&mut self, reason: Reason) {
        match self {
            Self::Unanswered(respond) => respond.send_reset(reason),
            Self::Body(stream) => stream.send_reset(reason),
        }
    }

    pub(in crate::carrier) async fn unwanted(&mut self) {
        // Both outcomes say the same: a reset, or no connection.
        let _ = poll_fn(|cx| self.poll_reset(cx)).await;
    }

    fn body(&mut self) -> Result<&mut SendStream<Bytes>, Ending> {
        if let Self::Unanswered(respond) = self {
            match respond.send_response(Response::new(()), false) {
                Ok(stream) => *self = Self::Body(stream),
                Err(error) => return Err(self.reset_so_far().unwrap_or_else(|| ending(error))),
            }
        }
        match self {
            Self::Body(stream) => Ok(stream),
            Self::Unanswered(_) => Err(Ending::GivenUp),
        }
    }

    fn poll_reset(&mut self, cx: &mut std::task::Context<'_>) -> std::task::Poll<Result<Reason, h2::Error>> {
        match self {
            Self::Unanswered(respond) => respond.poll_reset(cx),
            Self::Body(stream) => stream.poll_reset(cx),
        }
    }

    /// Why the stream is closed, if it is.
    fn reset_so_far(&mut self) -> Option<Ending> {
        match poll_fn(|cx| self.poll_reset(cx)).now_or_never()? {
            Ok(Reason::REFUSED_STREAM) => Some(Ending::NotTaken("it is going away")),
            Ok(_) => Some(Ending::GivenUp),
            Err(error) => Some(ending(error)),
        }
    }
}

impl Receiving {
    pub(in crate::carrier) async fn read(&mut self) -> Result<Option<Bytes>, Ending> {
        loop {
            match self {
                Self::Response(response) => *self = Self::Body(taken(response.await.map_err(ending)?)?),
                Self::Body(body) => return read(body).await,
            }
        }
    }

    pub(in crate::carrier) fn refusal_so_far(&mut self) -> Option<Ending> {
        let Self::Response(response) = self else { return None };
        match response.now_or_never()?.map_err(ending).and_then(taken) {
            Ok(body) => {
                *self = Self::Body(body);
                None
            }
            Err(ending @ (Ending::NotTaken(_) | Ending::Refused(_))) => Some(ending),
            Err(_) => None,
        }
    }
}

/// Whether the answer's head says that the exchange was taken.
fn taken(response: Response<RecvStream>) -> Result<RecvStream, Ending> {
    let (head, body) = response.into_parts();
    let reason = head.headers.get(REASON).map(|value| value.as_bytes());
    match (head.status, reason) {
        (StatusCode::OK, _) => Ok(body),
        (StatusCode::SERVICE_UNAVAILABLE, Some(reason)) if reason == FULL.as_bytes() => {
            Err(Ending::NotTaken("it takes no more exchanges now"))
        }
        (StatusCode::FORBIDDEN, Some(reason)) if reason == REFUSED.as_bytes() => {
            Err(Ending::Refused(Refusal::ByPeer("our registration is no longer accepted".into())))
        }
        (status, _) => Err(ProtocolError::Status(status.as_u16()).into()),
    }
}

async fn read(body: &mut RecvStream) -> Result<Option<Bytes>, Ending> {
    match body.data().await {
        None => Ok(None),
        Some(Ok(bytes)) => {
            body.flow_control().release_capacity(bytes.len()).map_err(ending)?;
            Ok(Some(bytes))
        }
        Some(Err(error)) => Err(ending(error)),
    }
}

/// Why HTTP/2 ended a stream.
#[allow(clippy::needless_pass_by_value, reason = "for map_err")]
pub(super) fn ending(error: h2::Error) -> Ending {
    match error.reason() {
        // RFC 9113 section 8.7: nothing was processed.
        Some(Reason::REFUSED_STREAM) => Ending::NotTaken("it is going away"),
        Some(_) if error.is_reset() => Ending::GivenUp,
        _ => Ending::Lost(error.to_string()),
    }
}

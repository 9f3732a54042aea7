//! HTTP/2 (RFC 9113) over TLS over TCP: one `POST /exchange` per exchange, frames in the bodies of request and response.
//!
//! The listener answers 200 as soon as it has taken the exchange, before it has read any frame. Its `SETTINGS` are the first
//! thing that it sends after having judged the client's certificate.

use std::future::poll_fn;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;

use bytes::Bytes;
use futures_util::FutureExt;
use h2::client::{Connection, ResponseFuture, SendRequest};
use h2::{PingPong, Reason, RecvStream, SendStream};
use http::{HeaderName, Method, Request, Response, StatusCode, Version};
use kogge_proto::id::SecurityServerId;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio::sync::Mutex;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::watched::{Watch, Watched};
use super::{Ending, Sending};
use crate::Carrier;
use crate::dial_error::DialError;
use crate::error::{ProtocolError, Refusal};
use crate::limits::{CONNECTION_WINDOW_BYTES, HEADERS_BYTES_MAX, HTTP2_FRAME_BYTES, STREAM_WINDOW_BYTES};
use crate::peer::PeerIdentity;
use crate::stamp::Stamp;
use crate::tls::{Alert, SERVER_NAME, Tls};

/// Where exchanges are posted.
pub(crate) const PATH: &str = "/exchange";
/// Says why an exchange was not taken: [`FULL`] with status 503, [`REFUSED`] with 403. Without it the answer is not from a
/// security server.
pub(crate) const REASON: HeaderName = HeaderName::from_static("kogge-reason");
/// Too many exchanges, or going away.
pub(crate) const FULL: &str = "full";
/// The registration is no longer accepted.
pub(crate) const REFUSED: &str = "refused";

/// A new connection that must still be driven.
pub(crate) struct Dialled {
    /// To be polled until it ends; dropping it closes the connection.
    pub(crate) driver: Driver,
    pub(crate) link: Link,
    pub(crate) peer: PeerIdentity,
}

pub(crate) type Driver = Connection<Watched<TlsStream<TcpStream>>, Bytes>;

/// An accepted connection, as the one who dialled uses it.
#[derive(Clone)]
pub(crate) struct Link {
    requests: SendRequest<Bytes>,
    pings: Option<Arc<Mutex<PingPong>>>,
    /// When something was last read.
    pub(crate) heard: Stamp,
}

/// Connects to one address and waits for the listener's `SETTINGS`. The caller limits the time.
pub(crate) async fn dial(
    addr: SocketAddr,
    tls: &Tls,
    server: &SecurityServerId,
) -> Result<Dialled, DialError> {
    let (config, verdict) = tls.client(Carrier::H2, server)?;
    let tcp = TcpStream::connect(addr).await.map_err(|error| DialError::Failed(error.to_string()))?;
    tcp.set_nodelay(true).map_err(|error| DialError::Failed(error.to_string()))?;
    let name = ServerName::try_from(SERVER_NAME).map_err(|error| DialError::Failed(error.to_string()))?;
    let stream = match TlsConnector::from(Arc::new(config)).connect(name, tcp).await {
        Ok(stream) => stream,
        Err(error) => {
            return Err(match (verdict.take(), Alert::number_in(&error)) {
                (Some(Err(refusal)), _) => refusal.into(),
                (_, Some(number)) => Alert::from_number(number).into(),
                _ => DialError::Failed(error.to_string()),
            });
        }
    };
    let peer = verdict.take().ok_or_else(|| DialError::Failed("no certificate was shown".into()))??;
    if stream.get_ref().1.alpn_protocol() != Some(Carrier::H2.alpn()) {
        return Err(ProtocolError::ApplicationProtocol.into());
    }
    let (stream, watch) = Watched::new(stream);
    let (link, driver) = accepted(stream, &watch).await.map_err(|error| match watch.alert() {
        Some(alert) => alert.into(),
        None => DialError::Failed(error),
    })?;
    Ok(Dialled { driver, link, peer })
}

/// Sends our preface and waits for the listener's `SETTINGS`.
async fn accepted(stream: Watched<TlsStream<TcpStream>>, watch: &Watch) -> Result<(Link, Driver), String> {
    let (requests, mut driver) =
        client_builder().handshake(stream).await.map_err(|error| error.to_string())?;
    poll_fn(|cx| match Pin::new(&mut driver).poll(cx) {
        Poll::Ready(Ok(())) => Poll::Ready(Err("it closed the connection".to_owned())),
        Poll::Ready(Err(error)) => Poll::Ready(Err(error.to_string())),
        // We may open no stream before SETTINGS say how many.
        Poll::Pending if driver.max_concurrent_send_streams() > 0 => Poll::Ready(Ok(())),
        Poll::Pending => Poll::Pending,
    })
    .await?;
    let pings = driver.ping_pong().map(|pings| Arc::new(Mutex::new(pings)));
    Ok((Link { requests, pings, heard: watch.heard.clone() }, driver))
}

fn client_builder() -> h2::client::Builder {
    let mut builder = h2::client::Builder::new();
    builder
        .initial_max_send_streams(0)
        .enable_push(false)
        .max_concurrent_streams(0)
        .initial_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .max_frame_size(HTTP2_FRAME_BYTES)
        .max_header_list_size(HEADERS_BYTES_MAX)
        .max_send_buffer_size(STREAM_WINDOW_BYTES as usize);
    builder
}

/// The listener's settings.
pub(crate) fn server_builder(streams_max: u32) -> h2::server::Builder {
    let mut builder = h2::server::Builder::new();
    builder
        .max_concurrent_streams(streams_max)
        // Peers are known by name; many exchanges that are given up at once are no attack.
        .max_pending_accept_reset_streams(streams_max as usize)
        .initial_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .max_frame_size(HTTP2_FRAME_BYTES)
        .max_header_list_size(HEADERS_BYTES_MAX)
        .max_send_buffer_size(STREAM_WINDOW_BYTES as usize);
    builder
}

impl Link {
    /// Opens a stream; waits while the peer has as many as it takes.
    pub(crate) async fn open(&self) -> Result<(Sending, super::Receiving), Ending> {
        let mut requests = self.requests.clone().ready().await.map_err(ending)?;
        let mut request = Request::new(());
        *request.method_mut() = Method::POST;
        *request.version_mut() = Version::HTTP_2;
        *request.uri_mut() = http::Uri::builder()
            .scheme("https")
            .authority(SERVER_NAME)
            .path_and_query(PATH)
            .build()
            .map_err(|error| Ending::Lost(error.to_string()))?;
        let (response, sending) = requests.send_request(request, false).map_err(ending)?;
        Ok((Sending::H2(sending), super::Receiving::H2(Receiving::Response(response))))
    }

    /// Whether the peer answers a ping. The caller limits the time.
    pub(crate) async fn probe(&self) -> bool {
        let Some(pings) = &self.pings else { return false };
        let mut pings = pings.lock().await;
        // Fails if a ping is still on its way that somebody stopped waiting for: its answer is as good.
        let _ = pings.send_ping(h2::Ping::opaque());
        poll_fn(|cx| pings.poll_pong(cx)).await.is_ok()
    }
}

/// The receiving half of a stream.
pub(crate) enum Receiving {
    /// The listener has not yet said that it takes the exchange.
    Response(ResponseFuture),
    /// Frames.
    Body(RecvStream),
}

impl Receiving {
    pub(super) async fn read(&mut self) -> Result<Option<Bytes>, Ending> {
        loop {
            match self {
                Self::Response(response) => *self = Self::Body(taken(response.await.map_err(ending)?)?),
                Self::Body(body) => return read(body).await,
            }
        }
    }

    pub(super) fn refusal_so_far(&mut self) -> Option<Ending> {
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

pub(super) async fn write_some(stream: &mut SendStream<Bytes>, bytes: &mut Bytes) -> Result<(), Ending> {
    stream.reserve_capacity(bytes.len());
    // Only an increase of the capacity wakes us: what is there already must not be waited for.
    while stream.capacity() == 0 {
        match poll_fn(|cx| stream.poll_capacity(cx)).await {
            Some(Ok(_)) => {}
            Some(Err(error)) => return Err(ending(error)),
            None => return Err(reset_so_far(stream).unwrap_or(Ending::GivenUp)),
        }
    }
    let piece = bytes.split_to(stream.capacity().min(bytes.len()));
    stream.send_data(piece, false).map_err(|error| reset_so_far(stream).unwrap_or_else(|| ending(error)))
}

/// Why the stream is closed, if it is.
fn reset_so_far(stream: &mut SendStream<Bytes>) -> Option<Ending> {
    match poll_fn(|cx| stream.poll_reset(cx)).now_or_never()? {
        Ok(Reason::REFUSED_STREAM) => Some(Ending::NotTaken("it is going away")),
        Ok(_) => Some(Ending::GivenUp),
        Err(error) => Some(ending(error)),
    }
}

pub(super) async fn unwanted(stream: &mut SendStream<Bytes>) {
    // Both outcomes say the same: a reset, or no connection.
    let _ = poll_fn(|cx| stream.poll_reset(cx)).await;
}

/// Why HTTP/2 ended a stream.
#[allow(clippy::needless_pass_by_value, reason = "for map_err")]
pub(crate) fn ending(error: h2::Error) -> Ending {
    match error.reason() {
        // RFC 9113 section 8.7: nothing was processed.
        Some(Reason::REFUSED_STREAM) => Ending::NotTaken("it is going away"),
        Some(_) if error.is_reset() => Ending::GivenUp,
        _ => Ending::Lost(error.to_string()),
    }
}

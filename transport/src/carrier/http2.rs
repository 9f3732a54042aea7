//! HTTP/2 (RFC 9113) over TLS over TCP: one `POST /exchange` per exchange, frames in the bodies of request and response.
//!
//! The listener's 200 leaves with its first frame; an exchange that it does not take is answered at once. Its `SETTINGS` are the
//! first thing that it sends after having judged the client's certificate.

mod halves;

use std::future::poll_fn;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use h2::PingPong;
use h2::client::{Connection, SendRequest};
use http::{HeaderName, Method, Request, Version};
use kogge_proto::id::SecurityServerId;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio::sync::Mutex;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use self::halves::ending;
pub(crate) use self::halves::{Receiving, Sending};
use super::Ending;
use super::corked::{Cork, Corked};
use super::read_ahead::ReadAhead;
use super::watched::{Watch, Watched};
use crate::Carrier;
use crate::dial_error::DialError;
use crate::error::ProtocolError;
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

type Tls13 = Watched<TlsStream<ReadAhead<TcpStream>>>;

/// Moves what streams have written and read.
pub(crate) struct Driver {
    connection: Connection<Corked<Tls13>, Bytes>,
    cork: Cork<Tls13>,
}

/// An accepted connection, as the one who dialled uses it.
#[derive(Clone)]
pub(crate) struct Link {
    requests: SendRequest<Bytes>,
    /// The head of every request.
    head: Request<()>,
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
    let stream = match TlsConnector::from(Arc::new(config)).connect(name, ReadAhead::new(tcp)).await {
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
async fn accepted(stream: Tls13, watch: &Watch) -> Result<(Link, Driver), String> {
    let (corked, cork) = Cork::new(stream);
    let (requests, connection) =
        client_builder().handshake(corked).await.map_err(|error| error.to_string())?;
    let mut driver = Driver { connection, cork };
    poll_fn(|cx| match Pin::new(&mut driver).poll(cx) {
        Poll::Ready(Ok(())) => Poll::Ready(Err("it closed the connection".to_owned())),
        Poll::Ready(Err(error)) => Poll::Ready(Err(error.to_string())),
        // We may open no stream before SETTINGS say how many.
        Poll::Pending if driver.connection.max_concurrent_send_streams() > 0 => Poll::Ready(Ok(())),
        Poll::Pending => Poll::Pending,
    })
    .await?;
    let head = request_head().map_err(|error| error.to_string())?;
    let pings = driver.connection.ping_pong().map(|pings| Arc::new(Mutex::new(pings)));
    Ok((Link { requests, head, pings, heard: watch.heard.clone() }, driver))
}

impl Future for Driver {
    type Output = Result<(), h2::Error>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let end = Pin::new(&mut self.connection).poll(cx);
        // If this fails, so does the next read, and the connection ends.
        let _ = self.cork.poll_release(cx);
        end
    }
}

fn request_head() -> Result<Request<()>, http::Error> {
    let uri = http::Uri::builder().scheme("https").authority(SERVER_NAME).path_and_query(PATH).build()?;
    Request::builder().method(Method::POST).version(Version::HTTP_2).uri(uri).body(())
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
    pub(crate) async fn open(&self) -> Result<(super::Sending, super::Receiving), Ending> {
        let mut requests = self.requests.clone().ready().await.map_err(ending)?;
        let (response, sending) = requests.send_request(self.head.clone(), false).map_err(ending)?;
        Ok((super::Sending::H2(Sending::Body(sending)), super::Receiving::H2(Receiving::Response(response))))
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

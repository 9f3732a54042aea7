//! Accepting HTTP/2 connections and their streams.

use std::future::poll_fn;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use h2::RecvStream;
use h2::server::{Connection, SendResponse};
use http::{HeaderValue, Method, Request, Response, StatusCode};
use tokio::net::TcpListener;
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::lingering::Lingering;
use super::reception::{Reception, Turned, Visitor};
use crate::carrier::corked::{Cork, Corked};
use crate::carrier::http2;
use crate::carrier::read_ahead::ReadAhead;
use crate::carrier::watched::{Watch, Watched};
use crate::carrier::{Receiving, Sending};
use crate::{Carrier, PeerIdentity};

type Stream = Watched<TlsStream<ReadAhead<Lingering>>>;

/// A connection whose handshake has ended well.
struct Accepted {
    connection: Connection<Corked<Stream>, Bytes>,
    cork: Cork<Stream>,
    watch: Watch,
    peer: PeerIdentity,
}

/// Runs until the listener stops.
pub(super) async fn accept(listener: TcpListener, reception: Arc<Reception>) {
    loop {
        let accepted = tokio::select! {
            () = reception.stopping.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, addr)) => {
                // One connection too many is closed at once.
                if let Some(admitted) = reception.admission.admit(addr.ip()) {
                    // Without it small answers may wait for an acknowledgement; they are right all the same.
                    let _ = stream.set_nodelay(true);
                    let stream = Lingering::new(stream, admitted, reception.tasks.clone());
                    reception.tasks.spawn(serve(stream, addr, Arc::clone(&reception)));
                }
            }
            Err(error) => {
                // Most often a connection that is gone already, or no file descriptor left: then more of them come free.
                tracing::warn!(%error, "a TCP connection could not be accepted");
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

async fn serve(stream: Lingering, addr: SocketAddr, reception: Arc<Reception>) {
    let handshake = timeout(reception.limits.handshake_time_max, shake_hands(stream, addr, &reception));
    let accepted = tokio::select! {
        result = handshake => match result {
            Ok(Some(accepted)) => accepted,
            Ok(None) | Err(_) => return,
        },
        () = reception.closing.cancelled() => return,
    };
    tracing::debug!(%addr, peer = ?accepted.peer, "accepted a connection");
    let visitor = reception.enter(accepted.peer.clone());
    drive(accepted, &visitor, &reception).await;
    reception.leave(&visitor);
}

async fn shake_hands(stream: Lingering, addr: SocketAddr, reception: &Reception) -> Option<Accepted> {
    let (config, verdict) = reception
        .tls
        .server(Carrier::H2)
        .inspect_err(|error| tracing::error!(%error, "TLS cannot be set up"))
        .ok()?;
    let stream = match TlsAcceptor::from(Arc::new(config)).accept(ReadAhead::new(stream)).await {
        Ok(stream) => stream,
        Err(error) => {
            tracing::debug!(%addr, %error, "a handshake failed");
            reception.note_refused(addr, Carrier::H2, &verdict);
            return None;
        }
    };
    let peer = verdict.take()?.ok()?;
    if stream.get_ref().1.alpn_protocol() != Some(Carrier::H2.alpn()) {
        return None;
    }
    let (stream, watch) = Watched::new(stream);
    let (corked, cork) = Cork::new(stream);
    let mut shaking = http2::server_builder(reception.limits.streams_per_connection_max).handshake(corked);
    let connection = poll_fn(|cx| {
        let end = Pin::new(&mut shaking).poll(cx);
        // If this fails, so does the next read, and the connection ends.
        let _ = cork.poll_release(cx);
        end
    });
    Some(Accepted { connection: connection.await.ok()?, cork, watch, peer })
}

/// Takes exchanges until the connection ends.
async fn drive(mut accepted: Accepted, visitor: &Visitor, reception: &Reception) {
    let mut stopping = false;
    let watch = accepted.watch.clone();
    let silent = visitor.silent(&reception.limits, || watch.heard.last());
    tokio::pin!(silent);
    loop {
        let next = tokio::select! {
            () = visitor.closing.cancelled() => break,
            () = &mut silent => break,
            () = reception.stopping.cancelled(), if !stopping => {
                stopping = true;
                accepted.connection.graceful_shutdown();
                continue;
            }
            next = accepted.next() => next,
        };
        // An error means the end as well; how it ended is in every stream that it carried.
        let Some(Ok((request, respond))) = next else { return };
        receive(request, respond, visitor, reception);
    }
    if stopping {
        // Answers that are on their way still arrive, and newcomers learn that they are not taken.
        let goodbye = async {
            while let Some(Ok((request, respond))) = accepted.next().await {
                receive(request, respond, visitor, reception);
            }
        };
        // Dropping the connection afterwards is the end in any case.
        let _ = timeout(GOODBYE_TIME_MAX, goodbye).await;
    }
}

impl Accepted {
    /// The next request. Meanwhile moves what the streams have written and read.
    async fn next(&mut self) -> Option<Result<(Request<RecvStream>, SendResponse<Bytes>), h2::Error>> {
        poll_fn(|cx| {
            let next = self.connection.poll_accept(cx);
            if !matches!(next, Poll::Ready(Some(Ok(_)))) {
                // If this fails, so does the next read, and the connection ends.
                let _ = self.cork.poll_release(cx);
            }
            next
        })
        .await
    }
}

/// Answers a request's head, if it can be done without its frames.
fn receive(
    request: Request<RecvStream>,
    mut respond: SendResponse<Bytes>,
    visitor: &Visitor,
    reception: &Reception,
) {
    let (head, body) = request.into_parts();
    if head.uri.path() != http2::PATH {
        return answer(&mut respond, StatusCode::NOT_FOUND, None);
    }
    if head.method != Method::POST {
        return answer(&mut respond, StatusCode::METHOD_NOT_ALLOWED, None);
    }
    match reception.place_for(visitor) {
        Ok(place) => {
            let sending = Sending::H2(http2::Sending::Unanswered(respond));
            reception.pass_on(place, sending, Receiving::H2(http2::Receiving::Body(body)));
        }
        Err(Turned::Away) => answer(&mut respond, StatusCode::SERVICE_UNAVAILABLE, Some(http2::FULL)),
        Err(Turned::Out) => answer(&mut respond, StatusCode::FORBIDDEN, Some(http2::REFUSED)),
    }
}

fn answer(respond: &mut SendResponse<Bytes>, status: StatusCode, reason: Option<&'static str>) {
    let mut response = Response::new(());
    *response.status_mut() = status;
    if let Some(reason) = reason {
        response.headers_mut().insert(http2::REASON, HeaderValue::from_static(reason));
    }
    // Fails only if the peer has given up already.
    let _ = respond.send_response(response, true);
}

/// Pause after a connection could not be accepted, so that a lack of file descriptors does not become a busy loop.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// How long a peer is given to take the rest of its answers when the listener shuts down.
const GOODBYE_TIME_MAX: Duration = Duration::from_millis(500);

//! Accepting HTTP/2 connections and their streams.

use std::net::SocketAddr;
use std::sync::Arc;
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
use crate::carrier::http2::{self, Receiving as H2Receiving};
use crate::carrier::watched::{Watch, Watched};
use crate::carrier::{Receiving, Sending};
use crate::{Carrier, PeerIdentity};

type Stream = Watched<TlsStream<Lingering>>;

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
    let (connection, watch, peer) = tokio::select! {
        result = handshake => match result {
            Ok(Some(accepted)) => accepted,
            Ok(None) | Err(_) => return,
        },
        () = reception.closing.cancelled() => return,
    };
    tracing::debug!(%addr, ?peer, "accepted a connection");
    let visitor = reception.enter(peer);
    drive(connection, &watch, &visitor, &reception).await;
    reception.leave(&visitor);
}

async fn shake_hands(
    stream: Lingering,
    addr: SocketAddr,
    reception: &Reception,
) -> Option<(Connection<Stream, Bytes>, Watch, PeerIdentity)> {
    let (config, verdict) = reception
        .tls
        .server(Carrier::H2)
        .inspect_err(|error| tracing::error!(%error, "TLS cannot be set up"))
        .ok()?;
    let stream = match TlsAcceptor::from(Arc::new(config)).accept(stream).await {
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
    let builder = http2::server_builder(reception.limits.streams_per_connection_max);
    Some((builder.handshake(stream).await.ok()?, watch, peer))
}

/// Takes exchanges until the connection ends.
async fn drive(
    mut connection: Connection<Stream, Bytes>,
    watch: &Watch,
    visitor: &Visitor,
    reception: &Reception,
) {
    let mut stopping = false;
    loop {
        let next = tokio::select! {
            () = visitor.closing.cancelled() => break,
            () = watch.heard.silent_for(reception.limits.idle_time_max) => break,
            () = reception.stopping.cancelled(), if !stopping => {
                stopping = true;
                connection.graceful_shutdown();
                continue;
            }
            next = connection.accept() => next,
        };
        // An error means the end as well; how it ended is in every stream that it carried.
        let Some(Ok((request, respond))) = next else { return };
        receive(request, respond, visitor, reception);
    }
    if stopping {
        // Answers that are on their way still arrive, and newcomers learn that they are not taken.
        let goodbye = async {
            while let Some(Ok((request, respond))) = connection.accept().await {
                receive(request, respond, visitor, reception);
            }
        };
        // Dropping the connection afterwards is the end in any case.
        let _ = timeout(GOODBYE_TIME_MAX, goodbye).await;
    }
}

/// Answers a request's head.
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
            // Fails only if the peer has given up already.
            if let Ok(sending) = respond.send_response(Response::new(()), false) {
                reception.pass_on(place, Sending::H2(sending), Receiving::H2(H2Receiving::Body(body)));
            }
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

//! Accepting QUIC connections and their streams.

use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;

use aws_lc_rs::{hmac, rand};
use quinn::crypto::rustls::QuicServerConfig;
use quinn::{
    Connecting, Connection, ConnectionId, ConnectionIdGenerator, EndpointConfig, Incoming, RecvStream,
    SendStream,
};
use tokio::time::timeout;

use super::admission::Admitted;
use super::reception::{Reception, Turned, Visitor};
use crate::carrier::{Receiving, Sending, quic};
use crate::error::BindError;
use crate::verify::Verdict;
use crate::{Carrier, PeerIdentity};

/// The endpoint of a listener. With a reset key, packets of connections that a former process had are answered with a
/// stateless reset that the peer believes.
pub(super) fn endpoint(
    socket: UdpSocket,
    addr: SocketAddr,
    reception: &Reception,
    reset_key: Option<&[u8; 32]>,
) -> Result<quinn::Endpoint, BindError> {
    let mut config = match reset_key {
        Some(key) => EndpointConfig::new(Arc::new(hmac::Key::new(hmac::HMAC_SHA256, key))),
        None => EndpointConfig::default(),
    };
    if reset_key.is_some() {
        config.cid_generator(|| Box::new(PlainIds));
    }
    let (server, _) = server_config(reception).map_err(|error| BindError::Tls(error.to_string()))?;
    quinn::Endpoint::new(config, Some(server), socket, Arc::new(quic::FrugalRuntime))
        .map_err(|source| BindError::Address { addr, protocol: "UDP", source })
}

/// Runs until the listener stops.
pub(super) async fn accept(endpoint: quinn::Endpoint, reception: Arc<Reception>) {
    loop {
        let incoming = tokio::select! {
            () = reception.stopping.cancelled() => break,
            incoming = endpoint.accept() => incoming,
        };
        let Some(incoming) = incoming else { break };
        if reception.admission.is_busy() && incoming.may_retry() {
            // Costs a stranger with a forged address everything, and us one packet.
            if let Err(error) = incoming.retry() {
                error.into_incoming().refuse();
            }
            continue;
        }
        match reception.admission.admit(incoming.remote_address().ip()) {
            Some(admitted) => {
                reception.tasks.spawn(serve(incoming, admitted, Arc::clone(&reception)));
            }
            None => incoming.refuse(),
        }
    }
    // From now on newcomers are told at once that nobody is there.
    endpoint.set_server_config(None);
}

async fn serve(incoming: Incoming, _admitted: Admitted, reception: Arc<Reception>) {
    let (config, verdict) = match server_config(&reception) {
        Ok(made) => made,
        Err(error) => return tracing::error!(%error, "TLS cannot be set up"),
    };
    let addr = incoming.remote_address();
    // Each exchange begins with a call to the driver, so that is not a task of its own.
    let (connecting, driver) = quic::undriven(|| incoming.accept_with(Arc::new(config)));
    let Ok(connecting) = connecting else { return };
    driver.beside(|begun| attend(connecting, addr, verdict, begun, &reception)).await;
}

async fn attend(
    connecting: Connecting,
    addr: SocketAddr,
    verdict: Verdict,
    begun: quic::Begun,
    reception: &Reception,
) {
    let handshake =
        timeout(reception.limits.handshake_time_max, shake_hands(connecting, addr, verdict, reception));
    let (connection, peer) = tokio::select! {
        result = handshake => match result {
            Ok(Some(accepted)) => accepted,
            Ok(None) | Err(_) => return,
        },
        () = reception.closing.cancelled() => return,
    };
    tracing::debug!(%addr, ?peer, "accepted a connection");
    let visitor = reception.enter(peer);
    tokio::select! {
        () = visitor.closing.cancelled() => connection.close(quic::GIVEN_UP, b"closed"),
        () = visitor.silent(&reception.limits, || connection.stats().udp_rx.datagrams) => {
            connection.close(quic::GIVEN_UP, b"silence");
        }
        () = ignore_probes(&connection) => {}
        () = receive(&connection, &visitor, &begun, reception) => {}
    }
    reception.leave(&visitor);
}

async fn shake_hands(
    connecting: Connecting,
    addr: SocketAddr,
    verdict: Verdict,
    reception: &Reception,
) -> Option<(Connection, PeerIdentity)> {
    let connection = match connecting.await {
        Ok(connection) => connection,
        Err(error) => {
            tracing::debug!(%addr, %error, "a handshake failed");
            reception.note_refused(addr, Carrier::Quic, &verdict);
            return None;
        }
    };
    let peer = verdict.take()?.ok()?;
    if !quic::speaks_our_protocol(&connection) {
        return None;
    }
    let mut greeting = connection.open_uni().await.ok()?;
    greeting.write_all(quic::GREETING).await.ok()?;
    greeting.finish().ok()?;
    Some((connection, peer))
}

/// The configuration of one connection, and where its verifier leaves what it found out.
fn server_config(reception: &Reception) -> Result<(quinn::ServerConfig, Verdict), rustls::Error> {
    let (tls, verdict) = reception.tls.server(Carrier::Quic)?;
    let crypto =
        QuicServerConfig::try_from(tls).map_err(|error| rustls::Error::General(error.to_string()))?;
    let mut config = quinn::ServerConfig::with_crypto(Arc::new(crypto));
    let limits = &reception.limits;
    let transport = quic::transport(limits.streams_per_connection_max, PROBES_MAX, limits.unused_time_max);
    config
        .transport_config(Arc::new(transport))
        .max_incoming(INCOMING_MAX)
        .incoming_buffer_size(INCOMING_BYTES_MAX)
        .incoming_buffer_size_total(INCOMING_TOTAL_BYTES_MAX);
    Ok((config, verdict))
}

/// Takes exchanges until the connection ends.
async fn receive(connection: &Connection, visitor: &Visitor, begun: &quic::Begun, reception: &Reception) {
    while let Ok((send, recv)) = connection.accept_bi().await {
        match reception.place_for(visitor) {
            Ok(place) => {
                let sending = Sending::Quic(quic::Sending::new(send, connection.clone()));
                reception.pass_on(place, sending, Receiving::Quic(quic::Receiving::new(recv)));
                begun.add_one();
            }
            Err(Turned::Away) => end(send, recv, quic::NOT_TAKEN),
            Err(Turned::Out) => end(send, recv, quic::REFUSED),
        }
    }
}

fn end(mut send: SendStream, mut recv: RecvStream, code: quinn::VarInt) {
    // Both fail only if the peer has ended the stream already.
    let _ = send.reset(code);
    let _ = recv.stop(code);
}

/// Their acknowledgement is all that the peer wants; without it a further one could not be opened.
async fn ignore_probes(connection: &Connection) {
    while connection.accept_uni().await.is_ok() {}
}

/// Connection ids that say nothing, so that those of a former process are as good as ours: only then does quinn answer them with a
/// stateless reset.
struct PlainIds;

impl ConnectionIdGenerator for PlainIds {
    fn generate_cid(&mut self) -> ConnectionId {
        let mut id = [0; ID_BYTES];
        // Without randomness ids would collide and quinn draw again; the library aborts before it returns an error.
        let _ = rand::fill(&mut id);
        ConnectionId::new(&id)
    }

    fn cid_len(&self) -> usize {
        ID_BYTES
    }

    fn cid_lifetime(&self) -> Option<std::time::Duration> {
        None
    }
}

const ID_BYTES: usize = 8;

/// Most concurrent probes; a dialler has one under way, and the next may begin before we have seen its end.
const PROBES_MAX: u32 = 4;

/// Connection attempts that wait for the accept loop, which only counts them and passes them on: a burst.
const INCOMING_MAX: usize = 1024;

/// What one attempt may send before it is looked at: a handshake with the longest path fits.
const INCOMING_BYTES_MAX: u64 = 64 * 1024;

/// And all of them together.
const INCOMING_TOTAL_BYTES_MAX: u64 = 8 * 1024 * 1024;

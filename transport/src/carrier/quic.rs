//! QUIC (RFC 9000): one connection carries many exchanges, one bidirectional stream each.
//!
//! The listener greets an accepted client on a unidirectional stream, because in TLS 1.3 the client's handshake ends before
//! its certificate was judged. The dialler may open single short unidirectional streams, which the listener ignores: their
//! acknowledgement shows that the connection is alive.

mod runtime;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use quinn::congestion::BbrConfig;
use quinn::crypto::rustls::{HandshakeData, QuicClientConfig};
use quinn::{
    AckFrequencyConfig, Connection, ConnectionError, EndpointConfig, IdleTimeout, ReadError, RecvStream,
    SendStream, TransportConfig, VarInt, WriteError,
};

pub(crate) use self::runtime::{Begun, FrugalRuntime, undriven};
use super::Ending;
use crate::Carrier;
use crate::dial_error::DialError;
use crate::error::{ProtocolError, Refusal};
use crate::limits::{
    CONNECTION_WINDOW_BYTES, IDLE_TIME_MAX, PACKETS_UNACKNOWLEDGED_MAX, QUIC_STREAM_WINDOW_BYTES,
    UNUSED_TIME_MAX,
};
use crate::peer::PeerIdentity;
use crate::tls::{Alert, SERVER_NAME, Tls};
use crate::verify::Verdict;

/// Code of a stream or connection that ends because nobody needs it any more.
pub(crate) const GIVEN_UP: VarInt = VarInt::from_u32(0);
/// Code of a stream that was not taken: too many of them, or going away.
pub(crate) const NOT_TAKEN: VarInt = VarInt::from_u32(1);
/// Code of a stream or connection whose peer is no longer accepted.
pub(crate) const REFUSED: VarInt = VarInt::from_u32(2);

/// What the listener says once it has accepted the client's certificate.
pub(crate) const GREETING: &[u8] = b"kogge/1 accepted";

/// The endpoint that dials addresses of the same family as `addr`, from any free port.
pub(crate) fn dialling_endpoint(addr: SocketAddr) -> std::io::Result<quinn::Endpoint> {
    let from: IpAddr =
        if addr.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let socket = UdpSocket::bind((from, 0))?;
    quinn::Endpoint::new(EndpointConfig::default(), None, socket, Arc::new(FrugalRuntime))
}

/// What both sides agree on; `incoming` is how many streams the other side may have open.
pub(crate) fn transport(
    bidirectional: u32,
    unidirectional: u32,
    unused_time_max: Duration,
) -> TransportConfig {
    // The acknowledgement of a message shall travel with its answer, or with the next request.
    let mut acknowledgements = AckFrequencyConfig::default();
    acknowledgements.ack_eliciting_threshold(PACKETS_UNACKNOWLEDGED_MAX.into());
    let mut config = TransportConfig::default();
    config
        .max_concurrent_bidi_streams(bidirectional.into())
        .max_concurrent_uni_streams(unidirectional.into())
        .stream_receive_window(QUIC_STREAM_WINDOW_BYTES.into())
        .receive_window(CONNECTION_WINDOW_BYTES.into())
        .send_window(CONNECTION_WINDOW_BYTES.into())
        // CUBIC takes each lost packet for congestion: at 1 % loss and 20 ms it moves a tenth of what BBR does, which is on a par with TCP.
        .congestion_controller_factory(Arc::new(BbrConfig::default()))
        .datagram_receive_buffer_size(None)
        .ack_frequency_config(Some(acknowledgements))
        // Silence while there is an exchange is noticed by whoever looks after the connection.
        .max_idle_timeout(IdleTimeout::try_from(unused_time_max).ok());
    config
}

/// As the dialler has it: it takes only the greeting.
pub(crate) fn dialling_transport() -> TransportConfig {
    transport(0, 1, UNUSED_TIME_MAX + IDLE_TIME_MAX)
}

/// Connects to one address and waits for the greeting. The caller limits the time.
pub(crate) async fn dial(
    endpoint: &quinn::Endpoint,
    addr: SocketAddr,
    tls: &Tls,
    server: &kogge_proto::id::SecurityServerId,
    transport: Arc<TransportConfig>,
) -> Result<(Connection, PeerIdentity), DialError> {
    let (config, verdict) = tls.client(Carrier::Quic, server)?;
    let crypto = QuicClientConfig::try_from(config).map_err(|error| DialError::Failed(error.to_string()))?;
    let mut config = quinn::ClientConfig::new(Arc::new(crypto));
    config.transport_config(transport);
    let connecting = endpoint
        .connect_with(config, addr, SERVER_NAME)
        .map_err(|error| DialError::Failed(error.to_string()))?;
    let connection = connecting.await.map_err(|error| dial_error(&error, &verdict))?;
    let peer = verdict.take().ok_or_else(|| DialError::Failed("no certificate was shown".into()))??;
    if !speaks_our_protocol(&connection) {
        return Err(ProtocolError::ApplicationProtocol.into());
    }
    greeted(&connection).await?;
    Ok((connection, peer))
}

/// Whether the handshake agreed on the application protocol.
pub(crate) fn speaks_our_protocol(connection: &Connection) -> bool {
    connection
        .handshake_data()
        .and_then(|data| data.downcast::<HandshakeData>().ok())
        .is_some_and(|data| data.protocol.as_deref() == Some(Carrier::Quic.alpn()))
}

async fn greeted(connection: &Connection) -> Result<(), DialError> {
    let nothing_known = Verdict::default();
    let mut stream = connection.accept_uni().await.map_err(|error| dial_error(&error, &nothing_known))?;
    let greeting = stream.read_to_end(GREETING.len()).await.map_err(|error| match error {
        quinn::ReadToEndError::Read(ReadError::ConnectionLost(error)) => dial_error(&error, &nothing_known),
        _ => ProtocolError::ApplicationProtocol.into(),
    })?;
    if greeting == GREETING { Ok(()) } else { Err(ProtocolError::ApplicationProtocol.into()) }
}

/// Why a connection did not come about: what our verifier found, else what the peer said.
fn dial_error(error: &ConnectionError, verdict: &Verdict) -> DialError {
    if let Some(Err(refusal)) = verdict.take() {
        return refusal.into();
    }
    match error {
        ConnectionError::ConnectionClosed(close) => match alert_number(close.error_code) {
            Some(number) => Alert::from_number(number).into(),
            None if close.error_code == quinn::TransportErrorCode::CONNECTION_REFUSED => {
                DialError::Failed("it takes no more connections".into())
            }
            None => DialError::Failed(error.to_string()),
        },
        ConnectionError::ApplicationClosed(close) if close.error_code == REFUSED => {
            Refusal::ByPeer(String::from_utf8_lossy(&close.reason).into_owned()).into()
        }
        _ => DialError::Failed(error.to_string()),
    }
}

/// The TLS alert within a QUIC error code (RFC 9001 section 4.8).
fn alert_number(code: quinn::TransportErrorCode) -> Option<u8> {
    u8::try_from(u64::from(code).checked_sub(0x100)?).ok()
}

/// Whether the peer acknowledges a byte. The caller limits the time.
pub(crate) async fn probe(connection: &Connection) -> bool {
    let Ok(mut stream) = connection.open_uni().await else { return false };
    if stream.write_all(&[0]).await.is_err() || stream.finish().is_err() {
        return false;
    }
    // The peer does not want the byte (it stops the stream) or has it: either way it is there.
    stream.stopped().await.is_ok()
}

/// The sending half of a stream, with the connection that it lives on.
pub(crate) struct Sending {
    stream: SendStream,
    connection: Connection,
}

impl Sending {
    pub(crate) fn new(stream: SendStream, connection: Connection) -> Self {
        Self { stream, connection }
    }

    pub(super) async fn write_some(&mut self, bytes: &mut Bytes) -> Result<(), Ending> {
        // One chunk, so that the written part is cut off without a copy.
        let mut chunks = [std::mem::take(bytes)];
        let result = self.stream.write_chunks(&mut chunks).await;
        let [rest] = chunks;
        *bytes = rest;
        match result {
            Ok(_) => Ok(()),
            Err(WriteError::Stopped(code)) => Err(ending_by_code(code)),
            Err(WriteError::ConnectionLost(error)) => Err(lost(&error)),
            Err(error @ (WriteError::ClosedStream | WriteError::ZeroRttRejected)) => {
                Err(Ending::Lost(error.to_string()))
            }
        }
    }

    pub(super) fn finish(&mut self) -> Result<(), Ending> {
        self.stream.finish().map_err(|_| Ending::GivenUp)
    }

    pub(crate) fn reset(&mut self, code: VarInt) {
        // Fails only if the stream has ended already.
        let _ = self.stream.reset(code);
    }

    /// Completes when the peer has everything, wants nothing more, or is gone.
    pub(super) fn delivered(&self) -> impl Future<Output = ()> + Send + 'static {
        let stopped = self.stream.stopped();
        // Whichever of the three it is: nothing is on its way any more.
        async move { drop(stopped.await) }
    }

    pub(super) async fn unwanted(&mut self) {
        // Everything was sent and acknowledged: only the loss of the connection can still be news.
        if let Ok(None) = self.stream.stopped().await {
            self.connection.closed().await;
        }
    }
}

/// The receiving half of a stream. What has come is taken over several packets at a time: each look takes a lock that the connection's driver
/// needs, too.
pub(crate) struct Receiving {
    stream: RecvStream,
    /// Taken over and not yet read: those from `next` on that are not empty.
    chunks: Vec<Bytes>,
    next: usize,
}

impl Receiving {
    pub(crate) fn new(stream: RecvStream) -> Self {
        Self { stream, chunks: vec![Bytes::new(); CHUNKS_READ_MAX], next: 0 }
    }

    pub(super) async fn read(&mut self) -> Result<Option<Bytes>, Ending> {
        loop {
            if let Some(chunk) = self.chunks.get_mut(self.next).filter(|chunk| !chunk.is_empty()) {
                self.next += 1;
                return Ok(Some(std::mem::take(chunk)));
            }
            match self.stream.read_chunks(&mut self.chunks).await {
                Ok(Some(_)) => self.next = 0,
                Ok(None) => return Ok(None),
                Err(ReadError::Reset(code)) => return Err(ending_by_code(code)),
                Err(ReadError::ConnectionLost(error)) => return Err(lost(&error)),
                Err(error) => return Err(Ending::Lost(error.to_string())),
            }
        }
    }

    pub(super) fn stop(&mut self, code: VarInt) {
        // Fails only if the stream has ended already.
        let _ = self.stream.stop(code);
    }
}

/// Most packets whose content is taken over at once: what a sender hands to the kernel at once, and a few.
const CHUNKS_READ_MAX: usize = 16;

fn ending_by_code(code: VarInt) -> Ending {
    match code {
        NOT_TAKEN => Ending::NotTaken("it takes no more exchanges now"),
        REFUSED => Ending::Refused(Refusal::ByPeer("our registration is no longer accepted".into())),
        _ => Ending::GivenUp,
    }
}

/// A connection was lost.
pub(crate) fn lost(error: &ConnectionError) -> Ending {
    Ending::Lost(error.to_string())
}

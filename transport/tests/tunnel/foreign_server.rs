//! The dialling side against servers that we did not write.

use std::net::SocketAddr;
use std::sync::Arc;

use http::StatusCode;
use kogge_transport::{Carrier, ProtocolError, Refusal, TransportError, TransportMode, TunnelLimits};
use quinn::crypto::rustls::QuicServerConfig;
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use crate::raw::RawServer;
use crate::world::{Pair, chunk, entry, soon};

#[tokio::test]
async fn a_status_is_no_exchange() {
    let error = status(StatusCode::IM_A_TEAPOT, None).await;
    assert!(matches!(error, TransportError::Protocol(ProtocolError::Status(418))), "{error:?}");
    // A proxy's 503 says nothing about whether the exchange was processed.
    let error = status(StatusCode::SERVICE_UNAVAILABLE, None).await;
    assert!(matches!(error, TransportError::Protocol(ProtocolError::Status(503))), "{error:?}");
    assert!(!error.may_fail_over());
}

#[tokio::test]
async fn a_full_server_says_so() {
    let error = status(StatusCode::SERVICE_UNAVAILABLE, Some("full")).await;
    assert!(matches!(error, TransportError::Unreachable { .. }), "{error:?}");
    assert!(error.may_fail_over());
    let error = status(StatusCode::FORBIDDEN, Some("refused")).await;
    assert!(matches!(error, TransportError::Refused(Refusal::ByPeer(_))), "{error:?}");
    assert!(error.may_fail_over());
}

#[tokio::test]
async fn another_application_protocol_is_refused_over_tcp() {
    let pair = Pair::new();
    let raw = RawServer::new(&pair, "T/GOV/2/raw");
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(raw.server_config(b"http/1.1")));
    tokio::spawn(async move { acceptor.accept(listener.accept().await.unwrap().0).await.map(drop) });
    let error = dial(&pair, &raw, addr, Carrier::H2).await;
    assert!(matches!(error, TransportError::Protocol(ProtocolError::ApplicationProtocol)), "{error:?}");
}

#[tokio::test]
async fn a_server_without_any_application_protocol_is_refused_over_tcp() {
    let pair = Pair::new();
    let raw = RawServer::new(&pair, "T/GOV/2/raw");
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let mut config = raw.server_config(b"");
    config.alpn_protocols.clear();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    tokio::spawn(async move { acceptor.accept(listener.accept().await.unwrap().0).await.map(drop) });
    let error = dial(&pair, &raw, addr, Carrier::H2).await;
    assert!(matches!(error, TransportError::Protocol(ProtocolError::ApplicationProtocol)), "{error:?}");
}

#[tokio::test]
async fn another_application_protocol_is_refused_over_quic() {
    let error = greet(b"h3", b"kogge/1 accepted").await;
    assert!(matches!(error, TransportError::Protocol(ProtocolError::ApplicationProtocol)), "{error:?}");
}

#[tokio::test]
async fn another_greeting_is_no_acceptance() {
    for greeting in [&b"kogge/2 accepted"[..], b"kogge/1 accepted!", b""] {
        let error = greet(b"kogge/1", greeting).await;
        assert!(matches!(error, TransportError::Protocol(ProtocolError::ApplicationProtocol)), "{error:?}");
    }
}

/// The handshake has ended well, but that is not acceptance.
#[tokio::test]
async fn a_server_that_never_greets_has_not_accepted_us() {
    let pair = Pair::new();
    let raw = RawServer::new(&pair, "T/GOV/2/raw");
    let (endpoint, addr) = quic_server(&raw, b"kogge/1");
    let greeter = endpoint.clone();
    tokio::spawn(async move {
        let connection = greeter.accept().await.unwrap().await.unwrap();
        connection.closed().await
    });
    let limits =
        TunnelLimits { dial_time_max: std::time::Duration::from_millis(300), ..TunnelLimits::default() };
    let tunnels = pair.tunnels_with(TransportMode::Quic, limits);
    let server = entry(&raw.server.id, vec![addr.to_string()], &raw.server.certificate);
    let error = tunnels.open(&server, soon()).await.err().unwrap();
    assert!(matches!(error, TransportError::Unreachable { .. }), "{error:?}");
}

async fn status(status: StatusCode, reason: Option<&'static str>) -> TransportError {
    let pair = Pair::new();
    let raw = RawServer::new(&pair, "T/GOV/2/raw");
    let addr = raw.answer_http2(status, reason).await;
    let tunnels = pair.tunnels(Carrier::H2);
    let server = entry(&raw.server.id, vec![addr.to_string()], &raw.server.certificate);
    let mut stream = tunnels.open(&server, soon()).await.unwrap();
    // Sending may or may not notice first; the receiving half knows in any case.
    let sent = stream.send(chunk("question")).await;
    match stream.recv().await {
        Err(error) => error,
        Ok(_) => panic!("{sent:?}"),
    }
}

async fn greet(alpn: &[u8], greeting: &'static [u8]) -> TransportError {
    let pair = Pair::new();
    let raw = RawServer::new(&pair, "T/GOV/2/raw");
    let (endpoint, addr) = quic_server(&raw, alpn);
    tokio::spawn(async move {
        let connection = endpoint.accept().await.unwrap().await?;
        let mut stream = connection.open_uni().await?;
        stream.write_all(greeting).await.unwrap();
        stream.finish().unwrap();
        Err::<(), _>(connection.closed().await)
    });
    dial(&pair, &raw, addr, Carrier::Quic).await
}

fn quic_server(raw: &RawServer, alpn: &[u8]) -> (quinn::Endpoint, SocketAddr) {
    let config = QuicServerConfig::try_from(raw.server_config(alpn)).unwrap();
    let config = quinn::ServerConfig::with_crypto(Arc::new(config));
    let endpoint = quinn::Endpoint::server(config, "127.0.0.1:0".parse().unwrap()).unwrap();
    let addr = endpoint.local_addr().unwrap();
    (endpoint, addr)
}

async fn dial(pair: &Pair, raw: &RawServer, addr: SocketAddr, carrier: Carrier) -> TransportError {
    let server = entry(&raw.server.id, vec![addr.to_string()], &raw.server.certificate);
    pair.tunnels(carrier).open(&server, soon()).await.err().expect("it was accepted")
}

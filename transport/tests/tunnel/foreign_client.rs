//! The listener against clients that we did not write: one that follows the wire format, and those that break it.

use std::time::Duration;

use http::StatusCode;
use kogge_transport::{Carrier, ListenerLimits, PeerStream, ProtocolError, TransportError};

use crate::raw::{RawServer, RawStream, post};
use crate::world::{MINUTE, Pair, bytes_of, chunk, eventually};

on_both_carriers!(
    one_that_follows_the_wire_format_is_served,
    a_frame_over_the_limit,
    an_end_inside_a_frame,
    a_frame_that_is_none,
    a_client_that_stalls_is_given_up,
);

async fn one_that_follows_the_wire_format_is_served(carrier: Carrier) {
    let (mut raw, mut ours, _pair) = exchange(carrier, ListenerLimits::default()).await;
    raw.write(&[0, 0, 0, 5, 0x12, 3, 7, 8, 9]).await;
    raw.finish().await;
    assert_eq!(bytes_of(ours.recv().await.unwrap().unwrap()), [7, 8, 9]);
    assert_eq!(ours.recv().await.unwrap(), None);
    ours.send(chunk([1, 2])).await.unwrap();
    ours.finish().await.unwrap();
    assert_eq!(raw.read_to_end().await, [0, 0, 0, 4, 0x12, 2, 1, 2]);
}

async fn a_frame_over_the_limit(carrier: Carrier) {
    let (mut raw, mut ours, _pair) = exchange(carrier, ListenerLimits::default()).await;
    raw.write(&[0, 4, 0, 1]).await;
    let error = ours.recv().await.unwrap_err();
    assert!(matches!(error, TransportError::Protocol(ProtocolError::FrameTooLarge(262_145))), "{error:?}");
}

async fn an_end_inside_a_frame(carrier: Carrier) {
    let (mut raw, mut ours, _pair) = exchange(carrier, ListenerLimits::default()).await;
    raw.write(&[0, 0, 0, 5, 0x12, 3, 7, 8]).await;
    raw.finish().await;
    let error = ours.recv().await.unwrap_err();
    assert!(matches!(error, TransportError::Protocol(ProtocolError::Truncated)), "{error:?}");
}

async fn a_frame_that_is_none(carrier: Carrier) {
    let (mut raw, mut ours, _pair) = exchange(carrier, ListenerLimits::default()).await;
    raw.write(&[0, 0, 0, 1, 0xFF]).await;
    let error = ours.recv().await.unwrap_err();
    assert!(matches!(error, TransportError::Protocol(ProtocolError::Malformed)), "{error:?}");
}

async fn a_client_that_stalls_is_given_up(carrier: Carrier) {
    let limits = ListenerLimits { frame_time_max: Duration::from_millis(50), ..ListenerLimits::default() };
    let (mut raw, mut ours, _pair) = exchange(carrier, limits).await;
    raw.write(&[0, 0, 0, 5, 0x12]).await;
    let error = ours.recv().await.unwrap_err();
    assert!(matches!(error, TransportError::Timeout { sent: true }), "{error:?}");
    // Nor does it read: once its window is full, sending comes to an end as well.
    let error = loop {
        if let Err(error) = ours.send(chunk(vec![0; 200_000])).await {
            break error;
        }
    };
    assert!(matches!(error, TransportError::Timeout { sent: true }), "{error:?}");
}

#[tokio::test]
async fn only_a_post_to_the_one_path_is_an_exchange() {
    let pair = Pair::new();
    let raw = RawServer::new(&pair, "T/GOV/1/raw");
    let listener = pair.listen();
    let mut requests = raw.http2(listener.local_addr()).await;
    let (response, _) = requests.send_request(post("/"), true).unwrap();
    assert_eq!(response.await.unwrap().status(), StatusCode::NOT_FOUND);
    let mut get = post("/exchange");
    *get.method_mut() = http::Method::GET;
    let (response, _) = requests.send_request(get, true).unwrap();
    assert_eq!(response.await.unwrap().status(), StatusCode::METHOD_NOT_ALLOWED);
    assert!(
        tokio::time::timeout(Duration::from_millis(20), listener.accept()).await.is_err(),
        "no exchange has arrived"
    );
}

#[tokio::test]
async fn a_handshake_that_takes_too_long_is_cut_off() {
    let pair = Pair::new();
    let listener = pair.listen_with(ListenerLimits {
        handshake_time_max: Duration::from_millis(50),
        connections_max: 1,
        ..ListenerLimits::default()
    });
    let mut idle = tokio::net::TcpStream::connect(listener.local_addr()).await.unwrap();
    let mut byte = [0];
    let end =
        tokio::time::timeout(MINUTE, tokio::io::AsyncReadExt::read(&mut idle, &mut byte)).await.unwrap();
    assert!(matches!(end, Ok(0) | Err(_)), "closed without a word");
    // Its place is free again.
    let tunnels = pair.tunnels(Carrier::H2);
    let server = pair.at(listener.local_addr());
    crate::world::echo(&listener);
    let mut asked = crate::world::ask(&tunnels, &server).await;
    while asked.is_err() {
        asked = crate::world::ask(&tunnels, &server).await;
    }
    eventually(|| listener.refused_peers().is_empty()).await;
}

/// An exchange that a foreign client has begun with our listener.
async fn exchange(carrier: Carrier, limits: ListenerLimits) -> (RawStream, PeerStream, (Pair, RawServer)) {
    let pair = Pair::new();
    let raw = RawServer::new(&pair, "T/GOV/1/raw");
    let listener = pair.listen_with(limits);
    let mut stream = raw.open(carrier, listener.local_addr()).await;
    // QUIC announces a stream with its first bytes.
    stream.write(&[0, 0, 0, 2, 0x12, 0]).await;
    let mut ours = listener.accept().await.unwrap();
    assert_eq!(bytes_of(ours.recv().await.unwrap().unwrap()), b"");
    // The listener must outlive the exchange.
    tokio::spawn(async move { listener.accept().await.map(|_| ()) });
    (stream, ours, (pair, raw))
}

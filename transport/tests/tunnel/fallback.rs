//! Which carrier is taken when both may be.

use std::net::SocketAddr;
use std::time::Duration;

use kogge_transport::{Carrier, TransportMode, TunnelLimits};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::time::Instant;

use crate::world::{Pair, ask, echo, eventually, soon};

#[tokio::test]
async fn quic_is_preferred() {
    let pair = Pair::new();
    let listener = pair.listen();
    echo(&listener);
    let tunnels = pair.tunnels_with(TransportMode::Auto, TunnelLimits::default());
    for _ in 0..3 {
        let stream = ask(&tunnels, &pair.at(listener.local_addr())).await.unwrap();
        assert_eq!(stream.carrier(), Carrier::Quic);
    }
}

/// A firewall that drops UDP without a word.
#[tokio::test]
async fn http2_serves_within_two_seconds_where_udp_does_not_pass() {
    let pair = Pair::new();
    let listener = pair.listen();
    echo(&listener);
    let firewall = Firewall::before(listener.local_addr()).await;
    let tunnels = pair.tunnels_with(TransportMode::Auto, TunnelLimits::default());
    let server = pair.at(firewall.addr);

    let start = Instant::now();
    let stream = ask(&tunnels, &server).await.unwrap();
    assert_eq!(stream.carrier(), Carrier::H2);
    assert!(start.elapsed() < Duration::from_secs(2), "{:?}", start.elapsed());
    assert!(firewall.swallowed().await > 0, "QUIC was tried");

    // It is remembered: not even the head start is lost on the next connection.
    tunnels.close_peers(|_| false);
    let start = Instant::now();
    let stream = ask(&tunnels, &server).await.unwrap();
    assert_eq!(stream.carrier(), Carrier::H2);
    assert!(start.elapsed() < TunnelLimits::default().quic_head_start, "{:?}", start.elapsed());
}

#[tokio::test]
async fn a_udp_port_that_nobody_has_falls_back_too() {
    let pair = Pair::new();
    let listener = pair.listen();
    echo(&listener);
    let Firewall { addr, udp } = Firewall::before(listener.local_addr()).await;
    drop(udp);
    let tunnels = pair.tunnels_with(TransportMode::Auto, TunnelLimits::default());
    let stream = ask(&tunnels, &pair.at(addr)).await.unwrap();
    assert_eq!(stream.carrier(), Carrier::H2);
}

#[tokio::test]
async fn quic_only_means_quic_only() {
    let pair = Pair::new();
    let listener = pair.listen();
    echo(&listener);
    let firewall = Firewall::before(listener.local_addr()).await;
    let limits = TunnelLimits { dial_time_max: Duration::from_millis(100), ..TunnelLimits::default() };
    let tunnels = pair.tunnels_with(TransportMode::Quic, limits);
    assert!(tunnels.open(&pair.at(firewall.addr), soon()).await.is_err());
}

/// Once the memory of the failure is over, QUIC is tried beside the HTTP/2 connection that serves meanwhile.
#[tokio::test]
async fn quic_is_taken_up_again_when_udp_passes() {
    let pair = Pair::new();
    let listener = pair.listen();
    echo(&listener);
    let firewall = Firewall::before(listener.local_addr()).await;
    let limits = TunnelLimits {
        quic_head_start: Duration::from_millis(20),
        quic_failure_memory: Duration::ZERO,
        dial_time_max: Duration::from_millis(500),
        ..TunnelLimits::default()
    };
    let tunnels = pair.tunnels_with(TransportMode::Auto, limits);
    let server = pair.at(firewall.addr);
    assert_eq!(ask(&tunnels, &server).await.unwrap().carrier(), Carrier::H2);
    firewall.let_udp_pass(listener.local_addr());
    let end = soon();
    while ask(&tunnels, &server).await.unwrap().carrier() != Carrier::Quic {
        assert!(Instant::now() < end, "QUIC was not taken up");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn a_refusal_is_no_reason_to_try_the_other_carrier() {
    let pair = Pair::new();
    pair.provider_trust.set(None);
    let listener = pair.listen();
    let tunnels = pair.tunnels_with(TransportMode::Auto, TunnelLimits::default());
    assert!(tunnels.open(&pair.at(listener.local_addr()), soon()).await.is_err());
    eventually(|| !listener.refused_peers().is_empty()).await;
    assert!(listener.refused_peers().iter().all(|refused| refused.carrier == Carrier::Quic));
}

/// Forwards TCP and swallows UDP on the port of the same number.
struct Firewall {
    addr: SocketAddr,
    udp: UdpSocket,
}

impl Firewall {
    async fn before(inside: SocketAddr) -> Self {
        let (tcp, udp) = loop {
            let tcp = TcpListener::bind("127.0.0.1:0").await.unwrap();
            if let Ok(udp) = UdpSocket::bind(tcp.local_addr().unwrap()).await {
                break (tcp, udp);
            }
        };
        let addr = tcp.local_addr().unwrap();
        tokio::spawn(async move {
            loop {
                let (mut outside, _) = tcp.accept().await.unwrap();
                tokio::spawn(async move {
                    let mut inside = TcpStream::connect(inside).await?;
                    tokio::io::copy_bidirectional(&mut outside, &mut inside).await
                });
            }
        });
        Self { addr, udp }
    }

    /// How many datagrams have come, at least one.
    async fn swallowed(&self) -> usize {
        let mut datagram = [0; 2048];
        self.udp.recv_from(&mut datagram).await.unwrap();
        let mut count = 1;
        while self.udp.try_recv_from(&mut datagram).is_ok() {
            count += 1;
        }
        count
    }

    /// From now on forwards datagrams of one client at a time.
    fn let_udp_pass(self, inside: SocketAddr) {
        tokio::spawn(async move {
            let within = UdpSocket::bind("127.0.0.1:0").await.unwrap();
            let (mut out, mut back) = ([0; 2048], [0; 2048]);
            let mut client = None;
            loop {
                tokio::select! {
                    Ok((length, from)) = self.udp.recv_from(&mut out) => {
                        client = Some(from);
                        within.send_to(&out[..length], inside).await.unwrap();
                    }
                    Ok((length, _)) = within.recv_from(&mut back) => {
                        if let Some(client) = client {
                            self.udp.send_to(&back[..length], client).await.unwrap();
                        }
                    }
                }
            }
        });
    }
}

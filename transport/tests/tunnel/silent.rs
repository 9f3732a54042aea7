//! Peers that fall silent in the middle of an exchange, as behind a broken line: nothing arrives any more, and nobody says why.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use kogge_transport::{Carrier, ListenerLimits, TransportError};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::time::timeout;

use crate::world::{HOUR, MINUTE, Pair, any_port, ask, chunk, echo, soon};

on_both_carriers!(
    a_line_that_works_carries_exchanges,
    a_silent_provider_is_noticed_long_before_the_deadline,
    a_silent_consumer_is_noticed_while_it_is_waited_for,
    a_silent_consumer_does_not_keep_a_listener_from_shutting_down,
);

/// So it is the cut, not the line, that the other tests see.
async fn a_line_that_works_carries_exchanges(carrier: Carrier) {
    let pair = Pair::new();
    let listener = pair.listen();
    let line = Line::to(listener.local_addr(), carrier).await;
    let tunnels = pair.tunnels(carrier);
    echo(&listener);
    for _ in 0..3 {
        ask(&tunnels, &pair.at(line.addr)).await.unwrap();
    }
}

async fn a_silent_provider_is_noticed_long_before_the_deadline(carrier: Carrier) {
    let pair = Pair::new();
    let listener = pair.listen();
    let line = Line::to(listener.local_addr(), carrier).await;
    let tunnels = pair.tunnels(carrier);
    let mut ours = tunnels.open(&pair.at(line.addr), soon() + HOUR).await.unwrap();
    ours.send(chunk("question")).await.unwrap();
    let theirs = listener.accept().await.unwrap();
    line.cut();
    // Keep-alives find out; were there none, the wait would last an hour.
    let error = timeout(MINUTE, ours.recv()).await.expect("silence must mean loss").unwrap_err();
    assert!(matches!(error, TransportError::BrokenAfterSend { .. }), "{error:?}");
    assert!(!error.may_fail_over(), "the provider may have acted");
    drop(theirs);
}

async fn a_silent_consumer_is_noticed_while_it_is_waited_for(carrier: Carrier) {
    let pair = Pair::new();
    let listener = pair.listen_with(short_patience());
    let line = Line::to(listener.local_addr(), carrier).await;
    let tunnels = pair.tunnels(carrier);
    let mut ours = tunnels.open(&pair.at(line.addr), soon()).await.unwrap();
    ours.send(chunk("question")).await.unwrap();
    let mut theirs = listener.accept().await.unwrap();
    line.cut();
    timeout(MINUTE, theirs.abandoned()).await.expect("silence must mean loss");
    let error = loop {
        match theirs.recv().await {
            Ok(frame) => assert!(frame.is_some(), "an end that the peer has not sent"),
            Err(error) => break error,
        }
    };
    assert!(matches!(error, TransportError::BrokenAfterSend { .. }), "{error:?}");
}

async fn a_silent_consumer_does_not_keep_a_listener_from_shutting_down(carrier: Carrier) {
    let pair = Pair::new();
    let listener = pair.listen_with(short_patience());
    let line = Line::to(listener.local_addr(), carrier).await;
    let tunnels = pair.tunnels(carrier);
    let mut ours = tunnels.open(&pair.at(line.addr), soon()).await.unwrap();
    ours.send(chunk("question")).await.unwrap();
    ours.finish().await.unwrap();
    let mut theirs = listener.accept().await.unwrap();
    theirs.recv().await.unwrap();
    line.cut();
    // An answer that nobody will acknowledge.
    theirs.send(chunk("answer")).await.unwrap();
    theirs.finish().await.unwrap();
    drop(theirs);
    timeout(MINUTE, listener.shutdown(HOUR)).await.expect("the answer must count as lost");
}

/// Keep-alives come every few seconds; whoever waits less takes any pause for silence.
fn short_patience() -> ListenerLimits {
    ListenerLimits { idle_time_max: Duration::from_millis(300), ..ListenerLimits::default() }
}

/// A line to a listener that can be cut. Then it takes what it is given and passes nothing on.
struct Line {
    addr: SocketAddr,
    cut: Arc<AtomicBool>,
}

impl Line {
    async fn to(listener: SocketAddr, carrier: Carrier) -> Self {
        let cut = Arc::<AtomicBool>::default();
        let addr = match carrier {
            Carrier::Quic => pass_packets(listener, Arc::clone(&cut)).await,
            Carrier::H2 => pass_bytes(listener, Arc::clone(&cut)).await,
        };
        Self { addr, cut }
    }

    fn cut(&self) {
        self.cut.store(true, Ordering::SeqCst);
    }
}

/// For one consumer.
async fn pass_packets(listener: SocketAddr, cut: Arc<AtomicBool>) -> SocketAddr {
    let front = UdpSocket::bind(any_port()).await.unwrap();
    let back = UdpSocket::bind(any_port()).await.unwrap();
    let addr = front.local_addr().unwrap();
    tokio::spawn(async move {
        let (mut there, mut back_again) = (vec![0; 65_536], vec![0; 65_536]);
        let mut consumer = None;
        loop {
            let (packet, socket, to) = tokio::select! {
                Ok((length, from)) = front.recv_from(&mut there) => {
                    consumer = Some(from);
                    (&there[..length], &back, Some(listener))
                }
                Ok((length, _)) = back.recv_from(&mut back_again) => (&back_again[..length], &front, consumer),
                else => return,
            };
            if let (false, Some(to)) = (cut.load(Ordering::SeqCst), to) {
                socket.send_to(packet, to).await.unwrap();
            }
        }
    });
    addr
}

async fn pass_bytes(listener: SocketAddr, cut: Arc<AtomicBool>) -> SocketAddr {
    let front = TcpListener::bind(any_port()).await.unwrap();
    let addr = front.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((consumer, _)) = front.accept().await {
            let provider = TcpStream::connect(listener).await.unwrap();
            let (from_consumer, to_consumer) = consumer.into_split();
            let (from_provider, to_provider) = provider.into_split();
            tokio::spawn(pass(from_consumer, to_provider, Arc::clone(&cut)));
            tokio::spawn(pass(from_provider, to_consumer, Arc::clone(&cut)));
        }
    });
    addr
}

async fn pass(mut from: impl AsyncReadExt + Unpin, mut to: impl AsyncWriteExt + Unpin, cut: Arc<AtomicBool>) {
    let mut bytes = vec![0; 65_536];
    loop {
        // The end of a connection is not passed on after the cut, either.
        let length = from.read(&mut bytes).await.unwrap_or(0);
        if cut.load(Ordering::SeqCst) {
            std::future::pending::<()>().await;
        }
        if length == 0 || to.write_all(&bytes[..length]).await.is_err() {
            return;
        }
    }
}

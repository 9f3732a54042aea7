//! Peers that are slow, full, going away or gone.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use kogge_transport::{Carrier, Identity, Listener, ListenerLimits, PeerTrust, TransportError, TunnelLimits};
use tokio::time::{Instant, sleep};

use crate::world::{MINUTE, Pair, any_port, ask, ask_on, bytes_of, chunk, echo, only, soon};

on_both_carriers!(
    no_answer_before_the_deadline,
    no_connection_before_the_deadline,
    nobody_listens,
    a_listener_that_ends_in_the_middle,
    a_listener_that_is_killed_and_comes_back,
    a_killed_listener_is_noticed_before_an_exchange_is_entrusted_to_it,
    a_full_listener_turns_exchanges_away,
    a_listener_with_enough_connections,
    a_connection_with_enough_streams,
    a_listener_shuts_down_in_order,
    a_listener_does_not_wait_for_ever,
    tunnels_shut_down_in_order,
);

async fn no_answer_before_the_deadline(carrier: Carrier) {
    let pair = Pair::new();
    let listener = pair.listen();
    let tunnels = pair.tunnels(carrier);
    let mut ours = tunnels.open(&pair.at(listener.local_addr()), soon()).await.unwrap();
    ours.send(chunk("question")).await.unwrap();
    let mut theirs = listener.accept().await.unwrap();
    theirs.recv().await.unwrap();
    ours.set_deadline(Instant::now() + Duration::from_millis(50));
    let error = ours.recv().await.unwrap_err();
    assert!(matches!(error, TransportError::Timeout { sent: true }), "{error:?}");
    assert!(!error.may_fail_over());
    // Nor does it take what we send.
    let error = loop {
        if let Err(error) = ours.send(chunk(vec![0; 200_000])).await {
            break error;
        }
    };
    assert!(matches!(error, TransportError::Timeout { sent: true }), "{error:?}");
}

async fn no_connection_before_the_deadline(carrier: Carrier) {
    let pair = Pair::new();
    let (tcp, udp, addr) = silence();
    let error = pair
        .tunnels(carrier)
        .open(&pair.at(addr), Instant::now() + Duration::from_millis(50))
        .await
        .err()
        .unwrap();
    assert!(matches!(error, TransportError::Timeout { sent: false }), "{error:?}");
    assert!(error.may_fail_over());
    let limits = TunnelLimits { dial_time_max: Duration::from_millis(50), ..TunnelLimits::default() };
    let error = pair.tunnels_with(only(carrier), limits).open(&pair.at(addr), soon()).await.err().unwrap();
    assert!(
        matches!(&error, TransportError::Unreachable { reason, .. } if reason.contains("no answer")),
        "{error:?}"
    );
    drop((tcp, udp));
}

async fn nobody_listens(carrier: Carrier) {
    let pair = Pair::new();
    let (tcp, udp, addr) = silence();
    drop((tcp, udp));
    let limits = TunnelLimits { dial_time_max: Duration::from_millis(300), ..TunnelLimits::default() };
    let error = pair.tunnels_with(only(carrier), limits).open(&pair.at(addr), soon()).await.err().unwrap();
    let TransportError::Unreachable { server, reason } = error else { panic!("{error:?}") };
    assert_eq!(server, pair.provider.id);
    assert!(reason.contains(&addr.to_string()), "{reason}");
}

async fn a_listener_that_ends_in_the_middle(carrier: Carrier) {
    let pair = Pair::new();
    let listener = pair.listen();
    let addr = listener.local_addr();
    let tunnels = pair.tunnels(carrier);
    let mut ours = tunnels.open(&pair.at(addr), soon()).await.unwrap();
    ours.send(chunk("question")).await.unwrap();
    let theirs = listener.accept().await.unwrap();
    drop(listener);
    let error = ours.recv().await.unwrap_err();
    assert!(matches!(error, TransportError::BrokenAfterSend { .. }), "{error:?}");
    drop(theirs);

    let again = listen_again(&pair, addr, None).await;
    echo(&again);
    ask(&tunnels, &pair.at(addr)).await.unwrap();
}

/// A reset key makes the peers of a killed process learn of it from its successor.
async fn a_listener_that_is_killed_and_comes_back(carrier: Carrier) {
    let pair = Pair::new();
    let key = [7; 32];
    let (process, listener) = in_a_process_of_its_own(&pair, Some(key));
    let addr = listener.local_addr();
    let tunnels = pair.tunnels(carrier);
    ask(&tunnels, &pair.at(addr)).await.unwrap();

    kill(process, listener);
    let again = listen_again(&pair, addr, Some(&key)).await;
    echo(&again);
    // The connection was alive a moment ago, so an exchange is entrusted to it. If something was sent by the time it breaks, nobody
    // can know that the killed process did not act on it.
    let start = Instant::now();
    if let Err(error) = ask(&tunnels, &pair.at(addr)).await {
        assert!(
            matches!(error, TransportError::BrokenAfterSend { .. } | TransportError::Unreachable { .. }),
            "{error:?}"
        );
        assert!(start.elapsed() < Duration::from_secs(5), "not only after a long silence");
    }
    ask(&tunnels, &pair.at(addr)).await.unwrap();
}

async fn a_killed_listener_is_noticed_before_an_exchange_is_entrusted_to_it(carrier: Carrier) {
    for key in [None, Some([7; 32])] {
        let pair = Pair::new();
        let (process, listener) = in_a_process_of_its_own(&pair, key);
        let addr = listener.local_addr();
        let tunnels = pair.tunnels(carrier);
        ask(&tunnels, &pair.at(addr)).await.unwrap();
        kill(process, listener);
        let again = listen_again(&pair, addr, key.as_ref()).await;
        echo(&again);
        // Long enough for a connection to count as silent.
        sleep(Duration::from_millis(1100)).await;
        ask(&tunnels, &pair.at(addr)).await.unwrap();
    }
}

async fn a_full_listener_turns_exchanges_away(carrier: Carrier) {
    let pair = Pair::new();
    let listener = pair.listen_with(ListenerLimits { streams_max: 1, ..ListenerLimits::default() });
    let tunnels = pair.tunnels(carrier);
    let server = pair.at(listener.local_addr());
    let mut first = tunnels.open(&server, soon()).await.unwrap();
    first.send(chunk("question")).await.unwrap();
    let theirs = listener.accept().await.unwrap();
    let error = ask(&tunnels, &server).await.err().unwrap();
    assert!(matches!(error, TransportError::Unreachable { .. }), "{error:?}");
    assert!(error.may_fail_over());
    drop((first, theirs));
    echo(&listener);
    // The end of the first must reach the listener; until then it is still full.
    while let Err(error) = ask(&tunnels, &server).await {
        assert!(matches!(error, TransportError::Unreachable { .. }), "{error:?}");
    }
}

async fn a_listener_with_enough_connections(carrier: Carrier) {
    for limits in [
        ListenerLimits { connections_max: 1, ..ListenerLimits::default() },
        ListenerLimits { connections_per_address_max: 1, ..ListenerLimits::default() },
    ] {
        let pair = Pair::new();
        let listener = pair.listen_with(limits);
        echo(&listener);
        let server = pair.at(listener.local_addr());
        let (first, second) = (pair.tunnels(carrier), pair.tunnels(carrier));
        ask(&first, &server).await.unwrap();
        let error = ask(&second, &server).await.err().unwrap();
        assert!(matches!(error, TransportError::Unreachable { .. }), "{error:?}");
        ask(&first, &server).await.unwrap();
        first.shutdown(MINUTE).await;
        while let Err(error) = ask(&second, &server).await {
            assert!(matches!(error, TransportError::Unreachable { .. }), "{error:?}");
        }
    }
}

async fn a_connection_with_enough_streams(carrier: Carrier) {
    let pair = Pair::new();
    let listener =
        pair.listen_with(ListenerLimits { streams_per_connection_max: 1, ..ListenerLimits::default() });
    let limits = TunnelLimits { connections_per_address_max: 1, ..TunnelLimits::default() };
    let tunnels = pair.tunnels_with(only(carrier), limits);
    let server = pair.at(listener.local_addr());
    let mut first = tunnels.open(&server, soon()).await.unwrap();
    first.send(chunk("question")).await.unwrap();
    let theirs = listener.accept().await.unwrap();
    // The second waits for the first; where the waiting happens differs, but nothing is sent.
    let deadline = Instant::now() + Duration::from_millis(100);
    let second = async {
        let mut stream = tunnels.open(&server, deadline).await?;
        stream.send(chunk("question")).await
    };
    let error = second.await.unwrap_err();
    assert!(matches!(error, TransportError::Timeout { sent: false }), "{error:?}");
    drop((first, theirs));
    echo(&listener);
    ask(&tunnels, &server).await.unwrap();
}

async fn a_listener_shuts_down_in_order(carrier: Carrier) {
    let pair = Pair::new();
    let listener = pair.listen();
    let addr = listener.local_addr();
    let tunnels = pair.tunnels(carrier);
    let mut running = tunnels.open(&pair.at(addr), soon()).await.unwrap();
    running.send(chunk("question")).await.unwrap();
    let mut theirs = listener.accept().await.unwrap();
    theirs.recv().await.unwrap();
    let mut waiting = tunnels.open(&pair.at(addr), soon()).await.unwrap();
    waiting.send(chunk("question")).await.unwrap();
    // An answer on the running exchange shows that what was sent before it has arrived.
    running.send(chunk("more")).await.unwrap();
    theirs.recv().await.unwrap();

    let closing = tokio::spawn({
        let listener = Arc::clone(&listener);
        async move { listener.shutdown(MINUTE).await }
    });
    // Nobody had looked at it: it may go elsewhere.
    let error = waiting.recv().await.unwrap_err();
    assert!(matches!(error, TransportError::Unreachable { .. }), "{error:?}");
    assert!(listener.accept().await.is_none());
    let error = ask(&tunnels, &pair.at(addr)).await.err().unwrap();
    assert!(matches!(error, TransportError::Unreachable { .. }), "{error:?}");
    // The running one ends well.
    for _ in 0..40 {
        theirs.send(chunk(vec![1; 10_000])).await.unwrap();
    }
    theirs.finish().await.unwrap();
    drop(theirs);
    for _ in 0..40 {
        assert_eq!(running.recv().await.unwrap().map(bytes_of).map(|bytes| bytes.len()), Some(10_000));
    }
    assert_eq!(running.recv().await.unwrap(), None);
    closing.await.unwrap();
    drop(listener);
    let again = listen_again(&pair, addr, None).await;
    echo(&again);
    ask(&tunnels, &pair.at(addr)).await.unwrap();
}

async fn a_listener_does_not_wait_for_ever(carrier: Carrier) {
    let pair = Pair::new();
    let listener = pair.listen();
    let tunnels = pair.tunnels(carrier);
    let mut ours = tunnels.open(&pair.at(listener.local_addr()), soon()).await.unwrap();
    ours.send(chunk("question")).await.unwrap();
    let mut theirs = listener.accept().await.unwrap();
    listener.shutdown(Duration::from_millis(10)).await;
    theirs.abandoned().await;
    let error = ours.recv().await.unwrap_err();
    assert!(matches!(error, TransportError::BrokenAfterSend { .. }), "{error:?}");
}

async fn tunnels_shut_down_in_order(carrier: Carrier) {
    let pair = Pair::new();
    let listener = pair.listen();
    echo(&listener);
    let tunnels = Arc::new(pair.tunnels(carrier));
    let server = pair.at(listener.local_addr());
    let mut running = tunnels.open(&server, soon()).await.unwrap();
    running.send(chunk("x")).await.unwrap();
    running.recv().await.unwrap();
    let closing = tokio::spawn({
        let tunnels = Arc::clone(&tunnels);
        async move { tunnels.shutdown(MINUTE).await }
    });
    loop {
        match tunnels.open(&server, soon()).await {
            Ok(_) => sleep(Duration::from_millis(5)).await,
            Err(TransportError::Unreachable { reason, .. }) => {
                assert!(reason.contains("shutting down"), "{reason}");
                break;
            }
            Err(other) => panic!("{other:?}"),
        }
    }
    ask_on(&mut running).await.unwrap();
    drop(running);
    closing.await.unwrap();
}

/// TCP and UDP sockets that take everything and answer nothing.
fn silence() -> (std::net::TcpListener, std::net::UdpSocket, SocketAddr) {
    loop {
        let tcp = std::net::TcpListener::bind(any_port()).unwrap();
        let addr = tcp.local_addr().unwrap();
        if let Ok(udp) = std::net::UdpSocket::bind(addr) {
            return (tcp, udp, addr);
        }
    }
}

/// The port comes free once the former listener's tasks have ended.
async fn listen_again(pair: &Pair, addr: SocketAddr, key: Option<&[u8; 32]>) -> Arc<Listener> {
    let end = soon();
    loop {
        match bind(pair, addr, key) {
            Ok(listener) => return Arc::new(listener),
            Err(error) => assert!(Instant::now() < end, "{error}"),
        }
        sleep(Duration::from_millis(5)).await;
    }
}

fn bind(
    pair: &Pair,
    addr: SocketAddr,
    key: Option<&[u8; 32]>,
) -> Result<Listener, kogge_transport::BindError> {
    let identity: Arc<Identity> = Arc::clone(&pair.provider.identity);
    let trust: Arc<dyn PeerTrust> = Arc::clone(&pair.provider_trust) as _;
    Listener::bind_with_reset_key(addr, identity, trust, ListenerLimits::default(), key)
}

/// A runtime that can be taken away at once, with all sockets and without a goodbye to anybody.
fn in_a_process_of_its_own(pair: &Pair, key: Option<[u8; 32]>) -> (tokio::runtime::Runtime, Arc<Listener>) {
    let process = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let _inside = process.enter();
    let listener = Arc::new(bind(pair, any_port(), key.as_ref()).unwrap());
    let echoing = Arc::clone(&listener);
    process.spawn(async move {
        while let Some(stream) = echoing.accept().await {
            tokio::spawn(crate::world::echo_one(stream));
        }
    });
    drop(_inside);
    (process, listener)
}

/// The tasks end first: what the listener would still say when it is dropped is sent by nobody.
fn kill(process: tokio::runtime::Runtime, listener: Arc<Listener>) {
    process.shutdown_background();
    drop(listener);
}

#[tokio::test]
async fn a_port_in_use_is_named() {
    let pair = Pair::new();
    let (tcp, udp, addr) = silence();
    let error = bind(&pair, addr, None).err().unwrap();
    assert_eq!(
        error.to_string(),
        format!("port {} (TCP) of 127.0.0.1 is in use by another process", addr.port())
    );
    drop(tcp);
    let error = bind(&pair, addr, None).err().unwrap();
    assert_eq!(
        error.to_string(),
        format!("port {} (UDP) of 127.0.0.1 is in use by another process", addr.port())
    );
    drop(udp);
    let error = bind(&pair, "192.0.2.1:0".parse().unwrap(), None).err().unwrap();
    assert!(error.to_string().starts_with("cannot listen on 192.0.2.1:0 (TCP): "), "{error}");
    assert_eq!(bind(&pair, addr, None).unwrap().local_addr(), addr);
}

//! Which connection an exchange gets: few connections, many streams, and another address when one fails.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use kogge_transport::{Carrier, Listener, ListenerLimits, Refusal, TransportError, TunnelLimits};
use tokio::task::JoinSet;

use crate::world::{Pair, any_port, ask, ask_on, echo, entry, eventually, only, soon};

on_both_carriers!(
    many_wait_for_one_dial,
    a_full_connection_is_not_the_only_one,
    the_second_address_serves_when_the_first_does_not,
    the_second_server_serves_when_the_first_is_another_one,
    all_fail_and_the_most_telling_error_stays,
    a_name_with_several_addresses,
    what_was_not_needed_is_found_out_in_the_background,
);

async fn many_wait_for_one_dial(carrier: Carrier) {
    let pair = Pair::new();
    // A second dial would be refused, and with it an exchange.
    let listener = pair.listen_with(ListenerLimits { connections_max: 1, ..ListenerLimits::default() });
    echo(&listener);
    let tunnels = Arc::new(pair.tunnels(carrier));
    let mut exchanges = JoinSet::new();
    for _ in 0..50 {
        let (tunnels, server) = (Arc::clone(&tunnels), pair.at(listener.local_addr()));
        exchanges.spawn(async move { ask(&tunnels, &server).await.map(drop) });
    }
    for result in exchanges.join_all().await {
        result.unwrap();
    }
    assert_eq!(connections(&listener), 1);
}

async fn a_full_connection_is_not_the_only_one(carrier: Carrier) {
    let pair = Pair::new();
    let listener = pair.listen();
    echo(&listener);
    let limits = TunnelLimits {
        connections_per_address_max: 2,
        streams_per_connection_max: 2,
        ..TunnelLimits::default()
    };
    let tunnels = pair.tunnels_with(only(carrier), limits);
    let server = pair.at(listener.local_addr());
    let mut streams = Vec::new();
    for expected in [1, 1, 2, 2, 2, 2] {
        streams.push(tunnels.open(&server, soon()).await.unwrap());
        eventually(|| connections(&listener) == expected).await;
    }
    for stream in &mut streams {
        ask_on(stream).await.unwrap();
    }
    drop(streams);
    ask(&tunnels, &server).await.unwrap();
    assert_eq!(connections(&listener), 2);
}

async fn the_second_address_serves_when_the_first_does_not(carrier: Carrier) {
    let pair = Pair::new();
    let listener = pair.listen();
    echo(&listener);
    let limits = TunnelLimits { dial_time_max: Duration::from_millis(200), ..TunnelLimits::default() };
    let tunnels = pair.tunnels_with(only(carrier), limits);
    let mut server = pair.at(listener.local_addr());
    // TEST-NET-1 (RFC 5737): nobody is there. The name cannot exist (RFC 6761).
    server.addresses =
        vec!["nobody.invalid:1".into(), "127.0.0.1:1".into(), listener.local_addr().to_string()];
    ask(&tunnels, &server).await.unwrap();
}

async fn the_second_server_serves_when_the_first_is_another_one(carrier: Carrier) {
    let pair = Pair::new();
    let twin = pair.world.ca.equip("T/GOV/2/twin");
    pair.world.register(&twin);
    pair.consumer_trust.set(Some(pair.world.snapshot()));
    let listener = twin.listen(&pair.provider_trust, any_port(), ListenerLimits::default());
    echo(&listener);
    let tunnels = pair.tunnels(carrier);
    let wrong = pair.at(listener.local_addr());
    let right = entry(&twin.id, vec![listener.local_addr().to_string()], &twin.certificate);
    let mut stream = tunnels.open_any(&[&wrong, &right], soon()).await.unwrap();
    assert_eq!(stream.peer().server(), &twin.id);
    ask_on(&mut stream).await.unwrap();
}

async fn all_fail_and_the_most_telling_error_stays(carrier: Carrier) {
    let pair = Pair::new();
    pair.provider.identity.replace_ocsp(Vec::new());
    let listener = pair.listen();
    let limits = TunnelLimits { dial_time_max: Duration::from_millis(200), ..TunnelLimits::default() };
    let tunnels = pair.tunnels_with(only(carrier), limits);
    let mut server = pair.at(listener.local_addr());
    server.addresses = vec!["127.0.0.1:1".into(), listener.local_addr().to_string(), "127.0.0.1:2".into()];
    let error = tunnels.open(&server, soon()).await.err().unwrap();
    assert!(matches!(error, TransportError::Refused(Refusal::OcspMissing)), "{error:?}");
    let error = tunnels.open_any(&[], soon()).await.err().unwrap();
    assert!(matches!(error, TransportError::NoServer), "{error:?}");
    assert!(!error.may_fail_over());
}

async fn a_name_with_several_addresses(carrier: Carrier) {
    let pair = Pair::new();
    let listener = pair.listen();
    echo(&listener);
    let mut server = pair.at(listener.local_addr());
    // Where it stands for an IPv6 address as well, nobody listens there.
    server.addresses = vec![format!("localhost:{}", listener.local_addr().port())];
    ask(&pair.tunnels(carrier), &server).await.unwrap();
}

async fn what_was_not_needed_is_found_out_in_the_background(carrier: Carrier) {
    let pair = Pair::new();
    let (first, second) = (pair.listen(), pair.listen());
    echo(&first);
    echo(&second);
    let tunnels = pair.tunnels(carrier);
    let mut server = pair.at(first.local_addr());
    server.addresses.push(second.local_addr().to_string());
    ask(&tunnels, &server).await.unwrap();
    eventually(|| connections(&second) == 1).await;
    first.shutdown(Duration::ZERO).await;
    while let Err(error) = ask(&tunnels, &server).await {
        assert!(error.may_fail_over(), "{error:?}");
    }
    assert_eq!(connections(&second), 1);
}

fn connections(listener: &Listener) -> usize {
    let count = AtomicUsize::new(0);
    listener.close_peers(|_| {
        count.fetch_add(1, Ordering::Relaxed);
        true
    });
    count.into_inner()
}

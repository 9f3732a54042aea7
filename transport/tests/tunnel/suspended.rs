//! Peers that were accepted once and are not any more. Nothing of an earlier connection may help them.

use kogge_transport::{Carrier, Refusal, TransportError};

use crate::world::{HOUR, Pair, START, ask, chunk, echo, entry, eventually, soon};

on_both_carriers!(
    suspended_between_two_connections,
    suspended_while_connected,
    a_recheck_closes_connections_on_the_listening_side,
    a_recheck_closes_connections_on_the_dialling_side,
    a_recheck_leaves_the_others_alone,
    close_peers_closes_whom_it_is_told_to,
    expired_while_connected,
    a_snapshot_that_expires_ends_everything,
    a_provider_that_is_suspended_while_connected_gets_nothing_more,
);

/// A resumed session would never ask the verifier: the same client configuration and process dial again.
async fn suspended_between_two_connections(carrier: Carrier) {
    let pair = Pair::new();
    let listener = pair.listen();
    echo(&listener);
    let tunnels = pair.tunnels(carrier);
    let server = pair.at(listener.local_addr());
    ask(&tunnels, &server).await.unwrap();
    tunnels.close_peers(|_| false);

    pair.world.change(|draft| draft.members[0].suspended = true);
    pair.provider_trust.set(Some(pair.world.snapshot()));
    let error = ask(&tunnels, &server).await.err().unwrap();
    assert!(matches!(error, TransportError::Refused(Refusal::ByPeer(_))), "{error:?}");
    eventually(|| !listener.refused_peers().is_empty()).await;
    let refused = listener.refused_peers();
    assert!(matches!(refused[0].refusal, Refusal::OwnerSuspended(_)), "{refused:?}");
}

/// Without any recheck: each stream is settled by the snapshot of its moment.
async fn suspended_while_connected(carrier: Carrier) {
    let pair = Pair::new();
    let listener = pair.listen();
    echo(&listener);
    let tunnels = pair.tunnels(carrier);
    let server = pair.at(listener.local_addr());
    ask(&tunnels, &server).await.unwrap();

    pair.world.change(|draft| draft.security_servers[0].suspended = true);
    pair.provider_trust.set(Some(pair.world.snapshot()));
    let error = ask(&tunnels, &server).await.err().unwrap();
    assert!(matches!(error, TransportError::Refused(Refusal::ByPeer(_))), "{error:?}");
    assert!(error.may_fail_over(), "nothing was processed");
}

async fn a_recheck_closes_connections_on_the_listening_side(carrier: Carrier) {
    let pair = Pair::new();
    let listener = pair.listen();
    let tunnels = pair.tunnels(carrier);
    let mut ours = tunnels.open(&pair.at(listener.local_addr()), soon()).await.unwrap();
    ours.send(chunk("question")).await.unwrap();
    let mut theirs = listener.accept().await.unwrap();

    pair.world.change(|draft| draft.members[0].suspended = true);
    let snapshot = pair.world.snapshot();
    pair.provider_trust.set(Some(snapshot.clone()));
    listener.recheck(&snapshot);
    theirs.abandoned().await;
    let error = ours.recv().await.unwrap_err();
    assert!(matches!(error, TransportError::BrokenAfterSend { .. }), "{error:?}");
}

async fn a_recheck_closes_connections_on_the_dialling_side(carrier: Carrier) {
    let pair = Pair::new();
    let listener = pair.listen();
    let tunnels = pair.tunnels(carrier);
    let server = pair.at(listener.local_addr());
    let mut ours = tunnels.open(&server, soon()).await.unwrap();
    ours.send(chunk("question")).await.unwrap();
    let mut theirs = listener.accept().await.unwrap();

    pair.world.change(|draft| draft.security_servers[1].auth_certificates.clear());
    let snapshot = pair.world.snapshot();
    pair.consumer_trust.set(Some(snapshot.clone()));
    tunnels.recheck(&snapshot);
    theirs.abandoned().await;
    let error = ours.recv().await.unwrap_err();
    assert!(matches!(error, TransportError::BrokenAfterSend { .. }), "{error:?}");
    let error = tunnels.open(&server, soon()).await.err().unwrap();
    assert!(matches!(error, TransportError::Refused(Refusal::Unregistered { .. })), "{error:?}");
}

async fn a_recheck_leaves_the_others_alone(carrier: Carrier) {
    let pair = Pair::new();
    let listener = pair.listen();
    let tunnels = pair.tunnels(carrier);
    let mut ours = tunnels.open(&pair.at(listener.local_addr()), soon()).await.unwrap();
    ours.send(chunk("question")).await.unwrap();
    let theirs = listener.accept().await.unwrap();

    let other = pair.world.ca.equip("T/GOV/1/other");
    pair.world.register(&other);
    pair.world.change(|draft| draft.security_servers[2].suspended = true);
    let snapshot = pair.world.snapshot();
    listener.recheck(&snapshot);
    tunnels.recheck(&snapshot);
    let echoing = tokio::spawn(crate::world::echo_one(theirs));
    ours.finish().await.unwrap();
    assert!(ours.recv().await.unwrap().is_some());
    assert_eq!(ours.recv().await.unwrap(), None);
    echoing.await.unwrap().unwrap();
}

async fn close_peers_closes_whom_it_is_told_to(carrier: Carrier) {
    let pair = Pair::new();
    let listener = pair.listen();
    let tunnels = pair.tunnels(carrier);
    let mut ours = tunnels.open(&pair.at(listener.local_addr()), soon()).await.unwrap();
    ours.send(chunk("question")).await.unwrap();
    let mut theirs = listener.accept().await.unwrap();
    listener.close_peers(|peer| *peer.server() == pair.consumer.id);
    tunnels.close_peers(|peer| *peer.server() == pair.provider.id);
    theirs.send(chunk("answer")).await.unwrap();
    ours.recv().await.unwrap().unwrap();
    listener.close_peers(|peer| *peer.server() != pair.consumer.id);
    assert!(matches!(ours.recv().await, Err(TransportError::BrokenAfterSend { .. })));
}

/// The snapshot is the same, only time has passed.
async fn expired_while_connected(carrier: Carrier) {
    let pair = Pair::new();
    let brief = pair.world.ca.equip_from("T/GOV/1/brief", START.minus(HOUR * 24 * 365 - HOUR));
    pair.world.register(&brief);
    pair.provider_trust.set(Some(pair.world.snapshot()));
    let listener = pair.listen();
    echo(&listener);
    let tunnels = brief.tunnels(&pair.consumer_trust, crate::world::only(carrier), Default::default());
    let server = pair.at(listener.local_addr());
    ask(&tunnels, &server).await.unwrap();
    pair.provider_trust.set_now(START.plus(HOUR));
    ask(&tunnels, &server).await.unwrap();
    pair.provider_trust.set_now(START.plus(HOUR + HOUR / 60));
    let error = ask(&tunnels, &server).await.err().unwrap();
    assert!(matches!(error, TransportError::Refused(Refusal::ByPeer(_))), "{error:?}");
}

async fn a_snapshot_that_expires_ends_everything(carrier: Carrier) {
    let pair = Pair::new();
    let listener = pair.listen();
    echo(&listener);
    let tunnels = pair.tunnels(carrier);
    let server = pair.at(listener.local_addr());
    ask(&tunnels, &server).await.unwrap();

    pair.consumer_trust.set_now(START.plus(HOUR * 24));
    let error = ask(&tunnels, &server).await.err().unwrap();
    assert!(matches!(error, TransportError::Refused(Refusal::SnapshotExpired)), "{error:?}");
    pair.consumer_trust.set(None);
    let error = ask(&tunnels, &server).await.err().unwrap();
    assert!(matches!(error, TransportError::Refused(Refusal::NoSnapshot)), "{error:?}");

    pair.consumer_trust.set(Some(pair.world.snapshot()));
    pair.consumer_trust.set_now(START);
    pair.provider_trust.set_now(START.plus(HOUR * 24));
    let error = ask(&tunnels, &server).await.err().unwrap();
    assert!(matches!(error, TransportError::Refused(Refusal::ByPeer(_))), "{error:?}");
}

async fn a_provider_that_is_suspended_while_connected_gets_nothing_more(carrier: Carrier) {
    let pair = Pair::new();
    let listener = pair.listen();
    echo(&listener);
    let tunnels = pair.tunnels(carrier);
    let server =
        entry(&pair.provider.id, vec![listener.local_addr().to_string()], &pair.provider.certificate);
    ask(&tunnels, &server).await.unwrap();
    pair.world.change(|draft| draft.members[1].suspended = true);
    pair.consumer_trust.set(Some(pair.world.snapshot()));
    let error = tunnels.open(&server, soon()).await.err().unwrap();
    assert!(matches!(error, TransportError::Refused(Refusal::OwnerSuspended(_))), "{error:?}");
}

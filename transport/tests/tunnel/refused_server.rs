//! Servers that the dialler must not believe. Our side knows why; the server learns an alert and no more.

use kogge_certs::ocsp::Answer;
use kogge_transport::{Carrier, Refusal, TransportError};

use crate::world::{Ca, HOUR, MINUTE, Pair, START, Server, any_port, entry, only, soon};

on_both_carriers!(
    unregistered,
    another_one_than_addressed,
    suspended,
    of_a_suspended_owner,
    expired,
    under_a_ca_that_is_not_approved,
    without_a_staple,
    with_a_staple_that_is_none,
    with_a_stale_staple,
    with_a_staple_of_the_future,
    revoked,
    unknown_to_its_ca,
    with_the_staple_of_another,
    with_a_staple_of_another_ca,
);

async fn unregistered(carrier: Carrier) {
    let pair = Pair::new();
    let stranger = pair.world.ca.equip("T/GOV/2/ps");
    let certificate = stranger.certificate.sha256();
    let why = dial(&pair, &stranger, carrier).await;
    assert!(matches!(why, Refusal::Unregistered { certificate: found } if found == certificate), "{why:?}");
}

async fn another_one_than_addressed(carrier: Carrier) {
    let pair = Pair::new();
    let other = pair.world.ca.equip("T/GOV/2/other");
    pair.world.register(&other);
    pair.consumer_trust.set(Some(pair.world.snapshot()));
    let why = dial(&pair, &other, carrier).await;
    let Refusal::WrongServer { expected, found } = why else { panic!("{why:?}") };
    assert_eq!((expected, found), (pair.provider.id.clone(), other.id));
}

async fn suspended(carrier: Carrier) {
    let pair = Pair::new();
    pair.world.change(|draft| draft.security_servers[1].suspended = true);
    pair.consumer_trust.set(Some(pair.world.snapshot()));
    let why = dial(&pair, &pair.provider, carrier).await;
    assert!(matches!(&why, Refusal::ServerSuspended(id) if *id == pair.provider.id), "{why:?}");
}

async fn of_a_suspended_owner(carrier: Carrier) {
    let pair = Pair::new();
    pair.world.change(|draft| draft.members[1].suspended = true);
    pair.consumer_trust.set(Some(pair.world.snapshot()));
    let why = dial(&pair, &pair.provider, carrier).await;
    assert!(matches!(&why, Refusal::OwnerSuspended(id) if id == pair.provider.id.owner()), "{why:?}");
}

async fn expired(carrier: Carrier) {
    let pair = Pair::new();
    let old = pair.world.ca.equip_from("T/GOV/2/ps", START.minus(HOUR * 24 * 366));
    pair.world.register(&old);
    pair.consumer_trust.set(Some(pair.world.snapshot()));
    let why = dial(&pair, &old, carrier).await;
    assert!(matches!(&why, Refusal::Path(reason) if reason.contains("expired")), "{why:?}");
}

async fn under_a_ca_that_is_not_approved(carrier: Carrier) {
    let pair = Pair::new();
    let other = Ca::new("Second").equip("T/GOV/2/ps");
    pair.world.register(&other);
    pair.consumer_trust.set(Some(pair.world.snapshot()));
    let why = dial(&pair, &other, carrier).await;
    assert!(matches!(&why, Refusal::Path(reason) if reason.contains("not issued under")), "{why:?}");
}

async fn without_a_staple(carrier: Carrier) {
    let why = dial_with_staple(carrier, |_| Vec::new()).await;
    assert!(matches!(why, Refusal::OcspMissing), "{why:?}");
}

async fn with_a_staple_that_is_none(carrier: Carrier) {
    let why = dial_with_staple(carrier, |_| vec![0x30, 0x00]).await;
    assert!(matches!(&why, Refusal::Ocsp(reason) if reason.contains("not an OCSP response")), "{why:?}");
}

async fn with_a_stale_staple(carrier: Carrier) {
    let why = dial_with_staple(carrier, |pair| {
        pair.world.ca.ocsp(&pair.provider.certificate, Answer::Good, START.minus(HOUR + MINUTE))
    })
    .await;
    assert!(matches!(&why, Refusal::Ocsp(reason) if reason.contains("too old")), "{why:?}");
}

async fn with_a_staple_of_the_future(carrier: Carrier) {
    let why = dial_with_staple(carrier, |pair| {
        pair.world.ca.ocsp(&pair.provider.certificate, Answer::Good, START.plus(MINUTE))
    })
    .await;
    assert!(matches!(&why, Refusal::Ocsp(reason) if reason.contains("future")), "{why:?}");
}

async fn revoked(carrier: Carrier) {
    let why = dial_with_staple(carrier, |pair| {
        pair.world.ca.ocsp(&pair.provider.certificate, Answer::Revoked(START.minus(HOUR)), START)
    })
    .await;
    assert!(matches!(&why, Refusal::Ocsp(reason) if reason.contains("revoked")), "{why:?}");
}

async fn unknown_to_its_ca(carrier: Carrier) {
    let why = dial_with_staple(carrier, |pair| {
        pair.world.ca.ocsp(&pair.provider.certificate, Answer::Unknown, START)
    })
    .await;
    assert!(matches!(&why, Refusal::Ocsp(reason) if reason.contains("does not know")), "{why:?}");
}

async fn with_the_staple_of_another(carrier: Carrier) {
    let why =
        dial_with_staple(carrier, |pair| pair.world.ca.ocsp(&pair.consumer.certificate, Answer::Good, START))
            .await;
    assert!(matches!(&why, Refusal::Ocsp(reason) if reason.contains("another certificate")), "{why:?}");
}

async fn with_a_staple_of_another_ca(carrier: Carrier) {
    let why = dial_with_staple(carrier, |pair| {
        Ca::new("First").ocsp(&pair.provider.certificate, Answer::Good, START)
    })
    .await;
    assert!(matches!(&why, Refusal::Ocsp(_)), "{why:?}");
}

async fn dial_with_staple(carrier: Carrier, staple: impl FnOnce(&Pair) -> Vec<u8>) -> Refusal {
    let pair = Pair::new();
    pair.provider.identity.replace_ocsp(staple(&pair));
    dial(&pair, &pair.provider, carrier).await
}

/// Dials the pair's provider where `server` listens; why we refuse it. The server itself accepts us.
async fn dial(pair: &Pair, server: &Server, carrier: Carrier) -> Refusal {
    let listener = server.listen(&pair.provider_trust, any_port(), Default::default());
    let tunnels = pair.consumer.tunnels(&pair.consumer_trust, only(carrier), Default::default());
    let entry = entry(&pair.provider.id, vec![listener.local_addr().to_string()], &pair.provider.certificate);
    let error = tunnels.open(&entry, soon()).await.err().expect("the server was believed");
    assert!(error.may_fail_over());
    assert!(listener.refused_peers().is_empty(), "the listener had nothing against us");
    match error {
        TransportError::Refused(refusal) => refusal,
        other => panic!("{other:?}"),
    }
}

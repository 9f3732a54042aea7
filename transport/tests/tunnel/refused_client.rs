//! Clients that the listener must not accept. The client learns that it is refused and no more; the listener knows why.

use kogge_certs::profile::Profile;
use kogge_certs::snapshot::Member;
use kogge_proto::id::MemberId;
use kogge_transport::{Carrier, Listener, Refusal, TransportError};

use crate::world::{Ca, HOUR, Pair, START, Server, any_port, entry, eventually, new_key, only, soon};

on_both_carriers!(
    unregistered,
    of_a_suspended_server,
    of_a_suspended_owner,
    with_an_expired_certificate,
    with_a_certificate_that_is_not_valid_yet,
    under_a_ca_that_is_not_approved,
    with_a_signing_certificate,
    without_a_snapshot,
    with_an_expired_snapshot,
);

async fn unregistered(carrier: Carrier) {
    let pair = Pair::new();
    let stranger = pair.world.ca.equip("T/GOV/1/cs");
    let certificate = stranger.certificate.sha256();
    let (told, why) = knock(&pair, &stranger, carrier).await;
    assert_eq!(told, "AccessDenied");
    assert!(matches!(why, Refusal::Unregistered { certificate: found } if found == certificate), "{why:?}");
}

async fn of_a_suspended_server(carrier: Carrier) {
    let pair = Pair::new();
    pair.world.change(|draft| draft.security_servers[0].suspended = true);
    pair.provider_trust.set(Some(pair.world.snapshot()));
    let (told, why) = knock(&pair, &pair.consumer, carrier).await;
    assert_eq!(told, "AccessDenied");
    assert!(matches!(&why, Refusal::ServerSuspended(id) if *id == pair.consumer.id), "{why:?}");
}

async fn of_a_suspended_owner(carrier: Carrier) {
    let pair = Pair::new();
    pair.world.change(|draft| draft.members[0].suspended = true);
    pair.provider_trust.set(Some(pair.world.snapshot()));
    let (told, why) = knock(&pair, &pair.consumer, carrier).await;
    assert_eq!(told, "AccessDenied");
    assert!(matches!(&why, Refusal::OwnerSuspended(id) if id == pair.consumer.id.owner()), "{why:?}");
}

async fn with_an_expired_certificate(carrier: Carrier) {
    let pair = Pair::new();
    let old = pair.world.ca.equip_from("T/GOV/1/old", START.minus(HOUR * 24 * 366));
    let (told, why) = knock_registered(&pair, &old, carrier).await;
    assert_eq!(told, "CertificateUnknown");
    assert!(matches!(&why, Refusal::Path(reason) if reason.contains("expired")), "{why:?}");
}

async fn with_a_certificate_that_is_not_valid_yet(carrier: Carrier) {
    let pair = Pair::new();
    let early = pair.world.ca.equip_from("T/GOV/1/early", START.plus(HOUR * 25));
    let (told, why) = knock_registered(&pair, &early, carrier).await;
    assert_eq!(told, "CertificateUnknown");
    assert!(matches!(&why, Refusal::Path(reason) if reason.contains("not valid before")), "{why:?}");
}

async fn under_a_ca_that_is_not_approved(carrier: Carrier) {
    let pair = Pair::new();
    let other = Ca::new("Second").equip("T/GOV/1/other");
    let (told, why) = knock_registered(&pair, &other, carrier).await;
    assert_eq!(told, "CertificateUnknown");
    assert!(matches!(&why, Refusal::Path(reason) if reason.contains("not issued under")), "{why:?}");
}

async fn with_a_signing_certificate(carrier: Carrier) {
    let pair = Pair::new();
    let (id, key) = (pair.consumer.id.clone(), new_key());
    let certificate = pair.world.ca.issue_as(Profile::Signing, &id, key.public_key(), START);
    let signer = pair.world.ca.equip_with(id, key, certificate);
    let (told, why) = knock_registered(&pair, &signer, carrier).await;
    assert_eq!(told, "CertificateUnknown");
    assert!(matches!(&why, Refusal::Path(reason) if reason.contains("Authentication")), "{why:?}");
}

async fn without_a_snapshot(carrier: Carrier) {
    let pair = Pair::new();
    pair.provider_trust.set(None);
    let (told, why) = knock(&pair, &pair.consumer, carrier).await;
    assert_eq!(told, "AccessDenied");
    assert!(matches!(why, Refusal::NoSnapshot), "{why:?}");
}

async fn with_an_expired_snapshot(carrier: Carrier) {
    let pair = Pair::new();
    pair.provider_trust.set_now(START.plus(HOUR * 24));
    let (told, why) = knock(&pair, &pair.consumer, carrier).await;
    assert_eq!(told, "AccessDenied");
    assert!(matches!(why, Refusal::SnapshotExpired), "{why:?}");
}

/// The member that a suspended owner is must be in the registry: one that is not cannot own a server there.
#[test]
fn a_server_without_an_owner_is_not_in_any_snapshot() {
    let pair = Pair::new();
    pair.world.change(|draft| {
        let gone = MemberId::new("T", "GOV", "1").unwrap();
        draft.members.retain(|member: &Member| member.id != gone);
    });
    assert!(std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| pair.world.snapshot())).is_err());
}

/// Registers the client in the provider's registry first.
async fn knock_registered(pair: &Pair, client: &Server, carrier: Carrier) -> (String, Refusal) {
    pair.world.register(client);
    pair.provider_trust.set(Some(pair.world.snapshot()));
    knock(pair, client, carrier).await
}

/// What the client was told, and what the listener knows.
async fn knock(pair: &Pair, client: &Server, carrier: Carrier) -> (String, Refusal) {
    let listener = pair.provider.listen(&pair.provider_trust, any_port(), Default::default());
    let tunnels = client.tunnels(&pair.consumer_trust, only(carrier), Default::default());
    let server =
        entry(&pair.provider.id, vec![listener.local_addr().to_string()], &pair.provider.certificate);
    let error = tunnels.open(&server, soon()).await.err().expect("the client was let in");
    assert!(error.may_fail_over());
    let TransportError::Refused(Refusal::ByPeer(told)) = error else { panic!("{error:?}") };
    eventually(|| !listener.refused_peers().is_empty()).await;
    (told, only_refusal(&listener, carrier))
}

fn only_refusal(listener: &Listener, carrier: Carrier) -> Refusal {
    let refused = listener.refused_peers();
    assert_eq!(refused.len(), 1);
    assert_eq!(refused[0].carrier, carrier);
    refused[0].refusal.clone()
}

//! Our own certificate and key: what fits together, what every kind of key does, and how a new one takes over.

use std::sync::Arc;

use kogge_certs::key::{PublicKey, SignError, SignatureScheme, SigningKey};
use kogge_certs::profile::{self, Profile, Subject};
use kogge_proto::id::SecurityServerId;
use kogge_signer::{NewKeyKind, ephemeral};
use kogge_transport::{Carrier, Identity, IdentityError, Refusal, TransportError};
use rcgen::PublicKeyData;

use crate::raw::RawServer;
use crate::world::{Pair, START, ask, chunk, echo, entry, new_key, soon, terms};

on_both_carriers!(
    every_kind_of_key_serves_both_sides,
    intermediate_cas_are_sent_along,
    a_new_certificate_serves_the_next_connection,
    a_client_with_a_stolen_certificate,
    a_server_with_a_stolen_certificate,
);

async fn every_kind_of_key_serves_both_sides(carrier: Carrier) {
    for kind in [NewKeyKind::EcdsaP256, NewKeyKind::Ed25519, NewKeyKind::Rsa(2048)] {
        let mut pair = Pair::new();
        let equip = |id: &str| {
            let (id, key) = (SecurityServerId::parse(id).unwrap(), ephemeral(kind).unwrap());
            let certificate = pair.world.ca.issue(&id, key.public_key(), START);
            pair.world.ca.equip_with(id, key, certificate)
        };
        let (consumer, provider) = (equip("T/GOV/1/cs"), equip("T/GOV/2/ps"));
        pair.world.register(&consumer);
        pair.world.register(&provider);
        (pair.consumer, pair.provider) = (consumer, provider);
        pair.consumer_trust.set(Some(pair.world.snapshot()));
        pair.provider_trust.set(Some(pair.world.snapshot()));
        let listener = pair.listen();
        echo(&listener);
        ask(&pair.tunnels(carrier), &pair.at(listener.local_addr())).await.unwrap();
    }
}

async fn intermediate_cas_are_sent_along(carrier: Carrier) {
    let pair = Pair::new();
    let subject = Subject::Service { common_name: "Below".into(), organisation: "Test".into() };
    let below_key = new_key();
    let ca = &pair.world.ca;
    let below = profile::intermediate_ca(
        &ca.certificate,
        &*ca.key,
        below_key.public_key(),
        &subject,
        &terms(99, START),
    )
    .unwrap();
    let (id, key) = (pair.consumer.id.clone(), new_key());
    let subject = Subject::Authentication { server: id.clone(), name: "Test".into() };
    let profile = Profile::Authentication;
    let certificate =
        profile::issue(&below, &*below_key, key.public_key(), profile, &subject, &terms(1, START)).unwrap();
    pair.world.register_certificate(&id, &certificate);
    pair.provider_trust.set(Some(pair.world.snapshot()));

    let mut local = pair.consumer.local();
    (local.certificate, local.key) = (certificate, key);
    pair.consumer.identity.replace(local.clone()).unwrap();
    let listener = pair.listen();
    let server = pair.at(listener.local_addr());
    let error = pair.tunnels(carrier).open(&server, soon()).await.err().unwrap();
    assert!(matches!(error, TransportError::Refused(Refusal::ByPeer(_))), "{error:?}");

    local.issuers = vec![below.clone()];
    pair.consumer.identity.replace(local).unwrap();
    let tunnels = pair.tunnels(carrier);
    let mut stream = tunnels.open(&server, soon()).await.unwrap();
    stream.send(chunk("x")).await.unwrap();
    assert_eq!(listener.accept().await.unwrap().peer().path().intermediates(), [below]);
}

async fn a_new_certificate_serves_the_next_connection(carrier: Carrier) {
    let pair = Pair::new();
    let (consumer, provider) = (pair.world.ca.equip("T/GOV/1/cs"), pair.world.ca.equip("T/GOV/2/ps"));
    pair.world.register(&consumer);
    pair.world.register(&provider);
    pair.consumer_trust.set(Some(pair.world.snapshot()));
    pair.provider_trust.set(Some(pair.world.snapshot()));
    let listener = pair.listen();
    let server = pair.at(listener.local_addr());
    let tunnels = pair.tunnels(carrier);
    let first = tunnels.open(&server, soon()).await.unwrap();
    assert_eq!(first.peer().certificate(), &pair.provider.certificate);

    pair.provider.identity.replace(provider.local()).unwrap();
    let mut still = tunnels.open(&server, soon()).await.unwrap();
    assert_eq!(still.peer().certificate(), &pair.provider.certificate, "a live connection stays");
    assert_eq!(
        still.peer().local_certificate(),
        &pair.consumer.certificate,
        "and says what it was opened with"
    );
    still.send(chunk("x")).await.unwrap();
    let theirs = listener.accept().await.unwrap();
    assert_eq!(theirs.peer().certificate(), &pair.consumer.certificate);
    assert_eq!(theirs.peer().local_certificate(), &pair.provider.certificate);

    pair.consumer.identity.replace(consumer.local()).unwrap();
    let mut second = tunnels.open(&server, soon()).await.unwrap();
    assert_eq!(second.peer().certificate(), &provider.certificate);
    assert_eq!(second.peer().local_certificate(), &consumer.certificate);
    second.send(chunk("x")).await.unwrap();
    loop {
        // The first stream may still be in the queue.
        let theirs = listener.accept().await.unwrap();
        if theirs.peer().certificate() == &consumer.certificate {
            break;
        }
    }
}

/// The certificate is registered and public; the key is another one.
async fn a_client_with_a_stolen_certificate(carrier: Carrier) {
    let pair = Pair::new();
    let thief = RawServer::new(&pair, "T/GOV/1/raw").with_certificate_of(&pair.consumer);
    let listener = pair.listen();
    thief.fails_to_open(carrier, listener.local_addr()).await;
    let visitors = std::sync::atomic::AtomicUsize::new(0);
    listener.close_peers(|_| visitors.fetch_add(1, std::sync::atomic::Ordering::Relaxed) == usize::MAX);
    assert_eq!(visitors.into_inner(), 0, "the thief was let in");
}

async fn a_server_with_a_stolen_certificate(carrier: Carrier) {
    let pair = Pair::new();
    let thief = RawServer::new(&pair, "T/GOV/2/raw").with_certificate_of(&pair.provider);
    let addr = thief.accept_anybody(carrier).await;
    let server = entry(&pair.provider.id, vec![addr.to_string()], &pair.provider.certificate);
    let error = pair.tunnels(carrier).open(&server, soon()).await.err().expect("the thief was believed");
    let TransportError::Unreachable { reason, .. } = error else { panic!("{error:?}") };
    assert!(reason.contains("BadSignature"), "{reason}");
}

#[test]
fn an_identity_must_fit_together() {
    let pair = Pair::new();
    let mut local = pair.consumer.local();
    local.key = new_key();
    assert_eq!(Identity::new(local.clone()).err(), Some(IdentityError::KeyMismatch));
    assert_eq!(pair.consumer.identity.replace(local), Err(IdentityError::KeyMismatch));
    assert_eq!(pair.consumer.identity.current().certificate, pair.consumer.certificate, "the old one stays");
    pair.consumer.identity.replace_ocsp(vec![1, 2, 3]);
    assert_eq!(pair.consumer.identity.current().ocsp, [1, 2, 3]);
    assert_eq!(pair.consumer.identity.current().certificate, pair.consumer.certificate);
}

#[test]
fn a_key_that_only_verifies_is_no_identity() {
    struct VerifyOnly(PublicKey);
    impl SigningKey for VerifyOnly {
        fn public_key(&self) -> &PublicKey {
            &self.0
        }

        fn sign(&self, _: SignatureScheme, _: &[u8]) -> Result<Vec<u8>, SignError> {
            Err(SignError::Scheme)
        }
    }

    let pair = Pair::new();
    let keys = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P384_SHA384).unwrap();
    let key = VerifyOnly(PublicKey::from_spki(&keys.subject_public_key_info()).unwrap());
    let mut local = pair.consumer.local();
    local.certificate = pair.world.ca.issue(&pair.consumer.id, key.public_key(), START);
    local.key = Arc::new(key);
    assert_eq!(Identity::new(local).err(), Some(IdentityError::KeyKind));
}

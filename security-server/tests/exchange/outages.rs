//! What fails beside the exchanges, what this server refuses meanwhile, and that it recovers by itself.

use std::sync::atomic::Ordering;
use std::time::Duration;

use kogge_evidence::timestamp_chain::TimestampChain;
use kogge_proto::digest::{Sha256, sha256};
use kogge_security_server::clock;
use kogge_signer::KeyUse;

use crate::call;
use crate::instance::http::send;
use crate::instance::{Agency, Instance, PERSONS, PORTAL, Running};

async fn refused(server: &Running) -> (u16, String) {
    let answer = call(server, "GET", "/1", "").await;
    if answer.status == 503 {
        assert!(answer.header("retry-after").is_some());
    }
    (answer.status.as_u16(), answer.header("x-road-error").unwrap_or_default().to_owned())
}

fn says(status: &serde_json::Value, reason: &str) -> bool {
    status["reasons"].as_array().unwrap().iter().any(|found| found.as_str().unwrap().contains(reason))
}

fn warns(status: &serde_json::Value, warning: &str) -> bool {
    status["warnings"].as_array().unwrap().iter().any(|found| found.as_str().unwrap().contains(warning))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_starts_from_its_cache_while_registry_and_responder_are_away() {
    let (instance, consumer, provider) = Instance::with_two_servers("h2").await;
    instance.registry.serve(None);
    instance.trust.faults.ocsp_down.store(true, Ordering::Relaxed);
    consumer.stop().await;
    let consumer = instance.start(&Agency::consumer()).await;
    consumer.ready().await;
    assert_eq!(refused(&consumer).await, (200, String::new()));
    consumer.status_is("warning", |status| warns(status, "registry")).await;
    provider.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_exchange_without_a_snapshot_or_with_an_expired_one() {
    let instance = Instance::new("h2").await;
    instance.prepare(&Agency::consumer());
    let consumer = instance.start(&Agency::consumer()).await;
    consumer.status_is("waiting", |status| says(status, "no registry snapshot")).await;
    assert_eq!(refused(&consumer).await, (503, "server.clientproxy.global_conf_outdated".to_owned()));
    instance.registry.publish(|draft| draft.expires = clock::now().plus(Duration::from_secs(3)));
    consumer.status_is("expired", |status| says(status, "expired")).await;
    assert_eq!(refused(&consumer).await, (503, "server.clientproxy.global_conf_outdated".to_owned()));
    instance.registry.publish(|_| {});
    consumer.ready().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rolled_back_or_altered_snapshot_changes_nothing() {
    let instance = Instance::new("h2").await;
    instance.prepare(&Agency::consumer());
    let consumer = instance.start(&Agency::consumer()).await;
    instance.registry.publish(|_| {});
    let old = instance.registry.snapshot();
    instance.registry.publish(|_| {});
    consumer.status_is("at version 2", |status| status["snapshot_version"] == 2).await;
    instance.registry.serve(Some(old.clone()));
    consumer.status_is("warned", |status| warns(status, "version 2 was accepted before")).await;
    let mut altered = instance.registry.snapshot();
    let middle = altered.len() / 2;
    altered[middle] ^= 1;
    instance.registry.serve(Some(altered));
    consumer
        .status_is("warned", |status| !warns(status, "accepted before") && warns(status, "registry"))
        .await;
    // The way back stays closed when the cached snapshot is lost.
    consumer.stop().await;
    std::fs::remove_file(Agency::consumer().dir(&instance).join("data/snapshot")).unwrap();
    instance.registry.serve(Some(old));
    let consumer = instance.start(&Agency::consumer()).await;
    let status = consumer.status_is("warned", |status| warns(status, "version 2 was accepted before")).await;
    assert!(says(&status, "no registry snapshot"), "{status}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_cache_is_fetched_anew() {
    let instance = Instance::new("h2").await;
    instance.prepare(&Agency::consumer());
    instance.registry.publish(|_| {});
    let consumer = instance.start(&Agency::consumer()).await;
    consumer.ready().await;
    consumer.stop().await;
    let data = Agency::consumer().dir(&instance).join("data");
    std::fs::write(data.join("snapshot"), b"damaged").unwrap();
    std::fs::write(data.join("snapshot.json"), b"{").unwrap();
    instance.start(&Agency::consumer()).await.ready().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_suspended_member_takes_no_part() {
    let (instance, consumer, provider) = Instance::with_two_servers("auto").await;
    assert_eq!(refused(&consumer).await, (200, String::new()));
    instance.registry.publish(|draft| draft.members[1].suspended = true);
    consumer.status_is("at version 2", |status| status["snapshot_version"] == 2).await;
    assert_eq!(refused(&consumer).await, (404, "server.clientproxy.unknown_provider".to_owned()));
    instance.registry.publish(|draft| {
        draft.members[1].suspended = false;
        draft.members[0].suspended = true;
    });
    provider.status_is("at version 3", |status| status["snapshot_version"] == 3).await;
    consumer.status_is("at version 3", |status| status["snapshot_version"] == 3).await;
    assert_eq!(refused(&consumer).await, (403, "server.clientproxy.unknown_member".to_owned()));
    assert_eq!(instance.register.calls(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_server_or_address_of_the_provider_is_passed_over() {
    let (instance, consumer, _provider) = Instance::with_two_servers("auto").await;
    let dead = "DEMO/GOV/2002/SS2";
    instance.registry.publish(|draft| {
        let mut second = draft.security_servers.last().unwrap().clone();
        assert_eq!(second.id, Agency::provider().server);
        second.id = dead.parse().unwrap();
        second.addresses = vec!["127.0.0.1:1".to_owned()];
        second.auth_certificates = vec![kogge_proto::digest::sha256(b"of nobody")];
        let registered_on = draft.registrations.get_mut(&Agency::provider().subsystem).unwrap();
        registered_on.insert(second.id.clone());
        draft.security_servers.insert(0, second);
        draft.security_servers.last_mut().unwrap().addresses.insert(0, "127.0.0.1:1".to_owned());
    });
    consumer.status_is("at version 2", |status| status["snapshot_version"] == 2).await;
    for _ in 0..4 {
        assert_eq!(refused(&consumer).await, (200, String::new()));
    }
    let url = format!("{}/r1/{PERSONS}/1", consumer.consumer);
    let headers = [("X-Road-Client", PORTAL), ("X-Road-Security-Server", dead)];
    let answer = send("GET", &url, &headers, "").await;
    assert_eq!(
        answer.header("x-road-error"),
        Some("server.clientproxy.network_error"),
        "it was asked for by name"
    );
    assert_eq!(instance.register.calls(), 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn records_wait_for_the_tsa_but_not_for_ever() {
    let (instance, consumer, provider) = Instance::with_two_servers("h2").await;
    instance.registry.publish(|draft| draft.policy.timestamp_failure = Duration::from_secs(2));
    consumer.status_is("at version 2", |status| status["snapshot_version"] == 2).await;
    instance.trust.faults.tsa_down.store(true, Ordering::Relaxed);
    assert_eq!(refused(&consumer).await, (200, String::new()), "an outage of the TSA alone stops nothing");
    let status = consumer.status_is("overdue", |status| says(status, "waited")).await;
    assert_eq!(status["unstamped"], 2);
    assert_eq!(refused(&consumer).await, (503, "server.clientproxy.logging_failed".to_owned()));
    instance.trust.faults.tsa_down.store(false, Ordering::Relaxed);
    consumer.ready().await;
    provider.ready().await;
    for server in [&consumer, &provider] {
        server.status_is("stamped", |status| status["unstamped"] == 0).await;
        assert!(server.records().iter().all(|found| found.stamp.is_some()), "none is lost");
    }
    assert_eq!(refused(&consumer).await, (200, String::new()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_is_stamped_in_all_forms_or_waits() {
    let (instance, consumer, provider) = Instance::with_two_servers("h2").await;
    let faults = &instance.trust.faults;
    faults.tsa_answers.store(1, Ordering::Relaxed);
    faults.tsa_down.store(true, Ordering::Relaxed);
    assert_eq!(refused(&consumer).await, (200, String::new()));
    for server in [&consumer, &provider] {
        server.status_is("in want of a token", |status| warns(status, "no timestamping authority")).await;
    }
    assert_eq!(faults.tsa_answers.load(Ordering::Relaxed), 0, "one of the servers has one of two tokens");
    for server in [&consumer, &provider] {
        assert!(server.records().iter().all(|found| found.stamp.is_none()), "half a stamp is none");
    }
    faults.tsa_down.store(false, Ordering::Relaxed);
    for server in [&consumer, &provider] {
        server.status_is("stamped", |status| status["unstamped"] == 0).await;
        for found in server.records() {
            let chain = TimestampChain::of_batch(&found.stamp.unwrap(), found.sequence).unwrap();
            let digest = sha256(&chain.result);
            let is_about_it = chain.token.windows(Sha256::LEN).any(|bytes| bytes == digest.as_bytes());
            assert!(is_about_it, "the token is about another digest");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_is_off_stops_exchanges_until_it_is_right() {
    let (instance, consumer, _provider) = Instance::with_two_servers("h2").await;
    instance.trust.faults.tsa_ahead_s.store(3600, Ordering::Relaxed);
    assert_eq!(refused(&consumer).await, (200, String::new()));
    consumer.status_is("off", |status| says(status, "clock is off by 3")).await;
    assert_eq!(refused(&consumer).await, (503, "server.clientproxy.global_conf_outdated".to_owned()));
    instance.trust.faults.tsa_ahead_s.store(0, Ordering::Relaxed);
    consumer.ready().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_from_the_future_means_that_the_clock_is_off() {
    let instance = Instance::new("h2").await;
    instance.prepare(&Agency::consumer());
    instance.registry.publish(|_| {});
    let consumer = instance.start(&Agency::consumer()).await;
    consumer.ready().await;
    instance.registry.publish(|draft| {
        draft.issued = clock::now().plus(Duration::from_secs(600));
        draft.expires = clock::now().plus(Duration::from_secs(6000));
    });
    consumer.status_is("off", |status| says(status, "clock is off") && says(status, "registry")).await;
    assert_eq!(refused(&consumer).await, (503, "server.clientproxy.global_conf_outdated".to_owned()));
    instance.registry.publish(|_| {});
    consumer.ready().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revoked_signing_certificate_signs_nothing() {
    let instance = Instance::new("h2").await;
    for agency in [Agency::consumer(), Agency::provider()] {
        instance.prepare(&agency);
    }
    let (_, credential) = instance.keys(&Agency::consumer());
    instance.trust.revoke(&credential.certificate);
    instance.registry.publish(|_| {});
    let consumer = instance.start(&Agency::consumer()).await;
    let status = consumer.status_is("revoked", |status| says(status, "revoked")).await;
    assert!(warns(&status, "revoked"), "{status}");
    assert_eq!(refused(&consumer).await, (503, "server.clientproxy.cannot_create_signature".to_owned()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_certificate_is_taken_into_use_without_a_restart() {
    let (instance, consumer, _provider) = Instance::with_two_servers("h2").await;
    let (_, old) = instance.keys(&Agency::consumer());
    let new = instance.certify_again(&Agency::consumer(), KeyUse::Signing);
    // Any new snapshot makes the keeper look at the token.
    instance.registry.publish(|_| {});
    for _ in 0..200 {
        assert_eq!(refused(&consumer).await, (200, String::new()));
        let signed_with = consumer.records().iter().rev().nth(1).unwrap().record.signature.clone().unwrap();
        if signed_with.certificate_sha256 == new.sha256().as_bytes() {
            return;
        }
        assert_eq!(signed_with.certificate_sha256, old.certificate.sha256().as_bytes());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("the new certificate was never used");
}

#[tokio::test(flavor = "multi_thread")]
async fn authentication_certificates_are_rotated_while_exchanges_go_on() {
    for transport in ["h2", "quic"] {
        let (instance, consumer, provider) = Instance::with_two_servers(transport).await;
        assert_eq!(refused(&consumer).await, (200, String::new()));
        for agency in [Agency::consumer(), Agency::provider()] {
            let (old, _) = instance.keys(&agency);
            let new = instance.certify_again(&agency, KeyUse::Authentication);
            instance.registry.publish(|draft| {
                let server =
                    draft.security_servers.iter_mut().find(|server| server.id == agency.server).unwrap();
                server.auth_certificates.push(new.sha256());
            });
            let response = agency.dir(&instance).join("data/ocsp").join(format!("{}.der", new.sha256()));
            // The connection that is up was opened with the old certificate and goes on while the new one is taken into use.
            for _ in 0..200 {
                assert_eq!(
                    refused(&consumer).await,
                    (200, String::new()),
                    "{transport}: both are registered"
                );
                if response.exists() {
                    break;
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            assert!(response.exists(), "{transport}: the new certificate was never looked at");
            for _ in 0..20 {
                assert_eq!(
                    refused(&consumer).await,
                    (200, String::new()),
                    "{transport}: the new one is in use"
                );
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            instance.registry.publish(|draft| {
                let server =
                    draft.security_servers.iter_mut().find(|server| server.id == agency.server).unwrap();
                server.auth_certificates.retain(|registered| *registered != old.certificate.sha256());
            });
        }
        for server in [&consumer, &provider] {
            server.status_is("at version 5", |status| status["snapshot_version"] == 5).await;
        }
        assert_eq!(
            refused(&consumer).await,
            (200, String::new()),
            "{transport}: only the new ones are registered"
        );
    }
}

//! Whoever is suspended in the registry or has a revoked certificate is refused while connections to it are open, and takes part again when
//! that is taken back.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests fail by panicking")]

use std::path::PathBuf;

use kogge_integration_tests::{Demo, Process, ROLES};
use kogge_signer::KeyUse;

const BINARY: &str = env!("CARGO_BIN_EXE_kogge-under-test");
const CONSUMER: &str = "DEMO/GOV/1001";
const PROVIDER: &str = "DEMO/GOV/2002";

#[test]
fn a_suspended_member_is_refused_over_http2() {
    suspended_member("h2");
}

#[test]
fn a_suspended_member_is_refused_over_quic() {
    suspended_member("quic");
}

/// Each member in turn, judged by servers that ask the registry as they should.
fn suspended_member(transport: &str) {
    let demo = Demo::start(BINARY, &["--transport", transport]).unwrap();
    for (member, fault) in [
        (CONSUMER, "server.clientproxy.unknown_member"),
        (PROVIDER, "server.clientproxy.unknown_provider"),
        ("DEMO/GOV/2002/SS1", "server.clientproxy.unknown_provider"),
    ] {
        demo.assert_answered();
        demo.registry("suspend", &[member]);
        demo.wait_refused(fault).unwrap();
        demo.registry("resume", &[member]);
        demo.wait_until("an answer after the suspension", || demo.answers()).unwrap();
    }
}

#[test]
fn a_provider_refuses_a_suspended_member_whose_server_does_not_know_over_http2() {
    unaware_member("h2");
}

#[test]
fn a_provider_refuses_a_suspended_member_whose_server_does_not_know_over_quic() {
    unaware_member("quic");
}

/// The consumer's server does not ask the registry any more, as that of a member who does not want to know. It has live connections.
fn unaware_member(transport: &str) {
    let demo = Demo::start(BINARY, &["--transport", transport]).unwrap();
    let mut consumer = demo.process("consumer");
    consumer.stop().unwrap();
    demo.configure(&demo.server("consumer").config, |config| {
        config["registry"].as_table_mut().unwrap().insert("interval_s".to_owned(), 3600.into());
    });
    consumer.start().unwrap();
    demo.wait_ready("consumer").unwrap();
    demo.assert_answered();
    let known = demo.readiness("consumer")["snapshot_version"].clone();

    let before = demo.readiness("provider")["snapshot_version"].as_u64();
    demo.registry("suspend", &[CONSUMER]);
    demo.wait_until("the provider knows", || {
        demo.readiness("provider")["snapshot_version"].as_u64() > before
    })
    .unwrap();
    let calls = register_calls(&demo);
    for _ in 0..3 {
        demo.assert_refused(502, "server.clientproxy.ssl_authentication_failed");
    }
    assert_eq!(register_calls(&demo), calls, "the register was called for a suspended member");
    assert_eq!(demo.readiness("consumer")["snapshot_version"], known, "the consumer was to know nothing");
    let refused = demo.readiness("provider")["refused_peers"].to_string();
    assert!(refused.contains(transport), "new connections were not refused: {refused}");

    demo.registry("resume", &[CONSUMER]);
    demo.wait_until("an answer after the suspension", || demo.answers()).unwrap();
}

#[test]
fn a_revoked_certificate_is_refused_until_it_is_reinstated() {
    let demo = Demo::start(BINARY, &[]).unwrap();
    let _restarted = shorten_ocsp_life(&demo);
    for (role, key, fault) in [
        ("consumer", KeyUse::Signing, "server.clientproxy.cannot_create_signature"),
        ("consumer", KeyUse::Authentication, "server.clientproxy.cannot_create_signature"),
        ("provider", KeyUse::Signing, "server.serverproxy.cannot_create_signature"),
        ("provider", KeyUse::Authentication, "server.serverproxy.cannot_create_signature"),
    ] {
        demo.assert_answered();
        let certificate = certificate(&demo, role, key);
        let file = certificate.to_str().unwrap();
        demo.trust_services("revoke", &["--certificate", file]);
        demo.wait_until("a word of the revocation", || {
            demo.readiness(role)["reasons"].to_string().contains("revoked")
        })
        .unwrap_or_else(|error| panic!("{role}, {key:?}: {error}: {}", demo.readiness(role)));
        demo.assert_refused(503, fault);
        demo.trust_services("reinstate", &["--certificate", file]);
        demo.wait_until("an answer after the revocation", || demo.answers()).unwrap();
    }
}

#[test]
fn a_server_that_starts_without_a_response_for_a_revoked_certificate_is_not_ready() {
    let demo = Demo::start(BINARY, &[]).unwrap();
    let certificate = certificate(&demo, "consumer", KeyUse::Signing);
    demo.trust_services("revoke", &["--certificate", certificate.to_str().unwrap()]);
    let mut consumer = demo.process("consumer");
    consumer.stop().unwrap();
    std::fs::remove_dir_all(demo.dir().join("consumer/data/ocsp")).unwrap();
    consumer.start().unwrap();
    demo.wait_until("a word of the revocation", || {
        demo.readiness("consumer")["reasons"].to_string().contains("revoked")
    })
    .unwrap();
    demo.assert_refused(503, "server.clientproxy.cannot_create_signature");
}

/// The file of a server's only certificate of this kind.
fn certificate(demo: &Demo, role: &str, key_use: KeyUse) -> PathBuf {
    let token = demo.dir().join(role).join("token");
    let entries = kogge_signer::entries(&token).unwrap();
    let entry = entries.into_iter().find(|entry| entry.key_use == key_use).unwrap();
    let file = format!("{}.{}.pem", entry.id, entry.chains[0][0].sha256());
    token.join("certificates").join(file)
}

/// OCSP responses that are renewed every second or so, in the hands of both servers.
fn shorten_ocsp_life(demo: &Demo) -> Vec<Process> {
    let mut trust_services = demo.process("trust-services");
    trust_services.stop().unwrap();
    demo.configure(&demo.dir().join("trust-services.toml"), |config| {
        config.insert("ocsp_validity_s".to_owned(), 2.into());
    });
    trust_services.start().unwrap();
    let mut servers = ROLES.map(|role| demo.process(role));
    for (server, role) in servers.iter_mut().zip(ROLES) {
        server.stop().unwrap();
        std::fs::remove_dir_all(demo.dir().join(role).join("data/ocsp")).unwrap();
        server.start().unwrap();
        demo.wait_ready(role).unwrap();
    }
    let [consumer, provider] = servers;
    vec![trust_services, consumer, provider]
}

fn register_calls(demo: &Demo) -> usize {
    std::fs::read_to_string(demo.dir().join("register/calls.log")).unwrap().lines().count()
}

//! Each part of an instance goes away while exchanges are made: what must go on goes on, what must stop says why, and everything works
//! again by itself when the part is back.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests fail by panicking")]

use std::io::Read;
use std::net::TcpListener;
use std::thread;
use std::time::Duration;

use kogge_integration_tests::{Demo, Process, ROLES};
use serde_json::Value;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

const BINARY: &str = env!("CARGO_BIN_EXE_kogge-under-test");

/// Life of a snapshot where a test waits for its end: the registry renews it at half of it.
const SHORT_LIFE_S: u32 = 6;

#[test]
fn without_the_registry_exchanges_go_on_and_a_server_starts_from_its_cache() {
    let demo = Demo::start(BINARY, &[]).unwrap();
    let mut registry = demo.process("registry");
    let mut provider = demo.process("provider");
    registry.kill().unwrap();
    demo.assert_answered();
    // Stopped, not killed: the consumer hears of the end of its connections, so that the very next exchange must succeed.
    provider.stop().unwrap();
    provider.start().unwrap();
    demo.wait_ready("provider").unwrap();
    demo.assert_answered();
    for role in ROLES {
        demo.wait_until("a warning", || warned(&demo.readiness(role), "registry: ")).unwrap();
        assert_eq!(demo.readiness(role)["ready"], true, "{role}");
    }
    registry.start().unwrap();
    for role in ROLES {
        demo.wait_until("the warning's end", || !warned(&demo.readiness(role), "registry: ")).unwrap();
    }
    demo.assert_answered();
}

#[test]
fn without_the_trust_services_exchanges_go_on_and_are_stamped_later() {
    let demo = Demo::start(BINARY, &[]).unwrap();
    demo.wait_stamped().unwrap();
    let mut trust_services = demo.process("trust-services");
    trust_services.kill().unwrap();
    for _ in 0..3 {
        demo.assert_answered();
    }
    for role in ROLES {
        demo.wait_until("a warning", || warned(&demo.readiness(role), "timestamps: ")).unwrap();
        let readiness = demo.readiness(role);
        assert_eq!(readiness["ready"], true, "{role}: {readiness}");
        assert_eq!(readiness["unstamped"], 6, "{role}: three requests and three responses wait: {readiness}");
    }
    trust_services.start().unwrap();
    demo.wait_stamped().unwrap();
    demo.assert_answered();
    demo.wait_stamped().unwrap();
    for role in ROLES {
        assert!(!warned(&demo.readiness(role), "timestamps: "), "{role}");
    }
    demo.assert_logs_verify();
}

#[test]
fn a_dead_provider_is_a_network_error_over_http2() {
    dead_provider("h2");
}

#[test]
fn a_dead_provider_is_a_network_error_over_quic() {
    dead_provider("quic");
}

fn dead_provider(transport: &str) {
    let demo = Demo::start(BINARY, &["--transport", transport]).unwrap();
    demo.assert_answered();
    let mut provider = demo.process("provider");
    provider.kill().unwrap();
    // A killed process takes no leave over UDP, and over TCP the consumer may hear of it a moment too late. What was sent into the dead
    // connection may have arrived, for all the consumer knows, and it says so; from then on it knows better.
    let first = demo.call("GET", "", b"").unwrap().fault();
    assert!(
        ["server.clientproxy.io_error", "server.clientproxy.network_error"].contains(&first.as_str()),
        "{first}"
    );
    for _ in 0..2 {
        demo.assert_refused(502, "server.clientproxy.network_error");
    }
    assert_eq!(demo.readiness("consumer")["ready"], true, "a peer's outage is not this server's");
    provider.start().unwrap();
    demo.wait_ready("provider").unwrap();
    demo.assert_answered();
}

#[test]
fn a_register_that_is_down_or_silent_is_named_as_the_cause() {
    let demo = Demo::start(BINARY, &[]).unwrap();
    let mut register = demo.process("register");
    register.kill().unwrap();
    demo.assert_refused(502, "server.serverproxy.service_failed.network_error");
    register.start().unwrap();
    demo.wait_until("an answer", || demo.answers()).unwrap();

    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/", silent.local_addr().unwrap());
    // Reads for ever and never answers; ends with the test's process.
    thread::spawn(move || {
        for stream in silent.incoming() {
            let mut stream = stream.unwrap();
            thread::spawn(move || while stream.read(&mut [0; 1024]).is_ok_and(|read| read > 0) {});
        }
    });
    let mut provider = demo.process("provider");
    provider.stop().unwrap();
    demo.configure(&demo.server("provider").config, |config| {
        let service = config["services"][0].as_table_mut().unwrap();
        service.insert("url".to_owned(), url.into());
        service.insert("time_max_s".to_owned(), 1.into());
    });
    provider.start().unwrap();
    demo.wait_ready("provider").unwrap();
    demo.assert_refused(504, "server.serverproxy.service_failed.timeout");
    demo.wait_stamped().unwrap();
    demo.assert_logs_verify();
}

#[test]
fn an_altered_snapshot_is_not_used() {
    let demo = Demo::start(BINARY, &[]).unwrap();
    let mut consumer = demo.process("consumer");
    consumer.stop().unwrap();
    let cached = demo.dir().join("consumer/data/snapshot");
    let mut bytes = std::fs::read(&cached).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&cached, &bytes).unwrap();
    let mut registry = demo.process("registry");
    registry.kill().unwrap();
    assert_starts_without_snapshot(&demo, &mut consumer);
    registry.start().unwrap();
    demo.wait_ready("consumer").unwrap();
    demo.assert_answered();
}

#[test]
fn a_snapshot_that_was_rolled_back_is_not_used() {
    let demo = Demo::start(BINARY, &[]).unwrap();
    let cached = demo.dir().join("consumer/data/snapshot");
    let old = std::fs::read(&cached).unwrap();
    let version = demo.readiness("consumer")["snapshot_version"].as_u64().unwrap();
    demo.registry("rename-member", &["DEMO/GOV/1001", "--name", "Another name"]);
    demo.wait_until("a newer snapshot", || {
        demo.readiness("consumer")["snapshot_version"].as_u64() > Some(version)
    })
    .unwrap();
    let mut consumer = demo.process("consumer");
    consumer.stop().unwrap();
    std::fs::write(&cached, &old).unwrap();
    let mut registry = demo.process("registry");
    registry.kill().unwrap();
    assert_starts_without_snapshot(&demo, &mut consumer);
    registry.start().unwrap();
    demo.wait_ready("consumer").unwrap();
    assert!(demo.readiness("consumer")["snapshot_version"].as_u64() > Some(version));
    demo.assert_answered();
}

/// The server starts, says that its cache is of no use, is not ready, and refuses.
fn assert_starts_without_snapshot(demo: &Demo, consumer: &mut Process) {
    consumer.start().unwrap();
    demo.wait_until("the server's word", || demo.readiness("consumer")["ready"] == false).unwrap();
    let readiness = demo.readiness("consumer");
    assert!(readiness["reasons"].to_string().contains("no registry snapshot"), "{readiness}");
    assert!(readiness["snapshot_version"].is_null(), "{readiness}");
    demo.assert_refused(503, "server.clientproxy.global_conf_outdated");
    let output = consumer.output();
    assert!(output.contains("the cached registry snapshot is not used"), "{output}");
}

#[test]
fn an_expired_snapshot_stops_both_sides_until_the_registry_is_back() {
    let demo = Demo::start(BINARY, &[]).unwrap();
    let mut registry = demo.process("registry");
    registry.stop().unwrap();
    shorten_snapshot_life(&demo);
    registry.start().unwrap();
    for role in ROLES {
        wait_for_short_life(&demo, role);
    }
    demo.assert_answered();
    registry.kill().unwrap();
    for role in ROLES {
        demo.wait_until("the snapshot's end", || demo.readiness(role)["ready"] == false)
            .unwrap_or_else(|error| panic!("{error}: {}", demo.readiness(role)));
        let readiness = demo.readiness(role);
        assert!(readiness["reasons"].to_string().contains("has expired"), "{role}: {readiness}");
    }
    demo.assert_refused(503, "server.clientproxy.global_conf_outdated");
    registry.start().unwrap();
    demo.wait_ready("consumer").unwrap();
    demo.wait_ready("provider").unwrap();
    demo.assert_answered();
}

#[test]
fn a_provider_whose_snapshot_has_expired_refuses_by_itself() {
    let demo = Demo::start(BINARY, &[]).unwrap();
    let [mut registry, mut provider] = ["registry", "provider"].map(|part| demo.process(part));
    registry.stop().unwrap();
    shorten_snapshot_life(&demo);
    registry.start().unwrap();
    provider.stop().unwrap();
    let provider_config = demo.server("provider").config.clone();
    demo.configure(&provider_config, |config| {
        config["registry"].as_table_mut().unwrap().insert("interval_s".to_owned(), 3600.into());
    });
    wait_for_short_life(&demo, "consumer");
    provider.start().unwrap();
    demo.wait_until("the snapshot's end", || {
        demo.readiness("provider")["reasons"].to_string().contains("has expired")
    })
    .unwrap();
    demo.wait_ready("consumer").unwrap();
    // It trusts nobody any more, so nobody gets as far as a fault of its own; why stands in its own status.
    demo.assert_refused(502, "server.clientproxy.ssl_authentication_failed");
    let readiness = demo.readiness("provider");
    assert!(readiness["refused_peers"].to_string().contains("snapshot has expired"), "{readiness}");
}

fn shorten_snapshot_life(demo: &Demo) {
    demo.configure(&demo.dir().join("central-registry.toml"), |config| {
        config.insert("snapshot_lifetime_s".to_owned(), SHORT_LIFE_S.into());
    });
}

fn wait_for_short_life(demo: &Demo, role: &str) {
    let expires_soon = || {
        let readiness = demo.readiness(role);
        let expires =
            OffsetDateTime::parse(readiness["snapshot_expires"].as_str().unwrap_or_default(), &Rfc3339);
        expires.is_ok_and(|expires| expires < OffsetDateTime::now_utc() + Duration::from_secs(60))
    };
    demo.wait_until("a snapshot of a short life", expires_soon).unwrap();
}

fn warned(readiness: &Value, beginning: &str) -> bool {
    let warnings = readiness["warnings"].as_array().unwrap();
    warnings.iter().any(|warning| warning.as_str().unwrap().starts_with(beginning))
}

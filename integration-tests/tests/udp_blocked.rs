//! A firewall that drops UDP without a word: exchanges go over HTTP/2 by themselves.
//!
//! The test runs itself once more in a network namespace of its own, where a firewall can be had without touching the machine's.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests fail by panicking")]

use std::process::Command;
use std::time::Instant;

use kogge_integration_tests::{Demo, tool};
use serde_json::Value;

const BINARY: &str = env!("CARGO_BIN_EXE_kogge-under-test");
const TEST: &str = "without_udp_exchanges_go_over_http2";
/// Set in the namespace.
const INSIDE: &str = "KOGGE_UDP_IS_BLOCKED";

/// A namespace starts without a working loopback interface. What leaves by it is filtered on its way out.
const FIREWALL: &str = "ip link set lo up && nft add table inet wall \
    && nft 'add chain inet wall out { type filter hook output priority 0; }' \
    && nft add rule inet wall out meta l4proto udp counter drop \
    && exec \"$@\"";

#[test]
fn without_udp_exchanges_go_over_http2() {
    if std::env::var_os(INSIDE).is_some() {
        return inside();
    }
    for (name, probe) in [("unshare", "--version"), ("ip", "-V"), ("nft", "--version")] {
        if !tool::present(name, &[probe], TEST) {
            return;
        }
    }
    let may = Command::new("unshare").args(["-n", "sh", "-c", FIREWALL, "sh", "true"]).output().unwrap();
    if !may.status.success() {
        let _ = tool::missing("the right to make a network namespace with a firewall", TEST);
        eprintln!("{}", String::from_utf8_lossy(&may.stderr));
        return;
    }
    let output = tool::content(
        Command::new("unshare")
            .args(["-n", "sh", "-c", FIREWALL, "sh"])
            .arg(std::env::current_exe().unwrap())
            .args([TEST, "--exact", "--nocapture"])
            .env(INSIDE, "1"),
    );
    assert!(output.contains("1 passed"), "{output}");
    eprintln!("{output}");
}

fn inside() {
    let dir = tempfile::tempdir().unwrap();
    let args = ["demo", "--once", "--json", "--port-base", "0", "--transport", "auto", "--dir"];
    let output = Command::new(BINARY).args(args).arg(dir.path().join("demo")).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["exchanges"], 3, "{report}");
    eprintln!("the whole demo took {} ms", report["duration_ms"]);

    let demo = Demo::start(BINARY, &["--transport", "auto"]).unwrap();
    let mut consumer = demo.process("consumer");
    consumer.stop().unwrap();
    consumer.start().unwrap();
    demo.wait_ready("consumer").unwrap();
    for what in ["the first exchange", "the second exchange"] {
        let asked = Instant::now();
        demo.assert_answered();
        eprintln!("{what} took {} ms", asked.elapsed().as_millis());
    }
    let metrics = demo.status("provider", "/metrics").unwrap().text();
    assert_eq!(exchanges(&metrics, "quic"), 0, "{metrics}");
    assert!(exchanges(&metrics, "h2") > 0, "{metrics}");
    let dropped = tool::content(Command::new("nft").args(["list", "table", "inet", "wall"]));
    assert!(!dropped.contains("packets 0 "), "nobody has tried UDP: {dropped}");
}

/// How many exchanges came to a provider by this carrier.
fn exchanges(metrics: &str, carrier: &str) -> u64 {
    let line = format!("kogge_tunnel_exchanges_total{{carrier=\"{carrier}\"}} ");
    metrics.lines().find_map(|found| found.strip_prefix(&line)).unwrap().parse().unwrap()
}

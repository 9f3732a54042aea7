//! The commands of docs/operations.md and docs/evidence.md, run as they stand there: from empty folders to a first answered request by operators'
//! commands alone, and its evidence checked by hand.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests fail by panicking")]

use std::net::{TcpListener, UdpSocket};
use std::process::Command;

use kogge_integration_tests::tool;

const BINARY: &str = env!("CARGO_BIN_EXE_kogge-under-test");
const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/two-agencies.sh");
/// Last two digits of the ports that the walkthrough uses.
const PORTS: [u16; 8] = [1, 2, 10, 11, 12, 21, 22, 30];
/// Far longer than it takes: an end to a walkthrough that waits in vain.
const PATIENCE_S: &str = "300";

#[test]
fn the_documents_lead_to_an_answered_request_that_verifies() {
    for (judge, probe) in
        [("bash", "--version"), ("curl", "--version"), ("openssl", "version"), ("python3", "--version")]
    {
        if !tool::present(judge, &[probe], "the walkthrough") {
            return;
        }
    }
    let dir = tempfile::tempdir().unwrap();
    let mut script = Command::new("timeout");
    script.args([PATIENCE_S, SCRIPT, BINARY]).arg(dir.path().join("instance")).arg(free_ports().to_string());
    let output = tool::content(&mut script);
    assert!(
        output.contains("[{\"family_name\":\"Petersen\",\"given_name\":\"Anna\"}]"),
        "no answer of the register:\n{output}"
    );
    assert!(output.contains("request.asice: PASSED"), "{output}");
    assert!(output.contains("signer.pem: good") && output.contains("Verification: OK"), "{output}");
    assert!(output.contains("checked by hand"), "{output}");
}

/// What the port numbers begin with, so that all of them are free. Below the range from which the system gives ports to others.
fn free_ports() -> u16 {
    let start = u16::try_from(std::process::id() % 100).unwrap();
    (0..100)
        .map(|step| 200 + (start + step) % 100)
        .find(|prefix| PORTS.iter().all(|port| is_free(prefix * 100 + port)))
        .expect("a hundred ports in a row that nobody uses")
}

fn is_free(port: u16) -> bool {
    TcpListener::bind(("127.0.0.1", port)).is_ok() && UdpSocket::bind(("127.0.0.1", port)).is_ok()
}

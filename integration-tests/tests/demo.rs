//! The main job, as a newcomer runs it: `kogge demo --once` on both carriers, and what is left behind.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests fail by panicking")]

use std::path::Path;
use std::process::{Command, Output};

use kogge_integration_tests::tool;
use serde_json::Value;
use tempfile::TempDir;

const BINARY: &str = env!("CARGO_BIN_EXE_kogge-under-test");

#[test]
fn once_over_http2() {
    once("h2");
}

#[test]
fn once_over_quic() {
    once("quic");
}

fn once(transport: &str) {
    let dir = tempfile::tempdir().unwrap();
    let demo = dir.path().join("demo");
    let output =
        run(&["demo", "--once", "--json", "--port-base", "0", "--transport", transport, "--dir"], &demo);
    let stdout = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{stdout}{}", String::from_utf8_lossy(&output.stderr));
    let report: Value = serde_json::from_str(&stdout).expect("exactly one JSON object on standard output");
    assert_eq!(report["exchanges"], 3);
    assert_eq!(report["transport"], transport);
    let containers = report["containers"].as_array().unwrap();
    assert_eq!(report["verified"], containers.len());
    assert_eq!(containers.len(), 12, "three exchanges, request and response, on two servers");
    assert!(report["duration_ms"].is_u64());
    for container in containers {
        judge(Path::new(container.as_str().unwrap()), &demo.join("anchor.toml"));
    }
}

/// Looks at one container with our verifier and with tools that others wrote.
fn judge(container: &Path, anchor: &Path) {
    let verdict = run(&["verify", "--anchor", anchor.to_str().unwrap()], container);
    assert!(verdict.status.success(), "{container:?}: {}", String::from_utf8_lossy(&verdict.stdout));
    let files = TempDir::new().unwrap();
    if !tool::present("unzip", &["-v"], "unzip -t on a container") {
        return;
    }
    let _ = tool::content(Command::new("unzip").arg("-t").arg(container));
    let _ = tool::content(Command::new("unzip").args(["-q", "-d"]).arg(files.path()).arg(container));
    let signatures = files.path().join("META-INF/signatures.xml");
    if tool::present("xmlsec1", &["--version"], "xmlsec1 on a container") {
        let id = "http://uri.etsi.org/01903/v1.3.2#:SignedProperties";
        let _ = tool::content(
            Command::new("xmlsec1")
                .current_dir(files.path())
                .args(["--verify", "--insecure", "--id-attr:Id", id])
                .args(["--url-map:/message.xml", "message.xml", "--url-map:/attachment1", "attachment1"])
                .arg(&signatures),
        );
    }
    if tool::present("openssl", &["version"], "openssl x509 on a container") {
        let xml = std::fs::read_to_string(&signatures).unwrap();
        let base64 = xml.split("X509Certificate>").nth(1).unwrap().split('<').next().unwrap();
        let pem = files.path().join("signer.pem");
        std::fs::write(
            &pem,
            format!("-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n", fold(base64)),
        )
        .unwrap();
        let text = tool::content(Command::new("openssl").args(["x509", "-noout", "-text", "-in"]).arg(&pem));
        assert!(text.contains("Non Repudiation"), "{text}");
    }
}

#[test]
fn a_directory_of_somebody_else_is_not_emptied() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("thesis.txt"), "years of work").unwrap();
    let output = run(&["demo", "--once", "--port-base", "0", "--dir"], dir.path());
    assert!(!output.status.success());
    assert!(String::from_utf8_lossy(&output.stderr).contains("--dir"));
    assert!(dir.path().join("thesis.txt").is_file());
}

#[test]
fn a_port_in_use_is_named() {
    let held = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = held.local_addr().unwrap().port().to_string();
    let dir = tempfile::tempdir().unwrap();
    let output = run(&["demo", "--once", "--port-base", &port, "--dir"], &dir.path().join("demo"));
    assert!(!output.status.success());
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(stderr.contains(&port) && stderr.contains("--port-base"), "{stderr}");
}

fn run(args: &[&str], last: &Path) -> Output {
    Command::new(BINARY).args(args).arg(last).output().unwrap()
}

/// PEM wants lines of at most 64 characters.
fn fold(base64: &str) -> String {
    let compact: Vec<char> = base64.chars().filter(|c| !c.is_whitespace()).collect();
    compact
        .chunks(64)
        .map(|line| line.iter().collect::<String>() + "\n")
        .collect::<String>()
        .trim_end()
        .to_owned()
}

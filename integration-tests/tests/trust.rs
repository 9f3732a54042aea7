//! The demo's trust services as others see them, and the line that the demo gives to newcomers.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests fail by panicking")]

use std::path::{Path, PathBuf};
use std::process::Command;

use kogge_integration_tests::{Demo, tool};
use kogge_signer::KeyUse;

const BINARY: &str = env!("CARGO_BIN_EXE_kogge-under-test");

#[test]
fn openssl_is_content_with_the_tsa() {
    if !tool::present("openssl", &["version"], "openssl ts")
        || !tool::present("curl", &["--version"], "openssl ts")
    {
        return;
    }
    let demo = Demo::start(BINARY, &[]).unwrap();
    let files = tempfile::tempdir().unwrap();
    let [data, query, reply] = ["data", "query.tsq", "reply.tsr"].map(|name| files.path().join(name));
    std::fs::write(&data, "what is to be stamped").unwrap();
    for digest in ["-sha256", "-sha512"] {
        let _ = tool::content(
            openssl(&["ts", "-query", digest, "-cert", "-data"]).arg(&data).arg("-out").arg(&query),
        );
        let _ = tool::content(
            Command::new("curl")
                .args(["-sS", "--fail", "-H", "Content-Type: application/timestamp-query", "--data-binary"])
                .arg(format!("@{}", query.display()))
                .arg("-o")
                .arg(&reply)
                .arg(&demo.endpoints.tsa),
        );
        let verify = |of: [&str; 2]| {
            let mut command = openssl(&["ts", "-verify", "-in"]);
            command.arg(&reply).arg("-CAfile").arg(ca(&demo)).args(of);
            command
        };
        assert!(tool::content(&mut verify(["-queryfile", query.to_str().unwrap()])).contains("OK"));
        assert!(tool::content(&mut verify(["-data", data.to_str().unwrap()])).contains("OK"));
        let other = files.path().join("other");
        std::fs::write(&other, "what was not stamped").unwrap();
        let refused = verify(["-data", other.to_str().unwrap()]).output().unwrap();
        assert!(!refused.status.success(), "the judge takes anything");
    }
}

#[test]
fn openssl_is_content_with_the_ocsp_responder() {
    if !tool::present("openssl", &["version"], "openssl ocsp") {
        return;
    }
    let demo = Demo::start(BINARY, &[]).unwrap();
    for role in ["consumer", "provider"] {
        for key_use in [KeyUse::Signing, KeyUse::Authentication] {
            let certificate = certificate(&demo, role, key_use);
            let asked = ask(&demo, &certificate);
            assert!(asked.contains("Response verify OK") && asked.contains(": good"), "{asked}");
        }
    }
    let certificate = certificate(&demo, "provider", KeyUse::Signing);
    demo.trust_services("revoke", &["--certificate", certificate.to_str().unwrap()]);
    let asked = ask(&demo, &certificate);
    assert!(asked.contains("Response verify OK") && asked.contains(": revoked"), "{asked}");
}

/// The responder's answer about a certificate, with nonce, as `openssl ocsp` reads it.
fn ask(demo: &Demo, certificate: &Path) -> String {
    let mut command = openssl(&["ocsp", "-nonce", "-url", &demo.endpoints.ocsp]);
    command.arg("-issuer").arg(issuer(demo)).arg("-cert").arg(certificate).arg("-CAfile").arg(ca(demo));
    tool::content(&mut command)
}

#[test]
fn the_printed_line_returns_data() {
    if !tool::present("curl", &["--version"], "the demo's curl line") {
        return;
    }
    let demo = Demo::start(BINARY, &[]).unwrap();
    assert!(demo.output().contains(&demo.endpoints.curl), "{}", demo.output());
    let output = Command::new("sh").arg("-c").arg(&demo.endpoints.curl).output().unwrap();
    assert!(output.status.success());
    let answer: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(answer["persons"].as_array().unwrap().len(), 2, "{answer}");
}

fn openssl(args: &[&str]) -> Command {
    let mut command = Command::new("openssl");
    command.args(args);
    command
}

fn ca(demo: &Demo) -> PathBuf {
    demo.dir().join("trust-services/ca.pem")
}

/// The CA that has issued the demo's certificates: one below the root if there is one.
fn issuer(demo: &Demo) -> PathBuf {
    let issuing = demo.dir().join("trust-services/issuing.pem");
    if issuing.is_file() { issuing } else { ca(demo) }
}

/// The file of a server's only certificate of this kind.
fn certificate(demo: &Demo, role: &str, key_use: KeyUse) -> PathBuf {
    let token = demo.dir().join(role).join("token");
    let entries = kogge_signer::entries(&token).unwrap();
    let entry = entries.into_iter().find(|entry| entry.key_use == key_use).unwrap();
    token.join("certificates").join(format!("{}.{}.pem", entry.id, entry.chains[0][0].sha256()))
}

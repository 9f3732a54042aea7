//! The reports of `kogge verify`: JSON against its schema, by a validator that others wrote, and the page for people.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::{Value, json};

use super::world::{MESSAGE_ID, World};

const VALIDATOR: &str = "
import json, sys
from jsonschema import Draft202012Validator as V
given = json.load(sys.stdin)
V.check_schema(given['schema'])
for error in V(given['schema']).iter_errors(given['report']):
    print('/'.join(map(str, error.absolute_path)) + ': ' + error.message)
";

/// What the validator says against the report; `None` if it is not installed.
fn complaints(report: &Value) -> Option<String> {
    let output = Command::new(env!("CARGO_BIN_EXE_kogge")).args(["verify", "--schema"]).output().unwrap();
    assert!(output.status.success() && output.stderr.is_empty());
    let schema: Value = serde_json::from_slice(&output.stdout).unwrap();
    let there = Command::new("python3").args(["-c", "import jsonschema"]).stderr(Stdio::null()).status();
    if !there.is_ok_and(|status| status.success()) {
        assert!(std::env::var("CI").as_deref() != Ok("true"), "python3-jsonschema is missing");
        eprintln!("SKIPPED: python3-jsonschema is missing");
        return None;
    }
    let mut python = Command::new("python3")
        .args(["-c", VALIDATOR])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let given = json!({ "schema": schema, "report": report }).to_string();
    python.stdin.take().unwrap().write_all(given.as_bytes()).unwrap();
    let output = python.wait_with_output().unwrap();
    assert!(output.status.success());
    Some(String::from_utf8(output.stdout).unwrap())
}

#[track_caller]
fn conforms(output: &Output, code: i32) -> Value {
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{said}");
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    if let Some(complaints) = complaints(&report) {
        assert_eq!(complaints, "", "{report:#}");
    }
    report
}

fn vectors() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../evidence/tests/xroad")
}

fn openssl_sha256(file: &Path) -> String {
    let output = Command::new("openssl").args(["dgst", "-sha256", "-r"]).arg(file).output().unwrap();
    String::from_utf8(output.stdout).unwrap().split(' ').next().unwrap().to_owned()
}

fn exported(world: &World) {
    let export = ["log", "export", "--dir", "log", "--message-id", MESSAGE_ID, "--out", "a.asice"];
    assert!(world.kogge(&export).status.success());
}

#[test]
fn reports_against_an_anchor_conform_to_the_schema() {
    let world = World::stamped();
    exported(&world);
    let verify = |arguments: &[&str]| {
        world.kogge(&[&["verify", "--json", "--anchor", "anchor.toml"], arguments].concat())
    };
    let report = conforms(&verify(&["a.asice", "log", "--verbose"]), 0);
    assert_eq!(report["results"][0]["sha256"], openssl_sha256(&world.path("a.asice")));
    assert_eq!(
        report["snapshot"]["sha256"],
        openssl_sha256(&world.path(report["snapshot"]["path"].as_str().unwrap()))
    );
    assert_eq!(report["program"]["version"], env!("CARGO_PKG_VERSION"));
    assert!(!report["results"][1]["records"].as_array().unwrap().is_empty());
    for check in report["results"][0]["checks"].as_array().unwrap() {
        assert!(check["clause"].is_string(), "{check}");
    }
    std::fs::write(world.path("none.asice"), b"PK").unwrap();
    let report = conforms(&verify(&["a.asice", "none.asice", "absent.asice"]), 2);
    assert_eq!(report["results"][2]["kind"], "unreadable");
}

#[test]
fn a_report_that_decides_nothing_conforms_to_the_schema() {
    let world = World::new();
    let export =
        ["log", "export", "--dir", "log", "--message-id", MESSAGE_ID, "--unstamped", "--out", "a.asice"];
    assert!(world.kogge(&export).status.success());
    let report =
        conforms(&world.kogge(&["verify", "--json", "--anchor", "anchor.toml", "a.asice", "log"]), 1);
    let checks = report["results"][0]["checks"].as_array().unwrap();
    assert!(checks.iter().any(|check| check["outcome"] == "indeterminate"), "{report:#}");
}

#[test]
fn reports_against_a_configuration_directory_conform_to_the_schema() {
    let table = std::fs::read_to_string(vectors().join("EXPECTED.tsv")).unwrap();
    let files = table.lines().skip(1).map(|line| line.split('\t').next().unwrap());
    let output = Command::new(env!("CARGO_BIN_EXE_kogge"))
        .current_dir(vectors())
        .args(["verify", "--json", "--globalconf", "globalconf"])
        .args(files)
        .output()
        .unwrap();
    let report = conforms(&output, 1);
    assert_eq!(report["results"].as_array().unwrap().len(), 10);
    let document = vectors().join("globalconf/DEV/shared-params.xml");
    assert_eq!(report["globalconf"]["documents"][0]["sha256"], openssl_sha256(&document));
}

/// The schema says something: what is not a report does not conform.
#[test]
fn what_is_no_report_does_not_conform() {
    let output = Command::new(env!("CARGO_BIN_EXE_kogge"))
        .current_dir(vectors())
        .args(["verify", "--json", "--globalconf", "globalconf", "valid-batch-ts.asice", "absent"])
        .output()
        .unwrap();
    let good = conforms(&output, 2);
    for (pointer, value) in [
        ("/passed", json!("yes")),
        ("/globalconf", Value::Null),
        ("/snapshot", json!({})),
        ("/time", json!("today")),
        ("/program/name", json!("other")),
        ("/results/0/sha256", json!("00")),
        ("/results/0/statement/kind", json!("letter")),
        ("/results/0/checks/0/outcome", json!("maybe")),
        ("/results/0/checks/0/name", json!("Container Zip")),
        ("/results/0/checks/0/clause", json!(4)),
        ("/results/1/error", Value::Null),
        ("/results/1/passed", json!(true)),
    ] {
        let mut bad = good.clone();
        if let Some(place) = bad.pointer_mut(pointer) {
            *place = value;
        } else {
            bad[&pointer[1..]] = value;
        }
        let Some(complaints) = complaints(&bad) else { return };
        assert_ne!(complaints, "", "{pointer}");
    }
}

#[test]
fn the_page_has_what_the_report_has_and_leaves_the_exit_code_alone() {
    let world = World::stamped();
    exported(&world);
    std::fs::write(world.path("<b>&.asice"), b"PK").unwrap();
    let arguments = ["verify", "a.asice", "--anchor", "anchor.toml", "--html", "report.html"];
    let output = world.kogge(&arguments);
    assert_eq!(output.status.code(), Some(0));
    assert!(String::from_utf8_lossy(&output.stdout).contains("a.asice: PASSED"));
    let page = std::fs::read_to_string(world.path("report.html")).unwrap();
    let digest = openssl_sha256(&world.path("a.asice"));
    for expected in [
        "<h1>Verification of evidence: <span class=passed>PASSED</span></h1>",
        MESSAGE_ID,
        &digest,
        "<code>signature.value</code></td><td class=passed>passed</td>",
        "XMLDSig 1.1 section 3.2.2, RFC 9231",
        "SHA-256 of a root key",
        env!("CARGO_PKG_VERSION"),
    ] {
        assert!(page.contains(expected), "{expected}\n{page}");
    }
    let output = world.kogge(&["verify", "<b>&.asice", "--anchor", "anchor.toml", "--html", "report.html"]);
    assert_eq!(output.status.code(), Some(1));
    let page = std::fs::read_to_string(world.path("report.html")).unwrap();
    assert!(page.contains("&lt;b&gt;&amp;.asice: <span class=failed>NOT PASSED</span>"), "{page}");
    assert!(!page.contains("<b>"));
    let output =
        world.kogge(&["verify", "a.asice", "--anchor", "anchor.toml", "--html", "absent/report.html"]);
    assert_eq!(output.status.code(), Some(2));
}

#[test]
fn reports_of_bundles_conform_to_the_schema() {
    let world = World::stamped();
    let bundle = ["log", "bundle", "--dir", "log", "--out", "a.bundle"];
    assert!(world.kogge(&bundle).status.success());
    let verify = |arguments: &[&str]| {
        world.kogge(&[&["verify", "--anchor", "anchor.toml", "--json"], arguments].concat())
    };
    let report = conforms(&verify(&["a.bundle", "--verbose"]), 0);
    assert_eq!(report["results"][0]["records"].as_array().unwrap().len(), 2);
    assert!(report["anchor"]["path"].is_string() && report["snapshot"].is_null());
    conforms(&verify(&["a.bundle", "log"]), 0);
    let mut bytes = std::fs::read(world.path("a.bundle")).unwrap();
    bytes.truncate(40);
    std::fs::write(world.path("a.bundle"), bytes).unwrap();
    let report = conforms(&verify(&["a.bundle"]), 1);
    assert!(report["results"][0]["snapshot"].is_null(), "{report:#}");
}

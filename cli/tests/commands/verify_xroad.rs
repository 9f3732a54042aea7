//! `kogge verify --globalconf` on X-Road's own containers.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

fn vectors() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../evidence/tests/xroad")
}

fn verify(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_kogge"));
    command
        .current_dir(vectors())
        .env_remove("RUST_BACKTRACE")
        .arg("verify")
        .args(arguments)
        .output()
        .unwrap()
}

fn said(output: &Output) -> String {
    String::from_utf8([&output.stdout[..], &output.stderr].concat()).unwrap()
}

#[test]
fn each_container_gets_the_expected_exit_code_and_every_failure_a_line() {
    let table = std::fs::read_to_string(vectors().join("EXPECTED.tsv")).unwrap();
    for line in table.lines().skip(1) {
        let [file, _xroad, ours, _why] = line.split('\t').collect::<Vec<_>>()[..] else { panic!("{line}") };
        let output = verify(&[file, "--globalconf", "globalconf"]);
        let said = said(&output);
        assert_eq!(output.status.code(), Some(i32::from(ours != "ok")), "{said}");
        assert_eq!(said.contains("FAIL  "), ours != "ok", "{said}");
        assert!(
            said.contains("globalconf of instance DEV (instances: DEV), which is taken as given"),
            "{said}"
        );
    }
}

#[test]
fn json_says_what_was_checked_against() {
    let arguments = ["valid-batch-ts.asice", "no-message.asice", "--globalconf", "globalconf", "--json"];
    let output = verify(&arguments);
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    let json: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(json["globalconf"]["instance"], "DEV");
    assert_eq!(json["results"][0]["passed"], true);
    assert_eq!(json["results"][0]["statement"]["signer"], "DEV/COM/4321");
    assert_eq!(json["results"][1]["passed"], false);
    assert!(json.get("snapshot").is_none());
}

#[test]
fn what_cannot_be_read_is_exit_code_2() {
    for (arguments, because) in [
        (&["absent.asice", "--globalconf", "globalconf"][..], "cannot be read"),
        (&["globalconf", "--globalconf", "globalconf"], "message logs are checked against an --anchor"),
        (&["valid-batch-ts.asice", "--globalconf", "globalconf/DEV"], "instance-identifier"),
        (&["valid-batch-ts.asice", "--globalconf", "absent"], "cannot use the configuration directory"),
        (&["valid-batch-ts.asice", "--globalconf", "globalconf", "--anchor", "a"], "cannot be used with"),
        (&["valid-batch-ts.asice"], "--anchor"),
    ] {
        let output = verify(arguments);
        let said = said(&output);
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(said.contains(because), "{said}");
    }
}

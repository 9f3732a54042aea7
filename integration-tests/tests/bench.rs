//! `kogge bench` end to end: a short look at the product, and what it says about the logs. Nothing here is about how fast it is.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests fail by panicking")]

use std::process::Command;

use serde_json::Value;

const BINARY: &str = env!("CARGO_BIN_EXE_kogge-under-test");

#[test]
fn what_was_answered_is_found_whole_and_valid_on_both_sides() {
    let dir = tempfile::tempdir().unwrap();
    let mut bench = Command::new(BINARY);
    bench.args(["bench", "--only", "product", "--pairs", "1", "--seconds", "1", "--warm-up", "0.2"]);
    bench.args([
        "--connections",
        "2",
        "--others-max",
        "100",
        "--open",
        "0.5",
        "--post",
        "200",
        "--json",
        "--dir",
    ]);
    let output = bench.arg(dir.path().join("bench")).output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{stderr}");
    let report: Value = serde_json::from_slice(&output.stdout).expect("exactly one JSON object");
    let audit = &report["audit"];
    assert_eq!(audit["holds"], true, "{report:#}");
    assert!(audit["answered"].as_u64().unwrap() > 0);
    assert_eq!(audit["answered"], audit["logged"]);
    assert_eq!(audit["answered"], audit["verified"]);
    assert_eq!(audit["strangers"], 0);
    let runs = report["runs"].as_array().unwrap();
    assert_eq!(runs.len(), 2, "one at full speed and one at half of it");
    for run in runs {
        assert!(run["exchanges"].as_u64().unwrap() > 0, "{run}");
        assert!(run["log_bytes_per_exchange"].as_f64().unwrap() > 1000.0, "{run}");
        for part in ["A", "B", "backend", "load"] {
            assert!(run["cpu_us_per_exchange"][part].as_f64().unwrap() > 0.0, "{run}");
        }
    }
    assert!(runs[0]["open_loop_rate"].is_null());
    assert!(runs[1]["open_loop_rate"].as_f64().unwrap() > 0.0);
}

#[test]
fn a_directory_of_somebody_else_is_not_emptied() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("thesis.txt"), "years of work").unwrap();
    let output = Command::new(BINARY).args(["bench", "--dir"]).arg(dir.path()).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(stderr.contains("was not made by a demo"), "{stderr}");
    assert!(dir.path().join("thesis.txt").is_file());
}

//! `kogge verify` on real containers and a real log, whole and damaged.

use std::path::Path;
use std::process::Output;

use serde_json::Value;

use super::world::{CLIENT, MESSAGE_ID, World};

/// A world whose request and response have been exported to `request.asice` and `response.asice`.
fn exported() -> World {
    let world = World::stamped();
    for (out, response) in [("request.asice", &[][..]), ("response.asice", &["--response"])] {
        let export = ["log", "export", "--dir", "log", "--message-id", MESSAGE_ID, "--out", out];
        assert!(world.kogge(&[&export[..], response].concat()).status.success());
    }
    world
}

fn verify(world: &World, arguments: &[&str]) -> Output {
    world.kogge(&[&["verify", "--anchor", "anchor.toml"], arguments].concat())
}

fn said(output: &Output) -> String {
    String::from_utf8([&output.stdout[..], &output.stderr].concat()).unwrap()
}

fn expect(output: &Output, code: i32) -> String {
    assert_eq!(output.status.code(), Some(code), "{}", said(output));
    said(output)
}

fn json(output: &Output, code: i32) -> Value {
    expect(output, code);
    serde_json::from_slice(&output.stdout).unwrap()
}

/// Flips a bit of one byte of a file, runs `check`, and puts the file back.
fn flipped(path: &Path, position: usize, check: impl FnOnce()) {
    let good = std::fs::read(path).unwrap();
    let mut bad = good.clone();
    bad[position] ^= 0x01;
    std::fs::write(path, bad).unwrap();
    check();
    std::fs::write(path, good).unwrap();
}

#[test]
fn a_log_without_bodies_passes_and_says_so() {
    let world = World::without_bodies();
    let said = expect(&verify(&world, &["log", "--verbose"]), 0);
    assert!(said.contains("log: PASSED, 2 records: 2 passed"), "{said}");
    assert_eq!(said.matches("the body itself was not kept").count(), 2, "{said}");
}

#[test]
fn whole_containers_pass_and_every_check_is_named() {
    let world = exported();
    let said = expect(&verify(&world, &["request.asice", "response.asice"]), 0);
    assert_eq!(said.matches(": PASSED").count(), 2, "{said}");
    assert!(said.contains(CLIENT) && said.contains("PASS    signature.value"), "{said}");
    let report = json(&verify(&world, &["request.asice", "response.asice", "--json"]), 0);
    assert_eq!(report["passed"], true);
    assert_eq!(report["snapshot"]["version"], 1);
    assert_eq!(report["results"][1]["statement"]["kind"], "response");
    assert_eq!(report["results"][1]["statement"]["signer"], "DEMO/GOV/2002");
    let checks = report["results"][0]["checks"].as_array().unwrap();
    assert!(checks.len() > 10 && checks.iter().all(|check| check["outcome"] == "passed"), "{checks:?}");
}

#[test]
fn a_flipped_byte_anywhere_in_a_container_is_found_and_the_check_named() {
    let world = exported();
    let container = world.path("request.asice");
    let length = std::fs::metadata(&container).unwrap().len() as usize;
    for position in (0..length).step_by(length / 40) {
        flipped(&container, position, || {
            let report = json(&verify(&world, &["request.asice", "--json"]), 1);
            let checks = report["results"][0]["checks"].as_array().unwrap();
            assert!(checks.iter().any(|check| check["outcome"] == "failed"), "byte {position}");
        });
    }
    expect(&verify(&world, &["request.asice"]), 0);
}

#[test]
fn what_is_no_container_fails_by_name() {
    let world = exported();
    for content in [&b""[..], b"PK\x03\x04", b"no zip at all"] {
        std::fs::write(world.path("other.asice"), content).unwrap();
        let said = expect(&verify(&world, &["other.asice"]), 1);
        assert!(said.contains("FAIL    container.zip"), "{said}");
    }
}

#[test]
fn one_bad_container_among_good_ones_is_exit_code_1() {
    let world = exported();
    std::fs::write(world.path("other.asice"), b"no zip at all").unwrap();
    let said = expect(&verify(&world, &["request.asice", "other.asice", "response.asice"]), 1);
    assert_eq!((said.matches(": PASSED").count(), said.matches(": FAILED").count()), (2, 1), "{said}");
}

#[test]
fn a_log_without_records_is_not_good() {
    let world = World::stamped();
    for segment in std::fs::read_dir(world.path("log/segments")).unwrap() {
        std::fs::remove_file(segment.unwrap().path()).unwrap();
    }
    let said = expect(&verify(&world, &["log"]), 1);
    assert!(said.contains("was acknowledged, and is not in the log"), "{said}");
    std::fs::remove_file(world.path("log/acknowledged")).unwrap();
    let said = expect(&verify(&world, &["log"]), 1);
    assert!(said.contains("log: NOT DECIDED, 0 records") && said.contains("UNSURE  log.structure"), "{said}");
    assert_eq!(json(&verify(&world, &["log", "--json"]), 1)["passed"], false);
}

#[test]
fn what_cannot_be_read_is_exit_code_2_and_the_rest_is_judged_all_the_same() {
    let world = exported();
    std::fs::write(world.path("other.asice"), b"no zip at all").unwrap();
    std::fs::create_dir(world.path("empty")).unwrap();
    for unreadable in ["missing.asice", "empty"] {
        let said = expect(&verify(&world, &[unreadable, "request.asice", "other.asice"]), 2);
        assert!(
            said.contains(unreadable) && said.contains(": PASSED") && said.contains(": FAILED"),
            "{said}"
        );
    }
}

#[test]
fn a_whole_log_passes() {
    let world = World::stamped();
    let said = expect(&verify(&world, &["log"]), 0);
    assert!(
        said.contains("log: PASSED, 2 records: 2 passed") && said.contains("PASS    log.structure"),
        "{said}"
    );
    let report = json(&verify(&world, &["log", "--json", "--verbose"]), 0);
    assert_eq!(report["results"][0]["counts"]["records"], 2);
    assert_eq!(report["results"][0]["records"][1]["statement"]["message_id"], MESSAGE_ID);
}

#[test]
fn a_log_is_verified_while_the_server_writes_it() {
    let world = World::new();
    world.stamp();
    expect(&verify(&world, &["log"]), 0);
}

#[test]
fn records_without_timestamp_are_not_good_yet() {
    let mut world = World::new();
    world.close();
    let said = expect(&verify(&world, &["log"]), 1);
    assert!(said.contains("log: NOT DECIDED") && said.contains("UNSURE  timestamp.present"), "{said}");
    let export =
        ["log", "export", "--dir", "log", "--message-id", MESSAGE_ID, "--unstamped", "--out", "a.asice"];
    assert!(world.kogge(&export).status.success());
    let said = expect(&verify(&world, &["a.asice"]), 1);
    assert!(said.contains("a.asice: NOT DECIDED"), "{said}");
}

#[test]
fn a_flipped_byte_anywhere_in_the_records_of_a_log_is_found() {
    let world = World::stamped();
    let segment = std::fs::read_dir(world.path("log/segments")).unwrap().next().unwrap().unwrap().path();
    let bytes = std::fs::read(&segment).unwrap();
    // The rest is preallocated with zeros and holds no record.
    let used = bytes.iter().rposition(|byte| *byte != 0).unwrap() + 1;
    for position in (0..used).step_by(used / 40) {
        flipped(&segment, position, || {
            let said = expect(&verify(&world, &["log"]), 1);
            assert!(said.contains("log: FAILED") && said.contains("FAIL    log."), "byte {position}: {said}");
        });
    }
    expect(&verify(&world, &["log"]), 0);
}

#[test]
fn an_altered_or_missing_body_is_found() {
    let world = World::stamped();
    let body = std::fs::read_dir(world.path("log/bodies")).unwrap().next().unwrap().unwrap().path();
    flipped(&body, 299_999, || {
        let said = expect(&verify(&world, &["log"]), 1);
        assert!(said.contains("FAIL    log.body"), "{said}");
    });
    std::fs::remove_file(&body).unwrap();
    let said = expect(&verify(&world, &["log"]), 1);
    assert!(said.contains("log.body"), "{said}");
}

#[test]
fn without_a_snapshot_it_says_what_to_do() {
    let world = exported();
    std::fs::rename(world.path("data/snapshot"), world.path("elsewhere")).unwrap();
    let said = expect(&verify(&world, &["request.asice"]), 2);
    assert!(said.contains("--snapshot") && said.contains("http://registry.example/snapshot"), "{said}");
    expect(&verify(&world, &["request.asice", "--snapshot", "elsewhere"]), 0);
}

#[test]
fn an_altered_snapshot_or_one_of_other_keys_is_never_used() {
    let world = exported();
    let stranger = World::stamped();
    let foreign = stranger.path("data/snapshot");
    let foreign = foreign.to_str().unwrap();
    expect(&verify(&world, &["request.asice", "--snapshot", foreign]), 2);
    std::fs::copy(foreign, world.path("snapshot")).unwrap();
    let said = expect(&verify(&world, &["request.asice"]), 0);
    assert!(said.contains("passed over") && said.contains("from ./data/snapshot"), "{said}");

    let snapshot = world.path("data/snapshot");
    let length = std::fs::metadata(&snapshot).unwrap().len() as usize;
    for position in (0..length).step_by(length / 20) {
        flipped(&snapshot, position, || {
            expect(&verify(&world, &["request.asice", "--snapshot", "data/snapshot"]), 2);
        });
    }
}

#[test]
fn evidence_of_strangers_does_not_pass() {
    let (world, stranger) = (exported(), exported());
    let foreign = stranger.path("request.asice");
    let said = expect(&verify(&world, &[foreign.to_str().unwrap(), "--snapshot", "data/snapshot"]), 1);
    assert!(said.contains("FAIL    signer.path") && said.contains("FAIL    timestamp.token"), "{said}");

    let foreign = stranger.path("log");
    let said = expect(&verify(&world, &[foreign.to_str().unwrap(), "--snapshot", "data/snapshot"]), 1);
    assert!(said.contains("log: FAILED, 2 records: 0 passed, 2 failed, 0 not decided"), "{said}");
    assert!(said.contains("FAIL    signer.path") && said.contains("PASS    log.structure"), "{said}");
}

#[test]
fn verification_leaves_no_trace() {
    let world = exported();
    let listing = || {
        let mut names = Vec::new();
        let mut left = vec![world.path("")];
        while let Some(dir) = left.pop() {
            for entry in std::fs::read_dir(dir).unwrap() {
                let entry = entry.unwrap();
                let metadata = entry.metadata().unwrap();
                names.push((entry.path(), metadata.len(), metadata.modified().unwrap()));
                if metadata.is_dir() {
                    left.push(entry.path());
                }
            }
        }
        names.sort();
        names
    };
    let before = listing();
    expect(&verify(&world, &["log", "request.asice", "response.asice"]), 0);
    assert_eq!(listing(), before);
}

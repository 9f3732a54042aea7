//! `kogge log bundle`, `kogge verify` of bundles, `kogge log unpack`: whole, hostile, and beside a running server.

use std::process::Output;

use serde_json::Value;

use super::world::{MESSAGE_ID, World};

fn said(output: &Output) -> String {
    String::from_utf8([&output.stdout[..], &output.stderr].concat()).unwrap()
}

#[track_caller]
fn expect(output: &Output, code: i32) -> String {
    assert_eq!(output.status.code(), Some(code), "{}", said(output));
    said(output)
}

fn bundle(world: &World, arguments: &[&str]) -> Output {
    world.kogge(&[&["log", "bundle", "--dir", "log", "--out", "out.bundle"], arguments].concat())
}

#[track_caller]
fn verify(world: &World, code: i32) -> Value {
    let output = world.kogge(&["verify", "--anchor", "anchor.toml", "--json", "out.bundle"]);
    expect(&output, code);
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn a_bundle_passes_with_nothing_but_the_anchor() {
    let world = World::stamped();
    let told = expect(&bundle(&world, &[]), 0);
    assert!(told.contains("wrote 2 records to out.bundle: 1 requests and 1 responses"), "{told}");
    // The log and the snapshot are gone.
    std::fs::remove_dir_all(world.path("log")).unwrap();
    std::fs::remove_dir_all(world.path("data")).unwrap();
    let output = world.kogge(&["verify", "--anchor", "anchor.toml", "--verbose", "out.bundle"]);
    let told = expect(&output, 0);
    for check in [
        "bundle.structure",
        "bundle.complete",
        "bundle.checkpoint",
        "bundle.inclusion",
        "bundle.snapshot",
        "record.entry",
    ] {
        assert!(told.contains(&format!("PASS    {check}")), "{check} is not in\n{told}");
    }
    let report = verify(&world, 0);
    assert_eq!(report["results"][0]["counts"]["passed"], 2);
}

#[test]
fn unpacked_containers_are_those_that_the_log_exports() {
    let world = World::stamped();
    expect(&bundle(&world, &[]), 0);
    expect(&world.kogge(&["log", "unpack", "out.bundle", "--out", "unpacked"]), 0);
    for (response, direction) in [(&[][..], "request"), (&["--response"], "response")] {
        let export = ["log", "export", "--dir", "log", "--message-id", MESSAGE_ID, "--out", "exported.asice"];
        expect(&world.kogge(&[&export[..], response].concat()), 0);
        let exported = std::fs::read(world.path("exported.asice")).unwrap();
        let unpacked = std::fs::read_dir(world.path("unpacked")).unwrap().map(|entry| entry.unwrap().path());
        let same = unpacked.filter(|path| path.to_str().unwrap().contains(direction)).collect::<Vec<_>>();
        assert_eq!(same.len(), 1);
        assert_eq!(std::fs::read(&same[0]).unwrap(), exported, "{direction}");
    }
    let again = world.kogge(&["log", "unpack", "out.bundle", "--out", "unpacked"]);
    assert!(expect(&again, 2).contains("is not empty"));
}

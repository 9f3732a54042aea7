//! Every input that the fuzzer has ever found worth keeping, and every one that once failed, is taken again.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests fail by panicking")]

use std::collections::BTreeSet;
use std::io::Cursor;
use std::path::{Path, PathBuf};

use kogge_evidence::verify;
use kogge_fuzz_targets::{TARGETS, world};

fn corpus() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../corpus")
}

/// The inputs of each target are taken by it; a target that panics names the file before.
#[test]
fn the_corpus_is_taken_without_a_panic() {
    for target in TARGETS {
        let mut inputs: Vec<PathBuf> =
            corpus().join(target.name).read_dir().unwrap().map(|entry| entry.unwrap().path()).collect();
        inputs.sort();
        assert!(!inputs.is_empty(), "{} has no corpus", target.name);
        for input in inputs {
            println!("{}", input.display());
            (target.run)(&std::fs::read(&input).unwrap());
        }
    }
}

#[test]
fn each_folder_of_the_corpus_is_one_targets() {
    let folders: BTreeSet<String> =
        corpus().read_dir().unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    let names: BTreeSet<String> = TARGETS.iter().map(|target| target.name.to_owned()).collect();
    assert_eq!(folders, names);
}

/// Otherwise "nothing altered passes" would be true of a world in which nothing passes at all.
#[test]
fn what_is_known_is_good() {
    let verdict = verify::container(Cursor::new(world::CONTAINER), &*world::TRUSTED);
    assert!(verdict.report.passed(), "{}", verdict.report);
    let verdict = verify::container(Cursor::new(world::XROAD_CONTAINER), &*world::GLOBALCONF);
    assert!(verdict.report.passed(), "{}", verdict.report);
    let freshness = kogge_certs::ocsp::Freshness {
        age_max: std::time::Duration::from_secs(3600),
        skew_max: std::time::Duration::from_secs(3600),
    };
    let at = world::TRUSTED.issued();
    kogge_certs::ocsp::verify(world::OCSP, &world::SIGNER_PATH, freshness, None, at).unwrap();
}

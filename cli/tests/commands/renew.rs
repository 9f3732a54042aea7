//! `kogge log renew`: which timestamps it renews, what it leaves on the disk, and what becomes of that in containers and verdicts.

use std::path::PathBuf;
use std::process::Output;
use std::time::Duration;

use super::world::{MESSAGE_ID, World};

const DAY: Duration = Duration::from_secs(24 * 3600);

fn said(output: &Output) -> String {
    String::from_utf8([&output.stdout[..], &output.stderr].concat()).unwrap()
}

#[track_caller]
fn expect(output: &Output, code: i32) -> String {
    assert_eq!(output.status.code(), Some(code), "{}", said(output));
    said(output)
}

fn renew(world: &World, options: &[&str]) -> Output {
    world.kogge(&[&["log", "renew", "--dir", "log", "--anchor", "anchor.toml"], options].concat())
}

fn verify(world: &World, path: &str) -> Output {
    world.kogge(&["verify", "--anchor", "anchor.toml", path])
}

fn export(world: &World) -> Output {
    world.kogge(&["log", "export", "--dir", "log", "--message-id", MESSAGE_ID, "--out", "a.asice"])
}

/// The files of renewals, without the lock.
fn renewals(world: &World) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(world.path("log/renewals")) else { return vec![] };
    let mut paths: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.retain(|path| !path.ends_with("lock"));
    paths.sort();
    paths
}

/// The log's own authority has a certificate that ends tomorrow.
#[test]
fn what_ends_soon_is_renewed_once_and_stands_in_containers() {
    let mut world = World::stamped();
    world.approve_tsa(DAY * 400);
    let done = expect(&renew(&world, &[]), 0);
    assert!(done.contains("renewed 1 timestamps in log/renewals/0000000001: by CN=Newer TSA 0"), "{done}");
    let again = expect(&renew(&world, &[]), 0);
    assert!(again.contains("nothing to renew: 1 timestamps were looked at"), "{again}");
    assert_eq!(renewals(&world), [world.path("log/renewals/0000000001")]);

    let log = expect(&verify(&world, "log"), 0);
    assert!(log.contains("PASS    log.renewal") && log.contains("1 renewals cover 1 timestamps"), "{log}");
    expect(&export(&world), 0);
    let container = expect(&verify(&world, "a.asice"), 0);
    assert!(
        container.contains("PASS    timestamp.renewal")
            && container.contains("renewed once by CN=Newer TSA 0"),
        "{container}"
    );

    // That one is renewed in turn, by an authority that lasts longer, and the chain grows.
    world.approve_tsa(DAY * 800);
    expect(&renew(&world, &["--expiring-within", "500"]), 0);
    expect(&export(&world), 0);
    let container = expect(&verify(&world, "a.asice"), 0);
    assert!(container.contains("renewed several times, the last by CN=Newer TSA 1"), "{container}");
    let log = expect(&verify(&world, "log"), 0);
    assert!(log.contains("2 renewals cover 1 timestamps"), "{log}");
}

#[test]
fn which_timestamps_are_due_can_be_said() {
    let mut world = World::stamped();
    let tsa = world.approve_tsa(DAY * 400);
    let nothing = |options: &[&str]| {
        let told = expect(&renew(&world, options), 0);
        assert!(told.contains("nothing to renew"), "{options:?}: {told}");
        assert_eq!(renewals(&world), Vec::<PathBuf>::new());
    };
    nothing(&["--expiring-within", "0"]);
    nothing(&["--before", "2020-01-01"]);
    expect(&renew(&world, &["--before", "2020-01-01", "--all"]), 2);
    expect(&renew(&world, &["--tsa", "http://other.example/"]), 2);
    expect(&renew(&world, &["--before", "2999-01-01", "--tsa", &tsa]), 0);
    // Without a gain only if told so.
    let told = expect(&renew(&world, &["--before", "2999-01-01"]), 1);
    assert!(told.contains("no approved authority has a certificate that lasts longer"), "{told}");
    assert_eq!(renewals(&world).len(), 1);
    expect(&renew(&world, &["--all"]), 0);
    assert_eq!(renewals(&world).len(), 2);
}

#[test]
fn what_cannot_be_renewed_is_said_and_nothing_is_written() {
    // The only authority is the one that ends, and does not answer.
    let world = World::stamped();
    let told = expect(&renew(&world, &[]), 1);
    assert!(told.contains("1 timestamps should be renewed, but no approved authority"), "{told}");
    let told = expect(&renew(&world, &["--all"]), 1);
    assert!(told.contains("no timestamping authority answered well, and nothing was written"), "{told}");
    assert_eq!(renewals(&world), Vec::<PathBuf>::new());
    expect(&world.kogge(&["log", "renew", "--dir", "log"]), 2);
    expect(&world.kogge(&["log", "renew", "--dir", "missing", "--anchor", "anchor.toml"]), 2);
}

/// Whatever happens to a renewal, the log and its own stamps are what they were; and the verifier says what happened.
#[test]
fn a_damaged_renewal_is_named_and_takes_nothing_with_it() {
    let mut world = World::stamped();
    world.approve_tsa(DAY * 400);
    expect(&renew(&world, &[]), 0);
    let path = world.path("log/renewals/0000000001");
    let good = std::fs::read(&path).unwrap();
    for position in [0, 20, good.len() / 2, good.len() - 1] {
        let mut bad = good.clone();
        bad[position] ^= 1;
        std::fs::write(&path, bad).unwrap();
        let log = expect(&verify(&world, "log"), 1);
        assert!(
            log.contains("FAIL    log.renewal") && log.contains("renewals/0000000001: not a renewal"),
            "{log}"
        );
        assert!(log.contains("2 passed, 0 failed"), "{log}");
        let told = expect(&export(&world), 0);
        assert!(told.contains("renewals/0000000001: not a renewal") && told.contains("left out"), "{told}");
        expect(&verify(&world, "a.asice"), 0);
    }
    // What a crash leaves behind while the file is written.
    std::fs::rename(&path, world.path("log/renewals/.0000000001.tmp")).unwrap();
    let log = expect(&verify(&world, "log"), 0);
    assert!(!log.contains("log.renewal"), "{log}");
    expect(&renew(&world, &[]), 0);
    assert_eq!(renewals(&world), [path]);
    let log = expect(&verify(&world, "log"), 0);
    assert!(log.contains("PASS    log.renewal"), "{log}");
}

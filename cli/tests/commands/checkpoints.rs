//! `kogge verify` on logs whose timestamp batches carry checkpoints.
#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

use kogge_proto::digest::{Sha256, sha256};
use kogge_tlog::proof::List;

use crate::world::World;

const VERIFY: [&str; 6] = ["verify", "log", "--anchor", "anchor.toml", "--snapshot", "data/snapshot"];

/// The exit code and the lines about checkpoints.
fn judged(world: &World) -> (i32, Vec<String>) {
    let output = world.kogge(&VERIFY);
    let text = String::from_utf8(output.stdout).unwrap();
    let lines = text.lines().filter(|line| line.contains("  log.checkpoint  "));
    (output.status.code().unwrap(), lines.map(str::to_owned).collect())
}

fn stamped_with(checkpoint: impl FnOnce(&World) -> Vec<u8>) -> (i32, Vec<String>) {
    let mut world = World::new();
    world.stamp_with(&checkpoint(&world));
    world.close();
    judged(&world)
}

fn refused(checkpoint: impl FnOnce(&World) -> Vec<u8>) -> String {
    let (code, lines) = stamped_with(checkpoint);
    let [line] = lines.try_into().unwrap();
    assert_eq!((code, line.get(..4)), (1, Some("FAIL")), "{line}");
    line
}

fn list(size: u64) -> List {
    List { size, root: Sha256([7; 32]) }
}

#[test]
fn a_log_extends_the_checkpoints_in_its_batches() {
    let mut world = World::new();
    world.stamp();
    world.exchange();
    world.stamp();
    world.close();
    let (code, lines) = judged(&world);
    assert_eq!(code, 0);
    let [line] = lines.try_into().unwrap();
    assert!(line.starts_with("PASS    log.checkpoint  the log extends its 2 stamped checkpoints"), "{line}");
}

#[test]
fn stamps_of_older_versions_have_none() {
    assert_eq!(stamped_with(|_| Vec::new()), (0, vec![]));
}

#[test]
fn what_the_log_does_not_extend_is_named() {
    let server = "DEMO/GOV/1001/SS1";
    let forked = refused(|world| world.checkpoint_of(server, list(10)));
    assert!(forked.ends_with("the log was forked or rewritten"), "{forked}");
    let cut = refused(|world| world.checkpoint_of(server, list(4711)));
    assert!(cut.contains("it is over 4711 entries, the log has"), "{cut}");
    let other = refused(|world| world.checkpoint_of("DEMO/GOV/2002/SS1", list(5)));
    assert!(other.ends_with("it is of the log of DEMO/GOV/2002/SS1"), "{other}");
    let none = refused(|_| sha256(b"").0.to_vec());
    assert!(none.contains("the note is not"), "{none}");
}

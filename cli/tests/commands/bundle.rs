//! `kogge log bundle`, `kogge verify` of bundles, `kogge log unpack`: whole, hostile, and beside a running server.

use std::process::Output;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use kogge_proto::digest::sha256;
use kogge_proto::wire::bundle::{End, Forget, Item, Record, Way, item};
use prost::Message;
use serde_json::Value;

use super::world::{CLIENT, MESSAGE_ID, SERVICE, World};

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

/// Kind and payload of each block.
type Blocks = Vec<(u8, Vec<u8>)>;

const MAGIC: &[u8] = b"KOGGE-BUNDLE 1\n";
const ITEMS: u8 = 3;
const BODY: u8 = 4;
const END: u8 = 5;

/// Takes a bundle apart by what the documentation says, not by the code that made it.
fn blocks(bundle: &[u8]) -> Blocks {
    let mut rest = bundle.strip_prefix(MAGIC).unwrap();
    let mut blocks = Vec::new();
    while !rest.is_empty() {
        let length = u32::from_le_bytes(rest[1..5].try_into().unwrap()) as usize;
        blocks.push((rest[0], rest[5..5 + length].to_vec()));
        rest = &rest[5 + length + 32..];
    }
    blocks
}

/// Puts one together, with digests that are right.
fn joined(blocks: &Blocks) -> Vec<u8> {
    let mut bundle = MAGIC.to_vec();
    let mut digest = sha256(MAGIC);
    for (kind, payload) in blocks {
        let head = [&[*kind][..], &(payload.len() as u32).to_le_bytes()].concat();
        digest = sha256(&[digest.as_bytes(), &head[..], payload].concat());
        bundle.extend([&head[..], payload, digest.as_bytes()].concat());
    }
    bundle
}

/// A world with a bundle, and the bundle.
fn bundled() -> (World, Vec<u8>) {
    let world = World::stamped();
    expect(&bundle(&world, &[]), 0);
    let bytes = std::fs::read(world.path("out.bundle")).unwrap();
    (world, bytes)
}

/// The checks of the bundle and of its records that did not pass.
#[track_caller]
fn not_passed(world: &World, bytes: &[u8]) -> Vec<String> {
    std::fs::write(world.path("out.bundle"), bytes).unwrap();
    let report = verify(world, 1);
    let result = &report["results"][0];
    assert_eq!(result["passed"], false, "{report:#}");
    let lists = std::iter::once(&result["checks"])
        .chain(result["records"].as_array().into_iter().flatten().map(|record| &record["checks"]));
    let checks = lists.flat_map(|checks| checks.as_array().unwrap());
    let failed = checks.filter(|check| check["outcome"] == "failed");
    failed.map(|check| check["name"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn the_documentation_is_enough_to_take_a_bundle_apart_and_put_it_together() {
    let (_world, bytes) = bundled();
    let blocks = blocks(&bytes);
    assert_eq!(joined(&blocks), bytes);
    let kinds: Vec<u8> = blocks.iter().map(|(kind, _)| *kind).collect();
    // The response's body is large.
    assert_eq!(kinds, [1, 2, ITEMS, BODY, BODY, END]);
}

#[test]
fn a_bundle_that_was_cut_off_anywhere_is_not_whole() {
    let (world, bytes) = bundled();
    let mut ends = vec![MAGIC.len(), MAGIC.len() + 3, bytes.len() - 1];
    let mut at = MAGIC.len();
    for (_, payload) in blocks(&bytes) {
        ends.extend([at, at + 5 + payload.len() / 2, at + 5 + payload.len()]);
        at += 5 + payload.len() + 32;
    }
    for end in ends {
        assert_eq!(not_passed(&world, &bytes[..end]), ["bundle.complete"], "{end}");
    }
    let more = [&bytes[..], &[0]].concat();
    assert_eq!(not_passed(&world, &more), ["bundle.complete"]);
}

#[test]
fn a_flipped_bit_in_any_block_is_found() {
    let (world, bytes) = bundled();
    let mut at = MAGIC.len();
    for (_, payload) in blocks(&bytes) {
        // Kind, each byte of the length, the first, middle and last byte, the digest.
        for position in [
            0,
            1,
            2,
            3,
            4,
            5,
            5 + payload.len() / 2,
            4 + payload.len(),
            5 + payload.len(),
            36 + payload.len(),
        ] {
            let mut altered = bytes.clone();
            altered[at + position] ^= 0x01;
            let failed = not_passed(&world, &altered);
            // A length may lead beyond the end.
            assert!(
                failed == ["bundle.structure"] || failed == ["bundle.complete"],
                "{at} {position}: {failed:?}"
            );
        }
        at += 5 + payload.len() + 32;
    }
}

#[test]
fn blocks_that_were_moved_repeated_or_taken_out_are_found_also_with_the_right_digests() {
    let (world, bytes) = bundled();
    let good = blocks(&bytes);
    for at in 0..good.len() {
        let mut without = good.clone();
        without.remove(at);
        let failed = not_passed(&world, &joined(&without));
        let expected = if good[at].0 == END { "bundle.complete" } else { "bundle.structure" };
        assert_eq!(failed, [expected], "without {at}");

        let mut twice = good.clone();
        twice.insert(at, good[at].clone());
        let failed = not_passed(&world, &joined(&twice));
        let expected = match good[at].0 {
            END => "bundle.complete",
            2 => "bundle.snapshot",
            _ => "bundle.structure",
        };
        assert_eq!(failed, [expected], "{at} twice");

        if at + 1 < good.len() && good[at] != good[at + 1] {
            let mut swapped = good.clone();
            swapped.swap(at, at + 1);
            let failed = not_passed(&world, &joined(&swapped));
            assert!(!failed.is_empty(), "{at} swapped");
        }
    }
}

/// What a reader may have of a block that says it is large: nothing.
#[test]
fn huge_lengths_are_refused_before_they_are_believed() {
    let (world, bytes) = bundled();
    let mut huge = bytes.clone();
    huge[MAGIC.len() + 1..MAGIC.len() + 5].copy_from_slice(&u32::MAX.to_le_bytes());
    assert_eq!(not_passed(&world, &huge), ["bundle.structure"]);
    // A million empty items, and a length of an item that is not there.
    for payload in [vec![0; 1024 * 1024], vec![0xff, 0xff, 0xff, 0xff, 0x0f], vec![0xff; 11]] {
        let mut good = blocks(&bytes);
        good.insert(2, (ITEMS, payload));
        assert_eq!(not_passed(&world, &joined(&good)), ["bundle.structure"]);
    }
}

/// Alters items and puts the bundle together again with the right digests: only what is said can tell.
fn altered(bytes: &[u8], alter: impl Fn(&mut Vec<item::Item>)) -> Vec<u8> {
    let mut all = blocks(bytes);
    for (_, payload) in all.iter_mut().filter(|(kind, _)| *kind == ITEMS) {
        let mut rest = payload.as_slice();
        let mut items = Vec::new();
        while !rest.is_empty() {
            items.push(Item::decode_length_delimited(&mut rest).unwrap().item.unwrap());
        }
        alter(&mut items);
        let items = items.into_iter().map(|item| Item { item: Some(item) });
        *payload = items.flat_map(|item| item.encode_length_delimited_to_vec()).collect();
    }
    joined(&all)
}

fn records(items: &mut [item::Item]) -> Vec<&mut Record> {
    let mut found = Vec::new();
    for item in items {
        if let item::Item::Record(record) = item {
            found.push(record);
        }
    }
    found
}

fn ways(items: &mut [item::Item]) -> Vec<&mut Way> {
    let mut found = Vec::new();
    for item in items {
        if let item::Item::Way(way) = item {
            found.push(way);
        }
    }
    found
}

fn flip(bytes: &Bytes) -> Bytes {
    let mut flipped = bytes.to_vec();
    let middle = flipped.len() / 2;
    flipped[middle] ^= 1;
    flipped.into()
}

/// What it does to the items, and a check that must fail.
type Alteration<'a> = (&'a str, &'a dyn Fn(&mut Vec<item::Item>));

#[test]
fn each_altered_field_fails_the_check_that_a_reader_would_name() {
    let (world, bytes) = bundled();
    let alterations: &[Alteration<'_>] = &[
        ("record.entry", &|items| records(items)[0].entry = flip(&records(items)[0].entry)),
        ("bundle.inclusion", &|items| {
            let record = &mut records(items)[0];
            record.entry = flip(&record.entry);
            record.sha256 = sha256(&record.entry).0.to_vec().into();
        }),
        ("bundle.inclusion", &|items| records(items)[0].sha256 = flip(&records(items)[0].sha256)),
        ("bundle.inclusion", &|items| records(items)[0].passed = flip(&records(items)[0].passed)),
        ("bundle.inclusion", &|items| records(items)[0].passed = Bytes::new()),
        ("bundle.inclusion", &|items| records(items)[0].sequence += 1),
        ("bundle.inclusion", &|items| records(items)[1].sequence = 0),
        ("bundle.structure", &|items| records(items)[0].client = 77),
        ("record.fields", &|items| {
            let record = &mut records(items)[0];
            std::mem::swap(&mut record.client, &mut record.service);
        }),
        ("record.entry", &|items| records(items)[0].client = 0),
        ("bundle.structure", &|items| records(items)[0].material[0] = 77),
        ("record.entry", &|items| records(items)[0].material.truncate(1)),
        ("record.entry", &|items| records(items)[0].material[1] = 0),
        ("signature.certificate", &|items| records(items)[0].material.swap(0, 1)),
        ("signature.value", &|items| records(items)[0].material[0] = records(items)[1].material[0]),
        ("timestamp.tree", &|items| records(items)[0].material[1] = records(items)[1].material[1]),
        ("bundle.structure", &|items| records(items)[0].way = 0),
        ("bundle.structure", &|items| records(items)[0].way = 2),
        ("record.entry", &|items| records(items)[0].body = Some(Bytes::from_static(b"another"))),
        ("record.entry", &|items| records(items)[0].body = Some(Bytes::new())),
        ("bundle.structure", &|items| records(items)[0].body_follows = Some(3)),
        ("bundle.structure", &|items| records(items)[1].body_follows = Some(5)),
        ("bundle.structure", &|items| records(items)[1].body_follows = None),
        ("bundle.structure", &|items| records(items)[1].body_follows = Some(u64::MAX)),
        ("timestamp.tree", &|items| ways(items)[0].sha256 = flip(&ways(items)[0].sha256)),
        ("bundle.structure", &|items| ways(items)[0].sha256 = Bytes::new()),
        ("timestamp.tree", &|items| ways(items)[0].size += 3),
        ("timestamp.tree", &|items| ways(items)[0].size = u32::MAX),
        ("timestamp.tree", &|items| ways(items)[0].leaves.reverse()),
        ("timestamp.tree", &|items| ways(items)[0].nodes = Bytes::from_static(&[7; 64])),
        ("bundle.structure", &|items| ways(items)[0].nodes = Bytes::from_static(&[7; 31])),
        ("bundle.structure", &|items| ways(items)[0].token = 1),
        ("bundle.structure", &|items| items.retain(|item| !matches!(item, item::Item::Way(_)))),
        ("bundle.structure", &|items| items.insert(0, item::Item::Material(Bytes::new()))),
        ("bundle.structure", &|items| items.retain(|item| !matches!(item, item::Item::Token(_)))),
        ("timestamp.token", &|items| {
            for item in items {
                if let item::Item::Token(token) = item {
                    *token = flip(token);
                }
            }
        }),
        ("record.fields", &|items| {
            for item in items {
                if let item::Item::Name(name) = item {
                    name.push('x');
                }
            }
        }),
        ("bundle.structure", &|items| {
            let at = items.len() - 2;
            items.insert(at, item::Item::Forget(Forget {}));
        }),
    ];
    for (number, (check, alter)) in alterations.iter().enumerate() {
        let failed = not_passed(&world, &altered(&bytes, alter));
        assert!(failed.iter().any(|failed| failed == check), "{number}: {check} is not among {failed:?}");
    }
}

#[test]
fn a_bad_record_does_not_make_others_bad() {
    let (world, bytes) = bundled();
    let spoiled = altered(&bytes, |items| {
        ways(items)[0].sha256 = {
            let mut digests = ways(items)[0].sha256.to_vec();
            digests[0] ^= 1;
            digests.into()
        }
    });
    std::fs::write(world.path("out.bundle"), spoiled).unwrap();
    // A leaf that is another leads to another root; the tree is of both.
    let report = verify(&world, 1);
    assert_eq!(report["results"][0]["counts"]["failed"], 2);
    let spoiled = altered(&bytes, |items| {
        let record = &mut records(items)[0];
        record.entry = flip(&record.entry);
    });
    std::fs::write(world.path("out.bundle"), spoiled).unwrap();
    let report = verify(&world, 1);
    assert_eq!(report["results"][0]["counts"]["failed"], 1);
    assert_eq!(report["results"][0]["counts"]["passed"], 1);
}

#[test]
fn an_encoding_that_hides_something_is_refused() {
    let (world, bytes) = bundled();
    let mut all = blocks(&bytes);
    // An unknown field (number 15, a varint) behind the first item, whose length grows by two.
    let payload = &mut all[2].1;
    let mut rest = payload.as_slice();
    let item = Item::decode_length_delimited(&mut rest).unwrap().encode_to_vec();
    let longer = [item, vec![0x78, 0x01]].concat();
    let mut hidden = Vec::new();
    prost::encode_length_delimiter(longer.len(), &mut hidden).unwrap();
    *payload = [&hidden, &longer, rest].concat();
    assert_eq!(not_passed(&world, &joined(&all)), ["bundle.structure"]);
}

/// What an END says is held against what is there, and against the log's first entry.
#[test]
fn each_altered_field_of_the_end_is_found() {
    let (world, bytes) = bundled();
    type Change<'a> = (&'a str, &'a dyn Fn(&mut End));
    let changes: &[Change<'_>] = &[
        ("bundle.complete", &|end| end.requests += 1),
        ("bundle.complete", &|end| end.responses -= 1),
        ("bundle.complete", &|end| end.without_body = 1),
        ("bundle.complete", &|end| end.unstamped = 1),
        ("bundle.structure", &|end| (end.requests, end.responses) = (u64::MAX, 2)),
        ("bundle.checkpoint", &|end| end.checkpoint = end.checkpoint.replace("1001", "2002")),
        ("bundle.checkpoint", &|end| end.checkpoint.push_str("an extension\n")),
        ("bundle.checkpoint", &|end| end.checkpoint.clear()),
        ("bundle.inclusion", &|end| end.passed = flip(&end.passed)),
        ("bundle.inclusion", &|end| end.passed = Bytes::new()),
        ("bundle.inclusion", &|end| {
            let mut lines: Vec<&str> = end.checkpoint.lines().collect();
            lines[2] = "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=";
            end.checkpoint = lines.join("\n") + "\n";
        }),
        ("bundle.inclusion", &|end| {
            let mut lines: Vec<&str> = end.checkpoint.lines().collect();
            lines[1] = "1000";
            end.checkpoint = lines.join("\n") + "\n";
        }),
    ];
    for (number, (check, change)) in changes.iter().enumerate() {
        let mut all = blocks(&bytes);
        let last = all.last_mut().unwrap();
        let mut end = End::decode(last.1.as_slice()).unwrap();
        change(&mut end);
        last.1 = end.encode_to_vec();
        let failed = not_passed(&world, &joined(&all));
        assert!(failed.iter().any(|failed| failed == check), "{number}: {check} is not among {failed:?}");
    }
}

#[test]
fn signatures_that_nobody_can_check_are_not_called_good() {
    let (world, bytes) = bundled();
    let mut all = blocks(&bytes);
    let last = all.last_mut().unwrap();
    let mut end = End::decode(last.1.as_slice()).unwrap();
    end.checkpoint.push_str("\n\u{2014} somebody AAAAAAAA\n");
    last.1 = end.encode_to_vec();
    std::fs::write(world.path("out.bundle"), joined(&all)).unwrap();
    let output = world.kogge(&["verify", "--anchor", "anchor.toml", "out.bundle"]);
    let told = expect(&output, 1);
    assert!(told.contains("NOT DECIDED") && told.contains("UNSURE  bundle.checkpoint"), "{told}");
}

#[test]
fn a_snapshot_or_a_first_entry_from_elsewhere_is_found() {
    let (world, bytes) = bundled();
    let (_other, foreign) = bundled();
    let (good, foreign) = (blocks(&bytes), blocks(&foreign));
    let with = |at: usize| {
        let mut all = good.clone();
        all[at] = foreign[at].clone();
        joined(&all)
    };
    assert_eq!(not_passed(&world, &with(0)), ["bundle.inclusion"]);
    assert_eq!(not_passed(&world, &with(1)), ["bundle.snapshot"]);
    let failed = not_passed(&world, &with(good.len() - 1));
    assert!(failed.contains(&"bundle.inclusion".to_owned()), "another log's checkpoint: {failed:?}");
    // Another snapshot takes the place of the one inside, if the anchor vouches for it.
    std::fs::write(world.path("out.bundle"), with(1)).unwrap();
    let given = ["verify", "--anchor", "anchor.toml", "--snapshot", "data/snapshot", "out.bundle"];
    let told = expect(&world.kogge(&given), 0);
    assert!(told.contains("not looked at: --snapshot was given"), "{told}");
}

#[test]
fn only_what_was_asked_for_is_in_the_bundle_and_the_rest_is_passed_over_by_hashes() {
    let world = World::new();
    for _ in 0..3 {
        world.exchange();
    }
    world.stamp();
    world.exchange();
    let text = |arguments: &[&str], code| expect(&bundle(&world, arguments), code);
    assert!(text(&[], 0).contains("2 records have no timestamp yet and were left out"));
    assert_eq!(verify(&world, 0)["results"][0]["counts"]["records"], 8);
    text(&["--unstamped"], 0);
    let report = verify(&world, 1);
    assert_eq!(
        report["results"][0]["counts"],
        serde_json::json!({"records": 10, "passed": 8, "failed": 0, "undecided": 2})
    );
    assert_eq!(report["results"][0]["unstamped"], 2);

    let listed = expect(&world.kogge(&["log", "list", "--dir", "log", "--json"]), 0);
    let times: Vec<Value> = listed.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let time = times[3]["time"].as_str().unwrap();
    text(&["--from", time], 0);
    let later = verify(&world, 0)["results"][0]["counts"]["records"].as_u64().unwrap();
    text(&["--to", time], 0);
    let report = verify(&world, 0);
    assert_eq!(later + report["results"][0]["counts"]["records"].as_u64().unwrap(), 8);
    let before = std::fs::metadata(world.path("out.bundle")).unwrap().modified().unwrap();
    for nothing in [["--client", "DEMO/GOV/2002/nobody"], ["--to", "1970-01-01"]] {
        assert!(text(&nothing, 1).contains("no record of the log is to be put in"));
    }
    let after = std::fs::metadata(world.path("out.bundle")).unwrap().modified().unwrap();
    assert_eq!(before, after, "the bundle that was there stays");
    text(&["--client", CLIENT, "--service", SERVICE], 0);
    assert_eq!(verify(&world, 0)["results"][0]["counts"]["records"], 8);
}

/// `World::new` keeps the log open, as a server does; meanwhile it writes on.
#[test]
fn a_bundle_is_made_beside_a_server_that_writes() {
    let world = World::new();
    world.stamp();
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let writing = scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                world.exchange();
                world.stamp();
            }
        });
        for _ in 0..5 {
            expect(&bundle(&world, &["--unstamped"]), 0);
            let output = world.kogge(&["verify", "--anchor", "anchor.toml", "--json", "out.bundle"]);
            let report: Value = serde_json::from_slice(&output.stdout).unwrap();
            let result = &report["results"][0];
            assert_eq!(result["counts"]["failed"], 0, "{report:#}");
            let whole = result["checks"].as_array().unwrap();
            assert!(whole.iter().all(|check| check["outcome"] == "passed"), "{whole:?}");
        }
        stop.store(true, Ordering::Relaxed);
        writing.join().unwrap();
    });
}

#[test]
fn a_bundle_whose_making_was_killed_is_not_there_or_whole() {
    let world = World::new();
    for _ in 0..40 {
        world.exchange();
    }
    world.stamp();
    let arguments = ["log", "bundle", "--dir", "log", "--out", "killed.bundle"];
    for pause in [0, 1, 2, 4, 8, 16, 32] {
        let mut child = std::process::Command::new(env!("CARGO_BIN_EXE_kogge"))
            .args(arguments)
            .current_dir(world.path(""))
            .stdout(std::process::Stdio::null())
            .spawn()
            .unwrap();
        std::thread::sleep(std::time::Duration::from_millis(pause));
        child.kill().unwrap();
        child.wait().unwrap();
        if world.path("killed.bundle").exists() {
            let output = world.kogge(&["verify", "--anchor", "anchor.toml", "killed.bundle"]);
            expect(&output, 0);
            std::fs::remove_file(world.path("killed.bundle")).unwrap();
        }
    }
    // What was left behind is in nobody's way.
    expect(&world.kogge(&arguments), 0);
}

#[test]
fn a_body_that_was_not_kept_is_told_by_its_digest() {
    let world = World::without_bodies();
    let told = expect(&bundle(&world, &[]), 0);
    assert!(told.contains("2 whose body was not kept"), "{told}");
    assert_eq!(verify(&world, 0)["results"][0]["without_body"], 2);
    let told = expect(&world.kogge(&["log", "unpack", "out.bundle", "--out", "unpacked"]), 1);
    assert!(told.contains("wrote 0 containers") && told.contains("its body was not kept"), "{told}");
}

#[test]
fn a_damaged_log_or_a_missing_snapshot_gives_no_bundle() {
    let world = World::stamped();
    let told = expect(&bundle(&world, &["--snapshot", "nowhere"]), 2);
    assert!(told.contains("cannot read the registry snapshot nowhere"), "{told}");
    std::fs::rename(world.path("data/snapshot"), world.path("away")).unwrap();
    assert!(expect(&bundle(&world, &[]), 2).contains("--snapshot FILE"));
    let segment = world.path("log/segments/0000000001.log");
    let mut bytes = std::fs::read(&segment).unwrap();
    for at in [2000, 5000] {
        bytes[at] ^= 1;
        std::fs::write(&segment, &bytes).unwrap();
        // The second one damages what could be a torn end, if the log had no note that it was acknowledged.
        let told = expect(&bundle(&world, &["--snapshot", "away"]), 1);
        assert!(told.contains("log."), "{told}");
        bytes[at] ^= 1;
    }
    assert!(!world.path("out.bundle").exists());
}

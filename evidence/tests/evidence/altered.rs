//! No byte of a container can change unnoticed.

use std::io::{Cursor, Write};

use kogge_evidence::report::Outcome;
use kogge_evidence::verify;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipArchive, ZipWriter};

use crate::exported::{Exported, Which};
use crate::world::{Wish, World};

#[test]
fn every_single_byte_of_a_small_container_counts() {
    let exported = Exported::request(Some(b"{\"code\":1}"));
    let snapshot = exported.snapshot();
    let good = exported.container();
    let verdict = verify::container(Cursor::new(&good), &snapshot);
    assert!(verdict.report.passed(), "{}", verdict.report);
    for at in 0..good.len() {
        // One bit, and all bits.
        for mask in [1 << (at % 8), 0xff] {
            let mut altered = good.clone();
            altered[at] ^= mask;
            let verdict = verify::container(Cursor::new(&altered), &snapshot);
            assert!(verdict.report.failed().count() > 0, "byte {at} ^ {mask:#x}\n{}", verdict.report);
        }
    }
}

/// An attacker repairs the checksums of the archive, so that only the evidence itself can tell. Before it is stamped, no hash tree
/// covers the signature document; still nothing of it can change.
#[test]
fn every_single_byte_counts_behind_a_repaired_checksum() {
    for stamped in [true, false] {
        let world = World::new();
        let credential = world.credential(&Wish { by_intermediate: true, ..Wish::default() });
        let mut exported = Exported::signed(world, Which::Request, Some(b"{}"), &credential);
        if !stamped {
            exported.stamp = None;
        }
        let snapshot = exported.snapshot();
        let good = exported.container();
        assert_eq!(verify::container(Cursor::new(&good), &snapshot).report.failed().count(), 0);
        for (name, content) in entries(&good) {
            // What the evidence record covers is at least as hard to change with it as without it.
            if stamped && !name.to_lowercase().contains("evidencerecord") {
                continue;
            }
            for at in 0..content.len() {
                let altered = repaired(&good, &name, |content| content[at] ^= 1 << (at % 8));
                let verdict = verify::container(Cursor::new(&altered), &snapshot);
                assert!(verdict.report.failed().count() > 0, "{name}, byte {at}\n{}", verdict.report);
                let zip = verdict.report.outcome("container.zip");
                assert_eq!(zip, Some(Outcome::Passed), "the archive itself is repaired");
            }
        }
    }
}

/// The same XML in other bytes: canonicalisation hides the difference from every digest.
#[test]
fn equivalent_xml_is_not_the_same_document() {
    let mut exported = Exported::request(None);
    exported.stamp = None;
    let altered = repaired(&exported.container(), "META-INF/signatures.xml", |content| {
        for (from, to) in [
            ("Target=\"#signature\"", "Target='#signature'"),
            (" Id=\"signed-properties\"", " Id='signed-properties'"),
        ] {
            let at = content.windows(from.len()).position(|window| window == from.as_bytes()).unwrap();
            content[at..at + from.len()].copy_from_slice(to.as_bytes());
        }
    });
    let verdict = verify::container(Cursor::new(altered), &exported.snapshot());
    let failed: Vec<_> = verdict.report.failed().map(|check| (check.name, check.reason.as_str())).collect();
    assert_eq!(
        failed,
        [("container.layout", "the signature document is not written as its content would be")]
    );
}

/// Parts of another container of the same member, each good where it comes from.
#[test]
fn parts_of_different_containers_do_not_fit_together() {
    let exported = Exported::request(Some(b"{}"));
    let mut other = Exported::request(Some(b"[]"));
    other.record.message_id = "other".to_owned();
    let snapshot = exported.snapshot();
    let own = entries(&exported.container());
    let foreign = entries(&other.container());
    for (name, expected) in [
        ("attachment1", &["signature.digest.attachment", "container.layout"][..]),
        ("META-INF/evidencerecord.ers", &["timestamp.tree", "container.layout"]),
        ("META-INF/ASiCEvidenceRecordManifest001.xml", &["container.manifest", "container.layout"]),
        (
            "META-INF/signatures.xml",
            &[
                "container.manifest",
                "signature.digest.attachment",
                "signer.path",
                "timestamp.tree",
                "container.layout",
            ],
        ),
    ] {
        let place = own.iter().position(|(found, _)| found == name).unwrap();
        let mut mixed = own.clone();
        mixed[place] = foreign[place].clone();
        let packed = pack(&mixed, CompressionMethod::Stored);
        let verdict = verify::container(Cursor::new(packed), &snapshot);
        let failed: Vec<_> = verdict.report.failed().map(|check| check.name).collect();
        assert_eq!(failed, expected, "{name}\n{}", verdict.report);
    }
}

#[test]
fn nothing_can_be_cut_off_put_before_or_added() {
    let exported = Exported::request(None);
    let snapshot = exported.snapshot();
    let good = exported.container();
    let refused = |bytes: &[u8]| {
        let verdict = verify::container(Cursor::new(bytes), &snapshot);
        assert!(verdict.report.failed().count() > 0, "{}", verdict.report);
    };
    for cut in (0..good.len()).step_by(7) {
        refused(&good[..cut]);
        refused(&good[cut + 1..]);
    }
    refused(&[&good[..], &[0]].concat());
    refused(&[&[0], &good[..]].concat());
    refused(&[&good[..], &good[..]].concat());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(8))]

    /// Containers of every kind of key and path, with random bodies and at random places.
    #[test]
    fn random_bytes_of_random_containers_count(
        body in prop::option::of(prop::collection::vec(any::<u8>(), 0..150_000)),
        by_intermediate in any::<bool>(),
        seeds in prop::collection::vec((any::<prop::sample::Index>(), 1_u8..), 60),
    ) {
        let world = World::new();
        let credential = world.credential(&Wish { by_intermediate, ..Wish::default() });
        let exported = Exported::signed(world, Which::Request, body.as_deref(), &credential);
        let snapshot = exported.snapshot();
        let good = exported.container();
        prop_assert!(verify::container(Cursor::new(&good), &snapshot).report.passed());
        for (index, mask) in seeds {
            let mut altered = good.clone();
            let at = index.index(altered.len());
            altered[at] ^= mask;
            let verdict = verify::container(Cursor::new(&altered), &snapshot);
            prop_assert!(verdict.report.failed().count() > 0, "byte {} ^ {:#x}\n{}", at, mask, verdict.report);
        }
    }
}

/// The same entries packed by another writer: each deviation fails the check that is about it.
#[test]
fn other_archives_of_the_same_parts_are_refused() {
    let exported = Exported::request(Some(b"{}"));
    let snapshot = exported.snapshot();
    let parts = entries(&exported.container());
    let refused = |packed: Vec<u8>, expected: &[&str]| {
        let verdict = verify::container(Cursor::new(packed), &snapshot);
        let failed: Vec<_> = verdict.report.failed().map(|check| check.name).collect();
        assert_eq!(failed, expected, "{}", verdict.report);
    };
    let with = |change: &dyn Fn(&mut Entries)| {
        let mut parts = parts.clone();
        change(&mut parts);
        pack(&parts, CompressionMethod::Stored)
    };
    refused(with(&|_| {}), &["container.layout"]);
    refused(with(&|parts| parts.swap(0, 1)), &["container.entries", "container.layout"]);
    refused(
        with(&|parts| parts.push(("extra.txt".to_owned(), b"x".to_vec()))),
        &["container.entries", "container.layout"],
    );
    refused(
        with(&|parts| parts.push(("../../etc/passwd".to_owned(), b"x".to_vec()))),
        &["container.entries", "container.layout"],
    );
    let many = |parts: &mut Entries| {
        parts.extend((0..20).map(|number| (number.to_string(), Vec::new())));
    };
    refused(with(&many), &["container.zip"]);
    let deflated = pack(&parts, CompressionMethod::Deflated);
    let verdict = verify::container(Cursor::new(deflated), &snapshot);
    assert!(verdict.report.failed().any(|check| check.name == "container.mimetype"), "{}", verdict.report);
}

/// Two readers could take one entry each.
#[test]
fn an_entry_that_stands_twice_is_refused() {
    let exported = Exported::request(Some(b"{}"));
    let mut parts = entries(&exported.container());
    parts.push(("attachment2".to_owned(), b"[]".to_vec()));
    let mut packed = pack(&parts, CompressionMethod::Stored);
    for at in 0..packed.len() {
        if packed[at..].starts_with(b"attachment2") {
            packed[at + 10] = b'1';
        }
    }
    let verdict = verify::container(Cursor::new(packed), &exported.snapshot());
    let zip = &verdict.report.checks[0];
    assert_eq!((zip.name, zip.reason.as_str()), ("container.zip", "an entry stands twice"));
    assert_eq!(verdict.report.failed().count(), 1, "{}", verdict.report);
}

/// Random files, and random bytes in place of each part, never make the verifier panic or pass.
#[test]
fn nonsense_is_refused_without_panic() {
    let exported = Exported::request(Some(b"{}"));
    let snapshot = exported.snapshot();
    let parts = entries(&exported.container());
    let mut runner = TestRunner::new(Config::with_cases(300));
    let nonsense = (0..parts.len(), prop::collection::vec(any::<u8>(), 0..400));
    runner
        .run(&nonsense, |(place, content)| {
            let mut parts = parts.clone();
            parts[place].1 = content.clone();
            let packed = pack(&parts, CompressionMethod::Stored);
            prop_assert!(verify::container(Cursor::new(packed), &snapshot).report.failed().count() > 0);
            prop_assert!(verify::container(Cursor::new(content), &snapshot).report.failed().count() > 0);
            Ok(())
        })
        .unwrap();
}

/// Names and contents.
pub(crate) type Entries = Vec<(String, Vec<u8>)>;

pub(crate) fn entries(container: &[u8]) -> Entries {
    let mut archive = ZipArchive::new(Cursor::new(container)).unwrap();
    (0..archive.len())
        .map(|index| {
            let mut entry = archive.by_index(index).unwrap();
            let mut content = Vec::new();
            std::io::Read::read_to_end(&mut entry, &mut content).unwrap();
            (entry.name().unwrap().into_owned(), content)
        })
        .collect()
}

/// The container with one entry changed in place and its checksums made right again.
pub(crate) fn repaired(container: &[u8], name: &str, change: impl FnOnce(&mut [u8])) -> Vec<u8> {
    let mut archive = ZipArchive::new(Cursor::new(container)).unwrap();
    let entry = archive.by_name(name).unwrap();
    let place = |at: u64| usize::try_from(at).unwrap();
    let (start, size) = (place(entry.data_start().unwrap()), place(entry.size()));
    // APPNOTE 4.3.7 and 4.3.12.
    let checksums = [place(entry.header_start()) + 14, place(entry.central_header_start()) + 16];
    let mut altered = container.to_vec();
    let content = &mut altered[start..start + size];
    change(content);
    let checksum = crc32fast::hash(content).to_le_bytes();
    for at in checksums {
        altered[at..at + 4].copy_from_slice(&checksum);
    }
    altered
}

pub(crate) fn pack(parts: &[(String, Vec<u8>)], method: CompressionMethod) -> Vec<u8> {
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, content) in parts {
        zip.start_file(name, SimpleFileOptions::default().compression_method(method)).unwrap();
        zip.write_all(content).unwrap();
    }
    zip.finish().unwrap().into_inner()
}

//! Deviations of valid containers, one thing at a time: each entry, each line, each element and attribute, each node of each DER structure, each header
//! field of the archive. Every one is refused, and among the failed checks is the one that a reader would name.

mod archive;
mod der;
mod text;
mod xml;

use std::collections::BTreeMap;
use std::io::Cursor;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use kogge_evidence::globalconf::GlobalConf;
use kogge_evidence::report::{Outcome, Report};
use kogge_evidence::verification_conf::shared_params;
use kogge_evidence::verify;

use crate::altered::{Entries, entries};
use crate::exported::{Exported, Which};
use crate::world::{Wish, World};

/// One thing made otherwise.
pub(crate) struct Deviation {
    /// Where: the entry's name, then the way inside it.
    place: String,
    /// What was done there.
    kind: &'static str,
    /// What came of it.
    bytes: Vec<u8>,
}

impl Deviation {
    fn new(place: impl Into<String>, kind: &'static str, bytes: Vec<u8>) -> Self {
        Self { place: place.into(), kind, bytes }
    }

    /// The same inside of something larger.
    fn within(self, place: &str, wrap: impl FnOnce(Vec<u8>) -> Vec<u8>) -> Self {
        Self { place: format!("{place}/{}", self.place), kind: self.kind, bytes: wrap(self.bytes) }
    }
}

#[test]
fn each_deviation_of_a_container_fails_the_check_that_is_about_it() {
    let world = World::new();
    let credential = world.credential(&Wish { by_intermediate: true, ..Wish::default() });
    let exported = Exported::signed(world, Which::Request, Some(b"{\"code\":1}"), &credential);
    let snapshot = exported.snapshot();
    let good = exported.container();
    let verdict = verify::container(Cursor::new(&good), &snapshot);
    assert!(verdict.report.passed(), "{}", verdict.report);
    judge(&good, &of_container(&good), CHECKS, 1_500, |bytes| {
        let verdict = verify::container(Cursor::new(bytes), &snapshot);
        (verdict.report.passed(), not_passed(&verdict.report))
    });
}

/// In X-Road's form there are bytes that no digest covers and that no reader heeds: the archive's dates, `xsi` and the like. What says something is refused.
#[test]
fn each_deviation_of_a_container_in_xroads_form_fails_the_check_that_is_about_it() {
    let exported = Exported::in_batch(World::new(), Some(b"{\"code\":1}"), 3, 1);
    let snapshot = exported.snapshot();
    let conf = GlobalConf::read("TEST", [shared_params(&snapshot, &[])]).unwrap();
    let good = exported.xroad_container();
    let verdict = verify::container(Cursor::new(&good), &conf);
    assert!(verdict.report.passed(), "{}", verdict.report);
    let mut deviations = of_container(&good);
    deviations.retain(|deviation| !deviation.place.starts_with("headers/"));
    judge(&good, &deviations, XROAD_CHECKS, 2_000, |bytes| {
        let verdict = verify::container(Cursor::new(bytes), &conf);
        (verdict.report.passed(), not_passed(&verdict.report))
    });
}

/// Which check must be among the failed ones, by the longest beginning of the place that stands there, and the kind if it matters.
const CHECKS: &str = include_str!("deviations/eidas.tsv");
const XROAD_CHECKS: &str = include_str!("deviations/xroad.tsv");

/// All of them, of one container of stored entries.
fn of_container(good: &[u8]) -> Vec<Deviation> {
    let parts = entries(good);
    assert!(archive::stored(&parts) == good, "the archive is not written as by Kogge");
    let mut all = archive::deviations(good, &parts);
    for (at, (name, content)) in parts.iter().enumerate() {
        let inside = match name.as_str() {
            "mimetype" | "message.xml" => text::deviations(content),
            "attachment1" => text::bytes(content),
            _ if name.ends_with(".xml") => xml_with_der(content),
            _ => der::deviations(content),
        };
        all.extend(inside.into_iter().map(|deviation| {
            deviation.within(name, |content| {
                let mut changed = parts.clone();
                changed[at].1 = content;
                archive::stored(&changed)
            })
        }));
    }
    all
}

/// Of the XML, and of the DER structures that stand in it in base64.
fn xml_with_der(content: &[u8]) -> Vec<Deviation> {
    let text = std::str::from_utf8(content).unwrap();
    let mut all = xml::deviations(text);
    for (place, range) in xml::texts(text) {
        let Ok(der) = STANDARD.decode(&text[range.clone()]) else { continue };
        if !place.contains("Encapsulated") && !place.ends_with("X509Certificate") {
            continue;
        }
        all.extend(der::deviations(&der).into_iter().map(|deviation| {
            deviation.within(&place, |der| {
                [&text[..range.start], &STANDARD.encode(der), &text[range.end..]].concat().into_bytes()
            })
        }));
    }
    all
}

fn not_passed(report: &Report) -> Vec<&'static str> {
    let checks = report.checks.iter().filter(|check| check.outcome != Outcome::Passed);
    checks.map(|check| check.name).collect()
}

/// Every deviation is refused, by the check that the table names; but those that it calls harmless pass.
fn judge(
    good: &[u8],
    deviations: &[Deviation],
    checks: &str,
    at_least: usize,
    verdict: impl Fn(&[u8]) -> (bool, Vec<&'static str>),
) {
    let mut wrong = BTreeMap::new();
    for Deviation { place, kind, bytes } in deviations.iter().filter(|deviation| deviation.bytes != good) {
        let (passed, failed) = verdict(bytes);
        let expected = expected(checks, place, kind);
        if expected == Some("harmless") && passed {
            continue;
        }
        let named = expected.is_some_and(|expected| expected.split('|').any(|one| failed.contains(&one)));
        if passed || !named {
            wrong.insert(format!("{place}:{kind}"), (expected, failed));
        }
    }
    for (deviation, (expected, failed)) in &wrong {
        println!("{deviation}\t{}\t{}", expected.unwrap_or("-"), failed.join(","));
    }
    assert!(wrong.is_empty(), "{} of {} deviations", wrong.len(), deviations.len());
    assert!(deviations.len() >= at_least, "there are only {} deviations", deviations.len());
}

/// From a line `place, kind or *, check|check…` of the table.
fn expected<'c>(checks: &'c str, place: &str, kind: &str) -> Option<&'c str> {
    let rows = checks.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    let fitting = rows.filter_map(|line| {
        let [at, wanted, check] = line.split('\t').collect::<Vec<_>>()[..] else {
            panic!("{line:?} has not three columns")
        };
        let fits = place.starts_with(at) && (wanted == "*" || wanted == kind);
        fits.then_some(((at.len(), wanted != "*"), check))
    });
    fitting.max_by_key(|(weight, _)| *weight).map(|(_, check)| check)
}

pub(crate) fn without(parts: &Entries, at: usize) -> Entries {
    let mut left = parts.clone();
    left.remove(at);
    left
}

/// What the container is decides how it is read; the trust decides only whom it is believed.
#[test]
fn each_form_is_read_under_either_trust() {
    for body in [None, Some(&b"{\"code\":1}"[..])] {
        let exported = Exported::in_batch(World::new(), body, 3, 1);
        let snapshot = exported.snapshot();
        let conf = GlobalConf::read("TEST", [shared_params(&snapshot, &[])]).unwrap();
        let xroad = verify::container(Cursor::new(exported.xroad_container()), &snapshot);
        assert!(xroad.report.passed(), "{}", xroad.report);
        assert_eq!(xroad.report.outcome("registry.time"), Some(Outcome::Passed));
        assert_eq!(xroad.report.outcome("container.layout"), None);
        let own = exported.container();
        let verdict = verify::container(Cursor::new(&own), &conf);
        assert!(verdict.report.passed(), "{}", verdict.report);
        assert_eq!(verdict.statement.signer, xroad.statement.signer);
        // A date in a header of the ZIP file, which only the layout covers.
        let mut dated = own;
        dated[10] ^= 1;
        let report = verify::container(Cursor::new(&dated), &conf).report;
        assert_eq!(
            report.failed().map(|check| check.name).collect::<Vec<_>>(),
            ["container.layout"],
            "{report}"
        );
    }
}

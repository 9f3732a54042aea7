//! The verifier: what is good passes every check, and what is wrong fails the check that is about it.

use std::io::Cursor;
use std::time::Duration;

use kogge_certs::ocsp::Answer;
use kogge_certs::profile::Profile;
use kogge_evidence::report::Outcome;
use kogge_evidence::verify::{self, Verdict};
use kogge_proto::digest::{sha256, sha512};
use kogge_proto::time::UnixMillis;
use kogge_proto::wire::log::NotKept;
use kogge_proto::wire::log::body::Place;
use kogge_signer::NewKeyKind;

use crate::exported::{Exported, Which};
use crate::world::{DAY, HOUR, NOW, Wish, World, member};

/// Checks of a container in their order; a record of the log has those that do not begin with `container.`, `record.fields` and
/// `record.time`.
const CHECKS: [&str; 24] = [
    "container.zip",
    "container.entries",
    "container.mimetype",
    "container.manifest",
    "message.parse",
    "signature.xml",
    "signature.references",
    "signature.hash_chain",
    "signature.digest.message",
    "signature.digest.attachment",
    "signature.signed_properties",
    "signature.certificate",
    "signature.value",
    "signer.usage",
    "signer.path",
    "signer.member",
    "ocsp.response",
    "timestamp.present",
    "timestamp.tree",
    "timestamp.token",
    "timestamp.time",
    "registry.instance",
    "registry.time",
    "container.layout",
];

/// Spoils one thing.
type Change = fn(&mut Exported);

/// The checks that did not pass, in their order.
#[track_caller]
fn not_passed(verdict: &Verdict) -> Vec<(&'static str, Outcome)> {
    let checks = verdict.report.checks.iter();
    checks.filter(|check| check.outcome != Outcome::Passed).map(|check| (check.name, check.outcome)).collect()
}

#[track_caller]
fn reason<'v>(verdict: &'v Verdict, name: &str) -> &'v str {
    &verdict.report.checks.iter().find(|check| check.name == name).unwrap().reason
}

/// Only this check failed, with this reason; the others that are named could not be decided.
#[track_caller]
fn failed(verdict: &Verdict, name: &'static str, why: &str, undecided: &[&'static str]) {
    let mut expected: Vec<_> = undecided.iter().map(|name| (*name, Outcome::Indeterminate)).collect();
    expected.push((name, Outcome::Failed));
    let mut found = not_passed(verdict);
    expected.sort_by_key(|(name, _)| *name);
    found.sort_by_key(|(name, _)| *name);
    assert_eq!(found, expected, "{}", verdict.report);
    assert!(reason(verdict, name).contains(why), "{}", verdict.report);
}

#[test]
fn what_was_exported_passes_every_check() {
    for (kind, pss) in [
        (NewKeyKind::EcdsaP256, false),
        (NewKeyKind::Rsa(2048), false),
        (NewKeyKind::Rsa(2048), true),
        (NewKeyKind::Ed25519, false),
    ] {
        for by_intermediate in [false, true] {
            for body in [None, Some(&b"{}"[..]), Some(&b""[..])] {
                let world = World::new();
                let wish = Wish { kind, pss, by_intermediate, ..Wish::default() };
                let credential = world.credential(&wish);
                let exported = Exported::signed(world, Which::Request, body, &credential);
                let verdict = exported.verdict();
                assert!(verdict.report.passed(), "{}", verdict.report);
                let names: Vec<_> = verdict.report.checks.iter().map(|check| check.name).collect();
                assert_eq!(names, CHECKS);

                let verdict = exported.record_verdict();
                assert!(verdict.report.passed(), "{}", verdict.report);
                let names: Vec<_> = verdict.report.checks.iter().map(|check| check.name).collect();
                let mut expected: Vec<_> =
                    CHECKS.iter().copied().filter(|name| !name.starts_with("container.")).collect();
                expected.extend(["record.fields", "record.time"]);
                assert_eq!(names, expected);
            }
        }
    }
}

#[test]
fn the_statement_says_who_asked_whom_for_what_and_when() {
    let exported = Exported::request(Some(b"{}"));
    for verdict in [exported.verdict(), exported.record_verdict()] {
        let statement = verdict.statement;
        assert_eq!(statement.kind, Some("request"));
        assert_eq!(statement.client.as_deref(), Some("TEST/GOV/70000001/portal"));
        assert_eq!(statement.service.as_deref(), Some("TEST/GOV/70000002/population/persons"));
        assert_eq!(statement.message_id.as_deref(), Some("message-1"));
        assert_eq!(statement.signer, Some(member("70000001")));
        assert_eq!(statement.signing_time, Some(NOW.floor_seconds()));
        assert!(statement.timestamp.unwrap().since(NOW.floor_seconds()) < Duration::from_secs(2));
    }
}

#[test]
fn a_response_is_signed_by_the_provider() {
    let mut world = World::new();
    let consumer = world.credential(&Wish::default());
    let exported = Exported::signed(world, Which::Response, None, &consumer);
    let verdict = exported.verdict();
    failed(&verdict, "signer.member", "TEST/GOV/70000002 must have signed", &[]);

    world = World::new();
    world.member = member("70000002");
    let provider = world.credential(&Wish::default());
    let verdict = Exported::signed(world, Which::Response, None, &provider).verdict();
    assert!(verdict.report.passed(), "{}", verdict.report);
    assert_eq!(verdict.statement.kind, Some("response"));
}

#[test]
fn what_is_not_stamped_yet_is_undecided() {
    let mut exported = Exported::request(None);
    exported.stamp = None;
    let undecided = ["timestamp.present", "timestamp.tree", "timestamp.token", "timestamp.time"];
    let expected = undecided.map(|name| (name, Outcome::Indeterminate));
    assert_eq!(not_passed(&exported.verdict()), expected);
    assert_eq!(not_passed(&exported.record_verdict()), expected);
    assert!(reason(&exported.record_verdict(), "timestamp.present").contains("not stamped yet"));
}

#[test]
fn a_batch_of_one_is_a_tree_too() {
    let mut exported = Exported::request(None);
    exported.stamp_among(&[]);
    assert!(exported.verdict().report.passed());
    assert!(exported.record_verdict().report.passed());
}

#[test]
fn a_certificate_of_no_approved_ca_is_refused() {
    let exported = Exported::request(None);
    let other = World::new();
    let cas = other.trust.cas().iter().map(|ca| (**ca).clone()).collect();
    let snapshot = crate::exported::snapshot(
        "TEST",
        exported.policy,
        cas,
        exported.tsas.clone(),
        exported.snapshot_expires,
    );
    let verdict = verify::container(Cursor::new(exported.container()), &snapshot);
    failed(&verdict, "signer.path", "", &["ocsp.response"]);
}

#[test]
fn the_certificate_was_valid_at_the_signing_time() {
    for (wish, why) in [
        (Wish { not_after: NOW.minus(HOUR).floor_seconds(), ..Wish::default() }, "expired at"),
        (Wish { not_before: NOW.plus(HOUR).floor_seconds(), ..Wish::default() }, "is not valid before"),
    ] {
        let world = World::new();
        let credential = world.credential(&wish);
        let verdict = Exported::signed(world, Which::Request, None, &credential).verdict();
        failed(&verdict, "signer.path", why, &["ocsp.response"]);
    }
}

#[test]
fn only_a_signing_certificate_signs() {
    let world = World::new();
    let credential = world.credential(&Wish { profile: Profile::Authentication, ..Wish::default() });
    let verdict = Exported::signed(world, Which::Request, None, &credential).verdict();
    let found = not_passed(&verdict);
    assert!(found.contains(&("signer.usage", Outcome::Failed)), "{}", verdict.report);
    assert!(found.contains(&("signer.path", Outcome::Indeterminate)), "{}", verdict.report);
}

#[test]
fn another_member_cannot_sign() {
    let mut world = World::new();
    world.member = member("70000003");
    let credential = world.credential(&Wish::default());
    let verdict = Exported::signed(world, Which::Request, None, &credential).verdict();
    failed(&verdict, "signer.member", "signed by TEST/GOV/70000003", &[]);
    assert_eq!(verdict.statement.signer, None);
}

#[test]
fn the_ocsp_response_said_good_and_was_fresh() {
    let cases = [
        (Answer::Revoked(NOW.minus(DAY)), NOW, "was revoked at"),
        (Answer::Unknown, NOW, "does not know the certificate"),
        (Answer::Good, NOW.minus(HOUR * 2), "too old"),
        (Answer::Good, NOW.plus(HOUR), "in the future"),
    ];
    for (answer, at, why) in cases {
        let world = World::new();
        let mut credential = world.credential(&Wish::default());
        credential.ocsp = world.ocsp(&Wish::default(), &credential.certificate, answer, at);
        let verdict = Exported::signed(world, Which::Request, None, &credential).verdict();
        failed(&verdict, "ocsp.response", why, &[]);
    }
    let world = World::new();
    let mut credential = world.credential(&Wish::default());
    let other = world.issue(&Wish::default(), &world.member);
    credential.ocsp = world.ocsp(&Wish::default(), &other.certificate, Answer::Good, NOW);
    let verdict = Exported::signed(world, Which::Request, None, &credential).verdict();
    failed(&verdict, "ocsp.response", "another certificate", &[]);
}

#[test]
fn the_timestamp_is_of_an_approved_authority_and_near_the_signature() {
    let mut exported = Exported::request(None);
    let tsas = std::mem::take(&mut exported.tsas);
    failed(&exported.verdict(), "timestamp.token", "", &["timestamp.time"]);
    exported.tsas = tsas;

    // Signed two hours before the stamp, where the instance tolerates four hours and a minute, then one hour.
    let early = |failure: Duration| {
        let world = World::new();
        let wish = Wish::default();
        let mut credential = world.credential(&wish);
        credential.ocsp = world.ocsp(&wish, &credential.certificate, Answer::Good, NOW.minus(HOUR * 2));
        let mut exported = Exported::signed_at(world, &credential, NOW.minus(HOUR * 2));
        exported.policy.timestamp_failure = failure;
        exported.verdict()
    };
    assert!(early(HOUR * 4).report.passed());
    failed(&early(HOUR), "timestamp.time", "too long after signing", &[]);

    let world = World::new();
    let wish = Wish::default();
    let credential = world.credential(&wish);
    let late = Exported::signed_at(world, &credential, NOW.plus(Duration::from_secs(30)));
    failed(&late.verdict(), "timestamp.time", "after the timestamp", &[]);
}

#[test]
fn a_snapshot_of_another_instance_does_not_fit() {
    let mut exported = Exported::request(None);
    exported.instance = "OTHER";
    failed(&exported.verdict(), "registry.instance", "of the instance TEST, the snapshot of OTHER", &[]);
}

/// A CA or TSA that was approved once need not have been when the signature was made.
#[test]
fn a_snapshot_from_long_before_the_signature_decides_nothing() {
    let world = World::new();
    let credential = world.credential(&Wish::default());
    let mut exported = Exported::signed(world, Which::Request, None, &credential);
    // The longest exchange, and the policy's skew of five seconds.
    let slack = Duration::from_secs(305);
    exported.snapshot_expires = NOW.floor_seconds().minus(slack).plus(Duration::from_millis(1));
    assert!(exported.verdict().report.passed());
    exported.snapshot_expires = NOW.floor_seconds().minus(slack);
    for verdict in [exported.verdict(), exported.record_verdict()] {
        assert_eq!(not_passed(&verdict), [("registry.time", Outcome::Indeterminate)]);
        assert!(reason(&verdict, "registry.time").contains("take one of that time or later"));
    }
}

#[test]
fn a_record_must_say_what_its_message_says() {
    let changes: [(&str, Change); 5] = [
        ("direction", |exported| exported.record.direction = 2),
        ("message id", |exported| exported.record.message_id.push('x')),
        ("request id", |exported| exported.record.request_id.clear()),
        ("client", |exported| exported.record.client = "TEST/GOV/70000009/portal".to_owned()),
        ("service", |exported| exported.record.service.push('x')),
    ];
    for (what, change) in changes {
        let mut exported = Exported::request(None);
        change(&mut exported);
        failed(&exported.record_verdict(), "record.fields", &format!("the {what} of the record"), &[]);
    }
}

#[test]
fn a_record_was_appended_between_its_signature_and_its_timestamp() {
    let mut exported = Exported::request(None);
    let mut at = |appended: UnixMillis| {
        exported.appended = appended;
        exported.record_verdict()
    };
    let second = Duration::from_secs(1);
    // The policy's skew is five seconds; the token is of now.
    let (first, last) = (NOW.floor_seconds().minus(second * 5), NOW.plus(second * 6));
    assert!(at(first).report.passed() && at(last).report.passed());
    let milli = Duration::from_millis(1);
    failed(&at(first.minus(milli)), "record.time", "before it was signed", &[]);
    failed(&at(last.plus(milli)), "record.time", "after it was timestamped", &[]);
}

#[test]
fn the_body_of_a_record_is_the_one_on_the_disk() {
    let exported = Exported::request(Some(b"{}"));
    let snapshot = exported.snapshot();
    let of = |body| verify::record(&exported.log_record(body), &snapshot);
    assert!(of(Some((sha512(b"{}"), 2))).report.passed());
    failed(&of(Some((sha512(b"[]"), 2))), "signature.digest.attachment", "not what was signed", &[]);
    failed(&of(Some((sha512(b"{}"), 3))), "signature.digest.attachment", "has 3 bytes", &[]);
    let gone = of(None);
    assert_eq!(not_passed(&gone), [("signature.digest.attachment", Outcome::Indeterminate)]);

    // A record that names another body than the signed one is another document: neither value nor stamp fit it.
    let mut exported = Exported::request(Some(b"{}"));
    let body = exported.record.body.as_mut().unwrap();
    body.sha512 = sha512(b"[]").as_bytes().to_vec();
    body.place = Some(Place::Inline("[]".into()));
    let verdict = exported.record_verdict();
    assert_eq!(verdict.report.outcome("signature.value"), Some(Outcome::Failed));
    assert_eq!(verdict.report.outcome("timestamp.tree"), Some(Outcome::Failed));
}

#[test]
fn of_a_body_that_was_not_kept_the_recorded_digest_must_be_the_signed_one() {
    let mut exported = Exported::request(Some(b"{}"));
    exported.record.body.as_mut().unwrap().place = Some(Place::NotKept(NotKept::default()));
    let verdict = exported.record_verdict();
    assert!(verdict.report.passed(), "{}", verdict.report);
    assert!(verdict.report.to_string().contains("the body itself was not kept"), "{}", verdict.report);

    exported.record.body.as_mut().unwrap().sha512 = sha512(b"[]").as_bytes().to_vec();
    let verdict = exported.record_verdict();
    assert_eq!(verdict.report.outcome("signature.value"), Some(Outcome::Failed));
    assert_eq!(verdict.report.outcome("timestamp.tree"), Some(Outcome::Failed));
    exported.record.body.as_mut().unwrap().sha512.pop();
    assert!(!exported.record_verdict().report.passed());
}

/// A checker that has seen one batch judges the next one by itself.
#[test]
fn one_checker_judges_many_records() {
    let mut good = Exported::request(None);
    let snapshot = good.snapshot();
    let mut records = verify::Records::new(&snapshot);
    assert!(records.check(&good.log_record(None)).report.passed());
    assert!(records.check(&good.log_record(None)).report.passed());

    let stamp = good.stamp.clone();
    let spoil: [(Change, &str); 6] = [
        (|exported| exported.stamp_mut().leaves[2].sha256[0] ^= 1, "do not lead to the root"),
        (|exported| exported.stamp_mut().leaves[0].sha256[0] ^= 1, "do not lead to the root"),
        (|exported| exported.stamp_mut().root[0] ^= 1, "do not lead to the root"),
        (|exported| exported.stamp_mut().leaves[0].sequence = 41, "covers a record twice"),
        (|exported| exported.stamp_mut().leaves[2].sequence = 42, "not in the timestamp's hash tree"),
        (|exported| exported.stamp_mut().previous_root = vec![1], "not 32 bytes long"),
    ];
    for (change, why) in spoil {
        change(&mut good);
        let verdict = records.check(&good.log_record(None));
        failed(&verdict, "timestamp.tree", why, &["timestamp.token", "timestamp.time"]);
        good.stamp = stamp.clone();
        assert!(records.check(&good.log_record(None)).report.passed());
    }
    good.stamp = None;
    let verdict = records.check(&good.log_record(None));
    assert_eq!(verdict.report.outcome("timestamp.present"), Some(Outcome::Indeterminate));
}

#[test]
fn damaged_records_never_stop_the_verifier() {
    let changes: [Change; 6] = [
        |exported| exported.record.signature = None,
        |exported| exported.record.message = "nonsense".into(),
        |exported| exported.material.items.clear(),
        |exported| exported.stamp.as_mut().unwrap().token.clear(),
        |exported| exported.stamp.as_mut().unwrap().leaves.clear(),
        |exported| exported.stamp.as_mut().unwrap().root = sha256(b"x").as_bytes().to_vec(),
    ];
    for change in changes {
        let mut exported = Exported::request(Some(b"{}"));
        change(&mut exported);
        let verdict = exported.record_verdict();
        assert!(verdict.report.failed().count() >= 1, "{}", verdict.report);
        assert_eq!(verdict.report.checks.len(), 21);
    }
}

#[test]
fn what_is_no_container_fails_and_leaves_the_rest_undecided() {
    let snapshot = Exported::request(None).snapshot();
    for nothing in [&b""[..], b"PK", &[0; 22]] {
        let verdict = verify::container(Cursor::new(nothing), &snapshot);
        assert!(verdict.report.failed().count() >= 1, "{}", verdict.report);
        assert_eq!(verdict.report.checks.len(), CHECKS.len());
    }
    let empty = b"PK\x05\x06\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0";
    let report = verify::container(Cursor::new(empty), &snapshot).report;
    assert_eq!(report.outcome("container.entries"), Some(Outcome::Failed), "{report}");
    assert_eq!(report.outcome("signature.value"), Some(Outcome::Indeterminate), "{report}");
}

//! Renewed timestamps: what a chain of archive timestamps must be, in a container and in the files beside a log.

use std::fs;
use std::io::Cursor;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use kogge_certs::profile::{self, IssueTerms, Profile, Subject};
use kogge_certs::timestamp::{self, Imprint, Issue};
use kogge_certs::trust::ApprovedTsa;
use kogge_evidence::container;
use kogge_evidence::evidence_record::{ArchiveTimestamp, EvidenceRecord};
use kogge_evidence::material::Material;
use kogge_evidence::renewal::{Renewal, RenewalError, Renewals};
use kogge_evidence::report::Outcome;
use kogge_evidence::tree;
use kogge_evidence::verify::{self, RenewalAudit, Verdict};
use kogge_proto::digest::{Sha256, sha256};
use kogge_proto::time::UnixMillis;
use kogge_signer::{NewKeyKind, ephemeral};

use crate::exported::{Exported, SEQUENCE};
use crate::world::{DAY, Identity, NOW, World};

const YEAR: Duration = Duration::from_secs(365 * 24 * 3600);

/// A record whose stamp's authority lasts for 30 days, and two authorities that last longer, one after the other.
struct Renewed {
    exported: Exported,
    second: Identity,
    third: Identity,
}

impl Renewed {
    fn new() -> Self {
        let mut exported = Exported::request(Some(b"a body"));
        let second = tsa(&exported.world, NOW, NOW.plus(YEAR), 6);
        let third = tsa(&exported.world, NOW, NOW.plus(YEAR * 2), 7);
        exported.tsas.extend([&second, &third].map(listed));
        Self { exported, second, third }
    }

    fn token(&self) -> &[u8] {
        &self.exported.stamp.as_ref().unwrap().token
    }

    /// Renewed after 20 days, and that again after 300.
    fn renewals(&self) -> [Renewal; 2] {
        let first = renewal(&self.second, &[b"other", self.token(), b"third"], NOW.plus(DAY * 20));
        let second = renewal(&self.third, &[first.token(), b"other"], NOW.plus(DAY * 300));
        [first, second]
    }

    fn record(&self) -> EvidenceRecord {
        let mut record = EvidenceRecord::of_batch(self.exported.stamp.as_ref().unwrap(), SEQUENCE).unwrap();
        record.renewals = Renewals::new(self.renewals().to_vec()).of(self.token()).unwrap();
        record
    }

    fn container(&self, record: &EvidenceRecord) -> Vec<u8> {
        let Exported { record: logged, material, .. } = &self.exported;
        let material = Material::new(material).unwrap();
        let mut out = Cursor::new(Vec::new());
        container::write_record_with(&mut out, logged, &material, Some(record), None).unwrap();
        out.into_inner()
    }

    fn verdict(&self, change: impl FnOnce(&mut EvidenceRecord)) -> Verdict {
        let mut record = self.record();
        change(&mut record);
        verify::container(Cursor::new(self.container(&record)), &self.exported.snapshot())
    }

    /// Fails `timestamp.renewal`, and no other check, with these words.
    #[track_caller]
    fn fails(&self, words: &str, change: impl FnOnce(&mut EvidenceRecord)) {
        let report = self.verdict(change).report;
        let failed: Vec<_> = report.checks.iter().filter(|check| check.outcome != Outcome::Passed).collect();
        let [only] = failed.as_slice() else { panic!("{report}") };
        assert_eq!((only.name, only.outcome), ("timestamp.renewal", Outcome::Failed), "{report}");
        assert!(only.reason.contains(words), "{report}");
    }
}

fn tsa(world: &World, not_before: UnixMillis, not_after: UnixMillis, serial: u8) -> Identity {
    let key = ephemeral(NewKeyKind::EcdsaP256).unwrap();
    let subject =
        Subject::Service { common_name: format!("TSA {serial}"), organisation: "Kogge tests".to_owned() };
    let terms = IssueTerms {
        not_before: not_before.minus(DAY).floor_seconds(),
        not_after: not_after.floor_seconds(),
        serial: [serial; 16],
        ocsp_url: None,
    };
    let Identity { certificate: ca, key: ca_key } = &world.ca;
    let certificate =
        profile::issue(ca, &**ca_key, key.public_key(), Profile::Timestamping, &subject, &terms).unwrap();
    Identity { certificate, key }
}

fn listed(tsa: &Identity) -> ApprovedTsa {
    ApprovedTsa {
        name: tsa.certificate.subject(),
        url: "http://tsa.example/".to_owned(),
        certificate: tsa.certificate.clone(),
        policies: vec!["1.2.3.4".to_owned()],
    }
}

fn stamp(tsa: &Identity, digest: Sha256, now: UnixMillis) -> Vec<u8> {
    let request = timestamp::request(&Imprint::Sha256(digest), None);
    let request = timestamp::parse_request(&request).unwrap();
    let Identity { certificate, key } = tsa;
    let issue = Issue { certificate, key: &**key, policy: "1.2.3.4", serial: [9; 16], now };
    timestamp::token_of_response(&timestamp::respond(&request, &issue).unwrap()).unwrap()
}

fn renewal(tsa: &Identity, tokens: &[&[u8]], now: UnixMillis) -> Renewal {
    let leaves: Vec<Sha256> = tokens.iter().map(|token| sha256(token)).collect();
    let token = stamp(tsa, tree::root(&leaves).unwrap(), now);
    Renewal::new(leaves, token).unwrap()
}

#[test]
fn a_renewed_container_passes_and_says_by_whom_it_was_renewed() {
    let renewed = Renewed::new();
    let verdict = renewed.verdict(|_| ());
    assert!(verdict.report.passed(), "{}", verdict.report);
    let text = verdict.report.to_string();
    assert!(text.contains("renewed several times, the last by CN=TSA 7"), "{text}");
    // The time of the message is that of its own stamp.
    assert_eq!(verdict.statement.timestamp, Some(NOW));

    let once = renewed.verdict(|record| drop(record.renewals.pop())).report.to_string();
    assert!(
        once.contains("PASS    timestamp.renewal") && once.contains("renewed once by CN=TSA 6"),
        "{once}"
    );
    let never = renewed.verdict(|record| record.renewals.clear()).report;
    assert!(never.passed() && never.outcome("timestamp.renewal").is_none(), "{never}");

    // As an export writes it.
    let Exported { record, material, stamp, .. } = &renewed.exported;
    let renewals = Renewals::new(renewed.renewals().to_vec());
    let mut out = Cursor::new(Vec::new());
    let stamp = stamp.as_ref().unwrap();
    container::write_renewed_record(&mut out, (SEQUENCE, record), material, stamp, &renewals, None).unwrap();
    assert!(verify::container(&mut out, &renewed.exported.snapshot()).report.passed());
}

#[test]
fn what_is_no_chain_fails() {
    let renewed = Renewed::new();
    let not_in_tree = "the token before it is not in its hash tree";
    renewed.fails(&format!("renewal 1: {not_in_tree}"), |record| record.renewals.swap(0, 1));
    renewed.fails(&format!("renewal 1: {not_in_tree}"), |record| drop(record.renewals.remove(0)));
    renewed.fails(&format!("renewal 2: {not_in_tree}"), |record| {
        record.renewals[1] = record.renewals[0].clone();
    });
    let other = "the timestamp token is about another digest";
    // A missing node, one too many, an altered one.
    renewed.fails(&format!("renewal 1: {other}"), |record| drop(record.renewals[0].groups.pop()));
    renewed.fails(&format!("renewal 2: {other}"), |record| {
        record.renewals[1].groups.push(vec![Sha256([0; 32])]);
    });
    renewed.fails(&format!("renewal 1: {other}"), |record| record.renewals[0].groups[1][0].0[0] ^= 1);
    // A renewal of nothing.
    renewed.fails(&format!("renewal 1: {other}"), |record| record.renewals[0].groups.clear());
    // A foreign token.
    let foreign = stamp(&renewed.second, sha256(b"other"), NOW.plus(DAY * 20));
    renewed.fails(&format!("renewal 1: {other}"), |record| record.renewals[0].token = foreign);
}

#[test]
fn a_renewal_by_the_wrong_authority_or_at_the_wrong_time_fails() {
    let renewed = Renewed::new();
    let alone = |tsa: &Identity, now| {
        let token = stamp(tsa, sha256(renewed.token()), now);
        move |record: &mut EvidenceRecord| record.renewals = vec![ArchiveTimestamp { groups: vec![], token }]
    };
    assert!(renewed.verdict(alone(&renewed.second, NOW)).report.passed());
    let stranger = tsa(&renewed.exported.world, NOW, NOW.plus(YEAR), 8);
    renewed.fails("renewal 1: the timestamp token is not signed by an approved TSA", alone(&stranger, NOW));
    renewed.fails(
        "its time 2026-11-24T03:02:01.249Z is before that of the token",
        alone(&renewed.second, NOW.minus(Duration::from_millis(1))),
    );
    renewed.fails("when the certificate of CN=Test TSA", alone(&renewed.second, NOW.plus(DAY * 31)));
    renewed.fails("the TSA's certificate is not acceptable", alone(&renewed.second, NOW.plus(YEAR * 2)));
}

/// If the first token is wrong, there is nothing to renew.
#[test]
fn renewals_of_a_token_that_is_wrong_are_not_judged() {
    let renewed = Renewed::new();
    let report = renewed.verdict(|record| record.first.token.clone_from(&record.renewals[0].token)).report;
    assert_eq!(report.outcome("timestamp.token"), Some(Outcome::Failed), "{report}");
    assert_eq!(report.outcome("timestamp.renewal"), Some(Outcome::Indeterminate), "{report}");
}

#[test]
fn renewals_beside_a_log_are_judged_by_what_they_cover() {
    let renewed = Renewed::new();
    let snapshot = renewed.exported.snapshot();
    let audit = |files: Vec<Result<Renewal, RenewalError>>| {
        let files: Vec<_> = (1..).map(|number: u8| format!("renewals/{number}")).zip(files).collect();
        let mut audit = RenewalAudit::new(&files, &snapshot);
        audit.note(renewed.exported.stamp.as_ref().unwrap());
        let findings = audit.finish();
        assert!(findings.iter().all(|check| check.name == "log.renewal"));
        findings
            .into_iter()
            .map(|check| format!("{} {}", check.outcome.word(), check.reason))
            .collect::<Vec<_>>()
    };
    let [first, second] = renewed.renewals();
    assert_eq!(audit(vec![]), Vec::<String>::new());
    assert!(
        audit(vec![Ok(first.clone()), Ok(second.clone())])[0]
            .starts_with("PASS 2 renewals cover 1 timestamps")
    );

    let malformed = RenewalError::Malformed("it was cut");
    assert_eq!(
        audit(vec![Ok(first.clone()), Err(malformed)]),
        ["FAIL renewals/2: not a renewal: it was cut"]
    );
    let leaves = [first.leaves(), &[sha256(b"slipped in")]].concat();
    let altered = Renewal::new(leaves, first.token().to_vec()).unwrap();
    assert_eq!(audit(vec![Ok(altered)]), ["FAIL renewals/1: the timestamp token is about another digest"]);
    let late = renewal(&renewed.second, &[renewed.token()], NOW.plus(DAY * 31));
    assert!(audit(vec![Ok(late)])[0].contains("when the certificate of CN=Test TSA"));
    let early = renewal(&renewed.third, &[first.token()], NOW);
    let said = audit(vec![Ok(first), Ok(early)]);
    assert!(said[0].contains("renewals/2: its time") && said.len() == 1, "{said:?}");
}

/// Whoever has the container alone computes both imprints with a language's standard library, and openssl judges the tokens over them.
#[test]
fn openssl_accepts_both_tokens_over_imprints_that_others_computed() {
    let renewed = Renewed::new();
    let mut record = renewed.record();
    record.renewals.pop();
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("record.ers"), record.to_der()).unwrap();
    let exported = &renewed.exported;
    fs::write(dir.path().join("1.pem"), exported.tsas[0].certificate.to_pem()).unwrap();
    fs::write(dir.path().join("2.pem"), renewed.second.certificate.to_pem()).unwrap();
    let leaf = &exported
        .stamp
        .as_ref()
        .unwrap()
        .leaves
        .iter()
        .find(|leaf| leaf.sequence == SEQUENCE)
        .unwrap()
        .sha256;
    let leaf = Sha256::from_slice(leaf).unwrap().to_string();
    let Some(imprints) = run(dir.path(), "python3", &["-c", IMPRINTS, "record.ers", &leaf]) else { return };
    let imprints: Vec<&str> = imprints.lines().collect();
    assert_eq!(imprints.len(), 2, "{imprints:?}");
    for (number, at) in [(1, NOW), (2, NOW.plus(DAY * 20))] {
        let (token, certificate, at) =
            (format!("{number}.tst"), format!("{number}.pem"), at.seconds().to_string());
        let verify = [
            "ts",
            "-verify",
            "-token_in",
            "-in",
            &token,
            "-CAfile",
            &certificate,
            "-partial_chain",
            "-attime",
            &at,
        ];
        let accepted = |imprint: &str| {
            run(dir.path(), "openssl", &[&verify[..], &["-digest", imprint]].concat()).is_some()
        };
        assert!(accepted(imprints[number - 1]), "{number}");
        assert!(!accepted(imprints[2 - number]), "{number}");
    }
}

/// What a program says if it succeeds.
fn run(dir: &Path, program: &str, arguments: &[&str]) -> Option<String> {
    match Command::new(program).args(arguments).current_dir(dir).output() {
        Ok(output) if output.status.success() => Some(String::from_utf8(output.stdout).unwrap()),
        Ok(_) => None,
        Err(error) => {
            assert_ne!(std::env::var("CI").as_deref(), Ok("true"), "{program}: {error}");
            eprintln!("SKIPPED: {program}: {error}");
            None
        }
    }
}

/// Reads an evidence record by nothing but ASN.1 tags: writes each token to `N.tst`, and prints what it must be about (RFC 4998 sections 4.3 and 5.3).
const IMPRINTS: &str = r#"
import hashlib, sys
def read(data, at):
    length, start = data[at + 1], at + 2
    if length & 0x80:
        start += length & 0x7f
        length = int.from_bytes(data[at + 2:start], "big")
    return data[at], start, start + length
def children(data, start, end):
    while start < end:
        tag, inner, after = read(data, start)
        yield tag, start, inner, after
        start = after
data = open(sys.argv[1], "rb").read()
_, start, end = read(data, 0)
version, algorithms, sequence = children(data, start, end)
(chain,) = children(data, *sequence[2:])
covered = bytes.fromhex(sys.argv[2])
for number, timestamp in enumerate(children(data, *chain[2:]), 1):
    *tree, token = children(data, *timestamp[2:])
    value = covered
    for group in [g for t in tree for g in children(data, *t[2:])]:
        members = {data[inner:after] for _, _, inner, after in children(data, *group[2:])} | {value}
        value = hashlib.sha256(b"".join(sorted(members))).digest()
    print(value.hex())
    open(f"{number}.tst", "wb").write(data[token[1]:token[3]])
    covered = hashlib.sha256(data[token[1]:token[3]]).digest()
"#;

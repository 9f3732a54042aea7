//! What judges that do not know our code say about whole containers of both forms: `integration-tests/judges`, xmlsec1, openssl.

use std::fs;
use std::io::Cursor;
use std::path::{Path, PathBuf};
use std::process::Output;

use kogge_certs::trust::{ApprovedCa, TrustStore};
use kogge_evidence::globalconf::GlobalConf;
use kogge_evidence::report::{Outcome, Report};
use kogge_evidence::verification_conf::{METADATA, directory_name, shared_params};
use kogge_evidence::verify;
use kogge_signer::NewKeyKind;
use tempfile::TempDir;
use zip::CompressionMethod;

use crate::altered::{entries, pack};
use crate::exported::{Exported, Which};
use crate::judges::{run, says, xmlsec1};
use crate::world::{NOW, Wish, World};

const BODY: &[u8] = br#"{"code":"12345678901"}"#;

/// A directory with `xroad.asice`, `eidas.asice` and `conf`, all of one record.
struct Case {
    name: String,
    exported: Exported,
    dir: TempDir,
}

impl Case {
    /// Of this record, as it is.
    fn of(name: &str, exported: Exported) -> Self {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("xroad.asice"), exported.xroad_container()).unwrap();
        fs::write(dir.path().join("eidas.asice"), exported.container()).unwrap();
        let snapshot = exported.snapshot();
        let instance = dir.path().join("conf").join(directory_name(snapshot.instance()));
        fs::create_dir_all(&instance).unwrap();
        let document = shared_params(&snapshot, &["http://registry.example".to_owned()]);
        fs::write(instance.join("shared-params.xml"), document).unwrap();
        fs::write(instance.join("shared-params.xml.metadata"), METADATA).unwrap();
        fs::write(dir.path().join("conf/instance-identifier"), snapshot.instance()).unwrap();
        Self { name: name.to_owned(), exported, dir }
    }

    /// Signed alone by a key of this kind.
    fn alone(wish: &Wish, which: Which, body: Option<&[u8]>) -> Self {
        let world = world_listing_its_intermediate();
        let credential = world.credential(wish);
        let name = format!(
            "{:?}, PSS {}, intermediate {}, body {}",
            wish.kind,
            wish.pss,
            wish.by_intermediate,
            body.is_some()
        );
        Self::of(&name, Exported::signed(world, which, body, &credential))
    }

    fn in_batch(kind: NewKeyKind, pss: bool, count: u8, place: usize, body: Option<&[u8]>) -> Self {
        let world = World::new();
        let credential = world.credential(&Wish { kind, pss, ..Wish::default() });
        let name = format!("{kind:?}, PSS {pss}, {place} of {count}, body {}", body.is_some());
        Self::of(&name, Exported::in_batch_by(world, &credential, body, count, place))
    }

    /// Stamped in a batch of so many others.
    fn stamped_among(count: u8) -> Self {
        let mut exported = Exported::request(None);
        let others: Vec<_> = (0..count).map(|number| kogge_proto::digest::sha256(&[number])).collect();
        exported.stamp_among(&others);
        Self::of(&format!("stamped behind {count}"), exported)
    }

    fn all() -> Vec<Self> {
        let mut cases = Vec::new();
        for (kind, pss) in
            [(NewKeyKind::EcdsaP256, false), (NewKeyKind::Rsa(2048), false), (NewKeyKind::Rsa(2048), true)]
        {
            for by_intermediate in [false, true] {
                let wish = Wish { kind, pss, by_intermediate, ..Wish::default() };
                cases.push(Self::alone(&wish, Which::Request, None));
                cases.push(Self::alone(&wish, Which::Request, Some(BODY)));
            }
            cases.push(Self::in_batch(kind, pss, 2, 0, None));
            cases.push(Self::in_batch(kind, pss, 5, 4, Some(BODY)));
        }
        cases.extend([0, 1, 3, 4, 6].map(Self::stamped_among));
        cases
    }

    fn report(&self) -> Report {
        let document = fs::read(self.dir.path().join("conf/TEST/shared-params.xml")).unwrap();
        let conf = GlobalConf::read("TEST", [document]).unwrap();
        verify::container(Cursor::new(self.exported.xroad_container()), &conf).report
    }
}

fn world_listing_its_intermediate() -> World {
    let mut world = World::new();
    let intermediates = vec![world.intermediate.certificate.clone()];
    let cas = world.trust.cas().iter();
    let cas = cas.map(|ca| ApprovedCa { intermediates: intermediates.clone(), ..ApprovedCa::clone(ca) });
    world.trust = TrustStore::new(cas.collect(), vec![]);
    world
}

fn judge(file: &str) -> String {
    let path: PathBuf = Path::new(env!("CARGO_MANIFEST_DIR")).join("../integration-tests/judges").join(file);
    path.to_str().unwrap().to_owned()
}

/// What asic-check says of a container; `None` where there is no Python with what it needs.
fn asic_check(dir: &Path, container: &str) -> Option<Output> {
    let needs = ["-c", "import lxml, cryptography, asn1crypto"];
    let mut missing = String::new();
    for python in ["/usr/bin/python3", "python3"] {
        let Some(ready) = run(dir, python, &needs) else { continue };
        if ready.status.success() {
            return run(dir, python, &[&judge("asic-check.py"), container, "--gc", "conf"]);
        }
        missing = says(&ready);
    }
    assert_ne!(std::env::var("CI").as_deref(), Ok("true"), "{missing}");
    eprintln!("SKIPPED: asic-check.py: {missing}");
    None
}

/// What the JDK's own XML signatures say of containers; `None` without a JDK.
fn xml_dsig_check(dir: &Path, containers: &[&str]) -> Option<Output> {
    run(dir, "java", &[&[judge("XmlDsigCheck.java").as_str()], containers].concat())
}

fn xmlsec1_knows(dir: &Path, transform: &str) -> bool {
    run(dir, "xmlsec1", &["--list-transforms"]).is_some_and(|known| says(&known).contains(transform))
}

/// The directory into which `unzip` has put what the container holds; `None` without that program.
fn unpacked(case: &Case, container: &str) -> Option<PathBuf> {
    let dir = case.dir.path().join(container).with_extension("d");
    let container = case.dir.path().join(container);
    fs::create_dir(&dir).unwrap();
    let unzip = run(&dir, "unzip", &["-q", container.to_str().unwrap()])?;
    assert!(unzip.status.success(), "{}", says(&unzip));
    Some(dir)
}

/// Puts a changed entry into the container, in X-Road's form.
fn change(case: &Case, name: &str, from: &str, to: &str) {
    let path = case.dir.path().join("xroad.asice");
    let entries = entries(&fs::read(&path).unwrap()).into_iter().map(|(entry, content)| {
        if entry != name {
            return (entry, content);
        }
        let text = String::from_utf8(content).unwrap();
        assert!(text.contains(from), "{name}: {text}");
        (entry, text.replacen(from, to, 1).into_bytes())
    });
    let entries: Vec<_> = entries.collect();
    fs::write(&path, pack(&entries, CompressionMethod::Stored)).unwrap();
}

#[test]
fn asic_check_and_our_verifier_accept_whole_containers() {
    for case in Case::all() {
        let report = case.report();
        assert!(report.passed(), "{}: {report}", case.name);
        let Some(verdict) = asic_check(case.dir.path(), "xroad.asice") else { return };
        let text = says(&verdict);
        assert!(verdict.status.success() && text.contains("RESULT OK"), "{}: {text}", case.name);
        assert!(!text.contains("WARN"), "{}: {text}", case.name);
    }
}

#[test]
fn asic_check_refuses_what_was_altered() {
    for (name, from, to, refused) in [
        ("message.xml", "persons", "person2", "FAIL sig chain"),
        (
            "ts-hashchain.xml",
            "<HashValue><ds:DigestValue>",
            "<HashValue><ds:DigestValue>AAAA",
            "FAIL ts chain: root",
        ),
        ("ts-hashchainresult.xml", "<ds:DigestValue>", "<ds:DigestValue> ", "FAIL tst: imprint"),
        ("META-INF/signatures.xml", "</asic:XAdESSignatures>", " </asic:XAdESSignatures>", "FAIL ts chain"),
    ] {
        let case = Case::in_batch(NewKeyKind::EcdsaP256, false, 3, 1, None);
        change(&case, name, from, to);
        let Some(verdict) = asic_check(case.dir.path(), "xroad.asice") else { return };
        assert!(!verdict.status.success() && says(&verdict).contains(refused), "{name}: {}", says(&verdict));
    }
}

#[test]
fn the_jdk_accepts_the_signatures_of_both_forms_and_refuses_altered_ones() {
    let cases = Case::all();
    let dir = tempfile::tempdir().unwrap();
    let mut names = Vec::new();
    for (number, case) in cases.iter().enumerate() {
        for form in ["xroad", "eidas"] {
            let name = format!("{number}-{form}.asice");
            fs::copy(case.dir.path().join(form).with_extension("asice"), dir.path().join(&name)).unwrap();
            names.push(name);
        }
    }
    let containers: Vec<&str> = names.iter().map(String::as_str).collect();
    let Some(verdict) = xml_dsig_check(dir.path(), &containers) else { return };
    let text = says(&verdict);
    assert!(verdict.status.success(), "{text}");
    assert_eq!(text.matches("VALID value=true").count(), containers.len(), "{text}");

    let altered = Case::alone(&Wish::default(), Which::Request, Some(BODY));
    change(&altered, "message.xml", "persons", "person2");
    fs::copy(altered.dir.path().join("xroad.asice"), dir.path().join("altered.asice")).unwrap();
    let verdict = xml_dsig_check(dir.path(), &["altered.asice"]).unwrap();
    assert!(!verdict.status.success(), "{}", says(&verdict));
    assert!(says(&verdict).contains("INVALID value=true [/message.xml=false"), "{}", says(&verdict));
}

#[test]
fn xmlsec1_accepts_the_signatures_of_both_forms() {
    for case in Case::all() {
        for container in ["xroad.asice", "eidas.asice"] {
            let Some(dir) = unpacked(&case, container) else { return };
            let document = fs::read_to_string(dir.join("META-INF/signatures.xml")).unwrap();
            if document.contains("#sha512-rsa-MGF1") && !xmlsec1_knows(&dir, "rsa-pss-sha512") {
                eprintln!("SKIPPED: this version of xmlsec1 does not know RSA-PSS");
                continue;
            }
            let Some(verdict) = xmlsec1(&dir) else { return };
            assert!(verdict.status.success(), "{} {container}: {}", case.name, says(&verdict));
        }
    }
}

#[test]
fn openssl_accepts_the_token_of_x_roads_form() {
    for case in Case::all() {
        let Some(dir) = unpacked(&case, "xroad.asice") else { return };
        fs::write(dir.join("tsa.pem"), case.exported.tsas[0].certificate.to_pem()).unwrap();
        let time = NOW.seconds().to_string();
        for (data, accepted) in [("ts-hashchainresult.xml", true), ("ts-hashchain.xml", false)] {
            let arguments = ["ts", "-verify", "-token_in", "-in", "META-INF/timestamp.tst", "-data", data];
            let trust = ["-CAfile", "tsa.pem", "-partial_chain", "-attime", &time];
            let Some(openssl) = run(&dir, "openssl", &[&arguments[..], &trust].concat()) else { return };
            assert_eq!(openssl.status.success(), accepted, "{}: {}", case.name, says(&openssl));
        }
    }
}

/// Neither asic-check nor JDK 17 knows Ed25519; X-Road does not either.
#[test]
fn ed25519_is_accepted_where_it_is_known() {
    let wish = Wish { kind: NewKeyKind::Ed25519, ..Wish::default() };
    for case in [
        Case::alone(&wish, Which::Response, Some(BODY)),
        Case::in_batch(NewKeyKind::Ed25519, false, 3, 2, None),
    ] {
        let signer = case.report().outcome("signature.value");
        assert_eq!(signer, Some(Outcome::Passed), "{}", case.report());
        for container in ["xroad.asice", "eidas.asice"] {
            let Some(dir) = unpacked(&case, container) else { return };
            if !xmlsec1_knows(&dir, "eddsa-ed25519") {
                eprintln!("SKIPPED: this version of xmlsec1 does not know Ed25519");
                continue;
            }
            let Some(verdict) = xmlsec1(&dir) else { return };
            assert!(verdict.status.success(), "{}", says(&verdict));
        }
    }
}

#[test]
fn an_intermediate_ca_that_the_snapshot_does_not_list_is_not_approved() {
    let world = World::new();
    let credential = world.credential(&Wish { by_intermediate: true, ..Wish::default() });
    let case = Case::of("not listed", Exported::signed(world, Which::Request, None, &credential));
    let report = case.report();
    let failed: Vec<_> = report.failed().map(|check| check.name).collect();
    assert_eq!(failed, ["ocsp.response"], "{report}");
    let Some(verdict) = asic_check(case.dir.path(), "xroad.asice") else { return };
    assert!(says(&verdict).contains("FAIL ocsp: issuer known"), "{}", says(&verdict));
}

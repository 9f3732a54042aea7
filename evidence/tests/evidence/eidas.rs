//! Containers as the tools of eIDAS write them, made by programs that others wrote: certificates, OCSP responses and timestamps by openssl,
//! signatures by xmlsec1.

use std::fs;
use std::io::{Cursor, Write};
use std::process::{Command, Stdio};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use kogge_certs::certificate::Certificate;
use kogge_evidence::globalconf::GlobalConf;
use kogge_evidence::report::Outcome;
use kogge_evidence::verify::{self, Verdict};
use tempfile::TempDir;
use zip::ZipWriter;
use zip::write::SimpleFileOptions;

const INCLUSIVE: &str = "http://www.w3.org/TR/2001/REC-xml-c14n-20010315";
const INCLUSIVE_11: &str = "http://www.w3.org/2006/12/xml-c14n11";
const EXCLUSIVE: &str = "http://www.w3.org/2001/10/xml-exc-c14n#";
const MORE: &str = "http://www.w3.org/2001/04/xmldsig-more#";
const SIGNATURES: &str = "META-INF/signatures001.xml";

/// A folder in which a signature was made, and a container of what is in it.
struct Signed {
    dir: TempDir,
    entries: Vec<(String, Vec<u8>)>,
}

impl Signed {
    /// `None` if a tool is missing.
    fn new(key: &str, method: &str, c14n: &str, depth: &str) -> Option<Self> {
        for tool in ["openssl", "xmlsec1", "xmllint", "perl"] {
            let there =
                Command::new(tool).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
            if there.is_err() {
                assert!(std::env::var("CI").as_deref() != Ok("true"), "{tool} is missing");
                eprintln!("SKIPPED: {tool} is missing");
                return None;
            }
        }
        let dir = tempfile::tempdir().unwrap();
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/eidas/make.sh");
        let made = Command::new("sh")
            .current_dir(dir.path())
            .args([script, key, method, c14n, depth])
            .output()
            .unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        let read = |name: &str| fs::read(dir.path().join(name)).unwrap();
        let entries = vec![
            ("mimetype".to_owned(), b"application/vnd.etsi.asic-e+zip".to_vec()),
            ("a file.txt".to_owned(), read("a file.txt")),
            ("folder/b.bin".to_owned(), read("folder/b.bin")),
            (SIGNATURES.to_owned(), read("signatures.xml")),
        ];
        Some(Self { dir, entries })
    }

    fn usual() -> Option<Self> {
        Self::new("P-256", &format!("{MORE}ecdsa-sha256"), EXCLUSIVE, "1")
    }

    fn read(&self, name: &str) -> Vec<u8> {
        fs::read(self.dir.path().join(name)).unwrap()
    }

    fn entry(&mut self, name: &str) -> &mut Vec<u8> {
        &mut self.entries.iter_mut().find(|(found, _)| found == name).unwrap().1
    }

    fn conf(&self) -> GlobalConf {
        let certificate = |name: &str| {
            let text = fs::read_to_string(self.dir.path().join(name)).unwrap();
            STANDARD.encode(Certificate::from_pem(&text).unwrap()[0].der())
        };
        GlobalConf::read("DEMO", [shared_params(&certificate("ca.pem"), &certificate("tsa.pem"))]).unwrap()
    }

    fn verdict(&self) -> Verdict {
        verify::container(Cursor::new(pack(&self.entries)), &self.conf())
    }

    /// The verdict on it with one text of the signature replaced.
    fn with(&self, from: &str, to: &str) -> Verdict {
        let mut entries = self.entries.clone();
        let (_, content) = entries.iter_mut().find(|(name, _)| name == SIGNATURES).unwrap();
        let text = String::from_utf8(content.clone()).unwrap();
        assert!(text.contains(from), "{from}");
        *content = text.replacen(from, to, 1).into_bytes();
        verify::container(Cursor::new(pack(&entries)), &self.conf())
    }
}

fn pack(entries: &[(String, Vec<u8>)]) -> Vec<u8> {
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, content) in entries {
        zip.start_file(name.as_str(), SimpleFileOptions::default()).unwrap();
        zip.write_all(content).unwrap();
    }
    zip.finish().unwrap().into_inner()
}

fn shared_params(ca: &str, tsa: &str) -> String {
    format!(
        "<x:conf xmlns:x=\"http://x-road.eu/xsd/xroad.xsd\"><instanceIdentifier>DEMO</instanceIdentifier><approvedCA><name>CA</name><topCA><cert>{ca}</cert></topCA><certificateProfileInfo>a.b.FiVRKCertificateProfileInfoProvider</certificateProfileInfo></approvedCA><approvedTSA><name>TSA</name><url/><cert>{tsa}</cert></approvedTSA><globalSettings><ocspFreshnessSeconds>3600</ocspFreshnessSeconds></globalSettings></x:conf>"
    )
}

#[track_caller]
fn is(verdict: &Verdict, check: &str, outcome: Outcome, because: &str) {
    let found = verdict.report.checks.iter().find(|found| found.name == check);
    let found = found.unwrap_or_else(|| panic!("{check}\n{}", verdict.report));
    assert_eq!(found.outcome, outcome, "{check}\n{}", verdict.report);
    assert!(found.reason.contains(because), "{because}\n{}", verdict.report);
    assert!(!verdict.report.passed());
}

#[test]
fn signatures_of_each_kind_pass_without_a_message() {
    let pss = "http://www.w3.org/2007/05/xmldsig-more#sha256-rsa-MGF1";
    for (key, method, c14n, depth) in [
        ("P-256", format!("{MORE}ecdsa-sha256"), EXCLUSIVE, "1"),
        ("P-384", format!("{MORE}ecdsa-sha384"), INCLUSIVE_11, "2"),
        ("rsa", format!("{MORE}rsa-sha512"), INCLUSIVE, "1"),
        ("rsa", pss.to_owned(), INCLUSIVE, "1"),
    ] {
        let Some(signed) = Signed::new(key, &method, c14n, depth) else { return };
        let verdict = signed.verdict();
        assert!(verdict.report.passed(), "{method}\n{}", verdict.report);
        for check in ["message.parse", "signature.hash_chain", "registry.instance", "signer.member"] {
            assert_eq!(verdict.report.outcome(check), Some(Outcome::NotApplicable), "{}", verdict.report);
        }
        let statement = verdict.statement;
        assert_eq!(statement.certificate.as_deref(), Some("CN=eIDAS signer"));
        assert!(statement.signer.is_none() && statement.client.is_none() && statement.timestamp.is_some());
    }
}

#[test]
fn what_was_altered_is_named() {
    let Some(signed) = Signed::usual() else { return };
    let broken = |name: &str, change: &dyn Fn(&mut Vec<u8>)| {
        let mut entries = signed.entries.clone();
        change(&mut entries.iter_mut().find(|(found, _)| found == name).unwrap().1);
        verify::container(Cursor::new(pack(&entries)), &signed.conf())
    };
    let verdict = broken("a file.txt", &|content| content[0] ^= 1);
    is(&verdict, "signature.digest.files", Outcome::Failed, "a file.txt is not what was signed");
    for (from, to, check, because) in [
        ("a%20file.txt", "..%2ffolder", "signature.references", "reference to"),
        ("a%20file.txt", "folder/b.bin", "signature.references", "two references"),
        ("a%20file.txt", "absent", "signature.digest.files", "not there: absent"),
        ("a%20file.txt", "META-INF/signatures001.xml", "signature.references", "reference to"),
        (
            "<xades:ClaimedRole>Notary",
            "<xades:ClaimedRole>King",
            "signature.signed_properties",
            "not what was signed",
        ),
        (
            "Algorithm=\"http://www.w3.org/2001/10/xml-exc-c14n#\"/>\n",
            "Algorithm=\"http://www.w3.org/2006/12/xml-c14n11\"/>\n",
            "signature.value",
            "wrong",
        ),
        ("#ecdsa-sha256", "#ecdsa-sha384", "signature.value", "wrong"),
        ("Id=\"value-1\"", "Id=\"value-2\"", "timestamp.token", "another digest"),
        (
            "</ds:Signature>",
            "</ds:Signature><Signature xmlns=\"http://www.w3.org/2000/09/xmldsig#\"/>",
            "signature.xml",
            "must not have Signature",
        ),
    ] {
        is(&signed.with(from, to), check, Outcome::Failed, because);
    }
    let mut more = signed.entries.clone();
    more.push(("c.txt".to_owned(), b"unsigned".to_vec()));
    let verdict = verify::container(Cursor::new(pack(&more)), &signed.conf());
    is(&verdict, "container.coverage", Outcome::Failed, "nothing signs c.txt");
    for name in ["../c.txt", "A FILE.TXT", "C:\\c.txt"] {
        more.last_mut().unwrap().0 = name.to_owned();
        let verdict = verify::container(Cursor::new(pack(&more)), &signed.conf());
        is(&verdict, "container.entries", Outcome::Failed, "");
    }
}

#[test]
fn what_is_missing_is_not_decided() {
    let Some(signed) = Signed::usual() else { return };
    let text = String::from_utf8(signed.read("signatures.xml")).unwrap();
    let without = |name: &str| {
        let (open, close) = (format!("<xades:{name}>"), format!("</xades:{name}>"));
        let (start, end) = (text.find(&open).unwrap(), text.find(&close).unwrap() + close.len());
        signed.with(&text[start..end], "")
    };
    is(&without("SignatureTimeStamp"), "timestamp.present", Outcome::Indeterminate, "no timestamp");
    is(&without("RevocationValues"), "ocsp.response", Outcome::Indeterminate, "no OCSP response");
    let start = text.find("<xades:OCSPValues>").unwrap();
    let end = text.find("</xades:OCSPValues>").unwrap() + "</xades:OCSPValues>".len();
    let crls = signed.with(&text[start..end], "<xades:CRLValues/>");
    is(&crls, "ocsp.response", Outcome::Indeterminate, "only revocation lists");
}

#[test]
fn trust_of_another_is_not_enough() {
    let (Some(signed), Some(other)) = (Signed::usual(), Signed::usual()) else { return };
    let verdict = verify::container(Cursor::new(pack(&signed.entries)), &other.conf());
    is(&verdict, "timestamp.token", Outcome::Failed, "");
    is(&verdict, "signer.path", Outcome::Indeterminate, "");
}

#[test]
fn each_of_several_signatures_is_checked() {
    let Some(mut signed) = Signed::usual() else { return };
    let document = signed.entry(SIGNATURES).clone();
    signed.entries.push(("META-INF/signatures002.xml".to_owned(), document));
    let verdict = signed.verdict();
    assert!(verdict.report.passed(), "{}", verdict.report);
    let values = verdict.report.with_files().filter(|(_, check)| check.name == "signature.value");
    let files: Vec<_> = values.map(|(file, _)| file.unwrap().to_owned()).collect();
    assert_eq!(files, [SIGNATURES, "META-INF/signatures002.xml"]);
    let document = signed.entry("META-INF/signatures002.xml");
    *document = String::from_utf8(document.clone()).unwrap().replace("Notary", "King").into_bytes();
    let report = signed.verdict().report;
    let failed: Vec<_> = report
        .with_files()
        .filter(|(_, check)| check.outcome == Outcome::Failed)
        .map(|(file, check)| (file.unwrap().to_owned(), check.name))
        .collect();
    assert_eq!(
        failed,
        [("META-INF/signatures002.xml".to_owned(), "signature.signed_properties")],
        "{report}"
    );
}

#[test]
fn a_simple_container_has_one_file_and_a_timestamp() {
    let Some(mut signed) = Signed::usual() else { return };
    let token = signed.read("content.tst");
    signed.entries = vec![
        ("mimetype".to_owned(), b"application/vnd.etsi.asic-s+zip".to_vec()),
        ("any name".to_owned(), b"first file\n".to_vec()),
        ("META-INF/timestamp.tst".to_owned(), token),
    ];
    let verdict = signed.verdict();
    assert!(verdict.report.passed() && verdict.statement.timestamp.is_some(), "{}", verdict.report);
    assert_eq!(verdict.report.outcome("signature.value"), Some(Outcome::NotApplicable));
    signed.entry("any name")[0] ^= 1;
    is(&signed.verdict(), "timestamp.token", Outcome::Failed, "another digest");
    signed.entry("any name")[0] ^= 1;
    signed.entries.push(("second".to_owned(), Vec::new()));
    is(&signed.verdict(), "container.entries", Outcome::Failed, "has one data file");
    signed.entries.retain(|(name, _)| !name.starts_with("META-INF") && name != "second");
    is(&signed.verdict(), "timestamp.present", Outcome::Failed, "neither");
}

#[test]
fn other_kinds_of_signatures_are_named() {
    let Some(mut signed) = Signed::usual() else { return };
    signed.entries.retain(|(name, _)| name != SIGNATURES);
    signed.entries.push(("META-INF/signature.p7s".to_owned(), b"0".to_vec()));
    is(&signed.verdict(), "container.entries", Outcome::Failed, "CAdES");
}

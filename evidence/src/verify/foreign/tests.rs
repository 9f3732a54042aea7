use std::collections::BTreeSet;
use std::io::{Cursor, Read, Write};
use std::path::{Path, PathBuf};

use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipArchive, ZipWriter};

use super::*;
use crate::globalconf::GlobalConf;
use crate::report::Outcome;

fn vectors() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/xroad")
}

fn file(name: &str) -> Vec<u8> {
    std::fs::read(vectors().join(name)).unwrap()
}

fn conf() -> GlobalConf {
    let shared = file("globalconf/DEV/shared-params.xml");
    let instance = String::from_utf8(file("globalconf/instance-identifier")).unwrap();
    let conf = GlobalConf::read(&instance, [shared]).unwrap();
    assert!(conf.passed_over().is_empty());
    conf
}

fn judge(bytes: &[u8]) -> Verdict {
    container(Cursor::new(bytes), Trust::GlobalConf(&conf()))
}

type Entries = Vec<(String, Vec<u8>)>;

fn entries(container: &[u8]) -> Entries {
    let mut zip = ZipArchive::new(Cursor::new(container)).unwrap();
    let mut found = Vec::new();
    for index in 0..zip.len() {
        let mut entry = zip.by_index(index).unwrap();
        let name = String::from_utf8(entry.name_raw().to_vec()).unwrap();
        let mut content = Vec::new();
        entry.read_to_end(&mut content).unwrap();
        if !name.ends_with('/') {
            found.push((name, content));
        }
    }
    found
}

fn pack(entries: &[(String, Vec<u8>)]) -> Vec<u8> {
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, content) in entries {
        let options = SimpleFileOptions::default().compression_method(CompressionMethod::Deflated);
        zip.start_file(name.as_str(), options).unwrap();
        zip.write_all(content).unwrap();
    }
    zip.finish().unwrap().into_inner()
}

/// A good container with the text of one entry replaced.
fn with(container: &str, entry: &str, from: &str, to: &str) -> Verdict {
    let mut entries = entries(&file(container));
    let (_, content) = entries.iter_mut().find(|(name, _)| name == entry).unwrap();
    let text = String::from_utf8(content.clone()).unwrap();
    assert!(text.contains(from), "{entry} has no {from:?}");
    *content = text.replacen(from, to, 1).into_bytes();
    judge(&pack(&entries))
}

#[track_caller]
fn fails(verdict: &Verdict, check: &str, because: &str) {
    let found = verdict.report.checks.iter().find(|found| found.name == check).unwrap();
    assert_eq!(found.outcome, Outcome::Failed, "{}", verdict.report);
    assert!(found.reason.contains(because), "{}", verdict.report);
}

/// Each container with the verdict that is expected, and the checks that must say why.
#[test]
fn every_vector_gets_its_verdict() {
    let named: &[(&str, &[&str])] = &[
        ("invalid-digest.asice", &["signature.signed_properties"]),
        ("invalid-not-signed-hashchain.asice", &["signature.hash_chain", "container.coverage"]),
        ("no-message.asice", &["container.entries"]),
        ("no-mimetype.asice", &["container.entries", "container.mimetype"]),
        ("no-signature.asice", &["container.entries"]),
        ("not-asic.asice", &["container.zip"]),
    ];
    let table = String::from_utf8(file("EXPECTED.tsv")).unwrap();
    let mut seen = BTreeSet::new();
    for line in table.lines().skip(1) {
        let [name, _xroad, ours, _why] = line.split('\t').collect::<Vec<_>>()[..] else { panic!("{line}") };
        let report = judge(&file(name)).report;
        assert_eq!(report.passed(), ours == "ok", "{name}\n{report}");
        if let Some((_, checks)) = named.iter().find(|(file, _)| *file == name) {
            for check in *checks {
                assert_eq!(report.outcome(check), Some(Outcome::Failed), "{name}\n{report}");
            }
        }
        seen.insert(name.to_owned());
    }
    assert!(named.iter().all(|(name, _)| seen.contains(*name)));
    assert_eq!(seen.len(), 10);
}

#[test]
fn the_statement_is_that_of_the_message() {
    let statement = judge(&file("valid-non-batch-rest.asice")).statement;
    assert_eq!(statement.kind, Some("response"));
    assert_eq!(statement.client.as_deref(), Some("DEV/COM/4422/TestClient"));
    assert_eq!(statement.service.as_deref(), Some("DEV/COM/1234/TestService/mock1"));
    assert_eq!(statement.message_id.as_deref(), Some("DEV-d75ea6fd-d24b-48ec-a320-53675c40fb86"));
    assert_eq!(statement.signer.unwrap().to_string(), "DEV/COM/1234");
    assert_eq!(statement.timestamp.unwrap().to_string(), "2024-07-11T12:51:12.000Z");
    let statement = judge(&file("valid-batch-ts.asice")).statement;
    assert_eq!(statement.kind, Some("request"));
    assert_eq!(statement.service.as_deref(), Some("DEV/COM/1234/TestService/getRandom/v1"));
    assert_eq!(statement.signer.unwrap().to_string(), "DEV/COM/4321");
}

#[test]
fn packing_a_container_anew_changes_nothing() {
    for name in ["valid-signed-message", "valid-signed-hashchain", "valid-batch-ts", "valid-non-batch-rest"] {
        let report = judge(&pack(&entries(&file(&format!("{name}.asice"))))).report;
        assert!(report.passed(), "{name}\n{report}");
    }
}

/// No byte of a file can change, but in Ids of what is not signed, to which nothing refers. Behind a repaired ZIP file, so that only the
/// evidence itself can tell.
#[test]
fn no_byte_of_a_file_can_change() {
    for name in ["valid-signed-message", "valid-signed-hashchain", "valid-batch-ts", "valid-non-batch-rest"] {
        let good = entries(&file(&format!("{name}.asice")));
        for (place, (entry, content)) in good.iter().enumerate() {
            let stamped = name.starts_with("valid-batch") || name.starts_with("valid-non-batch");
            // The signature document is long, and mostly base64; where the timestamp covers all of it, that is what tells.
            let step = match (entry.as_str(), stamped) {
                ("META-INF/signatures.xml", true) => 61,
                ("META-INF/signatures.xml", false) => 5,
                ("META-INF/timestamp.tst", _) => 7,
                _ => 3,
            };
            for at in (place % 3..content.len()).step_by(step) {
                let mut altered = good.clone();
                altered[place].1[at] ^= 0x01;
                let report = judge(&pack(&altered)).report;
                let free = ["Id=\"signature-value\"", "Id=\"ocsp-response-1\""].iter().any(|id| {
                    let text = String::from_utf8_lossy(content);
                    let found = text.find(id).map(|start| start + 4..start + id.len() - 1);
                    !stamped && entry.ends_with("signatures.xml") && found.is_some_and(|id| id.contains(&at))
                });
                assert!(
                    free || report.failed().count() > 0,
                    "{name}, {entry}, byte {at} of {:?}\n{report}",
                    String::from_utf8_lossy(&content[at.saturating_sub(20)..(at + 20).min(content.len())])
                );
            }
        }
    }
}

/// Bytes around the files: headers, descriptors, directory, comment. Times and such, which nothing goes by, may change.
#[test]
fn a_zip_file_cut_or_grown_is_refused() {
    let good = file("valid-batch-ts.asice");
    for length in (0..good.len()).step_by(37) {
        fails(&judge(&good[..length]), "container.zip", "");
    }
    let behind = [&good[..], b"x"].concat();
    fails(&judge(&behind), "container.zip", "does not end like a ZIP file");
    let before = [b"x", &good[..]].concat();
    fails(&judge(&before), "container.zip", "");
    // One name in the directory, another before the content.
    let mut renamed = good.clone();
    let at = renamed.windows(11).position(|name| name == b"message.xml").unwrap();
    renamed[at] = b'n';
    fails(&judge(&renamed), "container.zip", "another name than in the directory");
}

#[test]
fn every_file_must_be_signed() {
    let add = |container: &str, name: &str| {
        let mut entries = entries(&file(container));
        entries.push((name.to_owned(), b"<x/>".to_vec()));
        judge(&pack(&entries))
    };
    for name in [
        "invoice.pdf",
        "META-INF/signatures2.xml",
        "../message.xml",
        "/etc/passwd",
        "attachment0",
        "Message.xml",
    ] {
        fails(&add("valid-batch-ts.asice", name), "container.coverage", name);
    }
    fails(&add("valid-batch-ts.asice", "attachment1"), "container.coverage", "attachment1");
    fails(
        &add("valid-batch-ts.asice", "attachment1"),
        "signature.digest.attachment",
        "not among what was signed",
    );
    fails(&add("valid-non-batch-rest.asice", "attachment2"), "signature.digest.attachment", "attachment2");
    for name in ["sig-hashchain.xml", "sig-hashchainresult.xml"] {
        fails(&add("valid-batch-ts.asice", name), "signature.hash_chain", "not about");
    }
    for name in ["ts-hashchain.xml", "ts-hashchainresult.xml"] {
        fails(&add("valid-signed-message.asice", name), "container.coverage", name);
    }
    // X-Road only prints "unverified" here.
    let wrong = add("valid-signed-hashchain.asice", "attachment1");
    fails(&wrong, "signature.digest.attachment", "attachment1 is not what was signed");
    // A second timestamp.
    let token = entries(&file("valid-batch-ts.asice")).into_iter().find(|(name, _)| name.ends_with(".tst"));
    let mut two = entries(&file("valid-signed-message.asice"));
    two.push(token.unwrap());
    fails(&judge(&pack(&two)), "timestamp.present", "two timestamps");
}

#[test]
fn what_is_missing_is_named() {
    let without = |container: &str, name: &str| {
        let mut entries = entries(&file(container));
        entries.retain(|(found, _)| found != name);
        judge(&pack(&entries)).report
    };
    for (container, name, check) in [
        ("valid-batch-ts.asice", "mimetype", "container.mimetype"),
        ("valid-batch-ts.asice", "message.xml", "container.entries"),
        ("valid-batch-ts.asice", "META-INF/signatures.xml", "container.entries"),
        ("valid-batch-ts.asice", "META-INF/timestamp.tst", "timestamp.present"),
        ("valid-batch-ts.asice", "ts-hashchain.xml", "timestamp.tree"),
        ("valid-batch-ts.asice", "ts-hashchainresult.xml", "timestamp.tree"),
        ("valid-non-batch-rest.asice", "attachment1", "signature.digest.attachment"),
    ] {
        let report = without(container, name);
        assert_eq!(report.outcome(check), Some(Outcome::Failed), "{name}\n{report}");
    }
    let report = without("valid-signed-hashchain.asice", "sig-hashchain.xml");
    assert!(!report.passed());
    assert_eq!(report.outcome("signature.hash_chain"), Some(Outcome::Indeterminate), "{report}");
}

/// XML that two readers could read in two ways. Where a signature or digest breaks as well, the reader must refuse it first.
#[test]
fn hostile_signature_documents_are_not_read() {
    const DOCUMENT: &str = "META-INF/signatures.xml";
    let signed = "valid-signed-message.asice";
    let document =
        String::from_utf8(entries(&file(signed)).into_iter().find(|(name, _)| name == DOCUMENT).unwrap().1)
            .unwrap();
    let start = document.find("<ds:Signature ").unwrap();
    let end = document.find("</ds:Signature>").unwrap() + "</ds:Signature>".len();
    let signature = &document[start..end];
    let deep = format!("{}{}", "<a>".repeat(10_000), "</a>".repeat(10_000));
    let reference = "<ds:Reference URI=\"/message.xml\"><ds:DigestMethod Algorithm=\"http://www.w3.org/2001/04/xmlenc#sha512\"/><ds:DigestValue>AAAA</ds:DigestValue></ds:Reference>";
    let many = reference.repeat(10_000);
    for (from, to, because) in [
        ("<asic:XAdES", "<!DOCTYPE a><asic:XAdES", "not acceptable XML"),
        ("<asic:XAdES", "<!DOCTYPE a [<!ENTITY b \"c\">]><asic:XAdES", "not acceptable XML"),
        ("<asic:XAdES", "<!--x--><asic:XAdES", "beside the root"),
        ("</asic:XAdESSignatures>", "</asic:XAdESSignatures><?p?>", "beside the root"),
        ("?>", " ?><!-- -->", "beside the root"),
        ("encoding=\"UTF-8\"", "encoding=\"UTF-7\"", "is not one of UTF-8"),
        ("</ds:Signature>", "&undefined;</ds:Signature>", "not acceptable XML"),
        ("</ds:Signature>", "words</ds:Signature>", "has text"),
        ("</ds:Signature>", "<ds:Object/></ds:Signature>", "must not have Object"),
        (
            "</ds:Signature>",
            &format!("</ds:Signature>{}", signature.replace(" Id=\"", " Id=\"x")),
            "must not have Signature",
        ),
        (signature, &format!("<x>{signature}</x>"), "lacks Signature"),
        ("<ds:Object>", "<ds:Object Id=\"signature\">", "stands twice"),
        ("<ds:Object>", "<ds:Object iD=\"signed-properties\">", "stands twice"),
        ("Target=\"#signature\"", "Target=\"#other\"", "about another signature"),
        ("<xades:RevocationValues>", "<xades:RevocationValues/><xades:RevocationValues>", "OCSPValues"),
        ("<xades:SignatureTimeStamp>", "<xades:ArchiveTimeStamp/><xades:SignatureTimeStamp>", "not expected"),
        ("xml-c14n-20010315", "xml-c14n-20010315#Other", "is not accepted"),
        ("<xades:SigningTime>", "<xades:SigningTime><!-- -->", "not plain text"),
        ("<ds:SignatureMethod ", "<ds:SignatureMethod x=\"\" ", "must not have the attribute x"),
        ("</ds:SignedInfo>", &format!("{many}</ds:SignedInfo>"), "larger than"),
        (
            "</ds:SignedInfo>",
            &format!("{}</ds:SignedInfo>", reference.repeat(300)),
            "more than 257 references",
        ),
        ("<ds:Object>", &format!("<ds:Object>{deep}"), "limit"),
        ("2024-12-05T13:16:11.661Z", "2024-12-05T13:16:11.661", "not a time with a time zone"),
    ] {
        fails(&with(signed, DOCUMENT, from, to), "signature.xml", because);
    }
    for (from, to, check, because) in [
        ("URI=\"/message.xml\"", "URI=\"message.xml\"", "signature.value", "wrong"),
        ("URI=\"/message.xml\"", "URI=\"#signature\"", "signature.references", "\"#signature\""),
        ("URI=\"/message.xml\"", "URI=\"/mimetype\"", "signature.references", "\"/mimetype\""),
        ("URI=\"/message.xml\"", "URI=\"/attachment1\"", "signature.digest.files", "not there: attachment1"),
        ("URI=\"#signed-properties\"", "URI=\"#\"", "signature.references", "not one reference"),
        ("#rsa-sha512", "#rsa-sha1", "signature.value", "is not accepted"),
        ("#rsa-sha512", "#rsa-sha256", "signature.value", "wrong"),
        ("#rsa-sha512", "#ecdsa-sha512", "signature.value", "is not accepted"),
        ("xml-c14n-20010315", "xml-c14n-20010315#WithComments", "signature.value", "wrong"),
        ("TR/2001/REC-xml-c14n-20010315", "2006/12/xml-c14n11", "signature.value", "wrong"),
        (
            "<ds:X509Certificate>",
            "<ds:X509Certificate>AAAA</ds:X509Certificate><ds:X509Certificate>",
            "signer.path",
            "certificate",
        ),
        (
            "http://www.w3.org/TR/2001/REC-xml-c14n-20010315",
            "http://www.w3.org/2001/10/xml-exc-c14n#",
            "signature.value",
            "wrong",
        ),
    ] {
        fails(&with(signed, DOCUMENT, from, to), check, because);
    }
    let sha1 = "http://www.w3.org/2000/09/xmldsig#sha1";
    let weak = with(signed, DOCUMENT, "http://www.w3.org/2001/04/xmlenc#sha512", sha1);
    fails(&weak, "signature.digest.message", "is not accepted");
}

/// The line ends of base64 are part of what is signed.
#[test]
fn line_ends_are_not_normalised() {
    let verdict = with("valid-signed-message.asice", "META-INF/signatures.xml", "&#13;\n", "\n");
    fails(&verdict, "signature.value", "wrong");
    // Behind the signed part they are only base64.
    let mut files = entries(&file("valid-signed-message.asice"));
    let (_, document) = files.iter_mut().find(|(name, _)| name.ends_with("signatures.xml")).unwrap();
    let text = String::from_utf8(document.clone()).unwrap();
    let (signed, rest) = text.split_once("</ds:SignedInfo>").unwrap();
    *document = format!("{signed}</ds:SignedInfo>{}", rest.replace("&#13;", "")).into_bytes();
    assert!(judge(&pack(&files)).report.passed());
}

#[test]
fn a_compressed_bomb_is_not_unpacked() {
    let files = entries(&file("valid-batch-ts.asice"));
    let bomb = [("attachment1".to_owned(), vec![0; 64 * 1024 * 1024])];
    fails(&judge(&pack(&[&files[..], &bomb].concat())), "container.zip", "that is not read");
    let many = (1..=256).map(|number| (format!("attachment{number}"), Vec::new()));
    fails(&judge(&pack(&many.chain(files).collect::<Vec<_>>())), "container.zip", "more than 256");
}

#[test]
fn trust_must_be_in_the_directory() {
    let shared = String::from_utf8(file("globalconf/DEV/shared-params.xml")).unwrap();
    let good = file("valid-batch-ts.asice");
    let under = |from: &str, to: &str| {
        assert!(shared.contains(from), "{from}");
        let conf = GlobalConf::read("DEV\n", [shared.replace(from, to)]).unwrap();
        container(Cursor::new(&good), Trust::GlobalConf(&conf))
    };
    let cert = |after: &str| {
        let rest = &shared[shared.find(after).unwrap()..];
        let start = rest.find("<cert>").unwrap() + 6;
        rest[start..start + rest[start..].find('<').unwrap()].to_owned()
    };
    let (ca, responder, tsa) = (cert("<topCA>"), cert("<ocsp>"), cert("<approvedTSA>"));
    fails(&under(&ca, &tsa), "signer.path", "not issued under an approved CA");
    fails(&under(&tsa, &responder), "timestamp.token", "not signed by an approved TSA");
    // Its certificate is in the response, and delegated by the CA: it need not be listed.
    assert!(under(&responder, &tsa).report.passed());
    fails(&under("<authenticationOnly>false", "<authenticationOnly>true"), "signer.path", "not issued");
    fails(&under(">3600<", ">442<"), "ocsp.response", "too old");
    assert!(under(">3600<", ">443<").report.passed());
    fails(&under("impl.FiVRK", "impl.Ejbca"), "signer.member", "signed by FI/Test%20client/4321");
    let unknown = under("impl.FiVRK", "impl.Other");
    assert_eq!(unknown.report.outcome("signer.member"), Some(Outcome::Indeterminate));
    // Base64 of DER does as well as base64 of PEM.
    use base64::Engine;
    let base64 = base64::engine::general_purpose::STANDARD;
    let pem = String::from_utf8(base64.decode(&ca).unwrap()).unwrap();
    let der = kogge_certs::certificate::Certificate::from_pem(&pem).unwrap().remove(0);
    assert!(under(&ca, &base64.encode(der.der())).report.passed());
    // What cannot be used is passed over, and told.
    let conf = GlobalConf::read("DEV", [shared.replace(&ca, "AAAA")]).unwrap();
    assert_eq!(conf.passed_over().len(), 1);
    assert!(!container(Cursor::new(&good), Trust::GlobalConf(&conf)).report.passed());
}

#[test]
fn a_directory_that_is_none_is_refused() {
    use crate::globalconf::GlobalConfError as E;
    let shared = String::from_utf8(file("globalconf/DEV/shared-params.xml")).unwrap();
    let refused = |instance: &str, documents: &[String]| GlobalConf::read(instance, documents).unwrap_err();
    assert_eq!(refused("EE", std::slice::from_ref(&shared)), E::Missing("EE".to_owned()));
    assert_eq!(refused("DEV", &[]), E::Missing("DEV".to_owned()));
    assert_eq!(refused("DEV", &[shared.clone(), shared.clone()]), E::Twice("DEV".to_owned()));
    for wrong in [
        String::new(),
        "<conf/>".to_owned(),
        shared.replace("<ns3:conf", "<!DOCTYPE a><ns3:conf"),
        shared.replace("<instanceIdentifier>", "<instanceIdentifier/><instanceIdentifier>"),
        shared.replace("3600", "soon"),
    ] {
        assert!(matches!(refused("DEV", &[wrong]), E::Malformed(_)));
    }
}

#[test]
fn a_message_of_somebody_else_is_not_the_signers() {
    for (name, from, to) in [
        ("valid-batch-ts.asice", ":memberCode>4321<", ":memberCode>4322<"),
        ("valid-non-batch-rest.asice", "x-road-service:DEV/COM/1234/", "x-road-service:DEV/COM/1235/"),
    ] {
        let verdict = with(name, "message.xml", from, to);
        fails(&verdict, "signer.member", "must have signed");
        fails(&verdict, "signature.digest.message", "not what was signed");
    }
    let verdict =
        with("valid-non-batch-rest.asice", "message.xml", "x-road-service:DEV/", "x-road-service:EE/");
    fails(&verdict, "registry.instance", "no instance EE");
}

#[test]
fn messages_have_one_reading() {
    let rest = |text: &str| message::read(text.as_bytes());
    let request = "POST\r\n/r1/A/GOV/1/s/svc/path?a=/b\r\nX-Road-Client:A/GOV/2\r\nx-road-id:i\r\n";
    let read = rest(request).unwrap();
    assert!(!read.is_response);
    assert_eq!((read.client.as_str(), read.service.as_str()), ("A/GOV/2", "A/GOV/1/s/svc"));
    assert_eq!(read.signer().to_string(), "A/GOV/2");
    for (from, to, because) in [
        ("\r\nx-road-id:i\r\n", "\r\nx-road-id:i", "does not end"),
        ("X-Road-Client", "X-Road-Clienx", "no X-Road-Client"),
        ("A/GOV/2", "A/GOV", "X-Road-Client"),
        ("x-road-id:i", "x-road-client:A/GOV/3", "two different values"),
        ("/svc/path?a=/b", "", "the service"),
        ("/r1/", "/r2/", "/r1/"),
        ("x-road-id:i", "x-road-id", "not a header"),
    ] {
        let refused = rest(&request.replace(from, to)).err().unwrap();
        assert!(refused.contains(because), "{refused}");
    }
    let attributes = |count: usize| (0..count).map(|n| format!(" a{n}=\">'\"")).collect::<String>();
    let envelope =
        |tag: &str| message::read(format!("<!--<b\"--><?p '?><e><![CDATA[<\"]]><b{tag}/></e>").as_bytes());
    // Compared with each other one by one, these would take minutes.
    assert!(envelope(&attributes(500_000)).err().unwrap().contains("more than 256 attributes"));
    assert!(envelope(&attributes(257)).err().unwrap().contains("more than 256 attributes"));
    assert!(envelope(&attributes(256)).err().unwrap().contains("not a SOAP envelope"));
    let soap = entries(&file("valid-batch-ts.asice")).into_iter().find(|(name, _)| name == "message.xml");
    let soap = String::from_utf8(soap.unwrap().1).unwrap();
    assert!(!message::read(soap.as_bytes()).unwrap().is_response);
    let client = &soap[soap.find("<xroad:client").unwrap()..soap.find("</xroad:client>").unwrap() + 15];
    for (from, to, because) in [
        (client, format!("{client}{client}"), "does not have one client"),
        (client, format!("<x>{client}</x>"), "does not have one client"),
        ("<id:memberCode>4321", "<id:memberCode>43<!-- -->21".to_owned(), "not plain text"),
        ("<id:memberCode>4321</id:memberCode>", String::new(), "lacks its memberCode"),
        (
            "<id:memberCode>4321",
            "<id:memberClass>X</id:memberClass><id:memberCode>4321".to_owned(),
            "wrong place",
        ),
        ("<id:memberCode>4321", "<id:memberCode>43/21".to_owned(), "U+002F"),
        ("</SOAP-ENV:Body>", "<x/></SOAP-ENV:Body>".to_owned(), "does not have one element"),
        ("</SOAP-ENV:Header>", "</SOAP-ENV:Header><SOAP-ENV:Header/>".to_owned(), "does not have one Header"),
        ("<SOAP-ENV:Envelope", "<!DOCTYPE a><SOAP-ENV:Envelope".to_owned(), "not acceptable XML"),
    ] {
        assert!(soap.contains(from), "{from}");
        let refused = message::read(soap.replacen(from, &to, 1).as_bytes()).err().unwrap();
        assert!(refused.contains(because), "{refused}, not {because}");
    }
}

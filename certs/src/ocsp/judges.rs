//! `openssl ocsp` as client reads our answers, and as responder reads our questions and is read by us.

use std::path::Path;
use std::process::Command;

use kogge_proto::time::UnixMillis;

use super::tests::{FRESHNESS, Pki};
use super::{Answer, Nonce, OcspError, OcspStatus, parse_request, request, respond, verify};
use crate::testing::openssl;
use crate::testing::pki::{Party, Spec};

const NONCE: Nonce = *b"0123456789abcdef";

/// `openssl ocsp` compares with the clock of the machine, so these tests do, too.
fn now() -> UnixMillis {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    UnixMillis(i64::try_from(since.as_millis()).unwrap())
}

fn path(dir: &Path, name: &str) -> String {
    dir.join(name).to_str().unwrap().to_owned()
}

/// What `openssl ocsp` says about a response of ours: standard output, then standard error.
fn client(dir: &Path, digest: &str, response: &[u8]) -> (String, String) {
    let at = |name| path(dir, name);
    std::fs::write(at("response"), response).unwrap();
    let (ca, leaf) = (at("ca.pem"), at("leaf.pem"));
    let arguments = [
        "ocsp",
        digest,
        "-issuer",
        &ca,
        "-cert",
        &leaf,
        "-respin",
        &at("response"),
        "-no_nonce",
        "-CAfile",
        &ca,
    ];
    let output = Command::new("openssl").args(arguments).output().unwrap();
    (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap())
}

#[test]
fn openssl_accepts_our_answers() {
    for key in [&rcgen::PKCS_ECDSA_P256_SHA256, &rcgen::PKCS_RSA_SHA256] {
        let dir = tempfile::tempdir().unwrap();
        let mut pki = Pki::new();
        pki.responder = pki.ca.issue(&Spec { key, ..Spec::responder("Responder") });
        pki.ca.write(dir.path(), "ca");
        pki.leaf.write(dir.path(), "leaf");
        for digest in ["-sha1", "-sha256"] {
            let (ca, leaf) = (path(dir.path(), "ca.pem"), path(dir.path(), "leaf.pem"));
            let query = path(dir.path(), "query");
            let asked = openssl(&["ocsp", digest, "-issuer", &ca, "-cert", &leaf, "-reqout", &query], b"");
            if asked.is_none() {
                return;
            }
            let request = parse_request(&std::fs::read(query).unwrap(), &pki.ca.certificate).unwrap();
            assert!(request.questions[0].of_this_issuer && request.nonce.is_some());
            assert_eq!(request.questions[0].serial, pki.leaf.certificate.serial());
            let answer = |answer, by: &Party| {
                let next = UnixMillis(now().0 + 600_000);
                respond(&request, &[answer], &by.certificate, &by.key, now(), next).unwrap()
            };
            for (status, word) in [
                (Answer::Good, ": good"),
                (Answer::Revoked(now()), ": revoked"),
                (Answer::Unknown, ": unknown"),
            ] {
                let (says, verdict) = client(dir.path(), digest, &answer(status, &pki.responder));
                assert!(says.contains(word), "{says}");
                assert!(verdict.contains("Response verify OK"), "{verdict}");
            }
            let rogue = Party::root(&Spec::ca("CA")).issue(&Spec::responder("Responder"));
            let (_, verdict) = client(dir.path(), digest, &answer(Answer::Good, &rogue));
            assert!(verdict.contains("Response Verify Failure"), "{verdict}");
        }
    }
}

/// The responder of `openssl ocsp`, over a directory with its index file.
struct Responder<'a> {
    dir: &'a Path,
    pki: &'a Pki,
}

impl<'a> Responder<'a> {
    /// That knows the leaf with this status: `V` valid, `R` revoked.
    fn new(dir: &'a Path, pki: &'a Pki, status: &str) -> Self {
        pki.ca.write(dir, "ca");
        pki.responder.write(dir, "responder");
        let revoked = if status == "R" { "260101120000Z,keyCompromise" } else { "" };
        let serial = hex::encode_upper(pki.leaf.certificate.serial());
        let index = format!("{status}\t600101000000Z\t{revoked}\t{serial}\tunknown\t/O=Test/CN=Member\n");
        std::fs::write(path(dir, "index.txt"), index).unwrap();
        Self { dir, pki }
    }

    fn answer(&self, signer: &str, extra: &[&str]) -> Option<Vec<u8>> {
        let at = |name: &str| path(self.dir, name);
        let question = request(&self.pki.leaf.certificate, &self.pki.ca.certificate, Some(&NONCE));
        std::fs::write(at("query"), question).unwrap();
        let (certificate, key) = (at(&format!("{signer}.pem")), at(&format!("{signer}.key")));
        let (index, ca, query, response) = (at("index.txt"), at("ca.pem"), at("query"), at("response"));
        let arguments =
            ["ocsp", "-index", &index, "-CA", &ca, "-rsigner", &certificate, "-rkey", &key, "-reqin", &query];
        openssl(&[&arguments[..], &["-respout", &response], extra].concat(), b"")?;
        Some(std::fs::read(response).unwrap())
    }

    fn verify(&self, response: &[u8]) -> Result<OcspStatus, OcspError> {
        verify(response, &self.pki.path(), FRESHNESS, Some(&NONCE), now())
    }
}

#[test]
fn we_accept_answers_of_openssl() {
    for key in [&rcgen::PKCS_ECDSA_P256_SHA256, &rcgen::PKCS_ECDSA_P384_SHA384, &rcgen::PKCS_RSA_SHA256] {
        let dir = tempfile::tempdir().unwrap();
        let mut pki = Pki::new();
        pki.responder = pki.ca.issue(&Spec { key, ..Spec::responder("Responder") });
        let responder = Responder::new(dir.path(), &pki, "V");
        let digest = if key == &rcgen::PKCS_ECDSA_P384_SHA384 { "sha384" } else { "sha256" };
        let signed = ["-rmd", digest];
        for extra in [&["-nmin", "5"][..], &["-ndays", "1", "-resp_key_id"], &[]] {
            let Some(response) = responder.answer("responder", &[&signed, extra].concat()) else { return };
            let status = responder.verify(&response).unwrap();
            assert_eq!(status.next_update.is_some(), !extra.is_empty());
        }
        let response = responder.answer("ca", &["-nmin", "5"]).unwrap();
        responder.verify(&response).unwrap();
    }
}

#[test]
fn we_refuse_answers_of_openssl_for_their_reasons() {
    let dir = tempfile::tempdir().unwrap();
    let pki = Pki::new();
    let responder = Responder::new(dir.path(), &pki, "R");
    let Some(response) = responder.answer("responder", &["-nmin", "5"]) else { return };
    assert_eq!(responder.verify(&response), Err(OcspError::Revoked { at: UnixMillis(1_767_268_800_000) }));

    std::fs::write(path(dir.path(), "index.txt"), "").unwrap();
    let response = responder.answer("responder", &["-nmin", "5"]).unwrap();
    assert_eq!(responder.verify(&response), Err(OcspError::Unknown));

    let responder = Responder::new(dir.path(), &pki, "V");
    let response = responder.answer("responder", &["-nmin", "5", "-badsig"]).unwrap();
    assert_eq!(responder.verify(&response), Err(OcspError::BadSignature));
    let response = responder.answer("responder", &["-nmin", "5", "-resp_no_certs"]).unwrap();
    assert!(matches!(responder.verify(&response), Err(OcspError::WrongResponder(_))));
    pki.leaf.write(dir.path(), "leaf");
    let response = responder.answer("leaf", &["-nmin", "5"]).unwrap();
    assert!(matches!(responder.verify(&response), Err(OcspError::WrongResponder(_))));
}

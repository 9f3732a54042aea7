//! `openssl ts` reads our requests and tokens, and we read its own.

use std::path::Path;

use kogge_proto::digest::sha512;
use kogge_proto::time::UnixMillis;

use super::tests::{POLICY, imprint, issue, listed, trust};
use super::{Imprint, TimestampError, parse_request, request, respond, token_of_response, verify};
use crate::testing::openssl;
use crate::testing::pki::{Party, Spec};
use crate::trust::{ApprovedCa, TrustStore};

const NONCE: u64 = 0x0102_0304_0506_0708;

fn now() -> UnixMillis {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    UnixMillis(i64::try_from(since.as_millis()).unwrap())
}

fn path(dir: &Path, name: &str) -> String {
    dir.join(name).to_str().unwrap().to_owned()
}

/// Runs `openssl` where it is expected to say no, and gives whether it said yes.
fn accepts(arguments: &[&str]) -> bool {
    std::process::Command::new("openssl").args(arguments).output().unwrap().status.success()
}

#[test]
fn openssl_verifies_our_tokens() {
    for key in [&rcgen::PKCS_ECDSA_P256_SHA256, &rcgen::PKCS_RSA_SHA256] {
        let dir = tempfile::tempdir().unwrap();
        let at = |name| path(dir.path(), name);
        let ca = Party::root(&Spec::ca("CA"));
        let party = ca.issue(&Spec { key, ..Spec::tsa("TSA") });
        ca.write(dir.path(), "ca");
        std::fs::write(at("data"), b"evidence").unwrap();
        let query = request(&imprint(), Some(NONCE));
        std::fs::write(at("query"), &query).unwrap();
        let response = respond(&parse_request(&query).unwrap(), &issue(&party, now())).unwrap();
        std::fs::write(at("response"), &response).unwrap();
        std::fs::write(at("token"), token_of_response(&response).unwrap()).unwrap();

        let (ca, token) = (at("ca.pem"), at("token"));
        let verify = ["ts", "-verify", "-in", &at("response"), "-CAfile", &ca];
        if openssl(&[&verify[..], &["-queryfile", &at("query")]].concat(), b"").is_none() {
            return;
        }
        openssl(&[&verify[..], &["-data", &at("data")]].concat(), b"");
        openssl(&["ts", "-verify", "-in", &token, "-token_in", "-CAfile", &ca, "-data", &at("data")], b"");

        std::fs::write(at("data"), b"evidencf").unwrap();
        assert!(!accepts(&[&verify[..], &["-data", &at("data")]].concat()));
        let mut altered = response;
        *altered.last_mut().unwrap() ^= 1;
        std::fs::write(at("response"), &altered).unwrap();
        assert!(!accepts(&[&verify[..], &["-queryfile", &at("query")]].concat()));
    }
}

fn configure(dir: &Path, digits: u8, ess: &str, chain: bool) {
    let serial = path(dir, "serial");
    std::fs::write(&serial, "0A\n").unwrap();
    let config = format!(
        "[tsa]\ndefault_tsa=t\n[t]\nserial={serial}\nsigner_digest=sha256\ndefault_policy={POLICY}\n\
         digests=sha256,sha384,sha512\naccuracy=secs:1\nclock_precision_digits={digits}\nordering=no\n\
         tsa_name=yes\ness_cert_id_alg={ess}\ness_cert_id_chain={}\n",
        if chain { "yes" } else { "no" },
    );
    std::fs::write(path(dir, "ts.cnf"), config).unwrap();
}

/// A token of `openssl ts -reply` for our own request.
fn reply(dir: &Path, digest: &str, chain: bool) -> Option<Vec<u8>> {
    std::fs::write(path(dir, "query"), request(&imprint(), Some(NONCE))).unwrap();
    let at = |name| path(dir, name);
    let (config, query, signer, key, ca) =
        (at("ts.cnf"), at("query"), at("tsa.pem"), at("tsa.key"), at("ca.pem"));
    let mut arguments = vec!["ts", "-reply", "-config", &config, "-queryfile", &query, "-signer", &signer];
    arguments.extend(["-inkey", &key, digest]);
    if chain {
        arguments.extend(["-chain", &ca]);
    }
    openssl(&arguments, b"").map(|response| token_of_response(&response).unwrap())
}

#[test]
fn we_verify_tokens_of_openssl() {
    let keys = [
        (&rcgen::PKCS_ECDSA_P256_SHA256, "-sha256"),
        (&rcgen::PKCS_ECDSA_P384_SHA384, "-sha384"),
        (&rcgen::PKCS_RSA_SHA256, "-sha256"),
        (&rcgen::PKCS_RSA_SHA256, "-sha512"),
    ];
    let before = now().floor_seconds();
    for (key, digest) in keys {
        let dir = tempfile::tempdir().unwrap();
        let ca = Party::root(&Spec::ca("CA"));
        let party = ca.issue(&Spec { key, ..Spec::tsa("TSA") });
        ca.write(dir.path(), "ca");
        party.write(dir.path(), "tsa");
        for (digits, ess) in [(0, "sha1"), (3, "sha256"), (6, "sha512")] {
            configure(dir.path(), digits, ess, false);
            let Some(token) = reply(dir.path(), digest, false) else { return };
            let verified = verify(&token, &imprint(), Some(NONCE), &trust(&party)).unwrap();
            assert!(verified.gen_time() >= before && verified.gen_time() <= now(), "{}", verified.gen_time());
            assert_eq!(verified.policy(), POLICY);
            let refusal =
                verify(&token, &Imprint::Sha512(sha512(b"")), Some(NONCE), &trust(&party)).unwrap_err();
            assert_eq!(refusal, TimestampError::Imprint);
        }
    }
}

/// Certificates of a chain are taken if the TSA signed for them, or if they are approved, and in no other case.
#[test]
fn the_chain_of_a_foreign_token_must_be_accounted_for() {
    let dir = tempfile::tempdir().unwrap();
    let ca = Party::root(&Spec::ca("CA"));
    let party = ca.issue(&Spec::tsa("TSA"));
    ca.write(dir.path(), "ca");
    party.write(dir.path(), "tsa");
    configure(dir.path(), 0, "sha256", true);
    let Some(token) = reply(dir.path(), "-sha256", true) else { return };
    verify(&token, &imprint(), Some(NONCE), &trust(&party)).unwrap();

    configure(dir.path(), 0, "sha256", false);
    let token = reply(dir.path(), "-sha256", true).unwrap();
    assert_eq!(
        verify(&token, &imprint(), Some(NONCE), &trust(&party)).unwrap_err(),
        TimestampError::Rule("the token carries a certificate that is neither approved nor signed for")
    );
    let approved = ApprovedCa {
        name: "CA".to_owned(),
        certificate: ca.certificate,
        intermediates: Vec::new(),
        ocsp_urls: Vec::new(),
        ocsp_responders: Vec::new(),
    };
    let trust = TrustStore::new(vec![approved], vec![listed(&party, &[POLICY])]);
    verify(&token, &imprint(), Some(NONCE), &trust).unwrap();
}

#[test]
fn a_foreign_token_with_any_bit_flipped_is_refused() {
    for key in [&rcgen::PKCS_ECDSA_P256_SHA256, &rcgen::PKCS_RSA_SHA256] {
        let dir = tempfile::tempdir().unwrap();
        let ca = Party::root(&Spec::ca("CA"));
        let party = ca.issue(&Spec { key, ..Spec::tsa("TSA") });
        ca.write(dir.path(), "ca");
        party.write(dir.path(), "tsa");
        configure(dir.path(), 3, "sha1", true);
        let Some(token) = reply(dir.path(), "-sha256", true) else { return };
        let trust = trust(&party);
        verify(&token, &imprint(), Some(NONCE), &trust).unwrap();
        for at in 0..token.len() {
            for mask in [1, 2, 4, 8, 16, 32, 64, 128, 0xFF] {
                let mut altered = token.clone();
                altered[at] ^= mask;
                assert!(verify(&altered, &imprint(), Some(NONCE), &trust).is_err(), "byte {at} xor {mask}");
            }
        }
    }
}

#[test]
fn we_read_queries_of_openssl() {
    for (digest, extra) in [("-sha256", "-no_nonce"), ("-sha384", "-cert"), ("-sha512", "-cert")] {
        let dir = tempfile::tempdir().unwrap();
        let data = path(dir.path(), "data");
        std::fs::write(&data, b"data").unwrap();
        let Some(query) = openssl(&["ts", "-query", "-data", &data, digest, extra, "-tspolicy", POLICY], b"")
        else {
            return;
        };
        let parsed = parse_request(&query).unwrap();
        assert_eq!(parsed.policy.as_deref(), Some(POLICY));
        assert_eq!((parsed.nonce.is_some(), parsed.cert_req), (extra == "-cert", extra == "-cert"));
    }
    let dir = tempfile::tempdir().unwrap();
    let data = path(dir.path(), "data");
    std::fs::write(&data, b"data").unwrap();
    let query = openssl(&["ts", "-query", "-data", &data, "-sha1"], b"").unwrap();
    assert_eq!(parse_request(&query).unwrap_err(), 0);
}

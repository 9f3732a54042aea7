//! Tokens that must be refused, each for its own reason.

use kogge_proto::digest::{sha256, sha512};
use kogge_proto::time::UnixMillis;

use super::structures::{SIGNING_CERTIFICATE_V2, TST_INFO};
use super::{
    ContentDigests, Imprint, Issue, Policies, TimestampError, ess, parse_request, reject, request, respond,
    token_of_response, verify, verify_content,
};
use crate::cms;
use crate::testing::pki::{CODE_SIGNING, Party, Spec, TIME_STAMPING};
use crate::trust::{ApprovedCa, ApprovedTsa, TrustStore};

pub(super) const POLICY: &str = "1.3.6.1.4.1.99999.1";
const NOW: UnixMillis = UnixMillis(1_795_500_000_250);
const NONCE: u64 = 0xF1F2_F3F4_F5F6_F7F8;

pub(super) fn imprint() -> Imprint {
    Imprint::Sha512(sha512(b"evidence"))
}

pub(super) fn listed(party: &Party, policies: &[&str]) -> ApprovedTsa {
    ApprovedTsa {
        name: "TSA".to_owned(),
        url: "http://tsa.example/".to_owned(),
        certificate: party.certificate.clone(),
        policies: policies.iter().map(|policy| (*policy).to_owned()).collect(),
    }
}

pub(super) fn trust(party: &Party) -> TrustStore {
    TrustStore::new(Vec::new(), vec![listed(party, &[POLICY])])
}

pub(super) fn issue(party: &Party, now: UnixMillis) -> Issue<'_> {
    let serial = [0x9A, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15];
    Issue { certificate: &party.certificate, key: &party.key, policy: POLICY, serial, now }
}

fn response(party: &Party, imprint: &Imprint, nonce: Option<u64>, now: UnixMillis) -> Vec<u8> {
    respond(&parse_request(&request(imprint, nonce)).unwrap(), &issue(party, now)).unwrap()
}

fn token(party: &Party, now: UnixMillis) -> Vec<u8> {
    token_of_response(&response(party, &imprint(), Some(NONCE), now)).unwrap()
}

fn tsa(spec: &Spec) -> Party {
    Party::root(&Spec::ca("CA")).issue(spec)
}

#[test]
fn a_token_says_when_by_whom_and_under_which_policy() {
    for key in [&rcgen::PKCS_ECDSA_P256_SHA256, &rcgen::PKCS_RSA_SHA256, &rcgen::PKCS_ED25519] {
        let party = tsa(&Spec { key, ..Spec::tsa("TSA") });
        for now in [NOW, NOW.floor_seconds(), UnixMillis(NOW.0 + 7)] {
            for imprint in [imprint(), Imprint::Sha256(sha256(b"root"))] {
                let response = response(&party, &imprint, Some(NONCE), now);
                let token = token_of_response(&response).unwrap();
                let verified = verify(&token, &imprint, Some(NONCE), &trust(&party)).unwrap();
                assert_eq!(verified.gen_time(), now);
                assert_eq!(verified.policy(), POLICY);
                assert_eq!(verified.tsa(), &party.certificate);
                assert_eq!(verified.serial()[..3], [0, 0x9A, 1]);
            }
        }
    }
}

#[test]
fn a_token_without_nonce_is_as_good_if_none_was_sent() {
    let party = tsa(&Spec::tsa("TSA"));
    let parsed = parse_request(&request(&imprint(), None)).unwrap();
    let token = token_of_response(&respond(&parsed, &issue(&party, NOW)).unwrap()).unwrap();
    verify(&token, &imprint(), None, &trust(&party)).unwrap();
    assert_eq!(verify(&token, &imprint(), Some(NONCE), &trust(&party)).unwrap_err(), TimestampError::Nonce);
}

/// Kogge always asks for the certificate; others may not have, as X-Road does not.
#[test]
fn only_a_token_of_others_may_lack_its_certificate() {
    let party = tsa(&Spec::tsa("TSA"));
    let mut parsed = parse_request(&request(&imprint(), None)).unwrap();
    parsed.cert_req = false;
    let token = token_of_response(&respond(&parsed, &issue(&party, NOW)).unwrap()).unwrap();
    let lacks = TimestampError::Rule("the token does not carry its TSA's certificate");
    assert_eq!(verify(&token, &imprint(), None, &trust(&party)).unwrap_err(), lacks);
    verify_content(&token, &ContentDigests::of(b"evidence"), Policies::Any, &trust(&party)).unwrap();
}

#[test]
fn a_token_about_another_digest_is_refused() {
    let party = tsa(&Spec::tsa("TSA"));
    let token = token(&party, NOW);
    for other in [Imprint::Sha512(sha512(b"other")), Imprint::Sha256(sha256(b"evidence"))] {
        assert_eq!(verify(&token, &other, Some(NONCE), &trust(&party)).unwrap_err(), TimestampError::Imprint);
    }
}

#[test]
fn a_token_with_another_nonce_is_refused() {
    let party = tsa(&Spec::tsa("TSA"));
    let refusal = verify(&token(&party, NOW), &imprint(), Some(NONCE + 1), &trust(&party)).unwrap_err();
    assert_eq!(refusal, TimestampError::Nonce);
}

#[test]
fn a_token_under_another_policy_is_refused() {
    let party = tsa(&Spec::tsa("TSA"));
    let trust = TrustStore::new(Vec::new(), vec![listed(&party, &["1.3.6.1.4.1.99999.2"])]);
    let refusal = verify(&token(&party, NOW), &imprint(), Some(NONCE), &trust).unwrap_err();
    assert_eq!(refusal, TimestampError::Policy(POLICY.to_owned()));
}

#[test]
fn a_tsa_that_is_not_listed_is_refused() {
    let (party, other) = (tsa(&Spec::tsa("TSA")), tsa(&Spec::tsa("Other")));
    let token = token(&party, NOW);
    for trust in [trust(&other), TrustStore::default()] {
        let refusal = verify(&token, &imprint(), Some(NONCE), &trust).unwrap_err();
        assert!(matches!(refusal, TimestampError::UnknownTsa(_)), "{refusal}");
    }
}

/// The same names and serial number, but another key: only the listed certificate's key counts.
#[test]
fn a_twin_of_a_listed_tsa_is_refused() {
    let spec = Spec { serial: Some(7), ..Spec::tsa("TSA") };
    let (listed, twin) = (tsa(&spec), tsa(&spec));
    let refusal = verify(&token(&twin, NOW), &imprint(), Some(NONCE), &trust(&listed)).unwrap_err();
    assert_eq!(refusal, TimestampError::BadSignature);
}

#[test]
fn a_certificate_not_for_timestamping_alone_is_refused() {
    let cases = [
        (None, "timeStamping alone"),
        (Some((false, vec![TIME_STAMPING])), "not critical"),
        (Some((true, vec![TIME_STAMPING, CODE_SIGNING])), "timeStamping alone"),
        (Some((true, vec![CODE_SIGNING])), "timeStamping alone"),
    ];
    for (extended, reason) in cases {
        let party = tsa(&Spec { extended, ..Spec::tsa("TSA") });
        let refusal = verify(&token(&party, NOW), &imprint(), Some(NONCE), &trust(&party)).unwrap_err();
        assert!(matches!(&refusal, TimestampError::Certificate(text) if text.contains(reason)), "{refusal}");
    }
}

#[test]
fn a_certificate_not_valid_at_the_tokens_time_is_refused() {
    for years in [(2020, 2025), (2030, 2040)] {
        let party = tsa(&Spec { years, ..Spec::tsa("TSA") });
        let refusal = verify(&token(&party, NOW), &imprint(), Some(NONCE), &trust(&party)).unwrap_err();
        assert!(
            matches!(&refusal, TimestampError::Certificate(text) if text.contains("not valid at")),
            "{refusal}"
        );
    }
}

#[test]
fn the_last_second_of_a_certificate_still_counts() {
    let party = tsa(&Spec::tsa("TSA"));
    let end = party.certificate.not_after();
    for (at, valid) in [(end, true), (UnixMillis(end.0 + 999), true), (UnixMillis(end.0 + 1000), false)] {
        let verified = verify(&token(&party, at), &imprint(), Some(NONCE), &trust(&party));
        assert_eq!(verified.is_ok(), valid, "{at}");
    }
}

fn sign(party: &Party, content: &[u8], ids: &[(der::oid::ObjectIdentifier, Vec<u8>)]) -> Vec<u8> {
    cms::sign(TST_INFO, content, ids, &party.certificate, true, &party.key).unwrap()
}

fn content(party: &Party) -> Vec<u8> {
    let token = token(party, NOW);
    cms::SignedMessage::read(&token, TST_INFO).unwrap().content().to_vec()
}

#[test]
fn a_token_that_does_not_name_its_signers_certificate_is_refused() {
    let party = tsa(&Spec::tsa("TSA"));
    let token = sign(&party, &content(&party), &[]);
    let refusal = verify(&token, &imprint(), Some(NONCE), &trust(&party)).unwrap_err();
    assert_eq!(refusal, TimestampError::Rule("the signed attributes do not name the signer's certificate"));
}

#[test]
fn a_token_that_names_another_certificate_is_refused() {
    let (party, other) = (tsa(&Spec::tsa("TSA")), tsa(&Spec::tsa("TSA")));
    let id = (SIGNING_CERTIFICATE_V2, ess::naming(&other.certificate).unwrap());
    let token = sign(&party, &content(&party), std::slice::from_ref(&id));
    let refusal = verify(&token, &imprint(), Some(NONCE), &trust(&party)).unwrap_err();
    assert_eq!(
        refusal,
        TimestampError::Rule("the signed attributes name another certificate than the signer's")
    );
    let own = (SIGNING_CERTIFICATE_V2, ess::naming(&party.certificate).unwrap());
    let token = sign(&party, &content(&party), &[own, id]);
    let refusal = verify(&token, &imprint(), Some(NONCE), &trust(&party)).unwrap_err();
    assert_eq!(refusal, TimestampError::Rule("a signed attribute must occur once and with one value"));
}

/// Content that a TSA has signed, but that RFC 3161 forbids.
#[test]
fn signed_content_that_breaks_a_rule_is_refused() {
    let party = tsa(&Spec::tsa("TSA"));
    let id = [(SIGNING_CERTIFICATE_V2, ess::naming(&party.certificate).unwrap())];
    let verify = |content: &[u8]| {
        verify(&sign(&party, content, &id), &imprint(), Some(NONCE), &trust(&party))
            .map(|token| token.gen_time())
    };
    let good = content(&party);
    assert_eq!(verify(&good), Ok(NOW));
    let replaced = |old: &[u8], new: &[u8]| {
        let at = good.windows(old.len()).position(|window| window == old).unwrap();
        [&good[..at], new, &good[at + old.len()..]].concat()
    };
    assert_eq!(
        verify(&replaced(&[2, 1, 1, 6], &[2, 1, 2, 6])),
        Err(TimestampError::Rule("TSTInfo must have version 1"))
    );
    let time = Err(TimestampError::Rule("genTime is not in the form of RFC 3161"));
    for other in [".20Z", ".2aZ", "..2Z", ".25+", "+01Z"] {
        assert_eq!(verify(&replaced(b".25Z", other.as_bytes())), time, "{other}");
    }
    assert!(matches!(verify(b"junk"), Err(TimestampError::Malformed(_))));
    assert!(matches!(verify(&[good.as_slice(), &[0]].concat()), Err(TimestampError::Malformed(_))));
}

#[test]
fn a_foreign_certificate_in_the_token_is_refused_unless_it_is_approved() {
    let ca = Party::root(&Spec::ca("CA"));
    let party = ca.issue(&Spec::tsa("TSA"));
    let token =
        cms::tests::with_certificates(&token(&party, NOW), &[party.certificate.der(), ca.certificate.der()]);
    let refusal = verify(&token, &imprint(), Some(NONCE), &trust(&party)).unwrap_err();
    assert_eq!(
        refusal,
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

/// Every bit of every byte, whether or not a signature covers it.
#[test]
fn a_token_with_any_bit_flipped_is_refused() {
    for key in [&rcgen::PKCS_ECDSA_P256_SHA256, &rcgen::PKCS_RSA_SHA256] {
        let party = tsa(&Spec { key, ..Spec::tsa("TSA") });
        let (token, trust) = (token(&party, NOW), trust(&party));
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
fn a_token_that_is_cut_or_followed_by_anything_is_refused() {
    let party = tsa(&Spec::tsa("TSA"));
    let token = token(&party, NOW);
    let lengths = 0..token.len();
    for altered in lengths.map(|length| token[..length].to_vec()).chain([[token.as_slice(), &[0]].concat()]) {
        let refusal = verify(&altered, &imprint(), Some(NONCE), &trust(&party)).unwrap_err();
        assert!(matches!(refusal, TimestampError::Malformed(_)), "{refusal}");
    }
    let huge = vec![0x30; kogge_proto::limits::TRUST_RESPONSE_BYTES_MAX + 1];
    let refusal = verify(&huge, &imprint(), None, &trust(&party)).unwrap_err();
    assert_eq!(refusal, TimestampError::Malformed("larger than is accepted".to_owned()));
    assert_eq!(token_of_response(&huge).unwrap_err(), refusal);
}

#[test]
fn a_rejection_has_its_reason() {
    for (bit, name) in [
        (0, "badAlg"),
        (2, "badRequest"),
        (5, "badDataFormat"),
        (15, "unacceptedPolicy"),
        (25, "systemFailure"),
    ] {
        let refusal = token_of_response(&reject(bit)).unwrap_err();
        assert_eq!(refusal, TimestampError::NotGranted(format!("rejection, {name}")));
    }
    let granted_nothing = [0x30, 5, 0x30, 3, 2, 1, 0];
    assert_eq!(
        token_of_response(&granted_nothing).unwrap_err(),
        TimestampError::Rule("granted, but without a token")
    );
    assert!(matches!(token_of_response(b"<html>"), Err(TimestampError::Malformed(_))));
}

#[test]
fn a_request_that_cannot_be_granted_gets_its_failure_bit() {
    let good = request(&imprint(), Some(NONCE));
    assert!(parse_request(&good).is_ok());
    let altered = |old: &[u8], new: &[u8]| {
        let at = good.windows(old.len()).position(|window| window == old).unwrap();
        parse_request(&[&good[..at], new, &good[at + old.len()..]].concat()).unwrap_err()
    };
    let sha512 = [0x60, 0x86, 0x48, 1, 0x65, 3, 4, 2, 3];
    assert_eq!(altered(&sha512, &[0x60, 0x86, 0x48, 1, 0x65, 3, 4, 2, 9]), 0);
    assert_eq!(altered(&sha512, &[0x60, 0x86, 0x48, 1, 0x65, 3, 4, 2, 1]), 5);
    assert_eq!(altered(&[2, 1, 1], &[2, 1, 2]), 2);
    assert_eq!(altered(&[1, 1, 0xFF], &[1, 1, 1]), 5);
    // DER leaves a value out that is the default.
    assert_eq!(altered(&[1, 1, 0xFF], &[1, 1, 0]), 5);
    assert_eq!(parse_request(b"junk").unwrap_err(), 5);
    assert_eq!(parse_request(&vec![0x30; 5000]).unwrap_err(), 5);
}

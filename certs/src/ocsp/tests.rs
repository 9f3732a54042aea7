//! Answers that must be refused, each for its own reason.

use std::time::Duration;

use der::asn1::{AnyRef, OctetString};
use der::{Decode, Encode};
use kogge_proto::time::UnixMillis;

use super::structures::{
    BASIC, BasicResponse, CertId, OcspResponse, ResponseBytes, ResponseStatus, nonce_extension,
};
use super::{
    Answer, Freshness, KnownAnswer, Nonce, OcspError, ParsedRequest, error_response, parse_request, request,
    respond, verify,
};
use crate::asn1::{DigestAlgorithm, key_bits};
use crate::path::{self, VerifiedPath};
use crate::profile::Profile;
use crate::testing::pki::{CODE_SIGNING, Party, Spec};
use crate::trust::{ApprovedCa, TrustStore};

const AT: UnixMillis = UnixMillis(1_795_500_000_000);
const NONCE: Nonce = *b"0123456789abcdef";
pub(super) const FRESHNESS: Freshness =
    Freshness { age_max: Duration::from_secs(3600), skew_max: Duration::from_secs(60) };

/// A CA with a responder and one member's certificate.
pub(super) struct Pki {
    pub(super) ca: Party,
    pub(super) responder: Party,
    pub(super) leaf: Party,
}

impl Pki {
    pub(super) fn new() -> Self {
        let ca = Party::root(&Spec::ca("CA"));
        let (responder, leaf) = (ca.issue(&Spec::responder("Responder")), ca.issue(&Spec::signing("Member")));
        Self { ca, responder, leaf }
    }

    pub(super) fn path(&self) -> VerifiedPath {
        self.path_with(&[])
    }

    /// With these responders listed for the CA.
    fn path_with(&self, listed: &[&Party]) -> VerifiedPath {
        let approved = ApprovedCa {
            name: "CA".to_owned(),
            certificate: self.ca.certificate.clone(),
            intermediates: Vec::new(),
            ocsp_urls: Vec::new(),
            ocsp_responders: listed.iter().map(|party| party.certificate.clone()).collect(),
        };
        let trust = TrustStore::new(vec![approved], Vec::new());
        path::verify(&self.leaf.certificate, &[], &trust, Profile::Signing, AT).unwrap()
    }

    fn request(&self) -> ParsedRequest {
        let bytes = request(&self.leaf.certificate, &self.ca.certificate, Some(&NONCE));
        parse_request(&bytes, &self.ca.certificate).unwrap()
    }

    fn answer(&self, answer: Answer, by: &Party, now: UnixMillis) -> Vec<u8> {
        respond(&self.request(), &[answer], &by.certificate, &by.key, now, seconds_later(now, 600)).unwrap()
    }

    fn verify(&self, response: &[u8]) -> Result<UnixMillis, OcspError> {
        self.verify_with(response, &self.path())
    }

    fn verify_with(&self, response: &[u8], path: &VerifiedPath) -> Result<UnixMillis, OcspError> {
        verify(response, path, FRESHNESS, Some(&NONCE), AT).map(|status| status.this_update)
    }
}

fn seconds_later(at: UnixMillis, seconds: i64) -> UnixMillis {
    UnixMillis(at.0 + seconds * 1000)
}

/// The BasicOCSPResponse within a response.
fn basic(response: &[u8]) -> Vec<u8> {
    OcspResponse::from_der(response).unwrap().bytes.unwrap().response.as_bytes().to_vec()
}

/// A response with this BasicOCSPResponse, changed.
fn changed<'a>(basic: &'a [u8], change: impl FnOnce(&mut BasicResponse<'a>)) -> Vec<u8> {
    let mut basic = BasicResponse::from_der(basic).unwrap();
    change(&mut basic);
    let response = OctetString::new(basic.to_der().unwrap()).unwrap();
    let bytes = ResponseBytes { response_type: BASIC, response };
    OcspResponse { status: ResponseStatus::Successful, bytes: Some(bytes) }.to_der().unwrap()
}

fn is_malformed(result: Result<UnixMillis, OcspError>, part: &str) -> bool {
    matches!(result, Err(OcspError::Malformed(reason)) if reason.contains(part))
}

fn is_wrong_responder(result: Result<UnixMillis, OcspError>, part: &str) -> bool {
    matches!(result, Err(OcspError::WrongResponder(reason)) if reason.contains(part))
}

#[test]
fn a_good_answer_says_since_when_and_until_when() {
    for key in [&rcgen::PKCS_ECDSA_P256_SHA256, &rcgen::PKCS_RSA_SHA256, &rcgen::PKCS_ED25519] {
        let mut pki = Pki::new();
        pki.responder = pki.ca.issue(&Spec { key, ..Spec::responder("Responder") });
        let response = pki.answer(Answer::Good, &pki.responder, AT);
        let status = verify(&response, &pki.path(), FRESHNESS, Some(&NONCE), AT).unwrap();
        assert_eq!(status.this_update, AT);
        assert_eq!(status.next_update, Some(seconds_later(AT, 600)));
        assert_eq!(status.produced_at, AT);
    }
}

#[test]
fn the_issuer_itself_and_a_listed_responder_may_answer() {
    let pki = Pki::new();
    assert_eq!(pki.verify(&pki.answer(Answer::Good, &pki.ca, AT)), Ok(AT));
    let listed = Party::root(&Spec::new("Listed"));
    let response = pki.answer(Answer::Good, &listed, AT);
    assert_eq!(pki.verify_with(&response, &pki.path_with(&[&listed])), Ok(AT));
    let bare = changed(&basic(&response), |basic| basic.certificates = None);
    assert_eq!(pki.verify_with(&bare, &pki.path_with(&[&listed])), Ok(AT));
}

#[test]
fn a_responder_that_nobody_appointed_is_refused() {
    let pki = Pki::new();
    let refused = |by: &Party, part| {
        let result = pki.verify(&pki.answer(Answer::Good, by, AT));
        assert!(is_wrong_responder(result.clone(), part), "{result:?}");
    };
    // The right name from a CA of the right name, but other keys.
    refused(
        &Party::root(&Spec::ca("CA")).issue(&Spec::responder("Responder")),
        "not delegated by the issuer",
    );
    refused(&Party::root(&Spec::responder("Responder")), "not delegated by the issuer");
    // Certificates of the right CA that are for other things, or at another time.
    refused(&pki.ca.issue(&Spec::new("Responder")), "OCSPSigning");
    refused(
        &pki.ca.issue(&Spec { extended: Some((false, vec![CODE_SIGNING])), ..Spec::new("R") }),
        "OCSPSigning",
    );
    refused(&pki.leaf, "OCSPSigning");
    refused(&pki.ca.issue(&Spec { years: (2020, 2025), ..Spec::responder("Responder") }), "not valid at");
    refused(&pki.ca.issue(&Spec { years: (2030, 2040), ..Spec::responder("Responder") }), "not valid at");
    // A CA below the issuer cannot appoint.
    let below = pki.ca.issue(&Spec::ca("Below"));
    refused(&below.issue(&Spec::responder("Responder")), "not delegated by the issuer");
    refused(&below, "certificate of a CA");
}

#[test]
fn a_listed_responder_must_be_valid_too() {
    let pki = Pki::new();
    let listed = Party::root(&Spec { years: (2020, 2025), ..Spec::new("Listed") });
    let result = pki.verify_with(&pki.answer(Answer::Good, &listed, AT), &pki.path_with(&[&listed]));
    assert!(is_wrong_responder(result, "not valid at"));
}

#[test]
fn responders_may_share_a_name() {
    let pki = Pki::new();
    let (old, new) = (Party::root(&Spec::new("Listed")), Party::root(&Spec::new("Listed")));
    let delegated = pki.ca.issue(&Spec::responder("Listed"));
    let path = pki.path_with(&[&old, &new]);
    for by in [&old, &new, &delegated] {
        assert_eq!(pki.verify_with(&pki.answer(Answer::Good, by, AT), &path), Ok(AT));
    }
    let rogue = Party::root(&Spec::responder("Listed"));
    let refusal = pki.verify_with(&pki.answer(Answer::Good, &rogue, AT), &path);
    assert_eq!(refusal, Err(OcspError::BadSignature));
}

#[test]
fn a_response_without_its_responders_certificate_is_refused() {
    let pki = Pki::new();
    let response = pki.answer(Answer::Good, &pki.responder, AT);
    let bare = changed(&basic(&response), |basic| basic.certificates = None);
    assert!(is_wrong_responder(pki.verify(&bare), "neither known nor in the response"));
    // Another of the CA's responders did not sign it.
    let other = pki.ca.issue(&Spec::responder("Responder"));
    let swapped = changed(&basic(&response), |basic| {
        basic.certificates = Some(vec![AnyRef::from_der(other.certificate.der()).unwrap()]);
    });
    assert_eq!(pki.verify(&swapped), Err(OcspError::BadSignature));
}

#[test]
fn a_certificate_without_a_part_in_the_response_is_refused() {
    let pki = Pki::new();
    let response = pki.answer(Answer::Good, &pki.responder, AT);
    let carrying = |other: &Party| {
        changed(&basic(&response), |basic| {
            let other = AnyRef::from_der(other.certificate.der()).unwrap();
            basic.certificates.as_mut().unwrap().push(other);
        })
    };
    assert_eq!(pki.verify(&carrying(&pki.ca)), Ok(AT));
    assert!(is_malformed(pki.verify(&carrying(&pki.leaf)), "no part in it"));
}

#[test]
fn an_altered_signature_or_content_is_refused() {
    let pki = Pki::new();
    let (good, unknown) =
        (pki.answer(Answer::Good, &pki.responder, AT), pki.answer(Answer::Unknown, &pki.responder, AT));
    let (good, unknown) = (basic(&good), basic(&unknown));
    let other = BasicResponse::from_der(&unknown).unwrap();
    let mixed = changed(&good, |basic| basic.tbs = other.tbs);
    assert_eq!(pki.verify(&mixed), Err(OcspError::BadSignature));
}

#[test]
fn a_response_with_any_bit_flipped_is_refused() {
    let pki = Pki::new();
    let (response, path) = (pki.answer(Answer::Good, &pki.responder, AT), pki.path());
    for at in 0..response.len() {
        for mask in [1, 2, 4, 8, 16, 32, 64, 128, 0xFF] {
            let mut altered = response.clone();
            altered[at] ^= mask;
            assert!(pki.verify_with(&altered, &path).is_err(), "byte {at} xor {mask}");
        }
    }
}

#[test]
fn a_response_that_is_cut_long_or_something_else_is_refused() {
    let pki = Pki::new();
    let response = pki.answer(Answer::Good, &pki.responder, AT);
    for length in 0..response.len() {
        assert!(is_malformed(pki.verify(&response[..length]), "not DER"), "{length}");
    }
    assert!(is_malformed(pki.verify(&[response.as_slice(), &[0]].concat()), "not DER"));
    assert!(is_malformed(pki.verify(b"<html>"), "not DER"));
    let huge = vec![0x30; kogge_proto::limits::MATERIAL_ITEM_BYTES_MAX + 1];
    assert!(is_malformed(pki.verify(&huge), "larger"));
    assert!(is_malformed(pki.verify(&error_response(0)), "without a response"));
}

#[test]
fn an_answer_about_another_certificate_is_refused() {
    let pki = Pki::new();
    let response = pki.answer(Answer::Good, &pki.responder, AT);
    let other = Pki { leaf: pki.ca.issue(&Spec::signing("Member")), ..pki };
    assert_eq!(other.verify(&response), Err(OcspError::OtherCertificate));

    // The same serial number of another CA.
    let spec = Spec { serial: Some(77), ..Spec::signing("Member") };
    let own = Pki { leaf: other.ca.issue(&spec), ..other };
    let foreign_ca = Party::root(&Spec::ca("Other CA"));
    let question = request(&foreign_ca.issue(&spec).certificate, &foreign_ca.certificate, None);
    let question = parse_request(&question, &own.ca.certificate).unwrap();
    assert!(!question.questions[0].of_this_issuer);
    let by = &own.responder;
    let response = respond(&question, &[Answer::Good], &by.certificate, &by.key, AT, AT).unwrap();
    assert_eq!(own.verify(&response), Err(OcspError::OtherCertificate));
}

#[test]
fn a_cert_id_by_sha_256_is_understood() {
    let pki = Pki::new();
    let sha256 = DigestAlgorithm::Sha256;
    let cert_id = CertId {
        hash_algorithm: sha256.identifier(),
        issuer_name_hash: OctetString::new(sha256.digest(pki.ca.certificate.subject_der())).unwrap(),
        issuer_key_hash: OctetString::new(sha256.digest(key_bits(&pki.ca.certificate).unwrap())).unwrap(),
        serial_number: AnyRef::new(der::Tag::Integer, pki.leaf.certificate.serial()).unwrap(),
    };
    let mut request = pki.request();
    request.questions[0].cert_id = cert_id.to_der().unwrap();
    let by = &pki.responder;
    let response = respond(&request, &[Answer::Good], &by.certificate, &by.key, AT, AT).unwrap();
    assert_eq!(pki.verify(&response), Ok(AT));

    // Two answers about one certificate could contradict each other, however they name it.
    request.questions.extend(pki.request().questions);
    let answers = [Answer::Good, Answer::Good];
    let response = respond(&request, &answers, &by.certificate, &by.key, AT, AT).unwrap();
    assert!(is_malformed(pki.verify(&response), "answers twice"));
}

#[test]
fn revoked_and_unknown_are_refused() {
    let pki = Pki::new();
    let when = seconds_later(AT, -86_400);
    let revoked = pki.answer(Answer::Revoked(when), &pki.responder, AT);
    assert_eq!(pki.verify(&revoked), Err(OcspError::Revoked { at: when }));
    let unknown = pki.answer(Answer::Unknown, &pki.responder, AT);
    assert_eq!(pki.verify(&unknown), Err(OcspError::Unknown));
    // A question that is not answered is not answered with good.
    let by = &pki.responder;
    let silent = respond(&pki.request(), &[], &by.certificate, &by.key, AT, AT).unwrap();
    assert_eq!(pki.verify(&silent), Err(OcspError::Unknown));
}

#[test]
fn an_answer_must_be_fresh() {
    let pki = Pki::new();
    let by = &pki.responder;
    let verify = |this: i64, next: i64| {
        let (this, next) = (seconds_later(AT, this), seconds_later(AT, next));
        let response =
            respond(&pki.request(), &[Answer::Good], &by.certificate, &by.key, this, next).unwrap();
        pki.verify(&response)
    };
    let at = |seconds| seconds_later(AT, seconds);
    assert_eq!(verify(-3600, 0), Ok(at(-3600)));
    assert_eq!(verify(-3601, 0), Err(OcspError::Stale { this_update: at(-3601) }));
    assert_eq!(verify(60, 600), Ok(at(60)));
    assert_eq!(verify(61, 600), Err(OcspError::NotYetValid { this_update: at(61) }));
    assert_eq!(verify(-600, -60), Ok(at(-600)));
    assert_eq!(verify(-600, -61), Err(OcspError::Stale { this_update: at(-600) }));
    assert!(is_malformed(verify(0, -1), "nextUpdate lies before"));
}

#[test]
fn another_nonce_is_refused_and_a_missing_one_is_not() {
    let pki = Pki::new();
    let by = &pki.responder;
    let verify = |nonce: Option<Vec<u8>>| {
        let request = ParsedRequest { nonce, ..pki.request() };
        let response = respond(&request, &[Answer::Good], &by.certificate, &by.key, AT, AT).unwrap();
        pki.verify(&response)
    };
    let of = |nonce: &[u8]| Some(nonce_extension(nonce).unwrap().value.into_bytes().into_vec());
    assert_eq!(verify(of(&NONCE)), Ok(AT));
    assert_eq!(verify(None), Ok(AT));
    assert_eq!(verify(of(b"0123456789abcdeg")), Err(OcspError::Nonce));
    assert_eq!(verify(of(&NONCE[..15])), Err(OcspError::Nonce));
    assert_eq!(verify(Some(NONCE.to_vec())), Err(OcspError::Nonce));
}

#[test]
fn an_error_status_has_its_word() {
    let pki = Pki::new();
    let cases = [
        (1, "malformedRequest"),
        (2, "internalError"),
        (3, "tryLater"),
        (5, "sigRequired"),
        (6, "unauthorized"),
    ];
    for (status, word) in cases {
        assert_eq!(pki.verify(&error_response(status)), Err(OcspError::NotSuccessful(word)));
    }
    assert!(is_malformed(pki.verify(&error_response(4)), "not DER"));
}

#[test]
fn a_request_that_is_none_is_refused() {
    let pki = Pki::new();
    let parse = |bytes: &[u8]| parse_request(bytes, &pki.ca.certificate).unwrap_err();
    let good = request(&pki.leaf.certificate, &pki.ca.certificate, Some(&NONCE));
    let malformed = |error: OcspError| matches!(error, OcspError::Malformed(_));
    for length in 0..good.len() {
        assert!(malformed(parse(&good[..length])), "{length}");
    }
    assert!(malformed(parse(&[good.as_slice(), &[0]].concat())));
    assert_eq!(
        parse(&vec![0x30; 10_000]),
        OcspError::Malformed("the request is larger than is accepted".to_owned())
    );
    assert_eq!(
        parse(&[0x30, 4, 0x30, 2, 0x30, 0]),
        OcspError::Malformed("a request has 1 to 16 questions".to_owned())
    );
}

/// A delegated responder's certificate ends before the response that it has signed does.
#[test]
fn a_known_answer_ends_with_its_responders_certificate() {
    let mut pki = Pki::new();
    // 2026-12-31 ends a long way before the freshness would.
    pki.responder = pki.ca.issue(&Spec { years: (2026, 2027), ..Spec::responder("Responder") });
    let new_year = UnixMillis(1_798_761_600_000);
    let at = UnixMillis(new_year.0 - 60_000);
    let (path, response) = (pki.path(), pki.answer(Answer::Good, &pki.responder, at));
    let known = KnownAnswer::verify(&response, &path, FRESHNESS, at).unwrap();
    assert_eq!(known.status().this_update, at);
    for (now, holds) in
        [(at, true), (UnixMillis(new_year.0 + 999), true), (UnixMillis(new_year.0 + 1000), false)]
    {
        assert_eq!(known.holds_at(FRESHNESS, now), holds, "{now}");
        assert_eq!(verify(&response, &path, FRESHNESS, None, now).is_ok(), holds, "{now}");
    }
}

#[test]
fn a_known_answer_is_about_one_path_and_one_approval() {
    let pki = Pki::new();
    let (path, response) = (pki.path(), pki.answer(Answer::Good, &pki.responder, AT));
    let known = KnownAnswer::verify(&response, &path, FRESHNESS, AT).unwrap();
    assert!(known.is_about(&response, &path));
    assert!(known.is_about(&response, &path.clone()));
    assert!(!known.is_about(&response[1..], &path));
    assert!(!known.is_about(&pki.answer(Answer::Good, &pki.ca, AT), &path));
    assert!(!known.is_about(&response, &pki.path()), "the same CA, approved once more");
    let revoked = pki.answer(Answer::Revoked(AT), &pki.responder, AT);
    let refused = KnownAnswer::verify(&revoked, &path, FRESHNESS, AT).unwrap_err();
    assert_eq!(refused, OcspError::Revoked { at: AT });
}

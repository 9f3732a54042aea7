//! What is remembered serves again, and nothing else does.

use std::time::Duration;

use bytes::Bytes;
use kogge_certs::certificate::Certificate;
use kogge_certs::key::SigningKey;
use kogge_certs::ocsp::{self, Answer};
use kogge_certs::path;
use kogge_certs::profile::{self, IssueTerms, Profile, Subject};
use kogge_certs::trust::{ApprovedCa, TrustStore};
use kogge_evidence::signature::{Credential, Signed, sign};
use kogge_proto::digest::sha512;
use kogge_proto::id::{MemberId, SecurityServerId};
use kogge_signer::{NewKeyKind, ephemeral};

use super::*;

const NOW: UnixMillis = UnixMillis(1_795_489_321_000);
const HOUR: Duration = Duration::from_secs(3600);
const FRESHNESS: Freshness = Freshness { age_max: HOUR, skew_max: Duration::from_secs(60) };
const SNAPSHOT: Sha256 = Sha256([1; 32]);
const NEXT_SNAPSHOT: Sha256 = Sha256([2; 32]);

/// A CA with what it has issued.
struct World {
    ca: Certificate,
    key: Arc<dyn SigningKey>,
    trust: TrustStore,
    member: MemberId,
}

impl World {
    fn new() -> Self {
        let key = ephemeral(NewKeyKind::EcdsaP256).unwrap();
        let subject = Subject::Service { common_name: "CA".to_owned(), organisation: "Test".to_owned() };
        let ca = profile::self_signed_ca(&*key, &subject, &terms(1)).unwrap();
        let approved = ApprovedCa {
            name: "CA".to_owned(),
            certificate: ca.clone(),
            intermediates: vec![],
            ocsp_urls: vec![],
            ocsp_responders: vec![],
        };
        let trust = TrustStore::new(vec![approved], vec![]);
        Self { ca, key, trust, member: MemberId::parse("TEST/GOV/1").unwrap() }
    }

    fn issue(&self, profile: Profile, serial: u8) -> (Certificate, Arc<dyn SigningKey>) {
        let key = ephemeral(NewKeyKind::EcdsaP256).unwrap();
        let server = SecurityServerId::parse("TEST/GOV/1/SS1").unwrap();
        let name = "Agency".to_owned();
        let subject = match profile {
            Profile::Signing => Subject::Signing { member: self.member.clone(), name, server },
            _ => Subject::Authentication { server, name },
        };
        let (ca, public) = (&self.ca, key.public_key());
        let certificate = profile::issue(ca, &*self.key, public, profile, &subject, &terms(serial)).unwrap();
        (certificate, key)
    }

    /// By the CA itself.
    fn ocsp(&self, of: &Certificate, answer: Answer, at: UnixMillis) -> Vec<u8> {
        let request = ocsp::parse_request(&ocsp::request(of, &self.ca, None), &self.ca).unwrap();
        ocsp::respond(&request, &[answer], &self.ca, &*self.key, at, at.plus(HOUR)).unwrap()
    }

    fn credential(&self, serial: u8) -> Credential {
        let (certificate, key) = self.issue(Profile::Signing, serial);
        let ocsp = self.ocsp(&certificate, Answer::Good, NOW).into();
        Credential { certificate, issuers: vec![], ocsp, key }
    }

    fn peer_path(&self, certificate: &Certificate) -> VerifiedPath {
        path::verify(certificate, &[], &self.trust, Profile::Authentication, NOW).unwrap()
    }

    fn verify(
        &self,
        verdicts: &Verdicts,
        signed: &Signed,
        snapshot: Sha256,
    ) -> Result<Arc<Signer>, SignatureError> {
        let (parts, material) = (parts(), Material::new(&signed.material).unwrap());
        let shown = Shown { signature: &signed.signature, parts: &parts, material: &material };
        let (member, trust) = (&self.member, &self.trust);
        let expected = Expected { member, trust, freshness: FRESHNESS, age_max: HOUR, now: NOW };
        let verified = verdicts.verify_signature(&shown, &expected, snapshot)?;
        Ok(Arc::clone(verified.signer()))
    }
}

fn parts() -> Parts {
    Parts { message: sha512(b"message"), body: None }
}

fn terms(serial: u8) -> IssueTerms {
    let (not_before, not_after) = (NOW.minus(HOUR * 24), NOW.plus(HOUR * 24));
    IssueTerms { not_before, not_after, serial: [serial; 16], ocsp_url: None }
}

#[test]
fn a_signer_is_established_once_for_each_snapshot() {
    let (world, verdicts) = (World::new(), Verdicts::new());
    let credential = world.credential(3);
    let by =
        |snapshot| world.verify(&verdicts, &sign(&parts(), &credential, NOW).unwrap(), snapshot).unwrap();
    let first = by(SNAPSHOT);
    assert!(Arc::ptr_eq(&by(SNAPSHOT), &first));
    let next = by(NEXT_SNAPSHOT);
    assert!(!Arc::ptr_eq(&next, &first));
    assert!(Arc::ptr_eq(&by(NEXT_SNAPSHOT), &next));
    assert!(!Arc::ptr_eq(&by(SNAPSHOT), &first), "the first one is forgotten");
}

#[test]
fn who_has_not_signed_is_not_remembered() {
    let (world, verdicts) = (World::new(), Verdicts::new());
    let mut signed = sign(&parts(), &world.credential(3), NOW).unwrap();
    signed.signature.value[9] ^= 1;
    assert_eq!(world.verify(&verdicts, &signed, SNAPSHOT).unwrap_err(), SignatureError::Value);
    signed.signature.value[9] ^= 1;
    let first = world.verify(&verdicts, &signed, SNAPSHOT).unwrap();
    let names = first.names().clone();
    assert!(Arc::ptr_eq(&verdicts.signers.find(&SNAPSHOT, &names).unwrap(), &first));
    signed.signature.value[9] ^= 1;
    assert_eq!(world.verify(&verdicts, &signed, SNAPSHOT).unwrap_err(), SignatureError::Value);
}

#[test]
fn a_revocation_that_a_newer_response_tells_counts_at_once() {
    let (world, verdicts) = (World::new(), Verdicts::new());
    let mut credential = world.credential(3);
    world.verify(&verdicts, &sign(&parts(), &credential, NOW).unwrap(), SNAPSHOT).unwrap();
    credential.ocsp = Bytes::from(world.ocsp(&credential.certificate, Answer::Revoked(NOW), NOW));
    let refused = world.verify(&verdicts, &sign(&parts(), &credential, NOW).unwrap(), SNAPSHOT).unwrap_err();
    assert_eq!(refused, OcspError::Revoked { at: NOW }.into());
}

#[test]
fn a_peer_is_believed_by_the_bytes_that_it_shows() {
    let (world, verdicts) = (World::new(), Verdicts::new());
    let (certificate, _) = world.issue(Profile::Authentication, 4);
    let (path, good) = (world.peer_path(&certificate), world.ocsp(&certificate, Answer::Good, NOW));
    let check = |response: &[u8], path: &VerifiedPath, now| {
        verdicts.verify_peer(response, path, FRESHNESS, SNAPSHOT, now)
    };
    for _ in 0..2 {
        assert_eq!(check(&good, &path, NOW), Ok(()));
    }
    let revoked = world.ocsp(&certificate, Answer::Revoked(NOW), NOW);
    assert_eq!(check(&revoked, &path, NOW), Err(OcspError::Revoked { at: NOW }));
    let mut altered = good.clone();
    *altered.last_mut().unwrap() ^= 1;
    let refused = "carries a certificate that has no part in it".to_owned(); // where the last byte stands
    assert_eq!(check(&altered, &path, NOW), Err(OcspError::Malformed(refused)));
    assert!(matches!(check(&[], &path, NOW), Err(OcspError::Malformed(_))));
    let (other, _) = world.issue(Profile::Authentication, 5);
    assert_eq!(check(&good, &world.peer_path(&other), NOW), Err(OcspError::OtherCertificate));
    let stranger = World::new();
    let (namesake, _) = stranger.issue(Profile::Authentication, 4);
    let refused = check(&good, &stranger.peer_path(&namesake), NOW).unwrap_err();
    assert!(matches!(refused, OcspError::BadSignature | OcspError::WrongResponder(_)), "{refused:?}");
}

#[test]
fn a_peers_response_ends_with_its_freshness_and_with_the_snapshot() {
    let (world, verdicts) = (World::new(), Verdicts::new());
    let (certificate, _) = world.issue(Profile::Authentication, 4);
    let (path, good) = (world.peer_path(&certificate), world.ocsp(&certificate, Answer::Good, NOW));
    let check = |snapshot, now| verdicts.verify_peer(&good, &path, FRESHNESS, snapshot, now);
    let known = |snapshot| verdicts.peers.find(&snapshot, &certificate.sha256());
    assert_eq!(check(SNAPSHOT, NOW), Ok(()));
    let first = known(SNAPSHOT).unwrap();
    assert_eq!(check(SNAPSHOT, NOW.plus(HOUR)), Ok(()));
    assert!(Arc::ptr_eq(&known(SNAPSHOT).unwrap(), &first), "not verified anew");
    let stale = Err(OcspError::Stale { this_update: NOW });
    assert_eq!(check(SNAPSHOT, UnixMillis(NOW.plus(HOUR).0 + 1)), stale);
    let early = Err(OcspError::NotYetValid { this_update: NOW });
    assert_eq!(check(SNAPSHOT, UnixMillis(NOW.minus(FRESHNESS.skew_max).0 - 1)), early);
    assert!(known(NEXT_SNAPSHOT).is_none());
    assert_eq!(check(NEXT_SNAPSHOT, NOW), Ok(()));
    assert!(known(SNAPSHOT).is_none());
}

//! The set-up of all stages: a small instance with its registry snapshot, approved trust services, and a member that signs.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use kogge_certs::anchor::{Anchor, Environment};
use kogge_certs::certificate::Certificate;
use kogge_certs::key::SigningKey;
use kogge_certs::ocsp::{self, Answer};
use kogge_certs::profile::{self, IssueTerms, Profile, Subject};
use kogge_certs::snapshot::{Draft, Policy, Population, VerifiedSnapshot, sign_delegation, sign_snapshot};
use kogge_certs::timestamp::{self, Imprint, Issue};
use kogge_certs::trust::{ApprovedCa, ApprovedTsa};
use kogge_evidence::signature::{Credential, Expected};
use kogge_proto::digest::Sha256;
use kogge_proto::id::{MemberId, SecurityServerId};
use kogge_proto::time::UnixMillis;
use kogge_signer::{NewKeyKind, ephemeral};

/// An instance of ten members. Keys are made when a stage first needs them: an RSA key takes a while under callgrind.
pub struct World {
    ca: Identity,
    tsa: Identity,
    snapshot: Arc<VerifiedSnapshot>,
    credentials: [OnceLock<Credential>; 3],
}

#[derive(Clone)]
struct Identity {
    certificate: Certificate,
    key: Arc<dyn SigningKey>,
}

/// With what a member signs.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Algorithm {
    P256,
    Ed25519,
    Rsa2048,
}

impl Default for World {
    fn default() -> Self {
        Self::new()
    }
}

impl World {
    /// With fresh keys; their values change no stage's work.
    #[must_use]
    pub fn new() -> Self {
        let ca = root();
        let tsa = ca.issue(&key(NewKeyKind::EcdsaP256), Profile::Timestamping, &service("TSA"));
        let snapshot = Arc::new(published(MEMBERS, &ca, &tsa));
        Self { ca, tsa, snapshot, credentials: Default::default() }
    }

    /// The snapshot in use.
    pub(crate) fn snapshot(&self) -> Arc<VerifiedSnapshot> {
        Arc::clone(&self.snapshot)
    }

    /// A snapshot of a larger instance under the same trust services.
    pub(crate) fn grown_snapshot(&self, members: usize) -> Arc<VerifiedSnapshot> {
        Arc::new(published(members, &self.ca, &self.tsa))
    }

    /// What [`client_member`] signs with, good now.
    pub(crate) fn credential(&self, algorithm: Algorithm) -> Credential {
        let [p256, ed25519, rsa] = &self.credentials;
        let (kept, kind) = match algorithm {
            Algorithm::P256 => (p256, NewKeyKind::EcdsaP256),
            Algorithm::Ed25519 => (ed25519, NewKeyKind::Ed25519),
            Algorithm::Rsa2048 => (rsa, NewKeyKind::Rsa(2048)),
        };
        kept.get_or_init(|| self.new_credential(kind)).clone()
    }

    fn new_credential(&self, kind: NewKeyKind) -> Credential {
        let member = client_member();
        let server = SecurityServerId::new(member.clone(), "ss0").unwrap();
        let subject = Subject::Signing { member, name: "Agency of example affairs".to_owned(), server };
        let Identity { certificate, key } = self.ca.issue(&key(kind), Profile::Signing, &subject);
        let ocsp = self.ocsp(&certificate);
        Credential { certificate, issuers: vec![], ocsp, key }
    }

    /// What a delegated responder says about a certificate now.
    fn ocsp(&self, certificate: &Certificate) -> Bytes {
        let responder =
            self.ca.issue(&key(NewKeyKind::EcdsaP256), Profile::OcspResponder, &service("OCSP responder"));
        let request = ocsp::request(certificate, &self.ca.certificate, None);
        let request = ocsp::parse_request(&request, &self.ca.certificate).unwrap();
        let Identity { certificate, key } = &responder;
        ocsp::respond(&request, &[Answer::Good], certificate, &**key, NOW, NOW.plus(HOUR)).unwrap().into()
    }

    /// The TSA's token over a digest, as of now.
    pub(crate) fn token(&self, digest: Sha256) -> Vec<u8> {
        let request = timestamp::request(&Imprint::Sha256(digest), None);
        let request = timestamp::parse_request(&request).unwrap();
        let Identity { certificate, key } = &self.tsa;
        let issue = Issue { certificate, key: &**key, policy: TSA_POLICY, serial: [5; 16], now: NOW };
        timestamp::token_of_response(&timestamp::respond(&request, &issue).unwrap()).unwrap()
    }
}

/// What a signature of [`client_member`] must be in order to be believed now.
pub(crate) fn expected<'a>(member: &'a MemberId, snapshot: &'a VerifiedSnapshot) -> Expected<'a> {
    Expected {
        member,
        trust: snapshot.trust(),
        freshness: snapshot.policy().freshness(),
        age_max: Duration::from_secs(600),
        now: NOW,
    }
}

/// The member that asks: the first of the population.
pub(crate) fn client_member() -> MemberId {
    MemberId::new(INSTANCE, "GOV", "70000000").unwrap()
}

impl Identity {
    fn issue(&self, key: &Arc<dyn SigningKey>, profile: Profile, subject: &Subject) -> Self {
        let (issuer, issuer_key, public) = (&self.certificate, &*self.key, key.public_key());
        let mut serial = [1; 16];
        serial[1..].copy_from_slice(&public.key_id().0[..15]);
        let certificate =
            profile::issue(issuer, issuer_key, public, profile, subject, &terms(serial)).unwrap();
        Self { certificate, key: Arc::clone(key) }
    }
}

fn root() -> Identity {
    let key = key(NewKeyKind::EcdsaP256);
    let certificate = profile::self_signed_ca(&*key, &service("CA"), &terms([1; 16])).unwrap();
    Identity { certificate, key }
}

fn key(kind: NewKeyKind) -> Arc<dyn SigningKey> {
    ephemeral(kind).unwrap()
}

fn service(common_name: &str) -> Subject {
    Subject::Service { common_name: common_name.to_owned(), organisation: "Example".to_owned() }
}

fn terms(serial: [u8; 16]) -> IssueTerms {
    let not_before = NOW.minus(30 * DAY).floor_seconds();
    IssueTerms { not_before, not_after: not_before.plus(60 * DAY), serial, ocsp_url: None }
}

/// Signed by the registry and verified as a security server does it.
fn published(members: usize, ca: &Identity, tsa: &Identity) -> VerifiedSnapshot {
    let (root, online) = (key(NewKeyKind::EcdsaP256), key(NewKeyKind::EcdsaP256));
    let online_keys = [online.public_key().clone()];
    let (from, until) = (NOW.minus(DAY), NOW.plus(30 * DAY));
    let delegation = sign_delegation(INSTANCE, 1, from, until, &online_keys, 1, &[&*root]).unwrap();
    let snapshot = sign_snapshot(&draft(members, ca, tsa), &delegation, &[&*online]).unwrap();
    let urls = vec!["http://registry.example/".to_owned()];
    let anchor = Anchor::new(INSTANCE, Environment::Test, urls, vec![root.public_key().clone()], 1).unwrap();
    VerifiedSnapshot::verify(snapshot, &anchor, NOW).unwrap()
}

fn draft(members: usize, ca: &Identity, tsa: &Identity) -> Draft {
    let mut draft = Draft {
        instance: INSTANCE.to_owned(),
        environment: Environment::Test,
        version: 1,
        issued: NOW.minus(HOUR),
        expires: NOW.plus(DAY),
        policy: Policy {
            ocsp_freshness: HOUR,
            timestamp_interval: Duration::from_secs(60),
            timestamp_failure: 4 * HOUR,
            clock_skew: Duration::from_secs(60),
        },
        members: vec![],
        subsystems: vec![],
        security_servers: vec![],
        registrations: Default::default(),
        cas: vec![ApprovedCa {
            name: "CA".to_owned(),
            certificate: ca.certificate.clone(),
            intermediates: vec![],
            ocsp_urls: vec!["http://ocsp.example/".to_owned()],
            ocsp_responders: vec![],
        }],
        tsas: vec![ApprovedTsa {
            name: "TSA".to_owned(),
            url: "http://tsa.example/".to_owned(),
            certificate: tsa.certificate.clone(),
            policies: vec![TSA_POLICY.to_owned()],
        }],
        services: vec![],
    };
    Population::of(members).add_to(&mut draft).unwrap();
    draft
}

/// The present of all stages: 2026-11-24T03:02:01.250Z.
pub(crate) const NOW: UnixMillis = UnixMillis(1_795_489_321_250);
const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(24 * 3600);
const INSTANCE: &str = "EE";
const TSA_POLICY: &str = "1.2.3.4";
/// As many as a young instance has.
pub(crate) const MEMBERS: usize = 10;

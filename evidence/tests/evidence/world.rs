//! A small trust world: an approved CA with an intermediate and an OCSP responder, and members with signing certificates.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use kogge_certs::certificate::Certificate;
use kogge_certs::key::SigningKey;
use kogge_certs::ocsp::{self, Answer, Freshness};
use kogge_certs::profile::{self, IssueTerms, Profile, Subject};
use kogge_certs::timestamp::{self, Imprint, Issue};
use kogge_certs::trust::{ApprovedCa, TrustStore};
use kogge_evidence::signature::{Credential, Expected};
use kogge_proto::digest::Sha256;
use kogge_proto::id::{MemberId, SecurityServerId};
use kogge_proto::time::UnixMillis;
use kogge_signer::{NewKeyKind, ephemeral, with_pss};

/// 2026-11-24T03:02:01.250Z.
pub(crate) const NOW: UnixMillis = UnixMillis(1_795_489_321_250);
pub(crate) const HOUR: Duration = Duration::from_secs(3600);
pub(crate) const DAY: Duration = Duration::from_secs(24 * 3600);

/// A certificate with its private key.
#[derive(Clone)]
pub(crate) struct Identity {
    pub(crate) certificate: Certificate,
    pub(crate) key: Arc<dyn SigningKey>,
}

/// What a signing certificate is issued with; tests change one thing at a time.
pub(crate) struct Wish {
    pub(crate) kind: NewKeyKind,
    /// Whether an RSA key signs with PSS.
    pub(crate) pss: bool,
    pub(crate) profile: Profile,
    pub(crate) not_before: UnixMillis,
    pub(crate) not_after: UnixMillis,
    pub(crate) by_intermediate: bool,
}

pub(crate) struct World {
    pub(crate) ca: Identity,
    pub(crate) intermediate: Identity,
    pub(crate) trust: TrustStore,
    pub(crate) member: MemberId,
}

impl Default for Wish {
    fn default() -> Self {
        Self {
            kind: NewKeyKind::EcdsaP256,
            pss: false,
            profile: Profile::Signing,
            not_before: NOW.minus(DAY),
            not_after: NOW.plus(DAY),
            by_intermediate: false,
        }
    }
}

impl World {
    pub(crate) fn new() -> Self {
        let ca = root("Test CA");
        let key = ephemeral(NewKeyKind::EcdsaP256).unwrap();
        let subject = service("Test Intermediate CA");
        let certificate = profile::intermediate_ca(
            &ca.certificate,
            &*ca.key,
            key.public_key(),
            &subject,
            &terms(NOW, DAY * 30, 2),
        )
        .unwrap();
        let trust = TrustStore::new(
            vec![ApprovedCa {
                name: "Test CA".to_owned(),
                certificate: ca.certificate.clone(),
                intermediates: vec![],
                ocsp_urls: vec![],
                ocsp_responders: vec![],
            }],
            vec![],
        );
        Self { ca, intermediate: Identity { certificate, key }, trust, member: member("70000001") }
    }

    /// An end-entity certificate of `member` as wished.
    pub(crate) fn issue(&self, wish: &Wish, member: &MemberId) -> Identity {
        let key = ephemeral(wish.kind).unwrap();
        let key = if wish.pss { with_pss(key) } else { key };
        let certificate = self.certify(wish, member, &*key);
        Identity { certificate, key }
    }

    /// The same for a key that is there already.
    pub(crate) fn certify(&self, wish: &Wish, member: &MemberId, key: &dyn SigningKey) -> Certificate {
        let server = SecurityServerId::parse("TEST/GOV/70000001/SS1").unwrap();
        let name = "Test Agency".to_owned();
        let subject = match wish.profile {
            Profile::Signing => Subject::Signing { member: member.clone(), name, server },
            _ => Subject::Authentication { server, name },
        };
        let mut serial = [1; 16];
        serial[1..].copy_from_slice(&key.public_key().key_id().0[..15]);
        let terms =
            IssueTerms { not_before: wish.not_before, not_after: wish.not_after, serial, ocsp_url: None };
        let issuer = self.issuer(wish);
        profile::issue(&issuer.certificate, &*issuer.key, key.public_key(), wish.profile, &subject, &terms)
            .unwrap()
    }

    /// What the responder of the issuer says about a certificate at a time.
    pub(crate) fn ocsp(
        &self,
        wish: &Wish,
        certificate: &Certificate,
        answer: Answer,
        at: UnixMillis,
    ) -> Bytes {
        let issuer = self.issuer(wish);
        let key = ephemeral(NewKeyKind::EcdsaP256).unwrap();
        let responder = profile::issue(
            &issuer.certificate,
            &*issuer.key,
            key.public_key(),
            Profile::OcspResponder,
            &service("Test OCSP"),
            &terms(NOW, DAY * 30, 3),
        )
        .unwrap();
        let request = ocsp::request(certificate, &issuer.certificate, None);
        let request = ocsp::parse_request(&request, &issuer.certificate).unwrap();
        ocsp::respond(&request, &[answer], &responder, &*key, at, at.plus(HOUR)).unwrap().into()
    }

    /// A TSA's token over a digest, as of now, and the TSA's certificate.
    pub(crate) fn token(&self, digest: Sha256) -> (Vec<u8>, Certificate) {
        let ([token], tsa) = self.tokens([digest]);
        (token, tsa)
    }

    /// Its tokens over several digests.
    pub(crate) fn tokens<const N: usize>(&self, digests: [Sha256; N]) -> ([Vec<u8>; N], Certificate) {
        let key = ephemeral(NewKeyKind::EcdsaP256).unwrap();
        let Identity { certificate: ca, key: ca_key } = &self.ca;
        let subject = service("Test TSA");
        let terms = terms(NOW, DAY * 30, 4);
        let certificate =
            profile::issue(ca, &**ca_key, key.public_key(), Profile::Timestamping, &subject, &terms).unwrap();
        let token = |digest| {
            let request = timestamp::request(&Imprint::Sha256(digest), None);
            let request = timestamp::parse_request(&request).unwrap();
            let issue =
                Issue { certificate: &certificate, key: &*key, policy: "1.2.3.4", serial: [5; 16], now: NOW };
            let response = timestamp::respond(&request, &issue).unwrap();
            timestamp::token_of_response(&response).unwrap()
        };
        (digests.map(token), certificate)
    }

    /// A credential that is good now.
    pub(crate) fn credential(&self, wish: &Wish) -> Credential {
        let Identity { certificate, key } = self.issue(wish, &self.member);
        let ocsp = self.ocsp(wish, &certificate, Answer::Good, NOW);
        let issuers = if wish.by_intermediate { vec![self.intermediate.certificate.clone()] } else { vec![] };
        Credential { certificate, issuers, ocsp, key }
    }

    pub(crate) fn expected(&self) -> Expected<'_> {
        Expected {
            member: &self.member,
            trust: &self.trust,
            freshness: Freshness { age_max: HOUR, skew_max: Duration::from_secs(60) },
            age_max: Duration::from_secs(600),
            now: NOW,
        }
    }

    fn issuer(&self, wish: &Wish) -> &Identity {
        if wish.by_intermediate { &self.intermediate } else { &self.ca }
    }
}

pub(crate) fn member(code: &str) -> MemberId {
    MemberId::parse(&format!("TEST/GOV/{code}")).unwrap()
}

fn root(name: &str) -> Identity {
    let key = ephemeral(NewKeyKind::EcdsaP256).unwrap();
    let certificate = profile::self_signed_ca(&*key, &service(name), &terms(NOW, DAY * 30, 1)).unwrap();
    Identity { certificate, key }
}

fn service(common_name: &str) -> Subject {
    Subject::Service { common_name: common_name.to_owned(), organisation: "Kogge tests".to_owned() }
}

/// Valid this long before and after a time.
fn terms(around: UnixMillis, validity: Duration, serial: u8) -> IssueTerms {
    IssueTerms {
        not_before: around.minus(validity).floor_seconds(),
        not_after: around.plus(validity).floor_seconds(),
        serial: [serial; 16],
        ocsp_url: None,
    }
}

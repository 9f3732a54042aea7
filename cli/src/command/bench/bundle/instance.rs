//! A small instance with its registry, trust services and members.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, anyhow};
use bytes::Bytes;
use kogge_certs::anchor::{Anchor, Environment};
use kogge_certs::certificate::Certificate;
use kogge_certs::key::SigningKey;
use kogge_certs::ocsp::{self, Answer};
use kogge_certs::profile::{self, IssueTerms, Profile, Subject};
use kogge_certs::snapshot::{Draft, Policy, Population, sign_delegation, sign_snapshot};
use kogge_certs::timestamp::{self, Imprint, Issue};
use kogge_certs::trust::{ApprovedCa, ApprovedTsa};
use kogge_evidence::signature::{Credential, ReadyCredential};
use kogge_proto::digest::Sha256;
use kogge_proto::id::{MemberId, SecurityServerId};
use kogge_proto::time::UnixMillis;
use kogge_security_server::clock::now;
use kogge_signer::{NewKeyKind, ephemeral};

/// The instance.
pub(super) struct Instance {
    ca: Identity,
    responder: Identity,
    tsa: Identity,
    members: Vec<Identity>,
}

struct Identity {
    certificate: Certificate,
    key: Arc<dyn SigningKey>,
}

impl Instance {
    /// Of one member that asks, and others that answer.
    pub(super) fn new(kind: NewKeyKind, providers: usize) -> anyhow::Result<Self> {
        let key = ephemeral(NewKeyKind::EcdsaP256)?;
        let certificate = profile::self_signed_ca(&*key, &service("Bench CA"), &terms(1))?;
        let ca = Identity { certificate, key };
        let of_services = NewKeyKind::EcdsaP256;
        let responder = ca.issue(of_services, Profile::OcspResponder, &service("Bench OCSP"), 2)?;
        let tsa = ca.issue(of_services, Profile::Timestamping, &service("Bench TSA"), 3)?;
        let members = (0..=providers).map(|number| {
            let member = member(number)?;
            let server = SecurityServerId::new(member.clone(), "ss0")?;
            let subject = Subject::Signing { member, name: format!("Agency {number}"), server };
            ca.issue(kind, Profile::Signing, &subject, 4 + number as u64)
        });
        let members = members.collect::<anyhow::Result<_>>()?;
        Ok(Self { ca, responder, tsa, members })
    }

    /// How many members there are; the first one asks.
    pub(super) fn members(&self) -> usize {
        self.members.len()
    }

    /// What a member signs with, with an OCSP response of now.
    pub(super) fn credential(&self, number: usize) -> anyhow::Result<ReadyCredential> {
        let Identity { certificate, key } = self.members.get(number).context("there is no such member")?;
        let request = ocsp::request(certificate, &self.ca.certificate, None);
        let request = ocsp::parse_request(&request, &self.ca.certificate)?;
        let Identity { certificate: responder, key: by } = &self.responder;
        let (at, until) = (now(), now().plus(HOUR));
        let ocsp: Bytes = ocsp::respond(&request, &[Answer::Good], responder, &**by, at, until)?.into();
        let key = Arc::clone(key);
        Ok(ReadyCredential::new(Credential { certificate: certificate.clone(), issuers: vec![], ocsp, key }))
    }

    /// A token of now.
    pub(super) fn token(&self, root: Sha256) -> anyhow::Result<Vec<u8>> {
        let request = timestamp::parse_request(&timestamp::request(&Imprint::Sha256(root), None));
        let request = request.map_err(|status| anyhow!("the request was refused with {status}"))?;
        let Identity { certificate, key } = &self.tsa;
        let issue = Issue { certificate, key: &**key, policy: TSA_POLICY, serial: [5; 16], now: now() };
        Ok(timestamp::token_of_response(&timestamp::respond(&request, &issue)?)?)
    }

    /// Writes `anchor.toml` and `snapshot`.
    pub(super) fn publish(&self, dir: &Path) -> anyhow::Result<()> {
        let (root, online) = (ephemeral(NewKeyKind::EcdsaP256)?, ephemeral(NewKeyKind::EcdsaP256)?);
        let (from, until) = (now().minus(HOUR), now().plus(DAY));
        let keys = [online.public_key().clone()];
        let delegation = sign_delegation(INSTANCE, 1, from, until, &keys, 1, &[&*root])?;
        let snapshot = sign_snapshot(&self.draft(from, until)?, &delegation, &[&*online])?;
        let urls = vec!["http://registry.example".to_owned()];
        let anchor = Anchor::new(INSTANCE, Environment::Test, urls, vec![root.public_key().clone()], 1)?;
        kogge_durable::write_atomic(&dir.join("anchor.toml"), anchor.to_toml().as_bytes(), false)?;
        kogge_durable::write_atomic(&dir.join("snapshot"), &snapshot, false)?;
        Ok(())
    }

    fn draft(&self, issued: UnixMillis, expires: UnixMillis) -> anyhow::Result<Draft> {
        let mut draft = Draft {
            instance: INSTANCE.to_owned(),
            environment: Environment::Test,
            version: 1,
            issued,
            expires,
            policy: Policy {
                ocsp_freshness: HOUR,
                timestamp_interval: Duration::from_secs(60),
                timestamp_failure: HOUR,
                clock_skew: Duration::from_secs(60),
            },
            members: vec![],
            subsystems: vec![],
            security_servers: vec![],
            registrations: Default::default(),
            services: vec![],
            cas: vec![ApprovedCa {
                name: "Bench CA".to_owned(),
                certificate: self.ca.certificate.clone(),
                intermediates: vec![],
                ocsp_urls: vec!["http://ca.example/ocsp".to_owned()],
                ocsp_responders: vec![],
            }],
            tsas: vec![ApprovedTsa {
                name: "Bench TSA".to_owned(),
                url: "http://tsa.example/tsa".to_owned(),
                certificate: self.tsa.certificate.clone(),
                policies: vec![TSA_POLICY.to_owned()],
            }],
        };
        Population::of(self.members.len()).add_to(&mut draft)?;
        Ok(draft)
    }
}

impl Identity {
    fn issue(
        &self,
        kind: NewKeyKind,
        profile: Profile,
        subject: &Subject,
        serial: u64,
    ) -> anyhow::Result<Self> {
        let key = ephemeral(kind)?;
        let Self { certificate: issuer, key: by } = self;
        let certificate = profile::issue(issuer, &**by, key.public_key(), profile, subject, &terms(serial))?;
        Ok(Self { certificate, key })
    }
}

/// As the registry's made-up population has them.
pub(super) fn member(number: usize) -> anyhow::Result<MemberId> {
    let class = if number % 10 == 9 { "COM" } else { "GOV" };
    Ok(MemberId::new(INSTANCE, class, &format!("7{number:07}"))?)
}

fn service(common_name: &str) -> Subject {
    Subject::Service { common_name: common_name.to_owned(), organisation: "Kogge bench".to_owned() }
}

fn terms(serial: u64) -> IssueTerms {
    let mut bytes = [1; 16];
    bytes.iter_mut().rev().zip(serial.to_le_bytes()).for_each(|(byte, of_serial)| *byte = of_serial);
    let not_before = now().minus(DAY).floor_seconds();
    IssueTerms { not_before, not_after: not_before.plus(30 * DAY), serial: bytes, ocsp_url: None }
}

const INSTANCE: &str = "BENCH";
const TSA_POLICY: &str = "1.2.3.4";
const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(24 * 3600);

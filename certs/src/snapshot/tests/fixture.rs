//! A small instance with its keys, and a way to sign what the writer would refuse.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;
use std::time::Duration;

use kogge_proto::digest::{Sha256, sha256};
use kogge_proto::id::{MemberId, SecurityServerId, ServiceId, SubsystemId};
use kogge_proto::time::UnixMillis;
use kogge_proto::wire::registry as wire;
use prost::Message;

use crate::anchor::{Anchor, Environment};
use crate::certificate::Certificate;
use crate::key::{SignError, SigningKey};
use crate::snapshot::{
    Draft, Member, Part, Policy, SecurityServer, Service, SignedDelegation, Subsystem, VerifiedSnapshot,
    sign_delegation, sign_snapshot, signatures,
};
use crate::testing::TestKey;
use crate::trust::{ApprovedCa, ApprovedTsa};

pub(super) const NOW: UnixMillis = UnixMillis(1_795_000_000_000);
pub(super) const HOUR: Duration = Duration::from_secs(3600);
pub(super) const DAY: Duration = Duration::from_secs(86_400);

pub(super) struct Keys {
    pub(super) root: [TestKey; 3],
    pub(super) online: TestKey,
    pub(super) stranger: TestKey,
}

/// One of each kind that may sign, so that every test also crosses the schemes.
pub(super) static KEYS: LazyLock<Keys> = LazyLock::new(|| Keys {
    root: [TestKey::p256(), TestKey::ed25519(), TestKey::p256()],
    online: TestKey::p256(),
    stranger: TestKey::p256(),
});

pub(super) static CA: LazyLock<Certificate> = LazyLock::new(|| certificate("Test CA", true));
pub(super) static TSA: LazyLock<Certificate> = LazyLock::new(|| certificate("Test TSA", false));

/// Two of three root keys must have signed.
pub(super) fn anchor() -> Anchor {
    let keys = KEYS.root.iter().map(|key| key.public_key().clone()).collect();
    Anchor::new("EE", Environment::Test, vec!["http://registry.example/".to_owned()], keys, 2).unwrap()
}

pub(super) fn delegation() -> SignedDelegation {
    delegation_of(1, NOW.minus(DAY), NOW.plus(30 * DAY))
}

pub(super) fn delegation_of(version: u64, issued: UnixMillis, expires: UnixMillis) -> SignedDelegation {
    let online = [KEYS.online.public_key().clone()];
    sign_delegation("EE", version, issued, expires, &online, 1, &[&KEYS.root[0], &KEYS.root[1]]).unwrap()
}

pub(super) fn member(code: &str) -> MemberId {
    MemberId::new("EE", "GOV", code).unwrap()
}

pub(super) fn subsystem(code: &str, subsystem: &str) -> SubsystemId {
    SubsystemId::new(member(code), subsystem).unwrap()
}

pub(super) fn server(code: &str, server: &str) -> SecurityServerId {
    SecurityServerId::new(member(code), server).unwrap()
}

pub(super) fn auth_certificate(name: &str) -> Sha256 {
    sha256(name.as_bytes())
}

/// Members 1 and 2; 2/population is on two servers, one of them 1's.
pub(super) fn draft() -> Draft {
    Draft {
        instance: "EE".to_owned(),
        environment: Environment::Test,
        version: 7,
        issued: NOW,
        expires: NOW.plus(DAY),
        policy: Policy {
            ocsp_freshness: HOUR,
            timestamp_interval: Duration::from_secs(60),
            timestamp_failure: 4 * HOUR,
            clock_skew: Duration::from_secs(30),
        },
        members: vec![
            Member { id: member("1"), name: "Tax Board".to_owned(), suspended: false },
            Member { id: member("2"), name: "Väestörekisteri".to_owned(), suspended: false },
        ],
        subsystems: vec![
            Subsystem { id: subsystem("1", "portal"), name: String::new() },
            Subsystem { id: subsystem("2", "population"), name: "Population register".to_owned() },
        ],
        security_servers: vec![
            SecurityServer {
                id: server("1", "ss1"),
                addresses: vec!["ss1.example:5500".to_owned(), "10.0.0.1:5500".to_owned()],
                auth_certificates: vec![auth_certificate("ss1"), auth_certificate("ss1 next")],
                suspended: false,
            },
            SecurityServer {
                id: server("2", "ss1"),
                addresses: vec!["[2001:db8::1]:5500".to_owned()],
                auth_certificates: vec![auth_certificate("ss2")],
                suspended: false,
            },
        ],
        registrations: BTreeMap::from([
            (subsystem("1", "portal"), BTreeSet::from([server("1", "ss1")])),
            (subsystem("2", "population"), BTreeSet::from([server("1", "ss1"), server("2", "ss1")])),
        ]),
        cas: vec![ApprovedCa {
            name: "Test CA".to_owned(),
            certificate: CA.clone(),
            intermediates: Vec::new(),
            ocsp_urls: vec!["http://ocsp.example/".to_owned()],
            ocsp_responders: vec![TSA.clone()],
        }],
        tsas: vec![ApprovedTsa {
            name: "Test TSA".to_owned(),
            url: "http://tsa.example/".to_owned(),
            certificate: TSA.clone(),
            policies: vec!["1.2.3.4.1".to_owned()],
        }],
        services: vec![Service {
            id: ServiceId::new(subsystem("2", "population"), "persons").unwrap(),
            title: "Persons".to_owned(),
        }],
    }
}

pub(super) fn sign(draft: &Draft) -> Vec<u8> {
    sign_snapshot(draft, &delegation(), &[&KEYS.online]).unwrap()
}

pub(super) fn verified(draft: &Draft) -> VerifiedSnapshot {
    VerifiedSnapshot::verify(sign(draft), &anchor(), NOW).unwrap()
}

/// The decoded parts of what [`sign`] makes.
pub(super) fn parts(draft: &Draft) -> (wire::SignedSnapshot, wire::Snapshot) {
    let signed = wire::SignedSnapshot::decode(sign(draft).as_slice()).unwrap();
    let snapshot = wire::Snapshot::decode(signed.snapshot.as_slice()).unwrap();
    (signed, snapshot)
}

/// A snapshot with right signatures over any bytes at all: what a broken registry would publish.
pub(super) fn forge(delegation: &[u8], snapshot: &[u8]) -> Vec<u8> {
    let root: [&dyn SigningKey; 2] = [&KEYS.root[0], &KEYS.root[1]];
    wire::SignedSnapshot {
        delegation: delegation.to_vec(),
        delegation_signatures: signatures::sign(Part::Delegation, &sha256(delegation), &root).unwrap(),
        snapshot: snapshot.to_vec(),
        snapshot_signatures: signatures::sign(Part::Snapshot, &sha256(snapshot), &[&KEYS.online]).unwrap(),
    }
    .encode_to_vec()
}

pub(super) fn certificate(name: &str, ca: bool) -> Certificate {
    let mut params = rcgen::CertificateParams::new(Vec::new()).unwrap();
    params.distinguished_name.push(rcgen::DnType::CommonName, name);
    if ca {
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    }
    let key = rcgen::KeyPair::generate().unwrap();
    Certificate::from_der(params.self_signed(&key).unwrap().der()).unwrap()
}

/// A token that has been pulled out.
pub(super) struct Absent<'a>(pub(super) &'a TestKey);

impl SigningKey for Absent<'_> {
    fn public_key(&self) -> &crate::key::PublicKey {
        self.0.public_key()
    }

    fn sign(&self, _: crate::key::SignatureScheme, _: &[u8]) -> Result<Vec<u8>, SignError> {
        Err(SignError::Token("no token in the slot".to_owned()))
    }
}

/// A token that answers with the signature of other bytes.
pub(super) struct Wrong<'a>(pub(super) &'a TestKey);

impl SigningKey for Wrong<'_> {
    fn public_key(&self) -> &crate::key::PublicKey {
        self.0.public_key()
    }

    fn sign(&self, scheme: crate::key::SignatureScheme, _: &[u8]) -> Result<Vec<u8>, SignError> {
        self.0.sign(scheme, b"something else")
    }
}

//! A demo whose keys the tests have taken, as somebody would who has broken into one of its machines.

use std::sync::Arc;
use std::time::Duration;

use kogge_certs::anchor::Anchor;
use kogge_certs::certificate::Certificate;
use kogge_certs::key::SigningKey;
use kogge_certs::ocsp::{self, Answer};
use kogge_certs::profile::{self, IssueTerms, Profile, Subject};
use kogge_certs::snapshot::{SecurityServer, VerifiedSnapshot};
use kogge_evidence::signature::Credential;
use kogge_integration_tests::process::Process;
use kogge_integration_tests::{Demo, http};
use kogge_message_log::{Filter, Reader};
use kogge_proto::id::SecurityServerId;
use kogge_proto::time::UnixMillis;
use kogge_proto::wire::log::Direction;
use kogge_security_server::clock;
use kogge_signer::{KeyUse, NewKeyKind, Pin, PinSource, SoftToken, ephemeral};
use kogge_transport::{LocalIdentity, PeerTrust, TransportMode};

pub(crate) const BOTH: [TransportMode; 2] = [TransportMode::Quic, TransportMode::H2];

/// A running demo and what its machines hold.
pub(crate) struct Scene {
    pub(crate) demo: Demo,
    pub(crate) ca: Owner,
    pub(crate) responder: Owner,
    pin: Pin,
    restarted: Vec<Process>,
}

/// A certificate and its private key.
#[derive(Clone)]
pub(crate) struct Owner {
    pub(crate) certificate: Certificate,
    pub(crate) key: Arc<dyn SigningKey>,
}

/// What one security server authenticates itself and signs with.
pub(crate) struct Keys {
    pub(crate) identity: LocalIdentity,
    pub(crate) credential: Credential,
}

impl Scene {
    pub(crate) fn start(args: &[&str]) -> Self {
        let demo = Demo::start(env!("CARGO_BIN_EXE_kogge-under-test"), args).unwrap();
        let dir = demo.dir();
        let pin = PinSource::File(dir.join("pin")).read().unwrap();
        let token = SoftToken::open(&dir.join("trust-services/token"), &pin).unwrap();
        let owner = |file: &str| {
            let pem = std::fs::read_to_string(dir.join("trust-services").join(file)).unwrap();
            let certificate = Certificate::from_pem(&pem).unwrap().remove(0);
            let key = token.key(&certificate.public_key().key_id()).unwrap();
            Owner { certificate, key }
        };
        let (ca, responder) = (owner("ca.pem"), owner("ocsp.pem"));
        Self { demo, ca, responder, pin, restarted: Vec::new() }
    }

    /// The keys of `consumer` or `provider`, with OCSP responses of now.
    pub(crate) fn keys(&self, role: &str) -> Keys {
        let signing = self.owner(role, KeyUse::Signing);
        let authentication = self.owner(role, KeyUse::Authentication);
        Keys { identity: self.identity(&authentication), credential: self.credential(&signing) }
    }

    pub(crate) fn owner(&self, role: &str, key_use: KeyUse) -> Owner {
        let token = SoftToken::open(&self.demo.dir().join(role).join("token"), &self.pin).unwrap();
        let entry = token.entries().unwrap().into_iter().find(|entry| entry.key_use == key_use).unwrap();
        Owner { certificate: entry.chains[0][0].clone(), key: token.key(&entry.id).unwrap() }
    }

    pub(crate) fn identity(&self, owner: &Owner) -> LocalIdentity {
        let Owner { certificate, key } = owner.clone();
        let ocsp = self.ocsp(&certificate, Answer::Good, clock::now());
        LocalIdentity { certificate, issuers: Vec::new(), key, ocsp }
    }

    pub(crate) fn credential(&self, owner: &Owner) -> Credential {
        let Owner { certificate, key } = owner.clone();
        let ocsp = self.ocsp(&certificate, Answer::Good, clock::now()).into();
        Credential { certificate, issuers: Vec::new(), ocsp, key }
    }

    /// What the demo's responder would say at `at` about a certificate of the demo's CA.
    pub(crate) fn ocsp(&self, certificate: &Certificate, answer: Answer, at: UnixMillis) -> Vec<u8> {
        self.ocsp_by(&*self.responder.key, certificate, answer, at)
    }

    /// The same, signed with another key in the responder's name.
    pub(crate) fn ocsp_by(
        &self,
        key: &dyn SigningKey,
        certificate: &Certificate,
        answer: Answer,
        at: UnixMillis,
    ) -> Vec<u8> {
        let question = ocsp::request(certificate, &self.ca.certificate, None);
        let question = ocsp::parse_request(&question, &self.ca.certificate).unwrap();
        let next_update = at.plus(Duration::from_secs(600));
        ocsp::respond(&question, &[answer], &self.responder.certificate, key, at, next_update).unwrap()
    }

    /// A new authentication certificate by `ca` for the security server of `role`.
    pub(crate) fn certify(&self, ca: &Owner, role: &str, from: UnixMillis, until: UnixMillis) -> Owner {
        let key = ephemeral(NewKeyKind::EcdsaP256).unwrap();
        let server = SecurityServerId::parse(&self.demo.server(role).id).unwrap();
        let subject = Subject::Authentication { server, name: "Anybody".to_owned() };
        let certificate = profile::issue(
            &ca.certificate,
            &*ca.key,
            key.public_key(),
            Profile::Authentication,
            &subject,
            &terms(from, until),
        );
        Owner { certificate: certificate.unwrap(), key }
    }

    pub(crate) fn trust(&self) -> Arc<dyn PeerTrust> {
        Arc::new(Trust(Arc::new(self.snapshot())))
    }

    pub(crate) fn snapshot(&self) -> VerifiedSnapshot {
        let anchor = Anchor::parse(&std::fs::read_to_string(&self.demo.endpoints.anchor).unwrap()).unwrap();
        let bytes =
            http::send("GET", &format!("{}/snapshot", self.demo.endpoints.registry), &[], b"").unwrap().body;
        VerifiedSnapshot::verify(bytes, &anchor, clock::now()).unwrap()
    }

    /// The security server of `role` as the registry has it.
    pub(crate) fn registered(&self, role: &str) -> SecurityServer {
        let id = SecurityServerId::parse(&self.demo.server(role).id).unwrap();
        self.snapshot().security_server(&id).unwrap().clone()
    }

    /// Stops the security server of `role`: from now on somebody else is in its place.
    pub(crate) fn stop(&self, role: &str) {
        self.demo.process(role).stop().unwrap();
    }

    /// Restarts the security server of `role` with a changed configuration.
    pub(crate) fn reconfigure(&mut self, role: &str, change: impl FnOnce(&mut toml::Table)) {
        let mut process = self.demo.process(role);
        process.stop().unwrap();
        self.demo.configure(&self.demo.server(role).config, change);
        process.start().unwrap();
        self.demo.wait_ready(role).unwrap();
        self.restarted.push(process);
    }

    /// Has the registry's operator decide, and waits until it is published.
    pub(crate) fn change(&self, command: &[&str]) {
        let before = self.snapshot().version();
        let config = self.demo.dir().join("central-registry.toml");
        let (verb, rest) = command.split_first().unwrap();
        let args = [&["central-registry", verb, "--config", config.to_str().unwrap()], rest].concat();
        let output = self.demo.kogge(args).unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        self.demo.wait_until("the change is published", || self.snapshot().version() > before).unwrap();
    }

    /// Waits until the security server of `role` goes by what is published now.
    pub(crate) fn wait_for_snapshot(&self, role: &str) {
        let version = self.snapshot().version();
        let current = || self.demo.readiness(role)["snapshot_version"].as_u64() >= Some(version);
        self.demo.wait_until("the snapshot is in use", current).unwrap();
    }

    /// How often the register was called.
    pub(crate) fn calls(&self) -> usize {
        std::fs::read_to_string(self.demo.dir().join("register/calls.log"))
            .unwrap_or_default()
            .lines()
            .count()
    }

    /// How many requests and how many responses the log of `role` holds.
    pub(crate) fn records(&self, role: &str) -> (usize, usize) {
        let (mut requests, mut responses) = (0, 0);
        let reader = Reader::open(&self.demo.server(role).log_dir).unwrap();
        let mut count = |found: kogge_message_log::Found| {
            match found.record.direction() {
                Direction::Request => requests += 1,
                _ => responses += 1,
            }
            true
        };
        reader.list(&Filter::default(), &mut count).unwrap();
        (requests, responses)
    }
}

/// Trust in one snapshot, as it was fetched.
struct Trust(Arc<VerifiedSnapshot>);

impl PeerTrust for Trust {
    fn snapshot(&self) -> Option<Arc<VerifiedSnapshot>> {
        Some(Arc::clone(&self.0))
    }

    fn now(&self) -> UnixMillis {
        clock::now()
    }
}

/// A CA that nobody has approved.
pub(crate) fn unapproved_ca() -> Owner {
    let key = ephemeral(NewKeyKind::EcdsaP256).unwrap();
    let subject =
        Subject::Service { common_name: "Demo CA".to_owned(), organisation: "Elsewhere".to_owned() };
    let (from, until) = (clock::now().minus(DAY), clock::now().plus(DAY));
    Owner { certificate: profile::self_signed_ca(&*key, &subject, &terms(from, until)).unwrap(), key }
}

fn terms(not_before: UnixMillis, not_after: UnixMillis) -> IssueTerms {
    let serial: [u8; 16] = std::array::from_fn(|at| if at == 0 { 0x40 } else { rand_byte() });
    IssueTerms {
        not_before: not_before.floor_seconds(),
        not_after: not_after.floor_seconds(),
        serial,
        ocsp_url: None,
    }
}

fn rand_byte() -> u8 {
    let mut byte = [0];
    ring::rand::SecureRandom::fill(&ring::rand::SystemRandom::new(), &mut byte).unwrap();
    byte[0]
}

pub(crate) const HOUR: Duration = Duration::from_secs(3600);
pub(crate) const DAY: Duration = Duration::from_secs(86_400);

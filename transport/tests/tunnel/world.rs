//! A small instance in one process: a CA, a registry with two members, and security servers that can be started and stopped.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use kogge_certs::anchor::{Anchor, Environment};
use kogge_certs::certificate::Certificate;
use kogge_certs::key::{PublicKey, SigningKey};
use kogge_certs::ocsp::{self, Answer};
use kogge_certs::profile::{self, IssueTerms, Profile, Subject};
use kogge_certs::snapshot::{
    Draft, Member, Policy, SecurityServer, SignedDelegation, VerifiedSnapshot, sign_delegation, sign_snapshot,
};
use kogge_certs::trust::ApprovedCa;
use kogge_proto::id::{MemberId, SecurityServerId};
use kogge_proto::time::UnixMillis;
use kogge_signer::{NewKeyKind, ephemeral};
use kogge_transport::{
    Carrier, Frame, Identity, Listener, ListenerLimits, LocalIdentity, PeerStream, PeerTrust, TransportError,
    TransportMode, TunnelLimits, Tunnels, frame,
};
use tokio::time::Instant;

pub(crate) const MINUTE: Duration = Duration::from_secs(60);
pub(crate) const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(24 * 3600);

/// The time at which every world begins. No clock is read.
pub(crate) const START: UnixMillis = UnixMillis(1_800_000_000_000);

pub(crate) struct World {
    root: Arc<dyn SigningKey>,
    online: Arc<dyn SigningKey>,
    delegation: SignedDelegation,
    pub(crate) ca: Ca,
    pub(crate) draft: Mutex<Draft>,
    version: AtomicU64,
}

pub(crate) struct Ca {
    pub(crate) key: Arc<dyn SigningKey>,
    pub(crate) certificate: Certificate,
    responder_key: Arc<dyn SigningKey>,
    responder: Certificate,
    serial: AtomicU64,
}

/// A security server's key, certificate and good OCSP response.
pub(crate) struct Server {
    pub(crate) id: SecurityServerId,
    pub(crate) certificate: Certificate,
    pub(crate) identity: Arc<Identity>,
}

/// What one security server believes, and its clock.
pub(crate) struct Trust {
    snapshot: Mutex<Option<Arc<VerifiedSnapshot>>>,
    now: AtomicI64,
}

impl PeerTrust for Trust {
    fn snapshot(&self) -> Option<Arc<VerifiedSnapshot>> {
        self.snapshot.lock().unwrap().clone()
    }

    fn now(&self) -> UnixMillis {
        UnixMillis(self.now.load(Ordering::Relaxed))
    }
}

impl Trust {
    pub(crate) fn set(&self, snapshot: Option<Arc<VerifiedSnapshot>>) {
        *self.snapshot.lock().unwrap() = snapshot;
    }

    pub(crate) fn set_now(&self, now: UnixMillis) {
        self.now.store(now.0, Ordering::Relaxed);
    }
}

impl Ca {
    pub(crate) fn new(name: &str) -> Self {
        let (key, responder_key) = (new_key(), new_key());
        let subject = |what: &str| Subject::Service {
            common_name: format!("{name} {what}"),
            organisation: "Test".into(),
        };
        let certificate = profile::self_signed_ca(&*key, &subject("CA"), &terms(1, START)).unwrap();
        let responder = profile::issue(
            &certificate,
            &*key,
            responder_key.public_key(),
            Profile::OcspResponder,
            &subject("OCSP"),
            &terms(2, START),
        )
        .unwrap();
        Self { key, certificate, responder_key, responder, serial: AtomicU64::new(3) }
    }

    /// An authentication certificate that is valid for a year from a day before `from`.
    pub(crate) fn issue(&self, id: &SecurityServerId, key: &PublicKey, from: UnixMillis) -> Certificate {
        self.issue_as(Profile::Authentication, id, key, from)
    }

    pub(crate) fn issue_as(
        &self,
        profile: Profile,
        id: &SecurityServerId,
        key: &PublicKey,
        from: UnixMillis,
    ) -> Certificate {
        let subject = match profile {
            Profile::Signing => {
                Subject::Signing { member: id.owner().clone(), name: "Test".into(), server: id.clone() }
            }
            _ => Subject::Authentication { server: id.clone(), name: "Test".into() },
        };
        let terms = terms(self.serial.fetch_add(1, Ordering::Relaxed), from);
        profile::issue(&self.certificate, &*self.key, key, profile, &subject, &terms).unwrap()
    }

    pub(crate) fn ocsp(&self, certificate: &Certificate, answer: Answer, at: UnixMillis) -> Vec<u8> {
        let request = ocsp::request(certificate, &self.certificate, None);
        let request = ocsp::parse_request(&request, &self.certificate).unwrap();
        ocsp::respond(&request, &[answer], &self.responder, &*self.responder_key, at, at.plus(DAY)).unwrap()
    }

    pub(crate) fn approved(&self) -> ApprovedCa {
        ApprovedCa {
            name: "Test".into(),
            certificate: self.certificate.clone(),
            intermediates: Vec::new(),
            ocsp_urls: vec!["http://127.0.0.1:1/".into()],
            ocsp_responders: Vec::new(),
        }
    }

    /// Makes key and certificate for a security server. It is not registered by that.
    pub(crate) fn equip(&self, id: &str) -> Server {
        self.equip_from(id, START)
    }

    pub(crate) fn equip_from(&self, id: &str, from: UnixMillis) -> Server {
        let id = SecurityServerId::parse(id).unwrap();
        let key = new_key();
        let certificate = self.issue(&id, key.public_key(), from);
        self.equip_with(id, key, certificate)
    }

    pub(crate) fn equip_with(
        &self,
        id: SecurityServerId,
        key: Arc<dyn SigningKey>,
        certificate: Certificate,
    ) -> Server {
        let ocsp = self.ocsp(&certificate, Answer::Good, START);
        let local = LocalIdentity { certificate: certificate.clone(), issuers: Vec::new(), key, ocsp };
        let identity = Arc::new(Identity::new(local).unwrap());
        Server { id, certificate, identity }
    }
}

impl Server {
    pub(crate) fn local(&self) -> LocalIdentity {
        LocalIdentity::clone(&self.identity.current())
    }

    /// Listens on `addr`.
    pub(crate) fn listen(
        &self,
        trust: &Arc<Trust>,
        addr: SocketAddr,
        limits: ListenerLimits,
    ) -> Arc<Listener> {
        Arc::new(Listener::bind(addr, Arc::clone(&self.identity), Arc::clone(trust) as _, limits).unwrap())
    }

    pub(crate) fn tunnels(&self, trust: &Arc<Trust>, mode: TransportMode, limits: TunnelLimits) -> Tunnels {
        Tunnels::new(Arc::clone(&self.identity), Arc::clone(trust) as _, mode, limits)
    }
}

impl World {
    /// Members `T/GOV/1` and `T/GOV/2`, no server yet.
    pub(crate) fn new() -> Self {
        let (root, online) = (new_key(), new_key());
        let delegation = sign_delegation(
            "T",
            1,
            START.minus(DAY),
            START.plus(DAY * 300),
            &[online.public_key().clone()],
            1,
            &[&*root],
        )
        .unwrap();
        let ca = Ca::new("First");
        let member = |code: &str| Member {
            id: MemberId::new("T", "GOV", code).unwrap(),
            name: format!("Member {code}"),
            suspended: false,
        };
        let draft = Draft {
            instance: "T".into(),
            environment: Environment::Test,
            version: 1,
            issued: START.minus(MINUTE),
            expires: START.plus(DAY),
            policy: Policy {
                ocsp_freshness: HOUR,
                timestamp_interval: MINUTE,
                timestamp_failure: HOUR * 4,
                clock_skew: Duration::from_secs(30),
            },
            members: vec![member("1"), member("2")],
            subsystems: Vec::new(),
            security_servers: Vec::new(),
            registrations: Default::default(),
            cas: vec![ca.approved()],
            tsas: Vec::new(),
            services: Vec::new(),
        };
        Self { root, online, delegation, ca, draft: Mutex::new(draft), version: AtomicU64::new(1) }
    }

    pub(crate) fn register(&self, server: &Server) {
        self.register_certificate(&server.id, &server.certificate);
    }

    pub(crate) fn register_certificate(&self, id: &SecurityServerId, certificate: &Certificate) {
        let mut draft = self.draft.lock().unwrap();
        if let Some(entry) = draft.security_servers.iter_mut().find(|entry| entry.id == *id) {
            entry.auth_certificates.push(certificate.sha256());
            return;
        }
        draft.security_servers.push(entry(id, Vec::new(), certificate));
    }

    pub(crate) fn change(&self, change: impl FnOnce(&mut Draft)) {
        change(&mut self.draft.lock().unwrap());
    }

    /// What the registry says now.
    pub(crate) fn snapshot(&self) -> Arc<VerifiedSnapshot> {
        let mut draft = self.draft.lock().unwrap().clone();
        draft.version = self.version.fetch_add(1, Ordering::Relaxed);
        let bytes = sign_snapshot(&draft, &self.delegation, &[&*self.online]).unwrap();
        let url = vec!["http://127.0.0.1:1/".to_owned()];
        let anchor =
            Anchor::new("T", Environment::Test, url, vec![self.root.public_key().clone()], 1).unwrap();
        Arc::new(VerifiedSnapshot::verify_archived(bytes, &anchor).unwrap())
    }

    /// Believes what the registry says now.
    pub(crate) fn trust(&self) -> Arc<Trust> {
        Arc::new(Trust { snapshot: Mutex::new(Some(self.snapshot())), now: AtomicI64::new(START.0) })
    }
}

/// A consumer's and a provider's security server, registered, each with its own view of the registry.
pub(crate) struct Pair {
    pub(crate) world: World,
    pub(crate) consumer: Server,
    pub(crate) consumer_trust: Arc<Trust>,
    pub(crate) provider: Server,
    pub(crate) provider_trust: Arc<Trust>,
}

impl Pair {
    pub(crate) fn new() -> Self {
        let world = World::new();
        let (consumer, provider) = (world.ca.equip("T/GOV/1/cs"), world.ca.equip("T/GOV/2/ps"));
        world.register(&consumer);
        world.register(&provider);
        let (consumer_trust, provider_trust) = (world.trust(), world.trust());
        Self { world, consumer, consumer_trust, provider, provider_trust }
    }

    pub(crate) fn listen(&self) -> Arc<Listener> {
        self.listen_with(ListenerLimits::default())
    }

    pub(crate) fn listen_with(&self, limits: ListenerLimits) -> Arc<Listener> {
        self.provider.listen(&self.provider_trust, any_port(), limits)
    }

    pub(crate) fn tunnels(&self, carrier: Carrier) -> Tunnels {
        self.tunnels_with(only(carrier), TunnelLimits::default())
    }

    pub(crate) fn tunnels_with(&self, mode: TransportMode, limits: TunnelLimits) -> Tunnels {
        self.consumer.tunnels(&self.consumer_trust, mode, limits)
    }

    /// The provider as the consumer addresses it.
    pub(crate) fn at(&self, addr: SocketAddr) -> SecurityServer {
        entry(&self.provider.id, vec![addr.to_string()], &self.provider.certificate)
    }
}

pub(crate) fn entry(
    id: &SecurityServerId,
    addresses: Vec<String>,
    certificate: &Certificate,
) -> SecurityServer {
    let addresses = if addresses.is_empty() { vec!["127.0.0.1:1".into()] } else { addresses };
    SecurityServer {
        id: id.clone(),
        addresses,
        auth_certificates: vec![certificate.sha256()],
        suspended: false,
    }
}

pub(crate) fn new_key() -> Arc<dyn SigningKey> {
    ephemeral(NewKeyKind::EcdsaP256).unwrap()
}

pub(crate) fn terms(serial: u64, from: UnixMillis) -> IssueTerms {
    let mut bytes = [0; 16];
    bytes[0] = 1;
    bytes[8..].copy_from_slice(&serial.to_be_bytes());
    IssueTerms { not_before: from.minus(DAY), not_after: from.plus(DAY * 365), serial: bytes, ocsp_url: None }
}

pub(crate) fn only(carrier: Carrier) -> TransportMode {
    match carrier {
        Carrier::Quic => TransportMode::Quic,
        Carrier::H2 => TransportMode::H2,
    }
}

pub(crate) fn any_port() -> SocketAddr {
    "127.0.0.1:0".parse().unwrap()
}

/// Late enough for everything that works; a test that waits for it has failed.
pub(crate) fn soon() -> Instant {
    Instant::now() + MINUTE
}

pub(crate) fn chunk(bytes: impl Into<Vec<u8>>) -> Frame {
    Frame { kind: Some(frame::Kind::BodyChunk(bytes.into().into())) }
}

pub(crate) fn bytes_of(frame: Frame) -> Vec<u8> {
    match frame.kind {
        Some(frame::Kind::BodyChunk(bytes)) => bytes.to_vec(),
        other => panic!("expected a chunk, got {other:?}"),
    }
}

/// Sends every frame back, until the listener shuts down.
pub(crate) fn echo(listener: &Arc<Listener>) {
    let listener = Arc::clone(listener);
    tokio::spawn(async move {
        while let Some(stream) = listener.accept().await {
            tokio::spawn(echo_one(stream));
        }
    });
}

pub(crate) async fn echo_one(mut stream: PeerStream) -> Result<(), TransportError> {
    while let Some(frame) = stream.recv().await? {
        stream.send(frame).await?;
    }
    stream.finish().await
}

/// One short exchange with an echo.
pub(crate) async fn ask(tunnels: &Tunnels, server: &SecurityServer) -> Result<PeerStream, TransportError> {
    let mut stream = tunnels.open(server, soon()).await?;
    ask_on(&mut stream).await?;
    Ok(stream)
}

pub(crate) async fn ask_on(stream: &mut PeerStream) -> Result<(), TransportError> {
    stream.send(chunk("question")).await?;
    stream.finish().await?;
    assert_eq!(stream.recv().await?.map(bytes_of).as_deref(), Some(&b"question"[..]));
    assert_eq!(stream.recv().await?, None);
    Ok(())
}

/// Waits until `condition` holds; a test that waits for ever fails by its time limit.
pub(crate) async fn eventually(condition: impl Fn() -> bool) {
    let end = soon();
    while !condition() {
        assert!(Instant::now() < end, "it never came true");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

//! A security server's log with one real exchange in it, and the registry snapshot and anchor that belong to it.

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Command, Output};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use bytes::Bytes;
use kogge_certs::anchor::{Anchor, Environment};
use kogge_certs::certificate::Certificate;
use kogge_certs::key::{SignatureScheme, SigningKey};
use kogge_certs::ocsp::{self, Answer};
use kogge_certs::profile::{self, IssueTerms, Profile, Subject};
use kogge_certs::snapshot::{self as registry, Draft, Policy};
use kogge_certs::timestamp::{self, Imprint, Issue};
use kogge_certs::trust::{ApprovedCa, ApprovedTsa};
use kogge_evidence::evidence_record::batch_root;
use kogge_evidence::material::Material;
use kogge_evidence::signature::{self, Credential, Parts};
use kogge_evidence::timestamp_chain;
use kogge_evidence::xades;
use kogge_message_log::{Durability, MessageLog, NewBody, NewBodyPlace, NewMessage, Options};
use kogge_proto::digest::{Sha256, Sha512, sha256, sha512};
use kogge_proto::id::{MemberId, SecurityServerId, ServiceId, SubsystemId};
use kogge_proto::message::{RequestParts, ResponseParts, RestRequest, RestResponse, request_hash};
use kogge_proto::time::UnixMillis;
use kogge_proto::wire::log::{Direction, Role, StampLeaf, StampRecord};
use kogge_security_server::clock::now;
use kogge_signer::{NewKeyKind, ephemeral};
use kogge_tlog::checkpoint::Checkpoint;
use kogge_tlog::note::{NoteKey, NoteSignature, SignedNote};
use kogge_tlog::proof::List;
use tempfile::TempDir;

pub(crate) const MESSAGE_ID: &str = "4711";
pub(crate) const CLIENT: &str = "DEMO/GOV/1001/portal";
pub(crate) const SERVICE: &str = "DEMO/GOV/2002/population/persons";
const SERVER: &str = "DEMO/GOV/1001/SS1";
const TSA_POLICY: &str = "1.2.3.4";
const HOUR: Duration = Duration::from_secs(3600);

struct Identity {
    certificate: Certificate,
    key: Arc<dyn SigningKey>,
}

/// Files in a temporary directory: `anchor.toml`, `data/snapshot`, `log/`.
pub(crate) struct World {
    dir: TempDir,
    ca: Identity,
    tsa: Identity,
    log: Option<MessageLog>,
    /// Whether batches are stamped in X-Road's form as well.
    xroad: bool,
    /// Authorities that are approved beside the one that stamps.
    newer_tsas: Vec<ApprovedTsa>,
}

impl World {
    /// With an empty log.
    fn begun() -> Self {
        let key = ephemeral(NewKeyKind::EcdsaP256).unwrap();
        let certificate = profile::self_signed_ca(&*key, &service("Test CA"), &terms(1)).unwrap();
        let ca = Identity { certificate, key };
        let tsa = issue(&ca, Profile::Timestamping, &service("Test TSA"), 2);
        let dir = tempfile::tempdir().unwrap();
        let options = Options {
            server: SecurityServerId::parse(SERVER).unwrap(),
            segment_bytes: 1024 * 1024,
            index_cache_bytes: 8 * 1024 * 1024,
            replay_window: HOUR,
            log_key: None,
            clock: now,
        };
        let (log, _) = MessageLog::open(&dir.path().join("log"), options).unwrap();
        let world = Self { dir, ca, tsa, log: Some(log), xroad: true, newer_tsas: vec![] };
        world.publish();
        world
    }

    /// With an exchange in the log, still without timestamps.
    pub(crate) fn new() -> Self {
        let world = Self::begun();
        world.exchange();
        world
    }

    /// With an exchange in the log, timestamped, and the log closed.
    pub(crate) fn stamped() -> Self {
        let mut world = Self::new();
        world.stamp();
        world.close();
        world
    }

    /// As [`Self::stamped`], by a server that was not configured for X-Road's form.
    pub(crate) fn stamped_without_xroad() -> Self {
        let mut world = Self { xroad: false, ..Self::new() };
        world.stamp();
        world.close();
        world
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn kogge(&self, arguments: &[&str]) -> Output {
        // In the world's directory, so that arguments can be short.
        Command::new(env!("CARGO_BIN_EXE_kogge"))
            .args(arguments)
            .current_dir(self.dir.path())
            .output()
            .unwrap()
    }

    pub(crate) fn close(&mut self) {
        if let Some(log) = self.log.take() {
            log.close();
        }
    }

    /// One token over every record that has none.
    pub(crate) fn stamp(&self) {
        self.stamp_with(&self.checkpoint());
    }

    /// A checkpoint of the log as it is, signed by a key that the registry does not know.
    pub(crate) fn checkpoint(&self) -> Vec<u8> {
        let list = self.log.as_ref().unwrap().tree().unwrap();
        self.checkpoint_of(SERVER, list)
    }

    pub(crate) fn checkpoint_of(&self, origin: &str, list: List) -> Vec<u8> {
        let key = ephemeral(NewKeyKind::Ed25519).unwrap();
        let name = NoteKey::new(origin, key.public_key().ed25519().unwrap()).unwrap();
        let text = Checkpoint::new(origin, list.size, list.root).unwrap().to_text();
        let signature = key.sign(SignatureScheme::Ed25519, text.as_bytes()).unwrap().try_into().unwrap();
        SignedNote::new(&text, vec![NoteSignature::of(&name, signature)]).unwrap().to_text().into_bytes()
    }

    /// Stamps what waits, with these bytes as checkpoint.
    pub(crate) fn stamp_with(&self, checkpoint: &[u8]) {
        let log = self.log.as_ref().unwrap();
        let leaf = |sequence: u64| {
            let found = log.reader().get(sequence).unwrap().unwrap();
            let material = Material::new(&found.material).unwrap();
            let body = found.record.body.as_ref().map(|body| Sha512::from_slice(&body.sha512).unwrap());
            let parts = Parts { message: sha512(&found.record.message), body };
            xades::leaf(found.record.signature.as_ref().unwrap(), &parts, &material).unwrap()
        };
        let leaves: Vec<(u64, Sha256)> =
            log.unstamped(100).into_iter().map(|sequence| (sequence, leaf(sequence))).collect();
        let digests: Vec<Sha256> = leaves.iter().map(|(_, digest)| *digest).collect();
        let stated = (!checkpoint.is_empty()).then(|| sha256(checkpoint));
        let root = batch_root(log.last_root().into_iter().chain(stated), &digests).unwrap();
        let xroad = timestamp_chain::result(&digests).unwrap();
        let stamp = StampRecord {
            token: self.token(root),
            leaves: leaves
                .into_iter()
                .map(|(sequence, digest)| StampLeaf { sequence, sha256: digest.0.to_vec() })
                .collect(),
            previous_root: log.last_root().map_or_else(Vec::new, |root| root.0.to_vec()),
            root: root.0.to_vec(),
            checkpoint: checkpoint.to_vec(),
            xroad_token: if self.xroad { self.token(sha256(&xroad)) } else { Vec::new() },
        };
        let (tell, told) = mpsc::channel();
        log.append_stamp(stamp, Box::new(move |outcome| tell.send(outcome).unwrap()));
        told.recv().unwrap().unwrap();
    }

    /// Approves another authority, whose certificate is valid for so long, and which answers for as long as the test runs; its address.
    pub(crate) fn approve_tsa(&mut self, validity: Duration) -> String {
        let key = ephemeral(NewKeyKind::EcdsaP256).unwrap();
        let Identity { certificate: ca, key: ca_key } = &self.ca;
        let name = format!("Newer TSA {}", self.newer_tsas.len());
        let not_after = now().plus(validity).floor_seconds();
        let terms = IssueTerms { not_after, ..terms(7 + self.newer_tsas.len() as u8) };
        let usage = Profile::Timestamping;
        let certificate =
            profile::issue(ca, &**ca_key, key.public_key(), usage, &service(&name), &terms).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/tsa", listener.local_addr().unwrap());
        let tsa = Identity { certificate: certificate.clone(), key };
        std::thread::spawn(move || {
            listener.incoming().for_each(|stream| answer_query(&tsa, stream.unwrap()));
        });
        let policies = vec![TSA_POLICY.to_owned()];
        self.newer_tsas.push(ApprovedTsa { name, url: url.clone(), certificate, policies });
        self.publish();
        url
    }

    fn token(&self, root: Sha256) -> Vec<u8> {
        let request = timestamp::parse_request(&timestamp::request(&Imprint::Sha256(root), None)).unwrap();
        let Identity { certificate, key } = &self.tsa;
        let issue = Issue { certificate, key: &**key, policy: TSA_POLICY, serial: [5; 16], now: now() };
        timestamp::token_of_response(&timestamp::respond(&request, &issue).unwrap()).unwrap()
    }

    /// With an exchange in the log whose bodies were not kept, timestamped, and the log closed.
    pub(crate) fn without_bodies() -> Self {
        let mut world = Self::begun();
        world.exchange_with(|_| NewBodyPlace::DigestOnly);
        world.stamp();
        world.close();
        world
    }

    /// The body of the response.
    pub(crate) fn answer() -> Vec<u8> {
        (0..300_000_u32).map(|index| (index % 251) as u8).collect()
    }

    /// A request with a small body and its response with a large one, as the consumer logs them.
    pub(crate) fn exchange(&self) {
        self.exchange_with(|place| place);
    }

    fn exchange_with(&self, place: impl Fn(NewBodyPlace) -> NewBodyPlace) {
        let request = RestRequest::build(RequestParts {
            method: "POST",
            target: &format!("/r1/{SERVICE}/search?name=M%C3%BCller"),
            headers: vec![("X-Road-Client".into(), CLIENT.into()), ("X-Road-Id".into(), MESSAGE_ID.into())],
            request_id: "5b4b0ba2-7b28-4b0c-9d32-5e7e7f5a0001",
            fallback_message_id: "unused",
        })
        .unwrap();
        let question = Bytes::from_static(b"{\"name\":\"M\xC3\xBCller\"}");
        let body = NewBody {
            length: question.len() as u64,
            sha512: sha512(&question),
            place: place(NewBodyPlace::Inline(question.clone())),
        };
        self.append(Direction::Request, request.bytes(), &request, body, "DEMO/GOV/1001");

        let log = self.log.as_ref().unwrap();
        let answer = Self::answer();
        let spooled = log.spool_dir().join("answer");
        std::fs::write(&spooled, &answer).unwrap();
        let hash = request_hash(&sha512(request.bytes()), Some(&sha512(&question)));
        let parts = ResponseParts { status: 200, reason: "OK", headers: vec![], request_hash: &hash };
        let response = RestResponse::build(&request, parts).unwrap();
        let length = answer.len() as u64;
        let body = NewBody { length, sha512: sha512(&answer), place: place(NewBodyPlace::Spooled(spooled)) };
        self.append(Direction::Response, response.bytes(), &request, body, "DEMO/GOV/2002");
    }

    fn append(
        &self,
        direction: Direction,
        message: &Bytes,
        request: &RestRequest,
        body: NewBody,
        signer: &str,
    ) {
        let parts = Parts { message: sha512(message), body: Some(body.sha512) };
        let signed = signature::sign(&parts, &self.credential(signer), now()).unwrap();
        let new = NewMessage {
            role: Role::Consumer,
            direction,
            message_id: request.message_id().to_owned(),
            request_id: request.request_id().to_owned(),
            client: request.client().to_string(),
            service: request.service().to_string(),
            subject: None,
            peer_server: "DEMO/GOV/2002/SS1".to_owned(),
            message: message.clone(),
            body: Some(body),
            signature: signed.signature,
            material: signed.material,
            follows: None,
        };
        let (tell, told) = mpsc::channel();
        self.log.as_ref().unwrap().append(
            new,
            Durability::Now,
            Box::new(move |outcome| tell.send(outcome).unwrap()),
        );
        told.recv().unwrap().unwrap();
    }

    fn credential(&self, member: &str) -> Credential {
        let member = MemberId::parse(member).unwrap();
        let server = SecurityServerId::parse(&format!("{member}/SS1")).unwrap();
        let subject = Subject::Signing { member, name: "Agency".to_owned(), server };
        let Identity { certificate, key } = issue(&self.ca, Profile::Signing, &subject, 3);
        let responder = issue(&self.ca, Profile::OcspResponder, &service("Test OCSP"), 4);
        let request = ocsp::request(&certificate, &self.ca.certificate, None);
        let request = ocsp::parse_request(&request, &self.ca.certificate).unwrap();
        let (at, until) = (now(), now().plus(HOUR));
        let answer =
            ocsp::respond(&request, &[Answer::Good], &responder.certificate, &*responder.key, at, until)
                .unwrap();
        Credential { certificate, issuers: vec![], ocsp: answer.into(), key }
    }

    /// Writes `anchor.toml` and `data/snapshot`.
    fn publish(&self) {
        let (root, online) =
            (ephemeral(NewKeyKind::EcdsaP256).unwrap(), ephemeral(NewKeyKind::EcdsaP256).unwrap());
        let (issued, expires) = (now().minus(HOUR), now().plus(HOUR));
        let keys = [online.public_key().clone()];
        let delegation = registry::sign_delegation("DEMO", 1, issued, expires, &keys, 1, &[&*root]).unwrap();
        let snapshot =
            registry::sign_snapshot(&self.draft(issued, expires), &delegation, &[&*online]).unwrap();
        let urls = vec!["http://registry.example".to_owned()];
        let anchor =
            Anchor::new("DEMO", Environment::Test, urls, vec![root.public_key().clone()], 1).unwrap();
        std::fs::write(self.path("anchor.toml"), anchor.to_toml()).unwrap();
        std::fs::create_dir_all(self.path("data")).unwrap();
        std::fs::write(self.path("data/snapshot"), snapshot).unwrap();
    }

    fn draft(&self, issued: UnixMillis, expires: UnixMillis) -> Draft {
        let member = |code: &str| registry::Member {
            id: MemberId::new("DEMO", "GOV", code).unwrap(),
            name: format!("Agency {code}"),
            suspended: false,
        };
        let subsystem =
            |id: &str| registry::Subsystem { id: SubsystemId::parse(id).unwrap(), name: String::new() };
        let registered = |id: &str, server: &str| {
            let server = SecurityServerId::parse(server).unwrap();
            (SubsystemId::parse(id).unwrap(), BTreeSet::from([server]))
        };
        let server = |id: &str| registry::SecurityServer {
            id: SecurityServerId::parse(id).unwrap(),
            addresses: vec!["ss.example:5500".to_owned()],
            auth_certificates: vec![],
            suspended: false,
        };
        Draft {
            instance: "DEMO".to_owned(),
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
            members: vec![member("1001"), member("2002")],
            subsystems: vec![subsystem(CLIENT), subsystem("DEMO/GOV/2002/population")],
            security_servers: vec![server(SERVER), server("DEMO/GOV/2002/SS1")],
            registrations: [
                registered(CLIENT, SERVER),
                registered("DEMO/GOV/2002/population", "DEMO/GOV/2002/SS1"),
            ]
            .into(),
            cas: vec![ApprovedCa {
                name: "Test CA".to_owned(),
                certificate: self.ca.certificate.clone(),
                intermediates: vec![],
                ocsp_urls: vec!["http://ca.example/ocsp".to_owned()],
                ocsp_responders: vec![],
            }],
            tsas: [ApprovedTsa {
                name: "Test TSA".to_owned(),
                url: "http://tsa.example/tsa".to_owned(),
                certificate: self.tsa.certificate.clone(),
                policies: vec![TSA_POLICY.to_owned()],
            }]
            .into_iter()
            .chain(self.newer_tsas.iter().cloned())
            .collect(),
            services: vec![registry::Service {
                id: ServiceId::parse(SERVICE).unwrap(),
                title: String::new(),
            }],
        }
    }
}

/// One timestamp query over HTTP.
fn answer_query(tsa: &Identity, mut stream: TcpStream) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).unwrap();
        head.push(byte[0]);
    }
    let head = String::from_utf8(head).unwrap().to_lowercase();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length:")).unwrap();
    let mut query = vec![0; length.trim().parse().unwrap()];
    stream.read_exact(&mut query).unwrap();
    let Identity { certificate, key } = tsa;
    let issue = Issue { certificate, key: &**key, policy: TSA_POLICY, serial: [6; 16], now: now() };
    let answer = timestamp::respond(&timestamp::parse_request(&query).unwrap(), &issue).unwrap();
    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", answer.len());
    stream.write_all(&[head.as_bytes(), &answer].concat()).unwrap();
}

fn issue(ca: &Identity, profile: Profile, subject: &Subject, serial: u8) -> Identity {
    let key = ephemeral(NewKeyKind::EcdsaP256).unwrap();
    let certificate =
        profile::issue(&ca.certificate, &*ca.key, key.public_key(), profile, subject, &terms(serial))
            .unwrap();
    Identity { certificate, key }
}

fn service(common_name: &str) -> Subject {
    Subject::Service { common_name: common_name.to_owned(), organisation: "Kogge tests".to_owned() }
}

fn terms(serial: u8) -> IssueTerms {
    IssueTerms {
        not_before: now().minus(HOUR * 24).floor_seconds(),
        not_after: now().plus(HOUR * 24).floor_seconds(),
        serial: [serial; 16],
        ocsp_url: None,
    }
}

//! A hostile consumer's security server: it has all keys of a real one, and sends what no honest one does. Each time the provider says why
//! not, the register is not called, and nothing of it is in the provider's log.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use kogge_certs::key::{PublicKey, SignError, SignatureScheme, SigningKey};
use kogge_certs::ocsp::Answer;
use kogge_certs::snapshot::SecurityServer;
use kogge_evidence::signature::Credential;
use kogge_proto::digest::{sha256, sha512};
use kogge_proto::limits::{FRAME_BYTES_MAX, MATERIAL_ITEM_BYTES_MAX, MESSAGE_BYTES_MAX};
use kogge_proto::message::{RequestParts, RestRequest};
use kogge_proto::time::UnixMillis;
use kogge_security_server::clock;
use kogge_signer::{KeyUse, NewKeyKind, ephemeral};
use kogge_transport::{
    Carrier, Frame, Identity, PeerStream, TransportMode, TunnelLimits, Tunnels, frame::Kind,
};
use tokio::time::Instant;
use uuid::Uuid;

use crate::letter::{Letter, chunk, fault};
use crate::raw;
use crate::scene::{BOTH, DAY, HOUR, Keys, Scene};

struct Hostile {
    scene: Scene,
    provider: SecurityServer,
    own: Keys,
    others: Keys,
}

/// What is wrong, how it is made, and the code of the provider's fault.
type Case = (&'static str, fn(&Hostile) -> Vec<Frame>, &'static str);

#[tokio::test(flavor = "multi_thread")]
async fn only_an_honest_request_reaches_the_register() {
    let hostile = Hostile::new();
    for mode in BOTH {
        let tunnels = hostile.tunnels(mode);
        hostile.expect_answered(&tunnels, "before").await;
        let untouched = hostile.traces();
        for (what, make, code) in cases() {
            let told = hostile.send(&tunnels, make(&hostile)).await;
            assert_eq!(told, format!("server.serverproxy.{code}"), "{what} by {mode:?}");
            assert_eq!(hostile.traces(), untouched, "{what} by {mode:?} left a trace");
        }
        for path in PATHS_OUTSIDE {
            let told = hostile.send(&tunnels, hostile.to(path).frames()).await;
            assert_eq!(told, "server.serverproxy.access_denied", "{path} by {mode:?}");
            assert_eq!(hostile.traces(), untouched, "{path} by {mode:?} left a trace");
        }
        hostile.expect_answered(&tunnels, "after").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_request_again_is_refused_on_either_carrier() {
    let hostile = Hostile::new();
    let [quic, h2] = BOTH.map(|mode| hostile.tunnels(mode));
    for (first, second) in [(&quic, &quic), (&quic, &h2), (&h2, &quic)] {
        let letter = hostile.letter();
        assert_eq!(hostile.send(first, letter.clone().frames()).await, "answered");
        let untouched = hostile.traces();
        let again = hostile.send(second, letter.clone().frames()).await;
        assert_eq!(again, "server.serverproxy.replayed_request");
        // Signed anew, since the sender can: the request id is still the same.
        let request = RestRequest::parse(&letter.head.message).unwrap();
        let anew = hostile.send(second, hostile.signed(&request, &hostile.own).frames()).await;
        assert_eq!(anew, "server.serverproxy.replayed_request");
        assert_eq!(hostile.traces(), untouched);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_breaks_the_wire_format_is_refused() {
    let hostile = Hostile::new();
    let untouched = hostile.traces();
    let head = raw::encode(&hostile.letter().frames()[0]);
    let over = u32::try_from(FRAME_BYTES_MAX + 1).unwrap().to_be_bytes();
    let cases: [(&str, Vec<u8>); 5] = [
        ("a frame over the limit", over.to_vec()),
        ("a frame of 4 GiB", u32::MAX.to_be_bytes().to_vec()),
        ("a frame over the limit after a head", [head.as_slice(), &over].concat()),
        ("half a frame", head[..head.len() / 2].to_vec()),
        ("no frames at all", b"\0\0\0\x08GET / HTTP/1.1\r\n\r\n".to_vec()),
    ];
    for carrier in [Carrier::Quic, Carrier::H2] {
        for (what, bytes) in &cases {
            let answer =
                raw::ask(&hostile.own.identity, carrier, &hostile.provider.addresses[0], bytes).await;
            let Some(Kind::Fault(fault)) = raw::decode(&answer).kind else { panic!("{what} by {carrier}") };
            assert_eq!(fault.code, "server.serverproxy.invalid_message", "{what} by {carrier}");
            assert_eq!(hostile.traces(), untouched, "{what} by {carrier}");
        }
    }
    hostile.expect_answered(&hostile.tunnels(TransportMode::Auto), "after").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_peer_leaves_room_to_others() {
    let hostile = Hostile::against(|config| {
        config["provider"].as_table_mut().unwrap().insert("exchanges_max".to_owned(), 4.into());
    });
    let running = |number: u64| {
        let seen = || hostile.scene.demo.readiness("provider")["exchanges_running"] == number;
        hostile.scene.demo.wait_until("exchanges begin or end", seen).unwrap();
    };
    for mode in BOTH {
        let tunnels = hostile.tunnels(mode);
        let mut held = Vec::new();
        for _ in 0..2 {
            let mut stream = hostile.open(&tunnels).await;
            // Its body never comes.
            stream.send(hostile.letter().frames().remove(0)).await.unwrap();
            held.push(stream);
        }
        running(2);
        let third = hostile.send(&tunnels, hostile.letter().frames()).await;
        assert_eq!(third, "server.serverproxy.overloaded", "{mode:?}");
        let others = hostile.tunnels_of(&hostile.others, mode);
        let letter =
            hostile.letter().but(|letter| letter.head.auth_ocsp.clone_from(&hostile.others.identity.ocsp));
        let heard = hostile.send(&others, letter.frames()).await;
        assert_eq!(heard, "server.serverproxy.unknown_member", "another peer is heard, by {mode:?}");
        drop(held);
        running(0);
        hostile.expect_answered(&tunnels, "after").await;
    }
}

fn cases() -> Vec<Case> {
    [of_frames(), of_signatures(), of_ocsp_responses(), of_parties()].concat()
}

fn of_frames() -> Vec<Case> {
    const CODE: &str = "invalid_message";
    vec![
        ("nothing", |_| vec![], CODE),
        ("no head", |_| vec![chunk(b"x")], CODE),
        ("the body before the head", |h| h.letter().frames().into_iter().rev().collect(), CODE),
        ("two heads", |h| [h.letter().frames(), h.letter().frames()].concat(), CODE),
        (
            "a second head instead of the body",
            |h| vec![h.letter().frames()[0].clone(), h.letter().frames()[0].clone()],
            CODE,
        ),
        ("a fault instead of a head", |_| vec![fault("server.serverproxy.access_denied", "no")], CODE),
        (
            "a fault instead of the body",
            |h| vec![h.letter().frames()[0].clone(), fault("client.bad_request", "no")],
            CODE,
        ),
        ("a frame of no kind", |_| vec![Frame { kind: None }], CODE),
        ("an empty chunk", |h| vec![h.letter().frames()[0].clone(), chunk(b"")], CODE),
        ("another version", |h| h.letter().but(|l| l.head.protocol_version = 2).frames(), CODE),
        ("no version", |h| h.letter().but(|l| l.head.protocol_version = 0).frames(), CODE),
        ("no time", |h| h.letter().but(|l| l.head.deadline_ms = 0).frames(), CODE),
        (
            "another body",
            |h| h.letter().but(|l| l.body = Some(Bytes::from_static(b"Question"))).frames(),
            CODE,
        ),
        (
            "a shorter body",
            |h| h.letter().but(|l| l.body = Some(Bytes::from_static(b"quest"))).frames(),
            CODE,
        ),
        ("a longer body", |h| [h.letter().frames(), vec![chunk(b"more")]].concat(), CODE),
        ("no body where one is announced", |h| h.letter().but(|l| l.body = None).frames(), CODE),
        (
            "a body where none is announced",
            |h| [h.letter().without_body().frames(), vec![chunk(b"x")]].concat(),
            CODE,
        ),
        ("a length without a body", |h| h.letter().but(|l| l.head.has_body = false).frames(), CODE),
        ("a body over every limit", |h| h.letter().but(|l| l.head.body_length = u64::MAX).frames(), CODE),
        (
            "another digest",
            |h| h.letter().but(|l| l.head.body_sha512 = sha512(b"x").as_bytes().to_vec()).frames(),
            CODE,
        ),
        ("half a digest", |h| h.letter().but(|l| l.head.body_sha512.truncate(32)).frames(), CODE),
        ("no message", |h| h.letter().but(|l| l.head.message = Bytes::new()).frames(), CODE),
        (
            "a message that is none",
            |h| h.letter().but(|l| l.head.message = Bytes::from_static(b"\xff\r\n")).frames(),
            CODE,
        ),
        (
            "a message over the limit",
            |h| h.letter().but(|l| l.head.message = vec![b'a'; MESSAGE_BYTES_MAX + 1].into()).frames(),
            CODE,
        ),
        ("another request id outside", |h| h.letter().but(|l| l.head.request_id = id()).frames(), CODE),
        (
            "a request id that is no UUID",
            |h| h.signed(&h.request("/attachments", "1"), &h.own).frames(),
            CODE,
        ),
        (
            "a UUID in capitals",
            |h| h.signed(&h.request("/attachments", &id().to_uppercase()), &h.own).frames(),
            CODE,
        ),
        (
            "a header of the hop",
            |h| h.letter().altered("x-road-purpose:", "host:evil\r\nx-road-purpose:").frames(),
            CODE,
        ),
        ("a second client in disguise", |h| h.disguised("x_road_client:DEMO/GOV/2002/population\r\n"), CODE),
        ("a bare line feed", |h| h.letter().altered("x-road-id:", "x-road-id:a\nb").frames(), CODE),
        ("no signature", |h| h.letter().but(|l| l.head.signature = None).frames(), CODE),
        (
            "too many certificates",
            |h| h.letter().but(|l| l.material().items.extend(vec![Bytes::from_static(b"x"); 8])).frames(),
            CODE,
        ),
        (
            "a huge certificate",
            |h| {
                h.letter()
                    .but(|l| l.material().items.push(vec![0; MATERIAL_ITEM_BYTES_MAX + 1].into()))
                    .frames()
            },
            CODE,
        ),
    ]
}

fn of_signatures() -> Vec<Case> {
    const CODE: &str = "signature_verification";
    vec![
        ("another body with its digest", |h| h.letter().with_body(b"Question").frames(), CODE),
        ("no body", |h| h.letter().without_body().frames(), CODE),
        ("an empty body", |h| h.letter().with_body(b"").frames(), CODE),
        ("another path", |h| h.letter().altered("persons/attachments", "persons/query").frames(), CODE),
        ("another method", |h| h.letter().altered("POST", "PUT").frames(), CODE),
        ("another header", |h| h.letter().altered("x-road-id:DEMO", "x-road-id:DEMA").frames(), CODE),
        ("one more header", |h| h.letter().altered("x-road-id:", "x-extra:1\r\nx-road-id:").frames(), CODE),
        ("another value", |h| h.letter().but(|l| l.signature().value[7] ^= 1).frames(), CODE),
        ("a shorter value", |h| h.letter().but(|l| l.signature().value.truncate(63)).frames(), CODE),
        ("a value of zeros", |h| h.letter().but(|l| l.signature().value = vec![0; 64]).frames(), CODE),
        ("another method of signing", |h| h.letter().but(|l| l.signature().method = 3).frames(), CODE),
        ("no method of signing", |h| h.letter().but(|l| l.signature().method = 0).frames(), CODE),
        (
            "another signing time",
            |h| h.letter().but(|l| l.signature().signing_time_ms += 1000).frames(),
            CODE,
        ),
        ("signed an hour ago", |h| h.signed_at(clock::now().minus(HOUR)).frames(), CODE),
        ("signed in 1970", |h| h.letter().but(|l| l.signature().signing_time_ms = 0).frames(), CODE),
        (
            "signed tomorrow",
            |h| h.letter().but(|l| l.signature().signing_time_ms += 86_400_000).frames(),
            CODE,
        ),
        (
            "signed in the year 300,000,000",
            |h| h.letter().but(|l| l.signature().signing_time_ms = i64::MAX).frames(),
            CODE,
        ),
        ("signed by another member", |h| h.signed(&h.usual(), &h.others).frames(), CODE),
        ("signed with another member's key", |h| h.with_key(h.others.credential.key.clone()), CODE),
        ("signed with a key of nobody", |h| h.with_key(ephemeral(NewKeyKind::EcdsaP256).unwrap()), CODE),
        ("signed with the authentication certificate", Hostile::with_the_authentication_key, CODE),
        ("another certificate named", Hostile::naming_another_certificate, CODE),
        (
            "another certificate sent",
            |h| {
                h.letter()
                    .but(|l| l.material().items[0] = h.others.credential.certificate.der().to_vec().into())
                    .frames()
            },
            CODE,
        ),
        ("no certificate", |h| h.letter().but(|l| drop(l.material().items.remove(0))).frames(), CODE),
        ("a certificate that is none", Hostile::with_a_malformed_certificate, CODE),
        (
            "an issuer that did not come along",
            |h| h.letter().but(|l| l.signature().issuer_sha256.push(vec![7; 32])).frames(),
            CODE,
        ),
    ]
}

fn of_ocsp_responses() -> Vec<Case> {
    const SIGNING: &str = "signature_verification";
    const PEER: &str = "ssl_authentication_failed";
    vec![
        ("no OCSP response", |h| h.letter().but(|l| drop(l.material().items.remove(1))).frames(), SIGNING),
        ("a stale OCSP response", |h| h.with_ocsp(h.own_ocsp(Answer::Good, 3 * HOUR)), SIGNING),
        (
            "revoked",
            |h| h.with_ocsp(h.own_ocsp(Answer::Revoked(clock::now().minus(DAY)), Duration::ZERO)),
            SIGNING,
        ),
        ("unknown to the responder", |h| h.with_ocsp(h.own_ocsp(Answer::Unknown, Duration::ZERO)), SIGNING),
        ("an OCSP response by nobody", |h| h.with_ocsp(h.forged_ocsp()), SIGNING),
        ("an OCSP response for another", |h| h.with_ocsp(h.others.credential.ocsp.to_vec()), SIGNING),
        ("an OCSP response that is none", |h| h.with_ocsp(b"good".to_vec()), SIGNING),
        ("no OCSP response of the server", |h| h.letter().but(|l| l.head.auth_ocsp.clear()).frames(), PEER),
        (
            "another server's",
            |h| h.letter().but(|l| l.head.auth_ocsp.clone_from(&h.others.identity.ocsp)).frames(),
            PEER,
        ),
        (
            "the signing certificate's",
            |h| h.letter().but(|l| l.head.auth_ocsp = h.own.credential.ocsp.to_vec()).frames(),
            PEER,
        ),
        ("the server's is stale", |h| h.with_auth_ocsp(Answer::Good, 3 * HOUR), PEER),
        (
            "the server is revoked",
            |h| h.with_auth_ocsp(Answer::Revoked(clock::now().minus(DAY)), Duration::ZERO),
            PEER,
        ),
    ]
}

fn of_parties() -> Vec<Case> {
    vec![
        (
            "a client of another server",
            |h| h.as_client("DEMO/GOV/2002/population", &h.others),
            "unknown_member",
        ),
        ("an unknown subsystem", |h| h.as_client("DEMO/GOV/1001/nothing", &h.own), "unknown_member"),
        ("a member as client", |h| h.as_client("DEMO/GOV/1001", &h.own), "unknown_member"),
        (
            "a client of another member",
            |h| h.as_client("DEMO/GOV/2002/population", &h.own),
            "signature_verification",
        ),
        ("a service of another server", |h| h.at_service("DEMO/GOV/1001/portal/x"), "unknown_provider"),
        ("an unknown provider", |h| h.at_service("DEMO/GOV/9999/x/y"), "unknown_provider"),
        ("an unknown service", |h| h.at_service("DEMO/GOV/2002/population/nothing"), "unknown_service"),
        ("a method without a right", |h| h.by_method("PUT"), "access_denied"),
        ("no purpose", |h| h.for_purpose(None), "purpose_refused"),
        ("another purpose", |h| h.for_purpose(Some("curiosity")), "purpose_refused"),
        ("two purposes in one", |h| h.for_purpose(Some("curiosity, benefits")), "purpose_refused"),
    ]
}

/// The access right covers `/attachments/**`. All these aim at `/query`, or at what a register might take for it.
const PATHS_OUTSIDE: [&str; 22] = [
    "",
    "/",
    "/query",
    "/Attachments",
    "/attachmentsquery",
    "/attachments/../query",
    "/attachments/./../query",
    "/attachments/..;x/query",
    "/attachments/%2e%2e/query",
    "/attachments/.%2E/query",
    "/attachments/%2e%2e%3bx/query",
    "/attachments/..%2fquery",
    "/attachments%2f..%2fquery",
    "/attachments/..%5cquery",
    "/attachments//../query",
    "//query",
    "/attachments/%00/query",
    "/attachments/%c0%ae%c0%ae/query",
    "/attachments/%252e%252e/query",
    "/attachments/..%252fquery",
    "/attachments/%25252e%25252e/query",
    "/attachments/%zz/query",
];

impl Hostile {
    fn new() -> Self {
        Self::against(|_| {})
    }

    /// Against a provider whose configuration was changed.
    fn against(change: impl FnOnce(&mut toml::Table)) -> Self {
        let mut scene = Scene::start(&[]);
        scene.reconfigure("provider", |config| {
            change(config);
            let service = config["services"][0].as_table_mut().unwrap();
            service.insert("purposes".to_owned(), vec!["benefits"].into());
            service["access"][0]["path"] = "/attachments/**".into();
        });
        scene.stop("consumer");
        let (own, others) = (scene.keys("consumer"), scene.keys("provider"));
        Self { provider: scene.registered("provider"), scene, own, others }
    }

    fn tunnels(&self, mode: TransportMode) -> Tunnels {
        self.tunnels_of(&self.own, mode)
    }

    fn tunnels_of(&self, keys: &Keys, mode: TransportMode) -> Tunnels {
        let identity = Arc::new(Identity::new(keys.identity.clone()).unwrap());
        Tunnels::new(identity, self.scene.trust(), mode, TunnelLimits::default())
    }

    async fn open(&self, tunnels: &Tunnels) -> PeerStream {
        tunnels.open(&self.provider, Instant::now() + Duration::from_secs(30)).await.unwrap()
    }

    /// The code of the fault that comes back, or `answered`.
    async fn send(&self, tunnels: &Tunnels, frames: Vec<Frame>) -> String {
        let mut stream = self.open(tunnels).await;
        let mut sent = true;
        for frame in frames {
            // A provider that has refused already takes no more.
            sent = sent && stream.send(frame).await.is_ok();
        }
        sent = sent && stream.finish().await.is_ok();
        match stream.recv().await {
            Ok(Some(Frame { kind: Some(Kind::Fault(fault)) })) => fault.code,
            Ok(Some(Frame { kind: Some(Kind::Head(_)) })) => "answered".to_owned(),
            other => format!("{other:?}, sent: {sent}"),
        }
    }

    async fn expect_answered(&self, tunnels: &Tunnels, when: &str) {
        let (calls, (requests, responses)) = self.traces();
        assert_eq!(self.send(tunnels, self.letter().frames()).await, "answered", "{when}");
        assert_eq!(self.traces(), (calls + 1, (requests + 1, responses + 1)), "{when}");
    }

    /// How often the register was called, and what is in the provider's log.
    fn traces(&self) -> (usize, (usize, usize)) {
        (self.scene.calls(), self.scene.records("provider"))
    }

    /// An honest request.
    fn letter(&self) -> Letter {
        self.signed(&self.usual(), &self.own)
    }

    fn to(&self, path: &str) -> Letter {
        self.signed(&self.request(path, &id()), &self.own)
    }

    /// With one more line in the message, duly signed.
    fn disguised(&self, line: &str) -> Vec<Frame> {
        let (usual, body) = (self.usual(), Some(Bytes::from_static(b"question")));
        let message = Bytes::from([usual.bytes(), line.as_bytes()].concat());
        let (credential, auth_ocsp) = (&self.own.credential, &self.own.identity.ocsp);
        Letter::new(&message, usual.request_id(), body, credential, auth_ocsp, clock::now()).frames()
    }

    fn signed(&self, request: &RestRequest, keys: &Keys) -> Letter {
        self.letter_of(request, keys, clock::now())
    }

    fn signed_at(&self, at: UnixMillis) -> Letter {
        self.letter_of(&self.usual(), &self.own, at)
    }

    fn letter_of(&self, request: &RestRequest, keys: &Keys, at: UnixMillis) -> Letter {
        let body = Some(Bytes::from_static(b"question"));
        let auth_ocsp = &self.own.identity.ocsp;
        Letter::new(request.bytes(), request.request_id(), body, &keys.credential, auth_ocsp, at)
    }

    fn usual(&self) -> RestRequest {
        self.request("/attachments", &id())
    }

    fn request(&self, path: &str, request_id: &str) -> RestRequest {
        let endpoints = &self.scene.demo.endpoints;
        let target = format!("/r1/{}{path}", endpoints.service);
        build("POST", &target, &endpoints.client, Some("benefits"), request_id)
    }

    fn as_client(&self, client: &str, keys: &Keys) -> Vec<Frame> {
        let target = format!("/r1/{}/attachments", self.scene.demo.endpoints.service);
        self.signed(&build("POST", &target, client, Some("benefits"), &id()), keys).frames()
    }

    fn at_service(&self, service: &str) -> Vec<Frame> {
        let client = &self.scene.demo.endpoints.client;
        self.signed(&build("POST", &format!("/r1/{service}"), client, Some("benefits"), &id()), &self.own)
            .frames()
    }

    fn by_method(&self, method: &str) -> Vec<Frame> {
        let usual = self.usual();
        let client = &self.scene.demo.endpoints.client;
        self.signed(&build(method, usual.target(), client, Some("benefits"), &id()), &self.own).frames()
    }

    fn for_purpose(&self, purpose: Option<&str>) -> Vec<Frame> {
        let usual = self.usual();
        let client = &self.scene.demo.endpoints.client;
        self.signed(&build("POST", usual.target(), client, purpose, &id()), &self.own).frames()
    }

    /// Signed with `key` as if it were the own one.
    fn with_key(&self, key: Arc<dyn SigningKey>) -> Vec<Frame> {
        let own = &self.own.credential;
        let key = Arc::new(Impostor { public_key: own.certificate.public_key().clone(), key });
        let credential = Credential { key, ..own.clone() };
        self.signed_by(&credential)
    }

    fn with_the_authentication_key(&self) -> Vec<Frame> {
        self.signed_by(&self.scene.credential(&self.scene.owner("consumer", KeyUse::Authentication)))
    }

    fn signed_by(&self, credential: &Credential) -> Vec<Frame> {
        let (usual, body) = (self.usual(), Some(Bytes::from_static(b"question")));
        let auth_ocsp = &self.own.identity.ocsp;
        Letter::new(usual.bytes(), usual.request_id(), body, credential, auth_ocsp, clock::now()).frames()
    }

    /// The other member's certificate stands where the own one was signed.
    fn naming_another_certificate(&self) -> Vec<Frame> {
        let theirs = self.others.credential.certificate.der().to_vec();
        let edit = |letter: &mut Letter| {
            letter.signature().certificate_sha256 = sha256(&theirs).as_bytes().to_vec();
            letter.material().items[0] = theirs.into();
        };
        self.letter().but(edit).frames()
    }

    fn with_a_malformed_certificate(&self) -> Vec<Frame> {
        let edit = |letter: &mut Letter| {
            letter.signature().certificate_sha256 = sha256(b"certificate").as_bytes().to_vec();
            letter.material().items[0] = Bytes::from_static(b"certificate");
        };
        self.letter().but(edit).frames()
    }

    /// Signed with this OCSP response for the signing certificate.
    fn with_ocsp(&self, ocsp: Vec<u8>) -> Vec<Frame> {
        self.signed_by(&Credential { ocsp: ocsp.into(), ..self.own.credential.clone() })
    }

    fn own_ocsp(&self, answer: Answer, ago: Duration) -> Vec<u8> {
        self.scene.ocsp(&self.own.credential.certificate, answer, clock::now().minus(ago))
    }

    fn forged_ocsp(&self) -> Vec<u8> {
        let key = ephemeral(NewKeyKind::EcdsaP256).unwrap();
        self.scene.ocsp_by(&*key, &self.own.credential.certificate, Answer::Good, clock::now())
    }

    fn with_auth_ocsp(&self, answer: Answer, ago: Duration) -> Vec<Frame> {
        let ocsp = self.scene.ocsp(&self.own.identity.certificate, answer, clock::now().minus(ago));
        self.letter().but(|letter| letter.head.auth_ocsp = ocsp).frames()
    }
}

/// A key that passes itself off as another.
struct Impostor {
    public_key: PublicKey,
    key: Arc<dyn SigningKey>,
}

impl SigningKey for Impostor {
    fn public_key(&self) -> &PublicKey {
        &self.public_key
    }

    fn sign(&self, scheme: SignatureScheme, message: &[u8]) -> Result<Vec<u8>, SignError> {
        self.key.sign(scheme, message)
    }
}

fn build(method: &str, target: &str, client: &str, purpose: Option<&str>, request_id: &str) -> RestRequest {
    let mut headers = vec![("x-road-client".into(), client.into())];
    headers.extend(purpose.map(|purpose| ("x-road-purpose".into(), purpose.into())));
    let fallback_message_id = &format!("DEMO-{request_id}");
    RestRequest::build(RequestParts { method, target, headers, request_id, fallback_message_id }).unwrap()
}

fn id() -> String {
    Uuid::new_v4().to_string()
}

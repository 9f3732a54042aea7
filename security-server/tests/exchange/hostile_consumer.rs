//! A registered peer that sends what it must not: refused for the right reason, before the register is called.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use kogge_certs::snapshot::SecurityServer;
use kogge_evidence::signature::Credential;
use kogge_proto::message::RestRequest;
use kogge_security_server::clock;
use kogge_transport::{Frame, Identity, LocalIdentity, TransportMode, TunnelLimits, Tunnels, frame::Kind};
use tokio::time::Instant;
use uuid::Uuid;

use crate::instance::{Agency, Instance, PERSONS, PORTAL};
use crate::peer::{FixedTrust, Letter, answer_to, request, usual_request};

struct Hostile {
    tunnels: Tunnels,
    provider: SecurityServer,
    identity: LocalIdentity,
    own: Credential,
    others: Credential,
}

impl Hostile {
    fn new(instance: &Instance) -> Self {
        let (identity, own) = instance.keys(&Agency::consumer());
        let (_, others) = instance.keys(&Agency::provider());
        let trust = FixedTrust::shared(instance);
        let provider = trust.snapshot().unwrap().security_server(&Agency::provider().server).unwrap().clone();
        let shared = Arc::new(Identity::new(identity.clone()).unwrap());
        let tunnels = Tunnels::new(shared, trust, TransportMode::H2, TunnelLimits::default());
        Self { tunnels, provider, identity, own, others }
    }

    fn letter(&self, message: &RestRequest) -> Letter {
        self.signed(message, &self.own, Duration::ZERO)
    }

    fn usual(&self) -> Letter {
        self.letter(&usual_request(&id()))
    }

    fn signed(&self, message: &RestRequest, credential: &Credential, ago: Duration) -> Letter {
        let body = Some(Bytes::from_static(b"question"));
        let (bytes, request_id) = (message.bytes(), message.request_id());
        Letter::new(bytes, request_id, body, credential, self.identity.ocsp.clone(), clock::now().minus(ago))
    }

    /// The code of the fault that comes back, or `answered`.
    async fn send(&self, frames: Vec<Frame>) -> String {
        let deadline = Instant::now() + Duration::from_secs(30);
        let mut stream = self.tunnels.open(&self.provider, deadline).await.unwrap();
        // Whoever is refused early may not get rid of the rest; the fault is there all the same.
        for frame in frames {
            if stream.send(frame).await.is_err() {
                break;
            }
        }
        drop(stream.finish().await);
        match stream.recv().await.unwrap().unwrap().kind.unwrap() {
            Kind::Fault(fault) => fault.code,
            Kind::Head(_) => "answered".to_owned(),
            Kind::BodyChunk(_) => "chunk".to_owned(),
        }
    }
}

fn id() -> String {
    Uuid::new_v4().to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn only_an_honest_request_reaches_the_register() {
    let (instance, _consumer, provider) = Instance::with_two_servers("auto").await;
    let hostile = Hostile::new(&instance);
    let honest = hostile.usual();
    assert_eq!(hostile.send(honest.clone().frames()).await, "answered");
    assert_eq!(instance.register.calls(), 1);

    let [invalid, signature, unknown, refused] =
        ["invalid_message", "signature_verification", "unknown_member", "ssl_authentication_failed"];
    let with_head = |edit: fn(&mut Letter)| {
        let mut letter = hostile.usual();
        edit(&mut letter);
        letter.frames()
    };
    let renamed = hostile.usual().alter("population/persons/1", "population/persons/2");
    let other_purpose = hostile.usual().alter("x-road-id:message-1", "x-road-id:message-2");
    let as_another = request("DEMO/GOV/2002/population", PERSONS, &id());
    let elsewhere = request(PORTAL, "DEMO/GOV/1001/portal/x", &id());
    let member = request("DEMO/GOV/1001", PERSONS, &id());
    let no_uuid = usual_request("1");
    let answer = Letter { head: honest.head.clone(), body: honest.body.clone() };
    let answer = answer_to(&answer);
    let answer = Letter::new(answer.bytes(), answer.request_id(), None, &hostile.own, vec![], clock::now());
    let cases: Vec<(&str, Vec<Frame>, &str)> = vec![
        ("the same again", honest.clone().frames(), "replayed_request"),
        ("another body", with_head(|letter| letter.body = Some(Bytes::from_static(b"Question"))), invalid),
        (
            "another body with its digest",
            with_head(|letter| {
                letter.body = Some(Bytes::from_static(b"Question"));
                letter.head.body_sha512 = kogge_proto::digest::sha512(b"Question").as_bytes().to_vec();
            }),
            signature,
        ),
        (
            "the body left out",
            with_head(|letter| {
                letter.body = None;
                letter.head.has_body = false;
                letter.head.body_length = 0;
                letter.head.body_sha512 = vec![];
            }),
            signature,
        ),
        ("another path", renamed.frames(), signature),
        ("another header", other_purpose.frames(), signature),
        ("no signature", with_head(|letter| letter.head.signature = None), invalid),
        ("no certificate", with_head(|letter| letter.head.material = None), signature),
        (
            "signed by another member",
            hostile.signed(&usual_request(&id()), &hostile.others, Duration::ZERO).frames(),
            signature,
        ),
        (
            "signed an hour ago",
            hostile.signed(&usual_request(&id()), &hostile.own, Duration::from_secs(3600)).frames(),
            signature,
        ),
        (
            "a client of another server",
            hostile.signed(&as_another, &hostile.others, Duration::ZERO).frames(),
            unknown,
        ),
        ("a member as client", hostile.letter(&member).frames(), unknown),
        ("a service of another server", hostile.letter(&elsewhere).frames(), "unknown_provider"),
        ("another request id outside", with_head(|letter| letter.head.request_id = id()), invalid),
        ("a request id that is no UUID", hostile.letter(&no_uuid).frames(), invalid),
        ("no time", with_head(|letter| letter.head.deadline_ms = 0), invalid),
        ("another version", with_head(|letter| letter.head.protocol_version = 2), invalid),
        ("no OCSP response", with_head(|letter| letter.head.auth_ocsp = vec![]), refused),
        (
            "the signing certificate's OCSP response",
            with_head(|letter| {
                letter.head.auth_ocsp = letter.head.material.clone().unwrap().items[1].to_vec();
            }),
            refused,
        ),
        ("a response", answer.frames(), invalid),
        ("no head", vec![Frame { kind: Some(Kind::BodyChunk(Bytes::from_static(b"x"))) }], invalid),
        ("nothing", vec![], invalid),
        ("half a body", with_head(|letter| letter.body = Some(Bytes::from_static(b"ques"))), invalid),
        ("a body over the limit", with_head(|letter| letter.head.body_length = 1 << 40), invalid),
    ];
    for (name, frames, code) in cases {
        assert_eq!(hostile.send(frames).await, format!("server.serverproxy.{code}"), "{name}");
    }
    assert_eq!(instance.register.calls(), 1);
    assert_eq!(provider.records().len(), 2, "nothing of that is in the log");
    assert_eq!(hostile.send(hostile.usual().frames()).await, "answered");
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_equal_requests_at_once_one_is_answered() {
    let (instance, _consumer, provider) = Instance::with_two_servers("auto").await;
    let hostile = Hostile::new(&instance);
    let frames = hostile.usual().frames();
    let sent = tokio::join!(
        hostile.send(frames.clone()),
        hostile.send(frames.clone()),
        hostile.send(frames.clone()),
        hostile.send(frames)
    );
    let mut codes = [sent.0, sent.1, sent.2, sent.3];
    codes.sort();
    let replayed = "server.serverproxy.replayed_request";
    assert_eq!(codes, ["answered", replayed, replayed, replayed]);
    assert_eq!(instance.register.calls(), 1);
    assert_eq!(provider.records().len(), 2);
}

//! A registered provider's server that answers what it must not: nothing of it reaches the information system.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use kogge_evidence::signature::Credential;
use kogge_proto::digest::sha512;
use kogge_proto::message::RestResponse;
use kogge_security_server::clock;
use kogge_transport::{
    Fault, Frame, Identity, Listener, ListenerLimits, LocalIdentity, PeerStream, frame::Kind,
};

use crate::call;
use crate::instance::{Agency, Instance, Running};
use crate::peer::{FixedTrust, Letter, answer_to};

/// What the hostile server knows when it answers.
struct Hand {
    asked: Letter,
    identity: LocalIdentity,
    own: Credential,
    others: Credential,
}

impl Hand {
    fn honest(&self) -> Letter {
        self.signed(&answer_to(&self.asked), &self.own)
    }

    fn signed(&self, answer: &RestResponse, credential: &Credential) -> Letter {
        let body = Some(Bytes::from_static(b"the answer"));
        let (bytes, id) = (answer.bytes(), answer.request_id());
        Letter::new(bytes, id, body, credential, self.identity.ocsp.clone(), clock::now())
    }

    /// The answer to the question after it was changed.
    fn to_another(&self, from: &str, to: &str) -> Letter {
        let asked = self.asked.clone().alter(from, to);
        self.signed(&answer_to(&asked), &self.own)
    }
}

type Answer = fn(&Hand) -> Vec<Frame>;

/// A consumer's server, and in place of the provider's one that answers as it is told.
struct Scene {
    instance: Instance,
    consumer: Running,
    answer: Arc<Mutex<Answer>>,
}

impl Scene {
    async fn new() -> Self {
        let instance = Instance::new("h2").await;
        for agency in [Agency::consumer(), Agency::provider()] {
            instance.prepare(&agency);
        }
        let consumer = instance.start(&Agency::consumer()).await;
        let (identity, own) = instance.keys(&Agency::provider());
        let (_, others) = instance.keys(&Agency::consumer());
        instance.registry.publish(|_| {});
        let shared = Arc::new(Identity::new(identity.clone()).unwrap());
        let any: SocketAddr = "127.0.0.1:0".parse().unwrap();
        let listener =
            Listener::bind(any, shared, FixedTrust::shared(&instance), ListenerLimits::default()).unwrap();
        let address = listener.local_addr().to_string();
        instance.registry.publish(|draft| {
            let server =
                draft.security_servers.iter_mut().find(|server| server.id == Agency::provider().server);
            server.unwrap().addresses = vec![address];
        });
        consumer.status_is("at version 2", |status| status["snapshot_version"] == 2).await;
        consumer.ready().await;
        let answer: Arc<Mutex<Answer>> = Arc::new(Mutex::new(|hand| hand.honest().frames()));
        let told = Arc::clone(&answer);
        tokio::spawn(async move {
            while let Some(mut stream) = listener.accept().await {
                let asked = read(&mut stream).await;
                let hand =
                    Hand { asked, identity: identity.clone(), own: own.clone(), others: others.clone() };
                let frames = told.lock().unwrap()(&hand);
                let broken = frames.is_empty();
                // A consumer that has seen enough does not take the rest.
                for frame in frames {
                    if stream.send(frame).await.is_err() {
                        break;
                    }
                }
                if broken {
                    stream.reset();
                } else {
                    drop(stream.finish().await);
                }
            }
        });
        Self { instance, consumer, answer }
    }

    /// Status and fault code of the consumer's answer; the code is empty if it is an answer.
    async fn ask(&self, answer: Answer) -> (u16, String) {
        *self.answer.lock().unwrap() = answer;
        let answer = call(&self.consumer, "POST", "/1", "question").await;
        (answer.status.as_u16(), answer.header("x-road-error").unwrap_or_default().to_owned())
    }
}

async fn read(stream: &mut PeerStream) -> Letter {
    let Some(Kind::Head(head)) = stream.recv().await.unwrap().unwrap().kind else { panic!("no head") };
    let mut body = Vec::new();
    while let Some(frame) = stream.recv().await.unwrap() {
        let Some(Kind::BodyChunk(chunk)) = frame.kind else { panic!("no chunk") };
        body.extend_from_slice(&chunk);
    }
    let body = head.has_body.then(|| Bytes::from(body));
    Letter { head, body }
}

fn edited(hand: &Hand, edit: impl FnOnce(&mut Letter)) -> Vec<Frame> {
    let mut letter = hand.honest();
    edit(&mut letter);
    letter.frames()
}

fn fault(code: &str) -> Vec<Frame> {
    let fault = Fault { code: code.to_owned(), message: "no".to_owned(), detail: "my-own-id".to_owned() };
    vec![Frame { kind: Some(Kind::Fault(fault)) }]
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_honest_answer_is_handed_over() {
    let scene = Scene::new().await;
    assert_eq!(scene.ask(|hand| hand.honest().frames()).await, (200, String::new()));
    let [invalid, signature, inconsistent, refused] =
        ["invalid_message", "signature_verification", "inconsistent_response", "ssl_authentication_failed"];
    let cases: [(&str, &str, Answer); 20] = [
        ("another body", invalid, |hand| {
            edited(hand, |letter| letter.body = Some(Bytes::from_static(b"The answer")))
        }),
        ("another body with its digest", signature, |hand| {
            edited(hand, |letter| {
                letter.body = Some(Bytes::from_static(b"The answer"));
                letter.head.body_sha512 = sha512(b"The answer").as_bytes().to_vec();
            })
        }),
        ("no body", signature, |hand| {
            edited(hand, |letter| {
                letter.body = None;
                letter.head.has_body = false;
                letter.head.body_length = 0;
                letter.head.body_sha512 = vec![];
            })
        }),
        ("half a body", invalid, |hand| {
            edited(hand, |letter| letter.body = Some(Bytes::from_static(b"the")))
        }),
        ("a body over the limit", invalid, |hand| edited(hand, |letter| letter.head.body_length = 1 << 40)),
        ("more than the body", invalid, |hand| {
            let mut frames = hand.honest().frames();
            frames.push(Frame { kind: Some(Kind::BodyChunk(Bytes::from_static(b"more"))) });
            frames
        }),
        ("another status", signature, |hand| hand.honest().alter("200\r\nOK", "404\r\nOK").frames()),
        ("another header", signature, |hand| hand.honest().alter("text/plain", "text/plais").frames()),
        ("signed by another member", signature, |hand| {
            hand.signed(&answer_to(&hand.asked), &hand.others).frames()
        }),
        ("no signature", invalid, |hand| edited(hand, |letter| letter.head.signature = None)),
        ("no certificate", signature, |hand| edited(hand, |letter| letter.head.material = None)),
        ("to another message", inconsistent, |hand| {
            hand.to_another("x-road-id:DEMO", "x-road-id:DEMA").frames()
        }),
        ("to another path", inconsistent, |hand| hand.to_another("persons/1", "persons/2").frames()),
        ("to another service", inconsistent, |hand| {
            hand.to_another("population/persons", "population/person").frames()
        }),
        ("to another client", inconsistent, |hand| hand.to_another("1001/portal", "1001/porta").frames()),
        ("another request id outside", inconsistent, |hand| {
            edited(hand, |letter| letter.head.request_id = "x".to_owned())
        }),
        ("a request", invalid, |hand| hand.asked.clone().frames()),
        ("no OCSP response", refused, |hand| edited(hand, |letter| letter.head.auth_ocsp = vec![])),
        ("nothing", "io_error", |_| vec![]),
        ("a fault of the consumer", invalid, |_| fault("client.bad_request")),
    ];
    let records = scene.consumer.records().len();
    let number = cases.len();
    for (name, code, answer) in cases {
        let (status, fault) = scene.ask(answer).await;
        assert_eq!(fault, format!("server.clientproxy.{code}"), "{name}");
        assert_eq!(status, 502, "{name}");
    }
    assert_eq!(
        scene.consumer.records().len(),
        records + number,
        "the requests are in the log, the answers are not"
    );
    let refused = scene.ask(|_| fault("server.serverproxy.access_denied")).await;
    assert_eq!(refused, (403, "server.serverproxy.access_denied".to_owned()));
    assert_eq!(scene.instance.register.calls(), 0);
    assert_eq!(scene.ask(|hand| hand.honest().frames()).await, (200, String::new()));
}

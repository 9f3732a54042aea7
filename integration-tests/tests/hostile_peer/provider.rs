//! A hostile provider's security server: it has all keys of a real one, and answers what no honest one does. Each time the information
//! system learns why there is no answer, nothing of what came reaches it, and the consumer's log has no response.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use kogge_proto::digest::sha512;
use kogge_proto::message::{ResponseParts, RestRequest, RestResponse, request_hash};
use kogge_proto::time::UnixMillis;
use kogge_security_server::clock;
use kogge_transport::{Carrier, Frame, Identity, Listener, ListenerLimits, PeerStream, frame::Kind};

use crate::letter::{Letter, chunk, fault, frame};
use crate::raw;
use crate::scene::{HOUR, Keys, Scene};

/// Stands in every answer, and must never reach the information system.
const SECRET: &str = "known to the register alone";

/// What the hostile server holds when it answers.
struct Hand {
    asked: Letter,
    own: Arc<Keys>,
    others: Arc<Keys>,
}

/// What is sent, and how it ends.
struct Answer {
    frames: Vec<Frame>,
    end: End,
}

enum End {
    Clean,
    BrokenOff,
    /// The last frame again and again, as long as the consumer takes it.
    Never,
}

type Make = fn(&Hand) -> Answer;

/// What is wrong, how it is made, and the code of the fault that the information system gets.
type Case = (&'static str, Make, &'static str);

#[tokio::test(flavor = "multi_thread")]
async fn only_an_honest_answer_is_handed_over_by_quic() {
    judge(Carrier::Quic).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn only_an_honest_answer_is_handed_over_by_http2() {
    judge(Carrier::H2).await;
}

async fn judge(carrier: Carrier) {
    let scene = Scene::start(&["--transport", &carrier.to_string()]);
    let (own, others) = (Arc::new(scene.keys("provider")), Arc::new(scene.keys("consumer")));
    let address = scene.registered("provider").addresses[0].clone();
    scene.stop("provider");
    let told: Arc<Mutex<Make>> = Arc::new(Mutex::new(honest));
    let identity = Arc::new(Identity::new(own.identity.clone()).unwrap());
    let listener =
        Listener::bind(address.parse().unwrap(), identity, scene.trust(), ListenerLimits::default()).unwrap();
    let listener = Arc::new(listener);
    tokio::spawn(serve(Arc::clone(&listener), Arc::clone(&told), own.clone(), others));

    expect_handed_over(&scene, &told, "before");
    for (what, make, code) in cases() {
        *told.lock().unwrap() = make;
        expect_nothing(&scene, &format!("{what} by {carrier}"), code);
    }
    *told.lock().unwrap() = |_| fault("server.serverproxy.access_denied", "no\r\nx-evil: yes").into();
    let refused = scene.demo.call("POST", "/attachments", b"question").unwrap();
    assert_eq!((refused.status, refused.fault().as_str()), (403, "server.serverproxy.access_denied"));
    assert_eq!(refused.json()["message"], "no  x-evil: yes", "a fault passes through, as one line");
    expect_handed_over(&scene, &told, "after");

    listener.shutdown(Duration::from_secs(5)).await;
    drop(listener);
    let told = Arc::new(Mutex::new(Vec::new()));
    let server = tokio::spawn({
        let told = Arc::clone(&told);
        async move { raw::answer(&own.identity, carrier, &address, told).await }
    });
    for (what, bytes) in broken_answers() {
        *told.lock().unwrap() = bytes;
        expect_nothing(&scene, &format!("{what} by {carrier}"), "server.clientproxy.invalid_message");
    }
    server.abort();
}

fn expect_handed_over(scene: &Scene, told: &Mutex<Make>, when: &str) {
    *told.lock().unwrap() = honest;
    let (requests, responses) = scene.records("consumer");
    let answer = scene.demo.call("POST", "/attachments", b"question").unwrap();
    assert_eq!((answer.status, answer.body.as_slice()), (200, SECRET.as_bytes()), "{when}");
    assert_eq!(scene.records("consumer"), (requests + 1, responses + 1), "{when}");
}

fn expect_nothing(scene: &Scene, what: &str, code: &str) {
    let (requests, responses) = scene.records("consumer");
    let answer = scene.demo.call("POST", "/attachments", b"question").unwrap();
    let said = format!("{} {:?} {}", answer.status, answer.headers, String::from_utf8_lossy(&answer.body));
    assert_eq!(answer.fault(), code, "{what}: {said}");
    assert_eq!(answer.header("x-road-error"), Some(code), "{what}: {said}");
    assert!(!said.contains("register alone"), "{what} reached the information system: {said}");
    assert!(answer.body.len() < 1000, "{what}: {said}");
    assert_eq!(scene.records("consumer"), (requests + 1, responses), "{what}");
}

fn cases() -> Vec<Case> {
    const INVALID: &str = "server.clientproxy.invalid_message";
    const SIGNATURE: &str = "server.clientproxy.signature_verification";
    const INCONSISTENT: &str = "server.clientproxy.inconsistent_response";
    const PEER: &str = "server.clientproxy.ssl_authentication_failed";
    const BROKEN: &str = "server.clientproxy.io_error";
    vec![
        (
            "another body",
            |h| h.letter().but(|l| l.body = Some(Bytes::from_static(b"Known to the register alone"))).into(),
            INVALID,
        ),
        ("another body with its digest", |h| h.letter().with_body(b"forged").into(), SIGNATURE),
        ("no body", |h| h.letter().without_body().into(), SIGNATURE),
        (
            "half a body",
            |h| h.letter().but(|l| l.body = Some(Bytes::from_static(b"known to the"))).into(),
            INVALID,
        ),
        ("more than the body", |h| [h.letter().frames(), vec![chunk(b"more")]].concat().into(), INVALID),
        ("a body over every limit", |h| h.letter().but(|l| l.head.body_length = u64::MAX).into(), INVALID),
        ("a body without end", |h| Answer { end: End::Never, ..h.letter().into() }, INVALID),
        ("a body without end of the largest length", Hand::without_end, INVALID),
        ("a body cut off in the middle", Hand::cut_off, BROKEN),
        (
            "a head, then nothing",
            |h| Answer { frames: vec![h.letter().frames()[0].clone()], end: End::BrokenOff },
            BROKEN,
        ),
        ("nothing", |_| Answer { frames: vec![], end: End::BrokenOff }, BROKEN),
        ("a clean end without an answer", |_| vec![].into(), INVALID),
        ("a body without a head", |_| chunk(b"known to the register alone").into(), INVALID),
        ("two heads", |h| [h.letter().frames(), h.letter().frames()].concat().into(), INVALID),
        (
            "a fault after the head",
            |h| vec![h.letter().frames()[0].clone(), fault("server.serverproxy.timeout", SECRET)].into(),
            INVALID,
        ),
        ("a frame of no kind", |_| Frame { kind: None }.into(), INVALID),
        ("another version", |h| h.letter().but(|l| l.head.protocol_version = 2).into(), INVALID),
        ("the request itself", |h| h.asked.clone().into(), INVALID),
        ("another status", |h| h.letter().altered("200\r\nOK", "404\r\nOK").into(), SIGNATURE),
        (
            "one more header",
            |h| h.letter().altered("content-type", "set-cookie:a=b\r\ncontent-type").into(),
            SIGNATURE,
        ),
        (
            "a header of the hop",
            |h| h.letter().altered("content-type", "transfer-encoding:chunked\r\ncontent-type").into(),
            INVALID,
        ),
        (
            "another value of the signature",
            |h| h.letter().but(|l| l.signature().value[3] ^= 1).into(),
            SIGNATURE,
        ),
        ("an interim status", |h| h.reworded("200\r\nOK", "101\r\nSwitching").into(), INVALID),
        ("a security server's error", |h| h.reworded("content-type", "X-Road-Error:x\r\nx").into(), INVALID),
        ("a second id in disguise", |h| h.reworded("content-type", "x_road_id:x\r\nx").into(), INVALID),
        ("two message ids", |h| h.reworded("content-type", "x-road-id:x\r\nx").into(), INVALID),
        ("unsigned", |h| h.letter().but(|l| l.head.signature = None).into(), INVALID),
        ("signed by another member", |h| h.signed(&h.answer(&h.asked), &h.others).into(), SIGNATURE),
        ("signed an hour ago", |h| h.signed_at(clock::now().minus(HOUR)).into(), SIGNATURE),
        ("without the certificate", |h| h.letter().but(|l| l.head.material = None).into(), SIGNATURE),
        (
            "without the OCSP response",
            |h| h.letter().but(|l| drop(l.material().items.remove(1))).into(),
            SIGNATURE,
        ),
        ("without the server's OCSP response", |h| h.letter().but(|l| l.head.auth_ocsp.clear()).into(), PEER),
        (
            "with another server's",
            |h| h.letter().but(|l| l.head.auth_ocsp.clone_from(&h.others.identity.ocsp)).into(),
            PEER,
        ),
        ("to another request", |h| h.to_another("attachments", "attachmentz").into(), INCONSISTENT),
        ("to another message id", |h| h.to_another("x-road-id:DEMO", "x-road-id:DEMA").into(), INCONSISTENT),
        (
            "to another service",
            |h| h.to_another("population/persons", "population/person").into(),
            INCONSISTENT,
        ),
        ("to another client", |h| h.to_another("1001/portal", "1001/porta").into(), INCONSISTENT),
        ("to another body", |h| h.to_another_body().into(), INCONSISTENT),
        (
            "another request id outside",
            |h| h.letter().but(|l| l.head.request_id = "x".to_owned()).into(),
            INCONSISTENT,
        ),
        ("a fault of the client", |_| fault("client.bad_request", SECRET).into(), INVALID),
        ("a fault of the consumer's server", |_| fault("server.clientproxy.timeout", SECRET).into(), INVALID),
        ("a fault that nobody knows", |_| fault("server.serverproxy.nonsense", SECRET).into(), INVALID),
    ]
}

/// Bytes that are no frames; the fault in one of them would be a good one but for its length.
fn broken_answers() -> Vec<(&'static str, Vec<u8>)> {
    let huge = fault("server.serverproxy.access_denied", &SECRET.repeat((2 << 20) / SECRET.len()));
    vec![
        ("a fault of 2 MiB", raw::encode(&huge)),
        ("a frame of 4 GiB", [&u32::MAX.to_be_bytes(), SECRET.as_bytes()].concat()),
        ("garbage", format!("\0\0\0\x1b{SECRET}").into_bytes()),
        ("half a frame", raw::encode(&fault("server.serverproxy.access_denied", SECRET))[..40].to_vec()),
    ]
}

async fn serve(listener: Arc<Listener>, told: Arc<Mutex<Make>>, own: Arc<Keys>, others: Arc<Keys>) {
    while let Some(mut stream) = listener.accept().await {
        let asked = read(&mut stream).await;
        let hand = Hand { asked, own: Arc::clone(&own), others: Arc::clone(&others) };
        let answer = told.lock().unwrap()(&hand);
        tokio::spawn(send(stream, answer));
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

/// The consumer may refuse before it has everything.
async fn send(mut stream: PeerStream, answer: Answer) {
    let last = answer.frames.last().cloned();
    for frame in answer.frames {
        if stream.send(frame).await.is_err() {
            return;
        }
    }
    match answer.end {
        End::Clean => drop(stream.finish().await),
        End::BrokenOff => stream.reset(),
        End::Never => {
            let last = last.unwrap();
            while stream.send(last.clone()).await.is_ok() {}
        }
    }
}

fn honest(hand: &Hand) -> Answer {
    hand.letter().into()
}

impl Hand {
    fn letter(&self) -> Letter {
        self.signed(&self.answer(&self.asked), &self.own)
    }

    fn signed(&self, answer: &RestResponse, keys: &Keys) -> Letter {
        self.letter_of(answer, keys, clock::now())
    }

    fn signed_at(&self, at: UnixMillis) -> Letter {
        self.letter_of(&self.answer(&self.asked), &self.own, at)
    }

    fn letter_of(&self, answer: &RestResponse, keys: &Keys, at: UnixMillis) -> Letter {
        let body = Some(Bytes::from_static(SECRET.as_bytes()));
        let auth_ocsp = &self.own.identity.ocsp;
        Letter::new(answer.bytes(), answer.request_id(), body, &keys.credential, auth_ocsp, at)
    }

    /// Duly signed after a text was replaced in the message.
    fn reworded(&self, from: &str, to: &str) -> Letter {
        let Letter { head, body } = self.letter().altered(from, to);
        let (credential, auth_ocsp) = (&self.own.credential, &self.own.identity.ocsp);
        Letter::new(&head.message, &head.request_id, body, credential, auth_ocsp, clock::now())
    }

    fn answer(&self, asked: &Letter) -> RestResponse {
        let request = RestRequest::parse(&asked.head.message).unwrap();
        let body = asked.body.as_ref().map(|body| sha512(body));
        let parts = ResponseParts {
            status: 200,
            reason: "OK",
            headers: vec![("content-type".into(), "text/plain".into())],
            request_hash: &request_hash(&sha512(&asked.head.message), body.as_ref()),
        };
        RestResponse::build(&request, parts).unwrap()
    }

    /// A good answer to the question after it was changed.
    fn to_another(&self, from: &str, to: &str) -> Letter {
        self.signed(&self.answer(&self.asked.clone().altered(from, to)), &self.own)
    }

    fn to_another_body(&self) -> Letter {
        self.signed(&self.answer(&self.asked.clone().with_body(b"Question")), &self.own)
    }

    fn cut_off(&self) -> Answer {
        let half = self.letter().but(|letter| letter.body = Some(Bytes::from_static(b"known to the")));
        Answer { end: End::BrokenOff, ..half.into() }
    }

    /// Announces a body of any length, and sends more.
    fn without_end(&self) -> Answer {
        let chunk = Bytes::from(vec![b'x'; 64 * 1024]);
        let head = self.letter().but(|letter| letter.head.body_length = 10 << 20).frames().remove(0);
        Answer { frames: vec![head, frame(Kind::BodyChunk(chunk))], end: End::Never }
    }
}

impl From<Letter> for Answer {
    fn from(letter: Letter) -> Self {
        letter.frames().into()
    }
}

impl From<Vec<Frame>> for Answer {
    fn from(frames: Vec<Frame>) -> Self {
        Self { frames, end: End::Clean }
    }
}

impl From<Frame> for Answer {
    fn from(frame: Frame) -> Self {
        vec![frame].into()
    }
}

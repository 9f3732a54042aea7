//! Bytes for the log and for the tunnel.

use bytes::Bytes;
use kogge_evidence::signature::{Signed, sign};
use kogge_message_log::{AppendError, Durability, MessageLog, NewBody, NewBodyPlace, NewMessage, Options};
use kogge_proto::id::SecurityServerId;
use kogge_proto::limits::EXCHANGE_TIME_MAX;
use kogge_proto::wire::log::{Direction, Role};
use kogge_proto::wire::tunnel::{Frame, Head, frame};
use prost::Message;

use crate::exchange::{CLIENT, Exchange, SERVER, SERVICE};
use crate::world::{Algorithm, NOW};
use crate::{Stage, Work, World};

pub(crate) const STAGES: &[Stage] = &[
    Stage::cryptographic("log.prepare", 200, prepare),
    Stage::plain("frame.encode", 200, encode),
    Stage::plain("frame.decode", 200, decode),
];

/// What the caller's thread does for a record: all of its checks and the encoding. The log is closed, which ends each append at its queue: after
/// the preparation, before any thread or disk.
fn prepare(world: &World) -> Work {
    let dir = tempfile::tempdir().unwrap();
    let options = Options {
        server: SecurityServerId::parse(SERVER).unwrap(),
        segment_bytes: 1 << 20,
        index_cache_bytes: 1 << 20,
        replay_window: EXCHANGE_TIME_MAX,
        log_key: None,
        clock: || NOW,
    };
    let (log, _) = MessageLog::open(dir.path(), options).unwrap();
    log.close();
    let message = new_message(world);
    Work::new(move || {
        let closed = |result| assert_eq!(result, Err(AppendError::Closed));
        log.append(message.clone(), Durability::Now, Box::new(closed));
    })
}

fn new_message(world: &World) -> NewMessage {
    let exchange = Exchange::new(1);
    let parts = exchange.parts();
    let Signed { signature, material, .. } = sign(&parts, &world.credential(Algorithm::P256), NOW).unwrap();
    let Exchange { request, body } = exchange;
    let length = body.len() as u64;
    let place = NewBodyPlace::Inline(body.into());
    NewMessage {
        role: Role::Provider,
        direction: Direction::Request,
        message_id: request.message_id().to_owned(),
        request_id: request.request_id().to_owned(),
        client: CLIENT.to_owned(),
        service: SERVICE.to_owned(),
        subject: None,
        peer_server: SERVER.to_owned(),
        message: request.bytes().clone(),
        body: parts.body.map(|sha512| NewBody { length, sha512, place }),
        signature,
        material,
        follows: None,
    }
}

/// Head and body of a request as a peer gets them, each with its length.
fn encode(world: &World) -> Work {
    let frames = frames(world);
    Work::new(move || encoded(&frames))
}

/// The same, read.
fn decode(world: &World) -> Work {
    let bytes = Bytes::from(encoded(&frames(world)));
    Work::new(move || {
        let mut left = bytes.clone();
        [(); 2].map(|()| Frame::decode_length_delimited(&mut left).unwrap())
    })
}

fn encoded(frames: &[Frame]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(frames.iter().map(Message::encoded_len).sum());
    for frame in frames {
        frame.encode_length_delimited(&mut bytes).unwrap();
    }
    bytes
}

fn frames(world: &World) -> [Frame; 2] {
    let exchange = Exchange::new(1);
    let parts = exchange.parts();
    let credential = world.credential(Algorithm::P256);
    let Signed { signature, material, .. } = sign(&parts, &credential, NOW).unwrap();
    let head = Head {
        protocol_version: 1,
        message: exchange.request.bytes().clone(),
        has_body: true,
        body_length: exchange.body.len() as u64,
        body_sha512: parts.body.map(|body| body.as_bytes().to_vec()).unwrap_or_default(),
        signature: Some(signature),
        material: Some(material),
        auth_ocsp: credential.ocsp.to_vec(),
        deadline_ms: 30_000,
        request_id: exchange.request.request_id().to_owned(),
    };
    [frame::Kind::Head(head), frame::Kind::BodyChunk(exchange.body.into())]
        .map(|kind| Frame { kind: Some(kind) })
}

//! Reading and writing what is signed.

use kogge_proto::digest::sha512;
use kogge_proto::id::{ClientId, SecurityServerId, ServiceId};
use kogge_proto::message::{RestRequest, request_hash};

use crate::exchange::{CLIENT, Exchange, SERVER, SERVICE, http_headers, id, parts};
use crate::{Stage, Work, World};

pub(crate) const STAGES: &[Stage] = &[
    Stage::plain("message.build", 200, build),
    Stage::plain("message.parse", 200, parse),
    Stage::plain("identifiers.parse", 500, identifiers),
    Stage::cryptographic("request.hash", 200, hash),
];

/// The message of a client's HTTP request; its headers are copied, as from hyper's.
fn build(_: &World) -> Work {
    let (headers, request_id, message_id) = (http_headers(), id(1), id(2));
    Work::new(move || RestRequest::build(parts(&request_id, &message_id, headers.clone())).unwrap())
}

/// The message that a peer sent.
fn parse(_: &World) -> Work {
    let bytes = Exchange::new(1).request.bytes().clone();
    Work::new(move || RestRequest::parse(&bytes).unwrap())
}

/// Client, service and security server.
fn identifiers(_: &World) -> Work {
    Work::new(|| {
        let client = ClientId::parse(CLIENT).unwrap();
        let service = ServiceId::parse(SERVICE).unwrap();
        (client, service, SecurityServerId::parse(SERVER).unwrap())
    })
}

/// `X-Road-Request-Hash` with the digests of both parts: the body has 1 KiB.
fn hash(_: &World) -> Work {
    let Exchange { request, body } = Exchange::new(1);
    Work::new(move || request_hash(&sha512(request.bytes()), Some(&sha512(&body))))
}

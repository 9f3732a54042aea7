//! Tests that play a peer themselves: honest messages, to be spoilt in one place each.

use std::sync::Arc;

use bytes::Bytes;
use kogge_certs::snapshot::VerifiedSnapshot;
use kogge_evidence::signature::{Credential, Parts, sign};
use kogge_proto::digest::sha512;
use kogge_proto::message::{RequestParts, ResponseParts, RestRequest, RestResponse, request_hash};
use kogge_proto::time::UnixMillis;
use kogge_security_server::clock;
use kogge_transport::{Frame, Head, PeerTrust, frame::Kind};

use crate::instance::{Instance, PERSONS, PORTAL};

/// Trust in a snapshot that stays as it is.
pub(crate) struct FixedTrust(Arc<VerifiedSnapshot>);

impl FixedTrust {
    pub(crate) fn shared(instance: &Instance) -> Arc<dyn PeerTrust> {
        let (bytes, anchor) = (instance.registry.snapshot(), &instance.registry.anchor);
        Arc::new(Self(Arc::new(VerifiedSnapshot::verify(bytes, anchor, clock::now()).unwrap())))
    }
}

impl PeerTrust for FixedTrust {
    fn snapshot(&self) -> Option<Arc<VerifiedSnapshot>> {
        Some(Arc::clone(&self.0))
    }

    fn now(&self) -> UnixMillis {
        clock::now()
    }
}

/// A head and the body after it.
#[derive(Clone)]
pub(crate) struct Letter {
    pub(crate) head: Head,
    pub(crate) body: Option<Bytes>,
}

impl Letter {
    /// A signed message.
    pub(crate) fn new(
        message: &Bytes,
        request_id: &str,
        body: Option<Bytes>,
        credential: &Credential,
        auth_ocsp: Vec<u8>,
        now: UnixMillis,
    ) -> Self {
        let parts = Parts { message: sha512(message), body: body.as_ref().map(|body| sha512(body)) };
        let signed = sign(&parts, credential, now).unwrap();
        let head = Head {
            protocol_version: 1,
            message: message.clone(),
            has_body: body.is_some(),
            body_length: body.as_ref().map_or(0, |body| body.len() as u64),
            body_sha512: parts.body.map_or(Vec::new(), |digest| digest.as_bytes().to_vec()),
            signature: Some(signed.signature),
            material: Some(signed.material),
            auth_ocsp,
            deadline_ms: 10_000,
            request_id: request_id.to_owned(),
        };
        Self { head, body }
    }

    pub(crate) fn frames(self) -> Vec<Frame> {
        let chunk = self.body.filter(|body| !body.is_empty()).map(Kind::BodyChunk);
        let kinds = [Kind::Head(self.head)].into_iter().chain(chunk);
        kinds.map(|kind| Frame { kind: Some(kind) }).collect()
    }

    /// Replaces text in the message, as somebody who cannot sign would.
    pub(crate) fn alter(mut self, from: &str, to: &str) -> Self {
        let text = std::str::from_utf8(&self.head.message).unwrap();
        assert!(text.contains(from), "{text}");
        self.head.message = text.replacen(from, to, 1).into();
        self
    }
}

/// A request of the portal for a person, or of another client for another service.
pub(crate) fn request(client: &str, service: &str, request_id: &str) -> RestRequest {
    RestRequest::build(RequestParts {
        method: "POST",
        target: &format!("/r1/{service}/1"),
        headers: vec![("x-road-client".into(), client.into())],
        request_id,
        fallback_message_id: "message-1",
    })
    .unwrap()
}

pub(crate) fn usual_request(request_id: &str) -> RestRequest {
    request(PORTAL, PERSONS, request_id)
}

/// The answer to a request that arrived.
pub(crate) fn answer_to(asked: &Letter) -> RestResponse {
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

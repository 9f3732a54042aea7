//! A signed message on its way through the tunnel, to be spoilt in one place.

use bytes::Bytes;
use kogge_evidence::signature::{Credential, Parts, sign};
use kogge_proto::digest::sha512;
use kogge_proto::time::UnixMillis;
use kogge_proto::wire::evidence::{Material, Signature};
use kogge_transport::{Fault, Frame, Head, frame::Kind};

/// A head and the body after it.
#[derive(Clone)]
pub(crate) struct Letter {
    pub(crate) head: Head,
    pub(crate) body: Option<Bytes>,
}

impl Letter {
    /// Signed at `at`.
    pub(crate) fn new(
        message: &Bytes,
        request_id: &str,
        body: Option<Bytes>,
        credential: &Credential,
        auth_ocsp: &[u8],
        at: UnixMillis,
    ) -> Self {
        let parts = Parts { message: sha512(message), body: body.as_ref().map(|body| sha512(body)) };
        let signed = sign(&parts, credential, at).unwrap();
        let head = Head {
            protocol_version: 1,
            message: message.clone(),
            has_body: body.is_some(),
            body_length: body.as_ref().map_or(0, |body| body.len() as u64),
            body_sha512: parts.body.map_or(Vec::new(), |digest| digest.as_bytes().to_vec()),
            signature: Some(signed.signature),
            material: Some(signed.material),
            auth_ocsp: auth_ocsp.to_vec(),
            deadline_ms: 10_000,
            request_id: request_id.to_owned(),
        };
        Self { head, body }
    }

    pub(crate) fn frames(self) -> Vec<Frame> {
        let body = self.body.filter(|body| !body.is_empty()).map(Kind::BodyChunk);
        [Kind::Head(self.head)].into_iter().chain(body).map(frame).collect()
    }

    pub(crate) fn but(mut self, edit: impl FnOnce(&mut Self)) -> Self {
        edit(&mut self);
        self
    }

    /// Replaces text in the message, as somebody who cannot sign would.
    pub(crate) fn altered(self, from: &str, to: &str) -> Self {
        let text = std::str::from_utf8(&self.head.message).unwrap().to_owned();
        assert!(text.contains(from), "{text}");
        self.but(|letter| letter.head.message = text.replacen(from, to, 1).into())
    }

    /// Another body, announced as if it had been meant.
    pub(crate) fn with_body(self, body: &'static [u8]) -> Self {
        self.but(|letter| {
            letter.body = Some(Bytes::from_static(body));
            letter.head.body_length = body.len() as u64;
            letter.head.body_sha512 = sha512(body).as_bytes().to_vec();
        })
    }

    pub(crate) fn without_body(self) -> Self {
        self.but(|letter| {
            letter.body = None;
            letter.head.has_body = false;
            letter.head.body_length = 0;
            letter.head.body_sha512 = Vec::new();
        })
    }

    /// What came along with the signature: the signing certificate, then its OCSP response.
    pub(crate) fn material(&mut self) -> &mut Material {
        self.head.material.as_mut().unwrap()
    }

    pub(crate) fn signature(&mut self) -> &mut Signature {
        self.head.signature.as_mut().unwrap()
    }
}

pub(crate) fn frame(kind: Kind) -> Frame {
    Frame { kind: Some(kind) }
}

pub(crate) fn chunk(bytes: &'static [u8]) -> Frame {
    frame(Kind::BodyChunk(Bytes::from_static(bytes)))
}

pub(crate) fn fault(code: &str, message: &str) -> Frame {
    let fault = Fault { code: code.to_owned(), message: message.to_owned(), detail: "my-own-id".to_owned() };
    frame(Kind::Fault(fault))
}

//! What both sides of an exchange share: how a signed message travels through the tunnel, and the seal on the traits that say which
//! stages may be signed and logged.

use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};
use kogge_evidence::material::{Material, MaterialError};
use kogge_evidence::signature::Parts;
use kogge_message_log::{NewBody, NewBodyPlace};
use kogge_proto::digest::{Sha512, sha512};
use kogge_proto::message::Header;
use kogge_proto::wire::evidence as wire;
use kogge_proto::wire::tunnel::{Frame, Head, frame::Kind};
use kogge_transport::{FrameReceiver, FrameSender, PeerStream, TransportError};

use crate::body::{Body, BodyError, BodyWriter, Place, Retention};

/// A message with its signature as it came through the tunnel: complete and as announced, but not verified.
#[derive(Debug)]
pub(crate) struct Arrived {
    pub(crate) head: Head,
    pub(crate) signature: wire::Signature,
    pub(crate) material: Material,
    pub(crate) body: Option<Body>,
}

/// Why a message did not come through the tunnel.
#[derive(Debug, thiserror::Error)]
pub enum ArrivalError {
    /// The tunnel broke, or a deadline passed.
    #[error(transparent)]
    Transport(#[from] TransportError),
    /// The stream ended before the message was complete.
    #[error("the stream ended before the message was complete")]
    Incomplete,
    /// A frame of another kind than the protocol has at this place.
    #[error("a frame came that the protocol does not have at this place")]
    OutOfPlace,
    /// The head is malformed.
    #[error("the head is malformed: {0}")]
    Head(&'static str),
    /// What came along with the signature is over a limit.
    #[error(transparent)]
    Material(#[from] MaterialError),
    /// The announced body is larger than is accepted.
    #[error("the body of {length} bytes exceeds the limit of {limit} bytes")]
    TooLarge {
        /// As announced.
        length: u64,
        /// The limit in force.
        limit: u64,
    },
    /// The body's length or digest is not as announced.
    #[error("the body is not the one that was announced: its {0} differs")]
    OtherBody(&'static str),
    /// The spool cannot be used.
    #[error(transparent)]
    Body(#[from] BodyError),
}

/// One end of a stream that gives frames: a whole stream or its receiving half.
pub(crate) trait Frames {
    async fn next(&mut self) -> Result<Option<Frame>, TransportError>;
}

impl Frames for PeerStream {
    async fn next(&mut self) -> Result<Option<Frame>, TransportError> {
        self.recv().await
    }
}

impl Frames for FrameReceiver {
    async fn next(&mut self) -> Result<Option<Frame>, TransportError> {
        self.recv().await
    }
}

/// Where a body may be spooled, how large it may be, and whether the log gets it.
#[derive(Clone, Debug)]
pub struct Intake {
    pub(crate) spool: Arc<Path>,
    pub(crate) body_bytes_max: u64,
    pub(crate) retention: Retention,
}

/// Checks the head and takes in the body that it announces, up to the end of the stream.
pub(crate) async fn arrive(
    frames: &mut impl Frames,
    mut head: Head,
    intake: Intake,
) -> Result<Arrived, ArrivalError> {
    if head.protocol_version != PROTOCOL_VERSION {
        return Err(ArrivalError::Head("the protocol version is not 1"));
    }
    let signature = head.signature.take().ok_or(ArrivalError::Head("there is no signature"))?;
    let material = Material::new(&head.material.take().unwrap_or_default())?;
    let body = match head.has_body {
        true => Some(receive_body(frames, &head, intake).await?),
        false if head.body_length != 0 || !head.body_sha512.is_empty() => {
            return Err(ArrivalError::Head("it announces a body and none"));
        }
        false => None,
    };
    match frames.next().await? {
        None => Ok(Arrived { head, signature, material, body }),
        Some(_) => Err(ArrivalError::OutOfPlace),
    }
}

async fn receive_body(frames: &mut impl Frames, head: &Head, intake: Intake) -> Result<Body, ArrivalError> {
    let announced = Sha512::from_slice(&head.body_sha512).ok_or(ArrivalError::Head("the digest's length"))?;
    let (length, limit) = (head.body_length, intake.body_bytes_max);
    if length > limit {
        return Err(ArrivalError::TooLarge { length, limit });
    }
    let mut writer = BodyWriter::new(intake.spool, length, intake.retention);
    let mut left = length;
    while left > 0 {
        let chunk = match frames.next().await?.ok_or(ArrivalError::Incomplete)?.kind {
            Some(Kind::BodyChunk(chunk)) if !chunk.is_empty() => chunk,
            _ => return Err(ArrivalError::OutOfPlace),
        };
        left = left.checked_sub(chunk.len() as u64).ok_or(ArrivalError::OtherBody("length"))?;
        writer.write(chunk).await?;
    }
    let body = writer.finish().await?;
    if *body.sha512() == announced { Ok(body) } else { Err(ArrivalError::OtherBody("digest")) }
}

impl Arrived {
    /// Digests of what arrived: what the signature must be about.
    pub(crate) fn parts(&self) -> Parts {
        Parts { message: sha512(&self.head.message), body: self.body.as_ref().map(|body| *body.sha512()) }
    }
}

/// A signed message on its way into the tunnel.
pub(crate) struct Departure<'a> {
    pub(crate) message: Bytes,
    pub(crate) request_id: &'a str,
    pub(crate) body: Option<&'a Body>,
    pub(crate) signature: wire::Signature,
    pub(crate) material: wire::Material,
    /// DER OCSPResponse for this server's authentication certificate.
    pub(crate) auth_ocsp: Vec<u8>,
    /// Time left for the exchange; zero in responses.
    pub(crate) deadline_ms: u32,
}

impl Departure<'_> {
    pub(crate) fn head(self) -> Frame {
        let head = Head {
            protocol_version: PROTOCOL_VERSION,
            message: self.message,
            has_body: self.body.is_some(),
            body_length: self.body.map_or(0, Body::length),
            body_sha512: self.body.map_or(Vec::new(), |body| body.sha512().as_bytes().to_vec()),
            signature: Some(self.signature),
            material: Some(self.material),
            auth_ocsp: self.auth_ocsp,
            deadline_ms: self.deadline_ms,
            request_id: self.request_id.to_owned(),
        };
        Frame { kind: Some(Kind::Head(head)) }
    }
}

/// Why a message did not leave completely.
#[derive(Debug, thiserror::Error)]
pub enum DepartureError {
    /// The tunnel broke, or a deadline passed.
    #[error(transparent)]
    Transport(#[from] TransportError),
    /// The body cannot be read from the spool.
    #[error(transparent)]
    Body(#[from] BodyError),
}

/// Where frames go: a whole stream or its sending half.
pub(crate) trait FrameSink {
    async fn put(&mut self, frame: Frame) -> Result<(), TransportError>;
    async fn end(&mut self) -> Result<(), TransportError>;
}

impl FrameSink for PeerStream {
    async fn put(&mut self, frame: Frame) -> Result<(), TransportError> {
        self.queue(frame).await
    }

    async fn end(&mut self) -> Result<(), TransportError> {
        self.finish().await
    }
}

impl FrameSink for FrameSender {
    async fn put(&mut self, frame: Frame) -> Result<(), TransportError> {
        self.queue(frame).await
    }

    async fn end(&mut self) -> Result<(), TransportError> {
        self.finish().await
    }
}

/// Sends the body after a head, and ends the stream.
pub(crate) async fn depart(sink: &mut impl FrameSink, body: Option<&Body>) -> Result<(), DepartureError> {
    if let Some(body) = body {
        let mut reader = body.reader();
        while let Some(chunk) = reader.next().await? {
            sink.put(Frame { kind: Some(Kind::BodyChunk(chunk)) }).await?;
        }
    }
    Ok(sink.end().await?)
}

/// A header's value is not text.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("the header {0:?} is not UTF-8 text")]
pub struct HeaderNotText(String);

/// All headers as text, in order of arrival.
pub(crate) fn text_headers(headers: &HeaderMap) -> Result<Vec<Header>, HeaderNotText> {
    let text = |(name, value): (&HeaderName, &HeaderValue)| match std::str::from_utf8(value.as_bytes()) {
        Ok(value) => Ok((name.as_str().into(), value.into())),
        Err(_) => Err(HeaderNotText(name.as_str().to_owned())),
    };
    headers.iter().map(text).collect()
}

/// A body in the form in which the log takes it over.
pub(crate) fn log_body(body: &Body) -> NewBody {
    let place = match (body.retention(), body.place()) {
        (Retention::DigestOnly, _) => NewBodyPlace::DigestOnly,
        (Retention::Kept, Place::Memory(bytes)) => NewBodyPlace::Inline(bytes.clone()),
        (Retention::Kept, Place::File(file)) => {
            NewBodyPlace::Sealed { path: file.path().to_owned(), key: Arc::clone(file.key()) }
        }
    };
    NewBody { length: body.length(), sha512: *body.sha512(), place }
}

/// Keeps [`crate::signing::Signable`] and [`crate::logging::Evident`] to the stages of this crate.
pub(crate) mod sealed {
    /// Cannot be implemented outside this crate.
    pub trait Sealed {}
}

/// The version of the tunnel's messages that this crate speaks.
const PROTOCOL_VERSION: u32 = 1;

#[cfg(test)]
mod tests;

//! Is this the provider's answer to our request? → [`Verified`].

use kogge_certs::ocsp::OcspError;
use kogge_certs::snapshot::VerifiedSnapshot;
use kogge_evidence::signature::{Expected, SignatureError};
use kogge_message_log::{NewMessage, Receipt};
use kogge_proto::digest::Sha256;
use kogge_proto::id::SecurityServerId;
use kogge_proto::limits::EXCHANGE_TIME_MAX;
use kogge_proto::message::{ERROR, MessageError, RestResponse, request_hash};
use kogge_proto::time::UnixMillis;
use kogge_proto::wire::evidence as wire;
use kogge_proto::wire::log::{Direction, Role};

use super::forward::Answered;
use super::resolve::Routed;
use crate::body::Body;
use crate::exchange::{log_body, sealed::Sealed};
use crate::logging::{Evident, OnRecord};
use crate::signing::Signed;
use crate::trust::{Shown, Verdicts};

/// The answer to our request, signed by the provider's member. Only `response` makes one.
#[derive(Debug)]
pub struct Verified {
    response: RestResponse,
    body: Option<Body>,
    leaf: Sha256,
    signature: wire::Signature,
    material: wire::Material,
    peer: SecurityServerId,
    /// Where the request's record stands.
    request: Receipt,
}

impl Verified {
    /// The message.
    #[must_use]
    pub fn response(&self) -> &RestResponse {
        &self.response
    }

    /// The body part.
    #[must_use]
    pub fn body(&self) -> Option<&Body> {
        self.body.as_ref()
    }
}

/// Why an answer is not believed. The fault is the provider's server's, or of somebody between.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum VerifyError {
    /// Not a response message.
    #[error("the answer is not a response message: {0}")]
    Message(#[from] MessageError),
    /// It answers something else.
    #[error("the answer is not the one to this request: its {0} differs")]
    Inconsistent(&'static str),
    /// The answering server's authentication certificate is not shown to be good.
    #[error("the OCSP response for the peer's authentication certificate: {0}")]
    PeerOcsp(OcspError),
    /// The provider's signature does not hold.
    #[error(transparent)]
    Signature(#[from] SignatureError),
}

/// Verifies an answer.
pub(super) fn response(
    answered: Answered,
    request: &OnRecord<Signed<Routed>>,
    snapshot: &VerifiedSnapshot,
    verdicts: &Verdicts,
    now: UnixMillis,
) -> Result<Verified, VerifyError> {
    let routed = request.stage().message();
    let response = RestResponse::parse(&answered.arrived().head.message)?;
    // Only a security server's own errors have it, and they are never signed: it would pass a provider's answer off as one.
    if response.headers().iter().any(|(name, _)| name.eq_ignore_ascii_case(ERROR)) {
        return Err(MessageError::Header(ERROR.to_owned()).into());
    }
    check_answers(&response, request.stage(), &answered.arrived().head.request_id)?;
    let arrived = answered.arrived();
    let (freshness, digest) = (snapshot.policy().freshness(), snapshot.meta().digest);
    verdicts
        .verify_peer(&arrived.head.auth_ocsp, answered.peer().path(), freshness, digest, now)
        .map_err(VerifyError::PeerOcsp)?;
    let expected = Expected {
        member: routed.request().service().subsystem().member(),
        trust: snapshot.trust(),
        freshness,
        age_max: EXCHANGE_TIME_MAX,
        now,
    };
    let parts = answered.parts();
    let (signature, material) = (&arrived.signature, &arrived.material);
    let verified =
        verdicts.verify_signature(&Shown { signature, parts: &parts, material }, &expected, digest)?;
    tracing::debug!(peer = %answered.peer().server(), carrier = %answered.carrier(), "answer verified");
    let peer = answered.peer().server().clone();
    let (leaf, material) = (verified.leaf(), verified.signer().material());
    let (signature, body) = answered.into_evidence();
    Ok(Verified { response, body, leaf, signature, material, peer, request: request.receipt() })
}

/// X-Road's five lines, and the request id that stands outside the message.
fn check_answers(
    response: &RestResponse,
    signed: &Signed<Routed>,
    outer_request_id: &str,
) -> Result<(), VerifyError> {
    let (request, parts) = (signed.message().request(), signed.parts());
    let checks = [
        (
            "request id",
            outer_request_id == request.request_id() && response.request_id() == request.request_id(),
        ),
        ("message id", response.message_id() == request.message_id()),
        ("client", response.client() == request.client()),
        ("service", response.service() == request.service()),
        ("request hash", response.request_hash() == request_hash(&parts.message, parts.body.as_ref())),
    ];
    match checks.iter().find(|(_, equal)| !equal) {
        Some((what, _)) => Err(VerifyError::Inconsistent(what)),
        None => Ok(()),
    }
}

impl Sealed for Verified {}

impl Evident for Verified {
    fn leaf(&self) -> Sha256 {
        self.leaf
    }

    fn record(&self) -> NewMessage {
        NewMessage {
            role: Role::Consumer,
            direction: Direction::Response,
            message_id: self.response.message_id().to_owned(),
            request_id: self.response.request_id().to_owned(),
            client: self.response.client().to_string(),
            service: self.response.service().to_string(),
            subject: None,
            peer_server: self.peer.to_string(),
            message: self.response.bytes().clone(),
            body: self.body.as_ref().map(log_body),
            signature: self.signature.clone(),
            material: self.material.clone(),
            follows: Some(self.request),
        }
    }
}

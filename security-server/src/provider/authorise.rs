//! May this client make this call? → [`Authorised`].

use kogge_certs::snapshot::VerifiedSnapshot;
use kogge_evidence::signature::Parts;
use kogge_message_log::NewMessage;
use kogge_proto::digest::Sha256;
use kogge_proto::id::{SecurityServerId, ServiceId, SubsystemId};
use kogge_proto::message::RestRequest;
use kogge_proto::wire::log::{Direction, Role};

use super::verify::Verified;
use crate::body::Body;
use crate::exchange::{log_body, sealed::Sealed};
use crate::logging::{Evident, Request};
use crate::services::{NormalPath, PathError, Service, Services};

/// A verified request that an access right covers. Only `permit` makes one.
pub struct Authorised {
    verified: Verified,
}

impl Authorised {
    /// The message.
    #[must_use]
    pub fn request(&self) -> &RestRequest {
        self.verified.received().request()
    }

    /// The body part.
    #[must_use]
    pub fn body(&self) -> Option<&Body> {
        self.verified.received().arrived().body.as_ref()
    }

    /// Who is asked.
    #[must_use]
    pub fn provider(&self) -> &SubsystemId {
        self.request().service().subsystem()
    }

    /// Digests of the parts that were signed.
    pub(super) fn parts(&self) -> &Parts {
        self.verified.parts()
    }

    /// The security server that brought it.
    #[must_use]
    pub fn peer(&self) -> &SecurityServerId {
        self.verified.received().peer().server()
    }
}

/// Why a call is not permitted.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum AuthoriseError {
    /// Unknown, suspended, or registered on other servers only.
    #[error("the provider {0} is not registered on this security server")]
    UnknownProvider(SubsystemId),
    /// Not configured here, or not in the registry's catalogue.
    #[error("the service {0} is not known")]
    UnknownService(ServiceId),
    /// The register might understand the path in another way than the access right means it.
    #[error("access is denied since the path can be read in two ways: {0}")]
    AmbiguousPath(#[from] PathError),
    /// No access right covers the call.
    #[error("{client} has no right to call {method} on this path of {service}")]
    AccessDenied {
        /// Who asks.
        client: SubsystemId,
        /// The service.
        service: ServiceId,
        /// The method.
        method: &'static str,
    },
    /// The service wants a purpose, and this is none of those it accepts.
    #[error("{service} does not accept the declared purpose {purpose:?}")]
    PurposeRefused {
        /// The service.
        service: ServiceId,
        /// As declared; empty if not declared.
        purpose: String,
    },
    /// Larger than the service accepts.
    #[error("the body exceeds the service's limit of {limit} bytes")]
    BodyTooLarge {
        /// The limit.
        limit: u64,
    },
}

/// Permits a call that an access right covers.
///
/// # Errors
/// None does; see [`AuthoriseError`].
#[doc(hidden)] // public so that tests outside can show what it does not take
pub fn permit(
    verified: Verified,
    services: &Services,
    snapshot: &VerifiedSnapshot,
    server: &SecurityServerId,
) -> Result<Authorised, AuthoriseError> {
    let request = verified.received().request();
    let provider = request.service().subsystem();
    if !snapshot.is_provider(server, provider) {
        return Err(AuthoriseError::UnknownProvider(provider.clone()));
    }
    let service = services.get(request.service()).filter(|service| snapshot.service_registered(&service.id));
    let service = service.ok_or_else(|| AuthoriseError::UnknownService(request.service().clone()))?;
    decide(service, verified.client(), request)?;
    let authorised = Authorised { verified };
    match authorised.body() {
        Some(body) if body.length() > service.body_bytes_max => {
            Err(AuthoriseError::BodyTooLarge { limit: service.body_bytes_max })
        }
        _ => Ok(authorised),
    }
}

/// Whether the service's rules cover the call: access right first, so that a stranger learns nothing about purposes.
fn decide(service: &Service, client: &SubsystemId, request: &RestRequest) -> Result<(), AuthoriseError> {
    let path = NormalPath::new(request.service_path())?;
    if !service.access.permit(client, request.method(), &path) {
        return Err(AuthoriseError::AccessDenied {
            client: client.clone(),
            service: service.id.clone(),
            method: request.method(),
        });
    }
    if !service.accepts_purpose(request.purpose()) {
        return Err(AuthoriseError::PurposeRefused {
            service: service.id.clone(),
            purpose: request.purpose().unwrap_or_default().chars().take(PURPOSE_CHARS_TOLD).collect(),
        });
    }
    Ok(())
}

impl Sealed for Authorised {}

impl Request for Authorised {
    fn method(&self) -> &str {
        self.request().method()
    }
}

impl Evident for Authorised {
    fn leaf(&self) -> Sha256 {
        self.verified.leaf()
    }

    fn record(&self) -> NewMessage {
        let (request, arrived) = (self.request(), self.verified.received().arrived());
        NewMessage {
            role: Role::Provider,
            direction: Direction::Request,
            message_id: request.message_id().to_owned(),
            request_id: request.request_id().to_owned(),
            client: request.client().to_string(),
            service: request.service().to_string(),
            subject: request.subject().map(ToOwned::to_owned),
            peer_server: self.peer().to_string(),
            message: request.bytes().clone(),
            body: self.body().map(log_body),
            signature: arrived.signature.clone(),
            material: self.verified.signer().material(),
            follows: None,
        }
    }
}

/// As much of a refused purpose is repeated in the fault.
const PURPOSE_CHARS_TOLD: usize = 80;

#[cfg(test)]
mod tests;

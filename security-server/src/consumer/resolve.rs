//! Which security servers serve the called service? → [`Routed`].

use std::sync::Arc;

use kogge_certs::snapshot::{SecurityServer, VerifiedSnapshot};
use kogge_evidence::signature::Parts;
use kogge_message_log::NewMessage;
use kogge_proto::digest::{Sha256, sha512};
use kogge_proto::id::{MemberId, SecurityServerId, ServiceId, SubsystemId};
use kogge_proto::message::RestRequest;
use kogge_proto::wire::log::{Direction, Role};

use super::authenticate::Authenticated;
use crate::body::Body;
use crate::exchange::{log_body, sealed::Sealed};
use crate::logging::{Evident, Request};
use crate::signing::{Signable, Signed};

/// A request whose provider is in the snapshot of this exchange. Only `route` makes one.
#[derive(Debug)]
pub struct Routed {
    authenticated: Authenticated,
    snapshot: Arc<VerifiedSnapshot>,
    servers: Vec<SecurityServerId>,
}

impl Routed {
    /// The message.
    #[must_use]
    pub fn request(&self) -> &RestRequest {
        self.authenticated.request()
    }

    /// The body part.
    #[must_use]
    pub fn body(&self) -> Option<&Body> {
        self.authenticated.body()
    }

    /// Who asks.
    #[must_use]
    pub fn client(&self) -> &SubsystemId {
        self.authenticated.client()
    }

    /// The security servers that may be asked; at least one.
    #[must_use]
    pub fn servers(&self) -> Vec<&SecurityServer> {
        self.servers.iter().filter_map(|id| self.snapshot.security_server(id)).collect()
    }
}

/// Why there is nobody to ask.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum ResolveError {
    /// Unknown, suspended, or registered on no active server.
    #[error("no security server serves the provider {0}")]
    UnknownProvider(SubsystemId),
    /// Not in the registry's catalogue.
    #[error("the service {0} is not known")]
    UnknownService(ServiceId),
    /// `X-Road-Security-Server` names a server that does not serve the provider.
    #[error("the security server {server} does not serve the provider {provider}")]
    InvalidSecurityServer {
        /// As asked for.
        server: SecurityServerId,
        /// Who is called.
        provider: SubsystemId,
    },
}

/// Finds the provider's servers.
pub(super) fn route(
    authenticated: Authenticated,
    snapshot: &Arc<VerifiedSnapshot>,
) -> Result<Routed, ResolveError> {
    let request = authenticated.request();
    let service = request.service();
    let provider = service.subsystem();
    let mut servers: Vec<_> = snapshot.providers(provider).iter().map(|server| server.id.clone()).collect();
    if servers.is_empty() {
        return Err(ResolveError::UnknownProvider(provider.clone()));
    }
    if !snapshot.service_registered(service) {
        return Err(ResolveError::UnknownService(service.clone()));
    }
    if let Some(wanted) = request.security_server() {
        servers.retain(|server| server == wanted);
        if servers.is_empty() {
            let (server, provider) = (wanted.clone(), provider.clone());
            return Err(ResolveError::InvalidSecurityServer { server, provider });
        }
    }
    Ok(Routed { authenticated, snapshot: Arc::clone(snapshot), servers })
}

impl Sealed for Routed {}

impl Signable for Routed {
    fn signer(&self) -> &MemberId {
        self.client().member()
    }

    /// Another server of the provider may take its place; it verifies as well as this one, and only remembers less.
    fn peer(&self) -> Option<&SecurityServerId> {
        self.servers.first()
    }

    fn parts(&self) -> Parts {
        Parts { message: sha512(self.request().bytes()), body: self.body().map(|body| *body.sha512()) }
    }
}

impl Sealed for Signed<Routed> {}

impl Request for Signed<Routed> {
    fn method(&self) -> &str {
        self.message().request().method()
    }
}

impl Evident for Signed<Routed> {
    fn leaf(&self) -> Sha256 {
        Signed::leaf(self)
    }

    fn record(&self) -> NewMessage {
        let request = self.message().request();
        NewMessage {
            role: Role::Consumer,
            direction: Direction::Request,
            message_id: request.message_id().to_owned(),
            request_id: request.request_id().to_owned(),
            client: request.client().to_string(),
            service: request.service().to_string(),
            subject: request.subject().map(ToOwned::to_owned),
            // Which of the provider's servers will take it is not known before it has left.
            peer_server: String::new(),
            message: request.bytes().clone(),
            body: self.message().body().map(log_body),
            signature: self.signature().clone(),
            material: self.material().clone(),
            follows: None,
        }
    }
}

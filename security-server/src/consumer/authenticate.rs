//! May this connection speak for that subsystem? → [`Authenticated`].

use std::collections::HashMap;

use kogge_certs::certificate::Certificate;
use kogge_certs::snapshot::VerifiedSnapshot;
use kogge_daemon::server::Connection;
use kogge_proto::id::{ClientId, SecurityServerId, SubsystemId};
use kogge_proto::message::RestRequest;
use kogge_proto::time::UnixMillis;

use super::receive::Received;
use crate::body::Body;
use crate::config::{ClientConfig, ConnectionPolicy};

/// A request by a connection that may speak for its client, a subsystem registered on this server. Only `admit` makes one.
#[derive(Debug)]
pub struct Authenticated {
    received: Received,
    client: SubsystemId,
}

impl Authenticated {
    /// The message.
    #[must_use]
    pub fn request(&self) -> &RestRequest {
        self.received.request()
    }

    /// The body part.
    #[must_use]
    pub fn body(&self) -> Option<&Body> {
        self.received.body()
    }

    /// Who asks.
    #[must_use]
    pub fn client(&self) -> &SubsystemId {
        &self.client
    }
}

/// Why a connection may not speak for the client that the request names.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum AuthenticateError {
    /// A member itself cannot ask, only its subsystems.
    #[error("the client {0} is no subsystem")]
    NoSubsystem(ClientId),
    /// Not configured here, not registered on this server, or suspended.
    #[error("the client {0} is not registered on this security server")]
    UnknownClient(SubsystemId),
    /// Plain HTTP where TLS is required.
    #[error("the client {0} must connect by HTTPS")]
    TlsRequired(SubsystemId),
    /// No client certificate, or another than the configured ones.
    #[error("the client {0} must show one of its registered client certificates")]
    Certificate(SubsystemId),
    /// One of the configured certificates, but it is outside its validity.
    #[error("the client certificate shown for {0} is expired or not yet valid")]
    CertificateTime(SubsystemId),
}

/// The subsystems that may ask through this server, and how they must connect.
#[derive(Debug, Default)]
pub(crate) struct Clients(HashMap<SubsystemId, ConnectionPolicy>);

impl Clients {
    pub(crate) fn new(clients: Vec<ClientConfig>) -> Self {
        Self(clients.into_iter().map(|client| (client.subsystem, client.connection)).collect())
    }
}

/// Admits a request whose connection may speak for its client.
pub(super) fn admit(
    received: Received,
    connection: &Connection,
    clients: &Clients,
    server: &SecurityServerId,
    snapshot: &VerifiedSnapshot,
    now: UnixMillis,
) -> Result<Authenticated, AuthenticateError> {
    let client = match received.request().client() {
        ClientId::Subsystem(client) => client.clone(),
        member @ ClientId::Member(_) => return Err(AuthenticateError::NoSubsystem(member.clone())),
    };
    let policy = clients.0.get(&client).filter(|_| snapshot.is_provider(server, &client));
    let policy = policy.ok_or_else(|| AuthenticateError::UnknownClient(client.clone()))?;
    check_connection(&client, policy, connection, now)?;
    Ok(Authenticated { received, client })
}

fn check_connection(
    client: &SubsystemId,
    policy: &ConnectionPolicy,
    connection: &Connection,
    now: UnixMillis,
) -> Result<(), AuthenticateError> {
    match policy {
        ConnectionPolicy::Http => Ok(()),
        ConnectionPolicy::Https | ConnectionPolicy::Mtls(_) if !connection.tls => {
            Err(AuthenticateError::TlsRequired(client.clone()))
        }
        ConnectionPolicy::Https => Ok(()),
        ConnectionPolicy::Mtls(accepted) => {
            let shown = connection.client_certificate.as_ref();
            let matches =
                |certificate: &&Certificate| shown.is_some_and(|shown| shown.as_ref() == certificate.der());
            let found = accepted.iter().find(matches);
            let found = found.ok_or_else(|| AuthenticateError::Certificate(client.clone()))?;
            if now < found.not_before() || now > found.not_after() {
                return Err(AuthenticateError::CertificateTime(client.clone()));
            }
            Ok(())
        }
    }
}

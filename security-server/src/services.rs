//! The services that this server provides: where the register is, how long it may take, who may call it.

mod access_rights;
mod path;
mod register_url;

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use kogge_proto::id::{ServiceId, SubsystemId};

use crate::body::Retention;

pub use access_rights::{AccessRight, AccessRights, MethodError};
pub use path::{NormalPath, PathError, PathPattern, PatternError};
pub use register_url::{RegisterUrl, UrlError};

/// A service that this server provides.
#[derive(Clone, Debug)]
pub struct Service {
    /// Its identifier.
    pub id: ServiceId,
    /// Where the register answers.
    pub url: RegisterUrl,
    /// PEM of the roots that a `https` register's certificate must lead to.
    pub tls_roots: Option<String>,
    /// Longest time that the register may take.
    pub time_max: Duration,
    /// Largest request and response body.
    pub body_bytes_max: u64,
    /// Whether the log gets the bodies of requests and responses.
    pub retention: Retention,
    /// Accepted purposes; empty accepts any, and none.
    pub purposes: BTreeSet<String>,
    /// Who may call it.
    pub access: AccessRights,
}

impl Service {
    /// Whether the declared purpose is one that the service accepts.
    #[must_use]
    pub fn accepts_purpose(&self, purpose: Option<&str>) -> bool {
        self.purposes.is_empty() || purpose.is_some_and(|purpose| self.purposes.contains(purpose))
    }
}

/// All services of this server.
#[derive(Debug, Default)]
pub struct Services(HashMap<ServiceId, Service>);

impl Services {
    /// From the configuration.
    #[must_use]
    pub fn new(services: Vec<Service>) -> Self {
        Self(services.into_iter().map(|service| (service.id.clone(), service)).collect())
    }

    /// A service.
    #[must_use]
    pub fn get(&self, id: &ServiceId) -> Option<&Service> {
        self.0.get(id)
    }

    /// All services, in no order.
    pub fn iter(&self) -> impl Iterator<Item = &Service> {
        self.0.values()
    }

    /// The subsystems that provide them.
    #[must_use]
    pub fn subsystems(&self) -> BTreeSet<&SubsystemId> {
        self.0.keys().map(ServiceId::subsystem).collect()
    }

    /// Largest request body that any service accepts: what is taken in before it is known whether the request may be served at all.
    #[must_use]
    pub fn body_bytes_max(&self) -> u64 {
        self.0.values().map(|service| service.body_bytes_max).max().unwrap_or(0)
    }
}

//! The content behind a verified snapshot: checked, cross-referenced, indexed.
//!
//! Every list is walked once and every reference is one look-up, so that a large instance loads in time proportional to its size.

pub mod limits;
mod parties;
mod trust;

use std::collections::HashMap;

use kogge_proto::digest::Sha256;
use kogge_proto::id::{MemberId, SecurityServerId, ServiceId, SubsystemId};
use kogge_proto::wire::registry as wire;

use super::{ContentError, Member, Place, Policy, SecurityServer, Service, Subsystem};
use crate::trust::TrustStore;

#[derive(Debug)]
pub(super) struct Content {
    pub(super) policy: Policy,
    pub(super) trust: TrustStore,
    pub(super) members: Vec<Member>,
    pub(super) subsystems: Vec<Subsystem>,
    pub(super) servers: Vec<SecurityServer>,
    pub(super) services: Vec<Service>,
    pub(super) member_index: HashMap<MemberId, Place>,
    pub(super) subsystem_index: HashMap<SubsystemId, Place>,
    pub(super) server_index: HashMap<SecurityServerId, Place>,
    pub(super) auth_index: HashMap<Sha256, Place>,
    pub(super) service_index: HashMap<ServiceId, Place>,
    pub(super) provider_index: HashMap<SubsystemId, Vec<Place>>,
}

impl Content {
    pub(super) fn read(snapshot: &wire::Snapshot) -> Result<Self, ContentError> {
        let policy = trust::policy(snapshot.policy.as_ref())?;
        let trust = trust::store(&snapshot.approved_cas, &snapshot.approved_tsas)?;
        let (members, subsystems) = parties::members(&snapshot.instance, &snapshot.members)?;
        let servers =
            parties::servers(&snapshot.instance, &snapshot.security_servers, &members, &subsystems)?;
        let services = parties::services(&snapshot.instance, &snapshot.services, &subsystems)?;
        Ok(Self {
            policy,
            trust,
            members: members.list,
            subsystems: subsystems.list,
            servers: servers.listed.list,
            services: services.list,
            member_index: members.index,
            subsystem_index: subsystems.index,
            server_index: servers.listed.index,
            auth_index: servers.auth_index,
            service_index: services.index,
            provider_index: servers.provider_index,
        })
    }
}

/// A list with the place of each entry by its identifier.
struct Listed<K, T> {
    list: Vec<T>,
    index: HashMap<K, Place>,
}

impl<K: Clone + Eq + std::fmt::Display + std::hash::Hash, T> Listed<K, T> {
    fn with_capacity(capacity: usize) -> Self {
        Self { list: Vec::with_capacity(capacity), index: HashMap::with_capacity(capacity) }
    }

    fn add(&mut self, what: &'static str, key: &K, entry: T) -> Result<Place, ContentError> {
        let place = next_place(&self.list);
        if self.index.insert(key.clone(), place).is_some() {
            return Err(ContentError::Duplicate { what, id: key.to_string() });
        }
        self.list.push(entry);
        Ok(place)
    }

    /// The key as it stands in the index, so that equal identifiers share their memory.
    fn shared(&self, key: &K, what: &'static str, from: impl FnOnce() -> String) -> Result<K, ContentError> {
        match self.index.get_key_value(key) {
            Some((shared, _)) => Ok(shared.clone()),
            None => Err(ContentError::Dangling { from: from(), what, id: key.to_string() }),
        }
    }
}

/// No list reaches four billion entries: each has a limit that is checked before it is walked.
fn next_place<T>(list: &[T]) -> Place {
    Place::try_from(list.len()).unwrap_or(Place::MAX)
}

fn at_most<T>(list: &[T], max: usize, what: &'static str) -> Result<(), ContentError> {
    if list.len() > max { Err(ContentError::TooMany { what, max }) } else { Ok(()) }
}

/// Names and titles are shown to people and written to logs: no line breaks, no escape sequences, no changes of direction.
fn text(text: &str, what: &'static str, of: impl FnOnce() -> String) -> Result<String, ContentError> {
    let refused = |c: char| c.is_control() || matches!(c, '\u{2028}'..='\u{202E}' | '\u{2066}'..='\u{2069}');
    if text.len() > limits::TEXT_BYTES_MAX || text.chars().any(refused) {
        return Err(ContentError::Text { what, of: of() });
    }
    Ok(text.to_owned())
}

/// The same, but something must be there.
fn name(value: &str, of: impl Fn() -> String) -> Result<String, ContentError> {
    if value.is_empty() {
        return Err(ContentError::Missing { what: "name", of: of() });
    }
    text(value, "name", of)
}

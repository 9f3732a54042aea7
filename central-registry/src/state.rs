//! What has been decided so far: a pure fold over the journal.
//!
//! [`State::apply`] checks a decision against everything before it and changes nothing when it refuses. Whether names, addresses and
//! numbers are acceptable is not repeated here: a decision is only recorded after the snapshot that would follow from it has been
//! found valid by the rules that its readers apply (`kogge_certs::snapshot`).

mod event;
mod json;
mod parties;
mod refusal;
mod servers;
#[cfg(test)]
mod tests;
mod trust;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use kogge_certs::anchor::{Anchor, AnchorError, Environment};
use kogge_certs::key::PublicKey;
use kogge_certs::snapshot::{
    Delegation, Draft, Member, Policy, SecurityServer, Service, SignedDelegation, Subsystem,
};
use kogge_certs::trust::{ApprovedCa, ApprovedTsa};
use kogge_proto::digest::Sha256;
use kogge_proto::id::{MemberId, SecurityServerId, ServiceId, SubsystemId};
use kogge_proto::time::UnixMillis;

pub use self::event::Change;
pub(crate) use self::event::{Created, Event};
pub(crate) use self::json::digest;
pub use self::refusal::Refusal;

/// Everything that holds after the last decision.
#[derive(Clone, Debug)]
pub struct State {
    instance: String,
    environment: Environment,
    root_keys: Vec<PublicKey>,
    root_threshold: u32,
    signed_delegation: SignedDelegation,
    delegation: Delegation,
    policy: Policy,
    members: BTreeMap<MemberId, Member>,
    subsystems: BTreeMap<SubsystemId, Subsystem>,
    servers: BTreeMap<SecurityServerId, SecurityServer>,
    auth_certificates: BTreeMap<Sha256, SecurityServerId>,
    /// On which servers a subsystem is registered; none without any.
    registrations: BTreeMap<SubsystemId, BTreeSet<SecurityServerId>>,
    services: BTreeMap<ServiceId, Service>,
    cas: BTreeMap<String, ApprovedCa>,
    tsas: BTreeMap<String, ApprovedTsa>,
}

impl State {
    /// The state after the first decision.
    pub(crate) fn create(created: &Created) -> Result<Self, Refusal> {
        let delegation = created
            .delegation
            .verify(&created.instance, &created.root_keys, created.root_threshold)
            .map_err(Refusal::Delegation)?;
        Ok(Self {
            instance: created.instance.clone(),
            environment: created.environment,
            root_keys: created.root_keys.clone(),
            root_threshold: created.root_threshold,
            signed_delegation: created.delegation.clone(),
            delegation,
            policy: created.policy,
            members: BTreeMap::new(),
            subsystems: BTreeMap::new(),
            servers: BTreeMap::new(),
            auth_certificates: BTreeMap::new(),
            registrations: BTreeMap::new(),
            services: BTreeMap::new(),
            cas: BTreeMap::new(),
            tsas: BTreeMap::new(),
        })
    }

    /// Moves on by one decision, or says why it cannot be.
    pub(crate) fn apply(&mut self, event: &Event) -> Result<(), Refusal> {
        match event {
            Event::Created(_) => Err(Refusal::Created),
            Event::Delegated(delegation) => self.delegate(delegation),
            Event::Changed(change) => self.change(change),
        }
    }

    /// The snapshot that follows from this state: a pure function of state, version and time.
    pub(crate) fn draft(&self, version: u64, issued: UnixMillis, lifetime: Duration) -> Draft {
        Draft {
            instance: self.instance.clone(),
            environment: self.environment,
            version,
            issued,
            expires: issued.plus(lifetime),
            policy: self.policy,
            members: self.members.values().cloned().collect(),
            subsystems: self.subsystems.values().cloned().collect(),
            security_servers: self.servers.values().cloned().collect(),
            registrations: self.registrations.clone(),
            cas: self.cas.values().cloned().collect(),
            tsas: self.tsas.values().cloned().collect(),
            services: self.services.values().cloned().collect(),
        }
    }

    /// The anchor of this instance, for a registry that is reached at `url`.
    pub(crate) fn anchor(&self, url: &str) -> Result<Anchor, AnchorError> {
        let (urls, keys) = (vec![url.to_owned()], self.root_keys.clone());
        Anchor::new(&self.instance, self.environment, urls, keys, self.root_threshold)
    }

    /// The instance's code.
    #[must_use]
    pub fn instance(&self) -> &str {
        &self.instance
    }

    /// Test or production.
    #[must_use]
    pub fn environment(&self) -> Environment {
        self.environment
    }

    /// The instance's limits in time.
    #[must_use]
    pub fn policy(&self) -> &Policy {
        &self.policy
    }

    /// The delegation in force.
    #[must_use]
    pub fn delegation(&self) -> &Delegation {
        &self.delegation
    }

    /// All members, by identifier.
    pub fn members(&self) -> impl ExactSizeIterator<Item = &Member> {
        self.members.values()
    }

    /// All subsystems, by identifier.
    pub fn subsystems(&self) -> impl ExactSizeIterator<Item = &Subsystem> {
        self.subsystems.values()
    }

    /// All security servers, by identifier.
    pub fn security_servers(&self) -> impl ExactSizeIterator<Item = &SecurityServer> {
        self.servers.values()
    }

    /// Every subsystem that is registered on a security server, with each of them.
    pub fn registrations(&self) -> impl Iterator<Item = (&SubsystemId, &SecurityServerId)> {
        self.registrations
            .iter()
            .flat_map(|(subsystem, servers)| servers.iter().map(move |server| (subsystem, server)))
    }

    /// All services, by identifier.
    pub fn services(&self) -> impl ExactSizeIterator<Item = &Service> {
        self.services.values()
    }

    /// The approved CAs, by name.
    pub fn cas(&self) -> impl ExactSizeIterator<Item = &ApprovedCa> {
        self.cas.values()
    }

    /// The approved TSAs, by name.
    pub fn tsas(&self) -> impl ExactSizeIterator<Item = &ApprovedTsa> {
        self.tsas.values()
    }

    pub(crate) fn signed_delegation(&self) -> &SignedDelegation {
        &self.signed_delegation
    }

    pub(crate) fn root_keys(&self) -> &[PublicKey] {
        &self.root_keys
    }

    fn delegate(&mut self, signed: &SignedDelegation) -> Result<(), Refusal> {
        let delegation = signed
            .verify(&self.instance, &self.root_keys, self.root_threshold)
            .map_err(Refusal::Delegation)?;
        if delegation.version <= self.delegation.version {
            let (current, offered) = (self.delegation.version, delegation.version);
            return Err(Refusal::DelegationVersion { current, offered });
        }
        (self.signed_delegation, self.delegation) = (signed.clone(), delegation);
        Ok(())
    }

    fn change(&mut self, change: &Change) -> Result<(), Refusal> {
        match change {
            Change::AddMember { member, name } => self.add_member(member, name),
            Change::RenameMember { member, name } => self.rename_member(member, name),
            Change::SuspendMember { member } => self.suspend_member(member, true),
            Change::ResumeMember { member } => self.suspend_member(member, false),
            Change::AddSubsystem { subsystem, name } => self.add_subsystem(subsystem, name),
            Change::RemoveSubsystem { subsystem } => self.remove_subsystem(subsystem),
            Change::AddService { service, title } => self.add_service(service, title),
            Change::RemoveService { service } => self.remove_service(service),
            Change::AddSecurityServer { server, addresses } => self.add_server(server, addresses),
            Change::ChangeAddresses { server, addresses } => self.change_addresses(server, addresses),
            Change::SuspendSecurityServer { server } => self.suspend_server(server, true),
            Change::ResumeSecurityServer { server } => self.suspend_server(server, false),
            Change::RegisterAuthCertificate { server, sha256 } => self.register_certificate(server, *sha256),
            Change::RemoveAuthCertificate { server, sha256 } => self.remove_certificate(server, *sha256),
            Change::RegisterClient { server, subsystem } => self.register_client(server, subsystem),
            Change::UnregisterClient { server, subsystem } => self.unregister_client(server, subsystem),
            Change::ApproveCa(ca) => self.approve_ca(ca),
            Change::RemoveCa { name } => self.remove_ca(name),
            Change::ApproveTsa(tsa) => self.approve_tsa(tsa),
            Change::RemoveTsa { name } => self.remove_tsa(name),
            Change::ChangePolicy(policy) => self.change_policy(*policy),
        }
    }

    /// Identifiers of another instance look like ours in every list that leaves the instance out.
    fn own(&self, member: &MemberId) -> Result<(), Refusal> {
        if member.instance() == self.instance {
            return Ok(());
        }
        Err(Refusal::OtherInstance { id: member.to_string(), instance: self.instance.clone() })
    }
}

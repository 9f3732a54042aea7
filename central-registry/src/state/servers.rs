//! Security servers, their certificates and clients.

use std::collections::BTreeSet;

use kogge_certs::snapshot::SecurityServer;
use kogge_proto::digest::Sha256;
use kogge_proto::id::{SecurityServerId, SubsystemId};

use super::parties::condition;
use super::{Refusal, State};

impl State {
    pub(super) fn add_server(&mut self, id: &SecurityServerId, addresses: &[String]) -> Result<(), Refusal> {
        let owner = self.known_member(id.owner())?;
        if self.servers.contains_key(id) {
            return Err(Refusal::Exists { what: "security server", id: id.to_string() });
        }
        let id = &SecurityServerId::new(owner, id.code()).unwrap_or_else(|_| id.clone());
        let server = SecurityServer {
            id: id.clone(),
            addresses: addresses.to_vec(),
            auth_certificates: Vec::new(),
            suspended: false,
        };
        self.servers.insert(id.clone(), server);
        Ok(())
    }

    pub(super) fn change_addresses(
        &mut self,
        id: &SecurityServerId,
        addresses: &[String],
    ) -> Result<(), Refusal> {
        let server = self.server_mut(id)?;
        if server.addresses == addresses {
            let condition = "reached there";
            return Err(Refusal::Already { what: "security server", id: id.to_string(), condition });
        }
        server.addresses = addresses.to_vec();
        Ok(())
    }

    pub(super) fn suspend_server(&mut self, id: &SecurityServerId, suspended: bool) -> Result<(), Refusal> {
        let server = self.server_mut(id)?;
        if server.suspended == suspended {
            let condition = condition(suspended);
            return Err(Refusal::Already { what: "security server", id: id.to_string(), condition });
        }
        server.suspended = suspended;
        Ok(())
    }

    pub(super) fn register_certificate(
        &mut self,
        id: &SecurityServerId,
        certificate: Sha256,
    ) -> Result<(), Refusal> {
        self.server_mut(id)?;
        if let Some(server) = self.auth_certificates.get(&certificate) {
            return Err(Refusal::CertificateTaken { certificate, server: server.clone() });
        }
        let server = self.server_mut(id)?;
        server.auth_certificates.push(certificate);
        let id = server.id.clone();
        self.auth_certificates.insert(certificate, id);
        Ok(())
    }

    pub(super) fn remove_certificate(
        &mut self,
        id: &SecurityServerId,
        certificate: Sha256,
    ) -> Result<(), Refusal> {
        let server = self.server_mut(id)?;
        let Some(place) = server.auth_certificates.iter().position(|each| *each == certificate) else {
            let id = format!("{certificate} of {id}");
            return Err(Refusal::Unknown { what: "authentication certificate", id });
        };
        server.auth_certificates.remove(place);
        self.auth_certificates.remove(&certificate);
        Ok(())
    }

    pub(super) fn register_client(
        &mut self,
        id: &SecurityServerId,
        subsystem: &SubsystemId,
    ) -> Result<(), Refusal> {
        let known = self.known_subsystem(subsystem)?;
        let server = self.server_mut(id)?.id.clone();
        if !self.registrations.entry(known).or_default().insert(server) {
            return Err(Refusal::Exists { what: "client", id: format!("{subsystem} of {id}") });
        }
        Ok(())
    }

    pub(super) fn unregister_client(
        &mut self,
        id: &SecurityServerId,
        subsystem: &SubsystemId,
    ) -> Result<(), Refusal> {
        self.server_mut(id)?;
        let servers = self.registrations.get_mut(subsystem);
        if !servers.is_some_and(|servers| servers.remove(id)) {
            return Err(Refusal::Unknown { what: "client", id: format!("{subsystem} of {id}") });
        }
        if self.registrations.get(subsystem).is_some_and(BTreeSet::is_empty) {
            self.registrations.remove(subsystem);
        }
        Ok(())
    }

    fn server_mut(&mut self, id: &SecurityServerId) -> Result<&mut SecurityServer, Refusal> {
        self.own(id.owner())?;
        self.servers
            .get_mut(id)
            .ok_or_else(|| Refusal::Unknown { what: "security server", id: id.to_string() })
    }
}

//! Members, subsystems, security servers and services.

use std::collections::{BTreeSet, HashMap, HashSet};

use kogge_proto::digest::Sha256;
use kogge_proto::id::{MemberId, SecurityServerId, ServiceId, SubsystemId};
use kogge_proto::wire::registry as wire;

use super::{Listed, at_most, limits, name, text};
use crate::snapshot::{ContentError, Member, Place, SecurityServer, Service, Subsystem, check_address};

type Members = Listed<MemberId, Member>;
type Subsystems = Listed<SubsystemId, Subsystem>;

/// The servers and what is found through them.
pub(super) struct Servers {
    pub(super) listed: Listed<SecurityServerId, SecurityServer>,
    pub(super) auth_index: HashMap<Sha256, Place>,
    pub(super) provider_index: HashMap<SubsystemId, Vec<Place>>,
}

pub(super) fn members(instance: &str, wire: &[wire::Member]) -> Result<(Members, Subsystems), ContentError> {
    at_most(wire, limits::MEMBERS_MAX, "members")?;
    let subsystem_count = wire.iter().map(|member| member.subsystems.len()).sum();
    if subsystem_count > limits::SUBSYSTEMS_MAX {
        return Err(ContentError::TooMany { what: "subsystems", max: limits::SUBSYSTEMS_MAX });
    }
    let mut members = Listed::with_capacity(wire.len());
    let mut subsystems = Listed::with_capacity(subsystem_count);
    for member in wire {
        let id = MemberId::new(instance, &member.member_class, &member.member_code)?;
        let member_name = name(&member.name, || format!("the member {id}"))?;
        let entry = Member { id: id.clone(), name: member_name, suspended: member.suspended };
        members.add("member", &id, entry)?;
        for subsystem in &member.subsystems {
            let id = SubsystemId::new(id.clone(), &subsystem.subsystem_code)?;
            let name = text(&subsystem.name, "name", || format!("the subsystem {id}"))?;
            subsystems.add("subsystem", &id, Subsystem { id: id.clone(), name })?;
        }
    }
    Ok((members, subsystems))
}

pub(super) fn servers(
    instance: &str,
    wire: &[wire::SecurityServer],
    members: &Members,
    subsystems: &Subsystems,
) -> Result<Servers, ContentError> {
    at_most(wire, limits::SERVERS_MAX, "security servers")?;
    let mut servers = Servers {
        listed: Listed::with_capacity(wire.len()),
        auth_index: HashMap::with_capacity(wire.len()),
        provider_index: HashMap::with_capacity(subsystems.list.len()),
    };
    for server in wire {
        let owner = MemberId::new(instance, &server.owner_class, &server.owner_code)?;
        let from = || format!("the security server {owner}/{}", server.server_code);
        let id = SecurityServerId::new(members.shared(&owner, "member", from)?, &server.server_code)?;
        let entry = SecurityServer {
            id: id.clone(),
            addresses: addresses(&id, &server.addresses)?,
            auth_certificates: auth_certificates(&id, &server.auth_certificate_sha256)?,
            clients: clients(instance, &id, &server.clients, subsystems)?,
            suspended: server.suspended,
        };
        servers.add(entry)?;
    }
    Ok(servers)
}

pub(super) fn services(
    instance: &str,
    wire: &[wire::Service],
    subsystems: &Subsystems,
) -> Result<Listed<ServiceId, Service>, ContentError> {
    at_most(wire, limits::SERVICES_MAX, "services")?;
    let mut services = Listed::with_capacity(wire.len());
    for service in wire {
        let member = MemberId::new(instance, &service.member_class, &service.member_code)?;
        let subsystem = SubsystemId::new(member, &service.subsystem_code)?;
        let from = || format!("the service {subsystem}/{}", service.service_code);
        let id = ServiceId::new(subsystems.shared(&subsystem, "subsystem", from)?, &service.service_code)?;
        let title = text(&service.title, "title", || format!("the service {id}"))?;
        services.add("service", &id, Service { id: id.clone(), title })?;
    }
    Ok(services)
}

impl Servers {
    fn add(&mut self, server: SecurityServer) -> Result<(), ContentError> {
        let id = server.id.clone();
        let certificates = server.auth_certificates.clone();
        let clients: Vec<SubsystemId> = server.clients.iter().cloned().collect();
        let place = self.listed.add("security server", &id, server)?;
        for certificate in certificates {
            // Two servers with one certificate could not be told apart at the handshake.
            if self.auth_index.insert(certificate, place).is_some() {
                let id = certificate.to_string();
                return Err(ContentError::Duplicate { what: "authentication certificate", id });
            }
        }
        for client in clients {
            self.provider_index.entry(client).or_default().push(place);
        }
        Ok(())
    }
}

fn addresses(id: &SecurityServerId, wire: &[String]) -> Result<Vec<String>, ContentError> {
    if wire.is_empty() {
        return Err(ContentError::Missing { what: "address", of: format!("the security server {id}") });
    }
    at_most(wire, limits::ADDRESSES_MAX, "addresses of one security server")?;
    let mut seen = HashSet::with_capacity(wire.len());
    for address in wire {
        check_address(address)?;
        if !seen.insert(address) {
            return Err(ContentError::Duplicate { what: "address", id: format!("{address} of {id}") });
        }
    }
    Ok(wire.to_vec())
}

fn auth_certificates(id: &SecurityServerId, wire: &[Vec<u8>]) -> Result<Vec<Sha256>, ContentError> {
    at_most(wire, limits::AUTH_CERTIFICATES_MAX, "authentication certificates of one security server")?;
    wire.iter()
        .map(|digest| {
            Sha256::from_slice(digest)
                .ok_or_else(|| ContentError::Digest { of: format!("the security server {id}") })
        })
        .collect()
}

fn clients(
    instance: &str,
    server: &SecurityServerId,
    wire: &[wire::SubsystemRef],
    subsystems: &Subsystems,
) -> Result<BTreeSet<SubsystemId>, ContentError> {
    at_most(wire, limits::CLIENTS_MAX, "clients of one security server")?;
    let mut clients = BTreeSet::new();
    for client in wire {
        let member = MemberId::new(instance, &client.member_class, &client.member_code)?;
        let id = SubsystemId::new(member, &client.subsystem_code)?;
        let shared = subsystems.shared(&id, "subsystem", || format!("the security server {server}"))?;
        if !clients.insert(shared) {
            return Err(ContentError::Duplicate { what: "client", id: format!("{id} of {server}") });
        }
    }
    Ok(clients)
}

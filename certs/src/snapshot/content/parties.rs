//! Finding members, servers, subsystems and services in the snapshot's own bytes.
//!
//! Memory holds where each record lies and nothing of what it says: four bytes for a service, eight for a subsystem, twelve for a member,
//! twenty for a server, and two hash tables of eight bytes a slot. Members and certificates are found through those, all else by binary
//! search among what its member or subsystem has. So a look-up costs the same in an instance of ten members and of a hundred thousand.

use std::sync::OnceLock;

use bytes::Bytes;
use kogge_proto::digest::Sha256;
use kogge_proto::id::{MemberId, SecurityServerId, ServiceId, SubsystemId};

use super::record::{self, MemberKey, MemberRecord, Reference};
use super::table::{Seed, Table};
use super::walk::digest_at;
use crate::snapshot::cursor::Cursor;
use crate::snapshot::{Member, SecurityServer, Service, Subsystem};

/// All parties, in bytes that were walked over and found good.
#[derive(Debug)]
pub(in crate::snapshot) struct Parties {
    bytes: Bytes,
    index: Index,
    /// Servers that somebody has asked for: few of many, and those again and again.
    decoded: Box<[OnceLock<Box<SecurityServer>>]>,
}

/// Where everything is, in the order in which it stands.
#[derive(Debug)]
pub(super) struct Index {
    pub(super) instance: String,
    pub(super) seed: Seed,
    pub(super) members: Box<[MemberEntry]>,
    /// Members by class and code.
    pub(super) by_key: Table,
    pub(super) subsystems: Box<[SubsystemEntry]>,
    pub(super) servers: Box<[u32]>,
    /// Digests of authentication certificates.
    pub(super) by_certificate: Table,
    pub(super) services: Box<[u32]>,
}

/// A member's record, and where what it has begins in the lists of servers and subsystems.
#[derive(Clone, Copy, Debug)]
pub(super) struct MemberEntry {
    pub(super) place: u32,
    pub(super) first_server: u32,
    pub(super) first_subsystem: u32,
}

/// A subsystem's record, and where its services begin.
#[derive(Clone, Copy, Debug)]
pub(super) struct SubsystemEntry {
    pub(super) place: u32,
    pub(super) first_service: u32,
}

impl Parties {
    pub(super) fn new(bytes: Bytes, index: Index) -> Self {
        let decoded = index.servers.iter().map(|_| OnceLock::new()).collect();
        Self { bytes, index, decoded }
    }

    pub(in crate::snapshot) fn member(&self, id: &MemberId) -> Option<Member> {
        let record = self.member_record(self.find_member(id)?)?;
        Some(Member { id: id.clone(), name: text(record.name)?, suspended: record.suspended })
    }

    /// Whether the member exists and is not suspended.
    pub(in crate::snapshot) fn member_active(&self, id: &MemberId) -> bool {
        self.find_member(id).is_some_and(|member| self.takes_part(member))
    }

    pub(in crate::snapshot) fn subsystem(&self, id: &SubsystemId) -> Option<Subsystem> {
        let (_, subsystem) = self.find_subsystem(id)?;
        let mut record = self.subsystem_record(subsystem)?;
        Some(Subsystem { id: id.clone(), name: text(record::label(&mut record).ok()?)? })
    }

    /// Whether the subsystem exists and its member is not suspended.
    pub(in crate::snapshot) fn subsystem_active(&self, id: &SubsystemId) -> bool {
        self.find_subsystem(id).is_some_and(|(member, _)| self.takes_part(member))
    }

    pub(in crate::snapshot) fn server(&self, id: &SecurityServerId) -> Option<&SecurityServer> {
        let owner = self.find_member(id.owner())?;
        self.decoded(owner, self.server_of(owner, id.code().as_bytes())?)
    }

    pub(in crate::snapshot) fn server_by_certificate(&self, certificate: &Sha256) -> Option<&SecurityServer> {
        let hash = self.index.seed.hash(&[&certificate.0]);
        let same = |place| digest_at(&self.bytes, place) == certificate.0;
        let place = self.index.by_certificate.find(hash, same)?;
        // The server in whose record the digest lies, and the member in whose record the server lies.
        let server = self.index.servers.partition_point(|server| *server < place).checked_sub(1)?;
        let owner = self.index.members.partition_point(|member| member.place < place).checked_sub(1)?;
        self.decoded(owner, server)
    }

    pub(in crate::snapshot) fn service(&self, id: &ServiceId) -> Option<Service> {
        let mut record = self.open(*self.index.services.get(self.find_service(id)?)?)?;
        record::code(&mut record).ok()?;
        Some(Service { id: id.clone(), title: text(record::label(&mut record).ok()?)? })
    }

    pub(in crate::snapshot) fn has_service(&self, id: &ServiceId) -> bool {
        self.find_service(id).is_some()
    }

    /// The active servers on which a subsystem of an active member is registered.
    pub(in crate::snapshot) fn providers<'a>(
        &'a self,
        id: &SubsystemId,
    ) -> impl Iterator<Item = &'a SecurityServer> {
        let found = self.find_subsystem(id).filter(|(member, _)| self.takes_part(*member));
        found.into_iter().flat_map(move |(member, subsystem)| {
            self.registered_on(subsystem)
                .filter_map(move |reference| self.resolve(member, &reference))
                .filter(move |(owner, server)| !server.suspended && self.takes_part(*owner))
                .map(|(_, server)| server)
        })
    }

    pub(in crate::snapshot) fn members(&self) -> impl Iterator<Item = Member> {
        (0..self.index.members.len()).filter_map(move |member| {
            let (id, record) = self.member_id(member)?;
            Some(Member { id, name: text(record.name)?, suspended: record.suspended })
        })
    }

    pub(in crate::snapshot) fn subsystems(&self) -> impl Iterator<Item = Subsystem> {
        self.subsystem_ids().filter_map(move |(_, subsystem, id)| {
            let mut record = self.subsystem_record(subsystem)?;
            Some(Subsystem { id, name: text(record::label(&mut record).ok()?)? })
        })
    }

    pub(in crate::snapshot) fn servers(&self) -> impl Iterator<Item = SecurityServer> {
        (0..self.index.members.len()).flat_map(move |owner| {
            self.servers_of(owner).filter_map(move |server| self.decode(owner, server))
        })
    }

    pub(in crate::snapshot) fn services(&self) -> impl Iterator<Item = Service> {
        self.subsystem_ids().flat_map(move |(_, subsystem, id)| {
            self.services_of(subsystem).filter_map(move |service| {
                let mut record = self.open(*self.index.services.get(service)?)?;
                let code = std::str::from_utf8(record::code(&mut record).ok()?).ok()?;
                let title = text(record::label(&mut record).ok()?)?;
                Some(Service { id: ServiceId::new(id.clone(), code).ok()?, title })
            })
        })
    }

    /// Every subsystem with each server that it is registered on.
    pub(in crate::snapshot) fn registrations(&self) -> impl Iterator<Item = (SubsystemId, SecurityServerId)> {
        self.subsystem_ids().flat_map(move |(member, subsystem, id)| {
            self.registered_on(subsystem).filter_map(move |reference| {
                let key = self.key(member)?;
                let server = reference.server_id(&self.index.instance, key).ok()?;
                Some((id.clone(), server))
            })
        })
    }

    fn subsystem_ids(&self) -> impl Iterator<Item = (usize, usize, SubsystemId)> {
        (0..self.index.members.len()).flat_map(move |member| {
            let id = self.member_id(member).map(|(id, _)| id);
            self.subsystems_of(member).filter_map(move |subsystem| {
                let entry = self.index.subsystems.get(subsystem)?;
                let code = std::str::from_utf8(record::code(&mut self.open(entry.place)?).ok()?).ok()?;
                Some((member, subsystem, SubsystemId::new(id.clone()?, code).ok()?))
            })
        })
    }

    fn find_member(&self, id: &MemberId) -> Option<usize> {
        let key = MemberKey { class: id.class().as_bytes(), code: id.code().as_bytes() };
        if id.instance() == self.index.instance { self.find_key(key) } else { None }
    }

    /// The place of a member in the list.
    pub(super) fn find_key(&self, key: MemberKey<'_>) -> Option<usize> {
        let same = |member: u32| self.key(member as usize).is_some_and(|found| found == key);
        self.index.by_key.find(key.hash(self.index.seed), same).map(|member| member as usize)
    }

    /// The place of an owner's server in the list.
    pub(super) fn server_of(&self, owner: usize, code: &[u8]) -> Option<usize> {
        let servers = self.servers_of(owner);
        let places = self.index.servers.get(servers.clone())?;
        Some(servers.start + record::find(&self.bytes, places, code)?)
    }

    /// The places of a member and of one of its subsystems in their lists.
    fn find_subsystem(&self, id: &SubsystemId) -> Option<(usize, usize)> {
        let member = self.find_member(id.member())?;
        let subsystems = self.subsystems_of(member);
        let entries = self.index.subsystems.get(subsystems.clone())?;
        let code = id.code().as_bytes();
        let found = entries.binary_search_by(|entry| record::compare(&self.bytes, entry.place, code)).ok()?;
        Some((member, subsystems.start + found))
    }

    fn find_service(&self, id: &ServiceId) -> Option<usize> {
        let (_, subsystem) = self.find_subsystem(id.subsystem())?;
        let services = self.services_of(subsystem);
        let places = self.index.services.get(services.clone())?;
        Some(services.start + record::find(&self.bytes, places, id.code().as_bytes())?)
    }

    fn servers_of(&self, member: usize) -> std::ops::Range<usize> {
        range(&self.index.members, member, |entry| entry.first_server, self.index.servers.len())
    }

    fn subsystems_of(&self, member: usize) -> std::ops::Range<usize> {
        range(&self.index.members, member, |entry| entry.first_subsystem, self.index.subsystems.len())
    }

    fn services_of(&self, subsystem: usize) -> std::ops::Range<usize> {
        range(&self.index.subsystems, subsystem, |entry| entry.first_service, self.index.services.len())
    }

    /// What a subsystem of `member` refers to, and who owns it.
    fn resolve(&self, member: usize, reference: &Reference<'_>) -> Option<(usize, &SecurityServer)> {
        let owner = if reference.is_own() { member } else { self.find_key(reference.owner)? };
        Some((owner, self.decoded(owner, self.server_of(owner, reference.code)?)?))
    }

    fn registered_on(&self, subsystem: usize) -> impl Iterator<Item = Reference<'_>> {
        let mut record = self.subsystem_record(subsystem);
        if let Some(record) = &mut record {
            let _ = record::label(record);
        }
        std::iter::from_fn(move || {
            let found = record.as_mut()?.repeated(record::REFERENCES).ok()??;
            Reference::read(found).ok()
        })
    }

    fn takes_part(&self, member: usize) -> bool {
        self.member_record(member).is_some_and(|record| !record.suspended)
    }

    fn decoded(&self, owner: usize, server: usize) -> Option<&SecurityServer> {
        let slot = self.decoded.get(server)?;
        if let Some(server) = slot.get() {
            return Some(server);
        }
        let server = self.decode(owner, server)?;
        Some(slot.get_or_init(|| Box::new(server)))
    }

    fn decode(&self, owner: usize, server: usize) -> Option<SecurityServer> {
        let (owner, _) = self.member_id(owner)?;
        let mut record = self.open(*self.index.servers.get(server)?)?;
        let code = std::str::from_utf8(record::code(&mut record).ok()?).ok()?;
        let (mut addresses, mut auth_certificates) = (Vec::new(), Vec::new());
        let suspended = record::server_lists(
            &mut record,
            |address| {
                addresses.push(address.as_text()?.to_owned());
                Ok::<_, super::Irregular>(())
            },
            |digest| {
                auth_certificates.extend(Sha256::from_slice(digest.rest()));
                Ok(())
            },
        );
        let (id, suspended) = (SecurityServerId::new(owner, code).ok()?, suspended.ok()?);
        Some(SecurityServer { id, addresses, auth_certificates, suspended })
    }

    fn member_id(&self, member: usize) -> Option<(MemberId, MemberRecord<'_>)> {
        let record = self.member_record(member)?;
        Some((record.key.id(&self.index.instance).ok()?, record))
    }

    fn member_record(&self, member: usize) -> Option<MemberRecord<'_>> {
        MemberRecord::read(&mut self.open(self.index.members.get(member)?.place)?).ok()
    }

    fn key(&self, member: usize) -> Option<MemberKey<'_>> {
        MemberKey::read(&mut self.open(self.index.members.get(member)?.place)?).ok()
    }

    /// A subsystem's record, after its code.
    fn subsystem_record(&self, subsystem: usize) -> Option<Cursor<'_>> {
        let mut cursor = self.open(self.index.subsystems.get(subsystem)?.place)?;
        record::code(&mut cursor).ok()?;
        Some(cursor)
    }

    /// What was walked over can be read again: `None` never comes of a place in the index.
    fn open(&self, place: u32) -> Option<Cursor<'_>> {
        Cursor::inside(&self.bytes, place).ok()
    }
}

/// From the first one of this entry to the first one of the next entry.
fn range<T>(entries: &[T], place: usize, first: impl Fn(&T) -> u32, end: usize) -> std::ops::Range<usize> {
    let bound = |entry: Option<&T>| entry.map_or(end, |entry| first(entry) as usize);
    bound(entries.get(place))..bound(entries.get(place + 1))
}

fn text(cursor: Cursor<'_>) -> Option<String> {
    cursor.as_text().ok().map(str::to_owned)
}

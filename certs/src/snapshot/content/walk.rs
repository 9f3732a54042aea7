//! One walk over all members, which checks everything that is said of them and notes where it lies.
//!
//! Nothing is copied or decoded: a snapshot of 100,000 members is walked in the time that hashing it takes. Because everything stands in
//! order, a thing that is there twice stands beside itself. References to servers of other members, and authentication certificates, are
//! looked at when the walk is over.

use bytes::Bytes;
use kogge_proto::digest::Sha256;
use kogge_proto::id::{MemberId, SecurityServerId, ServiceId, SubsystemId, check_code};

use super::parties::{Index, MemberEntry, Parties, SubsystemEntry};
use super::record::{self, MemberKey, MemberRecord, Reference};
use super::table::{Seed, Table};
use super::{check_text, limits};
use crate::snapshot::cursor::{Cursor, Irregular};
use crate::snapshot::{ContentError, SnapshotError, check_address};

/// What the walk has noted so far.
pub(super) struct Walk<'a> {
    instance: &'a str,
    bytes: &'a [u8],
    members: Vec<MemberEntry>,
    subsystems: Vec<SubsystemEntry>,
    servers: Vec<u32>,
    services: Vec<u32>,
    /// Digests of authentication certificates.
    certificates: Vec<u32>,
    abroad: Vec<Abroad<'a>>,
}

/// A reference to a server of another member, with the subsystem that has it.
struct Abroad<'a> {
    member: MemberKey<'a>,
    subsystem: &'a [u8],
    reference: Reference<'a>,
}

impl<'a> Walk<'a> {
    /// Walks over the members that `cursor` has come to in `bytes`, whose digest seeds the hashes.
    pub(super) fn over(
        instance: &'a str,
        bytes: &'a Bytes,
        mut cursor: Cursor<'a>,
        digest: &Sha256,
    ) -> Result<Parties, SnapshotError> {
        let mut walk = Self {
            instance,
            bytes,
            members: Vec::new(),
            subsystems: Vec::new(),
            servers: Vec::new(),
            services: Vec::new(),
            certificates: Vec::new(),
            abroad: Vec::new(),
        };
        let mut last = None;
        while let Some(found) = cursor.repeated(super::MEMBERS)? {
            last = Some(walk.member(found, last)?);
        }
        cursor.finish()?;
        let (index, abroad) = walk.end(Seed::of(&digest.0))?;
        let parties = Parties::new(bytes.clone(), index);
        check_abroad(&parties, instance, &abroad)?;
        Ok(parties)
    }

    /// Returns its key for the next one to be compared with.
    fn member(
        &mut self,
        mut cursor: Cursor<'a>,
        last: Option<MemberKey<'a>>,
    ) -> Result<MemberKey<'a>, SnapshotError> {
        add(&mut self.members, limits::MEMBERS_MAX, "members", || MemberEntry {
            place: cursor.place(),
            first_server: count(&self.servers),
            first_subsystem: count(&self.subsystems),
        })?;
        let MemberRecord { key, name, suspended: _ } = MemberRecord::read(&mut cursor)?;
        check(key.class)?;
        check(key.code)?;
        in_order(last, key, "member", || Ok(self.member_id(key)?.to_string()))?;
        if name.rest().is_empty() {
            let of = format!("the member {}", self.member_id(key)?);
            return Err(ContentError::Missing { what: "name", of }.into());
        }
        check_text(name, "name", || Ok(format!("the member {}", self.member_id(key)?)))?;
        let mut last = None;
        while let Some(found) = cursor.repeated(record::SERVERS)? {
            last = Some(self.server(key, found, last)?);
        }
        let mut last = None;
        while let Some(found) = cursor.repeated(record::SUBSYSTEMS)? {
            last = Some(self.subsystem(key, found, last)?);
        }
        cursor.finish()?;
        Ok(key)
    }

    fn server(
        &mut self,
        owner: MemberKey<'a>,
        mut cursor: Cursor<'a>,
        last: Option<&'a [u8]>,
    ) -> Result<&'a [u8], SnapshotError> {
        add(&mut self.servers, limits::SERVERS_MAX, "security servers", || cursor.place())?;
        let code = record::code(&mut cursor)?;
        check(code)?;
        let (instance, certificates) = (self.instance, &mut self.certificates);
        let id = || server_id(instance, owner, code);
        in_order(last, code, "security server", || Ok(id()?.to_string()))?;
        let mut addresses = Addresses::default();
        let before = certificates.len();
        record::server_lists(
            &mut cursor,
            |found| addresses.add(found.as_text()?, &id),
            |found| {
                if certificates.len() - before == limits::AUTH_CERTIFICATES_MAX {
                    let what = "authentication certificates of one security server";
                    return Err(ContentError::TooMany { what, max: limits::AUTH_CERTIFICATES_MAX }.into());
                }
                if found.rest().len() != Sha256::LEN {
                    return Err(ContentError::Digest { of: format!("the security server {}", id()?) }.into());
                }
                certificates.push(position(&found));
                Ok(())
            },
        )?;
        if addresses.0.first().is_none_or(Option::is_none) {
            let of = format!("the security server {}", id()?);
            return Err(ContentError::Missing { what: "address", of }.into());
        }
        cursor.finish()?;
        Ok(code)
    }

    fn subsystem(
        &mut self,
        member: MemberKey<'a>,
        mut cursor: Cursor<'a>,
        last: Option<&'a [u8]>,
    ) -> Result<&'a [u8], SnapshotError> {
        add(&mut self.subsystems, limits::SUBSYSTEMS_MAX, "subsystems", || SubsystemEntry {
            place: cursor.place(),
            first_service: count(&self.services),
        })?;
        let code = record::code(&mut cursor)?;
        check(code)?;
        let id = || subsystem_id(self.instance, member, code);
        in_order(last, code, "subsystem", || Ok(id()?.to_string()))?;
        check_text(record::label(&mut cursor)?, "name", || Ok(format!("the subsystem {}", id()?)))?;
        self.references(member, code, &mut cursor)?;
        let mut last = None;
        while let Some(found) = cursor.repeated(record::SERVICES)? {
            last = Some(self.service(member, code, found, last)?);
        }
        cursor.finish()?;
        Ok(code)
    }

    /// The servers that a subsystem is registered on.
    fn references(
        &mut self,
        member: MemberKey<'a>,
        subsystem: &'a [u8],
        cursor: &mut Cursor<'a>,
    ) -> Result<(), SnapshotError> {
        let own = self.members.last().map_or(0, |entry| entry.first_server as usize);
        let (mut last, mut number) = (None, 0);
        while let Some(found) = cursor.repeated(record::REFERENCES)? {
            number += 1;
            if number > limits::SERVERS_OF_SUBSYSTEM_MAX {
                let (what, max) = ("security servers of one subsystem", limits::SERVERS_OF_SUBSYSTEM_MAX);
                return Err(ContentError::TooMany { what, max }.into());
            }
            let reference = Reference::read(found)?;
            let server = || reference.server_id(self.instance, member);
            in_order(last, reference, "client", || {
                Ok(format!("{} of {}", subsystem_id(self.instance, member, subsystem)?, server()?))
            })?;
            last = Some(reference);
            if reference.is_own() {
                let places = self.servers.get(own..).unwrap_or_default();
                if record::find(self.bytes, places, reference.code).is_none() {
                    return Err(dangling(self.instance, member, subsystem, &reference)?.into());
                }
            } else if reference.owner == member {
                // A server of the own member has the short form and no other.
                return Err(Irregular::NotCanonical.into());
            } else {
                self.abroad.push(Abroad { member, subsystem, reference });
            }
        }
        Ok(())
    }

    fn service(
        &mut self,
        member: MemberKey<'a>,
        subsystem: &'a [u8],
        mut cursor: Cursor<'a>,
        last: Option<&'a [u8]>,
    ) -> Result<&'a [u8], SnapshotError> {
        add(&mut self.services, limits::SERVICES_MAX, "services", || cursor.place())?;
        let code = record::code(&mut cursor)?;
        check(code)?;
        let id = || -> Result<ServiceId, SnapshotError> {
            let subsystem = subsystem_id(self.instance, member, subsystem)?;
            Ok(ServiceId::new(subsystem, text(code)?).map_err(ContentError::from)?)
        };
        in_order(last, code, "service", || Ok(id()?.to_string()))?;
        check_text(record::label(&mut cursor)?, "title", || Ok(format!("the service {}", id()?)))?;
        cursor.finish()?;
        Ok(code)
    }

    /// Hashes what is found by its hash; a certificate that is there twice is seen here.
    fn end(self, seed: Seed) -> Result<(Index, Vec<Abroad<'a>>), SnapshotError> {
        let mut by_certificate = Table::with_capacity(self.certificates.len());
        for place in &self.certificates {
            let digest = digest_at(self.bytes, *place);
            // Two servers with one certificate could not be told apart at the handshake.
            by_certificate
                .insert(seed.hash(&[digest]), *place, |other| digest_at(self.bytes, other) == digest)
                .map_err(|_| ContentError::Duplicate {
                    what: "authentication certificate",
                    id: hex::encode(digest),
                })?;
        }
        let mut by_key = Table::with_capacity(self.members.len());
        for (number, entry) in (0..).zip(&self.members) {
            let key = MemberKey::read(&mut Cursor::inside(self.bytes, entry.place)?)?;
            // No two are the same: each stood after the one before.
            let _ = by_key.insert(key.hash(seed), number, |_| false);
        }
        let index = Index {
            instance: self.instance.to_owned(),
            seed,
            members: self.members.into(),
            by_key,
            subsystems: self.subsystems.into(),
            servers: self.servers.into(),
            by_certificate,
            services: self.services.into(),
        };
        Ok((index, self.abroad))
    }

    fn member_id(&self, key: MemberKey<'_>) -> Result<MemberId, SnapshotError> {
        key.id(self.instance)
    }
}

/// What can be looked at only when everything is known.
fn check_abroad(parties: &Parties, instance: &str, abroad: &[Abroad<'_>]) -> Result<(), SnapshotError> {
    for Abroad { member, subsystem, reference } in abroad {
        let owner = parties.find_key(reference.owner);
        if owner.and_then(|owner| parties.server_of(owner, reference.code)).is_none() {
            return Err(dangling(instance, *member, subsystem, reference)?.into());
        }
    }
    Ok(())
}

/// The addresses of one server so far.
#[derive(Default)]
struct Addresses<'a>([Option<&'a str>; limits::ADDRESSES_MAX]);

impl<'a> Addresses<'a> {
    fn add(
        &mut self,
        address: &'a str,
        id: &impl Fn() -> Result<SecurityServerId, SnapshotError>,
    ) -> Result<(), SnapshotError> {
        check_address(address).map_err(ContentError::from)?;
        if self.0.contains(&Some(address)) {
            let id = format!("{address} of {}", id()?);
            return Err(ContentError::Duplicate { what: "address", id }.into());
        }
        let free = self.0.iter_mut().find(|place| place.is_none());
        let what = "addresses of one security server";
        *free.ok_or(ContentError::TooMany { what, max: limits::ADDRESSES_MAX })? = Some(address);
        Ok(())
    }
}

impl MemberKey<'_> {
    pub(super) fn id(&self, instance: &str) -> Result<MemberId, SnapshotError> {
        Ok(MemberId::new(instance, text(self.class)?, text(self.code)?).map_err(ContentError::from)?)
    }

    pub(super) fn hash(&self, seed: Seed) -> u64 {
        seed.hash(&[self.class, self.code])
    }
}

impl Reference<'_> {
    /// As seen from a subsystem of `member`.
    pub(super) fn server_id(
        &self,
        instance: &str,
        member: MemberKey<'_>,
    ) -> Result<SecurityServerId, SnapshotError> {
        server_id(instance, if self.is_own() { member } else { self.owner }, self.code)
    }
}

fn dangling(
    instance: &str,
    member: MemberKey<'_>,
    subsystem: &[u8],
    reference: &Reference<'_>,
) -> Result<ContentError, SnapshotError> {
    Ok(ContentError::Dangling {
        from: format!("the subsystem {}", subsystem_id(instance, member, subsystem)?),
        what: "security server",
        id: reference.server_id(instance, member)?.to_string(),
    })
}

fn server_id(instance: &str, owner: MemberKey<'_>, code: &[u8]) -> Result<SecurityServerId, SnapshotError> {
    Ok(SecurityServerId::new(owner.id(instance)?, text(code)?).map_err(ContentError::from)?)
}

fn subsystem_id(instance: &str, member: MemberKey<'_>, code: &[u8]) -> Result<SubsystemId, SnapshotError> {
    Ok(SubsystemId::new(member.id(instance)?, text(code)?).map_err(ContentError::from)?)
}

/// The 32 bytes at `place`.
pub(super) fn digest_at(bytes: &[u8], place: u32) -> &[u8] {
    let place = place as usize;
    bytes.get(place..place + Sha256::LEN).unwrap_or_default()
}

fn check(code: &[u8]) -> Result<(), SnapshotError> {
    let code = std::str::from_utf8(code).map_err(|_| Irregular::Malformed)?;
    Ok(check_code(code).map_err(ContentError::from)?)
}

/// Only of codes that were checked, or to say what is wrong with them.
fn text(code: &[u8]) -> Result<&str, SnapshotError> {
    std::str::from_utf8(code).map_err(|_| Irregular::Malformed.into())
}

/// Adds to a list that may not become longer than `max`.
fn add<T>(
    list: &mut Vec<T>,
    max: usize,
    what: &'static str,
    entry: impl FnOnce() -> T,
) -> Result<(), ContentError> {
    if list.len() == max {
        return Err(ContentError::TooMany { what, max });
    }
    list.push(entry());
    Ok(())
}

/// Each one after the one before, and none twice.
fn in_order<K: Copy + Ord>(
    last: Option<K>,
    key: K,
    what: &'static str,
    id: impl FnOnce() -> Result<String, SnapshotError>,
) -> Result<(), SnapshotError> {
    match last.map(|last| last.cmp(&key)) {
        None | Some(std::cmp::Ordering::Less) => Ok(()),
        Some(std::cmp::Ordering::Equal) => Err(ContentError::Duplicate { what, id: id()? }.into()),
        Some(std::cmp::Ordering::Greater) => Err(ContentError::Order { what, id: id()? }.into()),
    }
}

/// Nothing reaches four billion entries: each list has a limit.
fn count<T>(list: &[T]) -> u32 {
    u32::try_from(list.len()).unwrap_or(u32::MAX)
}

/// No snapshot reaches four gigabytes: that is checked before it is read.
fn position(cursor: &Cursor<'_>) -> u32 {
    u32::try_from(cursor.position()).unwrap_or(u32::MAX)
}

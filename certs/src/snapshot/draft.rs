//! Making snapshots: what the registry publishes. The same content rules hold as for reading.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bytes::Bytes;
use kogge_proto::digest::sha256;
use kogge_proto::id::{MemberId, SecurityServerId, SubsystemId};
use kogge_proto::time::UnixMillis;
use kogge_proto::wire::registry as wire;
use prost::Message;

use super::delegation::{Delegation, SignedDelegation};
use super::verify::{Envelope, online_signed, read_snapshot};
use super::{
    ContentError, Member, Part, Policy, SecurityServer, Service, SnapshotError, Subsystem, content,
    signatures,
};
use crate::anchor::Environment;
use crate::key::SigningKey;
use crate::trust::{ApprovedCa, ApprovedTsa};

/// The content of a snapshot that is to be signed. The order within the lists does not matter: a snapshot is sorted.
#[derive(Clone, Debug)]
pub struct Draft {
    /// The instance's code.
    pub instance: String,
    /// Test or production.
    pub environment: Environment,
    /// Higher than every version published before; positive.
    pub version: u64,
    /// When it is made.
    pub issued: UnixMillis,
    /// From when on it must not be used.
    pub expires: UnixMillis,
    /// Limits in time; whole seconds.
    pub policy: Policy,
    /// Members.
    pub members: Vec<Member>,
    /// Subsystems; their members must be there.
    pub subsystems: Vec<Subsystem>,
    /// Security servers; their owners must be there.
    pub security_servers: Vec<SecurityServer>,
    /// On which servers a subsystem is registered; all must be there.
    pub registrations: BTreeMap<SubsystemId, BTreeSet<SecurityServerId>>,
    /// Approved CAs.
    pub cas: Vec<ApprovedCa>,
    /// Approved TSAs.
    pub tsas: Vec<ApprovedTsa>,
    /// Services; their subsystems must be there.
    pub services: Vec<Service>,
}

/// Signs a snapshot with online keys; the result is an encoded `SignedSnapshot`. The same draft and keys may give other
/// signatures each time, but always the same signed bytes.
///
/// # Errors
/// The content is not valid (the same rules as for reading), a key cannot sign, or the delegation does not allow these keys.
pub fn sign_snapshot(
    draft: &Draft,
    delegation: &SignedDelegation,
    online_keys: &[&dyn SigningKey],
) -> Result<Vec<u8>, SnapshotError> {
    let snapshot = Bytes::from(encode(draft)?);
    let digest = sha256(&snapshot);
    let rules = Delegation::read(&delegation.bytes)?;
    // Read before it is signed: no key ever signs what nobody would accept.
    read_snapshot(&snapshot, digest, &rules, draft.environment)?;
    let bytes = wire::SignedSnapshot {
        delegation: delegation.bytes.clone(),
        delegation_signatures: delegation.to_wire(),
        snapshot_signatures: signatures::sign(Part::Snapshot, &digest, online_keys)?,
        snapshot: snapshot.into(),
    }
    .encode_to_vec();
    // And once more as readers do: a token that signs wrongly, or keys that do not suffice, are found here and not at the members.
    let signed = Envelope::read(&bytes)?;
    online_signed(&sha256(signed.snapshot), &signed.snapshot_signatures, &rules)?;
    Ok(bytes)
}

/// Everything sorted, each party below the one it belongs to. Decoded form is held of one member at a time.
fn encode(draft: &Draft) -> Result<Vec<u8>, SnapshotError> {
    let mut sorted = Sorted::of(draft)?;
    let mut bytes = head(draft).encode_to_vec();
    for member in std::mem::take(&mut sorted.members) {
        bytes.push(content::MEMBERS << 3 | LENGTH_DELIMITED);
        // A vector grows: there is always room.
        let _ = sorted.member(member).encode_length_delimited(&mut bytes);
    }
    sorted.nothing_left()?;
    Ok(bytes)
}

fn head(draft: &Draft) -> wire::Snapshot {
    wire::Snapshot {
        instance: draft.instance.clone(),
        environment: draft.environment.as_str().to_owned(),
        version: draft.version,
        issued_ms: draft.issued.0,
        expires_ms: draft.expires.0,
        policy: Some(policy(&draft.policy)),
        approved_cas: draft.cas.iter().map(approved_ca).collect(),
        approved_tsas: draft.tsas.iter().map(approved_tsa).collect(),
        members: Vec::new(),
    }
}

/// What has not been written yet, each list in the order of the snapshot.
struct Sorted<'a> {
    members: Vec<&'a Member>,
    subsystems: Rest<&'a Subsystem>,
    servers: Rest<&'a SecurityServer>,
    services: Rest<&'a Service>,
    registrations: Rest<(&'a SubsystemId, &'a BTreeSet<SecurityServerId>)>,
}

type Rest<T> = std::iter::Peekable<std::vec::IntoIter<T>>;

impl<'a> Sorted<'a> {
    fn of(draft: &'a Draft) -> Result<Self, SnapshotError> {
        let owners = draft.members.iter().map(|member| &member.id);
        let owners = owners.chain(draft.subsystems.iter().map(|subsystem| subsystem.id.member()));
        let owners = owners.chain(draft.security_servers.iter().map(|server| server.id.owner()));
        let owners = owners.chain(draft.services.iter().map(|service| service.id.subsystem().member()));
        let owners = owners.chain(draft.registrations.keys().map(SubsystemId::member));
        let mut owners = owners.chain(draft.registrations.values().flatten().map(SecurityServerId::owner));
        owners.try_for_each(|owner| own(&draft.instance, owner))?;
        Ok(Self {
            members: sorted(draft.members.iter(), |member| &member.id),
            subsystems: sorted(draft.subsystems.iter(), |subsystem| &subsystem.id).into_iter().peekable(),
            servers: sorted(draft.security_servers.iter(), |server| &server.id).into_iter().peekable(),
            services: sorted(draft.services.iter(), |service| &service.id).into_iter().peekable(),
            registrations: draft.registrations.iter().collect::<Vec<_>>().into_iter().peekable(),
        })
    }

    fn member(&mut self, member: &Member) -> wire::Member {
        let mut security_servers = Vec::new();
        while let Some(server) = self.servers.next_if(|server| *server.id.owner() == member.id) {
            security_servers.push(security_server(server));
        }
        let mut subsystems = Vec::new();
        while let Some(subsystem) = self.subsystems.next_if(|subsystem| *subsystem.id.member() == member.id) {
            subsystems.push(self.subsystem(subsystem));
        }
        wire::Member {
            member_class: member.id.class().to_owned(),
            member_code: member.id.code().to_owned(),
            name: member.name.clone(),
            suspended: member.suspended,
            security_servers,
            subsystems,
        }
    }

    fn subsystem(&mut self, subsystem: &Subsystem) -> wire::Subsystem {
        let registered = self.registrations.next_if(|(id, _)| **id == subsystem.id);
        let servers = registered.into_iter().flat_map(|(_, servers)| servers);
        let mut security_servers: Vec<_> =
            servers.map(|server| server_ref(subsystem.id.member(), server)).collect();
        // Own servers have no owner here, which changes their place.
        security_servers.sort_unstable_by(|a, b| {
            (&a.owner_class, &a.owner_code, &a.server_code).cmp(&(
                &b.owner_class,
                &b.owner_code,
                &b.server_code,
            ))
        });
        let mut services = Vec::new();
        while let Some(service) = self.services.next_if(|service| *service.id.subsystem() == subsystem.id) {
            services.push(wire::Service {
                service_code: service.id.code().to_owned(),
                title: service.title.clone(),
            });
        }
        wire::Subsystem {
            subsystem_code: subsystem.id.code().to_owned(),
            name: subsystem.name.clone(),
            security_servers,
            services,
        }
    }

    /// What belongs to nothing stops its list.
    fn nothing_left(mut self) -> Result<(), ContentError> {
        let dangling =
            |from: String, what, id: &dyn ToString| ContentError::Dangling { from, what, id: id.to_string() };
        if let Some(server) = self.servers.next() {
            return Err(dangling(format!("the security server {}", server.id), "member", server.id.owner()));
        }
        if let Some(subsystem) = self.subsystems.next() {
            return Err(dangling(format!("the subsystem {}", subsystem.id), "member", subsystem.id.member()));
        }
        if let Some(service) = self.services.next() {
            return Err(dangling(format!("the service {}", service.id), "subsystem", service.id.subsystem()));
        }
        match self.registrations.next() {
            Some((subsystem, _)) => Err(dangling("a registration".to_owned(), "subsystem", subsystem)),
            None => Ok(()),
        }
    }
}

fn sorted<'a, T, K: Ord + 'a>(list: impl Iterator<Item = &'a T>, key: impl Fn(&'a T) -> &'a K) -> Vec<&'a T> {
    let mut list: Vec<&T> = list.collect();
    list.sort_by(|a, b| key(a).cmp(key(b)));
    list
}

fn security_server(server: &SecurityServer) -> wire::SecurityServer {
    wire::SecurityServer {
        server_code: server.id.code().to_owned(),
        addresses: server.addresses.clone(),
        auth_certificate_sha256: server.auth_certificates.iter().map(|digest| digest.0.to_vec()).collect(),
        suspended: server.suspended,
    }
}

fn server_ref(member: &MemberId, server: &SecurityServerId) -> wire::ServerRef {
    let owner = Some(server.owner()).filter(|owner| *owner != member);
    wire::ServerRef {
        owner_class: owner.map_or_else(String::new, |owner| owner.class().to_owned()),
        owner_code: owner.map_or_else(String::new, |owner| owner.code().to_owned()),
        server_code: server.code().to_owned(),
    }
}

/// The wire leaves the instance out of identifiers, so one of another instance would silently change its meaning.
fn own(instance: &str, member: &MemberId) -> Result<(), SnapshotError> {
    if member.instance() == instance {
        return Ok(());
    }
    Err(SnapshotError::Instance { expected: instance.to_owned(), found: member.instance().to_owned() })
}

fn policy(policy: &Policy) -> wire::Policy {
    wire::Policy {
        ocsp_freshness_s: seconds(policy.ocsp_freshness),
        timestamp_interval_s: seconds(policy.timestamp_interval),
        timestamp_failure_s: seconds(policy.timestamp_failure),
        clock_skew_s: seconds(policy.clock_skew),
    }
}

/// What does not fit is beyond every limit and refused when the snapshot is read.
fn seconds(duration: Duration) -> u32 {
    u32::try_from(duration.as_secs()).unwrap_or(u32::MAX)
}

fn approved_ca(ca: &ApprovedCa) -> wire::ApprovedCa {
    wire::ApprovedCa {
        name: ca.name.clone(),
        certificate: ca.certificate.der().to_vec(),
        intermediates: ca.intermediates.iter().map(|certificate| certificate.der().to_vec()).collect(),
        ocsp_urls: ca.ocsp_urls.clone(),
        ocsp_responders: ca.ocsp_responders.iter().map(|certificate| certificate.der().to_vec()).collect(),
    }
}

fn approved_tsa(tsa: &ApprovedTsa) -> wire::ApprovedTsa {
    wire::ApprovedTsa {
        name: tsa.name.clone(),
        url: tsa.url.clone(),
        certificate: tsa.certificate.der().to_vec(),
        policies: tsa.policies.clone(),
    }
}

/// Wire type of messages.
const LENGTH_DELIMITED: u8 = 2;

//! Making snapshots: what the registry publishes. The same content rules hold as for reading.

use std::collections::HashMap;
use std::time::Duration;

use kogge_proto::id::{MemberId, SubsystemId};
use kogge_proto::time::UnixMillis;
use kogge_proto::wire::registry as wire;
use prost::Message;

use super::delegation::{Delegation, SignedDelegation};
use super::verify::{online_signed, read_signed, read_snapshot};
use super::{
    ContentError, Member, Part, Policy, SecurityServer, Service, SnapshotError, Subsystem, signatures,
};
use crate::anchor::Environment;
use crate::key::SigningKey;
use crate::trust::{ApprovedCa, ApprovedTsa};

/// The content of a snapshot that is to be signed.
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
    /// Security servers; their owners and clients must be there.
    pub security_servers: Vec<SecurityServer>,
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
    let snapshot = to_wire(draft)?.encode_to_vec();
    let rules = Delegation::read(&delegation.bytes)?;
    // Read before it is signed: no key ever signs what nobody would accept.
    read_snapshot(&snapshot, &rules, draft.environment)?;
    let snapshot_signatures = signatures::sign(Part::Snapshot, &snapshot, online_keys)?;
    let bytes = wire::SignedSnapshot {
        delegation: delegation.bytes.clone(),
        delegation_signatures: delegation.to_wire(),
        snapshot,
        snapshot_signatures,
    }
    .encode_to_vec();
    // And once more as readers do: a token that signs wrongly, or keys that do not suffice, are found here and not at the members.
    online_signed(&read_signed(&bytes)?, &rules)?;
    Ok(bytes)
}

fn to_wire(draft: &Draft) -> Result<wire::Snapshot, SnapshotError> {
    Ok(wire::Snapshot {
        instance: draft.instance.clone(),
        environment: draft.environment.as_str().to_owned(),
        version: draft.version,
        issued_ms: draft.issued.0,
        expires_ms: draft.expires.0,
        policy: Some(policy(&draft.policy)),
        members: members(draft)?,
        security_servers: draft
            .security_servers
            .iter()
            .map(|server| security_server(&draft.instance, server))
            .collect::<Result<_, _>>()?,
        approved_cas: draft.cas.iter().map(approved_ca).collect(),
        approved_tsas: draft.tsas.iter().map(approved_tsa).collect(),
        services: draft
            .services
            .iter()
            .map(|each| service(&draft.instance, each))
            .collect::<Result<_, _>>()?,
    })
}

/// Subsystems stand inside their members on the wire, so a subsystem without its member is found here already.
fn members(draft: &Draft) -> Result<Vec<wire::Member>, SnapshotError> {
    let mut places = HashMap::with_capacity(draft.members.len());
    let mut members = Vec::with_capacity(draft.members.len());
    for member in &draft.members {
        own(&draft.instance, &member.id)?;
        places.entry(&member.id).or_insert(members.len());
        members.push(wire::Member {
            member_class: member.id.class().to_owned(),
            member_code: member.id.code().to_owned(),
            name: member.name.clone(),
            suspended: member.suspended,
            subsystems: Vec::new(),
        });
    }
    for subsystem in &draft.subsystems {
        let member =
            places.get(subsystem.id.member()).and_then(|place| members.get_mut(*place)).ok_or_else(|| {
                ContentError::Dangling {
                    from: format!("the subsystem {}", subsystem.id),
                    what: "member",
                    id: subsystem.id.member().to_string(),
                }
            })?;
        member.subsystems.push(wire::Subsystem {
            subsystem_code: subsystem.id.code().to_owned(),
            name: subsystem.name.clone(),
        });
    }
    Ok(members)
}

fn security_server(instance: &str, server: &SecurityServer) -> Result<wire::SecurityServer, SnapshotError> {
    own(instance, server.id.owner())?;
    Ok(wire::SecurityServer {
        owner_class: server.id.owner().class().to_owned(),
        owner_code: server.id.owner().code().to_owned(),
        server_code: server.id.code().to_owned(),
        addresses: server.addresses.clone(),
        auth_certificate_sha256: server.auth_certificates.iter().map(|digest| digest.0.to_vec()).collect(),
        clients: server
            .clients
            .iter()
            .map(|client| subsystem_ref(instance, client))
            .collect::<Result<_, _>>()?,
        suspended: server.suspended,
    })
}

fn subsystem_ref(instance: &str, id: &SubsystemId) -> Result<wire::SubsystemRef, SnapshotError> {
    own(instance, id.member())?;
    Ok(wire::SubsystemRef {
        member_class: id.member().class().to_owned(),
        member_code: id.member().code().to_owned(),
        subsystem_code: id.code().to_owned(),
    })
}

fn service(instance: &str, service: &Service) -> Result<wire::Service, SnapshotError> {
    let subsystem = service.id.subsystem();
    own(instance, subsystem.member())?;
    Ok(wire::Service {
        member_class: subsystem.member().class().to_owned(),
        member_code: subsystem.member().code().to_owned(),
        subsystem_code: subsystem.code().to_owned(),
        service_code: service.id.code().to_owned(),
        title: service.title.clone(),
    })
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

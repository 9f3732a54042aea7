//! Decisions, as they stand in the journal. The JSON of these types is a file format: fields and names are never renamed.

use kogge_certs::anchor::Environment;
use kogge_certs::key::PublicKey;
use kogge_certs::snapshot::{Policy, SignedDelegation};
use kogge_certs::trust::{ApprovedCa, ApprovedTsa};
use kogge_proto::digest::Sha256;
use kogge_proto::id::{MemberId, SecurityServerId, ServiceId, SubsystemId};
use serde::{Deserialize, Serialize};

use super::json;

/// One decision.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Event {
    /// The instance came into being; always the first, and only the first.
    Created(Created),
    /// The root keys have named the keys that sign from now on.
    Delegated(#[serde(with = "json::SignedDelegationJson")] SignedDelegation),
    /// An operator's change.
    Changed(Change),
}

/// How an instance comes into being.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Created {
    pub(crate) instance: String,
    pub(crate) environment: Environment,
    #[serde(with = "json::PolicyJson")]
    pub(crate) policy: Policy,
    #[serde(with = "json::keys")]
    pub(crate) root_keys: Vec<PublicKey>,
    pub(crate) root_threshold: u32,
    #[serde(with = "json::SignedDelegationJson")]
    pub(crate) delegation: SignedDelegation,
}

/// A change that an operator of the instance decides on.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
#[allow(
    missing_docs,
    reason = "the fields are named like what they hold, and the rules are those of the snapshot"
)]
pub enum Change {
    /// An organisation joins.
    AddMember {
        #[serde(with = "json::text")]
        member: MemberId,
        name: String,
    },
    /// A member gets another name.
    RenameMember {
        #[serde(with = "json::text")]
        member: MemberId,
        name: String,
    },
    /// A member takes no part for the time being, nor do its servers.
    SuspendMember {
        #[serde(with = "json::text")]
        member: MemberId,
    },
    /// A suspended member takes part again.
    ResumeMember {
        #[serde(with = "json::text")]
        member: MemberId,
    },
    /// A member gets an information system.
    AddSubsystem {
        #[serde(with = "json::text")]
        subsystem: SubsystemId,
        name: String,
    },
    /// A subsystem goes; its services and registrations have gone before.
    RemoveSubsystem {
        #[serde(with = "json::text")]
        subsystem: SubsystemId,
    },
    /// A subsystem offers a service.
    AddService {
        #[serde(with = "json::text")]
        service: ServiceId,
        title: String,
    },
    /// A service is no longer offered.
    RemoveService {
        #[serde(with = "json::text")]
        service: ServiceId,
    },
    /// A member gets a security server.
    AddSecurityServer {
        #[serde(with = "json::text")]
        server: SecurityServerId,
        addresses: Vec<String>,
    },
    /// A security server is reached at other addresses (`HOST:PORT`, in the order to try).
    ChangeAddresses {
        #[serde(with = "json::text")]
        server: SecurityServerId,
        addresses: Vec<String>,
    },
    /// A security server takes no part for the time being.
    SuspendSecurityServer {
        #[serde(with = "json::text")]
        server: SecurityServerId,
    },
    /// A suspended security server takes part again.
    ResumeSecurityServer {
        #[serde(with = "json::text")]
        server: SecurityServerId,
    },
    /// A security server proves itself by one more certificate (SHA-256 of the DER).
    RegisterAuthCertificate {
        #[serde(with = "json::text")]
        server: SecurityServerId,
        #[serde(with = "json::digest")]
        sha256: Sha256,
    },
    /// A security server no longer proves itself by a certificate.
    RemoveAuthCertificate {
        #[serde(with = "json::text")]
        server: SecurityServerId,
        #[serde(with = "json::digest")]
        sha256: Sha256,
    },
    /// A subsystem is served by a security server, of whichever owner.
    RegisterClient {
        #[serde(with = "json::text")]
        server: SecurityServerId,
        #[serde(with = "json::text")]
        subsystem: SubsystemId,
    },
    /// A subsystem is no longer served by a security server.
    UnregisterClient {
        #[serde(with = "json::text")]
        server: SecurityServerId,
        #[serde(with = "json::text")]
        subsystem: SubsystemId,
    },
    /// Certificates of this CA count.
    ApproveCa(#[serde(with = "json::ApprovedCaJson")] ApprovedCa),
    /// Certificates of this CA no longer count.
    RemoveCa { name: String },
    /// Timestamps of this TSA count.
    ApproveTsa(#[serde(with = "json::ApprovedTsaJson")] ApprovedTsa),
    /// New timestamps of this TSA no longer count.
    RemoveTsa { name: String },
    /// Other limits in time hold.
    ChangePolicy(#[serde(with = "json::PolicyJson")] Policy),
}

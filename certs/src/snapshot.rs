//! The registry snapshot: everything that an instance's registry says, signed, versioned and expiring.
//!
//! [`VerifiedSnapshot`] is the only way to get at the content, and [`VerifiedSnapshot::verify`] the only way to get one. Root
//! keys, pinned by the [`Anchor`], sign a delegation; the keys named there sign the snapshot. Whoever caches snapshots calls
//! [`accept_over`] with what they had before: a correctly signed old version is an attack too.
//!
//! After TUF (The Update Framework): no rollback, no freeze past expiry, no mixing of instances, recovery from a lost online
//! key by a new delegation.

mod content;
mod cursor;
mod delegation;
mod draft;
mod endpoint;
mod error;
mod population;
mod signatures;
#[cfg(test)]
mod tests;
mod verify;

use std::time::Duration;

use bytes::Bytes;
use kogge_proto::digest::Sha256;
use kogge_proto::id::{MemberId, SecurityServerId, ServiceId, SubsystemId};
use kogge_proto::time::UnixMillis;

pub use self::content::limits;
pub use self::delegation::{Delegation, SignedDelegation, sign_delegation};
pub use self::draft::{Draft, sign_snapshot};
pub use self::endpoint::{ENDPOINT_BYTES_MAX, EndpointError, check_address, check_http_url};
pub use self::error::{ContentError, Part, SnapshotError};
pub use self::population::Population;
use crate::anchor::{Anchor, Environment};
use crate::ocsp::Freshness;
use crate::trust::TrustStore;

/// A snapshot whose signatures, freshness and content have been checked. Immutable; share it behind an `Arc`.
///
/// It holds the signed bytes once, and beside them where each party lies in them: about 80 bytes per member of an instance with a server,
/// a subsystem or two and a few services each. What is asked for is read from the bytes then. Servers, which every exchange asks for, are
/// kept once they have been read.
#[derive(Debug)]
pub struct VerifiedSnapshot {
    bytes: Bytes,
    meta: Meta,
    environment: Environment,
    content: content::Content,
}

/// What identifies one snapshot among all that a registry ever published; small enough to keep beside a cache.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Meta {
    /// The instance's code.
    pub instance: String,
    /// Version of the snapshot, rising with each publication.
    pub version: u64,
    /// Version of the delegation that it was signed under.
    pub delegation_version: u64,
    /// SHA-256 of the signed snapshot bytes. Signatures are left out: signing the same bytes again changes nothing.
    pub digest: Sha256,
    /// When the registry made it.
    pub issued: UnixMillis,
    /// From when on it must not be used: the earlier one of the snapshot's and the delegation's expiry.
    pub expires: UnixMillis,
}

impl Meta {
    /// The ETag under which a registry serves this snapshot (RFC 9110, section 8.8.3).
    #[must_use]
    pub fn etag(&self) -> String {
        format!("\"{}-{}\"", self.version, self.digest)
    }
}

/// The instance's limits in time. All positive.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Policy {
    /// An OCSP response older than this is stale.
    pub ocsp_freshness: Duration,
    /// A batch is stamped at least this often.
    pub timestamp_interval: Duration,
    /// Age of the oldest unstamped record that is tolerated.
    pub timestamp_failure: Duration,
    /// Largest difference of clocks that is tolerated.
    pub clock_skew: Duration,
}

impl Policy {
    /// How fresh an OCSP response must be.
    #[must_use]
    pub fn freshness(&self) -> Freshness {
        Freshness { age_max: self.ocsp_freshness, skew_max: self.clock_skew }
    }
}

/// An organisation.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Member {
    /// Its identifier.
    pub id: MemberId,
    /// Its name, for people.
    pub name: String,
    /// A suspended member takes no part: not as a client, not as a provider, not as the owner of a server.
    pub suspended: bool,
}

/// An information system of a member.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Subsystem {
    /// Its identifier; the member exists.
    pub id: SubsystemId,
    /// Its name, for people; may be empty.
    pub name: String,
}

/// A security server.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct SecurityServer {
    /// Its identifier; the owner exists.
    pub id: SecurityServerId,
    /// `HOST:PORT`, at least one, in the order to try.
    pub addresses: Vec<String>,
    /// SHA-256 of the DER of each registered authentication certificate; no other server has any of them.
    pub auth_certificates: Vec<Sha256>,
    /// A suspended server takes no part.
    pub suspended: bool,
}

/// A callable service.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Service {
    /// Its identifier; the subsystem exists.
    pub id: ServiceId,
    /// Its title, for people; may be empty.
    pub title: String,
}

impl VerifiedSnapshot {
    /// Checks an encoded `SignedSnapshot` and makes it usable at `now`.
    ///
    /// # Errors
    /// Anything that is not exactly what the anchor's keys have signed for this instance and this time; see [`SnapshotError`].
    pub fn verify(bytes: impl Into<Bytes>, anchor: &Anchor, now: UnixMillis) -> Result<Self, SnapshotError> {
        let snapshot = Self::verify_archived(bytes, anchor)?;
        snapshot.check_time(now)?;
        Ok(snapshot)
    }

    /// The same for auditors, who look at old snapshots: everything is checked except that the present time is within the
    /// validity. Compare [`VerifiedSnapshot::issued`] and [`VerifiedSnapshot::expires`] with the time of what is audited.
    ///
    /// # Errors
    /// As [`VerifiedSnapshot::verify`], but never for expiry.
    pub fn verify_archived(bytes: impl Into<Bytes>, anchor: &Anchor) -> Result<Self, SnapshotError> {
        verify::verify(bytes.into(), anchor)
    }

    /// The encoded `SignedSnapshot`: what to cache, to serve on, and to verify again.
    #[must_use]
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// What identifies this snapshot; keep it beside the cached bytes for [`accept_over`].
    #[must_use]
    pub fn meta(&self) -> &Meta {
        &self.meta
    }

    /// Version, rising with each publication; positive.
    #[must_use]
    pub fn version(&self) -> u64 {
        self.meta.version
    }

    /// The instance's code.
    #[must_use]
    pub fn instance(&self) -> &str {
        &self.meta.instance
    }

    /// Test or production.
    #[must_use]
    pub fn environment(&self) -> Environment {
        self.environment
    }

    /// When the registry made it.
    #[must_use]
    pub fn issued(&self) -> UnixMillis {
        self.meta.issued
    }

    /// From when on it must not be used.
    #[must_use]
    pub fn expires(&self) -> UnixMillis {
        self.meta.expires
    }

    /// Whether it must no longer be used at `now`.
    #[must_use]
    pub fn is_expired(&self, now: UnixMillis) -> bool {
        now >= self.meta.expires
    }

    /// The instance's limits in time.
    #[must_use]
    pub fn policy(&self) -> &Policy {
        &self.content.policy
    }

    /// The approved CAs and timestamping authorities.
    #[must_use]
    pub fn trust(&self) -> &TrustStore {
        &self.content.trust
    }

    /// A member; look at `suspended` before serving it.
    #[must_use]
    pub fn member(&self, id: &MemberId) -> Option<Member> {
        self.content.parties.member(id)
    }

    /// All members, by class and code. Like all lists here it is read from the bytes while it is walked through.
    pub fn members(&self) -> impl Iterator<Item = Member> {
        self.content.parties.members()
    }

    /// A subsystem.
    #[must_use]
    pub fn subsystem(&self, id: &SubsystemId) -> Option<Subsystem> {
        self.content.parties.subsystem(id)
    }

    /// All subsystems, by member and code.
    pub fn subsystems(&self) -> impl Iterator<Item = Subsystem> {
        self.content.parties.subsystems()
    }

    /// Whether the subsystem exists and its member is not suspended.
    #[must_use]
    pub fn subsystem_registered(&self, id: &SubsystemId) -> bool {
        self.content.parties.subsystem_active(id)
    }

    /// A security server; look at [`VerifiedSnapshot::server_active`] before talking to it.
    #[must_use]
    pub fn security_server(&self, id: &SecurityServerId) -> Option<&SecurityServer> {
        self.content.parties.server(id)
    }

    /// All security servers, by owner and code.
    pub fn security_servers(&self) -> impl Iterator<Item = SecurityServer> {
        self.content.parties.servers()
    }

    /// The security server that registered this authentication certificate (SHA-256 of its DER).
    #[must_use]
    pub fn security_server_by_auth_certificate(&self, certificate: &Sha256) -> Option<&SecurityServer> {
        self.content.parties.server_by_certificate(certificate)
    }

    /// Whether neither the server nor its owner is suspended.
    #[must_use]
    pub fn server_active(&self, server: &SecurityServer) -> bool {
        !server.suspended && self.content.parties.member_active(server.id.owner())
    }

    /// The active servers on which the subsystem is registered: those of its own member first, then by owner and code; none if its
    /// member is suspended. For one server in particular ask [`VerifiedSnapshot::is_provider`].
    #[must_use]
    pub fn providers(&self, subsystem: &SubsystemId) -> Vec<&SecurityServer> {
        self.content.parties.providers(subsystem).collect()
    }

    /// Whether `server` is one of the [`VerifiedSnapshot::providers`].
    #[must_use]
    pub fn is_provider(&self, server: &SecurityServerId, subsystem: &SubsystemId) -> bool {
        self.content.parties.providers(subsystem).any(|found| found.id == *server)
    }

    /// Every subsystem with each security server that it is registered on, active or not.
    pub fn registrations(&self) -> impl Iterator<Item = (SubsystemId, SecurityServerId)> {
        self.content.parties.registrations()
    }

    /// A service.
    #[must_use]
    pub fn service(&self, id: &ServiceId) -> Option<Service> {
        self.content.parties.service(id)
    }

    /// Whether the service is in the catalogue.
    #[must_use]
    pub fn service_registered(&self, id: &ServiceId) -> bool {
        self.content.parties.has_service(id)
    }

    /// All services, by subsystem and code.
    pub fn services(&self) -> impl Iterator<Item = Service> {
        self.content.parties.services()
    }

    /// Whether it may be used at `now`.
    ///
    /// # Errors
    /// It has expired, or was issued later than now by more than the tolerated difference of clocks.
    pub fn check_time(&self, now: UnixMillis) -> Result<(), SnapshotError> {
        verify::check_time(&self.meta, self.content.policy.clock_skew, now)
    }
}

/// Whether `new` may take the place of what was accepted before. Versions are compared under one delegation; under a newer one it is
/// enough to be issued later.
///
/// # Errors
/// `new` is of another instance, older, signed under an older delegation, or differs from the one of the same version.
pub fn accept_over(previous: Option<&Meta>, new: &Meta) -> Result<(), SnapshotError> {
    let Some(previous) = previous else { return Ok(()) };
    if previous.instance != new.instance {
        return Err(SnapshotError::Instance {
            expected: previous.instance.clone(),
            found: new.instance.clone(),
        });
    }
    if new.delegation_version < previous.delegation_version {
        return Err(SnapshotError::DelegationRolledBack {
            accepted: previous.delegation_version,
            offered: new.delegation_version,
        });
    }
    // A stolen online key can use up the version numbers. The delegation that ends its use sets what was issued later free of them.
    if new.delegation_version > previous.delegation_version && new.issued > previous.issued {
        return Ok(());
    }
    if new.version < previous.version {
        return Err(SnapshotError::RolledBack { accepted: previous.version, offered: new.version });
    }
    if new.version == previous.version && new.digest != previous.digest {
        return Err(SnapshotError::SameVersionDiffers { version: new.version });
    }
    Ok(())
}

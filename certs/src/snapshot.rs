//! The registry snapshot: everything that an instance's registry says, signed, versioned and expiring.
//!
//! [`VerifiedSnapshot`] is the only way to get at the content, and [`VerifiedSnapshot::verify`] the only way to get one. Root
//! keys, pinned by the [`Anchor`], sign a delegation; the keys named there sign the snapshot. Whoever caches snapshots calls
//! [`accept_over`] with what they had before: a correctly signed old version is an attack too.
//!
//! After TUF (The Update Framework): no rollback, no freeze past expiry, no mixing of instances, recovery from a lost online
//! key by a new delegation.

mod content;
mod delegation;
mod draft;
mod endpoint;
mod error;
mod signatures;
#[cfg(test)]
mod tests;
mod verify;

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use kogge_proto::digest::Sha256;
use kogge_proto::id::{MemberId, SecurityServerId, ServiceId, SubsystemId};
use kogge_proto::time::UnixMillis;

pub use self::content::limits;
pub use self::delegation::{Delegation, SignedDelegation, sign_delegation};
pub use self::draft::{Draft, sign_snapshot};
pub use self::endpoint::{ENDPOINT_BYTES_MAX, EndpointError, check_address, check_http_url};
pub use self::error::{ContentError, Part, SnapshotError};
use crate::anchor::{Anchor, Environment};
use crate::ocsp::Freshness;
use crate::trust::TrustStore;

/// A snapshot whose signatures, freshness and content have been checked. Immutable; share it behind an `Arc`.
#[derive(Debug)]
pub struct VerifiedSnapshot {
    bytes: Vec<u8>,
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
    /// The subsystems registered on it; all exist.
    pub clients: BTreeSet<SubsystemId>,
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
    pub fn verify(bytes: &[u8], anchor: &Anchor, now: UnixMillis) -> Result<Self, SnapshotError> {
        let snapshot = Self::verify_archived(bytes, anchor)?;
        snapshot.check_time(now)?;
        Ok(snapshot)
    }

    /// The same for auditors, who look at old snapshots: everything is checked except that the present time is within the
    /// validity. Compare [`VerifiedSnapshot::issued`] and [`VerifiedSnapshot::expires`] with the time of what is audited.
    ///
    /// # Errors
    /// As [`VerifiedSnapshot::verify`], but never for expiry.
    pub fn verify_archived(bytes: &[u8], anchor: &Anchor) -> Result<Self, SnapshotError> {
        verify::verify(bytes, anchor)
    }

    /// The encoded `SignedSnapshot`: what to cache, to serve on, and to verify again.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
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
    pub fn member(&self, id: &MemberId) -> Option<&Member> {
        find(&self.content.members, &self.content.member_index, id)
    }

    /// All members, in the registry's order.
    pub fn members(&self) -> impl ExactSizeIterator<Item = &Member> {
        self.content.members.iter()
    }

    /// A subsystem.
    #[must_use]
    pub fn subsystem(&self, id: &SubsystemId) -> Option<&Subsystem> {
        find(&self.content.subsystems, &self.content.subsystem_index, id)
    }

    /// All subsystems, in the registry's order.
    pub fn subsystems(&self) -> impl ExactSizeIterator<Item = &Subsystem> {
        self.content.subsystems.iter()
    }

    /// Whether the subsystem exists and its member is not suspended.
    #[must_use]
    pub fn subsystem_registered(&self, id: &SubsystemId) -> bool {
        self.subsystem(id).is_some() && self.member(id.member()).is_some_and(|member| !member.suspended)
    }

    /// A security server; look at [`VerifiedSnapshot::server_active`] before talking to it.
    #[must_use]
    pub fn security_server(&self, id: &SecurityServerId) -> Option<&SecurityServer> {
        find(&self.content.servers, &self.content.server_index, id)
    }

    /// All security servers, in the registry's order.
    pub fn security_servers(&self) -> impl ExactSizeIterator<Item = &SecurityServer> {
        self.content.servers.iter()
    }

    /// The security server that registered this authentication certificate (SHA-256 of its DER).
    #[must_use]
    pub fn security_server_by_auth_certificate(&self, certificate: &Sha256) -> Option<&SecurityServer> {
        find(&self.content.servers, &self.content.auth_index, certificate)
    }

    /// Whether neither the server nor its owner is suspended.
    #[must_use]
    pub fn server_active(&self, server: &SecurityServer) -> bool {
        !server.suspended && self.member(server.id.owner()).is_some_and(|owner| !owner.suspended)
    }

    /// The active servers on which the subsystem is registered; none if its member is suspended.
    #[must_use]
    pub fn providers(&self, subsystem: &SubsystemId) -> Vec<&SecurityServer> {
        if !self.subsystem_registered(subsystem) {
            return Vec::new();
        }
        let places = self.content.provider_index.get(subsystem).map_or(&[][..], Vec::as_slice);
        places
            .iter()
            .filter_map(|place| at(&self.content.servers, *place))
            .filter(|server| self.server_active(server))
            .collect()
    }

    /// A service.
    #[must_use]
    pub fn service(&self, id: &ServiceId) -> Option<&Service> {
        find(&self.content.services, &self.content.service_index, id)
    }

    /// All services, in the registry's order.
    pub fn services(&self) -> impl ExactSizeIterator<Item = &Service> {
        self.content.services.iter()
    }

    fn check_time(&self, now: UnixMillis) -> Result<(), SnapshotError> {
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

/// Place in one of the content's lists; `u32` because four billion entries do not fit into a snapshot.
type Place = u32;

fn at<T>(list: &[T], place: Place) -> Option<&T> {
    list.get(usize::try_from(place).ok()?)
}

fn find<'a, K: Eq + std::hash::Hash, T>(list: &'a [T], index: &HashMap<K, Place>, key: &K) -> Option<&'a T> {
    at(list, *index.get(key)?)
}

//! Who is at the other end: from a certificate to a registered security server.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use kogge_certs::certificate::Certificate;
use kogge_certs::path::{self, VerifiedPath};
use kogge_certs::profile::Profile;
use kogge_certs::snapshot::VerifiedSnapshot;
use kogge_proto::digest::Sha256;
use kogge_proto::id::SecurityServerId;
use kogge_proto::time::UnixMillis;

use crate::error::Refusal;
use crate::identity::LocalIdentity;

/// Where the tunnel learns whom to believe. A wrong answer lets a stranger in.
pub trait PeerTrust: Send + Sync {
    /// The newest verified snapshot; `None` refuses every peer.
    fn snapshot(&self) -> Option<Arc<VerifiedSnapshot>>;
    /// The time now.
    fn now(&self) -> UnixMillis;
}

/// A registered security server that has proven possession of its authentication key. Cheap to clone.
#[derive(Clone)]
pub struct PeerIdentity(Arc<Settlement>);

/// What a handshake has shown and a snapshot has confirmed.
struct Settlement {
    server: SecurityServerId,
    certificate: Certificate,
    path: VerifiedPath,
    ours: Arc<LocalIdentity>,
}

impl PeerIdentity {
    /// The security server.
    #[must_use]
    pub fn server(&self) -> &SecurityServerId {
        &self.0.server
    }

    /// Its authentication certificate.
    #[must_use]
    pub fn certificate(&self) -> &Certificate {
        &self.0.certificate
    }

    /// The path from the certificate to an approved CA: what the peer's OCSP response is checked against.
    #[must_use]
    pub fn path(&self) -> &VerifiedPath {
        &self.0.path
    }

    /// Our own certificate that it has seen. After a change of certificates, connections that are up go on with the old one.
    #[must_use]
    pub fn local_certificate(&self) -> &Certificate {
        &self.0.ours.certificate
    }
}

impl fmt::Debug for PeerIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} with {:?}", self.0.server, self.0.certificate)
    }
}

/// The snapshot of this moment, if it may be used at all.
pub(crate) fn current_snapshot(
    trust: &dyn PeerTrust,
) -> Result<(Arc<VerifiedSnapshot>, UnixMillis), Refusal> {
    let now = trust.now();
    let snapshot = trust.snapshot().ok_or(Refusal::NoSnapshot)?;
    if snapshot.is_expired(now) { Err(Refusal::SnapshotExpired) } else { Ok((snapshot, now)) }
}

/// Finds out whose certificate `leaf` is, and whether that server takes part at `now`; `ours` is what it has seen of us. Proves nothing about who holds the key:
/// that is the handshake's signature.
pub(crate) fn settle(
    leaf: &Certificate,
    intermediates: &[Certificate],
    ours: &Arc<LocalIdentity>,
    snapshot: &VerifiedSnapshot,
    now: UnixMillis,
) -> Result<PeerIdentity, Refusal> {
    let certificate = leaf.sha256();
    let server = snapshot
        .security_server_by_auth_certificate(&certificate)
        .ok_or(Refusal::Unregistered { certificate })?;
    if server.suspended {
        return Err(Refusal::ServerSuspended(server.id.clone()));
    }
    if !snapshot.server_active(server) {
        return Err(Refusal::OwnerSuspended(server.id.owner().clone()));
    }
    let path = path::verify(leaf, intermediates, snapshot.trust(), Profile::Authentication, now)?;
    let server = server.id.clone();
    Ok(PeerIdentity(Arc::new(Settlement { server, certificate: leaf.clone(), path, ours: Arc::clone(ours) })))
}

/// The peer of one connection, settled anew whenever somebody asks.
pub(crate) struct Peer {
    settled: Mutex<Settled>,
}

/// What was found out last, and from which snapshot.
#[derive(Clone)]
struct Settled {
    identity: PeerIdentity,
    snapshot: Option<Sha256>,
}

impl Peer {
    /// From what the handshake has shown.
    pub(crate) fn new(identity: PeerIdentity) -> Self {
        Self { settled: Mutex::new(Settled { identity, snapshot: None }) }
    }

    /// As settled last.
    pub(crate) fn identity(&self) -> PeerIdentity {
        self.settled.lock().unwrap_or_else(PoisonError::into_inner).identity.clone()
    }

    /// Who the peer is by the snapshot of this moment.
    pub(crate) fn settle_now(&self, trust: &dyn PeerTrust) -> Result<PeerIdentity, Refusal> {
        let (snapshot, now) = current_snapshot(trust)?;
        self.settle_against(&snapshot, now)
    }

    /// Who the peer is by `snapshot`. The same snapshot gives the same answer while no certificate has expired, so the
    /// signatures of the path are then not checked again.
    pub(crate) fn settle_against(
        &self,
        snapshot: &VerifiedSnapshot,
        now: UnixMillis,
    ) -> Result<PeerIdentity, Refusal> {
        let digest = snapshot.meta().digest;
        let last = self.settled.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if last.snapshot == Some(digest) && last.identity.0.path.check_validity(now).is_ok() {
            return Ok(last.identity);
        }
        let Settlement { certificate, path, ours, .. } = &*last.identity.0;
        let identity = settle(certificate, path.intermediates(), ours, snapshot, now)?;
        *self.settled.lock().unwrap_or_else(PoisonError::into_inner) =
            Settled { identity: identity.clone(), snapshot: Some(digest) };
        Ok(identity)
    }
}

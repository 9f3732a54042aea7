//! What the registry says: the newest verified snapshot, kept over a restart, renewed in the background.
//!
//! The registry is never in the way of an exchange: it is asked in the background, and its last word holds until it expires.

mod cache;
mod fetch;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use kogge_certs::anchor::Anchor;
use kogge_certs::snapshot::{Meta, SnapshotError, VerifiedSnapshot, accept_over};
use kogge_durable::DurableError;
use kogge_proto::time::UnixMillis;
use kogge_transport::PeerTrust;
use tokio::sync::watch;

pub(crate) use cache::Cache;
pub(crate) use fetch::Fetcher;

use crate::clock;
use crate::trust::{ClockCheck, ClockSource};

/// The newest verified snapshot. Everybody holds the same one behind an `Arc`.
pub(crate) struct Registry {
    anchor: Anchor,
    cache: Cache,
    clock_check: Arc<ClockCheck>,
    current: watch::Sender<Option<Arc<VerifiedSnapshot>>>,
    /// What was accepted last, even if the cached snapshot itself is lost. Held while a snapshot is taken in, so that two cannot
    /// overtake each other.
    accepted: Mutex<Option<Meta>>,
    /// Why the registry could not be asked last time; `None` while all is well.
    problem: Mutex<Option<String>>,
}

/// Why an offered snapshot was not taken.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OfferError {
    /// It is not what the anchor's keys have signed, too old, or rolled back.
    #[error(transparent)]
    Snapshot(#[from] SnapshotError),
    /// It cannot be kept: it is not used either, since after a restart an older one could take its place.
    #[error(transparent)]
    Cache(#[from] DurableError),
}

impl Registry {
    /// Starts from the cache. A damaged cache is set aside with a warning; the registry will be asked anyway.
    pub(crate) fn open(anchor: Anchor, cache: Cache, clock_check: Arc<ClockCheck>) -> Self {
        let loaded = cache.load(&anchor);
        for problem in &loaded.problems {
            tracing::warn!(%problem, "the cached registry snapshot is not used");
        }
        let snapshot = loaded.snapshot.map(Arc::new);
        let accepted = loaded.accepted.or_else(|| snapshot.as_ref().map(|snapshot| snapshot.meta().clone()));
        Self {
            anchor,
            cache,
            clock_check,
            current: watch::Sender::new(snapshot),
            accepted: Mutex::new(accepted),
            problem: Mutex::new(None),
        }
    }

    /// The newest snapshot, even if it has expired; whoever decides on an exchange goes through [`crate::gate::Gate`].
    pub(crate) fn latest(&self) -> Option<Arc<VerifiedSnapshot>> {
        self.current.borrow().clone()
    }

    /// Wakes up whenever there is a new snapshot.
    pub(crate) fn subscribe(&self) -> watch::Receiver<Option<Arc<VerifiedSnapshot>>> {
        self.current.subscribe()
    }

    /// Where and by whose keys the registry publishes.
    pub(crate) fn anchor(&self) -> &Anchor {
        &self.anchor
    }

    /// Why the registry could not be asked last time.
    pub(crate) fn problem(&self) -> Option<String> {
        lock(&self.problem).clone()
    }

    /// Verifies what a registry or mirror offers, keeps it, and takes it into use; `Ok(false)` if it is the current one. Blocks.
    ///
    /// A crash between keeping and using leaves the new snapshot in the cache, where the next start finds it.
    pub(crate) fn offer(&self, bytes: Bytes, now: UnixMillis) -> Result<bool, OfferError> {
        let verified = VerifiedSnapshot::verify(bytes, &self.anchor, now);
        if let Err(SnapshotError::IssuedInFuture { issued }) = verified {
            self.clock_check.report(ClockSource::Registry, Some(issued.since(now)));
        }
        let snapshot = verified?;
        self.clock_check.report(ClockSource::Registry, None);
        let mut accepted = lock(&self.accepted);
        accept_over(accepted.as_ref(), snapshot.meta())?;
        if self.latest().is_some_and(|current| current.bytes() == snapshot.bytes()) {
            return Ok(false);
        }
        self.cache.store(&snapshot)?;
        *accepted = Some(snapshot.meta().clone());
        tracing::info!(version = snapshot.version(), expires = %snapshot.expires(), "new registry snapshot");
        self.current.send_replace(Some(Arc::new(snapshot)));
        Ok(true)
    }

    /// The registry has nothing newer than the current snapshot, which may be used now: so the clocks agree.
    fn confirm(&self) {
        self.clock_check.report(ClockSource::Registry, None);
    }

    fn note(&self, problem: Option<String>) {
        *lock(&self.problem) = problem;
    }
}

impl PeerTrust for Registry {
    fn snapshot(&self) -> Option<Arc<VerifiedSnapshot>> {
        self.latest()
    }

    fn now(&self) -> UnixMillis {
        clock::now()
    }
}

/// A thread that panicked while it held the lock has left a whole value behind: every write is one assignment.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

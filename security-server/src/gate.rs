//! All conditions under which this server refuses every exchange, in one place. An unknown state is a refusal.
//!
//! Two conditions are judged elsewhere since only that place can know: a member's own certificate where it signs
//! ([`crate::signing`]), and a full or failing disk where it appends ([`crate::logging`]); an append is also what finds out that
//! the disk has space again, so it must be tried. Both still come before anything leaves this server or reaches a register.

mod shares;

use std::sync::Arc;
use std::time::Duration;

use kogge_certs::snapshot::VerifiedSnapshot;
use kogge_message_log::{MessageLog, State};
use kogge_proto::id::SecurityServerId;
use kogge_proto::time::UnixMillis;
use kogge_transport::Identity;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use self::shares::{Share, Shares};
use crate::registry::Registry;
use crate::trust::{ClockCheck, ClockOff, OwnKeys, Unusable};

/// Why no exchange takes place now.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Closed {
    /// No snapshot was ever accepted.
    #[error("there is no registry snapshot yet")]
    NoSnapshot,
    /// The newest snapshot has expired, and the registry has not given another.
    #[error("the registry snapshot has expired at {expires}")]
    SnapshotExpired {
        /// When.
        expires: UnixMillis,
    },
    /// The snapshot was issued later than now.
    #[error("the registry snapshot was issued at {issued}, in the future: check this machine's clock")]
    SnapshotFromFuture {
        /// When.
        issued: UnixMillis,
    },
    /// Others say that it is another time.
    #[error(transparent)]
    Clock(#[from] ClockOff),
    /// This server cannot authenticate itself.
    #[error(transparent)]
    Authentication(#[from] Unusable),
    /// The message log is closed.
    #[error("the message log is closed")]
    NoLog,
    /// The oldest record without a timestamp is older than the policy tolerates.
    #[error("the oldest record has waited {} s for its timestamp, the policy allows {} s", .age.as_secs(), .age_max.as_secs())]
    TimestampsOverdue {
        /// Its age.
        age: Duration,
        /// The policy's limit.
        age_max: Duration,
    },
    /// So many records wait for a timestamp that more would take too much memory.
    #[error("{waiting} records wait for their timestamp, no more may")]
    TimestampsCrowded {
        /// How many.
        waiting: usize,
    },
    /// As many exchanges as are allowed at once are running.
    #[error("too many exchanges at once")]
    Overloaded,
    /// As many exchanges of one peer as are allowed at once are running.
    #[error("too many exchanges at once with the security server {0}")]
    PeerOverloaded(SecurityServerId),
}

/// Lets exchanges of one side in, up to a number.
pub(crate) struct Gate {
    conditions: Arc<Conditions>,
    places: Arc<Semaphore>,
    places_max: usize,
    shares: Shares,
}

/// The place of one exchange that was let in.
pub(crate) struct Place(#[expect(dead_code, reason = "held until dropped")] OwnedSemaphorePermit);

/// The place of one exchange that a peer opened.
pub(crate) struct PeerPlace(#[expect(dead_code, reason = "held until dropped")] (Place, Share));

impl Gate {
    pub(crate) fn new(conditions: Arc<Conditions>, places_max: usize) -> Self {
        Self {
            conditions,
            places: Arc::new(Semaphore::new(places_max)),
            places_max,
            shares: Shares::of(places_max),
        }
    }

    /// Lets an exchange in, before anything of it is read.
    pub(crate) fn admit(&self, now: UnixMillis) -> Result<Place, Closed> {
        let place = Arc::clone(&self.places).try_acquire_owned().map_err(|_| Closed::Overloaded)?;
        self.conditions.check(now)?;
        Ok(Place(place))
    }

    /// Lets an exchange that `peer` opened in, as long as the peer leaves places to others.
    pub(crate) fn admit_peer(&self, peer: &SecurityServerId, now: UnixMillis) -> Result<PeerPlace, Closed> {
        let share = self.shares.take(peer).ok_or_else(|| Closed::PeerOverloaded(peer.clone()))?;
        Ok(PeerPlace((self.admit(now)?, share)))
    }

    /// The snapshot by which all decisions of an exchange are made; asked for when its request is complete, since that may have
    /// taken a while.
    pub(crate) fn snapshot(&self, now: UnixMillis) -> Result<Arc<VerifiedSnapshot>, Closed> {
        self.conditions.check(now)
    }

    /// How many exchanges are running.
    pub(crate) fn running(&self) -> usize {
        self.places_max.saturating_sub(self.places.available_permits())
    }
}

/// What both sides depend on.
pub(crate) struct Conditions {
    pub(crate) registry: Arc<Registry>,
    pub(crate) clock_check: Arc<ClockCheck>,
    pub(crate) keys: Arc<OwnKeys>,
    pub(crate) identity: Arc<Identity>,
    pub(crate) log: MessageLog,
}

impl Conditions {
    /// The snapshot to go by, if nothing is against an exchange.
    pub(crate) fn check(&self, now: UnixMillis) -> Result<Arc<VerifiedSnapshot>, Closed> {
        let snapshot = self.registry.latest().ok_or(Closed::NoSnapshot)?;
        check_snapshot_time(&snapshot, now)?;
        self.clock_check.check()?;
        self.keys.check_authentication(&self.identity.current().certificate, now)?;
        if self.log.state() == State::Closed {
            return Err(Closed::NoLog);
        }
        check_stamps(self.log.oldest_unstamped(), snapshot.policy().timestamp_failure, now)?;
        check_waiting(self.log.unstamped_count())?;
        Ok(snapshot)
    }
}

fn check_snapshot_time(snapshot: &VerifiedSnapshot, now: UnixMillis) -> Result<(), Closed> {
    if snapshot.is_expired(now) {
        return Err(Closed::SnapshotExpired { expires: snapshot.expires() });
    }
    if snapshot.issued() > now.plus(snapshot.policy().clock_skew) {
        return Err(Closed::SnapshotFromFuture { issued: snapshot.issued() });
    }
    Ok(())
}

fn check_stamps(oldest: Option<UnixMillis>, age_max: Duration, now: UnixMillis) -> Result<(), Closed> {
    match oldest.map(|oldest| now.since(oldest)) {
        Some(age) if age > age_max => Err(Closed::TimestampsOverdue { age, age_max }),
        _ => Ok(()),
    }
}

fn check_waiting(waiting: usize) -> Result<(), Closed> {
    if waiting < UNSTAMPED_MAX { Ok(()) } else { Err(Closed::TimestampsCrowded { waiting }) }
}

/// The log keeps 5 bytes in memory for each record that waits: 25 MB, reached when no TSA answers for the four hours of the usual
/// policy at 170 exchanges a second.
const UNSTAMPED_MAX: usize = 5_000_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_records_may_wait_than_memory_allows() {
        assert_eq!(check_waiting(UNSTAMPED_MAX - 1), Ok(()));
        let crowded = Closed::TimestampsCrowded { waiting: UNSTAMPED_MAX };
        assert_eq!(check_waiting(UNSTAMPED_MAX), Err(crowded));
    }

    #[test]
    fn stamps_may_wait_as_long_as_the_policy_says() {
        let age_max = Duration::from_secs(60);
        let check = |oldest: Option<i64>| check_stamps(oldest.map(UnixMillis), age_max, UnixMillis(100_000));
        assert_eq!(check(None), Ok(()));
        assert_eq!(check(Some(40_000)), Ok(()));
        let age = Duration::from_millis(60_001);
        assert_eq!(check(Some(39_999)), Err(Closed::TimestampsOverdue { age, age_max }));
    }
}

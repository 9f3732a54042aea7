//! How many places each peer holds: one that sends slowly, or much, must leave room for the others.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use kogge_proto::id::SecurityServerId;

/// Counts the places that each security server holds. Clones count together.
#[derive(Clone)]
pub(super) struct Shares(Arc<Inner>);

struct Inner {
    share_max: usize,
    /// Only servers that hold a place: no more than there are places.
    held: Mutex<HashMap<SecurityServerId, usize>>,
}

/// The right of a peer to one place, until it is dropped.
pub(super) struct Share {
    shares: Shares,
    peer: SecurityServerId,
}

impl Shares {
    /// Half of all places for one peer at most: a single busy peer is hardly held up, and the others find room.
    pub(super) fn of(places_max: usize) -> Self {
        Self(Arc::new(Inner { share_max: places_max.div_ceil(2), held: Mutex::default() }))
    }

    /// `None` if the peer holds its share already.
    pub(super) fn take(&self, peer: &SecurityServerId) -> Option<Share> {
        let mut held = self.held();
        let places = held.get(peer).copied().unwrap_or(0);
        if places >= self.0.share_max {
            return None;
        }
        held.insert(peer.clone(), places + 1);
        Some(Share { shares: self.clone(), peer: peer.clone() })
    }

    /// A thread that panicked while it held the lock has left whole numbers behind.
    fn held(&self) -> MutexGuard<'_, HashMap<SecurityServerId, usize>> {
        self.0.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        let mut held = self.shares.held();
        match held.get_mut(&self.peer) {
            Some(places) if *places > 1 => *places -= 1,
            _ => drop(held.remove(&self.peer)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_peer_leaves_half_to_the_others() {
        let (greedy, other) = ("D/G/1/SS".parse().unwrap(), "D/G/2/SS".parse().unwrap());
        let shares = Shares::of(5);
        let taken: Vec<Share> = std::iter::from_fn(|| shares.take(&greedy)).collect();
        assert_eq!(taken.len(), 3);
        let _others = shares.take(&other).unwrap();
        assert!(shares.take(&greedy).is_none());
        drop(taken);
        assert!(shares.take(&greedy).is_some());
        assert_eq!(shares.held().len(), 1, "who holds nothing is forgotten");
        assert!(Shares::of(1).take(&greedy).is_some(), "the only place is for everybody");
    }
}

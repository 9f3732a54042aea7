//! A bounded memory that readers share without a lock, for what is asked often and learnt seldom.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::Arc;

use arc_swap::ArcSwap;
use kogge_proto::digest::Sha256;

/// Up to a number of values, all learnt under one snapshot. The one learnt longest ago makes room for a new one.
pub(super) struct Recall<K, V> {
    places_max: usize,
    /// Replaced as a whole: learning copies a few thousand pointers at most, asking takes no lock.
    learnt: ArcSwap<Learnt<K, V>>,
}

struct Learnt<K, V> {
    snapshot: Sha256,
    values: HashMap<K, (u64, Arc<V>)>,
    /// Counts what was learnt, to know which is the oldest.
    count: u64,
}

impl<K: Clone + Eq + Hash, V> Recall<K, V> {
    pub(super) fn new(places_max: usize) -> Self {
        Self { places_max, learnt: ArcSwap::from_pointee(Learnt::under(Sha256([0; 32]))) }
    }

    /// What was learnt under `snapshot`, unless it was forgotten.
    pub(super) fn find(&self, snapshot: &Sha256, key: &K) -> Option<Arc<V>> {
        let learnt = self.learnt.load();
        if learnt.snapshot != *snapshot {
            return None;
        }
        learnt.values.get(key).map(|(_, value)| Arc::clone(value))
    }

    /// Learns under `snapshot`; what was learnt under another one is forgotten.
    pub(super) fn remember(&self, snapshot: Sha256, key: &K, value: &Arc<V>) {
        self.learnt.rcu(|learnt| learnt.with(self.places_max, snapshot, key, value));
    }
}

impl<K: Clone + Eq + Hash, V> Learnt<K, V> {
    fn under(snapshot: Sha256) -> Self {
        Self { snapshot, values: HashMap::new(), count: 0 }
    }

    fn with(&self, places_max: usize, snapshot: Sha256, key: &K, value: &Arc<V>) -> Self {
        if self.snapshot != snapshot {
            return Self::under(snapshot).with(places_max, snapshot, key, value);
        }
        let mut values = self.values.clone();
        if values.len() >= places_max && !values.contains_key(key) {
            let oldest = values.iter().min_by_key(|(_, (count, _))| *count).map(|(key, _)| key.clone());
            oldest.map(|oldest| values.remove(&oldest));
        }
        values.insert(key.clone(), (self.count, Arc::clone(value)));
        Self { snapshot, values, count: self.count + 1 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: Sha256 = Sha256([1; 32]);
    const B: Sha256 = Sha256([2; 32]);

    fn learn(recall: &Recall<u8, u8>, snapshot: Sha256, key: u8) {
        recall.remember(snapshot, &key, &Arc::new(key + 100));
    }

    fn known(recall: &Recall<u8, u8>, snapshot: Sha256) -> Vec<u8> {
        (0..10).filter(|key| recall.find(&snapshot, key).is_some_and(|value| *value == key + 100)).collect()
    }

    #[test]
    fn the_oldest_makes_room() {
        let recall = Recall::new(3);
        for key in [1, 2, 3] {
            learn(&recall, A, key);
        }
        assert_eq!(known(&recall, A), [1, 2, 3]);
        learn(&recall, A, 1); // learnt anew: no longer the oldest
        assert_eq!(known(&recall, A), [1, 2, 3]);
        learn(&recall, A, 4);
        assert_eq!(known(&recall, A), [1, 3, 4]);
        learn(&recall, A, 5);
        assert_eq!(known(&recall, A), [1, 4, 5]);
    }

    #[test]
    fn another_snapshot_knows_nothing() {
        let recall = Recall::new(3);
        learn(&recall, A, 1);
        assert!(known(&recall, B).is_empty());
        learn(&recall, B, 2);
        assert_eq!(known(&recall, B), [2]);
        assert!(known(&recall, A).is_empty());
    }

    #[test]
    fn nothing_is_known_at_first() {
        let recall = Recall::new(3);
        assert!(known(&recall, Sha256([0; 32])).is_empty());
        assert!(known(&recall, A).is_empty());
    }
}

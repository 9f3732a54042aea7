//! How many connections there may be, in all and from one address.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Counts live connections, handshakes included. Clones count together.
#[derive(Clone)]
pub(super) struct Admission(Arc<Inner>);

struct Inner {
    total_max: usize,
    per_address_max: usize,
    counts: Mutex<Counts>,
}

#[derive(Default)]
struct Counts {
    total: usize,
    by_address: HashMap<IpAddr, usize>,
}

/// The right to one connection, until it is dropped.
pub(super) struct Admitted {
    admission: Admission,
    address: IpAddr,
}

impl Admission {
    pub(super) fn new(total_max: usize, per_address_max: usize) -> Self {
        Self(Arc::new(Inner { total_max, per_address_max, counts: Mutex::default() }))
    }

    /// `None` if there are too many.
    pub(super) fn admit(&self, address: IpAddr) -> Option<Admitted> {
        // An IPv4 client of a dual-stack socket is the same host as by IPv4.
        let address = address.to_canonical();
        let mut counts = self.counts();
        if counts.total >= self.0.total_max {
            return None;
        }
        let here = counts.by_address.entry(address).or_default();
        if *here >= self.0.per_address_max {
            return None;
        }
        *here += 1;
        counts.total += 1;
        Some(Admitted { admission: self.clone(), address })
    }

    /// Whether more than half of all are taken: strangers must then show that their address is their own.
    pub(super) fn is_busy(&self) -> bool {
        self.counts().total > self.0.total_max / 2
    }

    fn counts(&self) -> MutexGuard<'_, Counts> {
        self.0.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Admitted {
    fn drop(&mut self) {
        let mut counts = self.admission.counts();
        counts.total -= 1;
        if let Some(here) = counts.by_address.get_mut(&self.address) {
            *here -= 1;
            if *here == 0 {
                counts.by_address.remove(&self.address);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_in_all_and_by_address() {
        let admission = Admission::new(3, 2);
        let (a, b): (IpAddr, IpAddr) = ("10.0.0.1".parse().unwrap(), "10.0.0.2".parse().unwrap());
        let first = admission.admit(a).unwrap();
        assert!(!admission.is_busy());
        let _second = admission.admit("::ffff:10.0.0.1".parse().unwrap()).unwrap();
        assert!(admission.is_busy());
        assert!(admission.admit(a).is_none(), "two from one address");
        let _third = admission.admit(b).unwrap();
        drop(first);
        let _fourth = admission.admit(b).unwrap();
        assert!(admission.admit("10.0.0.3".parse().unwrap()).is_none(), "three in all");
    }

    #[test]
    fn forgets_addresses_that_left() {
        let admission = Admission::new(3, 2);
        drop(admission.admit("10.0.0.1".parse().unwrap()));
        assert!(admission.counts().by_address.is_empty());
        assert_eq!(admission.counts().total, 0);
    }
}

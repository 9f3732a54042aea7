//! The replay window: which provider-side requests were appended lately.

use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

use kogge_proto::digest::{Sha256, sha256};
use kogge_proto::time::UnixMillis;
use kogge_proto::wire::log::{Direction, Role};

/// The first 8 bytes of a request id's SHA-256: short, of fixed size, and nobody can make a request id that collides with one that is yet to come.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub(crate) struct RequestKey(pub(crate) u64);

impl RequestKey {
    pub(crate) fn of(request_id: &str) -> Self {
        let Sha256([a, b, c, d, e, f, g, h, ..]) = sha256(request_id.as_bytes());
        Self(u64::from_be_bytes([a, b, c, d, e, f, g, h]))
    }

    /// The key of a record that must not be accepted twice.
    pub(crate) fn guarded(role: Role, direction: Direction, request_id: &str) -> Option<Self> {
        is_guarded(role, direction).then(|| Self::of(request_id))
    }
}

/// Whether a record of this kind must not be accepted twice: a request on the provider's side.
pub(crate) fn is_guarded(role: Role, direction: Direction) -> bool {
    role == Role::Provider && direction == Direction::Request
}

/// Request ids of the last [`ReplayWindow::length`]. A false positive refuses an honest request; a false negative executes a request
/// twice. Holds as many ids as requests were appended within the window, 9 to 18 bytes each.
#[derive(Debug)]
pub(crate) struct ReplayWindow {
    length: Duration,
    /// By the slice of time in which they were appended. In the order of time, not of appending: what was appended while the clock was
    /// wrong leaves when its time has passed, and keeps nothing else from leaving.
    slices: BTreeMap<i64, HashSet<RequestKey>>,
}

/// Ids are forgotten in slices of this length, so that none of them needs a time of its own.
const SLICE: Duration = Duration::from_secs(60);

impl ReplayWindow {
    pub(crate) fn new(length: Duration) -> Self {
        Self { length, slices: BTreeMap::new() }
    }

    /// Whether the request was appended within the window before `now`, or up to a slice earlier. A clock that was set back never makes
    /// the log forget.
    pub(crate) fn contains(&self, key: RequestKey, now: UnixMillis) -> bool {
        self.slices.range(slice(self.start(now))..).any(|(_, keys)| keys.contains(&key))
    }

    /// Remembers a request, and forgets those that have left the window.
    pub(crate) fn insert(&mut self, key: RequestKey, appended: UnixMillis, now: UnixMillis) {
        let oldest = slice(self.start(now));
        while let Some(slice) = self.slices.first_entry().filter(|slice| *slice.key() < oldest) {
            slice.remove();
        }
        if slice(appended) >= oldest {
            self.slices.entry(slice(appended)).or_default().insert(key);
        }
    }

    /// What was appended before this time needs not be remembered.
    pub(crate) fn start(&self, now: UnixMillis) -> UnixMillis {
        now.minus(self.length)
    }
}

fn slice(time: UnixMillis) -> i64 {
    time.0.div_euclid(i64::try_from(SLICE.as_millis()).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    const WINDOW: Duration = Duration::from_secs(600);
    const MINUTE: i64 = 60_000;

    fn held(window: &ReplayWindow) -> usize {
        window.slices.values().map(HashSet::len).sum()
    }

    #[test]
    fn remembers_for_the_window_and_forgets_the_memory_too() {
        let mut window = ReplayWindow::new(WINDOW);
        let (a, b) = (RequestKey::of("a"), RequestKey::of("b"));
        let first = 100 * MINUTE + 30_000;
        window.insert(a, UnixMillis(first), UnixMillis(first));
        assert!(window.contains(a, UnixMillis(first + 10 * MINUTE)));
        assert!(!window.contains(a, UnixMillis(first + 11 * MINUTE)));
        assert!(!window.contains(b, UnixMillis(first)));
        window.insert(b, UnixMillis(first + 11 * MINUTE), UnixMillis(first + 11 * MINUTE));
        assert_eq!(held(&window), 1);
    }

    #[test]
    fn a_clock_set_back_forgets_nothing() {
        let mut window = ReplayWindow::new(WINDOW);
        let a = RequestKey::of("a");
        window.insert(a, UnixMillis(100 * MINUTE), UnixMillis(100 * MINUTE));
        assert!(window.contains(a, UnixMillis(5)));
    }

    #[test]
    fn what_was_appended_while_the_clock_was_ahead_keeps_nothing_else_in_memory() {
        let mut window = ReplayWindow::new(WINDOW);
        let ahead = UnixMillis(1_000_000 * MINUTE);
        window.insert(RequestKey::of("ahead"), ahead, ahead);
        for minute in 100..200 {
            let now = UnixMillis(minute * MINUTE);
            window.insert(RequestKey::of(&minute.to_string()), now, now);
        }
        assert_eq!(held(&window), 1 + 11);
    }
}

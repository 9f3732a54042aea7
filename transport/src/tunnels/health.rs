//! How well and how fast an address of a security server has answered lately.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// What is remembered of one address, over both carriers.
#[derive(Default)]
pub(crate) struct Health(Mutex<State>);

#[derive(Clone, Copy, Default)]
struct State {
    /// Moving average over dials and first answers.
    time: Option<Duration>,
    failed: Option<Instant>,
    quic_failed: Option<Instant>,
    exploring: bool,
}

/// How early an address is tried: lower is earlier. Addresses that have not failed lately come first, then those that are known,
/// then the faster ones.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) struct Rank {
    failed: bool,
    unknown: bool,
    time: Duration,
}

impl Health {
    /// A dial or a first answer took this long.
    pub(crate) fn took(&self, time: Duration) {
        let mut state = self.lock();
        state.failed = None;
        state.time = Some(match state.time {
            Some(average) => (average * (AVERAGE_OVER - 1) + time) / AVERAGE_OVER,
            None => time,
        });
    }

    /// It could not be reached, or did not accept us.
    pub(crate) fn failed(&self, now: Instant) {
        let mut state = self.lock();
        state.failed = Some(now);
        state.exploring = false;
    }

    /// HTTP/2 reaches it, QUIC does not.
    pub(crate) fn quic_failed(&self, now: Instant) {
        self.lock().quic_failed = Some(now);
    }

    /// QUIC reaches it.
    pub(crate) fn quic_works(&self) {
        self.lock().quic_failed = None;
    }

    /// Whether QUIC is worth a try; a failure counts for `memory`.
    pub(crate) fn quic_may_work(&self, memory: Duration, now: Instant) -> bool {
        self.lock().quic_failed.is_none_or(|failed| now.saturating_duration_since(failed) >= memory)
    }

    pub(crate) fn rank(&self, now: Instant) -> Rank {
        let state = *self.lock();
        Rank {
            failed: state.failed.is_some_and(|failed| now.saturating_duration_since(failed) < FAILURE_MEMORY),
            unknown: state.time.is_none(),
            time: state.time.unwrap_or_default(),
        }
    }

    /// Whether nothing is known of it, neither a time nor a recent failure, and nobody else is finding out. Whoever is told yes finds
    /// out.
    pub(crate) fn begin_to_explore(&self, now: Instant) -> bool {
        let rank = self.rank(now);
        rank.unknown && !rank.failed && !std::mem::replace(&mut self.lock().exploring, true)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A time counts for an eighth of the average, as in TCP's round-trip estimate (RFC 6298).
const AVERAGE_OVER: u32 = 8;

/// For how long an address that failed is tried last.
const FAILURE_MEMORY: Duration = Duration::from_secs(30);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn healthy_before_known_before_fast() {
        let (now, ms) = (Instant::now(), Duration::from_millis);
        let (fast, slow, unknown, failed) = <(Health, Health, Health, Health)>::default();
        fast.took(ms(5));
        slow.took(ms(50));
        failed.took(ms(1));
        failed.failed(now);
        let mut ranks = [&failed, &unknown, &slow, &fast].map(|health| health.rank(now));
        ranks.sort();
        assert_eq!(ranks, [&fast, &slow, &unknown, &failed].map(|health| health.rank(now)));

        assert!(failed.rank(now + FAILURE_MEMORY - ms(1)) > fast.rank(now));
        assert!(failed.rank(now + FAILURE_MEMORY) < fast.rank(now), "a failure is forgotten");
        failed.took(ms(1));
        assert!(failed.rank(now) < fast.rank(now), "an answer makes it healthy");
    }

    #[test]
    fn one_explorer_at_a_time() {
        let now = Instant::now();
        let (known, unknown) = <(Health, Health)>::default();
        known.took(Duration::ZERO);
        assert!(!known.begin_to_explore(now));
        assert!(unknown.begin_to_explore(now));
        assert!(!unknown.begin_to_explore(now));
        unknown.failed(now);
        assert!(!unknown.begin_to_explore(now), "not at once after a failure");
        assert!(unknown.begin_to_explore(now + FAILURE_MEMORY));
    }

    #[test]
    fn a_quic_failure_is_forgotten_in_time() {
        let (now, memory) = (Instant::now(), Duration::from_secs(300));
        let health = Health::default();
        assert!(health.quic_may_work(memory, now));
        health.quic_failed(now);
        assert!(!health.quic_may_work(memory, now + memory - Duration::from_millis(1)));
        assert!(health.quic_may_work(memory, now + memory));
        health.quic_works();
        assert!(health.quic_may_work(memory, now));
    }

    #[test]
    fn one_slow_answer_does_not_make_a_server_slow() {
        let health = Health::default();
        health.took(Duration::from_millis(8));
        health.took(Duration::from_millis(80));
        assert_eq!(health.rank(Instant::now()).time, Duration::from_millis(17));
    }
}

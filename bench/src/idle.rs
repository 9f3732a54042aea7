//! What processes cost that have nothing to do.

use std::thread;
use std::time::{Duration, Instant};

use crate::account::{cpu_ns, wake_ups};
use crate::chain::Chain;

/// Of one process over some time.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Idle {
    /// Percent of one core.
    pub cpu_pct: f64,
    /// How often one of its threads began to run after it had waited, per second.
    pub wake_ups: f64,
}

impl Idle {
    /// Watches both servers of a chain, to which nobody may talk meanwhile.
    #[must_use]
    pub fn watch(chain: &Chain, time: Duration) -> Vec<Self> {
        let used = || -> Vec<_> {
            chain.servers().map(|part| (cpu_ns(part.pid) as f64, wake_ups(part.pid) as f64)).collect()
        };
        let (start, before) = (Instant::now(), used());
        thread::sleep(time);
        let (after, seconds) = (used(), start.elapsed().as_secs_f64());
        let idle = |((cpu, woken), (cpu_before, woken_before)): (&(f64, f64), &(f64, f64))| Self {
            cpu_pct: (cpu - cpu_before) / 1e9 / seconds * 100.0,
            wake_ups: (woken - woken_before) / seconds,
        };
        after.iter().zip(&before).map(idle).collect()
    }
}

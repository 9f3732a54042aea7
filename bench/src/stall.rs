//! Whether something that happens under load makes exchanges wait.

use std::ops::Range;
use std::thread;
use std::time::{Duration, Instant};

use crate::audit::Answered;
use crate::chain::Chain;
use crate::load::timeline::Timeline;
use crate::load::{Job, Pace, perform};
use crate::run::complete;
use crate::{BenchError, Stop};

/// A constant rate through a chain.
#[derive(Clone, Copy, Debug)]
pub struct Steady {
    /// Exchanges per second.
    pub rate: f64,
    /// Over so many connections.
    pub connections: usize,
    /// Before anything is measured.
    pub warm_up: Duration,
    /// For how long.
    pub time: Duration,
}

/// What such a load saw.
#[derive(Debug)]
pub struct UnderLoad(Timeline);

/// What happened within some times, as a multiple of what happened otherwise.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Stall {
    /// The latency that 99 % did not exceed.
    pub p99: f64,
    /// The longest time without an answer.
    pub gap: f64,
}

impl UnderLoad {
    /// Drives the chain while `meanwhile` does something; it is told when the measured time begins and ends.
    ///
    /// # Errors
    /// An exchange failed, or somebody asked to stop.
    pub fn watch<T: Send>(
        chain: &Chain,
        steady: Steady,
        answered: &mut Answered,
        stop: &Stop,
        meanwhile: impl FnOnce(Range<Instant>) -> T + Send,
    ) -> Result<(Self, T), BenchError> {
        let begin = Instant::now();
        let start = begin + steady.warm_up;
        let measured = start..start + steady.time;
        let job = Job {
            address: chain.address,
            requests: chain.requests.clone(),
            connections: steady.connections,
            pace: Pace::Open(steady.rate),
            first: answered.next(),
            begin,
            measure: measured.clone(),
            timeline: Some(SLICE),
        };
        let (outcome, done) = thread::scope(|scope| {
            let load = scope.spawn(|| perform(&job, stop));
            let done = meanwhile(measured);
            (load.join(), done)
        });
        let bad_end = || BenchError::Machine("the load generator came to a bad end".to_owned());
        let outcome = outcome.map_err(|_| bad_end())??;
        complete(chain, &outcome)?;
        answered.enter_unmeasured(chain, outcome.issued);
        Ok((Self(outcome.timeline.ok_or_else(bad_end)?), done))
    }

    /// How much longer exchanges took within these times; nothing if there were none within or none otherwise.
    #[must_use]
    pub fn stall(&self, within: &[Range<Instant>]) -> Option<Stall> {
        let [inside, rest] = self.0.split(within);
        let both = inside.latency.count() > 0 && rest.latency.count() > 0;
        let ratio = |a: Duration, b: Duration| a.as_secs_f64() / b.as_secs_f64().max(f64::MIN_POSITIVE);
        both.then(|| Stall {
            p99: ratio(inside.latency.quantile(0.99), rest.latency.quantile(0.99)),
            gap: ratio(inside.gap, rest.gap),
        })
    }
}

/// Fine enough to tell a stall of a tenth of a second, long enough for a percentile.
const SLICE: Duration = Duration::from_millis(250);

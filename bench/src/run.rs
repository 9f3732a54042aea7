//! One run: a chain under one load for some seconds, with everything that it used meanwhile.

use std::ops::Range;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use crate::account::{Sample, Usage, fsync_mean_us, pss_kib};
use crate::audit::Answered;
use crate::chain::{Chain, ChainKind};
use crate::load::{Job, Outcome, Pace, perform};
use crate::{BenchError, Histogram, Stop};

/// How long, and with what.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shape {
    pub(crate) connections: usize,
    pub(crate) pace: Pace,
    pub(crate) warm_up: Duration,
    pub(crate) time: Duration,
}

/// What a run showed.
#[derive(Clone, Debug)]
pub(crate) struct Run {
    pub(crate) chain: String,
    pub(crate) kind: ChainKind,
    pub(crate) shape: Shape,
    pub(crate) latency: Histogram,
    pub(crate) usage: Usage,
    /// Names of the processes in `usage.cpu_us`.
    pub(crate) parts: Vec<&'static str>,
    /// Of the two servers.
    pub(crate) pss_kib: Vec<u64>,
    /// Mean of a sync just before and just after.
    pub(crate) fsync_us: [f64; 2],
    pub(crate) calibration_mb_s: f64,
}

impl Run {
    pub(crate) fn exchanges(&self) -> f64 {
        self.latency.count() as f64
    }

    /// Exchanges per second.
    pub(crate) fn rate(&self) -> f64 {
        self.exchanges() / self.shape.time.as_secs_f64()
    }

    /// Latency in microseconds that this share did not exceed.
    pub(crate) fn us(&self, share: f64) -> f64 {
        self.latency.quantile(share).as_secs_f64() * 1e6
    }

    /// CPU microseconds per exchange of each process, with its name; the load generator's comes last.
    pub(crate) fn cpu(&self) -> impl Iterator<Item = (&'static str, f64)> {
        let names = self.parts.iter().copied().chain(["load"]);
        names.zip(self.usage.cpu_us.iter().map(|us| us / self.exchanges().max(1.0)))
    }

    /// CPU microseconds per exchange of both servers.
    pub(crate) fn servers_cpu(&self) -> f64 {
        self.cpu().filter(|(name, _)| ["A", "B"].contains(name)).map(|(_, us)| us).sum()
    }

    pub(crate) fn fsync_mean_us(&self) -> f64 {
        let [before, after] = self.fsync_us;
        (before + after) / 2.0
    }

    pub(crate) fn per_exchange(&self, amount: u64) -> f64 {
        amount as f64 / self.exchanges().max(1.0)
    }
}

/// Makes a run. Its exchanges are entered into `answered`.
pub(crate) fn measure(
    chain: &Chain,
    shape: Shape,
    calibration_mb_s: f64,
    probe_dir: &Path,
    answered: &mut Answered,
    stop: &Stop,
) -> Result<Run, BenchError> {
    let fsync_before = fsync_mean_us(probe_dir)?;
    let begin = Instant::now();
    let start = begin + shape.warm_up;
    let measured = start..start + shape.time;
    let job = Job {
        address: chain.address,
        requests: chain.requests.clone(),
        connections: shape.connections,
        pace: shape.pace,
        first: answered.next(),
        begin,
        measure: measured.clone(),
        timeline: None,
    };
    let (outcome, observed) = thread::scope(|scope| {
        let load = scope.spawn(|| perform(&job, stop));
        let observed = observe(chain, &measured, stop);
        (load.join(), observed)
    });
    let outcome =
        outcome.map_err(|_| BenchError::Machine("the load generator came to a bad end".to_owned()))??;
    let (usage, pss_kib) = observed?;
    complete(chain, &outcome)?;
    answered.enter(chain, outcome.issued.clone());
    Ok(Run {
        chain: chain.name.clone(),
        kind: chain.kind,
        shape,
        latency: outcome.latency,
        usage,
        parts: chain.parts.iter().map(|part| part.name).collect(),
        pss_kib,
        fsync_us: [fsync_before, fsync_mean_us(probe_dir)?],
        calibration_mb_s,
    })
}

/// What the chain and the machine use within the measured time, and the servers' memory at its end.
fn observe(chain: &Chain, measured: &Range<Instant>, stop: &Stop) -> Result<(Usage, Vec<u64>), BenchError> {
    sleep_until(measured.start, stop);
    let before = Sample::take(chain)?;
    sleep_until(measured.end, stop);
    let usage = Sample::take(chain)?.since(&before);
    Ok((usage, chain.servers().map(|part| pss_kib(part.pid)).collect()))
}

/// A run in which an exchange failed is void.
pub(crate) fn complete(chain: &Chain, outcome: &Outcome) -> Result<(), BenchError> {
    match &outcome.first_failure {
        None => Ok(()),
        Some(first) => Err(BenchError::Exchanges {
            name: chain.name.clone(),
            failed: outcome.failed,
            issued: outcome.issued.end - outcome.issued.start,
            first: first.clone(),
        }),
    }
}

/// Sleeps in short pieces, so that whoever asks to stop is heard.
fn sleep_until(time: Instant, stop: &Stop) {
    while !stop.asked() {
        let left = time.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return;
        }
        thread::sleep(left.min(NAP));
    }
}

const NAP: Duration = Duration::from_millis(100);

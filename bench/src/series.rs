//! Runs side by side: each group measures every chain once, forwards and backwards in turn, so that what drifts falls on all alike.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use crate::account::{log_bytes, pss_kib};
use crate::audit::Answered;
use crate::chain::{Chain, ChainKind};
use crate::load::{Job, Pace, Requests, perform};
use crate::run::{Run, Shape, complete, measure};
use crate::{BenchError, Pair, Stop};

/// What is to be measured.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Numbers of connections, each for a series of its own.
    pub connections: Vec<usize>,
    /// Groups per number of connections.
    pub pairs: usize,
    /// Length of a run.
    pub time: Duration,
    /// Load before each run that is not measured.
    pub warm_up: Duration,
    /// Shares of the product's own maximum at which an open loop is run.
    pub open: Vec<f64>,
    /// A run beside which others used more than this share of the machine, in percent, is made again.
    pub others_max_pct: f64,
    /// Directory on the disk of the message logs.
    pub probe_dir: PathBuf,
}

/// All runs of a plan.
#[derive(Debug, Default)]
pub struct Series {
    pub(crate) groups: Vec<Group>,
    /// The product under a constant rate.
    pub(crate) open: Vec<Run>,
    /// Runs that were made again because others used the machine.
    pub(crate) discarded: u64,
    /// Runs that were kept although others used the machine, because it would not become quiet.
    pub(crate) noisy: u64,
    /// Memory of the product's servers before the first exchange of this series.
    pub(crate) idle_pss_kib: Vec<u64>,
    pub(crate) best_calibration: f64,
}

/// One run of each chain with the same number of connections.
#[derive(Debug)]
pub(crate) struct Group {
    pub(crate) connections: usize,
    pub(crate) runs: Vec<Run>,
}

impl Series {
    /// Carries out the plan; tells each run to `progress` when it is done.
    ///
    /// # Errors
    /// An exchange failed, a process ended, or somebody asked to stop.
    pub fn run(
        plan: &Plan,
        chains: &[Chain],
        answered: &mut Answered,
        stop: &Stop,
        progress: &mut dyn FnMut(&str),
    ) -> Result<Self, BenchError> {
        let mut series = Self::default();
        let product = chains.iter().find(|chain| chain.kind == ChainKind::Product);
        series.idle_pss_kib =
            product.map(|chain| chain.servers().map(|part| pss_kib(part.pid)).collect()).unwrap_or_default();
        for &connections in &plan.connections {
            for pair in 0..plan.pairs {
                let mut order: Vec<&Chain> = chains.iter().collect();
                if pair % 2 == 1 {
                    order.reverse();
                }
                let mut runs = Vec::with_capacity(order.len());
                for chain in order {
                    runs.push(series.accepted(
                        plan,
                        chain,
                        connections,
                        Pace::Closed,
                        answered,
                        stop,
                        progress,
                    )?);
                }
                series.groups.push(Group { connections, runs });
            }
        }
        if let (Some(product), Some(&connections)) = (product, plan.connections.last()) {
            for share in &plan.open {
                let rate = Pace::Open(series.product_maximum(connections) * share);
                for _ in 0..plan.pairs {
                    let run = series.accepted(plan, product, connections, rate, answered, stop, progress)?;
                    series.open.push(run);
                }
            }
        }
        Ok(series)
    }

    /// A run during which we had the machine, or the last of some tries.
    #[expect(
        clippy::too_many_arguments,
        reason = "each is one thing, and a struct of them would have one use"
    )]
    fn accepted(
        &mut self,
        plan: &Plan,
        chain: &Chain,
        connections: usize,
        pace: Pace,
        answered: &mut Answered,
        stop: &Stop,
        progress: &mut dyn FnMut(&str),
    ) -> Result<Run, BenchError> {
        let shape = Shape { connections, pace, warm_up: plan.warm_up, time: plan.time };
        let mut tries = 1;
        loop {
            let run = measure(chain, shape, &plan.probe_dir, answered, stop)?;
            self.best_calibration = self.best_calibration.max(run.calibration_mb_s);
            let alone = run.usage.others_pct <= plan.others_max_pct
                && (run.calibration_mb_s >= self.best_calibration * CALIBRATION_MIN
                    || plan.others_max_pct >= 100.0);
            progress(&line(&run, alone));
            if alone {
                return Ok(run);
            }
            if tries == TRIES_MAX {
                self.noisy += 1;
                return Ok(run);
            }
            tries += 1;
            self.discarded += 1;
        }
    }

    /// Exchanges per second of the product, median of its runs.
    fn product_maximum(&self, connections: usize) -> f64 {
        let groups = self.groups.iter().filter(|group| group.connections == connections);
        let rates = groups.filter_map(|group| group.product()).map(Run::rate).collect();
        crate::goals::Spread::of(rates).map_or(0.0, |spread| spread.median)
    }
}

impl Group {
    pub(crate) fn product(&self) -> Option<&Run> {
        self.runs.iter().find(|run| run.kind == ChainKind::Product)
    }

    pub(crate) fn floors(&self) -> impl Iterator<Item = &Run> {
        self.runs.iter().filter(|run| run.kind == ChainKind::Floor)
    }
}

/// Makes exchanges with bodies of 16 KiB until each of the chain's logs holds so many bytes. They count in the audit.
///
/// # Errors
/// An exchange failed, or somebody asked to stop.
pub fn fill(
    chain: &Chain,
    pairs: &[Pair],
    answer_bytes: usize,
    bytes: u64,
    answered: &mut Answered,
    stop: &Stop,
    progress: &mut dyn FnMut(&str),
) -> Result<(), BenchError> {
    let requests = std::sync::Arc::new(Requests::new(pairs, FILL_BODY_BYTES, answer_bytes));
    loop {
        let held: Vec<u64> = chain.logs.iter().map(|log| log_bytes(log)).collect::<Result<_, _>>()?;
        let least = held.into_iter().min().unwrap_or(bytes);
        progress(&format!("the logs hold {} MiB", least >> 20));
        if least >= bytes {
            answered.measure_from_here();
            return Ok(());
        }
        let start = Instant::now();
        let job = Job {
            address: chain.address,
            requests: requests.clone(),
            connections: FILL_CONNECTIONS,
            pace: Pace::Closed,
            first: answered.next(),
            begin: start,
            measure: start..start + FILL_ROUND,
        };
        let outcome = perform(&job, stop)?;
        complete(chain, &outcome)?;
        answered.enter(chain.kind, outcome.issued);
    }
}

fn line(run: &Run, alone: bool) -> String {
    let pace = match run.shape.pace {
        Pace::Closed => String::new(),
        Pace::Open(rate) => format!(" at {rate:.0}/s"),
    };
    let cpu: Vec<String> = run.cpu().map(|(name, us)| format!("{name} {us:.0}")).collect();
    format!(
        "{:<9} c={:<3}{pace} {:>7.0}/s  p50 {:>6.0} µs  p99 {:>6.0} µs  cpu µs {}  others {:.1} %  calibration {:.0} MB/s{}",
        run.chain,
        run.shape.connections,
        run.rate(),
        run.us(0.5),
        run.us(0.99),
        cpu.join(" "),
        run.usage.others_pct,
        run.calibration_mb_s,
        if alone { "" } else { "  (not alone)" }
    )
}

/// Share of the best calibration that a run must have had.
const CALIBRATION_MIN: f64 = 0.93;
/// Tries for a run during which we have the machine.
const TRIES_MAX: u32 = 5;
const FILL_BODY_BYTES: usize = 16 * 1024;
const FILL_CONNECTIONS: usize = 32;
const FILL_ROUND: Duration = Duration::from_secs(2);

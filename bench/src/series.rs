//! Runs side by side: each group measures every chain once, forwards and backwards in turn, so that what drifts falls on all alike.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::account::{log_bytes, pss_kib};
use crate::audit::Answered;
use crate::chain::{Chain, ChainKind};
use crate::gate::{Discarded, Gate};
use crate::load::{Job, Pace, Requests, perform};
use crate::run::{Run, complete};
use crate::runner::Runner;
use crate::{BenchError, Pair, Spinners, Stop};

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
    /// Find the better floor by short trials of this length for each number of connections and leave the others out; without, every floor runs in each group.
    pub floor_trial: Option<Duration>,
    /// A run beside which others used more than this share of the machine, in percent, is made again.
    pub others_max_pct: f64,
    /// Directory on the disk of the message logs.
    pub probe_dir: PathBuf,
    /// What keeps the cores awake during the runs, and is halted while the machine is calibrated.
    pub spinners: Option<Arc<Spinners>>,
}

/// All runs of a plan.
#[derive(Debug, Default)]
pub struct Series {
    pub(crate) groups: Vec<Group>,
    /// The product under a constant rate.
    pub(crate) open: Vec<Run>,
    /// Runs that were made again or do not count because others used the machine.
    pub(crate) discarded: Discarded,
    /// Memory of the product's servers before the first exchange of this series.
    pub(crate) idle_pss_kib: Vec<u64>,
    /// Which floor was the better one in the trials, by the number of connections.
    pub(crate) chosen: Vec<Choice>,
}

/// One run of each chain with the same number of connections.
#[derive(Debug)]
pub(crate) struct Group {
    pub(crate) connections: usize,
    pub(crate) runs: Vec<Run>,
    /// Whether every run had the machine for itself: others do not count.
    pub(crate) accepted: bool,
}

/// A trial of the floors.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Choice {
    pub(crate) connections: usize,
    pub(crate) floor: String,
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
        let in_pairs = plan.pairs * plan.connections.len();
        let gate = Gate::new(plan.others_max_pct, u32::try_from(in_pairs).unwrap_or(u32::MAX));
        let mut runner = Runner { plan, gate, answered, stop, progress, left: 0 };
        runner.left = in_pairs * compared(plan, chains) + plan.open.len() * plan.pairs.min(OPEN_RUNS_MAX);
        for &connections in &plan.connections {
            let chains = series.chains_for(connections, chains, &mut runner)?;
            for pair in 0..plan.pairs {
                series.groups.push(group(connections, pair, &chains, &mut runner)?);
            }
        }
        if let (Some(product), Some(&connections)) = (product, plan.connections.last()) {
            for share in &plan.open {
                let rate = Pace::Open(series.product_maximum(connections) * share);
                for _ in 0..plan.pairs.min(OPEN_RUNS_MAX) {
                    let (run, alone) = runner.run(product, connections, rate)?;
                    series.open.extend(alone.then_some(run));
                }
            }
        }
        series.discarded = runner.gate.discarded();
        Ok(series)
    }

    /// All chains, or, if only the better floor is to be in the pairs, those without the other one.
    fn chains_for<'a>(
        &mut self,
        connections: usize,
        chains: &'a [Chain],
        runner: &mut Runner<'_>,
    ) -> Result<Vec<&'a Chain>, BenchError> {
        let floors: Vec<&Chain> = chains.iter().filter(|chain| chain.kind == ChainKind::Floor).collect();
        let Some(time) = runner.plan.floor_trial.filter(|_| floors.len() > 1) else {
            return Ok(chains.iter().collect());
        };
        let chosen = runner.better(&floors, connections, time)?;
        self.chosen.extend(chosen.map(|floor| Choice { connections, floor: floor.name.clone() }));
        let stays = |chain: &&Chain| {
            chain.kind != ChainKind::Floor || chosen.is_some_and(|floor| floor.name == chain.name)
        };
        Ok(chains.iter().filter(stays).collect())
    }

    /// Exchanges per second of a chain, median of all its runs.
    #[must_use]
    pub fn maximum(&self, connections: usize, chain: &str) -> f64 {
        let groups = self.groups.iter().filter(|group| group.connections == connections);
        let runs = groups.flat_map(|group| &group.runs).filter(|run| run.chain == chain);
        crate::spread::Spread::of(runs.map(Run::rate).collect()).map_or(0.0, |spread| spread.median)
    }

    /// Exchanges per second of the product, median of its runs.
    fn product_maximum(&self, connections: usize) -> f64 {
        let groups = self.groups.iter().filter(|group| group.connections == connections);
        let rates = groups.filter_map(|group| group.product()).map(Run::rate).collect();
        crate::spread::Spread::of(rates).map_or(0.0, |spread| spread.median)
    }

    /// How many pairs with that many connections count, and how many do not.
    #[must_use]
    pub fn pairs(&self, connections: usize) -> (usize, usize) {
        let all = self.groups.iter().filter(|group| group.connections == connections);
        let (accepted, other): (Vec<_>, Vec<_>) = all.partition(|group| group.accepted);
        (accepted.len(), other.len())
    }

    /// Of each pair that counts: the rate of one chain as a share of another's.
    #[must_use]
    pub fn rates(&self, connections: usize, of: &str, to: &str) -> Vec<f64> {
        let groups = self.groups.iter().filter(|group| group.accepted && group.connections == connections);
        let rate = |group: &Group, name: &str| Some(group.runs.iter().find(|run| run.chain == name)?.rate());
        groups.filter_map(|group| Some(rate(group, of)? / rate(group, to)?)).collect()
    }
}

/// How many chains a group has.
fn compared(plan: &Plan, chains: &[Chain]) -> usize {
    let floors = chains.iter().filter(|chain| chain.kind == ChainKind::Floor).count();
    chains.len() - if plan.floor_trial.is_some() { floors.saturating_sub(1) } else { 0 }
}

fn group(
    connections: usize,
    pair: usize,
    chains: &[&Chain],
    runner: &mut Runner<'_>,
) -> Result<Group, BenchError> {
    let mut order = chains.to_vec();
    if pair % 2 == 1 {
        order.reverse();
    }
    let (mut runs, mut accepted) = (Vec::with_capacity(order.len()), true);
    for chain in order {
        let (run, alone) = runner.run(chain, connections, Pace::Closed)?;
        accepted &= alone;
        runs.push(run);
    }
    Ok(Group { connections, runs, accepted })
}

impl Group {
    pub(crate) fn product(&self) -> Option<&Run> {
        self.runs.iter().find(|run| run.kind == ChainKind::Product)
    }

    pub(crate) fn floors(&self) -> impl Iterator<Item = &Run> {
        self.runs.iter().filter(|run| run.kind == ChainKind::Floor)
    }
}

/// Makes exchanges with large bodies until each of the chain's logs holds so many bytes. They count in the audit.
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
            timeline: None,
        };
        let outcome = perform(&job, stop)?;
        complete(chain, &outcome)?;
        answered.enter_unmeasured(chain, outcome.issued);
    }
}

/// Open-loop runs for each share: they are compared with themselves, not with another chain.
const OPEN_RUNS_MAX: usize = 3;
/// Nearly the longest body that goes into the segments.
const FILL_BODY_BYTES: usize = 128 * 1024;
const FILL_CONNECTIONS: usize = 16;
const FILL_ROUND: Duration = Duration::from_secs(2);

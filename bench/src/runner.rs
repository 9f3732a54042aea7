//! Makes runs until one had the machine for itself, within bounds, and says how far it is.

use std::time::Duration;

use crate::account::calibrate;
use crate::audit::Answered;
use crate::chain::Chain;
use crate::gate::{Gate, Verdict};
use crate::load::Pace;
use crate::run::{Run, Shape, measure};
use crate::series::Plan;
use crate::{BenchError, Stop};

/// What all runs of a series have in common.
pub(crate) struct Runner<'a> {
    pub(crate) plan: &'a Plan,
    pub(crate) gate: Gate,
    pub(crate) answered: &'a mut Answered,
    pub(crate) stop: &'a Stop,
    pub(crate) progress: &'a mut dyn FnMut(&str),
    /// Runs that are still to be made, if none has to be repeated.
    pub(crate) left: usize,
}

impl Runner<'_> {
    /// A run, and whether it had the machine for itself; if not, it is the last of some tries.
    pub(crate) fn run(
        &mut self,
        chain: &Chain,
        connections: usize,
        pace: Pace,
    ) -> Result<(Run, bool), BenchError> {
        let shape = Shape { connections, pace, warm_up: self.plan.warm_up, time: self.plan.time };
        self.left = self.left.saturating_sub(1);
        let mut tries = 1;
        loop {
            let calibration = self.calibrate()?;
            let run = measure(chain, shape, calibration, &self.plan.probe_dir, self.answered, self.stop)?;
            let verdict = self.gate.judge(run.usage.others_pct, calibration);
            let told = format!("{}{}; {} s to go", line(&run), words(verdict), self.seconds_left());
            (self.progress)(&told);
            let alone = verdict == Verdict::Alone;
            if alone || tries == TRIES_MAX || !self.gate.may_repeat() {
                return Ok((run, alone));
            }
            tries += 1;
        }
    }

    /// The chain that made most exchanges in short runs, each forwards and backwards.
    pub(crate) fn better<'c>(
        &mut self,
        chains: &[&'c Chain],
        connections: usize,
        time: Duration,
    ) -> Result<Option<&'c Chain>, BenchError> {
        let shape = Shape { connections, pace: Pace::Closed, warm_up: time / 2, time };
        let mut made = vec![0.0; chains.len()];
        let forwards = (0..chains.len()).chain((0..chains.len()).rev());
        for place in forwards {
            let (Some(chain), Some(made)) = (chains.get(place), made.get_mut(place)) else { continue };
            *made += measure(chain, shape, 0.0, &self.plan.probe_dir, self.answered, self.stop)?.rate() / 2.0;
        }
        let told: Vec<_> =
            chains.iter().zip(&made).map(|(chain, rate)| format!("{} {rate:.0}/s", chain.name)).collect();
        let best = chains.iter().zip(made).max_by(|a, b| a.1.total_cmp(&b.1)).map(|(chain, _)| *chain);
        let name = best.map_or("none", |chain| &chain.name);
        (self.progress)(&format!(
            "c={connections}: {} in trials, so {name} is the floor of all pairs",
            told.join(", ")
        ));
        Ok(best)
    }

    /// While the spinners are halted: a thread that shares its core with one is not always moved to a free core within so short a time.
    fn calibrate(&mut self) -> Result<f64, BenchError> {
        let spinners = self.plan.spinners.as_deref();
        spinners.map_or(Ok(()), |spinners| spinners.halt())?;
        let found = self.gate.calibrate(|| calibrate(CALIBRATION_TIME));
        spinners.map_or(Ok(()), |spinners| spinners.go_on())?;
        Ok(found)
    }

    fn seconds_left(&self) -> u64 {
        let each = self.plan.warm_up + self.plan.time + AROUND_A_RUN;
        each.as_secs_f64().mul_add(self.left as f64, 0.5) as u64
    }
}

fn words(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Alone => "",
        Verdict::BesideOthers => "  (not counted: beside others)",
        Verdict::Slow => "  (not counted: the machine is slower than before)",
    }
}

fn line(run: &Run) -> String {
    let pace = match run.shape.pace {
        Pace::Closed => String::new(),
        Pace::Open(rate) => format!(" at {rate:.0}/s"),
    };
    let cpu: Vec<String> = run.cpu().map(|(name, us)| format!("{name} {us:.0}")).collect();
    format!(
        "{:<9} c={:<3}{pace} {:>7.0}/s  p50 {:>6.0} µs  p99 {:>6.0} µs  cpu µs {}  others {:.1} %  calibration {:.0} MB/s",
        run.chain,
        run.shape.connections,
        run.rate(),
        run.us(0.5),
        run.us(0.99),
        cpu.join(" "),
        run.usage.others_pct,
        run.calibration_mb_s,
    )
}

/// Tries for a run during which we have the machine.
const TRIES_MAX: u32 = 3;
/// Long enough to span some ticks of the scheduler on every core.
const CALIBRATION_TIME: Duration = Duration::from_millis(300);
/// Calibration and two probes of the disk, about.
const AROUND_A_RUN: Duration = Duration::from_millis(400);

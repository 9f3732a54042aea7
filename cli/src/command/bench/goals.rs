//! `kogge bench goals`: every goal of the project, one part after the other, each of which can be measured alone.
//!
//! First everything is measured; then, when nobody needs a quiet machine any more, all logs are verified.

mod bodies;
mod carriers;
mod exchanges;
mod ground;
mod members;
mod starts;

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::Context;
use clap::ValueEnum;
use kogge_bench::{Findings, Stop};
use kogge_daemon::shutdown::Shutdown;
use serde_json::json;

use self::ground::Ground;
use super::say;
use crate::demo::block_on;
use crate::demo::layout::Layout;
use crate::failure::{FAILED, Failure};

/// Arguments of `kogge bench goals`.
#[derive(clap::Args, Clone, Debug)]
#[command(after_help = "Examples:
  kogge bench goals --json goals.json                  all parts, some twenty minutes on a quiet machine
  kogge bench goals --only p256 --only batch           only these
  kogge bench goals --pairs 1 --seconds 1 --others-max 100   whether everything runs; the figures are worth nothing

A pair counts only if nobody else used more than --others-max percent of the machine during either run. \
D1 is measured by message-log/examples/append; integration-tests/scripts/goals.sh runs both.")]
pub(super) struct Args {
    /// Measure only these parts; may be repeated
    #[arg(long, value_enum)]
    only: Vec<Part>,
    /// Directory for everything the bench makes, on the disk that is to be measured; emptied at the next start
    #[arg(long, value_name = "DIR", default_value = "bench-data")]
    dir: PathBuf,
    /// Pairs of runs for each comparison
    #[arg(long, value_name = "N", default_value_t = 7, value_parser = clap::value_parser!(u32).range(1..=100))]
    pairs: u32,
    /// Length of a run
    #[arg(long, value_name = "SECONDS", default_value_t = 2.0)]
    seconds: f64,
    /// Load before each run that is not measured
    #[arg(long, value_name = "SECONDS", default_value_t = 1.0)]
    warm_up: f64,
    /// Do not keep the cores awake by work of the lowest priority
    #[arg(long)]
    no_spin: bool,
    /// A run beside which others used more of the machine does not count
    #[arg(long, value_name = "PERCENT", default_value_t = 5.0)]
    others_max: f64,
    /// Members in the registry for S2, R1 and R2
    #[arg(long, value_name = "N", default_value_t = 100_000)]
    members: u32,
    /// Size of the logs for S2
    #[arg(long, value_name = "MIB", default_value_t = 2048)]
    large_log_mib: u64,
    /// Write everything that was found to this file
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

/// What can be measured alone.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
enum Part {
    /// P-256: T1, T5, L1, L2, L3, D2, D3, D4, M1, M2
    P256,
    /// Batch signatures: T2, T5
    Batch,
    /// T3
    Ed25519,
    /// T4
    Rsa2048,
    /// QUIC beside HTTP/2: Q1 for small exchanges
    Carriers,
    /// Start and restart: S1, D5
    Starts,
    /// 100,000 members: R1, R2, S2
    Members,
    /// Bodies of 1 GiB: B1, B2, B3, Q1 for large ones
    Bodies,
}

/// Carries it out.
pub(super) fn run(args: &Args, out: &mut dyn Write) -> Result<ExitCode, Failure> {
    let mut outcome = None;
    block_on(async {
        outcome = Some(perform(args).await?);
        Ok(())
    })?;
    let Some((findings, counts)) = outcome else { return Ok(FAILED.into()) };
    write!(out, "{}\n{}", findings.table(), findings.markdown())?;
    Ok(if counts { ExitCode::SUCCESS } else { FAILED.into() })
}

async fn perform(args: &Args) -> anyhow::Result<(Findings, bool)> {
    let layout = Layout::create(&args.dir)?;
    let shutdown = Shutdown::on_signals().context("cannot wait for Ctrl-C")?;
    let stop = Stop::default();
    let outcome = tokio::select! {
        outcome = play(args, &layout, &stop) => outcome,
        () = shutdown.wait() => Err(anyhow::anyhow!("interrupted")),
    };
    stop.ask();
    outcome
}

/// Measures, verifies, and says what was found and whether all of it counts.
async fn play(args: &Args, layout: &Layout, stop: &Stop) -> anyhow::Result<(Findings, bool)> {
    let start = Instant::now();
    let mut ground = Ground::start(args, layout, stop)?;
    let parts: Vec<Part> =
        if args.only.is_empty() { Part::value_variants().to_vec() } else { args.only.clone() };
    for (number, part) in (1..).zip(&parts) {
        say(&format!("part {number} of {}: {part:?}, {} s so far", parts.len(), start.elapsed().as_secs()));
        if let Err(error) = part.measure(&mut ground).await {
            anyhow::ensure!(!stop.asked(), "interrupted");
            // The other parts are not the worse for it.
            ground.failed(*part, &error);
        }
    }
    ground.measured_binary()?;
    say(&format!(
        "measured in {} s; what follows is verification, during which the machine need not be quiet",
        start.elapsed().as_secs()
    ));
    let result = ground.verify().await?;
    say(&format!("done in {} s", start.elapsed().as_secs()));
    if let Some(file) = &args.json {
        let all = json!({
            "goals": result.findings.json(), "series": result.series, "counts": result.counts,
            "pairs": args.pairs, "seconds": args.seconds, "warm_up": args.warm_up, "spin": !args.no_spin,
            "others_max_pct": args.others_max, "members": args.members, "large_log_mib": args.large_log_mib,
            "took_s": start.elapsed().as_secs(),
        });
        let written = std::fs::write(file, format!("{all:#}\n"));
        written.with_context(|| format!("cannot write {}", file.display()))?;
    }
    Ok((result.findings, result.counts))
}

impl Part {
    async fn measure(self, ground: &mut Ground<'_>) -> anyhow::Result<()> {
        match self {
            Self::P256 => exchanges::p256(ground).await,
            Self::Batch => exchanges::batch(ground).await,
            Self::Ed25519 => exchanges::ed25519(ground).await,
            Self::Rsa2048 => exchanges::rsa2048(ground).await,
            Self::Carriers => carriers::measure(ground).await,
            Self::Starts => starts::measure(ground).await,
            Self::Members => members::measure(ground).await,
            Self::Bodies => bodies::measure(ground).await,
        }
    }
}

/// Length of a trial that finds the better floor.
const FLOOR_TRIAL: Duration = Duration::from_secs(1);

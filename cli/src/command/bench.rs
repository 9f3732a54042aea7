//! `kogge bench`: brings the product, the floor and the base line up, has them measured, and verifies what was logged meanwhile.

mod around;
mod bundle;
mod chains;
mod goals;
mod large;
mod logs;
mod product;

use std::io::Write;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use clap::{Subcommand, ValueEnum};
use kogge_bench::{Answered, Carrier, HopArgs, HopRole, Plan, Report, Series, Spinners, Stop};
use kogge_daemon::shutdown::Shutdown;
use kogge_signer::NewKeyKind;
use serde_json::json;

use self::chains::Chains;
use crate::demo::layout::Layout;
use crate::demo::processes::Processes;
use crate::demo::{Transport, block_on};
use crate::failure::{FAILED, Failure, OrFail};
use crate::output;

/// Arguments of `kogge bench`.
#[derive(clap::Args, Clone, Debug)]
#[command(
    args_conflicts_with_subcommands = true,
    after_help = "Examples:
  kogge bench                                          rates, latencies, CPU, disk: some ten minutes on a quiet machine
  kogge bench goals                                    every goal of the project, met or missed
  kogge bench bundle --exchanges 100000                how fast an auditor's bundle is made and verified
  kogge bench --only product --pairs 1 --seconds 3     a quick look
  kogge bench --connections 1,16,64 --spin --json      all goals, for a program

nginx and HAProxy are measured if they are installed. A run beside which others used the machine is made again; \
--others-max 100 keeps every run. Exit code 1 if an exchange was answered that is not whole and valid in both logs."
)]
pub(crate) struct Args {
    #[command(subcommand)]
    process: Option<Process>,
    /// Directory for everything the bench makes, on the disk that is to be measured; emptied at the next start
    #[arg(long, value_name = "DIR", default_value = "bench-data")]
    dir: PathBuf,
    /// Measure only these; may be repeated
    #[arg(long, value_enum)]
    only: Vec<Only>,
    /// Groups of runs per number of connections; each chain runs once in a group
    #[arg(long, value_name = "N", default_value_t = 7)]
    pairs: usize,
    /// Length of a run
    #[arg(long, value_name = "SECONDS", default_value_t = 6.0)]
    seconds: f64,
    /// Load before each run that is not measured
    #[arg(long, value_name = "SECONDS", default_value_t = 3.0)]
    warm_up: f64,
    /// Numbers of connections, each for a series of its own
    #[arg(long, value_name = "N,…", value_delimiter = ',', default_value = "16,64")]
    connections: Vec<usize>,
    /// Also run the product at these shares of its maximum, with latency from the intended start of each exchange
    #[arg(long, value_name = "SHARE,…", value_delimiter = ',')]
    open: Vec<f64>,
    /// Bytes of each answer's body
    #[arg(long, value_name = "BYTES", default_value_t = 1024)]
    body: usize,
    /// Send a POST with a body of so many bytes instead of a GET
    #[arg(long, value_name = "BYTES", default_value_t = 0)]
    post: usize,
    /// What members sign with
    #[arg(long, value_enum, default_value_t = Keys::P256)]
    keys: Keys,
    /// Whether each message has a signature of its own or shares one with others by a hash tree; the servers' default if absent
    #[arg(long, value_enum)]
    signature: Option<Signature>,
    /// What carries the tunnel between the security servers
    #[arg(long, value_enum, default_value_t = Transport::Auto)]
    transport: Transport,
    /// Client subsystems on the consumer's server
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=999))]
    clients: u32,
    /// Services on the provider's server
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=999))]
    services: u32,
    /// Further members in the registry
    #[arg(long, value_name = "N", default_value_t = 0)]
    members: u32,
    /// Fill both message logs to so many MiB first
    #[arg(long, value_name = "MIB", default_value_t = 0)]
    log_mib: u64,
    /// Keep every core awake by work of the lowest priority
    #[arg(long)]
    spin: bool,
    /// Make a run again if others used more of the machine
    #[arg(long, value_name = "PERCENT", default_value_t = 5.0)]
    others_max: f64,
    /// Let every floor run in every group, not only the one that is better in short trials
    #[arg(long)]
    all_floors: bool,
    /// Instead of all that: fetch a body of so many bytes (or KiB, MiB, GiB), and watch the servers' memory meanwhile
    #[arg(long, value_name = "SIZE", value_parser = size)]
    large: Option<u64>,
    /// With --large: how many at once
    #[arg(long, value_name = "N", default_value_t = 1, requires = "large")]
    parallel: usize,
    /// Print one JSON object on standard output; progress goes to standard error
    #[arg(long)]
    json: bool,
}

/// What a chain is.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
enum Only {
    /// nginx and HAProxy.
    Floor,
    /// hyper, rustls and quinn without Kogge.
    Base,
    /// Kogge.
    Product,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
enum Keys {
    P256,
    Ed25519,
    Rsa2048,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
enum Signature {
    Each,
    Batch,
}

/// The whole, and processes that a bench starts.
#[derive(Clone, Debug, Subcommand)]
enum Process {
    /// One hop of the base line
    #[command(hide = true)]
    Hop {
        #[arg(value_parser = ["a", "b"])]
        role: String,
        #[arg(long, value_parser = ["h2", "quic"])]
        carrier: String,
        #[arg(long)]
        listen: SocketAddr,
        #[arg(long)]
        next: SocketAddr,
        #[arg(long)]
        tls: PathBuf,
    },
    /// The backend where nginx is missing
    #[command(hide = true)]
    Backend {
        #[arg(long)]
        listen: SocketAddr,
        #[arg(long)]
        body: usize,
    },
    /// Work of the lowest priority
    #[command(hide = true)]
    Spin,
    /// Measure every goal of the project, verify the logs afterwards, and say what is met and what is missed
    Goals(goals::Args),
    /// Measure how fast an auditor's bundle is made and verified; prints one line of JSON
    Bundle(bundle::Args),
}

/// Carries it out.
pub(crate) fn run(args: Args, out: &mut dyn Write) -> Result<ExitCode, Failure> {
    match args.process {
        Some(Process::Goals(args)) => goals::run(&args, out),
        Some(Process::Bundle(args)) => bundle::run(&args, out),
        Some(process) => serve(process),
        None => {
            let mut outcome = None;
            block_on(async {
                outcome = Some(perform(&args).await?);
                Ok(())
            })?;
            let Some(found) = outcome else { return Ok(FAILED.into()) };
            if args.json {
                output::json(out, &found.json)?;
            } else {
                write!(out, "{}", found.table)?;
            }
            Ok(if found.counts { ExitCode::SUCCESS } else { FAILED.into() })
        }
    }
}

fn serve(process: Process) -> Result<ExitCode, Failure> {
    match process {
        Process::Hop { role, carrier, listen, next, tls } => {
            let role = if role == "a" { HopRole::A } else { HopRole::B };
            let carrier = if carrier == "quic" { Carrier::Quic } else { Carrier::H2 };
            kogge_bench::serve_hop(&HopArgs { role, carrier, listen, next, tls }).or_failed()?;
        }
        Process::Backend { listen, body } => kogge_bench::serve_backend(listen, body).or_failed()?,
        Process::Spin => kogge_bench::spin(),
        Process::Goals(_) | Process::Bundle(_) => {}
    }
    Ok(ExitCode::SUCCESS)
}

/// What was measured.
struct Found {
    table: String,
    json: serde_json::Value,
    /// Whether all that was answered is whole and valid in both logs.
    counts: bool,
}

async fn perform(args: &Args) -> anyhow::Result<Found> {
    let layout = Layout::create(&args.dir)?;
    let mut processes = Processes::default();
    let shutdown = Shutdown::on_signals().context("cannot wait for Ctrl-C")?;
    let stop = Stop::default();
    let outcome = tokio::select! {
        outcome = play(args, &layout, &mut processes, &stop) => outcome,
        () = shutdown.wait() => Err(anyhow::anyhow!("interrupted")),
    };
    stop.ask();
    say("stopping the processes");
    let stopped = processes.stop().await;
    let report = outcome?;
    stopped?;
    Ok(report)
}

async fn play(args: &Args, layout: &Layout, processes: &mut Processes, stop: &Stop) -> anyhow::Result<Found> {
    let chains = Chains::start(args, layout, processes).await?;
    if let Some(bytes) = args.large {
        return large::measure(args, bytes, layout, &chains, stop).await;
    }
    let before = logs::metrics(chains.product.as_ref()).await?;
    let (series, answered) = measure(args, layout, &chains, stop).await?;
    let after = logs::metrics(chains.product.as_ref()).await?;
    processes.check()?;
    let audit = logs::audit(chains.product.as_ref(), layout, &answered).await?;
    let counts = audit.as_ref().is_none_or(kogge_bench::AuditResult::holds);
    let signature = args.signature.map_or("each", Signature::word);
    let mut report = Report::new(series, args.keys.word(), signature, audit, setting(args, &chains));
    for ((server, before), (_, after)) in before.iter().zip(&after) {
        report.add_stages(server, kogge_bench::stages(before, after));
    }
    Ok(Found { table: report.table(), json: report.json(), counts })
}

fn setting(args: &Args, chains: &Chains) -> serde_json::Value {
    json!({
        "keys": args.keys.word(), "signature": args.signature.map(Signature::word), "transport": args.transport.word(),
        "body": args.body, "post": args.post, "clients": args.clients, "services": args.services, "members": args.members,
        "log_mib": args.log_mib, "spin": args.spin, "seconds": args.seconds, "warm_up": args.warm_up,
        "backend": chains.around.backend.program(), "others_max_pct": args.others_max,
    })
}

/// Bytes, as a number with `KiB`, `MiB`, `GiB` or nothing behind it.
fn size(text: &str) -> Result<u64, std::num::ParseIntError> {
    let units = [("KiB", 10), ("MiB", 20), ("GiB", 30)];
    let unit = units.iter().find_map(|(unit, shift)| Some((text.strip_suffix(unit)?, *shift)));
    let (digits, shift) = unit.unwrap_or((text, 0));
    Ok(digits.trim().parse::<u64>()?.saturating_mul(1 << shift))
}

/// Has the chains measured on a thread of its own, so that Ctrl-C is heard meanwhile.
async fn measure(
    args: &Args,
    layout: &Layout,
    chains: &Chains,
    stop: &Stop,
) -> anyhow::Result<(Series, Answered)> {
    let spinners = if args.spin {
        Some(Arc::new(Spinners::start(&around::kogge()?, &layout.path("bench"))?))
    } else {
        None
    };
    let plan = Plan {
        connections: args.connections.clone(),
        pairs: args.pairs,
        time: Duration::try_from_secs_f64(args.seconds)?,
        warm_up: Duration::try_from_secs_f64(args.warm_up)?,
        open: args.open.clone(),
        floor_trial: (!args.all_floors).then_some(FLOOR_TRIAL),
        others_max_pct: args.others_max,
        probe_dir: layout.path("bench"),
        spinners,
    };
    let (all, stop) = (chains.all(), stop.clone());
    let mut answered = Answered::default();
    if let Some(product) = chains.product.as_ref().filter(|_| args.log_mib > 0) {
        let (backend, bytes) = (&chains.around.backend, args.log_mib << 20);
        tokio::task::block_in_place(|| product.fill(backend, bytes, &mut answered, &stop))?;
    }
    let work = move || -> anyhow::Result<(Series, Answered)> {
        let series = Series::run(&plan, &all, &mut answered, &stop, &mut |line| say(line))?;
        Ok((series, answered))
    };
    tokio::task::spawn_blocking(work).await.context("the measurement came to a bad end")?
}

/// Length of a trial that finds the better floor.
const FLOOR_TRIAL: Duration = Duration::from_secs(1);

impl Keys {
    fn word(self) -> &'static str {
        match self {
            Self::P256 => "p256",
            Self::Ed25519 => "ed25519",
            Self::Rsa2048 => "rsa2048",
        }
    }

    fn kind(self) -> NewKeyKind {
        match self {
            Self::P256 => NewKeyKind::EcdsaP256,
            Self::Ed25519 => NewKeyKind::Ed25519,
            Self::Rsa2048 => NewKeyKind::Rsa(2048),
        }
    }
}

impl Signature {
    fn word(self) -> &'static str {
        match self {
            Self::Each => "each",
            Self::Batch => "batch",
        }
    }
}

/// One line of progress.
fn say(line: &str) {
    eprintln!("bench: {line}");
}

#[cfg(test)]
mod tests {
    use super::size;

    #[test]
    fn sizes_have_binary_units() {
        assert_eq!((size("17"), size("4KiB"), size("1 GiB")), (Ok(17), Ok(4096), Ok(1 << 30)));
        for wrong in ["", "GiB", "-1MiB", "1GB", "1.5GiB"] {
            assert!(size(wrong).is_err(), "{wrong}");
        }
    }
}

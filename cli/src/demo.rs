//! `kogge demo`: a whole instance on this machine, each role a process of its own.
//!
//! Registry, trust services, two agencies with a security server each, and a register. What it makes lies in one directory, which it empties
//! at the next start. When the demo ends, so do its processes; if it is killed, they stay, and `endpoints.json` has their process ids.

mod crowd;
mod evidence;
mod exchanges;
mod instance;
pub(crate) mod layout;
mod people;
pub(crate) mod plain_http;
pub(crate) mod processes;
pub(crate) mod register;
mod shape;

use std::future::Future;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use anyhow::Context;
use kogge_daemon::shutdown::Shutdown;
use serde_json::json;

use self::exchanges::Backend;
pub(crate) use self::instance::{Instance, Server, registry_config};
use self::layout::{Layout, Ports};
use self::processes::Processes;
pub(crate) use self::shape::{Shape, Transport};
use crate::failure::{Failure, OrFail};

/// Arguments of `kogge demo`.
#[derive(clap::Args, Debug)]
#[command(after_help = "Examples:\n  kogge demo                          start and stay up until Ctrl-C\n  \
    kogge demo --once --json            start, make three exchanges, verify the evidence, stop\n  \
    kogge demo --register http://localhost:3000   put your own HTTP service behind it")]
pub(crate) struct Args {
    /// Directory for everything the demo makes; emptied at the next start.
    #[arg(long, value_name = "DIR", default_value = "demo-data")]
    dir: PathBuf,
    /// Make a GET, a POST with JSON and a POST of 5 MiB, wait until all are timestamped, export and verify the evidence, stop.
    #[arg(long)]
    once: bool,
    /// With --once: print one JSON object on standard output; progress goes to standard error.
    #[arg(long, requires = "once")]
    json: bool,
    /// What carries the tunnel between the security servers: QUIC, HTTP/2 over TCP, or whatever works.
    #[arg(long, value_enum, default_value_t = Transport::Auto)]
    transport: Transport,
    /// An HTTP service to use as the register instead of the built-in population register.
    #[arg(long, value_name = "URL")]
    register: Option<String>,
    /// First of eight consecutive ports; 0 takes any that are free.
    #[arg(long, value_name = "N", default_value_t = 28080)]
    port_base: u16,
}

/// Runs the demo.
///
/// # Errors
/// A process does not start, an exchange fails, or evidence does not verify; all processes have been stopped by then.
pub(crate) fn run(args: Args) -> Result<ExitCode, Failure> {
    block_on(perform(args))
}

/// Carries out a command on a runtime of its own.
pub(crate) fn block_on(work: impl Future<Output = anyhow::Result<()>>) -> Result<ExitCode, Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().or_failed()?;
    runtime.block_on(work).or_failed()?;
    Ok(ExitCode::SUCCESS)
}

async fn perform(args: Args) -> anyhow::Result<()> {
    let started = Instant::now();
    let layout = Layout::create(&args.dir)?;
    let ports = Ports::choose(args.port_base)?;
    let mut processes = Processes::default();
    let shutdown = Shutdown::on_signals().context("cannot wait for Ctrl-C")?;
    let outcome = tokio::select! {
        outcome = play(&args, &layout, &ports, &mut processes, started) => outcome,
        () = shutdown.wait() => interrupted(&args),
    };
    say("stopping the processes");
    let stopped = processes.stop().await;
    outcome?;
    if args.once { stopped } else { Ok(()) }
}

/// Ctrl-C or SIGTERM is how the demo ends, unless it was to do something and end by itself.
fn interrupted(args: &Args) -> anyhow::Result<()> {
    anyhow::ensure!(!args.once, "interrupted before the evidence was verified");
    Ok(())
}

async fn play(
    args: &Args,
    layout: &Layout,
    ports: &Ports,
    processes: &mut Processes,
    started: Instant,
) -> anyhow::Result<()> {
    let shape = Shape { transport: args.transport, register: args.register.clone(), ..Shape::default() };
    let instance = Instance::start(&shape, layout, ports, processes).await?;
    let backend = Backend::new(&instance);
    say(&format!("the instance is up after {} ms", started.elapsed().as_millis()));
    if !args.once {
        instance.introduce(layout);
        let answer = backend.example().await?;
        println!("\nThe same request by the demo itself came back as:\n{answer}\n");
        println!("Stop with Ctrl-C.");
        return processes.watch().await;
    }
    let message_ids = backend.three_exchanges().await?;
    processes.check()?;
    evidence::wait_until_timestamped(&instance, &message_ids).await?;
    let containers = evidence::export(&instance, layout, &message_ids).await?;
    evidence::verify(&instance, &containers).await?;
    if args.json {
        let report = json!({
            "exchanges": message_ids.len(),
            "containers": containers,
            "verified": containers.len(),
            "transport": instance.transport,
            "duration_ms": u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX),
        });
        println!("{report}");
    } else {
        println!("{} exchanges, {} containers, all verified:", message_ids.len(), containers.len());
        println!("  {}", layout.path("evidence").display());
        println!(
            "Look at one with\n  {} verify {} --anchor {}",
            program(),
            containers[0].display(),
            instance.anchor.display()
        );
    }
    Ok(())
}

/// How the user starts this very binary, so that printed commands can be pasted.
fn program() -> String {
    std::env::current_exe().map_or_else(|_| "kogge".to_owned(), |path| path.display().to_string())
}

/// One line of progress.
fn say(line: &str) {
    eprintln!("demo: {line}");
}

//! `… run`: how every daemon is started, checked and stopped.

use std::future::Future;
use std::io::Write;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use kogge_daemon::config::ConfigError;
use kogge_daemon::shutdown::Shutdown;
use kogge_daemon::telemetry;

use crate::failure::{Failure, OrFail};

/// Arguments of every `run` command.
#[derive(Args, Debug)]
pub(crate) struct RunArgs {
    /// The configuration file
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// Only check the configuration: exit code 0 if it can be used, 2 if not
    #[arg(long)]
    check_config: bool,
    /// Worker threads; one per core if absent
    #[arg(long, value_name = "N")]
    threads: Option<NonZeroUsize>,
}

/// Loads the configuration and serves until SIGINT or SIGTERM.
pub(crate) fn run<C, E, F>(
    args: &RunArgs,
    load: impl FnOnce(&Path) -> Result<C, ConfigError>,
    serve: impl FnOnce(C, Shutdown) -> F,
    out: &mut dyn Write,
) -> Result<ExitCode, Failure>
where
    E: std::error::Error + Send + Sync + 'static,
    F: Future<Output = Result<(), E>>,
{
    let config = load(&args.config).or_unusable()?;
    if args.check_config {
        writeln!(out, "{} can be used", args.config.display())?;
        return Ok(ExitCode::SUCCESS);
    }
    telemetry::init();
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    if let Some(threads) = args.threads {
        builder.worker_threads(threads.get());
    }
    let runtime = builder.enable_all().build().or_failed()?;
    let served = runtime.block_on(async {
        let shutdown = Shutdown::on_signals().or_failed()?;
        serve(config, shutdown).await.or_failed()
    });
    // A blocking call may still hang in a register of names or a slow disk; the process does not wait for it.
    runtime.shutdown_timeout(LEFTOVERS_TIME_MAX);
    served.map(|()| ExitCode::SUCCESS)
}

/// How long what the daemon left behind may still take: its own grace period is over by then.
const LEFTOVERS_TIME_MAX: Duration = Duration::from_secs(1);

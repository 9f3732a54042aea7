//! `kogge security-server`: the broker.

use std::io::Write;
use std::process::ExitCode;

use clap::Subcommand;
use kogge_security_server::{Config, run as serve};

use super::serve::{self as daemon, RunArgs};
use crate::failure::Failure;

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Carry exchanges between information systems and peers until SIGTERM
    #[command(after_help = "Examples:
  kogge security-server run --config security-server.toml
  kogge security-server run --config security-server.toml --check-config")]
    Run(RunArgs),
}

/// Carries it out.
pub(crate) fn run(command: &Command, out: &mut dyn Write) -> Result<ExitCode, Failure> {
    match command {
        Command::Run(args) => daemon::run(args, Config::load, serve, out),
    }
}

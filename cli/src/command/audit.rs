//! `kogge audit`: what no single piece of evidence shows, but two logs beside each other do.

mod consistency;
mod reconcile;

use std::io::Write;
use std::process::ExitCode;

use clap::Subcommand;

use crate::failure::Failure;

/// What to audit.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Compare the message logs of two parties: name every exchange that lacks its twin or differs
    Reconcile(reconcile::Args),
    /// Prove that a log has only grown since an earlier checkpoint, and print its present one
    Consistency(consistency::Args),
}

/// Carries it out.
pub(crate) fn run(command: &Command, out: &mut dyn Write) -> Result<ExitCode, Failure> {
    match command {
        Command::Reconcile(args) => reconcile::run(args, out),
        Command::Consistency(args) => consistency::run(args, out),
    }
}

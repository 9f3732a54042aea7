//! The command line as a whole; each command's own arguments are in its file.

use clap::{Parser, Subcommand};

use crate::command::{audit, bench, log, registry, security_server, token, trust, verify};
use crate::demo;

/// Kogge: signed, logged and timestamped data exchange between agencies.
#[derive(Debug, Parser)]
#[command(
    name = "kogge",
    version,
    arg_required_else_help = true,
    after_help = "\
Start here:
  kogge demo                                   a whole instance on this machine
  kogge verify message.asice --anchor anchor.toml   check a piece of evidence, offline

Errors go to standard error. Exit codes: 0 success, 1 what was asked for failed, 2 bad usage or unreadable input.
KOGGE_LOG sets how much daemons log, e.g. KOGGE_LOG=debug (default info)."
)]
pub(crate) struct Args {
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// The roles and the operators' commands.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// A whole instance on this machine: registry, trust services, two agencies, a register
    Demo(demo::Args),
    /// The demo's register, as a process of its own
    #[command(hide = true)]
    DemoRegister(demo::register::Args),
    /// What an exchange costs here, beside what two dumb proxies cost
    Bench(Box<bench::Args>),
    /// The broker between an agency's information systems and its peers
    #[command(subcommand)]
    SecurityServer(security_server::Command),
    /// The authority of an instance: who takes part, told by a signed snapshot
    #[command(subcommand, visible_alias = "registry")]
    CentralRegistry(registry::Command),
    /// CA, OCSP responder and timestamping authority for development
    #[command(subcommand)]
    TrustServices(trust::Command),
    /// Keys and certificates in a software token
    #[command(subcommand)]
    Token(token::Command),
    /// The message log of a security server
    #[command(subcommand)]
    Log(log::Command),
    /// Check evidence offline: containers and whole message logs
    Verify(verify::Args),
    /// What two parties' logs show together
    #[command(subcommand)]
    Audit(audit::Command),
}

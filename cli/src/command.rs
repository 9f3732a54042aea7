//! One file per command.

pub(crate) mod audit;
pub(crate) mod bench;
pub(crate) mod log;
pub(crate) mod registry;
pub(crate) mod security_server;
mod serve;
mod subject;
pub(crate) mod token;
pub(crate) mod trust;
pub(crate) mod verify;

use std::io::Write;
use std::process::ExitCode;

use crate::args::Command;
use crate::demo;
use crate::failure::Failure;

/// Carries a command out.
pub(crate) fn run(command: Command, out: &mut dyn Write) -> Result<ExitCode, Failure> {
    match command {
        Command::Demo(args) => demo::run(args),
        Command::DemoRegister(args) => demo::register::run(args),
        Command::Bench(args) => bench::run(*args, out),
        Command::SecurityServer(command) => security_server::run(&command, out),
        Command::CentralRegistry(command) => registry::run(command, out),
        Command::TrustServices(command) => trust::run(&command, out),
        Command::Token(command) => token::run(command, out),
        Command::Log(command) => log::run(command, out),
        Command::Verify(args) => verify::run(&args, out),
        Command::Audit(command) => audit::run(&command, out),
    }
}

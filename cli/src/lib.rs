//! The commands of the `kogge` binary.
//!
//! Each file in `command/` is one command: its arguments, and a function that carries it out through the library whose job it is.
//! Results go to standard output, everything else to standard error. Exit codes: `failure.rs`.
#![forbid(unsafe_code)]

mod args;
mod command;
mod demo;
mod digest;
mod failure;
mod output;
mod progress;
mod renewals;

use std::io::{self, BufWriter, Write};
use std::panic::PanicHookInfo;
use std::process::ExitCode;

use clap::Parser;

use crate::args::Args;

/// Runs the command that the process's arguments ask for. What `main` does, as a function, so that tests can build it under another name.
#[must_use]
pub fn main() -> ExitCode {
    std::panic::set_hook(Box::new(report_panic));
    let args = match Args::try_parse() {
        Ok(args) => args,
        Err(asked_or_wrong) => {
            // Help asked for goes to standard output with exit code 0, a wrong usage to standard error with 2.
            let code = if asked_or_wrong.use_stderr() { failure::UNUSABLE } else { 0 };
            return if asked_or_wrong.print().is_ok() { code.into() } else { failure::FAILED.into() };
        }
    };
    let mut out = BufWriter::new(io::stdout().lock());
    let done = command::run(args.command, &mut out);
    let done = done.and_then(|code| out.flush().map(|()| code).map_err(Into::into));
    done.unwrap_or_else(|failure| failure.report())
}

/// An error of ours, in one line; daemons replace this by a line in their log.
fn report_panic(info: &PanicHookInfo<'_>) {
    let message = info.payload_as_str().unwrap_or("no message");
    let place = info.location().map(ToString::to_string).unwrap_or_default();
    eprintln!("kogge: internal error at {place}: {message}; please report it");
}

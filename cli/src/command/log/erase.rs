//! `kogge log erase`: makes a body unreadable for good.

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use kogge_security_server::Config;
use kogge_security_server::admin;
use kogge_security_server::erasure::EraseRequest;

use crate::failure::{Failure, OrFail};
use crate::output;

#[derive(Args, Debug)]
pub(crate) struct EraseArgs {
    /// Configuration of the security server whose log it is. If the server runs, it does the work; else this command does
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// The message id (x-road-id): of the request, and of its response
    #[arg(long, value_name = "ID")]
    message_id: String,
    /// Only this request id (x-road-request-id), where the message id was used more than once
    #[arg(long, value_name = "ID")]
    request_id: Option<String>,
    /// Why; it is signed and stays in the log
    #[arg(long, value_name = "TEXT")]
    reason: String,
    /// Who asks for it; it is signed and stays in the log
    #[arg(long, value_name = "NAME", env = "USER")]
    actor: String,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// Carries it out.
pub(super) fn run(args: EraseArgs, out: &mut dyn Write) -> Result<ExitCode, Failure> {
    let config = Config::load(&args.config).or_unusable()?;
    let EraseArgs { message_id, request_id, reason, actor, json, .. } = args;
    let erased = admin::erase(&config, EraseRequest { message_id, request_id, reason, actor }).or_failed()?;
    if json {
        output::json_line(out, &erased)?;
    } else {
        let records: Vec<String> = erased.records.iter().map(u64::to_string).collect();
        writeln!(
            out,
            "erased the bodies of the records {}; entry {} says so",
            records.join(", "),
            erased.entry
        )?;
    }
    Ok(ExitCode::SUCCESS)
}

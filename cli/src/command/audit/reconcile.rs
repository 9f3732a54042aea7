//! `kogge audit reconcile`: do both sides' logs say the same? Needs neither keys nor bodies, and takes no lock.
//!
//! Each log is read once for a row of some 80 bytes per record, which is what the matching needs; the logs are read again only if something was found, for
//! the names of what was found.

mod judge;
mod reading;
mod report;
mod row;

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, anyhow};
use kogge_message_log::Reader;
use kogge_proto::time::UnixMillis;
use kogge_security_server::clock;

use self::judge::{Judgement, Scope};
use self::reading::{Progress, details, rows};
use self::row::Side;
use super::super::log::parse_time;
use crate::failure::{FAILED, Failure, OrFail};
use crate::output;

/// Arguments of `kogge audit reconcile`.
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Examples:
  kogge audit reconcile bremen/log luebeck/log
  kogge audit reconcile bremen/log luebeck/log --from 2026-11-01 --to 2026-12-01 --json

Compared are the exchanges between the two logs' servers, by request id; bodies need not be there. Clocks are not compared. A record without twin is \
not called missing if it lies within the margin of the beginning or the end of the other log, or of the present: its twin may be on its way, or just \
outside. Give --margin 0 for logs of servers that have been stopped.

Exit codes: 0 both logs say the same, 1 there are findings, 2 a log cannot be read, or bad usage.")]
pub(crate) struct Args {
    /// Directory of one party's message log, or a copy of it
    #[arg(value_name = "LOG_A")]
    log_a: PathBuf,
    /// Directory of the other's
    #[arg(value_name = "LOG_B")]
    log_b: PathBuf,
    /// Only exchanges of this time or later, by either side's clock: 2026-11-24 or 2026-11-24T08:00:00+01:00
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    from: Option<UnixMillis>,
    /// Only exchanges before this time
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    to: Option<UnixMillis>,
    /// How far both clocks and the way of a message may put twins apart
    #[arg(long, value_name = "SECONDS", default_value_t = MARGIN_S)]
    margin: u32,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// One of the two logs.
struct Log {
    path: PathBuf,
    reader: Reader,
    /// Text form of the server whose log it is.
    server: String,
}

/// Carries it out.
pub(crate) fn run(args: &Args, out: &mut dyn Write) -> Result<ExitCode, Failure> {
    let logs = [open(&args.log_a)?, open(&args.log_b)?];
    let [a, b] = &logs;
    if a.server == b.server {
        let both = anyhow!("both logs are of {}: give the logs of two parties", output::line(&a.server));
        return Err(Failure::Unusable(both));
    }
    let mut scope = Scope::new(args.from, args.to, Duration::from_secs(args.margin.into()), clock::now());
    let mut progress = Progress::new("records read");
    let mut all = Vec::new();
    let found_a = rows(a, &b.server, Side::A, &scope, &mut all, &mut progress).or_unusable_with(a)?;
    let found_b = rows(b, &a.server, Side::B, &scope, &mut all, &mut progress).or_unusable_with(b)?;
    progress.end();
    scope.was_read([found_a.reach, found_b.reach], clock::now());
    let judgement = judge::judge(all, &scope);
    let found = [found_a, found_b];
    let details = details(&logs, &found, &judgement).or_unusable()?;
    let report = report::Report { logs: &logs, found, scope, judgement, details };
    if args.json {
        output::json(out, &report.as_json())?;
    } else {
        report.print(out)?;
    }
    Ok(if report.matched() { ExitCode::SUCCESS } else { FAILED.into() })
}

fn open(path: &std::path::Path) -> Result<Log, Failure> {
    let shown = path.display();
    let reader = Reader::open(path).or_unusable_with(&shown)?;
    let server = reader.server().or_unusable_with(&shown)?;
    let server = server.context("the log is empty: nothing says whose it is").or_unusable_with(&shown)?;
    Ok(Log { path: path.to_path_buf(), reader, server })
}

impl std::fmt::Display for Log {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&output::line(&self.path.display().to_string()))
    }
}

impl Judgement {
    fn is_clean(&self) -> bool {
        self.findings.is_empty()
    }
}

/// The longest exchange (`limits::EXCHANGE_TIME_MAX`, 5 minutes), and a minute between the clocks.
const MARGIN_S: u32 = 360;

//! `kogge bench bundle`: how fast an auditor's bundle is made and verified, with a log whose every signature, OCSP response and token is real.

mod filling;
mod instance;
mod watched;

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use std::thread;

use anyhow::{Context, ensure};
use kogge_signer::NewKeyKind;
use serde_json::json;

use self::instance::Instance;
use self::watched::{Used, Watched};
use super::around::kogge;
use super::{Keys, say};
use crate::failure::{Failure, OrFail};
use crate::output;

/// Arguments of `kogge bench bundle`.
#[derive(clap::Args, Clone, Debug)]
#[command(after_help = "Examples:
  kogge bench bundle                             a log of 100,000 exchanges, its bundle, the verdict: some minutes
  kogge bench bundle --exchanges 1000 --dir b    quickly, and keep the files in b")]
pub(super) struct Args {
    /// Exchanges in the log, of a request and a response each
    #[arg(long, value_name = "N", default_value_t = 100_000)]
    exchanges: u32,
    /// Bytes of each body
    #[arg(long, value_name = "BYTES", default_value_t = 1024)]
    body: usize,
    /// What members sign with
    #[arg(long, value_enum, default_value_t = Keys::P256)]
    keys: Keys,
    /// How many members answer
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=1000))]
    providers: u32,
    /// Directory for the log and the bundle; must be empty or missing
    #[arg(long, value_name = "DIR", default_value = "bench-bundle")]
    dir: PathBuf,
}

/// Carries it out.
pub(super) fn run(args: &Args, out: &mut dyn Write) -> Result<ExitCode, Failure> {
    let found = measure(args).or_failed()?;
    output::json_line(out, &found)?;
    Ok(ExitCode::SUCCESS)
}

fn measure(args: &Args) -> anyhow::Result<serde_json::Value> {
    let dir = &args.dir;
    kogge_durable::create_dir(dir, false)?;
    let is_empty = std::fs::read_dir(dir)?.next().is_none();
    ensure!(is_empty, "{} is not empty", dir.display());
    let kind: NewKeyKind = args.keys.kind();
    let instance = Instance::new(kind, args.providers as usize)?;
    instance.publish(dir)?;
    say(&format!("writing a log of {} exchanges with {} members", args.exchanges, args.providers));
    filling::fill(&dir.join("log"), &instance, args.exchanges, args.body)?;

    let program = kogge()?;
    say("making the bundle");
    let made = Watched::run(&program, dir, &["log", "bundle", "--dir", "log", "--out", "log.bundle"])?;
    say("verifying the bundle");
    let verified = Watched::run(&program, dir, &["verify", "log.bundle", "--anchor", "anchor.toml"])?;
    say("verifying the log itself");
    let of_log = Watched::run(&program, dir, &["verify", "log", "--anchor", "anchor.toml"])?;
    let bytes = std::fs::metadata(dir.join("log.bundle")).context("the bundle")?.len();
    Ok(json!({
        "exchanges": args.exchanges,
        "body_bytes": args.body,
        "keys": args.keys.word(),
        "cores": thread::available_parallelism().map_or(1, usize::from),
        "bundle_bytes": bytes,
        "bundle": used(args, &made),
        "verify_bundle": used(args, &verified),
        "verify_log": used(args, &of_log),
    }))
}

fn used(args: &Args, used: &Used) -> serde_json::Value {
    let exchanges = f64::from(args.exchanges);
    json!({
        "seconds": rounded(used.wall.as_secs_f64()),
        "cpu_seconds": rounded(used.cpu.as_secs_f64()),
        "exchanges_per_second": (exchanges / used.wall.as_secs_f64()).round(),
        "cpu_us_per_record": rounded(used.cpu.as_secs_f64() * 1e6 / (2.0 * exchanges)),
        "peak_rss_mib": used.peak_rss_kib / 1024,
    })
}

fn rounded(number: f64) -> f64 {
    (number * 100.0).round() / 100.0
}

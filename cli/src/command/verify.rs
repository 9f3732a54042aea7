//! `kogge verify`: checks evidence offline, against an anchor and a registry snapshot, or against an X-Road configuration directory.
//! Needs no server and touches no network.

pub(super) mod bundle;
mod container;
mod erasure;
mod html;
pub(super) mod log;
pub(super) mod snapshot;
mod trust;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context;
use kogge_evidence::report::{Outcome, Report};
use kogge_evidence::verify::{Statement, Verdict};
use kogge_message_log::LogKey;
use kogge_proto::digest::Sha256;
use kogge_proto::time::UnixMillis;
use kogge_security_server::clock;
use serde_json::{Value, json};

use self::bundle::BundleVerdict;
use self::log::LogVerdict;
use self::trust::Trust;
use super::log::key::LogKeyArgs;
use crate::failure::{FAILED, Failure, OrFail, UNUSABLE};
use crate::output;

/// Arguments of `kogge verify`.
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Examples:
  kogge verify request.asice response.asice --anchor anchor.toml
  kogge verify /var/lib/kogge/log --anchor anchor.toml --snapshot snapshot --json
  kogge verify november.bundle --anchor anchor.toml
  kogge verify from-xroad.asice --globalconf verificationconf
  kogge verify request.asice --anchor anchor.toml --html report.html

Exit codes: 0 all good, 1 something failed or could not be decided, 2 something cannot be read.
Without --snapshot, the newest registry snapshot is taken that lies beside a PATH or the anchor (as `snapshot` or \
`data/snapshot`, there or one directory below). It counts only if the anchor's keys have signed it. \
A bundle has its own, to which the same applies; --snapshot takes its place.
Containers may be Kogge's, X-Road's, or of other tools (ASiC-E and ASiC-S with XAdES), under either trust. With --globalconf, the directory (what X-Road calls verificationconf, or a security server's \
/etc/xroad/globalconf) is taken as given: no signature over it is checked, so know where it comes from.")]
pub(crate) struct Args {
    /// Container files (*.asice), directories of message logs, and auditors' bundles
    #[arg(value_name = "PATH", required_unless_present = "schema")]
    paths: Vec<PathBuf>,
    /// The configuration anchor of the instance, from a source that you trust
    #[arg(long, value_name = "FILE", required_unless_present_any = ["globalconf", "schema"])]
    anchor: Option<PathBuf>,
    /// The registry snapshot to check against (a security server keeps one as DATA_DIR/snapshot)
    #[arg(long, value_name = "FILE")]
    snapshot: Option<PathBuf>,
    /// An X-Road configuration directory (instance-identifier, INSTANCE/shared-params.xml) in place of the anchor
    #[arg(long, value_name = "DIR", conflicts_with_all = ["anchor", "snapshot"])]
    globalconf: Option<PathBuf>,
    #[command(flatten)]
    key: LogKeyArgs,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
    /// Write the report also to FILE, as one page that can be printed and needs nothing else
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    /// Print the JSON Schema of what --json prints, and do nothing else
    #[arg(long, exclusive = true)]
    schema: bool,
    /// For message logs and bundles: show every check of every record, not only what is not good
    #[arg(long)]
    verbose: bool,
}

/// What became of one path.
enum Finding {
    Container(Sha256, Box<Verdict>),
    Log(LogVerdict),
    Bundle(Box<BundleVerdict>),
    Unreadable(anyhow::Error),
}

/// Carries it out.
pub(crate) fn run(args: &Args, out: &mut dyn Write) -> Result<ExitCode, Failure> {
    if args.schema {
        out.write_all(SCHEMA.as_bytes())?;
        return Ok(ExitCode::SUCCESS);
    }
    let trust = Trust::load(args).or_unusable()?;
    if !args.json {
        trust.describe().iter().for_each(|line| eprintln!("{line}"));
    }
    let key = args.key.open()?;
    let mut all = Vec::with_capacity(args.paths.len());
    for path in &args.paths {
        let finding = examine(path, &trust, key.as_ref(), args);
        if !args.json {
            print(out, path, &finding)?;
        }
        all.push((path, finding));
    }
    if args.json || args.html.is_some() {
        let report = as_json(&trust, &all, clock::now());
        if args.json {
            output::json(out, &report)?;
        }
        if let Some(path) = &args.html {
            let written = std::fs::write(path, html::page(&report));
            written.with_context(|| format!("cannot write {}", path.display())).or_unusable()?;
        }
    }
    Ok(code(&all).into())
}

fn examine(path: &Path, trust: &Trust, key: Option<&Arc<dyn LogKey>>, args: &Args) -> Finding {
    let verbose = args.verbose;
    let finding = match trust {
        Trust::Anchor(_, anchor) => examine_bundle(path, &bundle::Given { anchor, snapshot: None, verbose }),
        Trust::Snapshot(source, snapshot) if bundle::is_one(path) => {
            // One that merely lay beside does not take the place of the bundle's own.
            let snapshot = args.snapshot.is_some().then_some(&**snapshot);
            examine_bundle(path, &bundle::Given { anchor: &source.anchor, snapshot, verbose })
        }
        Trust::GlobalConf(..) if bundle::is_one(path) => {
            Err(anyhow::anyhow!("is a bundle: bundles are checked against an --anchor"))
        }
        Trust::Snapshot(_, snapshot) if path.is_dir() => {
            log::verify(path, snapshot, key, verbose).map(Finding::Log)
        }
        Trust::GlobalConf(..) if path.is_dir() => {
            Err(anyhow::anyhow!("is a directory: message logs are checked against an --anchor"))
        }
        Trust::Snapshot(..) | Trust::GlobalConf(..) => container::verify(path, trust)
            .map(|(sha256, verdict)| Finding::Container(sha256, Box::new(verdict))),
    };
    finding.unwrap_or_else(Finding::Unreadable)
}

fn examine_bundle(path: &Path, given: &bundle::Given<'_>) -> anyhow::Result<Finding> {
    bundle::verify(path, given).map(|verdict| Finding::Bundle(Box::new(verdict)))
}

/// What could not be read outweighs what failed: nothing is known about it.
fn code(all: &[(&PathBuf, Finding)]) -> u8 {
    if all.iter().any(|(_, finding)| matches!(finding, Finding::Unreadable(_))) {
        UNUSABLE
    } else if all.iter().all(|(_, finding)| finding.passed()) {
        0
    } else {
        FAILED
    }
}

impl Finding {
    fn passed(&self) -> bool {
        match self {
            Self::Container(_, verdict) => verdict.report.passed(),
            Self::Log(verdict) => verdict.passed(),
            Self::Bundle(verdict) => verdict.passed(),
            Self::Unreadable(_) => false,
        }
    }
}

fn print(out: &mut dyn Write, path: &Path, finding: &Finding) -> Result<(), Failure> {
    let path = output::line(&path.display().to_string());
    match finding {
        Finding::Container(sha256, verdict) => {
            writeln!(out, "{path}: {}", word(&verdict.report))?;
            writeln!(out, "{}", statement_text(&verdict.statement))?;
            writeln!(out, "        SHA-256 of the file {sha256}")?;
            write!(out, "{}", verdict.report)?;
        }
        Finding::Log(verdict) => log::print(out, &path, verdict)?,
        Finding::Bundle(verdict) => bundle::print(out, &path, verdict)?,
        Finding::Unreadable(error) => eprintln!("kogge: {path}: {error:#}"),
    }
    Ok(())
}

/// The verdict in a word.
fn word(report: &Report) -> &'static str {
    if report.passed() {
        "PASSED"
    } else if report.failed().next().is_some() {
        "FAILED"
    } else {
        "NOT DECIDED"
    }
}

/// What a message says about itself; to be believed only if the verdict has passed.
fn statement_text(statement: &Statement) -> String {
    let unknown = || "unknown".to_owned();
    let text = |value: &Option<String>| value.as_deref().map_or_else(unknown, output::line);
    let shown = |value: Option<String>| value.map_or_else(unknown, |value| output::line(&value));
    format!(
        "        {} {} of {} to {}, signed by {} at {}, timestamped {}",
        statement.kind.unwrap_or("message"),
        text(&statement.message_id),
        text(&statement.client),
        text(&statement.service),
        shown(statement.signer.as_ref().map(ToString::to_string)),
        shown(statement.signing_time.map(|time| time.to_string())),
        shown(statement.timestamp.map(|time| time.to_string())),
    )
}

fn as_json(trust: &Trust, all: &[(&PathBuf, Finding)], now: UnixMillis) -> Value {
    let results: Vec<Value> = all.iter().map(|(path, finding)| finding_json(path, finding)).collect();
    let (kind, described) = trust.as_json();
    json!({
        "passed": code(all) == 0,
        "program": { "name": "kogge", "version": env!("CARGO_PKG_VERSION") },
        "time": now.to_string(),
        kind: described,
        "results": results,
    })
}

fn finding_json(path: &Path, finding: &Finding) -> Value {
    let path = path.display().to_string();
    match finding {
        Finding::Container(sha256, verdict) => json!({
            "path": path,
            "kind": "container",
            "sha256": sha256.to_string(),
            "passed": verdict.report.passed(),
            "statement": statement_json(&verdict.statement),
            "checks": checks_json(&verdict.report),
        }),
        Finding::Log(verdict) => log::as_json(&path, verdict),
        Finding::Bundle(verdict) => bundle::as_json(&path, verdict),
        Finding::Unreadable(error) => {
            json!({"path": path, "kind": "unreadable", "passed": false, "error": format!("{error:#}")})
        }
    }
}

/// The checks; where a container has several signatures, each with the file that it is about.
fn checks_json(report: &Report) -> Vec<Value> {
    let with_file = |(file, check): (Option<&str>, _)| {
        let mut value = json!(check);
        if let (Some(file), Some(object)) = (file, value.as_object_mut()) {
            object.insert("file".to_owned(), file.into());
        }
        value
    };
    report.with_files().map(with_file).collect()
}

fn statement_json(statement: &Statement) -> Value {
    json!({
        "kind": statement.kind,
        "client": statement.client,
        "service": statement.service,
        "message_id": statement.message_id,
        "signer": statement.signer.as_ref().map(ToString::to_string),
        "certificate": statement.certificate,
        "signing_time": statement.signing_time.map(|time| time.to_string()),
        "timestamp": statement.timestamp.map(|time| time.to_string()),
    })
}

/// What `--json` prints, for programs.
const SCHEMA: &str = include_str!("../../../docs/verify-report.schema.json");

/// Whether the report is good, bad, or neither.
fn outcome(report: &Report) -> Outcome {
    if report.passed() {
        Outcome::Passed
    } else if report.failed().next().is_some() {
        Outcome::Failed
    } else {
        Outcome::Indeterminate
    }
}

//! `kogge log renew`: newer timestamps over old ones, before those age out.

mod due;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use clap::Args;
use kogge_certs::snapshot::VerifiedSnapshot;
use kogge_certs::trust::ApprovedTsa;
use kogge_evidence::renewal::{RENEWAL_LEAVES_MAX, Renewal};
use kogge_evidence::tree;
use kogge_proto::digest::Sha256;
use kogge_proto::time::UnixMillis;
use kogge_security_server::timestamping::{self, Obtained};
use kogge_security_server::{Config, clock};

use self::due::{Due, Terms};
use super::{LogPlace, parse_time};
use crate::command::verify::snapshot;
use crate::demo::block_on;
use crate::failure::{Failure, OrFail};
use crate::renewals::{self, Exclusive};

#[derive(Args, Debug)]
pub(crate) struct RenewArgs {
    #[command(flatten)]
    place: LogPlace,
    /// The instance's trust anchor; with --dir
    #[arg(long, value_name = "FILE", required_unless_present = "config", conflicts_with = "config")]
    anchor: Option<PathBuf>,
    /// The registry snapshot that approves the timestamping authorities; without it the one that the security server keeps
    #[arg(long, value_name = "FILE")]
    snapshot: Option<PathBuf>,
    /// Ask only the approved authority with this address
    #[arg(long, value_name = "URL")]
    tsa: Option<String>,
    /// Renew timestamps whose authority's certificate ends within so many days
    #[arg(long, value_name = "DAYS", default_value_t = EXPIRING_WITHIN_DAYS, conflicts_with_all = ["before", "all"])]
    expiring_within: u32,
    /// Renew timestamps whose authority's certificate ends before this time: 2026-11-24 or 2026-11-24T08:00:00+01:00
    #[arg(long, value_name = "TIME", value_parser = parse_time, conflicts_with = "all")]
    before: Option<UnixMillis>,
    /// Renew all timestamps, even if the new one lasts no longer
    #[arg(long)]
    all: bool,
}

/// Carries it out.
pub(super) fn run(args: &RenewArgs, out: &mut dyn Write) -> Result<ExitCode, Failure> {
    let dir = args.place.dir()?;
    let reader = args.place.open()?;
    let snapshot = read_snapshot(args, &dir).or_unusable()?;
    let exclusive = Exclusive::acquire(&dir).or_failed()?;
    let renewals = renewals::usable(&dir).or_unusable()?;
    let now = clock::now();
    let tsas = choose(args, &snapshot, now).or_unusable()?;
    let lasts = tsas.first().map_or(now, |tsa| tsa.certificate.not_after());
    let until = args.before.unwrap_or_else(|| now.plus(DAY * args.expiring_within));
    let terms = Terms { all: args.all, until, lasts, now };
    let due = Due::gather(terms, &reader, &renewals, &snapshot)?;
    let leaves: Vec<(Sha256, u64)> = due.leaves.iter().map(|(leaf, stamps)| (*leaf, *stamps)).collect();
    for leaves in leaves.chunks(RENEWAL_LEAVES_MAX) {
        let covered: u64 = leaves.iter().map(|(_, stamps)| stamps).sum();
        let digests: Vec<Sha256> = leaves.iter().map(|(leaf, _)| *leaf).collect();
        let mut told = None;
        block_on(async {
            told = Some(ask(&tsas, &digests, &due, &snapshot).await?);
            Ok(())
        })?;
        let Some(Obtained { token, verified, .. }) = told else { continue };
        let name = exclusive.add(&Renewal::new(digests, token).or_failed()?).or_failed()?;
        let (tsa, time, end) = (verified.tsa().subject(), verified.gen_time(), verified.tsa().not_after());
        writeln!(
            out,
            "renewed {covered} timestamps in {}/renewals/{name}: by {tsa} at {time}, whose certificate ends at {end}",
            dir.display()
        )?;
    }
    due.tell(out)
}

/// The registry's word on timestamping authorities. An expired snapshot still says who they are.
fn read_snapshot(args: &RenewArgs, log: &Path) -> anyhow::Result<VerifiedSnapshot> {
    let (anchor, kept) = match (&args.place.config, &args.anchor) {
        (Some(config), _) => {
            let config = Config::load(config)?;
            (config.anchor, Some(config.data_dir.join("snapshot")))
        }
        (None, Some(anchor)) => (snapshot::load_anchor(anchor)?, None),
        (None, None) => bail!("name the --anchor"),
    };
    match (args.snapshot.as_ref().or(kept.as_ref()), &args.anchor) {
        (Some(path), _) => snapshot::load(path, &anchor),
        (None, Some(path)) => Ok(snapshot::find(&[log.to_path_buf()], path, &anchor)?.1),
        (None, None) => bail!("name the --snapshot"),
    }
}

/// Those that may be asked, the one whose certificate lasts longest first.
fn choose(
    args: &RenewArgs,
    snapshot: &VerifiedSnapshot,
    now: UnixMillis,
) -> anyhow::Result<Vec<Arc<ApprovedTsa>>> {
    let asked = |tsa: &&Arc<ApprovedTsa>| args.tsa.as_ref().is_none_or(|url| *url == tsa.url);
    let mut tsas: Vec<Arc<ApprovedTsa>> = snapshot.trust().tsas().iter().filter(asked).cloned().collect();
    match &args.tsa {
        Some(url) => ensure!(!tsas.is_empty(), "the registry approves no timestamping authority at {url}"),
        None => ensure!(!tsas.is_empty(), "the registry names no timestamping authority"),
    }
    tsas.retain(|tsa| tsa.certificate.is_valid_at(now));
    ensure!(!tsas.is_empty(), "no approved timestamping authority has a certificate that is valid now");
    tsas.sort_by_key(|tsa| std::cmp::Reverse(tsa.certificate.not_after()));
    Ok(tsas)
}

/// A token over the leaves' root by the first authority that gives a good one.
async fn ask(
    tsas: &[Arc<ApprovedTsa>],
    leaves: &[Sha256],
    due: &Due,
    snapshot: &VerifiedSnapshot,
) -> anyhow::Result<Obtained> {
    let root = tree::root(leaves).context("there is nothing to renew")?;
    let mut problems = Vec::new();
    for tsa in tsas.iter().filter(|tsa| due.may_ask(tsa)) {
        match timestamping::ask(tsa, root, snapshot.trust()).await {
            Ok(obtained) => return Ok(obtained),
            Err(error) => problems.push(error.to_string()),
        }
    }
    bail!(
        "no timestamping authority answered well, and nothing was written for {} timestamps: {}",
        leaves.len(),
        problems.join("; ")
    )
}

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// Time for a handful of monthly runs before it is too late.
const EXPIRING_WITHIN_DAYS: u32 = 180;

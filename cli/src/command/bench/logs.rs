//! Whether both message logs hold what was answered: by the same code as `kogge verify`.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use kogge_bench::{Answered, Audit, AuditResult, Sighting};
use kogge_certs::snapshot::VerifiedSnapshot;
use kogge_proto::wire::log::Role;
use tokio::time::{Instant, sleep};

use super::product::Product;
use super::say;
use crate::command::verify::log::{RecordVerdict, verify_each};
use crate::command::verify::snapshot::{load, load_anchor};
use crate::demo::Server;
use crate::demo::layout::Layout;
use crate::demo::plain_http;

/// The logs of an instance whose records are all timestamped: it may have stopped.
pub(super) struct Unverified {
    logs: Vec<(&'static str, PathBuf)>,
    anchor: PathBuf,
    snapshot: PathBuf,
    answered: Answered,
}

impl Unverified {
    /// Waits until every record is timestamped.
    ///
    /// # Errors
    /// A record is not timestamped in time.
    pub(super) async fn of(product: &Product, layout: &Layout, answered: &Answered) -> anyhow::Result<Self> {
        wait_until_all_stamped(product).await?;
        let instance = &product.instance;
        Ok(Self {
            logs: instance.servers.iter().map(|server| (server.role, server.log_dir.clone())).collect(),
            anchor: instance.anchor.clone(),
            snapshot: layout.path("consumer/data/snapshot"),
            answered: answered.of(&product.chain.name),
        })
    }

    /// Checks every record, on all cores.
    ///
    /// # Errors
    /// A log is damaged or cannot be read.
    pub(super) fn verify(&self) -> anyhow::Result<AuditResult> {
        let anchor = load_anchor(&self.anchor)?;
        let snapshot = load(&self.snapshot, &anchor)?;
        let mut audit = Audit::new(&self.answered);
        for (role, dir) in &self.logs {
            say(&format!("verifying the {role}'s log of {} exchanges", self.answered.count()));
            check(dir, &snapshot, &mut audit).with_context(|| format!("the {role}'s log"))?;
        }
        Ok(audit.finish())
    }
}

/// Waits until every record is timestamped, then checks all of them; nothing if there are no logs.
///
/// # Errors
/// A record is not timestamped in time, a log is damaged, or a log cannot be read.
pub(super) async fn audit(
    product: Option<&Product>,
    layout: &Layout,
    answered: &Answered,
) -> anyhow::Result<Option<AuditResult>> {
    let Some(product) = product else { return Ok(None) };
    let unverified = Unverified::of(product, layout, answered).await?;
    let work = move || unverified.verify();
    let result = tokio::task::spawn_blocking(work).await.context("the verification came to a bad end")?;
    Ok(Some(result?))
}

fn check(dir: &std::path::Path, snapshot: &VerifiedSnapshot, audit: &mut Audit) -> anyhow::Result<()> {
    let mut first_flaw = None;
    let verdict = verify_each(dir, snapshot, None, false, |record| {
        let RecordVerdict { verdict, .. } = record;
        let passed = verdict.report.passed();
        if !passed && first_flaw.is_none() {
            first_flaw = Some(format!("record {}:\n{}", record.sequence, verdict.report));
        }
        audit.note(&Sighting {
            message_id: verdict.statement.message_id.as_deref().unwrap_or_default(),
            consumer: record.role == Role::Consumer,
            response: verdict.statement.kind == Some("response"),
            passed,
            payload_bytes: record.payload_bytes,
        });
    })?;
    if let Some(flaw) = first_flaw {
        say(&format!("the first record that does not verify, {flaw}"));
    } else {
        ensure!(verdict.passed(), "the log as a whole is damaged or empty: look at it with kogge verify");
    }
    Ok(())
}

/// What each server counts, now.
///
/// # Errors
/// One does not answer.
pub(super) async fn metrics(product: Option<&Product>) -> anyhow::Result<Vec<(&'static str, String)>> {
    let mut found = Vec::new();
    for server in product.iter().flat_map(|product| &product.instance.servers) {
        found.push((server.role, plain_http::get(&metrics_url(server)).await?.text()));
    }
    Ok(found)
}

pub(super) fn metrics_url(server: &Server) -> String {
    format!("http://{}/metrics", server.status)
}

/// Waits until no record of either server is without a timestamp.
///
/// # Errors
/// Some are for too long.
pub(super) async fn wait_until_all_stamped(product: &Product) -> anyhow::Result<()> {
    for server in &product.instance.servers {
        wait_until_stamped(server).await?;
    }
    Ok(())
}

async fn wait_until_stamped(server: &Server) -> anyhow::Result<()> {
    let url = metrics_url(server);
    let deadline = Instant::now() + STAMP_TIME_MAX;
    loop {
        let metrics = plain_http::get(&url).await?.text();
        let left = gauge(&metrics, "kogge_unstamped_records")
            .context("the server does not tell what is unstamped")?;
        if left == 0.0 {
            return Ok(());
        }
        if Instant::now() >= deadline {
            bail!(
                "{left} records of the {} were not timestamped within {} s",
                server.role,
                STAMP_TIME_MAX.as_secs()
            );
        }
        sleep(STAMP_POLL).await;
    }
}

/// A value of the Prometheus text format that has no labels.
pub(super) fn gauge(metrics: &str, name: &str) -> Option<f64> {
    metrics.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.parse().ok())
}

/// Batches of ten thousand records every two seconds; a long series leaves some behind.
const STAMP_TIME_MAX: Duration = Duration::from_secs(600);
const STAMP_POLL: Duration = Duration::from_millis(200);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gauge_is_found_by_its_whole_name() {
        let text =
            "# HELP kogge_unstamped_records x\nkogge_unstamped_records_old 7\nkogge_unstamped_records 12\n";
        assert_eq!(gauge(text, "kogge_unstamped_records"), Some(12.0));
        assert_eq!(gauge(text, "kogge_unstamped"), None);
    }
}

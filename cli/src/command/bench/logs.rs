//! Whether both message logs hold what was answered: by the same code as `kogge verify`.

use std::time::Duration;

use anyhow::{Context, bail, ensure};
use kogge_bench::{Answered, Audit, AuditResult, Sighting};
use kogge_certs::snapshot::VerifiedSnapshot;
use kogge_proto::wire::log::Role;
use tokio::time::{Instant, sleep};

use super::say;
use crate::command::verify::log::{RecordVerdict, verify_each};
use crate::command::verify::snapshot::{load, load_anchor};
use crate::demo::layout::Layout;
use crate::demo::plain_http;
use crate::demo::{Instance, Server};

/// Waits until every record is timestamped, then checks all of them; nothing if there are no logs.
///
/// # Errors
/// A record is not timestamped in time, a log is damaged, or a log cannot be read.
pub(super) async fn audit(
    instance: Option<&Instance>,
    layout: &Layout,
    answered: &Answered,
) -> anyhow::Result<Option<AuditResult>> {
    let Some(instance) = instance else { return Ok(None) };
    for server in &instance.servers {
        wait_until_stamped(server).await?;
    }
    let anchor = load_anchor(&instance.anchor)?;
    let snapshot = load(&layout.path("consumer/data/snapshot"), &anchor)?;
    let logs: Vec<_> = instance.servers.iter().map(|server| (server.role, server.log_dir.clone())).collect();
    let answered = answered.clone();
    let work = move || -> anyhow::Result<Option<AuditResult>> {
        let mut audit = Audit::new(&answered);
        for (role, dir) in logs {
            say(&format!("verifying the {role}'s log of {} exchanges", answered.count()));
            check(&dir, &snapshot, &mut audit).with_context(|| format!("the {role}'s log"))?;
        }
        Ok(Some(audit.finish()))
    };
    tokio::task::spawn_blocking(work).await.context("the verification came to a bad end")?
}

fn check(dir: &std::path::Path, snapshot: &VerifiedSnapshot, audit: &mut Audit) -> anyhow::Result<()> {
    let mut first_flaw = None;
    let verdict = verify_each(dir, snapshot, false, |record| {
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
pub(super) async fn metrics(instance: Option<&Instance>) -> anyhow::Result<Vec<(&'static str, String)>> {
    let mut found = Vec::new();
    for server in instance.iter().flat_map(|instance| &instance.servers) {
        found.push((server.role, plain_http::get(&metrics_url(server)).await?.text()));
    }
    Ok(found)
}

fn metrics_url(server: &Server) -> String {
    format!("http://{}/metrics", server.status)
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
fn gauge(metrics: &str, name: &str) -> Option<f64> {
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

//! From exchanges to evidence: wait for the timestamps, export a container of each record, have each verified.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use kogge_message_log::{Filter, Reader};
use tokio::time::{Instant, sleep};

use super::instance::Instance;
use super::layout::Layout;
use super::{processes, say};

/// Waits until both servers' records of all these messages are timestamped.
///
/// # Errors
/// They are not within a minute, or a log cannot be read.
pub(super) async fn wait_until_timestamped(
    instance: &Instance,
    message_ids: &[String],
) -> anyhow::Result<()> {
    say("waiting for the timestamps");
    let deadline = Instant::now() + STAMP_TIME_MAX;
    for server in &instance.servers {
        while stamped(&server.log_dir, message_ids)? < message_ids.len() * 2 {
            if Instant::now() >= deadline {
                bail!(
                    "the {}'s records were not timestamped within {} s",
                    server.role,
                    STAMP_TIME_MAX.as_secs()
                );
            }
            sleep(STAMP_POLL).await;
        }
    }
    Ok(())
}

fn stamped(log: &Path, message_ids: &[String]) -> anyhow::Result<usize> {
    let reader = Reader::open(log)?;
    let mut count = 0;
    for id in message_ids {
        let filter = Filter { message_id: Some(id.clone()), ..Filter::default() };
        reader.list(&filter, &mut |found| {
            count += usize::from(found.stamp.is_some());
            true
        })?;
    }
    Ok(count)
}

/// Exports the request and the response of each message from both logs, by the operator's own command.
///
/// # Errors
/// An export fails.
pub(super) async fn export(
    instance: &Instance,
    layout: &Layout,
    message_ids: &[String],
) -> anyhow::Result<Vec<PathBuf>> {
    let dir = layout.path("evidence");
    kogge_durable::create_dir(&dir, false)?;
    // Evidence is checked against what the registry said: with the snapshot beside them, the containers need only the anchor.
    let snapshot =
        std::fs::read(layout.path("consumer/data/snapshot")).context("the consumer's registry snapshot")?;
    kogge_durable::write_atomic(&dir.join("snapshot"), &snapshot, false)?;
    let mut containers = Vec::new();
    for server in &instance.servers {
        for id in message_ids {
            for response in [false, true] {
                let kind = if response { "response" } else { "request" };
                let out = dir.join(format!("{}-{id}-{kind}.asice", server.role));
                let mut args = vec![
                    "log".into(),
                    "export".into(),
                    "--config".into(),
                    server.config.clone().into_os_string(),
                ];
                args.extend(["--message-id".into(), id.into(), "--out".into(), out.clone().into_os_string()]);
                args.extend(response.then(|| "--response".into()));
                processes::run_to_end(args)
                    .await
                    .with_context(|| format!("cannot export {}", out.display()))?;
                containers.push(out);
            }
        }
    }
    say(&format!("exported {} containers to {}", containers.len(), dir.display()));
    Ok(containers)
}

/// Has every container verified by the auditor's own command.
///
/// # Errors
/// One does not verify.
pub(super) async fn verify(instance: &Instance, containers: &[PathBuf]) -> anyhow::Result<()> {
    let mut args: Vec<std::ffi::OsString> = vec!["verify".into()];
    args.extend(containers.iter().map(|container| container.clone().into_os_string()));
    args.extend(["--anchor".into(), instance.anchor.clone().into_os_string()]);
    let output = processes::run_to_end(args).await.context("the evidence does not verify")?;
    ensure!(!output.is_empty(), "kogge verify said nothing");
    say(&format!("verified {} containers", containers.len()));
    Ok(())
}

const STAMP_TIME_MAX: Duration = Duration::from_secs(60);
const STAMP_POLL: Duration = Duration::from_millis(100);

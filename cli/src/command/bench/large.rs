//! `kogge bench --large`.

use anyhow::Context;
use kogge_bench::{Answered, Backend, LargePlan, LargeRuns, Stop};

use super::chains::Chains;
use super::{Args, Found, logs, say};
use crate::demo::layout::Layout;

/// Fetches the body through every chain, and verifies what was logged.
pub(super) async fn measure(
    args: &Args,
    bytes: u64,
    layout: &Layout,
    chains: &Chains,
    stop: &Stop,
) -> anyhow::Result<Found> {
    anyhow::ensure!(
        chains.around.backend.program() == "nginx",
        "--large needs nginx as the backend: install it"
    );
    let plan = LargePlan {
        bytes,
        sha256: Backend::large_sha256(bytes),
        parallel: args.parallel,
        pairs: args.pairs,
        others_max_pct: args.others_max,
    };
    let (all, stop) = (chains.large(), stop.clone());
    let work = move || {
        let mut answered = Answered::default();
        let runs = LargeRuns::run(&plan, &all, &mut answered, &stop, &mut |line| say(line))?;
        anyhow::Ok((runs, answered))
    };
    let (runs, answered) =
        tokio::task::spawn_blocking(work).await.context("the measurement came to a bad end")??;
    let audit = logs::audit(chains.product.as_ref(), layout, &answered).await?;
    let counts = audit.as_ref().is_none_or(kogge_bench::AuditResult::holds);
    Ok(Found { table: runs.table(audit.as_ref()), json: runs.json(audit.as_ref()), counts })
}

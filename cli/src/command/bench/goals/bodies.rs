//! B1, B2, B3 and Q1 for large bodies.

use anyhow::Context;
use kogge_bench::{Answered, Backend, Chain, LargePlan, LargeRuns, Pair};

use super::super::chains::LARGE_TIME_MAX_S;
use super::super::say;
use super::ground::Ground;
use crate::demo::{Shape, Transport};

pub(super) async fn measure(ground: &mut Ground<'_>) -> anyhow::Result<()> {
    anyhow::ensure!(
        ground.around.backend.program() == "nginx",
        "large bodies need nginx as the backend: install it"
    );
    let shape = |transport, digests_only| Shape {
        transport,
        digests_only,
        time_max_s: Some(LARGE_TIME_MAX_S),
        ..Shape::default()
    };
    let kept = ground.bring_up("kept", shape(Transport::H2, false)).await?;
    let digest = ground.bring_up("digest", shape(Transport::H2, true)).await?;
    let quic = ground.bring_up("kept-quic", shape(Transport::Quic, false)).await?;
    let mut chains = ground.around.large();
    let whole = Backend::LARGE_PATH;
    chains.extend([&kept, &digest, &quic].into_iter().filter_map(|running| running.product.large(whole)));
    let pairs = (ground.args.pairs as usize).min(PAIRS_MAX);
    let one = fetch(ground, chains, LARGE_BYTES, 1, pairs).await?;
    for (id, chain, to) in [("B1", "digest", None), ("B2", "kept", None), ("Q1", "kept-quic", Some("kept"))] {
        let ratios = one.ratios(chain, to);
        let discarded = pairs - ratios.len().min(pairs);
        ground.findings.add(id, "1 GiB", ratios, discarded);
    }
    ground.findings.add("B3", "1 body", one.growth_mib("kept"), 0);
    let quarter = kept.product.large(Backend::QUARTER_PATH).into_iter().collect();
    let many = fetch(ground, quarter, LARGE_BYTES / 4, PARALLEL, 1).await?;
    ground.findings.add_with_note("B3", "16 bodies", many.growth_mib("kept"), 0, "256 MiB each".to_owned());
    for running in [kept, digest, quic] {
        ground.stop(running).await?;
    }
    Ok(())
}

async fn fetch(
    ground: &mut Ground<'_>,
    chains: Vec<(Chain, Pair)>,
    bytes: u64,
    parallel: usize,
    pairs: usize,
) -> anyhow::Result<LargeRuns> {
    let (sha256, others_max_pct) = (Backend::large_sha256(bytes), ground.args.others_max);
    let plan = LargePlan { bytes, sha256, parallel, pairs, others_max_pct };
    let (mut answered, stop) = (ground.answered.clone(), ground.stop.clone());
    let work = move || -> anyhow::Result<(LargeRuns, Answered)> {
        let runs = LargeRuns::run(&plan, &chains, &mut answered, &stop, &mut |line| say(line))?;
        Ok((runs, answered))
    };
    let done = tokio::task::spawn_blocking(work).await.context("the measurement came to a bad end")?;
    let (runs, answered) = done?;
    ground.answered = answered;
    Ok(runs)
}

/// Of the body of which the goals speak.
pub(super) const LARGE_BYTES: u64 = 1 << 30;
const PARALLEL: usize = 16;
/// A round of all chains takes a quarter of a minute.
const PAIRS_MAX: usize = 5;

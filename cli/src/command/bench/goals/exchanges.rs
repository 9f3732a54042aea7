//! Rates, latencies, CPU, disk and memory beside the floor, for each way to sign.

use std::time::Duration;

use kogge_bench::Idle;
use kogge_signer::NewKeyKind;

use super::super::say;
use super::ground::{Exchanges, Ground};
use crate::demo::Shape;

/// Also what an instance costs that has nothing to do.
pub(super) async fn p256(ground: &mut Ground<'_>) -> anyhow::Result<()> {
    // As far apart as in use: otherwise idle servers would be busy looking at the registry.
    let shape = Shape { registry_interval_s: Some(REGISTRY_INTERVAL_S), ..Shape::default() };
    measure(ground, "p256", "each", &[1, 16, 64], shape).await
}

pub(super) async fn batch(ground: &mut Ground<'_>) -> anyhow::Result<()> {
    let shape = Shape { signature: Some("batch"), ..Shape::default() };
    measure(ground, "batch", "batch", &[64], shape).await
}

pub(super) async fn ed25519(ground: &mut Ground<'_>) -> anyhow::Result<()> {
    let shape = Shape { signing_key: NewKeyKind::Ed25519, ..Shape::default() };
    measure(ground, "ed25519", "each", &[64], shape).await
}

pub(super) async fn rsa2048(ground: &mut Ground<'_>) -> anyhow::Result<()> {
    let shape = Shape { signing_key: NewKeyKind::Rsa(2048), ..Shape::default() };
    measure(ground, "rsa2048", "each", &[64], shape).await
}

async fn measure(
    ground: &mut Ground<'_>,
    name: &'static str,
    signature: &'static str,
    connections: &[usize],
    shape: Shape,
) -> anyhow::Result<()> {
    let running = ground.bring_up(name, shape).await?;
    let mut chains = ground.around.chains();
    chains.push(running.product.chain.clone());
    let each = name == "p256";
    let open: &[f64] = if each { &[HALF] } else { &[] };
    let series = ground.series(chains, connections, open).await?;
    if each {
        super::super::logs::wait_until_all_stamped(&running.product).await?;
        idle(ground, &running.product.chain).await?;
    }
    let place = ground.stop(running).await?;
    ground.judge_later(place, Exchanges { name, keys: name, signature, series });
    Ok(())
}

/// M2.
async fn idle(ground: &mut Ground<'_>, chain: &kogge_bench::Chain) -> anyhow::Result<()> {
    say("nothing for half a minute");
    let chain = chain.clone();
    let idle = tokio::task::spawn_blocking(move || Idle::watch(&chain, IDLE_TIME)).await?;
    let most = |of: fn(&Idle) -> f64| idle.iter().map(of).max_by(f64::total_cmp).into_iter().collect();
    ground.findings.add("M2", "CPU", most(|idle| idle.cpu_pct), 0);
    ground.findings.add("M2", "wake-ups", most(|idle| idle.wake_ups), 0);
    Ok(())
}

const HALF: f64 = 0.5;
const REGISTRY_INTERVAL_S: u32 = 60;
const IDLE_TIME: Duration = Duration::from_secs(30);

//! R1, R2 and S2: what a hundred thousand members cost.

use std::ops::Range;
use std::time::{Duration, Instant};

use kogge_bench::{Steady, UnderLoad};
use kogge_central_registry::{Change, Config, Operator};
use kogge_proto::id::MemberId;
use tokio::runtime::Handle;

use super::super::logs::{gauge, metrics_url};
use super::super::say;
use super::ground::{Ground, Running};
use crate::demo::{Shape, plain_http, registry_config};

pub(super) async fn measure(ground: &mut Ground<'_>) -> anyhow::Result<()> {
    let few = ground.bring_up("few", Shape { bystanders: FEW, ..Shape::default() }).await?;
    let members = ground.args.members;
    let many = ground.bring_up("many", Shape { bystanders: members, ..Shape::default() }).await?;
    let chains = vec![few.product.chain.clone(), many.product.chain.clone()];
    let series = ground.series(chains, &[CONNECTIONS], &[]).await?;
    let discarded = series.pairs(CONNECTIONS).1;
    ground.findings.add("R1", "c=16", series.rates(CONNECTIONS, "many", "few"), discarded);
    ground.stop(few).await?;
    let rate = series.maximum(CONNECTIONS, "many") / 2.0;
    let mut many = many;
    let (mut p99, mut gap) = (Vec::new(), Vec::new());
    for number in 0..SNAPSHOTS {
        let Some(stall) = new_snapshot(ground, &many, number, rate).await? else { continue };
        p99.push(stall.p99);
        gap.push(stall.gap);
    }
    let lost = SNAPSHOTS as usize - p99.len();
    ground.findings.add("R2", "p99", p99, lost);
    ground.findings.add("R2", "gap", gap, lost);
    let (backend, bytes) = (&ground.around.backend, ground.args.large_log_mib << 20);
    let answered = &mut ground.answered;
    tokio::task::block_in_place(|| many.product.fill(backend, bytes, answered, ground.stop))?;
    let mut starts = Vec::new();
    for _ in 0..STARTS {
        let first =
            many.product.first_exchange(&mut many.processes, &mut ground.answered, ground.stop).await?;
        say(&format!("first answer after {} ms", first.as_millis()));
        starts.push(first.as_secs_f64() * 1e3);
    }
    let note = format!("{} members, logs of {} MiB", ground.args.members, ground.args.large_log_mib);
    ground.findings.add_with_note("S2", "100,000 members", starts, 0, note);
    ground.stop(many).await?;
    Ok(())
}

/// Decides something under a constant load, and compares the time in which both servers take the new snapshot with the rest.
async fn new_snapshot(
    ground: &mut Ground<'_>,
    running: &Running,
    number: u32,
    rate: f64,
) -> anyhow::Result<Option<kogge_bench::Stall>> {
    let steady = Steady { rate, connections: CONNECTIONS, warm_up: WARM_UP, time: WATCHED };
    let urls: Vec<String> = running.product.instance.servers.iter().map(metrics_url).collect();
    let config = registry_config(&running.layout);
    let (chain, runtime) = (running.product.chain.clone(), Handle::current());
    let (mut answered, stop) = (ground.answered.clone(), ground.stop.clone());
    let work = move || {
        let watched = |measured: Range<Instant>| -> anyhow::Result<Vec<Instant>> {
            let before = runtime.block_on(versions(&urls))?;
            // Some of the rest must lie before.
            std::thread::sleep((measured.start + REST).saturating_duration_since(Instant::now()));
            decide(&config, number)?;
            runtime.block_on(taken(&urls, &before, measured.end))
        };
        let (load, taken) = UnderLoad::watch(&chain, steady, &mut answered, &stop, watched)?;
        anyhow::Ok((load, taken?, answered))
    };
    let (load, taken, answered) = tokio::task::spawn_blocking(work).await??;
    ground.answered = answered;
    let within: Vec<_> = taken.iter().map(|moment| *moment - TAKING..*moment + AFTERWARDS).collect();
    let stall = load.stall(&within).filter(|_| taken.len() == running.product.instance.servers.len());
    match stall {
        Some(stall) => {
            say(&format!("a new snapshot: p99 × {:.2}, longest gap × {:.2}", stall.p99, stall.gap));
        }
        None => say("the new snapshot did not reach both servers in time"),
    }
    Ok(stall)
}

fn decide(config: &std::path::Path, number: u32) -> anyhow::Result<()> {
    let mut operator = Operator::open(&Config::load(config)?)?;
    let member = MemberId::parse(&format!("DEMO/NEW/{number}"))?;
    operator.change(Change::AddMember { member, name: format!("Newcomer {number}") })?;
    Ok(())
}

/// When each server's snapshot had another version than before.
async fn taken(urls: &[String], before: &[Option<f64>], until: Instant) -> anyhow::Result<Vec<Instant>> {
    let mut taken = vec![None; urls.len()];
    while Instant::now() < until && taken.contains(&None) {
        for ((now, before), taken) in versions(urls).await?.iter().zip(before).zip(&mut taken) {
            if taken.is_none() && now != before {
                *taken = Some(Instant::now());
            }
        }
        tokio::time::sleep(POLL).await;
    }
    Ok(taken.into_iter().flatten().collect())
}

async fn versions(urls: &[String]) -> anyhow::Result<Vec<Option<f64>>> {
    let mut versions = Vec::with_capacity(urls.len());
    for url in urls {
        versions.push(gauge(&plain_http::get(url).await?.text(), "kogge_snapshot_version"));
    }
    Ok(versions)
}

const CONNECTIONS: usize = 16;
/// With the demo's two agencies ten.
const FEW: u32 = 8;
const SNAPSHOTS: u32 = 3;
const STARTS: u32 = 5;
const WARM_UP: Duration = Duration::from_secs(1);
/// Measured before anything is decided.
const REST: Duration = Duration::from_secs(2);
/// The registry looks at its journal once a second and the servers at the registry; publishing takes some seconds.
const WATCHED: Duration = Duration::from_secs(12);
/// Verifying a snapshot and putting it in its place takes less.
const TAKING: Duration = Duration::from_millis(750);
const AFTERWARDS: Duration = Duration::from_millis(250);
const POLL: Duration = Duration::from_millis(20);

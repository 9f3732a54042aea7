//! The goals, each judged by the spread of what all groups of a series showed.

use crate::audit::AuditResult;
use crate::run::Run;
use crate::series::{Group, Series};

/// What decides which goals apply.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Signing {
    P256,
    Ed25519,
    Rsa2048,
    /// P-256 over a hash tree of many messages.
    Batch,
}

impl Signing {
    /// From the words of the command line.
    pub(crate) fn of(keys: &str, signature: &str) -> Self {
        match (keys, signature) {
            (_, "batch") => Self::Batch,
            ("ed25519", _) => Self::Ed25519,
            ("rsa2048", _) => Self::Rsa2048,
            _ => Self::P256,
        }
    }
}

/// Median, least and most of some values.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Spread {
    pub(crate) median: f64,
    pub(crate) min: f64,
    pub(crate) max: f64,
    pub(crate) count: usize,
}

impl Spread {
    /// `None` without values.
    pub(crate) fn of(mut values: Vec<f64>) -> Option<Self> {
        values.retain(|value| value.is_finite());
        values.sort_by(f64::total_cmp);
        let (min, max) = (*values.first()?, *values.last()?);
        let upper = *values.get(values.len() / 2)?;
        let lower = *values.get((values.len() - 1) / 2)?;
        Some(Self { median: (lower + upper) / 2.0, min, max, count: values.len() })
    }
}

/// One goal and what was found.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Goal {
    pub(crate) id: &'static str,
    pub(crate) what: String,
    pub(crate) found: Spread,
    pub(crate) bound: Bound,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Bound {
    AtLeast(f64),
    AtMost(f64),
}

impl Goal {
    /// Whether the median meets it.
    pub(crate) fn met(&self) -> bool {
        match self.bound {
            Bound::AtLeast(bound) => self.found.median >= bound,
            Bound::AtMost(bound) => self.found.median <= bound,
        }
    }
}

/// All goals about which the series says something.
pub(crate) fn judge(series: &Series, signing: Signing, audit: Option<&AuditResult>) -> Vec<Goal> {
    let mut goals = Vec::new();
    throughput(series, signing, &mut goals);
    latency(series, &mut goals);
    disk(series, audit, &mut goals);
    memory(series, &mut goals);
    goals
}

fn throughput(series: &Series, signing: Signing, goals: &mut Vec<Goal>) {
    let (id, share, at, cpu) = match signing {
        Signing::P256 => ("T1", 0.24, &[16, 64][..], Some(240.0)),
        Signing::Batch => ("T2", 0.45, &[64][..], Some(80.0)),
        Signing::Ed25519 => ("T3", 0.27, &[16, 64][..], None),
        Signing::Rsa2048 => ("T4", 0.075, &[16, 64][..], None),
    };
    for &connections in at {
        let ratio = |group: &Group, product: &Run| Some(product.rate() / best(group)?.rate());
        add(
            goals,
            id,
            format!("exchanges/s, share of the floor's, c={connections}"),
            Bound::AtLeast(share),
            values(series, connections, ratio),
        );
        let added = |group: &Group, product: &Run| Some(product.servers_cpu() - best(group)?.servers_cpu());
        if let Some(bound) = cpu {
            let what = format!("CPU µs per exchange above the floor's, c={connections}");
            add(goals, "T5", what, Bound::AtMost(bound), values(series, connections, added));
        }
    }
}

fn latency(series: &Series, goals: &mut Vec<Goal>) {
    let over = |group: &Group, product: &Run| {
        let floor = least(group, 0.5)?;
        Some(product.us(0.5) - floor - 2.0 * product.fsync_mean_us())
    };
    add(
        goals,
        "L1",
        "added p50 less two syncs, µs, c=1".to_owned(),
        Bound::AtMost(300.0),
        values(series, 1, over),
    );
    let tail = |group: &Group, product: &Run| Some(product.us(0.99) / least(group, 0.99)?);
    add(goals, "L2", "p99, times the floor's, c=16".to_owned(), Bound::AtMost(3.0), values(series, 16, tail));
    let open = series.open.iter().map(|run| run.us(0.99) / run.us(0.5)).collect();
    add(goals, "L3", "open loop: p99, times its p50".to_owned(), Bound::AtMost(5.0), open);
}

fn disk(series: &Series, audit: Option<&AuditResult>, goals: &mut Vec<Goal>) {
    let written = |_: &Group, run: &Run| Some(run.usage.device_bytes as f64 / run.usage.log_bytes as f64);
    let what = "device bytes, times the log's, c=64".to_owned();
    add(goals, "D2", what, Bound::AtMost(1.15), values(series, 64, written));
    if let Some(audit) = audit {
        // Two servers write.
        let beyond = |_: &Group, run: &Run| {
            Some(run.per_exchange(run.usage.log_bytes) / 2.0 - audit.payload_bytes as f64)
        };
        let what = "log bytes per exchange and server beyond the payload, c=64".to_owned();
        add(goals, "D3", what, Bound::AtMost(700.0), values(series, 64, beyond));
    }
    let flushes = |_: &Group, run: &Run| Some(run.per_exchange(run.usage.flushes));
    add(
        goals,
        "D4",
        "flushes per exchange, c=64".to_owned(),
        Bound::AtMost(0.2),
        values(series, 64, flushes),
    );
}

fn memory(series: &Series, goals: &mut Vec<Goal>) {
    let mib = |kib: Option<&u64>| kib.map(|kib| *kib as f64 / 1024.0);
    let idle = mib(series.idle_pss_kib.iter().max()).into_iter().collect();
    add(goals, "M1", "MiB of the larger server before the load".to_owned(), Bound::AtMost(20.0), idle);
    let loaded = values(series, 64, |_, run| mib(run.pss_kib.iter().max()));
    add(goals, "M1", "MiB of the larger server at c=64".to_owned(), Bound::AtMost(40.0), loaded);
}

fn add(goals: &mut Vec<Goal>, id: &'static str, what: String, bound: Bound, values: Vec<f64>) {
    if let Some(found) = Spread::of(values) {
        goals.push(Goal { id, what, found, bound });
    }
}

/// A value of each group with that many connections.
fn values(series: &Series, connections: usize, of: impl Fn(&Group, &Run) -> Option<f64>) -> Vec<f64> {
    let groups = series.groups.iter().filter(|group| group.connections == connections);
    groups.filter_map(|group| of(group, group.product()?)).collect()
}

/// The better floor is the one that the product is held against.
fn best(group: &Group) -> Option<&Run> {
    group.floors().max_by(|a, b| a.rate().total_cmp(&b.rate()))
}

/// The shortest latency of a floor.
fn least(group: &Group, share: f64) -> Option<f64> {
    group.floors().map(|run| run.us(share)).min_by(f64::total_cmp)
}

#[cfg(test)]
mod tests;

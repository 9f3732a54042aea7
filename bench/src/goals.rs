//! The goals, each judged by the spread of what all groups of a series showed.

mod findings;
mod table;

pub use self::findings::Findings;
pub use self::table::Goal;
use crate::audit::AuditResult;
use crate::run::Run;
use crate::series::{Group, Series};
use crate::spread::Spread;

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

/// What the series says about the goals.
pub(crate) fn judge(series: &Series, signing: Signing, audit: Option<&AuditResult>) -> Findings {
    let mut findings = Findings::default();
    throughput(series, signing, &mut findings);
    if signing == Signing::P256 {
        latency(series, &mut findings);
        disk(series, audit, &mut findings);
        memory(series, &mut findings);
    }
    findings
}

fn throughput(series: &Series, signing: Signing, findings: &mut Findings) {
    let id = match signing {
        Signing::P256 => "T1",
        Signing::Batch => "T2",
        Signing::Ed25519 => "T3",
        Signing::Rsa2048 => "T4",
    };
    let ratio = |group: &Group, product: &Run| Some(product.rate() / best(group)?.rate());
    let added = |group: &Group, product: &Run| Some(product.servers_cpu() - best(group)?.servers_cpu());
    let cases = [(16, "c=16"), (64, "c=64")];
    for (connections, case) in cases {
        let (values, discarded) = values(series, connections, ratio);
        if (signing, connections) != (Signing::Batch, 16) {
            findings.add(id, case, values, discarded);
        }
    }
    match signing {
        Signing::P256 => {
            for (connections, case) in cases {
                let (values, discarded) = values(series, connections, added);
                findings.add("T5", case, values, discarded);
            }
        }
        Signing::Batch => {
            let (values, discarded) = values(series, 64, added);
            findings.add("T5", "batch c=64", values, discarded);
        }
        Signing::Ed25519 | Signing::Rsa2048 => {}
    }
}

fn latency(series: &Series, findings: &mut Findings) {
    let added = |group: &Group, product: &Run| Some(product.us(0.5) - least(group, 0.5)?);
    let over = |group: &Group, product: &Run| Some(added(group, product)? - 2.0 * product.fsync_mean_us());
    let median = |of: &dyn Fn(&Group, &Run) -> Option<f64>| {
        Spread::of(values(series, 1, of).0).map_or(0.0, |spread| spread.median)
    };
    let bound = median(&|_, product| Some(2.0 * product.fsync_mean_us() + 300.0));
    let note = format!("added p50 {:.0} µs beside 2 F + 300 = {bound:.0} µs", median(&added));
    let (values_over, discarded) = values(series, 1, over);
    findings.add_with_note("L1", "c=1", values_over, discarded, note);
    let tail = |group: &Group, product: &Run| Some(product.us(0.99) / least(group, 0.99)?);
    let (values_tail, discarded) = values(series, 16, tail);
    findings.add("L2", "c=16", values_tail, discarded);
    let open = series.open.iter().map(|run| run.us(0.99) / run.us(0.5)).collect();
    findings.add("L3", "half load", open, 0);
}

fn disk(series: &Series, audit: Option<&AuditResult>, findings: &mut Findings) {
    let written = |_: &Group, run: &Run| Some(run.usage.device_bytes as f64 / run.usage.log_bytes as f64);
    let (values_written, discarded) = values(series, 64, written);
    findings.add("D2", "c=64", values_written, discarded);
    if let Some(audit) = audit {
        // Two servers write.
        let beyond = |_: &Group, run: &Run| {
            Some(run.per_exchange(run.usage.log_bytes) / 2.0 - audit.payload_bytes as f64)
        };
        let (values_beyond, discarded) = values(series, 64, beyond);
        findings.add("D3", "c=64", values_beyond, discarded);
    }
    let flushes = |_: &Group, run: &Run| Some(run.per_exchange(run.usage.flushes));
    let (values_flushes, discarded) = values(series, 64, flushes);
    findings.add("D4", "c=64", values_flushes, discarded);
}

fn memory(series: &Series, findings: &mut Findings) {
    let mib = |kib: Option<&u64>| kib.map(|kib| *kib as f64 / 1024.0);
    findings.add("M1", "idle", mib(series.idle_pss_kib.iter().max()).into_iter().collect(), 0);
    let (loaded, discarded) = values(series, 64, |_, run| mib(run.pss_kib.iter().max()));
    findings.add("M1", "c=64", loaded, discarded);
}

/// A value of each group with that many connections that counts, and how many do not.
fn values(
    series: &Series,
    connections: usize,
    of: impl Fn(&Group, &Run) -> Option<f64>,
) -> (Vec<f64>, usize) {
    let groups = series.groups.iter().filter(|group| group.connections == connections && group.accepted);
    let found: Vec<f64> = groups.filter_map(|group| of(group, group.product()?)).collect();
    (found, series.pairs(connections).1)
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

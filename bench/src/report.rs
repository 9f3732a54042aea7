//! What a series has shown, for people and for programs.

use std::fmt::Write as _;

use serde_json::{Value, json};

use crate::audit::AuditResult;
use crate::goals::{Findings, Signing, judge};
use crate::load::Pace;
use crate::run::Run;
use crate::series::{Choice, Series};
use crate::spread::Spread;
use crate::stages::Stage;

/// A series with all that is to be said about it.
#[derive(Debug)]
pub struct Report {
    series: Series,
    audit: Option<AuditResult>,
    findings: Findings,
    /// Of each server, by its name.
    stages: Vec<(&'static str, Vec<Stage>)>,
    setting: Value,
}

impl Report {
    /// Of a series. `keys` (`p256`, `ed25519`, `rsa2048`) and `signature` (`each`, `batch`) say which goals apply; `setting` goes into the JSON as it is.
    #[must_use]
    pub fn new(
        series: Series,
        keys: &str,
        signature: &str,
        audit: Option<AuditResult>,
        setting: Value,
    ) -> Self {
        let findings = judge(&series, Signing::of(keys, signature), audit.as_ref());
        Self { series, audit, findings, stages: Vec::new(), setting }
    }

    /// Adds where a server's time went.
    pub fn add_stages(&mut self, server: &'static str, stages: Vec<Stage>) {
        if !stages.is_empty() {
            self.stages.push((server, stages));
        }
    }

    /// What it says about the goals.
    #[must_use]
    pub fn findings(&self) -> &Findings {
        &self.findings
    }

    /// For people: everything.
    #[must_use]
    pub fn table(&self) -> String {
        format!("{}{}", self.runs_table(), self.findings.table())
    }

    /// For people: all but the goals.
    #[must_use]
    pub fn runs_table(&self) -> String {
        let mut out = String::new();
        // Writing into a String cannot fail.
        let _ = writeln!(
            out,
            "{:<10} {:>4} {:>9} {:>8} {:>8} {:>8}  {:<32} {:>7} {:>9} {:>8} {:>9} {:>7}",
            "chain",
            "c",
            "exch/s",
            "p50 µs",
            "p99 µs",
            "max µs",
            "CPU µs per exchange",
            "PSS MiB",
            "flush/ex",
            "log B/ex",
            "disk B/ex",
            "sync µs"
        );
        for (connections, name) in self.rows() {
            let runs: Vec<&Run> = self.runs(connections, &name).collect();
            let _ = writeln!(out, "{}", row(&name, connections, &runs));
        }
        for run in &self.series.open {
            let _ = writeln!(out, "{}", row("open loop", run.shape.connections, &[run]));
        }
        for Choice { connections, floor } in &self.series.chosen {
            let _ = writeln!(
                out,
                "c={connections}: {floor} was the better floor in trials and ran in all pairs."
            );
        }
        let (discarded, groups) = (self.series.discarded, self.series.groups.len());
        let accepted = self.series.groups.iter().filter(|group| group.accepted).count();
        let _ = writeln!(
            out,
            "{accepted} of {groups} pairs count. {} runs did not: {} beside others, {} on a machine slower than before.",
            discarded.count(),
            discarded.others,
            discarded.calibration
        );
        if let Some(audit) = &self.audit {
            let AuditResult { answered, logged, verified, twice, strangers, payload_bytes } = audit;
            let word = if audit.holds() { "answered = logged = verified" } else { "THE RUNS ARE VOID" };
            let _ = writeln!(
                out,
                "{word}: {answered} answered, {logged} logged, {verified} verified; {twice} records twice, {strangers} of others; \
                 payload {payload_bytes} B per exchange and server."
            );
        }
        for (server, stages) in &self.stages {
            let _ = writeln!(out, "stages of the {server}, by share of their time:");
            for Stage { labels, count, mean_us, share } in stages {
                let _ =
                    writeln!(out, "  {:>5.1} % {mean_us:>9.1} µs {count:>10.0} ×  {labels}", share * 100.0);
            }
        }
        out
    }

    /// For programs: one object.
    #[must_use]
    pub fn json(&self) -> Value {
        let runs = self.series.groups.iter().enumerate().flat_map(|(number, group)| {
            group.runs.iter().map(move |run| run_json(Some((number, group.accepted)), run))
        });
        let runs: Vec<Value> = runs.chain(self.series.open.iter().map(|run| run_json(None, run))).collect();
        json!({
            "setting": self.setting,
            "runs": runs,
            "goals": self.findings.json(),
            "not_counted": {"beside_others": self.series.discarded.others, "slow": self.series.discarded.calibration},
            "pairs": self.series.groups.len(),
            "pairs_accepted": self.series.groups.iter().filter(|group| group.accepted).count(),
            "floors": self.series.chosen.iter().map(|choice| json!({"connections": choice.connections, "floor": choice.floor})).collect::<Vec<_>>(),
            "stages": self.stages.iter().map(stages_json).collect::<Vec<_>>(),
            "idle_pss_kib": self.series.idle_pss_kib,
            "audit": self.audit.as_ref().map(audit_json),
        })
    }

    /// Each number of connections with each chain, in the order in which they were measured.
    fn rows(&self) -> Vec<(usize, String)> {
        let mut rows = Vec::new();
        for run in self.series.groups.iter().flat_map(|group| &group.runs) {
            let row = (run.shape.connections, run.chain.clone());
            if !rows.contains(&row) {
                rows.push(row);
            }
        }
        rows
    }

    fn runs<'a>(&'a self, connections: usize, name: &'a str) -> impl Iterator<Item = &'a Run> {
        let runs = self.series.groups.iter().flat_map(|group| &group.runs);
        runs.filter(move |run| run.shape.connections == connections && run.chain == name)
    }
}

/// Medians over the runs of a chain.
fn row(name: &str, connections: usize, runs: &[&Run]) -> String {
    let median = |of: &dyn Fn(&Run) -> f64| {
        Spread::of(runs.iter().map(|run| of(run)).collect()).map_or(0.0, |spread| spread.median)
    };
    let names: Vec<&str> =
        runs.first().map(|run| run.cpu().map(|(name, _)| name).collect()).unwrap_or_default();
    let cpu: Vec<String> = names
        .iter()
        .enumerate()
        .map(|(place, name)| {
            let us = median(&|run: &Run| run.cpu().nth(place).map_or(0.0, |(_, us)| us));
            format!("{name} {us:.0}")
        })
        .collect();
    format!(
        "{name:<10} {connections:>4} {:>9.0} {:>8.0} {:>8.0} {:>8.0}  {:<32} {:>7.1} {:>9.3} {:>8.0} {:>9.0} {:>7.0}",
        median(&Run::rate),
        median(&|run| run.us(0.5)),
        median(&|run| run.us(0.99)),
        median(&|run| run.latency.max().as_secs_f64() * 1e6),
        cpu.join(" "),
        median(&|run| run.pss_kib.iter().sum::<u64>() as f64 / 1024.0),
        median(&|run| run.per_exchange(run.usage.flushes)),
        median(&|run| run.per_exchange(run.usage.log_bytes)),
        median(&|run| run.per_exchange(run.usage.device_bytes)),
        median(&Run::fsync_mean_us),
    )
}

fn stages_json((server, stages): &(&'static str, Vec<Stage>)) -> Value {
    let stage = |Stage { labels, count, mean_us, share }: &Stage| json!({"labels": labels, "count": count, "mean_us": mean_us, "share": share});
    json!({"server": server, "stages": stages.iter().map(stage).collect::<Vec<_>>()})
}

pub(crate) fn audit_json(audit: &AuditResult) -> Value {
    json!({
        "holds": audit.holds(),
        "answered": audit.answered,
        "logged": audit.logged,
        "verified": audit.verified,
        "twice": audit.twice,
        "strangers": audit.strangers,
        "payload_bytes_per_exchange_and_server": audit.payload_bytes,
    })
}

fn run_json(group: Option<(usize, bool)>, run: &Run) -> Value {
    let cpu: serde_json::Map<String, Value> =
        run.cpu().map(|(name, us)| (name.to_owned(), json!(us))).collect();
    json!({
        "group": group.map(|(number, _)| number),
        "counts": group.is_none_or(|(_, accepted)| accepted),
        "chain": run.chain,
        "connections": run.shape.connections,
        "open_loop_rate": match run.shape.pace { Pace::Closed => None, Pace::Open(rate) => Some(rate) },
        "exchanges": run.latency.count(),
        "exchanges_per_s": run.rate(),
        "p50_us": run.us(0.5), "p90_us": run.us(0.9), "p99_us": run.us(0.99), "p999_us": run.us(0.999),
        "max_us": run.latency.max().as_secs_f64() * 1e6,
        "mean_us": run.latency.mean().as_secs_f64() * 1e6,
        "cpu_us_per_exchange": cpu,
        "pss_kib": run.pss_kib,
        "flushes_per_exchange": run.per_exchange(run.usage.flushes),
        "log_bytes_per_exchange": run.per_exchange(run.usage.log_bytes),
        "device_bytes_per_exchange": run.per_exchange(run.usage.device_bytes),
        "fsync_us": run.fsync_us,
        "seconds": run.usage.seconds,
        "others_pct": run.usage.others_pct,
        "steal_pct": run.usage.steal_pct,
        "idle_pct": run.usage.idle_pct,
        "calibration_mb_s": run.calibration_mb_s,
    })
}

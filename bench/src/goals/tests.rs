//! Goals from made-up runs.

use std::time::Duration;

use super::*;
use crate::Histogram;
use crate::account::Usage;
use crate::chain::ChainKind;
use crate::load::Pace;
use crate::run::Shape;

/// A second of `exchanges`, each of `us`; each server used `cpu_us` per exchange.
fn run(kind: ChainKind, connections: usize, exchanges: u64, us: u64, cpu_us: f64) -> Run {
    let mut latency = Histogram::default();
    (0..exchanges).for_each(|_| latency.add(Duration::from_micros(us)));
    let all = exchanges as f64;
    Run {
        chain: String::new(),
        kind,
        shape: Shape {
            connections,
            pace: Pace::Closed,
            warm_up: Duration::ZERO,
            time: Duration::from_secs(1),
        },
        latency,
        usage: Usage {
            seconds: 1.0,
            cpu_us: vec![cpu_us * all, cpu_us * all, 12.0 * all, 11.0 * all],
            others_pct: 0.0,
            steal_pct: 0.0,
            idle_pct: 0.0,
            flushes: exchanges / 10,
            device_bytes: 5500 * exchanges,
            log_bytes: 5000 * exchanges,
        },
        parts: vec!["A", "B", "backend"],
        pss_kib: vec![10 * 1024, 30 * 1024],
        fsync_us: [100.0, 200.0],
        calibration_mb_s: 1.0,
    }
}

fn series(connections: usize, product: &[u64]) -> Series {
    let groups = product.iter().map(|exchanges| Group {
        connections,
        runs: vec![
            run(ChainKind::Floor, connections, 1000, 500, 30.0),
            run(ChainKind::Product, connections, *exchanges, 1200, 130.0),
            run(ChainKind::Floor, connections, 2000, 600, 40.0),
            run(ChainKind::Base, connections, 9000, 1, 1.0),
        ],
        accepted: true,
    });
    Series { groups: groups.collect(), idle_pss_kib: vec![1024, 21 * 1024], ..Series::default() }
}

fn find(findings: &Findings, id: &str) -> Option<(Spread, bool)> {
    let finding = findings.iter().find(|finding| finding.goal.id == id)?;
    Some((finding.found?, finding.met()?))
}

#[test]
fn the_ratio_is_of_each_group_to_its_better_floor() {
    let goals = judge(&series(16, &[500, 400, 600]), Signing::P256, None);
    let (found, met) = find(&goals, "T1").unwrap();
    assert_eq!(found, Spread { median: 0.25, min: 0.2, max: 0.3, count: 3 });
    assert!(met);
    let goals = judge(&series(16, &[400, 400, 600]), Signing::P256, None);
    assert!(!find(&goals, "T1").unwrap().1, "a median of 0.2 is below 0.24");
}

#[test]
fn a_group_beside_others_is_counted_and_does_not_count() {
    let mut series = series(16, &[500, 100, 600]);
    series.groups[1].accepted = false;
    let goals = judge(&series, Signing::P256, None);
    let finding = goals.iter().find(|finding| finding.goal.id == "T1").unwrap();
    assert_eq!((finding.found.unwrap().min, finding.found.unwrap().count, finding.discarded), (0.25, 2, 1));
    series.groups.iter_mut().for_each(|group| group.accepted = false);
    let goals = judge(&series, Signing::P256, None);
    let finding = goals.iter().find(|finding| finding.goal.id == "T1").unwrap();
    assert_eq!((finding.found, finding.met(), finding.discarded), (None, None, 3), "nothing is decided");
}

#[test]
fn cpu_is_that_of_both_servers_less_the_better_floors() {
    let goals = judge(&series(64, &[500]), Signing::P256, None);
    let (found, met) = find(&goals, "T5").unwrap();
    assert!((found.median - 180.0).abs() < 1e-6 && met, "{found:?}");
    let goals = judge(&series(64, &[500]), Signing::Batch, None);
    assert!(!find(&goals, "T5").unwrap().1, "batches must cost less");
}

#[test]
fn latency_is_held_against_the_quicker_floor() {
    let goals = judge(&series(1, &[500]), Signing::P256, None);
    let (added, met) = find(&goals, "L1").unwrap();
    // 1200 - 500 - 2 × 150, less than a percent off.
    assert!((added.median - 400.0).abs() < 12.0 && !met, "{added:?}");
    let note = &goals.iter().find(|finding| finding.goal.id == "L1").unwrap().note;
    assert!(note.ends_with("2 F + 300 = 600 µs"), "{note}");
    let goals = judge(&series(16, &[500]), Signing::P256, None);
    let (tail, met) = find(&goals, "L2").unwrap();
    assert!((tail.median - 2.4).abs() < 0.03 && met, "{tail:?}");
}

#[test]
fn disk_and_memory_are_those_of_the_product() {
    let audit =
        AuditResult { answered: 1, logged: 1, verified: 1, twice: 0, strangers: 0, payload_bytes: 1700 };
    let goals = judge(&series(64, &[500]), Signing::P256, Some(&audit));
    for (id, value, met) in [("D2", 1.1, true), ("D3", 800.0, false), ("D4", 0.1, true), ("M1", 21.0, false)]
    {
        let (found, is_met) = find(&goals, id).unwrap();
        assert!((found.median - value).abs() < 1e-6 && is_met == met, "{id} {found:?}");
    }
}

#[test]
fn nothing_is_said_about_what_was_not_measured() {
    let goals = judge(&series(16, &[500]), Signing::Rsa2048, None);
    for id in ["T1", "T2", "T3", "T5", "L1", "L3", "D2", "D3", "D4", "M1"] {
        assert_eq!(find(&goals, id), None, "{id}");
    }
    assert!(find(&goals, "T4").unwrap().1);
    assert_eq!(judge(&Series::default(), Signing::P256, None), Findings::default());
}

#[test]
fn one_chain_is_compared_with_another_by_name() {
    let mut series = series(16, &[500, 800]);
    for group in &mut series.groups {
        group.runs[1].chain = "quic".to_owned();
        group.runs[2].chain = "h2".to_owned();
    }
    assert_eq!(series.rates(16, "quic", "h2"), [0.25, 0.4]);
    series.groups[0].accepted = false;
    assert_eq!(series.rates(16, "quic", "h2"), [0.4]);
    assert!(series.rates(64, "quic", "h2").is_empty() && series.rates(16, "quic", "none").is_empty());
}

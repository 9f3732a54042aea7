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
    });
    Series { groups: groups.collect(), idle_pss_kib: vec![1024, 21 * 1024], ..Series::default() }
}

fn find<'a>(goals: &'a [Goal], id: &str) -> Option<&'a Goal> {
    goals.iter().find(|goal| goal.id == id)
}

#[test]
fn the_ratio_is_of_each_group_to_its_better_floor() {
    let goals = judge(&series(16, &[500, 400, 600]), Signing::P256, None);
    let throughput = find(&goals, "T1").unwrap();
    assert_eq!(throughput.found, Spread { median: 0.25, min: 0.2, max: 0.3, count: 3 });
    assert!(throughput.met());
    let goals = judge(&series(16, &[400, 400, 600]), Signing::P256, None);
    assert!(!find(&goals, "T1").unwrap().met(), "a median of 0.2 is below 0.24");
}

#[test]
fn cpu_is_that_of_both_servers_less_the_better_floors() {
    let goals = judge(&series(64, &[500]), Signing::P256, None);
    let cpu = find(&goals, "T5").unwrap();
    assert!((cpu.found.median - 180.0).abs() < 1e-6, "{cpu:?}");
    assert!(cpu.met());
    let goals = judge(&series(64, &[500]), Signing::Batch, None);
    assert!(!find(&goals, "T5").unwrap().met(), "batches must cost less");
}

#[test]
fn latency_is_held_against_the_quicker_floor() {
    let goals = judge(&series(1, &[500]), Signing::P256, None);
    let added = find(&goals, "L1").unwrap();
    // 1200 - 500 - 2 × 150, less than a percent off.
    assert!((added.found.median - 400.0).abs() < 12.0, "{added:?}");
    assert!(!added.met());
    let goals = judge(&series(16, &[500]), Signing::P256, None);
    let tail = find(&goals, "L2").unwrap();
    assert!((tail.found.median - 2.4).abs() < 0.03 && tail.met(), "{tail:?}");
}

#[test]
fn disk_and_memory_are_those_of_the_product() {
    let audit =
        AuditResult { answered: 1, logged: 1, verified: 1, twice: 0, strangers: 0, payload_bytes: 1700 };
    let goals = judge(&series(64, &[500]), Signing::P256, Some(&audit));
    for (id, value, met) in [("D2", 1.1, true), ("D3", 800.0, false), ("D4", 0.1, true), ("M1", 21.0, false)]
    {
        let goal = find(&goals, id).unwrap();
        assert!((goal.found.median - value).abs() < 1e-6, "{goal:?}");
        assert_eq!(goal.met(), met, "{goal:?}");
    }
}

#[test]
fn nothing_is_said_about_what_was_not_measured() {
    assert!(judge(&Series::default(), Signing::P256, None).is_empty());
    let goals = judge(&series(16, &[500]), Signing::Rsa2048, None);
    for id in ["T1", "T2", "T3", "T5", "L1", "L3", "D2", "D3", "D4"] {
        assert_eq!(find(&goals, id), None, "{id}");
    }
    assert!(find(&goals, "T4").unwrap().met());
}

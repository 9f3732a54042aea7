//! All goals, each with what is measured, its unit and its bound.

/// One goal in one setting.
#[derive(Debug, PartialEq)]
pub struct Goal {
    /// `T1`, `L3` …: several settings may have the same.
    pub id: &'static str,
    /// The setting, such as `c=16`; with the id it names the goal.
    pub case: &'static str,
    /// What is measured.
    pub what: &'static str,
    /// Of the value and the bound.
    pub unit: &'static str,
    pub(crate) bound: Bound,
}

/// What a value must be.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Bound {
    AtLeast(f64),
    AtMost(f64),
}

impl Bound {
    pub(crate) fn holds(self, value: f64) -> bool {
        match self {
            Self::AtLeast(bound) => value >= bound,
            Self::AtMost(bound) => value <= bound,
        }
    }
}

const RATE: &str = "exchanges/s to the floor's";
const CPU: &str = "CPU of both servers for an exchange, less the floor's";

/// The table.
#[rustfmt::skip]
pub(crate) const GOALS: &[Goal] = &[
    at_least("T1", "c=16", RATE, "ratio", 0.24),
    at_least("T1", "c=64", RATE, "ratio", 0.24),
    at_least("T2", "c=64", "batch signatures: exchanges/s to the floor's", "ratio", 0.45),
    at_least("T3", "c=16", "Ed25519: exchanges/s to the floor's", "ratio", 0.27),
    at_least("T3", "c=64", "Ed25519: exchanges/s to the floor's", "ratio", 0.27),
    at_least("T4", "c=16", "RSA-2048: exchanges/s to the floor's", "ratio", 0.075),
    at_least("T4", "c=64", "RSA-2048: exchanges/s to the floor's", "ratio", 0.075),
    at_most("T5", "c=16", CPU, "µs", 240.0),
    at_most("T5", "c=64", CPU, "µs", 240.0),
    at_most("T5", "batch c=64", CPU, "µs", 80.0),
    at_most("L1", "c=1", "added p50 less two mean syncs of the run", "µs", 300.0),
    at_most("L2", "c=16", "p99 to the floor's", "ratio", 3.0),
    at_most("L3", "half load", "open loop: p99 to p50", "ratio", 5.0),
    at_least("D1", "32 writers", "durable records/s to a plain segment writer's", "ratio", 0.7),
    at_most("D2", "c=64", "bytes on the device to bytes of the logs", "ratio", 1.15),
    at_most("D3", "c=64", "log of an exchange and server beyond the payload", "B", 700.0),
    at_most("D4", "c=64", "flushes of the disk for an exchange, both servers", "flushes", 0.2),
    at_most("D5", "1 GiB", "killed, started again, ready", "ms", 300.0),
    at_most("M1", "idle", "memory of the larger server", "MiB", 20.0),
    at_most("M1", "c=64", "memory of the larger server", "MiB", 40.0),
    at_most("M2", "CPU", "idle for half a minute after load, the busier server", "% of a core", 0.1),
    at_most("M2", "wake-ups", "idle for half a minute after load, the busier server", "1/s", 2.0),
    at_most("M3", "binary", "size of the one program", "MiB", 20.0),
    at_least("B1", "1 GiB", "body, digest in the log: MB/s to the floor's", "ratio", 0.65),
    at_least("B2", "1 GiB", "body kept in both logs: MB/s to the floor's", "ratio", 0.45),
    at_most("B3", "1 body", "memory that both servers grow by", "MiB", 4.0),
    at_most("B3", "16 bodies", "memory that the larger server grows by", "MiB", 32.0),
    at_most("S1", "2 members", "start of both servers to the first exchange, to nginx's", "ratio", 2.0),
    at_most("S2", "100,000 members", "start of both servers to the first exchange", "ms", 500.0),
    at_least("R1", "c=16", "exchanges/s with 100,000 members to those with ten", "ratio", 0.97),
    at_most("R2", "p99", "while a snapshot of 100,000 is taken, to the rest", "ratio", 1.2),
    at_most("R2", "gap", "longest time without an answer meanwhile, to the rest", "ratio", 1.2),
    at_least("Q1", "1 KiB c=16", "exchanges/s over QUIC to those over HTTP/2", "ratio", 0.9),
    at_least("Q1", "1 GiB", "MB/s over QUIC to those over HTTP/2", "ratio", 0.4),
];

const fn at_least(
    id: &'static str,
    case: &'static str,
    what: &'static str,
    unit: &'static str,
    bound: f64,
) -> Goal {
    Goal { id, case, what, unit, bound: Bound::AtLeast(bound) }
}

const fn at_most(
    id: &'static str,
    case: &'static str,
    what: &'static str,
    unit: &'static str,
    bound: f64,
) -> Goal {
    Goal { id, case, what, unit, bound: Bound::AtMost(bound) }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_goal_has_a_name_of_its_own() {
        let names: BTreeSet<_> = GOALS.iter().map(|goal| (goal.id, goal.case)).collect();
        assert_eq!(names.len(), GOALS.len());
    }

    #[test]
    fn a_bound_is_met_by_itself() {
        assert!(Bound::AtLeast(0.24).holds(0.24) && !Bound::AtLeast(0.24).holds(0.239));
        assert!(Bound::AtMost(5.0).holds(5.0) && !Bound::AtMost(5.0).holds(5.001));
        assert!(!Bound::AtMost(5.0).holds(f64::NAN) && !Bound::AtLeast(5.0).holds(f64::NAN));
    }
}

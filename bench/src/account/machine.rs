//! The machine: how busy it is, and how much of it we get.

use std::thread;
use std::time::{Duration, Instant};

use kogge_proto::digest::Sha256Hasher;

use crate::BenchError;

/// Ticks of all cores since the machine started.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Machine {
    pub(crate) busy: u64,
    pub(crate) idle: u64,
    /// Taken away by the host.
    pub(crate) steal: u64,
}

impl Machine {
    pub(crate) fn read() -> Result<Self, BenchError> {
        let path = "/proc/stat";
        let text = std::fs::read_to_string(path).map_err(BenchError::file("read", path))?;
        Self::parse(&text).ok_or_else(|| BenchError::Machine(format!("{path} has no line of all cores")))
    }

    /// `cpu user nice system idle iowait irq softirq steal …`: proc(5).
    fn parse(text: &str) -> Option<Self> {
        let line = text.lines().find_map(|line| line.strip_prefix("cpu "))?;
        let fields: Vec<u64> =
            line.split_ascii_whitespace().map(str::parse).collect::<Result<_, _>>().ok()?;
        let [user, nice, system, idle, iowait, irq, softirq, steal, ..] = fields[..] else { return None };
        Some(Self { busy: user + nice + system + irq + softirq, idle: idle + iowait, steal })
    }

    pub(crate) fn since(&self, before: &Self) -> Self {
        Self {
            busy: self.busy.saturating_sub(before.busy),
            idle: self.idle.saturating_sub(before.idle),
            steal: self.steal.saturating_sub(before.steal),
        }
    }

    /// Share of the whole.
    pub(crate) fn percent(&self, ticks: u64) -> f64 {
        100.0 * ticks as f64 / (self.busy + self.idle + self.steal).max(1) as f64
    }
}

/// SHA-256 on all cores at once, in MB/s: tells how much of the machine we get. One core alone would hide a neighbour.
pub(crate) fn calibrate(time: Duration) -> f64 {
    let work = || {
        let piece = vec![0_u8; PIECE_BYTES];
        let (start, mut hasher, mut bytes) = (Instant::now(), Sha256Hasher::new(), 0_usize);
        while start.elapsed() < time {
            hasher.update(&piece);
            bytes += piece.len();
        }
        std::hint::black_box(hasher.finish());
        bytes as f64 / start.elapsed().as_secs_f64() / 1e6
    };
    thread::scope(|scope| {
        let workers: Vec<_> = (0..cores()).map(|_| scope.spawn(work)).collect();
        workers.into_iter().filter_map(|worker| worker.join().ok()).sum()
    })
}

/// Cores of this machine.
pub(crate) fn cores() -> usize {
    thread::available_parallelism().map_or(1, usize::from)
}

const PIECE_BYTES: usize = 16 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_of_all_cores_is_read() {
        let text = "cpu  100 20 30 400 50 6 7 8 9 1\ncpu0 1 2 3 4 5 6 7 8 9 1\n";
        assert_eq!(Machine::parse(text), Some(Machine { busy: 163, idle: 450, steal: 8 }));
        assert_eq!(Machine::parse("cpu0 1 2 3 4 5 6 7 8 9 1\n"), None);
        assert_eq!(Machine::parse("cpu  1 2 3\n"), None);
        assert_eq!(Machine::parse("cpu  1 2 x 4 5 6 7 8\n"), None);
    }

    #[test]
    fn shares_are_of_the_time_between() {
        let before = Machine { busy: 100, idle: 1000, steal: 5 };
        let after = Machine { busy: 130, idle: 1060, steal: 15 };
        let between = after.since(&before);
        assert_eq!(between, Machine { busy: 30, idle: 60, steal: 10 });
        assert!((between.percent(between.steal) - 10.0).abs() < 1e-9);
    }

    #[test]
    fn this_machine_hashes() {
        assert!(calibrate(Duration::from_millis(5)) > 0.0);
        assert!(Machine::read().unwrap().busy > 0);
    }
}

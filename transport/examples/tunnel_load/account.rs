//! What a process has cost so far, from `/proc`.

use std::fs;
use std::time::Duration;

/// A process of this run.
#[derive(Clone, Copy)]
pub(crate) struct Process(pub(crate) u32);

/// Totals at one moment.
#[derive(Clone, Copy)]
pub(crate) struct Reading {
    pub(crate) cpu: Duration,
    pub(crate) wake_ups: u64,
}

impl Process {
    /// Time on a processor in nanoseconds, and how often one of its threads went from waiting to running, of all threads that live.
    pub(crate) fn reading(self) -> Reading {
        let mut reading = Reading { cpu: Duration::ZERO, wake_ups: 0 };
        for task in fs::read_dir(format!("/proc/{}/task", self.0)).into_iter().flatten().flatten() {
            let stat = fs::read_to_string(task.path().join("schedstat")).unwrap_or_default();
            let nanos = stat.split_whitespace().next().and_then(|word| word.parse().ok());
            reading.cpu += Duration::from_nanos(nanos.unwrap_or(0));
            let status = fs::read_to_string(task.path().join("status")).unwrap_or_default();
            reading.wake_ups += number(&status, "voluntary_ctxt_switches:");
        }
        reading
    }

    /// Proportional set size in KiB.
    pub(crate) fn pss_kib(self) -> u64 {
        number(&fs::read_to_string(format!("/proc/{}/smaps_rollup", self.0)).unwrap_or_default(), "Pss:")
    }
}

impl std::ops::Sub for Reading {
    type Output = Self;

    fn sub(self, earlier: Self) -> Self {
        Self { cpu: self.cpu - earlier.cpu, wake_ups: self.wake_ups - earlier.wake_ups }
    }
}

fn number(text: &str, key: &str) -> u64 {
    let line = text.lines().find_map(|line| line.strip_prefix(key));
    line.and_then(|line| line.split_whitespace().next()).and_then(|word| word.parse().ok()).unwrap_or(0)
}

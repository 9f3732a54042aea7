//! What processes and the machine have used, as the kernel tells it.

mod disk;
mod machine;
mod process;

use std::path::Path;
use std::time::Instant;

pub(crate) use self::disk::{Disk, fsync_mean_us, log_bytes};
pub(crate) use self::machine::{Machine, calibrate, cores};
pub(crate) use self::process::{cpu_ns, pss_kib, ticks, tree, wake_ups};
use crate::BenchError;
use crate::chain::Chain;

/// Everything at one moment.
pub(crate) struct Sample {
    at: Instant,
    machine: Machine,
    /// Ticks of all that this bench has started, and its own.
    own_ticks: u64,
    /// Nanoseconds of each process of the chain, in its order, then of the load generator.
    cpu_ns: Vec<u64>,
    disk: Disk,
    log_bytes: u64,
}

/// The difference of two samples.
#[derive(Clone, Debug)]
pub(crate) struct Usage {
    pub(crate) seconds: f64,
    /// Microseconds of each process of the chain, then of the load generator.
    pub(crate) cpu_us: Vec<f64>,
    /// Share of the machine's time in percent that others used.
    pub(crate) others_pct: f64,
    /// Share that the host took away.
    pub(crate) steal_pct: f64,
    pub(crate) idle_pct: f64,
    pub(crate) flushes: u64,
    pub(crate) device_bytes: u64,
    pub(crate) log_bytes: u64,
}

impl Sample {
    /// Of a chain and the machine, now.
    pub(crate) fn take(chain: &Chain) -> Result<Self, BenchError> {
        let own = std::process::id();
        let mut cpu = Vec::with_capacity(chain.parts.len() + 1);
        for part in &chain.parts {
            let used = tree(part.pid).into_iter().map(cpu_ns).sum::<u64>();
            if used == 0 {
                return Err(BenchError::Ended { name: chain.name.clone(), pid: part.pid });
            }
            cpu.push(used);
        }
        cpu.push(cpu_ns(own));
        Ok(Self {
            at: Instant::now(),
            machine: Machine::read()?,
            own_ticks: tree(own).into_iter().map(ticks).sum(),
            cpu_ns: cpu,
            disk: Disk::read(Path::new("/sys/block")),
            log_bytes: chain.logs.iter().map(|log| log_bytes(log)).sum::<Result<u64, _>>()?,
        })
    }

    /// What was used since `before`.
    pub(crate) fn since(&self, before: &Self) -> Usage {
        let cpu = self.cpu_ns.iter().zip(&before.cpu_ns);
        let machine = self.machine.since(&before.machine);
        let own = self.own_ticks.saturating_sub(before.own_ticks);
        Usage {
            seconds: self.at.duration_since(before.at).as_secs_f64(),
            cpu_us: cpu.map(|(after, before)| after.saturating_sub(*before) as f64 / 1000.0).collect(),
            others_pct: machine.percent(machine.busy.saturating_sub(own)),
            steal_pct: machine.percent(machine.steal),
            idle_pct: machine.percent(machine.idle),
            flushes: self.disk.flushes.saturating_sub(before.disk.flushes),
            device_bytes: self.disk.bytes_written.saturating_sub(before.disk.bytes_written),
            log_bytes: self.log_bytes.saturating_sub(before.log_bytes),
        }
    }
}

//! A command that runs to its end, and what it used meanwhile.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};

/// What a command used.
pub(super) struct Used {
    pub(super) wall: Duration,
    pub(super) cpu: Duration,
    pub(super) peak_rss_kib: u64,
}

/// Runs commands.
pub(super) struct Watched;

impl Watched {
    /// Runs it in a directory; it must succeed.
    pub(super) fn run(program: &Path, dir: &Path, arguments: &[&str]) -> anyhow::Result<Used> {
        let what = || format!("kogge {}", arguments.join(" "));
        let begun = Instant::now();
        let mut child = Command::new(program)
            .args(arguments)
            .current_dir(dir)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .with_context(what)?;
        let proc = Path::new("/proc").join(child.id().to_string());
        let mut used = Used { wall: Duration::ZERO, cpu: Duration::ZERO, peak_rss_kib: 0 };
        // A process that has ended keeps its times until it is waited for.
        loop {
            let status = std::fs::read_to_string(proc.join("status")).unwrap_or_default();
            used.peak_rss_kib = used.peak_rss_kib.max(peak_rss_kib(&status));
            let stat = std::fs::read_to_string(proc.join("stat")).unwrap_or_default();
            let Some((state, cpu)) = state_and_cpu(&stat) else { break };
            used.cpu = used.cpu.max(cpu);
            if state == "Z" {
                break;
            }
            std::thread::sleep(POLL);
        }
        used.wall = begun.elapsed();
        let status = child.wait().with_context(what)?;
        ensure!(status.success(), "{} ended with {status}", what());
        Ok(used)
    }
}

fn peak_rss_kib(status: &str) -> u64 {
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|line| line.trim().strip_suffix(" kB")?.trim().parse().ok()).unwrap_or(0)
}

/// State, and time in user and kernel mode (proc(5): fields 3, 14 and 15, behind the name in parentheses).
fn state_and_cpu(stat: &str) -> Option<(&str, Duration)> {
    let (_, rest) = stat.rsplit_once(") ")?;
    let fields: Vec<&str> = rest.split(' ').collect();
    let ticks = |at: usize| fields.get(at)?.parse::<u64>().ok();
    Some((*fields.first()?, TICK * u32::try_from(ticks(11)? + ticks(12)?).ok()?))
}

const POLL: Duration = Duration::from_millis(5);
/// `USER_HZ` is 100 on every Linux that this runs on.
const TICK: Duration = Duration::from_millis(10);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_and_memory_are_read_past_a_name_with_spaces() {
        let stat = "7 (a ) b) Z 1 2 3 4 5 6 7 8 9 10 150 50 0 0";
        assert_eq!(state_and_cpu(stat), Some(("Z", Duration::from_secs(2))));
        assert_eq!(state_and_cpu(""), None);
        assert_eq!(peak_rss_kib("Name:\tx\nVmHWM:\t  2048 kB\n"), 2048);
        assert_eq!(peak_rss_kib(""), 0);
    }
}

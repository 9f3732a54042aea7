//! One process: its CPU time and memory.

use std::fs::read_to_string;

/// The process and all that it has started, as far as they live.
pub(crate) fn tree(pid: u32) -> Vec<u32> {
    let mut found = vec![pid];
    let mut next = 0;
    while let Some(&pid) = found.get(next).filter(|_| found.len() < PROCESSES_MAX) {
        next += 1;
        for task in tasks(pid) {
            // A thread that has just ended has no children.
            let children = read_to_string(format!("/proc/{pid}/task/{task}/children")).unwrap_or_default();
            found.extend(children.split_ascii_whitespace().filter_map(|child| child.parse::<u32>().ok()));
        }
    }
    found
}

/// CPU time of one process in nanoseconds; 0 if it has ended.
///
/// The scheduler's own account per thread has nanoseconds but forgets threads that have ended; that of the process has ticks of 10 ms and
/// forgets nothing. The former counts unless it lacks more than the latter's rounding.
pub(crate) fn cpu_ns(pid: u32) -> u64 {
    let of_task = |task| read_to_string(format!("/proc/{pid}/task/{task}/schedstat")).ok();
    let threads: u64 = tasks(pid).filter_map(of_task).filter_map(|text| parse_schedstat(&text)).sum();
    let process = ticks(pid) * TICK_NS;
    if process > threads + 2 * TICK_NS { process } else { threads }
}

/// CPU time of one process in ticks of 10 ms; 0 if it has ended.
pub(crate) fn ticks(pid: u32) -> u64 {
    read_to_string(format!("/proc/{pid}/stat")).ok().and_then(|text| parse_stat(&text)).unwrap_or(0)
}

/// How often a thread of this process has given its core away to wait, which is as often as it was woken.
pub(crate) fn wake_ups(pid: u32) -> u64 {
    let of_task = |task| read_to_string(format!("/proc/{pid}/task/{task}/status")).ok();
    tasks(pid).filter_map(of_task).filter_map(|text| parse_switches(&text)).sum()
}

/// Proportional set size of a process and all that it has started, in KiB.
pub(crate) fn pss_kib(pid: u32) -> u64 {
    let of = |pid| read_to_string(format!("/proc/{pid}/smaps_rollup")).ok();
    tree(pid).into_iter().filter_map(of).filter_map(|text| parse_pss(&text)).sum()
}

fn tasks(pid: u32) -> impl Iterator<Item = u32> {
    let entries = std::fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

/// First field: nanoseconds on a CPU.
fn parse_schedstat(text: &str) -> Option<u64> {
    text.split_ascii_whitespace().next()?.parse().ok()
}

/// Fields 14 and 15, user and system time. The second field is the program's name, which may hold anything, also parentheses.
fn parse_stat(text: &str) -> Option<u64> {
    let (_, rest) = text.rsplit_once(')')?;
    let mut fields = rest.split_ascii_whitespace().skip(11);
    let (user, system): (u64, u64) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
    Some(user + system)
}

fn parse_switches(text: &str) -> Option<u64> {
    text.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"))?.trim().parse().ok()
}

fn parse_pss(text: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix("Pss:"))?;
    line.trim().strip_suffix(" kB")?.parse().ok()
}

/// `USER_HZ` is 100 on Linux, whatever the kernel's own tick is.
const TICK_NS: u64 = 10_000_000;
/// No chain has as many; an end to a tree that grows while it is read.
const PROCESSES_MAX: usize = 1000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cpu_time_is_read_after_a_hostile_name() {
        let stat = "42 (a) b (c)) S 1 42 42 0 -1 4194560 100 0 0 0 123 45 7 8 20 0 9 0 100 1000 10 18446744073709551615";
        assert_eq!(parse_stat(stat), Some(168));
        assert_eq!(parse_stat("42 (x) S 1 42 42 0 -1 4194560 100 0 0 0 123"), None);
        assert_eq!(parse_stat(""), None);
    }

    #[test]
    fn schedstat_begins_with_time_on_a_cpu() {
        assert_eq!(parse_schedstat("123456789 44616 17\n"), Some(123_456_789));
        assert_eq!(parse_schedstat("\n"), None);
        assert_eq!(parse_schedstat("-1 0 0"), None);
    }

    #[test]
    fn the_proportional_size_is_not_mistaken_for_its_parts() {
        let text =
            "5581-7ffc [rollup]\nRss:   9000 kB\nPss_Dirty:   1 kB\nPss:      1234 kB\nPss_Anon:  2 kB\n";
        assert_eq!(parse_pss(text), Some(1234));
        assert_eq!(parse_pss("Rss: 1 kB\nPss_Anon: 2 kB\n"), None);
    }

    #[test]
    fn switches_that_somebody_else_forced_are_no_wake_ups() {
        let text = "Name:\tx\nvoluntary_ctxt_switches:\t150\nnonvoluntary_ctxt_switches:\t545\n";
        assert_eq!(parse_switches(text), Some(150));
        assert_eq!(parse_switches("nonvoluntary_ctxt_switches:\t545\n"), None);
    }

    #[test]
    fn this_process_has_used_time_and_memory() {
        let own = std::process::id();
        assert!(cpu_ns(own) > 0 && pss_kib(own) > 0);
        assert_eq!(tree(own).first(), Some(&own));
    }

    #[test]
    fn a_child_belongs_to_the_tree_until_it_ends() {
        let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        assert!(tree(std::process::id()).contains(&child.id()));
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(!tree(std::process::id()).contains(&child.id()));
        assert_eq!((cpu_ns(child.id()), ticks(child.id())), (0, 0));
    }
}

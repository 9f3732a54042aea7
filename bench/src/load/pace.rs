//! A constant rate: when each exchange is meant to start, whatever became of those before it.

use std::time::{Duration, Instant};

/// The intended starts of an open loop. Latency counts from them, so that an exchange that had to wait because the chain was busy
/// is told as late as its user would have seen it.
#[derive(Clone, Copy, Debug)]
pub struct Schedule {
    start: Instant,
    rate: f64,
}

impl Schedule {
    /// From `start` on, `rate` exchanges per second.
    #[must_use]
    pub fn new(start: Instant, rate: f64) -> Self {
        // A rate of nothing would divide by zero; once in a thousand seconds is as good as nothing.
        Self { start, rate: rate.max(0.001) }
    }

    /// When exchange `number` (from 0) is meant to start.
    #[must_use]
    pub fn intended(&self, number: u64) -> Instant {
        self.start + Duration::from_secs_f64(number as f64 / self.rate)
    }

    /// How long an exchange took that was meant to start as `number` and had ended at `end`.
    #[must_use]
    pub fn latency(&self, number: u64, end: Instant) -> Duration {
        end.saturating_duration_since(self.intended(number))
    }
}

/// Time, so that tests own it.
pub(crate) trait Clock {
    fn now(&self) -> Instant;
    /// Returns at that time or, as clocks do, later.
    fn sleep_until(&mut self, time: Instant);
}

/// Releases each exchange when it is due, all that are due at once, until `end`; how many were released.
pub(crate) fn release(
    schedule: &Schedule,
    end: Instant,
    clock: &mut impl Clock,
    mut each: impl FnMut(usize) -> bool,
) -> u64 {
    let mut released = 0;
    while schedule.intended(released) < end {
        clock.sleep_until(schedule.intended(released));
        let now = clock.now();
        let before = released;
        while schedule.intended(released) <= now && schedule.intended(released) < end {
            released += 1;
        }
        if !each((released - before) as usize) {
            break;
        }
    }
    released
}

/// The machine's clock.
pub(crate) struct Monotonic;

impl Clock for Monotonic {
    fn now(&self) -> Instant {
        Instant::now()
    }

    fn sleep_until(&mut self, time: Instant) {
        let left = time.saturating_duration_since(Instant::now());
        if !left.is_zero() {
            std::thread::sleep(left);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A clock that oversleeps each time by the next of `late`.
    struct Drowsy {
        now: Instant,
        late: Vec<Duration>,
    }

    impl Clock for Drowsy {
        fn now(&self) -> Instant {
            self.now
        }

        fn sleep_until(&mut self, time: Instant) {
            self.now = self.now.max(time) + self.late.pop().unwrap_or_default();
        }
    }

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn who_oversleeps_catches_up_and_keeps_the_intended_starts() {
        let start = Instant::now();
        let schedule = Schedule::new(start, 1000.0);
        let mut clock = Drowsy { now: start, late: vec![Duration::ZERO, MS * 5, Duration::ZERO] };
        let mut groups = Vec::new();
        let released = release(&schedule, start + MS * 10, &mut clock, |count| {
            groups.push(count);
            true
        });
        assert_eq!(released, 10, "the rate holds although the clock overslept");
        assert_eq!(groups, [1, 6, 1, 1, 1], "what is overdue is released at once");
        assert_eq!(schedule.intended(3), start + MS * 3, "and still counts from when it was due");
    }

    #[test]
    fn latency_counts_from_the_intended_start() {
        let start = Instant::now();
        let schedule = Schedule::new(start, 100.0);
        // A stall of 100 ms: ten exchanges end together, and only the last of them was quick.
        let end = start + MS * 100;
        let told: Vec<_> = (0..10).map(|number| schedule.latency(number, end).as_millis()).collect();
        assert_eq!(told, [100, 90, 80, 70, 60, 50, 40, 30, 20, 10]);
        assert_eq!(
            schedule.latency(11, end),
            Duration::ZERO,
            "ended before it was due: not possible, not negative"
        );
    }

    #[test]
    fn nobody_is_released_after_the_end() {
        let start = Instant::now();
        let mut clock = Drowsy { now: start, late: vec![MS * 500] };
        let schedule = Schedule::new(start, 1000.0);
        let mut groups = Vec::new();
        let released = release(&schedule, start + MS * 3, &mut clock, |count| {
            groups.push(count);
            true
        });
        assert_eq!(released, 3);
        assert_eq!(groups, [3]);
    }

    #[test]
    fn it_ends_when_nobody_takes_any_more() {
        let start = Instant::now();
        let mut clock = Drowsy { now: start, late: Vec::new() };
        assert_eq!(release(&Schedule::new(start, 1000.0), start + MS * 1000, &mut clock, |_| false), 1);
    }
}

//! Latencies by the time at which exchanges ended, and the longest time in which none did.

use std::ops::Range;
use std::time::{Duration, Instant};

use crate::Histogram;

/// Slices of one length from the start of a measurement on.
#[derive(Debug)]
pub(crate) struct Timeline {
    start: Instant,
    slice: Duration,
    slices: Vec<Slice>,
    last_end: Instant,
}

/// What happened in some time.
#[derive(Clone, Debug, Default)]
pub(crate) struct Slice {
    pub(crate) latency: Histogram,
    /// Longest time until an exchange ended here since the one before had ended.
    pub(crate) gap: Duration,
}

impl Timeline {
    pub(crate) fn new(start: Instant, slice: Duration) -> Self {
        Self { start, slice: slice.max(Duration::from_millis(1)), slices: Vec::new(), last_end: start }
    }

    /// An exchange that ended then.
    pub(crate) fn add(&mut self, end: Instant, latency: Duration) {
        let place = (end.saturating_duration_since(self.start).as_nanos() / self.slice.as_nanos()) as usize;
        let place = place.min(SLICES_MAX);
        if self.slices.len() <= place {
            self.slices.resize_with(place + 1, Slice::default);
        }
        if let Some(slice) = self.slices.get_mut(place) {
            slice.latency.add(latency);
            slice.gap = slice.gap.max(end.saturating_duration_since(self.last_end));
        }
        self.last_end = self.last_end.max(end);
    }

    /// What happened within any of the times, and what happened otherwise.
    pub(crate) fn split(&self, within: &[Range<Instant>]) -> [Slice; 2] {
        let mut sides = [Slice::default(), Slice::default()];
        for (number, slice) in (0..).zip(&self.slices) {
            let start = self.start + self.slice * number;
            let inside = within.iter().any(|time| start < time.end && time.start < start + self.slice);
            let [first, second] = &mut sides;
            let side = if inside { first } else { second };
            side.latency.merge(&slice.latency);
            side.gap = side.gap.max(slice.gap);
        }
        sides
    }
}

/// An hour of seconds: no measurement is as long.
const SLICES_MAX: usize = 3600;

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn a_stall_is_told_from_the_rest() {
        let start = Instant::now();
        let mut timeline = Timeline::new(start, MS * 100);
        for time in (10..1000).step_by(10).filter(|time| !(400..490).contains(time)) {
            timeline.add(start + MS * time, if time == 490 { MS * 90 } else { MS });
        }
        let [inside, rest] = timeline.split(&[start + MS * 420..start + MS * 430]);
        assert_eq!((inside.latency.count(), inside.gap), (1, MS * 100), "from 390 to 490");
        assert_eq!((rest.latency.count(), rest.gap), (89, MS * 10));
        assert!(inside.latency.quantile(0.99) >= MS * 90 && rest.latency.quantile(0.99) < MS * 2);
    }

    #[test]
    fn nothing_happens_outside_of_all_times() {
        let start = Instant::now();
        let mut timeline = Timeline::new(start, MS);
        timeline.add(start, MS);
        let [inside, rest] = timeline.split(&[]);
        assert_eq!((inside.latency.count(), rest.latency.count()), (0, 1));
    }
}

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

    /// What happened within any of the times, and what happened otherwise. The gap otherwise is the median of those of stretches as long as the times
    /// together: of a longer time the longest gap alone would be longer.
    pub(crate) fn split(&self, within: &[Range<Instant>]) -> [Slice; 2] {
        let is_inside = |number: u32| {
            let start = self.start + self.slice * number;
            within.iter().any(|time| start < time.end && time.start < start + self.slice)
        };
        let (inside, rest): (Vec<_>, Vec<_>) =
            (0..).zip(&self.slices).partition(|(number, _)| is_inside(*number));
        let merged = |slices: &[(u32, &Slice)]| {
            let mut sum = Slice::default();
            for (_, slice) in slices {
                sum.latency.merge(&slice.latency);
                sum.gap = sum.gap.max(slice.gap);
            }
            sum
        };
        let mut gaps: Vec<Duration> = rest.chunks(inside.len().max(1)).map(|some| merged(some).gap).collect();
        gaps.sort_unstable();
        let median = gaps.get(gaps.len() / 2).copied().unwrap_or_default();
        [merged(&inside), Slice { gap: median, ..merged(&rest) }]
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
    fn the_usual_gap_is_that_of_stretches_as_long_as_the_watched_time() {
        let start = Instant::now();
        let mut timeline = Timeline::new(start, MS * 100);
        // One long gap in the rest does not excuse one within.
        for time in
            (10..1000).step_by(10).filter(|time| !(110..190).contains(time) && !(510..590).contains(time))
        {
            timeline.add(start + MS * time, MS);
        }
        let [inside, rest] = timeline.split(&[start + MS * 520..start + MS * 530]);
        assert_eq!((inside.gap, rest.gap), (MS * 90, MS * 10));
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

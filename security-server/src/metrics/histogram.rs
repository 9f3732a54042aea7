//! Durations in buckets.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::line;

/// Counts durations. Adding costs two atomic additions and no lock.
pub(super) struct Histogram {
    /// Upper bounds of the buckets in microseconds.
    bounds_us: &'static [u64],
    /// Durations in each bucket, not added up; the last one is for all that took longer.
    counts: Vec<AtomicU64>,
    sum_ns: AtomicU64,
}

impl Histogram {
    pub(super) fn new(bounds_us: &'static [u64]) -> Self {
        let counts = (0..=bounds_us.len()).map(|_| AtomicU64::new(0)).collect();
        Self { bounds_us, counts, sum_ns: AtomicU64::new(0) }
    }

    pub(super) fn add(&self, duration: Duration) {
        let place = self.bounds_us.iter().position(|bound| duration <= Duration::from_micros(*bound));
        if let Some(count) = self.counts.get(place.unwrap_or(self.bounds_us.len())) {
            count.fetch_add(1, Ordering::Relaxed);
        }
        self.sum_ns.fetch_add(u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.counts.iter().all(|count| count.load(Ordering::Relaxed) == 0)
    }

    /// In the text format; `labels` as in `side="consumer"`.
    pub(super) fn render(&self, out: &mut String, name: &str, labels: &str) {
        let mut sum = 0;
        for (place, count) in self.counts.iter().enumerate() {
            sum += count.load(Ordering::Relaxed);
            let bound = self.bounds_us.get(place);
            let bound =
                bound.map_or("+Inf".to_owned(), |us| Duration::from_micros(*us).as_secs_f64().to_string());
            line(out, &format!("{name}_bucket{{{labels},le=\"{bound}\"}} {sum}"));
        }
        let total = Duration::from_nanos(self.sum_ns.load(Ordering::Relaxed)).as_secs_f64();
        line(out, &format!("{name}_sum{{{labels}}} {total}"));
        line(out, &format!("{name}_count{{{labels}}} {sum}"));
    }
}

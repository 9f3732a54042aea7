//! Latencies counted in buckets whose width grows with the value, so that every quantile is at most 1 % off at any scale.

use std::time::Duration;

/// Counts of durations from a nanosecond to eighteen minutes; longer ones count as that.
#[derive(Clone, Debug)]
pub struct Histogram {
    counts: Vec<u64>,
    total: u64,
    sum_ns: u128,
    max_ns: u64,
}

impl Default for Histogram {
    fn default() -> Self {
        Self { counts: vec![0; BUCKETS], total: 0, sum_ns: 0, max_ns: 0 }
    }
}

impl Histogram {
    /// Counts one duration.
    pub fn add(&mut self, duration: Duration) {
        let ns = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX).min(MAX_NS);
        if let Some(count) = self.counts.get_mut(bucket(ns)) {
            *count += 1;
        }
        self.total += 1;
        self.sum_ns += u128::from(ns);
        self.max_ns = self.max_ns.max(ns);
    }

    /// Adds all that another one has counted.
    pub(crate) fn merge(&mut self, other: &Self) {
        self.counts.iter_mut().zip(&other.counts).for_each(|(count, more)| *count += more);
        self.total += other.total;
        self.sum_ns += other.sum_ns;
        self.max_ns = self.max_ns.max(other.max_ns);
    }

    /// How many were counted.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.total
    }

    /// The duration that `share` (0 to 1) of all did not exceed, rounded up by less than 1 %; zero if nothing was counted.
    #[must_use]
    pub fn quantile(&self, share: f64) -> Duration {
        let rank = ((self.total as f64 * share).ceil() as u64).clamp(1, self.total.max(1));
        let mut seen = 0;
        for (place, count) in self.counts.iter().enumerate() {
            seen += count;
            if seen >= rank {
                return Duration::from_nanos(highest(place).min(self.max_ns));
            }
        }
        Duration::ZERO
    }

    /// The exact mean; zero if nothing was counted.
    #[must_use]
    pub fn mean(&self) -> Duration {
        let mean = self.sum_ns.checked_div(u128::from(self.total)).unwrap_or(0);
        Duration::from_nanos(u64::try_from(mean).unwrap_or(u64::MAX))
    }

    /// The longest.
    #[must_use]
    pub fn max(&self) -> Duration {
        Duration::from_nanos(self.max_ns)
    }
}

/// Where a value is counted: exactly below [`STEPS`], then in as many equal steps between each power of two and the next.
fn bucket(ns: u64) -> usize {
    if ns < STEPS {
        return ns as usize;
    }
    let shift = ns.ilog2() - STEPS.ilog2();
    (u64::from(shift) * STEPS + (ns >> shift)) as usize
}

/// Largest value that is counted there.
fn highest(bucket: usize) -> u64 {
    let bucket = bucket as u64;
    if bucket < STEPS {
        return bucket;
    }
    let shift = bucket / STEPS - 1;
    let step = bucket - shift * STEPS;
    ((step + 1) << shift) - 1
}

/// Steps between two powers of two: a bucket is at most 1/128 wider than its lowest value.
const STEPS: u64 = 128;
/// Eighteen minutes: no exchange is given longer.
const MAX_NS: u64 = (1 << 40) - 1;
const BUCKETS: usize = ((40 - 7) + 1) * STEPS as usize;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_is_told_at_most_one_percent_too_high() {
        for ns in (0..40).flat_map(|bit| [(1_u64 << bit) - 1, 1 << bit, (1 << bit) + (1 << bit) / 3]) {
            let mut histogram = Histogram::default();
            histogram.add(Duration::from_nanos(ns));
            // A longer one, so that the known maximum does not help.
            histogram.add(Duration::from_nanos(MAX_NS));
            let told = histogram.quantile(0.5).as_nanos() as u64;
            assert!(told >= ns && told - ns <= ns / 100, "{ns} was told as {told}");
        }
    }

    #[test]
    fn buckets_follow_each_other_without_gap_or_overlap() {
        for place in 0..BUCKETS - 1 {
            assert_eq!(bucket(highest(place)), place);
            assert_eq!(bucket(highest(place) + 1), place + 1);
        }
        assert_eq!(bucket(MAX_NS), BUCKETS - 1);
    }

    #[test]
    fn quantiles_count_from_the_shortest() {
        let mut histogram = Histogram::default();
        (1..=100).for_each(|ns| histogram.add(Duration::from_nanos(ns)));
        assert_eq!(histogram.quantile(0.0), Duration::from_nanos(1));
        assert_eq!(histogram.quantile(0.5), Duration::from_nanos(50));
        assert_eq!(histogram.quantile(0.99), Duration::from_nanos(99));
        assert_eq!(histogram.quantile(1.0), Duration::from_nanos(100));
        assert_eq!(histogram.mean(), Duration::from_nanos(50));
        assert_eq!((histogram.count(), histogram.max()), (100, Duration::from_nanos(100)));
    }

    #[test]
    fn nothing_counted_is_no_time() {
        let histogram = Histogram::default();
        assert_eq!((histogram.quantile(0.99), histogram.mean()), (Duration::ZERO, Duration::ZERO));
    }

    #[test]
    fn an_hour_counts_as_the_longest_that_can_be_told() {
        let mut histogram = Histogram::default();
        histogram.add(Duration::from_secs(3600));
        assert_eq!((histogram.count(), histogram.max()), (1, Duration::from_nanos(MAX_NS)));
        assert_eq!(histogram.quantile(1.0), Duration::from_nanos(MAX_NS));
    }
}

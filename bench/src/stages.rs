//! Where an exchange's time goes, as the security servers themselves tell it: the difference of two readings of their metrics.

/// One stage between two readings.
#[derive(Clone, Debug, PartialEq)]
pub struct Stage {
    /// Its labels, as the metrics have them: `side="consumer",stage="sign"`.
    pub labels: String,
    /// How often it was passed.
    pub count: f64,
    /// How long that took on average, in microseconds.
    pub mean_us: f64,
    /// Its part of the time of all stages.
    pub share: f64,
}

/// The stages of which there were any, those that took most first; none if the server does not count stages.
#[must_use]
pub fn stages(before: &str, after: &str) -> Vec<Stage> {
    let grown = |suffix: &str| -> Vec<(String, f64)> {
        let earlier = series(before, suffix);
        let since =
            |labels: &str| earlier.iter().find(|(known, _)| known == labels).map_or(0.0, |(_, value)| *value);
        series(after, suffix)
            .into_iter()
            .map(|(labels, value)| (labels.clone(), value - since(&labels)))
            .collect()
    };
    let (sums, counts) = (grown("_sum"), grown("_count"));
    let all: f64 = sums.iter().map(|(_, seconds)| seconds).sum();
    let mut stages: Vec<Stage> = sums
        .into_iter()
        .filter_map(|(labels, seconds)| {
            let count = counts.iter().find(|(known, _)| *known == labels).map(|(_, count)| *count)?;
            (count > 0.0).then(|| Stage {
                labels,
                count,
                mean_us: seconds * 1e6 / count,
                share: seconds / all,
            })
        })
        .collect();
    stages.sort_by(|a, b| b.share.total_cmp(&a.share));
    stages
}

/// Labels and values of `kogge_stage_seconds` with this suffix, from the Prometheus text format.
fn series(metrics: &str, suffix: &str) -> Vec<(String, f64)> {
    let value = |line: &str| {
        let rest = line.strip_prefix(NAME)?.strip_prefix(suffix)?.strip_prefix('{')?;
        let (labels, value) = rest.rsplit_once("} ")?;
        Some((labels.to_owned(), value.parse().ok()?))
    };
    metrics.lines().filter_map(value).collect()
}

const NAME: &str = "kogge_stage_seconds";

#[cfg(test)]
mod tests {
    use super::*;

    const BEFORE: &str =
        "kogge_stage_seconds_sum{stage=\"sign\"} 1\nkogge_stage_seconds_count{stage=\"sign\"} 10\n";
    const AFTER: &str = "# TYPE kogge_stage_seconds histogram\n\
        kogge_stage_seconds_bucket{stage=\"sign\",le=\"+Inf\"} 110\n\
        kogge_stage_seconds_sum{stage=\"sign\"} 1.5\nkogge_stage_seconds_count{stage=\"sign\"} 110\n\
        kogge_stage_seconds_sum{stage=\"append\"} 1.5\nkogge_stage_seconds_count{stage=\"append\"} 100\n\
        kogge_stage_seconds_sum{stage=\"idle\"} 0\nkogge_stage_seconds_count{stage=\"idle\"} 0\n\
        kogge_stage_seconds_sum_of_others{stage=\"x\"} 9\nkogge_exchange_duration_seconds_sum{side=\"consumer\"} 7\n";

    #[test]
    fn what_has_grown_is_shared_out() {
        let found = stages(BEFORE, AFTER);
        let told: Vec<_> =
            found.iter().map(|stage| (stage.labels.as_str(), stage.count, stage.share)).collect();
        assert_eq!(told, [("stage=\"append\"", 100.0, 0.75), ("stage=\"sign\"", 100.0, 0.25)]);
        assert!((found[0].mean_us - 15_000.0).abs() < 1e-6 && (found[1].mean_us - 5000.0).abs() < 1e-6);
    }

    #[test]
    fn a_server_that_does_not_tell_has_no_stages() {
        assert_eq!(stages("", "kogge_ready 1\n"), []);
        assert_eq!(stages(AFTER, AFTER), [], "nothing happened in between");
    }
}

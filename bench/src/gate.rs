//! Whether a run had the machine for itself. One that had not is made again, within bounds, and never counts.

/// Decides about the runs of a series.
#[derive(Clone, Debug)]
pub(crate) struct Gate {
    others_max_pct: f64,
    /// The best calibration so far, in MB/s.
    best: f64,
    /// How many runs may still be made again.
    repeats_left: u32,
    discarded: Discarded,
}

/// Runs that did not count, by what was wrong.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Discarded {
    /// Others used too much of the machine.
    pub(crate) others: u64,
    /// The calibration just before was too far from the best.
    pub(crate) calibration: u64,
}

/// What a run is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Verdict {
    Alone,
    BesideOthers,
    Slow,
}

impl Gate {
    /// With `others_max_pct` of 100 or more every run counts.
    pub(crate) fn new(others_max_pct: f64, repeats: u32) -> Self {
        Self { others_max_pct, best: 0.0, repeats_left: repeats, discarded: Discarded::default() }
    }

    /// Calibrates until the machine is near its best, within [`CALIBRATIONS_MAX`] tries, so that no run is made that cannot count; the last reading.
    pub(crate) fn calibrate(&mut self, mut reading: impl FnMut() -> f64) -> f64 {
        let mut tries = 1;
        loop {
            let found = reading();
            self.best = self.best.max(found);
            if !self.is_slow(found) || tries == CALIBRATIONS_MAX {
                return found;
            }
            tries += 1;
        }
    }

    /// Whether a run counts.
    pub(crate) fn judge(&mut self, others_pct: f64, calibration: f64) -> Verdict {
        if self.takes_all() {
            Verdict::Alone
        } else if others_pct > self.others_max_pct {
            self.discarded.others += 1;
            Verdict::BesideOthers
        } else if self.is_slow(calibration) {
            self.discarded.calibration += 1;
            Verdict::Slow
        } else {
            Verdict::Alone
        }
    }

    /// Whether one more run may be made instead of one that does not count.
    pub(crate) fn may_repeat(&mut self) -> bool {
        let left = self.repeats_left.checked_sub(1);
        self.repeats_left = left.unwrap_or(0);
        left.is_some()
    }

    pub(crate) fn discarded(&self) -> Discarded {
        self.discarded
    }

    fn takes_all(&self) -> bool {
        self.others_max_pct >= 100.0
    }

    fn is_slow(&self, calibration: f64) -> bool {
        !self.takes_all() && calibration < self.best * CALIBRATION_MIN
    }
}

impl Discarded {
    pub(crate) fn count(self) -> u64 {
        self.others + self.calibration
    }
}

/// Share of the best calibration that a run must have had.
const CALIBRATION_MIN: f64 = 0.93;
/// Tries of a third of a second for a moment at which the machine is ours.
const CALIBRATIONS_MAX: u32 = 6;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_beside_others_does_not_count_and_neither_does_a_slow_one() {
        let mut gate = Gate::new(5.0, 9);
        assert!((gate.calibrate(|| 1000.0) - 1000.0).abs() < 1e-9);
        assert_eq!(gate.judge(5.0, 930.0), Verdict::Alone, "both bounds are allowed");
        assert_eq!(gate.judge(5.1, 1000.0), Verdict::BesideOthers);
        assert_eq!(gate.judge(0.0, 929.0), Verdict::Slow);
        assert_eq!(gate.discarded(), Discarded { others: 1, calibration: 1 });
    }

    #[test]
    fn calibration_waits_for_the_machine_and_not_for_ever() {
        let mut gate = Gate::new(5.0, 9);
        gate.calibrate(|| 1000.0);
        let mut readings = [500.0, 600.0, 940.0, 1000.0].into_iter();
        assert!((gate.calibrate(|| readings.next().unwrap()) - 940.0).abs() < 1e-9);
        let mut readings = 0;
        gate.calibrate(|| {
            readings += 1;
            1.0
        });
        assert_eq!(readings, CALIBRATIONS_MAX);
    }

    #[test]
    fn a_better_calibration_raises_the_bar() {
        let mut gate = Gate::new(5.0, 9);
        gate.calibrate(|| 500.0);
        assert_eq!(gate.judge(0.0, 500.0), Verdict::Alone);
        gate.calibrate(|| 1000.0);
        assert_eq!(gate.judge(0.0, 500.0), Verdict::Slow);
    }

    #[test]
    fn repeats_are_bounded() {
        let mut gate = Gate::new(5.0, 2);
        assert_eq!(
            [gate.may_repeat(), gate.may_repeat(), gate.may_repeat(), gate.may_repeat()],
            [true, true, false, false]
        );
    }

    #[test]
    fn who_takes_every_run_calibrates_once() {
        let mut gate = Gate::new(100.0, 0);
        gate.calibrate(|| 1000.0);
        let mut readings = 0;
        gate.calibrate(|| {
            readings += 1;
            1.0
        });
        assert_eq!((readings, gate.judge(99.0, 1.0), gate.discarded().count()), (1, Verdict::Alone, 0));
    }
}

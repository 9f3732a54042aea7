//! The verdict of a verification: every check by name, with its outcome and reason.

use std::fmt;

use serde::Serialize;

/// What one check found.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// It holds.
    Passed,
    /// It does not hold: the evidence must not be believed.
    Failed,
    /// It cannot be said, because something that it needs is missing or has failed. Not good enough to believe.
    Indeterminate,
}

impl Outcome {
    /// The word that text reports use.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Passed => "PASS",
            Self::Failed => "FAIL",
            Self::Indeterminate => "UNSURE",
        }
    }
}

/// One check.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct Check {
    /// Stable dotted name, e.g. `signature.value`.
    pub name: &'static str,
    /// What was found.
    pub outcome: Outcome,
    /// Why, in a sentence for people.
    pub reason: String,
}

/// All checks in the order in which they were made.
#[derive(Clone, Debug, Default, Eq, PartialEq, Serialize)]
#[must_use]
pub struct Report {
    /// The checks.
    pub checks: Vec<Check>,
}

impl Report {
    /// An empty report, which has not passed.
    pub fn new() -> Self {
        Self::default()
    }

    /// Whether there is at least one check and every check passed.
    #[must_use]
    pub fn passed(&self) -> bool {
        !self.checks.is_empty() && self.checks.iter().all(|check| check.outcome == Outcome::Passed)
    }

    /// The checks that failed.
    pub fn failed(&self) -> impl Iterator<Item = &Check> {
        self.checks.iter().filter(|check| check.outcome == Outcome::Failed)
    }

    /// The outcome of the check with this name, if it was made.
    #[must_use]
    pub fn outcome(&self, name: &str) -> Option<Outcome> {
        self.checks.iter().find(|check| check.name == name).map(|check| check.outcome)
    }

    /// Records that the check `name` holds.
    pub fn pass(&mut self, name: &'static str, reason: impl Into<String>) {
        self.add(name, Outcome::Passed, reason.into());
    }

    /// Records that the check `name` does not hold.
    pub fn fail(&mut self, name: &'static str, reason: impl Into<String>) {
        self.add(name, Outcome::Failed, reason.into());
    }

    /// Records that the check `name` could not be decided.
    pub fn unsure(&mut self, name: &'static str, reason: impl Into<String>) {
        self.add(name, Outcome::Indeterminate, reason.into());
    }

    fn add(&mut self, name: &'static str, outcome: Outcome, reason: String) {
        self.checks.push(Check { name, outcome, reason });
    }
}

/// One aligned line per check: `PASS    signature.value    …`.
impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = self.checks.iter().map(|check| check.name.len()).max().unwrap_or(0);
        for check in &self.checks {
            // A reason may quote the evidence; a line break in it would forge a line of the report.
            let reason: String = check.reason.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
            writeln!(f, "{:<6}  {:<width$}  {reason}", check.outcome.word(), check.name)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_report_of_passes_passes() {
        let mut report = Report::new();
        assert!(!report.passed());
        report.pass("signature.value", "the signature is good");
        assert!(report.passed());
        report.unsure("timestamp.tree", "there is no\nPASS");
        assert!(!report.passed());
        assert_eq!(report.failed().count(), 0);
        report.fail("message.parse", "no");
        assert_eq!(report.failed().count(), 1);
        assert_eq!(
            report.to_string(),
            "PASS    signature.value  the signature is good\nUNSURE  timestamp.tree   there is no PASS\nFAIL    message.parse    no\n"
        );
        let json = serde_json::to_value(&report).unwrap();
        assert_eq!(json["checks"][1]["outcome"], "indeterminate");
    }
}

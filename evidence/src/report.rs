//! The verdict of a verification: every check by name, with its outcome and reason.

mod clause;

use std::fmt;

use serde::ser::{Serialize, SerializeStruct, Serializer};

pub use clause::{CLAUSES, clause};

/// What one check found.
#[derive(Clone, Copy, Debug, Eq, PartialEq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It holds.
    Passed,
    /// It does not hold: the evidence must not be believed.
    Failed,
    /// It cannot be said, because something that it needs is missing or has failed. Not good enough to believe.
    Indeterminate,
    /// It has no meaning for this kind of evidence: nothing is said, for or against it.
    NotApplicable,
}

impl Outcome {
    /// The word that text reports use.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Passed => "PASS",
            Self::Failed => "FAIL",
            Self::Indeterminate => "UNSURE",
            Self::NotApplicable => "N/A",
        }
    }
}

/// One check. Serialized with its clause.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Check {
    /// Stable dotted name, e.g. `signature.value`.
    pub name: &'static str,
    /// What was found.
    pub outcome: Outcome,
    /// Why, in a sentence for people.
    pub reason: String,
}

impl Serialize for Check {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut fields = serializer.serialize_struct("Check", 4)?;
        fields.serialize_field("name", self.name)?;
        fields.serialize_field("outcome", &self.outcome)?;
        fields.serialize_field("reason", &self.reason)?;
        fields.serialize_field("clause", &clause(self.name))?;
        fields.end()
    }
}

/// All checks in the order in which they were made.
#[derive(Clone, Debug, Default, Eq, PartialEq, serde::Serialize)]
#[must_use]
pub struct Report {
    /// The checks.
    pub checks: Vec<Check>,
    /// From which check on they are about which file, where there are several signatures.
    #[serde(skip)]
    sections: Vec<(usize, Option<String>)>,
}

impl Report {
    /// An empty report, which has not passed.
    pub fn new() -> Self {
        Self::default()
    }

    /// Whether at least one check passed, and every check that is applicable did.
    #[must_use]
    pub fn passed(&self) -> bool {
        let any = self.checks.iter().any(|check| check.outcome == Outcome::Passed);
        any && self
            .checks
            .iter()
            .all(|check| matches!(check.outcome, Outcome::Passed | Outcome::NotApplicable))
    }

    /// Says that the checks from here on are about this signature file; `None`: about the whole again.
    pub fn begin_section(&mut self, file: Option<&str>) {
        self.sections.push((self.checks.len(), file.map(str::to_owned)));
    }

    /// The checks with the signature file that each is about, where there are several.
    pub fn with_files(&self) -> impl Iterator<Item = (Option<&str>, &Check)> {
        self.checks.iter().enumerate().map(|(index, check)| {
            let section = self.sections.iter().rev().find(|(start, _)| *start <= index);
            (section.and_then(|(_, file)| file.as_deref()), check)
        })
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

    /// Records that the check `name` has no meaning here.
    pub fn not_applicable(&mut self, name: &'static str, reason: impl Into<String>) {
        self.add(name, Outcome::NotApplicable, reason.into());
    }

    fn add(&mut self, name: &'static str, outcome: Outcome, reason: String) {
        self.checks.push(Check { name, outcome, reason });
    }
}

/// One aligned line per check: `PASS    signature.value    …`.
impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = self.checks.iter().map(|check| check.name.len()).max().unwrap_or(0);
        let mut about = None;
        for (file, check) in self.with_files() {
            if file != about {
                about = file;
                let file = file.map_or_else(|| "the whole".to_owned(), one_line);
                writeln!(f, "        {file}:")?;
            }
            // A reason may quote the evidence; a line break in it would forge a line of the report.
            let reason = one_line(&check.reason);
            writeln!(f, "{:<6}  {:<width$}  {reason}", check.outcome.word(), check.name)?;
        }
        Ok(())
    }
}

fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
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
        assert_eq!(json["checks"][1]["clause"], "RFC 4998 section 4.3");
    }

    #[test]
    fn what_is_not_applicable_neither_passes_nor_fails() {
        let mut report = Report::new();
        report.not_applicable("signer.member", "no message");
        assert!(!report.passed());
        report.pass("signature.value", "good");
        assert!(report.passed());
        assert_eq!(serde_json::to_value(Outcome::NotApplicable).unwrap(), "not_applicable");
    }

    #[test]
    fn checks_of_several_signatures_say_which_they_are_about() {
        let mut report = Report::new();
        report.pass("container.zip", "good");
        report.begin_section(Some("META-INF/s\nPASS"));
        report.pass("signature.value", "good");
        report.begin_section(None);
        report.pass("container.coverage", "good");
        let files: Vec<Option<&str>> = report.with_files().map(|(file, _)| file).collect();
        assert_eq!(files, [None, Some("META-INF/s\nPASS"), None]);
        assert!(
            report.to_string().contains("        META-INF/s PASS:\nPASS    signature.value "),
            "{report}"
        );
        assert!(report.to_string().contains("        the whole:\nPASS    container.coverage "), "{report}");
    }
}

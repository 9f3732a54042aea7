//! What was found about each goal.

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::table::{Bound, GOALS, Goal};
use crate::spread::Spread;

/// Goals with what was measured, in the order of the table.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Findings(Vec<Finding>);

/// One goal and what was found.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Finding {
    pub(crate) goal: &'static Goal,
    /// Nothing if no run counted.
    pub(crate) found: Option<Spread>,
    /// Pairs that did not count.
    pub(crate) discarded: usize,
    /// More that is to be said, or nothing.
    pub(crate) note: String,
}

impl Findings {
    /// Adds the values of the goal of this name, one for each pair or repetition that counts; `discarded` did not. A name that is not in the table is left out.
    pub fn add(&mut self, id: &str, case: &str, values: Vec<f64>, discarded: usize) {
        self.add_with_note(id, case, values, discarded, String::new());
    }

    /// As [`Findings::add`], with a word for people.
    pub fn add_with_note(&mut self, id: &str, case: &str, values: Vec<f64>, discarded: usize, note: String) {
        let found = Spread::of(values);
        let goal = GOALS.iter().find(|goal| goal.id == id && goal.case == case);
        debug_assert!(goal.is_some(), "no goal {id} {case}");
        if let Some(goal) = goal.filter(|_| found.is_some() || discarded > 0) {
            self.0.push(Finding { goal, found, discarded, note });
        }
    }

    /// Takes in all others.
    pub fn extend(&mut self, others: Self) {
        self.0.extend(others.0);
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Finding> {
        GOALS.iter().flat_map(|goal| self.0.iter().filter(move |finding| std::ptr::eq(finding.goal, goal)))
    }

    /// For people.
    #[must_use]
    pub fn table(&self) -> String {
        let mut out = String::new();
        for finding in self.iter() {
            // Writing into a String cannot fail.
            let _ = writeln!(out, "{}", finding.line());
        }
        out
    }

    /// The same as a table in Markdown.
    #[must_use]
    pub fn markdown(&self) -> String {
        let mut out = "| id | setting | what | goal | found: median [least–most] | pairs, not counted | |\n|---|---|---|---|---|---|---|\n".to_owned();
        for finding in self.iter() {
            let Goal { id, case, what, .. } = finding.goal;
            let (count, discarded, verdict) = (finding.count(), finding.discarded, finding.verdict());
            let _ = writeln!(
                out,
                "| {id} | {case} | {what} | {} | {} | {count}, {discarded} | {verdict} |",
                finding.bound(),
                finding.value()
            );
        }
        out
    }

    /// For programs.
    #[must_use]
    pub fn json(&self) -> Value {
        self.iter().map(Finding::json).collect()
    }
}

impl Finding {
    /// Whether the median meets the goal; nothing if there is none.
    pub(crate) fn met(&self) -> Option<bool> {
        self.found.map(|found| self.goal.bound.holds(found.median))
    }

    fn verdict(&self) -> &'static str {
        match self.met() {
            Some(true) => "met",
            Some(false) => "MISSED",
            None => "not decided",
        }
    }

    fn bound(&self) -> String {
        let unit = self.goal.unit;
        let unit = if unit == "ratio" { String::new() } else { format!(" {unit}") };
        match self.goal.bound {
            Bound::AtLeast(bound) => format!("≥ {bound}{unit}"),
            Bound::AtMost(bound) => format!("≤ {bound}{unit}"),
        }
    }

    fn value(&self) -> String {
        let Some(Spread { median, min, max, .. }) = self.found else { return "–".to_owned() };
        let note = if self.note.is_empty() { String::new() } else { format!("; {}", self.note) };
        format!("{} [{}–{}]{note}", short(median), short(min), short(max))
    }

    fn count(&self) -> usize {
        self.found.map_or(0, |found| found.count)
    }

    fn line(&self) -> String {
        let Goal { id, case, what, .. } = self.goal;
        let (bound, value, verdict) = (self.bound(), self.value(), self.verdict());
        let (count, discarded) = (self.count(), self.discarded);
        format!(
            "{id:<3} {case:<16} {what:<56} {bound:<18} {verdict:<12} {value}  ({count} counted, {discarded} not)"
        )
    }

    fn json(&self) -> Value {
        let Goal { id, case, what, unit, bound } = self.goal;
        let (bound, value) = match bound {
            Bound::AtLeast(bound) => ("at_least", bound),
            Bound::AtMost(bound) => ("at_most", bound),
        };
        json!({
            "id": id, "case": case, "what": what, "unit": unit, bound: value, "met": self.met(),
            "median": self.found.map(|found| found.median),
            "min": self.found.map(|found| found.min),
            "max": self.found.map(|found| found.max),
            "counted": self.count(), "not_counted": self.discarded, "note": self.note,
        })
    }
}

/// Three significant digits.
fn short(value: f64) -> String {
    match value.abs() {
        size if size >= 100.0 => format!("{value:.0}"),
        size if size >= 10.0 => format!("{value:.1}"),
        size if size >= 1.0 => format!("{value:.2}"),
        _ => format!("{value:.3}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_decides() {
        let mut findings = Findings::default();
        findings.add("R1", "c=16", vec![0.9, 0.98, 0.97], 1);
        findings.add("M3", "binary", vec![21.0], 0);
        findings.add("T1", "c=64", Vec::new(), 7);
        let told: Vec<_> = findings.iter().map(|finding| (finding.goal.id, finding.met())).collect();
        assert_eq!(
            told,
            [("T1", None), ("M3", Some(false)), ("R1", Some(true))],
            "in the order of the table"
        );
    }

    #[test]
    fn what_was_not_measured_is_not_told() {
        let mut findings = Findings::default();
        findings.add("R1", "c=16", Vec::new(), 0);
        assert_eq!(findings, Findings::default());
    }

    #[test]
    fn each_line_says_goal_value_pairs_and_verdict() {
        let mut findings = Findings::default();
        findings.add("L2", "c=16", vec![2.0, 4.0, 3.5], 2);
        let table = findings.table();
        for part in ["L2 ", "≤ 3", "3.50 [2.00–4.00]", "3 counted, 2 not", "MISSED"] {
            assert!(table.contains(part), "{part}: {table}");
        }
        assert!(findings.markdown().ends_with("| ≤ 3 | 3.50 [2.00–4.00] | 3, 2 | MISSED |\n"));
        assert_eq!(findings.json()[0]["met"], false);
    }

    #[test]
    fn small_values_keep_their_digits() {
        assert_eq!([0.0123, 0.97, 1.234, 12.34, 123.4].map(short), ["0.012", "0.970", "1.23", "12.3", "123"]);
    }
}

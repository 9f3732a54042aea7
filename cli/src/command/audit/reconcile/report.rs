//! What was found, for people and for programs.

use std::io::{self, Write};

use kogge_message_log::Damage;
use serde::{Serialize, Serializer};
use serde_json::{Value, json};

use super::Log;
use super::judge::{Finding, Judgement, Scope, What};
use super::reading::FoundLog;
use super::row::{Detail, Side};
use crate::output::line;

/// All that is to be told.
pub(super) struct Report<'a> {
    pub(super) logs: &'a [Log; 2],
    pub(super) found: [FoundLog; 2],
    pub(super) scope: Scope,
    pub(super) judgement: Judgement,
    /// Sorted by exchange.
    pub(super) details: Vec<Detail>,
}

impl Report<'_> {
    /// Whether both logs are whole and say the same.
    pub(super) fn matched(&self) -> bool {
        self.judgement.is_clean() && self.found.iter().all(|found| found.damage.is_empty())
    }

    /// For people: a line for each finding, after a summary.
    pub(super) fn print(&self, out: &mut dyn Write) -> io::Result<()> {
        let Judgement { findings, undecided, matched, unanswered, with_others } = &self.judgement;
        for (log, found) in self.logs.iter().zip(&self.found) {
            let reach =
                found.reach.map_or_else(String::new, |reach| format!(" of {} to {}", reach.from, reach.to));
            writeln!(out, "{log}: log of {}, {} records{reach}", line(&log.server), found.records)?;
        }
        let word = if self.matched() { "MATCHED" } else { "NOT MATCHED" };
        let damages: usize = self.found.iter().map(|found| found.damage.len()).sum();
        writeln!(
            out,
            "{word}: {matched} exchanges say the same on both sides, {} findings, {} too close to an end to say, {damages} damages",
            findings.len(),
            undecided.len()
        )?;
        writeln!(
            out,
            "left out: {with_others} exchanges with other servers, {unanswered} requests that nobody answered and the other log does not have"
        )?;
        for (log, found) in self.logs.iter().zip(&self.found) {
            for damage in &found.damage {
                writeln!(out, "DAMAGE   {log}: {}", line(&damage.to_string()))?;
            }
        }
        for finding in findings {
            writeln!(out, "{:<7}  {}", word_of(finding.what).to_uppercase(), self.line_of(finding))?;
        }
        for finding in undecided {
            writeln!(out, "UNSURE   {}", self.line_of(finding))?;
        }
        Ok(())
    }

    /// For programs; the schema is in `docs/evidence.md`.
    pub(super) fn as_json(&self) -> impl Serialize {
        let logs = self.logs.iter().zip(&self.found).map(|(log, found)| {
            json!({
                "path": log.path.display().to_string(),
                "server": log.server,
                "records": found.records,
                "oldest": found.reach.map(|reach| reach.from.to_string()),
                "newest": found.reach.map(|reach| reach.to.to_string()),
                "damage": found.damage.iter().map(damage_json).collect::<Vec<_>>(),
            })
        });
        let Judgement { findings, undecided, matched, unanswered, with_others } = &self.judgement;
        Document {
            matched: self.matched(),
            from: self.scope.from.map(|time| time.to_string()),
            to: self.scope.to.map(|time| time.to_string()),
            margin_seconds: self.scope.margin.as_secs(),
            logs: logs.collect(),
            counts: json!({
                "matched": matched,
                "findings": findings.len(),
                "undecided": undecided.len(),
                "unanswered": unanswered,
                "with_others": with_others,
            }),
            findings: List { report: self, findings },
            undecided: List { report: self, findings: undecided },
        }
    }

    fn line_of(&self, finding: &Finding) -> String {
        let server = |side: Side| line(&side.of(self.logs).server);
        let records = self.records(finding);
        let shown: Vec<String> = records
            .iter()
            .map(|detail| format!("record {} of {} at {}", detail.sequence, server(detail.side), detail.time))
            .collect();
        let shown = if shown.is_empty() { "there is only the response".to_owned() } else { shown.join(", ") };
        let wrong = match finding.what {
            What::Lacks(side) => format!("not in the log of {}", server(side)),
            What::Differs => format!("differs in {}", differing(&records).join(", ")),
            What::Twice(side) => format!("several times in the log of {}", server(side)),
            What::OtherPeer(side) => {
                format!("exchanged with a third server, says the log of {}", server(side))
            }
        };
        let Some(name) = self.name(finding) else { return wrong };
        format!(
            "{} {} (request id {}) of {} to {}: {wrong}; {shown}",
            direction(finding),
            line(&name.message_id),
            line(&name.request_id),
            line(&name.client),
            line(&name.service),
        )
    }

    fn json_of(&self, finding: &Finding) -> Value {
        let server = |side: Side| &side.of(self.logs).server;
        let records = self.records(finding);
        let name = self.name(finding);
        let side = match finding.what {
            What::Lacks(side) | What::Twice(side) | What::OtherPeer(side) => Some(side),
            What::Differs => None,
        };
        let shown = records.iter().map(|detail| {
            json!({
                "server": server(detail.side),
                "sequence": detail.sequence,
                "time": detail.time.to_string(),
            })
        });
        json!({
            "kind": word_of(finding.what),
            "server": side.map(server),
            "fields": if finding.what == What::Differs { differing(&records) } else { Vec::new() },
            "direction": direction(finding),
            "message_id": name.map(|name| &name.message_id),
            "request_id": name.map(|name| &name.request_id),
            "client": name.map(|name| &name.client),
            "service": name.map(|name| &name.service),
            "consumer": server(finding.exchange.consumer),
            "provider": server(finding.exchange.consumer.other()),
            "records": shown.collect::<Vec<_>>(),
        })
    }

    /// All records of the finding's exchange.
    fn exchange(&self, finding: &Finding) -> &[Detail] {
        let from = self.details.partition_point(|detail| detail.exchange < finding.exchange);
        let to = self.details.partition_point(|detail| detail.exchange <= finding.exchange);
        self.details.get(from..to).unwrap_or_default()
    }

    /// A record that says which exchange it is; one of the message itself if there is one.
    fn name(&self, finding: &Finding) -> Option<&Detail> {
        self.records(finding).first().copied().or_else(|| self.exchange(finding).first())
    }

    /// Records of the message that the finding is about.
    fn records(&self, finding: &Finding) -> Vec<&Detail> {
        let exchange = self.exchange(finding).iter();
        exchange.filter(|detail| detail.is_response == finding.is_response).collect()
    }
}

/// The whole of it. What there may be much of is made while it is written.
#[derive(Serialize)]
struct Document<'a> {
    matched: bool,
    from: Option<String>,
    to: Option<String>,
    margin_seconds: u64,
    logs: Vec<Value>,
    counts: Value,
    findings: List<'a>,
    undecided: List<'a>,
}

struct List<'a> {
    report: &'a Report<'a>,
    findings: &'a [Finding],
}

impl Serialize for List<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.findings.iter().map(|finding| self.report.json_of(finding)))
    }
}

/// In what the first records of both sides differ.
fn differing(records: &[&Detail]) -> Vec<&'static str> {
    let first = |side: Side| records.iter().find(|detail| detail.side == side);
    match (first(Side::A), first(Side::B)) {
        (Some(a), Some(b)) => a.differing(b),
        _ => Vec::new(),
    }
}

fn direction(finding: &Finding) -> &'static str {
    if finding.is_response { "response" } else { "request" }
}

fn word_of(what: What) -> &'static str {
    match what {
        What::Lacks(_) => "lacks",
        What::Differs => "differs",
        What::Twice(_) => "twice",
        What::OtherPeer(_) => "peer",
    }
}

fn damage_json(damage: &Damage) -> Value {
    json!({"check": damage.check, "file": damage.file, "offset": damage.offset, "reason": damage.reason})
}

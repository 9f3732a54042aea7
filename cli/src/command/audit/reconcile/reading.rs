//! Reading the logs, as they are: damage is noted and what can be read is read.

use std::collections::HashSet;
use std::io::{self, IsTerminal};
use std::time::{Duration, Instant};

use kogge_message_log::{Damage, Found, LogError};
use kogge_proto::time::UnixMillis;

use super::Log;
use super::judge::{Finding, Judgement, Reach, Scope};
use super::row::{Detail, ExchangeKey, Row, Side};

/// What a log was found to be.
pub(super) struct FoundLog {
    pub(super) damage: Vec<Damage>,
    /// Message records in it.
    pub(super) records: u64,
    pub(super) reach: Option<Reach>,
    /// Sequence of the last record; 0 if there is none. A server may have logged more since.
    last: u64,
}

/// Reads a log from end to end, and appends the rows that may count.
///
/// # Errors
/// A file cannot be read.
pub(super) fn rows(
    log: &Log,
    other_server: &str,
    side: Side,
    scope: &Scope,
    rows: &mut Vec<Row>,
    progress: &mut Progress,
) -> Result<FoundLog, LogError> {
    // Before the log is read: what was acknowledged then must be found.
    let end = or_damage(log.reader.audit_end())?;
    let (mut records, mut reach, mut last) = (0, None, 0);
    let mut damage = audit(log, &mut |found| {
        records += 1;
        progress.tell();
        reach = Some(Reach::over(reach, found.time));
        last = found.sequence;
        if scope.may_admit(found.time) {
            rows.extend(Row::new(&found, side, other_server));
        }
    })?;
    damage.extend(end.filter(|end| !damage.contains(end)));
    Ok(FoundLog { damage, records, reach, last })
}

/// Reads both logs again, as far as they were read before, for all that is to be told of the exchanges in which something was found.
///
/// # Errors
/// A file cannot be read.
pub(super) fn details(
    logs: &[Log; 2],
    found: &[FoundLog; 2],
    judgement: &Judgement,
) -> Result<Vec<Detail>, LogError> {
    let told: HashSet<ExchangeKey> = judgement.told().map(|finding| finding.exchange).collect();
    let mut details = Vec::new();
    if told.is_empty() {
        return Ok(details);
    }
    let mut progress = Progress::new("records read again");
    for side in [Side::A, Side::B] {
        let last = side.of(found).last;
        audit(side.of(logs), &mut |found| {
            progress.tell();
            if found.sequence <= last {
                details.extend(Detail::new(found, side, |exchange| told.contains(exchange)));
            }
        })?;
    }
    progress.end();
    details.sort_by_key(|detail| (detail.exchange, detail.is_response, detail.side, detail.sequence));
    Ok(details)
}

fn audit(log: &Log, each: &mut dyn FnMut(Found)) -> Result<Vec<Damage>, LogError> {
    match log.reader.audit_records(each) {
        Err(LogError::Damaged(damage)) => Ok(vec![damage]),
        other => other,
    }
}

fn or_damage(end: Result<Option<Damage>, LogError>) -> Result<Option<Damage>, LogError> {
    match end {
        Err(LogError::Damaged(damage)) => Ok(Some(damage)),
        other => other,
    }
}

impl Judgement {
    /// Everything that is told about single messages.
    fn told(&self) -> impl Iterator<Item = &Finding> {
        self.findings.iter().chain(&self.undecided)
    }
}

impl Reach {
    /// The reach with one record more. A clock may have been set back.
    fn over(reach: Option<Self>, time: UnixMillis) -> Self {
        let Self { from, to } = reach.unwrap_or(Self { from: time, to: time });
        Self { from: from.min(time), to: to.max(time) }
    }
}

/// A line on the terminal that says how far the work is.
pub(super) struct Progress {
    what: &'static str,
    on_terminal: bool,
    count: u64,
    told: Instant,
    shown: bool,
}

impl Progress {
    pub(super) fn new(what: &'static str) -> Self {
        let on_terminal = io::stderr().is_terminal();
        Self { what, on_terminal, count: 0, told: Instant::now(), shown: false }
    }

    fn tell(&mut self) {
        self.count += 1;
        if self.on_terminal && self.told.elapsed() >= PROGRESS_EVERY {
            eprint!("\r{} {}", self.count, self.what);
            (self.told, self.shown) = (Instant::now(), true);
        }
    }

    pub(super) fn end(&self) {
        if self.shown {
            eprintln!();
        }
    }
}

const PROGRESS_EVERY: Duration = Duration::from_millis(500);

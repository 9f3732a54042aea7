//! Which records are twins, and what is wrong: decided from the rows alone.
//!
//! An exchange leaves up to four records: request and response, on the consumer's and on the provider's side. A consumer's request does not name the
//! provider's server, so whether an exchange is one between these two servers is told by the other three: by the consumer's response or by a
//! record of the provider that names the other server, or by there being records with this request id on both sides.

use std::time::Duration;

use kogge_proto::time::UnixMillis;

use super::row::{ExchangeKey, Peer, Row, Side};

/// Which exchanges count, and where nothing can be said of a record without twin.
pub(super) struct Scope {
    pub(super) from: Option<UnixMillis>,
    pub(super) to: Option<UnixMillis>,
    pub(super) margin: Duration,
    /// When the first log was begun to be read, and when the last one had been read.
    reading: (UnixMillis, UnixMillis),
    /// Times of the first and last record of each log.
    reach: [Option<Reach>; 2],
}

/// Times of the oldest and newest record of a log, by its own clock.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reach {
    pub(super) from: UnixMillis,
    pub(super) to: UnixMillis,
}

/// What was found.
#[derive(Debug, Default)]
pub(super) struct Judgement {
    /// By time.
    pub(super) findings: Vec<Finding>,
    /// Records without twin too close to an end to say that it is missing; by time.
    pub(super) undecided: Vec<Finding>,
    /// Exchanges of which both sides say the same.
    pub(super) matched: u64,
    /// Requests of one of the two servers of which no other record is in either log.
    pub(super) unanswered: u64,
    /// Exchanges with third servers.
    pub(super) with_others: u64,
}

/// Something about one message.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Finding {
    pub(super) exchange: ExchangeKey,
    pub(super) is_response: bool,
    pub(super) what: What,
    /// When a record that shows it was logged.
    pub(super) time: UnixMillis,
}

/// What is wrong.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum What {
    /// There is no record on this side.
    Lacks(Side),
    /// There are records on both sides, of which no two say the same.
    Differs,
    /// There are several records on this side.
    Twice(Side),
    /// The record on this side names a third server as the other side.
    OtherPeer(Side),
}

/// Judges all exchanges.
pub(super) fn judge(mut rows: Vec<Row>, scope: &Scope) -> Judgement {
    rows.sort_unstable_by_key(|row| (row.exchange, row.is_response, row.is_consumers, row.sequence));
    let mut judgement = Judgement::default();
    for exchange in rows.chunk_by(|row, next| row.exchange == next.exchange) {
        if exchange.iter().any(|row| scope.admits(row.time)) {
            judgement.add(exchange, scope);
        }
    }
    for list in [&mut judgement.findings, &mut judgement.undecided] {
        list.sort_by_key(|finding| (finding.time, finding.exchange, finding.is_response));
    }
    judgement
}

impl Judgement {
    /// Judges one exchange by all of its records.
    fn add(&mut self, exchange: &[Row], scope: &Scope) {
        let names_other = exchange.iter().any(|row| row.peer == Peer::Other);
        let on_both =
            exchange.iter().any(|row| row.is_consumers) && exchange.iter().any(|row| !row.is_consumers);
        if !names_other && !on_both {
            let named = exchange.iter().any(|row| row.peer == Peer::Third);
            *(if named { &mut self.with_others } else { &mut self.unanswered }) += 1;
            return;
        }
        let before = self.findings.len() + self.undecided.len();
        for is_response in [false, true] {
            self.add_direction(exchange, is_response, scope);
        }
        for row in exchange.iter().filter(|row| row.peer == Peer::Third) {
            self.findings.push(Finding::of(row, What::OtherPeer(row.side())));
        }
        if self.findings.len() + self.undecided.len() == before {
            self.matched += 1;
        }
    }

    fn add_direction(&mut self, exchange: &[Row], is_response: bool, scope: &Scope) {
        let these = || exchange.iter().filter(move |row| row.is_response == is_response);
        let consumers = || these().filter(|row| row.is_consumers);
        let providers = || these().filter(|row| !row.is_consumers);
        for row in consumers().skip(1).take(1).chain(providers().skip(1).take(1)) {
            self.findings.push(Finding::of(row, What::Twice(row.side())));
        }
        match (consumers().next(), providers().next()) {
            (Some(row), Some(_)) => {
                let twins = |row: &Row| providers().any(|twin| twin.print == row.print);
                if !consumers().any(twins) {
                    self.findings.push(Finding::of(row, What::Differs));
                }
            }
            (Some(row), None) | (None, Some(row)) => self.lacks(row, is_response, row.side().other(), scope),
            // A response is never logged before its request.
            (None, None) if !is_response => {
                if let Some(row) = exchange.first() {
                    self.lacks(row, is_response, row.side(), scope);
                    self.lacks(row, is_response, row.side().other(), scope);
                }
            }
            (None, None) => {}
        }
    }

    /// Notes that a message, which must be there because of `row`, is not.
    fn lacks(&mut self, row: &Row, is_response: bool, side: Side, scope: &Scope) {
        let finding = Finding { is_response, ..Finding::of(row, What::Lacks(side)) };
        if scope.is_open(side, row.time) {
            self.undecided.push(finding);
        } else {
            self.findings.push(finding);
        }
    }
}

impl Finding {
    fn of(row: &Row, what: What) -> Self {
        Self { exchange: row.exchange, is_response: row.is_response, what, time: row.time }
    }
}

impl Scope {
    /// With `now`, when reading begins.
    pub(super) fn new(
        from: Option<UnixMillis>,
        to: Option<UnixMillis>,
        margin: Duration,
        now: UnixMillis,
    ) -> Self {
        Self { from, to, margin, reading: (now, now), reach: [None, None] }
    }

    /// Notes what the logs reach over, and with `now` that they have been read.
    pub(super) fn was_read(&mut self, reach: [Option<Reach>; 2], now: UnixMillis) {
        self.reach = reach;
        self.reading.1 = now;
    }

    /// Whether an exchange with a record of this time counts.
    fn admits(&self, time: UnixMillis) -> bool {
        self.from.is_none_or(|from| from <= time) && self.to.is_none_or(|to| time < to)
    }

    /// Whether a record of this time may belong to an exchange that counts: its twin may be a margin away.
    pub(super) fn may_admit(&self, time: UnixMillis) -> bool {
        self.from.is_none_or(|from| from.minus(self.margin) <= time)
            && self.to.is_none_or(|to| time < to.plus(self.margin))
    }

    /// Whether the twin of a record of this time may be just outside of what was read of this side's log.
    fn is_open(&self, side: Side, time: UnixMillis) -> bool {
        let around =
            |from: UnixMillis, to: UnixMillis| from.minus(self.margin) < time && time < to.plus(self.margin);
        let ends = side
            .of(&self.reach)
            .is_some_and(|reach| around(reach.from, reach.from) || around(reach.to, reach.to));
        ends || around(self.reading.0, self.reading.1)
    }
}

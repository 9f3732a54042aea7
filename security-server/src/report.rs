//! How the end of an exchange is told: metrics always, a log line for a refusal unless there are too many.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use kogge_proto::fault::Fault;
use kogge_proto::id::SecurityServerId;
use kogge_proto::time::UnixMillis;
use kogge_transport::Carrier;
use tokio::time::Instant;

use crate::clock;
use crate::metrics::Metrics;

/// Which side of an exchange this server is on.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Side {
    Consumer,
    Provider,
}

impl Side {
    pub(crate) const ALL: [Self; 2] = [Self::Consumer, Self::Provider];
}

impl fmt::Display for Side {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Consumer => "consumer",
            Self::Provider => "provider",
        })
    }
}

/// Tells the ends of exchanges.
pub(crate) struct Reporter {
    metrics: Arc<Metrics>,
    lines: Mutex<LineBudget>,
}

impl Reporter {
    pub(crate) fn new(metrics: Arc<Metrics>) -> Self {
        Self { metrics, lines: Mutex::new(LineBudget::default()) }
    }

    /// A peer has opened an exchange.
    pub(crate) fn opened(&self, carrier: Carrier) {
        self.metrics.arrived(carrier);
    }

    /// An exchange that began at `started` has ended well.
    pub(crate) fn answered(&self, side: Side, started: Instant) {
        self.metrics.ended(side, started.elapsed(), None);
    }

    /// An exchange that began at `started` has ended with a fault for the other side; the whole story is for the operator.
    /// `peer` is who opened it, if a peer did.
    pub(crate) fn refused(
        &self,
        (side, peer): (Side, Option<&SecurityServerId>),
        started: Instant,
        fault: &Fault,
        error: &dyn std::error::Error,
    ) {
        self.metrics.ended(side, started.elapsed(), Some(fault.code));
        let permission = self.lines.lock().unwrap_or_else(PoisonError::into_inner).ask(clock::now());
        let Some(unsaid) = permission else { return };
        if unsaid > 0 {
            tracing::warn!(unsaid, "refusals were not logged one by one: there were too many");
        }
        let story = one_line(&Story(error).to_string());
        let peer = peer.map(tracing::field::display);
        tracing::warn!(%side, peer, code = %fault.code, detail = %fault.detail, error = %story, "exchange refused");
    }
}

/// Peers choose some of the words, and must not write lines of their own into a log that somebody reads on a terminal.
fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// An error with its causes, since the outermost words of a library seldom say which it was.
struct Story<'e>(&'e dyn std::error::Error);

impl fmt::Display for Story<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)?;
        let mut cause = self.0.source();
        while let Some(error) = cause {
            write!(f, ": {error}")?;
            cause = error.source();
        }
        Ok(())
    }
}

/// A number of lines per second: whoever can connect could otherwise fill the disk with refusals.
#[derive(Debug, Default)]
struct LineBudget {
    second: i64,
    said: u32,
    unsaid: u64,
}

impl LineBudget {
    /// Whether a line may be written at `now`; if so, how many were left out since the last one.
    fn ask(&mut self, now: UnixMillis) -> Option<u64> {
        if now.seconds() != self.second {
            self.second = now.seconds();
            self.said = 0;
        }
        if self.said >= LINES_PER_SECOND_MAX {
            self.unsaid = self.unsaid.saturating_add(1);
            return None;
        }
        self.said += 1;
        Some(std::mem::take(&mut self.unsaid))
    }
}

/// Enough to see what goes on; less than a gigabyte a day.
const LINES_PER_SECOND_MAX: u32 = 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_story_is_one_line() {
        let error = std::io::Error::other("closed by peer: bye\r\n\u{1b}[2J2026-11-24 ERROR all is lost");
        let story = one_line(&Story(&error).to_string());
        assert_eq!(story, "closed by peer: bye   [2J2026-11-24 ERROR all is lost");
    }

    #[test]
    fn lines_are_bounded_and_what_was_left_out_is_told() {
        let mut budget = LineBudget::default();
        let now = UnixMillis(5000);
        for _ in 0..LINES_PER_SECOND_MAX {
            assert_eq!(budget.ask(now), Some(0));
        }
        assert_eq!(budget.ask(now), None);
        assert_eq!(budget.ask(UnixMillis(5999)), None);
        assert_eq!(budget.ask(UnixMillis(6000)), Some(2));
        assert_eq!(budget.ask(UnixMillis(6000)), Some(0));
    }
}

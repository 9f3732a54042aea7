//! Where the time of an exchange goes: a histogram for each stage of each side, so that the next bottleneck is seen and not guessed.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::histogram::Histogram;
use super::{Metrics, head};
use crate::report::Side;

/// A part of an exchange; the last ones of a side are gone through twice.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Stage {
    /// Until the request is complete.
    Receive,
    Authenticate,
    Resolve,
    Verify,
    Authorise,
    Sign,
    /// Making a record and handing it to the log.
    Append,
    /// Until the log acknowledges it.
    Wait,
    /// Through the tunnel and back, with all that the provider does meanwhile.
    Forward,
    /// The call of the register, with its whole answer.
    Register,
    /// Until the peer's carrier has taken the answer.
    Reply,
}

impl Stage {
    const ALL: [Self; 11] = [
        Self::Receive,
        Self::Authenticate,
        Self::Resolve,
        Self::Verify,
        Self::Authorise,
        Self::Sign,
        Self::Append,
        Self::Wait,
        Self::Forward,
        Self::Register,
        Self::Reply,
    ];

    fn name(self) -> &'static str {
        match self {
            Self::Receive => "receive",
            Self::Authenticate => "authenticate",
            Self::Resolve => "resolve",
            Self::Verify => "verify",
            Self::Authorise => "authorise",
            Self::Sign => "sign",
            Self::Append => "append",
            Self::Wait => "wait",
            Self::Forward => "forward",
            Self::Register => "register",
            Self::Reply => "reply",
        }
    }
}

/// The histograms of one side.
pub(super) struct Stages([Histogram; Stage::ALL.len()]);

impl Stages {
    pub(super) fn new() -> Self {
        Self(std::array::from_fn(|_| Histogram::new(&BUCKETS_US)))
    }

    pub(super) fn add(&self, stage: Stage, duration: Duration) {
        let place = Stage::ALL.iter().position(|known| *known == stage);
        if let Some(histogram) = place.and_then(|place| self.0.get(place)) {
            histogram.add(duration);
        }
    }

    /// The stages of all sides that were gone through at all.
    pub(super) fn render<'a>(out: &mut String, sides: impl Iterator<Item = (Side, &'a Self)>) {
        head(out, NAME, "histogram", "How long the stages of answered exchanges took, by side.");
        for (side, stages) in sides {
            for (stage, histogram) in Stage::ALL.iter().zip(&stages.0).filter(|(_, found)| !found.is_empty())
            {
                histogram.render(out, NAME, &format!("side=\"{side}\",stage=\"{}\"", stage.name()));
            }
        }
    }
}

/// Starts the watches of one side.
#[derive(Clone)]
pub(crate) struct Watches {
    metrics: Arc<Metrics>,
    side: Side,
}

impl Watches {
    pub(crate) fn new(metrics: Arc<Metrics>, side: Side) -> Self {
        Self { metrics, side }
    }

    /// A watch that runs from now on.
    pub(crate) fn start(&self) -> Watch<'_> {
        Watch { stages: &self.metrics.side(self.side).stages, since: Instant::now() }
    }
}

/// Takes the time of one stage after the other.
pub(crate) struct Watch<'a> {
    stages: &'a Stages,
    since: Instant,
}

impl Watch<'_> {
    /// The stage that has just ended took all the time since the last one.
    pub(crate) fn ended(&mut self, stage: Stage) {
        let now = Instant::now();
        self.stages.add(stage, now.saturating_duration_since(self.since));
        self.since = now;
    }

    /// Somebody else has taken the time until now.
    pub(crate) fn skip(&mut self) {
        self.since = Instant::now();
    }
}

const NAME: &str = "kogge_stage_seconds";

/// Upper bounds in microseconds: looking something up takes one, a signature tens, the disk hundreds, a register thousands.
const BUCKETS_US: [u64; 14] = [2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 20_000, 100_000, 1_000_000];

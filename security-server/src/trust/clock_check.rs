//! Whether this machine's clock can be believed, as far as others have said what time it is.
//!
//! A wrong clock makes stale OCSP responses look fresh and signing times meaningless, so no exchange takes place meanwhile. The
//! sources keep being asked, so that a clock that was set right is believed again without a restart.

use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use kogge_proto::time::UnixMillis;

/// Who said what time it is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum ClockSource {
    /// A timestamping authority, in a token.
    Tsa,
    /// The registry, by the time at which it issued a snapshot.
    Registry,
}

/// The clock is off by more than the policy tolerates.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("this machine's clock is off by {} s, says the {by}: set it right", .difference.as_secs())]
pub struct ClockOff {
    difference: Duration,
    by: ClockSource,
}

impl fmt::Display for ClockSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tsa => "timestamping authority",
            Self::Registry => "registry",
        })
    }
}

/// What the sources said last.
#[derive(Debug, Default)]
pub(crate) struct ClockCheck {
    off: Mutex<[Option<Duration>; 2]>,
}

impl ClockCheck {
    /// A source found the clock off by this much, or right.
    pub(crate) fn report(&self, source: ClockSource, off: Option<Duration>) {
        let [tsa, registry] = &mut *self.lock();
        let known = match source {
            ClockSource::Tsa => tsa,
            ClockSource::Registry => registry,
        };
        if let Some(difference) = off
            && known.is_none()
        {
            tracing::error!(error = %ClockOff { difference, by: source }, "exchanges are refused");
        } else if known.is_some() && off.is_none() {
            tracing::info!(by = %source, "the clock is right again");
        }
        *known = off;
    }

    /// The clock can be believed, as far as is known.
    ///
    /// # Errors
    /// A source found it off.
    pub(crate) fn check(&self) -> Result<(), ClockOff> {
        let [tsa, registry] = *self.lock();
        let off = |difference, by| Err(ClockOff { difference, by });
        match (tsa, registry) {
            (Some(difference), _) => off(difference, ClockSource::Tsa),
            (None, Some(difference)) => off(difference, ClockSource::Registry),
            (None, None) => Ok(()),
        }
    }

    fn lock(&self) -> MutexGuard<'_, [Option<Duration>; 2]> {
        // Every write is one assignment, so a panic elsewhere leaves a whole value.
        self.off.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How far the clock is off if a TSA stated `stated` between `asked` and `answered`, both by our clock; `None` if that fits within
/// `skew_max`. A token's time may be cut to whole seconds.
pub(crate) fn difference(
    stated: UnixMillis,
    asked: UnixMillis,
    answered: UnixMillis,
    skew_max: Duration,
) -> Option<Duration> {
    let behind = stated.since(answered);
    let ahead = asked.since(stated.plus(Duration::from_secs(1)));
    Some(behind.max(ahead)).filter(|difference| *difference > skew_max)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_difference_within_the_policy_is_none() {
        let difference = |stated: i64| {
            let (asked, answered) = (UnixMillis(100_000), UnixMillis(102_000));
            difference(UnixMillis(stated), asked, answered, Duration::from_secs(10))
                .map(|off| off.as_millis())
        };
        assert_eq!(difference(101_000), None);
        assert_eq!(difference(112_000), None);
        assert_eq!(difference(112_001), Some(10_001));
        assert_eq!(difference(89_000), None);
        assert_eq!(difference(88_999), Some(10_001));
    }

    #[test]
    fn each_source_speaks_for_itself() {
        let check = ClockCheck::default();
        assert_eq!(check.check(), Ok(()));
        let hour = Duration::from_secs(3600);
        check.report(ClockSource::Registry, Some(hour));
        assert_eq!(check.check(), Err(ClockOff { difference: hour, by: ClockSource::Registry }));
        check.report(ClockSource::Tsa, None);
        assert!(check.check().is_err());
        check.report(ClockSource::Registry, None);
        assert_eq!(check.check(), Ok(()));
    }
}

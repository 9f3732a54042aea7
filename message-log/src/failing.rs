//! What the writer does when the disk fails it; the two kinds of failure are in [`crate::writer`]'s head.

use std::io;
use std::time::{Duration, Instant};

use crate::error::is_full;
use crate::live::locked;
use crate::segment::AHEAD_BYTES;
use crate::writer::Writer;
use crate::{AppendError, State};

/// Pause after the second failed attempt to prove a new segment; doubled after each further one, up to [`BACKOFF_MAX`].
const BACKOFF_MIN: Duration = Duration::from_millis(100);
const BACKOFF_MAX: Duration = Duration::from_secs(30);

/// What the writer can do at the moment.
pub(crate) enum Health {
    Sound,
    /// The disk is full; with `rolling`, for the next segment.
    Full {
        rolling: bool,
    },
    /// The current segment is sealed.
    Sealed {
        reason: String,
        attempts: u32,
        next_attempt: Instant,
    },
}

impl Health {
    pub(crate) fn is_sound(&self) -> bool {
        matches!(self, Self::Sound)
    }

    /// Why nothing can be appended; a full disk is tried each time.
    pub(crate) fn refusal(&self) -> Option<AppendError> {
        match self {
            Self::Sealed { reason, .. } => Some(AppendError::Suspect(reason.clone())),
            Self::Sound | Self::Full { .. } => None,
        }
    }
}

impl Writer {
    /// Takes back what a failed write left, if the disk is merely full.
    pub(crate) fn take_back(&mut self, error: &io::Error) -> AppendError {
        if !is_full(error) {
            return self.seal(format!("a write failed: {error}"));
        }
        match self.segment.roll_back() {
            Ok(()) => {
                // That was a sync too.
                self.all_synced();
                self.fail("write", error, false)
            }
            Err(error) => self.seal(format!("a write could not be taken back: {error}")),
        }
    }

    /// A failure before any frame was written: passes by itself if the disk is full, else the segment is sealed.
    pub(crate) fn fail(&mut self, what: &str, error: &io::Error, rolling: bool) -> AppendError {
        if !is_full(error) {
            return self.seal(format!("cannot {what}: {error}"));
        }
        if matches!(self.health, Health::Sound) {
            tracing::error!("the message log's disk is full: no exchanges until there is space");
        }
        self.health = Health::Full { rolling };
        *locked(&self.live.state) = State::Full;
        AppendError::Full
    }

    pub(crate) fn seal(&mut self, reason: String) -> AppendError {
        tracing::error!(
            segment = self.segment.number,
            reason,
            "the message log's segment is sealed as suspect"
        );
        let note = self.layout.suspect_note(self.segment.number);
        // Without the note the log is still right while this process lives, see the module's head.
        if let Err(error) =
            kogge_durable::write_atomic(&note, self.segment.synced.to_string().as_bytes(), true)
        {
            tracing::error!(%error, "cannot note that a segment is suspect");
        }
        self.health = Health::Sealed { reason: reason.clone(), attempts: 0, next_attempt: Instant::now() };
        *locked(&self.live.state) = State::Suspect(reason.clone());
        let error = AppendError::Suspect(reason);
        self.lose_unsynced(&error);
        error
    }

    /// Tries to leave a failure behind without a record to append.
    pub(crate) fn try_to_recover(&mut self) {
        match &self.health {
            Health::Sound => {}
            Health::Full { rolling } => {
                let rolling = *rolling;
                let probe = if rolling { self.start_segment(false) } else { self.probe_space() };
                match probe {
                    Ok(()) => self.recovered(),
                    // Still full, or worse.
                    Err(error) => drop(self.fail("reserve space", &error, rolling)),
                }
            }
            Health::Sealed { next_attempt, .. } if Instant::now() < *next_attempt => {}
            Health::Sealed { reason, attempts, .. } => {
                let (mut reason, attempts) = (reason.clone(), attempts + 1);
                match self.start_segment(true) {
                    Ok(()) => return self.recovered(),
                    Err(error) => {
                        reason = format!("{}; a new segment failed too: {error}", first_reason(&reason));
                    }
                }
                let pause = BACKOFF_MIN.saturating_mul(1 << attempts.min(16)).min(BACKOFF_MAX);
                *locked(&self.live.state) = State::Suspect(reason.clone());
                self.health = Health::Sealed { reason, attempts, next_attempt: Instant::now() + pause };
            }
        }
    }

    /// Tries to leave a sealed segment behind; nothing else.
    pub(crate) fn leave_seal(&mut self) {
        if matches!(self.health, Health::Sealed { .. }) {
            self.try_to_recover();
        }
    }

    fn probe_space(&mut self) -> io::Result<()> {
        self.segment.reserve(usize::try_from(AHEAD_BYTES / 4).unwrap_or(usize::MAX))?;
        self.segment.sync().run()?;
        self.all_synced();
        Ok(())
    }

    pub(crate) fn recovered(&mut self) {
        if !matches!(self.health, Health::Sound) {
            tracing::info!("the message log takes records again");
            self.health = Health::Sound;
            *locked(&self.live.state) = State::Writable;
        }
    }
}

fn first_reason(reason: &str) -> &str {
    reason.split("; a new segment failed too").next().unwrap_or(reason)
}

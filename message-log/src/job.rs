//! What the log's threads are given to do.

use std::panic::{AssertUnwindSafe, catch_unwind};

use kogge_proto::wire::log::{Erasure, StampRecord};
use prost::Message;

use crate::prepared::{Prepared, Spooled};
use crate::queue::{Queue, Refused};
use crate::{Acknowledge, AppendError, Receipt};

/// What is to be appended, and who is to be told.
pub(crate) struct Job {
    pub(crate) work: Work,
    pub(crate) acknowledge: Acknowledge,
}

pub(crate) enum Work {
    Message(Box<Prepared>),
    Stamp(Box<StampRecord>),
    Erasure(Box<Erasure>),
}

impl Job {
    /// The body that it brings along in the spool.
    pub(crate) fn spooled(&self) -> Option<&Spooled> {
        match &self.work {
            Work::Message(prepared) => prepared.spooled.as_ref(),
            Work::Stamp(_) | Work::Erasure(_) => None,
        }
    }

    /// Puts it into a queue, or refuses it; returns whether it is there. Never waits.
    pub(crate) fn hand_to(self, queue: &Queue<Self>) -> bool {
        let bytes = match &self.work {
            Work::Message(prepared) => prepared.memory(),
            Work::Stamp(stamp) => stamp.encoded_len(),
            Work::Erasure(erasure) => erasure.encoded_len(),
        };
        let Err((refused, job)) = queue.push(self, bytes) else { return true };
        job.refuse(match refused {
            Refused::Full => AppendError::Busy,
            Refused::Closed => AppendError::Closed,
        });
        false
    }

    pub(crate) fn refuse(self, error: AppendError) {
        Told { acknowledge: self.acknowledge, outcome: Err(error) }.call();
    }
}

/// Whom to tell what.
pub(crate) struct Told {
    pub(crate) acknowledge: Acknowledge,
    pub(crate) outcome: Result<Receipt, AppendError>,
}

impl Told {
    /// Calls back; a panic there is the owner's bug and must not stop the log.
    pub(crate) fn call(self) {
        if catch_unwind(AssertUnwindSafe(|| (self.acknowledge)(self.outcome))).is_err() {
            tracing::error!("a callback of the message log panicked");
        }
    }
}

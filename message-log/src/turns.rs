//! Whose turn it is to write. Whoever appends writes himself what is queued, if nobody else is writing and it takes no more than one write into space that is there:
//! neither he nor the log's thread has to be woken for it. Whatever takes longer is left to that thread: syncs, the next segment, stamps, large bodies, failures.
//!
//! A sync runs while others write. Nobody waits for his turn: who finds another one writing leaves his job in the queue, and each one looks into the queue again after
//! he has given the writer back. Callbacks are called by whoever had the writer, after that.

use std::sync::{Mutex, TryLockError};

use crate::job::{Job, Told};
use crate::live::locked;
use crate::queue::{Limits, Queue, Taken};
use crate::writer::{Left, Writer};

/// So often one who appends writes also what came from others meanwhile; then the log's thread goes on.
const ROUNDS_MAX: usize = 4;

/// The writer and the queue before it.
pub(crate) struct Turns {
    queue: Queue<Job>,
    /// `None` once the log's thread has ended.
    writer: Mutex<Option<Writer>>,
}

impl Turns {
    pub(crate) fn new(limits: Limits, writer: Writer) -> Self {
        Self { queue: Queue::new(limits), writer: Mutex::new(Some(writer)) }
    }

    /// Appends, at once if that can be done. Returns whether the log's thread has to be called for the rest.
    pub(crate) fn append(&self, job: Job) -> bool {
        if !job.hand_to(&self.queue) {
            return false;
        }
        for _ in 0..ROUNDS_MAX {
            match self.take_turn() {
                Turn::Taken(Left::Call) | Turn::Impossible => return true,
                Turn::Taken(Left::SyncWithin) => self.queue.call_before_long(),
                Turn::Elsewhere => return false,
            }
            if self.queue.is_empty() {
                return false;
            }
        }
        true
    }

    /// Leaves a job to the log's thread.
    pub(crate) fn leave(&self, job: Job) {
        if job.hand_to(&self.queue) {
            self.call();
        }
    }

    /// Has the log's thread come and sync.
    pub(crate) fn call(&self) {
        self.queue.call();
    }

    fn take_turn(&self) -> Turn {
        let mut guard = match self.writer.try_lock() {
            Ok(guard) => guard,
            Err(TryLockError::WouldBlock) => return Turn::Elsewhere,
            Err(TryLockError::Poisoned(_)) => return Turn::Impossible,
        };
        let Some(writer) = guard.as_mut().filter(|writer| writer.is_open()) else { return Turn::Impossible };
        let left = writer.take_at_once(|jobs| self.queue.take_at_once(jobs));
        let told = writer.take_told();
        drop(guard);
        told.into_iter().for_each(Told::call);
        Turn::Taken(left)
    }

    /// What the log's thread does until the queue is closed.
    pub(crate) fn run(&self) {
        let mut jobs = Vec::new();
        let mut next_visit = None;
        loop {
            let taken = self.queue.take(&mut jobs, next_visit);
            // Whoever panicked while he wrote left the writer in some state: then the log ends here.
            let Ok(mut guard) = self.writer.lock() else { return };
            let Some(writer) = guard.as_mut() else { return };
            writer.take_all(&mut jobs);
            if taken == Taken::Timeout {
                writer.try_to_recover();
            }
            if taken == Taken::Closed {
                writer.finish();
                let told = writer.take_told();
                drop(guard);
                return told.into_iter().for_each(Told::call);
            }
            let sync = writer.begin_sync();
            let told = writer.take_told();
            drop(guard);
            told.into_iter().for_each(Told::call);
            let outcome = sync.map(|sync| sync.run());
            let Ok(mut guard) = self.writer.lock() else { return };
            let Some(writer) = guard.as_mut() else { return };
            let was_busy = taken == Taken::Jobs || outcome.is_some();
            if let Some(outcome) = outcome {
                writer.end_sync(outcome);
            }
            next_visit = writer.next_visit(was_busy);
            let told = writer.take_told();
            drop(guard);
            told.into_iter().for_each(Told::call);
            // After who waited was told.
            if let Ok(Some(writer)) = self.writer.lock().as_deref_mut() {
                writer.prepare_ahead();
            }
        }
    }

    /// Lets nothing more in. What is there already will be appended.
    pub(crate) fn close(&self) {
        self.queue.close();
    }

    /// Lets go of everything: the log's thread has ended.
    pub(crate) fn abandon(&self) {
        self.queue.abandon();
        // Dropped outside of the lock: a callback may do anything when it is dropped.
        let writer = locked(&self.writer).take();
        drop(writer);
    }
}

/// What trying to write came to.
enum Turn {
    /// The jobs were taken.
    Taken(Left),
    /// Another one writes, and will look into the queue again.
    Elsewhere,
    /// Only the log's thread can go on.
    Impossible,
}

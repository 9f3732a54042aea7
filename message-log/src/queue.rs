//! The way into the log: a bounded queue that is emptied in one go.
//!
//! Putting something in never waits: what finds the queue full is handed back. Putting something in and calling the thread behind it are two steps, so that it is woken once
//! for a whole group, and not at all for what others take out again. It only has to be woken when it sleeps.

use std::mem::swap;
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::live::locked;

/// How much may wait.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    pub(crate) jobs: usize,
    /// Bytes that the jobs hold in memory.
    pub(crate) bytes: usize,
}

/// A bounded queue between many threads and one.
#[derive(Debug)]
pub(crate) struct Queue<T> {
    limits: Limits,
    state: Mutex<State<T>>,
    arrived: Condvar,
}

#[derive(Debug)]
struct State<T> {
    jobs: Vec<T>,
    bytes: usize,
    is_closed: bool,
    /// The thread behind the queue is to come, although there may be no job.
    is_called: bool,
    sleep: Sleep,
}

/// What the thread behind the queue does.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Sleep {
    Awake,
    /// It comes by itself when its time is over.
    ForATime,
    UntilCalled,
}

/// Why a job was not let in.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Refused {
    Full,
    Closed,
}

/// What waiting for jobs came to.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Taken {
    /// There are some, or it was called.
    Jobs,
    /// The time is over, and there are none.
    Timeout,
    /// There are none, and no more will come.
    Closed,
}

impl<T> Queue<T> {
    pub(crate) fn new(limits: Limits) -> Self {
        let state =
            State { jobs: Vec::new(), bytes: 0, is_closed: false, is_called: false, sleep: Sleep::Awake };
        Self { limits, state: Mutex::new(state), arrived: Condvar::new() }
    }

    /// Puts a job in that holds `bytes`; hands it back if it is not let in. An empty queue takes a job of any size. Wakes nobody.
    pub(crate) fn push(&self, job: T, bytes: usize) -> Result<(), (Refused, T)> {
        let mut state = locked(&self.state);
        if state.is_closed {
            return Err((Refused::Closed, job));
        }
        let sum = state.bytes.saturating_add(bytes);
        if state.jobs.len() >= self.limits.jobs || (sum > self.limits.bytes && !state.jobs.is_empty()) {
            return Err((Refused::Full, job));
        }
        state.bytes = sum;
        state.jobs.push(job);
        Ok(())
    }

    /// Has the thread behind the queue come.
    pub(crate) fn call(&self) {
        self.wake(|sleep| sleep != Sleep::Awake);
    }

    /// Has the thread behind the queue come, unless it will by itself before long.
    pub(crate) fn call_before_long(&self) {
        self.wake(|sleep| sleep == Sleep::UntilCalled);
    }

    fn wake(&self, must_wake: impl FnOnce(Sleep) -> bool) {
        let mut state = locked(&self.state);
        if must_wake(state.sleep) {
            state.is_called = true;
            // It is woken once.
            state.sleep = Sleep::Awake;
            drop(state);
            self.arrived.notify_one();
        } else if state.sleep == Sleep::Awake {
            state.is_called = true;
        }
    }

    /// Puts all that is there into `jobs`, which must be empty; its space is used for those to come.
    pub(crate) fn take_at_once(&self, jobs: &mut Vec<T>) {
        let mut state = locked(&self.state);
        state.bytes = 0;
        swap(&mut state.jobs, jobs);
    }

    pub(crate) fn is_empty(&self) -> bool {
        locked(&self.state).jobs.is_empty()
    }

    /// Waits until there is something or somebody calls, and puts all that is there into `jobs`, which must be empty; its space is used for those to come.
    pub(crate) fn take(&self, jobs: &mut Vec<T>, until: Option<Instant>) -> Taken {
        let mut state = locked(&self.state);
        while state.jobs.is_empty() && !state.is_called {
            if state.is_closed {
                return Taken::Closed;
            }
            let rest = until.map(|until| until.saturating_duration_since(Instant::now()));
            if rest == Some(Duration::ZERO) {
                return Taken::Timeout;
            }
            state.sleep = if rest.is_some() { Sleep::ForATime } else { Sleep::UntilCalled };
            state = match rest {
                Some(rest) => {
                    self.arrived.wait_timeout(state, rest).unwrap_or_else(PoisonError::into_inner).0
                }
                None => self.arrived.wait(state).unwrap_or_else(PoisonError::into_inner),
            };
            state.sleep = Sleep::Awake;
        }
        state.is_called = false;
        state.bytes = 0;
        swap(&mut state.jobs, jobs);
        Taken::Jobs
    }

    /// Lets nothing more in. What is there already can still be taken.
    pub(crate) fn close(&self) {
        locked(&self.state).is_closed = true;
        self.arrived.notify_one();
    }

    /// Closes the queue and drops what is in it: nobody will take it any more.
    pub(crate) fn abandon(&self) {
        let mut state = locked(&self.state);
        state.is_closed = true;
        // Dropped outside of the lock: a job may do anything when it is dropped.
        let left = std::mem::take(&mut state.jobs);
        drop(state);
        drop(left);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    const LIMITS: Limits = Limits { jobs: 3, bytes: 100 };

    #[test]
    fn what_does_not_fit_is_handed_back_at_once() {
        let queue = Queue::new(LIMITS);
        assert_eq!(queue.push("larger than all", 1000), Ok(()));
        assert_eq!(queue.push("no room", 1), Err((Refused::Full, "no room")));
        let mut jobs = Vec::new();
        assert_eq!(queue.take(&mut jobs, None), Taken::Jobs);
        assert_eq!(jobs, ["larger than all"]);
        for job in ["a", "b", "c"] {
            assert_eq!(queue.push(job, 10), Ok(()));
        }
        assert_eq!(queue.push("d", 10), Err((Refused::Full, "d")));
    }

    #[test]
    fn a_closed_queue_gives_what_it_has_and_takes_nothing() {
        let queue = Queue::new(LIMITS);
        queue.push("a", 1).unwrap();
        queue.close();
        assert_eq!(queue.push("b", 1), Err((Refused::Closed, "b")));
        let mut jobs = Vec::new();
        assert_eq!(queue.take(&mut jobs, None), Taken::Jobs);
        jobs.clear();
        assert_eq!(queue.take(&mut jobs, None), Taken::Closed);
    }

    #[test]
    fn an_abandoned_queue_lets_go_of_its_jobs() {
        let queue = Queue::new(LIMITS);
        let job = Arc::new(());
        queue.push(job.clone(), 1).unwrap();
        queue.abandon();
        assert_eq!(Arc::strong_count(&job), 1);
        assert_eq!(queue.push(job.clone(), 1), Err((Refused::Closed, job)));
    }

    #[test]
    fn waiting_ends_with_the_time_with_a_job_or_with_the_queue() {
        let queue = Queue::<u32>::new(LIMITS);
        assert_eq!(queue.take(&mut Vec::new(), Some(Instant::now())), Taken::Timeout);
        assert_eq!(
            queue.take(&mut Vec::new(), Some(Instant::now() + Duration::from_millis(1))),
            Taken::Timeout
        );
        std::thread::scope(|scope| {
            scope.spawn(|| {
                queue.push(7, 1).unwrap();
                queue.call();
            });
            let mut jobs = Vec::new();
            assert_eq!(queue.take(&mut jobs, None), Taken::Jobs);
            assert_eq!(jobs, [7]);
            scope.spawn(|| queue.close());
            jobs.clear();
            assert_eq!(queue.take(&mut jobs, None), Taken::Closed);
        });
    }
}

//! Answers whose last bytes the peer has perhaps not received yet. An orderly shutdown must not close the connection under them.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_util::FutureExt;
use futures_util::future::BoxFuture;

use crate::activity::{Activity, Open};

/// Those of one connection, in order. Nobody waits for them but a shutdown: the acknowledgement of an answer usually comes with the next request,
/// and a task that is woken for it would cost more than the answer. As many at most as the carrier lets the peer have streams.
pub(crate) struct Undelivered {
    activity: Arc<Activity>,
    answers: Mutex<VecDeque<Answer>>,
}

struct Answer {
    delivered: BoxFuture<'static, ()>,
    /// Silence of the peer matters until it has the answer.
    _open: Open,
}

impl Undelivered {
    pub(crate) fn new(activity: Arc<Activity>) -> Self {
        Self { activity, answers: Mutex::default() }
    }

    /// One more; `delivered` completes when the peer has it, or never will.
    pub(crate) fn add(&self, delivered: impl Future<Output = ()> + Send + 'static) {
        let answer = Answer { delivered: delivered.boxed(), _open: self.activity.begin() };
        let mut answers = self.lock();
        drop_delivered(&mut answers);
        answers.push_back(answer);
    }

    /// Forgets those that have been delivered.
    pub(crate) fn sweep(&self) {
        drop_delivered(&mut self.lock());
    }

    /// Returns when the peer has all of them, or never will. The caller limits the time.
    pub(crate) async fn all_delivered(&self) {
        loop {
            let next = self.lock().pop_front();
            match next {
                Some(answer) => answer.delivered.await,
                None => return,
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<Answer>> {
        self.answers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn drop_delivered(answers: &mut VecDeque<Answer>) {
    while answers.front_mut().is_some_and(|answer| (&mut answer.delivered).now_or_never().is_some()) {
        answers.pop_front();
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::oneshot;

    use super::*;

    #[tokio::test]
    async fn an_answer_counts_until_it_is_delivered_and_looked_at() {
        let activity = Arc::<Activity>::default();
        let undelivered = Undelivered::new(Arc::clone(&activity));
        let mut acknowledge = Vec::new();
        for _ in 0..3 {
            let (acknowledged, delivered) = oneshot::channel::<()>();
            undelivered.add(async move { drop(delivered.await) });
            acknowledge.push(acknowledged);
        }
        undelivered.sweep();
        assert_eq!(activity.open(), 3);
        acknowledge.remove(0).send(()).unwrap();
        undelivered.sweep();
        assert_eq!(activity.open(), 2);
        // The next answer's coming is an opportunity, too.
        acknowledge.remove(0).send(()).unwrap();
        undelivered.add(std::future::pending());
        assert_eq!(activity.open(), 2);
    }

    #[tokio::test]
    async fn a_shutdown_waits_for_all() {
        let undelivered = Undelivered::new(Arc::default());
        let (acknowledged, delivered) = oneshot::channel::<()>();
        undelivered.add(std::future::ready(()));
        undelivered.add(async move { drop(delivered.await) });
        let mut all = Box::pin(undelivered.all_delivered());
        assert!((&mut all).now_or_never().is_none());
        acknowledged.send(()).unwrap();
        all.await;
    }
}

//! A connection's driver in the same task as the work on it.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use futures_util::task::AtomicWaker;
use tokio::runtime::Handle;

use super::Driver;

/// Does the work and drives the connection, each when it is called. What the work asks of the driver, and the driver of the work, is done without
/// the scheduler: between two tasks of their own, tokio would give every other call to another thread, which has to be woken for it.
///
/// What is left of the driver when the work is over, or is dropped, becomes a task: the peer must still be told.
pub(crate) struct Beside<W> {
    work: Pin<Box<W>>,
    called_work: Arc<Call>,
    driver: Option<Driver>,
    called_driver: Arc<Call>,
    task: Arc<Task>,
    begun: Begun,
}

/// How many other tasks the work has begun since this was last looked at.
#[derive(Clone, Default)]
pub(crate) struct Begun(Arc<AtomicUsize>);

impl Begun {
    /// One more was begun.
    pub(crate) fn add_one(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// The task that both are in.
#[derive(Default)]
struct Task {
    waker: AtomicWaker,
    /// It is looking for calls, and need not be woken for one.
    looks: AtomicBool,
}

/// Whether one of the two was called.
struct Call {
    made: AtomicBool,
    task: Arc<Task>,
}

impl<W: Future> Beside<W> {
    pub(super) fn new(work: impl FnOnce(Begun) -> W, driver: Option<Driver>) -> Self {
        let begun = Begun::default();
        let work = work(begun.clone());
        let task = Arc::<Task>::default();
        let call = || Arc::new(Call { made: AtomicBool::new(true), task: Arc::clone(&task) });
        Self { work: Box::pin(work), called_work: call(), driver, called_driver: call(), task, begun }
    }

    fn poll_driver(&mut self) {
        let Some(driver) = &mut self.driver else { return };
        let waker = Waker::from(Arc::clone(&self.called_driver));
        if driver.as_mut().poll(&mut Context::from_waker(&waker)).is_ready() {
            self.driver = None;
        }
    }

    fn poll_work(&mut self) -> Poll<W::Output> {
        let waker = Waker::from(Arc::clone(&self.called_work));
        self.work.as_mut().poll(&mut Context::from_waker(&waker))
    }
}

impl<W: Future> Future for Beside<W> {
    type Output = W::Output;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<W::Output> {
        self.task.waker.register(context.waker());
        for _ in 0..ROUNDS_MAX {
            self.task.looks.store(true, Ordering::SeqCst);
            if self.called_driver.take() {
                self.poll_driver();
            }
            if self.called_work.take()
                && let Poll::Ready(output) = self.poll_work()
            {
                return Poll::Ready(output);
            }
            // Whoever calls from now on wakes the task; who called before is seen here.
            self.task.looks.store(false, Ordering::SeqCst);
            if !self.called_driver.is_made() && !self.called_work.is_made() {
                // Several were begun: what they are quick to send shall leave together, after all of them have had their turn.
                if self.begun.0.swap(0, Ordering::Relaxed) > 1 {
                    break;
                }
                return Poll::Pending;
            }
        }
        context.waker().wake_by_ref();
        Poll::Pending
    }
}

impl<W> Drop for Beside<W> {
    fn drop(&mut self) {
        if let (Some(driver), Ok(runtime)) = (self.driver.take(), Handle::try_current()) {
            runtime.spawn(driver);
        }
    }
}

impl Call {
    fn take(&self) -> bool {
        self.made.swap(false, Ordering::SeqCst)
    }

    fn is_made(&self) -> bool {
        self.made.load(Ordering::SeqCst)
    }
}

impl Wake for Call {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.made.store(true, Ordering::SeqCst);
        if !self.task.looks.load(Ordering::SeqCst) {
            self.task.waker.wake();
        }
    }
}

/// After so many rounds other tasks get their turn.
const ROUNDS_MAX: usize = 8;

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;
    use futures_util::future::poll_fn;
    use tokio::sync::mpsc;

    use super::*;

    /// Counts how often it was woken.
    #[derive(Default)]
    struct Woken(AtomicUsize);

    impl Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    #[test]
    fn the_two_call_each_other_without_the_scheduler() {
        let (ask, mut asked) = mpsc::unbounded_channel();
        let (answer, mut answered) = mpsc::unbounded_channel();
        let driver = Box::pin(async move {
            while let Some(number) = asked.recv().await {
                answer.send(number).unwrap();
            }
        });
        let work = async move {
            for number in 0..3 {
                ask.send(number).unwrap();
                assert_eq!(answered.recv().await, Some(number));
            }
        };
        let mut both = Beside::new(|_| work, Some(driver));
        let woken = Arc::<Woken>::default();
        let waker = Waker::from(Arc::clone(&woken));
        assert!(both.poll_unpin(&mut Context::from_waker(&waker)).is_ready());
        assert_eq!(woken.0.load(Ordering::SeqCst), 0);
    }

    #[test]
    fn two_that_never_rest_let_others_have_their_turn() {
        let restless = || {
            poll_fn(|context: &mut Context<'_>| -> Poll<()> {
                context.waker().wake_by_ref();
                Poll::Pending
            })
        };
        let mut both = Beside::new(|_| restless(), Some(Box::pin(restless())));
        let woken = Arc::<Woken>::default();
        let waker = Waker::from(Arc::clone(&woken));
        for polls in 1..4 {
            assert!(both.poll_unpin(&mut Context::from_waker(&waker)).is_pending());
            assert!(woken.0.load(Ordering::SeqCst) >= polls);
        }
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn calls_of_other_threads_are_never_missed() {
        for _ in 0..2000 {
            let (ask, mut asked) = mpsc::unbounded_channel();
            let (answer, mut answered) = mpsc::unbounded_channel();
            let driver = Box::pin(async move {
                while let Some(number) = asked.recv().await {
                    answer.send(number).unwrap();
                }
            });
            let caller = tokio::spawn(async move {
                ask.send(1).unwrap();
                ask.send(2).unwrap();
            });
            let work = async move { [answered.recv().await, answered.recv().await] };
            assert_eq!(tokio::spawn(Beside::new(|_| work, Some(driver))).await.unwrap(), [Some(1), Some(2)]);
            caller.await.unwrap();
        }
    }

    #[tokio::test]
    async fn the_driver_goes_on_when_the_work_is_over_or_dropped() {
        for over in [true, false] {
            let (go_on, mut goes_on) = mpsc::unbounded_channel();
            let (end, mut ended) = mpsc::unbounded_channel();
            let driver = Box::pin(async move {
                goes_on.recv().await;
                end.send(()).unwrap();
            });
            let work = async move {
                if !over {
                    std::future::pending::<()>().await;
                }
            };
            assert_eq!(Beside::new(|_| work, Some(driver)).now_or_never().is_some(), over);
            go_on.send(()).unwrap();
            assert_eq!(ended.recv().await, Some(()));
        }
    }
}

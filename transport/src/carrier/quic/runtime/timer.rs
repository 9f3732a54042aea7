//! A connection's timer that seldom touches tokio's timers.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use quinn::AsyncTimer;
use tokio::time::{Sleep, sleep_until};

/// quinn puts its timer off and back again with each packet, between a loss that is due in milliseconds and an idle connection's end. Each step
/// back would take the lock of tokio's timers and interrupt the thread that waits in `epoll_wait`. Here the alarm stays at the earlier time; if
/// that comes too soon, it is set anew.
#[derive(Debug)]
pub(super) struct Timer {
    due: Instant,
    /// Never later than `due`.
    alarm: Pin<Box<Sleep>>,
}

impl Timer {
    pub(super) fn new(due: Instant) -> Self {
        Self { due, alarm: Box::pin(sleep_until(due.into())) }
    }
}

impl AsyncTimer for Timer {
    fn reset(mut self: Pin<&mut Self>, due: Instant) {
        self.due = due;
        if due < self.alarm.deadline().into_std() {
            self.alarm.as_mut().reset(due.into());
        }
    }

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        loop {
            ready!(Future::poll(self.alarm.as_mut(), context));
            let due = self.due;
            if self.alarm.deadline().into_std() >= due {
                return Poll::Ready(());
            }
            self.alarm.as_mut().reset(due.into());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use futures_util::future::poll_fn;

    use super::*;

    /// Waits for the timer.
    async fn alarm(timer: &mut Timer) {
        poll_fn(|context| AsyncTimer::poll(Pin::new(timer), context)).await;
    }

    #[tokio::test]
    async fn never_goes_off_before_it_is_due_and_always_after() {
        let start = Instant::now();
        let at = |milliseconds| start + Duration::from_millis(milliseconds);
        let mut timer = Timer::new(at(5));
        // Put off and back, as quinn does: a later time, an earlier one than that, one long past, one as it was.
        for resets in
            [&[20_u64][..], &[3_600_000, 30], &[35, 3_600_000, 40], &[1], &[45, 45], &[3_600_000, 2]]
        {
            for reset in resets {
                Pin::new(&mut timer).reset(at(*reset));
            }
            // An hour would be longer than any test may take.
            alarm(&mut timer).await;
            assert!(Instant::now() >= at(*resets.last().unwrap()), "{resets:?}");
        }
    }

    #[tokio::test]
    async fn an_earlier_time_counts_after_somebody_has_begun_to_wait() {
        let start = Instant::now();
        let mut timer = Timer::new(start);
        Pin::new(&mut timer).reset(start + Duration::from_secs(3600));
        let too_early = tokio::time::timeout(Duration::from_millis(5), alarm(&mut timer)).await;
        assert!(too_early.is_err(), "the alarm of the first time is none");
        Pin::new(&mut timer).reset(start + Duration::from_millis(10));
        alarm(&mut timer).await;
        assert!(start.elapsed() >= Duration::from_millis(10));
    }
}

//! Whether a connection is in use, so that whoever looks after it can sleep while it is not: a thousand idle connections cost no wake-ups.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use tokio::sync::Notify;

/// Counts the streams of one connection.
#[derive(Default)]
pub(crate) struct Activity {
    open: AtomicUsize,
    /// Whether somebody waits for the next stream. Looked at for each stream, while [`Notify`] has a lock.
    awaited: AtomicBool,
    begun: Notify,
}

/// Counts as one open stream until it is dropped.
pub(crate) struct Open(Arc<Activity>);

impl Activity {
    /// A stream has begun.
    pub(crate) fn begin(self: &Arc<Self>) -> Open {
        // Ordered before the look at `awaited`, as `begun` orders its own two steps the other way round: one of the two sees the other.
        self.open.fetch_add(1, Ordering::SeqCst);
        if self.awaited.load(Ordering::SeqCst) && self.awaited.swap(false, Ordering::SeqCst) {
            self.begun.notify_one();
        }
        Open(Arc::clone(self))
    }

    /// How many streams are open.
    pub(crate) fn open(&self) -> usize {
        self.open.load(Ordering::SeqCst)
    }

    /// Returns once a stream is open. For one waiter at a time.
    pub(crate) async fn begun(&self) {
        self.awaited.store(true, Ordering::SeqCst);
        while self.open() == 0 {
            self.begun.notified().await;
            self.awaited.store(true, Ordering::SeqCst);
        }
        self.awaited.store(false, Ordering::SeqCst);
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    #[tokio::test]
    async fn returns_for_an_open_stream_and_only_for_one() {
        let activity = Arc::new(Activity::default());
        assert!(activity.begun().now_or_never().is_none());
        let open = activity.begin();
        activity.begun().await;
        activity.begun().await;
        drop(open);
        assert_eq!(activity.open(), 0);
        // A notification of one that is over must not count.
        assert!(activity.begun().now_or_never().is_none());
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_stream_wakes_whoever_waits() {
        for _ in 0..200 {
            let activity = Arc::new(Activity::default());
            let waiting = tokio::spawn({
                let activity = Arc::clone(&activity);
                async move { activity.begun().await }
            });
            let _open = activity.begin();
            waiting.await.unwrap();
        }
    }
}

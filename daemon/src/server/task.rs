//! The tasks of one server: every connection and every HTTP/2 request, so that none outlives it.

use std::future::Future;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Cheap to clone; all clones are the same set of tasks.
#[derive(Clone, Default)]
pub(super) struct Tasks {
    tracker: TaskTracker,
    cut_off: CancellationToken,
}

impl Tasks {
    /// Runs `task` until it ends or is cut off. A panic ends that task alone.
    pub(super) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let cut_off = self.cut_off.clone();
        self.tracker.spawn(async move {
            tokio::select! {
                () = cut_off.cancelled() => {}
                () = task => {}
            }
        });
    }

    /// Waits for `drained` and all tasks up to `grace`, then cuts the rest off.
    pub(super) async fn finish(self, drained: impl Future<Output = ()>, grace: Duration) {
        self.tracker.close();
        let ended = async {
            drained.await;
            self.tracker.wait().await;
        };
        if tokio::time::timeout(grace, ended).await.is_err() {
            tracing::warn!(tasks = self.tracker.len(), "cutting off requests that did not end in time");
            self.cut_off.cancel();
            self.tracker.wait().await;
        }
    }
}

impl<T> hyper::rt::Executor<T> for Tasks
where
    T: Future<Output = ()> + Send + 'static,
{
    fn execute(&self, task: T) {
        self.spawn(task);
    }
}

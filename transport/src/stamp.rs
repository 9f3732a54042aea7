//! When something last happened, readable from many tasks.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::Instant;

/// A point in time that only moves forward. Clones share it.
#[derive(Clone)]
pub(crate) struct Stamp(Arc<Inner>);

struct Inner {
    base: Instant,
    millis: AtomicU64,
}

impl Stamp {
    /// It happened now.
    pub(crate) fn now() -> Self {
        Self(Arc::new(Inner { base: Instant::now(), millis: AtomicU64::new(0) }))
    }

    /// It happened again.
    pub(crate) fn touch(&self) {
        let millis = u64::try_from(self.0.base.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.0.millis.fetch_max(millis, Ordering::Relaxed);
    }

    /// When it happened last.
    pub(crate) fn last(&self) -> Instant {
        self.0.base + Duration::from_millis(self.0.millis.load(Ordering::Relaxed))
    }
}

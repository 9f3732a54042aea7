//! Connections on which nothing was asked yet: nobody waits for an answer there, so they end at once when the server is to stop.
//! Left to itself, HTTP/1 would wait for their first request until the time for its head is over.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::shutdown::Shutdown;

/// Whether one connection is still silent.
#[derive(Clone)]
pub(super) struct Silence {
    asked: Arc<AtomicBool>,
    shutdown: Shutdown,
}

impl Silence {
    pub(super) fn new(shutdown: Shutdown) -> Self {
        Self { asked: Arc::default(), shutdown }
    }

    /// A request has come.
    pub(super) fn broken(&self) {
        self.asked.store(true, Ordering::Relaxed);
    }

    /// Waits until the server is to stop; forever if a request has come by then.
    pub(super) async fn to_be_ended(&self) {
        self.shutdown.wait().await;
        if self.asked.load(Ordering::Relaxed) {
            std::future::pending::<()>().await;
        }
    }
}

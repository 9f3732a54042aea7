//! What the writer, the indexer and the callers of one open log share. Each lock is held for a few instructions only, never
//! while a file is touched.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use kogge_proto::wire::log::EntryPlace;

use crate::State;
use crate::index::LogIndex;
use crate::keys::LogKeys;
use crate::tree::Tree;
use crate::unstamped::Unstamped;
use crate::window::ReplayWindow;

/// How far the log is durable.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Mark {
    /// Newest durable entry.
    pub(crate) sequence: u64,
    /// Its segment.
    pub(crate) segment: u64,
    /// Where its frame ends.
    pub(crate) end: u64,
}

/// The mark up to which entries are durable; only the writer moves it, and only forward.
#[derive(Debug, Default)]
pub(crate) struct Durable(Mutex<Mark>);

impl Durable {
    pub(crate) fn new(mark: Mark) -> Self {
        Self(Mutex::new(mark))
    }

    pub(crate) fn get(&self) -> Mark {
        *locked(&self.0)
    }

    pub(crate) fn set(&self, mark: Mark) {
        *locked(&self.0) = mark;
    }
}

/// The state of an open log.
pub(crate) struct Live {
    pub(crate) state: Mutex<State>,
    pub(crate) durable: Arc<Durable>,
    pub(crate) window: Mutex<ReplayWindow>,
    pub(crate) unstamped: Mutex<Unstamped>,
    pub(crate) index: LogIndex,
    /// Over what is durable.
    pub(crate) tree: Mutex<Tree>,
    /// The newest durable erasure.
    pub(crate) last_erasure: Mutex<Option<EntryPlace>>,
    /// Text form of the server whose log it is.
    pub(crate) server: String,
    /// `None` if bodies are stored as they are.
    pub(crate) keys: Option<Arc<LogKeys>>,
}

/// Locks; a thread that panicked while it held the lock left nothing half-done, since every change is one assignment or one call.
pub(crate) fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

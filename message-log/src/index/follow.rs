//! Keeping the index up to date: one thread reads from the segments what the writer has made durable. Rebuilding is the same from the start.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, TryRecvError};
use std::time::{Duration, Instant};

use super::{Checkpoint, Index, RowsError};
use crate::acknowledged;
use crate::chain::Chain;
use crate::layout::Layout;
use crate::live::Live;
use crate::scan::{Bound, Item, Manner, Scan};
use crate::{LogError, Options};

/// Entries whose rows are applied in one batch: sled keeps the pages of a batch in memory whatever its cache.
const BATCH_ENTRIES_MAX: usize = 32;

/// Frame bytes read for one batch.
const BATCH_BYTES_MAX: u64 = 4 * 1024 * 1024;

/// The index is flushed when it was idle for this long; what a crash takes back is read again from the segments.
const FLUSH_AFTER: Duration = Duration::from_secs(1);

/// When the log closes, the index is brought up to date if it lags by no more than this; else the next start goes on.
const CLOSING_LAG_MAX: u64 = 10_000;

/// How long the log works without an index after there was no space for one, or none could be created.
const RETRY_AFTER: Duration = Duration::from_secs(60);

/// The thread that follows the writer.
pub(crate) struct Follower {
    layout: Layout,
    options: Options,
    live: Arc<Live>,
    /// An index whose rows were not counted yet; not used before.
    uncounted: Option<Index>,
    scan: Option<Scan>,
    /// When to try again to create an index.
    retry_at: Option<Instant>,
}

impl Follower {
    /// `index`: the one that recovery found in order, unless there is none.
    pub(crate) fn new(layout: Layout, options: Options, live: Arc<Live>, index: Option<Index>) -> Self {
        let retry_at = index.is_none().then(|| Instant::now() + RETRY_AFTER);
        let mut follower = Self { layout, options, live, uncounted: None, scan: None, retry_at };
        match index {
            Some(index) if index.is_counted_quickly() => follower.live.index.put(Arc::new(index)),
            index => follower.uncounted = index,
        }
        follower
    }

    /// Works until nobody can wake it any more.
    pub(crate) fn run(mut self, wake: &Receiver<()>) {
        self.count();
        let mut flushed = Instant::now();
        loop {
            if self.catch_up(wake) {
                return self.finish();
            }
            match wake.recv_timeout(FLUSH_AFTER) {
                Ok(()) if flushed.elapsed() < FLUSH_AFTER => continue,
                Ok(()) | Err(RecvTimeoutError::Timeout) => self.flush(),
                Err(RecvTimeoutError::Disconnected) => continue,
            }
            flushed = Instant::now();
            // With all flushed there is nothing to do before the next record; a closed channel is noticed by `catch_up`.
            let _ = wake.recv();
        }
    }

    fn count(&mut self) {
        let Some(index) = self.uncounted.take() else { return };
        match index.verify_count() {
            Ok(()) => self.live.index.put(Arc::new(index)),
            Err(error) => self.live.index.report(error),
        }
    }

    /// Brings the index up to the durable end of the log. Returns whether the log is closing.
    fn catch_up(&mut self, wake: &Receiver<()>) -> bool {
        loop {
            let closing = matches!(wake.try_recv(), Err(TryRecvError::Disconnected));
            let Some(index) = self.usable_index(Instant::now()) else { return closing };
            let lag = self.live.durable.get().sequence.saturating_sub(index.checkpoint().chain.sequence);
            if lag == 0 || (closing && lag > CLOSING_LAG_MAX) {
                return closing;
            }
            match self.advance(&index) {
                Ok(0) => return closing,
                Ok(_) => {}
                Err(FollowError::Rows(error)) => self.live.index.report(error),
                Err(FollowError::Log(error)) => {
                    // The segments are damaged: readers find out by themselves; without an index they read everything.
                    tracing::error!(%error, "the message log's index cannot follow");
                    self.live.index.clear();
                    return closing;
                }
            }
        }
    }

    fn advance(&mut self, index: &Index) -> Result<usize, FollowError> {
        let scan = match &mut self.scan {
            Some(scan) => scan,
            none => {
                let bound = Bound::Durable(self.live.durable.clone());
                none.insert(resume(&self.layout, &index.checkpoint(), bound)?)
            }
        };
        advance(scan, index)
    }

    /// The index; a new one if something was wrong with the old, or some time after there could be none.
    fn usable_index(&mut self, now: Instant) -> Option<Arc<Index>> {
        let complaint = self.live.index.take_complaint();
        if let Some(error) = &complaint {
            tracing::error!(%error, "the message log's index is rebuilt");
        }
        let is_due = self.retry_at.is_some_and(|at| at <= now);
        if complaint.is_some() || is_due {
            self.scan = None;
            let new = match complaint {
                Some(RowsError::Full) => {
                    give_up(&self.layout);
                    None
                }
                _ => replace(&self.layout, &self.options),
            };
            self.retry_at = new.is_none().then(|| now + RETRY_AFTER);
            if let Some(index) = new {
                self.live.index.put(Arc::new(index));
            }
        }
        self.live.index.get()
    }

    fn flush(&self) {
        let Some(index) = self.live.index.get() else { return };
        let chain = index.checkpoint().chain;
        match index.flush() {
            // After the index, so that an index which reaches less far than the note has lost rows.
            Ok(()) => note(&self.layout, chain),
            Err(error) => self.live.index.report(error),
        }
    }

    fn finish(&self) {
        self.flush();
        self.live.index.clear();
    }
}

fn note(layout: &Layout, chain: Chain) {
    // The old note still holds.
    if let Err(error) = acknowledged::write(layout, chain) {
        tracing::warn!(%error, "cannot note the newest acknowledged entry");
    }
}

/// Builds an index from its checkpoint on; `progress` is told entries done.
pub(crate) fn build(layout: &Layout, index: &Index, progress: &mut dyn FnMut(u64)) -> Result<u64, LogError> {
    let mut scan = resume(layout, &index.checkpoint(), Bound::Open)?;
    loop {
        match advance(&mut scan, index) {
            Ok(0) => break,
            Ok(_) => progress(index.checkpoint().chain.sequence),
            Err(FollowError::Log(error)) => return Err(error),
            Err(FollowError::Rows(error)) => return Err(LogError::Index(error.to_string())),
        }
    }
    index.flush().map_err(|error| LogError::Index(error.to_string()))?;
    Ok(index.checkpoint().chain.sequence)
}

/// Sets the index that is there aside and creates a blank one. If even that fails, the log works without: readers read the segments.
pub(crate) fn replace(layout: &Layout, options: &Options) -> Option<Index> {
    if let Err(error) = set_aside(layout, (options.clock)().0) {
        tracing::error!(%error, "cannot set the message log's index aside; the log works without");
        return None;
    }
    match Index::create(layout, options.index_cache_bytes) {
        Ok(index) => Some(index),
        Err(error) => {
            tracing::error!(%error, "cannot create an index; the message log works without");
            None
        }
    }
}

/// Removes the index, so that records have its space.
fn give_up(layout: &Layout) {
    if let Err(error) = remove(&layout.index()) {
        tracing::warn!(%error, "the message log's index cannot be removed to make space");
    }
}

/// Renames the index's directory, if there is one, to a name with the time. Of those that were set aside before, none is kept: an index
/// that fails again and again must not fill the disk.
fn set_aside(layout: &Layout, mut millis: i64) -> io::Result<()> {
    while layout.bad_index(millis).exists() {
        millis += 1;
    }
    let former = layout.bad_indexes()?;
    match std::fs::rename(layout.index(), layout.bad_index(millis)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        renamed => renamed.and_then(|()| former.iter().try_for_each(|path| remove(path))),
    }
}

fn remove(dir: &Path) -> io::Result<()> {
    match std::fs::remove_dir_all(dir) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        Ok(()) | Err(_) => Ok(()),
    }
}

#[derive(Debug, thiserror::Error)]
enum FollowError {
    #[error(transparent)]
    Rows(#[from] RowsError),
    #[error(transparent)]
    Log(#[from] LogError),
}

fn resume(layout: &Layout, from: &Checkpoint, bound: Bound) -> Result<Scan, LogError> {
    Scan::at(layout, from.segment, from.end, Some(from.chain), Manner::exclusive(bound))
}

/// Reads and applies the entries of one batch; returns how many.
fn advance(scan: &mut Scan, index: &Index) -> Result<usize, FollowError> {
    let mut items: Vec<Box<Item>> = Vec::new();
    let mut bytes = 0;
    while items.len() < BATCH_ENTRIES_MAX && bytes < BATCH_BYTES_MAX {
        let Some(item) = scan.next_intact()? else { break };
        bytes += item.end - item.offset;
        items.push(item);
    }
    if !items.is_empty() {
        index.apply(&items)?;
    }
    Ok(items.len())
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;
    use crate::State;
    use crate::fixture;
    use crate::index::IndexSlot;
    use crate::live::{Durable, Mark};
    use crate::unstamped::Unstamped;
    use crate::window::ReplayWindow;

    fn follower(dir: &Path) -> Follower {
        let options = fixture::options();
        let live = Live {
            state: Mutex::new(State::Writable),
            durable: Arc::new(Durable::new(Mark::default())),
            window: Mutex::new(ReplayWindow::new(options.replay_window)),
            unstamped: Mutex::new(Unstamped::default()),
            index: IndexSlot::default(),
        };
        Follower::new(Layout::new(dir), options, Arc::new(live), None)
    }

    fn names(dir: &Path) -> Vec<String> {
        let entries = std::fs::read_dir(dir).unwrap();
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }

    #[test]
    fn on_a_full_disk_the_index_makes_room_and_comes_back_later() {
        let dir = tempfile::tempdir().unwrap();
        let mut follower = follower(dir.path());
        let now = Instant::now();
        assert!(follower.usable_index(now).is_none());
        assert!(follower.usable_index(now + 2 * RETRY_AFTER).is_some());
        follower.live.index.report(RowsError::Full);
        let later = now + 3 * RETRY_AFTER;
        assert!(follower.usable_index(later).is_none());
        assert_eq!(names(dir.path()), Vec::<String>::new());
        assert!(follower.usable_index(later + RETRY_AFTER / 2).is_none());
        assert!(follower.usable_index(later + RETRY_AFTER).is_some());
        assert_eq!(names(dir.path()), ["index"]);
    }

    #[test]
    fn of_the_indexes_that_were_set_aside_only_the_last_is_kept() {
        let dir = tempfile::tempdir().unwrap();
        let mut follower = follower(dir.path());
        for _ in 0..4 {
            follower.live.index.report(RowsError::Failed("as asked".to_owned()));
            assert!(follower.usable_index(Instant::now()).is_some());
        }
        let mut names = names(dir.path());
        names.sort_unstable();
        let [index, bad] = names.try_into().unwrap();
        assert_eq!(index, "index");
        assert!(bad.starts_with("index.bad-"), "{bad}");
    }
}

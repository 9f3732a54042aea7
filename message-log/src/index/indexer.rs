//! The thread that writes the index of sealed segments, and fills what is missing by reading segments again.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use kogge_proto::time::UnixMillis;

use super::{Archive, MemoryIndex, Note, Recent, RowsError, Summary};
use crate::acknowledged;
use crate::chain::Chain;
use crate::layout::Layout;
use crate::live::{Live, locked};
use crate::scan::{Bound, Manner, Scan};
use crate::{LogError, Options};

/// The newest entry is noted when the log was idle for this long: while it goes on, each entry proves those before it.
const NOTE_AFTER: Duration = Duration::from_secs(1);

/// How long the log works without the index of new segments after there was no space for it, or it could not be written.
const RETRY_AFTER: Duration = Duration::from_secs(60);

/// After a segment was read again, the indexer rests this many times as long, so that exchanges keep the processor and the disk.
const REST_FACTOR: u32 = 3;

/// Unstamped messages that are copied while the writer waits.
const UNSTAMPED_PIECE: usize = 1024;

/// When the log closes, gaps are filled if they have no more bytes than this; else the next start goes on.
const CLOSING_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// The indexer's state; owned by its thread.
pub(crate) struct Indexer {
    layout: Layout,
    options: Options,
    live: Arc<Live>,
    /// The entry that was noted as acknowledged.
    noted: Chain,
    /// When to try again after a failure.
    retry_at: Option<Instant>,
    rest_until: Option<Instant>,
}

impl Indexer {
    pub(crate) fn new(layout: Layout, options: Options, live: Arc<Live>) -> Self {
        // What recovery found may not have been synced: it is noted with the first group that is.
        let noted = live.index.chain();
        Self { layout, options, live, noted, retry_at: None, rest_until: None }
    }

    /// Works until nobody can wake it any more.
    pub(crate) fn run(mut self, wake: &Receiver<()>) {
        self.verify_summaries();
        loop {
            while self.work(Instant::now()) {}
            let before = self.live.index.chain();
            let woken = match self.timeout(Instant::now(), before) {
                Some(timeout) => wake.recv_timeout(timeout),
                None => self.sleep(wake, before),
            };
            match woken {
                Ok(()) => {}
                Err(RecvTimeoutError::Timeout) if self.live.index.chain() == before => self.note(before),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return self.finish(),
            }
        }
    }

    /// Does one piece of work; returns whether there may be more.
    fn work(&mut self, now: Instant) -> bool {
        if let Some((segment, error)) = self.live.index.take_complaint() {
            self.set_aside(segment, &error, now);
            return true;
        }
        if self.retry_at.is_some_and(|at| now < at) {
            return false;
        }
        if let Some(index) = self.live.index.first_sealed() {
            return self.store(&index, now);
        }
        if self.rest_until.is_some_and(|until| now < until) {
            return false;
        }
        let Some(segment) = self.first_missing() else { return false };
        let goes_on = self.fill(segment, now);
        self.rest_until = Some(Instant::now() + now.elapsed() * REST_FACTOR);
        goes_on
    }

    /// Reads a segment again and stores its index.
    fn fill(&mut self, segment: u64, now: Instant) -> bool {
        match read_segment(&self.layout, segment) {
            Ok(index) => self.store(&index, now),
            Err(error) => {
                // Whoever looks for something in it finds out by itself; without an index it is read each time.
                tracing::error!(segment, %error, "the message log's index cannot be rebuilt");
                locked(&self.live.index.missing).remove(&segment);
                true
            }
        }
    }

    fn store(&mut self, index: &MemoryIndex, now: Instant) -> bool {
        let segment = index.outline.segment;
        // A crash in between leaves a segment without a summary, which is stored again.
        match self.keep_recent(index).and_then(|()| self.live.index.archive.store(index)) {
            Ok(()) => {
                self.live.index.stored(segment);
                self.retry_at = None;
                return true;
            }
            Err(RowsError::Full) => self.give_up(segment),
            Err(error) => self.set_aside(segment, &error, now),
        }
        self.retry_at = Some(now + RETRY_AFTER);
        false
    }

    /// Keeps what the next start needs of the segment, and forgets what it needs no more of older ones.
    fn keep_recent(&self, index: &MemoryIndex) -> Result<(), RowsError> {
        kogge_durable::create_dir(&self.layout.index(), true)?;
        let window = locked(&self.live.window).start((self.options.clock)());
        let unstamped_from = locked(&self.live.unstamped).oldest(1).first().copied().unwrap_or(u64::MAX);
        let recent = Recent::of(index, self.unstamped_in(index));
        if !recent.is_past(window, unstamped_from) {
            recent.write(&self.layout, index.outline.segment)?;
        }
        for segment in self.layout.recents().map_err(|error| RowsError::Failed(error.to_string()))? {
            let is_needed = matches!(
                Recent::read(&self.layout, segment), Ok(Some(recent)) if !recent.is_past(window, unstamped_from)
            );
            if is_needed {
                break;
            }
            // If it stays, it is tried again with the next segment.
            let _ = std::fs::remove_file(self.layout.recent(segment));
        }
        Ok(())
    }

    /// The segment's messages that no stamp covers; in pieces, so that the writer never waits for long.
    fn unstamped_in(&self, index: &MemoryIndex) -> Vec<(u64, UnixMillis)> {
        let (mut first, last) = (index.outline.first_sequence, index.chain.sequence);
        let mut found: Vec<(u64, UnixMillis)> = Vec::new();
        loop {
            let piece = locked(&self.live.unstamped).among(first..=last, UNSTAMPED_PIECE);
            let Some((newest, _)) = piece.last() else { return found };
            first = newest + 1;
            found.extend(piece);
        }
    }

    fn set_aside(&mut self, segment: u64, error: &RowsError, now: Instant) {
        tracing::error!(segment, %error, "the message log's index is rebuilt from this segment on");
        if *error == RowsError::Full {
            self.retry_at = Some(now + RETRY_AFTER);
            return self.give_up(segment);
        }
        if let Err(error) = self.live.index.archive.set_aside(segment, (self.options.clock)().0) {
            tracing::error!(%error, "cannot set the message log's index aside; the log works without");
            self.retry_at = Some(now + RETRY_AFTER);
        }
        self.live.index.lost(Archive::neighbours(segment));
    }

    /// Makes room for records.
    fn give_up(&self, segment: u64) {
        if let Err(error) = self.live.index.archive.give_up(segment) {
            tracing::warn!(%error, "the message log's index cannot be removed to make space");
        }
        self.live.index.lost(Archive::neighbours(segment));
    }

    /// Looks at each summary once, so that a wrong one is rebuilt before somebody needs it.
    fn verify_summaries(&self) {
        let newest = self.live.durable.get().segment;
        let missing = locked(&self.live.index.missing).clone();
        for segment in (1..newest).filter(|segment| !missing.contains(segment)) {
            if let Err(error) = Summary::open(&self.layout, segment) {
                self.live.index.report(segment, error);
            }
        }
    }

    /// How long to wait; `None` until there is a new entry.
    fn timeout(&self, now: Instant, newest: Chain) -> Option<Duration> {
        let has_work = self.first_missing().is_some() || self.live.index.first_sealed().is_some();
        let due = self
            .retry_at
            .or(self.rest_until)
            .filter(|_| has_work)
            .map(|at| at.saturating_duration_since(now));
        let note = (newest != self.noted).then_some(NOTE_AFTER);
        due.into_iter().chain(note).min()
    }

    /// Waits for the next entry.
    fn sleep(&self, wake: &Receiver<()>, newest: Chain) -> Result<(), RecvTimeoutError> {
        let asleep = &self.live.index.asleep;
        asleep.store(true, Ordering::SeqCst);
        // An entry that came before we were seen to sleep wakes nobody.
        let woken = if self.live.index.chain() == newest {
            wake.recv().map_err(|_| RecvTimeoutError::Disconnected)
        } else {
            Ok(())
        };
        asleep.store(false, Ordering::SeqCst);
        woken
    }

    /// Notes that this entry was acknowledged.
    fn note(&mut self, newest: Chain) {
        if newest == self.noted {
            return;
        }
        // The old note still holds.
        if let Err(error) = acknowledged::write(&self.layout, newest) {
            tracing::warn!(%error, "cannot note the newest acknowledged entry");
        }
        self.noted = newest;
    }

    fn finish(mut self) {
        let now = Instant::now();
        while let Some((segment, error)) = self.live.index.take_complaint() {
            self.set_aside(segment, &error, now);
        }
        while self.live.index.first_sealed().is_some_and(|index| self.store(&index, now)) {}
        let length =
            |segment: &u64| std::fs::metadata(self.layout.segment(*segment)).map_or(0, |file| file.len());
        let bytes: u64 = locked(&self.live.index.missing).iter().map(length).sum();
        while bytes <= CLOSING_BYTES_MAX
            && self.first_missing().is_some_and(|segment| self.fill(segment, now))
        {}
        self.note(self.live.index.chain());
    }

    fn first_missing(&self) -> Option<u64> {
        locked(&self.live.index.missing).first().copied()
    }
}

/// Reads a sealed segment.
pub(crate) fn read_segment(layout: &Layout, segment: u64) -> Result<MemoryIndex, LogError> {
    let mut scan = Scan::segment(layout, segment, None, Manner::exclusive(Bound::Open))?;
    let mut index = None;
    while let Some(item) = scan.next_intact()?.filter(|item| item.segment == segment) {
        let sequence = item.entry.sequence;
        let index = index.get_or_insert_with(|| MemoryIndex::new(segment, sequence));
        index.add(&Note::of(&item.entry, item.offset));
        index.reach(Chain { sequence, hash: item.hash }, item.end);
    }
    Ok(index.unwrap_or_else(|| MemoryIndex::new(segment, 0)))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;
    use std::sync::Mutex;

    use super::*;
    use crate::index::LogIndex;
    use crate::live::{Durable, Mark};
    use crate::unstamped::Unstamped;
    use crate::window::ReplayWindow;
    use crate::{MessageLog, State, fixture};

    /// An indexer of a log with sealed segments, whose index is missing.
    fn indexer(dir: &Path) -> Indexer {
        let options = fixture::small_segments();
        let (log, _) = MessageLog::open(dir, options.clone()).unwrap();
        fixture::append_requests(&log, 0..250);
        log.close();
        std::fs::remove_dir_all(dir.join("index")).unwrap();
        let layout = Layout::new(dir);
        let last = layout.segment_numbers().unwrap().pop().unwrap();
        assert!(last > 4);
        let growing = read_segment(&layout, last).unwrap();
        let mark = Mark { segment: last, ..Mark::default() };
        let missing: BTreeSet<u64> = (1..last).collect();
        let live = Live {
            state: Mutex::new(State::Writable),
            durable: Arc::new(Durable::new(mark)),
            window: Mutex::new(ReplayWindow::new(options.replay_window)),
            unstamped: Mutex::new(Unstamped::default()),
            index: LogIndex::new(layout.clone(), options.index_cache_bytes, growing, missing),
            tree: Mutex::default(),
            last_erasure: Mutex::default(),
            server: options.server.to_string(),
            keys: None,
        };
        Indexer::new(layout, options, Arc::new(live))
    }

    /// Works off everything, resting or not.
    fn work_off(indexer: &mut Indexer, now: Instant) {
        while indexer.work(now) {
            indexer.rest_until = None;
        }
    }

    fn missing(indexer: &Indexer) -> usize {
        locked(&indexer.live.index.missing).len()
    }

    fn set_aside(dir: &Path) -> usize {
        Layout::new(dir).bad_indexes().unwrap().len()
    }

    #[test]
    fn what_is_missing_is_filled_and_the_indexer_rests_in_between() {
        let dir = tempfile::tempdir().unwrap();
        let mut indexer = indexer(dir.path());
        let (now, before) = (Instant::now(), missing(&indexer));
        assert!(indexer.work(now));
        assert!(!indexer.work(now), "rests");
        assert_eq!(missing(&indexer), before - 1);
        assert!(indexer.timeout(now, indexer.noted).is_some());
        indexer.rest_until = None;
        work_off(&mut indexer, now);
        assert_eq!(missing(&indexer), 0);
        assert_eq!(Layout::new(dir.path()).summaries().unwrap().len(), before);
        assert_eq!(indexer.timeout(now, indexer.noted), None, "sleeps until there is a new entry");
    }

    #[test]
    fn on_a_full_disk_the_index_makes_room_and_comes_back_later() {
        let dir = tempfile::tempdir().unwrap();
        let mut indexer = indexer(dir.path());
        let now = Instant::now();
        let before = missing(&indexer);
        work_off(&mut indexer, now);
        indexer.live.index.report(2, RowsError::Full);
        work_off(&mut indexer, now);
        assert_eq!(missing(&indexer), before);
        let layout = Layout::new(dir.path());
        assert!(layout.summaries().unwrap().is_empty() && !layout.blocks(1).exists());
        work_off(&mut indexer, now + RETRY_AFTER / 2);
        assert_eq!(missing(&indexer), before);
        work_off(&mut indexer, now + RETRY_AFTER);
        assert_eq!((missing(&indexer), set_aside(dir.path())), (0, 0));
    }

    #[test]
    fn of_the_indexes_that_were_set_aside_only_the_last_is_kept() {
        let dir = tempfile::tempdir().unwrap();
        let mut indexer = indexer(dir.path());
        for _ in 0..3 {
            work_off(&mut indexer, Instant::now());
            indexer.live.index.report(2, RowsError::Failed("as asked".to_owned()));
        }
        work_off(&mut indexer, Instant::now());
        assert_eq!((missing(&indexer), set_aside(dir.path())), (0, 1));
    }

    #[test]
    fn a_damaged_segment_keeps_no_other_from_being_indexed() {
        let dir = tempfile::tempdir().unwrap();
        let mut indexer = indexer(dir.path());
        let sealed = missing(&indexer);
        let second = Layout::new(dir.path()).segment(2);
        let mut bytes = std::fs::read(&second).unwrap();
        bytes[1000] ^= 1;
        std::fs::write(&second, bytes).unwrap();
        work_off(&mut indexer, Instant::now());
        let summaries = Layout::new(dir.path()).summaries().unwrap();
        assert_eq!((missing(&indexer), summaries.len()), (0, sealed - 1));
        assert!(!summaries.contains(&2));
    }
}

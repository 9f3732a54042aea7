//! An open log: its threads, and what callers see of them.

use std::path::Path;
use std::sync::mpsc::sync_channel;
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};

use kogge_durable::DirLock;
use kogge_proto::digest::Sha256;
use kogge_proto::time::UnixMillis;
use kogge_proto::wire::log::{Erasure, StampRecord};

use crate::bodies;
use crate::disk::{Disk, RealDisk};
use crate::erasing::carry_out_all;
use crate::index::{Indexer, LogIndex};
use crate::job::{Job, Told, Work};
use crate::keys::LogKeys;
use crate::layout::Layout;
use crate::live::{Durable, Live, Mark, locked};
use crate::prepared::Prepared;
use crate::queue::{Limits, Queue};
use crate::recovery::{Recovered, recover};
use crate::tree;
use crate::turns::Turns;
use crate::window::RequestKey;
use crate::writer::{QUEUE, Writer};
use crate::{Acknowledge, Durability, LogError, NewMessage, Options, Reader, Recovery, State};

/// What may wait until its body is synced. Of the bodies nothing is in memory.
const BODIES_QUEUE: Limits = Limits { jobs: 256, bytes: QUEUE.bytes };

/// A log open for writing: one per directory. Cheap to clone; the log's threads end when [`MessageLog::close`] is called or the last
/// clone is dropped.
#[derive(Clone)]
pub struct MessageLog {
    inner: Arc<Inner>,
}

impl MessageLog {
    /// Opens the log in `dir`, creating it if the directory is empty. Cuts a torn tail (keeping the bytes in a `*.torn` file), checks the
    /// index or begins to rebuild it, empties the spool.
    ///
    /// # Errors
    /// The directory cannot be used, another process has it open, or acknowledged entries are damaged.
    pub fn open(dir: &Path, options: Options) -> Result<(Self, Recovery), LogError> {
        Self::open_on(dir, options, Box::new(RealDisk))
    }

    pub(crate) fn open_on(
        dir: &Path,
        options: Options,
        disk: Box<dyn Disk>,
    ) -> Result<(Self, Recovery), LogError> {
        let layout = Layout::new(dir);
        kogge_durable::create_dir(layout.root(), true)?;
        let lock = DirLock::acquire(layout.root())?;
        for part in [layout.segments(), layout.bodies(), layout.spool()] {
            kogge_durable::create_dir(&part, true)?;
        }
        let keys = match &options.log_key {
            Some(key) => {
                kogge_durable::create_dir(&layout.keys(), true)?;
                Some(Arc::new(LogKeys::new(layout.clone(), key.clone())))
            }
            None => None,
        };
        let recovered = recover(&layout, &options, keys.as_deref(), disk.as_ref())?;
        if let Some(keys) = &keys {
            carry_out_all(&layout, keys, recovered.last_erasure)?;
        }
        let report = recovered.report.clone();
        let inner = Inner::start(layout, options, disk, (recovered, keys), lock)?;
        Ok((Self { inner: Arc::new(inner) }, report))
    }

    /// Where bodies on their way in are to be spooled.
    #[must_use]
    pub fn spool_dir(&self) -> Arc<Path> {
        self.inner.spool.clone()
    }

    /// Appends a message; `acknowledge` is called once it is as durable as asked for, or was refused. Never waits for a sync or for another thread: at most, what is to be
    /// written at once is written on this thread, with one call into the operating system's cache. While as many records wait as may, it is refused as
    /// [`crate::AppendError::Busy`].
    pub fn append(&self, message: NewMessage, durability: Durability, acknowledge: Acknowledge) {
        drop(self.append_before_sync(message, durability, acknowledge));
    }

    /// As [`MessageLog::append`], but where a sync is needed, nobody begins it for this record before what is returned is dropped. A runtime lets those first that are ready to
    /// run: what they append shares the sync, and nobody waits for anybody who is not there yet.
    pub fn append_before_sync(
        &self,
        message: NewMessage,
        durability: Durability,
        acknowledge: Acknowledge,
    ) -> Option<SyncNow> {
        match Prepared::new(message, durability, self.inner.live.keys.as_deref()) {
            Ok(prepared) => self.inner.send(Job { work: Work::Message(Box::new(prepared)), acknowledge }),
            Err(error) => {
                Told { acknowledge, outcome: Err(error) }.call();
                None
            }
        }
    }

    /// Hands a timestamp batch to the writer. It must build on [`MessageLog::last_root`] and cover only records that wait for a stamp.
    pub fn append_stamp(&self, stamp: StampRecord, acknowledge: Acknowledge) {
        self.inner.queues.turns.leave(Job { work: Work::Stamp(Box::new(stamp)), acknowledge });
    }

    /// Hands an erasure to the writer; what it says was checked.
    pub(crate) fn append_erasure(&self, erasure: Erasure, acknowledge: Acknowledge) {
        self.inner.queues.turns.leave(Job { work: Work::Erasure(Box::new(erasure)), acknowledge });
    }

    pub(crate) fn parts(&self) -> (&Layout, &Live) {
        (&self.inner.layout, &self.inner.live)
    }

    /// Whether a provider-side request with this request id was appended within the replay window. The append itself refuses a replay
    /// as well, so two at once cannot both pass.
    #[must_use]
    pub fn seen_request(&self, request_id: &str) -> bool {
        let key = RequestKey::of(request_id);
        locked(&self.inner.live.window).contains(key, (self.inner.clock)())
    }

    /// Sequences of message records that no stamp covers yet, oldest first, at most `limit`.
    #[must_use]
    pub fn unstamped(&self, limit: usize) -> Vec<u64> {
        locked(&self.inner.live.unstamped).oldest(limit)
    }

    /// How many message records no stamp covers yet.
    #[must_use]
    pub fn unstamped_count(&self) -> usize {
        locked(&self.inner.live.unstamped).len()
    }

    /// When the oldest record that no stamp covers yet was appended.
    #[must_use]
    pub fn oldest_unstamped(&self) -> Option<UnixMillis> {
        locked(&self.inner.live.unstamped).oldest_time()
    }

    /// Root of the newest stamp: the first leaf of the next batch's tree.
    #[must_use]
    pub fn last_root(&self) -> Option<Sha256> {
        locked(&self.inner.live.unstamped).last_root()
    }

    /// Whether the log takes records.
    #[must_use]
    pub fn state(&self) -> State {
        locked(&self.inner.live.state).clone()
    }

    /// A reader of this log that uses its index.
    #[must_use]
    pub fn reader(&self) -> Reader {
        Reader::of(self.inner.layout.clone(), self.inner.live.clone())
    }

    /// Writes out what was handed over, flushes the index, releases the lock. Blocks.
    pub fn close(&self) {
        self.inner.close();
    }
}

/// Has the log sync what was appended, when it is dropped.
#[derive(Debug)]
#[must_use = "the sync begins when it is dropped"]
pub struct SyncNow(Arc<Queues>);

impl Drop for SyncNow {
    fn drop(&mut self) {
        self.0.turns.call();
    }
}

/// The queues into the log's threads.
struct Queues {
    /// For records whose bodies have to be synced first.
    bodies: Queue<Job>,
    turns: Turns,
}

impl std::fmt::Debug for Queues {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Queues").finish_non_exhaustive()
    }
}

/// Lets nothing more in where nobody works any more.
struct Abandon<F: Fn()>(F);

impl<F: Fn()> Drop for Abandon<F> {
    fn drop(&mut self) {
        (self.0)();
    }
}

struct Inner {
    layout: Layout,
    clock: fn() -> UnixMillis,
    spool: Arc<Path>,
    live: Arc<Live>,
    queues: Arc<Queues>,
    threads: Mutex<Vec<JoinHandle<()>>>,
    /// Held by the threads too: the directory is free when the last of them has ended.
    lock: Mutex<Option<Arc<DirLock>>>,
}

impl Inner {
    fn start(
        layout: Layout,
        options: Options,
        disk: Box<dyn Disk>,
        (recovered, keys): (Recovered, Option<Arc<LogKeys>>),
        lock: DirLock,
    ) -> Result<Self, LogError> {
        let Recovered { segment, chain, window, unstamped, last_erasure, tree, index, unindexed, .. } =
            recovered;
        let mark = Mark { sequence: chain.sequence, segment: segment.number, end: segment.tail };
        let live = Arc::new(Live {
            state: Mutex::new(State::Writable),
            durable: Arc::new(Durable::new(mark)),
            window: Mutex::new(window),
            unstamped: Mutex::new(unstamped),
            index: LogIndex::new(layout.clone(), options.index_cache_bytes, index, unindexed),
            last_erasure: Mutex::new(last_erasure),
            tree: Mutex::new(tree),
            server: options.server.to_string(),
            keys,
        });
        let lock = Arc::new(lock);
        // One pending wake-up says as much as many.
        let (wake, woken) = sync_channel(1);
        let is_tree_whole = locked(&live.tree).is_whole();
        let indexer = Indexer::new(layout.clone(), options.clone(), live.clone());
        let clock = options.clock;
        let writer = Writer::new(layout.clone(), options, disk, live.clone(), wake, (segment, chain));
        let queues = Arc::new(Queues { bodies: Queue::new(BODIES_QUEUE), turns: Turns::new(QUEUE, writer) });
        let inner = Self {
            spool: Arc::from(layout.spool()),
            layout,
            clock,
            live,
            queues: queues.clone(),
            threads: Mutex::new(Vec::new()),
            lock: Mutex::new(Some(lock.clone())),
        };
        inner.spawn("log-index", lock.clone(), move || indexer.run(&woken))?;
        if !is_tree_whole {
            let (layout, live) = (inner.layout.clone(), inner.live.clone());
            inner.spawn("log-tree", lock.clone(), move || tree::complete(&layout, &live))?;
        }
        let writers = queues.clone();
        inner.spawn("log-writer", lock.clone(), move || {
            let _abandon = Abandon(|| writers.turns.abandon());
            writers.turns.run();
        })?;
        inner.spawn("log-bodies", lock, move || {
            let _abandon = Abandon(|| queues.bodies.abandon());
            bodies::sync_spooled(&queues.bodies, &queues.turns);
            // Now nothing comes from here any more.
            queues.turns.close();
        })?;
        Ok(inner)
    }

    fn spawn(
        &self,
        name: &str,
        lock: Arc<DirLock>,
        work: impl FnOnce() + Send + 'static,
    ) -> Result<(), LogError> {
        let handle = thread::Builder::new()
            .name(name.to_owned())
            .spawn(move || {
                work();
                drop(lock);
            })
            .map_err(|error| {
                // Nobody takes what is appended, and the other threads end.
                self.queues.turns.abandon();
                LogError::io("start a thread for", self.layout.root())(error)
            })?;
        locked(&self.threads).push(handle);
        Ok(())
    }

    fn send(&self, job: Job) -> Option<SyncNow> {
        let Queues { bodies, turns } = self.queues.as_ref();
        if job.spooled().is_some() {
            if job.hand_to(bodies) {
                bodies.call();
            }
            return None;
        }
        turns.append(job).then(|| SyncNow(self.queues.clone()))
    }

    fn close(&self) {
        // The thread behind it then closes the writer's.
        self.queues.bodies.close();
        locked(&self.live.tree).abandon();
        let mut threads = locked(&self.threads);
        // The last clone may be dropped by a callback on one of our own threads. Waiting there for the others would never end; they
        // all end by themselves after it.
        let is_callback = threads.iter().any(|handle| handle.thread().id() == thread::current().id());
        for handle in threads.drain(..).filter(|_| !is_callback) {
            if handle.join().is_err() {
                tracing::error!("a thread of the message log panicked");
            }
        }
        *locked(&self.live.state) = State::Closed;
        drop(locked(&self.lock).take());
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.close();
    }
}

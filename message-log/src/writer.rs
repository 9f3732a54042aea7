//! Writing: takes what is queued, writes it as one group, syncs if somebody waits for that, acknowledges. On whose thread: see [`crate::turns`].
//!
//! The log has two ends: up to the *written* one there are frames in the file, up to the *durable* one they are synced. Everything that others go by (readers, the
//! index, stamps, `durable_sequence`) goes by the durable end.
//!
//! | a crash …                                     | leaves behind                                                             |
//! |-----------------------------------------------|---------------------------------------------------------------------------|
//! | after bodies were moved                       | bodies without a record: removed at the next start                        |
//! | while or after the frames are written         | whole or torn frames: kept or cut at the next start. If only the process died, all that was acknowledged as [`Durability::WithNext`] is whole |
//! | after the sync, before acknowledging          | durable records of exchanges that did not go on                           |
//! | while a segment is created                    | a blank file: replaced at the next start                                  |
//!
//! Two kinds of failure, kept apart:
//! - *The disk is full.* What was written of the group is taken back, the group refused, and the next append tries again.
//! - *Anything else.* What the disk holds after the durable end is in doubt, for good: after a failed sync the operating system
//!   may call the next one a success although the bytes are gone. The segment is sealed: nothing is written to it again, and a note beside it
//!   says where the durable frames end. Appends are refused until a new segment was created, written and synced; it continues the chain
//!   from the last durable entry and repeats where the sealed segment ends. So what was refused never counts as an entry, and what was acknowledged as
//!   [`Durability::WithNext`] and is lost now takes with it what would follow it ([`AppendError::Orphaned`]). If the
//!   disk takes neither the note nor a new segment and the process dies, the next start may find refused frames intact and keep them: a log may hold
//!   records of exchanges that did not happen, never miss one that did.

mod syncing;

use std::collections::HashSet;
use std::io;
use std::mem::take;
use std::sync::Arc;
use std::sync::mpsc::SyncSender;
use std::time::{Duration, Instant};

use kogge_proto::wire::log::{Erasure, StampRecord};
use prost::Message;

use self::syncing::Unsynced;
use crate::bodies::Moved;
use crate::chain::Chain;
use crate::disk::Disk;
use crate::draft::{Draft, Effect, Waiting};
use crate::failing::Health;
use crate::frame::{HEADER_BYTES, PAYLOAD_BYTES_MAX};
use crate::incarnation::Incarnations;
use crate::job::{Job, Told, Work};
use crate::layout::Layout;
use crate::live::{Live, Mark, locked};
use crate::next_segment::{self, Previous};
use crate::prepared::{Prepared, PreparedStamp};
use crate::queue::Limits;
use crate::segment::Segment;
use crate::stored::HEAD_BYTES_MAX;
use crate::window::RequestKey;
use crate::{Acknowledge, AppendError, Durability, Options};

/// What may wait for the writer: more records than there are exchanges at once, or what a slow disk writes within a second.
pub(crate) const QUEUE: Limits = Limits { jobs: 4096, bytes: 32 * 1024 * 1024 };

/// A group is closed at this size: what a slow disk writes within a few tens of milliseconds.
const GROUP_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Records that whoever appends may write while a sync is under way; more stay in the queue, so that what a disk that hangs costs in memory is bounded.
const UNSYNCED_MAX: usize = 1024;

/// Within this time a record becomes durable that was acknowledged as [`Durability::WithNext`].
pub const SYNC_WITHIN: Duration = Duration::from_millis(50);

/// How often a log that does not take records tries again by itself.
const RETRY: Duration = Duration::from_secs(1);

/// The writer's state; whose turn it is has it, see [`crate::turns`].
pub(crate) struct Writer {
    pub(crate) layout: Layout,
    pub(crate) options: Options,
    pub(crate) disk: Box<dyn Disk>,
    pub(crate) live: Arc<Live>,
    /// Wakes the indexer; a full channel means that it is awake.
    pub(crate) indexer: SyncSender<()>,
    pub(crate) segment: Segment,
    /// The written end.
    pub(crate) chain: Chain,
    /// The durable end.
    pub(crate) durable: Chain,
    unsynced: Unsynced,
    /// What the sync under way, or the next, is about. Empty but while it is under way.
    syncing: Unsynced,
    /// The written end and where its frame ends, when that sync began.
    syncing_end: (Chain, u64),
    /// Provider-side requests that are not durable yet.
    requests: HashSet<RequestKey>,
    pub(crate) incarnations: Incarnations,
    pub(crate) health: Health,
    pub(crate) draft: Draft,
    /// Space for jobs, of which the queue uses the other half.
    jobs: Vec<Job>,
    /// Jobs that whoever appends cannot do, oldest first.
    left: Vec<Job>,
    /// A write of whoever appends failed: what the draft holds may stand in the file in part.
    failed: Option<io::Error>,
    /// Whom to tell what, once the writer is given back.
    told: Vec<Told>,
}

/// What is left to do after jobs were taken.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Left {
    /// A sync, before long.
    SyncWithin,
    /// What the log's thread is to be called for.
    Call,
}

impl Writer {
    /// A writer that goes on after `chain` at the tail of `segment`.
    pub(crate) fn new(
        layout: Layout,
        options: Options,
        disk: Box<dyn Disk>,
        live: Arc<Live>,
        indexer: SyncSender<()>,
        (segment, chain): (Segment, Chain),
    ) -> Self {
        let incarnations = Incarnations::default();
        let mut draft = Draft::default();
        draft.begin(chain, chain, incarnations.current());
        Self {
            draft,
            layout,
            options,
            disk,
            live,
            indexer,
            segment,
            chain,
            durable: chain,
            unsynced: Unsynced::default(),
            syncing: Unsynced::default(),
            syncing_end: (chain, 0),
            requests: HashSet::new(),
            incarnations,
            health: Health::Sound,
            jobs: Vec::new(),
            left: Vec::new(),
            failed: None,
            told: Vec::new(),
        }
    }

    /// Whether whoever appends may take jobs.
    pub(crate) fn is_open(&self) -> bool {
        let unsynced = self.draft.waiting.len() + self.unsynced.waiting.len();
        self.health.is_sound() && self.failed.is_none() && self.left.is_empty() && unsynced < UNSYNCED_MAX
    }

    /// Takes the jobs on the thread of whoever appends, as far as that needs no more of the disk than one write into space that is there; leaves the others for the
    /// log's thread. Only while [`Self::is_open`]. `queued` is given an empty list to be filled.
    pub(crate) fn take_at_once(&mut self, queued: impl FnOnce(&mut Vec<Job>)) -> Left {
        let mut jobs = take(&mut self.jobs);
        queued(&mut jobs);
        for job in jobs.drain(..) {
            let job = if self.left.is_empty() { self.try_take(job) } else { Err(job) };
            self.left.extend(job.err());
        }
        self.jobs = jobs;
        // Who waits for a sync waits for the write as well: that is left to the log's thread, with all that come until then.
        if self.draft.is_noted
            && let Err(error) = self.segment.write(&self.draft.frames)
        {
            self.failed = Some(error);
        } else if self.draft.is_noted {
            self.written();
        }
        let is_urgent = self.draft.is_urgent() || self.unsynced.is_urgent;
        if is_urgent || self.failed.is_some() || !self.left.is_empty() {
            Left::Call
        } else {
            Left::SyncWithin
        }
    }

    fn try_take(&mut self, job: Job) -> Result<(), Job> {
        match job.work {
            Work::Message(prepared) if prepared.spooled.is_none() => {
                let needed = self.bytes_needed(&prepared);
                if !self.segment.has_space(self.draft.frames.len() + needed) {
                    return Err(Job { work: Work::Message(prepared), ..job });
                }
                let admitted = self.admit(*prepared, |_| Ok(()));
                self.wait(admitted, job.acknowledge);
                Ok(())
            }
            work => Err(Job { work, ..job }),
        }
    }

    /// Takes what was left and the jobs, and writes them; on the log's thread.
    pub(crate) fn take_all(&mut self, jobs: &mut Vec<Job>) {
        if let Some(error) = self.failed.take() {
            let error = self.take_back(&error);
            self.refuse_draft(&error);
        }
        for job in take(&mut self.left).into_iter().chain(jobs.drain(..)) {
            self.take(job);
            if self.draft.frames.len() >= GROUP_BYTES_MAX {
                self.commit();
                self.sync_if_due();
            }
        }
        self.commit();
    }

    fn take(&mut self, job: Job) {
        self.leave_seal();
        let admitted = match (self.health.refusal(), job.work) {
            (Some(error), _) => Err(error),
            (None, Work::Message(prepared)) => {
                let needed = self.bytes_needed(&prepared);
                self.admit(*prepared, |writer| writer.make_room(needed))
            }
            (None, Work::Stamp(stamp)) => self.admit_stamp(*stamp),
            (None, Work::Erasure(erasure)) => self.admit_erasure(*erasure),
        };
        self.wait(admitted, job.acknowledge);
    }

    fn bytes_needed(&self, prepared: &Prepared) -> usize {
        prepared.bytes([&self.segment.interned, &self.draft.interned])
    }

    /// Adds the message to the draft, after `make_room` saw to it that it fits.
    fn admit(
        &mut self,
        prepared: Prepared,
        make_room: impl FnOnce(&mut Self) -> Result<(), AppendError>,
    ) -> Result<Waiting, AppendError> {
        let time = (self.options.clock)();
        let is_replay = prepared
            .key
            .is_some_and(|key| self.requests.contains(&key) || locked(&self.live.window).contains(key, time));
        if is_replay {
            return Err(AppendError::Replayed);
        }
        make_room(self)?;
        // After room was made: the log may have lost what this follows just then.
        let is_orphaned = prepared
            .follows
            .is_some_and(|receipt| self.incarnations.is_lost(receipt.incarnation, receipt.sequence));
        if is_orphaned {
            return Err(AppendError::Orphaned);
        }
        let key = prepared.key;
        let waiting = self.draft.add_message(prepared, &self.segment, time, &self.layout)?;
        self.requests.extend(key);
        Ok(waiting)
    }

    fn admit_stamp(&mut self, stamp: StampRecord) -> Result<Waiting, AppendError> {
        // A stamp is checked against what is durable, so that two in one group cannot build on the same root.
        self.commit();
        self.sync();
        if let Some(error) = self.health.refusal() {
            return Err(error);
        }
        locked(&self.live.unstamped).check(&stamp).map_err(AppendError::Unfit)?;
        let prepared = PreparedStamp::new(stamp)?;
        self.make_room(prepared.bytes())?;
        Ok(self.draft.add_stamp(prepared, &self.segment, (self.options.clock)()))
    }

    fn admit_erasure(&mut self, erasure: Erasure) -> Result<Waiting, AppendError> {
        // It names the one before, which is known once that is durable.
        self.commit();
        self.sync();
        if let Some(error) = self.health.refusal() {
            return Err(error);
        }
        let previous = *locked(&self.live.last_erasure);
        let erasure = Erasure { previous, ..erasure };
        let length = erasure.encoded_len();
        if length > PAYLOAD_BYTES_MAX - HEAD_BYTES_MAX {
            return Err(AppendError::Unfit("the erasure is larger than a frame may be".to_owned()));
        }
        self.make_room(HEADER_BYTES + HEAD_BYTES_MAX + length)?;
        Ok(self.draft.add_erasure(erasure, &self.segment, (self.options.clock)()))
    }

    /// The record that was added last has somebody who waits for it; or he is told why there is none.
    fn wait(&mut self, admitted: Result<Waiting, AppendError>, acknowledge: Acknowledge) {
        match admitted {
            Ok(waiting) => self.draft.wait(Waiting { acknowledge: Some(acknowledge), ..waiting }),
            Err(error) => self.told.push(Told { acknowledge, outcome: Err(error) }),
        }
    }

    /// Starts the next segment if `needed` more bytes do not fit into this one. A blank segment takes anything.
    fn make_room(&mut self, needed: usize) -> Result<(), AppendError> {
        let only_start = self.draft.is_empty() && self.segment.is_blank();
        if only_start || self.segment.has_room(self.draft.frames.len() + needed) {
            return Ok(());
        }
        self.commit();
        self.sync();
        if let Some(error) = self.health.refusal() {
            return Err(error);
        }
        self.start_segment(false).map_err(|error| self.fail("start a segment", &error, true))
    }

    /// Writes the draft.
    fn commit(&mut self) {
        if self.draft.is_empty() {
            return self.begin_draft();
        }
        match self.write() {
            Ok(()) => self.written(),
            Err(error) => self.refuse_draft(&error),
        }
    }

    fn write(&mut self) -> Result<(), AppendError> {
        self.segment
            .reserve(self.draft.frames.len())
            .map_err(|error| self.fail("reserve space", &error, false))?;
        if !self.draft.moved.is_empty() {
            // A crash after this leaves bodies without a record.
            let synced = self.disk.sync_dir(&self.layout.bodies());
            synced.map_err(|error| self.fail("sync the directory of bodies", &error, false))?;
        }
        // A crash after this may leave the frames whole, torn or not at all; nobody was told of them.
        self.segment.write(&self.draft.frames).map_err(|error| self.take_back(&error))
    }

    /// The draft's frames stand in the file: acknowledges those who wait for no more.
    fn written(&mut self) {
        let Self { draft, unsynced, segment, told, live, .. } = self;
        unsynced.notes.append(&mut draft.notes);
        unsynced.hashes.append(&mut draft.hashes);
        unsynced.moved.append(&mut draft.moved);
        unsynced.is_urgent |= draft.is_urgent();
        segment.advance(draft.frames.len());
        segment.interned.absorb(&mut draft.interned);
        self.chain = draft.chain;
        for mut waiting in draft.waiting.drain(..) {
            if waiting.durability == Durability::WithNext {
                // Remembered from now on, also if the record is lost: its request may have been passed on by then.
                if let Effect::Message(Some(key)) = waiting.effect {
                    locked(&live.window).insert(key, waiting.receipt.time, waiting.receipt.time);
                }
                unsynced.due.get_or_insert_with(|| Instant::now() + SYNC_WITHIN);
                told.extend(waiting.told(Ok(())));
            }
            unsynced.waiting.push(waiting);
        }
        self.recovered();
        self.begin_draft();
    }

    /// What the draft holds is not written.
    fn refuse_draft(&mut self, error: &AppendError) {
        self.draft.moved.drain(..).for_each(Moved::give_back);
        let waiting = take(&mut self.draft.waiting);
        self.refuse(waiting, error);
        self.begin_draft();
    }

    fn refuse(&mut self, waiting: impl IntoIterator<Item = Waiting>, error: &AppendError) {
        for mut waiting in waiting {
            if let Effect::Message(Some(key)) = &waiting.effect {
                self.requests.remove(key);
            }
            self.told.extend(waiting.told(Err(error.clone())));
        }
    }

    /// What comes next begins a group.
    fn begin_draft(&mut self) {
        self.draft.begin(self.chain, self.durable, self.incarnations.current());
    }

    /// Creates, writes and syncs the next segment. Everything written is durable or lost by now. A crash in between leaves a file without an acknowledged entry.
    pub(crate) fn start_segment(&mut self, suspect: bool) -> io::Result<()> {
        let unstamped = locked(&self.live.unstamped);
        let previous = Previous {
            number: self.segment.number,
            bytes: self.segment.synced,
            suspect,
            unstamped_from: unstamped.oldest(1).first().copied(),
            last_root: unstamped.last_root(),
            last_erasure: *locked(&self.live.last_erasure),
        };
        drop(unstamped);
        let tree = locked(&self.live.tree).clone_shape();
        let (segment, chain) = next_segment::start(
            self.disk.as_ref(),
            &self.layout,
            &self.options,
            self.live.keys.as_deref(),
            (self.chain, &tree),
            previous,
        )?;
        locked(&self.live.tree).grow([chain.hash]);
        self.segment = segment;
        self.chain = chain;
        self.durable = chain;
        self.begin_draft();
        self.live.index.seal(self.segment.number, chain, self.segment.tail);
        self.publish();
        self.wake_indexer();
        Ok(())
    }

    fn wake_indexer(&self) {
        // Full or gone: the indexer is awake, or the log works without.
        let _ = self.indexer.try_send(());
    }

    fn publish(&self) {
        self.live.durable.set(Mark {
            sequence: self.durable.sequence,
            segment: self.segment.number,
            end: self.segment.synced,
        });
    }

    /// Makes the next writes and syncs faster while nobody waits. If that fails, the next group finds out why.
    pub(crate) fn prepare_ahead(&mut self) {
        if self.health.is_sound()
            && let Err(error) = self.segment.prepare_ahead()
        {
            tracing::warn!(%error, "cannot prepare the message log's segment ahead of need");
        }
    }

    /// When the log's thread has to come by itself, although nobody calls it; `was_busy` if there was something to do just now.
    pub(crate) fn next_visit(&self, was_busy: bool) -> Option<Instant> {
        let after = |pause| Instant::now() + pause;
        let retry = (!self.health.is_sound()).then(|| after(RETRY));
        // While there is something to do, whoever appends need not call for what is not urgent.
        let look = (was_busy && self.unsynced.due.is_none()).then(|| after(SYNC_WITHIN / 2));
        self.unsynced.due.into_iter().chain(retry).chain(look).min()
    }

    /// Makes durable what there is, at the end.
    pub(crate) fn finish(&mut self) {
        self.commit();
        self.sync();
    }

    /// Whom to tell what, now that the writer is given back.
    pub(crate) fn take_told(&mut self) -> Vec<Told> {
        take(&mut self.told)
    }
}

//! The one thread that writes: takes all that is queued, writes it as one group, syncs, acknowledges.
//!
//! | a crash …                                     | leaves behind                                                             |
//! |-----------------------------------------------|---------------------------------------------------------------------------|
//! | after bodies were moved                       | bodies without a record: removed at the next start                        |
//! | while or after the frames are written         | whole or torn frames that nobody was told of: kept or cut at the next start |
//! | after the sync, before acknowledging          | durable records of exchanges that did not go on                           |
//! | while a segment is created                    | a blank file: replaced at the next start                                  |
//!
//! Two kinds of failure, kept apart:
//! - *The disk is full.* What was written of the group is taken back, the group refused, and the next append tries again.
//! - *Anything else.* What the disk holds after the last acknowledged frame is in doubt, for good: after a failed sync the operating system
//!   may call the next one a success although the bytes are gone. The segment is sealed: nothing is written to it again, and a note beside it
//!   says where the acknowledged frames end. Appends are refused until a new segment was created, written and synced; it continues the chain
//!   from the last acknowledged entry and repeats where the sealed segment ends. So what was refused never counts as an entry. If the
//!   disk takes neither the note nor a new segment and the process dies, the next start may find refused frames intact and keep them: a log may hold
//!   records of exchanges that did not happen, never miss one that did.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender};
use std::time::{Duration, Instant};

use kogge_proto::digest::Sha256;
use kogge_proto::wire::log::entry::Kind;
use kogge_proto::wire::log::{SegmentStart, StampRecord};

use crate::chain::Chain;
use crate::disk::Disk;
use crate::draft::{Draft, Effect, Prepared, Waiting, stamp_bytes};
use crate::error::is_full;
use crate::layout::Layout;
use crate::live::{Live, Mark, locked};
use crate::scan::FORMAT;
use crate::segment::{AHEAD_BYTES, Segment};
use crate::{Acknowledge, AppendError, NewMessage, Options, State};

/// Most jobs that wait for the writer: with the largest messages about 100 MiB.
pub(crate) const QUEUE_JOBS_MAX: usize = 256;

/// A group is closed at this size: what a slow disk writes within a few tens of milliseconds.
const GROUP_BYTES_MAX: usize = 4 * 1024 * 1024;

/// How often a log that does not take records tries again by itself.
const RETRY: Duration = Duration::from_secs(1);

/// Pause after the second failed attempt to prove a new segment; doubled after each further one, up to [`BACKOFF_MAX`].
const BACKOFF_MIN: Duration = Duration::from_millis(100);
const BACKOFF_MAX: Duration = Duration::from_secs(30);

/// What is to be appended, and who is to be told.
pub(crate) struct Job {
    pub(crate) work: Work,
    pub(crate) acknowledge: Acknowledge,
}

pub(crate) enum Work {
    Message(Box<NewMessage>),
    Stamp(StampRecord),
}

impl Job {
    pub(crate) fn refuse(self, error: AppendError) {
        tell(self.acknowledge, Err(error));
    }
}

/// What the writer can do at the moment.
enum Health {
    Sound,
    /// The disk is full; with `rolling`, for the next segment.
    Full {
        rolling: bool,
    },
    /// The current segment is sealed, see the module's head.
    Sealed {
        reason: String,
        attempts: u32,
        next_attempt: Instant,
    },
}

/// The writer's state; owned by its thread.
pub(crate) struct Writer {
    pub(crate) layout: Layout,
    pub(crate) options: Options,
    pub(crate) disk: Box<dyn Disk>,
    pub(crate) live: Arc<Live>,
    /// Wakes the indexer; a full channel means that it is awake.
    pub(crate) indexer: SyncSender<()>,
    segment: Segment,
    chain: Chain,
    health: Health,
    draft: Draft,
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
        let draft = Draft::after(chain);
        Self { layout, options, disk, live, indexer, segment, chain, health: Health::Sound, draft }
    }

    /// Works until nobody can send any more.
    pub(crate) fn run(mut self, jobs: &Receiver<Job>) {
        loop {
            let first = match self.health {
                Health::Sound => jobs.recv().map_err(|_| RecvTimeoutError::Disconnected),
                Health::Full { .. } | Health::Sealed { .. } => jobs.recv_timeout(RETRY),
            };
            match first {
                Ok(job) => self.group(job, jobs),
                Err(RecvTimeoutError::Timeout) => self.try_to_recover(),
                Err(RecvTimeoutError::Disconnected) => return,
            }
            self.grow_ahead();
        }
    }

    /// Takes the job and all that is queued behind it, as one group as far as they fit into one.
    fn group(&mut self, first: Job, jobs: &Receiver<Job>) {
        let mut job = Some(first);
        while let Some(next) = job {
            self.take(next);
            if self.draft.frames.len() >= GROUP_BYTES_MAX {
                break;
            }
            job = jobs.try_recv().ok();
        }
        self.commit();
    }

    fn take(&mut self, job: Job) {
        if let Health::Sealed { .. } = self.health {
            self.try_to_recover();
        }
        if let Health::Sealed { reason, .. } = &self.health {
            let error = AppendError::Suspect(reason.clone());
            return job.refuse(error);
        }
        match job.work {
            Work::Message(message) => self.take_message(*message, job.acknowledge),
            Work::Stamp(stamp) => self.take_stamp(stamp, job.acknowledge),
        }
    }

    fn take_message(&mut self, message: NewMessage, acknowledge: Acknowledge) {
        let prepared = match Prepared::new(message) {
            Ok(prepared) => prepared,
            Err(error) => return tell(acknowledge, Err(error)),
        };
        let time = (self.options.clock)();
        let is_replay = prepared
            .key
            .is_some_and(|key| self.draft.has_request(key) || locked(&self.live.window).contains(key, time));
        if is_replay {
            return tell(acknowledge, Err(AppendError::Replayed));
        }
        let present =
            |digest: &_| self.segment.materials.contains(digest) || self.draft.materials.contains(digest);
        let needed = prepared.bytes(present);
        match self.make_room(needed) {
            Ok(()) => {
                self.draft.add_message(prepared, &self.segment.materials, time, &self.layout, acknowledge);
            }
            Err(error) => tell(acknowledge, Err(error)),
        }
    }

    fn take_stamp(&mut self, stamp: StampRecord, acknowledge: Acknowledge) {
        // A stamp is checked against what is durable, so that two in one group cannot build on the same root.
        self.commit();
        let checked = locked(&self.live.unstamped).check(&stamp).map_err(AppendError::Unfit);
        match checked.and_then(|()| stamp_bytes(&stamp)).and_then(|needed| self.make_room(needed)) {
            Ok(()) => self.draft.add_stamp(stamp, (self.options.clock)(), acknowledge),
            Err(error) => tell(acknowledge, Err(error)),
        }
    }

    /// Starts the next segment if `needed` more bytes do not fit into this one. A blank segment takes anything.
    fn make_room(&mut self, needed: usize) -> Result<(), AppendError> {
        let only_start = self.draft.is_empty() && self.segment.is_blank();
        if only_start || self.segment.has_room(self.draft.frames.len() + needed) {
            return Ok(());
        }
        self.commit();
        if let Health::Sealed { reason, .. } = &self.health {
            return Err(AppendError::Suspect(reason.clone()));
        }
        self.start_segment(false).map_err(|error| self.fail("start a segment", &error, true))
    }

    /// Writes the draft, makes it durable, acknowledges it.
    fn commit(&mut self) {
        let draft = std::mem::replace(&mut self.draft, Draft::after(self.chain));
        if draft.is_empty() {
            return;
        }
        match self.make_durable(&draft) {
            Ok(()) => self.acknowledge(draft),
            Err(error) => {
                draft.moved.into_iter().for_each(crate::bodies::Moved::give_back);
                draft.waiting.into_iter().for_each(|waiting| tell(waiting.acknowledge, Err(error.clone())));
            }
        }
        self.draft = Draft::after(self.chain);
    }

    fn make_durable(&mut self, draft: &Draft) -> Result<(), AppendError> {
        self.segment
            .reserve(draft.frames.len())
            .map_err(|error| self.fail("reserve space", &error, false))?;
        if !draft.moved.is_empty() {
            // A crash after this leaves bodies without a record.
            let synced = self.disk.sync_dir(&self.layout.bodies());
            synced.map_err(|error| self.fail("sync the directory of bodies", &error, false))?;
        }
        // A crash after this may leave the frames whole, torn or not at all; nobody was told of them.
        self.segment.write(&draft.frames).map_err(|error| self.take_back(&error))?;
        // A crash after this leaves the group in the log. What it says holds from here on.
        self.segment.sync().map_err(|error| self.seal(format!("a sync failed: {error}")))
    }

    fn acknowledge(&mut self, draft: Draft) {
        let base = self.segment.tail;
        self.segment.tail += draft.frames.len() as u64;
        self.segment.materials.extend(draft.materials);
        self.chain = draft.chain;
        let must_wake = self.live.index.add(base, draft.notes, self.chain, self.segment.tail);
        self.publish();
        self.recovered();
        for Waiting { receipt, effect, acknowledge } in draft.waiting {
            match effect {
                Effect::Message(key) => {
                    if let Some(key) = key {
                        locked(&self.live.window).insert(key, receipt.time, receipt.time);
                    }
                    locked(&self.live.unstamped).add(receipt.sequence, receipt.time);
                }
                Effect::Stamp { leaves, root } => {
                    locked(&self.live.unstamped).cover(leaves.into_iter(), root);
                }
            }
            tell(acknowledge, Ok(receipt));
        }
        if must_wake {
            self.wake_indexer();
        }
    }

    /// Takes back what a failed write left, if the disk is merely full.
    fn take_back(&mut self, error: &io::Error) -> AppendError {
        if !is_full(error) {
            return self.seal(format!("a write failed: {error}"));
        }
        match self.segment.roll_back() {
            Ok(()) => self.fail("write", error, false),
            Err(error) => self.seal(format!("a write could not be taken back: {error}")),
        }
    }

    /// A failure before any frame was written: passes by itself if the disk is full, else the segment is sealed.
    fn fail(&mut self, what: &str, error: &io::Error, rolling: bool) -> AppendError {
        if !is_full(error) {
            return self.seal(format!("cannot {what}: {error}"));
        }
        if matches!(self.health, Health::Sound) {
            tracing::error!("the message log's disk is full: no exchanges until there is space");
        }
        self.health = Health::Full { rolling };
        *locked(&self.live.state) = State::Full;
        AppendError::Full
    }

    fn seal(&mut self, reason: String) -> AppendError {
        tracing::error!(
            segment = self.segment.number,
            reason,
            "the message log's segment is sealed as suspect"
        );
        let note = self.layout.suspect_note(self.segment.number);
        // Without the note the log is still right while this process lives, see the module's head.
        if let Err(error) = kogge_durable::write_atomic(&note, self.segment.tail.to_string().as_bytes(), true)
        {
            tracing::error!(%error, "cannot note that a segment is suspect");
        }
        self.health = Health::Sealed { reason: reason.clone(), attempts: 0, next_attempt: Instant::now() };
        *locked(&self.live.state) = State::Suspect(reason.clone());
        AppendError::Suspect(reason)
    }

    /// Tries to leave a failure behind without a record to append.
    fn try_to_recover(&mut self) {
        match &self.health {
            Health::Sound => {}
            Health::Full { rolling } => {
                let rolling = *rolling;
                let probe = if rolling { self.start_segment(false) } else { self.probe_space() };
                match probe {
                    Ok(()) => self.recovered(),
                    // Still full, or worse.
                    Err(error) => drop(self.fail("reserve space", &error, rolling)),
                }
            }
            Health::Sealed { next_attempt, .. } if Instant::now() < *next_attempt => {}
            Health::Sealed { reason, attempts, .. } => {
                let (mut reason, attempts) = (reason.clone(), attempts + 1);
                match self.start_segment(true) {
                    Ok(()) => return self.recovered(),
                    Err(error) => {
                        reason = format!("{}; a new segment failed too: {error}", first_reason(&reason));
                    }
                }
                let pause = BACKOFF_MIN.saturating_mul(1 << attempts.min(16)).min(BACKOFF_MAX);
                *locked(&self.live.state) = State::Suspect(reason.clone());
                self.health = Health::Sealed { reason, attempts, next_attempt: Instant::now() + pause };
            }
        }
    }

    fn probe_space(&mut self) -> io::Result<()> {
        self.segment.reserve(usize::try_from(AHEAD_BYTES / 4).unwrap_or(usize::MAX))?;
        self.segment.sync()
    }

    fn recovered(&mut self) {
        if !matches!(self.health, Health::Sound) {
            tracing::info!("the message log takes records again");
            self.health = Health::Sound;
            *locked(&self.live.state) = State::Writable;
        }
    }

    /// Creates, writes and syncs the next segment. A crash in between leaves a file without an acknowledged entry.
    fn start_segment(&mut self, suspect: bool) -> io::Result<()> {
        let unstamped = locked(&self.live.unstamped);
        let previous = Previous {
            number: self.segment.number,
            bytes: self.segment.tail,
            suspect,
            unstamped_from: unstamped.oldest(1).first().copied(),
            last_root: unstamped.last_root(),
        };
        drop(unstamped);
        let (segment, chain) =
            start_segment(self.disk.as_ref(), &self.layout, &self.options, self.chain, previous)?;
        self.segment = segment;
        self.chain = chain;
        self.draft = Draft::after(chain);
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
            sequence: self.chain.sequence,
            segment: self.segment.number,
            end: self.segment.tail,
        });
    }

    /// Grows the segment while nobody waits. If it fails, the next group finds out.
    fn grow_ahead(&mut self) {
        if matches!(self.health, Health::Sound)
            && self.segment.runs_low()
            && let Err(error) = self.segment.grow_ahead()
        {
            if is_full(&error) {
                tracing::warn!("the message log's disk is nearly full");
            } else {
                self.seal(format!("growing the segment failed: {error}"));
            }
        }
    }
}

/// The segment before a new one.
#[derive(Clone, Copy)]
pub(crate) struct Previous {
    pub(crate) number: u64,
    pub(crate) bytes: u64,
    pub(crate) suspect: bool,
    /// The oldest message that no stamp covers, if there is one.
    pub(crate) unstamped_from: Option<u64>,
    /// Root of the newest stamp.
    pub(crate) last_root: Option<Sha256>,
}

impl Previous {
    /// There is none.
    pub(crate) const NONE: Self =
        Self { number: 0, bytes: 0, suspect: false, unstamped_from: None, last_root: None };
}

/// Creates the segment after `previous` with its first entry, durable.
pub(crate) fn start_segment(
    disk: &dyn Disk,
    layout: &Layout,
    options: &Options,
    mut chain: Chain,
    previous: Previous,
) -> io::Result<(Segment, Chain)> {
    let number = previous.number + 1;
    let path = layout.segment(number);
    // Left by an attempt that failed: a new file, so that its failed syncs say nothing about ours.
    match std::fs::remove_file(&path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => {}
    }
    let start = SegmentStart {
        format: FORMAT,
        segment: number,
        security_server: options.server.to_string(),
        previous_bytes: previous.bytes,
        previous_suspect: previous.suspect,
        unstamped_from: previous.unstamped_from.unwrap_or(chain.next()),
        last_root: previous.last_root.map(|root| root.0.to_vec()).unwrap_or_default(),
    };
    let entry = chain.entry((options.clock)(), chain.sequence, Kind::SegmentStart(start));
    let mut frames = Vec::new();
    chain.append(&mut frames, &entry);
    let created = Segment::create(disk, layout, number, options.segment_bytes).and_then(|mut segment| {
        segment.write(&frames)?;
        segment.sync()?;
        disk.sync_dir(&layout.segments())?;
        segment.begin(frames.len());
        Ok(segment)
    });
    match created {
        Ok(segment) => Ok((segment, chain)),
        Err(error) => {
            // Takes up space on what may be a full disk; if it stays, the next attempt removes it.
            let _ = std::fs::remove_file(&path);
            Err(error)
        }
    }
}

/// Calls back; a panic there is the owner's bug and must not stop the log.
pub(crate) fn tell(acknowledge: Acknowledge, outcome: Result<crate::Receipt, AppendError>) {
    if catch_unwind(AssertUnwindSafe(|| acknowledge(outcome))).is_err() {
        tracing::error!("a callback of the message log panicked");
    }
}

fn first_reason(reason: &str) -> &str {
    reason.split("; a new segment failed too").next().unwrap_or(reason)
}

//! The one thread that writes: takes all that is queued, writes it as one group, syncs if somebody waits for that, acknowledges.
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

use std::io;
use std::mem::take;
use std::sync::Arc;
use std::sync::mpsc::SyncSender;
use std::time::{Duration, Instant};

use kogge_proto::digest::Sha256;
use kogge_proto::wire::log::entry::Kind;
use kogge_proto::wire::log::{Entry, SegmentStart, StampRecord};
use prost::Message;

use crate::bodies::Moved;
use crate::chain::Chain;
use crate::disk::Disk;
use crate::draft::{Draft, Effect, Waiting};
use crate::failing::Health;
use crate::frame::Mask;
use crate::incarnation::Incarnations;
use crate::index::Note;
use crate::job::{Job, Work, tell};
use crate::layout::Layout;
use crate::live::{Live, Mark, locked};
use crate::prepared::{Prepared, PreparedStamp};
use crate::queue::{Limits, Queue, Taken};
use crate::scan::FORMAT;
use crate::segment::Segment;
use crate::{Acknowledge, AppendError, Durability, Options};

/// What may wait for the writer: more records than there are exchanges at once, or what a slow disk writes within a second.
pub(crate) const QUEUE: Limits = Limits { jobs: 4096, bytes: 32 * 1024 * 1024 };

/// A group is closed at this size: what a slow disk writes within a few tens of milliseconds.
const GROUP_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Within this time a record becomes durable that was acknowledged as [`Durability::WithNext`].
pub const SYNC_WITHIN: Duration = Duration::from_millis(50);

/// How often a log that does not take records tries again by itself.
const RETRY: Duration = Duration::from_secs(1);

/// The writer's state; owned by its thread.
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
    pub(crate) unsynced: Unsynced,
    pub(crate) incarnations: Incarnations,
    pub(crate) health: Health,
    pub(crate) draft: Draft,
}

/// What lies between the durable end and the written one.
#[derive(Default)]
pub(crate) struct Unsynced {
    waiting: Vec<Waiting>,
    moved: Vec<Moved>,
    notes: Vec<Note>,
    /// When it has to be synced at the latest.
    due: Option<Instant>,
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
            incarnations,
            health: Health::Sound,
        }
    }

    /// Works until nobody can send any more.
    pub(crate) fn run(mut self, queue: &Queue<Job>) {
        let mut jobs = Vec::new();
        loop {
            let retry = (!self.health.is_sound()).then(|| Instant::now() + RETRY);
            let until = self.unsynced.due.into_iter().chain(retry).min();
            match queue.take(&mut jobs, until) {
                Taken::Jobs => self.group(&mut jobs),
                Taken::Timeout => {
                    self.sync_if_due();
                    self.try_to_recover();
                }
                Taken::Closed => return self.sync(),
            }
            self.zero_ahead();
        }
    }

    /// Takes the jobs as one group, as far as they fit into one.
    fn group(&mut self, jobs: &mut Vec<Job>) {
        for job in jobs.drain(..) {
            self.take(job);
            if self.draft.frames.len() >= GROUP_BYTES_MAX {
                self.commit();
            }
        }
        self.commit();
        self.sync_if_due();
    }

    fn take(&mut self, job: Job) {
        self.leave_seal();
        if let Some(error) = self.health.refusal() {
            return job.refuse(error);
        }
        match job.work {
            Work::Message(prepared) => self.take_message(*prepared, job.acknowledge),
            Work::Stamp(stamp) => self.take_stamp(stamp, job.acknowledge),
        }
    }

    fn take_message(&mut self, prepared: Prepared, acknowledge: Acknowledge) {
        let time = (self.options.clock)();
        let is_replay = prepared
            .key
            .is_some_and(|key| self.draft.has_request(key) || locked(&self.live.window).contains(key, time));
        if is_replay {
            return tell(acknowledge, Err(AppendError::Replayed));
        }
        let needed =
            prepared.bytes(|shared| shared.place([&self.segment.interned, &self.draft.interned]).is_some());
        if let Err(error) = self.make_room(needed) {
            return tell(acknowledge, Err(error));
        }
        // After room was made: the log may have lost what this follows just then.
        let is_orphaned = prepared
            .follows
            .is_some_and(|receipt| self.incarnations.is_lost(receipt.incarnation, receipt.sequence));
        if is_orphaned {
            return tell(acknowledge, Err(AppendError::Orphaned));
        }
        self.draft.add_message(prepared, &self.segment, time, &self.layout, acknowledge);
    }

    fn take_stamp(&mut self, stamp: StampRecord, acknowledge: Acknowledge) {
        // A stamp is checked against what is durable, so that two in one group cannot build on the same root.
        self.commit();
        self.sync();
        if let Some(error) = self.health.refusal() {
            return tell(acknowledge, Err(error));
        }
        let checked = locked(&self.live.unstamped).check(&stamp).map_err(AppendError::Unfit);
        let prepared = checked.and_then(|()| PreparedStamp::new(stamp));
        let placed = prepared.and_then(|stamp| self.make_room(stamp.bytes()).map(|()| stamp));
        match placed {
            Ok(stamp) => self.draft.add_stamp(stamp, &self.segment, (self.options.clock)(), acknowledge),
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
        self.sync();
        if let Some(error) = self.health.refusal() {
            return Err(error);
        }
        self.start_segment(false).map_err(|error| self.fail("start a segment", &error, true))
    }

    /// Writes the draft, and makes it durable if somebody waits for that.
    fn commit(&mut self) {
        let mut draft = take(&mut self.draft);
        if !draft.is_empty() {
            match self.write(&draft) {
                Ok(()) => {
                    let is_urgent = draft.is_urgent();
                    self.written(&mut draft);
                    if is_urgent {
                        self.sync();
                    }
                }
                Err(error) => {
                    draft.moved.drain(..).for_each(Moved::give_back);
                    refuse(draft.waiting.drain(..), &error);
                }
            }
        }
        // Its buffers serve the next group.
        self.draft = draft;
        self.begin_draft();
    }

    fn write(&mut self, draft: &Draft) -> Result<(), AppendError> {
        self.segment
            .reserve(draft.frames.len())
            .map_err(|error| self.fail("reserve space", &error, false))?;
        if !draft.moved.is_empty() {
            // A crash after this leaves bodies without a record.
            let synced = self.disk.sync_dir(&self.layout.bodies());
            synced.map_err(|error| self.fail("sync the directory of bodies", &error, false))?;
        }
        // A crash after this may leave the frames whole, torn or not at all; nobody was told of them.
        self.segment.write(&draft.frames).map_err(|error| self.take_back(&error))
    }

    /// The draft's frames stand in the file: acknowledges those who wait for no more.
    fn written(&mut self, draft: &mut Draft) {
        self.unsynced.notes.append(&mut draft.notes);
        self.segment.advance(draft.frames.len());
        self.segment.interned.absorb(&mut draft.interned);
        self.chain = draft.chain;
        self.recovered();
        self.unsynced.moved.append(&mut draft.moved);
        for mut waiting in draft.waiting.drain(..) {
            if waiting.durability == Durability::WithNext {
                // Remembered from now on, also if the record is lost: its request may have been passed on by then.
                if let Effect::Message(Some(key)) = waiting.effect {
                    locked(&self.live.window).insert(key, waiting.receipt.time, waiting.receipt.time);
                }
                self.unsynced.due.get_or_insert_with(|| Instant::now() + SYNC_WITHIN);
                waiting.tell(Ok(()));
            }
            self.unsynced.waiting.push(waiting);
        }
    }

    fn sync_if_due(&mut self) {
        if self.unsynced.due.is_some_and(|due| due <= Instant::now()) {
            self.sync();
        }
    }

    /// Makes durable what was written.
    fn sync(&mut self) {
        if self.unsynced.waiting.is_empty() {
            return;
        }
        // A crash after this leaves the group in the log. What it says holds from here on.
        match self.segment.sync() {
            Ok(()) => self.synced(),
            Err(error) => drop(self.seal(format!("a sync failed: {error}"))),
        }
    }

    /// What was written is durable.
    pub(crate) fn synced(&mut self) {
        self.segment.synced = self.segment.tail;
        self.durable = self.chain;
        // Before the index: what is found by it must be there for who reads everything.
        self.publish();
        let must_wake = self.live.index.add(self.unsynced.notes.drain(..), self.durable, self.segment.synced);
        self.unsynced.due = None;
        self.unsynced.moved.clear();
        if self.draft.is_empty() {
            self.begin_draft();
        }
        self.note_effects();
        for mut waiting in self.unsynced.waiting.drain(..) {
            waiting.tell(Ok(()));
        }
        if must_wake {
            self.wake_indexer();
        }
    }

    /// Each lock once for all records. Before anybody is told: who is, may ask at once.
    fn note_effects(&self) {
        let mut window = locked(&self.live.window);
        let mut unstamped = locked(&self.live.unstamped);
        for Waiting { receipt, effect, .. } in &self.unsynced.waiting {
            match effect {
                Effect::Message(key) => {
                    if let Some(key) = key {
                        window.insert(*key, receipt.time, receipt.time);
                    }
                    unstamped.add(receipt.sequence, receipt.time);
                }
                Effect::Stamp { leaves, root } => unstamped.cover(leaves.iter().copied(), *root),
            }
        }
    }

    /// What was written after the durable end does not count any more. Who was told that it was written is not told again: what follows it will be refused.
    pub(crate) fn lose_unsynced(&mut self, error: &AppendError) {
        let Unsynced { waiting, moved, notes: _, due: _ } = take(&mut self.unsynced);
        self.segment.tail = self.segment.synced;
        self.chain = self.durable;
        self.incarnations.cut(self.durable.sequence);
        self.begin_draft();
        moved.into_iter().for_each(Moved::give_back);
        refuse(waiting.into_iter(), error);
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
        };
        drop(unstamped);
        let (segment, chain) =
            start_segment(self.disk.as_ref(), &self.layout, &self.options, self.chain, previous)?;
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

    /// Makes the next syncs faster while nobody waits. If that fails, the next group finds out why.
    fn zero_ahead(&mut self) {
        if self.health.is_sound()
            && let Err(error) = self.segment.zero_ahead()
        {
            tracing::warn!(%error, "cannot fill the message log's segment with zeros ahead of need");
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
    let mask = Mask::random()?;
    let start = SegmentStart {
        format: FORMAT,
        segment: number,
        security_server: options.server.to_string(),
        previous_bytes: previous.bytes,
        previous_suspect: previous.suspect,
        unstamped_from: previous.unstamped_from.unwrap_or(chain.next()),
        last_root: previous.last_root.map(|root| root.0.to_vec()).unwrap_or_default(),
        checksum_mask: mask.0,
    };
    let start = Entry { kind: Some(Kind::SegmentStart(start)), ..Entry::default() };
    let mut frames = Vec::new();
    let durable = chain.sequence;
    chain.append(&mut frames, Mask::NONE, (options.clock)(), durable, |out| {
        // The other fields are blank, and a blank field is not encoded.
        out.extend_from_slice(&start.encode_to_vec());
    });
    let created =
        Segment::create(disk, layout, number, mask, options.segment_bytes).and_then(|mut segment| {
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

fn refuse(waiting: impl Iterator<Item = Waiting>, error: &AppendError) {
    for mut waiting in waiting {
        waiting.tell(Err(error.clone()));
    }
}

//! Gathers fresh records into a batch, gets one token for the batch's hash tree, another in X-Road's form if that is configured, and appends both to the log.
//!
//! Records wait in the log itself, so an outage of every TSA, or a crash at any line here, loses none of them: a token that was
//! not appended is asked for again with the next batch.

mod leaves;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use kogge_certs::snapshot::VerifiedSnapshot;
use kogge_certs::trust::ApprovedTsa;
use kogge_daemon::shutdown::Shutdown;
use kogge_evidence::evidence_record::batch_root;
use kogge_evidence::material::Material;
use kogge_evidence::signature::Parts;
use kogge_evidence::timestamp_chain;
use kogge_evidence::xades;
use kogge_message_log::{AppendError, Found, LogError, MessageLog, Reader};
use kogge_proto::digest::{Sha256, Sha512, sha256, sha512};
use kogge_proto::limits::BATCH_LEAVES_MAX;
use kogge_proto::wire::log::{StampLeaf, StampRecord};
use tokio::sync::oneshot;
use tokio::task::spawn_blocking;
use uuid::Uuid;

pub(crate) use self::leaves::Leaves;
use super::clock_check::{ClockCheck, ClockSource, difference};
use crate::completeness::{Completeness, CompletenessError, Signed};
use crate::registry::Registry;
use crate::timestamping::{self, Obtained, TsaError};

/// The background task that stamps.
pub(crate) struct Timestamper {
    log: MessageLog,
    registry: Arc<Registry>,
    clock_check: Arc<ClockCheck>,
    /// `None` follows the policy.
    interval: Option<Duration>,
    forms: Forms,
    leaves: Arc<Leaves>,
    completeness: Arc<Completeness>,
    /// Why the last round failed; `None` while all is well.
    problem: Mutex<Option<String>>,
}

/// In which forms a batch is stamped, beside that of an evidence record.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Forms {
    /// X-Road's.
    pub(crate) xroad: bool,
}

/// Why a round did not stamp everything that waits. The next round tries again.
#[derive(Debug, thiserror::Error)]
enum RoundError {
    #[error("there is no registry snapshot, so no TSA is known")]
    NoSnapshot,
    #[error("the registry names no timestamping authority")]
    NoTsa,
    #[error("no timestamping authority answered well: {0}")]
    AllFailed(String),
    #[error(transparent)]
    Read(#[from] LogError),
    #[error("none of the waiting records can be stamped; first: {0}")]
    Unfit(String),
    #[error(transparent)]
    Checkpoint(#[from] CompletenessError),
    #[error(transparent)]
    Append(#[from] AppendError),
    #[error("the server is shutting down")]
    ShuttingDown,
}

impl Timestamper {
    pub(crate) fn new(
        log: MessageLog,
        registry: Arc<Registry>,
        clock_check: Arc<ClockCheck>,
        interval: Option<Duration>,
        forms: Forms,
        (leaves, completeness): (Arc<Leaves>, Arc<Completeness>),
    ) -> Self {
        let problem = Mutex::new(None);
        Self { log, registry, clock_check, interval, forms, leaves, completeness, problem }
    }

    /// Until `shutdown`: every interval or whenever a batch is full, and after a failure sooner, then with growing pauses. Stopped in the middle of a round it
    /// leaves what a crash would leave.
    pub(crate) async fn run(self: Arc<Self>, shutdown: Shutdown) {
        tokio::select! {
            () = self.rounds() => {}
            () = shutdown.wait() => {}
        }
    }

    async fn rounds(&self) {
        let mut failures = 0;
        loop {
            let pause = match self.round().await {
                Ok(()) => {
                    failures = 0;
                    *self.lock() = None;
                    self.interval()
                }
                Err(error) => {
                    failures += 1;
                    tracing::warn!(%error, failures, "records wait for their timestamp");
                    *self.lock() = Some(error.to_string());
                    retry_pause(failures).min(self.interval())
                }
            };
            // After a failure the pause counts, so that an authority in distress is not pressed.
            let batch_full = async {
                if failures == 0 { self.leaves.batch_full().await } else { std::future::pending().await }
            };
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = batch_full => {}
            }
        }
    }

    /// Why the last round failed.
    pub(crate) fn problem(&self) -> Option<String> {
        self.lock().clone()
    }

    fn interval(&self) -> Duration {
        let policy = || self.registry.latest().map(|snapshot| snapshot.policy().timestamp_interval);
        self.interval.or_else(policy).unwrap_or(INTERVAL_WITHOUT_POLICY)
    }

    /// Stamps batch after batch while full ones wait. What comes in meanwhile is the next round's: under load something always waits.
    async fn round(&self) -> Result<(), RoundError> {
        let mut asked = false;
        while let Some(batch) = self.batch().await? {
            let token = self.token(batch.root).await?;
            // All forms or nothing: a stamp in the log cannot be added to, and a batch that waits is asked for again whole.
            let xroad_token = match self.forms.xroad {
                true => self.token(sha256(&batch.xroad_result())).await?,
                false => Vec::new(),
            };
            asked = true;
            let (more_wait, checkpoint) = (batch.is_full(), batch.checkpoint.clone());
            self.append(batch.into_record(token, xroad_token)).await?;
            // A crash before this leaves the tiles at an older checkpoint.
            self.publish(checkpoint).await?;
            if !more_wait {
                break;
            }
        }
        if !asked && self.clock_check.check().is_err() {
            // Nothing waits, since exchanges are refused; a token over nothing in particular tells whether the clock is right now.
            self.token(sha256(Uuid::new_v4().as_bytes())).await?;
        }
        Ok(())
    }

    /// The oldest records that wait, as leaves; `None` if nothing waits.
    async fn batch(&self) -> Result<Option<Batch>, RoundError> {
        let (log, leaves) = (self.log.clone(), Arc::clone(&self.leaves));
        let completeness = Arc::clone(&self.completeness);
        let gathered = spawn_blocking(move || Batch::gather(&log, &leaves, &completeness)).await;
        gathered.map_err(|_| RoundError::ShuttingDown)?
    }

    async fn publish(&self, checkpoint: Option<Signed>) -> Result<(), RoundError> {
        let Some(checkpoint) = checkpoint else { return Ok(()) };
        let completeness = Arc::clone(&self.completeness);
        let published = spawn_blocking(move || completeness.publish(&checkpoint)).await;
        published.map_err(|_| RoundError::ShuttingDown)
    }

    /// A token over `root` by the first TSA that gives a good one.
    async fn token(&self, root: Sha256) -> Result<Vec<u8>, RoundError> {
        // An expired snapshot still says who the TSAs are. The token's reader judges them by a snapshot of their own.
        let snapshot = self.registry.latest().ok_or(RoundError::NoSnapshot)?;
        let mut problems = Vec::new();
        for tsa in snapshot.trust().tsas() {
            match self.ask(tsa, root, &snapshot).await {
                Ok(token) => return Ok(token),
                Err(error) => problems.push(error.to_string()),
            }
        }
        if problems.is_empty() {
            Err(RoundError::NoTsa)
        } else {
            Err(RoundError::AllFailed(problems.join("; ")))
        }
    }

    async fn ask(
        &self,
        tsa: &ApprovedTsa,
        root: Sha256,
        snapshot: &VerifiedSnapshot,
    ) -> Result<Vec<u8>, TsaError> {
        let Obtained { token, verified, asked, answered } =
            timestamping::ask(tsa, root, snapshot.trust()).await?;
        let off = difference(verified.gen_time(), asked, answered, snapshot.policy().clock_skew);
        self.clock_check.report(ClockSource::Tsa, off);
        Ok(token)
    }

    async fn append(&self, record: StampRecord) -> Result<(), RoundError> {
        let (acknowledge, acknowledged) = oneshot::channel();
        self.log.append_stamp(record, Box::new(move |result| drop(acknowledge.send(result))));
        acknowledged.await.map_err(|_| AppendError::Closed)??;
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, Option<String>> {
        self.problem.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Records as the leaves of a tree, after the previous batch's root and the log's checkpoint.
struct Batch {
    previous_root: Option<Sha256>,
    /// `None` while the log's tree is not known.
    checkpoint: Option<Signed>,
    leaves: Vec<(u64, Sha256)>,
    root: Sha256,
    /// How many records were looked at, with those that have no leaf.
    waiting: usize,
}

impl Batch {
    /// Blocks.
    fn gather(
        log: &MessageLog,
        known: &Leaves,
        completeness: &Completeness,
    ) -> Result<Option<Self>, RoundError> {
        let waiting = log.unstamped(BATCH_LEAVES_MAX);
        if waiting.is_empty() {
            return Ok(None);
        }
        let (reader, looked_at) = (log.reader(), waiting.len());
        let mut leaves = Vec::with_capacity(waiting.len());
        let mut first_problem = None;
        for (sequence, known) in known.of(&waiting) {
            match known.map_or_else(|| leaf(&reader, sequence), |known| Ok(Ok(known)))? {
                Ok(leaf) => leaves.push((sequence, leaf)),
                Err(problem) => {
                    // It stays among those that wait, and closes the gate when it is overdue: never silently without a stamp.
                    tracing::error!(sequence, %problem, "a record cannot be stamped");
                    first_problem = first_problem.or(Some(format!("record {sequence}: {problem}")));
                }
            }
        }
        let previous_root = log.last_root();
        let digests: Vec<Sha256> = leaves.iter().map(|(_, digest)| *digest).collect();
        // After the records were gathered, so that it covers them.
        let checkpoint = completeness.sign()?;
        let stated = checkpoint.as_ref().map(|signed| sha256(&signed.note));
        match (leaves.is_empty(), batch_root(previous_root.into_iter().chain(stated), &digests)) {
            (false, Some(root)) => {
                Ok(Some(Self { previous_root, checkpoint, leaves, root, waiting: looked_at }))
            }
            _ => Err(RoundError::Unfit(first_problem.unwrap_or_default())),
        }
    }

    fn is_full(&self) -> bool {
        self.waiting == BATCH_LEAVES_MAX
    }

    /// What the token of X-Road's form is about.
    fn xroad_result(&self) -> Vec<u8> {
        let leaves: Vec<Sha256> = self.leaves.iter().map(|(_, digest)| *digest).collect();
        timestamp_chain::result(&leaves).unwrap_or_default()
    }

    fn into_record(self, token: Vec<u8>, xroad_token: Vec<u8>) -> StampRecord {
        let leaf =
            |(sequence, digest): (u64, Sha256)| StampLeaf { sequence, sha256: digest.as_bytes().to_vec() };
        StampRecord {
            token,
            leaves: self.leaves.into_iter().map(leaf).collect(),
            previous_root: self.previous_root.map_or_else(Vec::new, |root| root.as_bytes().to_vec()),
            root: self.root.as_bytes().to_vec(),
            xroad_token,
            checkpoint: self.checkpoint.map_or_else(Vec::new, |signed| signed.note.to_vec()),
        }
    }
}

/// The leaf of one record; the inner error says why the record has none.
fn leaf(reader: &Reader, sequence: u64) -> Result<Result<Sha256, String>, LogError> {
    let Some(Found { record, material, .. }) = reader.get(sequence)? else {
        return Ok(Err("it is not in the log".to_owned()));
    };
    let body = match &record.body {
        None => None,
        Some(body) => match Sha512::from_slice(&body.sha512) {
            Some(digest) => Some(digest),
            None => return Ok(Err("its body's digest is malformed".to_owned())),
        },
    };
    let parts = Parts { message: sha512(&record.message), body };
    let Some(signature) = &record.signature else { return Ok(Err("it has no signature".to_owned())) };
    let material = match Material::new(&material) {
        Ok(material) => material,
        Err(error) => return Ok(Err(error.to_string())),
    };
    Ok(xades::leaf(signature, &parts, &material).map_err(|error| error.to_string()))
}

/// 1, 2, 4 … 64 seconds.
fn retry_pause(failures: u32) -> Duration {
    Duration::from_secs(1 << failures.saturating_sub(1).min(6))
}

/// Without a snapshot nothing is exchanged; the first one may ask for stamps soon.
const INTERVAL_WITHOUT_POLICY: Duration = Duration::from_secs(1);

//! The load generator: HTTP/1.1 over kept connections on one thread, as cheap as it can be, because it shares the machine with what it measures.
//!
//! Closed loop: each connection sends its next request when the answer to the last one is there. It finds the maximum, and hides queueing.
//! Open loop: requests start at a constant rate whatever becomes of them, and latency counts from the intended start.

pub(crate) mod pace;
mod requests;
pub(crate) mod timeline;
mod wire;

use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::ops::Range;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::task::LocalSet;
use tokio::time::timeout;

pub use self::pace::Schedule;
use self::pace::{Monotonic, release};
pub(crate) use self::requests::id_of;
pub use self::requests::{Pair, Requests, number_of};
use self::timeline::Timeline;
use self::wire::head;
use crate::{BenchError, Histogram, Stop};

/// What is asked of a chain.
#[derive(Clone, Debug)]
pub(crate) struct Job {
    pub(crate) address: SocketAddr,
    pub(crate) requests: Arc<Requests>,
    pub(crate) connections: usize,
    pub(crate) pace: Pace,
    /// Number of the first exchange.
    pub(crate) first: u64,
    /// When it begins.
    pub(crate) begin: Instant,
    /// What ends before is not measured.
    pub(crate) measure: Range<Instant>,
    /// Also count in slices of so long.
    pub(crate) timeline: Option<Duration>,
}

/// When the next request is sent.
#[derive(Clone, Copy, Debug)]
pub enum Pace {
    /// When the last one on this connection was answered.
    Closed,
    /// At so many per second over all connections.
    Open(f64),
}

/// What came of it.
#[derive(Debug)]
pub(crate) struct Outcome {
    /// The exchanges that were asked for; all were answered unless some failed.
    pub(crate) issued: Range<u64>,
    /// How long those took that ended (open loop: were due) within the measured time.
    pub(crate) latency: Histogram,
    pub(crate) timeline: Option<Timeline>,
    pub(crate) failed: u64,
    pub(crate) first_failure: Option<String>,
}

/// Does the job on this thread; returns once every exchange that was begun has ended.
pub(crate) fn perform(job: &Job, stop: &Stop) -> Result<Outcome, BenchError> {
    let failed = |source| BenchError::Start { program: "the load generator".to_owned(), source };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(failed)?;
    let shared = Rc::new(Shared::new(job.clone(), stop.clone()));
    let gate = Arc::new(Gate { due: Semaphore::new(0), total: AtomicU64::new(u64::MAX) });
    std::thread::scope(|scope| {
        if let Some(schedule) = shared.schedule {
            let gate = Arc::clone(&gate);
            scope.spawn(move || gate.open(&schedule, job, stop));
        }
        let local = LocalSet::new();
        for _ in 0..job.connections {
            let (shared, gate) = (Rc::clone(&shared), Arc::clone(&gate));
            drop(local.spawn_local(async move { shared.connection(&gate).await }));
        }
        runtime.block_on(local);
    });
    if stop.asked() { Err(BenchError::Interrupted) } else { Ok(shared.outcome()) }
}

/// Where the connections of an open loop wait until an exchange is due.
struct Gate {
    due: Semaphore,
    /// Exchanges of the whole job, once that is known.
    total: AtomicU64,
}

impl Gate {
    fn open(&self, schedule: &Schedule, job: &Job, stop: &Stop) {
        let total = release(schedule, job.measure.end, &mut Monotonic, |count| {
            self.due.add_permits(count);
            !stop.asked()
        });
        self.total.store(total, Ordering::SeqCst);
        // Every connection that waits is to see that nothing is left.
        self.due.add_permits(job.connections);
    }
}

/// What the connections share; all on one thread.
struct Shared {
    job: Job,
    stop: Stop,
    schedule: Option<Schedule>,
    next: Cell<u64>,
    latency: RefCell<Histogram>,
    timeline: RefCell<Option<Timeline>>,
    failed: Cell<u64>,
    first_failure: RefCell<Option<String>>,
}

impl Shared {
    fn new(job: Job, stop: Stop) -> Self {
        let schedule = match job.pace {
            Pace::Closed => None,
            Pace::Open(rate) => Some(Schedule::new(job.begin, rate)),
        };
        let timeline = job.timeline.map(|slice| Timeline::new(job.measure.start, slice));
        Self {
            timeline: RefCell::new(timeline),
            job,
            stop,
            schedule,
            next: Cell::new(0),
            latency: RefCell::default(),
            failed: Cell::new(0),
            first_failure: RefCell::default(),
        }
    }

    /// One connection, until the job is done or something fails: a run with a failure is void anyway.
    async fn connection(&self, gate: &Gate) {
        let work = async {
            let mut line = Line::connect(self.job.address).await?;
            let mut now = Instant::now();
            while let Some(turn) = self.turn(gate, now).await {
                let answer = line.exchange(&self.job.requests, self.job.first + turn.number);
                match timeout(ANSWER_TIME_MAX, answer).await {
                    Ok(done) => done?,
                    Err(_) => return Err(format!("no answer within {} s", ANSWER_TIME_MAX.as_secs())),
                }
                now = Instant::now();
                self.count(&turn, now);
            }
            Ok(())
        };
        let outcome: Result<(), String> = work.await;
        if let Err(reason) = outcome {
            self.failed.set(self.failed.get() + 1);
            self.first_failure.borrow_mut().get_or_insert(reason);
        }
    }

    /// The next exchange of a connection that is free since `now`; none if the job is done.
    async fn turn(&self, gate: &Gate, now: Instant) -> Option<Turn> {
        if self.stop.asked() || self.failed.get() > 0 {
            return None;
        }
        let Some(schedule) = self.schedule else {
            return (now < self.job.measure.end).then(|| Turn { number: self.take(), intended: now });
        };
        // Closed by nobody: an error is as good as the end.
        gate.due.acquire().await.ok()?.forget();
        if self.next.get() >= gate.total.load(Ordering::SeqCst) {
            return None;
        }
        let number = self.take();
        Some(Turn { number, intended: schedule.intended(number) })
    }

    fn take(&self) -> u64 {
        self.next.replace(self.next.get() + 1)
    }

    fn count(&self, turn: &Turn, end: Instant) {
        let (when, latency) = match self.schedule {
            Some(schedule) => (turn.intended, schedule.latency(turn.number, end)),
            None => (end, end.saturating_duration_since(turn.intended)),
        };
        if self.job.measure.contains(&when) {
            self.latency.borrow_mut().add(latency);
            if let Some(timeline) = self.timeline.borrow_mut().as_mut() {
                timeline.add(end, latency);
            }
        }
    }

    fn outcome(&self) -> Outcome {
        Outcome {
            issued: self.job.first..self.job.first + self.next.get(),
            latency: self.latency.borrow().clone(),
            timeline: self.timeline.take(),
            failed: self.failed.get(),
            first_failure: self.first_failure.borrow().clone(),
        }
    }
}

/// An exchange that is to be made.
struct Turn {
    /// From 0 within the job.
    number: u64,
    intended: Instant,
}

/// A kept connection with its buffers.
struct Line {
    stream: TcpStream,
    request: Vec<u8>,
    answer: Vec<u8>,
}

impl Line {
    async fn connect(address: SocketAddr) -> Result<Self, String> {
        let stream = TcpStream::connect(address).await.map_err(|error| format!("cannot connect: {error}"))?;
        stream.set_nodelay(true).map_err(|error| error.to_string())?;
        Ok(Self { stream, request: Vec::new(), answer: Vec::with_capacity(READ_BYTES) })
    }

    async fn exchange(&mut self, requests: &Requests, number: u64) -> Result<(), String> {
        self.request.clear();
        requests.write(&mut self.request, number);
        self.stream.write_all(&self.request).await.map_err(|error| format!("cannot send: {error}"))?;
        self.answer.clear();
        let mut searched = 0;
        let head = loop {
            self.read().await?;
            match head(&self.answer, searched).map_err(|error| error.to_string())? {
                Some(head) => break head,
                None => searched = self.answer.len(),
            }
        };
        let whole = head.bytes + usize::try_from(head.body).unwrap_or(usize::MAX).min(ANSWER_BYTES_MAX);
        while self.answer.len() < whole {
            self.read().await?;
        }
        let body = self.answer.get(head.bytes..).unwrap_or_default();
        if head.status != 200 || head.fault || body.len() != requests.answer_bytes() {
            let shown = String::from_utf8_lossy(body.get(..body.len().min(SHOWN_BYTES)).unwrap_or_default());
            return Err(format!("HTTP {} with {} bytes: {shown}", head.status, body.len()));
        }
        Ok(())
    }

    async fn read(&mut self) -> Result<(), String> {
        match self.stream.read_buf(&mut self.answer).await {
            Ok(0) => Err("the connection was closed instead of an answer".to_owned()),
            Ok(_) => Ok(()),
            Err(error) => Err(format!("the answer broke off: {error}")),
        }
    }
}

/// Status, length of the head and of the body of an answer, once its head is whole; for who reads a body piece by piece.
pub(crate) fn head_of(bytes: &[u8]) -> Result<Option<(u16, usize, u64)>, String> {
    let head = head(bytes, 0).map_err(|error| error.to_string())?;
    Ok(head.map(|head| (head.status, head.bytes, head.body)))
}

/// Longest time for one exchange: that of the security servers themselves.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(60);
/// First size of the buffer: the usual answer in one read.
const READ_BYTES: usize = 16 * 1024;
/// Longest answer that is taken in: larger bodies have a measurement of their own.
const ANSWER_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Of an answer that is not as it should be.
const SHOWN_BYTES: usize = 300;

#[cfg(test)]
mod tests;

//! Messages of one member that wait to be signed together, by the peer that will verify them: it verifies one signature for all.
//!
//! Nobody waits for a batch to fill. The first message starts a worker, which signs what is there; what comes meanwhile is the next batch.
//! A message that comes alone is signed alone.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use kogge_certs::key::{KeyKind, SignError};
use kogge_evidence::signature::{Parts, ReadyCredential, Signed};
use kogge_proto::id::SecurityServerId;
use kogge_proto::limits::SIGNATURE_BATCH_MAX;
use kogge_proto::time::UnixMillis;
use tokio::sync::oneshot;
use tokio::task::{spawn_blocking, yield_now};

use super::SigningError;
use crate::metrics::Metrics;

/// The queues of one member: one per peer for which a worker is at work, none longer than there are exchanges running.
pub(super) struct Queues {
    waiting: Mutex<HashMap<SecurityServerId, Vec<Waiting>>>,
    metrics: Arc<Metrics>,
}

/// A message, and who asked for its signature.
struct Waiting {
    parts: Parts,
    /// Taken in hand by the exchange, and good then; its signature is made with no other.
    credential: Arc<ReadyCredential>,
    now: UnixMillis,
    tell: oneshot::Sender<Result<Signed, SigningError>>,
}

impl Queues {
    pub(super) fn new(metrics: Arc<Metrics>) -> Self {
        Self { waiting: Mutex::default(), metrics }
    }

    /// Signs a message for this peer, together with others if there are any. Whoever stops waiting takes his message out of the queue if
    /// it is not being signed already.
    pub(super) async fn sign(
        self: &Arc<Self>,
        peer: &SecurityServerId,
        parts: Parts,
        credential: Arc<ReadyCredential>,
        now: UnixMillis,
    ) -> Result<Signed, SigningError> {
        let (tell, told) = oneshot::channel();
        if let Some(worker) = self.add(peer, Waiting { parts, credential, now, tell }) {
            tokio::spawn(worker.work());
        }
        told.await.unwrap_or(Err(SigningError::ShuttingDown))
    }

    /// The worker to start, if there is none for this peer.
    fn add(self: &Arc<Self>, peer: &SecurityServerId, message: Waiting) -> Option<Worker> {
        let mut queues = self.lock();
        if let Some(queue) = queues.get_mut(peer) {
            queue.push(message);
            return None;
        }
        queues.insert(peer.clone(), vec![message]);
        Some(Worker { queues: Arc::clone(self), peer: peer.clone(), done: false })
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<SecurityServerId, Vec<Waiting>>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Signs until its queue is empty. The queue exists as long as its worker does.
struct Worker {
    queues: Arc<Queues>,
    peer: SecurityServerId,
    done: bool,
}

impl Worker {
    async fn work(mut self) {
        loop {
            // Whatever else is ready to run comes first, and adds its messages. It is not a wait: on an idle server nothing is.
            yield_now().await;
            let Some(batch) = self.take() else { return };
            if !batch.is_empty() {
                self.queues.metrics.signed(batch.len());
                sign(batch).await;
            }
        }
    }

    /// What is to be signed next: messages at the head of the queue that were given the same credential. `None` ends the queue.
    fn take(&mut self) -> Option<Vec<Waiting>> {
        let mut queues = self.queues.lock();
        let queue = queues.get_mut(&self.peer).filter(|queue| !queue.is_empty());
        let Some(queue) = queue else {
            queues.remove(&self.peer);
            self.done = true;
            return None;
        };
        let same = queue.iter().take(SIGNATURE_BATCH_MAX).zip(queue.first().into_iter().cycle());
        let count = same.take_while(|(one, first)| one.credential.is_same(&first.credential)).count();
        let mut batch: Vec<_> = queue.drain(..count).collect();
        batch.retain(|message| !message.tell.is_closed());
        Some(batch)
    }
}

/// A worker that was stopped half-way (its runtime ends) leaves nobody waiting.
impl Drop for Worker {
    fn drop(&mut self) {
        if !self.done {
            self.queues.lock().remove(&self.peer);
        }
    }
}

/// Signs and tells everybody. RSA takes a millisecond and more and goes to a thread of its own.
async fn sign(batch: Vec<Waiting>) {
    let Some(credential) = batch.first().map(|first| Arc::clone(&first.credential)) else { return };
    let Some(now) = batch.iter().map(|message| message.now).max() else { return };
    let (parts, askers): (Vec<Parts>, Vec<_>) =
        batch.into_iter().map(|message| (message.parts, message.tell)).unzip();
    let slow = matches!(credential.kind(), KeyKind::Rsa(_));
    let work = move || credential.sign_batch(&parts, now);
    let outcome = if slow { spawn_blocking(work).await.ok() } else { Some(work()) };
    tell(askers, outcome);
}

/// An asker who has gone away misses nothing: the signature of the others is as good without him. `None`: nothing was signed any more.
fn tell(
    askers: Vec<oneshot::Sender<Result<Signed, SigningError>>>,
    outcome: Option<Result<Vec<Signed>, SignError>>,
) {
    match outcome {
        Some(Ok(signed)) => {
            for (asker, signed) in askers.into_iter().zip(signed) {
                let _ = asker.send(Ok(signed));
            }
        }
        Some(Err(error)) => {
            for asker in askers {
                let _ = asker.send(Err(error.clone().into()));
            }
        }
        None => drop(askers),
    }
}

#[cfg(test)]
mod tests;

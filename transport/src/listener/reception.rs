//! What both carriers' accept loops share: limits, live connections, and the queue of exchanges that wait for a pipeline.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use kogge_proto::limits::EXCHANGE_TIME_MAX;
use kogge_proto::time::UnixMillis;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::admission::Admission;
use super::refusals::{Refusals, RefusedPeer};
use crate::activity::{Activity, Open};
use crate::carrier::{Receiving, Sending};
use crate::limits::KEEP_ALIVE;
use crate::peer::Peer;
use crate::stream::{Exchange, Side};
use crate::tls::Tls;
use crate::undelivered::Undelivered;
use crate::verify::Verdict;
use crate::{Carrier, ListenerLimits, PeerIdentity, PeerStream};

pub(super) struct Reception {
    pub(super) tls: Tls,
    pub(super) limits: ListenerLimits,
    pub(super) admission: Admission,
    /// Accept loops and connections.
    pub(super) tasks: TaskTracker,
    /// Nothing new is taken.
    pub(super) stopping: CancellationToken,
    /// Everything ends.
    pub(super) closing: CancellationToken,
    exchanges: Arc<Semaphore>,
    queue: mpsc::Sender<PeerStream>,
    /// Takes exchanges at once, in the place of the queue.
    handler: OnceLock<Handler>,
    visitors: Mutex<HashMap<u64, Arc<Visitor>>>,
    next_visitor: AtomicU64,
    refusals: Mutex<Refusals>,
}

/// What is done with an exchange; must not block.
pub(super) type Handler = Box<dyn Fn(PeerStream) + Send + Sync>;

/// A live connection whose peer has been accepted.
pub(super) struct Visitor {
    id: u64,
    pub(super) peer: Peer,
    /// Cancelled to close the connection.
    pub(super) closing: CancellationToken,
    activity: Arc<Activity>,
    undelivered: Arc<Undelivered>,
}

/// An exchange that is not taken.
pub(super) enum Turned {
    /// There are too many, or the listener is shutting down.
    Away,
    /// The peer is no longer accepted.
    Out,
}

/// The right to one exchange.
pub(super) struct Place {
    peer: PeerIdentity,
    permit: OwnedSemaphorePermit,
    open: Open,
    undelivered: Arc<Undelivered>,
}

impl Reception {
    pub(super) fn new(tls: Tls, limits: ListenerLimits) -> (Self, mpsc::Receiver<PeerStream>) {
        let exchanges_max = limits.streams_max.clamp(1, Semaphore::MAX_PERMITS);
        // As long as the number of exchanges: whoever has a place also finds room in the queue.
        let (queue, arrived) = mpsc::channel(exchanges_max);
        let reception = Self {
            tls,
            admission: Admission::new(limits.connections_max, limits.connections_per_address_max),
            tasks: TaskTracker::new(),
            stopping: CancellationToken::new(),
            closing: CancellationToken::new(),
            exchanges: Arc::new(Semaphore::new(exchanges_max)),
            queue,
            handler: OnceLock::new(),
            visitors: Mutex::default(),
            next_visitor: AtomicU64::new(0),
            refusals: Mutex::default(),
            limits,
        };
        (reception, arrived)
    }

    /// Registers a connection; to be given to [`Reception::leave`] at its end.
    pub(super) fn enter(&self, peer: PeerIdentity) -> Arc<Visitor> {
        let id = self.next_visitor.fetch_add(1, Ordering::Relaxed);
        let (peer, closing) = (Peer::new(peer), self.closing.child_token());
        let activity = Arc::<Activity>::default();
        let undelivered = Arc::new(Undelivered::new(Arc::clone(&activity)));
        let visitor = Arc::new(Visitor { id, peer, closing, activity, undelivered });
        self.lock_visitors().insert(id, Arc::clone(&visitor));
        visitor
    }

    pub(super) fn leave(&self, visitor: &Visitor) {
        self.lock_visitors().remove(&visitor.id);
    }

    pub(super) fn each_visitor(&self, look: impl Fn(&Visitor)) {
        self.lock_visitors().values().for_each(|visitor| look(visitor));
    }

    /// Whether one more exchange of this peer is taken now.
    pub(super) fn place_for(&self, visitor: &Visitor) -> Result<Place, Turned> {
        let peer = visitor.peer.settle_now(self.tls.trust()).map_err(|refusal| {
            if self.may_tell(self.tls.trust().now()) {
                tracing::info!(peer = ?visitor.peer.identity(), %refusal, "refused an exchange");
            }
            Turned::Out
        })?;
        if self.stopping.is_cancelled() {
            return Err(Turned::Away);
        }
        let permit = Arc::clone(&self.exchanges).try_acquire_owned().map_err(|_| Turned::Away)?;
        let (open, undelivered) = (visitor.activity.begin(), Arc::clone(&visitor.undelivered));
        Ok(Place { peer, permit, open, undelivered })
    }

    /// Passes an exchange on to the pipelines.
    pub(super) fn pass_on(&self, place: Place, sending: Sending, receiving: Receiving) {
        let exchange = Exchange {
            peer: place.peer,
            send_time_max: self.limits.frame_time_max,
            receive_time_max: Some(self.limits.frame_time_max),
            side: Side::Accepted { undelivered: place.undelivered },
            _held: Box::new((place.permit, place.open)),
        };
        let stream = PeerStream::new(sending, receiving, exchange, Instant::now() + EXCHANGE_TIME_MAX);
        if let Some(handler) = self.handler.get() {
            return handler(stream);
        }
        // There is room, so this fails only while shutting down.
        if let Err(mpsc::error::TrySendError::Closed(stream) | mpsc::error::TrySendError::Full(stream)) =
            self.queue.try_send(stream)
        {
            stream.turn_away();
        }
    }

    /// From now on exchanges go to `handler` rather than into the queue. The first handler stays.
    pub(super) fn handle_with(&self, handler: Handler) {
        // A second one would be a mistake of the caller's that changes nothing.
        let _ = self.handler.set(handler);
    }

    /// The handler, if there is one.
    pub(super) fn handler(&self) -> Option<&Handler> {
        self.handler.get()
    }

    /// Remembers why a handshake came to nothing, if a certificate was the reason.
    pub(super) fn note_refused(&self, addr: SocketAddr, carrier: Carrier, verdict: &Verdict) {
        let Some(Err(refusal)) = verdict.take() else { return };
        let now = self.tls.trust().now();
        if self.may_tell(now) {
            tracing::warn!(%addr, %carrier, %refusal, "refused a peer");
        }
        self.lock_refusals().remember(RefusedPeer { at: now, addr, carrier, refusal });
    }

    pub(super) fn refused_peers(&self) -> Vec<RefusedPeer> {
        self.lock_refusals().peers()
    }

    /// Whether a refusal may be told in the log now.
    fn may_tell(&self, now: UnixMillis) -> bool {
        let permission = self.lock_refusals().tell(now);
        if let Some(untold @ 1..) = permission {
            tracing::warn!(untold, "refusals were not logged one by one: there were too many");
        }
        permission.is_some()
    }

    /// Returns when no exchange is running and every answer has arrived, at the latest after `grace`.
    pub(super) async fn wait_for_exchanges(&self, grace: Duration) {
        let all = u32::try_from(self.limits.streams_max.max(1)).unwrap_or(u32::MAX);
        // What has not ended by then is cut off.
        let _ = timeout(grace, async {
            let _none_begins = self.exchanges.acquire_many(all).await;
            let visitors: Vec<_> = self.lock_visitors().values().cloned().collect();
            for visitor in visitors {
                visitor.undelivered.all_delivered().await;
            }
        })
        .await;
    }

    /// Closes every connection.
    pub(super) async fn close(&self) {
        self.closing.cancel();
        self.tasks.close();
        // A task that has not ended by then has nothing left to lose.
        let _ = timeout(CLOSE_TIME_MAX, self.tasks.wait()).await;
    }

    fn lock_refusals(&self) -> std::sync::MutexGuard<'_, Refusals> {
        self.refusals.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lock_visitors(&self) -> std::sync::MutexGuard<'_, HashMap<u64, Arc<Visitor>>> {
        self.visitors.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Visitor {
    /// Returns once nothing was heard for too long: with an exchange on the connection soon, without one late. `heard` tells what has been
    /// heard so far; it is asked rarely, and never while there is no exchange.
    pub(super) async fn silent<T: PartialEq>(&self, limits: &ListenerLimits, heard: impl Fn() -> T) {
        let tick = KEEP_ALIVE.min(limits.idle_time_max);
        while timeout(limits.unused_time_max, self.activity.begun()).await.is_ok() {
            let (mut last, mut since) = (heard(), Instant::now());
            while self.activity.open() > 0 {
                sleep(tick).await;
                self.undelivered.sweep();
                let now = heard();
                if now != last {
                    (last, since) = (now, Instant::now());
                } else if since.elapsed() >= limits.idle_time_max {
                    return;
                }
            }
        }
    }
}

/// How long peers are given to learn that we close.
pub(super) const CLOSE_TIME_MAX: Duration = Duration::from_secs(1);

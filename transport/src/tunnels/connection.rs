//! A live connection to a security server, of either carrier, as the dialling side has it.

use std::sync::{Arc, OnceLock};

use kogge_certs::certificate::Certificate;
use kogge_certs::snapshot::VerifiedSnapshot;
use kogge_proto::time::UnixMillis;
use tokio::time::{Instant, sleep, timeout, timeout_at};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::Health;
use crate::activity::Activity;
use crate::carrier::{Ending, Receiving, Sending, http2, quic};
use crate::error::{Refusal, TransportError};
use crate::limits::{IDLE_TIME_MAX, KEEP_ALIVE, PROBE_AFTER, PROBE_TIME_MAX, UNUSED_TIME_MAX};
use crate::peer::{Peer, PeerTrust};
use crate::stamp::Stamp;
use crate::stream::{Exchange, PeerStream, Side};
use crate::{PeerIdentity, TunnelLimits};

pub(crate) struct Connection {
    link: Link,
    peer: Peer,
    health: Arc<Health>,
    /// When the connection was last known to be alive.
    heard: Stamp,
    /// Open streams; closed when it is retired.
    streams: TaskTracker,
    activity: Arc<Activity>,
    closed: CancellationToken,
}

/// What carries it.
enum Link {
    Quic(quinn::Connection),
    H2(Box<http2::Link>),
}

/// Why a pooled connection gave no stream.
pub(crate) enum OpenError {
    /// The connection is dead, or the peer wants no more on it. Nothing was sent: a new one may be dialled.
    Dead,
    /// There is no use in another connection.
    Final(TransportError),
}

impl Connection {
    /// Takes a dialled QUIC connection into use; a task of `tasks` looks after it.
    pub(crate) fn quic(
        connection: quinn::Connection,
        peer: PeerIdentity,
        health: Arc<Health>,
        closed: CancellationToken,
        tasks: &TaskTracker,
    ) -> Arc<Self> {
        let this = Self::new(Link::Quic(connection.clone()), peer, health, Stamp::now(), closed);
        let watched = Arc::clone(&this);
        tasks.spawn(async move {
            tokio::select! {
                _ = connection.closed() => watched.closed.cancel(),
                () = watched.closed.cancelled() => connection.close(quic::GIVEN_UP, b"closed"),
                () = watched.unneeded() => watched.closed.cancel(),
            }
            connection.close(quic::GIVEN_UP, b"closed");
        });
        this
    }

    /// Takes a dialled HTTP/2 connection into use; a task of `tasks` drives it.
    pub(crate) fn h2(
        dialled: http2::Dialled,
        health: Arc<Health>,
        closed: CancellationToken,
        tasks: &TaskTracker,
    ) -> Arc<Self> {
        let http2::Dialled { driver, link, peer } = dialled;
        let heard = link.heard.clone();
        let this = Self::new(Link::H2(Box::new(link)), peer, health, heard, closed);
        let watched = Arc::clone(&this);
        tasks.spawn(async move {
            tokio::select! {
                // How it ended is in every stream that it carried.
                _ = driver => {}
                () = watched.closed.cancelled() => {}
                () = watched.unneeded() => {}
            }
            watched.closed.cancel();
        });
        this
    }

    fn new(
        link: Link,
        peer: PeerIdentity,
        health: Arc<Health>,
        heard: Stamp,
        closed: CancellationToken,
    ) -> Arc<Self> {
        let peer = Peer::new(peer);
        let (streams, activity) = <(TaskTracker, Arc<Activity>)>::default();
        Arc::new(Self { link, peer, health, heard, streams, activity, closed })
    }

    /// Whether it takes no more streams.
    pub(crate) fn is_retired(&self) -> bool {
        let gone = match &self.link {
            Link::Quic(connection) => connection.close_reason().is_some(),
            Link::H2(_) => false,
        };
        gone || self.closed.is_cancelled() || self.streams.is_closed()
    }

    /// Takes no more streams. Those that are open go on; with the last one the connection ends.
    fn retire(&self) {
        self.streams.close();
    }

    /// Retires it if we have shown another certificate in its handshake.
    pub(crate) fn retire_unless_opened_with(&self, ours: &Certificate) {
        if self.peer().local_certificate() != ours {
            self.retire();
        }
    }

    /// Ends it and every stream on it.
    pub(crate) fn close(&self) {
        self.closed.cancel();
    }

    /// How many streams are open.
    pub(crate) fn streams(&self) -> usize {
        self.streams.len()
    }

    pub(crate) fn peer(&self) -> PeerIdentity {
        self.peer.identity()
    }

    /// Closes the connection if `snapshot` no longer accepts the peer.
    pub(crate) fn recheck(&self, snapshot: &VerifiedSnapshot, now: UnixMillis) {
        if let Err(refusal) = self.settle(|peer| peer.settle_against(snapshot, now)) {
            tracing::info!(server = %self.peer().server(), %refusal, "closing a connection");
            self.close();
        }
    }

    /// Opens a stream. A connection on which nothing was heard lately must first show that it is alive.
    pub(crate) async fn open(
        &self,
        trust: &dyn PeerTrust,
        limits: &TunnelLimits,
        deadline: Instant,
        all_streams: &TaskTracker,
    ) -> Result<PeerStream, OpenError> {
        let peer = self.settle(|peer| peer.settle_now(trust)).map_err(|refusal| {
            self.close();
            OpenError::Final(refusal.into())
        })?;
        self.show_life(deadline).await?;
        let held = (self.streams.token(), all_streams.token(), self.activity.begin());
        let (sending, receiving) = match timeout_at(deadline, self.open_halves()).await {
            Ok(Ok(halves)) => halves,
            Ok(Err(_)) => {
                self.retire();
                return Err(OpenError::Dead);
            }
            Err(_) => return Err(OpenError::Final(TransportError::Timeout { sent: false })),
        };
        let side = Side::Dialled {
            first_sent: OnceLock::new(),
            health: Arc::clone(&self.health),
            heard: self.heard.clone(),
            answered: OnceLock::new(),
        };
        let exchange = Exchange {
            peer,
            send_time_max: limits.frame_time_max,
            receive_time_max: None,
            side,
            _held: Box::new(held),
        };
        Ok(PeerStream::new(sending, receiving, exchange, deadline))
    }

    /// As `settle` finds it, and still the server that was dialled.
    fn settle(
        &self,
        settle: impl FnOnce(&Peer) -> Result<PeerIdentity, Refusal>,
    ) -> Result<PeerIdentity, Refusal> {
        let expected = self.peer.identity().server().clone();
        let peer = settle(&self.peer)?;
        if *peer.server() == expected {
            Ok(peer)
        } else {
            Err(Refusal::WrongServer { expected, found: peer.server().clone() })
        }
    }

    async fn show_life(&self, deadline: Instant) -> Result<(), OpenError> {
        if self.heard.last().elapsed() < PROBE_AFTER {
            return Ok(());
        }
        let until = deadline.min(Instant::now() + PROBE_TIME_MAX);
        match timeout_at(until, self.probe()).await {
            Ok(true) => {
                self.heard.touch();
                Ok(())
            }
            Err(_) if until == deadline => Err(OpenError::Final(TransportError::Timeout { sent: false })),
            Ok(false) | Err(_) => {
                self.retire();
                Err(OpenError::Dead)
            }
        }
    }

    async fn probe(&self) -> bool {
        match &self.link {
            Link::Quic(connection) => quic::probe(connection).await,
            Link::H2(link) => link.probe().await,
        }
    }

    async fn open_halves(&self) -> Result<(Sending, Receiving), Ending> {
        match &self.link {
            Link::Quic(connection) => {
                let (send, recv) = connection.open_bi().await.map_err(|error| quic::lost(&error))?;
                Ok((
                    Sending::Quic(quic::Sending::new(send, connection.clone())),
                    Receiving::Quic(quic::Receiving::new(recv)),
                ))
            }
            Link::H2(link) => link.open().await,
        }
    }

    /// Returns once the connection is of no more use: it is retired and its last stream has ended, no stream was opened for a long time, or
    /// the peer no longer answers.
    async fn unneeded(&self) {
        tokio::select! {
            () = self.streams.wait() => {}
            () = self.unused_or_silent() => {}
        }
    }

    async fn unused_or_silent(&self) {
        while timeout(UNUSED_TIME_MAX, self.activity.begun()).await.is_ok() {
            while self.activity.open() > 0 {
                sleep(KEEP_ALIVE).await;
                if self.heard.last().elapsed() >= KEEP_ALIVE && !self.answers().await {
                    return;
                }
            }
        }
    }

    /// Whether the peer still answers.
    async fn answers(&self) -> bool {
        match timeout(IDLE_TIME_MAX - KEEP_ALIVE, self.probe()).await {
            Ok(true) => {
                self.heard.touch();
                true
            }
            Ok(false) => false,
            // The answer may queue behind bulk data; silence is what counts.
            Err(_) => self.heard.last().elapsed() < IDLE_TIME_MAX,
        }
    }
}

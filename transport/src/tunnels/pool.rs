//! Live connections by security server, address and carrier, and the dials that are under way.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Shared};
use kogge_certs::certificate::Certificate;
use kogge_certs::snapshot::{SecurityServer, VerifiedSnapshot};
use kogge_proto::id::SecurityServerId;
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::connection::Connection;
use super::dial::Dialler;
use super::health::Health;
use super::race;
use crate::dial_error::DialError;
use crate::error::TransportError;
use crate::peer::PeerTrust;
use crate::tls::Tls;
use crate::{Carrier, TransportMode, TunnelLimits};

pub(crate) struct Pool {
    tls: Tls,
    mode: TransportMode,
    limits: TunnelLimits,
    dialler: Arc<Dialler>,
    lines: Mutex<HashMap<Key, Line>>,
    health: Mutex<HashMap<Target, Arc<Health>>>,
    /// Open streams of all connections.
    streams: TaskTracker,
    /// Dials, and the tasks that look after connections.
    tasks: TaskTracker,
    /// No more dials.
    stopping: CancellationToken,
    /// Parent of what closes each connection.
    closing: CancellationToken,
}

/// One address of one security server, with what is known of it.
#[derive(Clone)]
pub(crate) struct Address {
    pub(crate) target: Target,
    pub(crate) health: Arc<Health>,
}

#[derive(Clone, Eq, Hash, PartialEq)]
pub(crate) struct Target {
    pub(crate) server: SecurityServerId,
    /// `HOST:PORT`.
    pub(crate) address: String,
}

#[derive(Clone, Eq, Hash, PartialEq)]
struct Key {
    target: Target,
    carrier: Carrier,
}

/// The connections to one address by one carrier.
#[derive(Default)]
struct Line {
    connections: Vec<Arc<Connection>>,
    dial: Option<Dial>,
}

/// A dial that many exchanges may wait for; it goes on when they no longer do.
type Dial = Shared<BoxFuture<'static, Result<Arc<Connection>, DialError>>>;

impl Pool {
    pub(crate) fn new(tls: Tls, mode: TransportMode, limits: TunnelLimits) -> Self {
        Self {
            dialler: Arc::new(Dialler::new(tls.clone())),
            tls,
            mode,
            limits,
            lines: Mutex::default(),
            health: Mutex::default(),
            streams: TaskTracker::new(),
            tasks: TaskTracker::new(),
            stopping: CancellationToken::new(),
            closing: CancellationToken::new(),
        }
    }

    pub(crate) fn trust(&self) -> &dyn PeerTrust {
        self.tls.trust()
    }

    pub(crate) fn mode(&self) -> TransportMode {
        self.mode
    }

    pub(crate) fn limits(&self) -> &TunnelLimits {
        &self.limits
    }

    pub(crate) fn streams(&self) -> &TaskTracker {
        &self.streams
    }

    /// All addresses of `servers`, in order.
    pub(crate) fn addresses(&self, servers: &[&SecurityServer]) -> Vec<Address> {
        let mut known = self.health.lock().unwrap_or_else(PoisonError::into_inner);
        let targets = servers.iter().flat_map(|server| {
            server
                .addresses
                .iter()
                .map(|address| Target { server: server.id.clone(), address: address.clone() })
        });
        targets
            .map(|target| Address { health: Arc::clone(known.entry(target.clone()).or_default()), target })
            .collect()
    }

    /// A live connection that has room, or the one that the dial under way will give.
    pub(crate) async fn connection(
        self: &Arc<Self>,
        address: &Address,
        carrier: Carrier,
    ) -> Result<Arc<Connection>, DialError> {
        if self.stopping.is_cancelled() {
            return Err(going_away());
        }
        let dial = {
            let mut lines = self.lines();
            let line = lines.entry(Key { target: address.target.clone(), carrier }).or_default();
            match line.with_room(&self.limits, &self.tls.local().certificate) {
                Some(connection) => return Ok(connection),
                None => line.dial.get_or_insert_with(|| self.start_dial(address, carrier)).clone(),
            }
        };
        dial.await
    }

    /// Whether there is a live connection.
    pub(crate) fn has_connection(&self, address: &Address, carrier: Carrier) -> bool {
        let key = Key { target: address.target.clone(), carrier };
        self.lines()
            .get(&key)
            .is_some_and(|line| line.connections.iter().any(|connection| !connection.is_retired()))
    }

    /// Gets to know addresses that nobody has tried yet, in the background: the order by speed needs it, and the next failover
    /// is the faster for it.
    pub(crate) fn explore(self: &Arc<Self>, addresses: Vec<Address>) {
        for address in addresses.into_iter().filter(|address| address.health.begin_to_explore(Instant::now()))
        {
            let pool = Arc::clone(self);
            self.tasks.spawn(async move {
                let result = match pool.mode {
                    TransportMode::Quic => pool.connection(&address, Carrier::Quic).await,
                    TransportMode::H2 => pool.connection(&address, Carrier::H2).await,
                    TransportMode::Auto => race::connection(&pool, &address).await,
                };
                if let Err(error) = result {
                    tracing::debug!(%address, ?error, "not reachable for now");
                    address.health.failed(Instant::now());
                }
            });
        }
    }

    /// Tries QUIC in the background at an address that HTTP/2 serves meanwhile.
    pub(crate) fn try_quic(self: &Arc<Self>, address: &Address) {
        // Until the dial has ended well, the address counts as one that QUIC does not reach; this also keeps the tries apart.
        address.health.quic_failed(Instant::now());
        let (pool, address) = (Arc::clone(self), address.clone());
        self.tasks.spawn(async move {
            // Its success is in the pool and in the health, its failure is there already.
            let _ = pool.connection(&address, Carrier::Quic).await;
        });
    }

    fn start_dial(self: &Arc<Self>, address: &Address, carrier: Carrier) -> Dial {
        let (give, take) = oneshot::channel();
        let (pool, address) = (Arc::clone(self), address.clone());
        self.tasks.spawn(async move {
            let result = pool.dial(&address, carrier).await;
            let mut lines = pool.lines();
            if let Some(line) = lines.get_mut(&Key { target: address.target.clone(), carrier }) {
                line.dial = None;
                line.connections.extend(result.iter().cloned());
            }
            drop(lines);
            // Nobody may be waiting any more.
            let _ = give.send(result);
        });
        take.map(|result| result.unwrap_or_else(|_| Err(going_away()))).boxed().shared()
    }

    async fn dial(&self, address: &Address, carrier: Carrier) -> Result<Arc<Connection>, DialError> {
        let closed = self.closing.child_token();
        let reach = self.dialler.reach(address, carrier, closed, &self.tasks, self.limits.dial_time_max);
        tokio::select! {
            result = reach => result,
            () = self.stopping.cancelled() => Err(going_away()),
        }
    }

    pub(crate) fn each_connection(&self, look: impl Fn(&Connection)) {
        for line in self.lines().values() {
            line.connections.iter().for_each(|connection| look(connection));
        }
    }

    /// Drops what is known of addresses that the registry no longer has, and connections that take nothing more.
    pub(crate) fn forget_addresses_outside(&self, snapshot: &VerifiedSnapshot) {
        let registered = |target: &Target| {
            snapshot
                .security_server(&target.server)
                .is_some_and(|server| server.addresses.contains(&target.address))
        };
        self.health.lock().unwrap_or_else(PoisonError::into_inner).retain(|target, _| registered(target));
        self.lines().retain(|_, line| {
            line.connections.retain(|connection| !connection.is_retired());
            !line.connections.is_empty() || line.dial.is_some()
        });
    }

    pub(crate) fn stop_dialling(&self) {
        self.stopping.cancel();
    }

    /// Closes every connection and waits until the peers have been told.
    pub(crate) async fn close(&self) {
        self.closing.cancel();
        self.tasks.close();
        // A task that has not ended by then has nothing left to lose.
        let _ = timeout(CLOSE_TIME_MAX, self.tasks.wait()).await;
        let _ = timeout(CLOSE_TIME_MAX, self.dialler.told_peers()).await;
    }

    /// Closes every connection without waiting.
    pub(crate) fn abandon(&self) {
        self.stopping.cancel();
        self.closing.cancel();
    }

    fn lines(&self) -> MutexGuard<'_, HashMap<Key, Line>> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Line {
    /// The least busy live connection, unless a further one should be dialled. Those that were opened with another certificate than
    /// `ours` end with their last exchange, so that none is left when the registry lets that certificate go.
    fn with_room(&mut self, limits: &TunnelLimits, ours: &Certificate) -> Option<Arc<Connection>> {
        self.connections.iter().for_each(|connection| connection.retire_unless_opened_with(ours));
        self.connections.retain(|connection| !connection.is_retired());
        let least_busy = self.connections.iter().min_by_key(|connection| connection.streams())?;
        let has_room = least_busy.streams() < limits.streams_per_connection_max;
        let no_more = self.connections.len() >= limits.connections_per_address_max;
        (has_room || no_more).then(|| Arc::clone(least_busy))
    }
}

impl Address {
    pub(crate) fn unreachable(&self, reason: &str) -> TransportError {
        let reason = format!("{}: {reason}", self.target.address);
        TransportError::Unreachable { server: self.target.server.clone(), reason }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at {}", self.target.server, self.target.address)
    }
}

fn going_away() -> DialError {
    DialError::Failed("this security server is shutting down".into())
}

/// How long peers are given to learn that we close.
const CLOSE_TIME_MAX: Duration = Duration::from_secs(1);

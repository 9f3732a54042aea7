//! Live connections by security server, address and carrier, and the dials that are under way.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
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
    /// What is known of each security server's addresses. Locked for a look-up only.
    addresses: RwLock<HashMap<SecurityServerId, Vec<Arc<Address>>>>,
    /// Open streams of all connections.
    streams: TaskTracker,
    /// Dials, and the tasks that look after connections.
    tasks: TaskTracker,
    /// No more dials.
    stopping: CancellationToken,
    /// Parent of what closes each connection.
    closing: CancellationToken,
}

/// One address of one security server, with what is known of it and the connections to it.
pub(crate) struct Address {
    pub(crate) server: SecurityServerId,
    /// `HOST:PORT`.
    pub(crate) address: String,
    pub(crate) health: Arc<Health>,
    quic: Mutex<Line>,
    h2: Mutex<Line>,
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
            addresses: RwLock::default(),
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
    pub(crate) fn addresses(&self, servers: &[&SecurityServer]) -> Vec<Arc<Address>> {
        let known = self.addresses.read().unwrap_or_else(PoisonError::into_inner);
        let mut found = Vec::with_capacity(servers.len());
        let all_known = servers.iter().all(|server| {
            let known = known.get(&server.id).map_or(&[][..], Vec::as_slice);
            server.addresses.iter().all(|address| {
                let at = known.iter().find(|known| known.address == *address);
                found.extend(at.cloned());
                at.is_some()
            })
        });
        drop(known);
        if all_known { found } else { self.learn(servers) }
    }

    /// As [`Pool::addresses`], for servers of which some address is new.
    fn learn(&self, servers: &[&SecurityServer]) -> Vec<Arc<Address>> {
        let mut known = self.addresses.write().unwrap_or_else(PoisonError::into_inner);
        let mut found = Vec::with_capacity(servers.len());
        for server in servers {
            let known = known.entry(server.id.clone()).or_default();
            for address in &server.addresses {
                let at = known.iter().find(|known| known.address == *address).cloned();
                found.push(at.unwrap_or_else(|| {
                    let new = Arc::new(Address::new(server.id.clone(), address.clone()));
                    known.push(Arc::clone(&new));
                    new
                }));
            }
        }
        found
    }

    /// A live connection that has room, or the one that the dial under way will give.
    pub(crate) async fn connection(
        self: &Arc<Self>,
        address: &Arc<Address>,
        carrier: Carrier,
    ) -> Result<Arc<Connection>, DialError> {
        if self.stopping.is_cancelled() {
            return Err(going_away());
        }
        let dial = {
            let mut line = address.line(carrier);
            match line.with_room(&self.limits, &self.tls.local().certificate) {
                Some(connection) => return Ok(connection),
                None => line.dial.get_or_insert_with(|| self.start_dial(address, carrier)).clone(),
            }
        };
        dial.await
    }

    /// Gets to know addresses that nobody has tried yet, in the background: the order by speed needs it, and the next failover
    /// is the faster for it.
    pub(crate) fn explore(self: &Arc<Self>, addresses: Vec<Arc<Address>>) {
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
    pub(crate) fn try_quic(self: &Arc<Self>, address: &Arc<Address>) {
        // Until the dial has ended well, the address counts as one that QUIC does not reach; this also keeps the tries apart.
        address.health.quic_failed(Instant::now());
        let (pool, address) = (Arc::clone(self), Arc::clone(address));
        self.tasks.spawn(async move {
            // Its success is in the pool and in the health, its failure is there already.
            let _ = pool.connection(&address, Carrier::Quic).await;
        });
    }

    fn start_dial(self: &Arc<Self>, address: &Arc<Address>, carrier: Carrier) -> Dial {
        let (give, take) = oneshot::channel();
        let (pool, address) = (Arc::clone(self), Arc::clone(address));
        self.tasks.spawn(async move {
            let result = pool.dial(&address, carrier).await;
            let mut line = address.line(carrier);
            line.dial = None;
            line.connections.extend(result.iter().cloned());
            drop(line);
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
        let known = self.addresses.read().unwrap_or_else(PoisonError::into_inner);
        for address in known.values().flatten() {
            for line in [&address.quic, &address.h2] {
                lock(line).connections.iter().for_each(|connection| look(connection));
            }
        }
    }

    /// Drops what is known of addresses that the registry no longer has, and connections that take nothing more.
    pub(crate) fn forget_addresses_outside(&self, snapshot: &VerifiedSnapshot) {
        let mut known = self.addresses.write().unwrap_or_else(PoisonError::into_inner);
        known.retain(|server, addresses| {
            let registered = snapshot.security_server(server).map_or(&[][..], |server| &server.addresses);
            addresses.retain(|address| {
                let in_use = [&address.quic, &address.h2].map(|line| lock(line).is_in_use());
                in_use.contains(&true) || registered.contains(&address.address)
            });
            !addresses.is_empty()
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
}

fn lock(line: &Mutex<Line>) -> MutexGuard<'_, Line> {
    line.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Line {
    /// Whether there is a live connection, or will be; drops those that take nothing more.
    fn is_in_use(&mut self) -> bool {
        self.connections.retain(|connection| !connection.is_retired());
        !self.connections.is_empty() || self.dial.is_some()
    }

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
    fn new(server: SecurityServerId, address: String) -> Self {
        Self { server, address, health: Arc::default(), quic: Mutex::default(), h2: Mutex::default() }
    }

    /// Whether there is a live connection.
    pub(crate) fn has_connection(&self, carrier: Carrier) -> bool {
        self.line(carrier).connections.iter().any(|connection| !connection.is_retired())
    }

    fn line(&self, carrier: Carrier) -> MutexGuard<'_, Line> {
        match carrier {
            Carrier::Quic => lock(&self.quic),
            Carrier::H2 => lock(&self.h2),
        }
    }

    pub(crate) fn unreachable(&self, reason: &str) -> TransportError {
        let reason = format!("{}: {reason}", self.address);
        TransportError::Unreachable { server: self.server.clone(), reason }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at {}", self.server, self.address)
    }
}

fn going_away() -> DialError {
    DialError::Failed("this security server is shutting down".into())
}

/// How long peers are given to learn that we close.
const CLOSE_TIME_MAX: Duration = Duration::from_secs(1);

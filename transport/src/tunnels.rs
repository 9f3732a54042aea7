//! The consumer's side: pooled connections to other security servers.

mod connection;
mod dial;
mod health;
mod pool;
mod race;

use std::sync::Arc;
use std::time::Duration;

use kogge_certs::snapshot::{SecurityServer, VerifiedSnapshot};
use tokio::time::{Instant, timeout, timeout_at};

use self::connection::{Connection, OpenError};
pub(crate) use self::health::Health;
use self::pool::{Address, Pool};
use crate::dial_error::DialError;
use crate::error::{Refusal, TransportError};
use crate::peer::current_snapshot;
use crate::tls::Tls;
use crate::{Identity, PeerIdentity, PeerStream, PeerTrust, TransportMode, TunnelLimits};

/// Connections to other security servers, shared by all exchanges. To be used inside a tokio runtime.
pub struct Tunnels {
    pool: Arc<Pool>,
}

impl Tunnels {
    /// Without any connection yet.
    #[must_use]
    pub fn new(
        identity: Arc<Identity>,
        trust: Arc<dyn PeerTrust>,
        mode: TransportMode,
        limits: TunnelLimits,
    ) -> Self {
        Self { pool: Arc::new(Pool::new(Tls::new(identity, trust), mode, limits)) }
    }

    /// Opens a stream to `server`, over a pooled connection if there is one, else over a new one to the address that is
    /// healthy and fastest. `deadline` also bounds every later wait on the stream.
    ///
    /// # Errors
    /// Never `BrokenAfterSend`: nothing has been sent yet. `Refused` if either side does not accept the other.
    pub async fn open(
        &self,
        server: &SecurityServer,
        deadline: Instant,
    ) -> Result<PeerStream, TransportError> {
        self.open_any(&[server], deadline).await
    }

    /// As [`Tunnels::open`], to any one of several servers that provide the same subsystem: healthy ones first, then the
    /// fastest; the next one if a server cannot be reached or one side refuses.
    ///
    /// # Errors
    /// As [`Tunnels::open`]; the most telling error if all servers failed. `NoServer` if `servers` is empty.
    pub async fn open_any(
        &self,
        servers: &[&SecurityServer],
        deadline: Instant,
    ) -> Result<PeerStream, TransportError> {
        current_snapshot(self.pool.trust())?;
        let mut addresses = self.pool.addresses(servers);
        // A stable sort: among equals the registry's order holds.
        let now = Instant::now();
        addresses.sort_by_key(|address| address.health.rank(now));
        let mut worst = TransportError::NoServer;
        for (tried, address) in addresses.iter().enumerate() {
            match self.open_at(address, deadline).await {
                Ok(stream) => {
                    self.pool.explore(addresses.split_off(tried + 1));
                    return Ok(stream);
                }
                Err(error) => {
                    tracing::debug!(%address, %error, "no stream");
                    address.health.failed(Instant::now());
                    worst = more_telling(worst, error);
                }
            }
            if Instant::now() >= deadline {
                break;
            }
        }
        Err(worst)
    }

    async fn open_at(&self, address: &Arc<Address>, deadline: Instant) -> Result<PeerStream, TransportError> {
        // Each round removes a dead connection; after the last pooled one comes one fresh dial, and one more in case the peer
        // is just restarting.
        for _ in 0..self.pool.limits().connections_per_address_max + 2 {
            let connection = self.connection(address, deadline).await?;
            match connection.open(self.pool.trust(), self.pool.limits(), deadline, self.pool.streams()).await
            {
                Ok(stream) => return Ok(stream),
                Err(OpenError::Final(error)) => return Err(error),
                Err(OpenError::Dead) => {}
            }
        }
        Err(address.unreachable("every connection broke at once"))
    }

    async fn connection(
        &self,
        address: &Arc<Address>,
        deadline: Instant,
    ) -> Result<Arc<Connection>, TransportError> {
        let connection = match self.pool.mode() {
            TransportMode::Quic => {
                timeout_at(deadline, self.pool.connection(address, crate::Carrier::Quic)).await
            }
            TransportMode::H2 => {
                timeout_at(deadline, self.pool.connection(address, crate::Carrier::H2)).await
            }
            TransportMode::Auto => timeout_at(deadline, race::connection(&self.pool, address)).await,
        };
        match connection {
            Ok(Ok(connection)) => Ok(connection),
            Ok(Err(DialError::Refused(refusal))) => Err(refusal.into()),
            Ok(Err(DialError::Protocol(error))) => Err(error.into()),
            Ok(Err(DialError::Failed(reason))) => Err(address.unreachable(&reason)),
            Err(_) => Err(TransportError::Timeout { sent: false }),
        }
    }

    /// Closes live connections to peers for which `keep` says no.
    pub fn close_peers(&self, keep: impl Fn(&PeerIdentity) -> bool) {
        self.pool.each_connection(|connection| {
            if !keep(&connection.peer()) {
                connection.close();
            }
        });
    }

    /// Closes live connections to peers that `snapshot` no longer accepts. To be called when a new snapshot arrives.
    pub fn recheck(&self, snapshot: &VerifiedSnapshot) {
        let now = self.pool.trust().now();
        self.pool.each_connection(|connection| connection.recheck(snapshot, now));
        self.pool.forget_addresses_outside(snapshot);
    }

    /// Opens nothing more, waits up to `grace` for running exchanges, then closes every connection.
    pub async fn shutdown(&self, grace: Duration) {
        self.pool.stop_dialling();
        let streams = self.pool.streams();
        streams.close();
        // What has not ended by then is cut off.
        let _ = timeout(grace, streams.wait()).await;
        self.pool.close().await;
    }
}

impl Drop for Tunnels {
    fn drop(&mut self) {
        self.pool.abandon();
    }
}

/// Of two failures the one that says more about the cause; the first of equals.
fn more_telling(first: TransportError, second: TransportError) -> TransportError {
    let tells = |error: &TransportError| match error {
        TransportError::NoServer => 0,
        TransportError::Timeout { .. } => 1,
        TransportError::Unreachable { .. } => 2,
        TransportError::Protocol(_) | TransportError::BrokenAfterSend { .. } => 3,
        TransportError::Refused(Refusal::ByPeer(_)) => 4,
        TransportError::Refused(_) => 5,
    };
    if tells(&second) > tells(&first) { second } else { first }
}

//! From `HOST:PORT` to a live connection.

use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::net::lookup_host;
use tokio::time::{Instant, timeout, timeout_at};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::connection::Connection;
use super::pool::Address;
use crate::Carrier;
use crate::carrier::{http2, quic};
use crate::dial_error::DialError;
use crate::tls::Tls;

pub(crate) struct Dialler {
    tls: Tls,
    /// Bound at the first dial by QUIC; all connections share its UDP port. One for IPv4, one for IPv6.
    endpoints: [OnceLock<Result<quinn::Endpoint, String>>; 2],
    transport: Arc<quinn::TransportConfig>,
}

impl Dialler {
    pub(crate) fn new(tls: Tls) -> Self {
        let transport = Arc::new(quic::dialling_transport());
        Self { tls, endpoints: Default::default(), transport }
    }

    /// Tries what the name stands for, one after the other, and notes in the address's health how long it took. `closed` will close
    /// the connection; a task of `tasks` looks after it.
    pub(crate) async fn reach(
        &self,
        address: &Address,
        carrier: Carrier,
        closed: CancellationToken,
        tasks: &TaskTracker,
        time_max: Duration,
    ) -> Result<Arc<Connection>, DialError> {
        let start = Instant::now();
        let end = start + time_max;
        let found = resolve(&address.address, end).await?;
        let mut failure = DialError::Failed("the name stands for no address".into());
        for (tried, addr) in found.iter().enumerate() {
            // An address that stays silent must not use up the time of the others.
            let share = end.saturating_duration_since(Instant::now())
                / u32::try_from(found.len() - tried).unwrap_or(1);
            let connection = self.connect(*addr, address, carrier, closed.clone(), tasks);
            failure = match timeout(share, connection).await {
                Ok(Ok(connection)) => {
                    address.health.took(start.elapsed());
                    return Ok(connection);
                }
                Ok(Err(DialError::Failed(reason))) => {
                    DialError::Failed(format!("{carrier} to {addr}: {reason}"))
                }
                // Another address of the same machine would say the same.
                Ok(Err(settled)) => return Err(settled),
                Err(_) => DialError::Failed(format!("{carrier} to {addr}: no answer")),
            };
        }
        Err(failure)
    }

    async fn connect(
        &self,
        addr: SocketAddr,
        address: &Address,
        carrier: Carrier,
        closed: CancellationToken,
        tasks: &TaskTracker,
    ) -> Result<Arc<Connection>, DialError> {
        let health = Arc::clone(&address.health);
        match carrier {
            Carrier::Quic => {
                let endpoint = self.endpoint(addr)?;
                let transport = Arc::clone(&self.transport);
                let (connection, peer) =
                    quic::dial(&endpoint, addr, &self.tls, &address.server, transport).await?;
                health.quic_works();
                Ok(Connection::quic(connection, peer, health, closed, tasks))
            }
            Carrier::H2 => {
                let dialled = http2::dial(addr, &self.tls, &address.server).await?;
                Ok(Connection::h2(dialled, health, closed, tasks))
            }
        }
    }

    fn endpoint(&self, addr: SocketAddr) -> Result<quinn::Endpoint, DialError> {
        let [v4, v6] = &self.endpoints;
        let endpoint = if addr.is_ipv4() { v4 } else { v6 };
        endpoint
            .get_or_init(|| quic::dialling_endpoint(addr).map_err(|error| error.to_string()))
            .clone()
            .map_err(|error| DialError::Failed(format!("no UDP port: {error}")))
    }

    /// Returns once all QUIC peers know of the end of their connections.
    pub(crate) async fn told_peers(&self) {
        for endpoint in self.endpoints.iter().filter_map(|endpoint| endpoint.get()?.as_ref().ok()) {
            endpoint.wait_idle().await;
        }
    }
}

async fn resolve(address: &str, end: Instant) -> Result<Vec<SocketAddr>, DialError> {
    match timeout_at(end, lookup_host(address)).await {
        Ok(Ok(found)) => Ok(found.take(ADDRESSES_PER_NAME_MAX).collect()),
        Ok(Err(error)) => Err(DialError::Failed(format!("the name cannot be resolved: {error}"))),
        Err(_) => Err(DialError::Failed("the name service does not answer".into())),
    }
}

/// A name with more addresses has its last ones ignored: each gets a share of the dial time.
const ADDRESSES_PER_NAME_MAX: usize = 4;

//! The provider's side: QUIC on the UDP port and HTTP/2 on the TCP port of the same number.

mod admission;
mod bind;
mod http2;
mod lingering;
mod quic;
mod reception;
mod refusals;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use kogge_certs::snapshot::VerifiedSnapshot;
use tokio::sync::{Mutex, mpsc};

use self::reception::Reception;
pub use self::refusals::RefusedPeer;
use crate::error::BindError;
use crate::tls::Tls;
use crate::{Identity, ListenerLimits, PeerIdentity, PeerStream, PeerTrust};

/// Accepts exchanges from registered security servers. To be used inside a tokio runtime. Dropping it closes every connection.
pub struct Listener {
    addr: SocketAddr,
    endpoint: quinn::Endpoint,
    reception: Arc<Reception>,
    arrived: Mutex<mpsc::Receiver<PeerStream>>,
}

impl Listener {
    /// Binds TCP and UDP of `addr` and starts accepting. With port 0 both get the same free port.
    ///
    /// # Errors
    /// The port is in use, the address is not ours, or TLS cannot be set up.
    pub fn bind(
        addr: SocketAddr,
        identity: Arc<Identity>,
        trust: Arc<dyn PeerTrust>,
        limits: ListenerLimits,
    ) -> Result<Self, BindError> {
        Self::bind_with_reset_key(addr, identity, trust, limits, None)
    }

    /// As [`Listener::bind`], with a secret that outlives the process: after a crash, peers that still hold a QUIC
    /// connection to the former process learn at once that it is gone (RFC 9000 section 10.3) instead of after a silence.
    ///
    /// # Errors
    /// As [`Listener::bind`].
    pub fn bind_with_reset_key(
        addr: SocketAddr,
        identity: Arc<Identity>,
        trust: Arc<dyn PeerTrust>,
        limits: ListenerLimits,
        reset_key: Option<&[u8; 32]>,
    ) -> Result<Self, BindError> {
        let (tcp, udp) = bind::both(addr)?;
        let tls = Tls::new(identity, trust);
        let (reception, arrived) = Reception::new(tls, limits);
        let reception = Arc::new(reception);
        let addr = tcp.local_addr().map_err(|source| BindError::Address { addr, protocol: "TCP", source })?;
        let endpoint = quic::endpoint(udp, addr, &reception, reset_key)?;
        let tcp = tokio::net::TcpListener::from_std(tcp).map_err(|source| BindError::Address {
            addr,
            protocol: "TCP",
            source,
        })?;
        reception.tasks.spawn(http2::accept(tcp, Arc::clone(&reception)));
        reception.tasks.spawn(quic::accept(endpoint.clone(), Arc::clone(&reception)));
        Ok(Self { addr, endpoint, reception, arrived: Mutex::new(arrived) })
    }

    /// The address that both carriers listen on.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.addr
    }

    /// The next exchange; `None` once the listener is shutting down. May be called from several tasks.
    pub async fn accept(&self) -> Option<PeerStream> {
        let next = async { self.arrived.lock().await.recv().await };
        tokio::select! {
            biased;
            () = self.reception.stopping.cancelled() => None,
            stream = next => stream,
        }
    }

    /// Gives every exchange to `handler`, until the listener is shutting down. Costs less than [`Listener::accept`]: an exchange does not change
    /// tasks on its way. The handler is called where frames are moved, so it only spawns a task. To be called once.
    pub async fn serve(&self, handler: impl Fn(PeerStream) + Send + Sync + 'static) {
        self.reception.handle_with(Box::new(handler));
        // Whoever came before the handler was there.
        while let Some(stream) = self.accept().await {
            match self.reception.handler() {
                Some(handler) => handler(stream),
                None => stream.turn_away(),
            }
        }
    }

    /// The last peers that were refused, newest last; for the operator.
    #[must_use]
    pub fn refused_peers(&self) -> Vec<RefusedPeer> {
        self.reception.refused_peers()
    }

    /// Closes live connections of peers for which `keep` says no.
    pub fn close_peers(&self, keep: impl Fn(&PeerIdentity) -> bool) {
        self.reception.each_visitor(|visitor| {
            if !keep(&visitor.peer.identity()) {
                visitor.closing.cancel();
            }
        });
    }

    /// Closes live connections of peers that `snapshot` no longer accepts. To be called when a new snapshot arrives.
    pub fn recheck(&self, snapshot: &VerifiedSnapshot) {
        let now = self.reception.tls.trust().now();
        self.reception.each_visitor(|visitor| {
            if let Err(refusal) = visitor.peer.settle_against(snapshot, now) {
                tracing::info!(peer = ?visitor.peer.identity(), %refusal, "closing a connection");
                visitor.closing.cancel();
            }
        });
    }

    /// Stops accepting, waits up to `grace` for running exchanges, then closes every connection.
    pub async fn shutdown(&self, grace: Duration) {
        self.reception.stopping.cancel();
        let mut arrived = self.arrived.lock().await;
        arrived.close();
        while let Ok(stream) = arrived.try_recv() {
            stream.turn_away();
        }
        drop(arrived);
        self.reception.wait_for_exchanges(grace).await;
        self.reception.close().await;
        self.endpoint.close(crate::carrier::quic::GIVEN_UP, b"shut down");
        // Peers that do not hear of it find out by themselves.
        let _ = tokio::time::timeout(reception::CLOSE_TIME_MAX, self.endpoint.wait_idle()).await;
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.reception.stopping.cancel();
        self.reception.closing.cancel();
        self.endpoint.close(crate::carrier::quic::GIVEN_UP, b"shut down");
    }
}

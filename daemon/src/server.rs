//! An HTTP/1.1 (and, over TLS, HTTP/2) server with limits: connections, header time, idle time, graceful end.

use std::convert::Infallible;
use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::combinators::BoxBody;
use hyper::body::Incoming;
use rustls::pki_types::CertificateDer;

use hyper::server::conn::{http1, http2};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::{GracefulConnection, GracefulShutdown, Watcher};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_rustls::TlsAcceptor;

mod patience;
mod silence;
mod task;
mod tls;

use self::patience::Patient;
use self::silence::Silence;
use self::task::Tasks;
pub use self::tls::{ClientCertificates, TlsConfigError, tls_config};
use crate::shutdown::Shutdown;

/// A body that a handler answers with.
pub type ResponseBody = BoxBody<Bytes, std::io::Error>;

/// Who is at the other end of a connection.
#[derive(Clone, Debug)]
pub struct Connection {
    /// The peer's address.
    pub remote: SocketAddr,
    /// Whether the connection is TLS.
    pub tls: bool,
    /// The client certificate that the TLS handshake proved possession of, if one was shown. Whether to accept it is the
    /// handler's decision.
    pub client_certificate: Option<CertificateDer<'static>>,
}

/// Limits of one listener.
#[derive(Clone, Debug)]
pub struct ServerLimits {
    /// Most connections; one more waits in the kernel's queue.
    pub connections_max: usize,
    /// Longest time for a TLS handshake or a request's headers.
    pub header_time_max: Duration,
    /// Longest time in which the other end takes nothing of an answer.
    pub write_time_max: Duration,
    /// Longest request head in bytes.
    pub header_bytes_max: usize,
    /// Most requests at the same time on one HTTP/2 connection.
    pub streams_max: u32,
    /// How long running requests may take once the server is asked to stop.
    pub grace: Duration,
}

impl Default for ServerLimits {
    fn default() -> Self {
        Self {
            connections_max: 1024,
            header_time_max: Duration::from_secs(30),
            write_time_max: Duration::from_secs(60),
            header_bytes_max: 64 * 1024,
            streams_max: 128,
            grace: Duration::from_secs(10),
        }
    }
}

/// Why a listener cannot start.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    /// Another process has the port.
    #[error("port {} of {} is in use by another process", .0.port(), .0.ip())]
    InUse(SocketAddr),
    /// Anything else.
    #[error("cannot listen on {addr}: {source}")]
    Other {
        /// Where.
        addr: SocketAddr,
        /// Why.
        source: std::io::Error,
    },
}

/// A bound listener that is not serving yet, so that a daemon binds everything before it says that it is ready.
pub struct Bound {
    listener: TcpListener,
    local_addr: SocketAddr,
    tls: Option<TlsAcceptor>,
    limits: ServerLimits,
}

impl Bound {
    /// Binds a TCP listener; TLS with `tls` if given.
    ///
    /// # Errors
    /// See [`ListenError`].
    pub async fn bind(
        addr: SocketAddr,
        tls: Option<Arc<rustls::ServerConfig>>,
        limits: ServerLimits,
    ) -> Result<Self, ListenError> {
        let listener = TcpListener::bind(addr).await.map_err(|source| match source.kind() {
            std::io::ErrorKind::AddrInUse => ListenError::InUse(addr),
            _ => ListenError::Other { addr, source },
        })?;
        let local_addr = listener.local_addr().map_err(|source| ListenError::Other { addr, source })?;
        Ok(Self { listener, local_addr, tls: tls.map(TlsAcceptor::from), limits })
    }

    /// The address, with the port that the kernel chose if 0 was asked for.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }

    /// Serves until `shutdown`, then waits for running requests up to the grace period. A handler that panics ends its own connection
    /// (over HTTP/2: its own request), not the server.
    pub async fn serve<H, F>(self, handler: H, shutdown: Shutdown)
    where
        H: Fn(Request<Incoming>, Connection) -> F + Clone + Send + Sync + 'static,
        F: Future<Output = Response<ResponseBody>> + Send + 'static,
    {
        let Self { listener, tls, limits, .. } = self;
        let slots = Arc::new(Semaphore::new(limits.connections_max));
        let tasks = Tasks::default();
        let graceful = GracefulShutdown::new();
        loop {
            let accepted = tokio::select! {
                () = shutdown.wait() => break,
                accepted = accept(&listener, &slots) => accepted,
            };
            let Some((stream, remote, slot)) = accepted else { break };
            let serving = Serving {
                handler: handler.clone(),
                tls: tls.clone(),
                limits: limits.clone(),
                tasks: tasks.clone(),
                watcher: graceful.watcher(),
                silence: Silence::new(shutdown.clone()),
            };
            tasks.spawn(async move {
                serving.connection(stream, remote).await;
                drop(slot);
            });
        }
        drop(listener);
        tasks.finish(graceful.shutdown(), limits.grace).await;
    }
}

/// A body in memory.
#[must_use]
pub fn full(bytes: impl Into<Bytes>) -> ResponseBody {
    use http_body_util::{BodyExt, Full};
    Full::new(bytes.into()).map_err(|never| match never {}).boxed()
}

/// The next connection, once there is room for it. `None` never happens while the semaphore is open.
async fn accept(
    listener: &TcpListener,
    slots: &Arc<Semaphore>,
) -> Option<(TcpStream, SocketAddr, OwnedSemaphorePermit)> {
    let slot = slots.clone().acquire_owned().await.ok()?;
    loop {
        match listener.accept().await {
            Ok((stream, remote)) => return Some((stream, remote, slot)),
            Err(error) => {
                // Either the peer gave up already, or the process is out of file descriptors: others will be closed soon.
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// What one connection needs.
struct Serving<H> {
    handler: H,
    tls: Option<TlsAcceptor>,
    limits: ServerLimits,
    tasks: Tasks,
    watcher: Watcher,
    silence: Silence,
}

impl<H, F> Serving<H>
where
    H: Fn(Request<Incoming>, Connection) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = Response<ResponseBody>> + Send + 'static,
{
    async fn connection(self, stream: TcpStream, remote: SocketAddr) {
        // Without it small answers wait for the peer's delayed acknowledgement; failing to set it costs only that.
        let _ = stream.set_nodelay(true);
        let stream = Patient::new(stream, self.limits.write_time_max);
        let Some(acceptor) = self.tls.clone() else {
            let connection = Connection { remote, tls: false, client_certificate: None };
            return self.http1(stream, connection).await;
        };
        let handshake = tokio::time::timeout(self.limits.header_time_max, acceptor.accept(stream));
        let handshake = tokio::select! {
            handshake = handshake => handshake,
            () = self.silence.to_be_ended() => return,
        };
        let stream = match handshake {
            Ok(Ok(stream)) => stream,
            Ok(Err(error)) => return tracing::debug!(%remote, %error, "TLS handshake failed"),
            Err(_) => return tracing::debug!(%remote, "TLS handshake took too long"),
        };
        let session = stream.get_ref().1;
        let client_certificate =
            session.peer_certificates().and_then(|chain| chain.first()).map(|leaf| leaf.clone().into_owned());
        let is_http2 = session.alpn_protocol() == Some(tls::ALPN_HTTP2);
        let connection = Connection { remote, tls: true, client_certificate };
        if is_http2 { self.http2(stream, connection).await } else { self.http1(stream, connection).await }
    }

    async fn http1(
        self,
        stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
        connection: Connection,
    ) {
        let served = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(self.limits.header_time_max)
            .max_header_size(self.limits.header_bytes_max)
            .max_buf_size(READ_BUFFER_BYTES_MAX.max(self.limits.header_bytes_max))
            .serve_connection(
                TokioIo::new(stream),
                service(self.handler, connection.clone(), self.silence.clone()),
            );
        run(self.watcher, served, &connection, &self.silence).await;
    }

    async fn http2(
        self,
        stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
        connection: Connection,
    ) {
        let header_bytes_max = u32::try_from(self.limits.header_bytes_max).unwrap_or(u32::MAX);
        let served = http2::Builder::new(self.tasks)
            .timer(TokioTimer::new())
            .keep_alive_interval(PING_INTERVAL)
            .max_header_list_size(header_bytes_max)
            .max_concurrent_streams(self.limits.streams_max)
            .serve_connection(
                TokioIo::new(stream),
                service(self.handler, connection.clone(), self.silence.clone()),
            );
        run(self.watcher, served, &connection, &self.silence).await;
    }
}

fn service<H, F>(
    handler: H,
    connection: Connection,
    silence: Silence,
) -> impl hyper::service::Service<
    Request<Incoming>,
    Response = Response<ResponseBody>,
    Error = Infallible,
    Future = impl Future<Output = Result<Response<ResponseBody>, Infallible>> + Send + 'static,
>
where
    H: Fn(Request<Incoming>, Connection) -> F,
    F: Future<Output = Response<ResponseBody>> + Send + 'static,
{
    hyper::service::service_fn(move |request| {
        silence.broken();
        let answered = handler(request, connection.clone());
        async move { Ok(answered.await) }
    })
}

async fn run<C>(watcher: Watcher, served: C, connection: &Connection, silence: &Silence)
where
    C: GracefulConnection,
    C::Error: std::fmt::Display,
{
    tokio::select! {
        served = watcher.watch(served) => {
            if let Err(error) = served {
                tracing::debug!(remote = %connection.remote, %error, "connection ended early");
            }
        }
        () = silence.to_be_ended() => {}
    }
}

/// What is read of a request's body at once. More costs memory per connection and brings nothing.
const READ_BUFFER_BYTES_MAX: usize = 128 * 1024;

/// Long enough not to spin while the process is out of file descriptors, short enough not to be noticed.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// How often a silent HTTP/2 connection is asked whether its other end is still there (hyper waits 20 s for the answer).
const PING_INTERVAL: Duration = Duration::from_secs(30);

#[cfg(test)]
mod tests;

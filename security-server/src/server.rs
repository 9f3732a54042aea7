//! The composition root: builds every part once, binds, runs, drains.

mod office;
mod reset_key;
mod start;
mod status;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use kogge_daemon::config::ConfigError;
use kogge_daemon::server::{Bound, ListenError, TlsConfigError};
use kogge_daemon::shutdown::Shutdown;
use kogge_durable::DurableError;
use kogge_message_log::{LogError, MessageLog};
use kogge_signer::TokenError;
use kogge_transport::{BindError, IdentityError, Listener, Tunnels};
use tokio::task::{JoinSet, spawn_blocking};
use tokio::time::timeout;
use tokio_util::task::TaskTracker;
use tracing::Instrument;

use crate::completeness::CompletenessError;
use crate::config::Config;
use crate::consumer::Consumer;
use crate::log_key::OpenLogKeyError;
use crate::provider::Provider;
use crate::provider::backend::TlsSetupError;
use crate::registry::{Fetcher, Registry};
use crate::trust::{OcspKeeper, Timestamper};

use self::office::OperatorSocket;
use self::status::Status;

pub(crate) use self::start::log_options;

/// A security server that has bound everything and may serve.
pub struct SecurityServer {
    consumer: Option<ConsumerSide>,
    provider: Option<ProviderSide>,
    status: Option<(Bound, Arc<Status>)>,
    registry: Arc<Registry>,
    tunnels: Arc<Tunnels>,
    log: MessageLog,
    background: Background,
}

struct ConsumerSide {
    listeners: Vec<Bound>,
    consumer: Arc<Consumer>,
}

struct ProviderSide {
    listener: Arc<Listener>,
    provider: Arc<Provider>,
}

/// What runs beside the exchanges until the last of them has ended.
struct Background {
    fetcher: Fetcher,
    ocsp_keeper: OcspKeeper,
    timestamper: Arc<Timestamper>,
    /// Absent if it could not be bound.
    operators: Option<OperatorSocket>,
}

/// Why a security server does not start. The operator must act; the text says how.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// The configuration cannot be used.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A directory cannot be made or written.
    #[error(transparent)]
    Durable(#[from] DurableError),
    /// The token cannot be opened.
    #[error(transparent)]
    Token(#[from] TokenError),
    /// The token has nothing to authenticate with.
    #[error(
        "the token has no authentication certificate: generate a key, have it certified and import the certificate"
    )]
    NoAuthenticationCertificate,
    /// The authentication key cannot be used for TLS.
    #[error("the authentication certificate cannot be used: {0}")]
    Identity(#[from] IdentityError),
    /// The message log's bodies cannot be encrypted.
    #[error(transparent)]
    LogKey(#[from] OpenLogKeyError),
    /// The log's checkpoints cannot be signed.
    #[error(transparent)]
    Completeness(#[from] CompletenessError),
    /// The message log cannot be opened.
    #[error(transparent)]
    Log(#[from] LogError),
    /// A port of the HTTP listeners cannot be had.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// The port for peers cannot be had.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// The certificate or key of the HTTPS listener cannot be used.
    #[error("the HTTPS listener: {0}")]
    Tls(#[from] TlsConfigError),
    /// TLS to a register cannot be set up.
    #[error(transparent)]
    RegisterTls(#[from] TlsSetupError),
    /// The runtime is going down already.
    #[error("the server was stopped while it started")]
    Stopped,
}

/// Starts a security server, serves until `shutdown`, and ends gracefully.
///
/// # Errors
/// It cannot start.
pub async fn run(config: Config, shutdown: Shutdown) -> Result<(), ServerError> {
    SecurityServer::start(config).await?.serve(shutdown).await;
    Ok(())
}

impl SecurityServer {
    /// Opens token, log and cache, and binds every port. Nothing is served yet. A registry that is away is no error: what is cached
    /// counts, and without it the server waits, not ready.
    ///
    /// # Errors
    /// See [`ServerError`].
    pub async fn start(config: Config) -> Result<Self, ServerError> {
        start::start(config).await
    }

    /// Where information systems connect: the HTTP listener first, then the HTTPS listener, as far as they are configured.
    #[must_use]
    pub fn consumer_addrs(&self) -> Vec<SocketAddr> {
        self.consumer.iter().flat_map(|side| &side.listeners).map(Bound::local_addr).collect()
    }

    /// Where peers connect.
    #[must_use]
    pub fn provider_addr(&self) -> Option<SocketAddr> {
        self.provider.as_ref().map(|side| side.listener.local_addr())
    }

    /// Where `/live`, `/ready` and `/metrics` are answered.
    #[must_use]
    pub fn status_addr(&self) -> Option<SocketAddr> {
        self.status.as_ref().map(|(bound, _)| bound.local_addr())
    }

    /// Serves until `shutdown`. Then takes nothing new, lets running exchanges end within [`GRACE`], and closes the log. An exchange that
    /// is cut off at the end leaves what a crash would leave: durable records, and no effect without one.
    pub async fn serve(self, shutdown: Shutdown) {
        let background_end = Shutdown::new();
        let mut background = JoinSet::new();
        background.spawn(self.background.fetcher.run(background_end.clone()));
        background.spawn(self.background.ocsp_keeper.run(background_end.clone()));
        background.spawn(self.background.timestamper.run(background_end.clone()));
        if let Some(operators) = self.background.operators {
            background.spawn(operators.run(background_end.clone()));
        }
        let listener = self.provider.as_ref().map(|side| Arc::clone(&side.listener));
        background.spawn(follow_snapshots(
            self.registry,
            Arc::clone(&self.tunnels),
            listener,
            background_end.clone(),
        ));

        let mut fronts = JoinSet::new();
        if let Some((bound, status)) = self.status {
            // The status is answered to the very end: whoever watches wants to see the drain.
            background.spawn(status::serve(bound, status, background_end.clone()));
        }
        if let Some(side) = self.consumer {
            fronts.spawn(serve_information_systems(side, shutdown.clone()));
        }
        if let Some(side) = self.provider {
            fronts.spawn(serve_peers(side, shutdown.clone()));
        }
        tracing::info!("serving");
        shutdown.wait().await;
        tracing::info!("stopping");
        join_all(&mut fronts).await;
        self.tunnels.shutdown(GRACE).await;
        background_end.ask();
        join_all(&mut background).await;
        let log = self.log;
        if spawn_blocking(move || log.close()).await.is_err() {
            tracing::error!("the message log was not closed properly; the next start recovers it");
        }
        tracing::info!("stopped");
    }
}

async fn serve_information_systems(side: ConsumerSide, shutdown: Shutdown) {
    let mut listeners = JoinSet::new();
    for bound in side.listeners {
        let consumer = Arc::clone(&side.consumer);
        let handler = move |request, connection| {
            let consumer = Arc::clone(&consumer);
            async move { consumer.handle(request, connection).await }
        };
        listeners.spawn(bound.serve(handler, shutdown.clone()));
    }
    join_all(&mut listeners).await;
    drain(&side.consumer.running).await;
}

async fn serve_peers(side: ProviderSide, shutdown: Shutdown) {
    let running = TaskTracker::new();
    let tasks = running.clone();
    let accepting = side.listener.serve(move |stream| {
        let provider = Arc::clone(&side.provider);
        let span = tracing::debug_span!("exchange", side = "provider", peer = %stream.peer().server());
        // The listener bounds the number of streams, the provider's gate that of exchanges.
        tasks.spawn(async move { provider.serve(stream).await }.instrument(span));
    });
    let stopping = async {
        shutdown.wait().await;
        side.listener.shutdown(GRACE).await;
    };
    tokio::join!(accepting, stopping);
    drain(&running).await;
}

/// Closes connections that a new snapshot no longer allows, on both sides.
async fn follow_snapshots(
    registry: Arc<Registry>,
    tunnels: Arc<Tunnels>,
    listener: Option<Arc<Listener>>,
    shutdown: Shutdown,
) {
    let mut snapshots = registry.subscribe();
    loop {
        tokio::select! {
            changed = snapshots.changed() => if changed.is_err() { return },
            () = shutdown.wait() => return,
        }
        let snapshot = snapshots.borrow_and_update().clone();
        if let Some(snapshot) = snapshot {
            let (tunnels, listener) = (Arc::clone(&tunnels), listener.clone());
            // Signatures of as many certificates as there are connections: not on the threads that serve exchanges.
            let rechecked = spawn_blocking(move || {
                tunnels.recheck(&snapshot);
                if let Some(listener) = &listener {
                    listener.recheck(&snapshot);
                }
            });
            if rechecked.await.is_err() {
                tracing::error!("connections were not checked against the new registry snapshot");
            }
        }
    }
}

async fn drain(running: &TaskTracker) {
    running.close();
    if timeout(GRACE, running.wait()).await.is_err() {
        tracing::warn!(exchanges = running.len(), "cut off at the end of the grace period");
    }
}

async fn join_all(tasks: &mut JoinSet<()>) {
    while let Some(ended) = tasks.join_next().await {
        if let Err(error) = ended {
            tracing::error!(%error, "a task of the server failed");
        }
    }
}

/// How long running exchanges may take once the server is asked to stop.
pub const GRACE: Duration = Duration::from_secs(10);

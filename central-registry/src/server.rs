//! The running registry: follows the journal, publishes, serves.

mod health;
mod http;
#[cfg(test)]
mod tests;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::{ArcSwap, ArcSwapOption};
use bytes::Bytes;
use kogge_daemon::server::{Bound, ClientCertificates, ServerLimits, tls_config};
use kogge_daemon::shutdown::Shutdown;
use kogge_durable::DirLock;
use kogge_signer::SoftToken;
use tokio::sync::Semaphore;
use tokio::task::{JoinError, spawn_blocking};

use crate::archive::Archive;
use crate::clock::now;
use crate::config::Config;
use crate::error::RegistryError;
use crate::operator::open_ledger;
use crate::publish::{Published, Publisher};

/// Serves until `shutdown`.
///
/// # Errors
/// See [`CentralRegistry::bind`] and [`CentralRegistry::serve`].
pub async fn run(config: Config, shutdown: Shutdown) -> Result<(), RegistryError> {
    CentralRegistry::bind(config).await?.serve(shutdown).await
}

/// A registry that is ready: it holds the directory and the port, and a valid snapshot has been published.
pub struct CentralRegistry {
    bound: Bound,
    publisher: Publisher,
    view: Arc<View>,
    _dir: DirLock,
}

impl CentralRegistry {
    /// Checks the whole directory, publishes if need be, and binds the port.
    ///
    /// # Errors
    /// There is no registry in the directory, another one runs there, something in it is damaged, the PIN is wrong, the delegation
    /// has expired, or the port is taken.
    pub async fn bind(config: Config) -> Result<Self, RegistryError> {
        let tls = match &config.tls {
            Some(tls) => Some(tls_config(&tls.cert, &tls.key, ClientCertificates::None)?),
            None => None,
        };
        let bound = Bound::bind(config.listen, tls, ServerLimits::default()).await?;
        let (dir, publisher, view) =
            spawn_blocking(move || open(&config)).await.map_err(|_| RegistryError::Stopped)??;
        tracing::info!(address = %bound.local_addr(), version = publisher.current().meta.version, "the registry is ready");
        Ok(Self { bound, publisher, view: Arc::new(view), _dir: dir })
    }

    /// The address, with the port that the kernel chose if 0 was asked for.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.bound.local_addr()
    }

    /// Serves until `shutdown`.
    ///
    /// # Errors
    /// [`RegistryError::Stopped`] if the publisher fails for good. What can pass (a full disk, a damaged journal that is restored) is
    /// said in the log and by `/health` instead, while the last snapshot is served on.
    pub async fn serve(self, shutdown: Shutdown) -> Result<(), RegistryError> {
        let mut follower = tokio::spawn(follow(self.publisher, self.view.clone(), shutdown.clone()));
        let view = self.view;
        let serving =
            self.bound.serve(move |request, _| http::answer(view.clone(), request), shutdown.clone());
        tokio::pin!(serving);
        let ended = tokio::select! {
            () = &mut serving => follower.await,
            ended = &mut follower => {
                // Without its publisher the registry would serve a snapshot that silently grows old.
                shutdown.ask();
                serving.await;
                ended
            }
        };
        ended.and_then(|followed| followed).map_err(|_| RegistryError::Stopped)
    }
}

/// What the HTTP side sees.
struct View {
    instance: String,
    environment: &'static str,
    anchor: Bytes,
    current: ArcSwap<Published>,
    /// Why nothing new can be published at the moment.
    fault: ArcSwapOption<String>,
    archive: Arc<Archive>,
    /// Bounds the memory for old snapshots, each read for one request.
    archive_reads: Semaphore,
}

fn open(config: &Config) -> Result<(DirLock, Publisher, View), RegistryError> {
    let ledger = open_ledger(config)?;
    let dir = DirLock::acquire(&config.dir)?;
    let token = SoftToken::open(&config.token_dir(), &config.pin.read()?)?;
    let anchor = ledger.state().anchor(&config.public_url)?;
    let archive = Arc::new(Archive::open(&config.published_dir(), &config.index_dir())?);
    let anchor_text = anchor.to_toml();
    let publisher =
        Publisher::start(ledger, token, anchor, archive.clone(), config.snapshot_lifetime, now())?;
    let view = View {
        instance: publisher.state().instance().to_owned(),
        environment: publisher.state().environment().as_str(),
        anchor: anchor_text.into(),
        current: ArcSwap::from_pointee(publisher.current().clone()),
        fault: ArcSwapOption::empty(),
        archive,
        archive_reads: Semaphore::new(ARCHIVE_READS_MAX),
    };
    Ok((dir, publisher, view))
}

/// The one owner of the publisher while the registry runs.
async fn follow(mut publisher: Publisher, view: Arc<View>, shutdown: Shutdown) -> Result<(), JoinError> {
    let mut pause = POLL_INTERVAL;
    loop {
        tokio::select! {
            () = shutdown.wait() => return Ok(()),
            () = tokio::time::sleep(pause) => {}
        }
        // The look itself is too short for a thread of its own. After a fault everything is looked at again.
        if pause == POLL_INTERVAL && !publisher.has_work(now()) {
            continue;
        }
        let ticked = spawn_blocking(move || {
            let ticked = publisher.tick(now());
            (publisher, ticked)
        });
        let (back, ticked) = ticked.await?;
        publisher = back;
        match ticked {
            Ok(published) => {
                pause = POLL_INTERVAL;
                view.fault.store(None);
                if published {
                    view.current.store(Arc::new(publisher.current().clone()));
                }
            }
            Err(error) => {
                pause = RETRY_INTERVAL;
                note_fault(&view, &error);
            }
        }
    }
}

/// Said once, not at every attempt.
fn note_fault(view: &View, error: &RegistryError) {
    let text = error.to_string();
    if view.fault.load().as_deref() != Some(&text) {
        tracing::error!(%error, "cannot publish; the last snapshot is served on until it expires");
    }
    view.fault.store(Some(Arc::new(text)));
}

/// An operator's change is seen within a second. Looking costs one small file; a registry that has nothing to do hardly wakes up.
const POLL_INTERVAL: Duration = Duration::from_secs(1);
/// What is wrong is seldom over at once, and each attempt may sign and write a whole snapshot.
const RETRY_INTERVAL: Duration = Duration::from_secs(2);
/// Auditors are patient; members fetch the current snapshot, which is in memory once.
const ARCHIVE_READS_MAX: usize = 4;

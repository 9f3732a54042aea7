//! Asks the registry and its mirrors, in the anchor's order, every few seconds.

use std::sync::Arc;
use std::time::Duration;

use kogge_daemon::client::{self, FetchError};
use kogge_daemon::shutdown::Shutdown;
use kogge_proto::limits::SNAPSHOT_BYTES_MAX;
use tokio::task::spawn_blocking;

use super::{OfferError, Registry};
use crate::clock;
use crate::config::RegistryConfig;

/// Keeps a [`Registry`] current.
pub(crate) struct Fetcher {
    registry: Arc<Registry>,
    config: RegistryConfig,
    /// ETag of the last snapshot that was accepted, with the URL it came from: another mirror may count differently.
    etag: Option<(String, String)>,
    failures: u32,
}

#[derive(Debug, thiserror::Error)]
enum RoundError {
    #[error(transparent)]
    Fetch(#[from] FetchError),
    #[error("{url}: {error}")]
    Offer { url: String, error: OfferError },
    #[error("the server is shutting down")]
    ShuttingDown,
}

impl Fetcher {
    pub(crate) fn new(registry: Arc<Registry>, config: RegistryConfig) -> Self {
        Self { registry, config, etag: None, failures: 0 }
    }

    /// Until `shutdown`.
    pub(crate) async fn run(mut self, shutdown: Shutdown) {
        let rounds = async {
            loop {
                let pause = self.round().await;
                tokio::time::sleep(pause).await;
            }
        };
        tokio::select! {
            () = rounds => {}
            () = shutdown.wait() => {}
        }
    }

    /// Asks each source until one answers well; returns how long to wait before the next round.
    async fn round(&mut self) -> Duration {
        let mut problems = Vec::new();
        for url in self.registry.anchor().registry_urls().to_vec() {
            match self.ask(&url).await {
                Ok(()) => {
                    self.failures = 0;
                    self.registry.note(None);
                    return self.config.interval;
                }
                Err(error) => problems.push(error.to_string()),
            }
        }
        self.failures = self.failures.saturating_add(1);
        let problem = problems.join("; ");
        tracing::warn!(%problem, failures = self.failures, "the registry could not be asked");
        self.registry.note(Some(problem));
        retry_pause(self.failures).min(self.config.interval)
    }

    async fn ask(&mut self, base: &str) -> Result<(), RoundError> {
        let url = format!("{}/snapshot", base.trim_end_matches('/'));
        // One that cannot be used now is asked for in full, which tells why.
        let current = self.registry.latest().filter(|current| current.check_time(clock::now()).is_ok());
        let etag = current.map(|current| match &self.etag {
            Some((from, etag)) if *from == url => etag.clone(),
            // A registry names its snapshots by version and digest, so one from the cache of the last run need not be sent again.
            _ => current.meta().etag(),
        });
        let roots = if url.starts_with("https://") { self.config.tls_roots.as_deref() } else { None };
        let fetched = client::get(&url, etag.as_deref(), roots, SNAPSHOT_BYTES_MAX, FETCH_TIME_MAX).await?;
        if fetched.not_modified {
            self.registry.confirm();
            return Ok(());
        }
        let registry = Arc::clone(&self.registry);
        // Signatures and the index of a large snapshot take a moment, and the cache is synced to disk.
        let offered = spawn_blocking(move || registry.offer(fetched.body, clock::now())).await;
        match offered.map_err(|_| RoundError::ShuttingDown)? {
            Ok(_) => {
                self.etag = fetched.etag.map(|etag| (url, etag));
                Ok(())
            }
            Err(error) => Err(RoundError::Offer { url, error }),
        }
    }
}

/// 1, 2, 4 … seconds: soon enough after a restart of the registry, seldom enough during an outage.
fn retry_pause(failures: u32) -> Duration {
    Duration::from_secs(1 << failures.saturating_sub(1).min(6))
}

/// A snapshot of 100,000 members over a slow line.
const FETCH_TIME_MAX: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_and_stay_bounded() {
        let pauses: Vec<u64> = (1..=9).map(|failures| retry_pause(failures).as_secs()).collect();
        assert_eq!(pauses, [1, 2, 4, 8, 16, 32, 64, 64, 64]);
        assert_eq!(retry_pause(u32::MAX).as_secs(), 64);
    }
}

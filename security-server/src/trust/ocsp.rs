//! Keeps OCSP responses for this server's own certificates fresh, and takes new certificates of the token into use.
//!
//! Good responses are kept on disk, so that a restarted server is ready at once.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use kogge_certs::ocsp::{self, Freshness, OcspError};
use kogge_certs::path::VerifiedPath;
use kogge_certs::snapshot::VerifiedSnapshot;
use kogge_daemon::client::{self, FetchError};
use kogge_daemon::shutdown::Shutdown;
use kogge_proto::id::SecurityServerId;
use kogge_proto::limits::TRUST_RESPONSE_BYTES_MAX;
use kogge_proto::time::UnixMillis;
use kogge_signer::{SoftToken, TokenError};
use kogge_transport::{Identity, LocalIdentity};
use tokio::task::spawn_blocking;
use uuid::Uuid;

use super::own_keys::{HeldOcsp, Holding, Holdings, OwnKeys};
use crate::clock;
use crate::config::RsaPadding;
use crate::registry::Registry;

/// The background task behind [`OwnKeys`] and the transport's [`Identity`].
pub(crate) struct OcspKeeper {
    pub(crate) server: SecurityServerId,
    pub(crate) token: SoftToken,
    pub(crate) rsa: RsaPadding,
    pub(crate) keys: Arc<OwnKeys>,
    pub(crate) identity: Arc<Identity>,
    pub(crate) registry: Arc<Registry>,
    pub(crate) store: OcspStore,
}

impl OcspKeeper {
    /// What the token and the disk give at the start, before anybody was asked. Blocks.
    pub(crate) fn first(
        server: &SecurityServerId,
        token: &SoftToken,
        rsa: RsaPadding,
        snapshot: Option<&VerifiedSnapshot>,
        store: &OcspStore,
        now: UnixMillis,
    ) -> Result<(Holdings, Option<LocalIdentity>), TokenError> {
        let mut holdings = Holdings::read(token, rsa, snapshot, now)?;
        if let Some(freshness) = holdings.freshness {
            for holding in &mut holdings.certificates {
                holding.ocsp = store.load(holding, freshness, now);
            }
        }
        let identity = holdings.authentication(server, snapshot, now);
        Ok((holdings, identity))
    }

    /// Until `shutdown`: renews responses at half of their life, looks for new certificates, follows new snapshots.
    pub(crate) async fn run(self, shutdown: Shutdown) {
        tokio::select! {
            () = self.rounds() => {}
            () = shutdown.wait() => {}
        }
    }

    async fn rounds(&self) {
        let mut snapshots = self.registry.subscribe();
        let mut failures = 0;
        loop {
            snapshots.mark_unchanged();
            let pause = match self.round().await {
                Ok(pause) => {
                    failures = 0;
                    pause
                }
                Err(Incomplete) => {
                    failures += 1;
                    retry_pause(failures)
                }
            };
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                changed = snapshots.changed() => if changed.is_err() { return },
            }
        }
    }

    /// One look at everything; returns when to look again.
    async fn round(&self) -> Result<Duration, Incomplete> {
        let Some(snapshot) = self.registry.latest() else { return Ok(LOOK_EVERY) };
        let (token, rsa, now) = (self.token.clone(), self.rsa, clock::now());
        let read = {
            let snapshot = Arc::clone(&snapshot);
            spawn_blocking(move || Holdings::read(&token, rsa, Some(&snapshot), now)).await
        };
        let mut holdings = match read {
            Ok(Ok(holdings)) => holdings,
            Ok(Err(error)) => {
                // What was read before stays in use: a token that is being copied or backed up must not stop exchanges.
                tracing::error!(%error, "the token cannot be read");
                return Err(Incomplete);
            }
            Err(_) => return Ok(LOOK_EVERY),
        };
        let freshness = snapshot.policy().freshness();
        let known = self.keys.current();
        let mut pause = Ok(LOOK_EVERY);
        for holding in &mut holdings.certificates {
            let before = known.certificates.iter().find(|known| known.certificate == holding.certificate);
            let held = before.and_then(|known| known.ocsp.clone());
            holding.ocsp = held.or_else(|| self.store.load(holding, freshness, now));
            let due = |holding: &Holding| {
                let due = holding.ocsp.as_ref().map(|held| held.half_life(freshness.age_max));
                due.filter(|due| now < *due)
            };
            if due(holding).is_none() && !self.renew(holding, freshness).await {
                pause = Err(Incomplete);
            }
            // A response that was just renewed may live shorter than until the next look.
            if let Some(due) = due(holding) {
                pause = pause.map(|pause| pause.min(due.since(now).max(PAUSE_MIN)));
            }
        }
        self.take_into_use(holdings, &snapshot);
        pause
    }

    /// Asks the responders of the certificate's CA, in the registry's order. Keeps the old response if none answers well.
    async fn renew(&self, holding: &mut Holding, freshness: Freshness) -> bool {
        // A certificate without a path is reported by whoever wants to use it; no responder could help.
        let Some(Ok(path)) = holding.path.clone() else { return true };
        let mut problems = Vec::new();
        for url in &path.ca().ocsp_urls {
            match ask(url, &path, freshness).await {
                Ok(held) => {
                    let certificate = holding.certificate.sha256();
                    tracing::debug!(%certificate, this_update = %held.status.this_update, "OCSP response renewed");
                    self.store.keep(holding, &held).await;
                    holding.ocsp = Some(held);
                    return true;
                }
                Err(error) => {
                    if matches!(error, AskError::Ocsp { source: OcspError::Revoked { .. }, .. }) {
                        // No older response may hide that.
                        holding.ocsp = None;
                        self.store.forget(holding);
                    }
                    problems.push(error.to_string());
                }
            }
        }
        if problems.is_empty() {
            problems.push("the registry names no OCSP responder for the CA".to_owned());
        }
        let problem = problems.join("; ");
        tracing::warn!(certificate = %holding.certificate.sha256(), %problem, "no new OCSP response");
        holding.ocsp_problem = Some(problem);
        false
    }

    fn take_into_use(&self, holdings: Holdings, snapshot: &VerifiedSnapshot) {
        if let Some(local) = holdings.authentication(&self.server, Some(snapshot), clock::now()) {
            let current = self.identity.current();
            if current.certificate == local.certificate {
                if current.ocsp != local.ocsp {
                    self.identity.replace_ocsp(local.ocsp);
                }
            } else if let Err(error) = self.identity.replace(local) {
                tracing::error!(%error, "a new authentication certificate cannot be used");
            }
        }
        self.keys.replace(holdings);
    }
}

/// A response that is due could not be had, or the token not be read: both are logged already.
struct Incomplete;

#[derive(Debug, thiserror::Error)]
enum AskError {
    #[error(transparent)]
    Fetch(#[from] FetchError),
    #[error("{url}: {source}")]
    Ocsp { url: String, source: OcspError },
}

async fn ask(url: &str, path: &VerifiedPath, freshness: Freshness) -> Result<HeldOcsp, AskError> {
    let nonce = Uuid::new_v4().into_bytes();
    let request = ocsp::request(path.leaf(), path.issuer(), Some(&nonce));
    let answer =
        client::post(url, "application/ocsp-request", request.into(), TRUST_RESPONSE_BYTES_MAX, ASK_TIME_MAX)
            .await?;
    let status = ocsp::verify(&answer.body, path, freshness, Some(&nonce), clock::now())
        .map_err(|source| AskError::Ocsp { url: url.to_owned(), source })?;
    Ok(HeldOcsp { der: answer.body, status })
}

/// Good responses on disk, one file per certificate.
#[derive(Clone, Debug)]
pub(crate) struct OcspStore(PathBuf);

impl OcspStore {
    pub(crate) fn new(dir: &Path) -> Self {
        Self(dir.to_owned())
    }

    fn file(&self, holding: &Holding) -> PathBuf {
        self.0.join(format!("{}.der", holding.certificate.sha256()))
    }

    /// What was kept, if it is still good. A damaged or stale file is no error: a new response will replace it.
    fn load(&self, holding: &Holding, freshness: Freshness, now: UnixMillis) -> Option<HeldOcsp> {
        let path = holding.path.as_ref()?.as_ref().ok()?;
        let der = Bytes::from(std::fs::read(self.file(holding)).ok()?);
        let status = ocsp::verify(&der, path, freshness, None, now).ok()?;
        Some(HeldOcsp { der, status })
    }

    fn forget(&self, holding: &Holding) {
        // If the file stays, the next start asks the responder before it can sign for long: at the latest at half-life.
        if let Err(error) = std::fs::remove_file(self.file(holding))
            && error.kind() != std::io::ErrorKind::NotFound
        {
            tracing::warn!(%error, "the OCSP response of a revoked certificate cannot be removed");
        }
    }

    async fn keep(&self, holding: &Holding, held: &HeldOcsp) {
        let (file, der) = (self.file(holding), held.der.clone());
        let kept = spawn_blocking(move || kogge_durable::write_atomic(&file, &der, false)).await;
        // Only the next start would miss it, and would fetch another.
        if let Ok(Err(error)) = kept {
            tracing::warn!(%error, "an OCSP response cannot be kept");
        }
    }
}

/// 1, 2, 4 … 32 seconds.
fn retry_pause(failures: u32) -> Duration {
    Duration::from_secs(1 << failures.saturating_sub(1).min(5))
}

/// How often the token is looked at for new certificates.
const LOOK_EVERY: Duration = Duration::from_secs(30);

/// A response that is always due (a responder that pre-produces stale ones) must not make a busy loop.
const PAUSE_MIN: Duration = Duration::from_secs(1);

/// A responder that takes longer is treated as one that does not answer.
const ASK_TIME_MAX: Duration = Duration::from_secs(10);

//! The running service: OCSP and timestamps over HTTP.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use kogge_daemon::server::{Bound, ServerLimits};
use kogge_daemon::shutdown::Shutdown;
use kogge_proto::time::UnixMillis;

use crate::TrustServicesError;
use crate::authority::Authority;
use crate::config::Config;

mod http;
mod ocsp;
mod tsa;

use self::ocsp::Responder;
use self::tsa::Tsa;

/// Serves until `shutdown`.
///
/// # Errors
/// There are no finished trust services in the directory, their files or keys cannot be used, or the port cannot be had.
pub async fn run(config: Config, shutdown: Shutdown) -> Result<(), TrustServicesError> {
    TrustServices::bind(config).await?.serve(shutdown).await;
    Ok(())
}

/// Everything read, unlocked and bound, but not serving yet.
pub struct TrustServices {
    bound: Bound,
    services: Arc<Services>,
}

impl TrustServices {
    /// Reads the directory, unlocks the token and binds the port.
    ///
    /// # Errors
    /// See [`run`].
    pub async fn bind(config: Config) -> Result<Self, TrustServicesError> {
        let listen = config.listen;
        // Reading files and deriving the token's key from the PIN both block.
        let opening = tokio::task::spawn_blocking(move || Services::open(&config));
        let services = opening.await.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()))?;
        let bound = Bound::bind(listen, None, ServerLimits::default()).await?;
        Ok(Self { bound, services: Arc::new(services) })
    }

    /// The address, with the port that the kernel chose if 0 was asked for.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.bound.local_addr()
    }

    /// Serves until `shutdown`.
    pub async fn serve(self, shutdown: Shutdown) {
        tracing::info!(address = %self.bound.local_addr(), "trust services ready");
        let services = self.services;
        self.bound.serve(move |request, _| http::answer(services.clone(), request), shutdown).await;
        tracing::info!("trust services stopped");
    }
}

/// What answers.
struct Services {
    ca_pem: String,
    responder: Responder,
    tsa: Tsa,
}

impl Services {
    fn open(config: &Config) -> Result<Self, TrustServicesError> {
        let authority = Authority::open(config)?;
        Ok(Self {
            ca_pem: authority.ca.to_pem(),
            responder: Responder::new(&authority, config.ocsp_validity)?,
            tsa: Tsa::new(&authority, config.tsa_policy.clone())?,
        })
    }
}

/// The clock is read here and passed on.
fn now() -> UnixMillis {
    let millis = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis());
    UnixMillis(i64::try_from(millis).unwrap_or(i64::MAX))
}

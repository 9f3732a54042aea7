//! The provider's side: verifies what a peer's security server brings, calls the register, sends the answer back.

pub mod accept;
pub mod authorise;
pub mod backend;
pub mod reply;
pub mod verify;

use std::sync::Arc;

use kogge_message_log::MessageLog;
use kogge_proto::id::SecurityServerId;
use kogge_transport::PeerStream;
use tokio::time::Instant;
use uuid::Uuid;

use self::accept::AcceptError;
use self::authorise::AuthoriseError;
use self::backend::{Answer, Backend, BackendError};
use self::verify::VerifyError;
use crate::clock;
use crate::exchange::Intake;
use crate::fault;
use crate::gate::{Closed, Gate};
use crate::logging::{Logged, Logging, LoggingError};
use crate::metrics::{Stage, Watches};
use crate::report::{Reporter, Side};
use crate::services::Services;
use crate::signing::{Signed, Signing, SigningError};
use crate::trust::{OwnKeys, Verdicts};

/// The provider's side of this server.
pub struct Provider {
    pub(crate) server: SecurityServerId,
    pub(crate) gate: Gate,
    pub(crate) services: Arc<Services>,
    pub(crate) backend: Backend,
    pub(crate) signing: Arc<Signing>,
    pub(crate) log: MessageLog,
    pub(crate) logging: Logging,
    pub(crate) keys: Arc<OwnKeys>,
    pub(crate) verdicts: Arc<Verdicts>,
    pub(crate) intake: Intake,
    pub(crate) reporter: Arc<Reporter>,
    pub(crate) watches: Watches,
}

/// Why a request has no signed answer: one variant per step.
#[derive(Debug, thiserror::Error)]
pub enum ProviderError {
    /// No exchange takes place now.
    #[error(transparent)]
    Closed(#[from] Closed),
    /// What came is not a whole message.
    #[error(transparent)]
    Accept(#[from] AcceptError),
    /// The request is not believed.
    #[error(transparent)]
    Verify(#[from] VerifyError),
    /// The request is not permitted.
    #[error(transparent)]
    Authorise(#[from] AuthoriseError),
    /// A record is not as durable as it must be.
    #[error(transparent)]
    Log(#[from] LoggingError),
    /// There is no evidence for the answer.
    #[error(transparent)]
    Sign(#[from] SigningError),
    /// The register did not answer well.
    #[error(transparent)]
    Backend(#[from] BackendError),
}

impl Provider {
    /// Carries one request of a peer to the register and returns the answer.
    ///
    /// # Errors
    /// The step that refused. The register has not been called unless the error is [`ProviderError::Backend`] or comes from a later
    /// step.
    async fn answer(&self, stream: &mut PeerStream) -> Result<Logged<Signed<Answer>>, ProviderError> {
        let mut watch = self.watches.start();
        let received = accept::read(stream, &self.services, &self.intake).await?;
        let snapshot = &self.gate.snapshot(clock::now())?; // one for all decisions
        let deadline = received.deadline();
        watch.ended(Stage::Receive);
        let request = verify::request(received, snapshot, &self.verdicts, &self.log, clock::now())?;
        watch.ended(Stage::Verify);
        let request = authorise::permit(request, &self.services, snapshot, &self.server)?;
        let seal = self.signing.seal(request.provider().member(), clock::now())?; // no effect without an answer
        watch.ended(Stage::Authorise);
        let request = self.logging.record(request, deadline).await?; // nothing happens before this line
        watch.skip();
        let answer = self.backend.call(request, deadline).await?;
        watch.ended(Stage::Register);
        let answer = seal.sign(answer, clock::now()).await?;
        watch.ended(Stage::Sign);
        Ok(self.logging.append(answer, deadline).await?) // nothing is answered before this line
    }

    /// Serves one exchange that a peer's security server opened. A peer that goes away does not stop it: once the request is
    /// on record it runs to its end, and the log holds the answer that nobody waited for.
    pub async fn serve(&self, mut stream: PeerStream) {
        let started = Instant::now();
        self.reporter.opened(stream.carrier());
        // Held until the last byte has left: a slow peer keeps its place.
        let place = self.gate.admit_peer(stream.peer().server(), clock::now());
        let outcome = match &place {
            Ok(_) => self.answer(&mut stream).await,
            Err(closed) => Err(closed.clone().into()),
        };
        let sent = match outcome {
            Ok(answer) => {
                self.reporter.answered(Side::Provider, started);
                let mut watch = self.watches.start();
                let sent = reply::answer(&mut stream, &answer, &self.keys).await;
                watch.ended(Stage::Reply);
                sent
            }
            Err(error) => {
                let fault = fault::of_provider(&error, &Uuid::new_v4().to_string());
                let who = (Side::Provider, Some(stream.peer().server()));
                self.reporter.refused(who, started, &fault, &error);
                reply::fault(&mut stream, fault).await
            }
        };
        if let Err(error) = sent {
            tracing::debug!(peer = %stream.peer().server(), %error, "the peer did not take the answer");
        }
    }
}

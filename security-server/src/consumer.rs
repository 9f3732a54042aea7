//! The consumer's side: takes an information system's request to its provider, and brings the answer back.

pub mod authenticate;
pub mod forward;
pub mod receive;
pub mod reply;
pub mod resolve;
pub mod verify;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::EXPECT;
use http::{Request, Response};
use hyper::body::Body as HttpBody;
use kogge_daemon::server::{Connection, ResponseBody};
use kogge_proto::id::SecurityServerId;
use kogge_transport::Tunnels;
use tokio::time::Instant;
use tokio_util::task::TaskTracker;
use tracing::Instrument;
use uuid::Uuid;

use self::authenticate::{AuthenticateError, Clients};
use self::forward::ForwardError;
use self::receive::{Intakes, ReceiveError};
use self::resolve::ResolveError;
use self::verify::VerifyError;
use crate::clock;
use crate::fault;
use crate::gate::{Closed, Gate};
use crate::logging::{Logged, Logging, LoggingError};
use crate::metrics::{Stage, Watches};
use crate::report::{Reporter, Side};
use crate::signing::{Signing, SigningError};
use crate::trust::{OwnKeys, Verdicts};

/// The consumer's side of this server.
pub struct Consumer {
    pub(crate) server: SecurityServerId,
    pub(crate) gate: Gate,
    pub(crate) clients: Clients,
    pub(crate) signing: Arc<Signing>,
    pub(crate) logging: Logging,
    pub(crate) tunnels: Arc<Tunnels>,
    pub(crate) keys: Arc<OwnKeys>,
    pub(crate) verdicts: Arc<Verdicts>,
    pub(crate) intakes: Intakes,
    pub(crate) exchange_time_max: Duration,
    pub(crate) reporter: Arc<Reporter>,
    pub(crate) watches: Watches,
    /// Exchanges that are running, so that a shutdown waits for them.
    pub(crate) running: TaskTracker,
}

/// Why a request has no verified answer: one variant per step.
#[derive(Debug, thiserror::Error)]
pub enum ConsumerError {
    /// No exchange takes place now.
    #[error(transparent)]
    Closed(#[from] Closed),
    /// The request is malformed, too large or too slow.
    #[error(transparent)]
    Receive(#[from] ReceiveError),
    /// The connection may not speak for the client.
    #[error(transparent)]
    Authenticate(#[from] AuthenticateError),
    /// There is no such provider or service.
    #[error(transparent)]
    Resolve(#[from] ResolveError),
    /// There is no evidence for the request.
    #[error(transparent)]
    Sign(#[from] SigningError),
    /// A record is not as durable as it must be.
    #[error(transparent)]
    Log(#[from] LoggingError),
    /// The provider was not reached, or refused, or did not answer.
    #[error(transparent)]
    Forward(#[from] ForwardError),
    /// The answer is not believed.
    #[error(transparent)]
    Verify(#[from] VerifyError),
}

impl Consumer {
    /// Carries one request of a local information system to its provider and returns the answer.
    ///
    /// # Errors
    /// The step that refused. Nothing has left this server unless the error is [`ConsumerError::Forward`] or comes from a later step.
    pub async fn exchange<B>(
        &self,
        incoming: Request<B>,
        connection: &Connection,
        request_id: &str,
    ) -> Result<Logged<verify::Verified>, ConsumerError>
    where
        B: HttpBody<Data = Bytes> + Unpin,
        B::Error: std::fmt::Display,
    {
        let _place = self.gate.admit(clock::now())?;
        let deadline = Instant::now() + self.exchange_time_max;

        let mut watch = self.watches.start();
        let received = receive::read(incoming, &self.server, request_id, &self.intakes, deadline).await?;
        let intake = received.intake().clone();
        watch.ended(Stage::Receive);
        let snapshot = &self.gate.snapshot(clock::now())?; // one for all decisions
        let request =
            authenticate::admit(received, connection, &self.clients, &self.server, snapshot, clock::now())?;
        watch.ended(Stage::Authenticate);
        let request = resolve::route(request, snapshot)?;
        watch.ended(Stage::Resolve);
        let seal = self.signing.seal(request.client().member(), clock::now())?;
        let request = seal.sign(request, clock::now()).await?;
        watch.ended(Stage::Sign);
        let request = self.logging.record(request, deadline).await?; // nothing leaves before this line
        watch.skip();
        let answered = forward::send(&request, &self.tunnels, &self.keys, &intake, deadline).await?;
        watch.ended(Stage::Forward);
        let response = verify::response(answered, &request, snapshot, &self.verdicts, clock::now())?;
        watch.ended(Stage::Verify);
        Ok(self.logging.append(response, deadline).await?) // nothing is handed over before this line
    }

    /// Answers one HTTP request.
    ///
    /// The exchange is a task of its own: an information system that goes away cannot stop it half-way. Before its request is
    /// complete, the exchange ends for want of a body and nothing has happened; after that it runs to its end, so that both
    /// servers' logs hold the same records as if somebody had waited for the answer.
    pub async fn handle<B>(
        self: &Arc<Self>,
        incoming: Request<B>,
        connection: Connection,
    ) -> Response<ResponseBody>
    where
        B: HttpBody<Data = Bytes> + Send + Unpin + 'static,
        B::Error: std::fmt::Display + Send,
    {
        let request_id = Uuid::new_v4().to_string();
        let form = reply::ErrorForm::wanted(incoming.headers());
        let (consumer, id) = (Arc::clone(self), request_id.clone());
        let span = tracing::debug_span!("exchange", side = "consumer", request_id);
        let started = Instant::now();
        let exchange = async move {
            let (head, mut body) = incoming.into_parts();
            let waits = head.headers.contains_key(EXPECT);
            let incoming = Request::from_parts(head, &mut body);
            match consumer.exchange(incoming, &connection, &id).await {
                Ok(response) => {
                    consumer.reporter.answered(Side::Consumer, started);
                    Ok(response)
                }
                Err(error) => {
                    let fault = fault::of_consumer(&error, &id);
                    consumer.reporter.refused((Side::Consumer, None), started, &fault, &error);
                    if !waits {
                        consumer.running.spawn(receive::linger(body));
                    }
                    Err(fault)
                }
            }
        };
        match self.running.spawn(exchange.instrument(span)).await {
            Ok(Ok(response)) => reply::to_information_system(&response),
            Ok(Err(fault)) => reply::fault(&fault, form),
            Err(error) => {
                let fault = fault::internal_of_consumer(&request_id);
                self.reporter.refused((Side::Consumer, None), started, &fault, &error);
                reply::fault(&fault, form)
            }
        }
    }
}

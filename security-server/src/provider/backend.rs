//! The call of the register → [`Answer`].
//!
//! [`Backend::call`] takes an `OnRecord<Authorised>` and nothing else: whoever holds one has verified, authorised and logged the request,
//! durably unless its method changes nothing.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream;
use http::header::CONTENT_LENGTH;
use http::{HeaderValue, Request, Response, StatusCode};
use http_body_util::{BodyExt, Empty, StreamBody, combinators::UnsyncBoxBody};
use hyper::body::{Body as HttpBody, Frame, Incoming};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::{Client, Error as ClientError, connect::HttpConnector};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use kogge_evidence::signature::Parts;
use kogge_message_log::NewMessage;
use kogge_proto::digest::{Sha256, sha512};
use kogge_proto::id::{MemberId, SecurityServerId, ServiceId};
use kogge_proto::message::{MessageError, ResponseParts, RestResponse, request_hash};
use kogge_proto::wire::log::{Direction, Role};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use tokio::time::{Instant, timeout_at};

use super::authorise::Authorised;
use crate::body::{Body, BodyError, BodyWriter};
use crate::exchange::{HeaderNotText, Intake, log_body, sealed::Sealed, text_headers};
use crate::logging::{Evident, OnRecord};
use crate::services::{Service, Services};
use crate::signing::{Signable, Signed};

/// Calls the registers of this server's services.
pub struct Backend {
    services: Arc<Services>,
    clients: HashMap<ServiceId, RegisterClient>,
    spool: Arc<Path>,
}

type RegisterClient = Client<HttpsConnector<HttpConnector>, UnsyncBoxBody<Bytes, BodyError>>;

/// What the register answered, bound to the request that it answers. Only [`Backend::call`] makes one.
pub struct Answer {
    request: OnRecord<Authorised>,
    response: RestResponse,
    body: Option<Body>,
}

/// Why there is no answer. The request is logged, and whether it had an effect is known only where the register was not reached.
#[derive(Debug, thiserror::Error)]
pub enum BackendError {
    /// No connection to the register.
    #[error("the service cannot be reached")]
    Unreachable(#[source] ClientError),
    /// The connection broke while the register was answering.
    #[error("the connection to the service broke")]
    Broken(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// Not within the service's time, or the exchange's.
    #[error("the service did not answer in time")]
    Timeout,
    /// The answer does not make a message.
    #[error("the service's answer is malformed: {0}")]
    Answer(#[from] MessageError),
    /// A header's value is not text.
    #[error("the service's answer is malformed: {0}")]
    HeaderNotText(#[from] HeaderNotText),
    /// The answer's body is larger than the service's limit.
    #[error("the service's answer exceeds the limit of {limit} bytes")]
    TooLarge {
        /// The limit in force.
        limit: u64,
    },
    /// A body cannot be written to the spool or read from it.
    #[error("the body cannot be stored")]
    Spool(#[source] BodyError),
    /// Path and query of the request do not make a URL of the register.
    #[error("the request does not make a URL of the service")]
    Target,
    /// The service was permitted, but is not configured: a contradiction within this server.
    #[error("the service is not configured")]
    NoSuchService,
}

/// Why the registers' clients cannot be set up.
#[derive(Debug, thiserror::Error)]
#[error("TLS to the service {service} cannot be set up: {reason}")]
pub struct TlsSetupError {
    service: ServiceId,
    reason: String,
}

impl Backend {
    /// One pool of connections per service, since each has roots of its own.
    pub(crate) fn new(services: Arc<Services>, spool: Arc<Path>) -> Result<Self, TlsSetupError> {
        let mut clients = HashMap::new();
        for service in services.iter() {
            let tls = tls_config(service.tls_roots.as_deref())
                .map_err(|reason| TlsSetupError { service: service.id.clone(), reason })?;
            clients.insert(service.id.clone(), register_client(tls));
        }
        Ok(Self { services, clients, spool })
    }

    /// Calls the register, once, and takes its whole answer in.
    ///
    /// # Errors
    /// The register did not give an answer that can be passed on; see [`BackendError`].
    pub async fn call(
        &self,
        request: OnRecord<Authorised>,
        deadline: Instant,
    ) -> Result<Answer, BackendError> {
        let message = request.stage().request();
        let service = self.services.get(message.service()).ok_or(BackendError::NoSuchService)?;
        let client = self.clients.get(message.service()).ok_or(BackendError::NoSuchService)?;
        let outgoing = outgoing(request.stage(), service)?;
        // A little before the peer stops waiting, so that it learns whose fault it was.
        let patience = deadline.checked_sub(FAULT_MARGIN).unwrap_or(deadline);
        let until = patience.min(Instant::now() + service.time_max);
        let exchange = async {
            let response = client.request(outgoing).await.map_err(failure)?;
            let intake = Intake {
                spool: Arc::clone(&self.spool),
                body_bytes_max: service.body_bytes_max,
                retention: service.retention,
            };
            take_in(response, intake, message.method() == "HEAD").await
        };
        let (head, body) = timeout_at(until, exchange).await.map_err(|_| BackendError::Timeout)??;
        let Parts { message: request_message, body: request_body } = *request.stage().parts();
        let parts = ResponseParts {
            status: head.status.as_u16(),
            reason: &reason(&head),
            headers: text_headers(&head.headers)?,
            request_hash: &request_hash(&request_message, request_body.as_ref()),
        };
        let response = RestResponse::build(message, parts)?;
        Ok(Answer { request, response, body })
    }
}

fn outgoing(
    request: &Authorised,
    service: &Service,
) -> Result<Request<UnsyncBoxBody<Bytes, BodyError>>, BackendError> {
    let message = request.request();
    let uri = service.url.join(message.service_path(), message.query()).map_err(|_| BackendError::Target)?;
    // X-Road forwards a body with these methods only; others were signed and logged with theirs.
    let body = request.body().filter(|_| matches!(message.method(), "PATCH" | "POST" | "PUT"));
    let mut outgoing = Request::builder().method(message.method()).uri(uri);
    for (name, value) in message.headers() {
        outgoing = outgoing.header(name.as_str(), value.as_str());
    }
    if let Some(body) = body {
        outgoing = outgoing.header(CONTENT_LENGTH, HeaderValue::from(body.length()));
    }
    let body = body.map_or_else(|| Empty::new().map_err(|never| match never {}).boxed_unsync(), streamed);
    outgoing.body(body).map_err(|_| BackendError::Target)
}

fn streamed(body: &Body) -> UnsyncBoxBody<Bytes, BodyError> {
    let chunks = stream::unfold(body.reader(), |mut reader| async move {
        let chunk = reader.next_whole().await.transpose()?;
        Some((chunk.map(Frame::data), reader))
    });
    StreamBody::new(chunks).boxed_unsync()
}

fn failure(error: ClientError) -> BackendError {
    if error.is_connect() { BackendError::Unreachable(error) } else { BackendError::Broken(error.into()) }
}

/// The answer's head, and its body as X-Road has it: absent where HTTP allows none, present but perhaps empty otherwise.
async fn take_in(
    response: Response<Incoming>,
    intake: Intake,
    to_head: bool,
) -> Result<(http::response::Parts, Option<Body>), BackendError> {
    let (head, mut incoming) = response.into_parts();
    if head.status.is_informational() {
        return Err(MessageError::Status.into());
    }
    if to_head || matches!(head.status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED) {
        return Ok((head, None));
    }
    let limit = intake.body_bytes_max;
    if incoming.size_hint().lower() > limit {
        return Err(BackendError::TooLarge { limit });
    }
    let mut writer = BodyWriter::new(intake.spool, limit, intake.retention);
    while let Some(frame) = incoming.frame().await {
        let frame = frame.map_err(|error| BackendError::Broken(error.into()))?;
        if let Ok(piece) = frame.into_data() {
            writer.write(piece).await.map_err(spooling)?;
        }
    }
    Ok((head, Some(writer.finish().await.map_err(spooling)?)))
}

fn spooling(error: BodyError) -> BackendError {
    match error {
        BodyError::TooLarge { limit } => BackendError::TooLarge { limit },
        other @ (BodyError::Spool(_) | BodyError::ShuttingDown) => BackendError::Spool(other),
    }
}

/// The register's own words if they are text, else the standard ones.
fn reason(head: &http::response::Parts) -> String {
    let own = head.extensions.get::<hyper::ext::ReasonPhrase>();
    let own = own.and_then(|reason| std::str::from_utf8(reason.as_bytes()).ok());
    own.or_else(|| head.status.canonical_reason()).unwrap_or_default().to_owned()
}

fn register_client(tls: rustls::ClientConfig) -> RegisterClient {
    let mut http = HttpConnector::new();
    http.set_connect_timeout(Some(CONNECT_TIME_MAX));
    http.set_nodelay(true);
    http.enforce_http(false);
    let connector =
        HttpsConnectorBuilder::new().with_tls_config(tls).https_or_http().enable_http1().wrap_connector(http);
    Client::builder(TokioExecutor::new())
        .pool_timer(TokioTimer::new())
        .pool_idle_timeout(POOL_IDLE_MAX)
        .http1_max_buf_size(READ_BUFFER_BYTES_MAX)
        .pool_max_idle_per_host(POOL_IDLE_CONNECTIONS_MAX)
        .build(connector)
}

fn tls_config(roots_pem: Option<&str>) -> Result<rustls::ClientConfig, String> {
    let mut roots = rustls::RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(roots_pem.unwrap_or_default().as_bytes()) {
        let certificate = certificate.map_err(|error| error.to_string())?;
        roots.add(certificate).map_err(|error| error.to_string())?;
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    Ok(config.map_err(|error| error.to_string())?.with_root_certificates(roots).with_no_client_auth())
}

impl Answer {
    /// The message.
    #[must_use]
    pub fn response(&self) -> &RestResponse {
        &self.response
    }

    /// The body part.
    #[must_use]
    pub fn body(&self) -> Option<&Body> {
        self.body.as_ref()
    }
}

impl Sealed for Answer {}

impl Signable for Answer {
    fn signer(&self) -> &MemberId {
        self.response.service().subsystem().member()
    }

    fn peer(&self) -> Option<&SecurityServerId> {
        Some(self.request.stage().peer())
    }

    fn parts(&self) -> Parts {
        Parts { message: sha512(self.response.bytes()), body: self.body.as_ref().map(|body| *body.sha512()) }
    }
}

impl Sealed for Signed<Answer> {}

impl Evident for Signed<Answer> {
    fn leaf(&self) -> Sha256 {
        Signed::leaf(self)
    }

    fn record(&self) -> NewMessage {
        let answer = self.message();
        NewMessage {
            role: Role::Provider,
            direction: Direction::Response,
            message_id: answer.response.message_id().to_owned(),
            request_id: answer.response.request_id().to_owned(),
            client: answer.response.client().to_string(),
            service: answer.response.service().to_string(),
            subject: None,
            peer_server: answer.request.stage().peer().to_string(),
            message: answer.response.bytes().clone(),
            body: answer.body.as_ref().map(log_body),
            signature: self.signature().clone(),
            material: self.material().clone(),
            follows: Some(answer.request.receipt()),
        }
    }
}

/// A register is close by; one that takes longer to accept a connection is down.
const CONNECT_TIME_MAX: Duration = Duration::from_secs(5);

/// Shorter than the keep-alive of common application servers (from 2 s), so that a request seldom meets a connection that is just
/// being closed.
const POOL_IDLE_MAX: Duration = Duration::from_millis(1500);

/// What is read of an answer at once. A head must fit in; more costs memory per answer and brings nothing.
const READ_BUFFER_BYTES_MAX: usize = 128 * 1024;

/// As many connections are kept for the next burst.
const POOL_IDLE_CONNECTIONS_MAX: usize = 64;

/// Time for signing, logging and sending a fault.
const FAULT_MARGIN: Duration = Duration::from_millis(250);

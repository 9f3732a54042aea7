//! The plain HTTP/1.1 sides: where requests come in, and the call of the backend.

use std::convert::Infallible;
use std::future::Future;
use std::net::SocketAddr;

use bytes::Bytes;
use http::{HeaderMap, Request, Response, StatusCode, Uri, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Body;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpListener;

use super::BODY_BYTES_MAX;
use crate::BenchError;

/// A request or answer whose body has arrived.
pub(super) type Whole<T> = http::Response<T>;
/// What goes wrong in a hop; the load generator sees 502, which voids the run.
pub(super) type HopError = Box<dyn std::error::Error + Send + Sync>;

/// The way to the second hop.
pub(super) trait Onward: Clone + Send + Sync + 'static {
    /// Sends a request there; what came back.
    fn send(&self, request: Request<Bytes>) -> impl Future<Output = Result<Whole<Bytes>, HopError>> + Send;
}

/// Takes requests and sends them onward.
pub(super) async fn serve(listen: SocketAddr, next: impl Onward) -> Result<(), BenchError> {
    let failed = |source| BenchError::Start { program: format!("a hop at {listen}"), source };
    let listener = TcpListener::bind(listen).await.map_err(failed)?;
    loop {
        let (stream, _) = listener.accept().await.map_err(failed)?;
        stream.set_nodelay(true).map_err(failed)?;
        let next = next.clone();
        let service = service_fn(move |request: Request<hyper::body::Incoming>| {
            let next = next.clone();
            async move { Ok::<_, Infallible>(answer(forward(request, &next).await)) }
        });
        // A connection is a task of its own; its end is of no interest.
        drop(tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service)));
    }
}

async fn forward(
    request: Request<hyper::body::Incoming>,
    next: &impl Onward,
) -> Result<Whole<Bytes>, HopError> {
    let (parts, body) = request.into_parts();
    next.send(Request::from_parts(parts, collect(body).await?)).await
}

/// An answer for hyper; 502 if there is none.
pub(super) fn answer(outcome: Result<Whole<Bytes>, HopError>) -> Response<Full<Bytes>> {
    let whole = outcome.unwrap_or_else(|error| {
        let mut response = Response::new(Bytes::from(error.to_string()));
        *response.status_mut() = StatusCode::BAD_GATEWAY;
        response
    });
    let (mut parts, body) = whole.into_parts();
    strip(&mut parts.headers);
    Response::from_parts(parts, Full::new(body))
}

/// Calls the backend over kept connections.
#[derive(Clone)]
pub(super) struct Caller {
    client: Client<HttpConnector, Full<Bytes>>,
    backend: SocketAddr,
}

impl Caller {
    pub(super) fn new(backend: SocketAddr) -> Self {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        Self { client: Client::builder(TokioExecutor::new()).build(connector), backend }
    }

    pub(super) async fn call(&self, request: Request<Bytes>) -> Result<Whole<Bytes>, HopError> {
        let (mut parts, body) = request.into_parts();
        let target = parts.uri.path_and_query().map_or("/", http::uri::PathAndQuery::as_str);
        parts.uri = format!("http://{}{target}", self.backend).parse::<Uri>()?;
        parts.version = http::Version::HTTP_11;
        strip(&mut parts.headers);
        let (parts, body) =
            self.client.request(Request::from_parts(parts, Full::new(body))).await?.into_parts();
        Ok(Response::from_parts(parts, collect(body).await?))
    }
}

pub(super) async fn collect<B>(body: B) -> Result<Bytes, HopError>
where
    B: Body<Data = Bytes>,
    B::Error: Into<HopError>,
{
    Ok(Limited::new(body, BODY_BYTES_MAX).collect().await?.to_bytes())
}

/// What belongs to one connection, RFC 9110 section 7.6.1, and the length, which hyper writes anew.
pub(super) fn strip(headers: &mut HeaderMap) {
    for name in
        [header::CONNECTION, header::HOST, header::TRANSFER_ENCODING, header::CONTENT_LENGTH, header::UPGRADE]
    {
        drop(headers.remove(name));
    }
}

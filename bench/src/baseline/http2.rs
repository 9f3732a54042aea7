//! The base line over HTTP/2.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use http::{Request, Response, Uri};
use http_body_util::Full;
use hyper::client::conn::http2::{SendRequest, handshake};
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::pki_types::ServerName;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::OnceCell;
use tokio_rustls::{TlsAcceptor, TlsConnector};

use super::CONNECTIONS;
use super::outer::{Caller, HopError, Onward, Whole, answer, collect, strip};
use crate::tls_files::SERVER_NAME;
use crate::{BenchError, TlsFiles};

/// The kept connections to the second hop.
#[derive(Clone)]
pub(super) struct Next(Arc<Connections>);

struct Connections {
    address: SocketAddr,
    connector: TlsConnector,
    open: [OnceCell<SendRequest<Full<Bytes>>>; CONNECTIONS],
    turn: AtomicUsize,
}

impl Next {
    pub(super) fn new(address: SocketAddr, tls: &TlsFiles) -> Result<Self, BenchError> {
        let connector = TlsConnector::from(Arc::new(tls.client(ALPN)?));
        let open = std::array::from_fn(|_| OnceCell::new());
        Ok(Self(Arc::new(Connections { address, connector, open, turn: AtomicUsize::new(0) })))
    }
}

impl Onward for Next {
    async fn send(&self, request: Request<Bytes>) -> Result<Whole<Bytes>, HopError> {
        let turn = self.0.turn.fetch_add(1, Ordering::Relaxed) % CONNECTIONS;
        let cell = self.0.open.get(turn).ok_or("no such connection")?;
        let mut sender = cell.get_or_try_init(|| self.0.connect()).await?.clone();
        let (mut parts, body) = request.into_parts();
        let target = parts.uri.path_and_query().map_or("/", http::uri::PathAndQuery::as_str);
        parts.uri = format!("https://{SERVER_NAME}{target}").parse::<Uri>()?;
        parts.version = http::Version::HTTP_2;
        strip(&mut parts.headers);
        sender.ready().await?;
        let (parts, body) =
            sender.send_request(Request::from_parts(parts, Full::new(body))).await?.into_parts();
        let mut response = Response::from_parts(parts, collect(body).await?);
        *response.version_mut() = http::Version::HTTP_11;
        Ok(response)
    }
}

impl Connections {
    async fn connect(&self) -> Result<SendRequest<Full<Bytes>>, HopError> {
        let stream = TcpStream::connect(self.address).await?;
        stream.set_nodelay(true)?;
        let stream = self.connector.connect(ServerName::try_from(SERVER_NAME)?, stream).await?;
        let (sender, connection) = handshake(TokioExecutor::new(), TokioIo::new(stream)).await?;
        drop(tokio::spawn(connection));
        Ok(sender)
    }
}

/// The second hop.
pub(super) async fn serve(listen: SocketAddr, backend: SocketAddr, tls: &TlsFiles) -> Result<(), BenchError> {
    let failed = |source| BenchError::Start { program: format!("a hop at {listen}"), source };
    let acceptor = TlsAcceptor::from(Arc::new(tls.server(ALPN)?));
    let caller = Caller::new(backend);
    let listener = TcpListener::bind(listen).await.map_err(failed)?;
    loop {
        let (stream, _) = listener.accept().await.map_err(failed)?;
        stream.set_nodelay(true).map_err(failed)?;
        let (acceptor, caller) = (acceptor.clone(), caller.clone());
        drop(tokio::spawn(async move {
            // Who shows no good certificate gets no connection.
            let Ok(stream) = acceptor.accept(stream).await else { return };
            let service = service_fn(move |request: Request<hyper::body::Incoming>| {
                let caller = caller.clone();
                async move { Ok::<_, Infallible>(answer(call(request, &caller).await)) }
            });
            let server = http2::Builder::new(TokioExecutor::new());
            drop(server.serve_connection(TokioIo::new(stream), service).await);
        }));
    }
}

async fn call(request: Request<hyper::body::Incoming>, caller: &Caller) -> Result<Whole<Bytes>, HopError> {
    let (parts, body) = request.into_parts();
    caller.call(Request::from_parts(parts, collect(body).await?)).await
}

const ALPN: &[u8] = b"h2";

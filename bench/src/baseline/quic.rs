//! The base line over QUIC: one bidirectional stream per request. On it: a first line, headers, an empty line, the body, the end of the stream.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Request, Response};
use quinn::crypto::rustls::{QuicClientConfig, QuicServerConfig};
use quinn::{ClientConfig, Connection, Endpoint, RecvStream, SendStream, ServerConfig};
use tokio::sync::OnceCell;

use super::outer::{Caller, HopError, Onward, Whole};
use super::{BODY_BYTES_MAX, CONNECTIONS};
use crate::tls_files::SERVER_NAME;
use crate::{BenchError, TlsFiles};

/// The kept connections to the second hop.
#[derive(Clone)]
pub(super) struct Next(Arc<Connections>);

struct Connections {
    address: SocketAddr,
    endpoint: Endpoint,
    open: [OnceCell<Connection>; CONNECTIONS],
    turn: AtomicUsize,
}

impl Next {
    /// To be called inside a tokio runtime.
    pub(super) fn new(address: SocketAddr, tls: &TlsFiles) -> Result<Self, BenchError> {
        let crypto = QuicClientConfig::try_from(tls.client(ALPN)?)
            .map_err(|error| BenchError::Tls(error.to_string()))?;
        let failed = |source| BenchError::Start { program: "the QUIC hop".to_owned(), source };
        let mut endpoint = Endpoint::client((Ipv4Addr::LOCALHOST, 0).into()).map_err(failed)?;
        endpoint.set_default_client_config(ClientConfig::new(Arc::new(crypto)));
        let open = std::array::from_fn(|_| OnceCell::new());
        Ok(Self(Arc::new(Connections { address, endpoint, open, turn: AtomicUsize::new(0) })))
    }
}

impl Onward for Next {
    async fn send(&self, request: Request<Bytes>) -> Result<Whole<Bytes>, HopError> {
        let turn = self.0.turn.fetch_add(1, Ordering::Relaxed) % CONNECTIONS;
        let cell = self.0.open.get(turn).ok_or("no such connection")?;
        let connection = cell.get_or_try_init(|| self.0.connect()).await?;
        let (mut send, mut receive) = connection.open_bi().await?;
        let (parts, body) = request.into_parts();
        let target = parts.uri.path_and_query().map_or("/", http::uri::PathAndQuery::as_str);
        write(&mut send, &format!("{} {target}", parts.method), &parts.headers, body).await?;
        let (status, headers, body) = read(&mut receive).await?;
        let mut response = Response::builder().status(status.as_str());
        for (name, value) in headers {
            response = response.header(name, value);
        }
        Ok(response.body(body)?)
    }
}

impl Connections {
    async fn connect(&self) -> Result<Connection, HopError> {
        Ok(self.endpoint.connect(self.address, SERVER_NAME)?.await?)
    }
}

/// The second hop.
pub(super) async fn serve(listen: SocketAddr, backend: SocketAddr, tls: &TlsFiles) -> Result<(), BenchError> {
    let failed = |source| BenchError::Start { program: format!("a hop at {listen}"), source };
    let crypto =
        QuicServerConfig::try_from(tls.server(ALPN)?).map_err(|error| BenchError::Tls(error.to_string()))?;
    let endpoint = Endpoint::server(ServerConfig::with_crypto(Arc::new(crypto)), listen).map_err(failed)?;
    let caller = Caller::new(backend);
    while let Some(incoming) = endpoint.accept().await {
        let caller = caller.clone();
        drop(tokio::spawn(async move {
            // Who shows no good certificate gets no connection.
            let Ok(connection) = incoming.await else { return };
            while let Ok((send, receive)) = connection.accept_bi().await {
                drop(tokio::spawn(exchange(send, receive, caller.clone())));
            }
        }));
    }
    Ok(())
}

async fn exchange(mut send: SendStream, mut receive: RecvStream, caller: Caller) -> Result<(), HopError> {
    let (line, headers, body) = read(&mut receive).await?;
    let (method, target) = line.split_once(' ').ok_or("no request line")?;
    let mut request = Request::builder().method(method).uri(target);
    for (name, value) in headers {
        request = request.header(name, value);
    }
    let (parts, body) = caller.call(request.body(body)?).await?.into_parts();
    write(&mut send, parts.status.as_str(), &parts.headers, body).await
}

async fn write(
    send: &mut SendStream,
    line: &str,
    headers: &http::HeaderMap,
    body: Bytes,
) -> Result<(), HopError> {
    let mut head = Vec::with_capacity(HEAD_BYTES);
    head.extend_from_slice(line.as_bytes());
    for (name, value) in headers {
        head.push(b'\n');
        head.extend_from_slice(name.as_str().as_bytes());
        head.push(b':');
        head.extend_from_slice(value.as_bytes());
    }
    head.extend_from_slice(b"\n\n");
    send.write_all_chunks(&mut [Bytes::from(head), body]).await?;
    send.finish()?;
    Ok(())
}

type Message = (String, Vec<(HeaderName, HeaderValue)>, Bytes);

async fn read(receive: &mut RecvStream) -> Result<Message, HopError> {
    let whole = Bytes::from(receive.read_to_end(BODY_BYTES_MAX).await?);
    let end = whole.windows(2).position(|two| two == b"\n\n").ok_or("no end of the head")?;
    let head = std::str::from_utf8(whole.get(..end).unwrap_or_default())?;
    let mut lines = head.split('\n');
    let line = lines.next().unwrap_or_default().to_owned();
    let mut headers = Vec::new();
    for (name, value) in lines.filter_map(|line| line.split_once(':')) {
        headers.push((HeaderName::try_from(name)?, HeaderValue::try_from(value)?));
    }
    Ok((line, headers, whole.slice(end + 2..)))
}

const ALPN: &[u8] = b"hop";
/// First size of a head.
const HEAD_BYTES: usize = 512;

//! The anchors: the same exchanges over the same libraries without any of our work. Encrypted, but nobody is authenticated.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use quinn::crypto::rustls::{QuicClientConfig, QuicServerConfig};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, Error, ServerConfig, SignatureScheme};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::{TlsAcceptor, TlsConnector};

use crate::instance::Equipment;

/// Two connections, as the tunnel has.
const CONNECTIONS: usize = 2;

/// Most bytes that are written or read at once.
const PIECE: usize = 64 * 1024;

/// Many HTTP/2 streams on two connections.
pub(crate) struct H2 {
    connections: Vec<h2::client::SendRequest<Bytes>>,
    next: AtomicUsize,
}

/// Many QUIC streams on two connections.
pub(crate) struct Quic {
    connections: Vec<quinn::Connection>,
    next: AtomicUsize,
}

impl H2 {
    pub(crate) async fn dial(addr: SocketAddr) -> Self {
        let mut connections = Vec::new();
        for _ in 0..CONNECTIONS {
            let tcp = TcpStream::connect(addr).await.unwrap();
            tcp.set_nodelay(true).unwrap();
            let tls = TlsConnector::from(Arc::new(client_config()));
            let tls = tls.connect(ServerName::try_from("bare.invalid").unwrap(), tcp).await.unwrap();
            let (requests, driver) = h2::client::Builder::new()
                .initial_window_size(512 * 1024)
                .initial_connection_window_size(2 * 1024 * 1024)
                .handshake(tls)
                .await
                .unwrap();
            tokio::spawn(driver);
            connections.push(requests);
        }
        Self { connections, next: AtomicUsize::new(0) }
    }

    pub(crate) async fn exchange(&self, question: Bytes, answer_bytes: u64) -> u64 {
        let requests = &self.connections[self.next.fetch_add(1, Ordering::Relaxed) % CONNECTIONS];
        let mut requests = requests.clone().ready().await.unwrap();
        let uri = format!("https://bare.invalid/{answer_bytes}");
        let request = http::Request::post(uri).body(()).unwrap();
        let (answer, mut stream) = requests.send_request(request, false).unwrap();
        stream.send_data(question, true).unwrap();
        let mut body = answer.await.unwrap().into_body();
        let mut got = 0;
        while let Some(piece) = body.data().await {
            let piece = piece.unwrap();
            body.flow_control().release_capacity(piece.len()).unwrap();
            got += piece.len() as u64;
        }
        got
    }
}

impl Quic {
    pub(crate) async fn dial(addr: SocketAddr) -> Self {
        let endpoint = quinn::Endpoint::client("0.0.0.0:0".parse().unwrap()).unwrap();
        let crypto = QuicClientConfig::try_from(client_config()).unwrap();
        let config = quinn::ClientConfig::new(Arc::new(crypto));
        let mut connections = Vec::new();
        for _ in 0..CONNECTIONS {
            let connecting = endpoint.connect_with(config.clone(), addr, "bare.invalid").unwrap();
            connections.push(connecting.await.unwrap());
        }
        Self { connections, next: AtomicUsize::new(0) }
    }

    pub(crate) async fn exchange(&self, question: Bytes, answer_bytes: u64) -> u64 {
        let connection = &self.connections[self.next.fetch_add(1, Ordering::Relaxed) % CONNECTIONS];
        let (mut send, mut recv) = connection.open_bi().await.unwrap();
        send.write_chunks(&mut [Bytes::copy_from_slice(&answer_bytes.to_be_bytes()), question])
            .await
            .unwrap();
        send.finish().unwrap();
        let mut got = 0;
        while let Some(chunk) = recv.read_chunk(PIECE, true).await.unwrap() {
            got += chunk.bytes.len() as u64;
        }
        got
    }
}

/// One transfer over plain TLS over TCP.
pub(crate) async fn tls_transfer(addr: SocketAddr, answer_bytes: u64) -> u64 {
    let tcp = TcpStream::connect(addr).await.unwrap();
    let tls = TlsConnector::from(Arc::new(client_config()));
    let mut tls = tls.connect(ServerName::try_from("bare.invalid").unwrap(), tcp).await.unwrap();
    tls.write_u64(answer_bytes).await.unwrap();
    tls.flush().await.unwrap();
    let (mut got, mut piece) = (0, vec![0; PIECE]);
    while got < answer_bytes {
        got += tls.read(&mut piece).await.unwrap() as u64;
    }
    got
}

/// Serves the three of them; their addresses in the order TLS, HTTP/2, QUIC.
pub(crate) async fn serve(equipment: &Equipment, ip: std::net::IpAddr) -> [SocketAddr; 3] {
    let tls = TlsAcceptor::from(Arc::new(server_config(equipment)));
    let any = SocketAddr::from((ip, 0));
    let (plain, http) = (TcpListener::bind(any).await.unwrap(), TcpListener::bind(any).await.unwrap());
    let crypto = QuicServerConfig::try_from(server_config(equipment)).unwrap();
    let config = quinn::ServerConfig::with_crypto(Arc::new(crypto));
    let endpoint = quinn::Endpoint::server(config, any).unwrap();
    let addrs = [plain.local_addr().unwrap(), http.local_addr().unwrap(), endpoint.local_addr().unwrap()];
    tokio::spawn(serve_tls(plain, tls.clone()));
    tokio::spawn(serve_h2(http, tls));
    tokio::spawn(serve_quic(endpoint));
    addrs
}

async fn serve_tls(listener: TcpListener, tls: TlsAcceptor) {
    while let Ok((tcp, _)) = listener.accept().await {
        let tls = tls.clone();
        tokio::spawn(async move {
            let mut tls = tls.accept(tcp).await.unwrap();
            let (mut left, piece) = (tls.read_u64().await.unwrap(), vec![7; PIECE]);
            while left > 0 {
                let length = left.min(PIECE as u64);
                tls.write_all(&piece[..length as usize]).await.unwrap();
                left -= length;
            }
            tls.flush().await.unwrap();
        });
    }
}

async fn serve_h2(listener: TcpListener, tls: TlsAcceptor) {
    while let Ok((tcp, _)) = listener.accept().await {
        tcp.set_nodelay(true).unwrap();
        let tls = tls.clone();
        tokio::spawn(async move {
            let tls = tls.accept(tcp).await.unwrap();
            let mut connection = h2::server::Builder::new()
                .initial_window_size(512 * 1024)
                .initial_connection_window_size(2 * 1024 * 1024)
                .handshake::<_, Bytes>(tls)
                .await
                .unwrap();
            while let Some(Ok((request, mut respond))) = connection.accept().await {
                tokio::spawn(async move {
                    let bytes: usize = request.uri().path()[1..].parse().unwrap();
                    let mut body = request.into_body();
                    while let Some(piece) = body.data().await {
                        body.flow_control().release_capacity(piece.unwrap().len()).unwrap();
                    }
                    let mut stream = respond.send_response(http::Response::new(()), false).unwrap();
                    stream.send_data(Bytes::from(vec![7; bytes]), true).unwrap();
                });
            }
        });
    }
}

async fn serve_quic(endpoint: quinn::Endpoint) {
    while let Some(incoming) = endpoint.accept().await {
        tokio::spawn(async move {
            let connection = incoming.await.unwrap();
            while let Ok((mut send, mut recv)) = connection.accept_bi().await {
                tokio::spawn(async move {
                    let mut wanted = [0; 8];
                    recv.read_exact(&mut wanted).await.unwrap();
                    while recv.read_chunk(PIECE, true).await.unwrap().is_some() {}
                    let mut left = u64::from_be_bytes(wanted);
                    let piece = Bytes::from(vec![7; left.min(PIECE as u64) as usize]);
                    while left > 0 {
                        let length = left.min(PIECE as u64);
                        send.write_chunk(piece.slice(..length as usize)).await.unwrap();
                        left -= length;
                    }
                    send.finish().unwrap();
                });
            }
        });
    }
}

fn server_config(equipment: &Equipment) -> ServerConfig {
    let (certificate, key) = equipment.plain();
    let mut config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.into()], PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key)))
        .unwrap();
    config.alpn_protocols = vec![b"bare".to_vec()];
    config
}

fn client_config() -> ClientConfig {
    let mut config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Anyone))
        .with_no_client_auth();
    config.alpn_protocols = vec![b"bare".to_vec()];
    config
}

/// Believes everybody: the anchors measure libraries.
#[derive(Debug)]
struct Anyone;

impl ServerCertVerifier for Anyone {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(Error::General("TLS 1.3 only".to_owned()))
    }

    fn verify_tls13_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        aws_lc_rs::default_provider().signature_verification_algorithms.supported_schemes()
    }
}

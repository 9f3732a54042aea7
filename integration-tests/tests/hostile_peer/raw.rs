//! Bytes instead of frames: what `kogge-transport` would not send. Made of rustls, quinn and h2 alone; believes everybody.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use kogge_certs::key::{self, SigningKey};
use kogge_transport::{Carrier, Frame, LocalIdentity};
use prost::Message;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{
    ClientConfig, DigitallySignedStruct, DistinguishedName, Error, ServerConfig, SignatureAlgorithm,
    SignatureScheme,
};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::{TlsAcceptor, TlsConnector};

/// A frame as it stands on the wire.
pub(crate) fn encode(frame: &Frame) -> Vec<u8> {
    let bytes = frame.encode_to_vec();
    [u32::try_from(bytes.len()).unwrap().to_be_bytes().as_slice(), &bytes].concat()
}

/// The first frame of these bytes.
pub(crate) fn decode(bytes: &[u8]) -> Frame {
    let (length, rest) = bytes.split_first_chunk::<4>().unwrap();
    let length = usize::try_from(u32::from_be_bytes(*length)).unwrap();
    Frame::decode(&rest[..length]).unwrap()
}

/// Sends these bytes as one exchange, and gives what comes back.
pub(crate) async fn ask(identity: &LocalIdentity, carrier: Carrier, addr: &str, bytes: &[u8]) -> Vec<u8> {
    let addr: SocketAddr = addr.parse().unwrap();
    match carrier {
        Carrier::Quic => ask_by_quic(identity, addr, bytes).await,
        Carrier::H2 => ask_by_http2(identity, addr, bytes).await,
    }
}

async fn ask_by_quic(identity: &LocalIdentity, addr: SocketAddr, bytes: &[u8]) -> Vec<u8> {
    let tls = quinn::crypto::rustls::QuicClientConfig::try_from(client_config(identity, b"kogge/1")).unwrap();
    let endpoint = quinn::Endpoint::client("127.0.0.1:0".parse().unwrap()).unwrap();
    let config = quinn::ClientConfig::new(Arc::new(tls));
    let connection = endpoint.connect_with(config, addr, NAME).unwrap().await.unwrap();
    let (mut send, mut recv) = connection.open_bi().await.unwrap();
    send.write_all(bytes).await.unwrap();
    send.finish().unwrap();
    recv.read_to_end(ANSWER_BYTES_MAX).await.unwrap()
}

async fn ask_by_http2(identity: &LocalIdentity, addr: SocketAddr, bytes: &[u8]) -> Vec<u8> {
    let tcp = TcpStream::connect(addr).await.unwrap();
    let connector = TlsConnector::from(Arc::new(client_config(identity, b"h2")));
    let tls = connector.connect(ServerName::try_from(NAME).unwrap(), tcp).await.unwrap();
    let (requests, connection) = h2::client::handshake(tls).await.unwrap();
    let driver = tokio::spawn(connection);
    let request = http::Request::post(format!("https://{NAME}/exchange")).body(()).unwrap();
    let (response, mut send) = requests.ready().await.unwrap().send_request(request, false).unwrap();
    send.send_data(Bytes::copy_from_slice(bytes), true).unwrap();
    let mut body = response.await.unwrap().into_body();
    let mut answer = Vec::new();
    while let Some(piece) = body.data().await {
        answer.extend_from_slice(&piece.unwrap());
    }
    driver.abort();
    answer
}

/// Listens at `addr` as a provider's server would, as soon as the port is free, and answers every exchange with the bytes of that moment.
pub(crate) async fn answer(
    identity: &LocalIdentity,
    carrier: Carrier,
    addr: &str,
    told: Arc<Mutex<Vec<u8>>>,
) {
    let addr: SocketAddr = addr.parse().unwrap();
    match carrier {
        Carrier::Quic => {
            let tls = quinn::crypto::rustls::QuicServerConfig::try_from(server_config(identity, b"kogge/1"))
                .unwrap();
            let config = quinn::ServerConfig::with_crypto(Arc::new(tls));
            let endpoint = bound(|| quinn::Endpoint::server(config.clone(), addr)).await;
            while let Some(incoming) = endpoint.accept().await {
                tokio::spawn(answer_by_quic(incoming, Arc::clone(&told)));
            }
        }
        Carrier::H2 => {
            let listener = bound(|| std::net::TcpListener::bind(addr)).await;
            listener.set_nonblocking(true).unwrap();
            let listener = TcpListener::from_std(listener).unwrap();
            let acceptor = TlsAcceptor::from(Arc::new(server_config(identity, b"h2")));
            loop {
                let (tcp, _) = listener.accept().await.unwrap();
                tokio::spawn(answer_by_http2(acceptor.clone(), tcp, Arc::clone(&told)));
            }
        }
    }
}

/// Tries until the port is free: its former owner is just leaving.
async fn bound<T>(bind: impl Fn() -> std::io::Result<T>) -> T {
    for _ in 0..500 {
        if let Ok(bound) = bind() {
            return bound;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    bind().unwrap_or_else(|error| panic!("the port does not come free: {error}"))
}

/// Whoever asks may be gone at any of these steps.
async fn answer_by_quic(incoming: quinn::Incoming, told: Arc<Mutex<Vec<u8>>>) -> Option<()> {
    let connection = incoming.await.ok()?;
    let mut greeting = connection.open_uni().await.ok()?;
    greeting.write_all(b"kogge/1 accepted").await.ok()?;
    greeting.finish().ok()?;
    while let Ok((mut send, mut recv)) = connection.accept_bi().await {
        recv.read_to_end(ANSWER_BYTES_MAX).await.ok()?;
        let bytes = told.lock().unwrap().clone();
        if send.write_all(&bytes).await.is_ok() {
            send.finish().ok()?;
        }
    }
    None
}

async fn answer_by_http2(acceptor: TlsAcceptor, tcp: TcpStream, told: Arc<Mutex<Vec<u8>>>) -> Option<()> {
    let mut connection = h2::server::handshake(acceptor.accept(tcp).await.ok()?).await.ok()?;
    while let Some(Ok((_, mut respond))) = connection.accept().await {
        let bytes = told.lock().unwrap().clone();
        let mut send = respond.send_response(http::Response::new(()), false).ok()?;
        send.send_data(bytes.into(), true).ok()?;
    }
    None
}

fn client_config(identity: &LocalIdentity, alpn: &[u8]) -> ClientConfig {
    let mut config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Anybody))
        .with_client_cert_resolver(Arc::new(SingleCertAndKey::from(certified(identity))));
    config.alpn_protocols = vec![alpn.to_vec()];
    config
}

fn server_config(identity: &LocalIdentity, alpn: &[u8]) -> ServerConfig {
    let mut config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_client_cert_verifier(Arc::new(Anybody))
        .with_cert_resolver(Arc::new(SingleCertAndKey::from(certified(identity))));
    config.alpn_protocols = vec![alpn.to_vec()];
    config
}

fn certified(identity: &LocalIdentity) -> CertifiedKey {
    let chain = vec![CertificateDer::from(identity.certificate.der().to_vec())];
    let mut certified = CertifiedKey::new(chain, Arc::new(Key(Arc::clone(&identity.key))));
    certified.ocsp = Some(identity.ocsp.clone());
    certified
}

/// A P-256 key of a token, as rustls wants it.
#[derive(Clone)]
struct Key(Arc<dyn SigningKey>);

impl rustls::sign::SigningKey for Key {
    fn choose_scheme(&self, _: &[SignatureScheme]) -> Option<Box<dyn rustls::sign::Signer>> {
        Some(Box::new(self.clone()))
    }

    fn algorithm(&self) -> SignatureAlgorithm {
        SignatureAlgorithm::ECDSA
    }
}

impl rustls::sign::Signer for Key {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, Error> {
        let value = self.0.sign(key::SignatureScheme::EcdsaP256Sha256Asn1, message);
        value.map_err(|error| Error::General(error.to_string()))
    }

    fn scheme(&self) -> SignatureScheme {
        SCHEME
    }
}

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a key of the token")
    }
}

/// Believes everybody: the tests are about the other side.
#[derive(Debug)]
struct Anybody;

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        unreachable!("TLS 1.3 only")
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SCHEME]
    }
}

impl ClientCertVerifier for Anybody {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        unreachable!("TLS 1.3 only")
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SCHEME]
    }
}

const SCHEME: SignatureScheme = SignatureScheme::ECDSA_NISTP256_SHA256;
const NAME: &str = "security-server.kogge.invalid";
const ANSWER_BYTES_MAX: usize = 1 << 20;

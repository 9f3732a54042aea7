//! Peers made of rustls, h2 and quinn alone, which follow the wire format by hand or break it.

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use kogge_certs::key::{PublicKey, SignError, SignatureScheme as Scheme, SigningKey};
use kogge_proto::id::SecurityServerId;
use kogge_transport::Carrier;
use quinn::crypto::rustls::QuicServerConfig;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{ClientConfig, DigitallySignedStruct, DistinguishedName, Error, ServerConfig, SignatureScheme};
use tokio::io::AsyncReadExt;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::{TlsAcceptor, TlsConnector};

use crate::world::{Pair, START, Server};

/// A registered security server whose private key rustls has itself.
pub(crate) struct RawServer {
    pub(crate) server: Server,
    pkcs8: Vec<u8>,
    /// The certificate that it shows, and the staple.
    shown: Vec<u8>,
    staple: Vec<u8>,
}

impl RawServer {
    /// Makes one and registers it with both sides.
    pub(crate) fn new(pair: &Pair, id: &str) -> Self {
        let id = SecurityServerId::parse(id).unwrap();
        let pair_of_keys = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap();
        let pkcs8 = pair_of_keys.serialize_der();
        let key: Arc<dyn SigningKey> = Arc::new(RawKey::new(&pkcs8));
        let certificate = pair.world.ca.issue(&id, key.public_key(), START);
        let server = pair.world.ca.equip_with(id, key, certificate);
        pair.world.register(&server);
        pair.provider_trust.set(Some(pair.world.snapshot()));
        pair.consumer_trust.set(Some(pair.world.snapshot()));
        let (shown, staple) = (server.certificate.der().to_vec(), server.identity.current().ocsp.clone());
        Self { server, pkcs8, shown, staple }
    }

    /// The private key.
    pub(crate) fn pkcs8(&self) -> &[u8] {
        &self.pkcs8
    }

    /// Shows the certificate and staple of another one, whose key it does not have.
    pub(crate) fn with_certificate_of(mut self, victim: &Server) -> Self {
        self.shown = victim.certificate.der().to_vec();
        self.staple = victim.identity.current().ocsp.clone();
        self
    }

    fn certified(&self) -> Arc<SingleCertAndKey> {
        let key = aws_lc_rs::sign::any_ecdsa_type(&self.private_key()).unwrap();
        let mut certified = CertifiedKey::new(vec![CertificateDer::from(self.shown.clone())], key);
        certified.ocsp = Some(self.staple.clone());
        Arc::new(SingleCertAndKey::from(certified))
    }

    fn private_key(&self) -> PrivateKeyDer<'static> {
        PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(self.pkcs8.clone()))
    }

    pub(crate) fn client_config(&self, alpn: &[u8]) -> ClientConfig {
        let mut config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_protocol_versions(&[&rustls::version::TLS13])
            .unwrap()
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(Anybody))
            .with_client_cert_resolver(self.certified());
        config.alpn_protocols = vec![alpn.to_vec()];
        config
    }

    pub(crate) fn server_config(&self, alpn: &[u8]) -> ServerConfig {
        let mut config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_protocol_versions(&[&rustls::version::TLS13])
            .unwrap()
            .with_client_cert_verifier(Arc::new(Anybody))
            .with_cert_resolver(self.certified());
        config.alpn_protocols = vec![alpn.to_vec()];
        config
    }

    /// Opens one exchange at `addr` by hand.
    pub(crate) async fn open(&self, carrier: Carrier, addr: SocketAddr) -> RawStream {
        match carrier {
            Carrier::Quic => {
                let config =
                    quinn::crypto::rustls::QuicClientConfig::try_from(self.client_config(b"kogge/1"))
                        .unwrap();
                let endpoint = quinn::Endpoint::client("127.0.0.1:0".parse().unwrap()).unwrap();
                let config = quinn::ClientConfig::new(Arc::new(config));
                let connection = endpoint.connect_with(config, addr, "any.invalid").unwrap().await.unwrap();
                let greeting = connection.accept_uni().await.unwrap().read_to_end(100).await.unwrap();
                assert_eq!(greeting, b"kogge/1 accepted");
                let (send, recv) = connection.open_bi().await.unwrap();
                RawStream::Quic { send, recv, _connection: connection }
            }
            Carrier::H2 => {
                let mut requests = self.http2(addr).await;
                let (response, send) = requests.send_request(post("/exchange"), false).unwrap();
                RawStream::H2 { send, response, _requests: requests }
            }
        }
    }

    /// Connects, and expects that the listener ends the connection by a TLS alert.
    pub(crate) async fn fails_to_open(&self, carrier: Carrier, addr: SocketAddr) {
        match carrier {
            Carrier::Quic => {
                let config =
                    quinn::crypto::rustls::QuicClientConfig::try_from(self.client_config(b"kogge/1"))
                        .unwrap();
                let endpoint = quinn::Endpoint::client("127.0.0.1:0".parse().unwrap()).unwrap();
                let config = quinn::ClientConfig::new(Arc::new(config));
                let error = match endpoint.connect_with(config, addr, "any.invalid").unwrap().await {
                    Ok(connection) => connection.closed().await,
                    Err(error) => error,
                };
                let quinn::ConnectionError::ConnectionClosed(close) = error else { panic!("{error:?}") };
                assert_eq!(u64::from(close.error_code), 0x100 + 51, "decrypt_error");
            }
            Carrier::H2 => {
                let tcp = TcpStream::connect(addr).await.unwrap();
                let name = ServerName::try_from("any.invalid").unwrap();
                let connector = TlsConnector::from(Arc::new(self.client_config(b"h2")));
                let mut tls = connector.connect(name, tcp).await.unwrap();
                let error = tls.read_to_end(&mut Vec::new()).await.unwrap_err();
                assert!(error.to_string().contains("DecryptError"), "{error}");
            }
        }
    }

    /// Accepts connections from anybody, without a word.
    pub(crate) async fn accept_anybody(&self, carrier: Carrier) -> SocketAddr {
        match carrier {
            Carrier::Quic => {
                let config = QuicServerConfig::try_from(self.server_config(b"kogge/1")).unwrap();
                let config = quinn::ServerConfig::with_crypto(Arc::new(config));
                let endpoint = quinn::Endpoint::server(config, "127.0.0.1:0".parse().unwrap()).unwrap();
                let addr = endpoint.local_addr().unwrap();
                tokio::spawn(async move {
                    let connection = endpoint.accept().await.unwrap().await?;
                    Err::<(), _>(connection.closed().await)
                });
                addr
            }
            Carrier::H2 => self.answer_http2(StatusCode::OK, None).await,
        }
    }

    pub(crate) async fn http2(&self, addr: SocketAddr) -> h2::client::SendRequest<Bytes> {
        let tcp = TcpStream::connect(addr).await.unwrap();
        let name = ServerName::try_from("any.invalid").unwrap();
        let tls = TlsConnector::from(Arc::new(self.client_config(b"h2"))).connect(name, tcp).await.unwrap();
        let (requests, connection) = h2::client::handshake(tls).await.unwrap();
        tokio::spawn(connection);
        requests.ready().await.unwrap()
    }

    /// Accepts HTTP/2 connections and answers every request with `status`, without a body.
    pub(crate) async fn answer_http2(&self, status: StatusCode, reason: Option<&'static str>) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(self.server_config(b"h2")));
        tokio::spawn(async move {
            loop {
                let Ok(tls) = acceptor.accept(listener.accept().await.unwrap().0).await else { continue };
                let mut connection = h2::server::handshake(tls).await.unwrap();
                while let Some(Ok((_, mut respond))) = connection.accept().await {
                    let mut response = Response::new(());
                    *response.status_mut() = status;
                    if let Some(reason) = reason {
                        response.headers_mut().insert("kogge-reason", reason.parse().unwrap());
                    }
                    respond.send_response(response, true).unwrap();
                }
            }
        });
        addr
    }
}

pub(crate) fn post(path: &str) -> Request<()> {
    let uri = format!("https://any.invalid{path}");
    Request::builder().method(Method::POST).uri(uri).body(()).unwrap()
}

/// One exchange as bytes.
pub(crate) enum RawStream {
    Quic {
        send: quinn::SendStream,
        recv: quinn::RecvStream,
        _connection: quinn::Connection,
    },
    H2 {
        send: h2::SendStream<Bytes>,
        response: h2::client::ResponseFuture,
        _requests: h2::client::SendRequest<Bytes>,
    },
}

impl RawStream {
    pub(crate) async fn write(&mut self, bytes: &[u8]) {
        match self {
            Self::Quic { send, .. } => send.write_all(bytes).await.unwrap(),
            Self::H2 { send, .. } => send.send_data(Bytes::copy_from_slice(bytes), false).unwrap(),
        }
    }

    pub(crate) async fn finish(&mut self) {
        match self {
            Self::Quic { send, .. } => send.finish().unwrap(),
            Self::H2 { send, .. } => send.send_data(Bytes::new(), true).unwrap(),
        }
    }

    /// Everything that the peer sends until its clean end.
    pub(crate) async fn read_to_end(self) -> Vec<u8> {
        match self {
            Self::Quic { mut recv, .. } => recv.read_to_end(1 << 20).await.unwrap(),
            Self::H2 { response, .. } => {
                let response = response.await.unwrap();
                assert_eq!(response.status(), StatusCode::OK);
                let mut body = response.into_body();
                let mut bytes = Vec::new();
                while let Some(piece) = body.data().await {
                    bytes.extend_from_slice(&piece.unwrap());
                }
                bytes
            }
        }
    }
}

/// A P-256 key of rustls, as our trait.
struct RawKey {
    key: Arc<dyn rustls::sign::SigningKey>,
    public_key: PublicKey,
}

impl RawKey {
    fn new(pkcs8: &[u8]) -> Self {
        let der = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(pkcs8.to_vec()));
        let key = aws_lc_rs::sign::any_ecdsa_type(&der).unwrap();
        let public_key = PublicKey::from_spki(&key.public_key().unwrap()).unwrap();
        Self { key, public_key }
    }
}

impl SigningKey for RawKey {
    fn public_key(&self) -> &PublicKey {
        &self.public_key
    }

    fn sign(&self, scheme: Scheme, message: &[u8]) -> Result<Vec<u8>, SignError> {
        assert_eq!(scheme, Scheme::EcdsaP256Sha256Asn1);
        let signer = self.key.choose_scheme(&[SignatureScheme::ECDSA_NISTP256_SHA256]).unwrap();
        signer.sign(message).map_err(|error| SignError::Token(error.to_string()))
    }
}

/// Believes everybody: the tests that use it are about our side.
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
        vec![SignatureScheme::ECDSA_NISTP256_SHA256]
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
        vec![SignatureScheme::ECDSA_NISTP256_SHA256]
    }
}

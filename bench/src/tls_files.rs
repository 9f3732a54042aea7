//! Keys and certificates of the floor and the base line, as files: P-256, one CA, one certificate for both hops.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::server::WebPkiClientVerifier;
use rustls::{ClientConfig, ClientConnection, RootCertStore, ServerConfig, StreamOwned};

use crate::BenchError;

/// Where they lie.
#[derive(Clone, Debug)]
pub struct TlsFiles {
    /// The CA's certificate.
    pub ca: PathBuf,
    /// The certificate that both hops show.
    pub certificate: PathBuf,
    /// Its key.
    pub key: PathBuf,
    /// Certificate and key in one file.
    pub both: PathBuf,
}

impl TlsFiles {
    /// Makes them in `dir`.
    ///
    /// # Errors
    /// They cannot be made or written.
    pub fn create(dir: &Path) -> Result<Self, BenchError> {
        let [ca, certificate, key] = make().map_err(wrong)?;
        let files = Self::in_dir(dir);
        let both = format!("{certificate}{key}");
        for (file, text) in
            [(&files.ca, &ca), (&files.certificate, &certificate), (&files.key, &key), (&files.both, &both)]
        {
            std::fs::write(file, text).map_err(BenchError::file("write", file))?;
        }
        Ok(files)
    }

    /// Those that were made in `dir`.
    #[must_use]
    pub fn in_dir(dir: &Path) -> Self {
        let at = |name: &str| dir.join(name);
        Self { ca: at("ca.pem"), certificate: at("hop.pem"), key: at("hop.key"), both: at("hop-both.pem") }
    }

    /// TLS 1.3 with a certificate, to a server whose certificate is checked.
    pub(crate) fn client(&self, alpn: &[u8]) -> Result<ClientConfig, BenchError> {
        let (chain, key) = self.identity()?;
        let mut config = ClientConfig::builder_with_provider(Arc::new(default_provider()))
            .with_protocol_versions(&[&rustls::version::TLS13])
            .map_err(wrong)?
            .with_root_certificates(self.roots()?)
            .with_client_auth_cert(chain, key)
            .map_err(wrong)?;
        config.alpn_protocols = vec![alpn.to_vec()];
        Ok(config)
    }

    /// TLS 1.3 that asks for a certificate and checks it.
    pub(crate) fn server(&self, alpn: &[u8]) -> Result<ServerConfig, BenchError> {
        let (chain, key) = self.identity()?;
        let provider = Arc::new(default_provider());
        let verifier =
            WebPkiClientVerifier::builder_with_provider(Arc::new(self.roots()?), Arc::clone(&provider))
                .build()
                .map_err(wrong)?;
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])
            .map_err(wrong)?
            .with_client_cert_verifier(verifier)
            .with_single_cert(chain, key)
            .map_err(wrong)?;
        config.alpn_protocols = vec![alpn.to_vec()];
        Ok(config)
    }

    /// Whether a server answers with 200 although no certificate was shown.
    pub(crate) fn answers_strangers(&self, address: SocketAddr) -> std::io::Result<bool> {
        let config = ClientConfig::builder_with_provider(Arc::new(default_provider()))
            .with_protocol_versions(&[&rustls::version::TLS13])
            .map_err(std::io::Error::other)?
            .with_root_certificates(self.roots().map_err(std::io::Error::other)?)
            .with_no_client_auth();
        let name = ServerName::try_from(SERVER_NAME).map_err(std::io::Error::other)?;
        let connection = ClientConnection::new(Arc::new(config), name).map_err(std::io::Error::other)?;
        let mut stream = StreamOwned::new(connection, TcpStream::connect(address)?);
        write!(stream, "GET / HTTP/1.1\r\nHost: {SERVER_NAME}\r\nConnection: close\r\n\r\n")?;
        let mut answer = [0; 12];
        stream.read_exact(&mut answer)?;
        Ok(answer == *b"HTTP/1.1 200")
    }

    fn identity(&self) -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>), BenchError> {
        let certificate = CertificateDer::from_pem_file(&self.certificate).map_err(wrong)?;
        let key = PrivateKeyDer::from_pem_file(&self.key).map_err(wrong)?;
        Ok((vec![certificate], key))
    }

    fn roots(&self) -> Result<RootCertStore, BenchError> {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(&self.ca).map_err(wrong)?).map_err(wrong)?;
        Ok(roots)
    }
}

fn wrong(error: impl std::fmt::Display) -> BenchError {
    BenchError::Tls(error.to_string())
}

/// PEM of the CA's certificate, of the hops' and of their key.
fn make() -> Result<[String; 3], rcgen::Error> {
    let ca_key = KeyPair::generate()?;
    let mut ca = CertificateParams::new(Vec::new())?;
    ca.distinguished_name.push(DnType::CommonName, "bench CA");
    ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    ca.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    let ca_certificate = ca.self_signed(&ca_key)?;
    let key = KeyPair::generate()?;
    let mut hop = CertificateParams::new(vec![SERVER_NAME.to_owned()])?;
    hop.distinguished_name.push(DnType::CommonName, SERVER_NAME);
    hop.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
    let certificate = hop.signed_by(&key, &Issuer::new(ca, ca_key))?;
    Ok([ca_certificate.pem(), certificate.pem(), key.serialize_pem()])
}

/// The name in the hops' certificate.
pub(crate) const SERVER_NAME: &str = "hop.bench.test";

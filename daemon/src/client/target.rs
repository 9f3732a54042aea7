//! Where a URL points, and the connection to it.

use std::sync::Arc;

use http::uri::{Authority, PathAndQuery, Scheme};
use http::{HeaderValue, Uri};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::FetchError;

/// A connection, encrypted or not.
pub(super) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// A URL taken apart.
pub(super) struct Target {
    url: String,
    host: String,
    port: u16,
    tls: bool,
    /// The value of the Host header.
    pub(super) host_header: HeaderValue,
    /// Path and query, for the request line.
    pub(super) path: PathAndQuery,
}

impl Target {
    /// From `http://` or `https://`, without user information (a password in a URL ends up in logs).
    pub(super) fn parse(url: &str) -> Result<Self, FetchError> {
        Self::from_parts(url).ok_or_else(|| FetchError::Url(url.to_owned()))
    }

    fn from_parts(url: &str) -> Option<Self> {
        let parts = url.parse::<Uri>().ok()?.into_parts();
        let scheme = parts.scheme?;
        let tls = scheme == Scheme::HTTPS;
        if !tls && scheme != Scheme::HTTP {
            return None;
        }
        let authority: Authority = parts.authority?;
        if authority.as_str().contains('@') || authority.host().is_empty() {
            return None;
        }
        Some(Self {
            url: url.to_owned(),
            host: authority.host().trim_matches(['[', ']']).to_owned(),
            port: port(&authority, tls)?,
            tls,
            host_header: HeaderValue::from_str(authority.as_str()).ok()?,
            path: parts.path_and_query.unwrap_or(PathAndQuery::from_static("/")),
        })
    }

    /// Connects, with TLS to a server certified by one of the roots if the URL says `https`.
    pub(super) async fn connect(&self, roots_pem: Option<&str>) -> Result<Box<dyn Stream>, FetchError> {
        let tls = if self.tls { Some(self.tls_config(roots_pem)?) } else { None };
        let stream = TcpStream::connect((self.host.as_str(), self.port))
            .await
            .map_err(|error| FetchError::connection(&self.url, &error))?;
        let Some(tls) = tls else { return Ok(Box::new(stream)) };
        let name = ServerName::try_from(self.host.clone()).map_err(|_| FetchError::Url(self.url.clone()))?;
        let stream = TlsConnector::from(Arc::new(tls))
            .connect(name, stream)
            .await
            .map_err(|error| FetchError::connection(&self.url, &error))?;
        Ok(Box::new(stream))
    }

    fn tls_config(&self, roots_pem: Option<&str>) -> Result<ClientConfig, FetchError> {
        let unusable = |reason: String| FetchError::Roots { url: self.url.clone(), reason };
        let pem = roots_pem.ok_or_else(|| unusable("there is none".to_owned()))?;
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_slice_iter(pem.as_bytes()) {
            let certificate = certificate.map_err(|error| unusable(error.to_string()))?;
            roots.add(certificate).map_err(|error| unusable(error.to_string()))?;
        }
        if roots.is_empty() {
            return Err(unusable("there is none in it".to_owned()));
        }
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| unusable(error.to_string()))?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(config)
    }
}

/// The port; `None` if there is something after the host that is none.
fn port(authority: &Authority, tls: bool) -> Option<u16> {
    match authority.port() {
        Some(port) => Some(port.as_u16()),
        None if authority.as_str().len() > authority.host().len() => None,
        None => Some(if tls { 443 } else { 80 }),
    }
}

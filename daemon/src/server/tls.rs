//! The TLS side of a listener for information systems and operators, from certificate and key files.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::{CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{DigitallySignedStruct, DistinguishedName, Error, ServerConfig, SignatureScheme};

/// Whether a listener asks its clients for a certificate.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum ClientCertificates {
    /// Never asked for.
    None,
    /// Asked for, not demanded. A client that shows one has proven that it holds the key; whether the certificate is one that may
    /// act here is for the handler to decide (see [`super::Connection::client_certificate`]).
    Requested,
}

/// Why a TLS listener cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum TlsConfigError {
    /// The certificate file cannot be read, or has no certificate in PEM.
    #[error("cannot read a certificate from {path}: {reason}", path = .path.display())]
    Certificate {
        /// Which.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// The key file cannot be read, or has no private key in PEM.
    #[error("cannot read a private key from {path}: {reason}", path = .path.display())]
    Key {
        /// Which.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// Key and certificate do not belong together, or are of a kind that TLS does not use.
    #[error("the certificate {certificate} and the key {key} cannot serve TLS: {reason}", certificate = .certificate.display(), key = .key.display())]
    Unfit {
        /// The certificate file.
        certificate: PathBuf,
        /// The key file.
        key: PathBuf,
        /// Why.
        reason: Error,
    },
}

/// TLS 1.3 and 1.2 with the certificate (leaf first, then its intermediates) and the key (PKCS#8, PKCS#1 or SEC1) of two PEM
/// files, offering HTTP/2 and HTTP/1.1.
///
/// # Errors
/// See [`TlsConfigError`].
pub fn tls_config(
    certificate: &Path,
    key: &Path,
    client_certificates: ClientCertificates,
) -> Result<Arc<ServerConfig>, TlsConfigError> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let chain = read_chain(certificate)?;
    let private_key = PrivateKeyDer::from_pem_file(key)
        .map_err(|error| TlsConfigError::Key { path: key.to_path_buf(), reason: error.to_string() })?;
    let unfit = |reason| TlsConfigError::Unfit {
        certificate: certificate.to_path_buf(),
        key: key.to_path_buf(),
        reason,
    };
    let builder = ServerConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .map_err(unfit)?;
    let builder = match client_certificates {
        ClientCertificates::None => builder.with_no_client_auth(),
        ClientCertificates::Requested => {
            builder.with_client_cert_verifier(Arc::new(PossessionOnly { provider }))
        }
    };
    let mut config = builder.with_single_cert(chain, private_key).map_err(unfit)?;
    config.alpn_protocols = vec![ALPN_HTTP2.to_vec(), ALPN_HTTP1.to_vec()];
    Ok(Arc::new(config))
}

fn read_chain(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsConfigError> {
    let unreadable = |reason: String| TlsConfigError::Certificate { path: path.to_path_buf(), reason };
    let chain: Vec<_> = CertificateDer::pem_file_iter(path)
        .and_then(Iterator::collect)
        .map_err(|error| unreadable(error.to_string()))?;
    if chain.is_empty() {
        return Err(unreadable("there is none in it".to_owned()));
    }
    Ok(chain)
}

/// Proves possession of the key of whatever certificate a client shows, and nothing else.
///
/// No chain is built and no validity looked at, because there is nobody whose word would count: an information system is known
/// by the exact certificate that its subsystem registered, most often a self-signed one. The handler compares it byte for byte. A
/// certificate that passes here has no rights by itself.
#[derive(Debug)]
struct PossessionOnly {
    provider: Arc<CryptoProvider>,
}

impl ClientCertVerifier for PossessionOnly {
    fn client_auth_mandatory(&self) -> bool {
        false
    }

    /// Empty, so that clients do not hold back a self-signed certificate for want of a matching issuer.
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signed, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signed, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

pub(super) const ALPN_HTTP2: &[u8] = b"h2";
const ALPN_HTTP1: &[u8] = b"http/1.1";

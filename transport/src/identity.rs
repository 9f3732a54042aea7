//! Who we are on the wire: certificate, key and OCSP staple, replaceable while connections are up.

use std::fmt;
use std::sync::Arc;

use arc_swap::ArcSwap;
use bytes::Bytes;
use kogge_certs::certificate::Certificate;
use kogge_certs::key::{self, SigningKey};
use rustls::client::ResolvesClientCert;
use rustls::pki_types::CertificateDer;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::{CertifiedKey, Signer};
use rustls::{SignatureAlgorithm, SignatureScheme};

use crate::error::IdentityError;

/// A security server's authentication certificate with all that proves it.
#[derive(Clone)]
pub struct LocalIdentity {
    /// The registered authentication certificate.
    pub certificate: Certificate,
    /// Intermediate CA certificates below the approved CA, the leaf's issuer first; often empty.
    pub issuers: Vec<Certificate>,
    /// The certificate's private key. It signs during handshakes and must not block.
    pub key: Arc<dyn SigningKey>,
    /// DER OCSPResponse for the certificate, stapled to each server handshake; empty if there is none yet.
    pub ocsp: Vec<u8>,
}

/// The current [`LocalIdentity`]; the next handshake uses what was put in last.
pub struct Identity {
    current: Arc<ArcSwap<Current>>,
}

impl Identity {
    /// Takes an identity into use.
    ///
    /// # Errors
    /// The key is not the certificate's, or of a kind that TLS 1.3 cannot use.
    pub fn new(local: LocalIdentity) -> Result<Self, IdentityError> {
        Ok(Self { current: Arc::new(ArcSwap::from_pointee(Current::new(local)?)) })
    }

    /// Replaces certificate, key and staple together.
    ///
    /// # Errors
    /// As [`Identity::new`]; the old identity then stays.
    pub fn replace(&self, local: LocalIdentity) -> Result<(), IdentityError> {
        self.current.store(Arc::new(Current::new(local)?));
        Ok(())
    }

    /// Replaces the stapled OCSP response.
    pub fn replace_ocsp(&self, ocsp: Vec<u8>) {
        let ocsp = Bytes::from(ocsp);
        self.current.rcu(|current| current.with_ocsp(ocsp.to_vec()));
    }

    /// What is in use now.
    #[must_use]
    pub fn current(&self) -> Arc<LocalIdentity> {
        Arc::clone(&self.current.load().local)
    }

    /// Gives one handshake what is in use now.
    pub(crate) fn resolver(&self) -> Arc<Resolver> {
        Arc::new(Resolver(self.current.load_full()))
    }
}

/// An identity as given, and as TLS wants it.
struct Current {
    local: Arc<LocalIdentity>,
    certified: Arc<CertifiedKey>,
}

impl Current {
    fn new(local: LocalIdentity) -> Result<Self, IdentityError> {
        if local.key.public_key() != local.certificate.public_key() {
            return Err(IdentityError::KeyMismatch);
        }
        let key = Arc::new(HandshakeKey::new(Arc::clone(&local.key))?);
        let chain = std::iter::once(&local.certificate)
            .chain(&local.issuers)
            .map(|certificate| CertificateDer::from(certificate.der().to_vec()))
            .collect();
        let mut certified = CertifiedKey::new(chain, key);
        certified.ocsp = staple(&local.ocsp);
        Ok(Self { local: Arc::new(local), certified: Arc::new(certified) })
    }

    fn with_ocsp(&self, ocsp: Vec<u8>) -> Self {
        let mut certified = CertifiedKey::clone(&self.certified);
        certified.ocsp = staple(&ocsp);
        let local = LocalIdentity { ocsp, ..LocalIdentity::clone(&self.local) };
        Self { local: Arc::new(local), certified: Arc::new(certified) }
    }
}

fn staple(ocsp: &[u8]) -> Option<Vec<u8>> {
    (!ocsp.is_empty()).then(|| ocsp.to_vec())
}

/// Hands the identity that was in use when a handshake began to rustls.
pub(crate) struct Resolver(Arc<Current>);

impl Resolver {
    pub(crate) fn local(&self) -> Arc<LocalIdentity> {
        Arc::clone(&self.0.local)
    }
}

impl ResolvesServerCert for Resolver {
    fn resolve(&self, _client_hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0.certified))
    }
}

impl ResolvesClientCert for Resolver {
    fn resolve(
        &self,
        _root_hint_subjects: &[&[u8]],
        _sigschemes: &[SignatureScheme],
    ) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0.certified))
    }

    fn has_certs(&self) -> bool {
        true
    }
}

impl fmt::Debug for Resolver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.0.local.certificate)
    }
}

/// A key that signs handshakes, with the one scheme that TLS 1.3 has for it (RFC 8446 section 4.2.3).
#[derive(Clone)]
struct HandshakeKey {
    key: Arc<dyn SigningKey>,
    ours: key::SignatureScheme,
    tls: SignatureScheme,
}

impl HandshakeKey {
    fn new(key: Arc<dyn SigningKey>) -> Result<Self, IdentityError> {
        let ours = key::SignatureScheme::for_tls(key.public_key().kind()).ok_or(IdentityError::KeyKind)?;
        let tls = match ours {
            key::SignatureScheme::EcdsaP256Sha256Asn1 => SignatureScheme::ECDSA_NISTP256_SHA256,
            key::SignatureScheme::RsaPssSha256 => SignatureScheme::RSA_PSS_SHA256,
            key::SignatureScheme::Ed25519 => SignatureScheme::ED25519,
            _ => return Err(IdentityError::KeyKind),
        };
        Ok(Self { key, ours, tls })
    }
}

impl rustls::sign::SigningKey for HandshakeKey {
    fn choose_scheme(&self, offered: &[SignatureScheme]) -> Option<Box<dyn Signer>> {
        offered.contains(&self.tls).then(|| Box::new(self.clone()) as Box<dyn Signer>)
    }

    fn algorithm(&self) -> SignatureAlgorithm {
        match self.ours {
            key::SignatureScheme::RsaPssSha256 => SignatureAlgorithm::RSA,
            key::SignatureScheme::Ed25519 => SignatureAlgorithm::ED25519,
            _ => SignatureAlgorithm::ECDSA,
        }
    }
}

impl Signer for HandshakeKey {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, rustls::Error> {
        self.key.sign(self.ours, message).map_err(|error| rustls::Error::General(error.to_string()))
    }

    fn scheme(&self) -> SignatureScheme {
        self.tls
    }
}

impl fmt::Debug for HandshakeKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.key.public_key())
    }
}

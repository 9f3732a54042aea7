//! The TLS configuration of both sides: TLS 1.3 only, hybrid post-quantum key exchange first, mutual authentication, and nothing
//! that is remembered from one connection to the next.

use std::sync::Arc;

use kogge_proto::id::SecurityServerId;
use rustls::crypto::CryptoProvider;
use rustls::crypto::aws_lc_rs::{self, cipher_suite, kx_group};
use rustls::server::NoServerSessionStorage;
use rustls::{AlertDescription, ClientConfig, ServerConfig};

use crate::Carrier;
use crate::error::{ProtocolError, Refusal};
use crate::identity::{Identity, LocalIdentity};
use crate::peer::PeerTrust;
use crate::verify::{ClientVerifier, ServerVerifier, Verdict};

/// The name that every client asks for. Who the server is follows from its registered certificate, and a listener on the wire
/// need not learn whom we address.
pub(crate) const SERVER_NAME: &str = "security-server.kogge.invalid";

impl Carrier {
    /// The application protocol (RFC 7301).
    pub(crate) fn alpn(self) -> &'static [u8] {
        match self {
            Self::Quic => b"kogge/1",
            Self::H2 => b"h2",
        }
    }
}

/// What TLS needs on either side; cheap to clone.
#[derive(Clone)]
pub(crate) struct Tls {
    provider: Arc<CryptoProvider>,
    identity: Arc<Identity>,
    trust: Arc<dyn PeerTrust>,
}

impl Tls {
    pub(crate) fn new(identity: Arc<Identity>, trust: Arc<dyn PeerTrust>) -> Self {
        Self { provider: Arc::new(provider()), identity, trust }
    }

    pub(crate) fn trust(&self) -> &dyn PeerTrust {
        &*self.trust
    }

    /// What the next handshake will show of us.
    pub(crate) fn local(&self) -> Arc<LocalIdentity> {
        self.identity.current()
    }

    /// The configuration of one connection to `expected`, and where its verifier leaves what it found out.
    pub(crate) fn client(
        &self,
        carrier: Carrier,
        expected: &SecurityServerId,
    ) -> Result<(ClientConfig, Verdict), rustls::Error> {
        let verdict = Verdict::default();
        let resolver = self.identity.resolver();
        let verifier = ServerVerifier {
            expected: expected.clone(),
            ours: resolver.local(),
            trust: Arc::clone(&self.trust),
            algorithms: self.provider.signature_verification_algorithms,
            verdict: verdict.clone(),
        };
        let mut config = ClientConfig::builder_with_provider(Arc::clone(&self.provider))
            .with_protocol_versions(&[&rustls::version::TLS13])?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(verifier))
            .with_client_cert_resolver(resolver);
        config.alpn_protocols = vec![carrier.alpn().to_vec()];
        // A resumed session would never ask the verifier.
        config.resumption = rustls::client::Resumption::disabled();
        config.enable_early_data = false;
        Ok((config, verdict))
    }

    /// The configuration of one accepted connection, and where its verifier leaves what it found out.
    pub(crate) fn server(&self, carrier: Carrier) -> Result<(ServerConfig, Verdict), rustls::Error> {
        let verdict = Verdict::default();
        let resolver = self.identity.resolver();
        let verifier = ClientVerifier {
            ours: resolver.local(),
            trust: Arc::clone(&self.trust),
            algorithms: self.provider.signature_verification_algorithms,
            verdict: verdict.clone(),
        };
        let mut config = ServerConfig::builder_with_provider(Arc::clone(&self.provider))
            .with_protocol_versions(&[&rustls::version::TLS13])?
            .with_client_cert_verifier(Arc::new(verifier))
            .with_cert_resolver(resolver);
        config.alpn_protocols = vec![carrier.alpn().to_vec()];
        // A resumed session would never ask the verifier.
        config.send_tls13_tickets = 0;
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.max_early_data_size = 0;
        Ok((config, verdict))
    }
}

/// What a TLS alert from the peer means for us.
pub(crate) enum Alert {
    /// It does not accept our certificate or registration.
    Refused(Refusal),
    /// It does not speak our application protocol.
    Protocol(ProtocolError),
    /// Something else went wrong there.
    Other(String),
}

impl Alert {
    pub(crate) fn from_description(alert: AlertDescription) -> Self {
        match alert {
            AlertDescription::NoApplicationProtocol => Self::Protocol(ProtocolError::ApplicationProtocol),
            AlertDescription::AccessDenied
            | AlertDescription::BadCertificate
            | AlertDescription::BadCertificateStatusResponse
            | AlertDescription::CertificateExpired
            | AlertDescription::CertificateRequired
            | AlertDescription::CertificateRevoked
            | AlertDescription::CertificateUnknown
            | AlertDescription::DecryptError
            | AlertDescription::HandshakeFailure
            | AlertDescription::UnknownCA
            | AlertDescription::UnsupportedCertificate => {
                Self::Refused(Refusal::ByPeer(format!("{alert:?}")))
            }
            _ => Self::Other(format!("TLS alert {alert:?}")),
        }
    }

    /// From the number on the wire (RFC 8446 section 6).
    pub(crate) fn from_number(alert: u8) -> Self {
        Self::from_description(AlertDescription::from(alert))
    }

    /// The number of the alert by which the peer ended a TLS connection over TCP.
    pub(crate) fn number_in(error: &std::io::Error) -> Option<u8> {
        match error.get_ref()?.downcast_ref::<rustls::Error>()? {
            rustls::Error::AlertReceived(alert) => Some(u8::from(*alert)),
            _ => None,
        }
    }
}

/// Always passed explicitly: with two providers in the tree a process-wide default would be a guess.
fn provider() -> CryptoProvider {
    CryptoProvider {
        cipher_suites: vec![
            cipher_suite::TLS13_AES_128_GCM_SHA256,
            cipher_suite::TLS13_AES_256_GCM_SHA384,
            cipher_suite::TLS13_CHACHA20_POLY1305_SHA256,
        ],
        kx_groups: vec![kx_group::X25519MLKEM768, kx_group::X25519, kx_group::SECP256R1],
        ..aws_lc_rs::default_provider()
    }
}

//! The certificate verifiers of a handshake. They judge by the registry snapshot and by nothing else: no DNS names, no trust
//! store of the system. Why a peer was refused is kept for our own side; the peer learns only the TLS alert.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use kogge_certs::certificate::Certificate;
use kogge_certs::ocsp;
use kogge_certs::path::PathError;
use kogge_proto::id::SecurityServerId;
use kogge_proto::limits::PATH_DEPTH_MAX;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{WebPkiSupportedAlgorithms, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, OtherError, SignatureScheme,
};

use crate::error::Refusal;
use crate::identity::LocalIdentity;
use crate::peer::{PeerIdentity, PeerTrust, current_snapshot, settle};

/// What a verifier found out during one handshake. Worth nothing before the handshake has ended well: only then has the peer
/// shown that it holds the key.
#[derive(Clone, Default)]
pub(crate) struct Verdict(Arc<Mutex<Option<Result<PeerIdentity, Refusal>>>>);

impl Verdict {
    /// Takes the verdict out; `None` if no certificate was judged.
    pub(crate) fn take(&self) -> Option<Result<PeerIdentity, Refusal>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    fn give(&self, verdict: Result<PeerIdentity, Refusal>) -> Result<(), Error> {
        let answer =
            verdict.as_ref().map(drop).map_err(|refusal| Error::InvalidCertificate(alert_for(refusal)));
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(verdict);
        answer
    }
}

/// Judges the server's certificate and its stapled OCSP response, on the dialling side.
pub(crate) struct ServerVerifier {
    pub(crate) expected: SecurityServerId,
    pub(crate) ours: Arc<LocalIdentity>,
    pub(crate) trust: Arc<dyn PeerTrust>,
    pub(crate) algorithms: WebPkiSupportedAlgorithms,
    pub(crate) verdict: Verdict,
}

impl ServerVerifier {
    fn judge(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        ocsp_response: &[u8],
    ) -> Result<PeerIdentity, Refusal> {
        let (snapshot, now) = current_snapshot(&*self.trust)?;
        let (leaf, intermediates) = read_chain(leaf, intermediates)?;
        let peer = settle(&leaf, &intermediates, &self.ours, &snapshot, now)?;
        if *peer.server() != self.expected {
            return Err(Refusal::WrongServer {
                expected: self.expected.clone(),
                found: peer.server().clone(),
            });
        }
        if ocsp_response.is_empty() {
            return Err(Refusal::OcspMissing);
        }
        ocsp::verify(ocsp_response, peer.path(), snapshot.policy().freshness(), None, now)?;
        Ok(peer)
    }
}

impl ServerCertVerifier for ServerVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        self.verdict.give(self.judge(end_entity, intermediates, ocsp_response))?;
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(only_tls13())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, dss, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

/// Judges the client's certificate, on the listening side. The client's OCSP response comes in the first frame and is judged
/// there.
pub(crate) struct ClientVerifier {
    pub(crate) ours: Arc<LocalIdentity>,
    pub(crate) trust: Arc<dyn PeerTrust>,
    pub(crate) algorithms: WebPkiSupportedAlgorithms,
    pub(crate) verdict: Verdict,
}

impl ClientVerifier {
    fn judge(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
    ) -> Result<PeerIdentity, Refusal> {
        let (snapshot, now) = current_snapshot(&*self.trust)?;
        let (leaf, intermediates) = read_chain(leaf, intermediates)?;
        settle(&leaf, &intermediates, &self.ours, &snapshot, now)
    }
}

impl ClientCertVerifier for ClientVerifier {
    fn client_auth_mandatory(&self) -> bool {
        true
    }

    /// No hints: the registered certificate is the only right one, and the list of CAs is nobody's business.
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        self.verdict.give(self.judge(end_entity, intermediates))?;
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(only_tls13())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, dss, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

impl fmt::Debug for ServerVerifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "verifier of the security server {}", self.expected)
    }
}

impl fmt::Debug for ClientVerifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("verifier of registered security servers")
    }
}

fn read_chain(
    leaf: &CertificateDer<'_>,
    intermediates: &[CertificateDer<'_>],
) -> Result<(Certificate, Vec<Certificate>), Refusal> {
    if intermediates.len() >= PATH_DEPTH_MAX {
        return Err(PathError::TooLong.into());
    }
    let read = |der: &CertificateDer<'_>| {
        Certificate::from_der(der).map_err(|error| Refusal::Malformed(error.to_string()))
    };
    Ok((read(leaf)?, intermediates.iter().map(read).collect::<Result<_, _>>()?))
}

/// The alert that the peer gets: whether its certificate or its registration is at fault, and no more.
fn alert_for(refusal: &Refusal) -> CertificateError {
    match refusal {
        Refusal::Malformed(_) => CertificateError::BadEncoding,
        Refusal::Path(_) => CertificateError::Other(OtherError(Arc::new(refusal.clone()))),
        Refusal::OcspMissing | Refusal::Ocsp(_) => CertificateError::InvalidOcspResponse,
        Refusal::NoSnapshot
        | Refusal::SnapshotExpired
        | Refusal::Unregistered { .. }
        | Refusal::WrongServer { .. }
        | Refusal::ServerSuspended(_)
        | Refusal::OwnerSuspended(_)
        | Refusal::ByPeer(_) => CertificateError::ApplicationVerificationFailure,
    }
}

fn only_tls13() -> Error {
    Error::PeerIncompatible(rustls::PeerIncompatible::Tls12NotOffered)
}

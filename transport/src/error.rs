//! What can go wrong between two security servers, sorted by what the caller may do about it.

use std::net::SocketAddr;

use kogge_certs::ocsp::OcspError;
use kogge_certs::path::PathError;
use kogge_proto::digest::Sha256;
use kogge_proto::id::{MemberId, SecurityServerId};

/// Why a stream could not be opened, or ended before its time.
#[derive(Debug, thiserror::Error)]
pub enum TransportError {
    /// Nothing was sent: no address answered, the name is unknown, or the peer said it is full. Another address or server
    /// may be tried.
    #[error("the security server {server} cannot be reached: {reason}")]
    Unreachable {
        /// Who was to be reached.
        server: SecurityServerId,
        /// What each attempt ended with; for the operator, not for a peer.
        reason: String,
    },
    /// One side does not accept the other's certificate or registration. The request was not processed: another address or
    /// server may be tried.
    #[error("refused: {0}")]
    Refused(#[from] Refusal),
    /// The connection or stream broke after the first byte was sent: whether the peer acted on it is unknown.
    #[error("the connection to the peer broke: {reason}")]
    BrokenAfterSend {
        /// What was seen.
        reason: String,
    },
    /// A deadline passed. If `sent` is false nothing was sent and another server may be tried, if there is time.
    #[error("the deadline passed {}", if *.sent { "while waiting for the peer" } else { "before anything was sent" })]
    Timeout {
        /// Whether the first byte had been sent.
        sent: bool,
    },
    /// Nobody was named who could be asked.
    #[error("no security server provides this")]
    NoServer,
    /// The peer broke the rules of the tunnel.
    #[error("the peer broke the tunnel protocol: {0}")]
    Protocol(#[from] ProtocolError),
}

impl TransportError {
    /// Whether the request certainly had no effect, so that another address or server may be tried.
    #[must_use]
    pub fn may_fail_over(&self) -> bool {
        match self {
            Self::Unreachable { .. } | Self::Refused(_) | Self::Timeout { sent: false } => true,
            Self::BrokenAfterSend { .. }
            | Self::Timeout { sent: true }
            | Self::NoServer
            | Self::Protocol(_) => false,
        }
    }
}

/// How a peer broke the rules of the tunnel.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum ProtocolError {
    /// A frame announces more than [`kogge_proto::limits::FRAME_BYTES_MAX`] bytes.
    #[error("a frame of {0} bytes is over the limit")]
    FrameTooLarge(u64),
    /// The stream ended inside a frame.
    #[error("the stream ended inside a frame")]
    Truncated,
    /// A frame is not a `kogge.tunnel.v1.Frame`, or is of no known kind.
    #[error("a frame cannot be read")]
    Malformed,
    /// The peer answered with something that is no exchange (HTTP status).
    #[error("the peer answered with HTTP status {0}")]
    Status(u16),
    /// The application protocol was not agreed on (ALPN).
    #[error("the peer does not speak the application protocol")]
    ApplicationProtocol,
}

/// Why one side does not accept the other.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Refusal {
    /// There is no registry snapshot yet: nobody can be trusted.
    #[error("there is no registry snapshot")]
    NoSnapshot,
    /// The registry snapshot has expired: nobody can be trusted.
    #[error("the registry snapshot has expired")]
    SnapshotExpired,
    /// The peer's certificate cannot be read.
    #[error("the peer's certificate cannot be read: {0}")]
    Malformed(String),
    /// No security server is registered with this authentication certificate.
    #[error("no security server is registered with the certificate {certificate}")]
    Unregistered {
        /// SHA-256 of the certificate.
        certificate: Sha256,
    },
    /// The certificate belongs to another security server than the one addressed.
    #[error("expected the security server {expected}, found {found}")]
    WrongServer {
        /// Who was addressed.
        expected: SecurityServerId,
        /// Whose certificate it is.
        found: SecurityServerId,
    },
    /// The security server is suspended.
    #[error("the security server {0} is suspended")]
    ServerSuspended(SecurityServerId),
    /// The member that owns the security server is suspended or unknown.
    #[error("the member {0}, owner of the security server, is suspended")]
    OwnerSuspended(MemberId),
    /// The certificate does not lead to an approved CA, is outside its validity, or is not for authentication.
    #[error("the authentication certificate is not acceptable: {0}")]
    Path(String),
    /// The server sent no OCSP response with its certificate.
    #[error("the server sent no OCSP response for its certificate")]
    OcspMissing,
    /// The OCSP response is not good and fresh.
    #[error("the OCSP response for the authentication certificate is not acceptable: {0}")]
    Ocsp(String),
    /// The peer does not accept our certificate or registration; what it says about the reason.
    #[error("the peer refused us: {0}")]
    ByPeer(String),
}

impl From<PathError> for Refusal {
    fn from(error: PathError) -> Self {
        Self::Path(error.to_string())
    }
}

impl From<OcspError> for Refusal {
    fn from(error: OcspError) -> Self {
        Self::Ocsp(error.to_string())
    }
}

/// Why a listener cannot start.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// Another process has the port.
    #[error("port {} ({protocol}) of {} is in use by another process", .addr.port(), .addr.ip())]
    InUse {
        /// The address asked for.
        addr: SocketAddr,
        /// `TCP` or `UDP`.
        protocol: &'static str,
    },
    /// The address cannot be bound for another reason.
    #[error("cannot listen on {addr} ({protocol}): {source}")]
    Address {
        /// The address asked for.
        addr: SocketAddr,
        /// `TCP` or `UDP`.
        protocol: &'static str,
        /// What the operating system says.
        source: std::io::Error,
    },
    /// The TLS library refuses the configuration.
    #[error("cannot set up TLS: {0}")]
    Tls(String),
}

/// Why a local identity cannot be used.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum IdentityError {
    /// The private key is not the certificate's.
    #[error("the private key does not belong to the authentication certificate")]
    KeyMismatch,
    /// TLS 1.3 has no signature scheme for this kind of key.
    #[error("a key of this kind cannot authenticate a TLS 1.3 connection")]
    KeyKind,
}

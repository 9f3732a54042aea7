//! Why a connection did not come about.

use crate::error::{ProtocolError, Refusal};
use crate::tls::Alert;

/// Why one address did not become a connection. Many exchanges may wait for one dial, so it can be cloned.
#[derive(Clone, Debug)]
pub(crate) enum DialError {
    /// One side does not accept the other.
    Refused(Refusal),
    /// The peer is no security server, or of another kind.
    Protocol(ProtocolError),
    /// No answer, no such name, broken on the way; the reason is for the operator.
    Failed(String),
}

impl From<Refusal> for DialError {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl From<ProtocolError> for DialError {
    fn from(error: ProtocolError) -> Self {
        Self::Protocol(error)
    }
}

impl From<rustls::Error> for DialError {
    fn from(error: rustls::Error) -> Self {
        Self::Failed(format!("TLS cannot be set up: {error}"))
    }
}

impl From<Alert> for DialError {
    fn from(alert: Alert) -> Self {
        match alert {
            Alert::Refused(refusal) => Self::Refused(refusal),
            Alert::Protocol(error) => Self::Protocol(error),
            Alert::Other(reason) => Self::Failed(reason),
        }
    }
}

//! From an internal error to the fault that the other side may see. The only place where it is decided; a new variant anywhere does
//! not compile until its code is chosen here.
//!
//! A fault names what the other side did or can do. It holds no path, no address, no text of a library: those are in the log line
//! that carries the same `detail`.

use kogge_message_log::AppendError;
use kogge_proto::fault::{Fault, FaultCode};
use kogge_proto::message::{CLIENT, MessageError};
use kogge_proto::wire::tunnel as wire;
use kogge_transport::TransportError;

use crate::body::BodyError;
use crate::consumer::ConsumerError;
use crate::consumer::authenticate::AuthenticateError;
use crate::consumer::forward::ForwardError;
use crate::consumer::receive::ReceiveError;
use crate::consumer::resolve::ResolveError;
use crate::consumer::verify::VerifyError;
use crate::exchange::ArrivalError;
use crate::gate::Closed;
use crate::logging::LoggingError;
use crate::provider::ProviderError;
use crate::provider::accept::AcceptError;
use crate::provider::authorise::AuthoriseError;
use crate::provider::backend::BackendError;
use crate::provider::verify::VerifyError as RequestVerifyError;

/// What an information system is told.
pub(crate) fn of_consumer(error: &ConsumerError, detail: &str) -> Fault {
    if let ConsumerError::Forward(ForwardError::Refused(fault)) = error {
        return fault.clone(); // a provider's fault passes through, with the id that the provider's log has
    }
    let (code, message) = match error {
        ConsumerError::Closed(error) => consumer_closed(error),
        ConsumerError::Receive(error) => receive(error),
        ConsumerError::Authenticate(error) => (authenticate(error), error.to_string()),
        ConsumerError::Resolve(error) => (resolve(error), error.to_string()),
        ConsumerError::Sign(_) => (FaultCode::ConsumerCannotSign, CANNOT_SIGN.to_owned()),
        ConsumerError::Log(error) => (FaultCode::ConsumerLoggingFailed, logging(error)),
        ConsumerError::Forward(error) => forward(error),
        ConsumerError::Verify(error) => verify(error),
    };
    Fault { code, message, detail: detail.to_owned() }
}

/// What an information system is told when the exchange's task itself failed.
pub(crate) fn internal_of_consumer(detail: &str) -> Fault {
    let message = "this security server failed".to_owned();
    Fault { code: FaultCode::ConsumerInternal, message, detail: detail.to_owned() }
}

fn consumer_closed(error: &Closed) -> (FaultCode, String) {
    match error {
        Closed::NoSnapshot
        | Closed::SnapshotExpired { .. }
        | Closed::SnapshotFromFuture { .. }
        | Closed::Clock(_) => (FaultCode::ConsumerSnapshotOutdated, error.to_string()),
        Closed::Authentication(_) => (FaultCode::ConsumerCannotSign, CANNOT_AUTHENTICATE.to_owned()),
        Closed::NoLog | Closed::TimestampsOverdue { .. } | Closed::TimestampsCrowded { .. } => {
            (FaultCode::ConsumerLoggingFailed, error.to_string())
        }
        Closed::Overloaded | Closed::PeerOverloaded(_) => (FaultCode::ConsumerOverloaded, error.to_string()),
    }
}

fn receive(error: &ReceiveError) -> (FaultCode, String) {
    let code = match error {
        ReceiveError::NotRest => FaultCode::ConsumerUnknownService,
        ReceiveError::HeaderNotText(_) | ReceiveError::BrokenOff(_) => FaultCode::ClientBadRequest,
        ReceiveError::Message(error) => message(error),
        ReceiveError::Timeout => FaultCode::ClientTimeout,
        ReceiveError::Body(BodyError::TooLarge { .. }) => FaultCode::ClientBodyTooLarge,
        ReceiveError::Body(BodyError::Spool(_)) => {
            return (FaultCode::ConsumerLoggingFailed, NO_SPOOL.to_owned());
        }
        ReceiveError::Body(BodyError::ShuttingDown) => FaultCode::ConsumerInternal,
    };
    (code, error.to_string())
}

fn message(error: &MessageError) -> FaultCode {
    match error {
        MessageError::Method => FaultCode::ClientInvalidHttpMethod,
        MessageError::Missing(CLIENT)
        | MessageError::Repeated(CLIENT)
        | MessageError::Identifier { place: "X-Road-Client", .. } => FaultCode::ClientInvalidClientIdentifier,
        _ => FaultCode::ClientBadRequest,
    }
}

fn authenticate(error: &AuthenticateError) -> FaultCode {
    match error {
        AuthenticateError::NoSubsystem(_) | AuthenticateError::UnknownClient(_) => {
            FaultCode::ConsumerUnknownClient
        }
        AuthenticateError::TlsRequired(_)
        | AuthenticateError::Certificate(_)
        | AuthenticateError::CertificateTime(_) => FaultCode::ClientAuthenticationFailed,
    }
}

fn resolve(error: &ResolveError) -> FaultCode {
    match error {
        ResolveError::UnknownProvider(_) => FaultCode::ConsumerUnknownProvider,
        ResolveError::UnknownService(_) => FaultCode::ConsumerUnknownService,
        ResolveError::InvalidSecurityServer { .. } => FaultCode::ConsumerInvalidSecurityServer,
    }
}

fn forward(error: &ForwardError) -> (FaultCode, String) {
    match error {
        ForwardError::Transport(error) | ForwardError::Arrival(ArrivalError::Transport(error)) => {
            transport(error)
        }
        ForwardError::Refused(fault) => (fault.code, fault.message.clone()),
        ForwardError::MalformedFault => (FaultCode::ConsumerInvalidResponse, error.to_string()),
        ForwardError::Arrival(ArrivalError::Body(_)) | ForwardError::Departure(_) => {
            (FaultCode::ConsumerLoggingFailed, NO_SPOOL.to_owned())
        }
        ForwardError::Arrival(_) => (FaultCode::ConsumerInvalidResponse, error.to_string()),
    }
}

fn transport(error: &TransportError) -> (FaultCode, String) {
    let (code, message) = match error {
        TransportError::NoServer => {
            (FaultCode::ConsumerUnknownProvider, "no security server serves the provider")
        }
        TransportError::Unreachable { .. } => {
            (FaultCode::ConsumerNetworkError, "none of the provider's security servers can be reached")
        }
        TransportError::Refused(_) => (
            FaultCode::ConsumerPeerRefused,
            "this security server and the provider's do not accept each other's authentication",
        ),
        TransportError::BrokenAfterSend { .. } => (
            FaultCode::ConsumerBroken,
            "the connection broke after the request was sent: the provider may have acted on it",
        ),
        TransportError::Timeout { sent: false } => {
            (FaultCode::ConsumerNetworkError, "the provider's security server was not reached in time")
        }
        TransportError::Timeout { sent: true } => (
            FaultCode::ConsumerTimeout,
            "the provider's security server did not answer in time: the provider may have acted on the request",
        ),
        TransportError::Protocol(_) => {
            (FaultCode::ConsumerInvalidResponse, "the provider's security server broke the tunnel protocol")
        }
    };
    (code, message.to_owned())
}

fn verify(error: &VerifyError) -> (FaultCode, String) {
    let code = match error {
        VerifyError::Message(_) => FaultCode::ConsumerInvalidResponse,
        VerifyError::Inconsistent(_) => FaultCode::ConsumerInconsistentResponse,
        VerifyError::PeerOcsp(_) => FaultCode::ConsumerPeerRefused,
        VerifyError::Signature(_) => FaultCode::ConsumerSignatureVerification,
    };
    (code, error.to_string())
}

/// What a peer is told.
pub(crate) fn of_provider(error: &ProviderError, detail: &str) -> Fault {
    let (code, message) = match error {
        ProviderError::Closed(error) => provider_closed(error),
        ProviderError::Accept(error) => accept(error),
        ProviderError::Verify(error) => request_verify(error),
        ProviderError::Authorise(error) => (authorise(error), error.to_string()),
        ProviderError::Sign(_) => (FaultCode::ProviderCannotSign, CANNOT_SIGN.to_owned()),
        ProviderError::Log(LoggingError::Append(AppendError::Replayed)) => {
            (FaultCode::ProviderReplayed, "the request id was seen before".to_owned())
        }
        ProviderError::Log(error) => (FaultCode::ProviderLoggingFailed, logging(error)),
        ProviderError::Backend(error) => (backend(error), error.to_string()),
    };
    Fault { code, message, detail: detail.to_owned() }
}

fn provider_closed(error: &Closed) -> (FaultCode, String) {
    match error {
        Closed::NoSnapshot
        | Closed::SnapshotExpired { .. }
        | Closed::SnapshotFromFuture { .. }
        | Closed::Clock(_) => (FaultCode::ProviderSnapshotOutdated, error.to_string()),
        Closed::Authentication(_) => (FaultCode::ProviderCannotSign, CANNOT_AUTHENTICATE.to_owned()),
        Closed::NoLog | Closed::TimestampsOverdue { .. } | Closed::TimestampsCrowded { .. } => {
            (FaultCode::ProviderLoggingFailed, error.to_string())
        }
        Closed::Overloaded | Closed::PeerOverloaded(_) => (FaultCode::ProviderOverloaded, error.to_string()),
    }
}

fn accept(error: &AcceptError) -> (FaultCode, String) {
    match error {
        AcceptError::Arrival(ArrivalError::Body(_)) => {
            (FaultCode::ProviderLoggingFailed, NO_SPOOL.to_owned())
        }
        // The peer knows best how its stream broke; if it can still read, this is enough.
        AcceptError::Arrival(ArrivalError::Transport(_)) => {
            (FaultCode::ProviderInvalidMessage, "the request did not arrive completely".to_owned())
        }
        AcceptError::Arrival(_) | AcceptError::Message(_) | AcceptError::RequestId | AcceptError::NoTime => {
            (FaultCode::ProviderInvalidMessage, error.to_string())
        }
    }
}

fn request_verify(error: &RequestVerifyError) -> (FaultCode, String) {
    let code = match error {
        RequestVerifyError::PeerOcsp(_) => FaultCode::ProviderPeerRefused,
        RequestVerifyError::Signature(_) => FaultCode::ProviderSignatureVerification,
        RequestVerifyError::NoSubsystem(_) | RequestVerifyError::UnknownClient { .. } => {
            FaultCode::ProviderUnknownClient
        }
        RequestVerifyError::Replayed => FaultCode::ProviderReplayed,
    };
    (code, error.to_string())
}

fn authorise(error: &AuthoriseError) -> FaultCode {
    match error {
        AuthoriseError::UnknownProvider(_) => FaultCode::ProviderUnknownProvider,
        AuthoriseError::UnknownService(_) => FaultCode::ProviderUnknownService,
        AuthoriseError::AmbiguousPath(_) | AuthoriseError::AccessDenied { .. } => {
            FaultCode::ProviderAccessDenied
        }
        AuthoriseError::PurposeRefused { .. } => FaultCode::ProviderPurposeRefused,
        AuthoriseError::BodyTooLarge { .. } => FaultCode::ProviderInvalidMessage,
    }
}

fn backend(error: &BackendError) -> FaultCode {
    match error {
        BackendError::Unreachable(_) | BackendError::Broken(_) => FaultCode::ProviderNetworkError,
        BackendError::Timeout => FaultCode::ProviderTimeout,
        BackendError::Answer(_) | BackendError::HeaderNotText(_) | BackendError::TooLarge { .. } => {
            FaultCode::ProviderInvalidAnswer
        }
        BackendError::Spool(_) => FaultCode::ProviderLoggingFailed,
        BackendError::Target | BackendError::NoSuchService => FaultCode::ProviderInternal,
    }
}

fn logging(error: &LoggingError) -> String {
    match error {
        LoggingError::Append(
            AppendError::Full
            | AppendError::Busy
            | AppendError::Orphaned
            | AppendError::Replayed
            | AppendError::Closed,
        )
        | LoggingError::Timeout => error.to_string(),
        // These quote the operating system.
        LoggingError::Append(AppendError::Suspect(_) | AppendError::Unfit(_)) => {
            "the message log cannot be written".to_owned()
        }
    }
}

/// A provider's fault as it came through the tunnel; `None` unless it has a provider's code. A peer's text reaches our client only
/// as a single short line.
pub(crate) fn from_provider(fault: &wire::Fault) -> Option<Fault> {
    let code =
        FaultCode::parse(&fault.code).filter(|code| code.as_str().starts_with("server.serverproxy."))?;
    let line = |text: &str, chars_max: usize| -> String {
        text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(chars_max).collect()
    };
    Some(Fault { code, message: line(&fault.message, 500), detail: line(&fault.detail, 64) })
}

const CANNOT_SIGN: &str = "this security server cannot sign for the member now";
const CANNOT_AUTHENTICATE: &str = "this security server cannot authenticate itself now";
const NO_SPOOL: &str = "the body cannot be stored";

#[cfg(test)]
mod tests {
    use super::*;

    fn wire_fault(code: &str) -> wire::Fault {
        wire::Fault { code: code.to_owned(), message: "a\nb".repeat(400), detail: "x".repeat(99) }
    }

    #[test]
    fn a_peer_may_only_speak_as_a_provider() {
        let fault = from_provider(&wire_fault("server.serverproxy.access_denied")).unwrap();
        assert_eq!(fault.code, FaultCode::ProviderAccessDenied);
        assert!(fault.message.starts_with("a ba b"));
        assert_eq!((fault.message.len(), fault.detail.len()), (500, 64));
        for code in ["client.bad_request", "server.clientproxy.timeout", "server.serverproxy.", ""] {
            assert_eq!(from_provider(&wire_fault(code)), None, "{code}");
        }
    }
}

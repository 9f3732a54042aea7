//! The error as it crosses the wire and reaches the client: X-Road's `type`, `message`, `detail`.
//!
//! Codes are spelled as X-Road 7.8 spells them (dotted, lower snake case); the first part says whose fault it is.

use std::fmt;

/// An error for the other side. Holds no path, address or other internal of the server that raised it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Fault {
    /// What went wrong and whose fault it is.
    pub code: FaultCode,
    /// One sentence for a person.
    pub message: String,
    /// The id under which the raising server's own log has the whole story.
    pub detail: String,
}

macro_rules! fault_codes {
    ($($(#[doc = $doc:literal])+ $variant:ident = $text:literal, $status:literal;)*) => {
        /// Every fault that Kogge raises.
        #[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
        pub enum FaultCode {
            $($(#[doc = $doc])+ $variant,)*
        }

        impl FaultCode {
            /// All codes, in the order of this table.
            pub const ALL: &[Self] = &[$(Self::$variant),*];

            /// The stable text, X-Road's `type` and `X-Road-Error`.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text),* }
            }

            /// The HTTP status towards the client. More telling than X-Road's 500 for nearly everything; the body is the same.
            #[must_use]
            pub fn http_status(self) -> u16 {
                match self { $(Self::$variant => $status),* }
            }

            /// From the text of a peer's fault; `None` for codes that Kogge does not know.
            #[must_use]
            pub fn parse(text: &str) -> Option<Self> {
                match text { $($text => Some(Self::$variant),)* _ => None }
            }
        }
    };
}

fault_codes! {
    /// The URL, a header or an identifier of the client's request is malformed.
    ClientBadRequest = "client.bad_request", 400;
    /// `X-Road-Client` is missing, doubled or malformed.
    ClientInvalidClientIdentifier = "client.invalid_client_identifier", 400;
    /// The HTTP method is not one of the REST protocol.
    ClientInvalidHttpMethod = "client.invalid_http_method", 405;
    /// The body is larger than this server accepts.
    ClientBodyTooLarge = "client.body_too_large", 413;
    /// The client did not send its request in time.
    ClientTimeout = "client.timeout", 408;
    /// The connection may not speak for the client subsystem (plain HTTP where TLS is required, wrong certificate).
    ClientAuthenticationFailed = "client.ssl_authentication_failed", 403;
    /// The client subsystem is not registered on this security server.
    ConsumerUnknownClient = "server.clientproxy.unknown_member", 403;
    /// No security server of the instance serves the provider subsystem.
    ConsumerUnknownProvider = "server.clientproxy.unknown_provider", 404;
    /// The service is not in the registry's catalogue.
    ConsumerUnknownService = "server.clientproxy.unknown_service", 404;
    /// The security server named in `X-Road-Security-Server` does not serve the provider.
    ConsumerInvalidSecurityServer = "server.clientproxy.invalid_security_server", 400;
    /// No valid registry snapshot: expired, none yet, or the clock is off.
    ConsumerSnapshotOutdated = "server.clientproxy.global_conf_outdated", 503;
    /// Signing was not possible: token locked, no certificate, no fresh OCSP response.
    ConsumerCannotSign = "server.clientproxy.cannot_create_signature", 503;
    /// The message log refused: disk full, I/O error, timestamps overdue.
    ConsumerLoggingFailed = "server.clientproxy.logging_failed", 503;
    /// None of the provider's security servers could be reached.
    ConsumerNetworkError = "server.clientproxy.network_error", 502;
    /// The peer's authentication certificate was refused, or it refused ours.
    ConsumerPeerRefused = "server.clientproxy.ssl_authentication_failed", 502;
    /// The connection broke after the request was sent: the provider may or may not have acted.
    ConsumerBroken = "server.clientproxy.io_error", 502;
    /// No answer within the deadline.
    ConsumerTimeout = "server.clientproxy.timeout", 504;
    /// The response's signature, certificate or OCSP response does not hold.
    ConsumerSignatureVerification = "server.clientproxy.signature_verification", 502;
    /// The response is not the answer to this request.
    ConsumerInconsistentResponse = "server.clientproxy.inconsistent_response", 502;
    /// The peer sent something that is not the protocol.
    ConsumerInvalidResponse = "server.clientproxy.invalid_message", 502;
    /// Too many exchanges at once.
    ConsumerOverloaded = "server.clientproxy.overloaded", 503;
    /// A fault of this server itself.
    ConsumerInternal = "server.clientproxy.internal_error", 500;
    /// The tunnel's frames or the message in them are malformed or over a limit.
    ProviderInvalidMessage = "server.serverproxy.invalid_message", 400;
    /// The consumer's authentication certificate, its OCSP response or its registration does not hold.
    ProviderPeerRefused = "server.serverproxy.ssl_authentication_failed", 403;
    /// The signature, signing certificate or OCSP response of the request does not hold.
    ProviderSignatureVerification = "server.serverproxy.signature_verification", 403;
    /// The request id was seen before.
    ProviderReplayed = "server.serverproxy.replayed_request", 409;
    /// The client subsystem is not registered on the security server that sent the request.
    ProviderUnknownClient = "server.serverproxy.unknown_member", 403;
    /// The provider subsystem is not registered on this security server.
    ProviderUnknownProvider = "server.serverproxy.unknown_provider", 404;
    /// The service is not configured.
    ProviderUnknownService = "server.serverproxy.unknown_service", 404;
    /// No access right covers client, service, method and path.
    ProviderAccessDenied = "server.serverproxy.access_denied", 403;
    /// The declared purpose is missing or not one that the service accepts.
    ProviderPurposeRefused = "server.serverproxy.purpose_refused", 403;
    /// No valid registry snapshot.
    ProviderSnapshotOutdated = "server.serverproxy.global_conf_outdated", 503;
    /// Signing was not possible.
    ProviderCannotSign = "server.serverproxy.cannot_create_signature", 503;
    /// The message log refused.
    ProviderLoggingFailed = "server.serverproxy.logging_failed", 503;
    /// The register could not be reached.
    ProviderNetworkError = "server.serverproxy.service_failed.network_error", 502;
    /// The register did not answer in time.
    ProviderTimeout = "server.serverproxy.service_failed.timeout", 504;
    /// The register's answer is malformed or over the limit.
    ProviderInvalidAnswer = "server.serverproxy.service_failed.invalid_response", 502;
    /// Too many exchanges at once.
    ProviderOverloaded = "server.serverproxy.overloaded", 503;
    /// A fault of the provider's security server itself.
    ProviderInternal = "server.serverproxy.internal_error", 500;
}

impl fmt::Display for FaultCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn codes_are_distinct_and_read_back() {
        let texts: BTreeSet<_> = FaultCode::ALL.iter().map(|code| code.as_str()).collect();
        assert_eq!(texts.len(), FaultCode::ALL.len());
        for code in FaultCode::ALL {
            assert_eq!(FaultCode::parse(code.as_str()), Some(*code));
            assert!((400..600).contains(&code.http_status()));
        }
        assert_eq!(FaultCode::parse("server.serverproxy.nonsense"), None);
    }
}

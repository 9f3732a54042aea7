//! The REST message part: the exact bytes that are signed (X-Road REST protocol r1, and what its source does).
//!
//! A request is `METHOD\r\n`, target`\r\n`, then `name:value\r\n` for each header; a response starts with the status and
//! reason lines instead. There is no blank line at the end. Reading is strict: what does not read back to the same bytes
//! is refused, so a signature never covers something that two readers could understand differently.

mod request;
mod response;

pub use request::{RequestParts, RestRequest};
pub use response::{ResponseParts, RestResponse};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

use compact_str::CompactString;

use crate::digest::{Sha512, Sha512Hasher};
use crate::id::{IdError, MemberId};
use crate::limits::{HEADERS_MAX, MESSAGE_BYTES_MAX};

/// Name of the header with the client's identifier.
pub const CLIENT: &str = "x-road-client";
/// Name of the header with the message id.
pub const MESSAGE_ID: &str = "x-road-id";
/// Name of the header with the id of one exchange; always made by the consumer's security server.
pub const REQUEST_ID: &str = "x-road-request-id";
/// Name of the response header with the request's hash.
pub const REQUEST_HASH: &str = "x-road-request-hash";
/// Name of the response header with the service's identifier.
pub const SERVICE: &str = "x-road-service";
/// Name of the request header that chooses one of the provider's security servers.
pub const SECURITY_SERVER: &str = "x-road-security-server";
/// Name of the request header with the party on whose behalf the client asks.
pub const REPRESENTED_PARTY: &str = "x-road-represented-party";
/// Name of the request header with the declared purpose of the access.
pub const PURPOSE: &str = "x-road-purpose";
/// Name of the request header with the person whose data is asked for, in whatever form the parties agree on. Kogge's own; signed as all headers are.
pub const SUBJECT: &str = "x-road-subject";
/// Name of the response header that says that a security server, not the provider, made the error.
pub const ERROR: &str = "x-road-error";

/// The methods of the REST protocol.
pub const METHODS: [&str; 8] = ["DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "TRACE"];

/// Headers that belong to one hop, not to the message. A signed message that contains one is refused.
pub const HOP_HEADERS: [&str; 13] = [
    "transfer-encoding",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "te",
    "trailer",
    "upgrade",
    "connection",
    "user-agent",
    "host",
    "content-length",
    "server",
    "expect",
];

/// One header as it stands in the message: the name in its original case, the value untrimmed.
pub type Header = (CompactString, CompactString);

/// Why bytes are not a REST message, or parts cannot become one.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum MessageError {
    /// The message is longer than [`MESSAGE_BYTES_MAX`].
    #[error("the request line and headers exceed {MESSAGE_BYTES_MAX} bytes")]
    TooLong,
    /// There are more than [`HEADERS_MAX`] headers.
    #[error("there are more than {HEADERS_MAX} headers")]
    TooManyHeaders,
    /// The bytes are not UTF-8.
    #[error("a header is not UTF-8 text")]
    NotText,
    /// A line does not end in CR LF, or holds a bare CR or LF or another control character.
    #[error("a line of the message is malformed")]
    Line,
    /// The method is not one of [`METHODS`].
    #[error("the method is not one of DELETE, GET, HEAD, OPTIONS, PATCH, POST, PUT, TRACE")]
    Method,
    /// The target is not `/r1/INSTANCE/CLASS/CODE/SUBSYSTEM/SERVICE[/path][?query]`.
    #[error("the path must be /r1/INSTANCE/CLASS/CODE/SUBSYSTEM/SERVICE, then the service's own path")]
    Target,
    /// The target has a character that a URL does not allow.
    #[error("the path or query has a character that must be percent-encoded")]
    TargetCharacter,
    /// An identifier in the target or a header is malformed.
    #[error("{place}: {source}")]
    Identifier {
        /// Where it stands.
        place: &'static str,
        /// What is wrong with it.
        source: IdError,
    },
    /// A header name or value is malformed.
    #[error("the header {0:?} is malformed")]
    Header(String),
    /// A header of one hop stands in a signed message.
    #[error("the header {0:?} must not stand in a signed message")]
    HopHeader(String),
    /// A required header is missing.
    #[error("the header {0} is missing")]
    Missing(&'static str),
    /// A header that must be unique is repeated.
    #[error("the header {0} stands more than once")]
    Repeated(&'static str),
    /// The status line is malformed.
    #[error("the status line is malformed")]
    Status,
}

/// A request or a response, told apart by its first byte as X-Road does.
#[derive(Clone, Debug)]
pub enum AnyMessage {
    /// A request.
    Request(RestRequest),
    /// A response.
    Response(RestResponse),
}

impl AnyMessage {
    /// Reads the bytes of a stored or received message part.
    ///
    /// # Errors
    /// The bytes are not a REST message.
    pub fn parse(bytes: &[u8]) -> Result<Self, MessageError> {
        match bytes.first() {
            Some(b'1'..=b'9') => Ok(Self::Response(RestResponse::parse(bytes)?)),
            _ => Ok(Self::Request(RestRequest::parse(bytes)?)),
        }
    }

    /// Who must have signed it: the client's member for a request, the provider's member for a response.
    #[must_use]
    pub fn signer_member(&self) -> &MemberId {
        match self {
            Self::Request(request) => request.client().member(),
            Self::Response(response) => response.service().subsystem().member(),
        }
    }

    /// `x-road-id`.
    #[must_use]
    pub fn message_id(&self) -> &str {
        match self {
            Self::Request(request) => request.message_id(),
            Self::Response(response) => response.message_id(),
        }
    }
}

/// `X-Road-Request-Hash`: base64 of the SHA-512 of the message, or of both parts' digests joined when there is a body.
#[must_use]
pub fn request_hash(message: &Sha512, body: Option<&Sha512>) -> String {
    let digest = match body {
        None => *message,
        Some(body) => {
            let mut hasher = Sha512Hasher::new();
            hasher.update(message.as_bytes());
            hasher.update(body.as_bytes());
            hasher.finish()
        }
    };
    BASE64.encode(digest.as_bytes())
}

/// The value of the header `name` (lower case) if it stands exactly once.
fn unique<'h>(headers: &'h [Header], name: &'static str) -> Result<Option<&'h str>, MessageError> {
    let mut values = headers.iter().filter(|(n, _)| n.eq_ignore_ascii_case(name));
    let first = values.next();
    if values.next().is_some() {
        return Err(MessageError::Repeated(name));
    }
    Ok(first.map(|(_, value)| value.as_str()))
}

fn required<'h>(headers: &'h [Header], name: &'static str) -> Result<&'h str, MessageError> {
    match unique(headers, name)? {
        Some("") | None => Err(MessageError::Missing(name)),
        Some(value) => Ok(value),
    }
}

fn is_hop_header(name: &str) -> bool {
    HOP_HEADERS.iter().any(|hop| name.eq_ignore_ascii_case(hop))
}

/// Whether a program behind a gateway might take the header for one of X-Road's: gateways give `X_Road_Client` and `X-Road-Client` the same name
/// (RFC 3875 section 4.1.18), and only one of them was checked.
fn passes_for_ours(name: &str) -> bool {
    name.contains('_') && name.replace('_', "-").to_ascii_lowercase().starts_with("x-road-")
}

fn check_header(name: &str, value: &str) -> Result<(), MessageError> {
    let token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    if name.is_empty() || !name.bytes().all(token) || has_control(value) {
        return Err(MessageError::Header(name.chars().take(64).collect()));
    }
    if passes_for_ours(name) {
        return Err(MessageError::Header(name.chars().take(64).collect()));
    }
    if is_hop_header(name) {
        return Err(MessageError::HopHeader(name.to_owned()));
    }
    Ok(())
}

/// Whether a value has a control character other than a tab. Nearly all are printable ASCII: one look at each byte, none at characters.
fn has_control(value: &str) -> bool {
    !value.bytes().all(|byte| (b' '..=b'~').contains(&byte))
        && value.chars().any(|c| c.is_control() && c != '\t')
}

/// Writes first lines and headers, checking each. [`read`] gives back the same, and takes nothing else.
fn write(first: [&str; 2], headers: &[Header]) -> Result<Vec<u8>, MessageError> {
    let mut out = Vec::with_capacity(512);
    for line in first {
        out.extend_from_slice(line.as_bytes());
        out.extend_from_slice(b"\r\n");
    }
    if headers.len() > HEADERS_MAX {
        return Err(MessageError::TooManyHeaders);
    }
    for (name, value) in headers {
        check_header(name, value)?;
        out.extend_from_slice(name.as_bytes());
        out.push(b':');
        out.extend_from_slice(value.as_bytes());
        out.extend_from_slice(b"\r\n");
    }
    if out.len() > MESSAGE_BYTES_MAX { Err(MessageError::TooLong) } else { Ok(out) }
}

/// Splits a message into its two first lines and its headers.
fn read(bytes: &[u8]) -> Result<([&str; 2], Vec<Header>), MessageError> {
    if bytes.len() > MESSAGE_BYTES_MAX {
        return Err(MessageError::TooLong);
    }
    let text = std::str::from_utf8(bytes).map_err(|_| MessageError::NotText)?;
    let text = text.strip_suffix("\r\n").ok_or(MessageError::Line)?;
    let mut lines = text.split("\r\n");
    let mut first =
        || lines.next().filter(|line| !line.chars().any(char::is_control)).ok_or(MessageError::Line);
    let first = [first()?, first()?];
    let mut headers = Vec::with_capacity(HEADERS_EXPECTED);
    for line in lines {
        let (name, value) = line.split_once(':').ok_or(MessageError::Line)?;
        check_header(name, value)?;
        headers.push((name.into(), value.into()));
        if headers.len() > HEADERS_MAX {
            return Err(MessageError::TooManyHeaders);
        }
    }
    Ok((first, headers))
}

/// Room for as many headers as most messages have.
const HEADERS_EXPECTED: usize = 16;

#[cfg(test)]
mod tests;

//! The request message: method, target, headers.

use bytes::Bytes;

use super::{
    CLIENT, Header, MESSAGE_ID, METHODS, MessageError, PURPOSE, REPRESENTED_PARTY, REQUEST_HASH, REQUEST_ID,
    SECURITY_SERVER, SUBJECT, is_hop_header, read, required, unique, write,
};
use crate::id::{ClientId, SecurityServerId, ServiceId};

/// A well-formed request message with its exact bytes.
#[derive(Clone, Debug)]
pub struct RestRequest {
    bytes: Bytes,
    method: &'static str,
    target: String,
    /// Where the service's own path starts within `target`.
    service_path_at: usize,
    headers: Vec<Header>,
    service: ServiceId,
    client: ClientId,
    message_id: String,
    request_id: String,
    security_server: Option<SecurityServerId>,
}

/// What a client's HTTP request brings along.
#[derive(Debug)]
pub struct RequestParts<'a> {
    /// The method as received.
    pub method: &'a str,
    /// Path and query as received, percent-encoded.
    pub target: &'a str,
    /// All headers in the order of arrival; those of the hop are dropped here.
    pub headers: Vec<Header>,
    /// A fresh UUID for this exchange; a value sent by the client is dropped.
    pub request_id: &'a str,
    /// Used as `x-road-id` when the client sent none.
    pub fallback_message_id: &'a str,
}

impl RestRequest {
    /// Makes the message of a client's request, as X-Road's client proxy does: headers of the hop, the request id and the
    /// request hash are dropped, the new request id and, where the client sent none, a message id are added at the end.
    ///
    /// # Errors
    /// Method, target, a header or an identifier is malformed, or a required header is missing or repeated.
    pub fn build(parts: RequestParts<'_>) -> Result<Self, MessageError> {
        let dropped = |name: &str| {
            is_hop_header(name)
                || name.eq_ignore_ascii_case(REQUEST_ID)
                || name.eq_ignore_ascii_case(REQUEST_HASH)
        };
        let mut headers: Vec<Header> = parts.headers;
        headers.retain(|(name, _)| !dropped(name));
        headers.push((REQUEST_ID.into(), parts.request_id.into()));
        if unique(&headers, MESSAGE_ID)?.is_none_or(str::is_empty) {
            headers.retain(|(name, _)| !name.eq_ignore_ascii_case(MESSAGE_ID));
            headers.push((MESSAGE_ID.into(), parts.fallback_message_id.into()));
        }
        Self::from_parts(None, parts.method, parts.target, headers)
    }

    /// Reads the bytes of a received message.
    ///
    /// # Errors
    /// The bytes are not exactly a request message.
    pub fn parse(bytes: &[u8]) -> Result<Self, MessageError> {
        let ([method, target], headers) = read(bytes)?;
        Self::from_parts(Some(bytes), method, target, headers)
    }

    /// `bytes` are those from which the rest was read; `None` for a message that is to be written.
    fn from_parts(
        bytes: Option<&[u8]>,
        method: &str,
        target: &str,
        headers: Vec<Header>,
    ) -> Result<Self, MessageError> {
        let method = METHODS.into_iter().find(|known| *known == method).ok_or(MessageError::Method)?;
        let (service, service_path_at) = parse_target(target)?;
        let client = required(&headers, CLIENT)?;
        let client = ClientId::parse(client)
            .map_err(|source| MessageError::Identifier { place: "X-Road-Client", source })?;
        let security_server = unique(&headers, SECURITY_SERVER)?
            .map(SecurityServerId::parse)
            .transpose()
            .map_err(|source| MessageError::Identifier { place: "X-Road-Security-Server", source })?;
        if let Some(party) = unique(&headers, REPRESENTED_PARTY)?
            && !(1..=2).contains(&party.split('/').filter(|code| !code.is_empty()).count())
        {
            return Err(MessageError::Header("X-Road-Represented-Party".to_owned()));
        }
        unique(&headers, PURPOSE)?;
        unique(&headers, SUBJECT)?;
        let message_id = check_id(required(&headers, MESSAGE_ID)?, MESSAGE_ID)?;
        let request_id = check_id(required(&headers, REQUEST_ID)?, REQUEST_ID)?;
        Ok(Self {
            bytes: match bytes {
                Some(bytes) => Bytes::copy_from_slice(bytes),
                None => write([method, target], &headers)?.into(),
            },
            method,
            target: target.to_owned(),
            service_path_at,
            headers,
            service,
            client,
            message_id,
            request_id,
            security_server,
        })
    }

    /// The bytes that are signed.
    #[must_use]
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// The HTTP method, upper case.
    #[must_use]
    pub fn method(&self) -> &'static str {
        self.method
    }

    /// Path and query, percent-encoded, as signed.
    #[must_use]
    pub fn target(&self) -> &str {
        &self.target
    }

    /// The path without the query.
    #[must_use]
    pub fn path(&self) -> &str {
        self.target.split_once('?').map_or(self.target.as_str(), |(path, _)| path)
    }

    /// The query without its question mark.
    #[must_use]
    pub fn query(&self) -> Option<&str> {
        self.target.split_once('?').map(|(_, query)| query)
    }

    /// The path within the service, percent-encoded: empty, or starting with `/`.
    #[must_use]
    pub fn service_path(&self) -> &str {
        self.path().get(self.service_path_at..).unwrap_or_default()
    }

    /// The headers in signed order.
    #[must_use]
    pub fn headers(&self) -> &[Header] {
        &self.headers
    }

    /// The called service.
    #[must_use]
    pub fn service(&self) -> &ServiceId {
        &self.service
    }

    /// Who asks.
    #[must_use]
    pub fn client(&self) -> &ClientId {
        &self.client
    }

    /// `x-road-id`: chosen by the client or made for it; may repeat.
    #[must_use]
    pub fn message_id(&self) -> &str {
        &self.message_id
    }

    /// `x-road-request-id`: unique for this exchange.
    #[must_use]
    pub fn request_id(&self) -> &str {
        &self.request_id
    }

    /// The provider's security server that the client asked for.
    #[must_use]
    pub fn security_server(&self) -> Option<&SecurityServerId> {
        self.security_server.as_ref()
    }

    /// `x-road-purpose`, if declared.
    #[must_use]
    pub fn purpose(&self) -> Option<&str> {
        self.header(PURPOSE)
    }

    /// `x-road-subject`: the person whose data is asked for, if the request names one.
    #[must_use]
    pub fn subject(&self) -> Option<&str> {
        self.header(SUBJECT).filter(|subject| !subject.is_empty())
    }

    fn header(&self, wanted: &str) -> Option<&str> {
        self.headers.iter().find(|(name, _)| name.eq_ignore_ascii_case(wanted)).map(|(_, value)| value.trim())
    }
}

/// Longest message or request id: what X-Road's databases hold.
const ID_BYTES_MAX: usize = 255;

fn check_id(value: &str, name: &'static str) -> Result<String, MessageError> {
    let printable = value.chars().all(|c| !c.is_control());
    if value.len() <= ID_BYTES_MAX && printable && value.trim() == value {
        Ok(value.to_owned())
    } else {
        Err(MessageError::Header(name.to_owned()))
    }
}

/// Reads the service out of a target and tells where its own path starts.
fn parse_target(target: &str) -> Result<(ServiceId, usize), MessageError> {
    let url_character = |byte: u8| byte.is_ascii_graphic() && !b"\"<>\\^`{|}#".contains(&byte);
    if !target.bytes().all(url_character) {
        return Err(MessageError::TargetCharacter);
    }
    let path = target.split_once('?').map_or(target, |(path, _)| path);
    let after = path.strip_prefix("/r1/").ok_or(MessageError::Target)?;
    let mut slashes = after.match_indices('/').map(|(at, _)| at);
    let length = slashes.nth(4).unwrap_or(after.len());
    let id = after.get(..length).ok_or(MessageError::Target)?;
    if id.split('/').count() != 5 {
        return Err(MessageError::Target);
    }
    let service =
        ServiceId::parse(id).map_err(|source| MessageError::Identifier { place: "the path", source })?;
    Ok((service, "/r1/".len() + length))
}

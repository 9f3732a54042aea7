//! The response message: status, reason, headers of the provider, and five lines that bind it to its request.

use bytes::Bytes;

use super::{
    CLIENT, ERROR, Header, MESSAGE_ID, MessageError, REQUEST_HASH, REQUEST_ID, RestRequest, SERVICE,
    is_hop_header, read, required, write,
};
use crate::id::{ClientId, ServiceId};

/// A well-formed response message with its exact bytes.
#[derive(Clone, Debug)]
pub struct RestResponse {
    bytes: Bytes,
    status: u16,
    reason: String,
    headers: Vec<Header>,
    message_id: String,
    request_id: String,
    request_hash: String,
    client: ClientId,
    service: ServiceId,
}

/// What the provider's information system answered.
#[derive(Debug)]
pub struct ResponseParts<'a> {
    /// HTTP status, 200 to 999: an interim one is no answer, and 101 would turn the connection into something else.
    pub status: u16,
    /// Reason phrase; may be empty.
    pub reason: &'a str,
    /// All headers in order; those of the hop and those that this message sets itself are dropped here.
    pub headers: Vec<Header>,
    /// `X-Road-Request-Hash` of the request that is answered.
    pub request_hash: &'a str,
}

impl RestResponse {
    /// Makes the answer to `request`, as X-Road's server proxy does: the five `x-road-*` lines stand last, in fixed order.
    ///
    /// # Errors
    /// The status or a header is malformed, or there are too many.
    pub fn build(request: &RestRequest, parts: ResponseParts<'_>) -> Result<Self, MessageError> {
        let own = [CLIENT, SERVICE, MESSAGE_ID, REQUEST_ID, REQUEST_HASH, ERROR];
        let mut headers: Vec<Header> = parts.headers;
        headers.retain(|(name, _)| {
            !is_hop_header(name) && !own.iter().any(|own| name.eq_ignore_ascii_case(own))
        });
        let mut add = |name: &str, value: String| headers.push((name.into(), value.into()));
        add(MESSAGE_ID, request.message_id().to_owned());
        add(CLIENT, request.client().to_string());
        add(SERVICE, request.service().to_string());
        add(REQUEST_ID, request.request_id().to_owned());
        add(REQUEST_HASH, parts.request_hash.to_owned());
        let status = parts.status.to_string();
        Self::from_parts(None, &status, parts.reason, headers)
    }

    /// Reads the bytes of a received message.
    ///
    /// # Errors
    /// The bytes are not exactly a response message.
    pub fn parse(bytes: &[u8]) -> Result<Self, MessageError> {
        let ([status, reason], headers) = read(bytes)?;
        Self::from_parts(Some(bytes), status, reason, headers)
    }

    /// `bytes` are those from which the rest was read; `None` for a message that is to be written.
    fn from_parts(
        bytes: Option<&[u8]>,
        status_line: &str,
        reason: &str,
        headers: Vec<Header>,
    ) -> Result<Self, MessageError> {
        let digits = status_line.len() == 3 && status_line.bytes().all(|byte| byte.is_ascii_digit());
        let status: u16 = status_line.parse().map_err(|_| MessageError::Status)?;
        if !digits || !(200..=999).contains(&status) || reason.chars().any(char::is_control) {
            return Err(MessageError::Status);
        }
        let identifier = |place| move |source| MessageError::Identifier { place, source };
        let client = ClientId::parse(required(&headers, CLIENT)?).map_err(identifier("X-Road-Client"))?;
        let service = ServiceId::parse(required(&headers, SERVICE)?).map_err(identifier("X-Road-Service"))?;
        Ok(Self {
            bytes: match bytes {
                Some(bytes) => Bytes::copy_from_slice(bytes),
                None => write([status_line, reason], &headers)?.into(),
            },
            status,
            reason: reason.to_owned(),
            message_id: required(&headers, MESSAGE_ID)?.to_owned(),
            request_id: required(&headers, REQUEST_ID)?.to_owned(),
            request_hash: required(&headers, REQUEST_HASH)?.to_owned(),
            headers,
            client,
            service,
        })
    }

    /// The bytes that are signed.
    #[must_use]
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// HTTP status.
    #[must_use]
    pub fn status(&self) -> u16 {
        self.status
    }

    /// Reason phrase, possibly empty.
    #[must_use]
    pub fn reason(&self) -> &str {
        &self.reason
    }

    /// The headers in signed order.
    #[must_use]
    pub fn headers(&self) -> &[Header] {
        &self.headers
    }

    /// `x-road-id`, echoed.
    #[must_use]
    pub fn message_id(&self) -> &str {
        &self.message_id
    }

    /// `x-road-request-id`, echoed.
    #[must_use]
    pub fn request_id(&self) -> &str {
        &self.request_id
    }

    /// `x-road-request-hash`: base64 SHA-512.
    #[must_use]
    pub fn request_hash(&self) -> &str {
        &self.request_hash
    }

    /// Who asked.
    #[must_use]
    pub fn client(&self) -> &ClientId {
        &self.client
    }

    /// Who answers.
    #[must_use]
    pub fn service(&self) -> &ServiceId {
        &self.service
    }
}

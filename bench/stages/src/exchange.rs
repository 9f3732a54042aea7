//! The exchange whose stages are measured: a question with a body of 1 KiB.

use kogge_evidence::signature::Parts;
use kogge_proto::digest::sha512;
use kogge_proto::message::{Header, RequestParts, RestRequest};

/// What an information system asks.
#[derive(Clone, Debug)]
pub struct Exchange {
    pub(crate) request: RestRequest,
    pub(crate) body: Vec<u8>,
}

impl Exchange {
    /// The exchange of this number; no two have the same identifiers.
    #[must_use]
    pub fn new(number: u32) -> Self {
        let (request_id, message_id) = (id(number), id(number.wrapping_add(1 << 31)));
        let request = RestRequest::build(parts(&request_id, &message_id, http_headers())).unwrap();
        let body = (0..BODY_BYTES).map(|place| b'a' + u8::try_from(place % 26).unwrap()).collect();
        Self { request, body }
    }

    /// What the signature is about.
    pub(crate) fn parts(&self) -> Parts {
        Parts { message: sha512(self.request.bytes()), body: Some(sha512(&self.body)) }
    }
}

/// An HTTP request as it arrives.
pub(crate) fn parts<'a>(request_id: &'a str, message_id: &'a str, headers: Vec<Header>) -> RequestParts<'a> {
    RequestParts { method: "POST", target: TARGET, headers, request_id, fallback_message_id: message_id }
}

/// What an ordinary HTTP client sends.
pub(crate) fn http_headers() -> Vec<Header> {
    [
        ("host", "127.0.0.1:8080"),
        ("user-agent", "population-portal/3.2"),
        ("accept", "application/json"),
        ("content-type", "application/json"),
        ("content-length", "1024"),
        ("x-road-client", CLIENT),
        ("x-road-userid", "EE38001085718"),
    ]
    .map(|(name, value)| (name.into(), value.into()))
    .to_vec()
}

/// In the form of a UUID.
pub(crate) fn id(number: u32) -> String {
    format!("{number:08x}-5b1c-4d9e-8a55-0242ac120002")
}

pub(crate) const CLIENT: &str = "EE/GOV/70000000/register";
pub(crate) const SERVICE: &str = "EE/GOV/70000001/register/service-0";
pub(crate) const SERVER: &str = "EE/GOV/70000001/ss0";
const TARGET: &str = "/r1/EE/GOV/70000001/register/service-0/persons/38001085718/address?at=2026-11-24";
const BODY_BYTES: usize = 1024;

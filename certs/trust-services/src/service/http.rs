//! From HTTP to the services and back: RFC 6960 appendix A, RFC 3161 section 3.4.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use kogge_daemon::server::{ResponseBody, full};

use super::{Services, now};

/// Answers one request.
pub(super) async fn answer(services: Arc<Services>, request: Request<Incoming>) -> Response<ResponseBody> {
    let path = request.uri().path().to_owned();
    let method = request.method().clone();
    match (method, path.as_str()) {
        (Method::POST, "/ocsp") => match body(request, OCSP_REQUEST).await {
            Ok(question) => ocsp(services, question).await,
            Err(refusal) => refusal,
        },
        (Method::POST, "/tsa") => match body(request, TSA_REQUEST).await {
            Ok(query) => blocking(TSA_RESPONSE, move || services.tsa.answer(&query, now())).await,
            Err(refusal) => refusal,
        },
        (Method::GET, "/ca.pem") => ok(PEM, services.ca_pem.clone()),
        (Method::GET, "/health") => health(services).await,
        (Method::GET, path) if path.starts_with(OCSP_GET) => {
            match question_of_path(path.strip_prefix(OCSP_GET).unwrap_or_default()) {
                Some(question) => ocsp(services, question.into()).await,
                None => refuse(StatusCode::BAD_REQUEST, "the path after /ocsp/ is not a request in base64"),
            }
        }
        (_, "/ocsp" | "/tsa") => not_allowed("POST"),
        (_, "/ca.pem" | "/health") => not_allowed("GET"),
        _ => refuse(StatusCode::NOT_FOUND, "there is nothing here; see /ocsp, /tsa, /ca.pem and /health"),
    }
}

async fn ocsp(services: Arc<Services>, question: Bytes) -> Response<ResponseBody> {
    blocking(OCSP_RESPONSE, move || services.responder.answer(&question, now())).await
}

async fn health(services: Arc<Services>) -> Response<ResponseBody> {
    let counted = tokio::task::spawn_blocking(move || services.responder.count()).await;
    match counted {
        Ok(Ok(issued)) => ok(JSON, format!("{{\"status\":\"ok\",\"issued\":{issued}}}\n")),
        Ok(Err(error)) => {
            tracing::error!(%error, "the journal cannot be read");
            refuse(StatusCode::SERVICE_UNAVAILABLE, "the journal cannot be read, see the log")
        }
        Err(_) => refuse(StatusCode::INTERNAL_SERVER_ERROR, "internal error"),
    }
}

/// Runs what signs or reads files on a thread that may block. The server's limit of connections bounds how many run.
async fn blocking(
    content_type: &'static str,
    answer: impl FnOnce() -> Vec<u8> + Send + 'static,
) -> Response<ResponseBody> {
    match tokio::task::spawn_blocking(answer).await {
        Ok(bytes) => ok(content_type, bytes),
        Err(_) => refuse(StatusCode::INTERNAL_SERVER_ERROR, "internal error"),
    }
}

/// The body of a request of this content type.
async fn body(request: Request<Incoming>, content_type: &str) -> Result<Bytes, Response<ResponseBody>> {
    let found = request.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let essence = found.and_then(|value| value.split(';').next()).map(str::trim);
    if !essence.is_some_and(|essence| essence.eq_ignore_ascii_case(content_type)) {
        return Err(refuse(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            &format!("the content type must be {content_type}"),
        ));
    }
    let collecting = Limited::new(request.into_body(), REQUEST_BYTES_MAX).collect();
    match tokio::time::timeout(BODY_TIME_MAX, collecting).await {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(error)) if error.is::<http_body_util::LengthLimitError>() => {
            Err(refuse(StatusCode::PAYLOAD_TOO_LARGE, "the request is larger than 8 KiB"))
        }
        Ok(Err(_)) => Err(refuse(StatusCode::BAD_REQUEST, "the request broke off")),
        Err(_) => Err(refuse(StatusCode::REQUEST_TIMEOUT, "the request took too long")),
    }
}

/// RFC 6960 appendix A.1.1: the request in base64, percent-encoded. Some clients leave `/` and `+` as they are.
fn question_of_path(text: &str) -> Option<Vec<u8>> {
    STANDARD.decode(percent_decoded(text)?).ok()
}

fn percent_decoded(text: &str) -> Option<Vec<u8>> {
    let mut bytes = text.bytes();
    let mut decoded = Vec::with_capacity(text.len());
    while let Some(byte) = bytes.next() {
        let byte = match byte {
            b'%' => hex_value(bytes.next()?)? * 16 + hex_value(bytes.next()?)?,
            other => other,
        };
        decoded.push(byte);
    }
    Some(decoded)
}

fn hex_value(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok())
}

fn ok(content_type: &'static str, body: impl Into<Bytes>) -> Response<ResponseBody> {
    let mut response = Response::new(full(body));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    // A cached answer would hide a revocation.
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

fn refuse(status: StatusCode, reason: &str) -> Response<ResponseBody> {
    let mut response = ok(TEXT, format!("{reason}\n"));
    *response.status_mut() = status;
    response
}

fn not_allowed(method: &'static str) -> Response<ResponseBody> {
    let mut response = refuse(StatusCode::METHOD_NOT_ALLOWED, &format!("use {method}"));
    response.headers_mut().insert(ALLOW, HeaderValue::from_static(method));
    response
}

const OCSP_GET: &str = "/ocsp/";
const OCSP_REQUEST: &str = "application/ocsp-request";
const OCSP_RESPONSE: &str = "application/ocsp-response";
const TSA_REQUEST: &str = "application/timestamp-query";
const TSA_RESPONSE: &str = "application/timestamp-reply";
const PEM: &str = "application/x-pem-file";
const JSON: &str = "application/json";
const TEXT: &str = "text/plain; charset=utf-8";

/// The largest question that the responder reads; timestamp requests are smaller.
const REQUEST_BYTES_MAX: usize = 8 * 1024;

/// A request of that size takes milliseconds; the rest is patience with slow links.
const BODY_TIME_MAX: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_questions_in_paths() {
        assert_eq!(question_of_path("MAA%3D"), Some(vec![0x30, 0]));
        assert_eq!(question_of_path("MAA="), Some(vec![0x30, 0]));
        assert_eq!(question_of_path("+/+/"), question_of_path("%2b%2F%2B%2f"));
        for text in ["MAA%3", "MAA%", "MAA%+3D", "MAA%zz", "M", "MAA", "?"] {
            assert_eq!(question_of_path(text), None, "{text}");
        }
    }
}

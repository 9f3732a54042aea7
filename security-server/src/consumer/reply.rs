//! Back to the information system: the verified answer, or a fault.

use std::io;

use bytes::Bytes;
use futures_util::stream;
use http::header::{ACCEPT, CONTENT_LENGTH, CONTENT_TYPE, DATE, RETRY_AFTER};
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode};
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Frame;
use kogge_daemon::server::{ResponseBody, full};
use kogge_proto::fault::Fault;
use kogge_proto::message::ERROR;

use super::verify::Verified;
use crate::body::Body;
use crate::logging::Logged;

/// The answer as HTTP: status, headers and body of the signed response. The body streams from memory or from the spool.
#[doc(hidden)] // public so that tests outside can show what it does not take
pub fn to_information_system(answer: &Logged<Verified>) -> Response<ResponseBody> {
    let message = answer.stage().response();
    let body = answer.stage().body();
    let mut response = Response::new(body.map_or_else(|| full(Bytes::new()), stream));
    *response.status_mut() = StatusCode::from_u16(message.status()).unwrap_or(StatusCode::BAD_GATEWAY);
    for (name, value) in message.headers() {
        // A verified message has only headers that HTTP can carry; `http` is stricter only about names longer than any header list.
        if let (Ok(name), Ok(value)) =
            (HeaderName::try_from(name.as_str()), HeaderValue::try_from(value.as_str()))
        {
            // The provider's date replaces this server's own, as in X-Road; everything else may repeat.
            if name == DATE {
                response.headers_mut().remove(DATE);
            }
            response.headers_mut().append(name, value);
        }
    }
    if let Some(body) = body {
        response.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from(body.length()));
    }
    response
}

fn stream(body: &Body) -> ResponseBody {
    let chunks = stream::unfold(body.reader(), |mut reader| async move {
        let chunk = reader.next_whole().await.map_err(io::Error::other).transpose()?;
        Some((chunk.map(Frame::data), reader))
    });
    StreamBody::new(chunks).boxed()
}

/// The form in which an information system wants to read errors.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum ErrorForm {
    Json,
    /// `application/xml` or `text/xml`.
    Xml(&'static str),
}

impl ErrorForm {
    /// XML if any member of `Accept` is an XML type or `text/*`, as X-Road does; JSON otherwise.
    pub(super) fn wanted(headers: &HeaderMap) -> Self {
        let accepted = headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok());
        for member in accepted.flat_map(|value| value.split(',')) {
            match member.split(';').next().unwrap_or_default().trim().to_ascii_lowercase().as_str() {
                "text/xml" | "text/*" => return Self::Xml("text/xml;charset=utf-8"),
                "application/xml" => return Self::Xml("application/xml;charset=utf-8"),
                _ => {}
            }
        }
        Self::Json
    }
}

/// A fault as HTTP, by X-Road's form.
pub(super) fn fault(fault: &Fault, form: ErrorForm) -> Response<ResponseBody> {
    let (content_type, body) = match form {
        ErrorForm::Json => ("application/json;charset=utf-8", json(fault)),
        ErrorForm::Xml(content_type) => (content_type, xml(fault)),
    };
    let mut response = Response::new(full(body));
    let status = StatusCode::from_u16(fault.code.http_status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(HeaderName::from_static(ERROR), HeaderValue::from_static(fault.code.as_str()));
    if status == StatusCode::SERVICE_UNAVAILABLE {
        headers.insert(RETRY_AFTER, HeaderValue::from_static(RETRY_AFTER_S));
    }
    response
}

fn json(fault: &Fault) -> String {
    serde_json::json!({
        "type": fault.code.as_str(),
        "message": fault.message,
        "detail": fault.detail,
    })
    .to_string()
}

fn xml(fault: &Fault) -> String {
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<error><type>{}</type><message>{}</message><detail>{}</detail></error>\n",
        fault.code,
        escape(&fault.message),
        escape(&fault.detail)
    )
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// Soon enough for a burst to be over, long enough not to be part of it.
const RETRY_AFTER_S: &str = "2";

#[cfg(test)]
mod tests {
    use kogge_proto::fault::FaultCode;

    use super::*;

    fn wanted(accept: &[&'static str]) -> ErrorForm {
        let mut headers = HeaderMap::new();
        for value in accept {
            headers.append(ACCEPT, HeaderValue::from_static(value));
        }
        ErrorForm::wanted(&headers)
    }

    #[test]
    fn the_form_follows_accept() {
        for accept in [&[][..], &["*/*"], &["application/json"], &["text/html"], &["application/xhtml+xml"]] {
            assert_eq!(wanted(accept), ErrorForm::Json, "{accept:?}");
        }
        assert_eq!(wanted(&["application/json, text/xml;q=0.5"]), ErrorForm::Xml("text/xml;charset=utf-8"));
        assert_eq!(wanted(&["text/*"]), ErrorForm::Xml("text/xml;charset=utf-8"));
        assert_eq!(
            wanted(&["text/html", "Application/XML"]),
            ErrorForm::Xml("application/xml;charset=utf-8")
        );
    }

    #[tokio::test]
    async fn a_fault_has_three_parts_in_both_forms() {
        let fault_said = Fault {
            code: FaultCode::ConsumerOverloaded,
            message: "a < b & \"c\"".to_owned(),
            detail: "id".to_owned(),
        };
        let response = fault(&fault_said, ErrorForm::Json);
        assert_eq!(response.status(), 503);
        assert_eq!(response.headers()["x-road-error"], "server.clientproxy.overloaded");
        assert_eq!(response.headers()["retry-after"], "2");
        let body = response.into_body().collect().await.unwrap().to_bytes();
        let value: serde_json::Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(value["message"], "a < b & \"c\"");
        assert_eq!(value["type"], "server.clientproxy.overloaded");
        assert_eq!(value["detail"], "id");

        let response = fault(&fault_said, ErrorForm::Xml("text/xml;charset=utf-8"));
        assert_eq!(response.headers()["content-type"], "text/xml;charset=utf-8");
        let body = response.into_body().collect().await.unwrap().to_bytes();
        assert!(std::str::from_utf8(&body).unwrap().contains("<message>a &lt; b &amp; \"c\"</message>"));
    }
}

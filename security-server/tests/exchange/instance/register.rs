//! A register that answers with what it was asked, or misbehaves as its path says.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use http::{HeaderValue, Request, Response, StatusCode};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use kogge_daemon::server::{Bound, ResponseBody, ServerLimits, full};
use serde_json::json;
use tokio::sync::Notify;

use super::EndOnDrop;

pub(crate) struct Register {
    pub(crate) url: String,
    calls: Arc<AtomicUsize>,
    held: Arc<Notify>,
    _end: EndOnDrop,
}

impl Register {
    pub(crate) async fn start() -> Self {
        Self::start_with(None).await
    }

    /// Over TLS if there is a configuration for it; then its name is `localhost`.
    pub(crate) async fn start_with(tls: Option<Arc<rustls::ServerConfig>>) -> Self {
        let (end, shutdown) = EndOnDrop::new();
        let https = tls.is_some();
        let bound = Bound::bind("127.0.0.1:0".parse().unwrap(), tls, ServerLimits::default()).await.unwrap();
        let port = bound.local_addr().port();
        let url =
            if https { format!("https://localhost:{port}") } else { format!("http://127.0.0.1:{port}") };
        let calls = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&calls);
        let held = Arc::new(Notify::new());
        let hold = Arc::clone(&held);
        let handler = move |request, _| {
            counter.fetch_add(1, Ordering::SeqCst);
            answer(request, Arc::clone(&hold))
        };
        tokio::spawn(bound.serve(handler, shutdown));
        Self { url, calls, held, _end: end }
    }

    /// Lets one call of `held` go on.
    pub(crate) fn release(&self) {
        self.held.notify_one();
    }

    /// Waits until it was called so often.
    pub(crate) async fn called(&self, times: usize) {
        while self.calls() < times {
            tokio::task::yield_now().await;
        }
    }

    /// How often it was called.
    pub(crate) fn calls(&self) -> usize {
        self.calls.load(Ordering::SeqCst)
    }
}

async fn answer(request: Request<Incoming>, held: Arc<Notify>) -> Response<ResponseBody> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    let path = head.uri.path().to_owned();
    let last = path.rsplit('/').next().unwrap_or_default();
    match last {
        "silent" => std::future::pending().await,
        "held" => held.notified().await,
        "empty" => return status(StatusCode::NO_CONTENT, Bytes::new()),
        "missing" => return status(StatusCode::NOT_FOUND, Bytes::from_static(b"no such person")),
        "big" => return status(StatusCode::OK, Bytes::from(vec![b'x'; 5 * 1024 * 1024 + 7])),
        "echo" => return status(StatusCode::OK, body),
        _ => {}
    }
    let headers: Vec<(String, String)> = head
        .headers
        .iter()
        .map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned()))
        .collect();
    let told = json!({
        "method": head.method.as_str(),
        "target": head.uri.to_string(),
        "headers": headers,
        "body_length": body.len(),
    });
    let mut response = status(StatusCode::OK, Bytes::from(told.to_string()));
    response.headers_mut().insert("content-type", HeaderValue::from_static("application/json"));
    response.headers_mut().append("x-custom", HeaderValue::from_static("one"));
    response.headers_mut().append("x-custom", HeaderValue::from_static("two"));
    // A register must not be able to speak as a security server.
    response.headers_mut().append("x-road-request-hash", HeaderValue::from_static("forged"));
    response.headers_mut().append("x-road-error", HeaderValue::from_static("forged"));
    response
}

fn status(status: StatusCode, body: Bytes) -> Response<ResponseBody> {
    let mut response = Response::new(full(body));
    *response.status_mut() = status;
    response
}

//! A small HTTP client for talking to trust services and the registry: bounded answers, a deadline on everything.

use std::future::Future;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::header::{CONTENT_TYPE, ETAG, HOST, IF_NONE_MATCH};
use http::{HeaderValue, Method, Request, Response, StatusCode, Uri};
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::body::{Body, Incoming};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio_util::task::AbortOnDropHandle;

mod target;

use self::target::{Stream, Target};

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// The URL is not one.
    #[error("{0:?} is not a usable URL")]
    Url(String),
    /// An `https` URL, but no certificate authority to believe.
    #[error("{url}: no usable certificate of an authority is configured for this server: {reason}")]
    Roots {
        /// What was asked.
        url: String,
        /// What is wrong with the roots given.
        reason: String,
    },
    /// The server cannot be reached, or the connection broke.
    #[error("{url}: {reason}")]
    Connection {
        /// What was asked.
        url: String,
        /// What went wrong.
        reason: String,
    },
    /// Not within the time allowed.
    #[error("{url}: no answer within {seconds} s")]
    Timeout {
        /// What was asked.
        url: String,
        /// The time allowed.
        seconds: u64,
    },
    /// The answer is larger than allowed.
    #[error("{url}: the answer is larger than {limit} bytes")]
    TooLarge {
        /// What was asked.
        url: String,
        /// The limit.
        limit: usize,
    },
    /// An HTTP status other than 200 and 304.
    #[error("{url}: answered with HTTP status {status}")]
    Status {
        /// What was asked.
        url: String,
        /// What came.
        status: u16,
    },
}

/// An answer with status 200 or 304.
#[derive(Clone, Debug)]
pub struct Fetched {
    /// Status 304: what the caller has is current; the body is empty.
    pub not_modified: bool,
    /// The body.
    pub body: Bytes,
    /// The ETag header, if any.
    pub etag: Option<String>,
}

/// GET of an `http://` or `https://` URL (roots for https: `roots_pem`, never the system's). No redirects are followed.
///
/// # Errors
/// See [`FetchError`].
pub async fn get(
    url: &str,
    etag: Option<&str>,
    roots_pem: Option<&str>,
    bytes_max: usize,
    time_max: Duration,
) -> Result<Fetched, FetchError> {
    let mut request = Request::new(Full::new(Bytes::new()));
    if let Some(etag) = etag.and_then(|etag| HeaderValue::from_str(etag).ok()) {
        request.headers_mut().insert(IF_NONE_MATCH, etag);
    }
    within(url, time_max, exchange(url, request, roots_pem, bytes_max)).await
}

/// POST, otherwise as [`get`], but to `http://` URLs alone: answers of trust services are signed themselves.
///
/// # Errors
/// See [`FetchError`].
pub async fn post(
    url: &str,
    content_type: &'static str,
    body: Bytes,
    bytes_max: usize,
    time_max: Duration,
) -> Result<Fetched, FetchError> {
    let mut request = Request::new(Full::new(body));
    *request.method_mut() = Method::POST;
    request.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    within(url, time_max, exchange(url, request, None, bytes_max)).await
}

async fn within(
    url: &str,
    time_max: Duration,
    exchange: impl Future<Output = Result<Fetched, FetchError>>,
) -> Result<Fetched, FetchError> {
    match tokio::time::timeout(time_max, exchange).await {
        Ok(ended) => ended,
        Err(_) => Err(FetchError::Timeout { url: url.to_owned(), seconds: time_max.as_secs() }),
    }
}

async fn exchange(
    url: &str,
    mut request: Request<Full<Bytes>>,
    roots_pem: Option<&str>,
    bytes_max: usize,
) -> Result<Fetched, FetchError> {
    let target = Target::parse(url)?;
    *request.uri_mut() = Uri::from(target.path.clone());
    request.headers_mut().insert(HOST, target.host_header.clone());
    let asked_whether_newer = request.headers().contains_key(IF_NONE_MATCH);

    let stream = target.connect(roots_pem).await?;
    let (response, _feeding) = send(url, stream, request).await?;
    let not_modified = asked_whether_newer && response.status() == StatusCode::NOT_MODIFIED;
    if response.status() != StatusCode::OK && !not_modified {
        return Err(FetchError::Status { url: url.to_owned(), status: response.status().as_u16() });
    }
    let etag = response.headers().get(ETAG).and_then(|etag| etag.to_str().ok()).map(str::to_owned);
    let body = read(url, response, bytes_max).await?;
    Ok(Fetched { not_modified, body, etag })
}

/// The response with the task that feeds its body, which ends when dropped.
async fn send(
    url: &str,
    stream: Box<dyn Stream>,
    request: Request<Full<Bytes>>,
) -> Result<(Response<Incoming>, AbortOnDropHandle<()>), FetchError> {
    let broken = |error: hyper::Error| FetchError::connection(url, &error);
    let (mut sender, connection) = http1::Builder::new()
        .max_buf_size(HEAD_BYTES_MAX)
        .handshake(TokioIo::new(stream))
        .await
        .map_err(broken)?;
    let feeding = AbortOnDropHandle::new(tokio::spawn(async move {
        // An error here reaches the reader of the response or of its body as well.
        let _ = connection.await;
    }));
    let response = sender.send_request(request).await.map_err(broken)?;
    Ok((response, feeding))
}

async fn read(url: &str, response: Response<Incoming>, bytes_max: usize) -> Result<Bytes, FetchError> {
    let too_large = || FetchError::TooLarge { url: url.to_owned(), limit: bytes_max };
    if response.body().size_hint().lower() > bytes_max as u64 {
        return Err(too_large());
    }
    // In one piece from the start: a large snapshot is not copied together at the end, when it would stop other work.
    let length = response.body().size_hint().exact().and_then(|length| usize::try_from(length).ok());
    let mut bytes = BytesMut::with_capacity(length.unwrap_or_default().min(bytes_max));
    let mut body = Limited::new(response.into_body(), bytes_max);
    while let Some(frame) = body.frame().await {
        match frame {
            Ok(frame) => bytes.extend(frame.into_data().ok()),
            Err(error) if error.is::<LengthLimitError>() => return Err(too_large()),
            Err(error) => return Err(FetchError::connection(url, &*error)),
        }
    }
    Ok(bytes.freeze())
}

impl FetchError {
    /// With the causes, since the outermost words of an HTTP library seldom say which it was.
    fn connection(url: &str, error: &(dyn std::error::Error + 'static)) -> Self {
        let mut reason = error.to_string();
        let mut cause = error.source();
        while let Some(inner) = cause {
            reason = format!("{reason}: {inner}");
            cause = inner.source();
        }
        Self::Connection { url: url.to_owned(), reason }
    }
}

/// Far more than an honest answer's status line and headers need.
const HEAD_BYTES_MAX: usize = 64 * 1024;

#[cfg(test)]
mod tests;

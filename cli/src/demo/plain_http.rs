//! The demo's side of an agency backend: plain HTTP requests, as any program would make them.

use std::time::Duration;

use anyhow::{Context, bail};
use bytes::Bytes;
use http::{Method, Request, Uri};
use http_body_util::{BodyExt, Full};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::time::timeout;

/// What came back.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: http::HeaderMap,
    pub(crate) body: Bytes,
}

impl Answer {
    /// The body as text, for people.
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// A header as text; empty if there is none.
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }
}

/// A GET without further headers.
///
/// # Errors
/// No answer.
pub(crate) async fn get(url: &str) -> anyhow::Result<Answer> {
    send(Method::GET, url, &[], Bytes::new()).await
}

/// One request on a connection of its own.
///
/// # Errors
/// The URL is malformed, the server cannot be reached or does not answer in time.
pub(crate) async fn send(
    method: Method,
    url: &str,
    headers: &[(&str, &str)],
    body: Bytes,
) -> anyhow::Result<Answer> {
    let exchange = async {
        let uri: Uri = url.parse().with_context(|| format!("{url} is not a URL"))?;
        let authority = uri.authority().context("the URL has no host")?.clone();
        let stream = TcpStream::connect(authority.as_str())
            .await
            .with_context(|| format!("cannot reach {authority}"))?;
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
        let driver = tokio::spawn(connection);
        let target = uri.path_and_query().map_or("/", http::uri::PathAndQuery::as_str);
        let mut request = Request::builder().method(method).uri(target).header("host", authority.as_str());
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let response = sender.send_request(request.body(Full::new(body))?).await?;
        let (parts, body) = response.into_parts();
        let body = body.collect().await?.to_bytes();
        drop(sender);
        driver.abort();
        Ok(Answer { status: parts.status.as_u16(), headers: parts.headers, body })
    };
    match timeout(ANSWER_TIME_MAX, exchange).await {
        Ok(answer) => answer,
        Err(_) => bail!("{url} did not answer within {} s", ANSWER_TIME_MAX.as_secs()),
    }
}

const ANSWER_TIME_MAX: Duration = Duration::from_secs(60);

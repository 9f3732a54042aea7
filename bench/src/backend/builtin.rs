//! The backend where nginx is missing.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use http::{HeaderValue, Request, Response, header};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;

use crate::BenchError;

/// Answers every request with a JSON body of `body_bytes`, until the process that started this one is gone.
///
/// # Errors
/// It cannot listen.
pub fn serve_backend(listen: SocketAddr, body_bytes: usize) -> Result<(), BenchError> {
    let failed = |source| BenchError::Start { program: "the backend".to_owned(), source };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(failed)?;
    runtime.block_on(async {
        tokio::select! {
            served = serve(listen, body_bytes) => served.map_err(failed),
            () = crate::spin::orphaned() => Ok(()),
        }
    })
}

async fn serve(listen: SocketAddr, body_bytes: usize) -> std::io::Result<()> {
    let listener = TcpListener::bind(listen).await?;
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let service = service_fn(move |request: Request<Incoming>| async move {
            // The body is taken in, or the connection could not be kept.
            drop(request.into_body().collect().await);
            let mut response = Response::new(Full::new(body(body_bytes)));
            let json = HeaderValue::from_static("application/json");
            drop(response.headers_mut().insert(header::CONTENT_TYPE, json));
            Ok::<_, Infallible>(response)
        });
        drop(tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service)));
    }
}

/// No two are alike.
fn body(bytes: usize) -> Bytes {
    static NUMBER: AtomicU64 = AtomicU64::new(0);
    let mut text = format!("{{\"id\":\"{:032x}\",\"data\":\"", NUMBER.fetch_add(1, Ordering::Relaxed));
    text.extend(std::iter::repeat_n('x', bytes.saturating_sub(text.len() + 2)));
    text.push_str("\"}");
    Bytes::from(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bodies_have_one_length_and_differ() {
        let (one, two) = (body(1024), body(1024));
        assert_eq!((one.len(), two.len()), (1024, 1024));
        assert_ne!(one, two);
    }
}

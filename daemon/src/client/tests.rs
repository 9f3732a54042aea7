use std::net::SocketAddr;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::*;

const PATIENCE: Duration = Duration::from_secs(30);

/// Answers one connection with `answer` after the request's head, and returns what was asked.
async fn once(answer: &'static [u8]) -> (SocketAddr, tokio::task::JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let asked = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await.unwrap());
        }
        let _ = stream.write_all(answer).await;
        String::from_utf8(head).unwrap()
    });
    (addr, asked)
}

async fn get_once(
    answer: &'static [u8],
    etag: Option<&str>,
    bytes_max: usize,
) -> Result<Fetched, FetchError> {
    let (addr, _) = once(answer).await;
    get(&format!("http://{addr}/x"), etag, None, bytes_max, PATIENCE).await
}

#[tokio::test]
async fn a_get_carries_path_host_and_etag_and_returns_body_and_etag() {
    let (addr, asked) = once(b"HTTP/1.1 200 OK\r\netag: \"2\"\r\ncontent-length: 4\r\n\r\nbody").await;
    let fetched = get(&format!("http://{addr}/a/b?c=d"), Some("\"1\""), None, 4, PATIENCE).await.unwrap();
    assert_eq!(
        (fetched.not_modified, &fetched.body[..], fetched.etag.as_deref()),
        (false, &b"body"[..], Some("\"2\""))
    );
    let asked = asked.await.unwrap().to_ascii_lowercase();
    assert!(asked.starts_with("get /a/b?c=d http/1.1\r\n"), "{asked}");
    assert!(
        asked.contains(&format!("host: {addr}\r\n")) && asked.contains("if-none-match: \"1\"\r\n"),
        "{asked}"
    );
}

#[tokio::test]
async fn a_post_carries_its_type_and_length() {
    let (addr, asked) = once(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
    let body = Bytes::from_static(b"request");
    post(&format!("http://{addr}"), "application/ocsp-request", body, 10, PATIENCE).await.unwrap();
    let asked = asked.await.unwrap().to_ascii_lowercase();
    assert!(asked.starts_with("post / http/1.1\r\n"), "{asked}");
    assert!(
        asked.contains("content-type: application/ocsp-request\r\n")
            && asked.contains("content-length: 7\r\n"),
        "{asked}"
    );
}

#[tokio::test]
async fn not_modified_counts_only_if_it_was_asked() {
    let answer = b"HTTP/1.1 304 Not Modified\r\n\r\n";
    assert!(get_once(answer, Some("\"1\""), 10).await.unwrap().not_modified);
    assert!(matches!(get_once(answer, None, 10).await, Err(FetchError::Status { status: 304, .. })));
}

#[tokio::test]
async fn redirects_are_not_followed_and_errors_are_told() {
    let redirect = b"HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1:1/\r\ncontent-length: 0\r\n\r\n";
    assert!(matches!(get_once(redirect, None, 10).await, Err(FetchError::Status { status: 302, .. })));
    let failed = b"HTTP/1.1 500 Oops\r\ncontent-length: 0\r\n\r\n";
    assert!(matches!(get_once(failed, None, 10).await, Err(FetchError::Status { status: 500, .. })));
}

#[tokio::test]
async fn an_answer_over_the_limit_is_refused_whether_or_not_it_says_so() {
    let said = b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n";
    assert!(matches!(get_once(said, None, 4).await, Err(FetchError::TooLarge { limit: 4, .. })));
    let unsaid = b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n12345";
    assert!(matches!(get_once(unsaid, None, 4).await, Err(FetchError::TooLarge { limit: 4, .. })));
    assert_eq!(&get_once(unsaid, None, 5).await.unwrap().body[..], b"12345");
}

#[tokio::test]
async fn an_answer_cut_short_is_none() {
    let short = b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n123";
    assert!(matches!(get_once(short, None, 10).await, Err(FetchError::Connection { .. })));
    assert!(matches!(get_once(b"SSH-2.0-x\r\n", None, 10).await, Err(FetchError::Connection { .. })));
    assert!(matches!(get_once(b"", None, 10).await, Err(FetchError::Connection { .. })));
}

#[tokio::test]
async fn silence_ends_at_the_deadline() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let error = get(&url, None, None, 10, Duration::from_millis(20)).await.unwrap_err();
    assert!(matches!(error, FetchError::Timeout { .. }), "{error}");
}

#[tokio::test]
async fn a_closed_port_is_told_with_the_reason() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    drop(listener);
    let error = get(&url, None, None, 10, PATIENCE).await.unwrap_err();
    assert!(error.to_string().contains("refused"), "{error}");
}

#[tokio::test]
async fn what_is_no_usable_url_is_refused() {
    for url in [
        "",
        "/path",
        "localhost",
        "ftp://host/",
        "http://",
        "http://user:secret@host/",
        "http://host:99999/",
        "http://host:/",
        "https://host:x/",
    ] {
        let error = get(url, None, None, 10, PATIENCE).await.unwrap_err();
        assert!(matches!(&error, FetchError::Url(named) if named == url), "{url}: {error}");
    }
}

#[tokio::test]
async fn https_needs_roots_of_its_own() {
    for roots in [None, Some(""), Some("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")] {
        let error = get("https://127.0.0.1:1/", None, roots, 10, PATIENCE).await.unwrap_err();
        assert!(matches!(error, FetchError::Roots { .. }), "{error}");
    }
    let error = post("https://127.0.0.1:1/", "a/b", Bytes::new(), 10, PATIENCE).await.unwrap_err();
    assert!(matches!(error, FetchError::Roots { .. }), "{error}");
}

/// The server is `openssl s_server -www`, which answers any request with a page about the connection.
#[tokio::test]
async fn https_believes_only_the_roots_given_and_the_name_asked_for() {
    let dir = tempfile::tempdir().unwrap();
    let (Some(server), Some(other)) = (self_signed(dir.path(), "server"), self_signed(dir.path(), "other"))
    else {
        return;
    };
    let port = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port();
    let mut openssl = tokio::process::Command::new("openssl")
        .args([
            "s_server",
            "-www",
            "-accept",
            &format!("0.0.0.0:{port}"),
            "-cert",
            "server.crt",
            "-key",
            "server.key",
        ])
        .current_dir(dir.path())
        .stdout(std::process::Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut said = tokio::io::BufReader::new(openssl.stdout.as_mut().unwrap()).lines();
    while said.next_line().await.unwrap().expect("s_server ended") != "ACCEPT" {}

    let url = format!("https://127.0.0.1:{port}/");
    let page = get(&url, None, Some(&server), 100_000, PATIENCE).await.unwrap();
    assert!(String::from_utf8_lossy(&page.body).contains("TLSv1.3"));
    let error = get(&url, None, Some(&other), 100_000, PATIENCE).await.unwrap_err();
    assert!(
        matches!(&error, FetchError::Connection { reason, .. } if reason.contains("UnknownIssuer")),
        "{error}"
    );
    let elsewhere = format!("https://127.0.0.2:{port}/");
    let error = get(&elsewhere, None, Some(&server), 100_000, PATIENCE).await.unwrap_err();
    assert!(
        matches!(&error, FetchError::Connection { reason, .. } if reason.contains("not valid for name")),
        "{error}"
    );
}

/// PEM of a certificate for 127.0.0.1 and localhost whose files are `name.crt` and `name.key`.
fn self_signed(dir: &std::path::Path, name: &str) -> Option<String> {
    let (certificate, _) = crate::self_signed::files(dir, name)?;
    Some(std::fs::read_to_string(certificate).unwrap())
}

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use http_body_util::BodyExt;
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::task::JoinHandle;

use super::*;

/// A server that tells what it sees: `/panic` panics, `/wait` never answers, everything else echoes the request's body.
struct Running {
    addr: SocketAddr,
    shutdown: Shutdown,
    serving: JoinHandle<()>,
    waiting: Arc<AtomicUsize>,
}

impl Running {
    async fn start(tls: Option<Arc<rustls::ServerConfig>>, limits: ServerLimits) -> Self {
        let bound = Bound::bind(([127, 0, 0, 1], 0).into(), tls, limits).await.unwrap();
        let (addr, shutdown, waiting) = (bound.local_addr(), Shutdown::new(), Arc::new(AtomicUsize::new(0)));
        let seen = waiting.clone();
        let handler = move |request, connection| answer(request, connection, seen.clone());
        let serving = tokio::spawn(bound.serve(handler, shutdown.clone()));
        Self { addr, shutdown, serving, waiting }
    }

    async fn stop(self) {
        self.shutdown.ask();
        self.serving.await.unwrap();
    }

    async fn talk(&self, request: &[u8]) -> String {
        let mut stream = TcpStream::connect(self.addr).await.unwrap();
        stream.write_all(request).await.unwrap();
        let mut answer = Vec::new();
        // A reset after the answer is as good an end as any.
        let _ = stream.read_to_end(&mut answer).await;
        String::from_utf8(answer).unwrap()
    }

    async fn curl(&self, arguments: &[&str]) -> Option<(String, i32)> {
        let url = format!("https://localhost:{}/", self.addr.port());
        let resolve = format!("localhost:{}:127.0.0.1", self.addr.port());
        let output = tokio::process::Command::new("curl")
            .args(["-sS", "--resolve", &resolve])
            .args(arguments)
            .arg(url)
            .output()
            .await;
        let Ok(output) = output else { return skipped("curl") };
        eprint!("{}", String::from_utf8_lossy(&output.stderr));
        Some((String::from_utf8(output.stdout).unwrap(), output.status.code().unwrap()))
    }
}

async fn answer(
    request: Request<Incoming>,
    connection: Connection,
    waiting: Arc<AtomicUsize>,
) -> Response<ResponseBody> {
    match request.uri().path() {
        "/panic" => panic!("as asked"),
        // More than the buffers of two sockets hold.
        "/large" => return Response::new(full(vec![0; 32 << 20])),
        "/wait" => {
            waiting.fetch_add(1, Ordering::SeqCst);
            return std::future::pending().await;
        }
        _ => {}
    }
    let version = request.version();
    let body = request.into_body().collect().await.unwrap().to_bytes();
    let certificate = connection.client_certificate.map_or(0, |certificate| certificate.len());
    let text = format!("{version:?} tls={} certificate={certificate} body={}", connection.tls, body.len());
    Response::new(full(text))
}

fn skipped<T>(tool: &str) -> Option<T> {
    assert!(std::env::var("CI").as_deref() != Ok("true"), "{tool} is missing");
    eprintln!("SKIPPED: {tool} is missing");
    None
}

/// A self-signed certificate and its key in PEM files.
fn certificate(dir: &Path, name: &str) -> Option<(PathBuf, PathBuf)> {
    crate::self_signed::files(dir, name)
}

async fn http() -> Running {
    Running::start(None, ServerLimits::default()).await
}

#[tokio::test]
async fn answers_and_ends_when_asked_though_a_connection_is_idle() {
    let server = http().await;
    let said =
        server.talk(b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 3\r\nconnection: close\r\n\r\nabc").await;
    assert!(said.ends_with("HTTP/1.1 tls=false certificate=0 body=3"), "{said}");
    let mut idle = TcpStream::connect(server.addr).await.unwrap();
    idle.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    let mut some = [0u8; 12];
    idle.read_exact(&mut some).await.unwrap();
    server.stop().await;
}

#[tokio::test]
async fn a_connection_that_never_asked_anything_does_not_delay_the_end() {
    let dir = tempfile::tempdir().unwrap();
    let mut tls = vec![None];
    if let Some((certificate, key)) = certificate(dir.path(), "server") {
        tls.push(Some(tls_config(&certificate, &key, ClientCertificates::None).unwrap()));
    }
    for tls in tls {
        // An end by the grace period would hang the test.
        let server =
            Running::start(tls, ServerLimits { grace: Duration::MAX, ..ServerLimits::default() }).await;
        let silent = TcpStream::connect(server.addr).await.unwrap();
        // The server has taken the silent connection once it has answered a later one.
        server.talk(b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await;
        server.stop().await;
        drop(silent);
    }
}

#[tokio::test]
async fn a_panicking_handler_ends_its_own_connection_only() {
    let server = http().await;
    assert_eq!(server.talk(b"GET /panic HTTP/1.1\r\nhost: x\r\n\r\n").await, "");
    let said = server.talk(b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await;
    assert!(said.starts_with("HTTP/1.1 200"), "{said}");
    server.stop().await;
}

#[tokio::test]
async fn too_large_a_head_is_refused() {
    let server =
        Running::start(None, ServerLimits { header_bytes_max: 8192, ..ServerLimits::default() }).await;
    let request = format!("GET / HTTP/1.1\r\nhost: x\r\na: {}\r\n\r\n", "b".repeat(9000));
    let said = server.talk(request.as_bytes()).await;
    assert!(said.starts_with("HTTP/1.1 431"), "{said}");
    server.stop().await;
}

#[tokio::test]
async fn a_head_that_never_ends_is_cut_off() {
    let limits = ServerLimits { header_time_max: Duration::from_millis(20), ..ServerLimits::default() };
    let server = Running::start(None, limits).await;
    let said = server.talk(b"GET / HTTP/1.1\r\nhost: x\r\n").await;
    assert!(!said.contains("200"), "{said}");
    server.stop().await;
}

#[tokio::test]
async fn a_tls_handshake_that_never_comes_is_cut_off() {
    let dir = tempfile::tempdir().unwrap();
    let Some((certificate, key)) = certificate(dir.path(), "server") else { return };
    let tls = tls_config(&certificate, &key, ClientCertificates::None).unwrap();
    let limits = ServerLimits { header_time_max: Duration::from_millis(20), ..ServerLimits::default() };
    let server = Running::start(Some(tls), limits).await;
    assert_eq!(server.talk(b"").await, "");
    server.stop().await;
}

#[tokio::test]
async fn who_takes_nothing_of_its_answer_does_not_keep_its_place() {
    let limits = ServerLimits {
        connections_max: 1,
        write_time_max: Duration::from_millis(20),
        ..ServerLimits::default()
    };
    let server = Running::start(None, limits).await;
    let mut silent = TcpStream::connect(server.addr).await.unwrap();
    silent.write_all(b"GET /large HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    // Only its end makes room for the next; without it this would wait for ever.
    let said = server.talk(b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await;
    assert!(said.starts_with("HTTP/1.1 200"), "{said}");
    let mut taken = Vec::new();
    // Cut off in the middle of the body, by a reset or not.
    let _ = silent.read_to_end(&mut taken).await;
    assert!(taken.len() < 32 << 20, "{}", taken.len());
    server.stop().await;
}

#[tokio::test]
async fn a_connection_over_the_limit_waits_for_its_turn() {
    let server = Running::start(None, ServerLimits { connections_max: 1, ..ServerLimits::default() }).await;
    let mut first = TcpStream::connect(server.addr).await.unwrap();
    first.write_all(b"GET /wait HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    while server.waiting.load(Ordering::SeqCst) == 0 {
        tokio::task::yield_now().await;
    }
    let mut second = TcpStream::connect(server.addr).await.unwrap();
    second.write_all(b"GET /wait HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert_eq!(server.waiting.load(Ordering::SeqCst), 1);
    drop(first);
    while server.waiting.load(Ordering::SeqCst) == 1 {
        tokio::task::yield_now().await;
    }
    drop(second);
    server.stop().await;
}

#[tokio::test]
async fn a_request_that_outlasts_the_grace_is_cut_off() {
    let server =
        Running::start(None, ServerLimits { grace: Duration::from_millis(10), ..ServerLimits::default() })
            .await;
    let mut stream = TcpStream::connect(server.addr).await.unwrap();
    stream.write_all(b"GET /wait HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    while server.waiting.load(Ordering::SeqCst) == 0 {
        tokio::task::yield_now().await;
    }
    server.stop().await;
    let mut rest = Vec::new();
    assert_eq!(stream.read_to_end(&mut rest).await.unwrap_or(0), 0);
}

#[tokio::test]
async fn the_port_of_another_is_refused_by_name() {
    let server = http().await;
    let refused = Bound::bind(server.addr, None, ServerLimits::default()).await.err().unwrap();
    assert!(matches!(refused, ListenError::InUse(addr) if addr == server.addr), "{refused}");
    let elsewhere =
        Bound::bind(([192, 0, 2, 1], 0).into(), None, ServerLimits::default()).await.err().unwrap();
    assert!(matches!(elsewhere, ListenError::Other { .. }), "{elsewhere}");
    server.stop().await;
}

#[tokio::test]
async fn curl_is_served_over_tls_with_both_versions_of_http() {
    let dir = tempfile::tempdir().unwrap();
    let Some((certificate, key)) = certificate(dir.path(), "server") else { return };
    let tls = tls_config(&certificate, &key, ClientCertificates::Requested).unwrap();
    let server = Running::start(Some(tls), ServerLimits::default()).await;
    let roots = certificate.to_str().unwrap();
    let Some(first) = server.curl(&["--cacert", roots, "--http1.1"]).await else { return };
    assert_eq!(first, ("HTTP/1.1 tls=true certificate=0 body=0".to_owned(), 0));
    let Some(second) = server.curl(&["--cacert", roots, "--http2", "-d", "abc"]).await else { return };
    assert_eq!(second, ("HTTP/2.0 tls=true certificate=0 body=3".to_owned(), 0));
    server.stop().await;
}

#[tokio::test]
async fn a_self_signed_client_certificate_reaches_the_handler() {
    let dir = tempfile::tempdir().unwrap();
    let Some((server_certificate, server_key)) = certificate(dir.path(), "server") else { return };
    let Some((client, client_key)) = certificate(dir.path(), "client") else { return };
    let tls = tls_config(&server_certificate, &server_key, ClientCertificates::Requested).unwrap();
    let server = Running::start(Some(tls), ServerLimits::default()).await;
    let length = CertificateDer::from_pem_file(&client).unwrap().len();
    let shown = ["--cert", client.to_str().unwrap(), "--key", client_key.to_str().unwrap(), "--http1.1"];
    let trusted = ["--cacert", server_certificate.to_str().unwrap()];
    for version in [&["--tls-max", "1.2"][..], &["--tlsv1.3"]] {
        let Some(said) = server.curl(&[version, &shown, &trusted].concat()).await else { return };
        assert_eq!(said, (format!("HTTP/1.1 tls=true certificate={length} body=0"), 0));
    }
    server.stop().await;
}

/// curl refuses to use a key that does not fit, so the lie is told with rustls.
#[tokio::test]
async fn a_client_certificate_with_a_key_that_is_not_its_own_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let Some((server_certificate, server_key)) = certificate(dir.path(), "server") else { return };
    let Some((client, _)) = certificate(dir.path(), "client") else { return };
    let Some((_, other_key)) = certificate(dir.path(), "other") else { return };
    let tls = tls_config(&server_certificate, &server_key, ClientCertificates::Requested).unwrap();
    let server = Running::start(Some(tls), ServerLimits::default()).await;

    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let key =
        provider.key_provider.load_private_key(PrivateKeyDer::from_pem_file(other_key).unwrap()).unwrap();
    let chain = vec![CertificateDer::from_pem_file(client).unwrap()];
    let mut roots = rustls::RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(server_certificate).unwrap()).unwrap();
    let liar = Arc::new(rustls::sign::SingleCertAndKey::from(rustls::sign::CertifiedKey::new(chain, key)));
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_client_cert_resolver(liar);
    let stream = TcpStream::connect(server.addr).await.unwrap();
    let name = "localhost".try_into().unwrap();
    // With TLS 1.3 the client learns of the refusal at its first read.
    let outcome = async {
        let mut stream = tokio_rustls::TlsConnector::from(Arc::new(config)).connect(name, stream).await?;
        stream.write_all(b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await
    };
    let error = outcome.await.unwrap_err().to_string();
    assert!(error.contains("DecryptError"), "{error}");
    server.stop().await;
}

#[test]
fn files_that_cannot_serve_tls_are_named() {
    let dir = tempfile::tempdir().unwrap();
    let Some((first, first_key)) = certificate(dir.path(), "first") else { return };
    let Some((_, second_key)) = certificate(dir.path(), "second") else { return };
    let refused = |certificate: &Path, key: &Path| {
        tls_config(certificate, key, ClientCertificates::None).err().unwrap()
    };
    let missing = dir.path().join("missing");
    assert!(
        matches!(refused(&missing, &first_key), TlsConfigError::Certificate { path, .. } if path == missing)
    );
    assert!(
        matches!(refused(&first_key, &first_key), TlsConfigError::Certificate { path, .. } if path == first_key)
    );
    assert!(matches!(refused(&first, &missing), TlsConfigError::Key { path, .. } if path == missing));
    assert!(matches!(refused(&first, &first), TlsConfigError::Key { path, .. } if path == first));
    assert!(matches!(refused(&first, &second_key), TlsConfigError::Unfit { .. }));
}

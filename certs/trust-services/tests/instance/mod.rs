//! Trust services in a directory of their own, and a plain HTTP client.
#![allow(dead_code, reason = "each test binary uses its part")]
#![allow(clippy::panic, clippy::unwrap_used, reason = "a test ends where its preparation fails")]

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use kogge_certs::certificate::Certificate;
use kogge_certs::key::SigningKey;
use kogge_certs::profile::{self, Profile, Subject};
use kogge_daemon::shutdown::Shutdown;
use kogge_proto::id::{MemberId, SecurityServerId};
use kogge_proto::time::UnixMillis;
use kogge_signer::{NewKeyKind, ephemeral};
use kogge_trust_services::{Config, Initialised, TrustServices, init, issue};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

/// A running instance; its directory is removed when dropped.
pub(crate) struct Instance {
    pub(crate) config: Config,
    pub(crate) made: Initialised,
    dir: tempfile::TempDir,
    address: String,
    shutdown: Shutdown,
    serving: JoinHandle<()>,
}

impl Instance {
    pub(crate) async fn start(intermediate: bool) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let config = configure(dir.path(), &format!("intermediate = {intermediate}\n"));
        let made = init(&config, now()).unwrap();
        let services = TrustServices::bind(config.clone()).await.unwrap();
        let address = services.local_addr().to_string();
        let shutdown = Shutdown::new();
        let serving = tokio::spawn(services.serve(shutdown.clone()));
        Self { config, made, dir, address, shutdown, serving }
    }

    pub(crate) async fn stop(self) {
        self.shutdown.ask();
        self.serving.await.unwrap();
    }

    pub(crate) fn issue_signing(&self) -> Certificate {
        let request = profile::request(fresh_key().as_ref(), &signing_subject()).unwrap();
        let day = Duration::from_secs(86_400);
        issue(&self.config, &request, Profile::Signing, &signing_subject(), day, now()).unwrap()
    }

    pub(crate) fn path(&self, name: &str) -> String {
        self.dir.path().join(name).to_str().unwrap().to_owned()
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub(crate) async fn get(&self, path: &str) -> (u16, Vec<u8>) {
        self.exchange(format!("GET {path} HTTP/1.1\r\n"), b"").await
    }

    pub(crate) async fn post(&self, path: &str, content_type: Option<&str>, body: &[u8]) -> (u16, Vec<u8>) {
        let content_type = content_type.map(|value| format!("Content-Type: {value}\r\n")).unwrap_or_default();
        let head = format!("POST {path} HTTP/1.1\r\n{content_type}Content-Length: {}\r\n", body.len());
        self.exchange(head, body).await
    }

    async fn exchange(&self, head: String, body: &[u8]) -> (u16, Vec<u8>) {
        let mut stream = TcpStream::connect(&self.address).await.unwrap();
        let head = format!("{head}Host: {}\r\nConnection: close\r\n\r\n", self.address);
        stream.write_all(&[head.as_bytes(), body].concat()).await.unwrap();
        let mut answer = Vec::new();
        // A server that refuses a body early may reset the connection after its answer.
        let _ = stream.read_to_end(&mut answer).await;
        let end = answer.windows(4).position(|window| window == b"\r\n\r\n").unwrap();
        let status = std::str::from_utf8(&answer[9..12]).unwrap().parse().unwrap();
        (status, answer[end + 4..].to_vec())
    }
}

/// Configuration of services on a free port of this machine.
pub(crate) fn configure(dir: &Path, more: &str) -> Config {
    let pin = dir.join("pin");
    std::fs::write(&pin, "correct horse battery\n").unwrap();
    std::fs::set_permissions(&pin, std::fs::Permissions::from_mode(0o600)).unwrap();
    let file = dir.join("trust-services.toml");
    let text = format!(
        "dir = 'trust'\nenvironment = 'test'\nlisten = '127.0.0.1:0'\n{more}[token]\npin = 'file:pin'\n"
    );
    std::fs::write(&file, text).unwrap();
    Config::load(&file).unwrap()
}

pub(crate) fn fresh_key() -> std::sync::Arc<dyn SigningKey> {
    ephemeral(NewKeyKind::EcdsaP256).unwrap()
}

pub(crate) fn signing_subject() -> Subject {
    let member = MemberId::new("TEST", "GOV", "1111").unwrap();
    let server = SecurityServerId::new(member.clone(), "SS1").unwrap();
    Subject::Signing { member, name: "Agency".to_owned(), server }
}

pub(crate) fn now() -> UnixMillis {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    UnixMillis(i64::try_from(since.as_millis()).unwrap())
}

/// Standard output and standard error of `openssl`; `None`, said loudly, where it is not installed, unless `CI` is `true`.
pub(crate) fn openssl(arguments: &[&str]) -> Option<(String, String)> {
    match Command::new("openssl").args(arguments).output() {
        Ok(output) => {
            let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
            Some((text(&output.stdout), text(&output.stderr)))
        }
        Err(_) if std::env::var("CI").as_deref() != Ok("true") => {
            eprintln!("SKIPPED: openssl is not installed");
            None
        }
        Err(error) => panic!("openssl is needed: {error}"),
    }
}

//! A running registry, asked over real sockets by clients that are not its own.

use std::process::Command;

use kogge_certs::anchor::Anchor;
use kogge_certs::snapshot::VerifiedSnapshot;
use kogge_daemon::client::{FetchError, Fetched, get};
use kogge_daemon::server::ListenError;
use kogge_durable::DurableError;
use kogge_proto::limits::SNAPSHOT_BYTES_MAX;
use tokio::task::JoinHandle;

use super::*;
use crate::config::TlsConfig;
use crate::operator::change;
use crate::testing::{Home, add_member};

struct Running {
    url: String,
    shutdown: Shutdown,
    task: JoinHandle<Result<(), RegistryError>>,
}

impl Running {
    async fn start(config: &Config) -> Self {
        let registry = CentralRegistry::bind(config.clone()).await.unwrap();
        let url = format!("http://{}", registry.local_addr());
        let shutdown = Shutdown::new();
        let task = tokio::spawn(registry.serve(shutdown.clone()));
        Self { url, shutdown, task }
    }

    async fn get(&self, path: &str, etag: Option<&str>) -> Result<Fetched, FetchError> {
        get(&format!("{}{path}", self.url), etag, None, SNAPSHOT_BYTES_MAX, WAIT_MAX).await
    }

    async fn status(&self, path: &str) -> u16 {
        match self.get(path, None).await {
            Ok(_) => 200,
            Err(FetchError::Status { status, .. }) => status,
            Err(other) => panic!("{other}"),
        }
    }

    async fn stop(self) {
        self.shutdown.ask();
        self.task.await.unwrap().unwrap();
    }

    /// Waits until the served snapshot is another than the one with `etag`.
    async fn next_snapshot(&self, etag: &str) -> Fetched {
        let changed = async {
            loop {
                let fetched = self.get("/snapshot", Some(etag)).await.unwrap();
                if !fetched.not_modified {
                    return fetched;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(WAIT_MAX, changed).await.unwrap()
    }
}

#[tokio::test]
async fn a_served_snapshot_verifies_with_the_served_anchor() {
    let home = Home::new();
    let running = Running::start(&home.config).await;
    let anchor = running.get("/anchor.toml", None).await.unwrap();
    assert_eq!(anchor.body, std::fs::read(home.config.anchor_file()).unwrap());
    let anchor = Anchor::parse(std::str::from_utf8(&anchor.body).unwrap()).unwrap();
    let snapshot = running.get("/snapshot", None).await.unwrap();
    let snapshot = VerifiedSnapshot::verify(snapshot.body.clone(), &anchor, now()).unwrap();
    assert_eq!(snapshot.instance(), "EE");
    running.stop().await;
}

#[tokio::test]
async fn a_change_by_another_process_is_published() {
    let home = Home::new();
    let running = Running::start(&home.config).await;
    let first = running.get("/snapshot", None).await.unwrap();
    let etag = first.etag.unwrap();
    let same = running.get("/snapshot", Some(&etag)).await.unwrap();
    assert!(same.not_modified && same.body.is_empty());
    let config = home.config.clone();
    spawn_blocking(move || change(&config, add_member("1"))).await.unwrap().unwrap();
    let next = running.next_snapshot(&etag).await;
    let snapshot = VerifiedSnapshot::verify(next.body.clone(), &home.anchor, now()).unwrap();
    assert_eq!(snapshot.members().map(|member| member.id.to_string()).collect::<Vec<_>>(), ["EE/GOV/1"]);
    // The first one is still there for auditors, byte for byte.
    let version = VerifiedSnapshot::verify(first.body.clone(), &home.anchor, now()).unwrap().version();
    let old = running.get(&format!("/snapshot/{version}"), None).await.unwrap();
    assert_eq!(old.body, first.body);
    let as_of = running.get(&format!("/snapshot/as-of/{}", snapshot.issued().0 - 1), None).await.unwrap();
    assert_eq!(as_of.body, first.body);
    let as_of = running.get(&format!("/snapshot/as-of/{}", snapshot.issued().0), None).await.unwrap();
    assert_eq!(as_of.body, next.body);
    running.stop().await;
}

#[tokio::test]
async fn a_restart_goes_on_with_the_same_snapshot() {
    let home = Home::new();
    let running = Running::start(&home.config).await;
    let first = running.get("/snapshot", None).await.unwrap();
    running.stop().await;
    let running = Running::start(&home.config).await;
    let second = running.get("/snapshot", None).await.unwrap();
    assert_eq!((second.etag, second.body), (first.etag, first.body));
    running.stop().await;
}

#[tokio::test]
async fn anything_else_is_not_found() {
    let home = Home::new();
    let running = Running::start(&home.config).await;
    for path in
        ["/", "/snapshots", "/snapshot/1", "/snapshot/as-of/1", "/token", "/journal/decisions", "/%2e%2e/etc"]
    {
        assert_eq!(running.status(path).await, 404, "{path}");
    }
    running.stop().await;
}

#[tokio::test]
async fn health_says_what_is_served() {
    let home = Home::new();
    let running = Running::start(&home.config).await;
    let health = running.get("/health", None).await.unwrap();
    let health: serde_json::Value = serde_json::from_slice(&health.body).unwrap();
    assert_eq!((&health["status"], &health["instance"]), (&"ok".into(), &"EE".into()));
    assert_eq!((&health["environment"], &health["decisions"]), (&"test".into(), &1.into()));
    running.stop().await;
}

#[tokio::test]
async fn a_damaged_journal_is_reported_while_the_last_snapshot_is_served_on() {
    let home = Home::new();
    let running = Running::start(&home.config).await;
    std::fs::write(home.config.journal_dir().join("head"), "{").unwrap();
    let degraded = async {
        loop {
            let health = running.get("/health", None).await.unwrap();
            let health: serde_json::Value = serde_json::from_slice(&health.body).unwrap();
            if health["status"] == "degraded" {
                return health;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let health = tokio::time::timeout(WAIT_MAX, degraded).await.unwrap();
    assert!(health["detail"].as_str().unwrap().contains("head is missing or damaged"), "{health}");
    assert_eq!(running.status("/snapshot").await, 200);
    running.stop().await;
}

#[tokio::test]
async fn a_second_registry_in_the_same_directory_does_not_start() {
    let home = Home::new();
    let running = Running::start(&home.config).await;
    let error = CentralRegistry::bind(home.config.clone()).await.map(drop).unwrap_err();
    assert!(matches!(error, RegistryError::Durable(DurableError::Locked { .. })), "{error}");
    running.stop().await;
}

#[tokio::test]
async fn a_port_in_use_is_named() {
    let (home, other) = (Home::new(), Home::new());
    let first = CentralRegistry::bind(home.config.clone()).await.unwrap();
    let config = Config { listen: first.local_addr(), ..other.config.clone() };
    let error = CentralRegistry::bind(config).await.map(drop).unwrap_err();
    assert!(matches!(error, RegistryError::Listen(ListenError::InUse(addr)) if addr == first.local_addr()));
}

#[tokio::test]
async fn https_is_served_with_the_configured_certificate() {
    let home = Home::new();
    let key = rcgen::KeyPair::generate().unwrap();
    let certificate =
        rcgen::CertificateParams::new(vec!["localhost".to_owned()]).unwrap().self_signed(&key).unwrap();
    let tls = TlsConfig { cert: home.config.dir.join("tls.pem"), key: home.config.dir.join("tls.key") };
    std::fs::write(&tls.cert, certificate.pem()).unwrap();
    std::fs::write(&tls.key, key.serialize_pem()).unwrap();
    let config = Config { tls: Some(tls), ..home.config.clone() };
    let running = Running::start(&config).await;
    let url = running.url.replace("http://127.0.0.1", "https://localhost");
    let url = format!("{url}/snapshot");
    let fetched = get(&url, None, Some(&certificate.pem()), SNAPSHOT_BYTES_MAX, WAIT_MAX).await.unwrap();
    VerifiedSnapshot::verify(fetched.body.clone(), &home.anchor, now()).unwrap();
    running.stop().await;
}

#[tokio::test]
async fn curl_is_content() {
    let Some(home) = have_curl().then(Home::new) else { return };
    let running = Running::start(&home.config).await;
    let url = format!("{}/snapshot", running.url);
    let head = curl(&["-s", "-D", "-", "-o", "/dev/null", &url]).await;
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    let etag = head.lines().find_map(|line| line.strip_prefix("etag: ")).unwrap().trim().to_owned();
    let status = ["-s", "-o", "/dev/null", "-w", "%{http_code}"];
    let header = format!("If-None-Match: {etag}");
    assert_eq!(curl(&[&status[..], &["-H", &header, &url]].concat()).await, "304");
    assert_eq!(curl(&[&status[..], &["-H", "If-None-Match: \"1-00\"", &url]].concat()).await, "200");
    for method in ["POST", "PUT", "DELETE", "OPTIONS"] {
        assert_eq!(curl(&[&status[..], &["-X", method, &url]].concat()).await, "405", "{method}");
    }
    let head = curl(&["-s", "-i", "-X", "POST", &url]).await;
    assert!(head.contains("allow: GET"), "{head}");
    running.stop().await;
}

fn have_curl() -> bool {
    let found = Command::new("curl").arg("--version").output().is_ok();
    assert!(found || std::env::var("CI").as_deref() != Ok("true"), "curl is missing");
    if !found {
        eprintln!("SKIPPED: curl is missing");
    }
    found
}

async fn curl(arguments: &[&str]) -> String {
    let arguments: Vec<String> = arguments.iter().map(ToString::to_string).collect();
    let output = spawn_blocking(|| Command::new("curl").args(arguments).output()).await.unwrap().unwrap();
    String::from_utf8(output.stdout).unwrap()
}

/// Only how long a failing test takes to fail.
const WAIT_MAX: Duration = Duration::from_secs(60);

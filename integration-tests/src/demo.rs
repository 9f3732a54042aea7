//! A running demo instance.

use std::ffi::OsStr;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use serde::Deserialize;
use tempfile::TempDir;

use crate::{Process, http};

/// What `DIR/endpoints.json` says.
#[derive(Clone, Debug, Deserialize)]
pub struct Endpoints {
    /// Base URL of the consumer's security server.
    pub consumer: String,
    /// The client subsystem.
    pub client: String,
    /// The service.
    pub service: String,
    /// The anchor file.
    pub anchor: PathBuf,
    /// Base URL of the registry.
    pub registry: String,
    /// URL of the TSA.
    pub tsa: String,
    /// URL of the OCSP responder.
    pub ocsp: String,
    /// Both security servers.
    pub security_servers: Vec<Server>,
    /// Process id of the registry.
    pub registry_pid: u32,
    /// Process id of the trust services.
    pub trust_services_pid: u32,
    /// Process id of the register.
    pub register_pid: u32,
    /// A line to paste into a shell.
    pub curl: String,
}

/// A security server of the demo.
#[derive(Clone, Debug, Deserialize)]
pub struct Server {
    /// `consumer` or `provider`.
    pub role: String,
    /// Its identifier.
    pub id: String,
    /// Its process.
    pub pid: u32,
    /// Its configuration file.
    pub config: PathBuf,
    /// Its message log.
    pub log_dir: PathBuf,
}

/// A demo instance that is up; stopped when dropped.
pub struct Demo {
    binary: PathBuf,
    child: Child,
    dir: TempDir,
    /// What it printed into `endpoints.json`.
    pub endpoints: Endpoints,
}

impl Demo {
    /// Starts `kogge demo` with further arguments and waits until it is up.
    ///
    /// # Errors
    /// It ends, or is not up within a minute; with its output.
    pub fn start(binary: impl AsRef<Path>, args: &[&str]) -> anyhow::Result<Self> {
        let dir = tempfile::tempdir()?;
        let binary = binary.as_ref().to_path_buf();
        let output = File::create(dir.path().join("output"))?;
        let mut child = Command::new(&binary)
            .args(["demo", "--port-base", "0", "--dir"])
            .arg(dir.path().join("demo"))
            .args(args)
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output)
            .spawn()
            .context("cannot start the binary under test")?;
        let deadline = Instant::now() + UP_TIME_MAX;
        loop {
            let output = std::fs::read_to_string(dir.path().join("output")).unwrap_or_default();
            let endpoints = std::fs::read_to_string(dir.path().join("demo/endpoints.json")).ok();
            // The demo's own request comes after the file; nothing is to be broken under it.
            let endpoints = endpoints.filter(|_| output.contains(LAST_WORDS));
            if let Some(endpoints) = endpoints.and_then(|text| serde_json::from_str(&text).ok()) {
                return Ok(Self { binary, child, dir, endpoints });
            }
            let ended = child.try_wait()?;
            if ended.is_some() || Instant::now() > deadline {
                bail!("the demo did not come up ({ended:?}):\n{output}");
            }
            std::thread::sleep(POLL);
        }
    }

    /// The demo's directory.
    #[must_use]
    pub fn dir(&self) -> PathBuf {
        self.dir.path().join("demo")
    }

    /// The security server with this role.
    ///
    /// # Panics
    /// There is none.
    #[must_use]
    pub fn server(&self, role: &str) -> &Server {
        let found = self.endpoints.security_servers.iter().find(|server| server.role == role);
        found.unwrap_or_else(|| panic!("the demo has no {role}"))
    }

    /// URL of a path within the demo's service.
    #[must_use]
    pub fn url(&self, path: &str) -> String {
        format!("{}/r1/{}{path}", self.endpoints.consumer.trim_end_matches('/'), self.endpoints.service)
    }

    /// A request to the demo's service in the name of its client.
    ///
    /// # Errors
    /// No HTTP answer came.
    pub fn call(&self, method: &str, path: &str, body: &[u8]) -> anyhow::Result<http::Answer> {
        http::send(method, &self.url(path), &[("X-Road-Client", &self.endpoints.client)], body)
    }

    /// Runs a command of the binary under test to its end.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn kogge<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>) -> anyhow::Result<Output> {
        Ok(Command::new(&self.binary).args(args).stdin(Stdio::null()).output()?)
    }

    /// Starts a long-running command of the binary under test, its output discarded.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn spawn<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>) -> anyhow::Result<Child> {
        let mut command = Command::new(&self.binary);
        command.args(args).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        Ok(command.spawn()?)
    }

    /// One of the demo's processes: `registry`, `trust-services`, `register`, `consumer` or `provider`.
    ///
    /// # Panics
    /// There is no such part, or it does not run.
    #[must_use]
    pub fn process(&self, part: &str) -> Process {
        let pid = match part {
            "registry" => self.endpoints.registry_pid,
            "trust-services" => self.endpoints.trust_services_pid,
            "register" => self.endpoints.register_pid,
            role => self.server(role).pid,
        };
        Process::of(&self.binary, pid, self.dir.path()).unwrap_or_else(|error| panic!("{part}: {error:#}"))
    }

    /// What a security server answers to `/ready` or `/metrics`; `None` while nobody listens.
    #[must_use]
    pub fn status(&self, role: &str, path: &str) -> Option<http::Answer> {
        let config = read_toml(&self.server(role).config);
        let listen = config.get("status").and_then(|status| status.get("listen")?.as_str())?;
        http::send("GET", &format!("http://{listen}{path}"), &[], b"").ok()
    }

    /// What `/ready` says; null while nobody listens.
    #[must_use]
    pub fn readiness(&self, role: &str) -> serde_json::Value {
        self.status(role, "/ready").map(|answer| answer.json()).unwrap_or_default()
    }

    /// Waits until a security server says that it is ready.
    ///
    /// # Errors
    /// It does not; with what it said last.
    pub fn wait_ready(&self, role: &str) -> anyhow::Result<()> {
        let ready = self.wait_until("readiness", || self.readiness(role)["ready"] == true);
        ready.with_context(|| format!("the {role} says {}", self.readiness(role)))
    }

    /// Changes a configuration file of the demo; the process that it belongs to must be started again to see it.
    ///
    /// # Panics
    /// It cannot be read or written.
    pub fn configure(&self, file: &Path, change: impl FnOnce(&mut toml::Table)) {
        let mut config = read_toml(file);
        change(&mut config);
        std::fs::write(file, config.to_string())
            .unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    }

    /// Polls until `condition` holds.
    ///
    /// # Errors
    /// It does not within two minutes; `what` says what was waited for.
    pub fn wait_until(&self, what: &str, mut condition: impl FnMut() -> bool) -> anyhow::Result<()> {
        let deadline = Instant::now() + WAIT_TIME_MAX;
        while !condition() {
            if Instant::now() > deadline {
                bail!("waited in vain: {what}");
            }
            std::thread::sleep(POLL);
        }
        Ok(())
    }

    /// What the demo printed so far.
    #[must_use]
    pub fn output(&self) -> String {
        std::fs::read_to_string(self.dir.path().join("output")).unwrap_or_default()
    }
}

impl Drop for Demo {
    fn drop(&mut self) {
        // As Ctrl-C would: the demo stops its processes itself.
        signal(self.child.id(), "INT");
        let deadline = Instant::now() + WAIT_TIME_MAX;
        while matches!(self.child.try_wait(), Ok(None)) {
            if Instant::now() > deadline {
                drop(self.child.kill());
            }
            std::thread::sleep(POLL);
        }
    }
}

/// Sends a signal to a process; one that has ended already is no error.
pub fn signal(pid: u32, name: &str) {
    let sent =
        Command::new("kill").args([&format!("-{name}"), &pid.to_string()]).stderr(Stdio::null()).status();
    drop(sent);
}

fn read_toml(file: &Path) -> toml::Table {
    let text = std::fs::read_to_string(file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    text.parse().unwrap_or_else(|error| panic!("{}: {error}", file.display()))
}

/// What the demo prints last when all is up.
const LAST_WORDS: &str = "Stop with Ctrl-C.";
const UP_TIME_MAX: Duration = Duration::from_secs(60);
const WAIT_TIME_MAX: Duration = Duration::from_secs(120);
const POLL: Duration = Duration::from_millis(20);

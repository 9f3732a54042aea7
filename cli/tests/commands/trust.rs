//! `kogge trust-services`, judged by openssl.

use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use tempfile::TempDir;

const SIGNER: [&str; 6] =
    ["--member", "DEMO/GOV/1001", "--server", "DEMO/GOV/1001/SS1", "--name", "City of Bremen"];

struct Services {
    dir: TempDir,
    port: u16,
}

impl Services {
    /// Configured, with a signing key and a request for it in the directory.
    fn configured() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let config = format!(
            "dir = \"trust\"\nenvironment = \"test\"\nlisten = \"127.0.0.1:{port}\"\nintermediate = true\n\
             [token]\npin = \"file:pin\"\n"
        );
        std::fs::write(dir.path().join("trust.toml"), config).unwrap();
        std::fs::write(dir.path().join("pin"), "correct horse battery\n").unwrap();
        std::fs::set_permissions(dir.path().join("pin"), std::fs::Permissions::from_mode(0o600)).unwrap();
        let services = Self { dir, port };
        services.kogge(&["token", "init", "--dir", "token", "--pin", "file:pin"]);
        let key = ["token", "generate", "--dir", "token", "--use", "signing", "--pin", "file:pin"];
        let key = services.kogge(&key).trim().to_owned();
        let request = [
            "token",
            "request",
            "--dir",
            "token",
            "--key",
            &key,
            "--pin",
            "file:pin",
            "--out",
            "signing.csr",
        ];
        services.kogge(&[&request[..], &SIGNER].concat());
        services
    }

    /// With the services made and the certificate issued.
    fn issued() -> Self {
        let services = Self::configured();
        services.expect(0, "init", &[]);
        let files = ["--profile", "signing", "--out", "signing.pem", "signing.csr"];
        services.expect(0, "issue", &[&files[..], &SIGNER].concat());
        services
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.dir.path().join(name)
    }

    fn command(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_kogge"));
        command.current_dir(self.dir.path());
        command
    }

    fn kogge(&self, arguments: &[&str]) -> String {
        let output = self.command().args(arguments).output().unwrap();
        assert!(output.status.success(), "{arguments:?}: {}", said(&output));
        String::from_utf8(output.stdout).unwrap()
    }

    fn expect(&self, code: i32, command: &str, arguments: &[&str]) -> String {
        let fixed = ["trust-services", command, "--config", "trust.toml"];
        let output = self.command().args(fixed).args(arguments).output().unwrap();
        assert_eq!(output.status.code(), Some(code), "{command} {arguments:?}: {}", said(&output));
        said(&output)
    }

    fn run(&self) -> Running {
        let fixed = ["trust-services", "run", "--config", "trust.toml", "--threads", "1"];
        let child = self.command().args(fixed).stderr(Stdio::null()).spawn().unwrap();
        while TcpStream::connect(("127.0.0.1", self.port)).is_err() {
            std::thread::sleep(Duration::from_millis(10));
        }
        Running(child)
    }

    /// What openssl hears from the responder about the issued certificate.
    fn openssl_ocsp(&self) -> Option<String> {
        let url = format!("http://127.0.0.1:{}/ocsp", self.port);
        let trust = ["-CAfile", "trust/ca.pem", "-verify_other", "trust/issuing.pem", "-no_nonce"];
        let asked = ["ocsp", "-issuer", "trust/issuing.pem", "-cert", "signing.pem", "-url", &url];
        openssl(self.dir.path(), &[&asked[..], &trust].concat()).map(|output| said(&output))
    }
}

/// A running service; killed if a test ends early.
struct Running(Child);

impl Running {
    fn stop(mut self) {
        let kill = Command::new("kill").args(["-TERM", &self.0.id().to_string()]).status();
        assert!(kill.unwrap().success());
        assert_eq!(self.0.wait().unwrap().code(), Some(0));
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
    }
}

fn said(output: &Output) -> String {
    String::from_utf8([&output.stdout[..], &output.stderr].concat()).unwrap()
}

fn openssl(dir: &Path, arguments: &[&str]) -> Option<Output> {
    let output = Command::new("openssl").args(arguments).current_dir(dir).output();
    if output.is_err() {
        assert!(std::env::var("CI").as_deref() != Ok("true"), "openssl is missing");
        eprintln!("SKIPPED: openssl is missing");
    }
    output.ok()
}

#[test]
fn openssl_accepts_the_issued_chain_and_the_token_imports_it() {
    let services = Services::issued();
    services.kogge(&["token", "import", "--dir", "token", "signing.pem"]);
    let listed = services.kogge(&["token", "list", "--dir", "token"]);
    assert!(listed.contains("CN=1001"), "{listed}");
    let arguments = ["verify", "-CAfile", "trust/ca.pem", "-untrusted", "trust/issuing.pem", "signing.pem"];
    let Some(verified) = openssl(services.dir.path(), &arguments) else { return };
    assert!(verified.status.success(), "{}", said(&verified));
}

#[test]
fn the_responder_says_what_was_revoked_and_reinstated_and_ends_when_asked() {
    let services = Services::issued();
    let running = services.run();
    let Some(first) = services.openssl_ocsp() else { return };
    assert!(first.contains("Response verify OK") && first.contains("signing.pem: good"), "{first}");
    let revoked = services.expect(0, "revoke", &["--certificate", "signing.pem"]);
    assert!(services.openssl_ocsp().unwrap().contains("signing.pem: revoked"));
    let serial = revoked.split_whitespace().nth(1).unwrap().trim_end_matches(';').to_owned();
    services.expect(0, "reinstate", &["--serial", &serial]);
    assert!(services.openssl_ocsp().unwrap().contains("signing.pem: good"));
    running.stop();
}

#[test]
fn a_port_in_use_is_named() {
    let services = Services::issued();
    let _held = TcpListener::bind(("127.0.0.1", services.port)).unwrap();
    let said = services.expect(1, "run", &[]);
    assert!(said.contains(&services.port.to_string()) && said.contains("in use"), "{said}");
}

#[test]
fn what_cannot_be_issued_or_revoked_is_refused() {
    let services = Services::configured();
    let files = ["--profile", "signing", "--out", "signing.pem"];
    let issue = |code, rest: &[&str]| services.expect(code, "issue", &[&files[..], &SIGNER, rest].concat());
    assert!(issue(2, &["signing.csr"]).contains("kogge trust-services init"));
    services.expect(0, "init", &[]);
    services.expect(1, "init", &[]);
    std::fs::write(services.path("no.csr"), "no request").unwrap();
    issue(2, &["no.csr"]);
    issue(2, &["missing.csr"]);
    issue(2, &["--days", "0", "signing.csr"]);
    assert!(services.expect(2, "issue", &[&files[..], &["signing.csr"]].concat()).contains("--member"));
    assert!(!services.path("signing.pem").exists());
    services.expect(1, "revoke", &["--serial", "0102"]);
    services.expect(2, "revoke", &["--serial", "zz"]);
    services.expect(2, "revoke", &[]);
}

#[test]
fn an_instance_that_is_not_for_tests_is_never_served() {
    let services = Services::issued();
    let config = std::fs::read_to_string(services.path("trust.toml")).unwrap();
    std::fs::write(services.path("trust.toml"), config.replace("\"test\"", "\"production\"")).unwrap();
    for command in ["run", "init"] {
        let said = services.expect(2, command, &[]);
        assert!(said.contains("environment"), "{said}");
    }
    services.expect(2, "run", &["--check-config"]);
}

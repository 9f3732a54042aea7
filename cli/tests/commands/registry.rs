//! `kogge central-registry`: from an empty directory to a snapshot that the anchor vouches for.

use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Output};

use kogge_certs::anchor::Anchor;
use serde_json::Value;
use tempfile::TempDir;

struct Registry(TempDir);

impl Registry {
    /// A directory with a configuration and a PIN.
    fn configured() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let config = "dir = \"registry\"\nlisten = \"127.0.0.1:0\"\npublic_url = \"http://registry.example\"\n\
            [token]\npin = \"file:pin\"\n";
        std::fs::write(dir.path().join("registry.toml"), config).unwrap();
        std::fs::write(dir.path().join("pin"), "correct horse battery\n").unwrap();
        std::fs::set_permissions(dir.path().join("pin"), std::fs::Permissions::from_mode(0o600)).unwrap();
        Self(dir)
    }

    fn initialised() -> Self {
        let registry = Self::configured();
        registry.expect(0, "init", &["--instance", "DEMO", "--environment", "test"]);
        registry
    }

    fn run(&self, command: &str, arguments: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_kogge"))
            .args(["central-registry", command, "--config", "registry.toml"])
            .args(arguments)
            .current_dir(self.0.path())
            .output()
            .unwrap()
    }

    /// Runs the command and returns what it said.
    fn expect(&self, code: i32, command: &str, arguments: &[&str]) -> String {
        let output = self.run(command, arguments);
        let said = String::from_utf8([&output.stdout[..], &output.stderr].concat()).unwrap();
        assert_eq!(output.status.code(), Some(code), "{command} {arguments:?}: {said}");
        assert_eq!(output.stderr.is_empty(), code == 0, "{command} {arguments:?}: {said}");
        said
    }

    fn show(&self) -> Value {
        serde_json::from_str(&self.expect(0, "show", &["--json"])).unwrap()
    }
}

#[test]
fn an_instance_is_made_and_filled_by_commands() {
    let registry = Registry::initialised();
    let anchor = std::fs::read_to_string(registry.0.path().join("registry/anchor.toml")).unwrap();
    assert_eq!(Anchor::parse(&anchor).unwrap().instance(), "DEMO");

    let said = registry.expect(0, "add-member", &["DEMO/GOV/1001", "--name", "City of Bremen"]);
    assert!(said.contains("decision"), "{said}");
    registry.expect(0, "rename-member", &["DEMO/GOV/1001", "--name", "Bremen"]);
    registry.expect(0, "add-subsystem", &["DEMO/GOV/1001/portal", "--name", "Portal"]);
    registry.expect(0, "add-service", &["DEMO/GOV/1001/portal/status", "--title", "Status"]);
    registry.expect(0, "add-server", &["DEMO/GOV/1001/SS1", "--address", "a.example:5500"]);
    registry.expect(
        0,
        "set-address",
        &["DEMO/GOV/1001/SS1", "--address", "b.example:5500", "--address", "192.0.2.1:5500"],
    );
    registry.expect(0, "add-client", &["DEMO/GOV/1001/SS1", "DEMO/GOV/1001/portal"]);
    registry.expect(0, "suspend", &["DEMO/GOV/1001/SS1"]);
    registry.expect(0, "suspend", &["DEMO/GOV/1001"]);
    registry.expect(0, "resume", &["DEMO/GOV/1001"]);
    registry.expect(0, "policy", &["--timestamp-interval", "2"]);
    registry.expect(0, "renew-delegation", &["--new-key"]);

    let state = registry.show();
    assert_eq!(state["members"][0]["name"], "Bremen");
    assert_eq!(state["members"][0]["suspended"], false);
    assert_eq!(state["security_servers"][0]["suspended"], true);
    assert_eq!(state["security_servers"][0]["addresses"][1], "192.0.2.1:5500");
    assert_eq!(state["security_servers"][0]["clients"][0], "DEMO/GOV/1001/portal");
    assert_eq!(state["policy"]["timestamp_interval_s"], 2);
    assert_eq!(state["policy"]["ocsp_freshness_s"], 3600, "what was not given stays");
    assert_eq!(state["delegation"]["version"], 2);
    let text = registry.expect(0, "show", &[]);
    assert!(text.contains("DEMO/GOV/1001/SS1  b.example:5500 192.0.2.1:5500  SUSPENDED"), "{text}");

    registry.expect(0, "remove-service", &["DEMO/GOV/1001/portal/status"]);
    registry.expect(0, "remove-client", &["DEMO/GOV/1001/SS1", "DEMO/GOV/1001/portal"]);
    registry.expect(0, "remove-subsystem", &["DEMO/GOV/1001/portal"]);
    assert_eq!(registry.show()["subsystems"].as_array().unwrap().len(), 0);
}

#[test]
fn certificates_are_registered_by_file_and_removed_by_digest() {
    let registry = Registry::initialised();
    registry.expect(0, "add-member", &["DEMO/GOV/1001", "--name", "Bremen"]);
    registry.expect(0, "add-server", &["DEMO/GOV/1001/SS1", "--address", "a.example:5500"]);
    let made = Command::new("openssl")
        .args([
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
            "-nodes",
            "-subj",
            "/CN=SS1",
        ])
        .args(["-keyout", "auth.key", "-out", "auth.pem"])
        .current_dir(registry.0.path())
        .output();
    if made.is_err() {
        assert!(std::env::var("CI").as_deref() != Ok("true"), "openssl is missing");
        eprintln!("SKIPPED: openssl is missing");
        return;
    }
    registry.expect(0, "add-auth-certificate", &["DEMO/GOV/1001/SS1", "auth.pem"]);
    let state = registry.show();
    let digest = state["security_servers"][0]["auth_certificates"][0].as_str().unwrap();
    assert_eq!(digest.len(), 64);
    registry.expect(0, "remove-auth-certificate", &["DEMO/GOV/1001/SS1", digest]);
    registry.expect(1, "remove-auth-certificate", &["DEMO/GOV/1001/SS1", "auth.pem"]);
    let tsa =
        ["--name", "TSA", "--url", "http://tsa.example", "--policy", "1.2.3", "--certificate", "missing.pem"];
    assert!(registry.expect(2, "add-tsa", &tsa).contains("missing.pem"));
}

#[test]
fn what_contradicts_earlier_decisions_is_refused_and_changes_nothing() {
    let registry = Registry::initialised();
    registry.expect(0, "add-member", &["DEMO/GOV/1001", "--name", "Bremen"]);
    let before = registry.show();
    let refused: [(&str, &[&str]); 6] = [
        ("init", &["--instance", "DEMO", "--environment", "test"]),
        ("add-member", &["DEMO/GOV/1001", "--name", "Bremen"]),
        ("add-member", &["OTHER/GOV/1001", "--name", "Bremen"]),
        ("add-subsystem", &["DEMO/GOV/9999/portal"]),
        ("add-client", &["DEMO/GOV/1001/SS1", "DEMO/GOV/1001/portal"]),
        ("resume", &["DEMO/GOV/1001"]),
    ];
    for (command, arguments) in refused {
        registry.expect(1, command, arguments);
    }
    assert_eq!(registry.show(), before);
}

#[test]
fn malformed_arguments_and_unusable_inputs_are_exit_code_2() {
    let registry = Registry::configured();
    assert!(registry.expect(2, "show", &[]).contains("kogge central-registry init"));
    registry.expect(0, "init", &["--instance", "DEMO", "--environment", "test"]);
    registry.expect(2, "add-member", &["DEMO/GOV", "--name", "Bremen"]);
    registry.expect(2, "suspend", &["DEMO/GOV/1001/SS1/more"]);
    registry.expect(2, "add-server", &["DEMO/GOV/1001/SS1"]);
    std::fs::write(registry.0.path().join("pin"), "wrong horse battery\n").unwrap();
    let said = registry.expect(2, "add-member", &["DEMO/GOV/1001", "--name", "Bremen"]);
    assert!(said.contains("the PIN is wrong"), "{said}");
    std::fs::write(registry.0.path().join("registry.toml"), "dir = \"registry\"\nport = 1\n").unwrap();
    let said = registry.expect(2, "show", &[]);
    assert!(said.contains("unknown field `port`") && said.contains("registry.toml"), "{said}");
}

#[test]
fn check_config_says_whether_the_configuration_can_be_used() {
    let registry = Registry::configured();
    registry.expect(0, "run", &["--check-config"]);
    std::fs::write(registry.0.path().join("registry.toml"), "dir = 1\n").unwrap();
    registry.expect(2, "run", &["--check-config"]);
}

//! `kogge token`, judged by openssl.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use tempfile::TempDir;

const PIN: &str = "correct horse battery";

struct Token(TempDir);

impl Token {
    fn init() -> Self {
        let token = Self(tempfile::tempdir().unwrap());
        let pin = token.path("pin");
        std::fs::write(&pin, format!("{PIN}\n")).unwrap();
        std::fs::set_permissions(&pin, std::fs::Permissions::from_mode(0o600)).unwrap();
        let made = token.run("init", &["--pin", &token.pin()]);
        assert!(made.status.success(), "{}", text(&made.stderr));
        token
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn pin(&self) -> String {
        format!("file:{}", self.path("pin").display())
    }

    fn run(&self, command: &str, arguments: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_kogge"))
            .args(["token", command, "--dir"])
            .arg(self.path("token"))
            .args(arguments)
            .env("PIN_FOR_TESTS", PIN)
            .env("WRONG_PIN", "wrong horse battery")
            .output()
            .unwrap()
    }

    fn generate(&self, key_use: &str, kind: &str) -> String {
        let made = self.run("generate", &["--use", key_use, "--kind", kind, "--pin", "env:PIN_FOR_TESTS"]);
        assert!(made.status.success(), "{}", text(&made.stderr));
        text(&made.stdout).trim().to_owned()
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn openssl(arguments: &[&str], file: &Path) -> Option<Output> {
    let output = Command::new("openssl").args(arguments).arg(file).output();
    if output.is_err() {
        assert!(std::env::var("CI").as_deref() != Ok("true"), "openssl is missing");
        eprintln!("SKIPPED: openssl is missing");
    }
    output.ok()
}

#[test]
fn openssl_accepts_the_requests_of_every_use() {
    let token = Token::init();
    let (signing, authentication) =
        (token.generate("signing", "p256"), token.generate("authentication", "rsa-2048"));
    let service = token.generate("service", "ed25519");
    let server = ["--server", "DEMO/GOV/1001/SS1", "--name", "City of Bremen"];
    let requests: [(&str, Vec<&str>, &str); 4] = [
        (&signing, [&["--member", "DEMO/GOV/1001"][..], &server].concat(), "CN = 1001"),
        (&authentication, server.to_vec(), "CN = SS1"),
        (&service, vec!["--common-name", "Test OCSP"], "CN = Test OCSP"),
        (
            &service,
            vec!["--dns-name", "registry.example", "--dns-name", "127.0.0.1"],
            "CN = registry.example",
        ),
    ];
    for (key, subject, expected) in requests {
        let out = token.path("request.csr");
        let pin = token.pin();
        let fixed = ["--key", &key[..12], "--pin", &pin, "--out", out.to_str().unwrap()];
        let made = token.run("request", &[&fixed[..], &subject].concat());
        assert!(made.status.success(), "{}", text(&made.stderr));
        let Some(judged) = openssl(&["req", "-verify", "-noout", "-subject", "-in"], &out) else { return };
        let said = text(&judged.stdout) + &text(&judged.stderr);
        assert!(judged.status.success() && said.contains("verify OK") && said.contains(expected), "{said}");
    }
}

#[test]
fn a_request_that_lacks_its_subject_says_what_is_missing() {
    let token = Token::init();
    let (signing, service) = (token.generate("signing", "p256"), token.generate("service", "p256"));
    let cases: [(&str, &[&str], &str); 5] = [
        (&signing, &["--name", "x", "--server", "DEMO/GOV/1001/SS1"], "--member"),
        (&signing, &["--name", "x", "--member", "DEMO/GOV/1001"], "--server"),
        (&signing, &["--member", "DEMO/GOV/1001", "--server", "DEMO/GOV/1001/SS1"], "--name"),
        (&service, &["--name", "x"], "--dns-name"),
        ("ffff", &["--name", "x"], "kogge token list"),
    ];
    for (key, subject, missing) in cases {
        let output = token.run("request", &[&["--key", key, "--pin", "env:PIN_FOR_TESTS"], subject].concat());
        assert_eq!(output.status.code(), Some(2), "{subject:?}");
        assert!(text(&output.stderr).contains(missing), "{}", text(&output.stderr));
    }
}

#[test]
fn a_wrong_pin_is_refused_and_no_pin_is_ever_shown() {
    let token = Token::init();
    let refused = token.run("generate", &["--use", "signing", "--pin", "env:WRONG_PIN"]);
    assert_eq!(refused.status.code(), Some(2));
    assert_eq!(text(&refused.stderr), "kogge: the PIN is wrong\n");
    for misplaced in [PIN, "env:NOT_SET_ANYWHERE", "file:/nonexistent"] {
        let refused = token.run("generate", &["--use", "signing", "--pin", misplaced]);
        assert_eq!(refused.status.code(), Some(2), "{misplaced}");
        assert!(!text(&refused.stderr).contains(PIN), "{}", text(&refused.stderr));
    }
    let again = token.run("init", &["--pin", "env:PIN_FOR_TESTS"]);
    assert_eq!(again.status.code(), Some(1));
    assert!(text(&again.stderr).contains("already"), "{}", text(&again.stderr));
}

#[test]
fn a_pin_file_that_others_may_read_is_refused() {
    let token = Token::init();
    std::fs::set_permissions(token.path("pin"), std::fs::Permissions::from_mode(0o644)).unwrap();
    let refused = token.run("generate", &["--use", "signing", "--pin", &token.pin()]);
    assert_eq!(refused.status.code(), Some(2));
    assert!(text(&refused.stderr).contains("chmod 600"), "{}", text(&refused.stderr));
}

#[test]
fn a_certificate_is_imported_for_its_key_and_no_other() {
    let token = Token::init();
    let key = token.generate("service", "p256");
    let (request, certificate) = (token.path("request.csr"), token.path("issued.pem"));
    let out = ["--out", request.to_str().unwrap()];
    let subject = ["--key", &key, "--common-name", "Registry", "--pin", "env:PIN_FOR_TESTS"];
    assert!(token.run("request", &[&subject[..], &out].concat()).status.success());
    let ca =
        ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", "/CN=CA"];
    let (ca_key, ca_certificate) = (token.path("ca.key"), token.path("ca.pem"));
    let made = [&ca[..], &["-keyout", ca_key.to_str().unwrap(), "-out"]].concat();
    let Some(_) = openssl(&made, &ca_certificate) else { return };
    let extensions = token.path("extensions");
    std::fs::write(&extensions, "basicConstraints = critical,CA:FALSE\n").unwrap();
    let issue = ["x509", "-req", "-days", "2", "-CA", ca_certificate.to_str().unwrap(), "-CAkey"];
    let issue =
        [&issue[..], &[ca_key.to_str().unwrap(), "-extfile", extensions.to_str().unwrap(), "-in"]].concat();
    let issue = [&issue[..], &[request.to_str().unwrap(), "-out"]].concat();
    let Some(issued) = openssl(&issue, &certificate) else { return };
    assert!(issued.status.success(), "{}", text(&issued.stderr));

    let imported = token.run("import", &[certificate.to_str().unwrap()]);
    assert!(imported.status.success() && text(&imported.stdout).contains(&key), "{}", text(&imported.stderr));
    let listed = text(&token.run("list", &[]).stdout);
    assert!(listed.contains("CN=Registry") && listed.contains("CN=CA"), "{listed}");
    let json: serde_json::Value = serde_json::from_slice(&token.run("list", &["--json"]).stdout).unwrap();
    assert_eq!(json[0]["id"], key);
    assert_eq!(json[0]["certificates"].as_array().unwrap().len(), 1);

    let foreign = token.run("import", &[ca_certificate.to_str().unwrap()]);
    assert_eq!(foreign.status.code(), Some(1));
    assert!(text(&foreign.stderr).contains("belongs to no key"), "{}", text(&foreign.stderr));
}

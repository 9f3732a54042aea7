//! Self-signed certificates for tests, made by openssl so that the judge is not the judged.

use std::path::{Path, PathBuf};
use std::process::Command;

/// Certificate and key for `localhost` and 127.0.0.1 as PEM files; `None`, with a word, where there is no openssl.
pub(crate) fn files(dir: &Path, name: &str) -> Option<(PathBuf, PathBuf)> {
    let (config, certificate, key) = (file(dir, name, "cnf"), file(dir, name, "crt"), file(dir, name, "key"));
    std::fs::write(&config, CONFIG).unwrap();
    let made = Command::new("openssl")
        .args([
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
            "-nodes",
            "-days",
            "2",
        ])
        .args(["-subj", &format!("/CN={name}")])
        .arg("-config")
        .arg(&config)
        .arg("-keyout")
        .arg(&key)
        .arg("-out")
        .arg(&certificate)
        .output();
    let Ok(made) = made else {
        assert!(std::env::var("CI").as_deref() != Ok("true"), "openssl is missing");
        eprintln!("SKIPPED: openssl is missing");
        return None;
    };
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    Some((certificate, key))
}

fn file(dir: &Path, name: &str, ending: &str) -> PathBuf {
    dir.join(format!("{name}.{ending}"))
}

const CONFIG: &str = "[req]\ndistinguished_name = dn\nx509_extensions = ext\n[dn]\n[ext]\n\
    basicConstraints = critical,CA:FALSE\nsubjectAltName = DNS:localhost,IP:127.0.0.1\n";

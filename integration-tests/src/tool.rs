//! Judges that others wrote. A missing one is said loudly; in CI it is a failure.

use std::process::{Command, Stdio};

/// Whether `name` can be run; if not, says that `test` is skipped.
///
/// # Panics
/// It cannot, and `CI` is `true`: there the script installs every judge.
#[must_use]
pub fn present(name: &str, probe: &[&str], test: &str) -> bool {
    let found = Command::new(name)
        .args(probe)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    found.is_ok() || missing(name, test)
}

/// Says that `what` is missing and `test` therefore skipped; always false.
///
/// # Panics
/// `CI` is `true`.
#[must_use]
pub fn missing(what: &str, test: &str) -> bool {
    assert!(std::env::var("CI").as_deref() != Ok("true"), "{test} needs {what}, which is missing");
    eprintln!("SKIPPED: {test} needs {what}, which is missing");
    false
}

/// Runs a judge and returns its output, both streams together, if it is content.
///
/// # Panics
/// It is not content, or cannot be run.
#[must_use]
pub fn content(command: &mut Command) -> String {
    let output = command.stdin(Stdio::null()).output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let text =
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{command:?} is not content:\n{text}");
    text
}

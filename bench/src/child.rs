//! Processes that belong to a measurement: none outlives it.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::BenchError;

/// A process that is stopped when this is dropped.
#[derive(Debug)]
pub(crate) struct Child {
    inner: std::process::Child,
    log: PathBuf,
}

impl Child {
    /// Starts a program; what it prints goes to `log`.
    pub(crate) fn start<A: AsRef<OsStr>>(
        program: &Path,
        args: impl IntoIterator<Item = A>,
        log: &Path,
    ) -> Result<Self, BenchError> {
        let output = File::create(log).map_err(BenchError::file("write", log))?;
        let copy = output.try_clone().map_err(BenchError::file("write", log))?;
        let mut command = Command::new(program);
        command.args(args).stdin(Stdio::null()).stdout(copy).stderr(output);
        // A group of its own: Ctrl-C on the terminal reaches the bench, which then stops the others.
        let started = command.process_group(0).spawn();
        let inner =
            started.map_err(|source| BenchError::Start { program: program.display().to_string(), source })?;
        Ok(Self { inner, log: log.to_owned() })
    }

    pub(crate) fn pid(&self) -> u32 {
        self.inner.id()
    }

    /// Waits until a GET of `path` at `address` is answered with 200.
    pub(crate) fn wait_up(&mut self, name: &str, address: SocketAddr, path: &str) -> Result<(), BenchError> {
        let deadline = Instant::now() + UP_TIME_MAX;
        loop {
            if answers(address, path).is_ok_and(|good| good) {
                return Ok(());
            }
            let ended = self.inner.try_wait().ok().flatten().is_some();
            if ended || Instant::now() > deadline {
                let (name, seconds, log) = (name.to_owned(), UP_TIME_MAX.as_secs(), self.last_words());
                return Err(BenchError::NotUp { name, address, seconds, log });
            }
            std::thread::sleep(POLL);
        }
    }

    /// Sends a signal, by `kill` instead of a system call of our own: this workspace has no unsafe code.
    pub(crate) fn signal(&self, signal: &str) -> Result<(), BenchError> {
        let sent = Command::new("kill").args([signal, &self.pid().to_string()]).status();
        sent.map(drop).map_err(|source| BenchError::Start { program: "kill".to_owned(), source })
    }

    fn last_words(&self) -> String {
        let text = std::fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        let shown = lines.iter().skip(lines.len().saturating_sub(LOG_LINES));
        shown.map(|line| format!("\n  | {line}")).collect()
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        if !matches!(self.inner.try_wait(), Ok(None)) {
            return;
        }
        // A server with workers stops them when asked; killed, it would leave them behind. One that is halted hears nothing.
        let asked = self.signal("-TERM").and_then(|()| self.signal("-CONT"));
        let deadline = Instant::now() + STOP_TIME_MAX;
        while asked.is_ok() && Instant::now() < deadline {
            if !matches!(self.inner.try_wait(), Ok(None)) {
                return;
            }
            std::thread::sleep(POLL);
        }
        // Nothing more can be done about one that cannot be killed.
        drop(self.inner.kill());
        drop(self.inner.wait());
    }
}

pub(crate) fn answers(address: SocketAddr, path: &str) -> std::io::Result<bool> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(ANSWER_TIME_MAX))?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: bench\r\nConnection: close\r\n\r\n")?;
    let mut answer = [0; 12];
    stream.read_exact(&mut answer)?;
    Ok(answer == *b"HTTP/1.1 200")
}

const UP_TIME_MAX: Duration = Duration::from_secs(20);
const STOP_TIME_MAX: Duration = Duration::from_secs(5);
const ANSWER_TIME_MAX: Duration = Duration::from_secs(5);
const POLL: Duration = Duration::from_millis(10);
/// Lines of a log that an error shows.
const LOG_LINES: usize = 10;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_that_ends_is_told_with_its_last_words() {
        let dir = tempfile::tempdir().unwrap();
        let log = dir.path().join("log");
        let mut child = Child::start(Path::new("sh"), ["-c", "echo no such flag >&2; exit 1"], &log).unwrap();
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let error = child.wait_up("nginx", free, "/").unwrap_err();
        assert!(
            matches!(&error, BenchError::NotUp { log, .. } if log.ends_with("| no such flag")),
            "{error}"
        );
    }

    #[test]
    fn a_missing_program_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let started = Child::start(Path::new("no-such-program"), ["x"], &dir.path().join("log"));
        assert!(matches!(started, Err(BenchError::Start { program, .. }) if program == "no-such-program"));
    }

    #[test]
    fn who_is_dropped_is_stopped() {
        let dir = tempfile::tempdir().unwrap();
        let child = Child::start(Path::new("sleep"), ["60"], &dir.path().join("log")).unwrap();
        let pid = child.pid();
        let runs = || Path::new(&format!("/proc/{pid}")).exists();
        assert!(runs());
        drop(child);
        assert!(!runs());
    }
}

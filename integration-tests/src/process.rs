//! A process of a running demo that a test kills and starts again.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};

use crate::demo::signal;

/// A process that runs or has run; whatever was started by this handle is stopped when it is dropped.
pub struct Process {
    binary: PathBuf,
    args: Vec<String>,
    pid: u32,
    restarted: Option<Child>,
    output: PathBuf,
    starts: u32,
}

impl Process {
    /// Takes over the running process `pid` of `binary`. What it prints after a restart goes to files in `dir`.
    ///
    /// # Errors
    /// There is no such process.
    pub fn of(binary: &Path, pid: u32, dir: &Path) -> anyhow::Result<Self> {
        let line = std::fs::read(format!("/proc/{pid}/cmdline"))
            .with_context(|| format!("there is no process {pid}"))?;
        let parts = line.split(|byte| *byte == 0).filter(|part| !part.is_empty());
        let args = parts.skip(1).map(|part| String::from_utf8(part.to_vec())).collect::<Result<_, _>>()?;
        let output = dir.join(format!("restarted-{pid}"));
        Ok(Self { binary: binary.to_owned(), args, pid, restarted: None, output, starts: 0 })
    }

    /// A process of `binary` that is still to be started. What it prints goes to files in `dir`.
    #[must_use]
    pub fn new(binary: &Path, args: &[&str], dir: &Path) -> Self {
        let args: Vec<String> = args.iter().map(|&arg| arg.to_owned()).collect();
        let output = dir.join("started");
        Self { binary: binary.to_owned(), args, pid: 0, restarted: None, output, starts: 0 }
    }

    /// What it was started with.
    #[must_use]
    pub fn args(&self) -> &[String] {
        &self.args
    }

    /// `kill -9`; returns once the process holds no port and no lock any more.
    ///
    /// # Errors
    /// It does not go away.
    pub fn kill(&mut self) -> anyhow::Result<()> {
        self.end("KILL")
    }

    /// Asks it to stop, and waits until it has.
    ///
    /// # Errors
    /// It does not go away.
    pub fn stop(&mut self) -> anyhow::Result<()> {
        self.end("TERM")
    }

    /// Starts it again as it was started first.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn start(&mut self) -> anyhow::Result<()> {
        self.starts += 1;
        let output = File::create(self.output_file())?;
        let mut command = Command::new(&self.binary);
        command.args(&self.args).stdin(Stdio::null()).stdout(output.try_clone()?).stderr(output);
        let child = command.spawn()?;
        self.pid = child.id();
        self.restarted = Some(child);
        Ok(())
    }

    /// Waits until a process that was started here ends by itself.
    ///
    /// # Errors
    /// It was not started here, or does not end.
    pub fn wait(&mut self) -> anyhow::Result<ExitStatus> {
        let child = self.restarted.as_mut().context("was not started by the test")?;
        let deadline = Instant::now() + END_TIME_MAX;
        while Instant::now() < deadline {
            if let Some(status) = child.try_wait()? {
                return Ok(status);
            }
            std::thread::sleep(POLL);
        }
        bail!("still runs: {}", self.args.join(" "))
    }

    /// What it has printed since it was last started here.
    #[must_use]
    pub fn output(&self) -> String {
        std::fs::read_to_string(self.output_file()).unwrap_or_default()
    }

    fn output_file(&self) -> PathBuf {
        self.output.with_extension(self.starts.to_string())
    }

    fn end(&mut self, name: &str) -> anyhow::Result<()> {
        if self.pid == 0 {
            return Ok(());
        }
        signal(self.pid, name);
        if let Some(mut child) = self.restarted.take() {
            child.wait()?;
            return Ok(());
        }
        let deadline = Instant::now() + END_TIME_MAX;
        while runs(self.pid) {
            if Instant::now() > deadline {
                bail!("does not end: {}", self.args.join(" "));
            }
            std::thread::sleep(POLL);
        }
        Ok(())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if self.restarted.is_some() {
            drop(self.stop());
        }
    }
}

/// Whether a process still holds anything: a zombie waits for its parent only.
fn runs(pid: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let state = stat.rsplit(") ").next().and_then(|rest| rest.chars().next());
    !matches!(state, None | Some('Z' | 'X'))
}

const END_TIME_MAX: Duration = Duration::from_secs(30);
const POLL: Duration = Duration::from_millis(10);

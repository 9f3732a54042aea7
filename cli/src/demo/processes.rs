//! The demo's processes: each role is started as a process of its own, and none outlives the demo.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context, bail};
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep, timeout};

use super::{plain_http, say};

/// Running processes, in the order in which they were started.
#[derive(Default)]
pub(crate) struct Processes {
    running: Vec<Process>,
}

struct Process {
    name: &'static str,
    log: PathBuf,
    child: Child,
    args: Vec<OsString>,
    /// How to start it by hand.
    command: String,
    /// How it ended, once that has been said.
    ended: Option<ExitStatus>,
}

impl Processes {
    /// Starts this very binary with `args`; its output goes to `log`. Returns the process id.
    ///
    /// # Errors
    /// The process cannot be started.
    pub(crate) fn start<I: AsRef<OsStr>>(
        &mut self,
        name: &'static str,
        args: impl IntoIterator<Item = I>,
        log: PathBuf,
    ) -> anyhow::Result<u32> {
        let args: Vec<OsString> = args.into_iter().map(|arg| arg.as_ref().to_owned()).collect();
        let words: Vec<_> = args.iter().map(|arg| arg.to_string_lossy()).collect();
        let command = format!("{} {}", super::program(), words.join(" "));
        let child = spawn(name, &args, &log)?;
        let pid = child.id().context("the process ended at once")?;
        self.running.push(Process { name, log, child, args, command, ended: None });
        Ok(pid)
    }

    /// Ends a process and waits until it is gone: by asking it, or with `kill` as a power cut would.
    ///
    /// # Errors
    /// There is none of this name, or, if it was asked, it ended with an error.
    pub(crate) async fn end(&mut self, name: &str, kill: bool) -> anyhow::Result<()> {
        let process = self.named(name)?;
        if kill { Ok(process.child.kill().await?) } else { process.stop().await }
    }

    /// Starts a process again that has ended; its new process id.
    ///
    /// # Errors
    /// There is none of this name, or it cannot be started.
    pub(crate) fn start_again(&mut self, name: &str) -> anyhow::Result<u32> {
        let process = self.named(name)?;
        process.child = spawn(process.name, &process.args, &process.log)?;
        process.child.id().context("the process ended at once")
    }

    fn named(&mut self, name: &str) -> anyhow::Result<&mut Process> {
        let found = self.running.iter_mut().find(|process| process.name == name);
        found.with_context(|| format!("there is no process {name}"))
    }

    /// Waits until `url` answers 200, and fails at once if any process has ended meanwhile.
    ///
    /// # Errors
    /// A process has ended, or the answer does not come in time; both with the last lines of the log.
    pub(crate) async fn wait_ready(&mut self, name: &'static str, url: &str) -> anyhow::Result<()> {
        let deadline = Instant::now() + READY_TIME_MAX;
        loop {
            self.check()?;
            let last = match plain_http::get(url).await {
                Ok(answer) if answer.status == 200 => return Ok(()),
                Ok(answer) => format!("HTTP status {}: {}", answer.status, answer.text()),
                Err(error) => error.to_string(),
            };
            if Instant::now() >= deadline {
                let seconds = READY_TIME_MAX.as_secs();
                let log = self.running.iter().find(|process| process.name == name).map(Process::last_lines);
                bail!("the {name} was not ready within {seconds} s ({last})\n{}", log.unwrap_or_default());
            }
            sleep(READY_POLL).await;
        }
    }

    /// # Errors
    /// A process has ended by itself.
    pub(crate) fn check(&mut self) -> anyhow::Result<()> {
        for process in &mut self.running {
            if let Some(status) = process.child.try_wait()? {
                bail!("the {} ended ({status})\n{}", process.name, process.last_lines());
            }
        }
        Ok(())
    }

    /// Stays until it is dropped, and says when a process has ended and how to start it again.
    ///
    /// # Errors
    /// The state of a process cannot be had.
    pub(crate) async fn watch(&mut self) -> anyhow::Result<()> {
        loop {
            for process in self.running.iter_mut().filter(|process| process.ended.is_none()) {
                if let Some(status) = process.child.try_wait()? {
                    say(&format!(
                        "the {} ended ({status}); start it again with\n  {}",
                        process.name, process.command
                    ));
                    process.ended = Some(status);
                }
            }
            sleep(WATCH_POLL).await;
        }
    }

    /// Asks every process to stop, newest first, and kills those that do not within [`STOP_TIME_MAX`].
    ///
    /// # Errors
    /// A process did not stop by itself or ended with an error.
    pub(crate) async fn stop(mut self) -> anyhow::Result<()> {
        let mut failed = Vec::new();
        while let Some(mut process) = self.running.pop() {
            if let Err(error) = process.stop().await {
                failed.push(format!("the {} {error}\n{}", process.name, process.last_lines()));
            }
        }
        if failed.is_empty() { Ok(()) } else { bail!(failed.join("\n")) }
    }
}

impl Process {
    async fn stop(&mut self) -> anyhow::Result<()> {
        let Some(pid) = self.child.id() else { bail!("had ended before it was asked to stop") };
        // `kill` instead of a system call of our own: this workspace has no unsafe code.
        Command::new("kill")
            .args(["-TERM", &pid.to_string()])
            .status()
            .await
            .context("cannot be signalled")?;
        match timeout(STOP_TIME_MAX, self.child.wait()).await {
            Ok(status) if status.as_ref().is_ok_and(ExitStatus::success) => Ok(()),
            Ok(status) => bail!("ended with {}", status?),
            Err(_) => {
                self.child.kill().await?;
                bail!("did not stop within {} s and was killed", STOP_TIME_MAX.as_secs())
            }
        }
    }

    fn last_lines(&self) -> String {
        last_lines(&self.log)
    }
}

/// Starts this very binary; what it prints goes to the end of `log`.
fn spawn(name: &str, args: &[OsString], log: &Path) -> anyhow::Result<Child> {
    let binary = std::env::current_exe().context("cannot find the kogge binary itself")?;
    if let Some(dir) = log.parent() {
        kogge_durable::create_dir(dir, false)?;
    }
    let output = File::options().create(true).append(true).open(log);
    let output = output.with_context(|| format!("cannot write {}", log.display()))?;
    let mut command = Command::new(binary);
    command.args(args).stdin(Stdio::null()).stdout(output.try_clone()?).stderr(output).kill_on_drop(true);
    // A group of its own: Ctrl-C on the terminal reaches the demo, which then stops the others in order.
    command.process_group(0).spawn().with_context(|| format!("cannot start the {name}"))
}

/// Runs a command of this very binary to its end; what it printed on standard output.
///
/// # Errors
/// It fails; with what it printed.
pub(crate) async fn run_to_end<I: AsRef<OsStr>>(args: impl IntoIterator<Item = I>) -> anyhow::Result<String> {
    let binary = std::env::current_exe().context("cannot find the kogge binary itself")?;
    let output = Command::new(binary).args(args).stdin(Stdio::null()).output().await?;
    let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
    if !output.status.success() {
        bail!("{}{stdout}", String::from_utf8_lossy(&output.stderr));
    }
    Ok(stdout)
}

fn last_lines(log: &Path) -> String {
    let text = std::fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    let from = lines.len().saturating_sub(LOG_LINES);
    let shown: Vec<String> = lines.iter().skip(from).map(|line| format!("  | {line}")).collect();
    format!("  last lines of {}:\n{}", log.display(), shown.join("\n"))
}

/// A registry with a hundred thousand members takes a while.
const READY_TIME_MAX: Duration = Duration::from_secs(60);
const WATCH_POLL: Duration = Duration::from_millis(200);
const READY_POLL: Duration = Duration::from_millis(25);
const STOP_TIME_MAX: Duration = Duration::from_secs(15);
/// Lines of a process's log that an error shows.
const LOG_LINES: usize = 15;

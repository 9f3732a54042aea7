//! Processes killed with SIGKILL at moments of their own choosing: what was acknowledged is there, and no version is used twice.
//!
//! Each test starts this very program again as the process that is going to be killed; the tests named `child_…` are those processes
//! and do nothing without the environment variable that says what to work on.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "clippy exempts only the test functions themselves"
)]

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Lines, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Duration;

use kogge_central_registry::{
    CentralRegistry, Change, Config, InitOptions, Operator, change, history, init, show,
};
use kogge_certs::anchor::{Anchor, Environment};
use kogge_certs::snapshot::{Meta, Policy, VerifiedSnapshot, accept_over};
use kogge_daemon::client::get;
use kogge_daemon::shutdown::Shutdown;
use kogge_proto::id::MemberId;
use kogge_proto::limits::SNAPSHOT_BYTES_MAX;
use tempfile::TempDir;

#[test]
fn an_operator_killed_at_any_moment_loses_no_acknowledged_change() {
    let (_dir, config_file, _) = registry();
    let config = Config::load(&config_file).unwrap();
    let mut acknowledged = Vec::new();
    for round in 0..ROUNDS {
        let (mut child, mut lines) = start("child_adds_members", &config_file, &format!("r{round}-"));
        // Another number of acknowledgements each time; the child is then in the middle of the next change.
        for _ in 0..=round {
            acknowledged.push(next_line(&mut lines));
        }
        child.kill();
        acknowledged.extend(lines.map_while(Result::ok).filter_map(|line| payload(&line)));
        let state = show(&config).unwrap();
        let members: Vec<&str> = state.members().map(|member| member.id.code()).collect();
        for code in &acknowledged {
            assert!(members.contains(&code.as_str()), "{code} was acknowledged and is not there");
        }
    }
    assert!(acknowledged.len() >= ROUNDS * (ROUNDS + 1) / 2);
    assert!(history(&config).unwrap().all(|decision| decision.is_ok()));
}

#[test]
fn a_registry_killed_at_any_moment_never_takes_a_version_back() {
    let (_dir, config_file, anchor) = registry();
    let config = Config::load(&config_file).unwrap();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let (mut accepted, mut served): (Option<Meta>, HashMap<u64, Vec<u8>>) = (None, HashMap::new());
    for round in 0..ROUNDS {
        let (mut child, mut lines) = start("child_serves", &config_file, "");
        let url = format!("http://{}/snapshot", next_line(&mut lines));
        let member = MemberId::new("EE", "GOV", &round.to_string()).unwrap();
        change(&config, Change::AddMember { member: member.clone(), name: "Agency".to_owned() }).unwrap();
        loop {
            let bytes = runtime.block_on(get(&url, None, None, SNAPSHOT_BYTES_MAX, WAIT_MAX)).unwrap().body;
            let snapshot = VerifiedSnapshot::verify_archived(bytes.clone(), &anchor).unwrap();
            accept_over(accepted.as_ref(), snapshot.meta()).unwrap();
            accepted = Some(snapshot.meta().clone());
            let before = served.insert(snapshot.version(), bytes.to_vec());
            assert!(before.is_none_or(|before| before == bytes), "two snapshots of one version");
            if snapshot.member(&member).is_some() {
                break;
            }
        }
        // A change that is about to be published, or just has been, when the registry dies.
        let member = MemberId::new("EE", "GOV", &format!("{round}-late")).unwrap();
        change(&config, Change::AddMember { member, name: "Agency".to_owned() }).unwrap();
        child.kill();
    }
}

#[test]
fn child_adds_members() {
    let Some((config_file, prefix)) = task() else { return };
    let mut operator = Operator::open(&Config::load(&config_file).unwrap()).unwrap();
    for number in 0.. {
        let code = format!("{prefix}{number}");
        let member = MemberId::new("EE", "GOV", &code).unwrap();
        operator.change(Change::AddMember { member, name: "Agency".to_owned() }).unwrap();
        say(&code);
    }
}

#[test]
fn child_serves() {
    let Some((config_file, _)) = task() else { return };
    tokio::runtime::Runtime::new().unwrap().block_on(async {
        let registry = CentralRegistry::bind(Config::load(&config_file).unwrap()).await.unwrap();
        say(&registry.local_addr().to_string());
        registry.serve(Shutdown::new()).await.unwrap();
    });
}

/// A registry whose snapshots live for two seconds, so that re-issues also meet the kill.
fn registry() -> (TempDir, PathBuf, Anchor) {
    let dir = tempfile::tempdir().unwrap();
    kogge_durable::write_atomic(&dir.path().join("pin"), b"correct horse", true).unwrap();
    let config_file = dir.path().join("registry.toml");
    let text = "dir = \"registry\"\nlisten = \"127.0.0.1:0\"\npublic_url = \"http://registry.example\"\n\
                snapshot_lifetime_s = 2\n[token]\npin = \"file:pin\"\n";
    std::fs::write(&config_file, text).unwrap();
    let policy = Policy {
        ocsp_freshness: Duration::from_secs(3600),
        timestamp_interval: Duration::from_secs(60),
        timestamp_failure: Duration::from_secs(14_400),
        clock_skew: Duration::from_secs(60),
    };
    let options = InitOptions { instance: "EE".to_owned(), environment: Environment::Test, policy };
    let anchor = init(&Config::load(&config_file).unwrap(), &options).unwrap();
    (dir, config_file, anchor)
}

fn start(child: &str, config_file: &Path, argument: &str) -> (Victim, Lines<BufReader<ChildStdout>>) {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", child, "--nocapture", "--test-threads=1"])
        .env(CONFIG_VARIABLE, config_file)
        .env(ARGUMENT_VARIABLE, argument)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    (Victim(child), lines)
}

/// A process that does not outlive its test.
struct Victim(Child);

impl Victim {
    /// SIGKILL, and waits until it is dead: its locks are free then.
    fn kill(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

impl Drop for Victim {
    fn drop(&mut self) {
        // Dead already where the test went well.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn task() -> Option<(PathBuf, String)> {
    let config_file = std::env::var_os(CONFIG_VARIABLE)?.into();
    Some((config_file, std::env::var(ARGUMENT_VARIABLE).unwrap_or_default()))
}

fn say(text: &str) {
    let mut out = std::io::stdout().lock();
    writeln!(out, "\n{MARK}{text}").unwrap();
    out.flush().unwrap();
}

fn next_line(lines: &mut Lines<BufReader<ChildStdout>>) -> String {
    lines.find_map(|line| payload(&line.unwrap())).expect("the child has ended")
}

fn payload(line: &str) -> Option<String> {
    line.strip_prefix(MARK).map(str::to_owned)
}

const ROUNDS: usize = 8;
const CONFIG_VARIABLE: &str = "KOGGE_KILL_TEST_CONFIG";
const ARGUMENT_VARIABLE: &str = "KOGGE_KILL_TEST_ARGUMENT";
/// Tells the child's words from those of the test harness.
const MARK: &str = "child says: ";
/// Only how long a failing test takes to fail.
const WAIT_MAX: Duration = Duration::from_secs(60);

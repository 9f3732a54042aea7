//! What tests expect of a running demo again and again, and the operators' commands that they give in between.

use std::path::Path;

use crate::Demo;

/// The roles of the demo's security servers.
pub const ROLES: [&str; 2] = ["consumer", "provider"];

impl Demo {
    /// Whether a small exchange succeeds now.
    #[must_use]
    pub fn answers(&self) -> bool {
        self.call("GET", "?limit=1", b"").is_ok_and(|answer| answer.status == 200)
    }

    /// A small exchange succeeds.
    ///
    /// # Panics
    /// It does not.
    pub fn assert_answered(&self) {
        match self.call("GET", "?limit=1", b"") {
            Ok(answer) => assert_eq!(answer.status, 200, "{}", answer.text()),
            Err(error) => panic!("{error:#}"),
        }
    }

    /// A small exchange with a body is refused with this status and fault.
    ///
    /// # Panics
    /// It is not.
    pub fn assert_refused(&self, status: u16, fault: &str) {
        match self.call("POST", "/query", br#"{"ids":[]}"#) {
            Ok(answer) => {
                assert_eq!((answer.status, answer.fault().as_str()), (status, fault), "{}", answer.text());
            }
            Err(error) => panic!("{error:#}"),
        }
    }

    /// Waits until a small exchange ends with this fault, whatever came before.
    ///
    /// # Errors
    /// It does not.
    pub fn wait_refused(&self, fault: &str) -> anyhow::Result<()> {
        self.wait_until(fault, || {
            self.call("GET", "?limit=1", b"").is_ok_and(|answer| answer.fault() == fault)
        })
    }

    /// Waits until no record of either server lacks its timestamp.
    ///
    /// # Errors
    /// One does.
    pub fn wait_stamped(&self) -> anyhow::Result<()> {
        ROLES
            .iter()
            .try_for_each(|role| self.wait_until("timestamps", || self.readiness(role)["unstamped"] == 0))
    }

    /// The auditor's command is content with the logs of both servers.
    ///
    /// # Panics
    /// It is not.
    pub fn assert_logs_verify(&self) {
        for role in ROLES {
            let log = &self.server(role).log_dir;
            let args = [Path::new("verify"), log, Path::new("--anchor"), &self.endpoints.anchor];
            let _ = self.must(&args);
        }
    }

    /// A command of the registry's operator, by its words after `--config FILE`.
    ///
    /// # Panics
    /// It fails.
    pub fn registry(&self, command: &str, words: &[&str]) {
        self.operate("central-registry", command, words);
    }

    /// A command of the operator of the trust services.
    ///
    /// # Panics
    /// It fails.
    pub fn trust_services(&self, command: &str, words: &[&str]) {
        self.operate("trust-services", command, words);
    }

    fn operate(&self, part: &str, command: &str, words: &[&str]) {
        let config = self.dir().join(format!("{part}.toml"));
        let mut args = [part, command, "--config"].map(Path::new).to_vec();
        args.push(&config);
        args.extend(words.iter().map(Path::new));
        let _ = self.must(&args);
    }

    /// Runs a command that must succeed; what it printed on standard output.
    ///
    /// # Panics
    /// It fails.
    #[must_use]
    pub fn must(&self, args: &[&Path]) -> String {
        let output = self.kogge(args).unwrap_or_else(|error| panic!("{args:?}: {error:#}"));
        let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "{args:?}: {}{stdout}", String::from_utf8_lossy(&output.stderr));
        stdout
    }
}

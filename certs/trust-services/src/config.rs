//! The configuration file; `trust-services.example.toml` explains every key.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use kogge_certs::anchor::Environment;
use kogge_daemon::config::{self, ConfigError};
use kogge_signer::PinSource;
use serde::Deserialize;

/// A checked configuration; always one of a test instance. Paths are absolute or relative to the working directory.
#[derive(Clone, Debug)]
pub struct Config {
    pub(crate) dir: PathBuf,
    pub(crate) listen: SocketAddr,
    pub(crate) pin: PinSource,
    pub(crate) intermediate: bool,
    pub(crate) ocsp_validity: Duration,
    pub(crate) tsa_policy: String,
}

impl Config {
    /// From a TOML file; paths in it are relative to the file.
    ///
    /// # Errors
    /// It cannot be read, has an unknown or missing key, a value that cannot be used, or is not for a test instance.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let raw: RawConfig = config::load(path)?;
        let refuse = |key: &str, reason: &str| ConfigError::Value {
            path: path.to_owned(),
            key: key.to_owned(),
            reason: reason.to_owned(),
        };
        if Environment::parse(&raw.environment) != Some(Environment::Test) {
            return Err(refuse(
                "environment",
                "must be \"test\": these trust services check nobody's identity, use real ones",
            ));
        }
        let listen = raw
            .listen
            .parse()
            .map_err(|_| refuse("listen", "must be an IP address and a port, like 127.0.0.1:8888"))?;
        if !(1..=OCSP_VALIDITY_S_MAX).contains(&raw.ocsp_validity_s) {
            return Err(refuse("ocsp_validity_s", "must be 1 to 604800 seconds (a week)"));
        }
        if !is_policy(&raw.tsa_policy) {
            return Err(refuse("tsa_policy", "must be an object identifier like 1.3.6.1.4.1.99999.1"));
        }
        let pin =
            PinSource::parse(&raw.token.pin).map_err(|error| refuse("token.pin", &error.to_string()))?;
        let pin = match pin {
            PinSource::File(file) => PinSource::File(config::resolve(path, &file)),
            other => other,
        };
        Ok(Self {
            dir: config::resolve(path, &raw.dir),
            listen,
            pin,
            intermediate: raw.intermediate,
            ocsp_validity: Duration::from_secs(raw.ocsp_validity_s),
            tsa_policy: raw.tsa_policy,
        })
    }

    /// Where everything is kept.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The policy of the TSA's tokens, dotted; the registry has to approve it.
    #[must_use]
    pub fn tsa_policy(&self) -> &str {
        &self.tsa_policy
    }

    /// The OCSP responder's URL for certificates, where it can be known from the address listened on.
    pub(crate) fn ocsp_url(&self) -> Option<String> {
        let reachable = self.listen.port() != 0 && !self.listen.ip().is_unspecified();
        reachable.then(|| format!("http://{}/ocsp", self.listen))
    }
}

/// Dotted decimal with at least three numbers, as the tokens' encoder takes it.
fn is_policy(text: &str) -> bool {
    let mut numbers = text.split('.').map(|part| {
        let canonical = part == "0" || !part.starts_with('0');
        part.parse::<u32>().ok().filter(|_| canonical)
    });
    let (Some(Some(first)), Some(Some(second))) = (numbers.next(), numbers.next()) else { return false };
    let rest: Option<Vec<u32>> = numbers.collect();
    let arc = first < 2 && second < 40 || first == 2 && second < 48;
    arc && rest.is_some_and(|rest| (1..=POLICY_NUMBERS_MAX).contains(&rest.len()))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawConfig {
    dir: PathBuf,
    environment: String,
    listen: String,
    #[serde(default)]
    intermediate: bool,
    #[serde(default = "ocsp_validity_s")]
    ocsp_validity_s: u64,
    #[serde(default = "tsa_policy")]
    tsa_policy: String,
    token: RawToken,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawToken {
    pin: String,
}

/// Short, so that a revocation is felt soon where responses are cached.
fn ocsp_validity_s() -> u64 {
    600
}

/// An arc for examples, below the private enterprise number 99999 that is not ours: tests only.
fn tsa_policy() -> String {
    "1.3.6.1.4.1.99999.1".to_owned()
}

/// A week: longer than any policy tolerates.
const OCSP_VALIDITY_S_MAX: u64 = 604_800;

/// More numbers than any policy has; keeps it within the encoder's room.
const POLICY_NUMBERS_MAX: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str =
        "dir = 'trust'\nenvironment = 'test'\nlisten = '127.0.0.1:0'\n[token]\npin = 'file:pin'\n";

    fn load(text: &str) -> Result<Config, ConfigError> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("trust-services.toml");
        std::fs::write(&path, text).unwrap();
        let config = Config::load(&path)?;
        assert_eq!(config.dir, dir.path().join("trust"));
        assert_eq!(config.pin, PinSource::File(dir.path().join("pin")));
        Ok(config)
    }

    fn refused_key(text: &str) -> String {
        match load(text).unwrap_err() {
            ConfigError::Value { key, .. } => key,
            other => panic!("{other}"),
        }
    }

    #[test]
    fn paths_are_relative_to_the_file_and_defaults_are_filled_in() {
        let config = load(GOOD).unwrap();
        assert_eq!(config.ocsp_validity, Duration::from_secs(600));
        assert_eq!(config.tsa_policy, "1.3.6.1.4.1.99999.1");
        assert!(!config.intermediate);
        assert_eq!(config.ocsp_url(), None);
    }

    #[test]
    fn the_example_loads_and_shows_the_defaults() {
        let example = include_str!("../trust-services.example.toml");
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("trust-services.toml");
        let load = |text: &str| {
            std::fs::write(&path, text).unwrap();
            format!("{:?}", Config::load(&path).unwrap())
        };
        let uncommented = example.lines().map(|line| match line.strip_prefix("# ") {
            Some(rest) if rest.contains(" = ") => rest,
            _ => line,
        });
        assert_eq!(load(&uncommented.collect::<Vec<_>>().join("\n")), load(example));
    }

    #[test]
    fn instances_that_are_not_for_tests_are_refused() {
        for environment in ["production", "Test", ""] {
            assert_eq!(refused_key(&GOOD.replace("'test'", &format!("'{environment}'"))), "environment");
        }
    }

    #[test]
    fn values_that_cannot_be_used_are_refused_by_their_key() {
        assert_eq!(refused_key(&GOOD.replace("127.0.0.1:0", "localhost")), "listen");
        assert_eq!(refused_key(&format!("ocsp_validity_s = 0\n{GOOD}")), "ocsp_validity_s");
        assert_eq!(refused_key(&format!("ocsp_validity_s = 604801\n{GOOD}")), "ocsp_validity_s");
        for policy in [
            "",
            "1",
            "1.3",
            "3.1.1",
            "1.40.1",
            "1.3.x",
            "1.3.01",
            "1.3.4294967296",
            &format!("1.3{}", ".1".repeat(17)),
        ] {
            assert_eq!(refused_key(&format!("tsa_policy = '{policy}'\n{GOOD}")), "tsa_policy", "{policy}");
        }
        assert_eq!(refused_key(&GOOD.replace("file:pin", "1234")), "token.pin");
    }

    #[test]
    fn unknown_and_missing_keys_are_refused() {
        assert!(matches!(load(&format!("colour = 'red'\n{GOOD}")), Err(ConfigError::Toml { .. })));
        assert!(matches!(load(&GOOD.replace("dir = 'trust'\n", "")), Err(ConfigError::Toml { .. })));
    }
}

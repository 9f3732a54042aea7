//! The registry's configuration file; `central-registry.example.toml` explains every key.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use kogge_certs::snapshot::{check_http_url, limits};
use kogge_daemon::config::{ConfigError, load, resolve};
use kogge_signer::PinSource;
use serde::Deserialize;

/// A checked configuration; relative paths have been resolved.
#[derive(Clone, Debug)]
pub struct Config {
    /// The registry's directory.
    pub dir: PathBuf,
    /// Where to listen.
    pub listen: SocketAddr,
    /// How others reach it; goes into the anchor.
    pub public_url: String,
    /// Where the token's PIN comes from.
    pub pin: PinSource,
    /// How long a snapshot is valid; it is issued anew at half of it.
    pub snapshot_lifetime: Duration,
    /// HTTPS instead of HTTP.
    pub tls: Option<TlsConfig>,
}

/// Files for HTTPS, both PEM.
#[derive(Clone, Debug)]
pub struct TlsConfig {
    /// Certificate, leaf first.
    pub cert: PathBuf,
    /// Private key.
    pub key: PathBuf,
}

impl Config {
    /// Reads and checks a configuration file.
    ///
    /// # Errors
    /// See [`ConfigError`].
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let raw: Raw = load(path)?;
        let value = |key: &str, reason: String| ConfigError::Value {
            path: path.to_path_buf(),
            key: key.to_owned(),
            reason,
        };
        check_http_url(&raw.public_url).map_err(|error| value("public_url", error.to_string()))?;
        let longest = limits::SNAPSHOT_LIFETIME_MAX.as_secs();
        if !(LIFETIME_S_MIN..=longest).contains(&raw.snapshot_lifetime_s) {
            let reason = format!("must be between {LIFETIME_S_MIN} and {longest} seconds");
            return Err(value("snapshot_lifetime_s", reason));
        }
        let pin = PinSource::parse(&raw.token.pin).map_err(|error| value("token.pin", error.to_string()))?;
        Ok(Self {
            dir: resolve(path, &raw.dir),
            listen: raw.listen,
            public_url: raw.public_url,
            pin: match pin {
                PinSource::File(file) => PinSource::File(resolve(path, &file)),
                other => other,
            },
            snapshot_lifetime: Duration::from_secs(raw.snapshot_lifetime_s),
            tls: raw
                .tls
                .map(|tls| TlsConfig { cert: resolve(path, &tls.cert), key: resolve(path, &tls.key) }),
        })
    }

    pub(crate) fn anchor_file(&self) -> PathBuf {
        self.dir.join("anchor.toml")
    }

    pub(crate) fn token_dir(&self) -> PathBuf {
        self.dir.join("token")
    }

    pub(crate) fn journal_dir(&self) -> PathBuf {
        self.dir.join("journal")
    }

    pub(crate) fn published_dir(&self) -> PathBuf {
        self.dir.join("published")
    }

    pub(crate) fn index_dir(&self) -> PathBuf {
        self.dir.join("index")
    }
}

/// The file as written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw {
    dir: PathBuf,
    listen: SocketAddr,
    public_url: String,
    #[serde(default = "lifetime_s_default")]
    snapshot_lifetime_s: u64,
    token: RawToken,
    tls: Option<RawTls>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawToken {
    pin: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawTls {
    cert: PathBuf,
    key: PathBuf,
}

/// A day: security servers survive a night without the registry, and a withheld change comes to light within it.
fn lifetime_s_default() -> u64 {
    86_400
}

/// Shorter, a snapshot would be expired before it has reached anybody.
const LIFETIME_S_MIN: u64 = 2;

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "dir = \"data\"\nlisten = \"127.0.0.1:0\"\npublic_url = \"http://registry.example\"\n";

    fn load(text: &str) -> Result<Config, ConfigError> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("registry.toml");
        std::fs::write(&path, text).unwrap();
        let config = Config::load(&path)?;
        // Paths are compared by what follows the directory of the file.
        let strip = |path: &Path| path.strip_prefix(dir.path()).unwrap_or(path).to_path_buf();
        Ok(Config {
            dir: strip(&config.dir),
            pin: match &config.pin {
                PinSource::File(file) => PinSource::File(strip(file)),
                other => other.clone(),
            },
            tls: config.tls.as_ref().map(|tls| TlsConfig { cert: strip(&tls.cert), key: strip(&tls.key) }),
            ..config
        })
    }

    #[test]
    fn the_example_loads_and_shows_the_defaults() {
        let example = include_str!("../central-registry.example.toml");
        let config = load(example).unwrap();
        assert!(config.tls.is_none());
        // Every key that is commented out shows its default: uncommenting those changes nothing but TLS.
        let uncommented = example.lines().map(|line| match line.strip_prefix("# ") {
            Some(rest) if rest.contains(" = ") || rest.starts_with('[') => rest,
            _ => line,
        });
        let mut all = load(&uncommented.collect::<Vec<_>>().join("\n")).unwrap();
        assert!(all.tls.take().is_some());
        assert_eq!(format!("{all:?}"), format!("{config:?}"));
    }

    fn refused_value(text: &str) -> String {
        match load(text).unwrap_err() {
            ConfigError::Value { key, .. } => key,
            other => panic!("{other}"),
        }
    }

    #[test]
    fn paths_are_relative_to_the_file_and_a_day_is_the_default() {
        let config =
            load(&format!("{GOOD}[token]\npin = \"file:pin\"\n[tls]\ncert = \"a.pem\"\nkey = \"/b.key\""))
                .unwrap();
        assert_eq!(config.dir, Path::new("data"));
        assert_eq!(config.pin, PinSource::File(PathBuf::from("pin")));
        assert_eq!(config.snapshot_lifetime, Duration::from_secs(86_400));
        let tls = config.tls.unwrap();
        assert_eq!((tls.cert.as_path(), tls.key.as_path()), (Path::new("a.pem"), Path::new("/b.key")));
    }

    #[test]
    fn values_that_cannot_be_used_are_named() {
        let token = "[token]\npin = \"file:pin\"\n";
        for seconds in ["0", "1", "2678401"] {
            let text = format!("{GOOD}snapshot_lifetime_s = {seconds}\n{token}");
            assert_eq!(refused_value(&text), "snapshot_lifetime_s", "{seconds}");
        }
        assert_eq!(refused_value(&format!("{GOOD}[token]\npin = \"1234\"\n")), "token.pin");
        let text = format!("{GOOD}{token}").replace("http://registry.example", "registry.example");
        assert_eq!(refused_value(&text), "public_url");
    }

    #[test]
    fn unknown_and_missing_keys_are_refused() {
        for text in [
            format!("{GOOD}verify = false\n[token]\npin = \"prompt\"\n"),
            format!("{GOOD}[token]\npin = \"prompt\"\nslot = 1\n"),
            format!("{GOOD}[token]\npin = \"prompt\"\n[tls]\ncert = \"a\"\n"),
            GOOD.to_owned(),
        ] {
            assert!(matches!(load(&text), Err(ConfigError::Toml { .. })), "{text}");
        }
    }
}

//! Configuration files: TOML, unknown keys refused, errors that name file, line and key.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;

/// Why a configuration cannot be used. Exit code 2.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read the configuration {path}: {source}", path = .path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Not TOML, unknown or missing key, or a value of the wrong type.
    #[error("the configuration {path} is not valid: {reason}", path = .path.display())]
    Toml {
        /// Which.
        path: PathBuf,
        /// The parser's words, with line and key.
        reason: String,
    },
    /// A value that cannot be used.
    #[error("the configuration {path}: {key}: {reason}", path = .path.display())]
    Value {
        /// Which.
        path: PathBuf,
        /// Dotted name of the key.
        key: String,
        /// What is wrong with it.
        reason: String,
    },
}

/// Reads and parses a file into its raw form, which should be `deny_unknown_fields`.
///
/// # Errors
/// See [`ConfigError`].
pub fn load<T: DeserializeOwned>(path: &Path) -> Result<T, ConfigError> {
    let text = read(path).map_err(|source| ConfigError::Read { path: path.to_path_buf(), source })?;
    toml::from_str(&text).map_err(|error| ConfigError::Toml {
        path: path.to_path_buf(),
        reason: error.to_string().trim_end().to_owned(),
    })
}

/// A path in a configuration file is relative to the file's own directory.
#[must_use]
pub fn resolve(config_file: &Path, path: &Path) -> PathBuf {
    config_file.parent().unwrap_or(Path::new("")).join(path)
}

fn read(path: &Path) -> std::io::Result<String> {
    let mut text = String::new();
    File::open(path)?.take(CONFIG_BYTES_MAX + 1).read_to_string(&mut text)?;
    if text.len() as u64 > CONFIG_BYTES_MAX {
        return Err(std::io::Error::other(format!("it is larger than {CONFIG_BYTES_MAX} bytes")));
    }
    Ok(text)
}

/// Many times the largest configuration of a server with hundreds of services; stops a mistaken path to something huge.
const CONFIG_BYTES_MAX: u64 = 4 * 1024 * 1024;

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Deserialize, Eq, PartialEq)]
    #[serde(deny_unknown_fields)]
    struct Raw {
        listen: String,
        threads: u8,
    }

    fn load_text(text: &[u8]) -> Result<Raw, ConfigError> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("server.toml");
        std::fs::write(&path, text).unwrap();
        load(&path)
    }

    fn reason(text: &[u8]) -> String {
        match load_text(text).unwrap_err() {
            ConfigError::Toml { reason, .. } => reason,
            other => panic!("{other}"),
        }
    }

    #[test]
    fn reads_a_file() {
        let raw = load_text(b"listen = '127.0.0.1:1'\nthreads = 2\n").unwrap();
        assert_eq!(raw, Raw { listen: "127.0.0.1:1".to_owned(), threads: 2 });
    }

    #[test]
    fn names_line_and_key_of_an_unknown_key() {
        let reason = reason(b"listen = 'x'\nthreads = 2\nthreds = 3\n");
        assert!(reason.contains("line 3") && reason.contains("unknown field `threds`"), "{reason}");
    }

    #[test]
    fn names_a_missing_key_a_wrong_type_and_a_value_out_of_range() {
        assert!(reason(b"listen = 'x'\n").contains("missing field `threads`"));
        let wrong = reason(b"listen = 7\nthreads = 2\n");
        assert!(wrong.contains("line 1") && wrong.contains("expected a string"), "{wrong}");
        let range = reason(b"listen = 'x'\nthreads = 300\n");
        assert!(range.contains("line 2"), "{range}");
    }

    #[test]
    fn refuses_what_is_not_toml_or_given_twice() {
        assert!(reason(b"listen = ").contains("line 1"));
        assert!(reason(b"threads = 1\nthreads = 2\n").contains("duplicate key"));
    }

    #[test]
    fn refuses_missing_binary_and_huge_files() {
        let missing = load::<Raw>(Path::new("/nonexistent/server.toml")).unwrap_err();
        assert!(missing.to_string().contains("/nonexistent/server.toml"), "{missing}");
        assert!(matches!(load_text(b"\xff\xfe"), Err(ConfigError::Read { .. })));
        let huge = vec![b'#'; usize::try_from(CONFIG_BYTES_MAX).unwrap() + 1];
        assert!(matches!(load_text(&huge), Err(ConfigError::Read { .. })));
    }

    #[test]
    fn paths_are_relative_to_the_file() {
        let file = Path::new("/etc/kogge/server.toml");
        assert_eq!(resolve(file, Path::new("token")), Path::new("/etc/kogge/token"));
        assert_eq!(resolve(file, Path::new("/var/token")), Path::new("/var/token"));
        assert_eq!(resolve(Path::new("server.toml"), Path::new("token")), Path::new("token"));
    }
}

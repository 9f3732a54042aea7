//! The configuration anchor: which instance, where its registry publishes, and whose keys must have signed.
//!
//! An anchor is a small TOML file that an operator receives out of band and pins. Everything else that a security server or
//! an auditor believes follows from it.
//!
//! ```toml
//! instance = "EE"
//! environment = "production"
//! registry_urls = ["https://registry.example/"]
//! root_threshold = 2
//! root_keys = ["MFkwEwYH…", "MFkwEwYH…", "-----BEGIN PUBLIC KEY-----…"]
//! ```

use std::collections::BTreeSet;
use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use kogge_proto::id::{IdError, MemberId};
use serde::{Deserialize, Serialize};

use crate::key::{KeyError, PublicKey, SignatureScheme};
use crate::snapshot::{EndpointError, check_http_url};

/// Whether an instance carries real data. Development trust services refuse to serve a production instance, and a
/// snapshot of the one kind is never accepted under an anchor of the other.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Environment {
    /// Development, test and demonstration.
    Test,
    /// Real data of real people.
    Production,
}

impl Environment {
    /// The word in anchors and snapshots: `test` or `production`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Test => "test",
            Self::Production => "production",
        }
    }

    /// From the word; `None` for any other text.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "test" => Some(Self::Test),
            "production" => Some(Self::Production),
            _ => None,
        }
    }
}

impl fmt::Display for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A pinned anchor; always valid.
#[derive(Clone, Debug)]
pub struct Anchor {
    instance: String,
    environment: Environment,
    registry_urls: Vec<String>,
    root_keys: Vec<PublicKey>,
    root_threshold: u32,
}

impl Anchor {
    /// From its parts.
    ///
    /// # Errors
    /// A part is not valid; see [`AnchorError`].
    pub fn new(
        instance: &str,
        environment: Environment,
        registry_urls: Vec<String>,
        root_keys: Vec<PublicKey>,
        root_threshold: u32,
    ) -> Result<Self, AnchorError> {
        check_instance(instance)?;
        if registry_urls.is_empty() {
            return Err(AnchorError::NoUrls);
        }
        if registry_urls.len() > ANCHOR_URLS_MAX {
            return Err(AnchorError::TooManyUrls);
        }
        for url in &registry_urls {
            check_http_url(url)?;
        }
        if root_keys.len() > ANCHOR_KEYS_MAX {
            return Err(AnchorError::TooManyKeys);
        }
        if root_keys.iter().any(|key| SignatureScheme::for_messages(key.kind()).is_none()) {
            return Err(AnchorError::Key(KeyError::Scheme));
        }
        let distinct = root_keys.iter().map(PublicKey::key_id).collect::<BTreeSet<_>>().len();
        if distinct != root_keys.len() {
            return Err(AnchorError::RepeatedKey);
        }
        if root_threshold == 0 || usize::try_from(root_threshold).is_ok_and(|threshold| threshold > distinct)
        {
            return Err(AnchorError::Threshold { threshold: root_threshold, keys: distinct });
        }
        Ok(Self { instance: instance.to_owned(), environment, registry_urls, root_keys, root_threshold })
    }

    /// From the TOML text of an anchor file.
    ///
    /// # Errors
    /// The text is too long, not TOML, has an unknown or missing key, or a part is not valid.
    pub fn parse(text: &str) -> Result<Self, AnchorError> {
        if text.len() > ANCHOR_BYTES_MAX {
            return Err(AnchorError::TooLong);
        }
        let raw: RawAnchor = toml::from_str(text).map_err(|error| AnchorError::Toml(error.to_string()))?;
        let root_keys = raw.root_keys.iter().map(|key| parse_key(key)).collect::<Result<_, _>>()?;
        Self::new(&raw.instance, raw.environment, raw.registry_urls, root_keys, raw.root_threshold)
    }

    /// The text of an anchor file; [`Anchor::parse`] reads it back.
    #[must_use]
    pub fn to_toml(&self) -> String {
        let urls: Vec<String> = self.registry_urls.iter().map(|url| format!("{url:?}")).collect();
        let mut text = format!(
            "# Kogge configuration anchor. Whoever holds the root keys below decides who takes part in this instance:\n\
             # compare this file with the operator of the instance by another way than the one it came by.\n\
             instance = {}\n\
             environment = \"{}\"\n\
             registry_urls = [{}]\n\
             root_threshold = {}\n\
             root_keys = [\n",
            toml::Value::String(self.instance.clone()),
            self.environment,
            urls.join(", "),
            self.root_threshold,
        );
        for key in &self.root_keys {
            text.push_str(&format!("    \"{}\", # SHA-256 {}\n", STANDARD.encode(key.spki()), key.key_id()));
        }
        text.push_str("]\n");
        text
    }

    /// The instance's code, first part of every identifier.
    #[must_use]
    pub fn instance(&self) -> &str {
        &self.instance
    }

    /// Test or production.
    #[must_use]
    pub fn environment(&self) -> Environment {
        self.environment
    }

    /// Base URLs of the registry and its mirrors, in the order to try; at least one. The snapshot is at `{url}/snapshot`.
    #[must_use]
    pub fn registry_urls(&self) -> &[String] {
        &self.registry_urls
    }

    /// The pinned root keys, distinct, at least one.
    #[must_use]
    pub fn root_keys(&self) -> &[PublicKey] {
        &self.root_keys
    }

    /// How many of the root keys must have signed the delegation; from 1 to the number of keys.
    #[must_use]
    pub fn root_threshold(&self) -> u32 {
        self.root_threshold
    }
}

/// Why an anchor is refused. The fault is with the file.
#[derive(Debug, thiserror::Error)]
pub enum AnchorError {
    /// Longer than [`ANCHOR_BYTES_MAX`].
    #[error("the anchor is longer than {ANCHOR_BYTES_MAX} bytes")]
    TooLong,
    /// Not TOML, or a key is unknown, missing or of the wrong type.
    #[error("the anchor is not well-formed: {0}")]
    Toml(String),
    /// The instance code is not valid.
    #[error("the anchor's instance is not valid: {0}")]
    Instance(#[source] IdError),
    /// There is no registry URL.
    #[error("the anchor names no registry_urls")]
    NoUrls,
    /// More than [`ANCHOR_URLS_MAX`] URLs.
    #[error("the anchor has more than {ANCHOR_URLS_MAX} registry_urls")]
    TooManyUrls,
    /// A registry URL is not an HTTP(S) URL.
    #[error("the anchor's registry_urls: {0}")]
    Url(#[from] EndpointError),
    /// A root key is neither base64 nor PEM.
    #[error("a root key of the anchor is neither base64 nor PEM of a SubjectPublicKeyInfo")]
    KeyEncoding,
    /// A root key is of a kind that is not accepted.
    #[error("a root key of the anchor is not acceptable: {0}")]
    Key(#[source] KeyError),
    /// More than [`ANCHOR_KEYS_MAX`] keys.
    #[error("the anchor has more than {ANCHOR_KEYS_MAX} root_keys")]
    TooManyKeys,
    /// A root key is listed twice; it would count twice.
    #[error("the anchor lists a root key twice")]
    RepeatedKey,
    /// The threshold is zero or cannot be reached.
    #[error(
        "the anchor's root_threshold is {threshold}; it must be between 1 and the number of root keys, {keys}"
    )]
    Threshold {
        /// As written.
        threshold: u32,
        /// Number of root keys.
        keys: usize,
    },
}

/// The file as written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawAnchor {
    instance: String,
    environment: Environment,
    registry_urls: Vec<String>,
    root_keys: Vec<String>,
    root_threshold: u32,
}

fn check_instance(instance: &str) -> Result<(), AnchorError> {
    // The rule for codes lives with the identifiers; any two further codes make a whole one.
    MemberId::new(instance, "X", "X").map(drop).map_err(AnchorError::Instance)
}

fn parse_key(text: &str) -> Result<PublicKey, AnchorError> {
    let text = text.trim();
    let body = match text.strip_prefix(PEM_BEGIN) {
        Some(rest) => rest.strip_suffix(PEM_END).ok_or(AnchorError::KeyEncoding)?,
        None => text,
    };
    let base64: String = body.chars().filter(|c| !c.is_ascii_whitespace()).collect();
    let spki = STANDARD.decode(base64).map_err(|_| AnchorError::KeyEncoding)?;
    PublicKey::from_spki(&spki).map_err(AnchorError::Key)
}

/// Longest anchor file: room for [`ANCHOR_KEYS_MAX`] RSA keys.
pub const ANCHOR_BYTES_MAX: usize = 64 * 1024;
/// Most root keys.
pub const ANCHOR_KEYS_MAX: usize = 16;
/// Most registry URLs.
pub const ANCHOR_URLS_MAX: usize = 16;
const PEM_BEGIN: &str = "-----BEGIN PUBLIC KEY-----";
const PEM_END: &str = "-----END PUBLIC KEY-----";

#[cfg(test)]
mod tests;

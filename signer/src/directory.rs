//! The token's directory: where each file is, and what can be known and changed without the PIN.

use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use kogge_certs::certificate::Certificate;
use kogge_certs::key::PublicKey;
use kogge_proto::digest::Sha256;
use serde::{Deserialize, Serialize};

use crate::file::{self, Kind, damaged, unreadable};
use crate::seal::Sealed;
use crate::{KeyEntry, KeyUse, TokenError};

/// What can be known of a token without its PIN: keys and certificates, keys in the order of their labels. Operators list with it.
///
/// # Errors
/// There is no token, or a file of it is damaged.
pub fn entries(dir: &Path) -> Result<Vec<KeyEntry>, TokenError> {
    require_token(dir)?;
    let mut entries = Vec::new();
    for path in files(&keys(dir), ".key")? {
        if let Some(content) = file::read::<KeyFile>(&path, Kind::Key)? {
            let mut entry = content.public(&path)?;
            entry.chains = chains(dir, &entry)?;
            entries.push(entry);
        }
    }
    entries.sort_by(|a, b| (&a.label, a.id.as_bytes()).cmp(&(&b.label, b.id.as_bytes())));
    Ok(entries)
}

/// Stores a certificate with its intermediates (leaf first) beside the key it belongs to; needs no PIN. Importing the same again
/// changes nothing. Returns the key's id.
///
/// # Errors
/// The leaf's key is not in the token, the list is empty, or the directory cannot be written.
pub fn import_chain(dir: &Path, chain: &[Certificate]) -> Result<Sha256, TokenError> {
    require_token(dir)?;
    let leaf = chain.first().ok_or(TokenError::NoCertificate)?;
    let id = leaf.public_key().key_id();
    if !key_file(dir, &id).exists() {
        return Err(TokenError::ForeignCertificate);
    }
    let pem: String = chain.iter().map(Certificate::to_pem).collect();
    kogge_durable::write_atomic(&chain_file(dir, &id, &leaf.sha256()), pem.as_bytes(), false)?;
    Ok(id)
}

/// The content of a key's file.
#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct KeyFile {
    #[serde(rename = "use")]
    key_use: String,
    label: String,
    /// SubjectPublicKeyInfo, base64.
    public_key: String,
    /// PKCS#8, sealed.
    pub(crate) private_key: Sealed,
}

impl KeyFile {
    pub(crate) fn new(public_key: &PublicKey, key_use: KeyUse, label: &str, private_key: Sealed) -> Self {
        Self {
            key_use: key_use.as_str().to_owned(),
            label: label.to_owned(),
            public_key: STANDARD.encode(public_key.spki()),
            private_key,
        }
    }

    /// The public part, if it is the one that the name of the file at `path` says. Chains are not looked for.
    pub(crate) fn public(&self, path: &Path) -> Result<KeyEntry, TokenError> {
        let key_use = KeyUse::parse(&self.key_use).ok_or_else(|| damaged(path, "it has an unknown use"))?;
        let spki =
            STANDARD.decode(&self.public_key).map_err(|_| damaged(path, "its public key is malformed"))?;
        let public_key = PublicKey::from_spki(&spki).map_err(|error| damaged(path, &error.to_string()))?;
        let id = public_key.key_id();
        if path.file_name() != key_file(Path::new(""), &id).file_name() {
            return Err(damaged(path, "its name is not that of the key in it"));
        }
        Ok(KeyEntry { id, key_use, label: self.label.clone(), public_key, chains: Vec::new() })
    }
}

pub(crate) fn token_file(dir: &Path) -> PathBuf {
    dir.join("token")
}

pub(crate) fn keys(dir: &Path) -> PathBuf {
    dir.join("keys")
}

pub(crate) fn certificates(dir: &Path) -> PathBuf {
    dir.join("certificates")
}

pub(crate) fn key_file(dir: &Path, id: &Sha256) -> PathBuf {
    keys(dir).join(format!("{id}.key"))
}

fn chain_file(dir: &Path, id: &Sha256, leaf: &Sha256) -> PathBuf {
    certificates(dir).join(format!("{id}.{leaf}.pem"))
}

fn require_token(dir: &Path) -> Result<(), TokenError> {
    if token_file(dir).exists() { Ok(()) } else { Err(TokenError::Missing(dir.to_path_buf())) }
}

/// A key's chains, the one that became valid last at the end.
fn chains(dir: &Path, entry: &KeyEntry) -> Result<Vec<Vec<Certificate>>, TokenError> {
    let mut chains = Vec::new();
    for path in files(&certificates(dir), ".pem")? {
        let is_ours = path
            .file_name()
            .and_then(|name| name.to_str())
            .is_some_and(|name| name.split_once('.').is_some_and(|(id, _)| id == entry.id.to_string()));
        if is_ours {
            chains.push(read_chain(dir, &path, entry)?);
        }
    }
    chains.sort_by_key(|(from, leaf, _)| (*from, *leaf));
    Ok(chains.into_iter().map(|(_, _, chain)| chain).collect())
}

fn read_chain(
    dir: &Path,
    path: &Path,
    entry: &KeyEntry,
) -> Result<(i64, [u8; 32], Vec<Certificate>), TokenError> {
    let bytes = file::read_bytes(path)?.ok_or_else(|| damaged(path, "it vanished while it was read"))?;
    let text = std::str::from_utf8(&bytes).map_err(|_| damaged(path, "it is not text"))?;
    let chain = Certificate::from_pem(text).map_err(|error| damaged(path, &error.to_string()))?;
    let leaf = chain.first().ok_or_else(|| damaged(path, "it is empty"))?;
    if *leaf.public_key() != entry.public_key || path != chain_file(dir, &entry.id, &leaf.sha256()) {
        return Err(damaged(path, "its name is not that of the certificate in it"));
    }
    Ok((leaf.not_before().0, leaf.sha256().0, chain))
}

/// The files in `dir` with this ending; what a crash left of an unfinished write starts with a dot and is none.
fn files(dir: &Path, ending: &str) -> Result<Vec<PathBuf>, TokenError> {
    let mut files = Vec::new();
    for found in std::fs::read_dir(dir).map_err(|source| unreadable(dir, source))? {
        let name = found.map_err(|source| unreadable(dir, source))?.file_name();
        if name.to_str().is_some_and(|name| name.ends_with(ending) && !name.starts_with('.')) {
            files.push(dir.join(name));
        }
    }
    files.sort();
    Ok(files)
}

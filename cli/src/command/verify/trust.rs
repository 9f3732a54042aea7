//! What evidence is checked against: a registry snapshot that the anchor vouches for, or an X-Road configuration directory.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use kogge_certs::anchor::Anchor;
use kogge_certs::snapshot::VerifiedSnapshot;
use kogge_evidence::globalconf::{GlobalConf, SHARED_PARAMS_BYTES_MAX};
use kogge_proto::digest::{Sha256, sha256};
use serde_json::{Value, json};

use super::{Args, bundle, snapshot};
use crate::output;

/// What the user trusts.
pub(super) enum Trust {
    /// A snapshot, and where it comes from.
    Snapshot(SnapshotSource, Box<VerifiedSnapshot>),
    /// An anchor alone: each bundle brings its snapshot along.
    Anchor(PathBuf, Anchor),
    /// A configuration directory, with the SHA-256 of each of its documents that was read.
    GlobalConf(PathBuf, Documents, GlobalConf),
}

/// The files of a snapshot's trust.
pub(super) struct SnapshotSource {
    path: PathBuf,
    anchor_path: PathBuf,
    pub(super) anchor: Anchor,
}

/// Paths within a configuration directory, with digests.
type Documents = Vec<(String, Sha256)>;

impl Trust {
    /// Reads what the arguments name.
    ///
    /// # Errors
    /// It cannot be read, or the anchor does not vouch for it.
    pub(super) fn load(args: &Args) -> anyhow::Result<Self> {
        if let Some(directory) = &args.globalconf {
            let (documents, conf) = load_globalconf(directory)
                .with_context(|| format!("cannot use the configuration directory {}", directory.display()))?;
            return Ok(Self::GlobalConf(directory.clone(), documents, conf));
        }
        let Some(anchor_path) = &args.anchor else { bail!("name an --anchor or a --globalconf") };
        let anchor = snapshot::load_anchor(anchor_path)?;
        if args.snapshot.is_none() && args.paths.iter().all(|path| bundle::is_one(path)) {
            return Ok(Self::Anchor(anchor_path.clone(), anchor));
        }
        let (path, snapshot) = match &args.snapshot {
            Some(path) => (path.clone(), snapshot::load(path, &anchor)?),
            None => snapshot::find(&args.paths, anchor_path, &anchor)?,
        };
        let source = SnapshotSource { path, anchor_path: anchor_path.clone(), anchor };
        Ok(Self::Snapshot(source, Box::new(snapshot)))
    }

    /// What is checked against, in a sentence, and what there is to say about it.
    pub(super) fn describe(&self) -> Vec<String> {
        match self {
            Self::Anchor(path, anchor) => vec![format!(
                "checking against the anchor {} of instance {}, each bundle by the registry snapshot in it",
                path.display(),
                output::line(anchor.instance())
            )],
            Self::Snapshot(source, snapshot) => vec![format!(
                "checking against registry snapshot {} of instance {} ({}), issued {}, from {}",
                snapshot.version(),
                output::line(snapshot.instance()),
                snapshot.environment(),
                snapshot.issued(),
                source.path.display()
            )],
            Self::GlobalConf(directory, _, conf) => {
                let instances: Vec<String> = conf.instances().map(output::line).collect();
                let mut lines = vec![format!(
                    "checking against the X-Road configuration directory {} of instance {} (instances: {}), which is taken as given",
                    directory.display(),
                    output::line(conf.instance()),
                    instances.join(", ")
                )];
                lines.extend(
                    conf.passed_over().iter().map(|reason| format!("passed over: {}", output::line(reason))),
                );
                lines
            }
        }
    }

    /// The member of the JSON object that says what was checked against.
    pub(super) fn as_json(&self) -> (&'static str, Value) {
        match self {
            Self::Anchor(path, anchor) => ("anchor", anchor_json(path, anchor)),
            Self::Snapshot(source, snapshot) => {
                let value = json!({
                    "path": source.path.display().to_string(),
                    "sha256": sha256(snapshot.bytes()).to_string(),
                    "instance": snapshot.instance(),
                    "environment": snapshot.environment().to_string(),
                    "version": snapshot.version(),
                    "issued": snapshot.issued().to_string(),
                    "expires": snapshot.expires().to_string(),
                    "anchor": anchor_json(&source.anchor_path, &source.anchor),
                });
                ("snapshot", value)
            }
            Self::GlobalConf(directory, documents, conf) => {
                let value = json!({
                    "path": directory.display().to_string(),
                    "instance": conf.instance(),
                    "instances": conf.instances().collect::<Vec<_>>(),
                    "passed_over": conf.passed_over(),
                    "documents": documents
                        .iter()
                        .map(|(path, sha256)| json!({ "path": path, "sha256": sha256.to_string() }))
                        .collect::<Vec<_>>(),
                });
                ("globalconf", value)
            }
        }
    }
}

fn anchor_json(path: &Path, anchor: &Anchor) -> Value {
    let root_keys: Vec<String> =
        anchor.root_keys().iter().map(|key| sha256(key.spki()).to_string()).collect();
    json!({
        "path": path.display().to_string(),
        "root_keys_sha256": root_keys,
        "root_threshold": anchor.root_threshold(),
    })
}

/// `instance-identifier`, and the `shared-params.xml` of each directory beside it.
fn load_globalconf(directory: &Path) -> anyhow::Result<(Documents, GlobalConf)> {
    let instance = read(&directory.join("instance-identifier"), IDENTIFIER_BYTES_MAX)?;
    let instance = String::from_utf8(instance).context("instance-identifier is not UTF-8")?;
    let (mut documents, mut contents) = (Documents::new(), Vec::new());
    for entry in std::fs::read_dir(directory).context("cannot be listed")? {
        let entry = entry.context("cannot be listed")?;
        let path = entry.path().join("shared-params.xml");
        if !path.exists() {
            continue;
        }
        if documents.len() >= INSTANCES_MAX {
            bail!("it has more than {INSTANCES_MAX} instances");
        }
        let content = read(&path, SHARED_PARAMS_BYTES_MAX)?;
        let name = format!("{}/shared-params.xml", entry.file_name().to_string_lossy());
        documents.push((name, sha256(&content)));
        contents.push(content);
    }
    documents.sort();
    Ok((documents, GlobalConf::read(&instance, contents)?))
}

fn read(path: &Path, bytes_max: usize) -> anyhow::Result<Vec<u8>> {
    let what = || format!("cannot read {}", path.display());
    let mut content = Vec::new();
    File::open(path)
        .and_then(|file| file.take(bytes_max as u64 + 1).read_to_end(&mut content))
        .with_context(what)?;
    if content.len() > bytes_max {
        bail!("{} is larger than {bytes_max} bytes", path.display());
    }
    Ok(content)
}

/// An identifier, and a line end.
const IDENTIFIER_BYTES_MAX: usize = 1024;
/// X-Road's federations have a handful.
const INSTANCES_MAX: usize = 16;

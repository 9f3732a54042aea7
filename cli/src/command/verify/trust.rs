//! What evidence is checked against: a registry snapshot that the anchor vouches for, or an X-Road configuration directory.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use kogge_certs::snapshot::VerifiedSnapshot;
use kogge_evidence::globalconf::{GlobalConf, SHARED_PARAMS_BYTES_MAX};
use serde_json::{Value, json};

use super::{Args, snapshot};
use crate::output;

/// What the user trusts.
pub(super) enum Trust {
    /// A snapshot, and the file that it was read from.
    Snapshot(PathBuf, Box<VerifiedSnapshot>),
    /// A configuration directory.
    GlobalConf(PathBuf, GlobalConf),
}

impl Trust {
    /// Reads what the arguments name.
    ///
    /// # Errors
    /// It cannot be read, or the anchor does not vouch for it.
    pub(super) fn load(args: &Args) -> anyhow::Result<Self> {
        if let Some(directory) = &args.globalconf {
            let conf = load_globalconf(directory)
                .with_context(|| format!("cannot use the configuration directory {}", directory.display()))?;
            return Ok(Self::GlobalConf(directory.clone(), conf));
        }
        let Some(anchor_path) = &args.anchor else { bail!("name an --anchor or a --globalconf") };
        let anchor = snapshot::load_anchor(anchor_path)?;
        let (source, snapshot) = match &args.snapshot {
            Some(path) => (path.clone(), snapshot::load(path, &anchor)?),
            None => snapshot::find(&args.paths, anchor_path, &anchor)?,
        };
        Ok(Self::Snapshot(source, Box::new(snapshot)))
    }

    /// What is checked against, in a sentence, and what there is to say about it.
    pub(super) fn describe(&self) -> Vec<String> {
        match self {
            Self::Snapshot(source, snapshot) => vec![format!(
                "checking against registry snapshot {} of instance {} ({}), issued {}, from {}",
                snapshot.version(),
                output::line(snapshot.instance()),
                snapshot.environment(),
                snapshot.issued(),
                source.display()
            )],
            Self::GlobalConf(directory, conf) => {
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
            Self::Snapshot(source, snapshot) => {
                let value = json!({
                    "path": source.display().to_string(),
                    "instance": snapshot.instance(),
                    "version": snapshot.version(),
                    "issued": snapshot.issued().to_string(),
                });
                ("snapshot", value)
            }
            Self::GlobalConf(directory, conf) => {
                let value = json!({
                    "path": directory.display().to_string(),
                    "instance": conf.instance(),
                    "instances": conf.instances().collect::<Vec<_>>(),
                    "passed_over": conf.passed_over(),
                });
                ("globalconf", value)
            }
        }
    }
}

/// `instance-identifier`, and the `shared-params.xml` of each directory beside it.
fn load_globalconf(directory: &Path) -> anyhow::Result<GlobalConf> {
    let instance = read(&directory.join("instance-identifier"), IDENTIFIER_BYTES_MAX)?;
    let instance = String::from_utf8(instance).context("instance-identifier is not UTF-8")?;
    let mut documents = Vec::new();
    for entry in std::fs::read_dir(directory).context("cannot be listed")? {
        let path = entry.context("cannot be listed")?.path().join("shared-params.xml");
        if !path.exists() {
            continue;
        }
        if documents.len() >= INSTANCES_MAX {
            bail!("it has more than {INSTANCES_MAX} instances");
        }
        documents.push(read(&path, SHARED_PARAMS_BYTES_MAX)?);
    }
    Ok(GlobalConf::read(&instance, documents)?)
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

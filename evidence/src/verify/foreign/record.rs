//! Evidence records in containers (EN 319 162-1 clauses 4.3.3.2 and 4.4.3.2): what they are about, and the root that follows.

use std::collections::BTreeSet;

use kogge_certs::timestamp::ContentDigests;

use super::archive::Archive;
use super::manifest::{self, AsicManifest};
use super::names::{is_evidence_record, is_evidence_record_manifest};
use super::{Digest, method_of};
use crate::evidence_record::EvidenceRecord;
use crate::verify::digest_method::DigestMethod;
use crate::verify::finding::{Flaw, wrong};

/// An evidence record with the files that it is about.
pub(super) struct Record {
    /// Its own name.
    pub(super) name: String,
    /// What it is about, with the digests that its manifest has.
    objects: Vec<(String, Digest)>,
}

/// The records whose manifests name this file.
pub(super) fn about(archive: &Archive, file: &str) -> Result<Vec<Record>, Flaw> {
    let mut found = Vec::new();
    for (name, content) in archive.files.iter().filter(|(name, _)| is_evidence_record_manifest(name)) {
        let content = content.as_deref().map_err(Clone::clone)?;
        let AsicManifest { about, objects, .. } =
            manifest::read_asic(content).map_err(|reason| wrong(format!("{name}: {reason}")))?;
        if objects.iter().any(|(object, _)| object == file) {
            found.push(Record { name: about, objects });
        }
    }
    Ok(found)
}

impl Record {
    /// The token, and what it must be about: every file of the manifest has the digest that is there, and leads to the same root.
    pub(super) fn token(&self, archive: &Archive) -> Result<(Vec<u8>, ContentDigests), Flaw> {
        let record = read(archive.must(&self.name)?)?;
        let mut root = None;
        for (name, digest) in &self.objects {
            let absent = || wrong(format!("{} is about {name}, which is not there", self.name));
            let method = method_of(name, digest)?;
            if archive.digest(name, method).ok_or_else(absent)?? != digest.value {
                return Err(wrong(format!("{name} is not what the manifest of {} says", self.name)));
            }
            let leaf = archive.digest(name, DigestMethod::Sha256).ok_or_else(absent)??;
            let found = root_of(&record, &leaf, name)?;
            if *root.get_or_insert(found.clone()) != found {
                return Err(wrong(format!("the files of {} lead to different roots", self.name)));
            }
        }
        let root = root.ok_or_else(|| wrong(format!("{} is about nothing", self.name)))?;
        Ok((record.first.token.clone(), ContentDigests { sha256: Some(root), ..ContentDigests::default() }))
    }
}

/// Of a record that is about one file alone.
pub(super) fn token_about(record: &[u8], leaf: &[u8], name: &str) -> Result<(Vec<u8>, ContentDigests), Flaw> {
    let record = read(record)?;
    let root = root_of(&record, leaf, name)?;
    Ok((record.first.token.clone(), ContentDigests { sha256: Some(root), ..ContentDigests::default() }))
}

/// What was renewed is not judged here, so it is not passed over either.
fn read(der: &[u8]) -> Result<EvidenceRecord, Flaw> {
    let record = EvidenceRecord::from_der(der).map_err(wrong)?;
    if record.renewals.is_empty() {
        Ok(record)
    } else {
        Err(wrong("an evidence record that was renewed is not read in containers of others"))
    }
}

fn root_of(record: &EvidenceRecord, leaf: &[u8], name: &str) -> Result<Vec<u8>, Flaw> {
    let leaf = kogge_proto::digest::Sha256::from_slice(leaf);
    let root = leaf.and_then(|leaf| record.root_of(leaf));
    let root = root.ok_or_else(|| wrong(format!("{name} is not in the evidence record's hash tree")))?;
    Ok(root.as_bytes().to_vec())
}

/// Records that no manifest is about, and manifests of which no file is a signature: nothing looks at them.
pub(super) fn unused(archive: &Archive, covered: Option<&BTreeSet<String>>) -> Vec<String> {
    let mut used = BTreeSet::new();
    for name in archive.signature_names() {
        used.extend(about(archive, name).into_iter().flatten().map(|record| record.name));
    }
    // ASiC-S: the one file that is covered.
    let alone = covered.is_some() && archive.signature_names().next().is_none();
    let records = archive.files.keys().filter(|name| is_evidence_record(name));
    records.filter(|name| !alone && !used.contains(*name)).cloned().collect()
}

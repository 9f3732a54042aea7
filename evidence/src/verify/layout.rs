//! Whether a container is byte for byte what this project writes for its parts.
//!
//! The last check, and the only one that shares code with the writer: bytes of ZIP headers, manifests and XML that no digest covers cannot
//! be judged by meaning, but they can be compared.

use std::io::{Read, Seek};

use bytes::Bytes;
use kogge_proto::digest::{Sha512, sha256, sha512};
use kogge_proto::wire::evidence as wire;

use super::archive::{self, Archive};
use super::checks::Judged;
use super::document::{self, SignatureDocument};
use super::finding::{Finding, Flaw, depend, need, wrong};
use super::hash_chain;
use crate::container;
use crate::material::Material;
use crate::report::Report;
use crate::signature::Parts;
use crate::stored_zip;
use crate::xades::{self, HashChain};

/// `container.manifest`: the manifests say of the parts what they must.
pub(super) fn manifests(archive: &Archive) -> Finding<()> {
    let manifest = archive.manifest.as_ref().map_err(Clone::clone)?;
    if manifest != container::manifest(archive.body.is_some(), archive.hash_chain.is_some()).as_bytes() {
        return Err(wrong("the manifest does not list exactly the parts with their types"));
    }
    let Some(of_record) = &archive.evidence_record_manifest else {
        return Ok(((), "the manifest lists exactly the parts".to_owned()));
    };
    let of_record = of_record.as_ref().map_err(Clone::clone)?;
    let signatures = depend(&archive.signatures)?;
    if of_record != container::evidence_record_manifest(sha256(signatures)).as_bytes() {
        return Err(wrong("the evidence record's manifest does not name the signature with its digest"));
    }
    Ok(((), "the manifests list exactly the parts and the signature".to_owned()))
}

/// `container.layout`, where another reader has judged the evidence.
pub(super) fn check_alone(mut file: impl Read + Seek) -> Finding<()> {
    file.rewind().map_err(wrong)?;
    let mut unused = Report::new();
    let archive = archive::read(&mut file, &mut unused);
    if let Some(flaw) = unused.failed().next() {
        return Err(wrong(&flaw.reason));
    }
    let (((), _), document) =
        (manifests(&archive)?, document::read(depend(&archive.signatures)?).map_err(wrong)?);
    let chain = match &archive.hash_chain {
        Some(files) => Some(hash_chain::read(depend(&files.result)?, depend(&files.chain)?).map_err(wrong)?),
        None => None,
    };
    let judged = Judged { document: Some(document), hash_chain: chain, ..Judged::default() };
    check(file, &archive, &judged)
}

/// `container.layout`.
pub(super) fn check(file: impl Read + Seek, archive: &Archive, judged: &Judged) -> Finding<()> {
    let document = need(judged.document.as_ref(), "signature.xml")?;
    let written = rewritten(archive, document, judged.hash_chain.as_ref())?;
    if written.signatures != *depend(&archive.signatures)? {
        return Err(wrong("the signature document is not written as its content would be"));
    }
    match (&archive.hash_chain, written.hash_chain) {
        (None, None) => (),
        (Some(files), Some(HashChain { result, chain }))
            if result == *depend(&files.result)? && chain == *depend(&files.chain)? => {}
        _ => return Err(wrong("the hash chain is not written as its content would be")),
    }
    if archive.entries.is_empty() {
        return Err(Flaw::Missing("not checked: the entries cannot be read".to_owned()));
    }
    if stored_zip::frame_holds(file, &archive.entries).map_err(wrong)? {
        Ok(((), "every byte around the parts is as it must be".to_owned()))
    } else {
        Err(wrong(
            "bytes around the parts are not as they must be: the file was altered or written by another program",
        ))
    }
}

/// What the writer makes of a signature.
struct Rewritten {
    signatures: Vec<u8>,
    hash_chain: Option<HashChain>,
}

/// The documents that follow from what was read.
fn rewritten(
    archive: &Archive,
    document: &SignatureDocument,
    hash_chain: Option<&hash_chain::HashChain>,
) -> Result<Rewritten, Flaw> {
    let message = sha512(depend(&archive.message)?);
    let body: Option<Sha512> = archive.body.as_ref().map(depend).transpose()?.copied();
    let method = match document.method.rsplit_once('#').map(|(_, name)| name) {
        Some("ecdsa-sha256") => wire::SignatureMethod::EcdsaP256Sha256,
        Some("rsa-sha512") => wire::SignatureMethod::RsaSha512,
        Some("sha512-rsa-MGF1") => wire::SignatureMethod::RsaPssSha512,
        Some("eddsa-ed25519") => wire::SignatureMethod::Ed25519,
        _ => return Err(wrong("the signature method is not one of this project's")),
    };
    let batch = hash_chain.map(|chain| {
        let (siblings, left) =
            chain.siblings().ok_or_else(|| wrong("the hash chain is not a way through a binary tree"))?;
        Ok(wire::BatchProof { siblings, left })
    });
    let digest = |item: &Vec<u8>| sha256(item).as_bytes().to_vec();
    let signature = wire::Signature {
        method: method.into(),
        signing_time_ms: document.signing_time.0,
        value: document.value.clone(),
        certificate_sha256: digest(&document.certificate),
        ocsp_sha256: digest(&document.ocsp),
        issuer_sha256: document.issuers.iter().map(digest).collect(),
        batch: batch.transpose()?,
    };
    let items = [&document.certificate, &document.ocsp].into_iter().chain(&document.issuers);
    let material = wire::Material { items: items.map(|item| Bytes::copy_from_slice(item)).collect() };
    let material = Material::new(&material).map_err(wrong)?;
    let parts = Parts { message, body };
    Ok(Rewritten {
        signatures: xades::document(&signature, &parts, &material).map_err(wrong)?,
        hash_chain: xades::hash_chain(&signature, &parts).map_err(wrong)?,
    })
}

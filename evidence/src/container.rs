//! ASiC-E containers (ETSI EN 319 162-1): writing them byte for byte reproducibly.
//!
//! A container has these entries in this order, all stored: [`MIMETYPE`], [`MESSAGE`], [`BODY`] if the message has one,
//! [`MANIFEST`], [`SIGNATURES`], [`HASH_CHAIN_RESULT`] and [`HASH_CHAIN`] if the message was signed together with others, and once the record is stamped [`EVIDENCE_RECORD`] with [`EVIDENCE_RECORD_MANIFEST`].
//!
//! The evidence record covers `META-INF/signatures.xml` and nothing else (its manifest says so): the signature has
//! digests of all parts, so what proves the time of the signature proves the time of the parts, and a record in the log needs one leaf
//! however large its body is.
//!
//! [`xroad`] writes the other form, which X-Road's own verifier reads.

pub mod xroad;

use std::io::{self, Read, Seek, Write};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use kogge_proto::digest::{Sha256, Sha512, Sha512Hasher, sha256, sha512};
use kogge_proto::wire::evidence as wire;
use kogge_proto::wire::log::{MessageRecord, StampRecord, body::Place};

use crate::evidence_record::{EvidenceRecord, EvidenceRecordError};
use crate::material::{Material, MaterialError};
use crate::renewal::{RenewalError, Renewals};
use crate::signature::{Parts, SignatureError};
use crate::stored_zip::Writer;
use crate::timestamp_chain::TimestampChainError;
use crate::xades::{
    self, ASIC, BODY_MEDIA_TYPE, DS, HASH_CHAIN_RESULT_MEDIA_TYPE, HashChain, MESSAGE_MEDIA_TYPE, SHA256,
};

/// Name of the first entry, whose content is [`MEDIA_TYPE`].
pub const MIMETYPE: &str = "mimetype";
/// The REST message part; plain text, named as in X-Road.
pub const MESSAGE: &str = "message.xml";
/// The body part.
pub const BODY: &str = "attachment1";
/// OpenDocument manifest: the media types of the parts.
pub const MANIFEST: &str = "META-INF/manifest.xml";
/// The XAdES signature.
pub const SIGNATURES: &str = "META-INF/signatures.xml";
/// What a batch signature is about: the result of the hash chain. As in X-Road.
pub const HASH_CHAIN_RESULT: &str = "sig-hashchainresult.xml";
/// The message's way to the result. As in X-Road.
pub const HASH_CHAIN: &str = "sig-hashchain.xml";
/// The RFC 4998 evidence record (EN 319 162-1 clause 4.4.3.2 item 4: `*evidencerecord*.ers`).
pub const EVIDENCE_RECORD: &str = "META-INF/evidencerecord.ers";
/// What the evidence record covers (same clause: `ASiCEvidenceRecordManifest*.xml`).
pub const EVIDENCE_RECORD_MANIFEST: &str = "META-INF/ASiCEvidenceRecordManifest001.xml";
/// Media type of an ASiC-E container.
pub const MEDIA_TYPE: &str = "application/vnd.etsi.asic-e+zip";

/// What goes into a container, beside the body.
#[derive(Debug)]
pub struct Contents<'a> {
    /// The REST message part: `message.xml`.
    pub message: &'a [u8],
    /// Digests of the parts; `body` says whether there is an `attachment1`.
    pub parts: Parts,
    /// The compact signature.
    pub signature: &'a wire::Signature,
    /// What it names.
    pub material: &'a Material,
    /// The batch timestamp; a container without one is not complete evidence yet.
    pub evidence_record: Option<&'a EvidenceRecord>,
}

/// The body part, read while it is written.
pub struct Body<'a> {
    /// Length in bytes.
    pub length: u64,
    /// Exactly so many bytes.
    pub content: &'a mut dyn Read,
}

/// Why a container cannot be written. What was written until then is not a container.
#[derive(Debug, thiserror::Error)]
pub enum ContainerError {
    /// The signature cannot be written out.
    #[error(transparent)]
    Signature(#[from] SignatureError),
    /// The material is refused.
    #[error(transparent)]
    Material(#[from] MaterialError),
    /// The timestamp batch does not prove this record.
    #[error(transparent)]
    EvidenceRecord(#[from] EvidenceRecordError),
    /// The batch has no timestamp of this record in X-Road's form.
    #[error(transparent)]
    TimestampChain(#[from] TimestampChainError),
    /// The timestamp's renewals cannot be put in.
    #[error(transparent)]
    Renewal(#[from] RenewalError),
    /// The evidence record is about another signature.
    #[error("the timestamp is not about this signature: the record or its timestamp batch is damaged")]
    OtherSignature,
    /// A part is not the one that was signed.
    #[error("{0} is not what was signed: the record or the body file is damaged")]
    Altered(&'static str),
    /// The signature is about a body and none is there, or the other way round.
    #[error("the body of the message is not there: it was left out of the log or erased")]
    BodyMissing,
    /// The log record lacks something.
    #[error("the log record is damaged: {0}")]
    Record(&'static str),
    /// The output cannot be written or the body cannot be read.
    #[error("the container cannot be written: {0}")]
    Io(#[from] io::Error),
}

/// Writes a container into `out`, which must be empty. The same contents give the same bytes. The message and the body are digested
/// on the way; what differs from the signed digests is an error.
///
/// # Errors
/// See [`ContainerError`].
pub fn write(
    out: impl Write + Seek,
    contents: &Contents<'_>,
    body: Option<Body<'_>>,
) -> Result<(), ContainerError> {
    let signatures = xades::document(contents.signature, &contents.parts, contents.material)?;
    let leaf = sha256(&signatures);
    if contents.evidence_record.is_some_and(|record| record.root_of(leaf).is_none()) {
        return Err(ContainerError::OtherSignature);
    }
    if sha512(contents.message) != contents.parts.message {
        return Err(ContainerError::Altered(MESSAGE));
    }

    let mut zip = Writer::new(out);
    zip.add(MIMETYPE, MEDIA_TYPE.as_bytes())?;
    zip.add(MESSAGE, contents.message)?;
    match (contents.parts.body, body) {
        (Some(digest), Some(body)) => add_body(&mut zip, digest, body)?,
        (None, None) => (),
        (Some(_), None) | (None, Some(_)) => return Err(ContainerError::BodyMissing),
    }
    let hash_chain = xades::hash_chain(contents.signature, &contents.parts)?;
    zip.add(MANIFEST, manifest(contents.parts.body.is_some(), hash_chain.is_some()).as_bytes())?;
    zip.add(SIGNATURES, &signatures)?;
    if let Some(HashChain { result, chain }) = &hash_chain {
        zip.add(HASH_CHAIN_RESULT, result)?;
        zip.add(HASH_CHAIN, chain)?;
    }
    if let Some(record) = contents.evidence_record {
        zip.add(EVIDENCE_RECORD, &record.to_der())?;
        zip.add(EVIDENCE_RECORD_MANIFEST, evidence_record_manifest(leaf).as_bytes())?;
    }
    Ok(zip.finish()?)
}

/// Writes the container of a record of the message log. `sequence` is that of its entry, `stamp` the batch that covers it. `body` reads
/// the file that the record names, or what somebody else has kept of a body that the log has not; a body that lies inside the record needs none.
///
/// # Errors
/// See [`ContainerError`].
pub fn write_record(
    out: impl Write + Seek,
    sequence: u64,
    record: &MessageRecord,
    material: &wire::Material,
    stamp: Option<&StampRecord>,
    body: Option<&mut dyn Read>,
) -> Result<(), ContainerError> {
    let signature = record.signature.as_ref().ok_or(ContainerError::Record("it has no signature"))?;
    let material = Material::new(material)?;
    let parts = parts_of(record)?;
    let evidence_record = match stamp {
        Some(stamp) => Some(stamped(stamp, sequence, xades::leaf(signature, &parts, &material)?)?),
        None => None,
    };
    write_parts(out, record, parts, &material, evidence_record.as_ref(), body)
}

/// As [`write_record`], with the newer tokens by which the stamp's was renewed.
///
/// # Errors
/// See [`ContainerError`].
pub fn write_renewed_record(
    out: impl Write + Seek,
    (sequence, record): (u64, &MessageRecord),
    material: &wire::Material,
    stamp: &StampRecord,
    renewals: &Renewals,
    body: Option<&mut dyn Read>,
) -> Result<(), ContainerError> {
    let signature = record.signature.as_ref().ok_or(ContainerError::Record("it has no signature"))?;
    let material = Material::new(material)?;
    let parts = parts_of(record)?;
    let mut evidence_record = stamped(stamp, sequence, xades::leaf(signature, &parts, &material)?)?;
    evidence_record.renewals = renewals.of(&stamp.token)?;
    write_parts(out, record, parts, &material, Some(&evidence_record), body)
}

/// As [`write_record`], of a record whose timestamp is an evidence record already.
///
/// # Errors
/// See [`ContainerError`].
pub fn write_record_with(
    out: impl Write + Seek,
    record: &MessageRecord,
    material: &Material,
    evidence_record: Option<&EvidenceRecord>,
    body: Option<&mut dyn Read>,
) -> Result<(), ContainerError> {
    write_parts(out, record, parts_of(record)?, material, evidence_record, body)
}

/// As [`write_record_with`], of parts that were digested already.
fn write_parts(
    out: impl Write + Seek,
    record: &MessageRecord,
    parts: Parts,
    material: &Material,
    evidence_record: Option<&EvidenceRecord>,
    body: Option<&mut dyn Read>,
) -> Result<(), ContainerError> {
    let signature = record.signature.as_ref().ok_or(ContainerError::Record("it has no signature"))?;
    let contents = Contents { message: &record.message, parts, signature, material, evidence_record };
    with_body(record, body, |body| write(out, &contents, body))
}

/// Hands on the record's body, wherever it lies.
fn with_body(
    record: &MessageRecord,
    body: Option<&mut dyn Read>,
    write: impl FnOnce(Option<Body<'_>>) -> Result<(), ContainerError>,
) -> Result<(), ContainerError> {
    let Some(logged) = &record.body else { return write(None) };
    let length = logged.length;
    match (&logged.place, body) {
        (Some(Place::Inline(bytes)), _) => write(Some(Body { length, content: &mut bytes.as_ref() })),
        (Some(Place::File(_) | Place::NotKept(_)), Some(content)) => write(Some(Body { length, content })),
        (Some(Place::File(_) | Place::NotKept(_)), None) | (None, _) => Err(ContainerError::BodyMissing),
    }
}

/// The digests that the record's signature must be about: of the message as it lies in the record, and of the body as the record names it.
///
/// # Errors
/// The record's body digest has a wrong length.
pub fn parts_of(record: &MessageRecord) -> Result<Parts, ContainerError> {
    let body = match &record.body {
        Some(body) => {
            let wrong = ContainerError::Record("its body digest is not 64 bytes long");
            Some(Sha512::from_slice(&body.sha512).ok_or(wrong)?)
        }
        None => None,
    };
    Ok(Parts { message: sha512(&record.message), body })
}

/// The bytes of [`MANIFEST`] (OpenDocument 1.2 part 3 section 3).
#[must_use]
pub fn manifest(has_body: bool, has_hash_chain: bool) -> String {
    let entry = |path: &str, media_type: &str| {
        format!("<manifest:file-entry manifest:full-path=\"{path}\" manifest:media-type=\"{media_type}\"/>")
    };
    let body = if has_body { entry(BODY, BODY_MEDIA_TYPE) } else { String::new() };
    let hash_chain = if has_hash_chain {
        entry(HASH_CHAIN_RESULT, HASH_CHAIN_RESULT_MEDIA_TYPE) + &entry(HASH_CHAIN, "text/xml")
    } else {
        String::new()
    };
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
         <manifest:manifest xmlns:manifest=\"urn:oasis:names:tc:opendocument:xmlns:manifest:1.0\" manifest:version=\"1.2\">\
         {}{}{body}{hash_chain}</manifest:manifest>\n",
        entry("/", MEDIA_TYPE),
        entry(MESSAGE, MESSAGE_MEDIA_TYPE),
    )
}

/// The bytes of [`EVIDENCE_RECORD_MANIFEST`] (EN 319 162-1 annex A.4), given the SHA-256 of [`SIGNATURES`].
#[must_use]
pub fn evidence_record_manifest(signatures: Sha256) -> String {
    let digest = STANDARD.encode(signatures.as_bytes());
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
         <asic:ASiCManifest xmlns:asic=\"{ASIC}\" xmlns:ds=\"{DS}\">\
         <asic:SigReference URI=\"{EVIDENCE_RECORD}\"/>\
         <asic:DataObjectReference URI=\"{SIGNATURES}\" MimeType=\"application/xml\">\
         <ds:DigestMethod Algorithm=\"{SHA256}\"/><ds:DigestValue>{digest}</ds:DigestValue>\
         </asic:DataObjectReference></asic:ASiCManifest>\n"
    )
}

fn stamped(stamp: &StampRecord, sequence: u64, leaf: Sha256) -> Result<EvidenceRecord, ContainerError> {
    let record = EvidenceRecord::of_batch(stamp, sequence)?;
    match record.root_of(leaf) {
        Some(root) if root.as_bytes() == stamp.root.as_slice() => Ok(record),
        _ => Err(ContainerError::OtherSignature),
    }
}

fn add_body(
    zip: &mut Writer<impl Write + Seek>,
    signed: Sha512,
    body: Body<'_>,
) -> Result<(), ContainerError> {
    let Body { length, content } = body;
    let mut digesting = Digesting { content, digest: Sha512Hasher::new() };
    zip.add_from(BODY, length, &mut digesting)?;
    if digesting.digest.finish() == signed { Ok(()) } else { Err(ContainerError::Altered(BODY)) }
}

/// Digests what is read through it.
struct Digesting<'a> {
    content: &'a mut dyn Read,
    digest: Sha512Hasher,
}

impl Read for Digesting<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.content.read(buffer)?;
        if let Some(piece) = buffer.get(..count) {
            self.digest.update(piece);
        }
        Ok(count)
    }
}

#[cfg(test)]
mod tests;

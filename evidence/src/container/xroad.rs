//! X-Road's container: the entries that its own verifier looks for, in the order in which its servers write them.
//!
//! The signature is byte for byte that of the other container. In place of the evidence record there is the batch timestamp in X-Road's form
//! ([`TimestampChain`]), and the manifests are as X-Road writes them: all files but attachments count as XML, and the namespace of `ASiCManifest.xml` lacks a
//! digit. All entries are stored, `mimetype` among them, as ASiC asks; X-Road compresses them, and reads both.
//!
//! Source: AsicContainer, AsicHelper, AsicManifestBuilder and OpenDocumentManifestBuilder of X-Road 7.8.

use std::io::{Read, Seek, Write};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use kogge_proto::digest::{sha256, sha512};
use kogge_proto::wire::evidence as wire;
use kogge_proto::wire::log::{MessageRecord, StampRecord};

use super::{
    BODY, Body, ContainerError, HASH_CHAIN, HASH_CHAIN_RESULT, MANIFEST, MEDIA_TYPE, MESSAGE, MIMETYPE,
    SIGNATURES, add_body, parts_of, with_body,
};
use crate::material::Material;
use crate::signature::Parts;
use crate::stored_zip::Writer;
use crate::timestamp_chain::TimestampChain;
use crate::xades::{self, DS, HashChain, SHA512};

/// What the token is about: the result of the timestamps' hash chain.
pub const TIMESTAMP_CHAIN_RESULT: &str = "ts-hashchainresult.xml";
/// The signature's way to the result.
pub const TIMESTAMP_CHAIN: &str = "ts-hashchain.xml";
/// What the token is about, for readers of ASiC.
pub const ASIC_MANIFEST: &str = "META-INF/ASiCManifest.xml";
/// The token.
pub const TIMESTAMP: &str = "META-INF/timestamp.tst";

/// Writes the container of a record of the message log in X-Road's form; otherwise as [`write_record`](super::write_record). Without a stamp
/// the container is not complete evidence, and X-Road's verifier refuses it.
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
    let timestamp = stamp.map(|stamp| TimestampChain::of_batch(stamp, sequence)).transpose()?;
    let contents = Contents {
        message: &record.message,
        parts: parts_of(record)?,
        signature,
        material: &Material::new(material)?,
        timestamp: timestamp.as_ref(),
    };
    with_body(record, body, |body| write(out, &contents, body))
}

/// What goes into X-Road's container, beside the body.
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
    /// The batch timestamp.
    pub timestamp: Option<&'a TimestampChain>,
}

/// Writes a container into `out`, which must be empty; otherwise as [`write`](super::write()).
///
/// # Errors
/// See [`ContainerError`].
pub fn write(
    out: impl Write + Seek,
    contents: &Contents<'_>,
    body: Option<Body<'_>>,
) -> Result<(), ContainerError> {
    let Contents { message, parts, signature, material, timestamp } = contents;
    let signatures = xades::document(signature, parts, material)?;
    if timestamp.is_some_and(|timestamp| timestamp.leaf != sha256(&signatures)) {
        return Err(ContainerError::OtherSignature);
    }
    if sha512(message) != parts.message {
        return Err(ContainerError::Altered(MESSAGE));
    }
    let hash_chain = xades::hash_chain(signature, parts)?;

    let mut files = vec![MESSAGE];
    let mut zip = Writer::new(out);
    zip.add(MIMETYPE, MEDIA_TYPE.as_bytes())?;
    zip.add(MESSAGE, message)?;
    zip.add(SIGNATURES, &signatures)?;
    if let Some(HashChain { result, chain }) = &hash_chain {
        zip.add(HASH_CHAIN_RESULT, result)?;
        zip.add(HASH_CHAIN, chain)?;
        files.extend([HASH_CHAIN_RESULT, HASH_CHAIN]);
    }
    if let Some(TimestampChain { result, chain, .. }) = timestamp {
        zip.add(TIMESTAMP_CHAIN_RESULT, result)?;
        zip.add(TIMESTAMP_CHAIN, chain)?;
        files.extend([TIMESTAMP_CHAIN_RESULT, TIMESTAMP_CHAIN]);
    }
    zip.add(MANIFEST, manifest(&files, parts.body.is_some()).as_bytes())?;
    if let Some(TimestampChain { result, token, .. }) = timestamp {
        zip.add(ASIC_MANIFEST, asic_manifest(result).as_bytes())?;
        zip.add(TIMESTAMP, token)?;
    }
    match (parts.body, body) {
        (Some(digest), Some(body)) => add_body(&mut zip, digest, body)?,
        (None, None) => (),
        (Some(_), None) | (None, Some(_)) => return Err(ContainerError::BodyMissing),
    }
    Ok(zip.finish()?)
}

/// OpenDocument 1.2 part 3 section 3.
fn manifest(files: &[&str], has_body: bool) -> String {
    let entry = |path: &str, media_type: &str| {
        format!(
            "    <manifest:file-entry manifest:media-type=\"{media_type}\" manifest:full-path=\"{path}\"/>\n"
        )
    };
    let files: String = files.iter().map(|path| entry(path, "text/xml")).collect();
    let body = if has_body { entry(BODY, "application/octet-stream") } else { String::new() };
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
         <manifest:manifest xmlns:manifest=\"urn:oasis:names:tc:opendocument:xmlns:manifest:1.0\" manifest:version=\"1.2\">\n\
         {}{files}{body}</manifest:manifest>\n",
        entry("/", MEDIA_TYPE),
    )
}

/// ETSI TS 102 918 annex A.4, about the result of the timestamps' hash chain.
fn asic_manifest(result: &[u8]) -> String {
    let digest = STANDARD.encode(sha512(result).as_bytes());
    format!(
        "<?xml version=\"1.0\" encoding=\"utf-8\"?>\n\
         <asic:ASiCManifest xmlns:asic=\"http://uri.etsi.org/2918/v1.2.1#\" xmlns:ds=\"{DS}\">\n\
         <asic:SigReference URI=\"{TIMESTAMP}\" MimeType=\"vnd.etsi.timestamp-token\"/>\n\
         <asic:DataObjectReference URI=\"{TIMESTAMP_CHAIN_RESULT}\" MimeType=\"text/xml\">\n\
         <ds:DigestMethod Algorithm=\"{SHA512}\" />\n<ds:DigestValue>{digest}</ds:DigestValue>\n\
         </asic:DataObjectReference>\n</asic:ASiCManifest>"
    )
}

#[cfg(test)]
mod tests;

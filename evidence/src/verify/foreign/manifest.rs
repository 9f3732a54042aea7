//! The manifests. They prove nothing; but what they say must be so, for other readers go by them.

use std::collections::BTreeSet;

use roxmltree::Node;

use super::archive::{Archive, MANIFEST_BYTES_MAX};
use super::document;
use super::form::Form;
use super::names::{
    self, ASIC_MANIFEST, MANIFEST, MEDIA_TYPE, MEDIA_TYPE_SIMPLE, META_INF, TIMESTAMP, TIMESTAMP_CHAIN_RESULT,
};
use crate::verify::digest_method::DigestMethod;
use crate::verify::finding::{Finding, wrong};
use crate::verify::walk::{self, Digest, Walk, attribute, read_digest};

/// `container.manifest`: those that are there say what is so.
pub(super) fn check(archive: &Archive, form: Form) -> Finding<()> {
    let mut good = Vec::new();
    if let Some(xml) = archive.may(MANIFEST) {
        check_manifest(xml?, archive, form).map_err(|reason| wrong(format!("{MANIFEST}: {reason}")))?;
        good.push(MANIFEST);
    }
    if let Some(xml) = archive.may(ASIC_MANIFEST).filter(|_| form == Form::Message) {
        check_asic_manifest(xml?, archive).map_err(|reason| wrong(format!("{ASIC_MANIFEST}: {reason}")))?;
        good.push(ASIC_MANIFEST);
    }
    let words = if good.is_empty() {
        "there is no manifest; none is needed".to_owned()
    } else {
        format!("what {} says is so", good.join(" and "))
    };
    Ok(((), words))
}

/// OpenDocument 1.2 part 3 section 3: exactly the container itself and the files outside of META-INF.
fn check_manifest(xml: &[u8], archive: &Archive, form: Form) -> Result<(), String> {
    document::declaration(xml)?;
    let document = walk::parse(xml, MANIFEST_BYTES_MAX, NODES_MAX)?;
    let root = walk::root(&document, OPEN_DOCUMENT, "manifest")?;
    only_attributes(root, &["version"])?;
    if root.attribute((OPEN_DOCUMENT, "version")).is_some_and(|version| version != "1.2") {
        return Err("it is not of version 1.2".to_owned());
    }
    let mut listed = BTreeSet::new();
    for child in root.children() {
        if child.is_text() && child.text().is_some_and(|text| text.trim_ascii().is_empty()) {
            continue;
        }
        let (path, media_type) = read_entry(child)?;
        let expected: Option<&[&str]> = match (path, form) {
            ("/", Form::Message | Form::Extended) => Some(&[MEDIA_TYPE]),
            ("/", Form::Simple) => Some(&[MEDIA_TYPE_SIMPLE]),
            (_, Form::Message) => Some(&MEDIA_TYPES),
            (_, Form::Extended | Form::Simple) => None,
        };
        if expected.is_some_and(|expected| !expected.contains(&media_type)) {
            return Err(format!("{path:?} has the media type {media_type:?}"));
        }
        // Some tools list their signatures, too.
        if form != Form::Message && path.starts_with(META_INF) {
            continue;
        }
        if !listed.insert(path) {
            return Err(format!("{path:?} stands twice"));
        }
    }
    let files: BTreeSet<&str> = archive.data_names().chain(["/"]).collect();
    if listed == files { Ok(()) } else { Err(format!("it lists {listed:?}, and there are {files:?}")) }
}

fn read_entry<'a>(entry: Node<'a, '_>) -> Result<(&'a str, &'a str), String> {
    if !entry.has_tag_name((OPEN_DOCUMENT, "file-entry")) || entry.has_children() {
        return Err("there is something else than file entries".to_owned());
    }
    only_attributes(entry, &["full-path", "media-type"])?;
    let read =
        |name| entry.attribute((OPEN_DOCUMENT, name)).ok_or_else(|| format!("an entry lacks its {name}"));
    Ok((read("full-path")?, read("media-type")?))
}

fn only_attributes(element: Node<'_, '_>, allowed: &[&str]) -> Result<(), String> {
    match element
        .attributes()
        .find(|found| found.namespace() != Some(OPEN_DOCUMENT) || !allowed.contains(&found.name()))
    {
        None => Ok(()),
        Some(found) => Err(format!("there is an attribute {}", found.name())),
    }
}

/// What an `ASiCManifest` says (EN 319 162-1 annex A.4).
pub(super) struct AsicManifest {
    /// The file that it describes: a token, an evidence record.
    pub(super) about: String,
    /// The media type of that.
    media_type: Option<String>,
    /// The media types of what it covers.
    object_types: Vec<Option<String>>,
    /// What that one covers, by name.
    pub(super) objects: Vec<(String, Digest)>,
}

/// Reads an `ASiCManifest`, whatever it is about.
pub(super) fn read_asic(xml: &[u8]) -> Result<AsicManifest, String> {
    document::declaration(xml)?;
    let document = walk::parse(xml, MANIFEST_BYTES_MAX, NODES_MAX)?;
    let namespace = document.root_element().tag_name().namespace().unwrap_or_default();
    if !ASIC.contains(&namespace) {
        return Err(format!("it is of the namespace {namespace:?}"));
    }
    let mut parts = Walk::into_indented(walk::root(&document, namespace, "ASiCManifest")?, &[])?;
    let described = parts.take(namespace, "SigReference")?;
    let (mut objects, mut object_types) = (Vec::new(), Vec::new());
    while let Some(object) = parts.take_if(namespace, "DataObjectReference") {
        let mut about = Walk::into_indented(object, &["URI", "MimeType", "Rootfile"])?;
        objects.push((name_of(object)?, read_digest(&mut about)?));
        object_types.push(object.attribute("MimeType").map(str::to_owned));
        about.end()?;
    }
    parts.end()?;
    Walk::into_indented(described, &["URI", "MimeType"])?.end()?;
    let media_type = described.attribute("MimeType").map(str::to_owned);
    Ok(AsicManifest { about: name_of(described)?, media_type, object_types, objects })
}

fn name_of(element: Node<'_, '_>) -> Result<String, String> {
    let uri = attribute(element, "URI")?;
    names::of_uri(uri).ok_or_else(|| format!("{uri:?} is not the name of a file"))
}

/// In X-Road's spelling: the token is about the result of the timestamps' hash chain.
fn check_asic_manifest(xml: &[u8], archive: &Archive) -> Result<(), String> {
    let read = read_asic(xml)?;
    let [(object, digest)] = &read.objects[..] else {
        return Err("it is not about one file".to_owned());
    };
    let names = (read.about.as_str(), object.as_str());
    if names != (TIMESTAMP, TIMESTAMP_CHAIN_RESULT) {
        return Err(format!("it is about {names:?}"));
    }
    if read.media_type.as_deref() != Some(TOKEN_TYPE) || read.object_types != [Some("text/xml".to_owned())] {
        return Err("it has other media types than X-Road's".to_owned());
    }
    let method = DigestMethod::from_uri(&digest.method).ok_or("its digest method is not accepted")?;
    let result = archive.must(TIMESTAMP_CHAIN_RESULT).map_err(|_| "there is no such result".to_owned())?;
    if archive.has(TIMESTAMP) && method.digest(result) == digest.value {
        Ok(())
    } else {
        Err("it has another digest than the file".to_owned())
    }
}

/// Eight nodes to each of as many entries as a container can have.
const NODES_MAX: u32 = 2_100;
/// X-Road's for all files and for attachments; this project's for messages and results of hash chains.
const MEDIA_TYPES: [&str; 4] =
    ["text/xml", "application/octet-stream", "text/plain", "application/hash-chain-result"];
const OPEN_DOCUMENT: &str = "urn:oasis:names:tc:opendocument:xmlns:manifest:1.0";
/// X-Road leaves out a digit of the namespace.
const ASIC: [&str; 2] = ["http://uri.etsi.org/2918/v1.2.1#", "http://uri.etsi.org/02918/v1.2.1#"];
const TOKEN_TYPE: &str = "vnd.etsi.timestamp-token";

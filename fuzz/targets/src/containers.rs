//! Containers, whole and entry by entry, and what is in them.

use std::io::{Cursor, Write};
use std::sync::LazyLock;

use kogge_evidence::c14n;
use kogge_evidence::evidence_record::EvidenceRecord;
use kogge_evidence::globalconf::GlobalConf;
use kogge_evidence::verify::{self, Verdict};
use kogge_proto::digest::sha256;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, DateTime, ZipWriter};

use crate::world::{CONTAINER, GLOBALCONF, REQUEST, TRUSTED, XROAD_CONTAINER, entries};

/// A whole container: the known ones pass, any other is refused.
pub(crate) fn container(data: &[u8]) {
    let verdict = verify::container(Cursor::new(data), &*TRUSTED);
    only_known(&verdict, data == CONTAINER || data == REQUEST);
}

/// The known container with another entry: the first byte says which, the rest is its content.
pub(crate) fn container_part(data: &[u8]) {
    static KNOWN: LazyLock<Vec<(String, Vec<u8>)>> = LazyLock::new(|| entries(CONTAINER));
    let Some((changed, is_known)) = with_part(&KNOWN, data) else { return };
    let verdict = verify::container(Cursor::new(changed), &*TRUSTED);
    only_known(&verdict, is_known);
}

/// A whole container under an X-Road configuration directory.
pub(crate) fn xroad_container(data: &[u8]) {
    // Others' layout leaves bytes free: an altered container may pass if it says the same.
    let _ = verify::container(Cursor::new(data), &*GLOBALCONF);
}

/// X-Road's container with another entry. Its message, attachment, token and chains are covered to the byte.
pub(crate) fn xroad_part(data: &[u8]) {
    static KNOWN: LazyLock<Vec<(String, Vec<u8>)>> = LazyLock::new(|| entries(XROAD_CONTAINER));
    let Some((changed, is_known)) = with_part(&KNOWN, data) else { return };
    let verdict = verify::container(Cursor::new(changed), &*GLOBALCONF);
    let covered = data.first().and_then(|index| KNOWN.get(usize::from(*index) % KNOWN.len()));
    if covered.is_some_and(|(name, _)| COVERED.contains(&name.as_str())) {
        only_known(&verdict, is_known);
    }
}

/// XML to its canonical forms, which must be XML again with the same canonical form.
pub(crate) fn canonical_xml(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let Ok(document) = roxmltree::Document::parse(text) else { return };
    type Canonicaliser = fn(roxmltree::Node<'_, '_>) -> Result<Vec<u8>, c14n::C14nError>;
    for canonicalise in [c14n::exclusive as Canonicaliser, c14n::inclusive] {
        let Ok(first) = canonicalise(document.root_element()) else { continue };
        let Ok(text) = String::from_utf8(first.clone()) else { panic!("the canonical form is not UTF-8") };
        let again = match roxmltree::Document::parse(&text) {
            Ok(again) => again,
            Err(error) => panic!("the canonical form is not XML: {error}"),
        };
        match canonicalise(again.root_element()) {
            Ok(second) => assert!(second == first, "the canonical form of the canonical form is another"),
            Err(error) => panic!("the canonical form has none: {error}"),
        }
    }
}

/// `shared-params.xml` of an X-Road configuration directory.
pub(crate) fn shared_params(data: &[u8]) {
    drop(GlobalConf::read("DEV", [data]));
}

/// What is read writes itself back.
pub(crate) fn evidence_record(data: &[u8]) {
    if let Ok(record) = EvidenceRecord::from_der(data) {
        assert!(record.to_der() == data, "an evidence record has two encodings");
        let _ = record.root_of(sha256(data));
    }
}

/// What an X-Road container's signature, hash chain or timestamp is about, byte for byte.
const COVERED: [&str; 5] = [
    "message.xml",
    "attachment1",
    "META-INF/timestamp.tst",
    "ts-hashchainresult.xml",
    "sig-hashchainresult.xml",
];

/// The container with one entry's content replaced, and whether that changed nothing.
fn with_part(known: &[(String, Vec<u8>)], data: &[u8]) -> Option<(Vec<u8>, bool)> {
    let (index, content) = data.split_first()?;
    let replaced = usize::from(*index) % known.len();
    let options = SimpleFileOptions::default()
        .compression_method(CompressionMethod::Stored)
        .last_modified_time(DateTime::default());
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    for (at, (name, own)) in known.iter().enumerate() {
        let content = if at == replaced { content } else { own };
        zip.start_file(name, options).and_then(|()| Ok(zip.write_all(content)?)).ok()?;
    }
    let is_known = known.get(replaced).is_some_and(|(_, own)| own == content);
    Some((zip.finish().ok()?.into_inner(), is_known))
}

fn only_known(verdict: &Verdict, is_known: bool) {
    assert!(!verdict.report.passed() || is_known, "an altered container passes:\n{}", verdict.report);
}

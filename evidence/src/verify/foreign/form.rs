//! What kind of container it is: that decides which entries it must have, and which checks apply.

use std::collections::BTreeSet;

use super::Document;
use super::archive::Archive;
use super::names::{
    ASIC_MANIFEST, HASH_CHAIN, HASH_CHAIN_RESULT, MEDIA_TYPE, MEDIA_TYPE_SIMPLE, MESSAGE, META_INF, MIMETYPE,
    SIGNATURES, TIMESTAMP, TIMESTAMP_CHAIN, TIMESTAMP_CHAIN_RESULT, is_attachment, is_cades,
    is_evidence_record, is_plain, is_signature,
};
use crate::verify::finding::{Finding, Flaw, wrong};

/// The kinds of containers.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Form {
    /// A message of X-Road's protocols with its attachments, in ASiC-E.
    Message,
    /// Any files, with any number of signatures: ASiC-E (EN 319 162-1 clause 4.4).
    Extended,
    /// One file, with a signature, a timestamp or an evidence record: ASiC-S (clause 4.3).
    Simple,
}

impl Form {
    /// A signature says itself that it is about a message: by the name under which only X-Road's signatures refer to it. Whoever has no key
    /// cannot make the one from the other.
    pub(super) fn of(archive: &Archive, documents: &[Document<'_>]) -> Self {
        let mut references = documents.iter().filter_map(|document| document.read.as_ref().ok());
        let about_message = references.any(|(document, _)| {
            let mut uris = document.references.iter().map(|reference| reference.uri.as_str());
            uris.any(|uri| uri == "/message.xml" || uri == "/sig-hashchainresult.xml")
        });
        let read_none = !documents.iter().any(|document| document.read.is_ok());
        let chains = [HASH_CHAIN, HASH_CHAIN_RESULT, TIMESTAMP_CHAIN, TIMESTAMP_CHAIN_RESULT];
        if about_message || chains.iter().any(|name| archive.has(name)) {
            return Self::Message;
        }
        let simple =
            archive.must(MIMETYPE).is_ok_and(|content| content.trim_ascii() == MEDIA_TYPE_SIMPLE.as_bytes());
        match (simple, read_none && archive.has(MESSAGE)) {
            (true, _) => Self::Simple,
            (false, true) => Self::Message,
            (false, false) => Self::Extended,
        }
    }

    /// `container.entries`.
    pub(super) fn check_entries(self, archive: &Archive) -> Finding<()> {
        // Of a file that cannot be opened nothing is known.
        if let Some(Err(Flaw::Missing(reason))) = archive.may(MIMETYPE) {
            return Err(Flaw::Missing(reason));
        }
        if self == Self::Message {
            for name in [MIMETYPE, MESSAGE, SIGNATURES] {
                if !archive.has(name) {
                    return Err(wrong(format!("there is no {name}")));
                }
            }
        }
        check_names(archive)?;
        let data: Vec<&str> = archive.data_names().collect();
        let signatures = archive.signature_names().count();
        match self {
            Self::Extended if signatures == 0 && archive.others.iter().any(|name| is_cades(name)) => {
                return Err(wrong("its signatures are CAdES (*.p7s), which are not read"));
            }
            Self::Extended if signatures == 0 => return Err(wrong("there is no file with signatures")),
            Self::Simple if data.len() != 1 => {
                return Err(wrong(format!(
                    "an ASiC-S container has one data file, and here are {}",
                    data.len()
                )));
            }
            _ => {}
        }
        if let Some(Flaw::Wrong(reason) | Flaw::Missing(reason)) = archive.flaw() {
            return Err(wrong(reason));
        }
        let kind = match self {
            Self::Message => "a message",
            Self::Extended => "ASiC-E",
            Self::Simple => "ASiC-S",
        };
        Ok(((), format!("{kind}: {} files that can be signed, {signatures} with signatures", data.len())))
    }

    /// `container.mimetype`.
    pub(super) fn check_mimetype(self, archive: &Archive) -> Finding<()> {
        let expected = match self {
            Self::Message | Self::Extended => MEDIA_TYPE,
            Self::Simple => MEDIA_TYPE_SIMPLE,
        };
        let Some(content) = archive.may(MIMETYPE) else {
            return Err(wrong(format!("there is no {MIMETYPE}")));
        };
        if content?.trim_ascii() == expected.as_bytes() {
            Ok(((), expected.to_owned()))
        } else {
            Err(wrong(format!("the entry {MIMETYPE} does not say {expected}")))
        }
    }

    /// Files of which only messages know what they are; other checks look at them.
    pub(super) fn is_of_message(self, name: &str) -> bool {
        let known = [MESSAGE, HASH_CHAIN, HASH_CHAIN_RESULT, TIMESTAMP_CHAIN, TIMESTAMP_CHAIN_RESULT];
        self == Self::Message && known.contains(&name)
    }

    /// Known files that have no part in a container of this kind.
    pub(super) fn unused(self, archive: &Archive) -> Vec<String> {
        let unused = |name: &&str| match self {
            Self::Message => {
                is_signature(name) && *name != SIGNATURES
                    || matches!(*name, TIMESTAMP_CHAIN | TIMESTAMP_CHAIN_RESULT) && !archive.has(TIMESTAMP)
            }
            Self::Extended => matches!(*name, TIMESTAMP | ASIC_MANIFEST),
            Self::Simple => {
                let signed = archive.has(SIGNATURES);
                is_signature(name) && *name != SIGNATURES
                    || *name == ASIC_MANIFEST
                    || signed && (*name == TIMESTAMP || is_evidence_record(name))
            }
        };
        archive.files.keys().map(String::as_str).filter(unused).map(str::to_owned).collect()
    }

    /// Whether a reference may be about this file.
    pub(super) fn can_be_signed(self, name: &str) -> bool {
        match self {
            Self::Message => name == MESSAGE || name == HASH_CHAIN_RESULT || is_attachment(name),
            Self::Extended | Self::Simple => name != MIMETYPE && !name.starts_with(META_INF),
        }
    }
}

/// Names that mean the same on every computer, and lead nowhere else when they are unpacked.
fn check_names(archive: &Archive) -> Result<(), Flaw> {
    let mut seen = BTreeSet::new();
    let names = archive.files.keys().chain(archive.data.keys()).chain(&archive.others);
    for name in names {
        if !is_plain(name.strip_suffix('/').unwrap_or(name)) || name.contains('\u{fffd}') {
            return Err(wrong(format!("{name:?} is not the plain name of a file")));
        }
        if !seen.insert(name.to_lowercase()) {
            return Err(wrong(format!("{name:?} and another name differ in upper and lower case only")));
        }
    }
    Ok(())
}

//! Containers of others: X-Road's, and those of the tools of eIDAS (ASiC-E and ASiC-S with XAdES).
//!
//! What X-Road's own verifier and EN 319 102-1 demand is demanded, and more: that everything in the container is signed, that the signed
//! certificate is the one used, that nothing in it can be read in two ways. `docs/evidence.md` has the differences.

mod archive;
mod document;
mod form;
mod manifest;
mod message;
mod names;
mod record;
mod signature;
mod signer;
mod timestamp;

use std::collections::BTreeSet;
use std::io::{Read, Seek};

use super::digest_method::DigestMethod;
use super::finding::{Finding, Flaw, settle, wrong};
use super::trust::Trust;
use super::walk::Digest;
use super::{Statement, Verdict};
use crate::report::Report;
use archive::Archive;
use document::SignatureDocument;
use form::Form;
use message::Message;

/// Checks a container against what `trust` approves. Never fails to return a verdict: what cannot be read is a failed check, and a check
/// whose input is missing is indeterminate. Data files are streamed.
pub(super) fn container(file: impl Read + Seek, trust: Trust<'_>) -> Verdict {
    let mut report = Report::new();
    let archive = archive::read(file, &mut report);
    let documents: Vec<Document> =
        archive.signature_names().map(|name| Document::read(&archive, name)).collect();
    let form = Form::of(&archive, &documents);
    settle(&mut report, "container.entries", form.check_entries(&archive));
    settle(&mut report, "container.mimetype", form.check_mimetype(&archive));
    settle(&mut report, "container.manifest", manifest::check(&archive, form));
    let message = match form {
        Form::Message => settle(&mut report, "message.parse", parse_message(&archive)),
        Form::Extended | Form::Simple => {
            report.not_applicable("message.parse", "the container is of files, not of a message");
            None
        }
    };
    let subject = Subject { archive: &archive, form, message: message.as_ref(), trust };
    let judged = subject.judge_all(&documents, &mut report);
    let first = judged.signatures.into_iter().next().unwrap_or_default();
    let statement = Statement {
        kind: message.as_ref().map(Message::kind),
        client: message.as_ref().map(|message| message.client.clone()),
        service: message.as_ref().map(|message| message.service.clone()),
        message_id: message.and_then(|message| message.message_id),
        ..first
    };
    Verdict { report, statement }
}

/// The ZIP file, if it is one that is read at all.
pub(super) fn open_zip<R: Read + Seek>(file: R) -> Option<zip::ZipArchive<R>> {
    archive::open(file).ok().map(|(zip, _)| zip)
}

/// A file with a signature, as far as it could be read.
struct Document<'a> {
    name: &'a str,
    read: Finding<SignatureDocument>,
}

impl<'a> Document<'a> {
    fn read(archive: &Archive, name: &'a str) -> Self {
        let parse = || {
            let document = document::read(archive.must(name)?).map_err(wrong)?;
            Ok((document, "one signature of an expected structure".to_owned()))
        };
        Self { name, read: parse() }
    }
}

/// A container whose files were read, and what it is checked against.
struct Subject<'a> {
    archive: &'a Archive,
    form: Form,
    message: Option<&'a Message>,
    trust: Trust<'a>,
}

/// What the checks of all signatures leave.
#[derive(Default)]
struct Judged {
    /// What each says about itself.
    signatures: Vec<Statement>,
    /// Names of the files that signatures or timestamps are about; `None` if that of one is not known.
    covered: Option<BTreeSet<String>>,
}

impl Subject<'_> {
    /// Each signature by itself, and at last whether all of them together leave nothing out.
    fn judge_all(&self, documents: &[Document<'_>], report: &mut Report) -> Judged {
        let of_message = |document: &&Document<'_>| document.name == names::SIGNATURES;
        let signatures: Vec<&Document<'_>> = match self.form {
            Form::Extended => documents.iter().collect(),
            Form::Message | Form::Simple => documents.iter().filter(of_message).collect(),
        };
        let mut judged = Judged { covered: Some(BTreeSet::new()), ..Judged::default() };
        if signatures.is_empty() && self.form == Form::Simple {
            judged.signatures.push(self.judge_time_alone(report));
            judged.covered = Some(self.archive.data_names().map(str::to_owned).collect());
        } else if signatures.is_empty() {
            let missing = || Flaw::Missing(format!("not checked: there is no {}", names::SIGNATURES));
            let document = Document { name: names::SIGNATURES, read: Err(missing()) };
            self.judge_one(document, &mut judged, report);
        }
        let several = signatures.len() > 1;
        for document in signatures {
            if several {
                report.begin_section(Some(document.name));
            }
            let again = Document::read(self.archive, document.name);
            self.judge_one(again, &mut judged, report);
        }
        if several {
            report.begin_section(None);
        }
        settle(report, "container.coverage", self.coverage(judged.covered.as_ref()));
        judged
    }

    fn judge_one(&self, document: Document<'_>, judged: &mut Judged, report: &mut Report) {
        let name = document.name;
        let document = settle(report, "signature.xml", document.read);
        let signed = signature::judge(self.archive, self.form, document.as_ref(), report);
        judged.covered = judged.covered.take().zip(signed.covered).map(|(all, more)| &all | &more);
        let claims = timestamp::Claims { container: self, file: name, document: document.as_ref() };
        let timestamp = timestamp::judge(&claims, report);
        let certificate = signed.certificate;
        let claims = signer::Claims {
            message: self.message,
            is_message: self.form == Form::Message,
            document: document.as_ref(),
            certificate: certificate.as_ref(),
            timestamp,
        };
        let signer = signer::judge(&claims, self.trust, report);
        judged.signatures.push(Statement {
            signer,
            certificate: certificate.map(|certificate| certificate.subject()),
            signing_time: document.map(|document| document.signed.signing_time),
            timestamp,
            ..Statement::default()
        });
    }

    /// ASiC-S with a timestamp or an evidence record in place of a signature (EN 319 162-1 clause 4.3.3).
    fn judge_time_alone(&self, report: &mut Report) -> Statement {
        for name in OF_SIGNATURES {
            report.not_applicable(name, "nobody has signed: the container is about the time alone");
        }
        let timestamp = timestamp::judge_alone(self, report);
        Statement { timestamp, ..Statement::default() }
    }

    /// Every file is signed, leads to what is signed or stamped, or is one that describes the container. Others could pass for evidence.
    fn coverage(&self, covered: Option<&BTreeSet<String>>) -> Finding<()> {
        let mut loose: BTreeSet<String> = self.archive.others.iter().cloned().collect();
        loose.extend(self.form.unused(self.archive));
        loose.extend(record::unused(self.archive, covered));
        // Of what is not known to be covered only that is loose which cannot be.
        let is_loose = |name: &&str| match covered {
            Some(covered) => !covered.contains(*name) && !self.form.is_of_message(name),
            None => !self.form.can_be_signed(name) && !self.form.is_of_message(name),
        };
        loose.extend(self.archive.data_names().filter(is_loose).map(str::to_owned));
        if !loose.is_empty() {
            let loose: Vec<String> = loose.into_iter().collect();
            return Err(wrong(format!("nothing signs {}", loose.join(", "))));
        }
        super::finding::need(covered, "signature.hash_chain")?;
        let words = "there is no file that is not signed; nothing covers how the ZIP file and its manifests are written";
        Ok(((), words.to_owned()))
    }
}

fn parse_message(archive: &Archive) -> Finding<Message> {
    let message = message::read(archive.must(names::MESSAGE)?).map_err(wrong)?;
    let words = format!("a {} of {} to {}", message.kind(), message.client, message.service);
    Ok((message, words))
}

/// Whether the digest is that of the bytes, by a method that is accepted.
fn digest_is(digest: &Digest, bytes: &[u8]) -> bool {
    DigestMethod::from_uri(&digest.method).is_some_and(|method| method.digest(bytes) == digest.value)
}

fn method_of(what: &str, digest: &Digest) -> Result<DigestMethod, Flaw> {
    DigestMethod::from_uri(&digest.method)
        .ok_or_else(|| wrong(format!("the digest method {:?} of {what} is not accepted", digest.method)))
}

/// The checks that a container without a signature has nothing for.
const OF_SIGNATURES: [&str; 8] = [
    "signature.xml",
    "signature.references",
    "signature.digest.files",
    "signature.signed_properties",
    "signature.certificate",
    "signature.value",
    "signer.path",
    "ocsp.response",
];

#[cfg(test)]
mod tests;

//! X-Road's containers, against an X-Road configuration directory.
//!
//! What its own verifier demands is demanded, and more: that everything in the container is signed, that the signed certificate is the one
//! used, that nothing in it can be read in two ways. `docs/evidence.md` has the differences.

mod archive;
mod document;
mod manifest;
mod message;
mod names;
mod signature;
mod signer;
mod timestamp;

use std::io::{Read, Seek};
use std::time::Duration;

use super::digest_method::DigestMethod;
use super::finding::{Finding, Flaw, settle, wrong};
use super::walk::Digest;
use super::{Statement, Verdict};
use crate::globalconf::GlobalConf;
use crate::report::Report;
use archive::Archive;
use document::SignatureDocument;
use message::Message;

/// Checks a container of X-Road against the directory's content. Never fails to return a verdict: what cannot be read is a failed check,
/// and a check whose input is missing is indeterminate. Attachments are streamed.
///
/// Certificate and OCSP responses are judged at the timestamp's time.
pub(super) fn container(file: impl Read + Seek, conf: &GlobalConf) -> Verdict {
    let mut report = Report::new();
    let archive = archive::read(file, &mut report);
    settle(&mut report, "container.manifest", manifest::check(&archive));
    let message = settle(&mut report, "message.parse", parse_message(&archive));
    let document = settle(&mut report, "signature.xml", parse_document(&archive));
    let certificate = signature::judge(&archive, document.as_ref(), &mut report);
    let timestamp = timestamp::judge(&archive, document.as_ref(), conf, &mut report);
    let signer = signer::judge(
        &signer::Claims {
            message: message.as_ref(),
            document: document.as_ref(),
            certificate: certificate.as_ref(),
            timestamp,
        },
        conf,
        &mut report,
    );
    let statement = Statement {
        kind: message.as_ref().map(Message::kind),
        client: message.as_ref().map(|message| message.client.clone()),
        service: message.as_ref().map(|message| message.service.clone()),
        message_id: message.and_then(|message| message.message_id),
        signer,
        signing_time: document.map(|document| document.signed.signing_time),
        timestamp,
    };
    Verdict { report, statement }
}

fn parse_message(archive: &Archive) -> Finding<Message> {
    let message = message::read(archive.must(names::MESSAGE)?).map_err(wrong)?;
    let words = format!("a {} of {} to {}", message.kind(), message.client, message.service);
    Ok((message, words))
}

fn parse_document(archive: &Archive) -> Finding<SignatureDocument> {
    let document = document::read(archive.must(names::SIGNATURES)?).map_err(wrong)?;
    Ok((document, "one signature of X-Road's structure".to_owned()))
}

/// Whether the digest is that of the bytes, by a method that is accepted.
fn digest_is(digest: &Digest, bytes: &[u8]) -> bool {
    DigestMethod::from_uri(&digest.method).is_some_and(|method| method.digest(bytes) == digest.value)
}

fn method_of(what: &str, digest: &Digest) -> Result<DigestMethod, Flaw> {
    DigestMethod::from_uri(&digest.method)
        .ok_or_else(|| wrong(format!("the digest method {:?} of {what} is not accepted", digest.method)))
}

/// Clocks of security servers, OCSP responders and TSAs may differ by this much.
const CLOCK_SKEW_MAX: Duration = Duration::from_secs(300);

#[cfg(test)]
mod tests;

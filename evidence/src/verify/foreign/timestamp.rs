//! The timestamps: tokens over the signature's value, over the result of a hash chain of many signatures, or in an evidence record.

use kogge_certs::timestamp::{self, ContentDigests, VerifiedToken};
use kogge_proto::time::UnixMillis;

use super::document::{SignatureDocument, declaration};
use super::form::Form;
use super::names::{SIGNATURES, TIMESTAMP, TIMESTAMP_CHAIN, TIMESTAMP_CHAIN_RESULT, is_evidence_record};
use super::record::{self, Record};
use super::{Subject, digest_is};
use crate::report::Report;
use crate::verify::digest_method::DigestMethod;
use crate::verify::finding::{Finding, Flaw, need, settle, wrong};
use crate::verify::trust::Trust;
use crate::verify::{hash_chain, stamp};

/// What the checks go by.
pub(super) struct Claims<'a> {
    /// The container.
    pub(super) container: &'a Subject<'a>,
    /// The file with the signature.
    pub(super) file: &'a str,
    /// The signature.
    pub(super) document: Option<&'a SignatureDocument>,
}

/// Where a timestamp was found.
enum Found<'a> {
    /// In the signature: token and what it is about by the standard.
    InSignature(&'a super::document::Timestamp),
    /// Beside it, of a batch: X-Road's.
    Batch(&'a [u8]),
    /// In an evidence record.
    Record(Record),
}

/// A token, and the contents of which it may be about any one.
type Stamped = (Vec<u8>, Vec<ContentDigests>);

/// Makes the checks of the timestamps of a signature; yields the earliest time, if all can be believed.
pub(super) fn judge(claims: &Claims<'_>, report: &mut Report) -> Option<UnixMillis> {
    let found = settle(report, "timestamp.present", present(claims));
    let stamped = settle(report, "timestamp.tree", contents(claims, found.as_deref()));
    let trust = claims.container.trust;
    let verified = settle(report, "timestamp.token", verify(stamped.as_deref(), trust));
    settle(report, "timestamp.time", time(verified.as_ref(), claims));
    verified.map(|token| token.gen_time())
}

/// The same where there is no signature: the token is about the one file.
pub(super) fn judge_alone(container: &Subject<'_>, report: &mut Report) -> Option<UnixMillis> {
    let stamped = settle(report, "timestamp.present", alone(container));
    settle(
        report,
        "timestamp.tree",
        need(stamped.as_ref(), "timestamp.present").map(|_| ((), "it is about the file".to_owned())),
    );
    let stamped = stamped.map(|stamped| vec![stamped]);
    let verified = settle(report, "timestamp.token", verify(stamped.as_deref(), container.trust));
    verified.map(|token| token.gen_time())
}

fn alone(container: &Subject<'_>) -> Finding<Stamped> {
    let archive = container.archive;
    let name = archive.data_names().next().ok_or_else(|| Flaw::Missing("there is no file".to_owned()))?;
    let digest = |method| archive.digest(name, method).transpose();
    let mut records = archive.files.iter().filter(|(name, _)| is_evidence_record(name));
    match (archive.may(TIMESTAMP), records.next(), records.next()) {
        (Some(token), None, None) => {
            let content = ContentDigests {
                sha256: digest(DigestMethod::Sha256)?,
                sha384: digest(DigestMethod::Sha384)?,
                sha512: digest(DigestMethod::Sha512)?,
            };
            Ok(((token?.to_vec(), vec![content]), format!("a timestamp of {name}")))
        }
        (None, Some((_, content)), None) => {
            let content = content.as_deref().map_err(Clone::clone)?;
            let leaf = digest(DigestMethod::Sha256)?.unwrap_or_default();
            let (token, root) = record::token_about(content, &leaf, name)?;
            Ok(((token, vec![root]), format!("an evidence record of {name}")))
        }
        (None, None, _) => Err(wrong("there is neither a signature nor a timestamp nor an evidence record")),
        _ => Err(wrong("there is more than one of timestamp and evidence record")),
    }
}

/// All that are there. A batch's and one's own are two words on the same, which X-Road never has.
fn present<'a>(claims: &Claims<'a>) -> Finding<Vec<Found<'a>>> {
    let archive = claims.container.archive;
    let within = claims.document.map(|document| document.unsigned.timestamps.as_slice()).unwrap_or_default();
    let is_message = claims.container.form == Form::Message;
    let mut words = Vec::new();
    let mut found: Vec<Found<'a>> = within.iter().map(Found::InSignature).collect();
    if !found.is_empty() {
        words.push("a timestamp in the signature".to_owned());
    }
    if let Some(token) = archive.may(TIMESTAMP).filter(|_| is_message) {
        if !found.is_empty() {
            return Err(wrong("there are two timestamps"));
        }
        found.push(Found::Batch(token?));
        words.push("a timestamp of a batch".to_owned());
    }
    for record in record::about(archive, claims.file)? {
        words.push(format!("the evidence record {}", record.name));
        found.push(Found::Record(record));
    }
    if claims.document.is_some_and(|document| document.unsigned.archived) {
        words.push("archive timestamps, which were not looked at".to_owned());
    }
    if !found.is_empty() {
        return Ok((found, format!("there is {}", words.join(", and "))));
    }
    need(claims.document, "signature.xml")?;
    if is_message {
        Err(wrong("there is no timestamp"))
    } else {
        Err(Flaw::Missing(
            "there is no timestamp, so the time of the signature is its signer's word".to_owned(),
        ))
    }
}

/// What each token is about.
fn contents(claims: &Claims<'_>, found: Option<&[Found<'_>]>) -> Finding<Vec<Stamped>> {
    let archive = claims.container.archive;
    let mut words = Vec::new();
    let mut stamped = Vec::new();
    let chain = [TIMESTAMP_CHAIN_RESULT, TIMESTAMP_CHAIN].iter().any(|name| archive.has(name));
    if chain && !archive.has(TIMESTAMP) {
        return Err(one_is_missing());
    }
    for found in need(found, "timestamp.present")? {
        match found {
            Found::InSignature(timestamp) => {
                let value = &need(claims.document, "signature.xml")?.value;
                // By the standard the element is stamped, by X-Road its decoded content; either comes after the signature.
                let contents = [timestamp.content.as_slice(), value].map(ContentDigests::of);
                stamped.push((timestamp.token.clone(), contents.to_vec()));
                words.push("the timestamp is about this signature alone".to_owned());
            }
            Found::Batch(token) => {
                let (content, reason) = batch_content(claims)?;
                stamped.push((token.to_vec(), vec![ContentDigests::of(&content)]));
                words.push(reason);
            }
            Found::Record(record) => {
                let (token, root) = record.token(archive)?;
                stamped.push((token, vec![root]));
                words.push("the signature leads to the root that was stamped".to_owned());
            }
        }
    }
    Ok((stamped, words.join(", and ")))
}

/// The result that X-Road has stamped, if the signature leads to it.
fn batch_content(claims: &Claims<'_>) -> Finding<Vec<u8>> {
    let archive = claims.container.archive;
    let (result, chain) = match (archive.may(TIMESTAMP_CHAIN_RESULT), archive.may(TIMESTAMP_CHAIN)) {
        (None, None) => {
            let document = need(claims.document, "signature.xml")?;
            return Ok((document.value.clone(), "the timestamp is about this signature alone".to_owned()));
        }
        (Some(result), Some(chain)) => (result?, chain?),
        _ => return Err(one_is_missing()),
    };
    [result, chain].into_iter().try_for_each(declaration).map_err(wrong)?;
    let chain = hash_chain::read_timestamps(result, chain).map_err(wrong)?;
    let data: Vec<_> = chain.data().collect();
    let [signature] = data[..] else {
        return Err(wrong("the hash chain is not about one signature"));
    };
    if signature.uri.strip_prefix('/') != Some(SIGNATURES) {
        return Err(wrong(format!("the hash chain is about {:?}", signature.uri)));
    }
    if !digest_is(&signature.digest, archive.must(SIGNATURES)?) {
        return Err(wrong("the signature is not in the timestamp's hash chain"));
    }
    Ok((result.to_vec(), "the signature leads to the result that was stamped".to_owned()))
}

fn one_is_missing() -> Flaw {
    wrong(format!("of {TIMESTAMP}, {TIMESTAMP_CHAIN_RESULT} and {TIMESTAMP_CHAIN} one is missing"))
}

/// All hold; the earliest one says when.
fn verify(stamped: Option<&[Stamped]>, trust: Trust<'_>) -> Finding<VerifiedToken> {
    let (tsas, policies) = trust.tsas();
    let mut verified = Vec::new();
    for (token, contents) in need(stamped, "timestamp.tree")? {
        let mut refusal = None;
        let good = contents.iter().find_map(|content| {
            timestamp::verify_content(token, content, policies, tsas)
                .map_err(|error| refusal = Some(error))
                .ok()
        });
        match (good, refusal) {
            (Some(token), _) => verified.push(token),
            (None, Some(error)) => return Err(wrong(error)),
            (None, None) => return Err(wrong("the token is about nothing")),
        }
    }
    let words: Vec<String> = verified
        .iter()
        .map(|token| format!("by {} at {}", token.tsa().subject(), token.gen_time()))
        .collect();
    let earliest = verified.into_iter().min_by_key(VerifiedToken::gen_time);
    let earliest = earliest.ok_or_else(|| Flaw::Missing("there is no token".to_owned()))?;
    Ok((earliest, words.join(", and ")))
}

/// The signature was made before the token. How long before matters only for messages, to whoever has a policy: others stamp when they can.
fn time(token: Option<&VerifiedToken>, claims: &Claims<'_>) -> Finding<()> {
    let signed = claims.document.map(|document| document.signed.signing_time);
    if let (Trust::Snapshot(snapshot), Form::Message) = (claims.container.trust, claims.container.form) {
        return stamp::time(token, signed, snapshot.policy());
    }
    let stamped = need(token, "timestamp.token")?.gen_time();
    let signed = *need(signed.as_ref(), "signature.xml")?;
    if signed > stamped.plus(claims.container.trust.clock_skew()) {
        return Err(Flaw::Wrong(format!("signed at {signed}, after the timestamp of {stamped}")));
    }
    Ok(((), format!("signed at {signed}, stamped at {stamped}")))
}

//! The timestamp: a token over the signature's value, or over the result of a hash chain of many signatures.

use kogge_certs::timestamp::{self, VerifiedToken};
use kogge_proto::time::UnixMillis;

use super::archive::Archive;
use super::document::{SignatureDocument, declaration};
use super::names::{SIGNATURES, TIMESTAMP, TIMESTAMP_CHAIN, TIMESTAMP_CHAIN_RESULT};
use super::{CLOCK_SKEW_MAX, digest_is};
use crate::globalconf::GlobalConf;
use crate::report::Report;
use crate::verify::finding::{Finding, Flaw, need, settle, wrong};
use crate::verify::hash_chain;

/// Makes the checks of the timestamp; yields its time if it can be believed.
pub(super) fn judge(
    archive: &Archive,
    document: Option<&SignatureDocument>,
    conf: &GlobalConf,
    report: &mut Report,
) -> Option<UnixMillis> {
    let token = settle(report, "timestamp.present", present(archive, document));
    let content = settle(report, "timestamp.tree", content(archive, document));
    let verified = settle(report, "timestamp.token", verify(token.as_deref(), content.as_deref(), conf));
    settle(report, "timestamp.time", time(verified.as_ref(), document));
    verified.map(|token| token.gen_time())
}

/// The one token.
fn present(archive: &Archive, document: Option<&SignatureDocument>) -> Finding<Vec<u8>> {
    let within = document.and_then(|document| document.unsigned.timestamp.as_ref());
    match (within, archive.may(TIMESTAMP)) {
        (Some(token), None) => Ok((token.clone(), "there is a timestamp in the signature".to_owned())),
        (None, Some(token)) => Ok((token?.to_vec(), "there is a timestamp of a batch".to_owned())),
        (Some(_), Some(_)) => Err(wrong("there are two timestamps")),
        (None, None) => {
            need(document, "signature.xml")?;
            Err(wrong("there is no timestamp"))
        }
    }
}

/// What the token is about.
fn content(archive: &Archive, document: Option<&SignatureDocument>) -> Finding<Vec<u8>> {
    let (result, chain) = (archive.may(TIMESTAMP_CHAIN_RESULT), archive.may(TIMESTAMP_CHAIN));
    let (result, chain) = match (result, chain) {
        (None, None) => {
            let document = need(document, "signature.xml")?;
            return Ok((document.value.clone(), "the timestamp is about this signature alone".to_owned()));
        }
        (Some(result), Some(chain)) if archive.has(TIMESTAMP) => (result?, chain?),
        _ => {
            return Err(wrong(format!(
                "of {TIMESTAMP}, {TIMESTAMP_CHAIN_RESULT} and {TIMESTAMP_CHAIN} one is missing"
            )));
        }
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

fn verify(token: Option<&[u8]>, content: Option<&[u8]>, conf: &GlobalConf) -> Finding<VerifiedToken> {
    let token = need(token, "timestamp.present")?;
    let content = need(content, "timestamp.tree")?;
    let token = timestamp::verify_under_any_policy(token, content, conf.tsas()).map_err(wrong)?;
    let words = format!("by {} at {}", token.tsa().subject(), token.gen_time());
    Ok((token, words))
}

/// The signature was made before the token. How long before does not matter: X-Road stamps when it can.
fn time(token: Option<&VerifiedToken>, document: Option<&SignatureDocument>) -> Finding<()> {
    let stamped = need(token, "timestamp.token")?.gen_time();
    let signed = need(document, "signature.xml")?.signed.signing_time;
    if signed > stamped.plus(CLOCK_SKEW_MAX) {
        return Err(Flaw::Wrong(format!("signed at {signed}, after the timestamp of {stamped}")));
    }
    Ok(((), format!("signed at {signed}, stamped at {stamped}")))
}

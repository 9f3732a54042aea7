//! Who signed: that the certificate is a good one, and that of the member who must have signed.

use kogge_certs::certificate::Certificate;
use kogge_certs::ocsp::{self, Freshness, OcspError, OcspStatus};
use kogge_certs::path::{self, PathError, VerifiedPath};
use kogge_certs::profile::{self, Profile};
use kogge_proto::id::MemberId;
use kogge_proto::time::UnixMillis;

use super::CLOCK_SKEW_MAX;
use super::document::SignatureDocument;
use super::message::Message;
use crate::globalconf::{GlobalConf, Instance};
use crate::report::Report;
use crate::verify::finding::{Finding, Flaw, need, settle, wrong};

/// What the checks go by.
pub(super) struct Claims<'a> {
    /// The message.
    pub(super) message: Option<&'a Message>,
    /// The signature.
    pub(super) document: Option<&'a SignatureDocument>,
    /// The certificate in it.
    pub(super) certificate: Option<&'a Certificate>,
    /// The timestamp's time.
    pub(super) timestamp: Option<UnixMillis>,
}

/// Makes the checks of the signer; yields who signed.
pub(super) fn judge(claims: &Claims<'_>, conf: &GlobalConf, report: &mut Report) -> Option<MemberId> {
    let instance = settle(report, "registry.instance", instance(claims.message, conf));
    settle(report, "signer.usage", usage(claims.certificate));
    let path = settle(report, "signer.path", signer_path(claims, instance));
    let signer = settle(report, "signer.member", member(claims, path.as_ref(), instance));
    settle(report, "ocsp.response", ocsp_responses(claims, path.as_ref(), instance));
    signer
}

/// The instance of whoever must have signed.
fn instance<'c>(message: Option<&Message>, conf: &'c GlobalConf) -> Finding<&'c Instance> {
    let name = need(message, "message.parse")?.signer().instance();
    match conf.get(name) {
        Some(instance) => Ok((instance, format!("{name} is in the configuration directory"))),
        None => Err(wrong(format!("the configuration directory has no instance {name}"))),
    }
}

fn usage(certificate: Option<&Certificate>) -> Finding<()> {
    let certificate = need(certificate, "signature.certificate")?;
    profile::check(certificate, Profile::Signing).map_err(wrong)?;
    Ok(((), "a signing certificate".to_owned()))
}

fn signer_path(claims: &Claims<'_>, instance: Option<&Instance>) -> Finding<VerifiedPath> {
    let document = need(claims.document, "signature.xml")?;
    let certificate = need(claims.certificate, "signature.certificate")?;
    let instance = need(instance, "registry.instance")?;
    let time = *need(claims.timestamp.as_ref(), "timestamp.token")?;
    let issuers: Vec<Certificate> = document
        .unsigned
        .issuers
        .iter()
        .map(|der| Certificate::from_der(der))
        .collect::<Result<_, _>>()
        .map_err(wrong)?;
    let path =
        path::verify(certificate, &issuers, instance.trust(), Profile::Signing, time).map_err(|error| {
            match error {
                PathError::Profile(_) => Flaw::Missing("not checked: signer.usage failed".to_owned()),
                other => wrong(other),
            }
        })?;
    let words = format!("issued under the approved CA {} and valid at {time}", path.ca().name);
    Ok((path, words))
}

fn member(
    claims: &Claims<'_>,
    path: Option<&VerifiedPath>,
    instance: Option<&Instance>,
) -> Finding<MemberId> {
    let expected = need(claims.message, "message.parse")?.signer();
    let instance = need(instance, "registry.instance")?;
    let path = need(path, "signer.path")?;
    let form = instance.subject_form(&path.ca().certificate).map_err(|class| {
        Flaw::Missing(format!("the certificate profile {class:?} of {} is not known", path.ca().name))
    })?;
    let found = form.member(path.leaf(), expected.instance()).map_err(wrong)?;
    if found == *expected {
        let words = found.to_string();
        Ok((found, words))
    } else {
        Err(wrong(format!("signed by {found}, but {expected} must have signed")))
    }
}

/// The signing certificate and every intermediate CA above it were good.
fn ocsp_responses(
    claims: &Claims<'_>,
    path: Option<&VerifiedPath>,
    instance: Option<&Instance>,
) -> Finding<()> {
    let responses = &need(claims.document, "signature.xml")?.unsigned.ocsp;
    let instance = need(instance, "registry.instance")?;
    let path = need(path, "signer.path")?;
    let time = *need(claims.timestamp.as_ref(), "timestamp.token")?;
    let status = good(responses, path, instance, time)?;
    let mut above = path.above();
    let mut count = 0;
    while let Some(path) = above {
        good(responses, &path, instance, time)?;
        count += 1;
        above = path.above();
    }
    let more = if count == 0 { String::new() } else { format!(", and {count} CAs above it") };
    Ok(((), format!("the certificate was good at {}{more}", status.this_update)))
}

/// One of the responses says good about the leaf of `path`: fresh at `time` as the instance demands, and not to be renewed before.
fn good(
    responses: &[Vec<u8>],
    path: &VerifiedPath,
    instance: &Instance,
    time: UnixMillis,
) -> Result<OcspStatus, Flaw> {
    let freshness = Freshness { age_max: instance.ocsp_freshness(), skew_max: CLOCK_SKEW_MAX };
    // Which of several responses is meant for this certificate is not known before one holds: all reasons are told.
    let mut reasons = vec![format!("no OCSP response shows that {} was good", path.leaf().subject())];
    for response in responses {
        match ocsp::verify(response, path, freshness, None, time) {
            Ok(status) if status.next_update.is_none_or(|next| next >= time) => return Ok(status),
            Ok(OcspStatus { this_update, .. }) => reasons.push(OcspError::Stale { this_update }.to_string()),
            Err(OcspError::OtherCertificate) => {}
            Err(error) => reasons.push(error.to_string()),
        }
    }
    Err(wrong(reasons.join("; ")))
}

//! Who signed: that the certificate is a good one, and that of the member who must have signed.

use kogge_certs::certificate::Certificate;
use kogge_certs::ocsp::{self, OcspError, OcspStatus};
use kogge_certs::path::{self, PathError, VerifiedPath};
use kogge_certs::profile::{self, Profile};
use kogge_proto::id::MemberId;
use kogge_proto::time::UnixMillis;

use super::document::SignatureDocument;
use super::message::Message;
use crate::report::Report;
use crate::verify::checks;
use crate::verify::finding::{Finding, Flaw, need, settle, wrong};
use crate::verify::trust::{Approvals, Trust};

/// What the checks go by.
pub(super) struct Claims<'a> {
    /// The message.
    pub(super) message: Option<&'a Message>,
    /// Whether there has to be one.
    pub(super) is_message: bool,
    /// The signature.
    pub(super) document: Option<&'a SignatureDocument>,
    /// The certificate in it.
    pub(super) certificate: Option<&'a Certificate>,
    /// The timestamp's time.
    pub(super) timestamp: Option<UnixMillis>,
}

/// A path with the approvals under which it was found.
type Approved<'t> = (VerifiedPath, Approvals<'t>);

/// Makes the checks of the signer; yields who signed.
pub(super) fn judge(claims: &Claims<'_>, trust: Trust<'_>, report: &mut Report) -> Option<MemberId> {
    let approvals = approvals(claims, trust, report);
    if let Trust::Snapshot(snapshot) = trust {
        settle(report, "registry.time", checks::registry_time(claims.judged_at(trust), snapshot));
    }
    settle(report, "signer.usage", usage(claims.certificate));
    let approved = settle(report, "signer.path", signer_path(claims, approvals.as_deref(), trust));
    let signer = if claims.is_message {
        settle(report, "signer.member", member(claims, approved.as_ref()))
    } else {
        report.not_applicable("signer.member", "no member must have signed: there is no message");
        None
    };
    settle(report, "ocsp.response", ocsp_responses(claims, approved.as_ref(), trust));
    signer
}

impl Claims<'_> {
    /// When the certificate must have been good. A snapshot's instance limits the time between signing and stamping of a message, and its
    /// servers judge by the signing time; for all else the time is that by which the signature is proven to have existed.
    fn judged_at(&self, trust: Trust<'_>) -> Option<UnixMillis> {
        match trust {
            Trust::Snapshot(_) if self.is_message => {
                self.document.map(|document| document.signed.signing_time)
            }
            Trust::Snapshot(_) | Trust::GlobalConf(_) => self.timestamp,
        }
    }
}

/// Those of the instance of whoever must have signed; without a message, those of any.
fn approvals<'t>(claims: &Claims<'_>, trust: Trust<'t>, report: &mut Report) -> Option<Vec<Approvals<'t>>> {
    if !claims.is_message {
        report.not_applicable("registry.instance", "no instance is named: there is no message");
        return Some(trust.all());
    }
    let found = need(claims.message, "message.parse").and_then(|message| {
        let other = if message.is_response { &message.client_member } else { &message.service_member };
        // A snapshot is of one instance; a directory may have several, and only the signer's is asked.
        if matches!(trust, Trust::Snapshot(_)) {
            trust.of(other.instance())?;
        }
        let (approvals, words) = trust.of(message.signer().instance())?;
        Ok((vec![approvals], words))
    });
    settle(report, "registry.instance", found)
}

fn usage(certificate: Option<&Certificate>) -> Finding<()> {
    let certificate = need(certificate, "signature.certificate")?;
    profile::check(certificate, Profile::Signing).map_err(wrong)?;
    Ok(((), "a signing certificate".to_owned()))
}

fn signer_path<'t>(
    claims: &Claims<'_>,
    approvals: Option<&[Approvals<'t>]>,
    trust: Trust<'_>,
) -> Finding<Approved<'t>> {
    let document = need(claims.document, "signature.xml")?;
    let certificate = need(claims.certificate, "signature.certificate")?;
    let approvals = need(approvals, "registry.instance")?;
    let time = *need(claims.judged_at(trust).as_ref(), "timestamp.token")?;
    let issuers = issuers(document, certificate)?;
    let mut reason = Flaw::Missing("nothing is approved".to_owned());
    let mut is_known = false;
    for approvals in approvals {
        match path::verify(certificate, &issuers, approvals.cas(), Profile::Signing, time) {
            Ok(path) => {
                let words = format!("issued under the approved CA {} and valid at {time}", path.ca().name);
                return Ok(((path, *approvals), words));
            }
            Err(PathError::Profile(_)) => {
                return Err(Flaw::Missing("not checked: signer.usage failed".to_owned()));
            }
            // That one instance does not know the CA explains less than what is wrong under another.
            Err(PathError::UnknownIssuer { .. }) if is_known => {}
            Err(error) => {
                is_known = !matches!(error, PathError::UnknownIssuer { .. });
                reason = wrong(error);
            }
        }
    }
    Err(reason)
}

/// The certificates that may stand above the signer's: signatures carry those of TSAs and OCSP responders as well, which lead nowhere.
fn issuers(document: &SignatureDocument, signer: &Certificate) -> Result<Vec<Certificate>, Flaw> {
    let carried = document.certificates.iter().chain(&document.unsigned.issuers);
    let mut rest: Vec<Certificate> = carried
        .filter(|der| der.as_slice() != signer.der())
        .map(|der| Certificate::from_der(der))
        .collect::<Result<_, _>>()
        .map_err(wrong)?;
    let mut above = Vec::new();
    let mut names = vec![signer.issuer_der().to_vec()];
    while let Some(name) = names.pop() {
        let (issuers, others): (Vec<_>, Vec<_>) =
            rest.into_iter().partition(|certificate| certificate.subject_der() == name);
        names.extend(issuers.iter().map(|certificate| certificate.issuer_der().to_vec()));
        above.extend(issuers);
        rest = others;
    }
    Ok(above)
}

fn member(claims: &Claims<'_>, approved: Option<&Approved<'_>>) -> Finding<MemberId> {
    let expected = need(claims.message, "message.parse")?.signer();
    let (path, approvals) = need(approved, "signer.path")?;
    let found = approvals.member(path, expected)?;
    if found == *expected {
        let words = found.to_string();
        Ok((found, words))
    } else {
        Err(wrong(format!("signed by {found}, but {expected} must have signed")))
    }
}

/// The signing certificate was good, and every intermediate CA above it where these have responses of their own.
fn ocsp_responses(claims: &Claims<'_>, approved: Option<&Approved<'_>>, trust: Trust<'_>) -> Finding<()> {
    let unsigned = &need(claims.document, "signature.xml")?.unsigned;
    let approved = need(approved, "signer.path")?;
    let time = *need(claims.judged_at(trust).as_ref(), "timestamp.token")?;
    if unsigned.ocsp.is_empty() && unsigned.has_crls {
        return Err(Flaw::Missing("there are only revocation lists, which are not read".to_owned()));
    }
    if unsigned.ocsp.is_empty() && !claims.is_message {
        return Err(Flaw::Missing("there is no OCSP response".to_owned()));
    }
    let (path, approvals) = approved;
    let question =
        Question { responses: &unsigned.ocsp, approvals: *approvals, time, later: !claims.is_message };
    let status = question.ask(path)?;
    let mut above = path.above().filter(|_| approvals.asks_about_intermediates());
    let mut count = 0;
    while let Some(path) = above {
        question.ask(&path)?;
        count += 1;
        above = path.above();
    }
    let more = if count == 0 { String::new() } else { format!(", and {count} CAs above it") };
    Ok(((), format!("the certificate was good at {}{more}", status.this_update)))
}

/// Whether one of the responses says good about a certificate.
struct Question<'a> {
    responses: &'a [Vec<u8>],
    approvals: Approvals<'a>,
    time: UnixMillis,
    /// Whether a response from after `time` will do: tools of eIDAS ask after they have signed.
    later: bool,
}

impl Question<'_> {
    /// One of the responses says good about the leaf of `path`: fresh at the time as the instance demands, and not to be renewed before.
    fn ask(&self, path: &VerifiedPath) -> Result<OcspStatus, Flaw> {
        // Which of several responses is meant for this certificate is not known before one holds: all reasons are told.
        let mut reasons = vec![format!("no OCSP response shows that {} was good", path.leaf().subject())];
        for response in self.responses {
            match self.verify(response, path) {
                Ok(status) if status.next_update.is_none_or(|next| next >= self.time) => return Ok(status),
                Ok(OcspStatus { this_update, .. }) => {
                    reasons.push(OcspError::Stale { this_update }.to_string());
                }
                Err(OcspError::OtherCertificate) => {}
                Err(error) => reasons.push(error.to_string()),
            }
        }
        Err(wrong(reasons.join("; ")))
    }

    /// What is good later was good before, as long as responders still have to know: until the certificate expires.
    fn verify(&self, response: &[u8], path: &VerifiedPath) -> Result<OcspStatus, OcspError> {
        let freshness = self.approvals.freshness();
        match ocsp::verify(response, path, freshness, None, self.time) {
            Err(OcspError::NotYetValid { this_update })
                if self.later && path.check_validity(this_update).is_ok() =>
            {
                ocsp::verify(response, path, freshness, None, this_update)
            }
            found => found,
        }
    }
}

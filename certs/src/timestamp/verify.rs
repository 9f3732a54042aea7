//! Checking a token: first who signed it, then what it says.

use der::asn1::{AnyRef, UintRef};
use der::{Decode, Encode};
use kogge_proto::limits::TRUST_RESPONSE_BYTES_MAX;
use kogge_proto::time::UnixMillis;

use super::ess::{CertificateIds, DIRECTORY_NAME};
use super::request::VERSION;
use super::structures::{TST_INFO, TstInfo, read_gen_time};
use super::{Imprint, TimestampError, VerifiedToken};
use crate::asn1::DigestAlgorithm;
use crate::certificate::Certificate;
use crate::cms::{CmsError, SignedMessage};
use crate::profile::{self, Profile};
use crate::trust::{ApprovedTsa, TrustStore};

/// Checks a token: content type, version, one signer, signed attributes (content-type, message-digest, ESS certificate id v2 or v1),
/// imprint and its algorithm, nonce if one was sent, policy, signature, and that the signer's certificate is one that the
/// snapshot lists, made for timestamping alone, and valid at the token's time. Every byte of the token is accounted for:
/// an altered one is refused even where the signature does not reach.
///
/// The certificates that a token carries are not signed. Each must therefore be the listed certificate of the TSA, one of an
/// approved CA or TSA, or one whose digest is among the signed ESS certificate ids; the TSA's own must be there, and none twice.
///
/// # Errors
/// Any of that does not hold.
pub fn verify(
    token: &[u8],
    imprint: &Imprint,
    nonce: Option<u64>,
    trust: &TrustStore,
) -> Result<VerifiedToken, TimestampError> {
    let demands = Demands {
        imprint: &|info| info.message_imprint.is(imprint.algorithm(), imprint.as_bytes()),
        nonce,
        any_policy: false,
        complete: true,
    };
    check(token, &demands, trust)
}

/// Under which policies a token must have been issued.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Policies {
    /// Those that are approved for the TSA.
    Approved,
    /// Any: for lists of TSAs that name no policies.
    Any,
}

/// What a token may be about: the digests of one content, by the algorithms that are accepted.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct ContentDigests {
    /// SHA-256.
    pub sha256: Option<Vec<u8>>,
    /// SHA-384.
    pub sha384: Option<Vec<u8>>,
    /// SHA-512.
    pub sha512: Option<Vec<u8>>,
}

impl ContentDigests {
    /// All digests of `content`.
    #[must_use]
    pub fn of(content: &[u8]) -> Self {
        let digest = |algorithm: DigestAlgorithm| Some(algorithm.digest(content));
        Self {
            sha256: digest(DigestAlgorithm::Sha256),
            sha384: digest(DigestAlgorithm::Sha384),
            sha512: digest(DigestAlgorithm::Sha512),
        }
    }
}

/// As [`verify`], about a content by whichever of its digests the token names; for requests of others, which may not have asked for the
/// TSA's certificate.
///
/// # Errors
/// As for [`verify`].
pub fn verify_content(
    token: &[u8],
    content: &ContentDigests,
    policies: Policies,
    trust: &TrustStore,
) -> Result<VerifiedToken, TimestampError> {
    use DigestAlgorithm as D;
    let imprint = |info: &TstInfo<'_>| {
        [(D::Sha256, &content.sha256), (D::Sha384, &content.sha384), (D::Sha512, &content.sha512)]
            .into_iter()
            .any(|(by, digest)| digest.as_ref().is_some_and(|digest| info.message_imprint.is(by, digest)))
    };
    let any_policy = policies == Policies::Any;
    check(token, &Demands { imprint: &imprint, nonce: None, any_policy, complete: false }, trust)
}

/// What a token must say.
struct Demands<'d> {
    imprint: &'d dyn Fn(&TstInfo<'_>) -> bool,
    nonce: Option<u64>,
    any_policy: bool,
    /// Whether the TSA's certificate must be in it, as whoever has asked for it knows.
    complete: bool,
}

fn check(token: &[u8], demands: &Demands<'_>, trust: &TrustStore) -> Result<VerifiedToken, TimestampError> {
    if token.len() > TRUST_RESPONSE_BYTES_MAX {
        return Err(TimestampError::Malformed("larger than is accepted".to_owned()));
    }
    let message = SignedMessage::read(token, TST_INFO)?;
    let tsas = approved_signers(&message, trust)?;
    let certificate = &tsas.certificate;
    message.verify(TST_INFO, certificate)?;
    let ids = CertificateIds::of(&message, certificate)?;
    check_carried(&message, &ids, certificate, trust)?;
    if demands.complete {
        check_complete(&message, certificate)?;
    }
    profile::check(certificate, Profile::Timestamping)
        .map_err(|error| TimestampError::Certificate(error.to_string()))?;

    let info = TstInfo::from_der(message.content()).map_err(malformed)?;
    check_form(&info, certificate)?;
    if !(demands.imprint)(&info) {
        return Err(TimestampError::Imprint);
    }
    check_nonce(&info, demands.nonce)?;
    let policy = if demands.any_policy { info.policy.to_string() } else { tsas.approved_policy(&info)? };
    let gen_time =
        read_gen_time(info.gen_time).ok_or(TimestampError::Rule("genTime is not in the form of RFC 3161"))?;
    check_validity(certificate, gen_time)?;
    Ok(VerifiedToken {
        gen_time,
        serial: info.serial_number.value().to_vec(),
        policy,
        tsa: certificate.clone(),
    })
}

/// The listed TSAs with the certificate that the token names as its signer's; a TSA may be listed more than once.
struct Signers<'t> {
    certificate: Certificate,
    listed: Vec<&'t ApprovedTsa>,
}

fn approved_signers<'t>(
    message: &SignedMessage<'_>,
    trust: &'t TrustStore,
) -> Result<Signers<'t>, TimestampError> {
    let named = |tsa: &&ApprovedTsa| message.is_signed_in_the_name_of(&tsa.certificate);
    let mut listed: Vec<&ApprovedTsa> = trust.tsas().iter().map(AsRef::as_ref).filter(named).collect();
    let Some(certificate) = listed.first().map(|tsa| tsa.certificate.clone()) else {
        let serial = hex::encode(message.signer_serial());
        return Err(TimestampError::UnknownTsa(format!(
            "its certificate, serial number {serial}, is not listed"
        )));
    };
    listed.retain(|tsa| tsa.certificate == certificate);
    Ok(Signers { certificate, listed })
}

impl Signers<'_> {
    fn approved_policy(&self, info: &TstInfo<'_>) -> Result<String, TimestampError> {
        let policy = info.policy.to_string();
        if self.listed.iter().any(|tsa| tsa.policies.contains(&policy)) {
            Ok(policy)
        } else {
            Err(TimestampError::Policy(policy))
        }
    }
}

fn check_carried(
    message: &SignedMessage<'_>,
    ids: &CertificateIds<'_>,
    tsa: &Certificate,
    trust: &TrustStore,
) -> Result<(), TimestampError> {
    let known = |der: &[u8]| {
        der == tsa.der()
            || trust.tsas().iter().any(|tsa| tsa.certificate.der() == der)
            || trust.cas().iter().any(|ca| {
                ca.certificate.der() == der
                    || ca.intermediates.iter().any(|certificate| certificate.der() == der)
            })
    };
    for der in message.certificates()? {
        if !known(&der) && !ids.include(&der) {
            return Err(TimestampError::Rule(
                "the token carries a certificate that is neither approved nor signed for",
            ));
        }
    }
    Ok(())
}

/// RFC 3161 section 2.4.1: who asks for the TSA's certificate gets it, and every request of Kogge's does. The set is not signed, so without this rule what stands
/// in it could be taken out or repeated unseen.
fn check_complete(message: &SignedMessage<'_>, tsa: &Certificate) -> Result<(), TimestampError> {
    let carried = message.certificates()?;
    let is_repeated = |(at, der): (usize, &Vec<u8>)| carried.iter().take(at).any(|earlier| earlier == der);
    if !carried.iter().any(|der| der == tsa.der()) {
        return Err(TimestampError::Rule("the token does not carry its TSA's certificate"));
    }
    if carried.iter().enumerate().any(is_repeated) {
        return Err(TimestampError::Rule("the token carries a certificate twice"));
    }
    Ok(())
}

fn check_form(info: &TstInfo<'_>, tsa: &Certificate) -> Result<(), TimestampError> {
    if info.version != VERSION {
        return Err(TimestampError::Rule("TSTInfo must have version 1"));
    }
    if info.serial_number.decode_as::<UintRef<'_>>().is_err() {
        return Err(TimestampError::Rule("the token's serial number is not a positive INTEGER"));
    }
    if info.tsa.is_some_and(|name| is_other_name(name, tsa)) {
        return Err(TimestampError::Rule("TSTInfo names another TSA than the signer"));
    }
    if info.extensions.iter().flatten().any(|extension| extension.critical) {
        return Err(TimestampError::Rule("a critical extension is not understood"));
    }
    Ok(())
}

/// RFC 3161 section 2.4.2: the hint must be one of the signer's names. Other kinds of names than the subject are only hints.
fn is_other_name(name: AnyRef<'_>, tsa: &Certificate) -> bool {
    name.header().tag() == DIRECTORY_NAME && name.value() != tsa.subject_der()
}

fn check_nonce(info: &TstInfo<'_>, sent: Option<u64>) -> Result<(), TimestampError> {
    let Some(sent) = sent else { return Ok(()) };
    let found = info.nonce.map(|nonce| nonce.to_der()).transpose().map_err(malformed)?;
    if found == Some(sent.to_der().map_err(malformed)?) { Ok(()) } else { Err(TimestampError::Nonce) }
}

fn check_validity(tsa: &Certificate, at: UnixMillis) -> Result<(), TimestampError> {
    if !tsa.is_valid_at(at) {
        return Err(TimestampError::Certificate(format!("it is not valid at {at}")));
    }
    Ok(())
}

fn malformed(error: der::Error) -> TimestampError {
    TimestampError::Malformed(error.to_string())
}

impl From<CmsError> for TimestampError {
    fn from(error: CmsError) -> Self {
        match error {
            CmsError::Malformed(reason) => Self::Malformed(reason),
            CmsError::Rule(rule) => Self::Rule(rule),
            CmsError::BadSignature => Self::BadSignature,
        }
    }
}

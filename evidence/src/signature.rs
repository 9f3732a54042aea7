//! Compact signatures on the hot path: a fixed template, no XML parser.

mod batch;
mod ready;
mod roots;
mod signer;

use std::sync::Arc;

use bytes::Bytes;
use kogge_certs::certificate::{Certificate, CertificateError};
use kogge_certs::key::{KeyError, SignError, SigningKey};
use kogge_certs::ocsp::{Freshness, OcspError, OcspStatus};
use kogge_certs::path::{PathError, VerifiedPath};
use kogge_certs::trust::TrustStore;
use kogge_proto::digest::{Sha256, Sha512};
use kogge_proto::id::MemberId;
use kogge_proto::time::UnixMillis;
use kogge_proto::wire::evidence as wire;

use crate::compact::Compact;
use crate::material::Material;
use crate::xades::Subject;

pub use batch::sign_batch;
pub use ready::ReadyCredential;
pub use signer::{Names, Signer};

/// Digests of the parts of one message: all that a signature says about them.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Parts {
    /// Of the REST message part (`/message.xml`).
    pub message: Sha512,
    /// Of the body part (`/attachment1`), if the message has one.
    pub body: Option<Sha512>,
}

/// What a member signs with.
#[derive(Clone)]
pub struct Credential {
    /// The signing certificate.
    pub certificate: Certificate,
    /// Intermediate CA certificates below the approved CA, the leaf's issuer first; often empty.
    pub issuers: Vec<Certificate>,
    /// DER OCSPResponse for the signing certificate, fresh now.
    pub ocsp: Bytes,
    /// The certificate's private key.
    pub key: Arc<dyn SigningKey>,
}

impl Credential {
    /// Whether signatures by the one and by the other name the same items.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        self.certificate == other.certificate && self.issuers == other.issuers && self.ocsp == other.ocsp
    }
}

/// A new signature with the items it names.
#[derive(Clone, Debug)]
pub struct Signed {
    /// The compact signature.
    pub signature: wire::Signature,
    /// Signing certificate, OCSP response, intermediates.
    pub material: wire::Material,
    /// SHA-256 of its XAdES document: the leaf of the message's record in a batch's hash tree, as [`crate::xades::leaf`] computes it.
    pub leaf: Sha256,
}

/// What a signature must be in order to be believed.
#[derive(Clone, Copy, Debug)]
pub struct Expected<'a> {
    /// The member that must have signed.
    pub member: &'a MemberId,
    /// Approved CAs.
    pub trust: &'a TrustStore,
    /// Freshness of the OCSP response, at the signing time and at `now`.
    pub freshness: Freshness,
    /// The signing time must lie within this much before `now` (and within the skew after it).
    pub age_max: std::time::Duration,
    /// The time now.
    pub now: UnixMillis,
}

/// A signature that holds, with who made it. Only [`verify`] makes one.
#[derive(Clone, Debug)]
pub struct VerifiedSignature {
    signer: Arc<Signer>,
    signing_time: UnixMillis,
    leaf: Sha256,
}

/// Why a signature is refused.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum SignatureError {
    /// The compact signature has a field that is missing, malformed or unknown.
    #[error("the signature is malformed: {0}")]
    Malformed(&'static str),
    /// An item that it names did not come along.
    #[error("the {0} that the signature names did not come along")]
    MissingMaterial(&'static str),
    /// The signing certificate cannot be read.
    #[error("the signing certificate cannot be read: {0}")]
    Certificate(#[from] CertificateError),
    /// The signing certificate does not lead to an approved CA or is not one for signing.
    #[error(transparent)]
    Path(#[from] PathError),
    /// The signing certificate names another member.
    #[error("the signing certificate is of {found}, not of {expected}")]
    OtherMember {
        /// Who must have signed.
        expected: MemberId,
        /// Who did.
        found: MemberId,
    },
    /// The OCSP response does not show that the certificate is good.
    #[error(transparent)]
    Ocsp(#[from] OcspError),
    /// The signing time is too long ago or in the future.
    #[error("the signature was made at {0}, which is too far from now: check the clocks")]
    Time(UnixMillis),
    /// The value is not a signature of these parts by this key.
    #[error("the signature value is wrong: the message was altered or signed by another key")]
    Value,
}

impl VerifiedSignature {
    /// Who made it: what the caller may remember for [`verify_with`].
    #[must_use]
    pub fn signer(&self) -> &Arc<Signer> {
        &self.signer
    }

    /// The path of the signing certificate.
    #[must_use]
    pub fn path(&self) -> &VerifiedPath {
        self.signer.path()
    }

    /// What its OCSP response says.
    #[must_use]
    pub fn ocsp(&self) -> &OcspStatus {
        self.signer.ocsp()
    }

    /// When the member says it was made.
    #[must_use]
    pub fn signing_time(&self) -> UnixMillis {
        self.signing_time
    }

    /// SHA-256 of its XAdES document, as [`crate::xades::leaf`] computes it.
    #[must_use]
    pub fn leaf(&self) -> Sha256 {
        self.leaf
    }
}

/// Signs the parts of a message. The signing time is `now` without its fraction of a second.
///
/// # Errors
/// The key cannot sign, or is not the key of the certificate.
pub fn sign(parts: &Parts, credential: &Credential, now: UnixMillis) -> Result<Signed, SignError> {
    ReadyCredential::new(credential.clone()).sign(parts, now)
}

/// Checks a signature that came with a message: form, time, material, path, member, OCSP, value.
///
/// Path and OCSP response are judged at the signing time, as the verifier will judge them years later: nobody can be handed a
/// message that is good today and worthless as evidence. Every certificate must also be valid now, and the OCSP response fresh now.
///
/// # Errors
/// It does not hold; see [`SignatureError`].
pub fn verify(
    signature: &wire::Signature,
    parts: &Parts,
    material: &Material,
    expected: &Expected<'_>,
) -> Result<VerifiedSignature, SignatureError> {
    verify_with(signature, parts, material, expected, |_| None)
}

/// As [`verify`], with what was found out about the signer before: `known` is asked by the names that the signature gives. What it
/// answers is used only if it is about these names, all that they name came along, it is approved by `expected.trust`, and good at both
/// times; else the signer is established from the material. The value is checked in any case, whoever signed.
///
/// # Errors
/// As [`verify`].
pub fn verify_with(
    signature: &wire::Signature,
    parts: &Parts,
    material: &Material,
    expected: &Expected<'_>,
    known: impl FnOnce(&Names) -> Option<Arc<Signer>>,
) -> Result<VerifiedSignature, SignatureError> {
    let compact = Compact::read(signature)?;
    check_time(compact.signing_time, expected)?;
    let names = Names::of(&compact);
    let signing_time = compact.signing_time;
    let signer = match known(&names) {
        Some(known) if known.holds(&names, material, signing_time, expected) => known,
        _ => Arc::new(Signer::establish(names, signing_time, material, expected)?),
    };
    signer.check_member(expected.member)?;
    let leaf = check_value(&compact, parts, &signer)?;
    Ok(VerifiedSignature { signer, signing_time, leaf })
}

fn check_time(signing_time: UnixMillis, expected: &Expected<'_>) -> Result<(), SignatureError> {
    let oldest = expected.now.minus(expected.age_max);
    let newest = expected.now.plus(expected.freshness.skew_max);
    if (oldest..=newest).contains(&signing_time) { Ok(()) } else { Err(SignatureError::Time(signing_time)) }
}

/// Returns the leaf. The value of a batch is verified once for the messages of the batch that follow each other, which have one document
/// too; that each is in the batch is checked each time, since the root that its way leads to is part of what was signed.
fn check_value(compact: &Compact<'_>, parts: &Parts, signer: &Signer) -> Result<Sha256, SignatureError> {
    let signed = compact.signed(parts);
    let Compact { method, signing_time, value, .. } = *compact;
    let verify = || {
        let rendered = signer.validation_data().render(&signed);
        let key = signer.path().leaf().public_key();
        match key.verify(method.scheme(), rendered.signed_bytes(), value) {
            Ok(()) => Ok(rendered.leaf(value)),
            Err(KeyError::Scheme) => {
                Err(SignatureError::Malformed("the signature method does not fit the key"))
            }
            Err(_) => Err(SignatureError::Value),
        }
    };
    match signed.subject {
        Subject::Parts(_) => verify(),
        Subject::Batch { root } => {
            let digest = roots::digest(root, method.to_wire().into(), signing_time, value);
            signer.roots().check(digest, verify)
        }
    }
}

fn bytes_of(digest: Sha256) -> Vec<u8> {
    digest.as_bytes().to_vec()
}

/// What [`SignatureError::MissingMaterial`] calls the items.
pub(crate) const SIGNING_CERTIFICATE: &str = "signing certificate";
pub(crate) const OCSP_RESPONSE: &str = "OCSP response";
pub(crate) const ISSUER_CERTIFICATE: &str = "issuer certificate";

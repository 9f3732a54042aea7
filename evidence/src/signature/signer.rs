//! Who signed, as far as it does not depend on the message: the same for all messages that name the same material.

use bytes::Bytes;
use kogge_certs::certificate::Certificate;
use kogge_certs::ocsp::{KnownAnswer, OcspStatus};
use kogge_certs::path::{self, PathError, VerifiedPath};
use kogge_certs::profile::{self, Profile};
use kogge_proto::digest::Sha256;
use kogge_proto::id::MemberId;
use kogge_proto::time::UnixMillis;
use kogge_proto::wire::evidence as wire;
use std::sync::Arc;

use super::roots::VerifiedRoots;
use super::{Expected, ISSUER_CERTIFICATE, OCSP_RESPONSE, SIGNING_CERTIFICATE, SignatureError};
use crate::compact::Compact;
use crate::material::Material;
use crate::xades::ValidationData;

/// The items that a signature names, by their SHA-256.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct Names {
    certificate: Sha256,
    ocsp: Sha256,
    issuers: Vec<Sha256>,
}

/// A member's signing certificate that leads to an approved CA, with an OCSP response that says good. Holds nothing of any
/// message, but knows the last batches that were found to be signed by it.
#[derive(Debug)]
pub struct Signer {
    names: Names,
    member: MemberId,
    path: VerifiedPath,
    answer: KnownAnswer,
    /// The named items, in the order of the names.
    items: Vec<Bytes>,
    validation: ValidationData,
    roots: VerifiedRoots,
}

impl Names {
    pub(super) fn of(compact: &Compact<'_>) -> Self {
        let Compact { certificate, ocsp, ref issuers, .. } = *compact;
        Self { certificate, ocsp, issuers: issuers.clone() }
    }

    fn items(&self, material: &Material) -> Result<Vec<Bytes>, SignatureError> {
        let find = |digest: &Sha256, what| {
            let item = material.find(digest.as_bytes()).ok_or(SignatureError::MissingMaterial(what))?;
            // A copy of its own: what is remembered must not keep the buffer alive that it came in.
            Ok::<_, SignatureError>(Bytes::copy_from_slice(item))
        };
        let mut items = vec![find(&self.certificate, SIGNING_CERTIFICATE)?, find(&self.ocsp, OCSP_RESPONSE)?];
        for issuer in &self.issuers {
            items.push(find(issuer, ISSUER_CERTIFICATE)?);
        }
        Ok(items)
    }
}

impl Signer {
    /// Path and OCSP response are judged at the signing time and must be good now.
    pub(super) fn establish(
        names: Names,
        signing_time: UnixMillis,
        material: &Material,
        expected: &Expected<'_>,
    ) -> Result<Self, SignatureError> {
        let items = names.items(material)?;
        let [certificate, ocsp, issuers @ ..] = items.as_slice() else {
            return Err(SignatureError::MissingMaterial(SIGNING_CERTIFICATE));
        };
        let validation = ValidationData::new(certificate, ocsp, &issuers.iter().collect::<Vec<_>>());
        let certificate = Certificate::from_der(certificate)?;
        let issuers = issuers.iter().map(|der| Certificate::from_der(der)).collect::<Result<Vec<_>, _>>()?;

        let Expected { trust, freshness, now, .. } = *expected;
        let path = path::verify(&certificate, &issuers, trust, Profile::Signing, signing_time)?;
        path.check_validity(now)?;
        let member = profile::signing_member(&certificate).map_err(PathError::from)?;
        let answer = KnownAnswer::verify(ocsp, &path, freshness, signing_time)?;
        answer.status().check_freshness(freshness, now)?;
        Ok(Self { names, member, path, answer, items, validation, roots: VerifiedRoots::default() })
    }

    /// Whether [`Signer::establish`] would find the same again: only names and items, the approval of the CA and the dates can have
    /// changed. Items are compared with those known, which costs less than their digests.
    pub(super) fn holds(
        &self,
        names: &Names,
        material: &Material,
        signing_time: UnixMillis,
        expected: &Expected<'_>,
    ) -> bool {
        let Expected { trust, freshness, now, .. } = *expected;
        self.names == *names
            && self.items.iter().all(|item| material.contains(item))
            && trust.cas().iter().any(|ca| Arc::ptr_eq(ca, self.path.ca()))
            && self.path.check_validity(signing_time).is_ok()
            && self.path.check_validity(now).is_ok()
            && self.answer.holds_at(freshness, signing_time)
            && self.answer.status().check_freshness(freshness, now).is_ok()
    }

    pub(super) fn check_member(&self, expected: &MemberId) -> Result<(), SignatureError> {
        if self.member == *expected {
            return Ok(());
        }
        Err(SignatureError::OtherMember { expected: expected.clone(), found: self.member.clone() })
    }

    pub(super) fn roots(&self) -> &VerifiedRoots {
        &self.roots
    }

    pub(super) fn validation_data(&self) -> &ValidationData {
        &self.validation
    }

    /// What the signature names, and nothing else.
    #[must_use]
    pub fn names(&self) -> &Names {
        &self.names
    }

    /// The items that the names stand for.
    #[must_use]
    pub fn material(&self) -> wire::Material {
        wire::Material { items: self.items.clone() }
    }

    /// The path of the signing certificate.
    #[must_use]
    pub fn path(&self) -> &VerifiedPath {
        &self.path
    }

    /// What its OCSP response says.
    #[must_use]
    pub fn ocsp(&self) -> &OcspStatus {
        self.answer.status()
    }
}

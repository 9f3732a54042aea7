//! A credential with all that its signatures have in common.

use bytes::Bytes;
use kogge_certs::key::{KeyKind, SignError};
use kogge_proto::digest::{Sha256, sha256};
use kogge_proto::time::UnixMillis;
use kogge_proto::wire::evidence as wire;

use super::{Credential, Parts, Signed, bytes_of};
use crate::compact::Method;
use crate::xades::{SignedFields, Subject, ValidationData};

/// A [`Credential`] made ready to sign many messages: what they all carry is digested and encoded once.
pub struct ReadyCredential {
    credential: Credential,
    ocsp: Sha256,
    material: wire::Material,
    validation: ValidationData,
}

impl ReadyCredential {
    /// Makes a credential ready.
    #[must_use]
    pub fn new(credential: Credential) -> Self {
        let certificate = Bytes::copy_from_slice(credential.certificate.der());
        let issuers: Vec<Bytes> =
            credential.issuers.iter().map(|issuer| Bytes::copy_from_slice(issuer.der())).collect();
        let validation =
            ValidationData::new(&certificate, &credential.ocsp, &issuers.iter().collect::<Vec<_>>());
        let mut items = vec![certificate];
        items.extend(issuers);
        items.push(credential.ocsp.clone());
        let ocsp = sha256(&credential.ocsp);
        Self { credential, ocsp, material: wire::Material { items }, validation }
    }

    /// The kind of its key.
    #[must_use]
    pub fn kind(&self) -> KeyKind {
        self.credential.certificate.public_key().kind()
    }

    /// Whether signatures by the one and by the other name the same items.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        self.credential.is_same(&other.credential)
    }

    /// [`super::sign`].
    ///
    /// # Errors
    /// The key cannot sign, or is not the key of the certificate.
    pub fn sign(&self, parts: &Parts, now: UnixMillis) -> Result<Signed, SignError> {
        let (signature, leaf) = self.sign_subject(Subject::Parts(*parts), now)?;
        Ok(Signed { signature, material: self.material.clone(), leaf })
    }

    /// Everything of a signature but the way of one message to it, and its leaf.
    pub(super) fn sign_subject(
        &self,
        subject: Subject,
        now: UnixMillis,
    ) -> Result<(wire::Signature, Sha256), SignError> {
        let Credential { certificate, issuers, key, .. } = &self.credential;
        if key.public_key() != certificate.public_key() {
            return Err(SignError::Token("the signing certificate belongs to another key".to_owned()));
        }
        let method = key.message_scheme().and_then(Method::of_scheme).ok_or(SignError::Scheme)?;
        let signing_time = now.floor_seconds();
        let signed = SignedFields { method, subject, signing_time, certificate: certificate.sha256() };
        let rendered = self.validation.render(&signed);
        let value = key.sign(method.scheme(), rendered.signed_bytes())?;
        let leaf = rendered.leaf(&value);
        let signature = wire::Signature {
            method: method.to_wire().into(),
            signing_time_ms: signing_time.0,
            value,
            certificate_sha256: bytes_of(certificate.sha256()),
            ocsp_sha256: bytes_of(self.ocsp),
            issuer_sha256: issuers.iter().map(|issuer| bytes_of(issuer.sha256())).collect(),
            batch: None,
        };
        Ok((signature, leaf))
    }

    pub(super) fn material(&self) -> &wire::Material {
        &self.material
    }
}

//! ESS certificate ids (RFC 2634, RFC 5035): the signer's own word on which certificate belongs to its signature.

use der::asn1::AnyRef;
use der::{Encode, Tag, TagNumber};

use super::TimestampError;
use super::structures::{
    EssCertIdV2, IssuerSerial, SIGNING_CERTIFICATE, SIGNING_CERTIFICATE_V2, SigningCertificate,
    SigningCertificateV2,
};
use crate::asn1::DigestAlgorithm;
use crate::certificate::Certificate;
use crate::cms::SignedMessage;

/// The certificate ids of a token, the signer's first. They are signed.
pub(super) struct CertificateIds<'a>(Vec<CertificateId<'a>>);

struct CertificateId<'a> {
    algorithm: DigestAlgorithm,
    hash: Vec<u8>,
    issuer_serial: Option<IssuerSerial<'a>>,
}

impl<'a> CertificateIds<'a> {
    /// Reads the attribute of either version and checks that it names `signer` first.
    ///
    /// # Errors
    /// There is none, or it names another certificate.
    pub(super) fn of(message: &SignedMessage<'a>, signer: &Certificate) -> Result<Self, TimestampError> {
        let first = message.attribute(SIGNING_CERTIFICATE)?.map(version_1).transpose()?;
        let second = message.attribute(SIGNING_CERTIFICATE_V2)?.map(version_2).transpose()?;
        if first.is_none() && second.is_none() {
            return Err(TimestampError::Rule("the signed attributes do not name the signer's certificate"));
        }
        for ids in first.iter().chain(&second) {
            if !ids.first().is_some_and(|id| id.names(signer)) {
                return Err(TimestampError::Rule(
                    "the signed attributes name another certificate than the signer's",
                ));
            }
        }
        Ok(Self(first.into_iter().chain(second).flatten().collect()))
    }

    /// Whether the signer vouches for these bytes.
    pub(super) fn include(&self, der: &[u8]) -> bool {
        self.0.iter().any(|id| id.algorithm.digest(der) == id.hash)
    }
}

impl CertificateId<'_> {
    fn names(&self, certificate: &Certificate) -> bool {
        self.algorithm.digest(certificate.der()) == self.hash
            && self.issuer_serial.as_ref().is_none_or(|issuer_serial| is_of(issuer_serial, certificate))
    }
}

/// The value of the attribute that names this certificate by its SHA-256.
pub(super) fn naming(certificate: &Certificate) -> der::Result<Vec<u8>> {
    let id = EssCertIdV2 {
        algorithm: None,
        hash: der::asn1::OctetString::new(certificate.sha256().as_bytes())?,
        issuer_serial: None,
    };
    SigningCertificateV2 { certificates: vec![id], policies: None }.to_der()
}

fn version_1(value: AnyRef<'_>) -> Result<Vec<CertificateId<'_>>, TimestampError> {
    let value: SigningCertificate<'_> = value.decode_as().map_err(unreadable)?;
    let ids = value.certificates.into_iter().map(|id| CertificateId {
        algorithm: DigestAlgorithm::Sha1,
        hash: id.hash.into_bytes().into_vec(),
        issuer_serial: id.issuer_serial,
    });
    Ok(ids.collect())
}

fn version_2(value: AnyRef<'_>) -> Result<Vec<CertificateId<'_>>, TimestampError> {
    let value: SigningCertificateV2<'_> = value.decode_as().map_err(unreadable)?;
    value
        .certificates
        .into_iter()
        .map(|id| {
            let algorithm = match &id.algorithm {
                Some(identifier) => DigestAlgorithm::from_identifier(identifier)
                    .ok_or(TimestampError::Rule("a certificate id uses a digest that is not accepted"))?,
                None => DigestAlgorithm::Sha256,
            };
            Ok(CertificateId {
                algorithm,
                hash: id.hash.into_bytes().into_vec(),
                issuer_serial: id.issuer_serial,
            })
        })
        .collect()
}

fn is_of(issuer_serial: &IssuerSerial<'_>, certificate: &Certificate) -> bool {
    let [issuer] = issuer_serial.issuer.as_slice() else { return false };
    issuer.header().tag() == DIRECTORY_NAME
        && issuer.value() == certificate.issuer_der()
        && issuer_serial.serial.header().tag() == Tag::Integer
        && issuer_serial.serial.value() == certificate.serial()
}

fn unreadable(error: der::Error) -> TimestampError {
    TimestampError::Malformed(format!("certificate ids: {error}"))
}

/// GeneralName directoryName [4].
pub(super) const DIRECTORY_NAME: Tag = Tag::ContextSpecific { constructed: true, number: TagNumber(4) };

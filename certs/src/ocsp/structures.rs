//! The ASN.1 of RFC 6960, as far as it is used. Names follow the RFC.

use der::asn1::{AnyRef, BitStringRef, GeneralizedTime, Null, ObjectIdentifier, OctetString, UintRef};
use der::{Choice, Encode, Enumerated, Sequence};
use spki::AlgorithmIdentifierRef;

use crate::asn1::{DigestAlgorithm, Extension, key_bits};
use crate::certificate::Certificate;

/// OCSPRequest (section 4.1.1). The optional signature is not looked at: anybody may ask.
#[derive(Clone, Debug, Sequence)]
pub(super) struct OcspRequest<'a> {
    pub(super) tbs: TbsRequest<'a>,
    #[asn1(context_specific = "0", tag_mode = "EXPLICIT", optional = "true")]
    pub(super) signature: Option<AnyRef<'a>>,
}

/// TBSRequest.
#[derive(Clone, Debug, Sequence)]
pub(super) struct TbsRequest<'a> {
    #[asn1(context_specific = "0", tag_mode = "EXPLICIT", default = "Default::default")]
    pub(super) version: u8,
    #[asn1(context_specific = "1", tag_mode = "EXPLICIT", optional = "true")]
    pub(super) requestor: Option<AnyRef<'a>>,
    pub(super) requests: Vec<Request<'a>>,
    #[asn1(context_specific = "2", tag_mode = "EXPLICIT", optional = "true")]
    pub(super) extensions: Option<Vec<Extension>>,
}

/// Request.
#[derive(Clone, Debug, Sequence)]
pub(super) struct Request<'a> {
    pub(super) cert_id: AnyRef<'a>,
    #[asn1(context_specific = "0", tag_mode = "EXPLICIT", optional = "true")]
    pub(super) extensions: Option<Vec<Extension>>,
}

/// CertID: which certificate, by hashes of its issuer's name and key.
#[derive(Clone, Debug, Eq, PartialEq, Sequence)]
pub(super) struct CertId<'a> {
    pub(super) hash_algorithm: AlgorithmIdentifierRef<'a>,
    pub(super) issuer_name_hash: OctetString,
    pub(super) issuer_key_hash: OctetString,
    pub(super) serial_number: AnyRef<'a>,
}

impl<'a> CertId<'a> {
    /// The SHA-1 CertID of a certificate.
    pub(super) fn new(serial: &'a [u8], issuer: &Certificate) -> der::Result<Self> {
        let algorithm = DigestAlgorithm::Sha1;
        let key = key_bits(issuer).ok_or(der::ErrorKind::Failed)?;
        Ok(Self {
            hash_algorithm: algorithm.identifier_with_null(),
            issuer_name_hash: OctetString::new(algorithm.digest(issuer.subject_der()))?,
            issuer_key_hash: OctetString::new(algorithm.digest(key))?,
            serial_number: AnyRef::new(der::Tag::Integer, serial)?,
        })
    }

    /// Whether it is about certificates of `issuer`, by SHA-1 or SHA-2.
    pub(super) fn is_of(&self, issuer: &Certificate) -> bool {
        let (Some(algorithm), Some(key)) =
            (DigestAlgorithm::from_identifier(&self.hash_algorithm), key_bits(issuer))
        else {
            return false;
        };
        self.issuer_name_hash.as_bytes() == algorithm.digest(issuer.subject_der())
            && self.issuer_key_hash.as_bytes() == algorithm.digest(key)
    }

    /// Content bytes of the serial number; `None` if it is not a DER INTEGER.
    pub(super) fn serial(&self) -> Option<&'a [u8]> {
        self.serial_number.decode_as::<UintRef<'_>>().ok()?;
        Some(self.serial_number.value())
    }
}

/// OCSPResponse (section 4.2.1).
#[derive(Clone, Debug, Sequence)]
pub(super) struct OcspResponse {
    pub(super) status: ResponseStatus,
    #[asn1(context_specific = "0", tag_mode = "EXPLICIT", optional = "true")]
    pub(super) bytes: Option<ResponseBytes>,
}

/// OCSPResponseStatus.
#[derive(Clone, Copy, Debug, Enumerated, Eq, PartialEq)]
#[repr(u8)]
pub(super) enum ResponseStatus {
    Successful = 0,
    MalformedRequest = 1,
    InternalError = 2,
    TryLater = 3,
    SigRequired = 5,
    Unauthorized = 6,
}

impl ResponseStatus {
    /// The RFC's word.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Successful => "successful",
            Self::MalformedRequest => "malformedRequest",
            Self::InternalError => "internalError",
            Self::TryLater => "tryLater",
            Self::SigRequired => "sigRequired",
            Self::Unauthorized => "unauthorized",
        }
    }
}

/// ResponseBytes.
#[derive(Clone, Debug, Sequence)]
pub(super) struct ResponseBytes {
    pub(super) response_type: ObjectIdentifier,
    pub(super) response: OctetString,
}

/// BasicOCSPResponse; what is signed stays as it came.
#[derive(Clone, Debug, Sequence)]
pub(super) struct BasicResponse<'a> {
    pub(super) tbs: AnyRef<'a>,
    pub(super) signature_algorithm: AlgorithmIdentifierRef<'a>,
    pub(super) signature: BitStringRef<'a>,
    #[asn1(context_specific = "0", tag_mode = "EXPLICIT", optional = "true")]
    pub(super) certificates: Option<Vec<AnyRef<'a>>>,
}

/// ResponseData.
#[derive(Clone, Debug, Sequence)]
pub(super) struct ResponseData<'a> {
    #[asn1(context_specific = "0", tag_mode = "EXPLICIT", default = "Default::default")]
    pub(super) version: u8,
    pub(super) responder_id: ResponderId<'a>,
    pub(super) produced_at: GeneralizedTime,
    pub(super) responses: Vec<SingleResponse<'a>>,
    #[asn1(context_specific = "1", tag_mode = "EXPLICIT", optional = "true")]
    pub(super) extensions: Option<Vec<Extension>>,
}

/// ResponderID.
#[derive(Choice, Clone, Debug)]
pub(super) enum ResponderId<'a> {
    /// The subject Name of the responder's certificate.
    #[asn1(context_specific = "1", tag_mode = "EXPLICIT", constructed = "true")]
    ByName(AnyRef<'a>),
    /// SHA-1 of its key bits.
    #[asn1(context_specific = "2", tag_mode = "EXPLICIT", constructed = "true")]
    ByKey(OctetString),
}

impl ResponderId<'_> {
    /// Whether it names this certificate.
    pub(super) fn names(&self, certificate: &Certificate) -> bool {
        match self {
            Self::ByName(name) => name.to_der().is_ok_and(|name| name == certificate.subject_der()),
            Self::ByKey(hash) => {
                key_bits(certificate).is_some_and(|key| hash.as_bytes() == DigestAlgorithm::Sha1.digest(key))
            }
        }
    }
}

/// SingleResponse.
#[derive(Clone, Debug, Sequence)]
pub(super) struct SingleResponse<'a> {
    pub(super) cert_id: CertId<'a>,
    pub(super) status: CertStatus<'a>,
    pub(super) this_update: GeneralizedTime,
    #[asn1(context_specific = "0", tag_mode = "EXPLICIT", optional = "true")]
    pub(super) next_update: Option<GeneralizedTime>,
    #[asn1(context_specific = "1", tag_mode = "EXPLICIT", optional = "true")]
    pub(super) extensions: Option<Vec<Extension>>,
}

/// CertStatus.
#[derive(Choice, Clone, Debug)]
pub(super) enum CertStatus<'a> {
    #[asn1(context_specific = "0", tag_mode = "IMPLICIT")]
    Good(Null),
    #[asn1(context_specific = "1", tag_mode = "IMPLICIT", constructed = "true")]
    Revoked(RevokedInfo<'a>),
    #[asn1(context_specific = "2", tag_mode = "IMPLICIT")]
    Unknown(Null),
}

/// RevokedInfo; the reason does not matter.
#[derive(Clone, Debug, Sequence)]
pub(super) struct RevokedInfo<'a> {
    pub(super) at: GeneralizedTime,
    #[asn1(context_specific = "0", tag_mode = "EXPLICIT", optional = "true")]
    pub(super) reason: Option<AnyRef<'a>>,
}

/// The nonce's extension (RFC 9654): an OCTET STRING within extnValue.
pub(super) fn nonce_extension(nonce: &[u8]) -> der::Result<Extension> {
    let value = OctetString::new(OctetString::new(nonce)?.to_der()?)?;
    Ok(Extension { id: NONCE, critical: false, value })
}

/// The one value of the nonce extension; `Err` if there are several.
pub(super) fn nonce_value(extensions: Option<&[Extension]>) -> Result<Option<&[u8]>, ()> {
    let mut nonces = extensions.unwrap_or_default().iter().filter(|extension| extension.id == NONCE);
    let first = nonces.next();
    if nonces.next().is_some() {
        return Err(());
    }
    Ok(first.map(|extension| extension.value.as_bytes()))
}

/// Whether an extension that is not understood here demands to be understood.
pub(super) fn unknown_critical(extensions: Option<&[Extension]>) -> bool {
    extensions.unwrap_or_default().iter().any(|extension| extension.critical && extension.id != NONCE)
}

/// id-pkix-ocsp-basic.
pub(super) const BASIC: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.48.1.1");
/// id-pkix-ocsp-nonce.
pub(super) const NONCE: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.48.1.2");

//! CMS SignedData (RFC 5652), as far as timestamp tokens need it.
//!
//! The structures are our own: they keep certificates and everything signed as the bytes that came, and decoding followed by
//! encoding must give the input back. Only the forms that RFC 3161 allows are read: one signer, signed attributes, nothing unsigned.

use der::asn1::{AnyRef, ObjectIdentifier, OctetString, OctetStringRef, SetOfVec};
use der::{Decode, Encode, Sequence, Tag, ValueOrd};
use spki::AlgorithmIdentifierRef;

use crate::asn1::{DigestAlgorithm, cms_scheme, strict};
use crate::certificate::Certificate;
use crate::key::{KeyKind, SignError, SigningKey};

/// Why bytes are not an acceptable SignedData.
#[derive(Debug, Eq, PartialEq)]
pub(crate) enum CmsError {
    /// Not DER of a SignedData.
    Malformed(String),
    /// A rule of RFC 5652 or RFC 3161 is broken.
    Rule(&'static str),
    /// The signature, or the digest that it covers, is wrong.
    BadSignature,
}

/// A SignedData with one signer and signed attributes, as it came; nothing is verified yet.
pub(crate) struct SignedMessage<'a> {
    content: OctetString,
    certificates: Vec<AnyRef<'a>>,
    signer: SignerInfo<'a>,
    signer_name: IssuerAndSerial<'a>,
    attributes: SetOfVec<Attribute<'a>>,
    digest: DigestAlgorithm,
}

impl<'a> SignedMessage<'a> {
    /// Reads a DER ContentInfo with content of this type.
    ///
    /// # Errors
    /// Not one, or not of the form that is read here.
    pub(crate) fn read(bytes: &'a [u8], content_type: ObjectIdentifier) -> Result<Self, CmsError> {
        let info: ContentInfo<'a> = strict(bytes)?;
        if info.content_type != SIGNED_DATA {
            return Err(CmsError::Rule("the content is not SignedData"));
        }
        let data = info.content;
        if data.version != SIGNED_DATA_VERSION {
            return Err(CmsError::Rule("SignedData must have version 3"));
        }
        if data.crls.is_some() {
            return Err(CmsError::Rule("SignedData carries revocation lists"));
        }
        if data.encapsulated.content_type != content_type {
            return Err(CmsError::Rule("the content is of another type"));
        }
        let content = data.encapsulated.content.ok_or(CmsError::Rule("there is no content"))?;
        let signer =
            only(data.signers.into_vec()).ok_or(CmsError::Rule("there must be exactly one signer"))?;
        if signer.version != SIGNER_INFO_VERSION {
            return Err(CmsError::Rule("the signer must be named by issuer and serial number"));
        }
        if signer.unsigned_attributes.is_some() {
            return Err(CmsError::Rule("there are unsigned attributes"));
        }
        let signer_name = signer.sid.decode_as()?;
        let digest = DigestAlgorithm::from_identifier(&signer.digest_algorithm)
            .ok_or(CmsError::Rule("the signer's digest algorithm is not accepted"))?;
        let announced = only(data.digest_algorithms.into_vec());
        if announced.and_then(|identifier| DigestAlgorithm::from_identifier(&identifier)) != Some(digest) {
            return Err(CmsError::Rule("the digest algorithms are not exactly the signer's"));
        }
        let attributes =
            signer.signed_attributes.clone().ok_or(CmsError::Rule("there are no signed attributes"))?;
        let certificates = data.certificates.unwrap_or_default();
        Ok(Self { content, certificates, signer, signer_name, attributes, digest })
    }

    /// The content, of the type asked for.
    pub(crate) fn content(&self) -> &[u8] {
        self.content.as_bytes()
    }

    /// DER of each certificate that is carried along, in the order of the SET. No signature covers them.
    pub(crate) fn certificates(&self) -> Result<Vec<Vec<u8>>, CmsError> {
        Ok(self.certificates.iter().map(Encode::to_der).collect::<der::Result<_>>()?)
    }

    /// Whether the signer is named by this certificate's issuer and serial number.
    pub(crate) fn is_signed_in_the_name_of(&self, certificate: &Certificate) -> bool {
        self.signer_name.serial.header().tag() == Tag::Integer
            && self.signer_name.serial.value() == certificate.serial()
            && self.signer_name.issuer.to_der().is_ok_and(|issuer| issuer == certificate.issuer_der())
    }

    /// The content bytes of the serial number that names the signer.
    pub(crate) fn signer_serial(&self) -> &'a [u8] {
        self.signer_name.serial.value()
    }

    /// The single value of a signed attribute; `None` if it is absent.
    ///
    /// # Errors
    /// The attribute is there twice, or has not exactly one value.
    pub(crate) fn attribute(&self, id: ObjectIdentifier) -> Result<Option<AnyRef<'a>>, CmsError> {
        let mut found = self.attributes.iter().filter(|attribute| attribute.id == id);
        let Some(attribute) = found.next() else { return Ok(None) };
        match (attribute.values.as_slice(), found.next()) {
            ([value], None) => Ok(Some(*value)),
            _ => Err(CmsError::Rule("a signed attribute must occur once and with one value")),
        }
    }

    /// Checks the content-type and message-digest attributes and the signature by `certificate` (RFC 5652 section 5.4, 11.1,
    /// 11.2).
    ///
    /// # Errors
    /// Any of that does not hold.
    pub(crate) fn verify(
        &self,
        content_type: ObjectIdentifier,
        certificate: &Certificate,
    ) -> Result<(), CmsError> {
        let named_type =
            self.attribute(CONTENT_TYPE)?.ok_or(CmsError::Rule("the attribute content-type is missing"))?;
        if named_type.decode_as::<ObjectIdentifier>()? != content_type {
            return Err(CmsError::Rule("the attribute content-type names another type"));
        }
        let digest = self
            .attribute(MESSAGE_DIGEST)?
            .ok_or(CmsError::Rule("the attribute message-digest is missing"))?;
        let digest: &OctetStringRef = digest.decode_as()?;
        let key = certificate.public_key();
        let (identifier, scheme) = cms_scheme(key.kind(), self.digest)
            .ok_or(CmsError::Rule("the digest algorithm does not go with the signer's key"))?;
        if self.signer.signature_algorithm != identifier {
            return Err(CmsError::Rule(
                "the signature algorithm does not go with the signer's key and digest",
            ));
        }
        // The attributes are sent under an implicit tag, but signed as the SET OF that they are.
        let signed = self.attributes.to_der()?;
        key.verify(scheme, &signed, self.signer.signature.as_bytes()).map_err(|_| CmsError::BadSignature)?;
        if digest.as_bytes() == self.digest.digest(self.content()) {
            Ok(())
        } else {
            Err(CmsError::BadSignature)
        }
    }
}

/// A DER ContentInfo with SignedData over `content`, signed by the owner of `certificate`. `attributes` (type and DER value) are signed
/// besides content-type and message-digest.
///
/// # Errors
/// The key cannot sign.
pub(crate) fn sign(
    content_type: ObjectIdentifier,
    content: &[u8],
    attributes: &[(ObjectIdentifier, Vec<u8>)],
    certificate: &Certificate,
    carry_certificate: bool,
    key: &dyn SigningKey,
) -> Result<Vec<u8>, SignError> {
    let digest = signing_digest(key.public_key().kind()).ok_or(SignError::Scheme)?;
    let (signature_algorithm, scheme) =
        cms_scheme(key.public_key().kind(), digest).ok_or(SignError::Scheme)?;
    let standard = standard_attributes(content_type, &digest.digest(content)).map_err(unencodable)?;
    let attributes = attribute_set(standard.iter().chain(attributes)).map_err(unencodable)?;
    let signature = key.sign(scheme, &attributes.to_der().map_err(unencodable)?)?;

    let encode = || {
        let name = IssuerAndSerial {
            issuer: AnyRef::from_der(certificate.issuer_der())?,
            serial: AnyRef::new(Tag::Integer, certificate.serial())?,
        }
        .to_der()?;
        let signer = SignerInfo {
            version: SIGNER_INFO_VERSION,
            sid: AnyRef::from_der(&name)?,
            digest_algorithm: digest.identifier(),
            signed_attributes: Some(attributes.clone()),
            signature_algorithm,
            signature: OctetString::new(signature.as_slice())?,
            unsigned_attributes: None,
        };
        let certificates =
            if carry_certificate { Some(vec![AnyRef::from_der(certificate.der())?]) } else { None };
        let content = SignedData {
            version: SIGNED_DATA_VERSION,
            digest_algorithms: SetOfVec::try_from(vec![digest.identifier()])?,
            encapsulated: EncapsulatedContent { content_type, content: Some(OctetString::new(content)?) },
            certificates,
            crls: None,
            signers: SetOfVec::try_from(vec![signer])?,
        };
        ContentInfo { content_type: SIGNED_DATA, content }.to_der()
    };
    encode().map_err(unencodable)
}

/// The digest that goes with a kind of key when we sign.
fn signing_digest(kind: KeyKind) -> Option<DigestAlgorithm> {
    match kind {
        KeyKind::EcdsaP256 | KeyKind::Rsa(_) => Some(DigestAlgorithm::Sha256),
        KeyKind::Ed25519 => Some(DigestAlgorithm::Sha512),
        KeyKind::EcdsaP384 => None,
    }
}

fn standard_attributes(
    content_type: ObjectIdentifier,
    digest: &[u8],
) -> der::Result<[(ObjectIdentifier, Vec<u8>); 2]> {
    Ok([(CONTENT_TYPE, content_type.to_der()?), (MESSAGE_DIGEST, OctetStringRef::new(digest)?.to_der()?)])
}

fn attribute_set<'a>(
    attributes: impl Iterator<Item = &'a (ObjectIdentifier, Vec<u8>)>,
) -> der::Result<SetOfVec<Attribute<'a>>> {
    let attributes = attributes
        .map(|(id, value)| {
            Ok(Attribute { id: *id, values: SetOfVec::try_from(vec![AnyRef::from_der(value)?])? })
        })
        .collect::<der::Result<Vec<_>>>()?;
    SetOfVec::try_from(attributes)
}

fn only<T>(list: Vec<T>) -> Option<T> {
    let mut list = list.into_iter();
    match (list.next(), list.next()) {
        (Some(item), None) => Some(item),
        _ => None,
    }
}

fn unencodable(error: der::Error) -> SignError {
    SignError::Token(format!("the SignedData cannot be encoded: {error}"))
}

impl From<der::Error> for CmsError {
    fn from(error: der::Error) -> Self {
        Self::Malformed(error.to_string())
    }
}

/// ContentInfo (RFC 5652 section 3).
#[derive(Clone, Debug, Sequence)]
struct ContentInfo<'a> {
    content_type: ObjectIdentifier,
    #[asn1(context_specific = "0", tag_mode = "EXPLICIT")]
    content: SignedData<'a>,
}

/// SignedData (section 5.1). The certificates are a SET OF that is read like a SEQUENCE OF under its implicit tag: their
/// order carries no meaning, and not every TSA sorts them.
#[derive(Clone, Debug, Sequence)]
struct SignedData<'a> {
    version: u8,
    digest_algorithms: SetOfVec<AlgorithmIdentifierRef<'a>>,
    encapsulated: EncapsulatedContent,
    #[asn1(context_specific = "0", tag_mode = "IMPLICIT", constructed = "true", optional = "true")]
    certificates: Option<Vec<AnyRef<'a>>>,
    #[asn1(context_specific = "1", tag_mode = "IMPLICIT", constructed = "true", optional = "true")]
    crls: Option<Vec<AnyRef<'a>>>,
    signers: SetOfVec<SignerInfo<'a>>,
}

/// EncapsulatedContentInfo (section 5.2).
#[derive(Clone, Debug, Sequence)]
struct EncapsulatedContent {
    content_type: ObjectIdentifier,
    #[asn1(context_specific = "0", tag_mode = "EXPLICIT", optional = "true")]
    content: Option<OctetString>,
}

/// SignerInfo (section 5.3).
#[derive(Clone, Debug, Sequence, ValueOrd)]
struct SignerInfo<'a> {
    version: u8,
    sid: AnyRef<'a>,
    digest_algorithm: AlgorithmIdentifierRef<'a>,
    #[asn1(context_specific = "0", tag_mode = "IMPLICIT", constructed = "true", optional = "true")]
    signed_attributes: Option<SetOfVec<Attribute<'a>>>,
    signature_algorithm: AlgorithmIdentifierRef<'a>,
    signature: OctetString,
    #[asn1(context_specific = "1", tag_mode = "IMPLICIT", constructed = "true", optional = "true")]
    unsigned_attributes: Option<SetOfVec<Attribute<'a>>>,
}

/// IssuerAndSerialNumber (section 10.2.4).
#[derive(Clone, Debug, Sequence)]
struct IssuerAndSerial<'a> {
    issuer: AnyRef<'a>,
    serial: AnyRef<'a>,
}

/// Attribute (section 5.3).
#[derive(Clone, Debug, Sequence, ValueOrd)]
struct Attribute<'a> {
    id: ObjectIdentifier,
    values: SetOfVec<AnyRef<'a>>,
}

/// id-signedData.
const SIGNED_DATA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.7.2");
/// id-contentType.
const CONTENT_TYPE: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.3");
/// id-messageDigest.
const MESSAGE_DIGEST: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.4");

/// RFC 5652 section 5.1: version 3 where the content is not plain data.
const SIGNED_DATA_VERSION: u8 = 3;

/// RFC 5652 section 5.3: version 1 where the signer is named by issuer and serial number.
const SIGNER_INFO_VERSION: u8 = 1;

#[cfg(test)]
pub(crate) mod tests;

//! The XAdES baseline template (ETSI EN 319 132-1): from a compact signature to the exact bytes of `META-INF/signatures.xml`.
//!
//! The document is written in exclusive canonical form (W3C exc-c14n 1.0): no XML declaration, no white space between
//! elements, no empty-element tags, attributes in order, each namespace declared where it is first used. So the bytes
//! that are hashed and signed are the bytes of the document, but for one thing: a canonicalised subtree declares again
//! the namespaces that its ancestors had declared (`Scope`).
//!
//! Choices, each within the baseline:
//! - the root is `asic:XAdESSignatures` (EN 319 162-1 clause 4.4.3.2), which exclusive canonicalisation keeps out of the digests;
//! - parts and `SignedProperties` are digested with SHA-512 as X-Road does; the signing certificate with SHA-256, which
//!   ETSI TS 119 312 recommends as well and X-Road's verifier accepts, because that digest is what the compact signature carries;
//! - `SigningCertificateV2` without `IssuerSerialV2`: the digest identifies the certificate, the other is only a hint;
//! - as validation data (level B-LT) the intermediate CA certificates and the OCSP response. The approved CA itself is
//!   left out: a verifier must have its trust anchors from elsewhere.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use kogge_proto::digest::{Sha256, Sha512, sha512};
use kogge_proto::time::UnixMillis;
use kogge_proto::wire::evidence as wire;

use crate::compact::{Compact, Method};
use crate::hash_chain;
use crate::material::Material;
use crate::signature::{ISSUER_CERTIFICATE, OCSP_RESPONSE, Parts, SIGNING_CERTIFICATE, SignatureError};

/// Media type of the REST message part, in the signature and in the manifest: it is text, whatever its name says.
pub(crate) const MESSAGE_MEDIA_TYPE: &str = "text/plain";

/// Media type of the body part; what the message says of it is in the message.
pub(crate) const BODY_MEDIA_TYPE: &str = "application/octet-stream";

/// Media type of the hash chain result, X-Road's.
pub(crate) const HASH_CHAIN_RESULT_MEDIA_TYPE: &str = "application/hash-chain-result";

/// The bytes of `META-INF/signatures.xml`.
///
/// # Errors
/// The signature is malformed or names material that is not there.
pub fn document(
    signature: &wire::Signature,
    parts: &Parts,
    material: &Material,
) -> Result<Vec<u8>, SignatureError> {
    let compact = Compact::read(signature)?;
    let find = |digest: &Sha256, what| {
        material
            .find(digest.as_bytes())
            .ok_or(SignatureError::MissingMaterial(what))
            .map(|der| STANDARD.encode(der))
    };
    let certificate = find(&compact.certificate, SIGNING_CERTIFICATE)?;
    let ocsp = find(&compact.ocsp, OCSP_RESPONSE)?;
    let issuers: Vec<String> =
        compact.issuers.iter().map(|issuer| find(issuer, ISSUER_CERTIFICATE)).collect::<Result<_, _>>()?;

    let signed = compact.signed(parts);
    let signed_info = signed.signed_info(Scope::Document);
    let signed_properties = signed.signed_properties(Scope::Document);
    let value = STANDARD.encode(compact.value);
    let certificate_values = certificate_values(&issuers);
    Ok(format!(
        "<asic:XAdESSignatures xmlns:asic=\"{ASIC}\"><ds:Signature xmlns:ds=\"{DS}\" Id=\"signature\">\
         {signed_info}\
         <ds:SignatureValue Id=\"signature-value\">{value}</ds:SignatureValue>\
         <ds:KeyInfo><ds:X509Data><ds:X509Certificate>{certificate}</ds:X509Certificate></ds:X509Data></ds:KeyInfo>\
         <ds:Object><xades:QualifyingProperties xmlns:xades=\"{XADES}\" Target=\"#signature\">\
         {signed_properties}\
         <xades:UnsignedProperties><xades:UnsignedSignatureProperties>\
         {certificate_values}\
         <xades:RevocationValues><xades:OCSPValues>\
         <xades:EncapsulatedOCSPValue>{ocsp}</xades:EncapsulatedOCSPValue>\
         </xades:OCSPValues></xades:RevocationValues>\
         </xades:UnsignedSignatureProperties></xades:UnsignedProperties>\
         </xades:QualifyingProperties></ds:Object></ds:Signature></asic:XAdESSignatures>"
    )
    .into_bytes())
}

/// SHA-256 of [`document`]: the record's leaf in a batch's hash tree.
///
/// # Errors
/// As [`document`].
pub fn leaf(
    signature: &wire::Signature,
    parts: &Parts,
    material: &Material,
) -> Result<Sha256, SignatureError> {
    Ok(kogge_proto::digest::sha256(&document(signature, parts, material)?))
}

/// The files that a batch signature needs beside [`document`].
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct HashChain {
    /// `sig-hashchainresult.xml`: what the signature is about.
    pub result: Vec<u8>,
    /// `sig-hashchain.xml`: the way from the message to it.
    pub chain: Vec<u8>,
}

/// The hash chain of a batch signature; `None` for a signature about the message alone.
///
/// # Errors
/// The signature is malformed.
pub fn hash_chain(signature: &wire::Signature, parts: &Parts) -> Result<Option<HashChain>, SignatureError> {
    let compact = Compact::read(signature)?;
    Ok(compact.way.map(|way| HashChain {
        result: hash_chain::result_document(way.root(hash_chain::own_step(parts))).into_bytes(),
        chain: hash_chain::chain_document(parts, way).into_bytes(),
    }))
}

/// What a signature is about.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Subject {
    /// One message.
    Parts(Parts),
    /// The messages of a batch.
    Batch {
        /// Of their hash chains.
        root: Sha256,
    },
}

/// Everything that the signature value depends on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SignedFields {
    pub(crate) method: Method,
    pub(crate) subject: Subject,
    pub(crate) signing_time: UnixMillis,
    pub(crate) certificate: Sha256,
}

impl SignedFields {
    /// What the key signs: `ds:SignedInfo` in exclusive canonical form.
    pub(crate) fn signed_bytes(&self) -> Vec<u8> {
        self.signed_info(Scope::Subtree).into_bytes()
    }

    fn signed_info(&self, scope: Scope) -> String {
        let ds = scope.declare("ds", DS);
        let method = self.method.uri();
        let references = self.subject.references();
        let properties = sha512(self.signed_properties(Scope::Subtree).as_bytes());
        let properties = STANDARD.encode(properties.as_bytes());
        format!(
            "<ds:SignedInfo{ds}>\
             <ds:CanonicalizationMethod Algorithm=\"{EXC_C14N}\"></ds:CanonicalizationMethod>\
             <ds:SignatureMethod Algorithm=\"{method}\"></ds:SignatureMethod>\
             {references}\
             <ds:Reference Type=\"http://uri.etsi.org/01903#SignedProperties\" URI=\"#signed-properties\">\
             <ds:Transforms><ds:Transform Algorithm=\"{EXC_C14N}\"></ds:Transform></ds:Transforms>\
             <ds:DigestMethod Algorithm=\"{SHA512}\"></ds:DigestMethod>\
             <ds:DigestValue>{properties}</ds:DigestValue>\
             </ds:Reference></ds:SignedInfo>"
        )
    }

    fn signed_properties(&self, scope: Scope) -> String {
        let xades = scope.declare("xades", XADES);
        let ds = scope.declare("ds", DS);
        let time = self.signing_time.to_xml();
        let certificate = STANDARD.encode(self.certificate.as_bytes());
        let formats = self.subject.formats();
        format!(
            "<xades:SignedProperties{xades} Id=\"signed-properties\"><xades:SignedSignatureProperties>\
             <xades:SigningTime>{time}</xades:SigningTime>\
             <xades:SigningCertificateV2><xades:Cert><xades:CertDigest>\
             <ds:DigestMethod{ds} Algorithm=\"{SHA256}\"></ds:DigestMethod>\
             <ds:DigestValue{ds}>{certificate}</ds:DigestValue>\
             </xades:CertDigest></xades:Cert></xades:SigningCertificateV2>\
             </xades:SignedSignatureProperties>\
             <xades:SignedDataObjectProperties>{formats}</xades:SignedDataObjectProperties>\
             </xades:SignedProperties>"
        )
    }
}

impl Subject {
    fn references(&self) -> String {
        match self {
            Self::Parts(Parts { message, body }) => {
                let mut references = file_reference(MESSAGE_REFERENCE, "/message.xml", message);
                if let Some(body) = body {
                    references += &file_reference(BODY_REFERENCE, "/attachment1", body);
                }
                references
            }
            Self::Batch { root } => {
                let result = sha512(hash_chain::result_document(*root).as_bytes());
                file_reference(HASH_CHAIN_RESULT_REFERENCE, "/sig-hashchainresult.xml", &result)
            }
        }
    }

    fn formats(&self) -> String {
        match self {
            Self::Parts(Parts { body, .. }) => {
                let mut formats = data_object_format(MESSAGE_REFERENCE, MESSAGE_MEDIA_TYPE);
                if body.is_some() {
                    formats += &data_object_format(BODY_REFERENCE, BODY_MEDIA_TYPE);
                }
                formats
            }
            Self::Batch { .. } => {
                data_object_format(HASH_CHAIN_RESULT_REFERENCE, HASH_CHAIN_RESULT_MEDIA_TYPE)
            }
        }
    }
}

/// Where an element is written.
#[derive(Clone, Copy)]
enum Scope {
    /// Inside the document, where an ancestor declares the namespaces.
    Document,
    /// As the apex of its own canonical form: every element that uses a prefix which no written ancestor declares does it itself.
    Subtree,
}

impl Scope {
    fn declare(self, prefix: &str, namespace: &str) -> String {
        match self {
            Self::Document => String::new(),
            Self::Subtree => format!(" xmlns:{prefix}=\"{namespace}\""),
        }
    }
}

fn file_reference(id: &str, uri: &str, digest: &Sha512) -> String {
    let digest = STANDARD.encode(digest.as_bytes());
    format!(
        "<ds:Reference Id=\"{id}\" URI=\"{uri}\">\
         <ds:DigestMethod Algorithm=\"{SHA512}\"></ds:DigestMethod>\
         <ds:DigestValue>{digest}</ds:DigestValue></ds:Reference>"
    )
}

/// EN 319 132-1 clause 6.3 asks for one per signed file, with its media type.
fn data_object_format(reference: &str, media_type: &str) -> String {
    format!(
        "<xades:DataObjectFormat ObjectReference=\"#{reference}\">\
         <xades:MimeType>{media_type}</xades:MimeType></xades:DataObjectFormat>"
    )
}

fn certificate_values(issuers: &[String]) -> String {
    if issuers.is_empty() {
        return String::new();
    }
    let values: String = issuers
        .iter()
        .map(|issuer| {
            format!("<xades:EncapsulatedX509Certificate>{issuer}</xades:EncapsulatedX509Certificate>")
        })
        .collect();
    format!("<xades:CertificateValues>{values}</xades:CertificateValues>")
}

const MESSAGE_REFERENCE: &str = "reference-message";
const BODY_REFERENCE: &str = "reference-attachment1";
const HASH_CHAIN_RESULT_REFERENCE: &str = "reference-hashchainresult";

pub(crate) const ASIC: &str = "http://uri.etsi.org/02918/v1.2.1#";
pub(crate) const DS: &str = "http://www.w3.org/2000/09/xmldsig#";
const XADES: &str = "http://uri.etsi.org/01903/v1.3.2#";
const EXC_C14N: &str = "http://www.w3.org/2001/10/xml-exc-c14n#";
pub(crate) const SHA256: &str = "http://www.w3.org/2001/04/xmlenc#sha256";
pub(crate) const SHA512: &str = "http://www.w3.org/2001/04/xmlenc#sha512";

#[cfg(test)]
mod tests;

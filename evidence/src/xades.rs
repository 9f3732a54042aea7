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

mod validation;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use kogge_proto::digest::{Sha256, Sha512, sha512};
use kogge_proto::time::UnixMillis;
use kogge_proto::wire::evidence as wire;

pub(crate) use self::validation::ValidationData;
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
    let validation = validation_data(&compact, material)?;
    Ok(validation.render(&compact.signed(parts)).document(compact.value))
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
    let compact = Compact::read(signature)?;
    let validation = validation_data(&compact, material)?;
    Ok(validation.render(&compact.signed(parts)).leaf(compact.value))
}

fn validation_data(compact: &Compact<'_>, material: &Material) -> Result<ValidationData, SignatureError> {
    let find =
        |digest: &Sha256, what| material.find(digest.as_bytes()).ok_or(SignatureError::MissingMaterial(what));
    let certificate = find(&compact.certificate, SIGNING_CERTIFICATE)?;
    let ocsp = find(&compact.ocsp, OCSP_RESPONSE)?;
    let issuers: Vec<&Bytes> =
        compact.issuers.iter().map(|issuer| find(issuer, ISSUER_CERTIFICATE)).collect::<Result<_, _>>()?;
    Ok(ValidationData::new(certificate, ocsp, &issuers))
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
    /// `ds:SignedInfo` in exclusive canonical form, about signed properties with this digest.
    fn signed_info(&self, properties: &str) -> Xml {
        let mut xml = Xml::with_capacity(SIGNED_INFO_BYTES);
        xml.put(&["<ds:SignedInfo xmlns:ds=\"", DS, "\""]);
        xml.put(&["><ds:CanonicalizationMethod Algorithm=\"", EXC_C14N, "\"></ds:CanonicalizationMethod>"]);
        xml.put(&["<ds:SignatureMethod Algorithm=\"", self.method.uri(), "\"></ds:SignatureMethod>"]);
        self.subject.references(&mut xml);
        xml.put(&[
            "<ds:Reference Type=\"http://uri.etsi.org/01903#SignedProperties\" URI=\"#signed-properties\">\
             <ds:Transforms><ds:Transform Algorithm=\"",
            EXC_C14N,
            "\"></ds:Transform></ds:Transforms>",
        ]);
        xml.put(&["<ds:DigestMethod Algorithm=\"", SHA512, "\"></ds:DigestMethod><ds:DigestValue>"]);
        xml.put(&[properties, "</ds:DigestValue></ds:Reference></ds:SignedInfo>"]);
        xml
    }

    fn signed_properties(&self, scope: Scope) -> Xml {
        let mut xml = Xml::with_capacity(SIGNED_PROPERTIES_BYTES);
        xml.put(&["<xades:SignedProperties"]);
        scope.declare(&mut xml, " xmlns:xades=\"", XADES);
        xml.put(&[
            " Id=\"signed-properties\"><xades:SignedSignatureProperties><xades:SigningTime>",
            &self.signing_time.to_xml(),
            "</xades:SigningTime><xades:SigningCertificateV2><xades:Cert><xades:CertDigest><ds:DigestMethod",
        ]);
        scope.declare(&mut xml, " xmlns:ds=\"", DS);
        xml.put(&[" Algorithm=\"", SHA256, "\"></ds:DigestMethod><ds:DigestValue"]);
        scope.declare(&mut xml, " xmlns:ds=\"", DS);
        xml.put(&[">"]);
        xml.put_base64(self.certificate.as_bytes());
        xml.put(&["</ds:DigestValue></xades:CertDigest></xades:Cert></xades:SigningCertificateV2>\
             </xades:SignedSignatureProperties><xades:SignedDataObjectProperties>"]);
        self.subject.formats(&mut xml);
        xml.put(&["</xades:SignedDataObjectProperties></xades:SignedProperties>"]);
        xml
    }
}

impl Subject {
    fn references(&self, xml: &mut Xml) {
        match self {
            Self::Parts(Parts { message, body }) => {
                file_reference(xml, MESSAGE_REFERENCE, "/message.xml", message);
                if let Some(body) = body {
                    file_reference(xml, BODY_REFERENCE, "/attachment1", body);
                }
            }
            Self::Batch { root } => {
                let result = sha512(hash_chain::result_document(*root).as_bytes());
                file_reference(xml, HASH_CHAIN_RESULT_REFERENCE, "/sig-hashchainresult.xml", &result);
            }
        }
    }

    fn formats(&self, xml: &mut Xml) {
        match self {
            Self::Parts(Parts { body, .. }) => {
                data_object_format(xml, MESSAGE_REFERENCE, MESSAGE_MEDIA_TYPE);
                if body.is_some() {
                    data_object_format(xml, BODY_REFERENCE, BODY_MEDIA_TYPE);
                }
            }
            Self::Batch { .. } => {
                data_object_format(xml, HASH_CHAIN_RESULT_REFERENCE, HASH_CHAIN_RESULT_MEDIA_TYPE);
            }
        }
    }
}

/// A document that grows.
struct Xml(String);

impl Xml {
    fn with_capacity(bytes: usize) -> Self {
        Self(String::with_capacity(bytes))
    }

    fn put(&mut self, pieces: &[&str]) {
        pieces.iter().for_each(|piece| self.0.push_str(piece));
    }

    fn put_base64(&mut self, bytes: &[u8]) {
        STANDARD.encode_string(bytes, &mut self.0);
    }
}

/// Where an element is written.
#[derive(Clone, Copy)]
enum Scope {
    /// Inside the document, where an ancestor declares the namespaces.
    Document,
    /// In a canonical form of its own: every element that uses a prefix which no written ancestor declares does it itself.
    Subtree,
}

impl Scope {
    /// `prefix` up to the namespace's opening quote.
    fn declare(self, xml: &mut Xml, prefix: &str, namespace: &str) {
        match self {
            Self::Document => {}
            Self::Subtree => xml.put(&[prefix, namespace, "\""]),
        }
    }
}

fn file_reference(xml: &mut Xml, id: &str, uri: &str, digest: &Sha512) {
    xml.put(&["<ds:Reference Id=\"", id, "\" URI=\"", uri, "\"><ds:DigestMethod Algorithm=\"", SHA512]);
    xml.put(&["\"></ds:DigestMethod><ds:DigestValue>"]);
    xml.put_base64(digest.as_bytes());
    xml.put(&["</ds:DigestValue></ds:Reference>"]);
}

/// EN 319 132-1 clause 6.3 asks for one per signed file, with its media type.
fn data_object_format(xml: &mut Xml, reference: &str, media_type: &str) {
    xml.put(&["<xades:DataObjectFormat ObjectReference=\"#", reference, "\"><xades:MimeType>", media_type]);
    xml.put(&["</xades:MimeType></xades:DataObjectFormat>"]);
}

/// Room for each with a body part, so that they do not grow while they are written.
const SIGNED_INFO_BYTES: usize = 1536;
const SIGNED_PROPERTIES_BYTES: usize = 1280;

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

//! Reading `META-INF/signatures.xml` as X-Road writes it: one signature of a known structure, in one of the two forms that X-Road's own
//! verifier reads (root `asic:XAdESSignatures`, or `ds:Signature` itself).
//!
//! White space between elements and in base64 is as it came: it is part of what is canonicalised, and of nothing else.

use kogge_proto::limits::{MATERIAL_ITEM_BYTES_MAX, MATERIAL_ITEMS_MAX};
use kogge_proto::time::UnixMillis;
use roxmltree::Node;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::c14n;
use crate::verify::walk::{self, DS, Digest, Walk, algorithm, attribute, base64_lines, text};

/// What the document says. Only well-formedness has been judged.
pub(super) struct SignatureDocument {
    /// Canonical bytes of `ds:SignedInfo`.
    pub(super) signed_info: Vec<u8>,
    /// URI of the signature method.
    pub(super) method: String,
    /// The references, in order.
    pub(super) references: Vec<Reference>,
    /// The signature value.
    pub(super) value: Vec<u8>,
    /// DER of the certificate in `ds:KeyInfo`.
    pub(super) certificate: Vec<u8>,
    /// The signed properties.
    pub(super) signed: SignedProperties,
    /// What no signature covers.
    pub(super) unsigned: UnsignedProperties,
}

/// A `ds:Reference`.
pub(super) struct Reference {
    /// Its own Id.
    pub(super) id: Option<String>,
    /// What it is about.
    pub(super) uri: String,
    /// Its Type.
    pub(super) kind: Option<String>,
    /// The algorithm of its transform, if it has one.
    pub(super) transform: Option<String>,
    /// The digest.
    pub(super) digest: Digest,
}

/// `xades:SignedProperties`.
pub(super) struct SignedProperties {
    /// Its Id.
    pub(super) id: String,
    /// Inclusive canonical bytes.
    pub(super) inclusive: Vec<u8>,
    /// Exclusive canonical bytes.
    pub(super) exclusive: Vec<u8>,
    /// When the signer says it signed.
    pub(super) signing_time: UnixMillis,
    /// Digest of the signing certificate.
    pub(super) certificate_digest: Digest,
    /// Id of the reference that each `xades:DataObjectFormat` is about.
    pub(super) formats: Vec<String>,
}

/// `xades:UnsignedProperties`.
#[derive(Default)]
pub(super) struct UnsignedProperties {
    /// DER of the token over the signature value.
    pub(super) timestamp: Option<Vec<u8>>,
    /// DER of the intermediate CA certificates.
    pub(super) issuers: Vec<Vec<u8>>,
    /// DER of the OCSP responses.
    pub(super) ocsp: Vec<Vec<u8>>,
}

/// Reads the document.
///
/// # Errors
/// In words, what is not as expected.
pub(super) fn read(xml: &[u8]) -> Result<SignatureDocument, String> {
    declaration(xml)?;
    let document = walk::parse(xml, XML_BYTES_MAX, NODES_MAX)?;
    let root = document.root_element();
    if document.root().children().count() != 1 {
        return Err("there is something beside the root element".to_owned());
    }
    if root.has_tag_name((DS, "Signature")) {
        return read_signature(root);
    }
    let mut parts = Walk::into_indented(walk::root(&document, ASIC, "XAdESSignatures")?, &[])?;
    let signature = parts.take(DS, "Signature")?;
    parts.end()?;
    read_signature(signature)
}

/// What stands in the XML declaration has no bearing on anything, so it must be one that X-Road writes.
pub(super) fn declaration(xml: &[u8]) -> Result<(), String> {
    let text = std::str::from_utf8(xml).map_err(|_| "the document is not UTF-8".to_owned())?;
    let Some(rest) = text.strip_prefix("<?xml") else { return Ok(()) };
    let (declaration, _) = rest.split_once("?>").ok_or("the XML declaration does not end")?;
    let declaration = declaration.replace('\'', "\"").replace("utf-8", "UTF-8");
    let known = [
        " version=\"1.0\"",
        " version=\"1.0\" encoding=\"UTF-8\"",
        " version=\"1.0\" encoding=\"UTF-8\" standalone=\"no\"",
        " version=\"1.0\" encoding=\"UTF-8\" standalone=\"yes\"",
    ];
    if known.contains(&declaration.trim_end()) {
        Ok(())
    } else {
        Err(format!("the XML declaration {declaration:?} is not one of UTF-8"))
    }
}

fn read_signature(signature: Node<'_, '_>) -> Result<SignatureDocument, String> {
    let signature_id = attribute(signature, "Id")?;
    let mut parts = Walk::into_indented(signature, &["Id"])?;
    let signed_info = parts.take(DS, "SignedInfo")?;
    let value = parts.take(DS, "SignatureValue")?;
    let key_info = parts.take(DS, "KeyInfo")?;
    let object = parts.take(DS, "Object")?;
    parts.end()?;

    let (canonical, method, references) = read_signed_info(signed_info)?;
    let certificate = only(only(key_info, DS, "X509Data")?, DS, "X509Certificate")?;
    let qualifying = only(object, XADES, "QualifyingProperties")?;
    if attribute(qualifying, "Target")?.strip_prefix('#') != Some(signature_id) {
        return Err("the qualifying properties are about another signature".to_owned());
    }
    let mut properties = Walk::into_indented(qualifying, &["Target"])?;
    let signed = properties.take(XADES, "SignedProperties")?;
    let unsigned = properties.take_if(XADES, "UnsignedProperties");
    properties.end()?;
    Ok(SignatureDocument {
        signed_info: canonical,
        method,
        references,
        value: base64_lines(value, &["Id"])?,
        certificate: base64_lines(certificate, &[])?,
        signed: read_signed_properties(signed)?,
        unsigned: unsigned.map(read_unsigned_properties).transpose()?.unwrap_or_default(),
    })
}

/// Canonical bytes, signature method and references.
fn read_signed_info(signed_info: Node<'_, '_>) -> Result<(Vec<u8>, String, Vec<Reference>), String> {
    let mut parts = Walk::into_indented(signed_info, &[])?;
    let canonical = match algorithm(parts.take(DS, "CanonicalizationMethod")?)? {
        INCLUSIVE_C14N => inclusive(signed_info)?,
        EXCLUSIVE_C14N => exclusive(signed_info)?,
        other => return Err(format!("the canonicalisation {other} is not accepted")),
    };
    let method = algorithm(parts.take(DS, "SignatureMethod")?)?.to_owned();
    let mut references = Vec::new();
    while let Some(reference) = parts.take_if(DS, "Reference") {
        if references.len() >= REFERENCES_MAX {
            return Err(format!("there are more than {REFERENCES_MAX} references"));
        }
        references.push(read_reference(reference)?);
    }
    parts.end()?;
    Ok((canonical, method, references))
}

fn read_reference(reference: Node<'_, '_>) -> Result<Reference, String> {
    let mut parts = Walk::into_indented(reference, &["Id", "Type", "URI"])?;
    let transform = match parts.take_if(DS, "Transforms") {
        Some(listed) => Some(algorithm(only(listed, DS, "Transform")?)?.to_owned()),
        None => None,
    };
    let digest = read_digest(&mut parts)?;
    parts.end()?;
    Ok(Reference {
        id: reference.attribute("Id").map(str::to_owned),
        uri: attribute(reference, "URI")?.to_owned(),
        kind: reference.attribute("Type").map(str::to_owned),
        transform,
        digest,
    })
}

/// What else the signed properties say (policy, place, role) is signed, and has no bearing on the verdict.
fn read_signed_properties(signed: Node<'_, '_>) -> Result<SignedProperties, String> {
    let mut parts = Walk::into_indented(signed, &["Id"])?;
    let mut about_signature = Walk::into_indented(parts.take(XADES, "SignedSignatureProperties")?, &["Id"])?;
    let about_data = parts.take_if(XADES, "SignedDataObjectProperties");
    parts.end()?;

    let signing_time = read_time(text(about_signature.take(XADES, "SigningTime")?, &[])?)?;
    let certificates = match about_signature.take_if(XADES, "SigningCertificate") {
        Some(first_version) => first_version,
        None => about_signature.take(XADES, "SigningCertificateV2")?,
    };
    for name in ["SignaturePolicyIdentifier", "SignatureProductionPlace", "SignerRole"] {
        about_signature.take_if(XADES, name);
    }
    about_signature.end()?;
    Ok(SignedProperties {
        id: attribute(signed, "Id")?.to_owned(),
        inclusive: inclusive(signed)?,
        exclusive: exclusive(signed)?,
        signing_time,
        certificate_digest: read_certificate_digest(certificates)?,
        formats: about_data.map(read_formats).transpose()?.unwrap_or_default(),
    })
}

/// The digest says which certificate it is; issuer and serial number beside it say nothing more.
fn read_certificate_digest(certificates: Node<'_, '_>) -> Result<Digest, String> {
    let mut certificate = Walk::into_indented(only(certificates, XADES, "Cert")?, &["URI"])?;
    let mut digest = Walk::into_indented(certificate.take(XADES, "CertDigest")?, &[])?;
    let found = read_digest(&mut digest)?;
    digest.end()?;
    for name in ["IssuerSerial", "IssuerSerialV2"] {
        certificate.take_if(XADES, name);
    }
    certificate.end()?;
    Ok(found)
}

fn read_formats(about_data: Node<'_, '_>) -> Result<Vec<String>, String> {
    let mut parts = Walk::into_indented(about_data, &["Id"])?;
    let mut formats = Vec::new();
    while let Some(format) = parts.take_if(XADES, "DataObjectFormat") {
        let reference = attribute(format, "ObjectReference")?.strip_prefix('#');
        formats.push(reference.ok_or("a DataObjectFormat is about something outside")?.to_owned());
    }
    parts.end()?;
    Ok(formats)
}

/// Each kind of property at most once, in any order: the timestamp is put in later.
fn read_unsigned_properties(unsigned: Node<'_, '_>) -> Result<UnsignedProperties, String> {
    let mut parts = Walk::into_indented(only(unsigned, XADES, "UnsignedSignatureProperties")?, &["Id"])?;
    let mut read = UnsignedProperties::default();
    let mut seen = Vec::new();
    while let Some(property) = parts.take_any() {
        let name = property.tag_name().name();
        if property.tag_name().namespace() != Some(XADES) || seen.contains(&name) {
            return Err(format!("the unsigned property {name} stands twice, or is not one of XAdES"));
        }
        seen.push(name);
        match name {
            "SignatureTimeStamp" => read.timestamp = Some(read_timestamp(property)?),
            "CertificateValues" => read.issuers = values(property, "EncapsulatedX509Certificate")?,
            "RevocationValues" => {
                read.ocsp = values(only(property, XADES, "OCSPValues")?, "EncapsulatedOCSPValue")?;
            }
            // Digests of what stands in the values.
            "CompleteCertificateRefs" | "CompleteRevocationRefs" => {}
            _ => return Err(format!("the unsigned property {name} is not expected")),
        }
    }
    Ok(read)
}

/// Older versions put the token's base64 into the element itself.
fn read_timestamp(property: Node<'_, '_>) -> Result<Vec<u8>, String> {
    if !property.children().any(|child| child.is_element()) {
        return base64_lines(property, &["Id"]);
    }
    let mut parts = Walk::into_indented(property, &["Id"])?;
    if let Some(method) = parts.take_if(DS, "CanonicalizationMethod") {
        algorithm(method)?;
    }
    let token = base64_lines(parts.take(XADES, "EncapsulatedTimeStamp")?, &["Id", "Encoding"])?;
    parts.end()?;
    Ok(token)
}

fn values(parent: Node<'_, '_>, name: &str) -> Result<Vec<Vec<u8>>, String> {
    let mut parts = Walk::into_indented(parent, &["Id"])?;
    let mut values = Vec::new();
    while let Some(value) = parts.take_if(XADES, name) {
        if values.len() >= MATERIAL_ITEMS_MAX {
            return Err(format!("there are more than {MATERIAL_ITEMS_MAX} of {name}"));
        }
        values.push(base64_lines(value, &["Id", "Encoding"])?);
    }
    parts.end()?;
    Ok(values)
}

/// The only child of an element without attributes.
fn only<'a, 'input>(
    element: Node<'a, 'input>,
    namespace: &str,
    name: &str,
) -> Result<Node<'a, 'input>, String> {
    let mut children = Walk::into_indented(element, &[])?;
    let child = children.take(namespace, name)?;
    children.end()?;
    Ok(child)
}

fn read_digest(parts: &mut Walk<'_, '_>) -> Result<Digest, String> {
    let method = algorithm(parts.take(DS, "DigestMethod")?)?.to_owned();
    Ok(Digest { method, value: base64_lines(parts.take(DS, "DigestValue")?, &[])? })
}

/// An `xs:dateTime` with a time zone.
fn read_time(text: &str) -> Result<UnixMillis, String> {
    let parsed = OffsetDateTime::parse(text, &Rfc3339)
        .map_err(|_| format!("the signing time {text:?} is not a time with a time zone"))?;
    let millis = i64::try_from(parsed.unix_timestamp_nanos() / 1_000_000);
    millis.map(UnixMillis).map_err(|_| format!("the signing time {text:?} is out of reach"))
}

fn inclusive(element: Node<'_, '_>) -> Result<Vec<u8>, String> {
    c14n::inclusive(element).map_err(|error| error.to_string())
}

fn exclusive(element: Node<'_, '_>) -> Result<Vec<u8>, String> {
    c14n::exclusive(element).map_err(|error| error.to_string())
}

/// Certificates, OCSP responses and a token in base64, each with every line end as `&#13;`, and the rest.
pub(super) const XML_BYTES_MAX: usize =
    (2 * MATERIAL_ITEMS_MAX + 4) * MATERIAL_ITEM_BYTES_MAX / 3 * 4 + 64 * 1024;
/// X-Road's signatures have 70 elements; 64 attachments need 500 more, with white space between them.
const NODES_MAX: u32 = 2_000;
/// A message, its attachments, the signed properties.
const REFERENCES_MAX: usize = 64;

const ASIC: &str = "http://uri.etsi.org/02918/v1.2.1#";
const XADES: &str = "http://uri.etsi.org/01903/v1.3.2#";
pub(super) const EXCLUSIVE_C14N: &str = "http://www.w3.org/2001/10/xml-exc-c14n#";
pub(super) const INCLUSIVE_C14N: &str = "http://www.w3.org/TR/2001/REC-xml-c14n-20010315";

//! Reading a signature document as X-Road and the tools of eIDAS write it: one XAdES baseline signature (EN 319 132-1 clause 6) of a known
//! structure, under the root `asic:XAdESSignatures` or by itself.
//!
//! White space between elements and in base64 is as it came: it is part of what is canonicalised, and of nothing else.

use kogge_proto::time::UnixMillis;
use roxmltree::Node;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::c14n::Method;
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
    /// DER of the certificates in `ds:KeyInfo`, at least one.
    pub(super) certificates: Vec<Vec<u8>>,
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
    /// Canonical bytes by the one reference to it, with the method; or why there are none.
    pub(super) canonical: Result<(Vec<u8>, Method), String>,
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
    /// The tokens over the signature value.
    pub(super) timestamps: Vec<Timestamp>,
    /// Whether there are archive timestamps, which nothing looks at.
    pub(super) archived: bool,
    /// Whether there are revocation lists, which nothing looks at.
    pub(super) has_crls: bool,
    /// DER of further certificates, among them the intermediate CAs'.
    pub(super) issuers: Vec<Vec<u8>>,
    /// DER of the OCSP responses.
    pub(super) ocsp: Vec<Vec<u8>>,
}

/// A `xades:SignatureTimeStamp`.
pub(super) struct Timestamp {
    /// DER of the token.
    pub(super) token: Vec<u8>,
    /// What it is about by EN 319 132-1 clause 5.3: the canonical bytes of `ds:SignatureValue`.
    pub(super) content: Vec<u8>,
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
    let qualifying = only_in(object, &["Id"], XADES, "QualifyingProperties")?;
    if attribute(qualifying, "Target")?.strip_prefix('#') != Some(signature_id) {
        return Err("the qualifying properties are about another signature".to_owned());
    }
    let mut properties = Walk::into_indented(qualifying, &["Id", "Target"])?;
    let signed = properties.take(XADES, "SignedProperties")?;
    let unsigned = properties.take_if(XADES, "UnsignedProperties");
    properties.end()?;
    let signed = read_signed_properties(signed, &references)?;
    let unsigned = unsigned.map(|unsigned| read_unsigned_properties(unsigned, value)).transpose()?;
    Ok(SignatureDocument {
        signed_info: canonical,
        method,
        references,
        value: base64_lines(value, &["Id"])?,
        certificates: read_key_info(key_info)?,
        signed,
        unsigned: unsigned.unwrap_or_default(),
    })
}

/// All certificates, none twice; which of them has signed is for the signed properties to say. Names and bare keys beside them say nothing
/// more.
fn read_key_info(key_info: Node<'_, '_>) -> Result<Vec<Vec<u8>>, String> {
    let mut parts = Walk::into_indented(key_info, &["Id"])?;
    let mut certificates = Vec::new();
    while let Some(part) = parts.take_any() {
        match known(part, &["X509Data", "KeyValue", "KeyName"])? {
            "X509Data" => read_x509_data(part, &mut certificates)?,
            _ => continue,
        }
    }
    match certificates.len() {
        0 => Err("KeyInfo has no certificate".to_owned()),
        count if count > VALUES_MAX => Err(format!("KeyInfo has more than {VALUES_MAX} certificates")),
        _ => Ok(certificates),
    }
}

fn read_x509_data(data: Node<'_, '_>, certificates: &mut Vec<Vec<u8>>) -> Result<(), String> {
    let mut items = Walk::into_indented(data, &[])?;
    while let Some(item) = items.take_any() {
        if known(item, &["X509Certificate", "X509SubjectName", "X509IssuerSerial", "X509SKI"])?
            != "X509Certificate"
        {
            continue;
        }
        let certificate = base64_lines(item, &[])?;
        if certificates.contains(&certificate) {
            return Err("KeyInfo has a certificate twice".to_owned());
        }
        certificates.push(certificate);
    }
    Ok(())
}

/// The element's name, which must be one of these of XMLDSig.
fn known<'a>(element: Node<'a, '_>, names: &[&str]) -> Result<&'a str, String> {
    let name = element.tag_name().name();
    if element.tag_name().namespace() == Some(DS) && names.contains(&name) {
        Ok(name)
    } else {
        Err(format!("KeyInfo must not have {name} here"))
    }
}

/// Canonical bytes, signature method and references.
fn read_signed_info(signed_info: Node<'_, '_>) -> Result<(Vec<u8>, String, Vec<Reference>), String> {
    let mut parts = Walk::into_indented(signed_info, &["Id"])?;
    let canonicalization = algorithm(parts.take(DS, "CanonicalizationMethod")?)?;
    let canonical = canonical(canonicalization, signed_info)?;
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
fn read_signed_properties(
    signed: Node<'_, '_>,
    references: &[Reference],
) -> Result<SignedProperties, String> {
    let mut parts = Walk::into_indented(signed, &["Id"])?;
    let mut about_signature = Walk::into_indented(parts.take(XADES, "SignedSignatureProperties")?, &["Id"])?;
    let about_data = parts.take_if(XADES, "SignedDataObjectProperties");
    parts.end()?;

    let signing_time = read_time(text(about_signature.take(XADES, "SigningTime")?, &[])?)?;
    let certificates = match about_signature.take_if(XADES, "SigningCertificate") {
        Some(first_version) => first_version,
        None => about_signature.take(XADES, "SigningCertificateV2")?,
    };

    for name in [
        "SignaturePolicyIdentifier",
        "SignatureProductionPlace",
        "SignatureProductionPlaceV2",
        "SignerRole",
        "SignerRoleV2",
    ] {
        about_signature.take_if(XADES, name);
    }
    about_signature.end()?;
    if signed.descendants().any(|node| node.is_comment()) {
        return Err("there is a comment in the signed properties".to_owned());
    }
    let id = attribute(signed, "Id")?.to_owned();
    Ok(SignedProperties {
        canonical: canonical_as_referred(signed, &id, references),
        id,
        signing_time,
        certificate_digest: read_certificate_digest(certificates)?,
        formats: about_data.map(read_formats).transpose()?.unwrap_or_default(),
    })
}

/// By the transform of the one reference. Without one, a node set is canonicalised inclusively (XMLDSig 1.1 section 4.4.3.2).
fn canonical_as_referred(
    signed: Node<'_, '_>,
    id: &str,
    references: &[Reference],
) -> Result<(Vec<u8>, Method), String> {
    let mut found = references.iter().filter(|reference| reference.uri.strip_prefix('#') == Some(id));
    let (Some(reference), None) = (found.next(), found.next()) else {
        return Err("there is not one reference to the signed properties".to_owned());
    };
    let method = match reference.transform.as_deref() {
        None => Method::Inclusive,
        Some(uri) => Method::from_uri(uri).ok_or_else(|| format!("the transform {uri:?} is not accepted"))?,
    };
    let bytes = method.canonical(signed).map_err(|error| error.to_string())?;
    Ok((bytes, method))
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
    // What was promised by signing, and timestamps from before it, have no bearing on the verdict.
    for name in ["CommitmentTypeIndication", "AllDataObjectsTimeStamp", "IndividualDataObjectsTimeStamp"] {
        while parts.take_if(XADES, name).is_some() {}
    }
    parts.end()?;
    Ok(formats)
}

/// In any order: timestamps are put in later. All but signature timestamps and what was added for archiving stands once at most.
fn read_unsigned_properties(
    unsigned: Node<'_, '_>,
    value: Node<'_, '_>,
) -> Result<UnsignedProperties, String> {
    let properties = only_in(unsigned, &["Id"], XADES, "UnsignedSignatureProperties")?;
    let mut parts = Walk::into_indented(properties, &["Id"])?;
    let mut read = UnsignedProperties::default();
    let mut seen = Vec::new();
    while let Some(property) = parts.take_any() {
        let tag = property.tag_name();
        let key = (tag.namespace().unwrap_or_default(), tag.name());
        if seen.contains(&key) {
            return Err(format!("the unsigned property {} stands twice", tag.name()));
        }
        match key {
            (XADES, "SignatureTimeStamp") => {
                if read.timestamps.len() >= TIMESTAMPS_MAX {
                    return Err(format!("there are more than {TIMESTAMPS_MAX} signature timestamps"));
                }
                read.timestamps.push(read_timestamp(property, value)?);
                continue;
            }
            (XADES141, "ArchiveTimeStamp") => {
                read.archived = true;
                continue;
            }
            (XADES141, "TimeStampValidationData") => {
                read_validation_data(property, &mut read)?;
                continue;
            }
            (XADES, "CertificateValues") => {
                read.issuers.extend(values(property, "EncapsulatedX509Certificate")?);
            }
            (XADES, "RevocationValues") => read_revocation_values(property, &mut read)?,
            // Digests of what stands in the values.
            (XADES, "CompleteCertificateRefs" | "CompleteRevocationRefs")
            | (XADES141, "CompleteCertificateRefsV2" | "CompleteRevocationRefsV2") => {}
            (_, name) => return Err(format!("the unsigned property {name} is not expected")),
        }
        seen.push(key);
    }
    let many = read.issuers.len() > VALUES_MAX || read.ocsp.len() > VALUES_MAX;
    if many {
        Err(format!("there are more than {VALUES_MAX} certificates or OCSP responses"))
    } else {
        Ok(read)
    }
}

fn read_revocation_values(property: Node<'_, '_>, read: &mut UnsignedProperties) -> Result<(), String> {
    let mut parts = Walk::into_indented(property, &["Id"])?;
    read.has_crls |= parts.take_if(XADES, "CRLValues").is_some();
    if let Some(responses) = parts.take_if(XADES, "OCSPValues") {
        read.ocsp.extend(values(responses, "EncapsulatedOCSPValue")?);
    }
    parts.end()?;
    if read.ocsp.is_empty() && !read.has_crls {
        return Err("RevocationValues has neither OCSPValues nor CRLValues".to_owned());
    }
    Ok(())
}

/// What a verifier needs for the timestamps: here more certificates and responses among which to look.
fn read_validation_data(property: Node<'_, '_>, read: &mut UnsignedProperties) -> Result<(), String> {
    let mut parts = Walk::into_indented(property, &["Id", "URI"])?;
    if let Some(certificates) = parts.take_if(XADES, "CertificateValues") {
        read.issuers.extend(values(certificates, "EncapsulatedX509Certificate")?);
    }
    if let Some(revocation) = parts.take_if(XADES, "RevocationValues") {
        read_revocation_values(revocation, read)?;
    }
    parts.end()
}

/// Older versions of X-Road put the token's base64 into the element itself.
fn read_timestamp(property: Node<'_, '_>, value: Node<'_, '_>) -> Result<Timestamp, String> {
    if !property.children().any(|child| child.is_element()) {
        let token = base64_lines(property, &["Id"])?;
        return Ok(Timestamp { token, content: canonical(INCLUSIVE_C14N, value)? });
    }
    let mut parts = Walk::into_indented(property, &["Id"])?;
    let method = parts.take_if(DS, "CanonicalizationMethod").map(algorithm).transpose()?;
    let token = base64_lines(parts.take(XADES, "EncapsulatedTimeStamp")?, &["Id", "Encoding"])?;
    parts.end()?;
    // EN 319 132-1 clause 4.5: inclusive unless something else is said.
    Ok(Timestamp { token, content: canonical(method.unwrap_or(INCLUSIVE_C14N), value)? })
}

fn values(parent: Node<'_, '_>, name: &str) -> Result<Vec<Vec<u8>>, String> {
    let mut parts = Walk::into_indented(parent, &["Id"])?;
    let mut values = Vec::new();
    while let Some(value) = parts.take_if(XADES, name) {
        if values.len() >= VALUES_MAX {
            return Err(format!("there are more than {VALUES_MAX} of {name}"));
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
    only_in(element, &[], namespace, name)
}

/// The only child of an element with these attributes.
fn only_in<'a, 'input>(
    element: Node<'a, 'input>,
    attributes: &[&str],
    namespace: &str,
    name: &str,
) -> Result<Node<'a, 'input>, String> {
    let mut children = Walk::into_indented(element, attributes)?;
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

fn canonical(uri: &str, element: Node<'_, '_>) -> Result<Vec<u8>, String> {
    let method =
        Method::from_uri(uri).ok_or_else(|| format!("the canonicalisation {uri} is not accepted"))?;
    method.canonical(element).map_err(|error| error.to_string())
}

/// Certificates, OCSP responses and tokens in base64, each with every line end as `&#13;`, and the rest.
pub(super) const XML_BYTES_MAX: usize = 1024 * 1024;
/// X-Road's signatures have 70 elements; each further file needs fifteen nodes more, with white space between them.
const NODES_MAX: u32 = 8_000;
/// A file in a container each, and the signed properties.
const REFERENCES_MAX: usize = 257;
/// A path is 4 long, and the TSA's and the OCSP responders' are there as well.
const VALUES_MAX: usize = 16;
/// One is the rule; tools add another one when the first TSA's key gets old.
const TIMESTAMPS_MAX: usize = 4;

const ASIC: &str = "http://uri.etsi.org/02918/v1.2.1#";
const XADES: &str = "http://uri.etsi.org/01903/v1.3.2#";
const XADES141: &str = "http://uri.etsi.org/01903/v1.4.1#";
const INCLUSIVE_C14N: &str = "http://www.w3.org/TR/2001/REC-xml-c14n-20010315";

//! Reading `META-INF/signatures.xml` into its fields: one signature of exactly the expected structure.
//!
//! Elements are walked in order and every child and attribute must be an expected one, so there is no place for a second signature, a
//! wrapped one, or an element that this reader takes for another than a different reader would. Nothing is looked up by Id.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use kogge_proto::limits::{MATERIAL_ITEM_BYTES_MAX, MATERIAL_ITEMS_MAX};
use kogge_proto::time::UnixMillis;
use roxmltree::{Document, Node, ParsingOptions};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::c14n;

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
    /// Id of `xades:SignedProperties`.
    pub(super) signed_properties_id: String,
    /// Canonical bytes of `xades:SignedProperties`.
    pub(super) signed_properties: Vec<u8>,
    /// When the signer says it signed.
    pub(super) signing_time: UnixMillis,
    /// Digest of the signing certificate.
    pub(super) certificate_digest: Digest,
    /// Id of the reference that each `xades:DataObjectFormat` is about.
    pub(super) formats: Vec<String>,
    /// DER of the intermediate CA certificates.
    pub(super) issuers: Vec<Vec<u8>>,
    /// DER of the OCSP response.
    pub(super) ocsp: Vec<u8>,
}

/// A `ds:Reference`.
pub(super) struct Reference {
    /// Its own Id.
    pub(super) id: Option<String>,
    /// What it is about.
    pub(super) uri: String,
    /// Its Type.
    pub(super) kind: Option<String>,
    /// Algorithms of its transforms.
    pub(super) transforms: Vec<String>,
    /// The digest.
    pub(super) digest: Digest,
}

/// A digest with the URI of its method.
pub(super) struct Digest {
    /// URI.
    pub(super) method: String,
    /// The value.
    pub(super) value: Vec<u8>,
}

/// Reads the document.
///
/// # Errors
/// In words, what is not as expected.
pub(super) fn read(xml: &[u8]) -> Result<SignatureDocument, String> {
    if xml.len() > XML_BYTES_MAX {
        return Err(format!("the document is larger than {XML_BYTES_MAX} bytes"));
    }
    let text = std::str::from_utf8(xml).map_err(|_| "the document is not UTF-8".to_owned())?;
    // Without a DTD there are no entities either.
    let options = ParsingOptions { allow_dtd: false, nodes_limit: NODES_MAX, entity_resolver: None };
    let document = Document::parse_with_options(text, options)
        .map_err(|error| format!("not acceptable XML: {error}"))?;
    no_repeated_id(&document)?;

    let root = document.root_element();
    if !root.has_tag_name((ASIC, "XAdESSignatures")) || document.root().children().count() != 1 {
        return Err("the document is not one asic:XAdESSignatures".to_owned());
    }
    let mut root = Walk::into(root, &[])?;
    let signature = root.take(DS, "Signature")?;
    root.end()?;
    read_signature(signature)
}

fn read_signature(signature: Node<'_, '_>) -> Result<SignatureDocument, String> {
    let signature_id = attribute(signature, "Id")?;
    let mut parts = Walk::into(signature, &["Id"])?;
    let signed_info = parts.take(DS, "SignedInfo")?;
    let value = parts.take(DS, "SignatureValue")?;
    let key_info = parts.take(DS, "KeyInfo")?;
    let object = parts.take(DS, "Object")?;
    parts.end()?;

    let (method, references) = read_signed_info(signed_info)?;
    let x509_data = only(key_info, &[], DS, "X509Data")?;
    let certificate = only(x509_data, &[], DS, "X509Certificate")?;
    let qualifying = only(object, &[], XADES, "QualifyingProperties")?;
    if attribute(qualifying, "Target")?.strip_prefix('#') != Some(signature_id) {
        return Err("the qualifying properties are about another signature".to_owned());
    }
    let mut properties = Walk::into(qualifying, &["Target"])?;
    let signed = properties.take(XADES, "SignedProperties")?;
    let unsigned = properties.take(XADES, "UnsignedProperties")?;
    properties.end()?;
    let signed_fields = read_signed_properties(signed)?;
    let (issuers, ocsp) = read_unsigned_properties(unsigned)?;
    Ok(SignatureDocument {
        signed_info: canonical(signed_info)?,
        method,
        references,
        value: base64(value, &["Id"])?,
        certificate: base64(certificate, &[])?,
        signed_properties_id: attribute(signed, "Id")?.to_owned(),
        signed_properties: canonical(signed)?,
        signing_time: signed_fields.signing_time,
        certificate_digest: signed_fields.certificate_digest,
        formats: signed_fields.formats,
        issuers,
        ocsp,
    })
}

/// Method and references.
fn read_signed_info(signed_info: Node<'_, '_>) -> Result<(String, Vec<Reference>), String> {
    let mut parts = Walk::into(signed_info, &[])?;
    let canonicalization = algorithm(parts.take(DS, "CanonicalizationMethod")?)?;
    if canonicalization != EXCLUSIVE_C14N {
        return Err(format!("the canonicalisation {canonicalization} is not accepted"));
    }
    let method = algorithm(parts.take(DS, "SignatureMethod")?)?.to_owned();
    let mut references = Vec::new();
    while let Some(reference) = parts.take_if(DS, "Reference") {
        references.push(read_reference(reference)?);
    }
    parts.end()?;
    Ok((method, references))
}

fn read_reference(reference: Node<'_, '_>) -> Result<Reference, String> {
    let mut parts = Walk::into(reference, &["Id", "Type", "URI"])?;
    let mut transforms = Vec::new();
    if let Some(listed) = parts.take_if(DS, "Transforms") {
        let mut listed = Walk::into(listed, &[])?;
        while let Some(transform) = listed.take_if(DS, "Transform") {
            transforms.push(algorithm(transform)?.to_owned());
        }
        listed.end()?;
        if transforms.is_empty() {
            return Err("a list of transforms is empty".to_owned());
        }
    }
    let digest = read_digest(&mut parts)?;
    parts.end()?;
    Ok(Reference {
        id: reference.attribute("Id").map(str::to_owned),
        uri: attribute(reference, "URI")?.to_owned(),
        kind: reference.attribute("Type").map(str::to_owned),
        transforms,
        digest,
    })
}

struct SignedFields {
    signing_time: UnixMillis,
    certificate_digest: Digest,
    formats: Vec<String>,
}

fn read_signed_properties(signed: Node<'_, '_>) -> Result<SignedFields, String> {
    let mut parts = Walk::into(signed, &["Id"])?;
    let mut about_signature = Walk::into(parts.take(XADES, "SignedSignatureProperties")?, &[])?;
    let mut about_data = Walk::into(parts.take(XADES, "SignedDataObjectProperties")?, &[])?;
    parts.end()?;

    let signing_time = read_time(text(about_signature.take(XADES, "SigningTime")?, &[])?)?;
    let certificates = about_signature.take(XADES, "SigningCertificateV2")?;
    about_signature.end()?;
    let certificate = only(certificates, &[], XADES, "Cert")?;
    let mut digest = Walk::into(only(certificate, &[], XADES, "CertDigest")?, &[])?;
    let certificate_digest = read_digest(&mut digest)?;
    digest.end()?;

    let mut formats = Vec::new();
    while let Some(format) = about_data.take_if(XADES, "DataObjectFormat") {
        let reference = attribute(format, "ObjectReference")?.strip_prefix('#');
        formats.push(reference.ok_or("a DataObjectFormat is about something outside")?.to_owned());
        text(only(format, &["ObjectReference"], XADES, "MimeType")?, &[])?;
    }
    about_data.end()?;
    Ok(SignedFields { signing_time, certificate_digest, formats })
}

/// Intermediate CA certificates and the OCSP response.
fn read_unsigned_properties(unsigned: Node<'_, '_>) -> Result<(Vec<Vec<u8>>, Vec<u8>), String> {
    let mut parts = Walk::into(only(unsigned, &[], XADES, "UnsignedSignatureProperties")?, &[])?;
    let mut issuers = Vec::new();
    if let Some(values) = parts.take_if(XADES, "CertificateValues") {
        let mut values = Walk::into(values, &[])?;
        while let Some(certificate) = values.take_if(XADES, "EncapsulatedX509Certificate") {
            issuers.push(base64(certificate, &[])?);
        }
        values.end()?;
    }
    let revocation = parts.take(XADES, "RevocationValues")?;
    parts.end()?;
    let ocsp = only(only(revocation, &[], XADES, "OCSPValues")?, &[], XADES, "EncapsulatedOCSPValue")?;
    Ok((issuers, base64(ocsp, &[])?))
}

fn read_digest(parts: &mut Walk<'_, '_>) -> Result<Digest, String> {
    let method = algorithm(parts.take(DS, "DigestMethod")?)?.to_owned();
    Ok(Digest { method, value: base64(parts.take(DS, "DigestValue")?, &[])? })
}

/// `2026-11-24T03:02:01Z` and no other form of the same time.
fn read_time(text: &str) -> Result<UnixMillis, String> {
    let wrong = || format!("the signing time {text:?} is not of the form 2026-11-24T03:02:01Z");
    let parsed = OffsetDateTime::parse(text, &Rfc3339).map_err(|_| wrong())?;
    let time = UnixMillis(parsed.unix_timestamp().saturating_mul(1000));
    if time.to_xml() == text { Ok(time) } else { Err(wrong()) }
}

/// The children of an element in order; each must be asked for.
struct Walk<'a, 'input> {
    parent: &'a str,
    children: std::iter::Peekable<std::vec::IntoIter<Node<'a, 'input>>>,
}

impl<'a, 'input> Walk<'a, 'input> {
    /// Into an element that has no attributes but these, and no children but elements.
    fn into(element: Node<'a, 'input>, attributes: &[&str]) -> Result<Self, String> {
        only_attributes(element, attributes)?;
        let parent = element.tag_name().name();
        let children: Vec<_> = element.children().collect();
        if children.iter().any(|child| !child.is_element()) {
            return Err(format!("{parent} has text, a comment or an instruction between its elements"));
        }
        Ok(Self { parent, children: children.into_iter().peekable() })
    }

    /// The next child, which must be this element.
    fn take(&mut self, namespace: &str, name: &str) -> Result<Node<'a, 'input>, String> {
        self.take_if(namespace, name).ok_or_else(|| format!("{} lacks {name} at its place", self.parent))
    }

    /// The next child if it is this element.
    fn take_if(&mut self, namespace: &str, name: &str) -> Option<Node<'a, 'input>> {
        self.children.next_if(|child| child.has_tag_name((namespace, name)))
    }

    /// There must be no more children.
    fn end(mut self) -> Result<(), String> {
        match self.children.next() {
            None => Ok(()),
            Some(child) => Err(format!("{} must not have {} here", self.parent, child.tag_name().name())),
        }
    }
}

/// The only child of an element with these attributes.
fn only<'a, 'input>(
    element: Node<'a, 'input>,
    attributes: &[&str],
    namespace: &str,
    name: &str,
) -> Result<Node<'a, 'input>, String> {
    let mut children = Walk::into(element, attributes)?;
    let child = children.take(namespace, name)?;
    children.end()?;
    Ok(child)
}

/// The algorithm of an element that has nothing else: no parameters, no inclusive prefix list.
fn algorithm<'a>(element: Node<'a, '_>) -> Result<&'a str, String> {
    Walk::into(element, &["Algorithm"])?.end()?;
    attribute(element, "Algorithm")
}

fn attribute<'a>(element: Node<'a, '_>, name: &str) -> Result<&'a str, String> {
    element.attribute(name).ok_or_else(|| format!("{} lacks its {name}", element.tag_name().name()))
}

fn only_attributes(element: Node<'_, '_>, allowed: &[&str]) -> Result<(), String> {
    match element.attributes().find(|found| found.namespace().is_some() || !allowed.contains(&found.name())) {
        None => Ok(()),
        Some(found) => {
            Err(format!("{} must not have the attribute {}", element.tag_name().name(), found.name()))
        }
    }
}

/// The text of an element that has nothing else.
fn text<'a>(element: Node<'a, '_>, attributes: &[&str]) -> Result<&'a str, String> {
    only_attributes(element, attributes)?;
    let mut children = element.children();
    match (children.next(), children.next()) {
        (Some(child), None) if child.is_text() => Ok(child.text().unwrap_or_default()),
        _ => Err(format!("{} is not plain text", element.tag_name().name())),
    }
}

/// Base64 in one line, with padding, in its only encoding.
fn base64(element: Node<'_, '_>, attributes: &[&str]) -> Result<Vec<u8>, String> {
    STANDARD
        .decode(text(element, attributes)?)
        .map_err(|error| format!("{} is not base64: {error}", element.tag_name().name()))
}

fn canonical(element: Node<'_, '_>) -> Result<Vec<u8>, String> {
    c14n::exclusive(element).map_err(|error| error.to_string())
}

/// Ids in any of the spellings that some reader takes for an Id.
fn no_repeated_id(document: &Document<'_>) -> Result<(), String> {
    let mut seen = std::collections::BTreeSet::new();
    for element in document.descendants().filter(Node::is_element) {
        for attribute in element.attributes().filter(|attribute| attribute.name().eq_ignore_ascii_case("id"))
        {
            if !seen.insert(attribute.value()) {
                return Err(format!("the Id {:?} stands twice", attribute.value()));
            }
        }
    }
    Ok(())
}

/// Certificates and an OCSP response in base64, and the rest.
pub(super) const XML_BYTES_MAX: usize = MATERIAL_ITEMS_MAX * MATERIAL_ITEM_BYTES_MAX / 3 * 4 + 16 * 1024;
/// The largest signature document has 60 elements.
const NODES_MAX: u32 = 400;

// The verifier has its own names: a mistake in the template's must not vouch for itself.
const ASIC: &str = "http://uri.etsi.org/02918/v1.2.1#";
const DS: &str = "http://www.w3.org/2000/09/xmldsig#";
const XADES: &str = "http://uri.etsi.org/01903/v1.3.2#";
pub(super) const EXCLUSIVE_C14N: &str = "http://www.w3.org/2001/10/xml-exc-c14n#";

#[cfg(test)]
mod tests;

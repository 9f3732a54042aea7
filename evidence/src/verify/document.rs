//! Reading `META-INF/signatures.xml` into its fields: one signature of exactly the expected structure.

use kogge_proto::limits::{MATERIAL_ITEM_BYTES_MAX, MATERIAL_ITEMS_MAX};
use kogge_proto::time::UnixMillis;
use roxmltree::Node;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::walk::{self, DS, Digest, Walk, algorithm, attribute, base64, only, read_digest, text};
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

/// Reads the document.
///
/// # Errors
/// In words, what is not as expected.
pub(super) fn read(xml: &[u8]) -> Result<SignatureDocument, String> {
    let document = walk::parse(xml, XML_BYTES_MAX, NODES_MAX)?;
    let mut root = Walk::into(walk::root(&document, ASIC, "XAdESSignatures")?, &[])?;
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

/// `2026-11-24T03:02:01Z` and no other form of the same time.
fn read_time(text: &str) -> Result<UnixMillis, String> {
    let wrong = || format!("the signing time {text:?} is not of the form 2026-11-24T03:02:01Z");
    let parsed = OffsetDateTime::parse(text, &Rfc3339).map_err(|_| wrong())?;
    let time = UnixMillis(parsed.unix_timestamp().saturating_mul(1000));
    if time.to_xml() == text { Ok(time) } else { Err(wrong()) }
}

fn canonical(element: Node<'_, '_>) -> Result<Vec<u8>, String> {
    c14n::exclusive(element).map_err(|error| error.to_string())
}

/// Certificates and an OCSP response in base64, and the rest.
pub(super) const XML_BYTES_MAX: usize = MATERIAL_ITEMS_MAX * MATERIAL_ITEM_BYTES_MAX / 3 * 4 + 16 * 1024;
/// The largest signature document has 60 elements.
const NODES_MAX: u32 = 400;

// The verifier has its own names: a mistake in the template's must not vouch for itself.
const ASIC: &str = "http://uri.etsi.org/02918/v1.2.1#";
const XADES: &str = "http://uri.etsi.org/01903/v1.3.2#";
pub(super) const EXCLUSIVE_C14N: &str = "http://www.w3.org/2001/10/xml-exc-c14n#";

#[cfg(test)]
mod tests;

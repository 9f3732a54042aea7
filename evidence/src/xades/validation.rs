//! What the documents of one signer have in common, so that it is written once and not for every message.
//!
//! Certificates and OCSP response are two thirds of a document, and the signed properties change once a second. What is left for each message
//! are the references with their digests, and the signature value.

use std::sync::{Arc, Mutex, PoisonError};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use kogge_proto::digest::{Sha256, Sha256Hasher, sha512};
use kogge_proto::time::UnixMillis;

use super::{ASIC, DS, Scope, SignedFields, Subject, XADES, Xml};
use crate::signature::Parts;

/// The signing certificate, the certificates above it and the OCSP response, as they stand in every document of the signer.
#[derive(Debug)]
pub(crate) struct ValidationData {
    /// From the end of the signature value to the signed properties.
    key_info: String,
    /// From the signed properties to the end.
    values: String,
    /// Those that were asked for last: the messages of one second share them.
    properties: Mutex<Option<(Key, Arc<SignedProperties>)>>,
}

/// All that signed properties depend on.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct Key {
    signing_time: UnixMillis,
    certificate: Sha256,
    formats: Formats,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Formats {
    Message,
    MessageAndBody,
    Batch,
}

#[derive(Debug)]
struct SignedProperties {
    /// As they stand in the document.
    xml: String,
    /// Base64 of their SHA-512 in canonical form.
    digest: String,
}

/// The document of one message, but for the signature value.
pub(crate) struct Rendered<'v> {
    validation: &'v ValidationData,
    properties: Arc<SignedProperties>,
    signed_info: String,
}

impl ValidationData {
    pub(crate) fn new(certificate: &Bytes, ocsp: &Bytes, issuers: &[&Bytes]) -> Self {
        let items = certificate.len() + ocsp.len() + issuers.iter().map(|issuer| issuer.len()).sum::<usize>();
        let mut key_info = Xml::with_capacity(FRAME_BYTES + certificate.len().div_ceil(3) * 4);
        key_info.put(&["</ds:SignatureValue><ds:KeyInfo><ds:X509Data><ds:X509Certificate>"]);
        key_info.put_base64(certificate);
        key_info.put(&[
            "</ds:X509Certificate></ds:X509Data></ds:KeyInfo>\
             <ds:Object><xades:QualifyingProperties xmlns:xades=\"",
            XADES,
            "\" Target=\"#signature\">",
        ]);
        let mut values = Xml::with_capacity(FRAME_BYTES + (items - certificate.len()).div_ceil(3) * 4);
        values.put(&["<xades:UnsignedProperties><xades:UnsignedSignatureProperties>"]);
        certificate_values(&mut values, issuers);
        values.put(&["<xades:RevocationValues><xades:OCSPValues><xades:EncapsulatedOCSPValue>"]);
        values.put_base64(ocsp);
        values.put(&["</xades:EncapsulatedOCSPValue></xades:OCSPValues></xades:RevocationValues>\
             </xades:UnsignedSignatureProperties></xades:UnsignedProperties>\
             </xades:QualifyingProperties></ds:Object></ds:Signature></asic:XAdESSignatures>"]);
        Self { key_info: key_info.0, values: values.0, properties: Mutex::default() }
    }

    pub(crate) fn render(&self, fields: &SignedFields) -> Rendered<'_> {
        let properties = self.properties(fields);
        let signed_info = fields.signed_info(&properties.digest).0;
        Rendered { validation: self, properties, signed_info }
    }

    fn properties(&self, fields: &SignedFields) -> Arc<SignedProperties> {
        let key = Key::of(fields);
        let mut last = self.properties.lock().unwrap_or_else(PoisonError::into_inner);
        match &*last {
            Some((of, properties)) if *of == key => Arc::clone(properties),
            _ => {
                let canonical = fields.signed_properties(Scope::Subtree).0;
                let properties = Arc::new(SignedProperties {
                    xml: fields.signed_properties(Scope::Document).0,
                    digest: STANDARD.encode(sha512(canonical.as_bytes()).as_bytes()),
                });
                *last = Some((key, Arc::clone(&properties)));
                properties
            }
        }
    }
}

impl Key {
    fn of(fields: &SignedFields) -> Self {
        let formats = match fields.subject {
            Subject::Parts(Parts { body: None, .. }) => Formats::Message,
            Subject::Parts(Parts { body: Some(_), .. }) => Formats::MessageAndBody,
            Subject::Batch { .. } => Formats::Batch,
        };
        Self { signing_time: fields.signing_time, certificate: fields.certificate, formats }
    }
}

impl Rendered<'_> {
    /// What the key signs: `ds:SignedInfo` in exclusive canonical form.
    pub(crate) fn signed_bytes(&self) -> &[u8] {
        self.signed_info.as_bytes()
    }

    /// The bytes of `META-INF/signatures.xml` with this signature value.
    pub(crate) fn document(&self, value: &[u8]) -> Vec<u8> {
        self.pieces(&STANDARD.encode(value)).concat().into_bytes()
    }

    /// SHA-256 of [`Self::document`].
    pub(crate) fn leaf(&self, value: &[u8]) -> Sha256 {
        let mut hasher = Sha256Hasher::new();
        for piece in self.pieces(&STANDARD.encode(value)) {
            hasher.update(piece.as_bytes());
        }
        hasher.finish()
    }

    fn pieces<'p>(&'p self, value: &'p str) -> [&'p str; 12] {
        // Where it stands, an ancestor declares the namespace that it declares when it is signed.
        let signed_info = self.signed_info.split_once('>').map_or("", |(_, after)| after);
        [
            "<asic:XAdESSignatures xmlns:asic=\"",
            ASIC,
            "\"><ds:Signature xmlns:ds=\"",
            DS,
            "\" Id=\"signature\">",
            "<ds:SignedInfo>",
            signed_info,
            "<ds:SignatureValue Id=\"signature-value\">",
            value,
            &self.validation.key_info,
            &self.properties.xml,
            &self.validation.values,
        ]
    }
}

fn certificate_values(xml: &mut Xml, issuers: &[&Bytes]) {
    if issuers.is_empty() {
        return;
    }
    xml.put(&["<xades:CertificateValues>"]);
    for issuer in issuers {
        xml.put(&["<xades:EncapsulatedX509Certificate>"]);
        xml.put_base64(issuer);
        xml.put(&["</xades:EncapsulatedX509Certificate>"]);
    }
    xml.put(&["</xades:CertificateValues>"]);
}

/// Room for the elements around what is encoded.
const FRAME_BYTES: usize = 768;

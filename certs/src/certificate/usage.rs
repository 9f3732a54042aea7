//! What a certificate's extensions allow its key to do (RFC 5280 section 4.2.1), read once when the certificate is parsed.

use const_oid::ObjectIdentifier;
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::{KeyUsage, ParsedExtension};

use super::{CertificateError, malformed};

/// Basic constraints, key usage and extended key usage.
pub(crate) struct Usages {
    ca: bool,
    key_usage: Option<KeyUsage>,
    extended: Option<ExtendedKeyUsage>,
}

/// The extension of that name.
pub(crate) struct ExtendedKeyUsage {
    /// Whether the extension is marked critical.
    pub(crate) critical: bool,
    /// Its purposes, in order; at least one.
    pub(crate) purposes: Vec<ObjectIdentifier>,
}

impl Usages {
    /// Reads them; a doubled or malformed extension is an error even where nobody asks for it.
    pub(super) fn read(certificate: &X509Certificate<'_>) -> Result<Self, CertificateError> {
        certificate.extensions_map().map_err(|_| malformed("an extension stands twice"))?;
        let mut usages = Self { ca: false, key_usage: None, extended: None };
        for extension in certificate.extensions() {
            match extension.parsed_extension() {
                ParsedExtension::BasicConstraints(constraints) => usages.ca = constraints.ca,
                ParsedExtension::KeyUsage(key_usage) => usages.key_usage = Some(*key_usage),
                ParsedExtension::ParseError { .. } => {
                    return Err(CertificateError::Malformed(format!(
                        "extension {} cannot be read",
                        extension.oid
                    )));
                }
                _ if extension.oid.as_bytes() == EXTENDED_KEY_USAGE.as_bytes() => {
                    let purposes = purposes(extension.value)?;
                    usages.extended = Some(ExtendedKeyUsage { critical: extension.critical, purposes });
                }
                _ => {}
            }
        }
        Ok(usages)
    }

    /// Whether the Basic Constraints say CA.
    pub(crate) fn is_ca(&self) -> bool {
        self.ca
    }

    /// The key usage, if the extension is there.
    pub(crate) fn key_usage(&self) -> Option<&KeyUsage> {
        self.key_usage.as_ref()
    }

    /// The extended key usage, if the extension is there.
    pub(crate) fn extended(&self) -> Option<&ExtendedKeyUsage> {
        self.extended.as_ref()
    }

    /// Whether the extended key usage is there and names `purpose` itself; anyExtendedKeyUsage does not count.
    pub(crate) fn has_purpose(&self, purpose: &ObjectIdentifier) -> bool {
        self.extended.as_ref().is_some_and(|extended| extended.purposes.contains(purpose))
    }
}

fn purposes(value: &[u8]) -> Result<Vec<ObjectIdentifier>, CertificateError> {
    use der::Decode;
    let purposes = Vec::<ObjectIdentifier>::from_der(value)
        .map_err(|_| malformed("its extended key usage cannot be read"))?;
    if purposes.is_empty() { Err(malformed("its extended key usage is empty")) } else { Ok(purposes) }
}

const EXTENDED_KEY_USAGE: ObjectIdentifier = const_oid::db::rfc5280::ID_CE_EXT_KEY_USAGE;

//! The extensions for which `rcgen` has no words.

use der::asn1::{Ia5String, Null};
use der::{Encode, oid::ObjectIdentifier};
use rcgen::CustomExtension;
use x509_cert::ext::pkix::name::GeneralName;
use x509_cert::ext::pkix::{AccessDescription, AuthorityInfoAccessSyntax};

use super::ProfileError;

/// Authority Information Access with the OCSP responder's URL (RFC 5280 section 4.2.2.1).
pub(super) fn ocsp_access(url: &str) -> Result<CustomExtension, ProfileError> {
    let location = Ia5String::new(url).map_err(encoding)?;
    let access = AuthorityInfoAccessSyntax(vec![AccessDescription {
        access_method: ID_AD_OCSP,
        access_location: GeneralName::UniformResourceIdentifier(location),
    }]);
    Ok(CustomExtension::from_oid_content(AUTHORITY_INFO_ACCESS, access.to_der().map_err(encoding)?))
}

/// id-pkix-ocsp-nocheck (RFC 6960 section 4.2.2.2.1): nobody asks an OCSP responder about its own certificate.
pub(super) fn ocsp_no_check() -> Result<CustomExtension, ProfileError> {
    Ok(CustomExtension::from_oid_content(OCSP_NO_CHECK, Null.to_der().map_err(encoding)?))
}

/// Extended key usage timeStamping, alone and critical, as RFC 3161 section 2.3 demands; `rcgen` writes it uncritical.
pub(super) fn time_stamping() -> Result<CustomExtension, ProfileError> {
    let purposes = vec![TIME_STAMPING].to_der().map_err(encoding)?;
    let mut extension = CustomExtension::from_oid_content(EXTENDED_KEY_USAGE, purposes);
    extension.set_criticality(true);
    Ok(extension)
}

fn encoding(error: der::Error) -> ProfileError {
    ProfileError::Issue(error.to_string())
}

const ID_AD_OCSP: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.48.1");
const TIME_STAMPING: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.3.8");
const AUTHORITY_INFO_ACCESS: &[u64] = &[1, 3, 6, 1, 5, 5, 7, 1, 1];
const OCSP_NO_CHECK: &[u64] = &[1, 3, 6, 1, 5, 5, 7, 48, 1, 5];
const EXTENDED_KEY_USAGE: &[u64] = &[2, 5, 29, 37];

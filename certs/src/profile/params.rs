//! Profiles and subjects in the words of `rcgen`.

use kogge_proto::id::MemberId;
use kogge_proto::time::UnixMillis;
use rcgen::string::PrintableString;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, DnValue, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyUsagePurpose, SerialNumber,
};
use time::OffsetDateTime;
use x509_parser::prelude::FromDer;
use x509_parser::x509::X509Name;

use super::rcgen_key::RcgenKey;
use super::{IssueTerms, Profile, ProfileError, Subject, extension};
use crate::certificate::Certificate;

/// A CA's certificate with at most `path_length` CAs below it.
pub(super) fn ca(
    subject: &Subject,
    terms: &IssueTerms,
    path_length: u8,
) -> Result<CertificateParams, ProfileError> {
    if !matches!(subject, Subject::Service { .. }) {
        return Err(ProfileError::Issue("a CA is named by Subject::Service".to_owned()));
    }
    let mut params = common(subject, terms)?;
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(path_length));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    Ok(params)
}

/// An end entity's certificate.
pub(super) fn end_entity(
    profile: Profile,
    subject: &Subject,
    terms: &IssueTerms,
) -> Result<CertificateParams, ProfileError> {
    let fits = match profile {
        Profile::Signing => matches!(subject, Subject::Signing { .. }),
        Profile::Authentication => matches!(subject, Subject::Authentication { .. }),
        Profile::OcspResponder | Profile::Timestamping => matches!(subject, Subject::Service { .. }),
        Profile::Tls => matches!(subject, Subject::Tls { .. }),
    };
    if !fits {
        return Err(ProfileError::Issue(format!("the subject is not one of the profile {profile:?}")));
    }
    let mut params = common(subject, terms)?;
    // Writes the subject key identifier and empty basic constraints.
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    match profile {
        Profile::Signing => params.key_usages = vec![KeyUsagePurpose::ContentCommitment],
        Profile::Authentication => {
            params.extended_key_usages =
                vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        }
        Profile::OcspResponder => {
            params.extended_key_usages = vec![ExtendedKeyUsagePurpose::OcspSigning];
            params.custom_extensions.push(extension::ocsp_no_check()?);
        }
        Profile::Timestamping => params.custom_extensions.push(extension::time_stamping()?),
        Profile::Tls => params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth],
    }
    Ok(params)
}

/// What a request says: the subject and its alternative names. `rcgen` refuses requests with a serial number or an authority key identifier.
pub(super) fn wish(subject: &Subject) -> Result<CertificateParams, ProfileError> {
    let names = match subject {
        Subject::Tls { names } => names.clone(),
        _ => Vec::new(),
    };
    let mut params = CertificateParams::new(names)?;
    params.distinguished_name = name(subject)?;
    Ok(params)
}

/// The issuer as its certificate names it.
pub(super) fn issuer<'k>(
    certificate: &Certificate,
    key: RcgenKey<'k>,
) -> Result<Issuer<'static, RcgenKey<'k>>, ProfileError> {
    let unreadable = || ProfileError::Issue("the issuer's certificate cannot be read".to_owned());
    let (_, name) = X509Name::from_der(certificate.subject_der()).map_err(|_| unreadable())?;
    // rcgen panics on an empty set of attributes.
    if name.iter_rdn().any(|rdn| rdn.iter().next().is_none()) {
        return Err(unreadable());
    }
    Ok(Issuer::from_ca_cert_der(&certificate.der().into(), key)?)
}

fn common(subject: &Subject, terms: &IssueTerms) -> Result<CertificateParams, ProfileError> {
    if terms.not_after < terms.not_before {
        return Err(ProfileError::Issue("the validity ends before it begins".to_owned()));
    }
    let mut params = wish(subject)?;
    params.not_before = date(terms.not_before)?;
    params.not_after = date(terms.not_after)?;
    params.serial_number = Some(serial(&terms.serial)?);
    params.use_authority_key_identifier_extension = true;
    params.custom_extensions =
        terms.ocsp_url.as_deref().map(extension::ocsp_access).transpose()?.into_iter().collect();
    Ok(params)
}

fn name(subject: &Subject) -> Result<DistinguishedName, ProfileError> {
    let mut name = DistinguishedName::new();
    match subject {
        Subject::Signing { member, name: organisation, server } => {
            named_after(&mut name, organisation, member, server.code());
            name.push(DnType::CommonName, member.code());
        }
        Subject::Authentication { server, name: organisation } => {
            named_after(&mut name, organisation, server.owner(), server.code());
            name.push(DnType::CommonName, server.code());
        }
        Subject::Service { common_name, organisation } => {
            push(&mut name, DnType::OrganizationName, organisation);
            name.push(DnType::CommonName, common_name.as_str());
        }
        Subject::Tls { names } => {
            let first = names.first();
            name.push(
                DnType::CommonName,
                first.ok_or_else(|| ProfileError::Issue("there is no name".to_owned()))?.as_str(),
            );
        }
    }
    Ok(name)
}

/// `O=organisation, serialNumber=INSTANCE/SERVER/CLASS`; identifier codes never hold a `/`.
fn named_after(name: &mut DistinguishedName, organisation: &str, member: &MemberId, server_code: &str) {
    push(name, DnType::OrganizationName, organisation);
    let serial = format!("{}/{server_code}/{}", member.instance(), member.class());
    // X.520 has serialNumber as PrintableString; codes outside of its repertoire need UTF-8.
    let serial = match PrintableString::try_from(serial.as_str()) {
        Ok(printable) => DnValue::PrintableString(printable),
        Err(_) => DnValue::Utf8String(serial),
    };
    name.push(DnType::CustomDnType(SERIAL_NUMBER.to_vec()), serial);
}

fn push(name: &mut DistinguishedName, kind: DnType, value: &str) {
    if !value.is_empty() {
        name.push(kind, value);
    }
}

/// Positive, and at most 20 bytes long with the sign octet that DER may add (RFC 5280 section 4.1.2.2).
fn serial(bytes: &[u8]) -> Result<SerialNumber, ProfileError> {
    if bytes.iter().all(|byte| *byte == 0) {
        return Err(ProfileError::Issue("the serial number is zero".to_owned()));
    }
    Ok(SerialNumber::from_slice(bytes))
}

fn date(at: UnixMillis) -> Result<OffsetDateTime, ProfileError> {
    OffsetDateTime::from_unix_timestamp(at.seconds())
        .map_err(|_| ProfileError::Issue("the validity lies outside of the calendar".to_owned()))
}

/// id-at-serialNumber (X.520).
const SERIAL_NUMBER: &[u64] = &[2, 5, 4, 5];

//! The subjects of X-Road's signing certificates: which member they name. A CA's form stands in the global configuration, as the name of a
//! Java class.

use const_oid::ObjectIdentifier;
use kogge_proto::id::MemberId;
use x509_parser::prelude::FromDer;
use x509_parser::x509::X509Name;

use super::{Profile, ProfileError};
use crate::certificate::Certificate;

/// How the subjects of a CA's signing certificates name members.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum SubjectForm {
    /// `serialNumber=INSTANCE/SERVER/CLASS, CN=CODE`; older certificates `O=INSTANCE, OU=CLASS, CN=CODE` or as [`Self::Ejbca`].
    FiVrk,
    /// `C=INSTANCE, O=CLASS, CN=CODE`.
    Ejbca,
    /// `businessCategory=CLASS, serialNumber=CODE`; the instance is the configuration's.
    Basic,
    /// `organizationIdentifier` or `serialNumber` of Estonia's registers; the instance is the configuration's.
    SkKlass3,
    /// `O=INSTANCE, OU=CLASS, CN=CODE`: Iceland and the Faroe Islands.
    OrganisationUnit,
}

impl SubjectForm {
    /// From the value of `certificateProfileInfo`, a Java class with or without its package; `None` if it is not a known one.
    #[must_use]
    pub fn from_class(class: &str) -> Option<Self> {
        match class.rsplit('.').next()? {
            "FiVRKCertificateProfileInfoProvider" => Some(Self::FiVrk),
            "EjbcaCertificateProfileInfoProvider" => Some(Self::Ejbca),
            "BasicCertificateProfileInfoProvider" | "BasicACMECertificateProfileInfoProvider" => {
                Some(Self::Basic)
            }
            "SkKlass3CertificateProfileInfoProvider" => Some(Self::SkKlass3),
            "IsCertificateProfileInfoProvider" | "FoCertificateProfileInfoProvider" => {
                Some(Self::OrganisationUnit)
            }
            _ => None,
        }
    }

    /// The member that a signing certificate names. `instance` is that of the configuration whose CA issued it.
    ///
    /// # Errors
    /// [`ProfileError::Unfit`]: the subject is not of this form.
    pub fn member(self, certificate: &Certificate, instance: &str) -> Result<MemberId, ProfileError> {
        let subject = Subject::read(certificate)?;
        let [instance, class, code] = match self {
            Self::FiVrk => subject.fi_vrk()?,
            Self::Ejbca => subject.ejbca()?,
            Self::Basic => [
                instance.to_owned(),
                subject.one(&BUSINESS_CATEGORY, "businessCategory")?,
                subject.one(&SERIAL_NUMBER, "serialNumber")?,
            ],
            Self::SkKlass3 => subject.sk_klass3(instance)?,
            Self::OrganisationUnit => subject.organisation_unit()?,
        };
        MemberId::new(&instance, &class, &code)
            .map_err(|error| unfit(format!("its subject names no member: {error}")))
    }
}

/// Type and text of a subject's attributes, in their order.
struct Subject(Vec<(Vec<u8>, Option<String>)>);

impl Subject {
    fn read(certificate: &Certificate) -> Result<Self, ProfileError> {
        let (_, name) = X509Name::from_der(certificate.subject_der())
            .map_err(|_| unfit("its subject cannot be read".to_owned()))?;
        let attribute = |attribute: &x509_parser::x509::AttributeTypeAndValue<'_>| {
            (attribute.attr_type().as_bytes().to_vec(), attribute.as_str().ok().map(str::to_owned))
        };
        Ok(Self(name.iter_attributes().map(attribute).collect()))
    }

    fn has(&self, oid: &ObjectIdentifier) -> bool {
        self.0.iter().any(|(found, _)| found == oid.as_bytes())
    }

    /// The text of the only attribute of a type: where one stands twice, two readers could take two of them.
    fn one(&self, oid: &ObjectIdentifier, what: &str) -> Result<String, ProfileError> {
        let mut found = self.0.iter().filter(|(found, _)| found == oid.as_bytes());
        match (found.next(), found.next()) {
            (Some((_, Some(text))), None) => Ok(text.clone()),
            (Some((_, None)), None) => Err(unfit(format!("its {what} is not text"))),
            _ => Err(unfit(format!("its subject does not have one {what}"))),
        }
    }

    fn fi_vrk(&self) -> Result<[String; 3], ProfileError> {
        if !self.has(&SERIAL_NUMBER) {
            return if self.has(&ORGANISATION_UNIT) { self.organisation_unit() } else { self.ejbca() };
        }
        let serial = self.one(&SERIAL_NUMBER, "serialNumber")?;
        let [instance, _server, class] = serial.split('/').collect::<Vec<_>>()[..] else {
            return Err(unfit("its serialNumber is not INSTANCE/SERVER/CLASS".to_owned()));
        };
        Ok([instance.to_owned(), class.to_owned(), self.one(&COMMON_NAME, "commonName")?])
    }

    fn ejbca(&self) -> Result<[String; 3], ProfileError> {
        Ok([
            self.one(&COUNTRY, "countryName")?,
            self.one(&ORGANISATION, "organizationName")?,
            self.one(&COMMON_NAME, "commonName")?,
        ])
    }

    fn organisation_unit(&self) -> Result<[String; 3], ProfileError> {
        Ok([
            self.one(&ORGANISATION, "organizationName")?,
            self.one(&ORGANISATION_UNIT, "organizationalUnitName")?,
            self.one(&COMMON_NAME, "commonName")?,
        ])
    }

    fn sk_klass3(&self, instance: &str) -> Result<[String; 3], ProfileError> {
        let (class, code) = if self.has(&ORGANISATION_IDENTIFIER) {
            let id = self.one(&ORGANISATION_IDENTIFIER, "organizationIdentifier")?;
            let known = [("NTREE-", "COM"), ("GO:EE-", "GOV"), ("NP:EE-", "NGO")];
            let found = known.iter().find_map(|(prefix, class)| Some((*class, id.strip_prefix(prefix)?)));
            found.map_or(("NEE", id.clone()), |(class, code)| (class, code.to_owned()))
        } else {
            let code = self.one(&SERIAL_NUMBER, "serialNumber")?;
            let is_register_code = code.len() == 8 && code.bytes().all(|byte| byte.is_ascii_digit());
            let class = match code.bytes().next().filter(|_| is_register_code) {
                Some(b'1'..=b'6') => "COM",
                Some(b'7') => "GOV",
                Some(b'8' | b'9') => "NGO",
                _ => return Err(unfit("its serialNumber is not a code of Estonia's registers".to_owned())),
            };
            (class, code)
        };
        Ok([instance.to_owned(), class.to_owned(), code])
    }
}

fn unfit(reason: String) -> ProfileError {
    ProfileError::Unfit { profile: Profile::Signing, reason }
}

const COMMON_NAME: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.4.3");
const SERIAL_NUMBER: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.4.5");
const COUNTRY: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.4.6");
const ORGANISATION: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.4.10");
const ORGANISATION_UNIT: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.4.11");
const BUSINESS_CATEGORY: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.4.15");
const ORGANISATION_IDENTIFIER: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.4.97");

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::openssl;

    /// A certificate with this subject, in OpenSSL's notation.
    fn certificate(subject: &str) -> Option<Certificate> {
        let curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", "-"];
        let made = openssl(&[&["req", "-x509", "-utf8", "-subj", subject][..], &curve].concat(), b"")?;
        let text = String::from_utf8(made).unwrap();
        let start = text.find("-----BEGIN CERTIFICATE-----").unwrap();
        Some(Certificate::from_pem(&text[start..]).unwrap().remove(0))
    }

    #[test]
    fn each_form_names_its_member() {
        use SubjectForm as F;
        for (form, subject, expected) in [
            (F::FiVrk, "/C=FI/O=Agency/serialNumber=EE\\/ss1\\/GOV/CN=123", Ok("EE/GOV/123")),
            (F::FiVrk, "/C=FI/O=EE/OU=GOV/CN=123", Ok("EE/GOV/123")),
            (F::FiVrk, "/C=EE/O=GOV/CN=123", Ok("EE/GOV/123")),
            (F::FiVrk, "/C=FI/serialNumber=EE\\/GOV/CN=123", Err("not INSTANCE/SERVER/CLASS")),
            (F::FiVrk, "/serialNumber=EE\\/a\\/b\\/GOV/CN=123", Err("not INSTANCE/SERVER/CLASS")),
            (F::FiVrk, "/serialNumber=EE\\/ss1\\/GOV", Err("one commonName")),
            (F::FiVrk, "/serialNumber=EE\\/ss1\\/GOV/CN=1/CN=2", Err("one commonName")),
            (F::FiVrk, "/serialNumber=EE\\/ss1\\/GOV/CN=1\\/2", Err("names no member")),
            (F::Ejbca, "/C=EE/O=GOV/CN=123", Ok("EE/GOV/123")),
            (F::Ejbca, "/C=EE/CN=123", Err("one organizationName")),
            (F::Basic, "/C=FI/O=Agency/CN=Agency/businessCategory=GOV/serialNumber=123", Ok("DEV/GOV/123")),
            (F::Basic, "/C=FI/serialNumber=123", Err("one businessCategory")),
            (F::OrganisationUnit, "/C=IS/O=IS-DEV/OU=GOV/CN=123/serialNumber=s", Ok("IS-DEV/GOV/123")),
            (F::OrganisationUnit, "/C=IS/O=IS-DEV/CN=123", Err("one organizationalUnitName")),
            (F::SkKlass3, "/CN=x/serialNumber=10000000", Ok("DEV/COM/10000000")),
            (F::SkKlass3, "/CN=x/serialNumber=70000000", Ok("DEV/GOV/70000000")),
            (F::SkKlass3, "/CN=x/serialNumber=90000000", Ok("DEV/NGO/90000000")),
            (F::SkKlass3, "/CN=x/serialNumber=00000000", Err("registers")),
            (F::SkKlass3, "/CN=x/serialNumber=7000000", Err("registers")),
            (F::SkKlass3, "/CN=x/2.5.4.97=NTREE-10747013/serialNumber=70000000", Ok("DEV/COM/10747013")),
            (F::SkKlass3, "/CN=x/2.5.4.97=GO:EE-70000001", Ok("DEV/GOV/70000001")),
            (F::SkKlass3, "/CN=x/2.5.4.97=NP:EE-80000001", Ok("DEV/NGO/80000001")),
            (F::SkKlass3, "/CN=x/2.5.4.97=OTHER-1", Ok("DEV/NEE/OTHER-1")),
        ] {
            let Some(certificate) = certificate(subject) else { return };
            match (form.member(&certificate, "DEV"), expected) {
                (Ok(found), Ok(expected)) => assert_eq!(found.to_string(), expected, "{subject}"),
                (Err(error), Err(expected)) => assert!(error.to_string().contains(expected), "{error}"),
                (found, expected) => panic!("{subject}: {found:?}, not {expected:?}"),
            }
        }
    }

    #[test]
    fn classes_are_known_by_their_last_name() {
        let package = "ee.ria.xroad.common.certificateprofile.impl.";
        for (class, form) in [
            ("FiVRKCertificateProfileInfoProvider", Some(SubjectForm::FiVrk)),
            ("BasicACMECertificateProfileInfoProvider", Some(SubjectForm::Basic)),
            ("SkEsteIdCertificateProfileInfoProvider", None),
            ("", None),
        ] {
            assert_eq!(SubjectForm::from_class(class), form);
            assert_eq!(SubjectForm::from_class(&format!("{package}{class}")), form);
        }
    }
}

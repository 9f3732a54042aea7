//! What a certificate says about its profile and its holder.

use const_oid::ObjectIdentifier;
use kogge_proto::id::MemberId;
use x509_parser::prelude::FromDer;
use x509_parser::x509::X509Name;

use super::{Profile, ProfileError};
use crate::certificate::Certificate;

/// Whether the usages fit.
pub(super) fn check(certificate: &Certificate, profile: Profile) -> Result<(), ProfileError> {
    let unfit = |reason: &str| Err(ProfileError::Unfit { profile, reason: reason.to_owned() });
    let usages = certificate.usages();
    if usages.is_ca() {
        return unfit("it is the certificate of a CA");
    }
    let key_usage = usages.key_usage();
    let commits = key_usage.is_some_and(|usage| usage.non_repudiation());
    // Where the extension is missing, RFC 5280 section 4.2.1.3 allows every usage.
    let signs = key_usage.is_none_or(|usage| usage.digital_signature());
    match profile {
        Profile::Signing if !commits => unfit("key usage lacks nonRepudiation (contentCommitment)"),
        // An authentication certificate names its server where a signing certificate names the member: the one must never pass for the
        // other, whatever key usages its CA added.
        Profile::Signing if usages.has_purpose(&CLIENT_AUTH) || usages.has_purpose(&SERVER_AUTH) => {
            unfit("extended key usage is that of a TLS certificate")
        }
        Profile::Signing => Ok(()),
        Profile::Authentication if !usages.has_purpose(&CLIENT_AUTH) => {
            unfit("extended key usage lacks clientAuth")
        }
        Profile::Tls if !usages.has_purpose(&SERVER_AUTH) => unfit("extended key usage lacks serverAuth"),
        Profile::OcspResponder if !usages.has_purpose(&OCSP_SIGNING) => {
            unfit("extended key usage lacks OCSPSigning")
        }
        Profile::Timestamping => match usages.extended() {
            Some(extended) if extended.purposes == [TIME_STAMPING] => {
                if !extended.critical {
                    return unfit("extended key usage is not critical");
                }
                if signs || commits { Ok(()) } else { unfit("key usage lacks digitalSignature") }
            }
            _ => unfit("extended key usage is not timeStamping alone"),
        },
        Profile::OcspResponder if signs || commits => Ok(()),
        Profile::Authentication | Profile::Tls if signs => Ok(()),
        Profile::Authentication | Profile::Tls | Profile::OcspResponder => {
            unfit("key usage lacks digitalSignature")
        }
    }
}

/// The member that the subject of a signing certificate names.
pub(super) fn signing_member(certificate: &Certificate) -> Result<MemberId, ProfileError> {
    let unfit = |reason: String| ProfileError::Unfit { profile: Profile::Signing, reason };
    let (_, name) = X509Name::from_der(certificate.subject_der())
        .map_err(|_| unfit("its subject cannot be read".to_owned()))?;
    let only = |oid: &ObjectIdentifier, what: &str| {
        let mut values =
            name.iter_attributes().filter(|attribute| attribute.attr_type().as_bytes() == oid.as_bytes());
        match (values.next(), values.next()) {
            (Some(value), None) => {
                value.as_str().map(str::to_owned).map_err(|_| unfit(format!("its {what} is not text")))
            }
            _ => Err(unfit(format!("its subject does not have one {what}"))),
        }
    };
    let serial = only(&SERIAL_NUMBER, "serialNumber")?;
    let code = only(&COMMON_NAME, "commonName")?;
    let [instance, _server, class] = serial.split('/').collect::<Vec<_>>()[..] else {
        return Err(unfit("its serialNumber is not INSTANCE/SERVER/CLASS".to_owned()));
    };
    MemberId::new(instance, class, &code)
        .map_err(|error| unfit(format!("its subject names no member: {error}")))
}

const CLIENT_AUTH: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.3.2");
const SERVER_AUTH: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.3.1");
const OCSP_SIGNING: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.3.9");
const TIME_STAMPING: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.3.8");
const SERIAL_NUMBER: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.4.5");
const COMMON_NAME: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.4.3");

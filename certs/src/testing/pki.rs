//! A throw-away PKI whose certificates may also be wrong on purpose, which the profiles of this crate refuse to issue.

use std::path::{Path, PathBuf};

use rcgen::{
    BasicConstraints, CertificateParams, CustomExtension, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    PublicKeyData, SigningKey as _,
};

use crate::certificate::Certificate;
use crate::key::{KeyKind, PublicKey, SignError, SignatureScheme, SigningKey};

/// A key with a certificate.
pub(crate) struct Party {
    pub(crate) certificate: Certificate,
    pub(crate) key: RcgenKey,
    params: CertificateParams,
}

/// What to put into a certificate.
#[derive(Clone)]
pub(crate) struct Spec {
    pub(crate) name: &'static str,
    pub(crate) key: &'static rcgen::SignatureAlgorithm,
    pub(crate) ca: bool,
    pub(crate) usages: Vec<KeyUsagePurpose>,
    /// Criticality and purposes of the extended key usage.
    pub(crate) extended: Option<(bool, Vec<der::oid::ObjectIdentifier>)>,
    /// First and last year of validity.
    pub(crate) years: (i32, i32),
    pub(crate) serial: Option<u64>,
}

impl Spec {
    /// ECDSA P-256, digitalSignature, valid from 2020 to 2060.
    pub(crate) fn new(name: &'static str) -> Self {
        Self {
            name,
            key: &rcgen::PKCS_ECDSA_P256_SHA256,
            ca: false,
            usages: vec![KeyUsagePurpose::DigitalSignature],
            extended: None,
            years: (2020, 2060),
            serial: None,
        }
    }

    /// A CA.
    pub(crate) fn ca(name: &'static str) -> Self {
        let usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        Self { ca: true, usages, ..Self::new(name) }
    }

    /// A timestamping authority.
    pub(crate) fn tsa(name: &'static str) -> Self {
        Self { extended: Some((true, vec![TIME_STAMPING])), ..Self::new(name) }
    }

    /// A delegated OCSP responder.
    pub(crate) fn responder(name: &'static str) -> Self {
        Self { extended: Some((false, vec![OCSP_SIGNING])), ..Self::new(name) }
    }

    /// A member's signing certificate.
    pub(crate) fn signing(name: &'static str) -> Self {
        Self { usages: vec![KeyUsagePurpose::ContentCommitment], ..Self::new(name) }
    }

    fn params(&self) -> CertificateParams {
        let mut params = CertificateParams::default();
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(DnType::OrganizationName, "Test");
        params.distinguished_name.push(DnType::CommonName, self.name);
        params.not_before = rcgen::date_time_ymd(self.years.0, 1, 1);
        params.not_after = rcgen::date_time_ymd(self.years.1, 1, 1);
        params.serial_number = self.serial.map(Into::into);
        params.key_usages.clone_from(&self.usages);
        params.is_ca = if self.ca { IsCa::Ca(BasicConstraints::Unconstrained) } else { IsCa::ExplicitNoCa };
        if let Some((critical, purposes)) = &self.extended {
            let content = der::Encode::to_der(purposes).unwrap();
            let mut extension = CustomExtension::from_oid_content(&[2, 5, 29, 37], content);
            extension.set_criticality(*critical);
            params.custom_extensions.push(extension);
        }
        params
    }
}

impl Party {
    /// With a self-signed certificate.
    pub(crate) fn root(spec: &Spec) -> Self {
        let (pair, params) = (KeyPair::generate_for(spec.key).unwrap(), spec.params());
        let der = params.self_signed(&pair).unwrap();
        Self { certificate: Certificate::from_der(der.der()).unwrap(), key: RcgenKey::new(pair), params }
    }

    /// With a certificate by this one.
    pub(crate) fn issue(&self, spec: &Spec) -> Self {
        let (pair, params) = (KeyPair::generate_for(spec.key).unwrap(), spec.params());
        let der = params.signed_by(&pair, &Issuer::from_params(&self.params, &self.key.pair)).unwrap();
        Self { certificate: Certificate::from_der(der.der()).unwrap(), key: RcgenKey::new(pair), params }
    }

    /// Writes `NAME.pem` and `NAME.key` for other programs; the paths.
    pub(crate) fn write(&self, dir: &Path, name: &str) -> (PathBuf, PathBuf) {
        let (certificate, key) = (dir.join(format!("{name}.pem")), dir.join(format!("{name}.key")));
        std::fs::write(&certificate, self.certificate.to_pem()).unwrap();
        std::fs::write(&key, self.key.pair.serialize_pem()).unwrap();
        (certificate, key)
    }
}

/// A key of rcgen that signs with its kind's own scheme.
pub(crate) struct RcgenKey {
    pair: KeyPair,
    public_key: PublicKey,
}

impl RcgenKey {
    fn new(pair: KeyPair) -> Self {
        let public_key = PublicKey::from_spki(&pair.subject_public_key_info()).unwrap();
        Self { pair, public_key }
    }
}

impl SigningKey for RcgenKey {
    fn public_key(&self) -> &PublicKey {
        &self.public_key
    }

    fn sign(&self, scheme: SignatureScheme, message: &[u8]) -> Result<Vec<u8>, SignError> {
        let own = match self.public_key.kind() {
            KeyKind::EcdsaP384 => Some(SignatureScheme::EcdsaP384Sha384Asn1),
            kind => SignatureScheme::for_certificates(kind),
        };
        if own != Some(scheme) {
            return Err(SignError::Scheme);
        }
        self.pair.sign(message).map_err(|error| SignError::Token(error.to_string()))
    }
}

/// id-kp-timeStamping.
pub(crate) const TIME_STAMPING: der::oid::ObjectIdentifier =
    der::oid::ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.3.8");
/// id-kp-OCSPSigning.
pub(crate) const OCSP_SIGNING: der::oid::ObjectIdentifier =
    der::oid::ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.3.9");
/// id-kp-codeSigning.
pub(crate) const CODE_SIGNING: der::oid::ObjectIdentifier =
    der::oid::ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.3.3");

//! Keys, a CA and the `openssl` command for the tests of this crate. Compiled for tests only: programs keep keys in `kogge-signer`.

pub(crate) mod pki;

use std::io::Write;
use std::process::{Command, Stdio};
use std::time::Duration;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{KeyPair as RsaKeyPair, KeySize};
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, EcdsaSigningAlgorithm,
    Ed25519KeyPair, KeyPair, RSA_PKCS1_SHA256, RSA_PKCS1_SHA512, RSA_PSS_SHA256, RSA_PSS_SHA512,
};

use kogge_proto::id::{MemberId, SecurityServerId};
use kogge_proto::time::UnixMillis;

use crate::certificate::Certificate;
use crate::key::{PublicKey, SignError, SignatureScheme, SigningKey};
use crate::profile::{self, IssueTerms, Profile, Subject};
use crate::trust::ApprovedCa;

/// A fresh private key in memory.
pub(crate) struct TestKey {
    pair: Pair,
    public_key: PublicKey,
}

enum Pair {
    /// PKCS#8, because aws-lc binds a pair to one form of the signature value.
    P256(Vec<u8>),
    Rsa(RsaKeyPair),
    Ed25519(Ed25519KeyPair),
}

impl TestKey {
    /// ECDSA P-256.
    pub(crate) fn p256() -> Self {
        let pkcs8 =
            EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &SystemRandom::new()).unwrap();
        let pair = p256_pair(&ECDSA_P256_SHA256_ASN1_SIGNING, pkcs8.as_ref());
        let prefix = "3059301306072a8648ce3d020106082a8648ce3d030107034200";
        let public_key = public_key(prefix, pair.public_key().as_ref());
        Self { pair: Pair::P256(pkcs8.as_ref().to_vec()), public_key }
    }

    /// Ed25519.
    pub(crate) fn ed25519() -> Self {
        let pair = Ed25519KeyPair::generate().unwrap();
        let public_key = public_key("302a300506032b6570032100", pair.public_key().as_ref());
        Self { pair: Pair::Ed25519(pair), public_key }
    }

    /// RSA of 2048, 3072 or 4096 bits.
    pub(crate) fn rsa(bits: u16) -> Self {
        use aws_lc_rs::encoding::AsDer;
        let size = match bits {
            2048 => KeySize::Rsa2048,
            3072 => KeySize::Rsa3072,
            4096 => KeySize::Rsa4096,
            other => panic!("no RSA key of {other} bits"),
        };
        let pair = RsaKeyPair::generate(size).unwrap();
        let spki = AsDer::<aws_lc_rs::encoding::PublicKeyX509Der<'_>>::as_der(pair.public_key()).unwrap();
        let public_key = PublicKey::from_spki(spki.as_ref()).unwrap();
        Self { pair: Pair::Rsa(pair), public_key }
    }
}

impl SigningKey for TestKey {
    fn public_key(&self) -> &PublicKey {
        &self.public_key
    }

    fn sign(&self, scheme: SignatureScheme, message: &[u8]) -> Result<Vec<u8>, SignError> {
        use SignatureScheme as S;
        let random = SystemRandom::new();
        let ecdsa = |algorithm, pkcs8: &[u8]| {
            p256_pair(algorithm, pkcs8).sign(&random, message).unwrap().as_ref().to_vec()
        };
        let rsa = |padding, pair: &RsaKeyPair| {
            let mut value = vec![0; pair.public_modulus_len()];
            pair.sign(padding, &random, message, &mut value).unwrap();
            value
        };
        match (&self.pair, scheme) {
            (Pair::P256(pkcs8), S::EcdsaP256Sha256Fixed) => {
                Ok(ecdsa(&ECDSA_P256_SHA256_FIXED_SIGNING, pkcs8))
            }
            (Pair::P256(pkcs8), S::EcdsaP256Sha256Asn1) => Ok(ecdsa(&ECDSA_P256_SHA256_ASN1_SIGNING, pkcs8)),
            (Pair::Rsa(pair), S::RsaPkcs1Sha256) => Ok(rsa(&RSA_PKCS1_SHA256, pair)),
            (Pair::Rsa(pair), S::RsaPkcs1Sha512) => Ok(rsa(&RSA_PKCS1_SHA512, pair)),
            (Pair::Rsa(pair), S::RsaPssSha256) => Ok(rsa(&RSA_PSS_SHA256, pair)),
            (Pair::Rsa(pair), S::RsaPssSha512) => Ok(rsa(&RSA_PSS_SHA512, pair)),
            (Pair::Ed25519(pair), S::Ed25519) => Ok(pair.sign(message).as_ref().to_vec()),
            _ => Err(SignError::Scheme),
        }
    }
}

fn p256_pair(algorithm: &'static EcdsaSigningAlgorithm, pkcs8: &[u8]) -> EcdsaKeyPair {
    EcdsaKeyPair::from_pkcs8(algorithm, pkcs8).unwrap()
}

/// From the part of the SubjectPublicKeyInfo that is the same for every key of the kind, and the key's own bytes.
fn public_key(prefix: &str, key: &[u8]) -> PublicKey {
    PublicKey::from_spki(&[hex::decode(prefix).unwrap(), key.to_vec()].concat()).unwrap()
}

/// Runs `openssl` with this input and gives its output; `None`, said loudly, where it is not installed, unless `CI` is `true`.
pub(crate) fn openssl(arguments: &[&str], input: &[u8]) -> Option<Vec<u8>> {
    let spawned = Command::new("openssl")
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let mut child = match spawned {
        Ok(child) => child,
        Err(_) if std::env::var("CI").as_deref() != Ok("true") => {
            eprintln!("SKIPPED: openssl is not installed");
            return None;
        }
        Err(error) => panic!("openssl is needed: {error}"),
    };
    // Some commands do not read their input; a closed pipe is then no fault.
    let _ = child.stdin.take().unwrap().write_all(input);
    let output = child.wait_with_output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "openssl {arguments:?}: {errors}");
    Some(output.stdout)
}

/// A CA for tests: valid from [`NOW`] minus a day to [`NOW`] plus ten years.
pub(crate) struct TestCa {
    /// Its key.
    pub(crate) key: TestKey,
    /// Its certificate.
    pub(crate) certificate: Certificate,
}

/// The present of tests: 2026-11-24T03:02:01Z.
pub(crate) const NOW: UnixMillis = UnixMillis(1_795_489_321_000);

impl TestCa {
    /// A root with a fresh P-256 key.
    pub(crate) fn root(name: &str) -> Self {
        let key = TestKey::p256();
        let certificate = profile::self_signed_ca(&key, &service(name), &terms(1, 3650)).unwrap();
        Self { key, certificate }
    }

    /// An intermediate below this CA.
    pub(crate) fn intermediate(&self, name: &str) -> Self {
        let key = TestKey::p256();
        let certificate = profile::intermediate_ca(
            &self.certificate,
            &self.key,
            key.public_key(),
            &service(name),
            &terms(2, 3650),
        );
        Self { key, certificate: certificate.unwrap() }
    }

    /// An end entity's certificate of 365 days for `key`, from a day before [`NOW`].
    pub(crate) fn issue(&self, key: &TestKey, profile: Profile) -> Certificate {
        self.issue_with(key, profile, &terms(3, 365))
    }

    /// An end entity's certificate on other terms.
    pub(crate) fn issue_with(&self, key: &TestKey, profile: Profile, terms: &IssueTerms) -> Certificate {
        let public = key.public_key();
        profile::issue(&self.certificate, &self.key, public, profile, &subject(profile), terms).unwrap()
    }

    /// As the snapshot lists it, without OCSP responders and intermediates.
    pub(crate) fn approved(&self) -> ApprovedCa {
        ApprovedCa {
            name: self.certificate.subject(),
            certificate: self.certificate.clone(),
            intermediates: Vec::new(),
            ocsp_urls: Vec::new(),
            ocsp_responders: Vec::new(),
        }
    }
}

/// Terms with this serial number, from a day before [`NOW`] for so many days.
pub(crate) fn terms(serial: u8, days: u64) -> IssueTerms {
    let day = Duration::from_secs(86_400);
    let not_before = NOW.minus(day);
    let not_after = not_before.plus(day * u32::try_from(days).unwrap());
    let mut number = [0; 16];
    number[0] = 0x7f;
    number[15] = serial;
    IssueTerms { not_before, not_after, serial: number, ocsp_url: Some("http://ocsp.example/".to_owned()) }
}

/// The subject that the tests give to certificates of a profile.
pub(crate) fn subject(profile: Profile) -> Subject {
    let member = MemberId::new("EE", "GOV", "70000001").unwrap();
    let server = SecurityServerId::new(member.clone(), "ss1").unwrap();
    let name = "Population Register".to_owned();
    match profile {
        Profile::Signing => Subject::Signing { member, name, server },
        Profile::Authentication => Subject::Authentication { server, name },
        Profile::OcspResponder => service("Responder"),
        Profile::Timestamping => service("TSA"),
        Profile::Tls => Subject::Tls { names: vec!["ss1.example".to_owned(), "127.0.0.1".to_owned()] },
    }
}

fn service(name: &str) -> Subject {
    Subject::Service { common_name: name.to_owned(), organisation: "Test".to_owned() }
}

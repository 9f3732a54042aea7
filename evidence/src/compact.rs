//! The compact signature, read strictly: every field of [`wire::Signature`] with its length and range checked.

use kogge_certs::key::SignatureScheme;
use kogge_proto::digest::Sha256;
use kogge_proto::limits::PATH_DEPTH_MAX;
use kogge_proto::time::UnixMillis;
use kogge_proto::wire::evidence as wire;

use crate::hash_chain::{self, Way};
use crate::signature::{Parts, SignatureError};
use crate::xades::{SignedFields, Subject};

/// How a message may be signed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Method {
    EcdsaP256Sha256,
    RsaSha512,
    Ed25519,
    RsaPssSha512,
}

/// A compact signature whose fields are well-formed. Says nothing about whether to believe it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Compact<'a> {
    /// How it was signed.
    pub(crate) method: Method,
    /// Whole seconds.
    pub(crate) signing_time: UnixMillis,
    /// The decoded signature value, of a length that the method can have.
    pub(crate) value: &'a [u8],
    /// SHA-256 of the signing certificate.
    pub(crate) certificate: Sha256,
    /// SHA-256 of the OCSP response.
    pub(crate) ocsp: Sha256,
    /// SHA-256 of the intermediate CA certificates, the leaf's issuer first.
    pub(crate) issuers: Vec<Sha256>,
    /// The way to the root of the batch, if the message was signed together with others.
    pub(crate) way: Option<Way<'a>>,
}

impl Method {
    /// The method of a scheme; `None` for those in which messages are not signed.
    pub(crate) fn of_scheme(scheme: SignatureScheme) -> Option<Self> {
        [Self::EcdsaP256Sha256, Self::RsaSha512, Self::Ed25519, Self::RsaPssSha512]
            .into_iter()
            .find(|method| method.scheme() == scheme)
    }

    pub(crate) fn scheme(self) -> SignatureScheme {
        match self {
            Self::EcdsaP256Sha256 => SignatureScheme::EcdsaP256Sha256Fixed,
            Self::RsaSha512 => SignatureScheme::RsaPkcs1Sha512,
            Self::RsaPssSha512 => SignatureScheme::RsaPssSha512,
            Self::Ed25519 => SignatureScheme::Ed25519,
        }
    }

    pub(crate) fn to_wire(self) -> wire::SignatureMethod {
        match self {
            Self::EcdsaP256Sha256 => wire::SignatureMethod::EcdsaP256Sha256,
            Self::RsaSha512 => wire::SignatureMethod::RsaSha512,
            Self::RsaPssSha512 => wire::SignatureMethod::RsaPssSha512,
            Self::Ed25519 => wire::SignatureMethod::Ed25519,
        }
    }

    /// RFC 9231 sections 2.3.2, 2.3.6, 2.3.10 and 2.3.12.
    pub(crate) fn uri(self) -> &'static str {
        match self {
            Self::EcdsaP256Sha256 => "http://www.w3.org/2001/04/xmldsig-more#ecdsa-sha256",
            Self::RsaSha512 => "http://www.w3.org/2001/04/xmldsig-more#rsa-sha512",
            Self::RsaPssSha512 => "http://www.w3.org/2007/05/xmldsig-more#sha512-rsa-MGF1",
            Self::Ed25519 => "http://www.w3.org/2021/04/xmldsig-more#eddsa-ed25519",
        }
    }
}

impl<'a> Compact<'a> {
    pub(crate) fn read(signature: &'a wire::Signature) -> Result<Self, SignatureError> {
        let method = SignatureScheme::from_wire(signature.method)
            .and_then(Method::of_scheme)
            .ok_or(SignatureError::Malformed("the signature method is unknown"))?;
        Ok(Self {
            method,
            signing_time: signing_time(signature.signing_time_ms)?,
            value: value(method, &signature.value)?,
            certificate: digest(
                &signature.certificate_sha256,
                "the certificate digest is not 32 bytes long",
            )?,
            ocsp: digest(&signature.ocsp_sha256, "the OCSP response digest is not 32 bytes long")?,
            issuers: issuers(signature)?,
            way: signature.batch.as_ref().map(way).transpose()?,
        })
    }

    /// All that its value is about, given what the message is.
    pub(crate) fn signed(&self, parts: &Parts) -> SignedFields {
        SignedFields {
            method: self.method,
            subject: match self.way {
                None => Subject::Parts(*parts),
                Some(way) => Subject::Batch { root: way.root(hash_chain::own_step(parts)) },
            },
            signing_time: self.signing_time,
            certificate: self.certificate,
        }
    }
}

/// `xs:dateTime` of the template has whole seconds and a year of four digits.
fn signing_time(millis: i64) -> Result<UnixMillis, SignatureError> {
    if !(0..YEAR_10000_MS).contains(&millis) {
        return Err(SignatureError::Malformed("the signing time lies outside the years 1970 to 9999"));
    }
    if millis % 1000 != 0 {
        return Err(SignatureError::Malformed("the signing time is not a whole second"));
    }
    Ok(UnixMillis(millis))
}

fn value(method: Method, value: &[u8]) -> Result<&[u8], SignatureError> {
    let fits = match method {
        Method::RsaSha512 | Method::RsaPssSha512 => RSA_VALUE_BYTES.contains(&value.len()),
        Method::EcdsaP256Sha256 | Method::Ed25519 => value.len() == CURVE_VALUE_BYTES,
    };
    if fits { Ok(value) } else { Err(SignatureError::Malformed("the signature value has a wrong length")) }
}

fn issuers(signature: &wire::Signature) -> Result<Vec<Sha256>, SignatureError> {
    if signature.issuer_sha256.len() >= PATH_DEPTH_MAX {
        return Err(SignatureError::Malformed("there are too many issuer digests"));
    }
    let mut issuers: Vec<Sha256> = Vec::with_capacity(signature.issuer_sha256.len());
    for bytes in &signature.issuer_sha256 {
        let issuer = digest(bytes, "an issuer digest is not 32 bytes long")?;
        if issuers.contains(&issuer) || issuer.as_bytes() == signature.certificate_sha256 {
            return Err(SignatureError::Malformed("a certificate is named twice"));
        }
        issuers.push(issuer);
    }
    Ok(issuers)
}

fn way(proof: &wire::BatchProof) -> Result<Way<'_>, SignatureError> {
    Way::new(&proof.siblings, proof.left)
        .ok_or(SignatureError::Malformed("the way through the signature batch is not in its only form"))
}

fn digest(bytes: &[u8], reason: &'static str) -> Result<Sha256, SignatureError> {
    Sha256::from_slice(bytes).ok_or(SignatureError::Malformed(reason))
}

/// 10000-01-01T00:00:00Z.
const YEAR_10000_MS: i64 = 253_402_300_800_000;

/// r‖s on P-256 and an Ed25519 signature are both this long.
const CURVE_VALUE_BYTES: usize = 64;

/// RSA moduli of 2048 to 4096 bits.
const RSA_VALUE_BYTES: std::ops::RangeInclusive<usize> = 256..=512;

#[cfg(test)]
mod tests {
    use super::*;

    fn good() -> wire::Signature {
        wire::Signature {
            method: wire::SignatureMethod::EcdsaP256Sha256.into(),
            signing_time_ms: 1_795_500_000_000,
            value: vec![7; 64],
            certificate_sha256: vec![1; 32],
            ocsp_sha256: vec![2; 32],
            issuer_sha256: vec![vec![3; 32], vec![4; 32]],
            batch: None,
        }
    }

    fn refused(change: impl FnOnce(&mut wire::Signature)) -> SignatureError {
        let mut signature = good();
        change(&mut signature);
        Compact::read(&signature).unwrap_err()
    }

    #[test]
    fn a_well_formed_signature_is_read() {
        let wire = good();
        let compact = Compact::read(&wire).unwrap();
        assert_eq!(compact.method, Method::EcdsaP256Sha256);
        assert_eq!(compact.issuers, [Sha256([3; 32]), Sha256([4; 32])]);
    }

    #[test]
    fn every_field_has_its_form() {
        let malformed = SignatureError::Malformed;
        for method in [0, 5, -1, i32::MAX] {
            assert_eq!(refused(|s| s.method = method), malformed("the signature method is unknown"));
        }
        for time in [-1000, i64::MIN, YEAR_10000_MS, i64::MAX] {
            let expected = malformed("the signing time lies outside the years 1970 to 9999");
            assert_eq!(refused(|s| s.signing_time_ms = time), expected);
        }
        for time in [1, 999, 1_795_500_000_500] {
            let expected = malformed("the signing time is not a whole second");
            assert_eq!(refused(|s| s.signing_time_ms = time), expected);
        }
        for length in [0_usize, 31, 33, 64] {
            let bytes = vec![9; length];
            assert_eq!(
                refused(|s| s.certificate_sha256 = bytes.clone()),
                malformed("the certificate digest is not 32 bytes long")
            );
            assert_eq!(
                refused(|s| s.ocsp_sha256 = bytes.clone()),
                malformed("the OCSP response digest is not 32 bytes long")
            );
            assert_eq!(
                refused(|s| s.issuer_sha256 = vec![bytes.clone()]),
                malformed("an issuer digest is not 32 bytes long")
            );
        }
    }

    #[test]
    fn the_value_has_the_length_of_its_method() {
        use wire::SignatureMethod::{EcdsaP256Sha256, Ed25519, RsaPssSha512, RsaSha512};
        let of = |method: wire::SignatureMethod, length: usize| {
            let mut signature = good();
            signature.method = method.into();
            signature.value = vec![1; length];
            Compact::read(&signature).map(|_| ())
        };
        let wrong = Err(SignatureError::Malformed("the signature value has a wrong length"));
        for (method, right, bad) in [
            (EcdsaP256Sha256, &[64_usize][..], &[0_usize, 63, 65, 72, 256][..]),
            (Ed25519, &[64], &[0, 63, 65, 256]),
            (RsaSha512, &[256, 384, 512], &[0, 64, 128, 255, 513]),
            (RsaPssSha512, &[256, 384, 512], &[0, 64, 128, 255, 513]),
        ] {
            for length in right {
                assert_eq!(of(method, *length), Ok(()));
            }
            for length in bad {
                assert_eq!(of(method, *length), wrong);
            }
        }
    }

    #[test]
    fn a_way_through_a_batch_has_one_form() {
        let with = |length: usize, left: u32| {
            let mut signature = good();
            signature.batch = Some(wire::BatchProof { siblings: vec![5; length], left });
            Compact::read(&signature).map(|compact| compact.way.is_some())
        };
        for (length, left) in [(32, 0), (32, 1), (64, 0b11), (192, 0), (192, 0b11_1111)] {
            assert_eq!(with(length, left), Ok(true), "{length} {left:b}");
        }
        let expected =
            SignatureError::Malformed("the way through the signature batch is not in its only form");
        for (length, left) in [
            (0, 0),
            (0, 1),
            (1, 0),
            (31, 0),
            (33, 0),
            (32, 2),
            (32, 3),
            (64, 4),
            (192, 64),
            (192, u32::MAX),
            (224, 0),
        ] {
            assert_eq!(with(length, left), Err(expected.clone()), "{length} {left:b}");
        }
    }

    #[test]
    fn issuers_are_few_and_different() {
        let twice = SignatureError::Malformed("a certificate is named twice");
        assert_eq!(refused(|s| s.issuer_sha256 = vec![vec![3; 32], vec![3; 32]]), twice);
        assert_eq!(refused(|s| s.issuer_sha256 = vec![vec![1; 32]]), twice);
        let many = (3..7).map(|byte| vec![byte; 32]).collect();
        let expected = SignatureError::Malformed("there are too many issuer digests");
        assert_eq!(refused(|s| s.issuer_sha256 = many), expected);
    }
}

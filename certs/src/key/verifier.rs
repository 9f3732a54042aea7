//! The seam to the cryptographic libraries: which of them checks which scheme, and which keys they get to see.
//!
//! `ring` checks ECDSA; `aws-lc-rs` checks RSA and Ed25519, where it is clearly faster, and judges points once when a key is read.

use aws_lc_rs::digest;
use aws_lc_rs::signature::{self as aws, ParsedPublicKey};
use der::asn1::{BitStringRef, ObjectIdentifier, UintRef};
use der::{Decode, Encode, Sequence};
use ring::signature as ring;
use spki::SubjectPublicKeyInfoRef;

use super::{KeyError, KeyKind, SignatureScheme};

/// A key in the form that its library takes.
pub(super) enum Verifier {
    /// Uncompressed point, known to lie on P-256.
    EcdsaP256(Vec<u8>),
    /// Uncompressed point, known to lie on P-384.
    EcdsaP384(Vec<u8>),
    /// DER RSAPublicKey (RFC 8017 appendix A.1.1).
    Rsa(Vec<u8>),
    /// Ready for use.
    Ed25519(Box<ParsedPublicKey>),
}

/// Reads a DER SubjectPublicKeyInfo that has exactly one encoding: parameters as RFC 5480, RFC 3279 and RFC 8410 demand them,
/// uncompressed points, no unused bits, nothing behind.
pub(super) fn read(spki: &[u8]) -> Result<(KeyKind, Verifier), KeyError> {
    if spki.len() > SPKI_BYTES_MAX {
        return Err(KeyError::Malformed);
    }
    let info = SubjectPublicKeyInfoRef::from_der(spki).map_err(|_| KeyError::Malformed)?;
    if info.to_der().ok().as_deref() != Some(spki) {
        return Err(KeyError::Malformed);
    }
    let key = whole_bytes(&info.subject_public_key)?;
    let parameters = info.algorithm.parameters;
    match info.algorithm.oid {
        EC_PUBLIC_KEY => {
            let curve = parameters.ok_or(KeyError::Malformed)?;
            match curve.decode_as::<ObjectIdentifier>().map_err(|_| KeyError::Kind)? {
                SECP256R1 => {
                    let point = point(key, P256_POINT_BYTES, &aws::ECDSA_P256_SHA256_ASN1)?;
                    Ok((KeyKind::EcdsaP256, Verifier::EcdsaP256(point)))
                }
                SECP384R1 => {
                    let point = point(key, P384_POINT_BYTES, &aws::ECDSA_P384_SHA384_ASN1)?;
                    Ok((KeyKind::EcdsaP384, Verifier::EcdsaP384(point)))
                }
                _ => Err(KeyError::Kind),
            }
        }
        RSA_ENCRYPTION => {
            if !parameters.is_some_and(|any| any.is_null()) {
                return Err(KeyError::Malformed);
            }
            Ok((KeyKind::Rsa(rsa_bits(key)?), Verifier::Rsa(key.to_vec())))
        }
        ED25519 => {
            if parameters.is_some() {
                return Err(KeyError::Malformed);
            }
            let key = ParsedPublicKey::new(&aws::ED25519, key).map_err(|_| KeyError::Malformed)?;
            Ok((KeyKind::Ed25519, Verifier::Ed25519(Box::new(key))))
        }
        _ => Err(KeyError::Kind),
    }
}

impl Verifier {
    /// Checks a signature over `message`.
    pub(super) fn verify(
        &self,
        scheme: SignatureScheme,
        message: &[u8],
        signature: &[u8],
    ) -> Result<(), KeyError> {
        use SignatureScheme as S;
        let good = match (self, scheme) {
            (Self::EcdsaP256(point), S::EcdsaP256Sha256Fixed) => {
                ring(&ring::ECDSA_P256_SHA256_FIXED, point, message, signature)
            }
            (Self::EcdsaP256(point), S::EcdsaP256Sha256Asn1) => {
                ring(&ring::ECDSA_P256_SHA256_ASN1, point, message, signature)
            }
            (Self::EcdsaP384(point), S::EcdsaP384Sha384Asn1) => {
                ring(&ring::ECDSA_P384_SHA384_ASN1, point, message, signature)
            }
            (Self::Rsa(key), S::RsaPkcs1Sha256) => {
                aws_lc(&aws::RSA_PKCS1_2048_8192_SHA256, key, message, signature)
            }
            (Self::Rsa(key), S::RsaPkcs1Sha384) => {
                aws_lc(&aws::RSA_PKCS1_2048_8192_SHA384, key, message, signature)
            }
            (Self::Rsa(key), S::RsaPkcs1Sha512) => {
                aws_lc(&aws::RSA_PKCS1_2048_8192_SHA512, key, message, signature)
            }
            (Self::Rsa(key), S::RsaPssSha256) => {
                aws_lc(&aws::RSA_PSS_2048_8192_SHA256, key, message, signature)
            }
            (Self::Rsa(key), S::RsaPssSha384) => {
                aws_lc(&aws::RSA_PSS_2048_8192_SHA384, key, message, signature)
            }
            (Self::Rsa(key), S::RsaPssSha512) => {
                aws_lc(&aws::RSA_PSS_2048_8192_SHA512, key, message, signature)
            }
            (Self::EcdsaP256(point), S::EcdsaP256Sha384Fixed) => {
                mixed(&aws::ECDSA_P256_SHA256_FIXED, point, &digest::SHA384, message, signature)
            }
            (Self::EcdsaP256(point), S::EcdsaP256Sha512Fixed) => {
                mixed(&aws::ECDSA_P256_SHA256_FIXED, point, &digest::SHA512, message, signature)
            }
            (Self::EcdsaP384(point), S::EcdsaP384Sha256Fixed) => {
                mixed(&aws::ECDSA_P384_SHA384_FIXED, point, &digest::SHA256, message, signature)
            }
            (Self::EcdsaP384(point), S::EcdsaP384Sha384Fixed) => {
                ring(&ring::ECDSA_P384_SHA384_FIXED, point, message, signature)
            }
            (Self::EcdsaP384(point), S::EcdsaP384Sha512Fixed) => {
                mixed(&aws::ECDSA_P384_SHA384_FIXED, point, &digest::SHA512, message, signature)
            }
            (Self::Ed25519(key), S::Ed25519) => key.verify_sig(message, signature).is_ok(),
            _ => return Err(KeyError::Scheme),
        };
        if good { Ok(()) } else { Err(KeyError::BadSignature) }
    }
}

fn ring(
    algorithm: &'static dyn ring::VerificationAlgorithm,
    key: &[u8],
    message: &[u8],
    signature: &[u8],
) -> bool {
    ring::UnparsedPublicKey::new(algorithm, key).verify(message, signature).is_ok()
}

fn aws_lc(
    algorithm: &'static dyn aws::VerificationAlgorithm,
    key: &[u8],
    message: &[u8],
    signature: &[u8],
) -> bool {
    aws::UnparsedPublicKey::new(algorithm, key).verify(message, signature).is_ok()
}

/// ECDSA with another digest than the one that goes with the curve, which the libraries offer for given digests only. What is verified is
/// the leftmost bits of the digest, as many as the order of the curve has, as a number (FIPS 186-5 section 6.4.2): a longer digest is cut
/// to the length of the curve's own, a shorter one is the same number with zeros in front.
fn mixed(
    algorithm: &'static aws::EcdsaVerificationAlgorithm,
    point: &[u8],
    by: &'static digest::Algorithm,
    message: &[u8],
    signature: &[u8],
) -> bool {
    let own: &digest::Algorithm =
        if point.len() == P256_POINT_BYTES { &digest::SHA256 } else { &digest::SHA384 };
    let digest = digest::digest(by, message);
    let digest = digest.as_ref();
    let mut number = vec![0; own.output_len().saturating_sub(digest.len())];
    number.extend_from_slice(digest.get(..own.output_len()).unwrap_or(digest));
    digest::Digest::import_less_safe(&number, own).is_ok_and(|number| {
        aws::UnparsedPublicKey::new(algorithm, point).verify_digest(&number, signature).is_ok()
    })
}

fn whole_bytes<'a>(bits: &BitStringRef<'a>) -> Result<&'a [u8], KeyError> {
    bits.as_bytes().ok_or(KeyError::Malformed)
}

/// An uncompressed point, after aws-lc has found it on the curve. Compressed and hybrid forms are second encodings of the same key.
fn point(
    key: &[u8],
    length: usize,
    algorithm: &'static dyn aws::VerificationAlgorithm,
) -> Result<Vec<u8>, KeyError> {
    if key.len() != length || key.first() != Some(&UNCOMPRESSED) {
        return Err(KeyError::Malformed);
    }
    ParsedPublicKey::new(algorithm, key).map_err(|_| KeyError::Malformed)?;
    Ok(key.to_vec())
}

#[derive(Sequence)]
struct RsaPublicKey<'a> {
    modulus: UintRef<'a>,
    exponent: UintRef<'a>,
}

/// The bits of the modulus, after both numbers were found sane.
fn rsa_bits(key: &[u8]) -> Result<u16, KeyError> {
    let rsa = RsaPublicKey::from_der(key).map_err(|_| KeyError::Malformed)?;
    if rsa.to_der().ok().as_deref() != Some(key) {
        return Err(KeyError::Malformed);
    }
    let modulus = rsa.modulus.as_bytes();
    let bits = bits(modulus);
    if !(RSA_BITS_MIN..=RSA_BITS_MAX).contains(&bits) {
        return Err(KeyError::Kind);
    }
    let exponent = rsa
        .exponent
        .as_bytes()
        .iter()
        .try_fold(0_u64, |value, byte| value.checked_mul(256).map(|value| value + u64::from(*byte)));
    let sane = |exponent: u64| (RSA_EXPONENT_MIN..=RSA_EXPONENT_MAX).contains(&exponent) && exponent % 2 == 1;
    if !exponent.is_some_and(sane) || modulus.last().is_none_or(|byte| byte % 2 == 0) {
        return Err(KeyError::Kind);
    }
    u16::try_from(bits).map_err(|_| KeyError::Kind)
}

/// Significant bits of a big-endian number without leading zero bytes.
fn bits(number: &[u8]) -> usize {
    let leading = number.first().map_or(0, |byte| byte.leading_zeros());
    (number.len() * 8).saturating_sub(usize::try_from(leading).unwrap_or(0))
}

const EC_PUBLIC_KEY: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");
const SECP256R1: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.3.1.7");
const SECP384R1: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.132.0.34");
const RSA_ENCRYPTION: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");
const ED25519: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.101.112");

const UNCOMPRESSED: u8 = 0x04;
const P256_POINT_BYTES: usize = 65;
const P384_POINT_BYTES: usize = 97;
/// A 4096-bit RSA key needs 550 bytes; nothing accepted needs more than this.
const SPKI_BYTES_MAX: usize = 1024;
/// Below this, RSA is no longer approved for signatures (NIST SP 800-131A).
const RSA_BITS_MIN: usize = 2048;
/// Above this, a single verification costs more than it is worth in a hot path.
const RSA_BITS_MAX: usize = 4096;
/// FIPS 186-5 section 5.4 asks for an exponent above 2^16.
const RSA_EXPONENT_MIN: u64 = 65_537;
/// What the libraries accept; larger ones only serve to slow verifiers down.
const RSA_EXPONENT_MAX: u64 = (1 << 33) - 1;

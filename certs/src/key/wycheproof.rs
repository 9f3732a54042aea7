//! Project Wycheproof's vectors on every scheme that we verify.
//!
//! Rule for the cases that Wycheproof calls "acceptable" (a DigestInfo without NULL): refused, because a signature has one encoding.
//! Keys with a public exponent of 3 are refused as keys; the number of such cases is asserted, so that none is skipped unseen.

use wycheproof::{TestResult, ecdsa, eddsa, rsa_pkcs1_verify, rsa_pss_verify};

use super::{KeyError, PublicKey, SignatureScheme};

/// What a set came to: cases judged by verifying, and cases whose key was refused.
#[derive(Debug, Eq, PartialEq)]
struct Counts {
    judged: usize,
    key_refused: usize,
}

macro_rules! judge {
    ($module:ident :: $set:ident, $scheme:ident) => {{
        let set = $module::TestSet::load($module::TestName::$set).unwrap();
        let mut counts = Counts { judged: 0, key_refused: 0 };
        for group in &set.test_groups {
            let key = match PublicKey::from_spki(&group.der) {
                Ok(key) => key,
                Err(error) => {
                    assert_eq!(error, KeyError::Kind, "{}", group.pem);
                    counts.key_refused += group.tests.len();
                    continue;
                }
            };
            for case in &group.tests {
                let expected = match case.result {
                    TestResult::Valid => Ok(()),
                    TestResult::Invalid | TestResult::Acceptable => Err(KeyError::BadSignature),
                };
                let found = key.verify(SignatureScheme::$scheme, &case.msg, &case.sig);
                assert_eq!(found, expected, "case {}: {} {:?}", case.tc_id, case.comment, case.flags);
                counts.judged += 1;
            }
        }
        counts
    }};
}

#[test]
fn ecdsa_p256_sha256_der() {
    assert_eq!(
        judge!(ecdsa::EcdsaSecp256r1Sha256, EcdsaP256Sha256Asn1),
        Counts { judged: 484, key_refused: 0 }
    );
}

#[test]
fn ecdsa_p256_sha256_fixed() {
    let counts = judge!(ecdsa::EcdsaSecp256r1Sha256P1363, EcdsaP256Sha256Fixed);
    assert_eq!(counts, Counts { judged: 262, key_refused: 0 });
}

#[test]
fn ecdsa_p384_sha384_der() {
    assert_eq!(
        judge!(ecdsa::EcdsaSecp384r1Sha384, EcdsaP384Sha384Asn1),
        Counts { judged: 504, key_refused: 0 }
    );
}

#[test]
fn rsa_pkcs1_2048() {
    assert_eq!(
        judge!(rsa_pkcs1_verify::Rsa2048Sha256, RsaPkcs1Sha256),
        Counts { judged: 257, key_refused: 2 }
    );
    assert_eq!(
        judge!(rsa_pkcs1_verify::Rsa2048Sha384, RsaPkcs1Sha384),
        Counts { judged: 258, key_refused: 0 }
    );
    assert_eq!(
        judge!(rsa_pkcs1_verify::Rsa2048Sha512, RsaPkcs1Sha512),
        Counts { judged: 258, key_refused: 1 }
    );
}

#[test]
fn rsa_pkcs1_3072() {
    assert_eq!(
        judge!(rsa_pkcs1_verify::Rsa3072Sha256, RsaPkcs1Sha256),
        Counts { judged: 258, key_refused: 1 }
    );
    assert_eq!(
        judge!(rsa_pkcs1_verify::Rsa3072Sha384, RsaPkcs1Sha384),
        Counts { judged: 259, key_refused: 0 }
    );
    assert_eq!(
        judge!(rsa_pkcs1_verify::Rsa3072Sha512, RsaPkcs1Sha512),
        Counts { judged: 259, key_refused: 1 }
    );
}

#[test]
fn rsa_pkcs1_4096() {
    assert_eq!(
        judge!(rsa_pkcs1_verify::Rsa4096Sha256, RsaPkcs1Sha256),
        Counts { judged: 258, key_refused: 0 }
    );
    assert_eq!(
        judge!(rsa_pkcs1_verify::Rsa4096Sha384, RsaPkcs1Sha384),
        Counts { judged: 259, key_refused: 0 }
    );
    assert_eq!(
        judge!(rsa_pkcs1_verify::Rsa4096Sha512, RsaPkcs1Sha512),
        Counts { judged: 259, key_refused: 0 }
    );
}

#[test]
fn rsa_pss_sha256() {
    let counts = judge!(rsa_pss_verify::RsaPss2048Sha256Mgf1SaltLen32, RsaPssSha256);
    assert_eq!(counts, Counts { judged: 108, key_refused: 0 });
    let counts = judge!(rsa_pss_verify::RsaPss3072Sha256Mgf1SaltLen32, RsaPssSha256);
    assert_eq!(counts, Counts { judged: 108, key_refused: 0 });
    let counts = judge!(rsa_pss_verify::RsaPss4096Sha256Mgf1SaltLen32, RsaPssSha256);
    assert_eq!(counts, Counts { judged: 108, key_refused: 0 });
    // A salt of another length is another scheme: in the set for empty salts, only the case that is wrong there is right here.
    let set = rsa_pss_verify::TestSet::load(rsa_pss_verify::TestName::RsaPss2048Sha256Mgf1SaltLen0).unwrap();
    for group in &set.test_groups {
        let key = PublicKey::from_spki(&group.der).unwrap();
        for case in &group.tests {
            let ours = case.comment == "s_len changed to 32";
            let expected = if ours { Ok(()) } else { Err(KeyError::BadSignature) };
            let found = key.verify(SignatureScheme::RsaPssSha256, &case.msg, &case.sig);
            assert_eq!(found, expected, "case {}: {}", case.tc_id, case.comment);
        }
    }
}

#[test]
fn ed25519() {
    assert_eq!(judge!(eddsa::Ed25519, Ed25519), Counts { judged: 151, key_refused: 0 });
}

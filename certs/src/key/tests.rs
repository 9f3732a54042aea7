use super::*;
use crate::testing::{TestKey, openssl};

fn refused(spki: &[u8]) -> KeyError {
    PublicKey::from_spki(spki).unwrap_err()
}

#[test]
fn each_kind_signs_and_verifies() {
    for key in [TestKey::p256(), TestKey::ed25519(), TestKey::rsa(2048)] {
        let public = key.public_key();
        let kind = public.kind();
        for scheme in [
            SignatureScheme::for_messages(kind).unwrap(),
            SignatureScheme::for_certificates(kind).unwrap(),
            SignatureScheme::for_tls(kind).unwrap(),
        ] {
            let signature = key.sign(scheme, b"message").unwrap();
            assert_eq!(public.verify(scheme, b"message", &signature), Ok(()));
            assert_eq!(public.verify(scheme, b"messagf", &signature), Err(KeyError::BadSignature));
            for cut in [0, 1, signature.len() - 1] {
                let short = public.verify(scheme, b"message", &signature[..cut]);
                assert_eq!(short, Err(KeyError::BadSignature));
            }
        }
        assert_eq!(PublicKey::from_spki(public.spki()).as_ref(), Ok(public));
    }
}

#[test]
fn a_scheme_of_another_kind_of_key_is_refused() {
    let key = TestKey::p256();
    for scheme in [
        SignatureScheme::EcdsaP384Sha384Asn1,
        SignatureScheme::RsaPkcs1Sha256,
        SignatureScheme::RsaPssSha256,
        SignatureScheme::Ed25519,
    ] {
        assert_eq!(key.public_key().verify(scheme, b"", &[0; 64]), Err(KeyError::Scheme));
    }
}

#[test]
fn the_two_forms_of_an_ecdsa_value_are_not_mixed() {
    let key = TestKey::p256();
    let fixed = key.sign(SignatureScheme::EcdsaP256Sha256Fixed, b"m").unwrap();
    let der = key.sign(SignatureScheme::EcdsaP256Sha256Asn1, b"m").unwrap();
    let public = key.public_key();
    assert_eq!(
        public.verify(SignatureScheme::EcdsaP256Sha256Asn1, b"m", &fixed),
        Err(KeyError::BadSignature)
    );
    assert_eq!(public.verify(SignatureScheme::EcdsaP256Sha256Fixed, b"m", &der), Err(KeyError::BadSignature));
}

#[test]
fn a_key_has_one_encoding() {
    for key in [TestKey::p256(), TestKey::ed25519(), TestKey::rsa(2048)] {
        let spki = key.public_key().spki();
        let mut longer = spki.to_vec();
        longer.push(0);
        assert_eq!(refused(&longer), KeyError::Malformed);
        for cut in 0..spki.len() {
            assert_eq!(refused(&spki[..cut]), KeyError::Malformed);
        }
    }
    assert_eq!(refused(&[0x30; 2000]), KeyError::Malformed);
}

#[test]
fn no_altered_key_is_the_same_key() {
    for key in [TestKey::p256(), TestKey::ed25519(), TestKey::rsa(2048)] {
        let spki = key.public_key().spki();
        for at in 0..spki.len() {
            let mut altered = spki.to_vec();
            altered[at] ^= 0x01;
            if let Ok(other) = PublicKey::from_spki(&altered) {
                assert_ne!(&other, key.public_key());
                assert_ne!(other.key_id(), key.public_key().key_id());
            }
        }
    }
}

#[test]
fn points_must_be_uncompressed_and_on_the_curve() {
    let spki = TestKey::p256().public_key().spki().to_vec();
    let point = spki.len() - 65;
    let mut off_curve = spki.clone();
    *off_curve.last_mut().unwrap() ^= 1;
    assert_eq!(refused(&off_curve), KeyError::Malformed);
    let mut hybrid = spki.clone();
    hybrid[point] = 0x06 | (spki[spki.len() - 1] & 1);
    assert_eq!(refused(&hybrid), KeyError::Malformed);
    let mut compressed = spki[..point + 33].to_vec();
    compressed[point] = 0x02 | (spki[spki.len() - 1] & 1);
    compressed[1] -= 32;
    compressed[point - 2] -= 32;
    assert_eq!(refused(&compressed), KeyError::Malformed);
}

#[test]
fn rsa_of_other_sizes_is_refused() {
    for (bits, exponent, expected) in [
        (2048_usize, 65_537_u64, Ok(KeyKind::Rsa(2048))),
        (2049, 65_537, Ok(KeyKind::Rsa(2049))),
        (4096, 65_537, Ok(KeyKind::Rsa(4096))),
        (1024, 65_537, Err(KeyError::Kind)),
        (2047, 65_537, Err(KeyError::Kind)),
        (4097, 65_537, Err(KeyError::Kind)),
        (2048, 3, Err(KeyError::Kind)),
        (2048, 1, Err(KeyError::Kind)),
        (2048, 0, Err(KeyError::Kind)),
        (2048, 65_538, Err(KeyError::Kind)),
        (2048, (1 << 33) + 1, Err(KeyError::Kind)),
    ] {
        let found = PublicKey::from_spki(&rsa_spki(bits, exponent)).map(|key| key.kind());
        assert_eq!(found, expected, "{bits} bits, exponent {exponent}");
    }
}

/// An RSA key with an odd modulus of so many bits that nobody has factored.
fn rsa_spki(bits: usize, exponent: u64) -> Vec<u8> {
    use der::Encode;
    use der::asn1::{BitString, Null, ObjectIdentifier, Uint};
    let mut modulus = vec![0xff; bits.div_ceil(8)];
    modulus[0] = 0xff >> (modulus.len() * 8 - bits);
    let mut key = Uint::new(&modulus).unwrap().to_der().unwrap();
    key.extend(Uint::new(&exponent.to_be_bytes()).unwrap().to_der().unwrap());
    let key = BitString::from_bytes(&sequence(&key)).unwrap().to_der().unwrap();
    let mut algorithm = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1").to_der().unwrap();
    algorithm.extend(Null.to_der().unwrap());
    sequence(&[sequence(&algorithm), key].concat())
}

fn sequence(content: &[u8]) -> Vec<u8> {
    use der::Encode;
    der::Any::new(der::Tag::Sequence, content).unwrap().to_der().unwrap()
}

#[test]
fn other_algorithms_are_refused() {
    // X25519 and secp256k1, RFC 8410 and SEC 2.
    let x25519 = hex::decode(format!("302a300506032b656e032100{}", "11".repeat(32))).unwrap();
    assert_eq!(refused(&x25519), KeyError::Kind);
    let secp256k1 =
        hex::decode(format!("3056301006072a8648ce3d020106052b8104000a03420004{}", "11".repeat(64)));
    assert_eq!(refused(&secp256k1.unwrap()), KeyError::Kind);
}

/// XML signatures of others, as OpenSSL makes them: RSA-PSS, and ECDSA with every digest on every curve. OpenSSL's DER is written as r‖s.
#[test]
fn what_openssl_signed_for_xml_verifies() {
    use SignatureScheme as S;
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name).to_str().unwrap().to_owned();
    let (key, message, signature) = (at("key.pem"), at("message"), at("signature"));
    std::fs::write(&message, b"message").unwrap();
    let pss = ["-sigopt", "rsa_padding_mode:pss", "-sigopt", "rsa_pss_saltlen:digest"];
    let (p256, p384) = ("ec_paramgen_curve:P-256", "ec_paramgen_curve:P-384");
    for (algorithm, option, digest, options, half, scheme) in [
        ("RSA", "rsa_keygen_bits:2048", "-sha256", &pss[..], 0, S::RsaPssSha256),
        ("RSA", "rsa_keygen_bits:2048", "-sha384", &pss[..], 0, S::RsaPssSha384),
        ("RSA", "rsa_keygen_bits:2048", "-sha512", &pss[..], 0, S::RsaPssSha512),
        ("EC", p256, "-sha256", &[][..], 32, S::EcdsaP256Sha256Fixed),
        ("EC", p256, "-sha384", &[][..], 32, S::EcdsaP256Sha384Fixed),
        ("EC", p256, "-sha512", &[][..], 32, S::EcdsaP256Sha512Fixed),
        ("EC", p384, "-sha256", &[][..], 48, S::EcdsaP384Sha256Fixed),
        ("EC", p384, "-sha384", &[][..], 48, S::EcdsaP384Sha384Fixed),
        ("EC", p384, "-sha512", &[][..], 48, S::EcdsaP384Sha512Fixed),
    ] {
        let made = openssl(&["genpkey", "-algorithm", algorithm, "-pkeyopt", option, "-out", &key], b"");
        if made.is_none() {
            return;
        }
        let sign = [&["dgst", digest, "-sign", &key, "-out", &signature][..], options, &[&message]].concat();
        openssl(&sign, b"").unwrap();
        let spki = openssl(&["pkey", "-in", &key, "-pubout", "-outform", "DER"], b"").unwrap();
        let public = PublicKey::from_spki(&spki).unwrap();
        let mut value = std::fs::read(&signature).unwrap();
        if half > 0 {
            value = fixed(&value, half);
        }
        assert_eq!(public.verify(scheme, b"message", &value), Ok(()), "{scheme:?}");
        assert_eq!(public.verify(scheme, b"messagf", &value), Err(KeyError::BadSignature), "{scheme:?}");
        let cut = &value[..value.len() - 1];
        assert_eq!(public.verify(scheme, b"message", cut), Err(KeyError::BadSignature), "{scheme:?}");
        let zeros = vec![0; value.len()];
        assert_eq!(public.verify(scheme, b"message", &zeros), Err(KeyError::BadSignature), "{scheme:?}");
        for other in
            [S::RsaPssSha384, S::EcdsaP256Sha512Fixed, S::EcdsaP384Sha256Fixed, S::EcdsaP384Sha512Fixed]
        {
            if other != scheme {
                assert!(public.verify(other, b"message", &value).is_err(), "{scheme:?} as {other:?}");
            }
        }
    }
}

/// r‖s of a DER SEQUENCE of two INTEGERs.
fn fixed(der: &[u8], half: usize) -> Vec<u8> {
    use der::Decode;
    let numbers = Vec::<der::asn1::Uint>::from_der(der).unwrap();
    let pad = |number: &der::asn1::Uint| {
        [vec![0; half - number.as_bytes().len()], number.as_bytes().to_vec()].concat()
    };
    numbers.iter().flat_map(pad).collect()
}

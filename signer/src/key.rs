//! A private key in memory.

use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der, PublicKeyX509Der};
use aws_lc_rs::error::{KeyRejected, Unspecified};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{self, KeySize};
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair,
    RSA_PKCS1_SHA256, RSA_PKCS1_SHA512, RSA_PSS_SHA256, RSA_PSS_SHA512, RsaEncoding,
};
use kogge_certs::key::{KeyKind, PublicKey, SignError, SignatureScheme, SigningKey};
use zeroize::Zeroizing;

use crate::{NewKeyKind, TokenError};

/// A parsed key pair of an accepted kind. The library clears it when it is dropped.
pub(crate) struct SoftKey {
    public_key: PublicKey,
    private: Private,
}

enum Private {
    /// The same key twice, because the library fixes the form of the value with the key.
    EcdsaP256 {
        fixed: EcdsaKeyPair,
        asn1: EcdsaKeyPair,
    },
    Rsa(rsa::KeyPair),
    Ed25519(Ed25519KeyPair),
}

impl SoftKey {
    /// Generates a key.
    pub(crate) fn generate(kind: NewKeyKind) -> Result<Self, TokenError> {
        let private = match kind {
            NewKeyKind::EcdsaP256 => {
                let fixed = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).map_err(failed)?;
                Private::ecdsa(fixed.to_pkcs8v1().map_err(failed)?.as_ref()).map_err(rejected)?
            }
            NewKeyKind::Rsa(bits) => {
                let size = match bits {
                    2048 => KeySize::Rsa2048,
                    3072 => KeySize::Rsa3072,
                    4096 => KeySize::Rsa4096,
                    _ => return Err(TokenError::KeySize),
                };
                Private::Rsa(rsa::KeyPair::generate(size).map_err(failed)?)
            }
            NewKeyKind::Ed25519 => Private::Ed25519(Ed25519KeyPair::generate().map_err(failed)?),
        };
        let spki = private.spki().map_err(failed)?;
        let public_key =
            PublicKey::from_spki(&spki).map_err(|error| TokenError::Crypto(error.to_string()))?;
        Ok(Self { public_key, private })
    }

    /// From PKCS#8; `None` if that is not the private half of `public_key`.
    pub(crate) fn from_pkcs8(pkcs8: &[u8], public_key: PublicKey) -> Option<Self> {
        let private = match public_key.kind() {
            KeyKind::EcdsaP256 => Private::ecdsa(pkcs8),
            KeyKind::EcdsaP384 => return None,
            KeyKind::Rsa(_) => rsa::KeyPair::from_pkcs8(pkcs8).map(Private::Rsa),
            KeyKind::Ed25519 => Ed25519KeyPair::from_pkcs8(pkcs8).map(Private::Ed25519),
        };
        let private = private.ok()?;
        (private.spki().ok()? == public_key.spki()).then_some(Self { public_key, private })
    }

    /// PKCS#8, to be sealed at once.
    pub(crate) fn to_pkcs8(&self) -> Result<Zeroizing<Vec<u8>>, TokenError> {
        let bytes = match &self.private {
            Private::EcdsaP256 { fixed, .. } => fixed.to_pkcs8v1().map_err(failed)?.as_ref().to_vec(),
            Private::Rsa(pair) => AsDer::<Pkcs8V1Der<'_>>::as_der(pair).map_err(failed)?.as_ref().to_vec(),
            Private::Ed25519(pair) => pair.to_pkcs8().map_err(failed)?.as_ref().to_vec(),
        };
        Ok(Zeroizing::new(bytes))
    }
}

impl SigningKey for SoftKey {
    fn public_key(&self) -> &PublicKey {
        &self.public_key
    }

    fn sign(&self, scheme: SignatureScheme, message: &[u8]) -> Result<Vec<u8>, SignError> {
        match (&self.private, scheme) {
            (Private::EcdsaP256 { fixed, .. }, SignatureScheme::EcdsaP256Sha256Fixed) => {
                ecdsa(fixed, message)
            }
            (Private::EcdsaP256 { asn1, .. }, SignatureScheme::EcdsaP256Sha256Asn1) => ecdsa(asn1, message),
            (Private::Rsa(pair), SignatureScheme::RsaPkcs1Sha256) => rsa(pair, &RSA_PKCS1_SHA256, message),
            (Private::Rsa(pair), SignatureScheme::RsaPkcs1Sha512) => rsa(pair, &RSA_PKCS1_SHA512, message),
            (Private::Rsa(pair), SignatureScheme::RsaPssSha256) => rsa(pair, &RSA_PSS_SHA256, message),
            (Private::Rsa(pair), SignatureScheme::RsaPssSha512) => rsa(pair, &RSA_PSS_SHA512, message),
            (Private::Ed25519(pair), SignatureScheme::Ed25519) => {
                pair.try_sign(message).map(|signature| signature.as_ref().to_vec()).map_err(unsigned)
            }
            _ => Err(SignError::Scheme),
        }
    }
}

impl Private {
    fn ecdsa(pkcs8: &[u8]) -> Result<Self, KeyRejected> {
        Ok(Self::EcdsaP256 {
            fixed: EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, pkcs8)?,
            asn1: EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, pkcs8)?,
        })
    }

    fn spki(&self) -> Result<Vec<u8>, Unspecified> {
        let der: PublicKeyX509Der<'static> = match self {
            Self::EcdsaP256 { fixed, .. } => fixed.public_key().as_der()?,
            Self::Rsa(pair) => pair.public_key().as_der()?,
            Self::Ed25519(pair) => pair.public_key().as_der()?,
        };
        Ok(der.as_ref().to_vec())
    }
}

fn ecdsa(pair: &EcdsaKeyPair, message: &[u8]) -> Result<Vec<u8>, SignError> {
    pair.sign(&SystemRandom::new(), message).map(|signature| signature.as_ref().to_vec()).map_err(unsigned)
}

fn rsa(
    pair: &rsa::KeyPair,
    encoding: &'static dyn RsaEncoding,
    message: &[u8],
) -> Result<Vec<u8>, SignError> {
    let mut signature = vec![0; pair.public_modulus_len()];
    pair.sign(encoding, &SystemRandom::new(), message, &mut signature).map_err(unsigned)?;
    Ok(signature)
}

fn unsigned(_: Unspecified) -> SignError {
    SignError::Token("the cryptographic library failed".to_owned())
}

fn failed(_: Unspecified) -> TokenError {
    TokenError::Crypto("the cryptographic library failed".to_owned())
}

fn rejected(error: KeyRejected) -> TokenError {
    TokenError::Crypto(error.to_string())
}

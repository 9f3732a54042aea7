//! Sealing with AES-256-GCM, and the key that a PIN gives by Argon2id (RFC 9106).

use argon2::{Algorithm, Argon2, Params, Version};
use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::error::Unspecified;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::{Pin, TokenError};

/// A key of 256 bits for sealing; cleared by the library when dropped.
pub(crate) struct SealingKey(LessSafeKey);

/// Sealed bytes as they lie in a file.
#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Sealed {
    nonce: String,
    ciphertext: String,
}

/// How a PIN becomes a key, as it lies in the token file.
#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Derivation {
    memory_kib: u32,
    iterations: u32,
    lanes: u32,
    salt: String,
}

/// Why sealed bytes do not open.
#[derive(Debug, Eq, PartialEq)]
pub(crate) enum OpenError {
    /// Not in the form of sealed bytes.
    Malformed,
    /// Sealed under another key, for another place, or altered.
    Refused,
}

impl SealingKey {
    pub(crate) fn new(bytes: &[u8; KEY_BYTES]) -> Result<Self, TokenError> {
        Ok(Self(LessSafeKey::new(UnboundKey::new(&AES_256_GCM, bytes).map_err(crypto)?)))
    }

    /// Seals `secret` for the place named by `bound_to`. The nonce is random: of one key's 2^32 allowed seals a token uses a few.
    pub(crate) fn seal(&self, secret: &[u8], bound_to: &str) -> Result<Sealed, TokenError> {
        let nonce: [u8; NONCE_BYTES] = random()?;
        let mut buffer = Zeroizing::new(Vec::with_capacity(secret.len() + AES_256_GCM.tag_len()));
        buffer.extend_from_slice(secret);
        self.0
            .seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), Aad::from(bound_to), &mut *buffer)
            .map_err(crypto)?;
        Ok(Sealed { nonce: STANDARD.encode(nonce), ciphertext: STANDARD.encode(&*buffer) })
    }

    /// Opens what was sealed for the same place.
    pub(crate) fn open(&self, sealed: &Sealed, bound_to: &str) -> Result<Zeroizing<Vec<u8>>, OpenError> {
        let nonce: [u8; NONCE_BYTES] = decode(&sealed.nonce)?.try_into().map_err(|_| OpenError::Malformed)?;
        let mut buffer = Zeroizing::new(decode(&sealed.ciphertext)?);
        let length = self
            .0
            .open_in_place(Nonce::assume_unique_for_key(nonce), Aad::from(bound_to), &mut buffer)
            .map_err(|Unspecified| OpenError::Refused)?
            .len();
        buffer.truncate(length);
        Ok(buffer)
    }
}

impl Derivation {
    /// Today's cost with a fresh salt.
    pub(crate) fn new() -> Result<Self, TokenError> {
        let salt: [u8; SALT_BYTES] = random()?;
        Ok(Self { memory_kib: MEMORY_KIB, iterations: ITERATIONS, lanes: LANES, salt: STANDARD.encode(salt) })
    }

    /// The key that `pin` gives; `None` if the stored parameters are none that we would use.
    pub(crate) fn key(&self, pin: &Pin) -> Option<SealingKey> {
        let salt = decode(&self.salt).ok()?;
        if salt.len() != SALT_BYTES || self.memory_kib > MEMORY_KIB_MAX || self.iterations > ITERATIONS_MAX {
            return None;
        }
        let params = Params::new(self.memory_kib, self.iterations, self.lanes, Some(KEY_BYTES)).ok()?;
        let mut key = Zeroizing::new([0u8; KEY_BYTES]);
        Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
            .hash_password_into(pin.bytes(), &salt, &mut *key)
            .ok()?;
        SealingKey::new(&key).ok()
    }
}

/// Random bytes for a key, salt or nonce.
pub(crate) fn random<const N: usize>() -> Result<[u8; N], TokenError> {
    let mut bytes = [0u8; N];
    aws_lc_rs::rand::fill(&mut bytes).map_err(crypto)?;
    Ok(bytes)
}

fn decode(text: &str) -> Result<Vec<u8>, OpenError> {
    STANDARD.decode(text).map_err(|_| OpenError::Malformed)
}

fn crypto(_: Unspecified) -> TokenError {
    TokenError::Crypto("the cryptographic library failed".to_owned())
}

/// Length of AES-256 keys.
pub(crate) const KEY_BYTES: usize = 32;
const NONCE_BYTES: usize = 12;
const SALT_BYTES: usize = 16;

/// OWASP's first choice for Argon2id: some 20 ms on a server, done once per start.
const MEMORY_KIB: u32 = 19 * 1024;
const ITERATIONS: u32 = 2;
const LANES: u32 = 1;

/// A file that asks for more was not written by us and must not be able to eat the machine.
const MEMORY_KIB_MAX: u32 = 1024 * 1024;
const ITERATIONS_MAX: u32 = 16;

//! The log key, under which the keys of segments lie on the disk.

use std::fmt;

use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::hmac;
use ring::rand::{SecureRandom, SystemRandom};
use zeroize::Zeroizing;

/// Length of a software log key in bytes.
pub const LOG_KEY_BYTES: usize = 32;

/// Why a log key does not do what it is asked for.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum LogKeyError {
    /// Sealed under another key or for another place, or altered.
    #[error("it was sealed under another log key, or altered")]
    Refused,
    /// The device or library that holds the key failed.
    #[error("the log key cannot be used: {0}")]
    Failed(String),
}

/// The key that seals the keys of a log's bodies, and makes pseudonyms. It may be held by a device: what it is asked for is rare, once or twice a segment, and once for each request that
/// names a person.
pub trait LogKey: fmt::Debug + Send + Sync {
    /// Seals a secret for the place that `bound_to` names.
    ///
    /// # Errors
    /// The key cannot be used.
    fn seal(&self, secret: &[u8], bound_to: &str) -> Result<Vec<u8>, LogKeyError>;

    /// Opens what was sealed for the same place.
    ///
    /// # Errors
    /// It was not sealed under this key for this place, or the key cannot be used.
    fn open(&self, sealed: &[u8], bound_to: &str) -> Result<Zeroizing<Vec<u8>>, LogKeyError>;

    /// What stands for a person in this log: the same for the same text, and nobody without the key can tell for whom it stands.
    ///
    /// # Errors
    /// The key cannot be used.
    fn pseudonym(&self, subject: &str) -> Result<[u8; 32], LogKeyError>;
}

/// A log key in memory. Seals with AES-256-GCM under one key that is derived from it, makes pseudonyms with HMAC-SHA-256 under another.
pub struct SoftLogKey {
    sealing: LessSafeKey,
    subjects: hmac::Key,
}

impl SoftLogKey {
    /// The log key of these bytes.
    ///
    /// # Errors
    /// The cryptographic library fails.
    pub fn new(bytes: &[u8; LOG_KEY_BYTES]) -> Result<Self, LogKeyError> {
        let root = hmac::Key::new(hmac::HMAC_SHA256, bytes);
        let derived = |label: &[u8]| hmac::sign(&root, label);
        let sealing =
            UnboundKey::new(&AES_256_GCM, derived(b"kogge log key 1 sealing").as_ref()).map_err(failed)?;
        let subjects = hmac::Key::new(hmac::HMAC_SHA256, derived(b"kogge log key 1 subjects").as_ref());
        Ok(Self { sealing: LessSafeKey::new(sealing), subjects })
    }
}

impl LogKey for SoftLogKey {
    /// Nonce, ciphertext, tag. The nonce is random: a log seals far fewer than the 2^32 times that are allowed.
    fn seal(&self, secret: &[u8], bound_to: &str) -> Result<Vec<u8>, LogKeyError> {
        let mut nonce = [0; NONCE_LEN];
        SystemRandom::new().fill(&mut nonce).map_err(failed)?;
        let mut sealed = Zeroizing::new(secret.to_vec());
        let aad = Aad::from(bound_to.as_bytes());
        let tag = self
            .sealing
            .seal_in_place_separate_tag(Nonce::assume_unique_for_key(nonce), aad, &mut sealed)
            .map_err(failed)?;
        Ok([nonce.as_slice(), sealed.as_slice(), tag.as_ref()].concat())
    }

    fn open(&self, sealed: &[u8], bound_to: &str) -> Result<Zeroizing<Vec<u8>>, LogKeyError> {
        let (nonce, rest) = sealed.split_at_checked(NONCE_LEN).ok_or(LogKeyError::Refused)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| LogKeyError::Refused)?;
        let mut opened = Zeroizing::new(rest.to_vec());
        let aad = Aad::from(bound_to.as_bytes());
        let length =
            self.sealing.open_in_place(nonce, aad, &mut opened).map_err(|_| LogKeyError::Refused)?.len();
        opened.truncate(length);
        Ok(opened)
    }

    fn pseudonym(&self, subject: &str) -> Result<[u8; 32], LogKeyError> {
        let tag = hmac::sign(&self.subjects, subject.as_bytes());
        tag.as_ref().try_into().map_err(|_| LogKeyError::Failed("a pseudonym has no 32 bytes".to_owned()))
    }
}

impl fmt::Debug for SoftLogKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SoftLogKey").finish_non_exhaustive()
    }
}

fn failed(_: ring::error::Unspecified) -> LogKeyError {
    LogKeyError::Failed("the cryptographic library failed".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_sealed_opens_only_with_its_key_in_its_place_and_unaltered() {
        let (key, other) = (SoftLogKey::new(&[1; 32]).unwrap(), SoftLogKey::new(&[2; 32]).unwrap());
        let sealed = key.seal(b"secret", "here").unwrap();
        assert_eq!(key.open(&sealed, "here").unwrap().as_slice(), b"secret");
        assert_ne!(key.seal(b"secret", "here").unwrap(), sealed);
        assert_eq!(other.open(&sealed, "here"), Err(LogKeyError::Refused));
        assert_eq!(key.open(&sealed, "there"), Err(LogKeyError::Refused));
        for at in 0..sealed.len() {
            let mut altered = sealed.clone();
            altered[at] ^= 1;
            assert_eq!(key.open(&altered, "here"), Err(LogKeyError::Refused), "{at}");
            assert_eq!(key.open(&sealed[..at], "here"), Err(LogKeyError::Refused), "{at}");
        }
    }

    #[test]
    fn a_pseudonym_depends_on_key_and_person_alone() {
        let (key, other) = (SoftLogKey::new(&[1; 32]).unwrap(), SoftLogKey::new(&[2; 32]).unwrap());
        let pseudonym = key.pseudonym("DE/1234").unwrap();
        assert_eq!(SoftLogKey::new(&[1; 32]).unwrap().pseudonym("DE/1234").unwrap(), pseudonym);
        assert_ne!(key.pseudonym("DE/1235").unwrap(), pseudonym);
        assert_ne!(other.pseudonym("DE/1234").unwrap(), pseudonym);
    }
}

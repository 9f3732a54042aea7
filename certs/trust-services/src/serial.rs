//! Serial numbers of certificates.

use std::fmt;

use kogge_certs::certificate::Certificate;
use ring::rand::{SecureRandom, SystemRandom};

use crate::TrustServicesError;

/// The content bytes of a serial number INTEGER (RFC 5280 section 4.1.2.2).
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct Serial(Vec<u8>);

impl Serial {
    /// From hexadecimal, as `openssl x509 -serial` prints it; colons may separate the bytes.
    ///
    /// # Errors
    /// Not hexadecimal, empty, or longer than a serial number may be.
    pub fn parse(text: &str) -> Result<Self, TrustServicesError> {
        let mut bytes = hex::decode(text.replace(':', "")).map_err(|_| TrustServicesError::SerialForm)?;
        if bytes.is_empty() || bytes.len() > SERIAL_BYTES_MAX {
            return Err(TrustServicesError::SerialForm);
        }
        // Programs print the number, which in DER begins with a zero byte where its highest bit is set.
        if bytes.first().is_some_and(|first| *first >= 0x80) {
            bytes.insert(0, 0);
        }
        Ok(Self(bytes))
    }

    /// From content bytes as OCSP questions have them.
    pub(crate) fn from_content(bytes: &[u8]) -> Self {
        Self(bytes.to_vec())
    }
}

impl From<&Certificate> for Serial {
    fn from(certificate: &Certificate) -> Self {
        Self(certificate.serial().to_vec())
    }
}

impl fmt::Display for Serial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(&self.0))
    }
}

/// A fresh serial number of 127 bits, positive and without leading zero byte: nobody can foresee it, so nobody can prepare a
/// colliding certificate.
pub(crate) fn random() -> Result<[u8; 16], TrustServicesError> {
    let mut bytes = [0; 16];
    SystemRandom::new().fill(&mut bytes).map_err(|_| TrustServicesError::NoRandomness)?;
    let [first, ..] = &mut bytes;
    *first = *first & 0x7F | 0x40;
    Ok(bytes)
}

/// RFC 5280 section 4.1.2.2.
const SERIAL_BYTES_MAX: usize = 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_openssl_prints() {
        assert_eq!(Serial::parse("4F01").unwrap().to_string(), "4f01");
        assert_eq!(Serial::parse("4f:01").unwrap().to_string(), "4f01");
        assert_eq!(Serial::parse("FF").unwrap().to_string(), "00ff");
    }

    #[test]
    fn refuses_what_is_no_serial_number() {
        for text in ["", "4", "xy", "4f 01", &"11".repeat(21)] {
            assert!(matches!(Serial::parse(text), Err(TrustServicesError::SerialForm)), "{text:?}");
        }
    }

    #[test]
    fn random_ones_are_positive_and_differ() {
        let (one, other) = (random().unwrap(), random().unwrap());
        assert_ne!(one, other);
        assert!((0x40..0x80).contains(&one[0]) && (0x40..0x80).contains(&other[0]));
    }
}

//! Certificates and OCSP responses that travel with a message, found by their SHA-256.

use std::sync::OnceLock;

use bytes::Bytes;
use kogge_proto::digest::{Sha256, sha256};
use kogge_proto::limits::{MATERIAL_ITEM_BYTES_MAX, MATERIAL_ITEMS_MAX};
use kogge_proto::wire::evidence as wire;

/// The items of one message, few enough to be searched one by one. Each is digested when it is first looked at: where the signer is known,
/// nobody looks.
#[derive(Clone, Debug, Default)]
pub struct Material(Vec<Item>);

#[derive(Clone, Debug)]
struct Item {
    digest: OnceLock<Sha256>,
    der: Bytes,
}

/// Why material is refused.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum MaterialError {
    /// More than [`MATERIAL_ITEMS_MAX`] items.
    #[error("more than {MATERIAL_ITEMS_MAX} certificates and OCSP responses came along")]
    TooMany,
    /// An item larger than [`MATERIAL_ITEM_BYTES_MAX`].
    #[error("a certificate or OCSP response is larger than {MATERIAL_ITEM_BYTES_MAX} bytes")]
    TooLarge,
}

impl Material {
    /// From what came along.
    ///
    /// # Errors
    /// Too many or too large.
    pub fn new(wire: &wire::Material) -> Result<Self, MaterialError> {
        if wire.items.len() > MATERIAL_ITEMS_MAX {
            return Err(MaterialError::TooMany);
        }
        if wire.items.iter().any(|item| item.len() > MATERIAL_ITEM_BYTES_MAX) {
            return Err(MaterialError::TooLarge);
        }
        let item = |der: &Bytes| Item { digest: OnceLock::new(), der: der.clone() };
        Ok(Self(wire.items.iter().map(item).collect()))
    }

    /// Whether exactly these bytes came along.
    #[must_use]
    pub fn contains(&self, der: &[u8]) -> bool {
        self.0.iter().any(|item| item.der == der)
    }

    /// The item with this digest.
    #[must_use]
    pub fn find(&self, digest: &[u8]) -> Option<&Bytes> {
        self.0.iter().find(|item| item.digest().as_bytes() == digest).map(|item| &item.der)
    }
}

impl Item {
    fn digest(&self) -> &Sha256 {
        self.digest.get_or_init(|| sha256(&self.der))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn material(sizes: &[usize]) -> Result<Material, MaterialError> {
        let items = sizes.iter().zip(0_u8..).map(|(size, byte)| vec![byte; *size].into()).collect();
        Material::new(&wire::Material { items })
    }

    #[test]
    fn items_are_found_by_their_digest_alone() {
        let found = material(&[3, 5]).unwrap();
        assert_eq!(found.find(sha256(&[1; 5]).as_bytes()), Some(&Bytes::from(vec![1; 5])));
        assert_eq!(found.find(sha256(&[1; 4]).as_bytes()), None);
        assert_eq!(found.find(&sha256(&[1; 5]).as_bytes()[..31]), None);
        assert_eq!(found.find(&[]), None);
        assert!(found.contains(&[1; 5]));
        assert!(!found.contains(&[1; 4]) && !found.contains(&[2; 5]) && !found.contains(&[]));
    }

    #[test]
    fn items_are_few_and_small() {
        assert!(material(&[MATERIAL_ITEM_BYTES_MAX; MATERIAL_ITEMS_MAX]).is_ok());
        assert_eq!(material(&[1; MATERIAL_ITEMS_MAX + 1]).unwrap_err(), MaterialError::TooMany);
        assert_eq!(material(&[1, MATERIAL_ITEM_BYTES_MAX + 1]).unwrap_err(), MaterialError::TooLarge);
    }
}

//! Signatures over the two signed parts: by whom, over exactly which bytes, and how many are needed.

use std::collections::BTreeSet;

use kogge_proto::digest::Sha256;
use kogge_proto::wire::registry as wire;

use super::{Part, SnapshotError};
use crate::key::{PublicKey, SignError, SignatureScheme, SigningKey};

/// Signs the part whose bytes have this digest with every key; [`check`] is the counterpart.
pub(super) fn sign(
    part: Part,
    digest: &Sha256,
    keys: &[&dyn SigningKey],
) -> Result<Vec<wire::KeySignature>, SignError> {
    let message = message(part, digest);
    keys.iter()
        .map(|key| {
            let scheme = SignatureScheme::for_messages(key.public_key().kind()).ok_or(SignError::Scheme)?;
            let value = key.sign(scheme, &message)?;
            Ok(wire::KeySignature { key_id: key.public_key().key_id().0.to_vec(), value })
        })
        .collect()
}

/// Checks that at least `threshold` of `keys` have signed the part whose bytes have this digest. A signature that adds nothing (unknown, repeated or wrong) is
/// refused as well: whoever put it there meant to deceive, or has damaged it.
pub(super) fn check(
    part: Part,
    digest: &Sha256,
    signatures: &[wire::KeySignature],
    keys: &[PublicKey],
    threshold: u32,
) -> Result<(), SnapshotError> {
    if signatures.len() > SIGNATURES_MAX {
        return Err(SnapshotError::TooManySignatures { part });
    }
    if usize::try_from(threshold).is_ok_and(|needed| signatures.len() < needed) {
        return Err(SnapshotError::TooFewSignatures { part, found: signatures.len(), threshold });
    }
    let message = message(part, digest);
    let mut seen = BTreeSet::new();
    for signature in signatures {
        let key = signer(part, signature, keys)?;
        if !seen.insert(key.key_id()) {
            return Err(SnapshotError::RepeatedSigner { part, key: key.key_id() });
        }
        // Neither an anchor nor a delegation holds a key without a scheme.
        SignatureScheme::for_messages(key.kind())
            .and_then(|scheme| key.verify(scheme, &message, &signature.value).ok())
            .ok_or_else(|| SnapshotError::BadSignature { part, key: key.key_id() })?;
    }
    Ok(())
}

fn signer<'a>(
    part: Part,
    signature: &wire::KeySignature,
    keys: &'a [PublicKey],
) -> Result<&'a PublicKey, SnapshotError> {
    let id = Sha256::from_slice(&signature.key_id);
    keys.iter().find(|key| Some(key.key_id()) == id).ok_or_else(|| {
        let shown = signature.key_id.get(..Sha256::LEN).unwrap_or(&signature.key_id);
        SnapshotError::UnknownSigner { part, key: hex::encode(shown) }
    })
}

/// The context keeps a signature over the one part from ever counting for the other, or for anything else that a key signs. The digest
/// stands for the bytes, so that a large snapshot is hashed once, whoever signs it and however many do.
fn message(part: Part, digest: &Sha256) -> Vec<u8> {
    let context: &[u8] = match part {
        Part::Delegation => b"kogge-delegation-v2\0",
        Part::Snapshot => b"kogge-snapshot-v2\0",
    };
    [context, &digest.0].concat()
}

/// Most signatures of one part: no anchor and no delegation has more keys.
pub(super) const SIGNATURES_MAX: usize = crate::anchor::ANCHOR_KEYS_MAX;

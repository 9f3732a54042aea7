//! The delegation: which online keys may sign snapshots, and until when. Root keys sign it, so that a lost online key costs a new
//! delegation and not a new anchor at every member.

use std::collections::BTreeSet;

use kogge_proto::digest::{Sha256, sha256};
use kogge_proto::time::UnixMillis;
use kogge_proto::wire::registry as wire;
use prost::Message;

use super::limits::{DELEGATION_LIFETIME_MAX, ONLINE_KEYS_MAX};
use super::verify::{canonical, check_instance, check_validity};
use super::{Part, SnapshotError, signatures};
use crate::key::{PublicKey, SignatureScheme, SigningKey};

/// A delegation with its signatures by root keys.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct SignedDelegation {
    /// Encoded `Delegation`.
    pub bytes: Vec<u8>,
    /// Key id and value of each signature.
    pub signatures: Vec<(Sha256, Vec<u8>)>,
}

/// Signs, with root keys, which online keys may sign snapshots from `issued` until `expires`.
///
/// # Errors
/// The delegation would not be valid (the same rules as for reading), or a key cannot sign. Whether the root keys suffice for the
/// anchor is for whoever holds the anchor to check.
pub fn sign_delegation(
    instance: &str,
    version: u64,
    issued: UnixMillis,
    expires: UnixMillis,
    online_keys: &[PublicKey],
    online_threshold: u32,
    root_keys: &[&dyn SigningKey],
) -> Result<SignedDelegation, SnapshotError> {
    let bytes = wire::Delegation {
        instance: instance.to_owned(),
        version,
        issued_ms: issued.0,
        expires_ms: expires.0,
        online_keys: online_keys.iter().map(|key| key.spki().to_vec()).collect(),
        online_threshold,
    }
    .encode_to_vec();
    Delegation::read(&bytes)?;
    let signatures = signatures::sign(Part::Delegation, &sha256(&bytes), root_keys)?
        .into_iter()
        .zip(root_keys)
        .map(|(signature, key)| (key.public_key().key_id(), signature.value))
        .collect();
    Ok(SignedDelegation { bytes, signatures })
}

impl SignedDelegation {
    /// Checks that the root keys have signed this delegation, and says what is in it.
    ///
    /// # Errors
    /// Too few or wrong signatures, a delegation that is not valid, or one of another instance.
    pub fn verify(
        &self,
        instance: &str,
        root_keys: &[PublicKey],
        root_threshold: u32,
    ) -> Result<Delegation, SnapshotError> {
        verify(&self.bytes, &self.to_wire(), instance, root_keys, root_threshold)
    }

    pub(super) fn to_wire(&self) -> Vec<wire::KeySignature> {
        let signature = |(key, value): &(Sha256, Vec<u8>)| wire::KeySignature {
            key_id: key.0.to_vec(),
            value: value.clone(),
        };
        self.signatures.iter().map(signature).collect()
    }
}

/// The one place where root keys decide.
pub(super) fn verify(
    bytes: &[u8],
    signatures: &[wire::KeySignature],
    instance: &str,
    root_keys: &[PublicKey],
    root_threshold: u32,
) -> Result<Delegation, SnapshotError> {
    signatures::check(Part::Delegation, &sha256(bytes), signatures, root_keys, root_threshold)?;
    let delegation = Delegation::read(bytes)?;
    check_instance(instance, &delegation.instance)?;
    Ok(delegation)
}

/// What a delegation says.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Delegation {
    /// The instance's code.
    pub instance: String,
    /// Rising with each delegation; positive.
    pub version: u64,
    /// No snapshot is issued before.
    pub issued: UnixMillis,
    /// From when on no snapshot under it may be used.
    pub expires: UnixMillis,
    /// The keys that may sign snapshots; distinct, at least one.
    pub online_keys: Vec<PublicKey>,
    /// How many of them must sign; from 1 to the number of keys.
    pub online_threshold: u32,
}

impl Delegation {
    /// Reads and checks the content alone; whoever believes it has checked the signatures.
    pub(super) fn read(bytes: &[u8]) -> Result<Self, SnapshotError> {
        let wire: wire::Delegation = canonical(bytes, "delegation")?;
        if wire.version == 0 {
            return Err(SnapshotError::NoVersion(Part::Delegation));
        }
        let (issued, expires) = (UnixMillis(wire.issued_ms), UnixMillis(wire.expires_ms));
        check_validity(Part::Delegation, issued, expires, DELEGATION_LIFETIME_MAX)?;
        let keys = read_keys(&wire.online_keys)?;
        let threshold = wire.online_threshold;
        if threshold == 0 || usize::try_from(threshold).is_ok_and(|threshold| threshold > keys.len()) {
            return Err(SnapshotError::Delegation(
                "the threshold is zero or higher than the number of online keys",
            ));
        }
        Ok(Self {
            instance: wire.instance,
            version: wire.version,
            issued,
            expires,
            online_keys: keys,
            online_threshold: threshold,
        })
    }
}

fn read_keys(spkis: &[Vec<u8>]) -> Result<Vec<PublicKey>, SnapshotError> {
    if spkis.len() > ONLINE_KEYS_MAX {
        return Err(SnapshotError::Delegation("it has too many online keys"));
    }
    let mut seen = BTreeSet::new();
    let mut keys = Vec::with_capacity(spkis.len());
    for spki in spkis {
        let key = PublicKey::from_spki(spki)
            .ok()
            .filter(|key| SignatureScheme::for_messages(key.kind()).is_some())
            .ok_or(SnapshotError::Delegation(
                "an online key is malformed or of a kind that cannot sign snapshots",
            ))?;
        if !seen.insert(key.key_id()) {
            return Err(SnapshotError::Delegation("an online key is there twice"));
        }
        keys.push(key);
    }
    Ok(keys)
}

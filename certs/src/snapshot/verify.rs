//! From bytes to a [`super::VerifiedSnapshot`]. The order matters: nothing is decoded further than needed before its signatures
//! have been checked.

use std::time::Duration;

use kogge_proto::digest::sha256;
use kogge_proto::limits::SNAPSHOT_BYTES_MAX;
use kogge_proto::time::UnixMillis;
use kogge_proto::wire::registry as wire;
use prost::Message;

use super::content::Content;
use super::delegation::Delegation;
use super::limits::SNAPSHOT_LIFETIME_MAX;
use super::signatures::SIGNATURES_MAX;
use super::{Meta, Part, SnapshotError, VerifiedSnapshot, delegation, signatures};
use crate::anchor::{Anchor, Environment};

pub(super) fn verify(bytes: &[u8], anchor: &Anchor) -> Result<VerifiedSnapshot, SnapshotError> {
    let signed = read_signed(bytes)?;
    let delegation = delegation::verify(
        &signed.delegation,
        &signed.delegation_signatures,
        anchor.instance(),
        anchor.root_keys(),
        anchor.root_threshold(),
    )?;
    online_signed(&signed, &delegation)?;
    let (meta, content) = read_snapshot(&signed.snapshot, &delegation, anchor.environment())?;
    Ok(VerifiedSnapshot { bytes: bytes.to_vec(), meta, environment: anchor.environment(), content })
}

pub(super) fn check_time(meta: &Meta, clock_skew: Duration, now: UnixMillis) -> Result<(), SnapshotError> {
    if now >= meta.expires {
        return Err(SnapshotError::Expired { expires: meta.expires });
    }
    if meta.issued > now.plus(clock_skew) {
        return Err(SnapshotError::IssuedInFuture { issued: meta.issued });
    }
    Ok(())
}

/// Opens the envelope; the parts inside are still bare bytes.
pub(super) fn read_signed(bytes: &[u8]) -> Result<wire::SignedSnapshot, SnapshotError> {
    if bytes.len() > SNAPSHOT_BYTES_MAX {
        return Err(SnapshotError::TooLarge { bytes: bytes.len() });
    }
    count_signatures(bytes)?;
    canonical(bytes, "signed snapshot")
}

pub(super) fn online_signed(
    signed: &wire::SignedSnapshot,
    delegation: &Delegation,
) -> Result<(), SnapshotError> {
    signatures::check(
        Part::Snapshot,
        &signed.snapshot,
        &signed.snapshot_signatures,
        &delegation.online_keys,
        delegation.online_threshold,
    )
}

/// Reads the snapshot itself; whoever reads has checked its signatures, whoever writes has not made them yet.
pub(super) fn read_snapshot(
    bytes: &[u8],
    delegation: &Delegation,
    environment: Environment,
) -> Result<(Meta, Content), SnapshotError> {
    let snapshot: wire::Snapshot = canonical(bytes, "snapshot")?;
    check_instance(&delegation.instance, &snapshot.instance)?;
    if Environment::parse(&snapshot.environment) != Some(environment) {
        let expected = environment.as_str().to_owned();
        return Err(SnapshotError::Environment { expected, found: snapshot.environment });
    }
    if snapshot.version == 0 {
        return Err(SnapshotError::NoVersion(Part::Snapshot));
    }
    let (issued, expires) = (UnixMillis(snapshot.issued_ms), UnixMillis(snapshot.expires_ms));
    check_validity(Part::Snapshot, issued, expires, SNAPSHOT_LIFETIME_MAX)?;
    if issued < delegation.issued || issued >= delegation.expires {
        return Err(SnapshotError::OutsideDelegation { issued });
    }
    let meta = Meta {
        instance: snapshot.instance.clone(),
        version: snapshot.version,
        delegation_version: delegation.version,
        digest: sha256(bytes),
        issued,
        expires: expires.min(delegation.expires),
    };
    Ok((meta, Content::read(&snapshot)?))
}

/// Decodes a message and demands that it is encoded as we would encode it: two encodings of one content, or fields that this
/// version does not know, would let two readers of the same signed bytes believe different things.
pub(super) fn canonical<M: Message + Default>(bytes: &[u8], what: &'static str) -> Result<M, SnapshotError> {
    let message = M::decode(bytes).map_err(|_| SnapshotError::Malformed(what))?;
    if message.encoded_len() != bytes.len() || message.encode_to_vec() != bytes {
        return Err(SnapshotError::NotCanonical(what));
    }
    Ok(message)
}

pub(super) fn check_validity(
    part: Part,
    issued: UnixMillis,
    expires: UnixMillis,
    lifetime_max: Duration,
) -> Result<(), SnapshotError> {
    let lifetime = expires.since(issued);
    if lifetime.is_zero() || lifetime > lifetime_max {
        return Err(SnapshotError::Validity(part));
    }
    Ok(())
}

pub(super) fn check_instance(expected: &str, found: &str) -> Result<(), SnapshotError> {
    if expected == found {
        return Ok(());
    }
    Err(SnapshotError::Instance { expected: expected.to_owned(), found: found.to_owned() })
}

/// Counts the signatures before memory is set aside for them: whoever can answer in the registry's place could otherwise make
/// every reader allocate gigabytes, since two bytes are enough for an empty signature.
fn count_signatures(mut bytes: &[u8]) -> Result<(), SnapshotError> {
    let malformed = || SnapshotError::Malformed("signed snapshot");
    let (mut by_root, mut by_online) = (0, 0);
    while !bytes.is_empty() {
        // Keys of fields and lengths are both varints; all fields of the envelope are length-delimited.
        let key = prost::decode_length_delimiter(&mut bytes).map_err(|_| malformed())?;
        if key & 7 != LENGTH_DELIMITED {
            return Err(malformed());
        }
        let length = prost::decode_length_delimiter(&mut bytes).map_err(|_| malformed())?;
        bytes = bytes.get(length..).ok_or_else(malformed)?;
        match key >> 3 {
            DELEGATION_SIGNATURES => by_root += 1,
            SNAPSHOT_SIGNATURES => by_online += 1,
            _ => {}
        }
        if by_root > SIGNATURES_MAX {
            return Err(SnapshotError::TooManySignatures { part: Part::Delegation });
        }
        if by_online > SIGNATURES_MAX {
            return Err(SnapshotError::TooManySignatures { part: Part::Snapshot });
        }
    }
    Ok(())
}

/// Wire type of strings, bytes and messages.
const LENGTH_DELIMITED: usize = 2;
/// Field numbers of `SignedSnapshot` in `registry.proto`.
const DELEGATION_SIGNATURES: usize = 2;
const SNAPSHOT_SIGNATURES: usize = 4;

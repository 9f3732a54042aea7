//! From bytes to a [`super::VerifiedSnapshot`]. The order matters: nothing is decoded further than needed before its signatures
//! have been checked.

use std::time::Duration;

use bytes::Bytes;
use kogge_proto::digest::{Sha256, sha256};
use kogge_proto::limits::SNAPSHOT_BYTES_MAX;
use kogge_proto::time::UnixMillis;
use kogge_proto::wire::registry as wire;
use prost::Message;

use super::content::{Content, MEMBERS};
use super::cursor::Cursor;
use super::delegation::Delegation;
use super::limits::SNAPSHOT_LIFETIME_MAX;
use super::signatures::SIGNATURES_MAX;
use super::{Meta, Part, SnapshotError, VerifiedSnapshot, delegation, signatures};
use crate::anchor::{Anchor, Environment};

pub(super) fn verify(bytes: Bytes, anchor: &Anchor) -> Result<VerifiedSnapshot, SnapshotError> {
    let signed = Envelope::read(&bytes)?;
    let delegation = delegation::verify(
        signed.delegation,
        &signed.delegation_signatures,
        anchor.instance(),
        anchor.root_keys(),
        anchor.root_threshold(),
    )?;
    let digest = sha256(signed.snapshot);
    online_signed(&digest, &signed.snapshot_signatures, &delegation)?;
    let snapshot = bytes.slice_ref(signed.snapshot);
    let (meta, content) = read_snapshot(&snapshot, digest, &delegation, anchor.environment())?;
    Ok(VerifiedSnapshot { bytes, meta, environment: anchor.environment(), content })
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

/// The envelope, opened; the parts inside are still bare bytes.
pub(super) struct Envelope<'a> {
    pub(super) delegation: &'a [u8],
    pub(super) delegation_signatures: Vec<wire::KeySignature>,
    pub(super) snapshot: &'a [u8],
    pub(super) snapshot_signatures: Vec<wire::KeySignature>,
}

impl<'a> Envelope<'a> {
    pub(super) fn read(bytes: &'a [u8]) -> Result<Self, SnapshotError> {
        if bytes.len() > SNAPSHOT_BYTES_MAX {
            return Err(SnapshotError::TooLarge { bytes: bytes.len() });
        }
        let mut cursor = Cursor::new(bytes);
        let read = Self {
            delegation: cursor.optional(1).map_err(|irregular| irregular.of(ENVELOPE))?.rest(),
            delegation_signatures: read_signatures(Part::Delegation, &mut cursor, 2)?,
            snapshot: cursor.optional(3).map_err(|irregular| irregular.of(ENVELOPE))?.rest(),
            snapshot_signatures: read_signatures(Part::Snapshot, &mut cursor, 4)?,
        };
        cursor.finish().map_err(|irregular| irregular.of(ENVELOPE))?;
        Ok(read)
    }
}

/// Stops at the first one too many: whoever can answer in the registry's place could otherwise make every reader allocate gigabytes, since
/// two bytes are enough for an empty signature.
fn read_signatures(
    part: Part,
    cursor: &mut Cursor<'_>,
    field: u8,
) -> Result<Vec<wire::KeySignature>, SnapshotError> {
    let mut signatures = Vec::new();
    while let Some(found) = cursor.repeated(field).map_err(|irregular| irregular.of(ENVELOPE))? {
        if signatures.len() == SIGNATURES_MAX {
            return Err(SnapshotError::TooManySignatures { part });
        }
        signatures.push(canonical(found.rest(), ENVELOPE)?);
    }
    Ok(signatures)
}

pub(super) fn online_signed(
    digest: &Sha256,
    signatures: &[wire::KeySignature],
    delegation: &Delegation,
) -> Result<(), SnapshotError> {
    signatures::check(
        Part::Snapshot,
        digest,
        signatures,
        &delegation.online_keys,
        delegation.online_threshold,
    )
}

/// Reads the snapshot itself; whoever reads has checked its signatures, whoever writes has not made them yet.
pub(super) fn read_snapshot(
    bytes: &Bytes,
    digest: Sha256,
    delegation: &Delegation,
    environment: Environment,
) -> Result<(Meta, Content), SnapshotError> {
    let mut cursor = Cursor::new(bytes);
    while cursor.next_field().is_some_and(|field| field < MEMBERS) {
        cursor.skip()?;
    }
    if cursor.next_field().is_some_and(|field| field != MEMBERS) {
        cursor.finish()?;
    }
    let head = bytes.get(..cursor.position()).unwrap_or_default();
    let snapshot: wire::Snapshot = canonical(head, "snapshot")?;
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
        digest,
        issued,
        expires: expires.min(delegation.expires),
    };
    Ok((meta, Content::read(&snapshot, bytes, cursor, &digest)?))
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

const ENVELOPE: &str = "signed snapshot";

//! The content behind a verified snapshot: checked, cross-referenced, and found where it lies.

pub mod limits;
mod parties;
mod record;
mod table;
mod trust;
mod walk;

use bytes::Bytes;
use kogge_proto::digest::Sha256;
use kogge_proto::wire::registry as wire;

pub(super) use self::parties::Parties;
use super::cursor::{Cursor, Irregular};
use super::{ContentError, Policy, SnapshotError};
use crate::trust::TrustStore;

#[derive(Debug)]
pub(super) struct Content {
    pub(super) policy: Policy,
    pub(super) trust: TrustStore,
    pub(super) parties: Parties,
}

impl Content {
    /// From `bytes`, in which `members` stands where the members begin and `head` has been read from what is before.
    pub(super) fn read(
        head: &wire::Snapshot,
        bytes: &Bytes,
        members: Cursor<'_>,
        digest: &Sha256,
    ) -> Result<Self, SnapshotError> {
        let policy = trust::policy(head.policy.as_ref())?;
        let trust = trust::store(&head.approved_cas, &head.approved_tsas)?;
        let parties = walk::Walk::over(&head.instance, bytes, members, digest)?;
        Ok(Self { policy, trust, parties })
    }
}

fn at_most<T>(list: &[T], max: usize, what: &'static str) -> Result<(), ContentError> {
    if list.len() > max { Err(ContentError::TooMany { what, max }) } else { Ok(()) }
}

/// Names and titles are shown to people and written to logs: no line breaks, no escape sequences, no changes of direction.
fn is_fit(text: &str) -> bool {
    let refused = |c: char| c.is_control() || matches!(c, '\u{2028}'..='\u{202E}' | '\u{2066}'..='\u{2069}');
    // Most are plain ASCII: one look at each byte, none at characters.
    let plain = text.bytes().fold(true, |plain, byte| plain & (b' '..0x7f).contains(&byte));
    text.len() <= limits::TEXT_BYTES_MAX && (plain || !text.chars().any(refused))
}

fn check_text(
    text: Cursor<'_>,
    what: &'static str,
    of: impl FnOnce() -> Result<String, SnapshotError>,
) -> Result<(), SnapshotError> {
    if is_fit(text.as_text()?) { Ok(()) } else { Err(ContentError::Text { what, of: of()? }.into()) }
}

/// The name of a trust service: something must be there.
fn name(value: &str, of: &str) -> Result<String, ContentError> {
    if value.is_empty() {
        return Err(ContentError::Missing { what: "name", of: of.to_owned() });
    }
    if !is_fit(value) {
        return Err(ContentError::Text { what: "name", of: of.to_owned() });
    }
    Ok(value.to_owned())
}

/// Field number of `Snapshot.members` in `registry.proto`; the last one.
pub(super) const MEMBERS: u8 = 9;

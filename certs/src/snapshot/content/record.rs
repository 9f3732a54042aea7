//! The records of members, servers, subsystems and services, as they lie in the snapshot: where their fields are, in which order.
//!
//! The walk that checks a snapshot and the look-ups afterwards read by these same lines.

use std::cmp::Ordering;

use crate::snapshot::cursor::{Cursor, Irregular};

/// `SecurityServer`s of a `Member`.
pub(super) const SERVERS: u8 = 5;
/// `Subsystem`s of a `Member`.
pub(super) const SUBSYSTEMS: u8 = 6;
/// `ServerRef`s of a `Subsystem`.
pub(super) const REFERENCES: u8 = 3;
/// `Service`s of a `Subsystem`.
pub(super) const SERVICES: u8 = 4;

/// A member up to its lists.
pub(super) struct MemberRecord<'a> {
    pub(super) key: MemberKey<'a>,
    pub(super) name: Cursor<'a>,
    pub(super) suspended: bool,
}

/// Class and code.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) struct MemberKey<'a> {
    pub(super) class: &'a [u8],
    pub(super) code: &'a [u8],
}

impl<'a> MemberRecord<'a> {
    pub(super) fn read(cursor: &mut Cursor<'a>) -> Result<Self, Irregular> {
        Ok(Self { key: MemberKey::read(cursor)?, name: cursor.optional(3)?, suspended: cursor.flag(4)? })
    }
}

impl<'a> MemberKey<'a> {
    pub(super) fn read(cursor: &mut Cursor<'a>) -> Result<Self, Irregular> {
        Ok(Self { class: cursor.optional(1)?.rest(), code: cursor.optional(2)?.rest() })
    }
}

/// Servers, subsystems and services all begin with their code.
pub(super) fn code<'a>(cursor: &mut Cursor<'a>) -> Result<&'a [u8], Irregular> {
    Ok(cursor.optional(1)?.rest())
}

/// The lists of a server, after its code: address by address, digest by digest, and whether it is suspended.
pub(super) fn server_lists<'a, E: From<Irregular>>(
    cursor: &mut Cursor<'a>,
    mut address: impl FnMut(Cursor<'a>) -> Result<(), E>,
    mut certificate: impl FnMut(Cursor<'a>) -> Result<(), E>,
) -> Result<bool, E> {
    while let Some(found) = cursor.repeated(2)? {
        address(found)?;
    }
    while let Some(found) = cursor.repeated(3)? {
        certificate(found)?;
    }
    Ok(cursor.flag(4)?)
}

/// Name of a subsystem or title of a service, after the code.
pub(super) fn label<'a>(cursor: &mut Cursor<'a>) -> Result<Cursor<'a>, Irregular> {
    cursor.optional(2)
}

/// A server that a subsystem is registered on.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) struct Reference<'a> {
    /// Both empty for a server of the subsystem's own member.
    pub(super) owner: MemberKey<'a>,
    pub(super) code: &'a [u8],
}

impl<'a> Reference<'a> {
    pub(super) fn read(mut cursor: Cursor<'a>) -> Result<Self, Irregular> {
        let reference = Self { owner: MemberKey::read(&mut cursor)?, code: cursor.optional(3)?.rest() };
        cursor.finish()?;
        Ok(reference)
    }

    pub(super) fn is_own(&self) -> bool {
        self.owner.class.is_empty() && self.owner.code.is_empty()
    }
}

/// Finds the record that begins with `wanted` among those at `places`, which are in ascending order of their codes.
pub(super) fn find(bytes: &[u8], places: &[u32], wanted: &[u8]) -> Option<usize> {
    places.binary_search_by(|place| compare(bytes, *place, wanted)).ok()
}

/// How the code of the record at `place` compares with `wanted`.
pub(super) fn compare(bytes: &[u8], place: u32, wanted: &[u8]) -> Ordering {
    // What was indexed was read before: every place can be read again.
    Cursor::inside(bytes, place).and_then(|mut record| code(&mut record)).unwrap_or_default().cmp(wanted)
}

//! Who may be believed: keys, certificates and their profiles, paths, OCSP, timestamps, the anchor and the snapshot.
//!
//! Everything here decides from its arguments alone. Trust starts at an [`anchor::Anchor`]; a
//! [`snapshot::VerifiedSnapshot`] follows from it; the snapshot's [`trust::TrustStore`] says which CAs and timestamping
//! authorities are approved; [`path`], [`ocsp`] and [`timestamp`] check what parties show against that, and nothing else.
//!
//! Deliberately absent: clocks, files, sockets, a runtime, private keys (only the trait [`key::SigningKey`] is here), the
//! trust store of the operating system.
#![forbid(unsafe_code)]

pub mod anchor;
pub mod certificate;
pub mod key;
pub mod ocsp;
pub mod path;
pub mod profile;
pub mod snapshot;
pub mod timestamp;
pub mod trust;

mod asn1;
mod cms;

#[cfg(test)]
mod testing;

//! What can be proven later: signatures, hash trees, timestamps, containers, verification.
//!
//! The evidence of one message is
//! - a XAdES **signature** over the digests of its parts ([`signature`], [`xades`]), with the certificate and the OCSP
//!   response that were good when it was made;
//! - a **leaf** in the hash tree of a batch ([`tree`], RFC 4998): the SHA-256 of the whole `signatures.xml`;
//! - one RFC 3161 **token** over the tree's root, packed with the leaf's way to the root as an [`evidence_record`]; if wanted, another one in
//!   X-Road's form, over the same leaves ([`timestamp_chain`]).
//!
//! Before a token ages out, a [`renewal`] stamps it again, together with others.
//!
//! [`container`] packs all that with the message into an ASiC-E file that others can read, written as a [`stored_zip`]
//! whose every byte follows from its contents; [`verify`] checks such a file, or a record of the message log, against a
//! registry snapshot and names every check.
//!
//! [`bundle`] packs many records of a log into one file that is written and read in one pass.
//!
//! There are two ways to check a signature, and they share no code above digests and keys. The **hot path**
//! ([`signature::verify`]) never sees XML: a fixed template yields the canonical bytes from a few fields. The
//! **verifier** ([`verify::container`]) reads the XML that is there, with a parser and exclusive canonicalisation of its
//! own ([`c14n`]), so a mistake in the template cannot vouch for itself.
//!
//! Deliberately absent: clocks, files, sockets, a runtime, private keys.
#![forbid(unsafe_code)]

pub mod bundle;
pub mod c14n;
mod compact;
pub mod container;
pub mod evidence_record;
pub mod globalconf;
mod hash_chain;
pub mod log_checkpoints;
pub mod material;
pub mod renewal;
pub mod report;
pub mod signature;
pub mod stored_zip;
pub mod timestamp_chain;
pub mod tree;
pub mod verification_conf;
pub mod verify;
pub mod xades;

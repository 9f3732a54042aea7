//! What the parties of an instance say to each other.
//!
//! This crate is pure vocabulary: identifiers, the REST message whose bytes are signed, digests, faults, limits, and
//! the protobuf schemas of the tunnel, the message log and the registry snapshot ([`wire`]).
//!
//! Deliberately absent: clocks, files, sockets, a runtime, and anything that decides whom to believe (`kogge-certs`).
#![forbid(unsafe_code)]

pub mod digest;
pub mod fault;
pub mod id;
pub mod limits;
pub mod message;
pub mod time;
pub mod wire;

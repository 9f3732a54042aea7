//! This server's own standing with the trust services: its certificates and their OCSP responses, timestamps for its records, and
//! whether its clock can be believed.

mod clock_check;
mod ocsp;
mod own_keys;
mod timestamper;
mod verdicts;

pub(crate) use clock_check::{ClockCheck, ClockOff, ClockSource};
pub(crate) use ocsp::{OcspKeeper, OcspStore};
pub use own_keys::OwnKeys;
pub(crate) use own_keys::Unusable;
pub(crate) use timestamper::{Forms, Leaves, Timestamper};
pub(crate) use verdicts::{Shown, Verdicts};

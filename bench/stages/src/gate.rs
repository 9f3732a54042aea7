//! The gate: instructions of each stage, compared with those that are checked in.
//!
//! Counts hang on the compiler, and for cryptography on the processor that callgrind shows to the program. Both stand in the table. With another
//! compiler than the table's nothing can be said, and the gate says so loudly and lets pass; so that it is never switched off for good by
//! that, the table must be of the compiler that the workspace names as its `rust-version`. On another processor the stages without
//! cryptography are still judged.

pub mod callgrind;
mod error;
pub mod machine;
pub mod table;

use std::fmt;

pub use error::GateError;
use machine::Machine;
use table::Table;

use crate::{Kind, Stage};

/// What came out for one stage.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Finding {
    /// Within [`TOLERANCE_PERCENT`] of the table.
    Same,
    /// Dearer than the table says by more than that: the change must not be merged.
    Dearer {
        /// According to the table.
        old: u64,
        /// Now.
        new: u64,
    },
    /// Cheaper than the table says by more than that: the table should be written anew, so that the gain is not lost again.
    Cheaper {
        /// According to the table.
        old: u64,
        /// Now.
        new: u64,
    },
    /// Not in the table: it must be written anew.
    Unknown {
        /// Now.
        new: u64,
    },
    /// Cannot be judged on this processor.
    OtherProcessor,
}

/// Whether counts of this machine can be compared with the table's at all.
///
/// # Errors
/// [`GateError::StaleTable`]: the table is of another compiler than `rust_version`, the workspace's, such as `1.95`.
pub fn is_comparable(table: &Table, machine: &Machine, rust_version: &str) -> Result<bool, GateError> {
    if table.machine.release() != rust_version {
        let (table, workspace) = (table.machine.rustc.clone(), rust_version.to_owned());
        return Err(GateError::StaleTable { table, workspace });
    }
    Ok(machine.release() == rust_version)
}

/// Judges one stage.
#[must_use]
pub fn judge(stage: &Stage, new: u64, table: &Table, machine: &Machine) -> Finding {
    let Some(old) = table.instructions(stage.name) else { return Finding::Unknown { new } };
    if stage.kind == Kind::Cryptographic && table.machine.processor != machine.processor {
        return Finding::OtherProcessor;
    }
    let (before, now) = (u128::from(old) * 100, u128::from(new) * 100);
    let tolerance = u128::from(old) * TOLERANCE_PERCENT;
    if now > before + tolerance {
        Finding::Dearer { old, new }
    } else if now + tolerance < before {
        Finding::Cheaper { old, new }
    } else {
        Finding::Same
    }
}

impl Finding {
    /// Whether the change must not be merged as it is.
    #[must_use]
    pub fn is_failure(&self) -> bool {
        matches!(self, Self::Dearer { .. } | Self::Unknown { .. })
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Same => f.write_str("as before"),
            Self::Dearer { old, new } => {
                write!(f, "DEARER: {new} instructions instead of {old} ({:+.1} %)", percent(*old, *new))
            }
            Self::Cheaper { old, new } => write!(
                f,
                "cheaper: {new} instructions instead of {old} ({:+.1} %): please update the table with --bless",
                percent(*old, *new)
            ),
            Self::Unknown { new } => {
                write!(f, "NOT IN THE TABLE: {new} instructions; add it with --bless")
            }
            Self::OtherProcessor => f.write_str("SKIPPED: the table is of another processor"),
        }
    }
}

fn percent(old: u64, new: u64) -> f64 {
    #[allow(clippy::cast_precision_loss, reason = "for people, to one decimal place")]
    let ratio = new as f64 / old.max(1) as f64;
    (ratio - 1.0) * 100.0
}

/// Two counts of one build differed by 1.5 % at most in the stages that were repeated (`message.parse`, `authorise`).
pub const TOLERANCE_PERCENT: u128 = 5;

#[cfg(test)]
mod tests;

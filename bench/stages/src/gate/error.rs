//! Why the gate cannot judge.

use std::io;
use std::path::PathBuf;

/// Why the gate cannot judge.
#[derive(Debug, thiserror::Error)]
pub enum GateError {
    /// There is no such stage.
    #[error("there is no stage {0}; without arguments all are counted")]
    NoStage(String),
    /// A program that is needed is missing.
    #[error("cannot start {program}: {source}; install it")]
    Program {
        /// Which.
        program: &'static str,
        /// What the operating system says.
        source: io::Error,
    },
    /// A file cannot be read or written.
    #[error("cannot use {path}: {source}", path = .path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// What the operating system says.
        source: io::Error,
    },
    /// The table is not what this program writes.
    #[error("line {line} of the table is not understood: {reason}; write it anew with --bless")]
    Table {
        /// Which, from 1.
        line: usize,
        /// Why.
        reason: &'static str,
    },
    /// The table is of another compiler than the workspace uses.
    #[error(
        "the table was counted with {table}, but the workspace now names Rust {workspace}: write it anew with --bless, in a commit that changes nothing else"
    )]
    StaleTable {
        /// The table's compiler.
        table: String,
        /// The workspace's `rust-version`.
        workspace: String,
    },
    /// Valgrind did not count what it should have.
    #[error("callgrind did not count the stages: {0}")]
    Callgrind(String),
}

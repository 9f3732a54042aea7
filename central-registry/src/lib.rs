//! The authority: who takes part in an instance, told to everybody by a signed snapshot.
//!
//! ```text
//! operator ── change ──▶ journal ── fold ──▶ state ── draft, sign ──▶ published/ ──▶ GET /snapshot
//! ```
//!
//! The ground truth is the journal: signed decisions in a hash chain. The state is a pure fold over it, and a snapshot a
//! pure function of state, version and time. Operators' commands append to the journal from processes of their own; the
//! running registry notices a longer journal and publishes. `index/` only helps to find old snapshots and is rebuilt at will.
//!
//! A registry is a directory: `anchor.toml` (to be handed to everybody), `token/` (root and online keys), `journal/`, `published/`
//! (every snapshot ever served, for auditors), `index/`, `lock`.
//!
//! Invariants:
//! - a change that was acknowledged is in the journal, synced, and in every later snapshot;
//! - a version, once served, is on disk and never given to other content;
//! - what the journal holds can be published: a change that would make an invalid snapshot is refused before it is recorded.
//!
//! Not yet: root keys apart from the online key. `init` makes one of each in the same token, so whoever steals the token has both.
//!
//! Deliberately absent: any part in an exchange. Security servers work from their last snapshot while the registry is down.
#![forbid(unsafe_code)]

mod archive;
mod clock;
mod config;
mod decisions;
mod error;
mod history;
mod index;
mod journal;
mod ledger;
mod operator;
mod publish;
mod server;
mod state;
#[cfg(test)]
mod testing;

pub use self::archive::ArchiveError;
pub use self::config::{Config, TlsConfig};
pub use self::decisions::decisions;
pub use self::error::RegistryError;
pub use self::history::{Decision, History, history};
pub use self::index::IndexError;
pub use self::journal::JournalError;
pub use self::operator::{
    Applied, CHANGES_MAX, InitOptions, OnlineKey, Operator, change, init, renew_delegation, show,
};
pub use self::server::{CentralRegistry, run};
pub use self::state::{Change, Refusal, State};

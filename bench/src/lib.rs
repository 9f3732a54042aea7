//! What an exchange costs, beside what two dumb proxies cost.
//!
//! ```text
//! load generator ──▶ A ──▶ B ──▶ backend        a chain: the product's two security servers, or the floor's two proxies
//! ```
//!
//! Absolute numbers tell more of the machine than of the program. So the same load goes in turn through the product, through the **floor** (nginx or
//! HAProxy: two hops of mutual TLS without signatures or log) and through the **base line** (hyper and quinn alone), with the same backend behind
//! them, and what counts is the ratio within each group of runs that stand side by side ([`Series`]). A run beside which somebody else used the machine is made
//! again, and it is said how often. The product's runs count only if every exchange that the load generator saw answered is found whole and
//! valid in both logs ([`Audit`]).
//!
//! Deliberately absent: how the product is set up, and how its logs are verified. The caller, who has both, hands them in.
#![forbid(unsafe_code)]

mod account;
mod audit;
mod backend;
mod baseline;
mod chain;
mod child;
mod error;
mod first;
mod floor;
mod gate;
mod goals;
mod histogram;
mod idle;
mod large;
mod load;
mod report;
mod run;
mod runner;
mod series;
mod spin;
mod spread;
mod stages;
mod stall;
mod tls_files;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

pub use self::audit::{Answered, Audit, AuditResult, Sighting};
pub use self::backend::{Backend, serve_backend};
pub use self::baseline::{BaseLine, Carrier, HopArgs, HopRole, serve_hop};
pub use self::chain::{Chain, ChainKind, Part};
pub use self::error::BenchError;
pub use self::first::until_answered;
pub use self::floor::{Floor, Stack};
pub use self::goals::{Findings, Goal};
pub use self::histogram::Histogram;
pub use self::idle::Idle;
pub use self::large::{LargePlan, LargeRuns};
pub use self::load::{Pace, Pair, Requests, Schedule, number_of};
pub use self::report::Report;
pub use self::series::{Plan, Series, fill};
pub use self::spin::{Spinners, spin};
pub use self::stages::{Stage, stages};
pub use self::stall::{Stall, Steady, UnderLoad};
pub use self::tls_files::TlsFiles;

/// Asks a measurement to end early. All clones see the same.
#[derive(Clone, Debug, Default)]
pub struct Stop(Arc<AtomicBool>);

impl Stop {
    /// Asks.
    pub fn ask(&self) {
        self.0.store(true, Ordering::SeqCst);
    }

    /// Whether somebody has asked.
    #[must_use]
    pub fn asked(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }
}

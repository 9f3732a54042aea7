//! Each stage of an exchange that can run alone: once set up, then run as often as asked for.
//!
//! Two programs drive them. `benches/stages.rs` takes their times, with criterion. `src/main.rs` counts their instructions under callgrind and
//! compares them with `bench/instructions.tsv`: unlike times they hardly move beside busy neighbours, so a change that makes a stage dearer is
//! seen before it is merged.
//!
//! A crate of its own, so that the gate builds neither the load generator nor the `kogge` binary, and neither of them the stages.
//!
//! Deliberately absent: waiting for a disk or a peer. What an exchange costs as a whole is `kogge bench`'s business.
#![forbid(unsafe_code)]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a measuring tool: a stage that does not do its work must end the measurement"
)]

mod evidence;
mod exchange;
pub mod gate;
mod message;
mod record;
mod registry;
mod signature;
mod world;

pub use exchange::Exchange;
pub use world::World;

/// A stage of an exchange.
#[derive(Clone, Copy)]
pub struct Stage {
    /// Its name in tables: what, then of which kind or size.
    pub name: &'static str,
    /// What its instruction count hangs on.
    pub kind: Kind,
    /// How often it runs in one measurement, so that all stages take about as long.
    pub times: u32,
    prepare: fn(&World) -> Work,
}

/// What the instruction count of a stage hangs on, beside its source.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Kind {
    /// The compiler.
    Plain,
    /// The compiler and the processor: the cryptographic libraries have code for each generation of processors.
    Cryptographic,
}

/// A stage that is set up.
pub struct Work(Box<dyn FnMut()>);

/// All of them, in the order in which an exchange comes by.
#[must_use]
pub fn all() -> Vec<Stage> {
    [message::STAGES, registry::STAGES, signature::STAGES, record::STAGES, evidence::STAGES].concat()
}

impl Stage {
    const fn plain(name: &'static str, times: u32, prepare: fn(&World) -> Work) -> Self {
        Self { name, kind: Kind::Plain, times, prepare }
    }

    const fn cryptographic(name: &'static str, times: u32, prepare: fn(&World) -> Work) -> Self {
        Self { name, kind: Kind::Cryptographic, times, prepare }
    }

    /// Sets it up, and runs it once: what is done only the first time is not the stage.
    #[must_use]
    pub fn prepare(&self, world: &World) -> Work {
        let mut work = (self.prepare)(world);
        work.run();
        work
    }
}

impl Work {
    /// Keeps the result of `run` from being optimised away.
    fn new<T>(mut run: impl FnMut() -> T + 'static) -> Self {
        Self(Box::new(move || {
            std::hint::black_box(run());
        }))
    }

    /// Runs the stage once.
    pub fn run(&mut self) {
        (self.0)();
    }
}

/// Runs a stage. Callgrind counts inside this function and nowhere else ([`gate::callgrind`]), so it must not be inlined.
#[inline(never)]
pub fn measured(work: &mut Work, times: u32) {
    for _ in 0..times {
        work.run();
    }
}

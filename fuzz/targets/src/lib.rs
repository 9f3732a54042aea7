//! What the fuzzer calls: one function for each kind of bytes that comes from outside.
//!
//! A target never panics, whatever it is given. Most demand more: what is accepted writes itself back to the same bytes, and no container passes but the
//! known ones. `cargo test -p kogge-fuzz-targets` replays the corpus; `fuzz/run` searches on (CONTRIBUTING.md, "Fuzzing").
#![forbid(unsafe_code)]
#![allow(clippy::panic, reason = "a target says by a panic that a property does not hold")]

mod bundles;
mod containers;
mod logs;
mod registry;
mod texts;
mod trust;
pub mod world;

/// One kind of input.
#[derive(Clone, Copy)]
pub struct Target {
    /// Name of its folder in the corpus.
    pub name: &'static str,
    /// Takes one input.
    pub run: fn(&[u8]),
}

/// All of them.
pub const TARGETS: &[Target] = &[
    target("container", containers::container),
    target("container_part", containers::container_part),
    target("xroad_container", containers::xroad_container),
    target("xroad_part", containers::xroad_part),
    target("canonical_xml", containers::canonical_xml),
    target("shared_params", containers::shared_params),
    target("evidence_record", containers::evidence_record),
    target("certificate", trust::certificate),
    target("ocsp_response", trust::ocsp_response),
    target("ocsp_request", trust::ocsp_request),
    target("timestamp_response", trust::timestamp_response),
    target("timestamp_request", trust::timestamp_request),
    target("timestamp_token", trust::timestamp_token),
    target("snapshot", registry::snapshot),
    target("anchor", registry::anchor),
    target("journal", registry::journal),
    target("segment", logs::segment),
    target("segment_entries", logs::segment_entries),
    target("record", logs::record),
    target("bundle", bundles::bundle),
    target("message", texts::message),
    target("identifier", texts::identifier),
    target("frame", texts::frame),
    target("checkpoint", texts::checkpoint),
    target("note", texts::note),
    target("tile", texts::tile),
];

/// The target of this name.
#[must_use]
pub fn by_name(name: &str) -> Option<Target> {
    TARGETS.iter().copied().find(|target| target.name == name)
}

const fn target(name: &'static str, run: fn(&[u8])) -> Target {
    Target { name, run }
}

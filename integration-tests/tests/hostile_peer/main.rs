//! Peers that do what they must not, against the real processes of a demo: a consumer's security server that sends anything
//! ([`consumer`]), a provider's that answers anything ([`provider`]), and strangers ([`stranger`]).
//!
//! The peers are made of the demo's own keys and of `kogge-transport`; where that refuses to send what breaks the wire format, of rustls, quinn
//! and h2 alone ([`raw`]).
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests fail by panicking")]

mod consumer;
mod letter;
mod provider;
mod raw;
mod scene;
mod stranger;

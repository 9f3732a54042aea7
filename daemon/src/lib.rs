//! What every daemon does: configuration files, telemetry, HTTP plumbing, shutdown.
//!
//! What may not go in here: words of the field, and helpers that only one daemon uses.
#![forbid(unsafe_code)]

pub mod client;
pub mod config;
pub mod server;
pub mod shutdown;
pub mod telemetry;

#[cfg(test)]
mod self_signed;

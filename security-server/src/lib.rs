//! The broker between an agency's information systems and its peers' registers.
//!
//! # The life of a request
//!
//! [`consumer::Consumer::exchange`] and `provider::Provider::answer` are one function each; every line's verb is a file, and
//! every line's result is what the next one needs. A request moves through these types, and through no others:
//!
//! | side | stage | made by | proves |
//! |---|---|---|---|
//! | consumer | `Received` | `consumer::receive` | well-formed message, bounded and digested body |
//! | consumer | `Authenticated` | `consumer::authenticate` | this connection may speak for a subsystem registered here |
//! | consumer | `Routed` | `consumer::resolve` | the provider is in this very snapshot |
//! | consumer | `Signed<Routed>` | `signing` | evidence exists |
//! | consumer | `OnRecord<Signed<Routed>>` | `logging` | on record before it leaves: durable, or written if its method is safe |
//! | provider | `Received` | `provider::accept` | frames within limits, digests as declared, a known peer |
//! | provider | `Verified` | `provider::verify` | signature, certificate, OCSP, member, registration; never seen before |
//! | provider | `Authorised` | `provider::authorise` | an access right covers it, the purpose is accepted |
//! | provider | `OnRecord<Authorised>` | `logging` | evidence before effect: only this reaches the register; durable, or written if its method is safe |
//! | provider | `Logged<Signed<Answer>>` | `signing`, `logging` | answer and request are durable evidence before it leaves |
//! | consumer | `Verified` | `consumer::verify` | the answer to *our* request, signed by the provider's member |
//! | consumer | `Logged<Verified>` | `logging` | answer and request are durable: only this reaches the information system |
//!
//! Each proof's fields are private to the file that makes it, so no other order compiles. What the register is called with:
//!
//! ```
//! # use kogge_security_server::{logging::OnRecord, provider::{authorise::Authorised, backend::*}};
//! async fn call(backend: &Backend, request: OnRecord<Authorised>, deadline: tokio::time::Instant) {
//!     let _ = backend.call(request, deadline).await;
//! }
//! ```
//!
//! A request that is permitted but not on record, one that is verified but not permitted, and one that is not verified do not do:
//!
//! ```compile_fail,E0308
//! # use kogge_security_server::provider::{authorise::Authorised, backend::*};
//! async fn call(backend: &Backend, request: Authorised, deadline: tokio::time::Instant) {
//!     let _ = backend.call(request, deadline).await;
//! }
//! ```
//! ```compile_fail,E0308
//! # use kogge_security_server::{logging::OnRecord, provider::{backend::*, verify::Verified}};
//! async fn call(backend: &Backend, request: OnRecord<Verified>, deadline: tokio::time::Instant) {
//!     let _ = backend.call(request, deadline).await;
//! }
//! ```
//! ```compile_fail,E0277
//! # use kogge_security_server::{logging::Logging, provider::verify::Verified};
//! async fn log(logging: &Logging, request: Verified, deadline: tokio::time::Instant) {
//!     let _ = logging.append(request, deadline).await;
//! }
//! ```
//! ```compile_fail,E0451
//! # use kogge_security_server::provider::{authorise::Authorised, verify::Verified};
//! fn permit(verified: Verified) -> Authorised {
//!     Authorised { verified }
//! }
//! ```
//!
//! Deliberately absent: a switch that skips a stage, handler lists, retries after the first byte, unlogged exchanges.
#![forbid(unsafe_code)]

pub mod admin;
pub mod body;
pub mod clock;
mod completeness;
pub mod config;
pub mod consumer;
pub mod erasure;
pub mod exchange;
mod fault;
mod gate;
pub mod log_key;
pub mod logging;
mod metrics;
pub mod provider;
mod registry;
mod report;
mod server;
pub mod services;
pub mod signing;
pub mod timestamping;
mod trust;

pub use config::{Config, ConfigError};
pub use server::{GRACE, SecurityServer, ServerError, run};
#[doc(hidden)] // named by tests outside that show which order of steps does not compile
pub use trust::OwnKeys;

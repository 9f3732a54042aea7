//! A harness for black-box tests: the real binary, real processes, real TLS, real files.
//!
//! [`Demo`] starts a whole instance with `kogge demo` and gives its endpoints; [`Process`] is one of its processes, to kill; [`http`] speaks to it as an agency backend would; [`tool`] finds
//! the judges that others wrote. Nothing here knows how the product works inside.
#![forbid(unsafe_code)]
#![allow(clippy::panic, reason = "a harness: a panic is how a test fails")]

pub mod demo;
pub mod dice;
pub mod expectations;
pub mod http;
pub mod process;
pub mod startup;
pub mod tool;

pub use demo::Demo;
pub use expectations::ROLES;
pub use process::Process;
pub use startup::Refusal;

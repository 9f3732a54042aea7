//! One binary with every role of Kogge.
#![forbid(unsafe_code)]

use std::process::ExitCode;

fn main() -> ExitCode {
    kogge::main()
}

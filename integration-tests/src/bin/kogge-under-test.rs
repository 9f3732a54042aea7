//! The `kogge` binary under a name of its own, so that the tests of this package always run what was just built.
#![forbid(unsafe_code)]

use std::process::ExitCode;

fn main() -> ExitCode {
    kogge::main()
}

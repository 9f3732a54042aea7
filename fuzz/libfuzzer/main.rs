//! One target, named by `KOGGE_FUZZ_TARGET`, under LLVM's fuzzer. `fuzz/run` builds and starts it.
#![no_main]

use std::sync::OnceLock;

use kogge_fuzz_targets::{TARGETS, Target, by_name};
use libfuzzer_sys::fuzz_target;

static TARGET: OnceLock<Target> = OnceLock::new();

fn chosen() -> Target {
    let name = std::env::var("KOGGE_FUZZ_TARGET").unwrap_or_default();
    by_name(&name).unwrap_or_else(|| {
        let names: Vec<&str> = TARGETS.iter().map(|target| target.name).collect();
        eprintln!("KOGGE_FUZZ_TARGET must be one of: {}", names.join(" "));
        std::process::exit(2)
    })
}

fuzz_target!(init: { TARGET.get_or_init(chosen); }, |data: &[u8]| {
    (TARGET.get_or_init(chosen).run)(data);
});

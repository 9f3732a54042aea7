//! The gate: `cargo run --profile profiling -p kogge-stages -- [--bless] [STAGE…]`.
//!
//! Counts the instructions of each stage and compares them with `bench/instructions.tsv`; ends with 1 if one is dearer. With `--bless` it writes
//! the table instead.
#![forbid(unsafe_code)]

use std::process::ExitCode;

use kogge_stages::gate::callgrind::{self, RUN};
use kogge_stages::gate::machine::{self, Machine};
use kogge_stages::gate::table::Table;
use kogge_stages::gate::{GateError, is_comparable, judge};
use kogge_stages::{Stage, all};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let done = match words.as_slice() {
        [RUN, names @ ..] => chosen(names).map(|stages| {
            callgrind::run(&stages);
            ExitCode::SUCCESS
        }),
        ["--bless", names @ ..] => chosen(names).and_then(|stages| bless(&stages)),
        names => chosen(names).and_then(|stages| check(&stages)),
    };
    done.unwrap_or_else(|error| {
        eprintln!("{error}");
        ExitCode::FAILURE
    })
}

/// The stages of these names; without names all.
fn chosen(names: &[&str]) -> Result<Vec<Stage>, GateError> {
    if names.is_empty() {
        return Ok(all());
    }
    let find = |name: &&str| all().into_iter().find(|stage| stage.name == *name);
    names.iter().map(|name| find(name).ok_or_else(|| GateError::NoStage((*name).to_owned()))).collect()
}

fn check(stages: &[Stage]) -> Result<ExitCode, GateError> {
    let table = Table::read(&Table::path())?;
    let rustc = machine::rustc()?;
    let mut machine = Machine { rustc, processor: table.machine.processor.clone() };
    if !is_comparable(&table, &machine, RUST_VERSION)? {
        let (here, there) = (&machine.rustc, &table.machine.rustc);
        eprintln!("SKIPPED: instruction counts of {here} cannot be compared with the table's, of {there}");
        return Ok(ExitCode::SUCCESS);
    }
    let counted = callgrind::count(stages)?;
    machine.processor = counted.processor;
    let mut failures = 0;
    for (stage, new) in stages.iter().zip(counted.instructions) {
        let finding = judge(stage, new, &table, &machine);
        failures += usize::from(finding.is_failure());
        println!("{:<24} {new:>12}  {finding}", stage.name);
    }
    if failures == 0 {
        return Ok(ExitCode::SUCCESS);
    }
    eprintln!(
        "{failures} stages need more instructions than bench/instructions.tsv allows: make them cheaper, or run this with --bless and say why in the commit"
    );
    Ok(ExitCode::FAILURE)
}

fn bless(stages: &[Stage]) -> Result<ExitCode, GateError> {
    let counted = callgrind::count(stages)?;
    let machine = Machine { rustc: machine::rustc()?, processor: counted.processor };
    let counts: Vec<(&str, u64)> = stages.iter().map(|stage| stage.name).zip(counted.instructions).collect();
    let path = Table::path();
    let old = match Table::read(&path) {
        // Counts of another compiler or processor must not stand beside new ones.
        Ok(table) if table.machine == machine => table,
        _ => Table { machine: machine.clone(), rows: Vec::new() },
    };
    let names: Vec<&str> = all().iter().map(|stage| stage.name).collect();
    let text = old.blessed(machine, &counts, &names).to_text();
    std::fs::write(&path, &text).map_err(|source| GateError::File { path, source })?;
    print!("{text}");
    Ok(ExitCode::SUCCESS)
}

/// The compiler that the workspace is written for, such as `1.95`.
const RUST_VERSION: &str = env!("CARGO_PKG_RUST_VERSION");

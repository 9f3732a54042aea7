//! Counting with valgrind: which instructions a stage executes, and nothing of its set-up.
//!
//! One process runs all stages, each so many times and then twice as many times. Callgrind counts only inside [`crate::measured`] and writes
//! its sum to a file of its own each time that function returns. The difference of the two is what the additional runs took.

use std::path::Path;
use std::process::{Command, Stdio};

use super::{GateError, machine};
use crate::{Stage, World, measured};

/// What was counted.
#[derive(Clone, Debug)]
pub struct Counted {
    /// Instructions of one run, in the order of the stages.
    pub instructions: Vec<u64>,
    /// The processor that the stages saw.
    pub processor: String,
}

/// Counts the instructions of stages, in the child process that runs [`run`].
///
/// # Errors
/// Valgrind is missing or did not count.
pub fn count(stages: &[Stage]) -> Result<Counted, GateError> {
    let dir = tempfile::tempdir().map_err(file(&std::env::temp_dir()))?;
    let counts = dir.path().join("counts");
    let program = std::env::current_exe().map_err(file(Path::new("/proc/self/exe")))?;
    let output = Command::new(VALGRIND)
        .args(["--tool=callgrind", "--quiet", "--collect-atstart=no", "--collect-jumps=no"])
        .args([format!("--toggle-collect={MEASURED}"), format!("--dump-after={MEASURED}")])
        .arg(format!("--callgrind-out-file={}", counts.display()))
        .arg(program)
        .arg(RUN)
        .args(stages.iter().map(|stage| stage.name))
        .stderr(Stdio::inherit())
        .output()
        .map_err(|source| GateError::Program { program: VALGRIND, source })?;
    if !output.status.success() {
        return Err(GateError::Callgrind(format!("{VALGRIND} ended with {}", output.status)));
    }
    let sums = (1..=2 * stages.len())
        .map(|part| sum(&counts.with_extension(part.to_string())))
        .collect::<Result<Vec<u64>, _>>()?;
    let instructions = stages.iter().zip(sums.chunks(2)).map(|(stage, sums)| per_run(stage, sums));
    let processor = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    Ok(Counted { instructions: instructions.collect::<Result<_, _>>()?, processor })
}

/// What the counted process does; it prints the processor that it sees.
pub fn run(stages: &[Stage]) {
    println!("{}", machine::processor());
    let world = World::new();
    for stage in stages {
        let mut work = stage.prepare(&world);
        measured(&mut work, stage.times);
        measured(&mut work, 2 * stage.times);
    }
}

fn per_run(stage: &Stage, sums: &[u64]) -> Result<u64, GateError> {
    match sums {
        [once, twice] if once < twice => Ok((twice - once) / u64::from(stage.times)),
        _ => Err(GateError::Callgrind(format!("{} took {sums:?} instructions", stage.name))),
    }
}

/// The sum in one of callgrind's files.
fn sum(path: &Path) -> Result<u64, GateError> {
    let text = std::fs::read_to_string(path).map_err(file(path))?;
    let total = text.lines().find_map(|line| line.strip_prefix("totals: "));
    let total = total.and_then(|total| total.trim().parse().ok());
    total.ok_or_else(|| GateError::Callgrind(format!("{} has no totals", path.display())))
}

fn file(path: &Path) -> impl FnOnce(std::io::Error) -> GateError {
    let path = path.to_path_buf();
    move |source| GateError::File { path, source }
}

/// The first argument of the counted process.
pub const RUN: &str = "run";
const VALGRIND: &str = "valgrind";
/// [`crate::measured`] as callgrind reads it from the program. Exact: with a `*` it counts, but writes no file.
const MEASURED: &str = "kogge_stages::measured";

//! Daemons that are to refuse to start, and what they say then.

use std::path::Path;

use crate::Process;

/// How a daemon ended that did not start.
#[derive(Clone, Debug)]
pub struct Refusal {
    /// Its exit code.
    pub code: Option<i32>,
    /// All it printed.
    pub output: String,
}

impl Refusal {
    /// Runs a daemon that must end by itself.
    ///
    /// # Panics
    /// It starts, or cannot be run.
    #[must_use]
    pub fn of(binary: &Path, args: &[&str]) -> Self {
        let dir = tempfile::tempdir().unwrap_or_else(|error| panic!("{error}"));
        let mut process = Process::new(binary, args, dir.path());
        let ended = process.start().and_then(|()| process.wait());
        let output = process.output();
        match ended {
            Ok(status) => Self { code: status.code(), output },
            Err(error) => panic!("{args:?}: {error:#}\n{output}"),
        }
    }

    /// It ended with this code, its last line is a message that has all these words, and nothing looks like a crash.
    ///
    /// # Panics
    /// Something of that is not so.
    pub fn assert(&self, what: &str, code: i32, words: &[&str]) {
        let output = &self.output;
        assert_eq!(self.code, Some(code), "{what}: {output}");
        let message = output.rfind("kogge: ").map_or("", |at| &output[at..]);
        for word in words {
            assert!(message.contains(word), "{what}: the message does not say {word:?}: {output}");
        }
        for crash in ["panicked", "backtrace", "RUST_", ".rs:"] {
            assert!(!output.contains(crash), "{what}: {output}");
        }
    }

    /// The command line was not understood, and the usage shown names `argument`.
    ///
    /// # Panics
    /// Something of that is not so.
    pub fn assert_usage(&self, argument: &str) {
        assert_eq!(self.code, Some(2), "{}", self.output);
        assert!(self.output.contains(argument) && self.output.contains("Usage:"), "{}", self.output);
    }
}

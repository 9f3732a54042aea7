//! How a command ends: 0 for success, 1 when what was asked for failed, 2 when an input cannot be used or the usage is wrong.

use std::fmt::Display;
use std::io;
use std::process::ExitCode;

/// Exit code when what was asked for failed, or was not found.
pub(crate) const FAILED: u8 = 1;
/// Exit code when an input cannot be read or used, or the usage is wrong.
pub(crate) const UNUSABLE: u8 = 2;

/// Why a command did not succeed.
#[derive(Debug)]
pub(crate) enum Failure {
    /// What was asked for failed.
    Failed(anyhow::Error),
    /// An input cannot be read or used.
    Unusable(anyhow::Error),
    /// Standard output cannot be written.
    Output(io::Error),
}

impl Failure {
    /// Says on standard error what is wrong and gives the exit code.
    pub(crate) fn report(&self) -> ExitCode {
        match self {
            Self::Failed(error) => say(error, FAILED),
            Self::Unusable(error) => say(error, UNUSABLE),
            // Whoever read our output has seen enough, as with `| head`. The result was not seen whole, so this is no success.
            Self::Output(error) if error.kind() == io::ErrorKind::BrokenPipe => FAILED.into(),
            Self::Output(error) => say(&anyhow::anyhow!("cannot write the output: {error}"), FAILED),
        }
    }
}

fn say(error: &anyhow::Error, code: u8) -> ExitCode {
    eprintln!("kogge: {}", story(error));
    code.into()
}

/// An error with its causes, leaving out those that it tells already.
fn story(error: &anyhow::Error) -> String {
    let mut story = error.to_string();
    for cause in error.chain().skip(1).map(ToString::to_string) {
        if !story.contains(&cause) {
            story.push_str(": ");
            story.push_str(&cause);
        }
    }
    story
}

/// Says which of the two kinds of failure an error is.
pub(crate) trait OrFail<T> {
    /// What was asked for failed: exit code 1.
    fn or_failed(self) -> Result<T, Failure>;
    /// An input cannot be used: exit code 2.
    fn or_unusable(self) -> Result<T, Failure>;
    /// An input cannot be used, with which one in front: exit code 2.
    fn or_unusable_with(self, what: impl Display) -> Result<T, Failure>;
}

impl<T, E: Into<anyhow::Error>> OrFail<T> for Result<T, E> {
    fn or_failed(self) -> Result<T, Failure> {
        self.map_err(|error| Failure::Failed(error.into()))
    }

    fn or_unusable(self) -> Result<T, Failure> {
        self.map_err(|error| Failure::Unusable(error.into()))
    }

    fn or_unusable_with(self, what: impl Display) -> Result<T, Failure> {
        self.map_err(|error| Failure::Unusable(error.into().context(what.to_string())))
    }
}

/// For commands that tell their failures as `anyhow` errors.
impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        Self::Failed(error)
    }
}

/// Only output is written with `?`; every other input and output error says what it was about.
impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Output(error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cause_is_told_once() {
        let io = || io::Error::other("the disk is gone");
        let wrapped = anyhow::Error::from(io()).context("cannot read the pin");
        assert_eq!(story(&wrapped), "cannot read the pin: the disk is gone");
        let quoted = anyhow::Error::from(io()).context("cannot read the pin: the disk is gone");
        assert_eq!(story(&quoted), "cannot read the pin: the disk is gone");
    }
}

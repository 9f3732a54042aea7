//! What a check came to, on its way into the report.

use crate::report::Report;

/// What a check yields: a value for later checks with a sentence for the report, or why it does not hold.
pub(super) type Finding<T> = Result<(T, String), Flaw>;

/// Why a check does not pass.
#[derive(Clone, Debug)]
pub(super) enum Flaw {
    /// It does not hold.
    Wrong(String),
    /// It cannot be said, because this is missing.
    Missing(String),
}

/// A flaw in the evidence, in the words of an error or of its own.
#[allow(clippy::needless_pass_by_value, reason = "errors come by value out of `map_err`")]
pub(super) fn wrong(reason: impl ToString) -> Flaw {
    Flaw::Wrong(reason.to_string())
}

/// The input of a check, or the flaw that it is missing.
pub(super) fn need<'a, T: ?Sized>(input: Option<&'a T>, what: &str) -> Result<&'a T, Flaw> {
    input.ok_or_else(|| Flaw::Missing(format!("not checked: {what} failed or was not checked")))
}

/// The input of a check that another check has to judge: if it is wrong, that one says so, and this one has nothing to go by.
pub(super) fn depend<T>(input: &Result<T, Flaw>) -> Result<&T, Flaw> {
    input.as_ref().map_err(|flaw| match flaw {
        Flaw::Wrong(reason) => Flaw::Missing(format!("not checked: {reason}")),
        Flaw::Missing(reason) => Flaw::Missing(reason.clone()),
    })
}

/// Puts a finding into the report; its value, if it passed.
pub(super) fn settle<T>(report: &mut Report, name: &'static str, finding: Finding<T>) -> Option<T> {
    match finding {
        Ok((value, reason)) => {
            report.pass(name, reason);
            Some(value)
        }
        Err(Flaw::Wrong(reason)) => {
            report.fail(name, reason);
            None
        }
        Err(Flaw::Missing(reason)) => {
            report.unsure(name, reason);
            None
        }
    }
}

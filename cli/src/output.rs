//! What goes to standard output.

use std::io::{self, Write};

use serde::Serialize;

/// Text from outside on one line: a control character in it could forge lines or drive the terminal.
pub(crate) fn line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

/// One JSON value on one line.
pub(crate) fn json_line(out: &mut dyn Write, value: &impl Serialize) -> io::Result<()> {
    serde_json::to_writer(&mut *out, value)?;
    writeln!(out)
}

/// One JSON value for people to read as well.
pub(crate) fn json(out: &mut dyn Write, value: &impl Serialize) -> io::Result<()> {
    serde_json::to_writer_pretty(&mut *out, value)?;
    writeln!(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_from_outside_stays_on_its_line() {
        assert_eq!(line("a\nPASS\u{1b}[2J\r\u{9b}x ä"), "a\u{fffd}PASS\u{fffd}[2J\u{fffd}\u{fffd}x ä");
    }
}

//! How far a long piece of work is, on standard error: a bar on a terminal, else a line every few seconds.

use std::io::{self, IsTerminal};
use std::time::{Duration, Instant};

/// Progress through work of which the whole is known, or not (0).
pub(crate) struct Progress {
    what: &'static str,
    whole: u64,
    on_terminal: bool,
    told: Instant,
    shown: bool,
}

impl Progress {
    /// Of work that is counted in `whole` units, and told as so many of `what`.
    pub(crate) fn new(what: &'static str, whole: u64) -> Self {
        Self { what, whole, on_terminal: io::stderr().is_terminal(), told: Instant::now(), shown: false }
    }

    /// `done` of the whole is done, which is so many of what is counted.
    pub(crate) fn tell(&mut self, done: u64, count: u64) {
        let every = if self.on_terminal { REDRAW_EVERY } else { LINE_EVERY };
        if self.told.elapsed() < every {
            return;
        }
        let line = self.line(done, count);
        if self.on_terminal {
            eprint!("\r{line}");
        } else {
            eprintln!("{line}");
        }
        (self.told, self.shown) = (Instant::now(), true);
    }

    /// Leaves the line.
    pub(crate) fn end(&self) {
        if self.shown && self.on_terminal {
            eprintln!();
        }
    }

    fn line(&self, done: u64, count: u64) -> String {
        let what = self.what;
        let Some(percent) = done.saturating_mul(100).checked_div(self.whole).map(|percent| percent.min(100))
        else {
            return format!("{count} {what}");
        };
        let filled = (percent as usize) * BAR_WIDTH / 100;
        format!("[{}{}] {percent:3} %  {count} {what}", "#".repeat(filled), "-".repeat(BAR_WIDTH - filled))
    }
}

const BAR_WIDTH: usize = 40;
const REDRAW_EVERY: Duration = Duration::from_millis(200);
const LINE_EVERY: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use super::Progress;

    #[test]
    fn a_bar_is_as_full_as_the_work_is_done() {
        let progress = Progress::new("records checked", 200);
        for (done, bar) in
            [(0, "[----------------------------------------]   0 %"), (300, "] 100 %"), (50, "##########--")]
        {
            let line = progress.line(done, 7);
            assert!(line.contains(bar) && line.ends_with("  7 records checked"), "{line}");
        }
        assert_eq!(Progress::new("entries", 0).line(5, 6), "6 entries");
    }
}

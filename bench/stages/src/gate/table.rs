//! The counts that are checked in: `bench/instructions.tsv`.

use std::path::{Path, PathBuf};

use super::GateError;
use super::machine::Machine;

/// Counts with the machine that they were made on.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Table {
    /// Compiler and processor.
    pub machine: Machine,
    /// Stage and instructions per run, in the order of the stages.
    pub rows: Vec<(String, u64)>,
}

impl Table {
    /// Where it lies in the source tree.
    #[must_use]
    pub fn path() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../instructions.tsv")
    }

    /// From its file.
    ///
    /// # Errors
    /// It is not there or not a table.
    pub fn read(path: &Path) -> Result<Self, GateError> {
        let text = std::fs::read_to_string(path)
            .map_err(|source| GateError::File { path: path.to_path_buf(), source })?;
        Self::parse(&text)
    }

    /// From its text.
    ///
    /// # Errors
    /// A line is not of the table's form, or compiler or processor are not named.
    pub fn parse(text: &str) -> Result<Self, GateError> {
        let (mut rustc, mut processor, mut rows) = (None, None, Vec::new());
        for (number, line) in (1..).zip(text.lines()).filter(|(_, line)| !line.starts_with('#')) {
            let wrong = |reason| GateError::Table { line: number, reason };
            match line.split_once('\t').ok_or_else(|| wrong("it has no tab"))? {
                ("rustc", value) => rustc = Some(value.to_owned()),
                ("processor", value) => processor = Some(value.to_owned()),
                (stage, count) => {
                    rows.push((stage.to_owned(), count.parse().map_err(|_| wrong("not a number"))?));
                }
            }
        }
        let missing = |reason| GateError::Table { line: 1, reason };
        let rustc = rustc.ok_or_else(|| missing("the compiler is not named"))?;
        let processor = processor.ok_or_else(|| missing("the processor is not named"))?;
        Ok(Self { machine: Machine { rustc, processor }, rows })
    }

    /// Its text: what [`Table::parse`] reads.
    #[must_use]
    pub fn to_text(&self) -> String {
        let Machine { rustc, processor } = &self.machine;
        let rows: String = self.rows.iter().map(|(stage, count)| format!("{stage}\t{count}\n")).collect();
        format!("{HEAD}rustc\t{rustc}\nprocessor\t{processor}\n{rows}")
    }

    /// What it says about a stage.
    #[must_use]
    pub fn instructions(&self, stage: &str) -> Option<u64> {
        self.rows.iter().find(|(name, _)| name == stage).map(|(_, count)| *count)
    }

    /// Takes over new counts, of this machine and in this order; the counts of stages that are not among them stay if `keep` has their names.
    #[must_use]
    pub fn blessed(self, machine: Machine, counts: &[(&str, u64)], keep: &[&str]) -> Self {
        let count = |name: &str| {
            let new = counts.iter().find(|(counted, _)| *counted == name).map(|(_, count)| *count);
            new.or_else(|| self.instructions(name)).map(|count| (name.to_owned(), count))
        };
        Self { machine, rows: keep.iter().filter_map(|name| count(name)).collect() }
    }
}

const HEAD: &str = "\
# Instructions of one run of each stage, counted by callgrind. Written by
#   cargo run --profile profiling -p kogge-stages -- --bless
# Counts are good for this compiler and, where a stage computes digests or signatures, for this processor as valgrind shows it.
";

#[cfg(test)]
mod tests {
    use super::*;

    fn machine(rustc: &str) -> Machine {
        Machine { rustc: rustc.to_owned(), processor: "x86_64 aes".to_owned() }
    }

    fn table() -> Table {
        let rows = vec![("a".to_owned(), 1), ("b".to_owned(), 2)];
        Table { machine: machine("rustc 1.95.0 (x)"), rows }
    }

    fn reason(text: &str) -> (usize, &'static str) {
        match Table::parse(text).unwrap_err() {
            GateError::Table { line, reason } => (line, reason),
            other => panic!("{other}"),
        }
    }

    #[test]
    fn what_is_written_reads_back() {
        assert_eq!(Table::parse(&table().to_text()).unwrap(), table());
    }

    #[test]
    fn damaged_tables_are_refused() {
        assert_eq!(reason(""), (1, "the compiler is not named"));
        assert_eq!(reason("rustc\tx\na\t1\n"), (1, "the processor is not named"));
        assert_eq!(reason("# head\nrustc\tx\nprocessor\ty\na 1\n"), (4, "it has no tab"));
        assert_eq!(reason("rustc\tx\nprocessor\ty\na\tmany\n"), (3, "not a number"));
        assert_eq!(reason("rustc\tx\n\nprocessor\ty\n"), (2, "it has no tab"));
    }

    #[test]
    fn blessing_some_keeps_others_and_forgets_stages_that_are_gone() {
        let new = table().blessed(machine("rustc 1.96.0 (y)"), &[("c", 3)], &["c", "b"]);
        assert_eq!(new.rows, [("c".to_owned(), 3), ("b".to_owned(), 2)]);
        assert_eq!(new.machine.release(), "1.96");
    }
}

//! The files of a log and their names.

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};

/// How the names of indexes begin that were set aside.
const BAD_INDEX: &str = "index.bad-";

/// How the names of summaries end.
const SUMMARY: &str = ".summary";

/// How the names of what is recent end.
const RECENT: &str = ".recent";

/// The paths of one log.
#[derive(Clone, Debug)]
pub(crate) struct Layout {
    root: PathBuf,
}

impl Layout {
    pub(crate) fn new(root: &Path) -> Self {
        Self { root: root.to_path_buf() }
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    pub(crate) fn segments(&self) -> PathBuf {
        self.root.join("segments")
    }

    pub(crate) fn bodies(&self) -> PathBuf {
        self.root.join("bodies")
    }

    /// Keys of bodies: to be kept apart from backups of everything else.
    pub(crate) fn keys(&self) -> PathBuf {
        self.root.join("keys")
    }

    /// The keys of a segment.
    pub(crate) fn keys_of(&self, segment: u64) -> PathBuf {
        self.keys().join(format!("{segment:010}"))
    }

    /// Numbers of the segments that have keys, ascending.
    pub(crate) fn key_files(&self) -> io::Result<Vec<u64>> {
        let mut numbers = Vec::new();
        for entry in std::fs::read_dir(self.keys())? {
            let name = entry?.file_name();
            let number = name.to_str().and_then(|name| Some((name, name.parse::<u64>().ok()?)));
            numbers.extend(
                number.filter(|(name, number)| format!("{number:010}") == *name).map(|(_, number)| number),
            );
        }
        numbers.sort_unstable();
        Ok(numbers)
    }

    pub(crate) fn spool(&self) -> PathBuf {
        self.root.join("spool")
    }

    pub(crate) fn index(&self) -> PathBuf {
        self.root.join("index")
    }

    /// The summary of a sealed segment.
    pub(crate) fn summary(&self, segment: u64) -> PathBuf {
        self.index().join(format!("{segment:010}{SUMMARY}"))
    }

    /// What a start needs of a sealed segment.
    pub(crate) fn recent(&self, segment: u64) -> PathBuf {
        self.index().join(format!("{segment:010}{RECENT}"))
    }

    /// Numbers of the segments that have a summary.
    pub(crate) fn summaries(&self) -> io::Result<BTreeSet<u64>> {
        self.indexed(SUMMARY)
    }

    /// Numbers of the segments of which something is recent.
    pub(crate) fn recents(&self) -> io::Result<BTreeSet<u64>> {
        self.indexed(RECENT)
    }

    fn indexed(&self, suffix: &str) -> io::Result<BTreeSet<u64>> {
        let entries = match std::fs::read_dir(self.index()) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(BTreeSet::new()),
            entries => entries?,
        };
        let mut numbers = BTreeSet::new();
        for entry in entries {
            let name = entry?.file_name();
            numbers.extend(name.to_str().and_then(|name| name.strip_suffix(suffix)?.parse::<u64>().ok()));
        }
        Ok(numbers)
    }

    /// The database with the blocks of the segments from this one on.
    pub(crate) fn blocks(&self, first_segment: u64) -> PathBuf {
        self.index().join(format!("blocks-{first_segment:010}"))
    }

    /// Where a bad index is set aside at the time `millis`.
    pub(crate) fn bad_index(&self, millis: i64) -> PathBuf {
        self.root.join(format!("{BAD_INDEX}{millis}"))
    }

    /// Indexes that were set aside.
    pub(crate) fn bad_indexes(&self) -> io::Result<Vec<PathBuf>> {
        let mut found = Vec::new();
        for entry in std::fs::read_dir(&self.root)? {
            let entry = entry?;
            if entry.file_name().to_str().is_some_and(|name| name.starts_with(BAD_INDEX)) {
                found.push(entry.path());
            }
        }
        Ok(found)
    }

    pub(crate) fn segment(&self, number: u64) -> PathBuf {
        self.segments().join(segment_name(number))
    }

    /// The note of the newest entry that was known to be acknowledged when the index was last flushed.
    pub(crate) fn acknowledged(&self) -> PathBuf {
        self.root.join("acknowledged")
    }

    /// The note that a write or sync failed in this segment, with the byte offset at which the acknowledged frames end.
    pub(crate) fn suspect_note(&self, number: u64) -> PathBuf {
        self.segments().join(format!("{number:010}.suspect"))
    }

    /// Where the torn tail that began at `offset` is kept.
    pub(crate) fn torn(&self, number: u64, offset: u64, millis: i64) -> PathBuf {
        self.segments().join(format!("{number:010}.{offset}.{millis}.torn"))
    }

    pub(crate) fn body(&self, name: &str) -> PathBuf {
        self.bodies().join(name)
    }

    /// Numbers of the segments that exist, ascending.
    pub(crate) fn segment_numbers(&self) -> io::Result<Vec<u64>> {
        let mut numbers = Vec::new();
        for entry in std::fs::read_dir(self.segments())? {
            numbers.extend(entry?.file_name().to_str().and_then(parse_segment_name));
        }
        numbers.sort_unstable();
        Ok(numbers)
    }
}

/// File name of a segment within `segments/`.
pub(crate) fn segment_name(number: u64) -> String {
    format!("{number:010}.log")
}

/// File name of a body within `bodies/`: the sequence of its record.
pub(crate) fn body_name(sequence: u64) -> String {
    format!("{sequence:020}.body")
}

/// The sequence in a body's file name; `None` for any other name, so that no record can lead out of `bodies/`.
pub(crate) fn parse_body_name(name: &str) -> Option<u64> {
    let sequence = name.strip_suffix(".body")?.parse().ok()?;
    (body_name(sequence) == name).then_some(sequence)
}

fn parse_segment_name(name: &str) -> Option<u64> {
    let number = name.strip_suffix(".log")?.parse().ok()?;
    (segment_name(number) == name).then_some(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_only_in_the_form_in_which_they_are_written() {
        assert_eq!(parse_segment_name("0000000012.log"), Some(12));
        assert_eq!(parse_body_name("00000000000000000007.body"), Some(7));
        for name in ["12.log", "+000000012.log", "0000000012.log.tmp", "0000000012.torn", ".log"] {
            assert_eq!(parse_segment_name(name), None, "{name}");
        }
        for name in ["7.body", "../../etc/passwd", "0000000000000000000/.body", "+0000000000000000007.body"] {
            assert_eq!(parse_body_name(name), None, "{name}");
        }
    }
}

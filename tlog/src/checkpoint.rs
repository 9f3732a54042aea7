//! A tree head as text: origin, size, root (C2SP `tlog-checkpoint`). Signed, it is a [note](crate::note).

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use kogge_proto::digest::Sha256;

use crate::SIZE_MAX;

/// Longest text of a checkpoint, in bytes.
pub const TEXT_BYTES_MAX: usize = 16 * 1024;

/// A tree head.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Checkpoint {
    origin: String,
    size: u64,
    root: Sha256,
    extensions: Vec<String>,
}

/// Why a text is no checkpoint.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum CheckpointError {
    /// Longer than [`TEXT_BYTES_MAX`].
    #[error("the checkpoint is longer than {TEXT_BYTES_MAX} bytes")]
    TooLong,
    /// It does not end in a newline, has fewer than three lines, an empty one, or a control character.
    #[error("the checkpoint is not at least three lines of text, each with a newline")]
    Lines,
    /// The second line is no size.
    #[error("the second line is no size: digits without leading zeros, at most {SIZE_MAX}")]
    Size,
    /// The third line is no root.
    #[error("the third line is not a hash of 32 bytes in base64")]
    Root,
}

impl Checkpoint {
    /// The head of the list that is known as `origin`.
    ///
    /// # Errors
    /// The origin is empty or no line, or the size larger than [`SIZE_MAX`].
    pub fn new(origin: &str, size: u64, root: Sha256) -> Result<Self, CheckpointError> {
        // Reading it back is the check.
        Self::parse(&Self { origin: origin.to_owned(), size, root, extensions: Vec::new() }.to_text())
    }

    /// Reads the text, which is what signatures cover.
    ///
    /// # Errors
    /// See [`CheckpointError`].
    pub fn parse(text: &str) -> Result<Self, CheckpointError> {
        if text.len() > TEXT_BYTES_MAX {
            return Err(CheckpointError::TooLong);
        }
        let lines: Vec<&str> = text.strip_suffix('\n').ok_or(CheckpointError::Lines)?.split('\n').collect();
        if lines.iter().any(|line| line.is_empty() || line.contains(char::is_control)) {
            return Err(CheckpointError::Lines);
        }
        let [origin, size, root, extensions @ ..] = lines.as_slice() else {
            return Err(CheckpointError::Lines);
        };
        Ok(Self {
            origin: (*origin).to_owned(),
            size: parse_size(size).ok_or(CheckpointError::Size)?,
            root: parse_root(root).ok_or(CheckpointError::Root)?,
            extensions: extensions.iter().map(|line| (*line).to_owned()).collect(),
        })
    }

    /// The text.
    #[must_use]
    pub fn to_text(&self) -> String {
        let mut text = format!("{}\n{}\n{}\n", self.origin, self.size, STANDARD.encode(self.root.as_bytes()));
        for line in &self.extensions {
            text.push_str(line);
            text.push('\n');
        }
        text
    }

    /// Which list it is about.
    #[must_use]
    pub fn origin(&self) -> &str {
        &self.origin
    }

    /// Number of entries.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Root over all entries.
    #[must_use]
    pub fn root(&self) -> &Sha256 {
        &self.root
    }

    /// Further lines, whose meaning is not known here.
    #[must_use]
    pub fn extensions(&self) -> &[String] {
        &self.extensions
    }
}

fn parse_size(text: &str) -> Option<u64> {
    let size: u64 = text.parse().ok().filter(|size| *size <= SIZE_MAX)?;
    // Neither signs nor leading zeros.
    (size.to_string() == text).then_some(size)
}

fn parse_root(text: &str) -> Option<Sha256> {
    // The decoder refuses missing padding and bits that belong to no byte.
    Sha256::from_slice(&STANDARD.decode(text).ok()?)
}

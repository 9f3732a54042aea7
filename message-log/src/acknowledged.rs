//! A note beside the segments that an entry was acknowledged: one line, sequence and SHA-256.
//!
//! Written now and then, so it may be old, but what it says holds whatever happens to the index: if the log ends before this entry, entries
//! are missing; if the index reaches less far, the index lost rows that it had flushed.

use std::io;

use kogge_durable::DurableError;
use kogge_proto::digest::Sha256;

use crate::chain::Chain;
use crate::layout::Layout;
use crate::{Damage, LogError};

/// Replaces the note. A crash leaves the old one.
pub(crate) fn write(layout: &Layout, chain: Chain) -> Result<(), DurableError> {
    let line = format!("{} {}\n", chain.sequence, chain.hash);
    kogge_durable::write_atomic(&layout.acknowledged(), line.as_bytes(), true)
}

/// What the note says; the empty chain if there is none.
pub(crate) fn read(layout: &Layout) -> Result<Chain, LogError> {
    let path = layout.acknowledged();
    let text = match std::fs::read_to_string(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Chain::EMPTY),
        read => read.map_err(LogError::io("read", &path))?,
    };
    parse(&text).ok_or_else(|| {
        LogError::Damaged(Damage {
            check: "log.sequence",
            file: "acknowledged".to_owned(),
            offset: 0,
            reason: "the note of the newest acknowledged entry is not readable; audit the log, then remove the note".to_owned(),
        })
    })
}

fn parse(text: &str) -> Option<Chain> {
    let (sequence, hash) = text.trim_end().split_once(' ')?;
    let hash = Sha256::from_slice(&hex::decode(hash).ok()?)?;
    Some(Chain { sequence: sequence.parse().ok()?, hash })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_whole_note_is_read() {
        let chain = Chain { sequence: 17, hash: Sha256([0xab; 32]) };
        let text = format!("{} {}\n", chain.sequence, chain.hash);
        assert_eq!(parse(&text), Some(chain));
        for broken in ["", "17", "17 ab", "x abab", &text.replace(' ', ""), &text[..text.len() - 3]] {
            assert_eq!(parse(broken), None, "{broken}");
        }
    }
}

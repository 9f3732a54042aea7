//! The checkpoints in a log's timestamp batches, against the log: what was signed and stamped once must still be there.

use std::collections::BTreeMap;

use kogge_proto::digest::{Sha256, sha256};
use kogge_proto::wire::log::StampRecord;
use kogge_tlog::checkpoint::{Checkpoint, CheckpointError};
use kogge_tlog::note::{NoteError, NoteKey, SignedNote, VerifyError};
use kogge_tlog::tree::{Head, leaf_hash};

use crate::report::{Check, Outcome};

/// The name of what is checked here.
const NAME: &str = "log.checkpoint";
/// So many checkpoints that are wrong are named; the others look the same.
const NAMED_MAX: usize = 100;

/// The checkpoints of one log: first gathered, then held against its entries.
#[derive(Debug)]
pub struct LogCheckpoints {
    server: String,
    /// Whose signature must be on them; `None` if the registry names no key of the server.
    key: Option<NoteKey>,
    /// By size: the root, and a record of the batch.
    stated: BTreeMap<u64, Vec<(Sha256, u64)>>,
    /// SHA-256 of the last batch's root: its records come one after the other.
    last: Option<Sha256>,
    wrong: Vec<String>,
    found: u64,
}

/// Why a checkpoint in a batch is not to be believed.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
enum Wrong {
    #[error(transparent)]
    Note(#[from] NoteError),
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    #[error("it is forged: {0}")]
    Signature(#[from] VerifyError),
    #[error("it is of the log of {0}")]
    Origin(String),
    #[error("it is over {size} entries, and its batch stamps record {record}")]
    Short { size: u64, record: u64 },
}

impl LogCheckpoints {
    /// Of this server's log, signed with `key` if that is known.
    #[must_use]
    pub fn new(server: &str, key: Option<NoteKey>) -> Self {
        Self {
            server: server.to_owned(),
            key,
            stated: BTreeMap::new(),
            last: None,
            wrong: Vec::new(),
            found: 0,
        }
    }

    /// Takes note of a record's batch; a batch may come any number of times.
    pub fn note(&mut self, stamp: &StampRecord) {
        let batch = sha256(&stamp.root);
        if stamp.checkpoint.is_empty() || self.last.replace(batch) == Some(batch) {
            return;
        }
        let newest = stamp.leaves.iter().map(|leaf| leaf.sequence).max().unwrap_or_default();
        match self.read(&stamp.checkpoint, newest) {
            Ok(checkpoint) => {
                let stated = self.stated.entry(checkpoint.size()).or_default();
                if !stated.iter().any(|(root, _)| root == checkpoint.root()) {
                    stated.push((*checkpoint.root(), newest));
                    self.found += 1;
                }
            }
            Err(wrong) => self.blame(newest, &wrong.to_string()),
        }
    }

    fn read(&self, note: &[u8], newest: u64) -> Result<Checkpoint, Wrong> {
        let note = SignedNote::parse(note)?;
        if let Some(key) = &self.key {
            note.verify(std::slice::from_ref(key))?;
        }
        let checkpoint = Checkpoint::parse(note.text())?;
        if checkpoint.origin() != self.server {
            return Err(Wrong::Origin(checkpoint.origin().to_owned()));
        }
        if checkpoint.size() < newest {
            return Err(Wrong::Short { size: checkpoint.size(), record: newest });
        }
        Ok(checkpoint)
    }

    fn blame(&mut self, record: u64, reason: &str) {
        if self.wrong.len() < NAMED_MAX {
            self.wrong.push(format!("the checkpoint in the timestamp batch of record {record}: {reason}"));
        }
    }

    /// Whether there is anything to hold against the entries.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.stated.is_empty() && self.wrong.is_empty()
    }

    /// No more come: now the log's entries do.
    #[must_use]
    pub fn judging(self) -> Judging {
        let mut judging = Judging { head: Head::default(), checkpoints: self };
        judging.compare();
        judging
    }

    fn checks(self) -> Vec<Check> {
        if self.found == 0 && self.wrong.is_empty() {
            return Vec::new();
        }
        let failed = |reason| Check { name: NAME, outcome: Outcome::Failed, reason };
        if !self.wrong.is_empty() {
            return self.wrong.into_iter().map(failed).collect();
        }
        let signed = match &self.key {
            Some(key) => format!("signed by {}", key.name()),
            None => {
                "whose signatures were not checked, for the registry names no checkpoint key of the server"
                    .to_owned()
            }
        };
        let reason = format!("the log extends its {} stamped checkpoints, {signed}", self.found);
        vec![Check { name: NAME, outcome: Outcome::Passed, reason }]
    }
}

/// Holds checkpoints against the entries of the log, as these come by.
#[derive(Debug)]
pub struct Judging {
    head: Head,
    checkpoints: LogCheckpoints,
}

impl Judging {
    /// The next entry, by the SHA-256 of its payload.
    pub fn entry(&mut self, hash: &Sha256) {
        // A log is never so long that there is no room.
        let _ = self.head.push(leaf_hash(hash.as_bytes()));
        self.compare();
    }

    fn compare(&mut self) {
        let size = self.head.size();
        let Some(stated) = self.checkpoints.stated.remove(&size) else { return };
        let there = self.head.root();
        for (root, record) in stated.into_iter().filter(|(root, _)| *root != there) {
            let reason = format!(
                "the log's first {size} entries do not have the root {root}: the log was forked or rewritten"
            );
            self.checkpoints.blame(record, &reason);
        }
    }

    /// A check for each checkpoint that is wrong, or one that says that none is; none if there are no checkpoints.
    #[must_use]
    pub fn checks(mut self) -> Vec<Check> {
        let there = self.head.size();
        for (size, stated) in std::mem::take(&mut self.checkpoints.stated) {
            for (_, record) in stated {
                let reason = format!("it is over {size} entries, the log has {there}: its end was cut off");
                self.checkpoints.blame(record, &reason);
            }
        }
        self.checkpoints.checks()
    }
}

#[cfg(test)]
mod tests {
    use kogge_proto::wire::log::StampLeaf;

    use super::*;

    fn entries(count: u64) -> Vec<Sha256> {
        (0..count).map(|entry| sha256(&entry.to_be_bytes())).collect()
    }

    /// A batch of the record `newest`, with a checkpoint over `size` entries of the log.
    fn batch(log: &[Sha256], size: usize, newest: u64, origin: &str) -> StampRecord {
        let mut head = Head::default();
        log[..size].iter().for_each(|entry| head.push(leaf_hash(&entry.0)).unwrap());
        let text = Checkpoint::new(origin, size as u64, head.root()).unwrap().to_text();
        StampRecord {
            checkpoint: format!("{text}\n\u{2014} {origin} AAAAAAA=\n").into_bytes(),
            leaves: vec![StampLeaf { sequence: newest, sha256: vec![0; 32] }],
            root: newest.to_be_bytes().to_vec(),
            ..StampRecord::default()
        }
    }

    fn held_against(checkpoints: LogCheckpoints, log: &[Sha256]) -> Vec<Check> {
        let mut judging = checkpoints.judging();
        log.iter().for_each(|entry| judging.entry(entry));
        judging.checks()
    }

    fn judged(batches: &[StampRecord], log: &[Sha256]) -> Vec<(Outcome, String)> {
        let mut checkpoints = LogCheckpoints::new("A", None);
        batches.iter().for_each(|batch| checkpoints.note(batch));
        held_against(checkpoints, log).into_iter().map(|check| (check.outcome, check.reason)).collect()
    }

    fn reason(batch: StampRecord, log: &[Sha256]) -> String {
        let mut judged = judged(&[batch], log);
        let (outcome, reason) = judged.pop().unwrap();
        assert_eq!((outcome, judged), (Outcome::Failed, vec![]));
        reason
    }

    #[test]
    fn a_log_that_has_only_grown_extends_its_checkpoints() {
        let log = entries(20);
        let batches = [batch(&log, 5, 4, "A"), batch(&log, 5, 5, "A"), batch(&log, 20, 20, "A")];
        let [(outcome, reason)] = judged(&batches, &log).try_into().unwrap();
        assert_eq!(outcome, Outcome::Passed);
        assert!(reason.starts_with("the log extends its 2 stamped checkpoints, whose signatures were not"));
        assert_eq!(judged(&[], &log), []);
        let older = StampRecord { checkpoint: vec![], ..batch(&log, 5, 4, "A") };
        assert_eq!(judged(&[older], &log), [], "stamps of older versions have none");
    }

    #[test]
    fn what_is_wrong_is_named() {
        let log = entries(20);
        let forked = [&log[..3], &entries(21)[4..]].concat();
        assert!(reason(batch(&forked, 18, 9, "A"), &log).ends_with("the log was forked or rewritten"));
        assert!(reason(batch(&log, 20, 9, "A"), &log[..19]).ends_with("the log has 19: its end was cut off"));
        assert!(reason(batch(&log, 5, 4, "B"), &log).ends_with("it is of the log of B"));
        assert!(
            reason(batch(&log, 5, 6, "A"), &log)
                .ends_with("it is over 5 entries, and its batch stamps record 6")
        );
        let cut = StampRecord { checkpoint: b"A\n5\n".to_vec(), ..batch(&log, 5, 5, "A") };
        assert!(reason(cut, &log).contains("record 5: the note is not"));
    }

    #[test]
    fn a_signature_is_checked_where_the_key_is_known() {
        let log = entries(9);
        let key = NoteKey::new("A", [7; 32]).unwrap();
        for batch in [batch(&log, 5, 4, "A"), batch(&log, 5, 4, "B")] {
            let mut checkpoints = LogCheckpoints::new("A", Some(key.clone()));
            checkpoints.note(&batch);
            let [check] = held_against(checkpoints, &log).try_into().unwrap();
            assert!(check.reason.ends_with("it is forged: no known key has signed the note"));
        }
    }
}

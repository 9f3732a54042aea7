//! Which timestamps of a log are to be renewed.

use std::collections::{BTreeMap, HashMap};
use std::io::Write;
use std::process::ExitCode;

use anyhow::anyhow;
use kogge_certs::snapshot::VerifiedSnapshot;
use kogge_certs::timestamp::{self, Imprint};
use kogge_certs::trust::ApprovedTsa;
use kogge_evidence::renewal::{Renewal, Renewals};
use kogge_evidence::tree;
use kogge_message_log::{Filter, Reader};
use kogge_proto::digest::{Sha256, sha256};
use kogge_proto::time::UnixMillis;
use kogge_proto::wire::log::StampRecord;

use crate::command::log::each;
use crate::failure::{Failure, OrFail};

/// Which timestamps are due.
pub(super) struct Terms {
    /// All that can be renewed.
    pub(super) all: bool,
    /// Else those whose authority's certificate ends before this time.
    pub(super) until: UnixMillis,
    /// Until when a new token lasts.
    pub(super) lasts: UnixMillis,
    /// The time.
    pub(super) now: UnixMillis,
}

/// What is to be renewed, and what else was found.
pub(super) struct Due {
    terms: Terms,
    /// By the digest of the newest token of a chain: how many of the log's stamps it stands for.
    pub(super) leaves: BTreeMap<Sha256, u64>,
    /// The latest end of the certificates of those.
    latest_end: Option<UnixMillis>,
    stamps: u64,
    /// Stamps for which it is too late.
    ended: u64,
    /// Stamps that should be renewed, and would gain nothing.
    no_gain: u64,
    /// Stamps whose token does not verify, and what is wrong with the first.
    wrong: u64,
    first_wrong: Option<String>,
}

impl Due {
    /// Looks at the newest token of each stamp of the log.
    pub(super) fn gather(
        terms: Terms,
        reader: &Reader,
        renewals: &Renewals,
        snapshot: &VerifiedSnapshot,
    ) -> Result<Self, Failure> {
        let mut due = Self {
            terms,
            leaves: BTreeMap::new(),
            latest_end: None,
            stamps: 0,
            ended: 0,
            no_gain: 0,
            wrong: 0,
            first_wrong: None,
        };
        let mut last = None;
        let mut ends = HashMap::new();
        each(reader, &Filter::default(), |found| {
            let Some(stamp) = &found.stamp else { return Ok(true) };
            let digest = sha256(&stamp.token);
            // The records of a stamp follow each other.
            if last.replace(digest) != Some(digest) {
                let newest = renewals.newest(&stamp.token).or_failed()?;
                due.note(stamp, newest, &mut ends, snapshot);
            }
            Ok(true)
        })?;
        Ok(due)
    }

    /// Whether a token by this authority lasts longer than each of those that it would renew.
    pub(super) fn may_ask(&self, tsa: &ApprovedTsa) -> bool {
        self.terms.all || self.latest_end.is_none_or(|end| tsa.certificate.not_after() > end)
    }

    fn note(
        &mut self,
        stamp: &StampRecord,
        newest: Option<&Renewal>,
        ends: &mut HashMap<Sha256, Result<UnixMillis, String>>,
        snapshot: &VerifiedSnapshot,
    ) {
        self.stamps += 1;
        let (leaf, end) = match newest {
            None => (sha256(&stamp.token), end_of(&stamp.token, Sha256::from_slice(&stamp.root), snapshot)),
            Some(renewal) => {
                let leaf = sha256(renewal.token());
                let end = || end_of(renewal.token(), tree::root(renewal.leaves()), snapshot);
                (leaf, ends.entry(leaf).or_insert_with(end).clone())
            }
        };
        let end = match end {
            Ok(end) => end,
            Err(error) => {
                self.wrong += 1;
                self.first_wrong.get_or_insert(error);
                return;
            }
        };
        if !self.terms.all && end >= self.terms.until {
            return;
        }
        if end < self.terms.now {
            self.ended += 1;
        } else if !self.terms.all && end >= self.terms.lasts {
            self.no_gain += 1;
        } else {
            *self.leaves.entry(leaf).or_default() += 1;
            self.latest_end = self.latest_end.max(Some(end));
        }
    }

    /// What is to be said beside what was renewed. Success if nothing remains to be done.
    pub(super) fn tell(&self, out: &mut dyn Write) -> Result<ExitCode, Failure> {
        if self.leaves.is_empty() {
            writeln!(out, "nothing to renew: {} timestamps were looked at", self.stamps)?;
        }
        if self.ended > 0 {
            eprintln!(
                "kogge: {} timestamps are of an authority whose certificate has ended: a renewal would prove nothing of the time before, so there is none",
                self.ended
            );
        }
        if let Some(first) = &self.first_wrong {
            return Err(Failure::Failed(anyhow!(
                "{} timestamps were not renewed, since they do not verify: {first}. See `kogge verify`",
                self.wrong
            )));
        }
        if self.no_gain > 0 {
            return Err(Failure::Failed(anyhow!(
                "{} timestamps should be renewed, but no approved authority has a certificate that lasts longer than theirs: the registry must approve a newer one",
                self.no_gain
            )));
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// The end of the certificate of a token's authority, if the token is good.
fn end_of(token: &[u8], root: Option<Sha256>, snapshot: &VerifiedSnapshot) -> Result<UnixMillis, String> {
    let root = root.ok_or_else(|| "its root is not 32 bytes long".to_owned())?;
    let verified = timestamp::verify(token, &Imprint::Sha256(root), None, snapshot.trust());
    verified.map(|token| token.tsa().not_after()).map_err(|error| error.to_string())
}

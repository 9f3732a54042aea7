//! The checks of renewed timestamps: each newer token covers the one before it, and was got while that one's certificate was valid.

use std::collections::BTreeMap;

use kogge_certs::snapshot::VerifiedSnapshot;
use kogge_certs::timestamp::{self, Imprint, VerifiedToken};
use kogge_proto::digest::{Sha256, sha256};
use kogge_proto::wire::log::StampRecord;

use super::finding::{Finding, need, wrong};
use crate::evidence_record::EvidenceRecord;
use crate::renewal::{Renewal, RenewalError};
use crate::report::{Check, Outcome};
use crate::tree;

/// `timestamp.renewal`: the chain of archive timestamps in an evidence record, after its first one.
pub(super) fn chain(
    record: &EvidenceRecord,
    first: Option<&VerifiedToken>,
    snapshot: &VerifiedSnapshot,
) -> Finding<()> {
    let mut before = need(first, "timestamp.token")?.clone();
    let mut covered = &record.first.token;
    for (number, renewal) in (1..).zip(&record.renewals) {
        let named = |reason: String| wrong(format!("renewal {number}: {reason}"));
        let root = renewal.root_of(sha256(covered));
        let root = root.ok_or_else(|| named("the token before it is not in its hash tree".to_owned()))?;
        let token = timestamp::verify(&renewal.token, &Imprint::Sha256(root), None, snapshot.trust());
        let token = token.map_err(|error| named(error.to_string()))?;
        follows(&token, &before).map_err(named)?;
        (before, covered) = (token, &renewal.token);
    }
    let times = if record.renewals.len() == 1 { "once" } else { "several times, the last" };
    Ok(((), format!("renewed {times} by {} at {}", before.tsa().subject(), before.gen_time())))
}

/// A token proves that the one before it existed while its TSA's certificate was valid.
fn follows(token: &VerifiedToken, before: &VerifiedToken) -> Result<(), String> {
    let (time, earlier) = (token.gen_time(), before.gen_time());
    if time < earlier {
        return Err(format!("its time {time} is before that of the token that it covers, {earlier}"));
    }
    let tsa = before.tsa();
    if !tsa.is_valid_at(time) {
        let (subject, end) = (tsa.subject(), tsa.not_after());
        return Err(format!(
            "made at {time}, when the certificate of {subject} on the token that it covers had ended at {end}"
        ));
    }
    Ok(())
}

/// Checks the renewals of a log as a whole: `log.renewal`.
pub struct RenewalAudit<'s> {
    snapshot: &'s VerifiedSnapshot,
    renewals: Vec<Judged<'s>>,
    /// Renewals by the digests of the tokens that they cover.
    places: BTreeMap<Sha256, Vec<usize>>,
    covered: u64,
}

struct Judged<'s> {
    name: &'s str,
    token: Result<VerifiedToken, String>,
}

impl<'s> RenewalAudit<'s> {
    /// Of the files with their names, as they were read. Hashes the trees and verifies the tokens.
    #[must_use]
    pub fn new(files: &'s [(String, Result<Renewal, RenewalError>)], snapshot: &'s VerifiedSnapshot) -> Self {
        let mut audit = Self { snapshot, renewals: Vec::new(), places: BTreeMap::new(), covered: 0 };
        for (at, (name, file)) in files.iter().enumerate() {
            let token = file.as_ref().map_err(ToString::to_string);
            audit
                .renewals
                .push(Judged { name, token: token.and_then(|renewal| token_of(renewal, snapshot)) });
            for leaf in file.iter().flat_map(Renewal::leaves) {
                audit.places.entry(*leaf).or_default().push(at);
            }
        }
        for (at, (_, file)) in files.iter().enumerate() {
            if let Ok(renewal) = file
                && let Some(Ok(token)) = audit.renewals.get(at).map(|judged| judged.token.clone())
            {
                audit.compare(renewal.token(), &token);
            }
        }
        audit
    }

    /// Compares a stamp of the log with the renewals that cover it. One whose token does not verify says so itself.
    pub fn note(&mut self, stamp: &StampRecord) {
        if !self.places.contains_key(&sha256(&stamp.token)) {
            return;
        }
        let root = Sha256::from_slice(&stamp.root).map(Imprint::Sha256);
        let token =
            root.and_then(|root| timestamp::verify(&stamp.token, &root, None, self.snapshot.trust()).ok());
        if let Some(token) = token {
            self.covered += 1;
            self.compare(&stamp.token, &token);
        }
    }

    fn compare(&mut self, der: &[u8], token: &VerifiedToken) {
        for at in self.places.get(&sha256(der)).into_iter().flatten() {
            if let Some(judged) = self.renewals.get_mut(*at)
                && let Ok(newer) = &judged.token
                && let Err(reason) = follows(newer, token)
            {
                judged.token = Err(reason);
            }
        }
    }

    /// What there is to say; nothing if there is no renewal.
    #[must_use]
    pub fn finish(self) -> Vec<Check> {
        let failed: Vec<Check> = self
            .renewals
            .iter()
            .filter_map(|judged| {
                Some(check(Outcome::Failed, format!("{}: {}", judged.name, judged.token.as_ref().err()?)))
            })
            .collect();
        let newest = self.renewals.iter().filter_map(|judged| judged.token.as_ref().ok());
        match newest.max_by_key(|token| token.gen_time()) {
            Some(newest) if failed.is_empty() => {
                let (count, covered) = (self.renewals.len(), self.covered);
                let (tsa, time) = (newest.tsa().subject(), newest.gen_time());
                let reason = format!(
                    "{count} renewals cover {covered} timestamps of this log, the newest by {tsa} at {time}"
                );
                vec![check(Outcome::Passed, reason)]
            }
            _ => failed,
        }
    }
}

fn token_of(renewal: &Renewal, snapshot: &VerifiedSnapshot) -> Result<VerifiedToken, String> {
    let root = tree::root(renewal.leaves()).ok_or_else(|| "it covers nothing".to_owned())?;
    timestamp::verify(renewal.token(), &Imprint::Sha256(root), None, snapshot.trust())
        .map_err(|error| error.to_string())
}

fn check(outcome: Outcome, reason: String) -> Check {
    Check { name: "log.renewal", outcome, reason }
}

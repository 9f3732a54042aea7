//! The checks of the batch timestamp.

use std::collections::BTreeMap;

use bytes::Bytes;
use kogge_certs::snapshot::{Policy, VerifiedSnapshot};
use kogge_certs::timestamp::{self, Imprint, VerifiedToken};
use kogge_proto::digest::{Sha256, sha256};
use kogge_proto::limits::BATCH_LEAVES_MAX;
use kogge_proto::time::UnixMillis;
use kogge_proto::wire::log::StampRecord;

use super::finding::{Finding, Flaw, depend, need, settle, wrong};
use super::renewal;
use crate::bundle::read::Way;
use crate::bundle::way;
use crate::evidence_record::{EvidenceRecord, batch_root, leaves_before};
use crate::report::Report;

/// A timestamp as it was found.
pub(super) enum Stamp<'a> {
    /// In a container: the leaf's way through the tree, and the token.
    Record(EvidenceRecord),
    /// In the log: a record of a batch, by the sequence of its entry.
    InBatch(&'a Batch, u64),
}

/// A batch of the log, or as much of it as a bundle has, checked once for all of its records.
pub struct Batch {
    /// Leaves of the whole tree, as a container's evidence record would have them.
    size: usize,
    leaves: BTreeMap<u64, Sha256>,
    root: Result<Sha256, Flaw>,
    token: Finding<VerifiedToken>,
}

/// Makes the checks `timestamp.present`, `timestamp.tree`, `timestamp.token` and `timestamp.time`, and `timestamp.renewal` if it was renewed; yields the
/// first token's time.
pub(super) fn judge(
    stamp: &Result<Stamp<'_>, Flaw>,
    signatures: &Result<&[u8], Flaw>,
    signing_time: Option<UnixMillis>,
    snapshot: &VerifiedSnapshot,
    report: &mut Report,
) -> Option<UnixMillis> {
    let stamp = settle(report, "timestamp.present", present(stamp));
    let root = settle(report, "timestamp.tree", tree(stamp, signatures));
    let token = settle(report, "timestamp.token", token(stamp, root, snapshot));
    settle(report, "timestamp.time", time(token.as_ref(), signing_time, snapshot.policy()));
    if let Some(Stamp::Record(record)) = stamp
        && !record.renewals.is_empty()
    {
        settle(report, "timestamp.renewal", renewal::chain(record, token.as_ref(), snapshot));
    }
    token.map(|token| token.gen_time())
}

impl Batch {
    /// Hashes the tree and verifies the token.
    pub(super) fn read(stamp: &StampRecord, snapshot: &VerifiedSnapshot) -> Self {
        let (leaves, root) = match read_tree(stamp) {
            Ok((leaves, root)) => (leaves, Ok(root)),
            Err(flaw) => (BTreeMap::new(), Err(flaw)),
        };
        let token = match &root {
            Ok(root) => verify_token(&stamp.token, *root, snapshot),
            Err(_) => Err(Flaw::Missing(NO_ROOT.to_owned())),
        };
        Self { size: stamp.leaves.len(), leaves, root, token }
    }

    /// Follows a bundle's way to its root. `sequences` are those of the records that name it, in their order; `tokens` are what was verified last.
    pub(super) fn of_way(
        way: &Way,
        sequences: &[u64],
        tokens: &mut Option<KnownToken>,
        snapshot: &VerifiedSnapshot,
    ) -> Self {
        let root = way::lead(way.size, &way.leaves, &way.nodes).map_err(wrong);
        let token = match &root {
            Ok(root) => {
                if !tokens.as_ref().is_some_and(|known| known.token == way.token && known.root == *root) {
                    let finding = verify_token(&way.token, *root, snapshot);
                    *tokens = Some(KnownToken { token: way.token.clone(), root: *root, finding });
                }
                tokens
                    .as_ref()
                    .map_or_else(|| Err(Flaw::Missing(NO_ROOT.to_owned())), |known| known.finding.clone())
            }
            Err(_) => Err(Flaw::Missing(NO_ROOT.to_owned())),
        };
        let leaves = sequences.iter().copied().zip(way.leaves.iter().map(|leaf| leaf.value)).collect();
        Self { size: way.size as usize, leaves, root, token }
    }
}

/// The last token that was verified: the groups of a bundle that follow each other share it.
pub(super) struct KnownToken {
    token: Bytes,
    root: Sha256,
    finding: Finding<VerifiedToken>,
}

const NO_ROOT: &str = "not checked: timestamp.tree failed or was not checked";

/// The leaves by the sequence of their records, and the root that follows from them and that the batch names.
fn read_tree(stamp: &StampRecord) -> Result<(BTreeMap<u64, Sha256>, Sha256), Flaw> {
    if stamp.leaves.len() > BATCH_LEAVES_MAX {
        return Err(wrong(format!("the batch has more than {BATCH_LEAVES_MAX} leaves")));
    }
    let digest = |bytes: &[u8]| {
        Sha256::from_slice(bytes).ok_or_else(|| wrong("a digest of the batch is not 32 bytes long"))
    };
    let before = leaves_before(stamp).map_err(wrong)?;
    let in_order: Vec<Sha256> =
        stamp.leaves.iter().map(|leaf| digest(&leaf.sha256)).collect::<Result<_, _>>()?;
    let leaves: BTreeMap<u64, Sha256> =
        stamp.leaves.iter().map(|leaf| leaf.sequence).zip(in_order.iter().copied()).collect();
    if leaves.len() != in_order.len() {
        return Err(wrong("the batch covers a record twice"));
    }
    match batch_root(before, &in_order) {
        Some(root) if root.as_bytes() == stamp.root.as_slice() => Ok((leaves, root)),
        _ => Err(wrong("the batch's leaves do not lead to the root that it names")),
    }
}

fn present<'s, 'a>(stamp: &'s Result<Stamp<'a>, Flaw>) -> Finding<&'s Stamp<'a>> {
    let stamp = stamp.as_ref().map_err(Clone::clone)?;
    let words = match stamp {
        Stamp::Record(_) => "there is an evidence record".to_owned(),
        Stamp::InBatch(batch, _) => format!("stamped in a batch of {}", batch.size),
    };
    Ok((stamp, words))
}

/// The root that follows from the signature document.
fn tree(stamp: Option<&Stamp<'_>>, signatures: &Result<&[u8], Flaw>) -> Finding<Sha256> {
    let stamp = need(stamp, "timestamp.present")?;
    let leaf = sha256(depend(signatures)?);
    let absent = || wrong("the signature is not in the timestamp's hash tree");
    let root = match stamp {
        Stamp::Record(record) => record.root_of(leaf).ok_or_else(absent)?,
        Stamp::InBatch(batch, sequence) => {
            let root = batch.root.clone()?;
            batch.leaves.get(sequence).filter(|found| **found == leaf).ok_or_else(absent)?;
            root
        }
    };
    Ok((root, format!("the signature leads to the root {root}")))
}

fn token(
    stamp: Option<&Stamp<'_>>,
    root: Option<Sha256>,
    snapshot: &VerifiedSnapshot,
) -> Finding<VerifiedToken> {
    let stamp = need(stamp, "timestamp.present")?;
    let root = need(root.as_ref(), "timestamp.tree")?;
    match stamp {
        Stamp::Record(record) => verify_token(&record.first.token, *root, snapshot),
        Stamp::InBatch(batch, _) => batch.token.clone(),
    }
}

fn verify_token(token: &[u8], root: Sha256, snapshot: &VerifiedSnapshot) -> Finding<VerifiedToken> {
    let token = timestamp::verify(token, &Imprint::Sha256(root), None, snapshot.trust()).map_err(wrong)?;
    let words = format!("by {} at {}", token.tsa().subject(), token.gen_time());
    Ok((token, words))
}

/// The signature was made before the token, and not longer before it than the instance tolerates.
pub(super) fn time(
    token: Option<&VerifiedToken>,
    signing_time: Option<UnixMillis>,
    policy: &Policy,
) -> Finding<()> {
    let stamped = need(token, "timestamp.token")?.gen_time();
    let signed = *need(signing_time.as_ref(), "signature.xml")?;
    if signed > stamped.plus(policy.clock_skew) {
        return Err(wrong(format!("signed at {signed}, after the timestamp of {stamped}")));
    }
    let latest =
        signed.plus(policy.timestamp_failure).plus(policy.timestamp_interval).plus(policy.clock_skew);
    if stamped > latest {
        return Err(wrong(format!("stamped at {stamped}, too long after signing at {signed}")));
    }
    Ok(((), format!("stamped {} s after signing", stamped.since(signed).as_secs())))
}

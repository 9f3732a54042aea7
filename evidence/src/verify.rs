//! The verifier: every check by name, on what is there, against a registry snapshot or an X-Road configuration directory.

mod archive;
mod checks;
mod digest_method;
mod document;
mod finding;
mod foreign;
mod hash_chain;
mod known;
mod layout;
mod log_record;
mod renewal;
mod stamp;
mod trust;
pub(crate) mod walk;

use std::io::{Read, Seek};
use std::sync::Arc;

use kogge_certs::snapshot::VerifiedSnapshot;
use kogge_proto::id::MemberId;
use kogge_proto::time::UnixMillis;
use kogge_proto::wire::log::StampRecord;

use crate::bundle::read::Way;
use crate::evidence_record::EvidenceRecord;
use crate::report::Report;
use archive::Archive;
use checks::{BodyDigest, Evidence};
use finding::{Flaw, settle, wrong};
use hash_chain::ChainFiles;
use known::Known;
use stamp::{KnownToken, Stamp};

pub use renewal::RenewalAudit;
pub use stamp::Batch;
pub use trust::Trust;

/// What a container or record says, as far as it could be read. Believe it only if the report has passed.
#[derive(Clone, Debug, Default)]
pub struct Statement {
    /// `request` or `response`.
    pub kind: Option<&'static str>,
    /// Who asked (text form).
    pub client: Option<String>,
    /// Which service (text form).
    pub service: Option<String>,
    /// Which message.
    pub message_id: Option<String>,
    /// Which member signed.
    pub signer: Option<MemberId>,
    /// The subject of the signing certificate.
    pub certificate: Option<String>,
    /// When the signer says it signed.
    pub signing_time: Option<UnixMillis>,
    /// When the TSA says the signature existed.
    pub timestamp: Option<UnixMillis>,
}

/// A verdict with what it is about.
#[derive(Clone, Debug)]
#[must_use]
pub struct Verdict {
    /// Every check.
    pub report: Report,
    /// What was read.
    pub statement: Statement,
}

/// Checks a container against what `trust` approves. Never fails to return a verdict: what cannot be read is a failed check, and a check
/// whose input is missing is indeterminate. The body is streamed, so a container may be larger than the memory.
///
/// What the container is decides how it is read: one that looks like this project's own must be so to the last byte, others are read as
/// X-Road or tools of eIDAS write them.
pub fn container<'t>(mut file: impl Read + Seek, trust: impl Into<Trust<'t>>) -> Verdict {
    let own = archive::claims_own_layout(&mut file);
    match (trust.into(), own) {
        (Trust::Snapshot(snapshot), Some(true) | None) => own_container(file, snapshot),
        (trust, Some(false) | None) => foreign::container(file, trust),
        (trust, Some(true)) => {
            let mut verdict = foreign::container(&mut file, trust);
            settle(&mut verdict.report, "container.layout", layout::check_alone(file));
            verdict
        }
    }
}

/// A container of this project's own layout. The signer's certificate and its OCSP response are judged at the signing time; that time is
/// believed because of the timestamp.
fn own_container(mut file: impl Read + Seek, snapshot: &VerifiedSnapshot) -> Verdict {
    let mut report = Report::new();
    let archive = archive::read(&mut file, &mut report);
    settle(&mut report, "container.manifest", layout::manifests(&archive));
    let evidence = Evidence {
        message: part(&archive.message),
        body: archive.body.clone().map(|body| body.map(BodyDigest::Computed)),
        signatures: part(&archive.signatures),
        hash_chain: archive
            .hash_chain
            .as_ref()
            .map(|files| ChainFiles { result: part(&files.result), chain: part(&files.chain) }),
        stamp: stamp_of(&archive),
    };
    let judged = checks::judge(&evidence, snapshot, &mut Known::default(), &mut report);
    settle(&mut report, "container.layout", layout::check(&mut file, &archive, &judged));
    Verdict { report, statement: judged.statement }
}

fn part(content: &Result<Vec<u8>, Flaw>) -> Result<&[u8], Flaw> {
    content.as_deref().map_err(Clone::clone)
}

fn stamp_of(archive: &Archive) -> Result<Stamp<'static>, Flaw> {
    let record = archive.evidence_record.as_ref();
    let missing =
        || Flaw::Missing("there is no timestamp: the message was exported before it was stamped".to_owned());
    let der = record.ok_or_else(missing)?.as_deref().map_err(Clone::clone)?;
    Ok(Stamp::Record(EvidenceRecord::from_der(der).map_err(wrong)?))
}

/// A record of a message log, as a verifier needs it.
#[derive(Debug)]
pub struct LogRecord<'a> {
    /// Sequence of its entry.
    pub sequence: u64,
    /// When its entry says that it was appended.
    pub time: UnixMillis,
    /// The record.
    pub record: &'a kogge_proto::wire::log::MessageRecord,
    /// What its signature names.
    pub material: &'a kogge_proto::wire::evidence::Material,
    /// The stamp that covers it.
    pub stamp: Option<&'a kogge_proto::wire::log::StampRecord>,
    /// SHA-512 and length of the body as read from the disk now; `None` if the record names no body, or
    /// says that it was not kept.
    pub body: Option<(kogge_proto::digest::Sha512, u64)>,
}

/// Checks the records of a log one after the other. A batch is hashed and its token verified once for all of its records that follow each
/// other, and so are the paths and OCSP responses of signing certificates; apart from the time that this saves, one checker is as good as another.
pub struct Records<'s> {
    snapshot: &'s VerifiedSnapshot,
    known: Known,
    batch: Option<(Arc<StampRecord>, Batch)>,
    token: Option<KnownToken>,
}

impl<'s> Records<'s> {
    /// Against a snapshot.
    #[must_use]
    pub fn new(snapshot: &'s VerifiedSnapshot) -> Self {
        Self { snapshot, known: Known::default(), batch: None, token: None }
    }

    /// Checks a record by the checks of a container, without those of the file around it. A record that is not stamped yet is reported as
    /// `timestamp.present` indeterminate.
    pub fn check(&mut self, record: &LogRecord<'_>) -> Verdict {
        let batch = record.stamp.map(|stamp| Batch::read(stamp, self.snapshot));
        self.check_in(record, batch.as_ref())
    }

    /// As [`Records::check`], for a record whose stamp is shared with others: a batch is hashed once for all that come one after the other. The stamp in the
    /// record is not looked at.
    pub fn check_stamped(&mut self, record: &LogRecord<'_>, stamp: Option<&Arc<StampRecord>>) -> Verdict {
        let Some(stamp) = stamp else { return self.check_in(record, None) };
        let known = self.batch.take().filter(|(read, _)| Arc::ptr_eq(read, stamp));
        let batch = known.unwrap_or_else(|| (Arc::clone(stamp), Batch::read(stamp, self.snapshot)));
        let verdict = self.check_in(record, Some(&batch.1));
        self.batch = Some(batch);
        verdict
    }

    /// What a bundle's way proves of the records that name it, whose sequences are given in the order of the way's leaves.
    pub fn batch(&mut self, way: &Way, sequences: &[u64]) -> Batch {
        Batch::of_way(way, sequences, &mut self.token, self.snapshot)
    }

    /// As [`Records::check`], for a record out of a bundle; its stamp is `batch`, and that in the record is not looked at.
    pub fn check_in(&mut self, record: &LogRecord<'_>, batch: Option<&Batch>) -> Verdict {
        log_record::check(record, batch, self.snapshot, &mut self.known)
    }
}

/// Checks one record; for many, [`Records`] is faster.
pub fn record(record: &LogRecord<'_>, snapshot: &VerifiedSnapshot) -> Verdict {
    Records::new(snapshot).check(record)
}

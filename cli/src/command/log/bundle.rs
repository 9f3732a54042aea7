//! `kogge log bundle`: many records with all that their verification needs, in one file for auditors.

use std::fs::File;
use std::io::{BufWriter, Read, Write};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, anyhow, bail};
use bytes::Bytes;
use clap::Args;
use kogge_evidence::bundle::Counts;
use kogge_evidence::bundle::write::{BundleWriter, NewBody, NewRecord};
use kogge_message_log::{Detached, Filter, Found, Met, Origin, Reader};
use kogge_proto::digest::{Sha256, sha256};
use kogge_proto::limits::SNAPSHOT_BYTES_MAX;
use kogge_proto::time::UnixMillis;
use kogge_proto::wire::log::Direction;
use kogge_proto::wire::log::body::Place;

use super::key::LogKeyArgs;
use super::{LogPlace, parse_time};
use crate::failure::{Failure, OrFail};
use crate::progress::Progress;

#[derive(Args, Debug)]
pub(crate) struct BundleArgs {
    #[command(flatten)]
    place: LogPlace,
    #[command(flatten)]
    key: LogKeyArgs,
    /// Logged at this time or later: 2026-11-24 or 2026-11-24T08:00:00+01:00
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    from: Option<UnixMillis>,
    /// Logged before this time
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    to: Option<UnixMillis>,
    /// Only requests of this client and their responses
    #[arg(long, value_name = "INSTANCE/CLASS/CODE/SUBSYSTEM")]
    client: Option<String>,
    /// Only this service
    #[arg(long, value_name = "INSTANCE/CLASS/CODE/SUBSYSTEM/SERVICE")]
    service: Option<String>,
    /// The registry snapshot to put in; without it the one that the security server keeps beside its log
    #[arg(long, value_name = "FILE")]
    snapshot: Option<PathBuf>,
    /// Put in records that have no timestamp yet, too; they are not complete evidence
    #[arg(long)]
    unstamped: bool,
    /// Where to write the bundle; replaced as a whole if it exists
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
}

/// Carries it out.
pub(super) fn run(args: &BundleArgs, out: &mut dyn Write) -> Result<ExitCode, Failure> {
    let dir = args.place.dir()?;
    let reader = args.place.open_with_bodies(&args.key)?;
    let snapshot = read_snapshot(args, &dir).or_unusable()?;
    let job = Job { args, reader: &reader, snapshot: &snapshot };
    let mut told = None;
    kogge_durable::write_atomic_with(&args.out, false, |file: &mut File| {
        told = Some(job.write(file)?);
        Ok::<(), anyhow::Error>(())
    })
    .or_failed()?;
    let Some(Told { counts, skipped }) = told else { return Ok(ExitCode::SUCCESS) };
    writeln!(
        out,
        "wrote {} records to {}: {} requests and {} responses, {} without timestamp, {} whose body was not kept (length and digest are there)",
        counts.records(),
        args.out.display(),
        counts.requests,
        counts.responses,
        counts.unstamped,
        counts.without_body
    )?;
    if skipped > 0 {
        eprintln!(
            "kogge: {skipped} records have no timestamp yet and were left out: try again in a minute, or put them in with --unstamped"
        );
    }
    Ok(ExitCode::SUCCESS)
}

struct Job<'a> {
    args: &'a BundleArgs,
    reader: &'a Reader,
    snapshot: &'a [u8],
}

struct Told {
    counts: Counts,
    /// Records that match and have no timestamp.
    skipped: u64,
}

/// Where the pass over the log stands.
struct Pass<'f> {
    writer: Option<BundleWriter<BufWriter<&'f mut File>>>,
    server: String,
    records: u64,
    skipped: u64,
    progress: Progress,
}

impl Job<'_> {
    fn write(&self, file: &mut File) -> anyhow::Result<Told> {
        let BundleArgs { from, to, client, service, .. } = self.args;
        let filter = Filter {
            client: client.clone(),
            service: service.clone(),
            from: *from,
            to: *to,
            ..Filter::default()
        };
        let mut output = Some(BufWriter::with_capacity(WRITE_BYTES, file));
        let mut pass = Pass {
            writer: None,
            server: String::new(),
            records: 0,
            skipped: 0,
            progress: Progress::new("records put in", 0),
        };
        // Before the log is read: what was acknowledged then must be found.
        if let Some(damage) = self.reader.audit_end()? {
            bail!("the log is damaged: {damage}");
        }
        let mut failure = None;
        self.reader.walk(&filter, &mut |met| {
            let done = match output.take() {
                Some(output) => self.begin(output, &met, &mut pass),
                None => self.take(met, &mut pass),
            };
            match done {
                Ok(()) => ControlFlow::Continue(()),
                Err(error) => {
                    failure = Some(error);
                    ControlFlow::Break(())
                }
            }
        })?;
        if let Some(error) = failure {
            return Err(error);
        }
        pass.progress.end();
        let writer = pass.writer.context("the log is empty")?;
        if pass.records == 0 {
            bail!("no record of the log is to be put in: {} match but have no timestamp yet", pass.skipped);
        }
        let (mut output, counts) = writer.finish(&pass.server)?;
        output.flush().with_context(|| format!("cannot write {}", self.args.out.display()))?;
        Ok(Told { counts, skipped: pass.skipped })
    }

    fn begin<'f>(
        &self,
        output: BufWriter<&'f mut File>,
        first: &Met,
        pass: &mut Pass<'f>,
    ) -> anyhow::Result<()> {
        pass.server = Origin::read(first.payload.clone()).context("the log's first entry")?.server;
        pass.writer = Some(BundleWriter::begin(output, &first.payload, self.snapshot)?);
        Ok(())
    }

    fn take(&self, met: Met, pass: &mut Pass<'_>) -> anyhow::Result<()> {
        let writer = pass.writer.as_mut().context("the log does not begin at its beginning")?;
        match met.found {
            Some(found) if found.stamp.is_some() || self.args.unstamped => {
                self.add(writer, met.payload, &found).with_context(|| format!("record {}", met.sequence))?;
                pass.records += 1;
            }
            other => {
                pass.skipped += u64::from(other.is_some());
                writer.pass(met.sequence, met.hash)?;
            }
        }
        pass.progress.tell(0, pass.records);
        Ok(())
    }

    fn add<W: Write>(&self, writer: &mut BundleWriter<W>, entry: Bytes, found: &Found) -> anyhow::Result<()> {
        let record = &found.record;
        let material = named_material(found)?;
        let digests: Vec<Option<Sha256>> =
            material.iter().map(|item| item.as_ref().map(|(digest, _)| *digest)).collect();
        // Reading it back as an auditor will shows what the entry itself has of the body.
        let alone = Detached::read(entry.clone(), &record.client, &record.service, &digests)?;
        let place = |record: &kogge_proto::wire::log::MessageRecord| {
            record.body.as_ref().and_then(|body| body.place.clone())
        };
        let mut file;
        let body = match (place(record), place(&alone.record)) {
            (None, _) | (Some(Place::Inline(_)), Some(Place::Inline(_))) => NewBody::None,
            (Some(Place::Inline(bytes)), _) => NewBody::Here(bytes),
            (Some(Place::NotKept(_)), _) => NewBody::Missing,
            (Some(Place::File(name)), _) => {
                let opened = self.reader.open_body(found);
                let opened = opened.with_context(|| format!("cannot read the body {name}"))?;
                file = opened.context("the record's body is in no file")?;
                NewBody::Read(record.body.as_ref().map_or(0, |body| body.length), &mut file)
            }
        };
        writer.add(NewRecord {
            sequence: found.sequence,
            entry,
            client: &record.client,
            service: &record.service,
            material: material.into_iter().map(|item| item.map(|(_, der)| der)).collect(),
            stamp: found.stamp.clone(),
            body,
            is_response: record.direction() == Direction::Response,
        })?;
        Ok(())
    }
}

/// What the record's signature names, in the order of the entry's references.
fn named_material(found: &Found) -> anyhow::Result<Vec<Option<(Sha256, Bytes)>>> {
    let signature = found.record.signature.as_ref().context("the record has no signature")?;
    let items: Vec<(Sha256, &Bytes)> = found.material.items.iter().map(|der| (sha256(der), der)).collect();
    let named = [&signature.certificate_sha256, &signature.ocsp_sha256].into_iter();
    named
        .chain(&signature.issuer_sha256)
        .map(|digest| {
            if digest.is_empty() {
                return Ok(None);
            }
            let item = items.iter().find(|(of, _)| of.as_bytes() == digest.as_slice());
            let (digest, der) =
                item.context("a certificate or OCSP response is missing: the log is damaged")?;
            Ok(Some((*digest, (*der).clone())))
        })
        .collect()
}

/// The snapshot that was named, or the one that a security server keeps.
fn read_snapshot(args: &BundleArgs, log: &Path) -> anyhow::Result<Vec<u8>> {
    let path = match &args.snapshot {
        Some(path) => path.clone(),
        None => kept_snapshot(&args.place, log)?,
    };
    let what = || format!("cannot read the registry snapshot {}", path.display());
    let mut bytes = Vec::new();
    File::open(&path)
        .and_then(|file| file.take(SNAPSHOT_BYTES_MAX as u64 + 1).read_to_end(&mut bytes))
        .with_context(what)?;
    if bytes.is_empty() || bytes.len() > SNAPSHOT_BYTES_MAX {
        return Err(anyhow!("it is empty, or larger than {SNAPSHOT_BYTES_MAX} bytes")).with_context(what);
    }
    Ok(bytes)
}

fn kept_snapshot(place: &LogPlace, log: &Path) -> anyhow::Result<PathBuf> {
    let candidates = match &place.config {
        Some(config) => vec![kogge_security_server::Config::load(config)?.data_dir.join("snapshot")],
        None => {
            let beside = log.parent().unwrap_or(log);
            let beside = if beside.as_os_str().is_empty() { Path::new(".") } else { beside };
            vec![beside.join("data").join("snapshot"), beside.join("snapshot")]
        }
    };
    candidates.into_iter().find(|path| path.is_file()).context(
        "there is no registry snapshot beside the log: name one with --snapshot FILE (a security server keeps it as DATA_DIR/snapshot)",
    )
}

/// Written at once.
const WRITE_BYTES: usize = 256 * 1024;

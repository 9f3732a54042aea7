//! `kogge log unpack`: the records of a bundle as containers, for tools that know nothing of bundles.

use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, anyhow, bail, ensure};
use bytes::{Buf, Bytes};
use clap::Args;
use kogge_evidence::bundle::read::{BundleReader, Group, Part, Record};
use kogge_evidence::bundle::way;
use kogge_evidence::container;
use kogge_evidence::evidence_record::{ArchiveTimestamp, EvidenceRecord};
use kogge_evidence::material::Material;
use kogge_proto::wire::evidence as wire;
use kogge_proto::wire::log::Direction;
use kogge_proto::wire::log::body::Place;

use crate::command::verify::bundle::read_entry;
use crate::failure::{FAILED, Failure, OrFail};
use crate::progress::Progress;

#[derive(Args, Debug)]
pub(crate) struct UnpackArgs {
    /// The bundle
    #[arg(value_name = "BUNDLE")]
    bundle: PathBuf,
    /// Directory for the containers, named by sequence and direction; must be empty or missing
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
}

/// Carries it out.
pub(super) fn run(args: &UnpackArgs, out: &mut dyn Write) -> Result<ExitCode, Failure> {
    let file = File::open(&args.bundle).or_unusable_with(args.bundle.display())?;
    let length = file.metadata().or_unusable_with(args.bundle.display())?.len();
    let bundle = BundleReader::open(BufReader::with_capacity(READ_BYTES, file));
    let mut bundle = bundle.or_unusable_with(args.bundle.display())?;
    prepare(&args.out).or_unusable()?;
    let mut unpacked = Unpacked::default();
    let mut progress = Progress::new("containers written", length);
    let done = unpack(&mut bundle, &args.out, &mut unpacked, &mut progress);
    progress.end();
    writeln!(out, "wrote {} containers to {}", unpacked.written, args.out.display())?;
    done.or_failed()?;
    for problem in &unpacked.problems {
        eprintln!("kogge: {problem}");
    }
    if unpacked.not_written == 0 {
        return Ok(ExitCode::SUCCESS);
    }
    eprintln!("kogge: {} records could not be written as containers", unpacked.not_written);
    Ok(FAILED.into())
}

#[derive(Default)]
struct Unpacked {
    written: u64,
    not_written: u64,
    /// The first of them.
    problems: Vec<String>,
}

/// An empty directory.
fn prepare(dir: &Path) -> anyhow::Result<()> {
    let what = || format!("cannot use {}", dir.display());
    std::fs::create_dir_all(dir).with_context(what)?;
    let is_empty = std::fs::read_dir(dir).with_context(what)?.next().is_none();
    ensure!(is_empty, "{} is not empty", dir.display());
    Ok(())
}

fn unpack<R: Read>(
    bundle: &mut BundleReader<R>,
    dir: &Path,
    unpacked: &mut Unpacked,
    progress: &mut Progress,
) -> anyhow::Result<()> {
    loop {
        match bundle.read()? {
            Part::Group(group) => {
                for record in &group.records {
                    let mut following =
                        Following { bundle, piece: Bytes::new(), left: record.body_follows.unwrap_or(0) };
                    let done = write(record, &group, dir, &mut following)
                        .with_context(|| format!("record {}", record.sequence));
                    // Whatever became of it, the next part comes behind its body.
                    following.skip()?;
                    unpacked.note(done);
                }
                progress.tell(bundle.at(), unpacked.written);
            }
            Part::Body(_) => bail!("a body follows no record"),
            Part::End(_) => return Ok(()),
        }
    }
}

impl Unpacked {
    fn note(&mut self, done: anyhow::Result<()>) {
        match done {
            Ok(()) => self.written += 1,
            Err(error) => {
                self.not_written += 1;
                if self.problems.len() < PROBLEMS_MAX {
                    self.problems.push(crate::output::line(&format!("{error:#}")));
                }
            }
        }
    }
}

fn write<R: Read>(
    record: &Record,
    group: &Group,
    dir: &Path,
    following: &mut Following<'_, R>,
) -> anyhow::Result<()> {
    let mut message = read_entry(record).map_err(|reason| anyhow!(reason))?.record;
    if let (Some(bytes), Some(body)) = (&record.body, &mut message.body) {
        body.place = Some(Place::Inline(bytes.clone()));
    }
    let is_missing = message.body.as_ref().is_some_and(|body| matches!(body.place, Some(Place::NotKept(_))));
    ensure!(
        !is_missing || record.body_follows.is_some(),
        "its body was not kept, so that there is no container of it"
    );
    let evidence_record = record.leaf.map(|leaf| evidence_record(group, leaf)).transpose()?;
    let items = record.material.iter().flatten().map(|(_, der)| der.clone()).collect();
    let material = Material::new(&wire::Material { items })?;
    let direction = if message.direction() == Direction::Response { "response" } else { "request" };
    let path = dir.join(format!("{:010}-{direction}.asice", record.sequence));
    let what = || format!("cannot write {}", path.display());
    let mut out = BufWriter::new(File::create_new(&path).with_context(what)?);
    let body = record.body_follows.map(|_| following as &mut dyn Read);
    let done = container::write_record_with(&mut out, &message, &material, evidence_record.as_ref(), body);
    if let Err(error) = done.map_err(anyhow::Error::from).and_then(|()| out.flush().with_context(what)) {
        // Half a container is none.
        let _ = std::fs::remove_file(&path);
        return Err(error);
    }
    Ok(())
}

fn evidence_record(group: &Group, (way, leaf): (usize, usize)) -> anyhow::Result<EvidenceRecord> {
    let missing = "its way to the timestamp is missing";
    let way = group.ways.get(way).context(missing)?;
    let position = way.leaves.get(leaf).context(missing)?.position;
    let groups = way::reduced(way.size, &way.leaves, &way.nodes, position)?;
    // Bundles do not carry renewals.
    Ok(EvidenceRecord { first: ArchiveTimestamp { groups, token: way.token.to_vec() }, renewals: Vec::new() })
}

/// The body that follows a record.
struct Following<'a, R> {
    bundle: &'a mut BundleReader<R>,
    piece: Bytes,
    /// Bytes that were not read out of the bundle yet.
    left: u64,
}

impl<R: Read> Following<'_, R> {
    fn next(&mut self) -> anyhow::Result<()> {
        let Part::Body(piece) = self.bundle.read()? else { bail!("a body is missing") };
        self.left = self.left.saturating_sub(piece.len() as u64);
        self.piece = piece;
        Ok(())
    }

    fn skip(&mut self) -> anyhow::Result<()> {
        while self.left > 0 {
            self.next()?;
        }
        Ok(())
    }
}

impl<R: Read> Read for Following<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.piece.is_empty() && self.left > 0 {
            self.next().map_err(io::Error::other)?;
        }
        let count = self.piece.len().min(buffer.len());
        self.piece.split_to(count).copy_to_slice(buffer.get_mut(..count).unwrap_or_default());
        Ok(count)
    }
}

/// Read at once.
const READ_BYTES: usize = 1024 * 1024;
/// Problems that are told one by one.
const PROBLEMS_MAX: usize = 100;

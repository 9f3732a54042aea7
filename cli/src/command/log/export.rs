//! `kogge log export`: the evidence of one message as an ASiC-E container.

use std::fs::File;
use std::io::{BufWriter, Read, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, anyhow, bail, ensure};
use clap::{Args, ValueEnum};
use kogge_evidence::container::{self, ContainerError};
use kogge_evidence::renewal::Renewals;
use kogge_evidence::timestamp_chain::TimestampChainError;
use kogge_message_log::{Filter, Found, Reader};
use kogge_proto::wire::log::body::Place;
use kogge_proto::wire::log::{Direction, Role};

use super::describe::{as_line, direction, why_absent};
use super::key::LogKeyArgs;
use super::{LogPlace, each};
use crate::failure::{Failure, OrFail};
use crate::renewals;

#[derive(Args, Debug)]
pub(crate) struct ExportArgs {
    #[command(flatten)]
    place: LogPlace,
    #[command(flatten)]
    key: LogKeyArgs,
    /// The message id (x-road-id)
    #[arg(long, value_name = "ID")]
    message_id: String,
    /// Only this request id (x-road-request-id), where the message id was used more than once
    #[arg(long, value_name = "ID")]
    request_id: Option<String>,
    /// Only the record of this side, where a message went through this server twice
    #[arg(long, value_name = "SIDE")]
    role: Option<RoleArg>,
    /// The response instead of the request
    #[arg(long)]
    response: bool,
    /// Export although there is no timestamp yet; such a container is not complete evidence
    #[arg(long)]
    unstamped: bool,
    /// The body, where the server was configured not to keep it: it must be the one that was signed
    #[arg(long, value_name = "FILE")]
    body: Option<PathBuf>,
    /// Which form the container has
    #[arg(long, value_name = "PROFILE", default_value = "eidas")]
    profile: Profile,
    /// Where to write the container; replaced as a whole if it exists
    #[arg(long, value_name = "FILE.asice")]
    out: PathBuf,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
enum RoleArg {
    Consumer,
    Provider,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
enum Profile {
    /// ETSI's: ASiC-E with the timestamp as an RFC 4998 evidence record
    Eidas,
    /// X-Road's, for its own verifier (7.6 and later); the server must have had `timestamping.xroad = true`
    Xroad,
}

/// Carries it out.
pub(super) fn run(args: &ExportArgs, out: &mut dyn Write) -> Result<ExitCode, Failure> {
    let reader = args.place.open_with_bodies(&args.key)?;
    let found = select(&reader, args)?;
    if found.stamp.is_none() && !args.unstamped {
        return Err(Failure::Failed(anyhow!(
            "record {} has no timestamp yet: try again in a minute, or export incomplete evidence with --unstamped",
            found.sequence
        )));
    }
    // X-Road's form has no place for them.
    let renewals = match args.profile {
        Profile::Eidas => renewals::usable(&args.place.dir()?).or_unusable()?,
        Profile::Xroad => Renewals::default(),
    };
    write(&reader, &found, &renewals, args).or_failed()?;
    writeln!(out, "wrote the {} {} to {}", direction(&found), args.message_id, args.out.display())?;
    Ok(ExitCode::SUCCESS)
}

/// The one record that is meant.
fn select(reader: &Reader, args: &ExportArgs) -> Result<Found, Failure> {
    let wanted = if args.response { Direction::Response } else { Direction::Request };
    let filter = Filter {
        message_id: Some(args.message_id.clone()),
        request_id: args.request_id.clone(),
        ..Filter::default()
    };
    let mut matching = Vec::new();
    each(reader, &filter, |found| {
        let fits = args.role.is_none_or(|role| Role::from(role) == found.record.role());
        if fits && found.record.direction() == wanted {
            matching.push(found);
        }
        Ok(matching.len() < MATCHES_MAX)
    })?;
    one_of(matching, &args.message_id).or_failed()
}

fn one_of(mut matching: Vec<Found>, message_id: &str) -> anyhow::Result<Found> {
    match (matching.pop(), matching.is_empty()) {
        (None, _) => {
            bail!("the log has no such record with the message id {message_id:?}: see `kogge log show`")
        }
        (Some(only), true) => Ok(only),
        (Some(last), false) => {
            matching.push(last);
            let lines: Vec<String> = matching
                .iter()
                .map(|found| {
                    format!(
                        "{}  request id {}",
                        as_line(found),
                        crate::output::line(&found.record.request_id)
                    )
                })
                .collect();
            bail!(
                "more than one record matches: narrow down with --request-id or --role\n{}",
                lines.join("\n")
            )
        }
    }
}

fn write(reader: &Reader, found: &Found, renewals: &Renewals, args: &ExportArgs) -> anyhow::Result<()> {
    let mut body = body_file(reader, found, args)?;
    kogge_durable::write_atomic_with(&args.out, false, |file: &mut File| {
        let mut buffered = BufWriter::new(file);
        let body = body.as_mut().map(|file| file as &mut dyn Read);
        let Found { sequence, record, material, stamp, .. } = found;
        let (out, stamp) = (&mut buffered, stamp.as_deref());
        match (args.profile, stamp) {
            (Profile::Eidas, Some(stamp)) => {
                container::write_renewed_record(out, (*sequence, record), material, stamp, renewals, body)
            }
            (Profile::Eidas, None) => container::write_record(out, *sequence, record, material, None, body),
            (Profile::Xroad, stamp) => {
                container::xroad::write_record(out, *sequence, record, material, stamp, body)
            }
        }
        .map_err(|error| explain(error, *sequence))?;
        buffered.flush().with_context(|| format!("cannot write {}", args.out.display()))
    })
}

/// What to do where the writer cannot know.
fn explain(error: ContainerError, sequence: u64) -> anyhow::Error {
    match error {
        ContainerError::TimestampChain(TimestampChainError::NotStamped) => anyhow!(
            "record {sequence} cannot be exported for X-Road: {error}. Nothing adds it afterwards; the server's configuration \
             has it for later batches with `xroad = true` in [timestamping]. The profile eidas is available"
        ),
        other => other.into(),
    }
}

/// The file that the body is to be read from; none where it lies in the record or there is none.
fn body_file(reader: &Reader, found: &Found, args: &ExportArgs) -> anyhow::Result<Option<Box<dyn Read>>> {
    let place = found.record.body.as_ref().and_then(|body| body.place.as_ref());
    let path = match (place, &args.body) {
        (Some(Place::NotKept(_)), Some(given)) => {
            check_given(found, given)?;
            given.clone()
        }
        (Some(Place::NotKept(absent)), None) => bail!(
            "the log does not give the body of record {}: {}. \
             Give the body that the information system or the register has with --body FILE",
            found.sequence,
            why_absent(absent.why())
        ),
        (_, Some(_)) => bail!("the log itself has all of record {}: leave --body out", found.sequence),
        (Some(Place::File(name)), None) => {
            let cannot = || format!("cannot read the body {name}");
            let body = reader.open_body(found).with_context(cannot)?;
            return Ok(body.map(|body| Box::new(body) as Box<dyn Read>));
        }
        (Some(Place::Inline(_)) | None, None) => return Ok(None),
    };
    let file = File::open(&path).with_context(|| format!("cannot read the body {}", path.display()))?;
    Ok(Some(Box::new(file)))
}

/// Whether the file holds the recorded body, before anything is written.
fn check_given(found: &Found, given: &Path) -> anyhow::Result<()> {
    let body = found.record.body.as_ref().context("the record has no body")?;
    let cannot = || format!("cannot read the body {}", given.display());
    let (digest, length) =
        crate::digest::of_file(&mut File::open(given).with_context(cannot)?).with_context(cannot)?;
    ensure!(
        length == body.length,
        "{} is not the body of record {}: it has {length} bytes, the signed one has {}",
        given.display(),
        found.sequence,
        body.length
    );
    ensure!(
        digest.as_bytes() == body.sha512,
        "{} is not the body of record {}: its SHA-512 is {digest}, that of the signed one is {}",
        given.display(),
        found.sequence,
        hex::encode(&body.sha512)
    );
    Ok(())
}

impl From<RoleArg> for Role {
    fn from(arg: RoleArg) -> Self {
        match arg {
            RoleArg::Consumer => Self::Consumer,
            RoleArg::Provider => Self::Provider,
        }
    }
}

/// As many matches as an error can usefully list.
const MATCHES_MAX: usize = 20;

//! `kogge log`: the message log of a security server, while the server runs and when it does not.

mod accesses;
mod bundle;
mod describe;
mod erase;
mod export;
pub(crate) mod key;
mod renew;
mod unpack;

use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::anyhow;
use clap::{Args, Subcommand};
use kogge_message_log::{ErasedRecords, Filter, Found, FoundErasure, LogError, Reader};
use kogge_proto::time::UnixMillis;
use kogge_security_server::log_key;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use self::describe::{as_json, as_line, as_text};
use self::key::LogKeyArgs;
use crate::failure::{FAILED, Failure, OrFail};
use crate::output;

/// What to do with a log.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// List records, oldest first
    #[command(after_help = "Examples:
  kogge log list --config security-server.toml --from 2026-11-24 --client DEMO/GOV/2002/benefits
  kogge log list --dir log --json --limit 10")]
    List(ListArgs),
    /// Show the records of a message; exit code 1 if there is none
    #[command(after_help = "Example:\n  kogge log show --config security-server.toml --message-id 4711")]
    Show(ShowArgs),
    /// Export the evidence of a message as an ASiC-E container
    #[command(after_help = "Examples:
  kogge log export --config security-server.toml --message-id 4711 --out request.asice
  kogge log export --config security-server.toml --message-id 4711 --response --out response.asice
  kogge log export --config security-server.toml --message-id 4711 --profile xroad --out request.asice")]
    Export(export::ExportArgs),
    /// Write many records, with all that their verification needs, into one file for an auditor
    #[command(after_help = "Examples:
  kogge log bundle --config security-server.toml --from 2026-11-01 --to 2026-12-01 --out november.bundle
  kogge log bundle --dir log --client DEMO/GOV/2002/benefits --service DEMO/GOV/1001/population/persons --out asked.bundle

The auditor runs: kogge verify november.bundle --anchor anchor.toml")]
    Bundle(bundle::BundleArgs),
    /// Write the ASiC-E containers of all records of a bundle
    #[command(after_help = "Example:\n  kogge log unpack november.bundle --out november")]
    Unpack(unpack::UnpackArgs),
    /// Get newer timestamps over old ones, before those age out
    #[command(after_help = "Examples:
  kogge log renew --config security-server.toml
  kogge log renew --dir archived/log --anchor anchor.toml --snapshot snapshot --before 2028-01-01

To be run every month or so, also for copies of logs. One new token is over all timestamps that are due (RFC 4998 section 5.2); it is kept in LOG_DIR/renewals, from where
`kogge log export` puts it into containers. The server may be running: the log itself is not written.

Without --before or --all, timestamps are due whose authority's certificate ends within 180 days. Exit code 1 if one is due and cannot be renewed.")]
    Renew(renew::RenewArgs),
    /// List who asked for the data of a person, when and for what purpose
    #[command(after_help = "Examples:
  kogge log accesses --config security-server.toml --subject DE/19800101-1234 --from 2026-01-01
  kogge log accesses --dir log --log-key token/log.key --pin file:pin --subject DE/19800101-1234 --json

Found are requests that name the person in the signed header x-road-subject. The log's index has a pseudonym in its place; the header itself stays in the message, as it was signed.")]
    Accesses(accesses::AccessesArgs),
    /// Erase the bodies of a message for good, also from copies of the segments; everything else stays and still verifies
    #[command(after_help = "Example:
  kogge log erase --config security-server.toml --message-id 4711 --reason \"court order 12/26\"

What is destroyed is the key of each body, and the file of a large one. Copies of LOG_DIR/keys made before still have the keys: keep them apart from other backups, and not for long.")]
    Erase(erase::EraseArgs),
    /// Rebuild the index from the segments; the server must not be running
    #[command(after_help = "Example:\n  kogge log reindex --config security-server.toml")]
    Reindex(ReindexArgs),
}

/// Which log.
#[derive(Args, Debug)]
#[group(required = true, multiple = false)]
pub(crate) struct LogPlace {
    /// Configuration of the security server whose log it is
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Directory of the log
    #[arg(long, value_name = "LOG_DIR")]
    dir: Option<PathBuf>,
}

#[derive(Args, Debug)]
pub(crate) struct ListArgs {
    #[command(flatten)]
    place: LogPlace,
    /// Only this message id (x-road-id)
    #[arg(long, value_name = "ID")]
    message_id: Option<String>,
    /// Only this request id (x-road-request-id)
    #[arg(long, value_name = "ID")]
    request_id: Option<String>,
    /// Only requests of this client and their responses
    #[arg(long, value_name = "INSTANCE/CLASS/CODE/SUBSYSTEM")]
    client: Option<String>,
    /// Only this service
    #[arg(long, value_name = "INSTANCE/CLASS/CODE/SUBSYSTEM/SERVICE")]
    service: Option<String>,
    /// Logged at this time or later: 2026-11-24 or 2026-11-24T08:00:00+01:00
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    from: Option<UnixMillis>,
    /// Logged before this time
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    to: Option<UnixMillis>,
    /// At most so many records
    #[arg(long, value_name = "N")]
    limit: Option<u64>,
    /// Print one JSON object per line
    #[arg(long)]
    json: bool,
}

#[derive(Args, Debug)]
pub(crate) struct ShowArgs {
    #[command(flatten)]
    place: LogPlace,
    /// The message id (x-road-id)
    #[arg(long, value_name = "ID")]
    message_id: String,
    /// Only this request id (x-road-request-id)
    #[arg(long, value_name = "ID")]
    request_id: Option<String>,
    /// Print one JSON object per line
    #[arg(long)]
    json: bool,
}

#[derive(Args, Debug)]
pub(crate) struct ReindexArgs {
    #[command(flatten)]
    place: LogPlace,
}

/// Carries it out.
pub(crate) fn run(command: Command, out: &mut dyn Write) -> Result<ExitCode, Failure> {
    match command {
        Command::List(args) => list(args, out),
        Command::Show(args) => show(args, out),
        Command::Export(args) => export::run(&args, out),
        Command::Bundle(args) => bundle::run(&args, out),
        Command::Unpack(args) => unpack::run(&args, out),
        Command::Renew(args) => renew::run(&args, out),
        Command::Accesses(args) => accesses::run(&args, out),
        Command::Erase(args) => erase::run(args, out),
        Command::Reindex(args) => reindex(&args, out),
    }
}

impl LogPlace {
    /// The log's directory.
    fn dir(&self) -> Result<PathBuf, Failure> {
        match (&self.config, &self.dir) {
            (_, Some(dir)) => Ok(dir.clone()),
            (Some(config), None) => config_log_dir(config),
            (None, None) => Err(Failure::Unusable(anyhow!("say which log with --config or --dir"))),
        }
    }

    fn open(&self) -> Result<Reader, Failure> {
        Reader::open(&self.dir()?).or_unusable()
    }

    /// As [`Self::open`], for who wants the bodies too: with the log key that is given, or else with the one that the configuration leads to.
    fn open_with_bodies(&self, key: &LogKeyArgs) -> Result<Reader, Failure> {
        let reader = self.open()?;
        if let Some(key) = key.open()? {
            return Ok(reader.with_log_key(key));
        }
        match &self.config {
            Some(config) if reader.has_keys() => {
                let config = kogge_security_server::Config::load(config).or_unusable()?;
                Ok(reader.with_log_key(log_key::open(&config.token).or_unusable()?))
            }
            _ => Ok(reader),
        }
    }
}

fn list(args: ListArgs, out: &mut dyn Write) -> Result<ExitCode, Failure> {
    let reader = args.place.open()?;
    let filter = Filter {
        message_id: args.message_id,
        request_id: args.request_id,
        client: args.client,
        service: args.service,
        subject: None,
        from: args.from,
        to: args.to,
    };
    let form = if args.json { Form::Json } else { Form::Line };
    let erasures = reader.erasures().or_failed()?;
    let erased = ErasedRecords::of(&erasures);
    // Erasures are of no client and no service: they are listed where everything is.
    let is_all = [&filter.message_id, &filter.request_id, &filter.client, &filter.service]
        .iter()
        .all(|text| text.is_none());
    let is_in_time = |found: &FoundErasure| {
        filter.from.is_none_or(|from| from <= found.time) && filter.to.is_none_or(|to| found.time < to)
    };
    let mut erasures = erasures.iter().filter(|found| is_all && is_in_time(found)).peekable();
    let mut left = args.limit.unwrap_or(u64::MAX);
    if left > 0 {
        each(&reader, &filter, |found| {
            while let Some(erasure) =
                erasures.next_if(|erasure| erasure.sequence < found.sequence && left > 0)
            {
                print_erasure(out, erasure, form)?;
                left -= 1;
            }
            if left > 0 {
                print(out, found, &erased, form)?;
                left -= 1;
            }
            Ok(left > 0)
        })?;
    }
    for erasure in erasures.take(usize::try_from(left).unwrap_or(usize::MAX)) {
        print_erasure(out, erasure, form)?;
    }
    Ok(ExitCode::SUCCESS)
}

fn show(args: ShowArgs, out: &mut dyn Write) -> Result<ExitCode, Failure> {
    let reader = args.place.open()?;
    let filter = Filter {
        message_id: Some(args.message_id.clone()),
        request_id: args.request_id,
        ..Filter::default()
    };
    let erasures = reader.erasures().or_failed()?;
    let erased = ErasedRecords::of(&erasures);
    let mut count = 0_u64;
    each(&reader, &filter, |found| {
        count += 1;
        let form = if args.json { Form::Json } else { Form::Text };
        let sequence = found.sequence;
        print(out, found, &erased, form)?;
        for erasure in erasures.iter().filter(|erasure| erasure.is_about(sequence)) {
            print_erasure(out, erasure, form)?;
        }
        Ok(true)
    })?;
    if count == 0 {
        eprintln!("kogge: the log has no record with the message id {:?}", args.message_id);
        return Ok(FAILED.into());
    }
    Ok(ExitCode::SUCCESS)
}

fn reindex(args: &ReindexArgs, out: &mut dyn Write) -> Result<ExitCode, Failure> {
    let dir = args.place.dir()?;
    let on_terminal = io::stderr().is_terminal();
    let mut progress = |done: u64| {
        if on_terminal && done.is_multiple_of(PROGRESS_EVERY) {
            eprint!("\r{done} entries");
        }
    };
    let entries = kogge_message_log::reindex(&dir, INDEX_CACHE_BYTES, &mut progress);
    if on_terminal {
        eprintln!();
    }
    let entries = entries.map_err(|error| match error {
        LogError::Io { .. } => Failure::Unusable(error.into()),
        _ => Failure::Failed(error.into()),
    })?;
    writeln!(out, "rebuilt the index of {} from {entries} entries", dir.display())?;
    Ok(ExitCode::SUCCESS)
}

#[derive(Clone, Copy)]
enum Form {
    Line,
    Text,
    Json,
}

fn print(out: &mut dyn Write, mut found: Found, erased: &ErasedRecords, form: Form) -> io::Result<()> {
    if erased.contains(found.sequence) {
        describe::mark_erased(&mut found);
    }
    match form {
        Form::Line => writeln!(out, "{}", as_line(&found)),
        Form::Text => write!(out, "{}", as_text(&found)),
        Form::Json => output::json_line(out, &as_json(&found)),
    }
}

fn print_erasure(out: &mut dyn Write, found: &FoundErasure, form: Form) -> io::Result<()> {
    match form {
        Form::Line | Form::Text => writeln!(out, "{}", describe::erasure_as_line(found)),
        Form::Json => output::json_line(out, &describe::erasure_as_json(found)),
    }
}

/// The log's directory as a security server's configuration has it.
fn config_log_dir(config: &Path) -> Result<PathBuf, Failure> {
    kogge_security_server::Config::load(config).map(|config| config.message_log.dir).or_unusable()
}

/// Hands each record to `take` until it says stop or fails.
fn each(
    reader: &Reader,
    filter: &Filter,
    mut take: impl FnMut(Found) -> Result<bool, Failure>,
) -> Result<(), Failure> {
    let mut failure = None;
    reader
        .list(filter, &mut |found| {
            take(found).unwrap_or_else(|error| {
                failure = Some(error);
                false
            })
        })
        .or_failed()?;
    failure.map_or(Ok(()), Err)
}

pub(super) fn parse_time(text: &str) -> Result<UnixMillis, String> {
    let whole = if text.len() == "2026-11-24".len() { format!("{text}T00:00:00Z") } else { text.to_owned() };
    let parsed = OffsetDateTime::parse(&whole, &Rfc3339).map_err(|_| {
        "give a date like 2026-11-24 (UTC) or a time like 2026-11-24T08:00:00+01:00".to_owned()
    })?;
    let millis = parsed.unix_timestamp_nanos().div_euclid(1_000_000);
    i64::try_from(millis).map(UnixMillis).map_err(|_| "the time is out of range".to_owned())
}

/// sled's page cache while an index is rebuilt; writing in order needs little.
const INDEX_CACHE_BYTES: u64 = 32 * 1024 * 1024;
/// Entries between two updates of the progress line.
const PROGRESS_EVERY: u64 = 1000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_dates_or_whole() {
        assert_eq!(parse_time("1970-01-02"), Ok(UnixMillis(86_400_000)));
        assert_eq!(parse_time("1970-01-01T01:00:00.250+01:00"), Ok(UnixMillis(250)));
        for wrong in ["", "yesterday", "1970-01-01T00:00:00", "1970-13-01", "24.11.2026"] {
            assert!(parse_time(wrong).is_err(), "{wrong}");
        }
    }
}

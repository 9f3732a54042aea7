//! `kogge log accesses`: who asked for the data of a person, when, and why. What a citizen may want to know.

use std::io::{self, Write};
use std::process::ExitCode;

use anyhow::anyhow;
use clap::Args;
use kogge_message_log::{Filter, Found};
use kogge_proto::message::RestRequest;
use kogge_proto::time::UnixMillis;
use kogge_proto::wire::log::Direction;
use serde_json::json;

use super::describe::role;
use super::key::LogKeyArgs;
use super::{LogPlace, each, parse_time};
use crate::failure::{Failure, OrFail};
use crate::output::{self, line};

#[derive(Args, Debug)]
pub(crate) struct AccessesArgs {
    #[command(flatten)]
    place: LogPlace,
    #[command(flatten)]
    key: LogKeyArgs,
    /// The person, as the requests name them in x-road-subject
    #[arg(long, value_name = "ID")]
    subject: String,
    /// Logged at this time or later: 2026-11-24 or 2026-11-24T08:00:00+01:00
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    from: Option<UnixMillis>,
    /// Logged before this time
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    to: Option<UnixMillis>,
    /// Print one JSON object per line
    #[arg(long)]
    json: bool,
}

/// Carries it out.
pub(super) fn run(args: &AccessesArgs, out: &mut dyn Write) -> Result<ExitCode, Failure> {
    let reader = args.place.open_with_bodies(&args.key)?;
    let pseudonym = reader.pseudonym(args.subject.trim()).or_failed()?.ok_or_else(|| {
        Failure::Unusable(anyhow!("persons are found with the log key alone: give --config, or --log-key"))
    })?;
    let filter = Filter { subject: Some(pseudonym), from: args.from, to: args.to, ..Filter::default() };
    each(&reader, &filter, |found| {
        if found.record.direction() == Direction::Request {
            print(out, &found, args.json)?;
        }
        Ok(true)
    })?;
    Ok(ExitCode::SUCCESS)
}

fn print(out: &mut dyn Write, found: &Found, as_json: bool) -> io::Result<()> {
    let record = &found.record;
    // What cannot be read is a fault that `kogge verify` names; the access is listed all the same.
    let request = RestRequest::parse(&record.message).ok();
    let method = request.as_ref().map_or("", RestRequest::method);
    let purpose = request.as_ref().and_then(RestRequest::purpose).unwrap_or_default();
    if as_json {
        return output::json_line(
            out,
            &json!({
                "sequence": found.sequence,
                "time": found.time.to_string(),
                "role": role(found),
                "client": record.client,
                "service": record.service,
                "method": method,
                "purpose": purpose,
                "message_id": record.message_id,
                "request_id": record.request_id,
                "timestamped": found.stamp.is_some(),
            }),
        );
    }
    let purpose = if purpose.is_empty() { "no purpose given" } else { purpose };
    writeln!(
        out,
        "{:>8}  {}  {} -> {}  {method}  {}  {}",
        found.sequence,
        found.time,
        line(&record.client),
        line(&record.service),
        line(purpose),
        line(&record.message_id),
    )
}

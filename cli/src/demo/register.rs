//! The demo's population register: a plain HTTP service that knows nothing of Kogge, as an agency would have one already.
//!
//! - `GET /persons?family_name=…&city=…&limit=N`: residents that match, as JSON.
//! - `GET /persons/{id}`: one resident, or 404.
//! - `POST /persons/query` with `{"ids":["…"]}`: those residents.
//! - `POST /persons/attachments` with any body: its length and SHA-256.

use std::fs::File;
use std::io::Write;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context;
use http::{Method, Request, Response, StatusCode, header};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use kogge_daemon::server::{Bound, ResponseBody, ServerLimits, full};
use kogge_daemon::shutdown::Shutdown;
use kogge_proto::digest::Sha256Hasher;
use serde::Deserialize;
use serde_json::{Value, json};

use super::people::{self, Person};
use crate::failure::Failure;

/// Arguments of the register's own process, which the demo starts.
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    /// Where to listen.
    #[arg(long)]
    listen: SocketAddr,
    /// File to which a line is appended for each call, before it is answered: method, path, X-Road-Request-Id.
    #[arg(long)]
    calls: PathBuf,
}

/// Serves the register until it is asked to stop.
///
/// # Errors
/// The port is in use, or the file of calls cannot be written.
pub(crate) fn run(args: Args) -> Result<ExitCode, Failure> {
    kogge_daemon::telemetry::init();
    super::block_on(serve(args))
}

async fn serve(args: Args) -> anyhow::Result<()> {
    let shutdown = Shutdown::on_signals()?;
    let listen = args.listen;
    let calls = File::options().create(true).append(true).open(&args.calls);
    let calls = Arc::new(calls.with_context(|| format!("cannot write {}", args.calls.display()))?);
    let bound =
        Bound::bind(listen, None, ServerLimits::default()).await.context("the population register")?;
    tracing::info!(listen = %bound.local_addr(), people = people::POPULATION, "population register ready");
    let people: Arc<[Person]> = people::all().into();
    bound
        .serve(
            move |request, _connection| {
                let (people, calls) = (Arc::clone(&people), Arc::clone(&calls));
                async move {
                    match write_down(&request, &calls) {
                        Ok(()) => answer(request, &people).await,
                        Err(error) => json_answer(
                            StatusCode::INTERNAL_SERVER_ERROR,
                            &json!({"error": error.to_string()}),
                        ),
                    }
                }
            },
            shutdown,
        )
        .await;
    Ok(())
}

/// One short append, so that lines of calls at once do not mix.
fn write_down(request: &Request<Incoming>, mut calls: &File) -> std::io::Result<()> {
    let id = request.headers().get("x-road-request-id").and_then(|value| value.to_str().ok()).unwrap_or("-");
    calls.write_all(format!("{} {} {id}\n", request.method(), request.uri().path()).as_bytes())
}

async fn answer(request: Request<Incoming>, people: &[Person]) -> Response<ResponseBody> {
    let path = request.uri().path().to_owned();
    match (request.method().clone(), path.as_str()) {
        (Method::GET, "/persons") => search(request.uri().query().unwrap_or_default(), people),
        (Method::POST, "/persons/query") => query(request, people).await,
        (Method::POST, "/persons/attachments") => attachment(request).await,
        (Method::GET, _) => match path.strip_prefix("/persons/").and_then(|id| find(id, people)) {
            Some(person) => json_answer(StatusCode::OK, &json!(person)),
            None => json_answer(StatusCode::NOT_FOUND, &json!({"error": "no such resident"})),
        },
        _ => json_answer(StatusCode::NOT_FOUND, &json!({"error": "no such operation"})),
    }
}

fn search(query: &str, people: &[Person]) -> Response<ResponseBody> {
    let parameter = |name: &str| {
        let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
        pairs.find(|(key, _)| *key == name).map(|(_, value)| percent_decode(value))
    };
    let limit = parameter("limit").and_then(|text| text.parse().ok()).unwrap_or(20).min(LIMIT_MAX);
    let (family_name, city) = (parameter("family_name"), parameter("city"));
    let found: Vec<&Person> = people
        .iter()
        .filter(|person| family_name.as_ref().is_none_or(|name| name == person.family_name))
        .filter(|person| city.as_ref().is_none_or(|city| city == person.address.city))
        .take(limit)
        .collect();
    json_answer(StatusCode::OK, &json!({"count": found.len(), "persons": found}))
}

/// What `POST /persons/query` takes.
#[derive(Deserialize)]
struct Query {
    ids: Vec<String>,
}

async fn query(request: Request<Incoming>, people: &[Person]) -> Response<ResponseBody> {
    let limited = http_body_util::Limited::new(request.into_body(), QUERY_BYTES_MAX);
    let Ok(body) = limited.collect().await else {
        return json_answer(StatusCode::PAYLOAD_TOO_LARGE, &json!({"error": "the query is too large"}));
    };
    match serde_json::from_slice::<Query>(&body.to_bytes()) {
        Ok(query) => {
            let found: Vec<&Person> = query.ids.iter().filter_map(|id| find(id, people)).collect();
            json_answer(StatusCode::OK, &json!({"count": found.len(), "persons": found}))
        }
        Err(error) => json_answer(StatusCode::BAD_REQUEST, &json!({"error": error.to_string()})),
    }
}

async fn attachment(request: Request<Incoming>) -> Response<ResponseBody> {
    let mut body = request.into_body();
    let (mut length, mut hasher) = (0_usize, Sha256Hasher::new());
    while let Some(frame) = body.frame().await {
        match frame.map(hyper::body::Frame::into_data) {
            Ok(Ok(data)) => {
                length += data.len();
                hasher.update(&data);
            }
            Ok(Err(_trailers)) => {}
            Err(_) => {
                return json_answer(StatusCode::BAD_REQUEST, &json!({"error": "the attachment broke off"}));
            }
        }
    }
    json_answer(StatusCode::CREATED, &json!({"bytes": length, "sha256": hasher.finish().to_string()}))
}

/// Undoes percent-encoding; what is malformed stays as it is.
fn percent_decode(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        let code = bytes.get(at + 1..at + 3).and_then(|hex| std::str::from_utf8(hex).ok());
        match code.and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
            Some(code) if byte == b'%' => {
                out.push(code);
                at += 3;
            }
            _ => {
                out.push(if byte == b'+' { b' ' } else { byte });
                at += 1;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

fn find<'a>(id: &str, people: &'a [Person]) -> Option<&'a Person> {
    people.iter().find(|person| person.id == id)
}

fn json_answer(status: StatusCode, value: &Value) -> Response<ResponseBody> {
    let mut response = Response::new(full(value.to_string()));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static("application/json"));
    response
}

/// Most residents in one answer.
const LIMIT_MAX: usize = 100;
/// Largest query.
const QUERY_BYTES_MAX: usize = 64 * 1024;

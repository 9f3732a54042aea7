//! What the registry answers. A mirror needs nothing but `GET /snapshot`.
//!
//! | path | answer |
//! |---|---|
//! | `/snapshot` | the current snapshot, with an ETag |
//! | `/snapshot/{version}` | any snapshot that was ever published |
//! | `/snapshot/as-of/{milliseconds since 1970}` | the one that was current then |
//! | `/anchor.toml` | the anchor; to be compared with what came by another way |
//! | `/health` | JSON; status 503 if there is no valid snapshot |

use std::sync::Arc;

use http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, ETAG, IF_NONE_MATCH};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode};
use hyper::body::Incoming;
use kogge_daemon::server::{ResponseBody, full};
use kogge_proto::time::UnixMillis;
use tokio::task::spawn_blocking;

use super::View;
use super::health::Health;
use crate::archive::{Archive, ArchiveError};
use crate::clock::now;
use crate::index::Row;

pub(super) async fn answer(view: Arc<View>, request: Request<Incoming>) -> Response<ResponseBody> {
    let Some(route) = route(request.uri().path()) else {
        return text(
            StatusCode::NOT_FOUND,
            "there is nothing here; try /snapshot, /anchor.toml or /health\n",
        );
    };
    if request.method() != Method::GET {
        let mut response = text(StatusCode::METHOD_NOT_ALLOWED, "the registry only answers GET\n");
        response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET"));
        return response;
    }
    match route {
        Route::Current => current(&view, request.headers()),
        Route::Version(version) => old(&view, move |archive| archive.by_version(version)).await,
        Route::AsOf(time) => old(&view, move |archive| archive.as_of(time)).await,
        Route::Anchor => with_type("application/toml", full(view.anchor.clone())),
        Route::Health => health(&view, now()),
    }
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Route {
    Current,
    Version(u64),
    AsOf(UnixMillis),
    Anchor,
    Health,
}

fn route(path: &str) -> Option<Route> {
    match path {
        "/snapshot" => Some(Route::Current),
        "/anchor.toml" => Some(Route::Anchor),
        "/health" => Some(Route::Health),
        _ => {
            let rest = path.strip_prefix("/snapshot/")?;
            match rest.strip_prefix("as-of/") {
                Some(time) => {
                    number(time).and_then(|time| i64::try_from(time).ok()).map(UnixMillis).map(Route::AsOf)
                }
                None => number(rest).map(Route::Version),
            }
        }
    }
}

/// Digits and nothing else, so that one thing has one path.
fn number(text: &str) -> Option<u64> {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit()) && !(text.len() > 1 && text.starts_with('0'));
    digits.then(|| text.parse().ok())?
}

fn current(view: &View, headers: &HeaderMap) -> Response<ResponseBody> {
    let current = view.current.load();
    let etag = current.meta.etag();
    let mut response = if matches(headers, &etag) {
        let mut response = Response::new(full(""));
        *response.status_mut() = StatusCode::NOT_MODIFIED;
        response
    } else {
        with_type(PROTOBUF, full(current.bytes.clone()))
    };
    // Mirrors and proxies ask each time; the answer is mostly 304.
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    if let Ok(etag) = HeaderValue::try_from(etag) {
        response.headers_mut().insert(ETAG, etag);
    }
    response
}

/// RFC 9110 section 13.1.2, with the weak comparison that it asks for.
fn matches(headers: &HeaderMap, etag: &str) -> bool {
    let lists = headers.get_all(IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
    lists
        .flat_map(|list| list.split(','))
        .map(str::trim)
        .any(|each| each == "*" || each.trim_start_matches("W/") == etag)
}

async fn old(
    view: &View,
    find: impl FnOnce(&Archive) -> Result<Option<Row>, ArchiveError> + Send + 'static,
) -> Response<ResponseBody> {
    let Ok(_permit) = view.archive_reads.try_acquire() else {
        return text(StatusCode::SERVICE_UNAVAILABLE, "too many requests for old snapshots; try again\n");
    };
    let archive = view.archive.clone();
    let read = spawn_blocking(move || match find(&archive)? {
        Some(row) => archive.read(&row).map(Some),
        None => Ok(None),
    });
    match read.await {
        Ok(Ok(Some(bytes))) => with_type(PROTOBUF, full(bytes)),
        Ok(Ok(None)) => text(StatusCode::NOT_FOUND, "no such snapshot was published\n"),
        Ok(Err(error)) => internal(&error),
        Err(error) => internal(&error),
    }
}

fn health(view: &View, now: UnixMillis) -> Response<ResponseBody> {
    let health = Health::of(view, now);
    match serde_json::to_vec(&health) {
        Ok(body) => {
            let mut response = with_type("application/json", full(body));
            if health.failed() {
                *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
            }
            response
        }
        Err(error) => internal(&error),
    }
}

/// The reason stays here: file names are nobody else's business.
fn internal(error: &dyn std::error::Error) -> Response<ResponseBody> {
    tracing::error!(%error, "cannot answer a request");
    text(
        StatusCode::INTERNAL_SERVER_ERROR,
        "the registry cannot answer; its operator finds the reason in the log\n",
    )
}

fn text(status: StatusCode, body: &'static str) -> Response<ResponseBody> {
    let mut response = with_type("text/plain; charset=utf-8", full(body));
    *response.status_mut() = status;
    response
}

fn with_type(content_type: &'static str, body: ResponseBody) -> Response<ResponseBody> {
    let mut response = Response::new(body);
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

const PROTOBUF: &str = "application/x-protobuf";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_path_leads_to_one_thing() {
        assert_eq!(route("/snapshot"), Some(Route::Current));
        assert_eq!(route("/snapshot/7"), Some(Route::Version(7)));
        assert_eq!(route("/snapshot/as-of/1795000000000"), Some(Route::AsOf(UnixMillis(1_795_000_000_000))));
        assert_eq!(route("/anchor.toml"), Some(Route::Anchor));
        assert_eq!(route("/health"), Some(Route::Health));
        let nothing = [
            "",
            "/",
            "/snapshot/",
            "/snapshot/07",
            "/snapshot/+7",
            "/snapshot/-1",
            "/snapshot/7/",
            "/snapshot/x",
            "/Snapshot",
            "/snapshot/as-of/",
            "/snapshot/as-of/x",
            "/snapshot/99999999999999999999",
            "/snapshot/as-of/9999999999999999999",
            "/snapshot/../anchor.toml",
            "/anchor.toml/",
            "//health",
        ];
        for path in nothing {
            assert_eq!(route(path), None, "{path}");
        }
    }

    #[test]
    fn etags_are_compared_weakly_in_lists() {
        let with = |values: &[&'static str]| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(IF_NONE_MATCH, HeaderValue::from_static(value));
            }
            matches(&headers, "\"7-ab\"")
        };
        for good in [&["\"7-ab\""][..], &["*"], &["W/\"7-ab\""], &["\"x\", \"7-ab\""], &["\"x\"", "\"7-ab\""]]
        {
            assert!(with(good), "{good:?}");
        }
        for bad in [&[][..], &[""], &["7-ab"], &["\"7-abc\""], &["\"x\""]] {
            assert!(!with(bad), "{bad:?}");
        }
    }
}

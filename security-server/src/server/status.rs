//! `/live`, `/ready` and `/metrics`.

use std::convert::Infallible;
use std::sync::Arc;

use http::header::CONTENT_TYPE;
use http::{HeaderValue, Method, Request, Response, StatusCode};
use hyper::body::Incoming;
use kogge_daemon::server::{Bound, ResponseBody, full};
use kogge_daemon::shutdown::Shutdown;
use kogge_message_log::State;
use kogge_proto::id::{MemberId, SecurityServerId};
use kogge_proto::time::UnixMillis;
use kogge_transport::Listener;
use serde::Serialize;
use tokio::task::spawn_blocking;

use crate::clock;
use crate::consumer::Consumer;
use crate::gate::Conditions;
use crate::metrics::{Gauge, Metrics};
use crate::provider::Provider;
use crate::trust::Timestamper;

/// What the status is read from.
pub(super) struct Status {
    pub(super) server: SecurityServerId,
    pub(super) conditions: Arc<Conditions>,
    /// For whom this server must be able to sign.
    pub(super) members: Vec<MemberId>,
    pub(super) timestamper: Arc<Timestamper>,
    pub(super) metrics: Arc<Metrics>,
    pub(super) consumer: Option<Arc<Consumer>>,
    pub(super) provider: Option<Arc<Provider>>,
    pub(super) listener: Option<Arc<Listener>>,
}

/// The body of `/ready`: status 200 if ready, else 503.
#[derive(Debug, Serialize)]
struct Readiness {
    ready: bool,
    /// Why not; empty if ready.
    reasons: Vec<String>,
    /// What will become a reason if nobody acts.
    warnings: Vec<String>,
    security_server: String,
    snapshot_version: Option<u64>,
    snapshot_age_s: Option<u64>,
    snapshot_expires: Option<String>,
    /// Without a new snapshot no exchange takes place after that.
    snapshot_expires_in_s: Option<u64>,
    /// Records that wait for a timestamp; at most as many as one batch takes.
    unstamped: usize,
    oldest_unstamped_age_s: u64,
    message_log: &'static str,
    exchanges_running: usize,
    /// The last peers whose certificate was not accepted; they themselves have learnt only that.
    refused_peers: Vec<String>,
}

/// Serves until `shutdown`.
pub(super) async fn serve(bound: Bound, status: Arc<Status>, shutdown: Shutdown) {
    let handler = move |request: Request<Incoming>, _| {
        let status = Arc::clone(&status);
        async move {
            respond(request.method(), request.uri().path(), status)
                .await
                .unwrap_or_else(|never| match never {})
        }
    };
    bound.serve(handler, shutdown).await;
}

async fn respond(
    method: &Method,
    path: &str,
    status: Arc<Status>,
) -> Result<Response<ResponseBody>, Infallible> {
    if !matches!(*method, Method::GET | Method::HEAD) {
        return Ok(text(StatusCode::METHOD_NOT_ALLOWED, "text/plain", "only GET\n".to_owned()));
    }
    if path == "/live" {
        return Ok(text(StatusCode::OK, "text/plain", "live\n".to_owned()));
    }
    if path != "/ready" && path != "/metrics" {
        return Ok(text(
            StatusCode::NOT_FOUND,
            "text/plain",
            "there are /live, /ready and /metrics\n".to_owned(),
        ));
    }
    let wants_metrics = path == "/metrics";
    // The log's index is asked, which may read from disk.
    let answer = spawn_blocking(move || {
        let readiness = status.readiness(clock::now());
        if wants_metrics {
            let rendered = status.metrics.render(&readiness.gauges());
            return text(StatusCode::OK, "text/plain; version=0.0.4", rendered);
        }
        let code = if readiness.ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
        let body = serde_json::to_string_pretty(&readiness).unwrap_or_default();
        text(code, "application/json", body + "\n")
    });
    let failed =
        || text(StatusCode::INTERNAL_SERVER_ERROR, "text/plain", "the status cannot be read\n".to_owned());
    Ok(answer.await.unwrap_or_else(|_| failed()))
}

fn text(status: StatusCode, content_type: &'static str, body: String) -> Response<ResponseBody> {
    let mut response = Response::new(full(body));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

impl Status {
    /// Blocks.
    fn readiness(&self, now: UnixMillis) -> Readiness {
        let conditions = &self.conditions;
        let mut reasons: Vec<String> =
            conditions.check(now).err().map(|closed| closed.to_string()).into_iter().collect();
        for member in &self.members {
            if let Err(unusable) = conditions.keys.credential(member, now) {
                reasons.push(format!("cannot sign for {member}: {unusable}"));
            }
        }
        let log_state = conditions.log.state();
        if log_state != State::Writable {
            reasons.push(format!("the message log is not writable: {log_state:?}"));
        }
        let registry = conditions.registry.problem().map(|problem| format!("registry: {problem}"));
        let timestamps = self.timestamper.problem().map(|problem| format!("timestamps: {problem}"));
        let snapshot = conditions.registry.latest();
        let running = self.consumer.iter().map(|consumer| consumer.gate.running());
        let running = running.chain(self.provider.iter().map(|provider| provider.gate.running()));
        Readiness {
            ready: reasons.is_empty(),
            reasons,
            warnings: registry.into_iter().chain(timestamps).chain(conditions.keys.problems()).collect(),
            security_server: self.server.to_string(),
            snapshot_version: snapshot.as_ref().map(|snapshot| snapshot.version()),
            snapshot_age_s: snapshot.as_ref().map(|snapshot| now.since(snapshot.issued()).as_secs()),
            snapshot_expires: snapshot.as_ref().map(|snapshot| snapshot.expires().to_string()),
            snapshot_expires_in_s: snapshot.as_ref().map(|snapshot| snapshot.expires().since(now).as_secs()),
            unstamped: conditions.log.unstamped_count(),
            oldest_unstamped_age_s: conditions
                .log
                .oldest_unstamped()
                .map_or(0, |oldest| now.since(oldest).as_secs()),
            message_log: match log_state {
                State::Writable => "writable",
                State::Full => "full",
                State::Suspect(_) => "suspect",
                State::Closed => "closed",
            },
            exchanges_running: running.sum(),
            refused_peers: self.refused_peers(),
        }
    }

    fn refused_peers(&self) -> Vec<String> {
        let refused = self.listener.iter().flat_map(|listener| listener.refused_peers());
        refused.map(|peer| format!("{} {} {}: {}", peer.at, peer.carrier, peer.addr, peer.refusal)).collect()
    }
}

impl Readiness {
    fn gauges(&self) -> Vec<Gauge> {
        #[allow(clippy::cast_precision_loss, reason = "counts and ages far below 2^53")]
        let number = |value: u64| value as f64;
        let gauge = |name, help, value| Gauge { name, help, value };
        vec![
            gauge("kogge_ready", "1 if exchanges are possible.", number(self.ready.into())),
            gauge(
                "kogge_exchanges_running",
                "Exchanges that are running.",
                number(self.exchanges_running as u64),
            ),
            gauge(
                "kogge_snapshot_version",
                "Version of the registry snapshot; 0 without one.",
                number(self.snapshot_version.unwrap_or(0)),
            ),
            gauge(
                "kogge_snapshot_age_seconds",
                "Time since the registry made the snapshot.",
                number(self.snapshot_age_s.unwrap_or(0)),
            ),
            gauge(
                "kogge_snapshot_expires_in_seconds",
                "Time until the snapshot must not be used any more; 0 without one.",
                number(self.snapshot_expires_in_s.unwrap_or(0)),
            ),
            gauge(
                "kogge_message_log_writable",
                "1 if the message log takes records.",
                number((self.message_log == "writable").into()),
            ),
            gauge(
                "kogge_unstamped_records",
                "Records that wait for a timestamp, at most one batch.",
                number(self.unstamped as u64),
            ),
            gauge(
                "kogge_oldest_unstamped_age_seconds",
                "Age of the oldest record without a timestamp.",
                number(self.oldest_unstamped_age_s),
            ),
        ]
    }
}

//! `GET /health`: whether the registry does its work, for monitoring and for people.

use std::time::Duration;

use kogge_proto::time::UnixMillis;
use serde::Serialize;

use super::View;

/// What `/health` answers.
#[derive(Debug, Serialize)]
pub(super) struct Health<'a> {
    status: Status,
    /// What to do about it, if there is anything.
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<String>,
    instance: &'a str,
    environment: &'a str,
    version: u64,
    issued: String,
    expires: String,
    delegation_expires: String,
    /// Number of decisions in the snapshot.
    decisions: u64,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Status {
    Ok,
    /// The snapshot is valid, but somebody should look.
    Degraded,
    /// There is no valid snapshot: the instance stands still as soon as its members notice.
    Failed,
}

impl<'a> Health<'a> {
    pub(super) fn of(view: &'a View, now: UnixMillis) -> Self {
        let current = view.current.load();
        let (status, detail) =
            judge(view.fault.load().as_deref(), &current.meta.expires, current.delegation_expires, now);
        Self {
            status,
            detail,
            instance: &view.instance,
            environment: view.environment,
            version: current.meta.version,
            issued: current.meta.issued.to_string(),
            expires: current.meta.expires.to_string(),
            delegation_expires: current.delegation_expires.to_string(),
            decisions: current.sequence,
        }
    }

    pub(super) fn failed(&self) -> bool {
        self.status == Status::Failed
    }
}

fn judge(
    fault: Option<&String>,
    expires: &UnixMillis,
    delegation_expires: UnixMillis,
    now: UnixMillis,
) -> (Status, Option<String>) {
    if now >= *expires {
        return (
            Status::Failed,
            Some(fault.cloned().unwrap_or_else(|| format!("the snapshot has expired at {expires}"))),
        );
    }
    if let Some(fault) = fault {
        return (Status::Degraded, Some(fault.clone()));
    }
    if delegation_expires.since(now) < RENEWAL_DUE {
        let detail = format!(
            "the delegation expires at {delegation_expires}: run `kogge central-registry renew-delegation`"
        );
        return (Status::Degraded, Some(detail));
    }
    (Status::Ok, None)
}

/// Time enough to get the people with the root keys together.
const RENEWAL_DUE: Duration = Duration::from_secs(30 * 86_400);

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: UnixMillis = UnixMillis(1_795_000_000_000);

    #[test]
    fn health_follows_snapshot_publisher_and_delegation() {
        let fault = "the disk is full".to_owned();
        let later = NOW.plus(Duration::from_secs(1));
        let next_year = NOW.plus(2 * RENEWAL_DUE);
        let status = |fault: Option<&String>, expires, delegation| judge(fault, &expires, delegation, NOW).0;
        assert_eq!(status(None, later, next_year), Status::Ok);
        assert_eq!(status(Some(&fault), later, next_year), Status::Degraded);
        assert_eq!(status(None, later, NOW.plus(RENEWAL_DUE)), Status::Ok);
        assert_eq!(status(None, later, NOW.plus(RENEWAL_DUE - Duration::from_millis(1))), Status::Degraded);
        assert_eq!(status(None, NOW, next_year), Status::Failed);
        assert_eq!(judge(Some(&fault), &NOW, next_year, NOW), (Status::Failed, Some(fault)));
    }
}

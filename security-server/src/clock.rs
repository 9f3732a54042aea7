//! The only place that reads the wall clock; everything that decides receives the time.

use std::time::{SystemTime, UNIX_EPOCH};

use kogge_proto::time::UnixMillis;

/// The time now, by this machine's clock.
#[must_use]
pub fn now() -> UnixMillis {
    let millis = |duration: std::time::Duration| i64::try_from(duration.as_millis()).unwrap_or(i64::MAX);
    match SystemTime::now().duration_since(UNIX_EPOCH) {
        Ok(after) => UnixMillis(millis(after)),
        Err(before) => UnixMillis(-millis(before.duration())),
    }
}

//! The edge where this crate reads the clock; everything below receives `now`.

use std::time::{SystemTime, UNIX_EPOCH};

use kogge_proto::time::UnixMillis;

pub(crate) fn now() -> UnixMillis {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    UnixMillis(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}

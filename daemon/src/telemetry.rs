//! Log lines on standard error: text on a terminal, JSON otherwise; the level from `KOGGE_LOG` (default `info`).

use std::io::{IsTerminal, stderr};
use std::panic::PanicHookInfo;

use tracing::Level;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

/// Sets up logging for the whole process; a second call does nothing. From then on a panic is one log line too.
pub fn init() {
    let wanted = std::env::var("KOGGE_LOG").unwrap_or_default();
    let (filter, complaint) = filter(&wanted);
    let filtered = tracing_subscriber::registry().with(filter);
    let lines = fmt::layer().with_writer(stderr);
    let set_up = if stderr().is_terminal() {
        filtered.with(lines.with_target(false)).try_init()
    } else {
        filtered.with(lines.json().flatten_event(true)).try_init()
    };
    if set_up.is_err() {
        return;
    }
    std::panic::set_hook(Box::new(log_panic));
    if let Some(complaint) = complaint {
        tracing::warn!("KOGGE_LOG={wanted:?} cannot be understood, logging at level info: {complaint}");
    }
}

/// The filter asked for, or `info` together with what is wrong with it: a typing error must not keep a server from starting.
fn filter(wanted: &str) -> (Targets, Option<String>) {
    let default = || Targets::new().with_default(LEVEL_DEFAULT);
    if wanted.is_empty() {
        return (default(), None);
    }
    match wanted.parse() {
        Ok(filter) => (filter, None),
        Err(error) => (default(), Some(error.to_string())),
    }
}

/// Says what and where, without a backtrace; the task that panicked is at fault, the process goes on.
fn log_panic(info: &PanicHookInfo<'_>) {
    let message = info.payload_as_str().unwrap_or("no message");
    let place = info.location().map(ToString::to_string).unwrap_or_default();
    tracing::error!(place, "internal error: {message}");
}

const LEVEL_DEFAULT: Level = Level::INFO;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_level_is_info_unless_asked_otherwise() {
        assert_eq!(filter("").0.to_string(), "info");
        assert_eq!(filter("warn,kogge_transport=debug").0.to_string(), "kogge_transport=debug,warn");
    }

    #[test]
    fn a_level_that_is_none_is_complained_about() {
        let (filter, complaint) = filter("kogge=loud");
        assert_eq!(filter.to_string(), "info");
        assert!(complaint.is_some());
    }

    #[test]
    fn a_second_call_does_nothing() {
        init();
        init();
    }
}

//! The instance's limits in time on the command line.

use std::io::Write;
use std::time::Duration;

use clap::Args;
use kogge_central_registry::Change;
use kogge_certs::snapshot::Policy;

use super::{PolicyChangeArgs, fail, tell};
use crate::failure::Failure;

/// Limits in time, in whole seconds.
#[derive(Args, Debug)]
pub(crate) struct PolicyArgs {
    /// An OCSP response older than this is stale (3600 to begin with)
    #[arg(long, value_name = "SECONDS")]
    ocsp_freshness: Option<u64>,
    /// A batch is timestamped at least this often (60 to begin with)
    #[arg(long, value_name = "SECONDS")]
    timestamp_interval: Option<u64>,
    /// Age of the oldest record without a timestamp that is tolerated (14400 to begin with)
    #[arg(long, value_name = "SECONDS")]
    timestamp_failure: Option<u64>,
    /// Largest difference of clocks that is tolerated (60 to begin with)
    #[arg(long, value_name = "SECONDS")]
    clock_skew: Option<u64>,
}

/// Records the limits that were given; the others stay.
pub(super) fn run(args: &PolicyChangeArgs, out: &mut dyn Write) -> Result<(), Failure> {
    let config = args.config.load()?;
    let now = *kogge_central_registry::show(&config).map_err(fail)?.policy();
    let change = Change::ChangePolicy(args.policy.over(&now));
    tell(out, kogge_central_registry::change(&config, change).map_err(fail)?)
}

impl PolicyArgs {
    /// What was given, over what was so before.
    pub(super) fn over(&self, before: &Policy) -> Policy {
        let or = |given: Option<u64>, before: Duration| given.map_or(before, Duration::from_secs);
        Policy {
            ocsp_freshness: or(self.ocsp_freshness, before.ocsp_freshness),
            timestamp_interval: or(self.timestamp_interval, before.timestamp_interval),
            timestamp_failure: or(self.timestamp_failure, before.timestamp_failure),
            clock_skew: or(self.clock_skew, before.clock_skew),
        }
    }
}

/// X-Road's values where it has them: OCSP responses of an hour, timestamps every minute, four hours without a TSA.
pub(super) const TO_BEGIN_WITH: Policy = Policy {
    ocsp_freshness: Duration::from_secs(3600),
    timestamp_interval: Duration::from_secs(60),
    timestamp_failure: Duration::from_secs(4 * 3600),
    clock_skew: Duration::from_secs(60),
};

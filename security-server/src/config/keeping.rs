//! Whose bodies the log keeps: the most specific word counts, of a client or a service, of its subsystem, of the server.

use std::collections::BTreeMap;

use kogge_certs::anchor::Anchor;
use kogge_daemon::config::ConfigError;
use kogge_proto::id::SubsystemId;
use serde::Deserialize;

use super::defaults;
use super::raw::File;
use crate::body::Retention;

/// A subsystem of this server's, as a whole.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawSubsystem {
    id: String,
    keep_bodies: bool,
}

/// What holds where client and service say nothing.
pub(super) struct Keeping {
    server: bool,
    subsystems: BTreeMap<SubsystemId, bool>,
}

impl Keeping {
    pub(super) fn load(
        file: &File<'_>,
        server: Option<bool>,
        raw: &[RawSubsystem],
        anchor: &Anchor,
    ) -> Result<Self, ConfigError> {
        let mut subsystems = BTreeMap::new();
        for (number, raw) in raw.iter().enumerate() {
            let key = format!("subsystems[{number}].id");
            let subsystem: SubsystemId = file.parse(&key, &raw.id)?;
            file.same_instance(&key, subsystem.member(), anchor)?;
            if subsystems.insert(subsystem, raw.keep_bodies).is_some() {
                return Err(file.refuse(key, format!("{} is there twice", raw.id)));
            }
        }
        Ok(Self { server: server.unwrap_or(defaults::KEEP_BODIES), subsystems })
    }

    /// Of a client that is this subsystem, or a service of it, which says so itself or nothing.
    pub(super) fn of(&self, subsystem: &SubsystemId, own: Option<bool>) -> Retention {
        let keeps = own.or_else(|| self.subsystems.get(subsystem).copied()).unwrap_or(self.server);
        if keeps { Retention::Kept } else { Retention::DigestOnly }
    }
}

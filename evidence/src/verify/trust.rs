//! What evidence is checked against: the approvals of a registry snapshot, or of an X-Road configuration directory.

use std::time::Duration;

use kogge_certs::certificate::Certificate;
use kogge_certs::ocsp::Freshness;
use kogge_certs::path::VerifiedPath;
use kogge_certs::profile;
use kogge_certs::snapshot::VerifiedSnapshot;
use kogge_certs::timestamp::Policies;
use kogge_certs::trust::TrustStore;
use kogge_proto::id::MemberId;

use super::finding::{Flaw, wrong};
use crate::globalconf::{GlobalConf, Instance};

/// Who approves CAs and TSAs. What a container is decides how it is read; this decides whom it is believed.
#[derive(Clone, Copy, Debug)]
pub enum Trust<'t> {
    /// A snapshot that an anchor vouches for.
    Snapshot(&'t VerifiedSnapshot),
    /// An X-Road configuration directory, taken as given.
    GlobalConf(&'t GlobalConf),
}

impl<'t> From<&'t VerifiedSnapshot> for Trust<'t> {
    fn from(snapshot: &'t VerifiedSnapshot) -> Self {
        Self::Snapshot(snapshot)
    }
}

impl<'t> From<&'t GlobalConf> for Trust<'t> {
    fn from(conf: &'t GlobalConf) -> Self {
        Self::GlobalConf(conf)
    }
}

/// What one instance approves.
#[derive(Clone, Copy)]
pub(super) enum Approvals<'t> {
    /// By a snapshot.
    Snapshot(&'t VerifiedSnapshot),
    /// By shared parameters.
    SharedParams(&'t Instance),
}

impl<'t> Trust<'t> {
    /// Of the instance with this name; the flaw says why there are none.
    pub(super) fn of(self, name: &str) -> Result<(Approvals<'t>, String), Flaw> {
        match self {
            Self::Snapshot(snapshot) if snapshot.instance() == name => {
                let words = format!("{name}, by snapshot {} of {}", snapshot.version(), snapshot.issued());
                Ok((Approvals::Snapshot(snapshot), words))
            }
            Self::Snapshot(snapshot) => {
                Err(wrong(format!("it is of the instance {name}, the snapshot of {}", snapshot.instance())))
            }
            Self::GlobalConf(conf) => match conf.get(name) {
                Some(instance) => {
                    let words = format!("{name} is in the configuration directory");
                    Ok((Approvals::SharedParams(instance), words))
                }
                None => Err(wrong(format!("the configuration directory has no instance {name}"))),
            },
        }
    }

    /// Of all instances: for what names none.
    pub(super) fn all(self) -> Vec<Approvals<'t>> {
        match self {
            Self::Snapshot(snapshot) => vec![Approvals::Snapshot(snapshot)],
            Self::GlobalConf(conf) => {
                conf.instances().filter_map(|name| conf.get(name)).map(Approvals::SharedParams).collect()
            }
        }
    }

    /// The approved TSAs, whatever the instance: a message is stamped by whoever kept it.
    pub(super) fn tsas(self) -> (&'t TrustStore, Policies) {
        match self {
            Self::Snapshot(snapshot) => (snapshot.trust(), Policies::Approved),
            Self::GlobalConf(conf) => (conf.tsas(), Policies::Any),
        }
    }

    /// Tolerated difference of clocks.
    pub(super) fn clock_skew(self) -> Duration {
        match self {
            Self::Snapshot(snapshot) => snapshot.policy().clock_skew,
            Self::GlobalConf(_) => CLOCK_SKEW_MAX,
        }
    }
}

impl<'t> Approvals<'t> {
    /// The approved CAs.
    pub(super) fn cas(self) -> &'t TrustStore {
        match self {
            Self::Snapshot(snapshot) => snapshot.trust(),
            Self::SharedParams(instance) => instance.trust(),
        }
    }

    /// How fresh an OCSP response must be.
    pub(super) fn freshness(self) -> Freshness {
        match self {
            Self::Snapshot(snapshot) => snapshot.policy().freshness(),
            Self::SharedParams(instance) => {
                Freshness { age_max: instance.ocsp_freshness(), skew_max: CLOCK_SKEW_MAX }
            }
        }
    }

    /// Whether intermediate CAs need OCSP responses of their own: X-Road keeps them, this project's servers do not.
    pub(super) fn asks_about_intermediates(self) -> bool {
        matches!(self, Self::SharedParams(_))
    }

    /// The member that the certificate names, in the form that the CA uses.
    pub(super) fn member(self, path: &VerifiedPath, expected: &MemberId) -> Result<MemberId, Flaw> {
        let leaf: &Certificate = path.leaf();
        match self {
            Self::Snapshot(_) => profile::signing_member(leaf).map_err(wrong),
            Self::SharedParams(instance) => {
                let form = instance.subject_form(&path.ca().certificate).map_err(|class| {
                    Flaw::Missing(format!(
                        "the certificate profile {class:?} of {} is not known",
                        path.ca().name
                    ))
                })?;
                form.member(leaf, expected.instance()).map_err(wrong)
            }
        }
    }
}

/// Clocks of security servers, OCSP responders and TSAs may differ by this much where no policy says how much.
const CLOCK_SKEW_MAX: Duration = Duration::from_secs(300);

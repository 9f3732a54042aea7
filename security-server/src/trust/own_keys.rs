//! This server's own certificates with their keys and OCSP responses: what it can sign and authenticate with right now.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use arc_swap::ArcSwap;
use bytes::Bytes;
use kogge_certs::certificate::Certificate;
use kogge_certs::key::SigningKey;
use kogge_certs::ocsp::{Freshness, OcspStatus};
use kogge_certs::path::{self, PathError, VerifiedPath};
use kogge_certs::profile::{self, Profile};
use kogge_certs::snapshot::VerifiedSnapshot;
use kogge_evidence::signature::{Credential, ReadyCredential};
use kogge_proto::digest::Sha256;
use kogge_proto::id::{MemberId, SecurityServerId};
use kogge_proto::time::UnixMillis;
use kogge_signer::{KeyUse, SoftToken, TokenError};
use kogge_transport::LocalIdentity;

use crate::config::RsaPadding;

/// The certificates of the token as of the last round of the OCSP keeper; replaced as a whole.
pub struct OwnKeys {
    held: ArcSwap<Holdings>,
}

/// All certificates, and how fresh an OCSP response must be.
pub(crate) struct Holdings {
    pub(super) certificates: Vec<Holding>,
    pub(super) freshness: Option<Freshness>,
}

/// One certificate of the token.
pub(crate) struct Holding {
    pub(super) key_use: KeyUse,
    /// Whom a signing certificate names.
    pub(super) member: Option<MemberId>,
    pub(super) certificate: Certificate,
    pub(super) issuers: Vec<Certificate>,
    pub(super) key: Arc<dyn SigningKey>,
    /// Under the newest snapshot; `None` while there is none.
    pub(super) path: Option<Result<VerifiedPath, PathError>>,
    pub(super) ocsp: Option<HeldOcsp>,
    /// Why there is no newer OCSP response.
    pub(super) ocsp_problem: Option<String>,
    /// What messages are signed with. Made when it is first asked for, which nobody does before everything above is settled.
    ready: OnceLock<Arc<ReadyCredential>>,
}

/// A good OCSP response.
#[derive(Clone)]
pub(crate) struct HeldOcsp {
    pub(super) der: Bytes,
    pub(super) status: OcspStatus,
}

/// Why a certificate of this server cannot be used now. The operator must act.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Unusable {
    /// The token has none for the member.
    #[error("the token has no signing certificate of {0}")]
    NoSigning(MemberId),
    /// The token has none for this server.
    #[error("the token has no authentication certificate that is registered for this security server")]
    NoAuthentication,
    /// Its path or validity does not hold.
    #[error("the certificate {certificate} is not acceptable: {reason}")]
    Refused {
        /// SHA-256 of the certificate.
        certificate: Sha256,
        /// What the path check says.
        reason: String,
    },
    /// There is no good and fresh OCSP response for it.
    #[error("the certificate {certificate} has no good and fresh OCSP response: {reason}")]
    NoFreshOcsp {
        /// SHA-256 of the certificate.
        certificate: Sha256,
        /// Why the last attempt to get one failed, or how old the one is that there is.
        reason: String,
    },
}

impl OwnKeys {
    pub(crate) fn new(holdings: Holdings) -> Self {
        Self { held: ArcSwap::from_pointee(holdings) }
    }

    pub(super) fn replace(&self, holdings: Holdings) {
        self.held.store(Arc::new(holdings));
    }

    pub(crate) fn current(&self) -> Arc<Holdings> {
        self.held.load_full()
    }

    /// Why there are no newer OCSP responses, one line per certificate that lacks one.
    pub(crate) fn problems(&self) -> Vec<String> {
        let line = |holding: &Holding| {
            let problem = holding.ocsp_problem.as_ref()?;
            Some(format!("OCSP response for the certificate {}: {problem}", holding.certificate.sha256()))
        };
        self.current().certificates.iter().filter_map(line).collect()
    }

    /// What `member` can sign with at `now`: the certificate that became valid last.
    pub(crate) fn credential(
        &self,
        member: &MemberId,
        now: UnixMillis,
    ) -> Result<Arc<ReadyCredential>, Unusable> {
        let held = self.current();
        let of_member = held.certificates.iter().filter(|holding| holding.member.as_ref() == Some(member));
        let (holding, ocsp) =
            newest_usable(of_member, held.freshness, now, || Unusable::NoSigning(member.clone()))?;
        Ok(Arc::clone(holding.ready.get_or_init(|| Arc::new(holding.make_ready(ocsp)))))
    }

    /// The OCSP response for one of this server's certificates, to go with a message through a connection that was opened with it;
    /// empty if none is held, which no peer accepts.
    pub(crate) fn ocsp_of(&self, certificate: &Certificate) -> Vec<u8> {
        let held = self.current();
        let found = held.certificates.iter().find(|holding| holding.certificate == *certificate);
        let ocsp = found.and_then(|holding| holding.ocsp.as_ref());
        ocsp.map_or_else(Vec::new, |ocsp| ocsp.der.to_vec())
    }

    /// Whether this server can authenticate itself to peers at `now` with the certificate in use.
    pub(crate) fn check_authentication(&self, in_use: &Certificate, now: UnixMillis) -> Result<(), Unusable> {
        let held = self.current();
        let found = held.certificates.iter().filter(|holding| holding.certificate == *in_use);
        newest_usable(found, held.freshness, now, || Unusable::NoAuthentication).map(drop)
    }
}

fn newest_usable<'a>(
    candidates: impl Iterator<Item = &'a Holding>,
    freshness: Option<Freshness>,
    now: UnixMillis,
    none: impl FnOnce() -> Unusable,
) -> Result<(&'a Holding, &'a HeldOcsp), Unusable> {
    let judged = candidates.map(|holding| (holding, holding.usable(freshness, now)));
    let newest = judged.max_by_key(|(holding, usable)| (usable.is_ok(), holding.certificate.not_before()));
    let (holding, usable) = newest.ok_or_else(none)?;
    Ok((holding, usable?))
}

impl Holding {
    fn make_ready(&self, ocsp: &HeldOcsp) -> ReadyCredential {
        ReadyCredential::new(Credential {
            certificate: self.certificate.clone(),
            issuers: self.issuers.clone(),
            ocsp: ocsp.der.clone(),
            key: Arc::clone(&self.key),
        })
    }

    /// Whether it can be used at `now`, with the OCSP response that shows it.
    fn usable(&self, freshness: Option<Freshness>, now: UnixMillis) -> Result<&HeldOcsp, Unusable> {
        let certificate = self.certificate.sha256();
        let refused = |reason: String| Unusable::Refused { certificate, reason };
        match &self.path {
            None => return Err(refused("there is no registry snapshot".to_owned())),
            Some(Err(error)) => return Err(refused(error.to_string())),
            Some(Ok(_)) => {}
        }
        // The path was checked some time ago; the leaf's own validity is what ends first.
        if !self.certificate.is_valid_at(now) {
            return Err(refused("it is outside its validity".to_owned()));
        }
        let no_fresh = |reason: String| Unusable::NoFreshOcsp { certificate, reason };
        let known = || self.ocsp_problem.clone().unwrap_or_else(|| "none has been fetched yet".to_owned());
        let ocsp = self.ocsp.as_ref().ok_or_else(|| no_fresh(known()))?;
        if freshness.is_some_and(|freshness| ocsp.is_fresh(freshness, now)) {
            Ok(ocsp)
        } else {
            let age = now.since(ocsp.status.this_update).as_secs();
            let problem = self.ocsp_problem.as_deref().unwrap_or_default();
            Err(no_fresh(format!("the one held is {age} s old {problem}")))
        }
    }
}

impl HeldOcsp {
    /// [`kogge_certs::ocsp::verify`] has checked the rest when the response came.
    pub(super) fn is_fresh(&self, freshness: Freshness, now: UnixMillis) -> bool {
        self.status.check_freshness(freshness, now).is_ok()
    }

    /// When it is time to get a newer one: at half of its life.
    pub(super) fn half_life(&self, age_max: Duration) -> UnixMillis {
        let life = match self.status.next_update {
            Some(next) => next.since(self.status.this_update).min(age_max),
            None => age_max,
        };
        self.status.this_update.plus(life / 2)
    }
}

impl Holdings {
    /// Everything in the token that has a certificate, with paths under `snapshot`. OCSP responses are put in by the keeper. Blocks.
    pub(super) fn read(
        token: &SoftToken,
        rsa: RsaPadding,
        snapshot: Option<&VerifiedSnapshot>,
        now: UnixMillis,
    ) -> Result<Self, TokenError> {
        let mut certificates = Vec::new();
        for entry in token.entries()? {
            let profile = match entry.key_use {
                KeyUse::Signing => Profile::Signing,
                KeyUse::Authentication => Profile::Authentication,
                KeyUse::Service => continue,
            };
            let signing = entry.key_use == KeyUse::Signing;
            for chain in &entry.chains {
                let Some((leaf, issuers)) = chain.split_first() else { continue };
                let key = token.key(&entry.id)?;
                certificates.push(Holding {
                    key_use: entry.key_use,
                    member: signing.then(|| profile::signing_member(leaf).ok()).flatten(),
                    certificate: leaf.clone(),
                    issuers: issuers.to_vec(),
                    key: match rsa {
                        RsaPadding::Pkcs1 => key,
                        RsaPadding::Pss => kogge_signer::with_pss(key),
                    },
                    path: snapshot
                        .map(|snapshot| path::verify(leaf, issuers, snapshot.trust(), profile, now)),
                    ocsp: None,
                    ocsp_problem: None,
                    ready: OnceLock::new(),
                });
            }
        }
        Ok(Self { certificates, freshness: snapshot.map(|snapshot| snapshot.policy().freshness()) })
    }

    /// The authentication certificate to use: one that is registered for `server`, has a path and a fresh OCSP response, became
    /// valid last; in this order of weight, so that there is one as long as the token has any.
    pub(super) fn authentication(
        &self,
        server: &SecurityServerId,
        snapshot: Option<&VerifiedSnapshot>,
        now: UnixMillis,
    ) -> Option<LocalIdentity> {
        let registered = snapshot.and_then(|snapshot| snapshot.security_server(server));
        let weight = |holding: &Holding| {
            let sha256 = holding.certificate.sha256();
            (
                registered.is_some_and(|server| server.auth_certificates.contains(&sha256)),
                matches!(holding.path, Some(Ok(_))),
                holding.usable(self.freshness, now).is_ok(),
                holding.certificate.not_before(),
            )
        };
        let of_use = self.certificates.iter().filter(|holding| holding.key_use == KeyUse::Authentication);
        let best = of_use.max_by_key(|holding| weight(holding))?;
        Some(LocalIdentity {
            certificate: best.certificate.clone(),
            issuers: best.issuers.clone(),
            key: Arc::clone(&best.key),
            ocsp: best.ocsp.as_ref().map_or_else(Vec::new, |ocsp| ocsp.der.to_vec()),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const AGE_MAX: Duration = Duration::from_secs(3600);

    fn held(next_update: Option<i64>) -> HeldOcsp {
        let status = OcspStatus {
            this_update: UnixMillis(1_000_000),
            next_update: next_update.map(UnixMillis),
            produced_at: UnixMillis(1_000_000),
        };
        HeldOcsp { der: Bytes::new(), status }
    }

    #[test]
    fn renewed_at_half_of_the_shorter_life() {
        assert_eq!(held(None).half_life(AGE_MAX), UnixMillis(1_000_000 + 1_800_000));
        assert_eq!(held(Some(1_600_000)).half_life(AGE_MAX), UnixMillis(1_000_000 + 300_000));
        assert_eq!(held(Some(90_000_000)).half_life(AGE_MAX), UnixMillis(1_000_000 + 1_800_000));
    }

    #[test]
    fn stale_by_age_by_next_update_and_from_the_future() {
        let freshness = Freshness { age_max: AGE_MAX, skew_max: Duration::from_secs(10) };
        let fresh = |next_update, now| held(next_update).is_fresh(freshness, UnixMillis(now));
        assert!(fresh(None, 1_000_000 + 3_600_000));
        assert!(!fresh(None, 1_000_000 + 3_600_001));
        assert!(fresh(Some(1_500_000), 1_510_000));
        assert!(!fresh(Some(1_500_000), 1_510_001));
        assert!(fresh(None, 990_000));
        assert!(!fresh(None, 989_999));
    }
}

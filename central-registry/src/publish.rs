//! From state to published snapshot: when a new one is due, with which version, stored before it is served.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use kogge_certs::anchor::Anchor;
use kogge_certs::key::SigningKey;
use kogge_certs::snapshot::{Meta, SnapshotError, VerifiedSnapshot, sign_snapshot};
use kogge_proto::time::UnixMillis;
use kogge_signer::{SoftToken, TokenError};

use crate::archive::Archive;
use crate::error::RegistryError;
use crate::index::Row;
use crate::ledger::Ledger;
use crate::state::State;

/// A snapshot that is in the archive and may be served.
#[derive(Clone, Debug)]
pub(crate) struct Published {
    pub(crate) bytes: Bytes,
    pub(crate) meta: Meta,
    /// The last decision in it.
    pub(crate) sequence: u64,
    /// From when on the online keys may sign no more.
    pub(crate) delegation_expires: UnixMillis,
}

pub(crate) struct Publisher {
    ledger: Ledger,
    token: SoftToken,
    anchor: Anchor,
    archive: Arc<Archive>,
    lifetime: Duration,
    current: Published,
}

impl Publisher {
    /// Goes on where the last run ended: with its last snapshot if that still serves, with a new one otherwise.
    pub(crate) fn start(
        ledger: Ledger,
        token: SoftToken,
        anchor: Anchor,
        archive: Arc<Archive>,
        lifetime: Duration,
        now: UnixMillis,
    ) -> Result<Self, RegistryError> {
        let current = match last_published(&archive, &ledger, &anchor)? {
            Some(last) if !due(&last, &ledger, lifetime, now) => last,
            _ => publish(&ledger, &token, &anchor, &archive, lifetime, now)?,
        };
        Ok(Self { ledger, token, anchor, archive, lifetime, current })
    }

    pub(crate) fn current(&self) -> &Published {
        &self.current
    }

    pub(crate) fn state(&self) -> &State {
        self.ledger.state()
    }

    /// Whether [`Publisher::tick`] would find something to do; a quick look that changes nothing.
    pub(crate) fn has_work(&self, now: UnixMillis) -> bool {
        self.ledger.has_more() || due(&self.current, &self.ledger, self.lifetime, now)
    }

    /// Takes in new decisions and publishes if that, or the time, asks for it; says whether it has.
    pub(crate) fn tick(&mut self, now: UnixMillis) -> Result<bool, RegistryError> {
        self.ledger.refresh()?;
        if !due(&self.current, &self.ledger, self.lifetime, now) {
            return Ok(false);
        }
        self.current = publish(&self.ledger, &self.token, &self.anchor, &self.archive, self.lifetime, now)?;
        Ok(true)
    }
}

/// Finds, before a decision is recorded, whether the state that it leads to can be published.
pub(crate) fn rehearse(state: &State, token: &SoftToken, now: UnixMillis) -> Result<(), RegistryError> {
    sign(state, token, 1, now, REHEARSAL_LIFETIME)?;
    Ok(())
}

/// The online key of this instance's delegation that signs: the first one that the token has.
pub(crate) fn online_key(state: &State, token: &SoftToken) -> Result<Arc<dyn SigningKey>, TokenError> {
    let mut missing = TokenError::NoKey("of the delegation".to_owned());
    for key in &state.delegation().online_keys {
        match token.key(&key.key_id()) {
            Ok(key) => return Ok(key),
            Err(error) => missing = error,
        }
    }
    Err(missing)
}

fn last_published(
    archive: &Archive,
    ledger: &Ledger,
    anchor: &Anchor,
) -> Result<Option<Published>, RegistryError> {
    let Some(row) = archive.newest()? else { return Ok(None) };
    if row.sequence > ledger.sequence() {
        tracing::warn!(
            published = row.sequence,
            journal = ledger.sequence(),
            "the journal is shorter than what was published: it has been restored from a backup, and decisions are missing"
        );
    }
    let bytes = archive.read(&row)?;
    match VerifiedSnapshot::verify_archived(bytes.clone(), anchor) {
        Ok(snapshot) => Ok(Some(Published {
            bytes,
            meta: snapshot.meta().clone(),
            sequence: row.sequence,
            delegation_expires: ledger.state().delegation().expires,
        })),
        Err(error) => {
            tracing::warn!(version = row.version, %error, "the last published snapshot is damaged; a new one takes its place");
            Ok(None)
        }
    }
}

/// A snapshot is replaced when there are new decisions, and at half of its life: whoever fetches late, or finds the registry away
/// for a while, still has the other half. Also when the clock had been ahead and was set right: nobody accepts a snapshot from the
/// future.
fn due(current: &Published, ledger: &Ledger, lifetime: Duration, now: UnixMillis) -> bool {
    let (issued, expires) = (current.meta.issued, current.meta.expires);
    let half = lifetime.min(expires.since(issued)) / 2;
    current.sequence != ledger.sequence()
        || now >= issued.plus(half)
        || issued > now.plus(ledger.state().policy().clock_skew)
}

fn publish(
    ledger: &Ledger,
    token: &SoftToken,
    anchor: &Anchor,
    archive: &Archive,
    lifetime: Duration,
    now: UnixMillis,
) -> Result<Published, RegistryError> {
    let newest = archive.newest()?.map_or(0, |row| row.version);
    let version = next_version(newest, now);
    let bytes = Bytes::from(sign(ledger.state(), token, version, now, lifetime)?);
    let meta = VerifiedSnapshot::verify(bytes.clone(), anchor, now)?.meta().clone();
    let sequence = ledger.sequence();
    // From here on the version is taken, whether or not we live to serve it.
    archive.store(&Row { version, sequence, issued: now }, &bytes)?;
    tracing::info!(version, sequence, expires = %meta.expires, "published a snapshot");
    Ok(Published { bytes, meta, sequence, delegation_expires: ledger.state().delegation().expires })
}

/// Rises with time, so that a registry restored from an old backup does not fall back behind what members have accepted before,
/// and by one at least, so that it rises although the clock stands or goes back.
fn next_version(newest: u64, now: UnixMillis) -> u64 {
    newest.saturating_add(1).max(u64::try_from(now.seconds()).unwrap_or(0))
}

fn sign(
    state: &State,
    token: &SoftToken,
    version: u64,
    issued: UnixMillis,
    lifetime: Duration,
) -> Result<Vec<u8>, RegistryError> {
    let key = online_key(state, token)?;
    let draft = state.draft(version, issued, lifetime);
    sign_snapshot(&draft, state.signed_delegation(), &[&*key]).map_err(|error| match error {
        SnapshotError::OutsideDelegation { .. } => RegistryError::DelegationExpired {
            issued: state.delegation().issued,
            expires: state.delegation().expires,
        },
        other => other.into(),
    })
}

/// Any that is allowed: what is rehearsed is never served.
const REHEARSAL_LIFETIME: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests;

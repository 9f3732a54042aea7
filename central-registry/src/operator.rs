//! What operators of the instance do, from processes of their own: bring it into being, change it, look at it.

use std::path::PathBuf;
use std::time::Duration;

use kogge_certs::anchor::{Anchor, Environment};
use kogge_certs::key::SigningKey;
use kogge_certs::snapshot::{Policy, sign_delegation};
use kogge_durable::{create_dir, write_atomic};
use kogge_proto::time::UnixMillis;
use kogge_signer::{KeyUse, NewKeyKind, SoftToken, TokenError};

use crate::clock::now;
use crate::config::Config;
use crate::error::RegistryError;
use crate::journal::{JournalLock, NewEntries, create};
use crate::ledger::Ledger;
use crate::publish::{online_key, rehearse};
use crate::state::{Change, Created, Event, State};

/// A new instance.
#[derive(Clone, Debug)]
pub struct InitOptions {
    /// Its code, first part of every identifier.
    pub instance: String,
    /// Test or production; never changes.
    pub environment: Environment,
    /// Its limits in time, to begin with.
    pub policy: Policy,
}

/// A change that has been recorded.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Applied {
    /// Its number in the journal; of several, the last one's.
    pub sequence: u64,
}

/// Which key signs snapshots under a new delegation.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum OnlineKey {
    /// The same as before.
    Keep,
    /// A new one: the old one is lost, may be known to others, or is old enough.
    Replace,
}

/// Brings an instance into being: a token with a root key and an online key, a journal with its first decision, a delegation, and
/// the anchor file that everybody who takes part must get, in `dir/anchor.toml`.
///
/// # Errors
/// There is a registry already, the options are not acceptable, or the directory cannot be written.
pub fn init(config: &Config, options: &InitOptions) -> Result<Anchor, RegistryError> {
    let now = now();
    if config.anchor_file().exists() {
        return Err(RegistryError::Exists(config.dir.clone()));
    }
    // The anchor is written last, so without it something was begun and not ended; keys are never removed without being asked.
    if config.token_dir().exists() || config.journal_dir().exists() {
        return Err(RegistryError::Unfinished(config.dir.clone()));
    }
    let pin = config.pin.read()?;
    create_dir(&config.dir, true)?;
    let token = SoftToken::create(&config.token_dir(), &pin)?;
    let root = token.key(&token.generate(NewKeyKind::default(), KeyUse::Service, ROOT_LABEL)?)?;
    let online = token.key(&token.generate(NewKeyKind::default(), KeyUse::Service, ONLINE_LABEL)?)?;
    let online_keys = [online.public_key().clone()];
    let delegation = sign_delegation(
        &options.instance,
        1,
        now,
        now.plus(DELEGATION_LIFETIME),
        &online_keys,
        1,
        &[&*root],
    )?;
    let created = Created {
        instance: options.instance.clone(),
        environment: options.environment,
        policy: options.policy,
        root_keys: vec![root.public_key().clone()],
        root_threshold: 1,
        delegation,
    };
    let state = State::create(&created)?;
    let anchor = state.anchor(&config.public_url)?;
    rehearse(&state, &token, now)?;
    let first = NewEntries { events: &[Event::Created(created)], at: now, key: &*online };
    create(&config.journal_dir(), &first)?;
    write_atomic(&config.anchor_file(), anchor.to_toml().as_bytes(), false)?;
    Ok(anchor)
}

/// Records one change. See [`Operator`] for several.
///
/// # Errors
/// See [`Operator::change`].
pub fn change(config: &Config, change: Change) -> Result<Applied, RegistryError> {
    Operator::open(config)?.change(change)
}

/// Has the root key name the online key anew, for another year. To be done before the delegation in force expires.
///
/// # Errors
/// The root key is not in the token, or as for [`Operator::change`].
pub fn renew_delegation(config: &Config, online: OnlineKey) -> Result<Applied, RegistryError> {
    Operator::open(config)?.renew_delegation(online)
}

/// What has been decided so far; works while the registry runs and while it does not, and needs no PIN.
///
/// # Errors
/// There is no registry, or its journal is damaged.
pub fn show(config: &Config) -> Result<State, RegistryError> {
    Ok(open_ledger(config)?.state().clone())
}

/// An operator at work: the token unlocked and the journal read once, for as many changes as there are.
pub struct Operator {
    ledger: Ledger,
    token: SoftToken,
    journal_dir: PathBuf,
}

impl Operator {
    /// Unlocks the token and reads the journal.
    ///
    /// # Errors
    /// There is no registry, its journal is damaged, or the PIN cannot be had or is wrong.
    pub fn open(config: &Config) -> Result<Self, RegistryError> {
        let ledger = open_ledger(config)?;
        let token = SoftToken::open(&config.token_dir(), &config.pin.read()?)?;
        Ok(Self { ledger, token, journal_dir: config.journal_dir() })
    }

    /// Checks a change against everything decided so far, also by others meanwhile, and records it. When this returns it is durable;
    /// a running registry publishes it within a second.
    ///
    /// # Errors
    /// The change contradicts an earlier decision or would make an invalid snapshot; nothing is recorded then. Or the journal
    /// cannot be written.
    pub fn change(&mut self, change: Change) -> Result<Applied, RegistryError> {
        self.change_all([change])
    }

    /// Records several changes, in this order, all of them or none: an agency joins with everything it has, or a large list is
    /// taken in. No snapshot shows only some of them.
    ///
    /// # Errors
    /// As for [`Operator::change`], or more than [`CHANGES_MAX`]; nothing is recorded then.
    pub fn change_all(
        &mut self,
        changes: impl IntoIterator<Item = Change>,
    ) -> Result<Applied, RegistryError> {
        let events: Vec<Event> = changes.into_iter().take(CHANGES_MAX + 1).map(Event::Changed).collect();
        if events.len() > CHANGES_MAX {
            return Err(RegistryError::TooManyChanges);
        }
        let lock = self.take_turn()?;
        self.record(&lock, &events, now())
    }

    /// See [`renew_delegation`].
    ///
    /// # Errors
    /// See [`renew_delegation`].
    pub fn renew_delegation(&mut self, online: OnlineKey) -> Result<Applied, RegistryError> {
        let lock = self.take_turn()?;
        let now = now();
        let state = self.ledger.state();
        let online_keys = match online {
            OnlineKey::Keep => state.delegation().online_keys.clone(),
            OnlineKey::Replace => {
                let id = self.token.generate(NewKeyKind::default(), KeyUse::Service, ONLINE_LABEL)?;
                vec![self.token.key(&id)?.public_key().clone()]
            }
        };
        let root_keys = state
            .root_keys()
            .iter()
            .map(|key| self.token.key(&key.key_id()))
            .collect::<Result<Vec<_>, TokenError>>()?;
        let root_keys: Vec<&dyn SigningKey> = root_keys.iter().map(|key| &**key).collect();
        let delegation = sign_delegation(
            state.instance(),
            state.delegation().version + 1,
            now,
            now.plus(DELEGATION_LIFETIME),
            &online_keys,
            1,
            &root_keys,
        )?;
        self.record(&lock, &[Event::Delegated(delegation)], now)
    }

    /// What has been decided, as far as this operator has read.
    #[must_use]
    pub fn state(&self) -> &State {
        self.ledger.state()
    }

    fn take_turn(&mut self) -> Result<JournalLock, RegistryError> {
        let lock = JournalLock::acquire(&self.journal_dir)?;
        self.ledger.refresh()?;
        Ok(lock)
    }

    fn record(
        &mut self,
        lock: &JournalLock,
        events: &[Event],
        now: UnixMillis,
    ) -> Result<Applied, RegistryError> {
        let mut next = self.ledger.state().clone();
        events.iter().try_for_each(|event| next.apply(event))?;
        rehearse(&next, &self.token, now)?;
        // The key that may sign after this decision, so that a lost key can be replaced without its help.
        let key = online_key(&next, &self.token)?;
        let sequence = self.ledger.append(lock, next, events, now, &*key)?;
        Ok(Applied { sequence })
    }
}

pub(crate) fn open_ledger(config: &Config) -> Result<Ledger, RegistryError> {
    check_there(config)?;
    Ledger::open(&config.journal_dir())
}

/// The anchor is what `init` writes last.
pub(crate) fn check_there(config: &Config) -> Result<(), RegistryError> {
    match (config.anchor_file().exists(), config.journal_dir().exists()) {
        (true, _) => Ok(()),
        (false, true) => Err(RegistryError::Unfinished(config.dir.clone())),
        (false, false) => Err(RegistryError::Missing(config.dir.clone())),
    }
}

/// Most changes at once: they are held in memory and written in one piece.
pub const CHANGES_MAX: usize = 100_000;
const ROOT_LABEL: &str = "registry root";
const ONLINE_LABEL: &str = "registry online";
/// A year; renewed well before.
const DELEGATION_LIFETIME: Duration = Duration::from_secs(365 * 86_400);

#[cfg(test)]
mod tests;

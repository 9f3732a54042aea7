//! The journal for people: who decided what, when. Every signature is checked on the way, each by the keys of its own time.

use kogge_proto::digest::Sha256;
use kogge_proto::time::UnixMillis;

use crate::config::Config;
use crate::error::RegistryError;
use crate::journal::{Entry, Reader};
use crate::ledger::{advance, begin};
use crate::operator::check_there;
use crate::state::State;

/// One decision.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Decision {
    /// Its number in the journal; from 1.
    pub sequence: u64,
    /// When it was recorded, by the clock of that machine.
    pub at: UnixMillis,
    /// SHA-256 of the key that has signed it.
    pub signer: Sha256,
    /// What was decided, as JSON in one line.
    pub event: String,
}

/// Reads the journal from its beginning, one decision at a time; ends at the first error.
///
/// # Errors
/// There is no registry in the directory, or its journal has no head.
pub fn history(config: &Config) -> Result<History, RegistryError> {
    check_there(config)?;
    let mut reader = Reader::new(&config.journal_dir());
    reader.refresh()?;
    Ok(History { reader, state: None, failed: false })
}

/// See [`history`].
#[derive(Debug)]
pub struct History {
    reader: Reader,
    state: Option<State>,
    failed: bool,
}

impl History {
    fn read(&mut self) -> Result<Option<Decision>, RegistryError> {
        let Some(entry) = self.reader.next()? else { return Ok(None) };
        let state = match self.state.take() {
            None => begin(&entry)?,
            Some(mut state) => {
                advance(&mut state, &entry)?;
                state
            }
        };
        entry.verify(&state.delegation().online_keys)?;
        self.state = Some(state);
        decision(&entry).map(Some)
    }
}

impl Iterator for History {
    type Item = Result<Decision, RegistryError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.failed {
            return None;
        }
        let read = self.read();
        self.failed = read.is_err();
        read.transpose()
    }
}

fn decision(entry: &Entry) -> Result<Decision, RegistryError> {
    let event = entry.event_text()?;
    Ok(Decision { sequence: entry.sequence, at: entry.at, signer: entry.signer, event })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::operator::{OnlineKey, change, renew_delegation};
    use crate::testing::{Home, add_member, empty};

    #[test]
    fn decisions_come_with_the_keys_of_their_time() {
        let home = Home::new();
        change(&home.config, add_member("1")).unwrap();
        renew_delegation(&home.config, OnlineKey::Replace).unwrap();
        change(&home.config, add_member("2")).unwrap();
        let read: Vec<Decision> = history(&home.config).unwrap().collect::<Result<_, _>>().unwrap();
        assert_eq!(read.iter().map(|each| each.sequence).collect::<Vec<_>>(), [1, 2, 3, 4]);
        assert_eq!(read[1].event, r#"{"changed":{"add_member":{"member":"EE/GOV/1","name":"Agency 1"}}}"#);
        assert_eq!(read[0].signer, read[1].signer);
        assert_ne!(read[1].signer, read[2].signer);
        assert_eq!(read[2].signer, read[3].signer);
        assert!(read.iter().all(|each| each.at >= read[0].at));
    }

    #[test]
    fn reading_ends_at_damage() {
        let home = Home::new();
        change(&home.config, add_member("1")).unwrap();
        let path = home.config.journal_dir().join("decisions");
        let mut bytes = std::fs::read(&path).unwrap();
        *bytes.last_mut().unwrap() ^= 1;
        std::fs::write(&path, bytes).unwrap();
        let read: Vec<_> = history(&home.config).unwrap().collect();
        assert!(matches!(&read[..], [Ok(_), Err(RegistryError::Journal(_))]), "{read:?}");
    }

    #[test]
    fn without_a_registry_there_is_no_history() {
        let (_dir, config) = empty();
        assert!(matches!(history(&config), Err(RegistryError::Missing(_))));
    }
}

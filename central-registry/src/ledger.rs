//! Journal and state together: the journal followed, the state kept up with it.

use std::path::Path;

use kogge_certs::key::SigningKey;
use kogge_proto::time::UnixMillis;

use crate::error::RegistryError;
use crate::journal::{Entry, JournalError, JournalLock, NewEntries, Reader, append};
use crate::state::{Event, Refusal, State};

/// The state after everything that has been read of a journal.
#[derive(Debug)]
pub(crate) struct Ledger {
    reader: Reader,
    state: State,
}

impl Ledger {
    /// Reads the whole journal, and checks all of it.
    pub(crate) fn open(dir: &Path) -> Result<Self, RegistryError> {
        let mut reader = Reader::new(dir);
        reader.refresh()?;
        let first = reader.next()?.ok_or(NOT_CREATED)?;
        let mut ledger = Self { reader, state: begin(&first)? };
        ledger.follow(Some(first))?;
        Ok(ledger)
    }

    /// Takes in what others have appended meanwhile.
    pub(crate) fn refresh(&mut self) -> Result<(), RegistryError> {
        self.reader.refresh()?;
        self.follow(None)
    }

    /// Records decisions that lead to the state `next`, all of them or none.
    pub(crate) fn append(
        &mut self,
        lock: &JournalLock,
        next: State,
        events: &[Event],
        at: UnixMillis,
        key: &dyn SigningKey,
    ) -> Result<u64, JournalError> {
        let sequence = append(lock, &mut self.reader, &NewEntries { events, at, key })?;
        self.state = next;
        Ok(sequence)
    }

    /// Whether others have appended meanwhile, or the journal can no longer be read, which [`Ledger::refresh`] then says.
    pub(crate) fn has_more(&self) -> bool {
        self.reader.has_more()
    }

    pub(crate) fn state(&self) -> &State {
        &self.state
    }

    /// Number of decisions behind the state.
    pub(crate) fn sequence(&self) -> u64 {
        self.reader.sequence()
    }

    fn follow(&mut self, mut last: Option<Entry>) -> Result<(), RegistryError> {
        while let Some(entry) = self.reader.next()? {
            advance(&mut self.state, &entry)?;
            last = Some(entry);
        }
        // Whoever may sign after the last decision vouches for all of them.
        match last {
            Some(last) => Ok(last.verify(&self.state.delegation().online_keys)?),
            None => Ok(()),
        }
    }
}

/// The state after the first entry.
pub(crate) fn begin(first: &Entry) -> Result<State, RegistryError> {
    let Event::Created(created) = &first.event else { return Err(NOT_CREATED) };
    State::create(created).map_err(|refusal| RegistryError::Fold { sequence: 1, refusal })
}

/// The state after one more entry.
pub(crate) fn advance(state: &mut State, entry: &Entry) -> Result<(), RegistryError> {
    let sequence = entry.sequence;
    state.apply(&entry.event).map_err(|refusal| RegistryError::Fold { sequence, refusal })
}

const NOT_CREATED: RegistryError = RegistryError::Fold { sequence: 1, refusal: Refusal::NotCreated };

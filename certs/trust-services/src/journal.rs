//! What was issued, revoked and reinstated, in the order it happened.
//!
//! One line per event: a checksum, a blank, and the event in JSON. The checksum covers the line and the one before it (the first
//! 32 hexadecimal digits of SHA-256 over the previous checksum and the JSON), so that a changed, removed or reordered line is found.
//! It is no protection against somebody who writes to the directory: whoever can do that can also use the token's directory.
//!
//! An event has happened once its line is synced. A line that a crash cut off has no line end: readers skip it, and the next
//! writer cuts it away; nobody was told of it.

use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use kogge_durable::{DirLock, DurableError, sync_dir};
use kogge_proto::digest::sha256;
use kogge_proto::time::UnixMillis;
use serde::{Deserialize, Serialize};

use crate::TrustServicesError;
use crate::serial::Serial;

/// A line of the journal.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields, rename_all = "lowercase", tag = "event")]
pub(crate) enum Event {
    /// A certificate was issued. Subject and digest are for people who look for it.
    Issued { serial: String, at: i64, subject: String, sha256: String },
    /// It was revoked.
    Revoked { serial: String, at: i64 },
    /// Its revocation was taken back: for tests, no real CA does that.
    Reinstated { serial: String, at: i64 },
}

/// What the CA says about a certificate that it has issued.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Status {
    Good,
    Revoked(UnixMillis),
}

/// The state that follows from the journal.
#[derive(Debug, Default)]
pub(crate) struct Certificates {
    statuses: HashMap<Serial, Status>,
    /// Checksum of the last line.
    head: String,
    /// Length of the complete lines.
    bytes: u64,
    lines: usize,
}

/// The journal of a directory.
#[derive(Clone, Debug)]
pub(crate) struct Journal {
    dir: PathBuf,
    path: PathBuf,
}

impl Journal {
    pub(crate) fn of(dir: &Path) -> Self {
        Self { dir: dir.to_owned(), path: dir.join(FILE) }
    }

    /// Whether `init` has come to its end in this directory.
    pub(crate) fn exists(&self) -> bool {
        self.path.exists()
    }

    /// Makes it durable with its first events: the last step of `init`.
    pub(crate) fn create(&self, events: &[Event]) -> Result<(), TrustServicesError> {
        let mut text = Certificates::default();
        let lines: String = events.iter().map(|event| text.push(event)).collect();
        Ok(kogge_durable::write_atomic(&self.path, lines.as_bytes(), false)?)
    }

    /// Length in bytes: whether there is anything new since the last reading.
    pub(crate) fn len(&self) -> Result<u64, TrustServicesError> {
        Ok(std::fs::metadata(&self.path).map_err(|source| self.io("look at", source))?.len())
    }

    /// Reads all of it.
    pub(crate) fn read(&self) -> Result<Certificates, TrustServicesError> {
        let file = match File::open(&self.path) {
            Ok(file) => file,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Err(TrustServicesError::Missing(self.dir.clone()));
            }
            Err(source) => return Err(self.io("open", source)),
        };
        let mut bytes = Vec::new();
        file.take(JOURNAL_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(|source| self.io("read", source))?;
        if bytes.len() as u64 > JOURNAL_BYTES_MAX {
            return Err(self.damaged(0, "it is larger than 64 MiB"));
        }
        let mut certificates = Certificates::default();
        for line in bytes.split_inclusive(|byte| *byte == b'\n').filter(|line| line.ends_with(b"\n")) {
            certificates.take(line).map_err(|reason| self.damaged(certificates.lines + 1, reason))?;
        }
        Ok(certificates)
    }

    /// Lets `decide` choose the next event from the present state, and appends it. `None` changes nothing. Writers take turns.
    pub(crate) fn append(
        &self,
        decide: impl FnOnce(&Certificates) -> Result<Option<Event>, TrustServicesError>,
    ) -> Result<(), TrustServicesError> {
        let _lock = self.lock()?;
        let mut certificates = self.read()?;
        let Some(event) = decide(&certificates)? else { return Ok(()) };
        let complete = certificates.bytes;
        let line = certificates.push(&event);
        let mut file =
            OpenOptions::new().write(true).open(&self.path).map_err(|source| self.io("open", source))?;
        file.set_len(complete)
            .and_then(|()| file.seek(SeekFrom::End(0)))
            .and_then(|_| file.write_all(line.as_bytes()))
            .and_then(|()| file.sync_all())
            .map_err(|source| self.io("append to", source))?;
        // A crash before the sync leaves a torn line or none, and nobody was told; after it, the event stands.
        Ok(sync_dir(&self.dir)?)
    }

    fn lock(&self) -> Result<DirLock, TrustServicesError> {
        let mut attempts = 0;
        loop {
            match DirLock::acquire(&self.dir) {
                Err(DurableError::Locked { .. }) if attempts < LOCK_ATTEMPTS_MAX => {
                    attempts += 1;
                    std::thread::sleep(LOCK_PAUSE);
                }
                other => return Ok(other?),
            }
        }
    }

    fn io(&self, what: &'static str, source: std::io::Error) -> TrustServicesError {
        DurableError::Io { what, path: self.path.clone(), source }.into()
    }

    fn damaged(&self, line: usize, reason: &'static str) -> TrustServicesError {
        TrustServicesError::Journal { path: self.path.clone(), line, reason }
    }
}

impl Certificates {
    /// `None` if it was never issued here.
    pub(crate) fn status(&self, serial: &Serial) -> Option<Status> {
        self.statuses.get(serial).copied()
    }

    /// How many were issued.
    pub(crate) fn count(&self) -> usize {
        self.statuses.len()
    }

    /// Length of the journal that this was read from, without a torn line.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Adds an event; its line.
    fn push(&mut self, event: &Event) -> String {
        // Strings and integers always have a JSON form.
        let json = serde_json::to_string(event).unwrap_or_default();
        self.head = checksum(&self.head, &json);
        let line = format!("{} {json}\n", self.head);
        self.bytes += line.len() as u64;
        self.lines += 1;
        line
    }

    /// Takes in a line with its line end; what is wrong with it otherwise.
    fn take(&mut self, line: &[u8]) -> Result<(), &'static str> {
        let text = std::str::from_utf8(line).map_err(|_| "it is not text")?;
        let (sum, json) = text.trim_end_matches('\n').split_once(' ').ok_or("it has no checksum")?;
        if sum != checksum(&self.head, json) {
            return Err("its checksum is wrong");
        }
        let event: Event = serde_json::from_str(json).map_err(|_| "it is not an event")?;
        self.apply(&event)?;
        sum.clone_into(&mut self.head);
        self.bytes += line.len() as u64;
        self.lines += 1;
        Ok(())
    }

    fn apply(&mut self, event: &Event) -> Result<(), &'static str> {
        let (serial, status) = match event {
            Event::Issued { serial, .. } => (serial, Status::Good),
            Event::Revoked { serial, at } => (serial, Status::Revoked(UnixMillis(*at))),
            Event::Reinstated { serial, .. } => (serial, Status::Good),
        };
        let serial = Serial::parse(serial).map_err(|_| "its serial number is none")?;
        let known = self.statuses.contains_key(&serial);
        match (event, known) {
            (Event::Issued { .. }, true) => return Err("the serial number was issued before"),
            (Event::Revoked { .. } | Event::Reinstated { .. }, false) => {
                return Err("the serial number was never issued");
            }
            _ => {}
        }
        self.statuses.insert(serial, status);
        Ok(())
    }
}

fn checksum(head: &str, json: &str) -> String {
    let digest = sha256(format!("{head}{json}").as_bytes()).to_string();
    digest.chars().take(CHECKSUM_DIGITS).collect()
}

const FILE: &str = "certificates.journal";

/// Room for 200,000 certificates: more than a test instance has.
const JOURNAL_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// 128 bits.
const CHECKSUM_DIGITS: usize = 32;

/// Other writers are done within milliseconds; after five seconds something is wrong, and the caller hears of it.
const LOCK_ATTEMPTS_MAX: u32 = 250;
const LOCK_PAUSE: Duration = Duration::from_millis(20);

#[cfg(test)]
mod tests;

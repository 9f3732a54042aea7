//! Following a journal, entry by entry, up to what is acknowledged.

use std::fs::File;
use std::io::{BufReader, ErrorKind, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use super::head::Head;
use super::{DECISIONS, Entry, FRAME_HEAD_BYTES, JournalError, PAYLOAD_BYTES_MAX};

/// Where somebody is in a journal.
#[derive(Debug)]
pub(crate) struct Reader {
    dir: PathBuf,
    /// What has been read.
    here: Head,
    /// What may be read.
    head: Head,
    file: Option<BufReader<File>>,
}

impl Reader {
    /// At the start of the journal in `dir`.
    pub(crate) fn new(dir: &Path) -> Self {
        Self { dir: dir.to_path_buf(), here: Head::START, head: Head::START, file: None }
    }

    /// Looks how far the journal has come; [`Reader::next`] then reads up to there.
    pub(crate) fn refresh(&mut self) -> Result<(), JournalError> {
        let head = Head::read(&self.dir)?;
        if head.sequence < self.here.sequence || (head.sequence == self.here.sequence && head != self.here) {
            return Err(JournalError::RolledBack { known: self.here.sequence, found: head.sequence });
        }
        self.head = head;
        Ok(())
    }

    /// Whether the journal has moved on, or its head cannot be read.
    pub(crate) fn has_more(&self) -> bool {
        Head::read(&self.dir).map_or(true, |head| head != self.here)
    }

    /// The next acknowledged entry, if there is one.
    pub(crate) fn next(&mut self) -> Result<Option<Entry>, JournalError> {
        if self.here.sequence == self.head.sequence {
            // Where nothing is left to read nothing is kept open.
            self.file = None;
            return if self.here == self.head {
                Ok(None)
            } else {
                Err(self.damaged("the head does not fit it"))
            };
        }
        let payload = self.payload()?;
        let entry = Entry::read(&payload).map_err(|reason| self.damaged(reason))?;
        if entry.sequence != self.here.sequence + 1 || entry.previous != self.here.hash {
            return Err(self.damaged("it does not follow the entry before it"));
        }
        let length = (FRAME_HEAD_BYTES + payload.len()) as u64;
        self.here = Head { sequence: entry.sequence, length: self.here.length + length, hash: entry.hash };
        Ok(Some(entry))
    }

    /// Number of entries read.
    pub(crate) fn sequence(&self) -> u64 {
        self.here.sequence
    }

    pub(super) fn here(&self) -> Head {
        self.here
    }

    pub(super) fn dir(&self) -> &Path {
        &self.dir
    }

    /// Takes note of an entry that this process has appended itself.
    pub(super) fn skip_to(&mut self, head: Head) {
        (self.here, self.head) = (head, head);
    }

    fn payload(&mut self) -> Result<Vec<u8>, JournalError> {
        let mut head = [0; FRAME_HEAD_BYTES];
        self.read_exact(&mut head)?;
        let [l0, l1, l2, l3, c0, c1, c2, c3] = head;
        let length = u32::from_be_bytes([l0, l1, l2, l3]) as usize;
        if length > PAYLOAD_BYTES_MAX {
            return Err(self.damaged("its length is impossible"));
        }
        let mut payload = vec![0; length];
        self.read_exact(&mut payload)?;
        if crc32c::crc32c(&payload) != u32::from_be_bytes([c0, c1, c2, c3]) {
            return Err(self.damaged("its checksum is wrong"));
        }
        Ok(payload)
    }

    fn read_exact(&mut self, buffer: &mut [u8]) -> Result<(), JournalError> {
        let path = self.dir.join(DECISIONS);
        let file = match &mut self.file {
            Some(file) => file,
            None => {
                let io = |what| {
                    let path = path.clone();
                    move |source| JournalError::Io { what, path, source }
                };
                let mut file = File::open(&path).map_err(io("open"))?;
                file.seek(SeekFrom::Start(self.here.length)).map_err(io("read"))?;
                self.file.insert(BufReader::new(file))
            }
        };
        match file.read_exact(buffer) {
            Ok(()) => Ok(()),
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => {
                Err(self.damaged("the file ends within it"))
            }
            Err(source) => Err(JournalError::Io { what: "read", path, source }),
        }
    }

    fn damaged(&self, reason: &'static str) -> JournalError {
        JournalError::Damaged {
            path: self.dir.join(DECISIONS),
            offset: self.here.length,
            sequence: self.here.sequence + 1,
            reason,
        }
    }
}

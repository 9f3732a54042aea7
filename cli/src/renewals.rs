//! The renewed timestamps beside a log: `LOG_DIR/renewals/NUMBER`, each file whole or not there.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};
use kogge_durable::DirLock;
use kogge_evidence::renewal::{RENEWAL_BYTES_MAX, Renewal, RenewalError, Renewals};

/// Renewals by the names of their files, or what is wrong with them.
pub(crate) type Files = Vec<(String, Result<Renewal, RenewalError>)>;

/// Reads all of a log, in their order; none if there is no such directory.
///
/// # Errors
/// One cannot be read, or there are too many.
pub(crate) fn read(log: &Path) -> anyhow::Result<Files> {
    let dir = place(log);
    let what = || format!("cannot read {}", dir.display());
    let entries = match std::fs::read_dir(&dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Files::new()),
        entries => entries.with_context(what)?,
    };
    let mut numbers = Vec::new();
    for entry in entries {
        numbers.extend(entry.with_context(what)?.file_name().to_str().and_then(number));
        ensure!(numbers.len() <= FILES_MAX, "{} has more than {FILES_MAX} renewals", dir.display());
    }
    numbers.sort_unstable();
    numbers
        .into_iter()
        .map(|number| {
            let name = name(number);
            let renewal =
                read_one(&dir.join(&name)).with_context(|| format!("cannot read renewals/{name}"))?;
            Ok((format!("renewals/{name}"), renewal))
        })
        .collect()
}

/// Those that can be read, to be put into evidence; says of the others that they are left out.
///
/// # Errors
/// As for [`read`].
pub(crate) fn usable(log: &Path) -> anyhow::Result<Renewals> {
    let mut list = Vec::new();
    for (name, renewal) in read(log)? {
        match renewal {
            Ok(renewal) => list.push(renewal),
            Err(error) => eprintln!("kogge: {name}: {error}: left out"),
        }
    }
    Ok(Renewals::new(list))
}

/// The renewals of a log while nobody else adds to them.
pub(crate) struct Exclusive {
    dir: PathBuf,
    _lock: DirLock,
}

impl Exclusive {
    /// Creates the directory if need be. The log itself is neither locked nor written.
    ///
    /// # Errors
    /// Another process renews, or the operating system refuses.
    pub(crate) fn acquire(log: &Path) -> anyhow::Result<Self> {
        let dir = place(log);
        kogge_durable::create_dir(&dir, true)?;
        let lock = DirLock::acquire(&dir)?;
        Ok(Self { dir, _lock: lock })
    }

    /// Adds one under a new number; the name of its file. A crash leaves it whole or not at all.
    ///
    /// # Errors
    /// The operating system refuses.
    pub(crate) fn add(&self, renewal: &Renewal) -> anyhow::Result<String> {
        let mut last = 0;
        for entry in
            std::fs::read_dir(&self.dir).with_context(|| format!("cannot read {}", self.dir.display()))?
        {
            last = last.max(entry?.file_name().to_str().and_then(number).unwrap_or_default());
        }
        let name = name(last + 1);
        kogge_durable::write_atomic(&self.dir.join(&name), &renewal.to_bytes(), false)?;
        Ok(name)
    }
}

fn place(log: &Path) -> PathBuf {
    log.join("renewals")
}

fn read_one(path: &Path) -> io::Result<Result<Renewal, RenewalError>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(RENEWAL_BYTES_MAX as u64 + 1).read_to_end(&mut bytes)?;
    if bytes.len() > RENEWAL_BYTES_MAX {
        return Ok(Err(RenewalError::Malformed("it is too large")));
    }
    Ok(Renewal::from_bytes(&bytes))
}

fn name(number: u64) -> String {
    format!("{number:010}")
}

/// The number of a file of that name; none of another's, such as the lock and what a crash leaves behind.
fn number(file: &str) -> Option<u64> {
    let number = file.parse().ok()?;
    (name(number) == file).then_some(number)
}

/// With a renewal a month they are enough for 80 years.
const FILES_MAX: usize = 1000;

//! The disk: what it was told to write and to flush, and how long a flush takes.

use std::fs::{File, read_dir, read_to_string};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::Instant;

use crate::BenchError;

/// Counters of all disks together. Others' writes are in them: what a chain without a log shows beside is the background.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Disk {
    pub(crate) bytes_written: u64,
    pub(crate) flushes: u64,
}

impl Disk {
    /// The sum over `/sys/block`; zero where a machine does not tell.
    pub(crate) fn read(blocks: &Path) -> Self {
        let mut sum = Self::default();
        for entry in read_dir(blocks).into_iter().flatten().flatten() {
            let name = entry.file_name();
            // A loop or mapped device writes to another one, which counts it again.
            if ["loop", "ram", "zram", "dm-", "md"]
                .iter()
                .any(|kind| name.to_string_lossy().starts_with(kind))
            {
                continue;
            }
            let text = read_to_string(entry.path().join("stat")).unwrap_or_default();
            let disk = Self::parse(&text).unwrap_or_default();
            sum.bytes_written += disk.bytes_written;
            sum.flushes += disk.flushes;
        }
        sum
    }

    /// Fields 7 (sectors of 512 bytes written) and 16 (flushes): the kernel's `Documentation/block/stat.rst`.
    fn parse(text: &str) -> Option<Self> {
        let mut fields = text.split_ascii_whitespace();
        let sectors: u64 = fields.nth(6)?.parse().ok()?;
        let flushes = fields.nth(8)?.parse().ok()?;
        Some(Self { bytes_written: sectors * 512, flushes })
    }
}

/// Bytes that a message log uses: of each segment what lies before the zeros to which it was preallocated, and the bodies.
pub(crate) fn log_bytes(log: &Path) -> Result<u64, BenchError> {
    let mut sum = 0;
    for (folder, preallocated) in [("segments", true), ("bodies", false)] {
        for entry in read_dir(log.join(folder)).into_iter().flatten().flatten() {
            let path = entry.path();
            let used = File::open(&path).and_then(|file| {
                let length = file.metadata()?.len();
                if preallocated { used(&file, length) } else { Ok(length) }
            });
            match used {
                Ok(used) => sum += used,
                // A spool file may have gone meanwhile.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(BenchError::file("read", path)(error)),
            }
        }
    }
    Ok(sum)
}

/// Where the zeros at the end begin.
fn used(file: &File, length: u64) -> io::Result<u64> {
    let mut piece = vec![0; PIECE_BYTES];
    let mut end = length;
    while end > 0 {
        let start = end.saturating_sub(PIECE_BYTES as u64);
        let piece = piece.get_mut(..(end - start) as usize).unwrap_or_default();
        file.read_exact_at(piece, start)?;
        if let Some(last) = piece.iter().rposition(|byte| *byte != 0) {
            return Ok(start + last as u64 + 1);
        }
        end = start;
    }
    Ok(0)
}

/// How long a write of 4 KiB into a preallocated file and its sync take on average, in microseconds.
pub(crate) fn fsync_mean_us(dir: &Path) -> Result<f64, BenchError> {
    let path = dir.join("fsync-probe");
    let probe = || {
        let file = File::create(&path)?;
        let page = [0x5a_u8; PAGE_BYTES];
        for number in 0..PROBES {
            file.write_all_at(&[0; PAGE_BYTES], number * PAGE_BYTES as u64)?;
        }
        file.sync_all()?;
        let start = Instant::now();
        for number in 0..PROBES {
            file.write_all_at(&page, number * PAGE_BYTES as u64)?;
            file.sync_data()?;
        }
        let mean = start.elapsed().as_secs_f64() * 1e6 / PROBES as f64;
        std::fs::remove_file(&path)?;
        Ok(mean)
    };
    probe().map_err(BenchError::file("sync", &path))
}

const PIECE_BYTES: usize = 256 * 1024;
const PAGE_BYTES: usize = 4096;
/// Enough for a mean that repeats, few enough to take some 20 ms.
const PROBES: u64 = 100;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sectors_and_flushes_are_the_right_fields() {
        let text = " 1 2 3 4 5 6 70 8 9 10 11 12 13 14 15 160 17\n";
        assert_eq!(Disk::parse(text), Some(Disk { bytes_written: 70 * 512, flushes: 160 }));
        // Kernels before 5.5 do not count flushes.
        assert_eq!(Disk::parse("1 2 3 4 5 6 70 8 9 10 11 12 13 14 15"), None);
    }

    #[test]
    fn disks_are_added_up_and_layers_are_not() {
        let dir = tempfile::tempdir().unwrap();
        for (disk, flushes) in [("vda", 1), ("nvme0n1", 2), ("loop0", 4), ("dm-0", 8)] {
            std::fs::create_dir(dir.path().join(disk)).unwrap();
            let stat = format!("0 0 0 0 0 0 1 0 0 0 0 0 0 0 0 {flushes} 0");
            std::fs::write(dir.path().join(disk).join("stat"), stat).unwrap();
        }
        assert_eq!(Disk::read(dir.path()), Disk { bytes_written: 1024, flushes: 3 });
        assert_eq!(Disk::read(&dir.path().join("none")), Disk::default());
    }

    #[test]
    fn a_log_is_as_long_as_what_was_written() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("segments")).unwrap();
        std::fs::create_dir(dir.path().join("bodies")).unwrap();
        assert_eq!(log_bytes(dir.path()).unwrap(), 0);
        let mut segment = vec![0; 3 * PIECE_BYTES + 17];
        std::fs::write(dir.path().join("segments/1.log"), &segment).unwrap();
        assert_eq!(log_bytes(dir.path()).unwrap(), 0, "preallocated is not used");
        segment[PIECE_BYTES - 1] = 1;
        std::fs::write(dir.path().join("segments/1.log"), &segment).unwrap();
        std::fs::write(dir.path().join("bodies/1"), [0; 100]).unwrap();
        assert_eq!(log_bytes(dir.path()).unwrap(), PIECE_BYTES as u64 + 100, "a body of zeros is a body");
    }

    #[test]
    fn the_probe_leaves_nothing_behind() {
        let dir = tempfile::tempdir().unwrap();
        assert!(fsync_mean_us(dir.path()).unwrap() > 0.0);
        assert_eq!(read_dir(dir.path()).unwrap().count(), 0);
    }
}

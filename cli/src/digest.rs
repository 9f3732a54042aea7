//! Digests of files of any size.

use std::fs::File;
use std::io::{self, Read};

use kogge_proto::digest::{Sha512, Sha512Hasher};

/// SHA-512 and length of what is left in the file.
pub(crate) fn of_file(file: &mut File) -> io::Result<(Sha512, u64)> {
    let (mut hasher, mut length) = (Sha512Hasher::new(), 0);
    let mut piece = vec![0; READ_BYTES];
    loop {
        match file.read(&mut piece)? {
            0 => return Ok((hasher.finish(), length)),
            count => {
                hasher.update(piece.get(..count).unwrap_or_default());
                length += count as u64;
            }
        }
    }
}

/// Read at once.
const READ_BYTES: usize = 64 * 1024;

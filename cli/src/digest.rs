//! Digests of files of any size.

use std::fs::File;
use std::io::{self, Read};

use kogge_proto::digest::{Sha256, Sha256Hasher, Sha512, Sha512Hasher};

/// SHA-512 and length of what is left in the file.
pub(crate) fn of_file(file: &mut impl Read) -> io::Result<(Sha512, u64)> {
    let mut hasher = Sha512Hasher::new();
    let length = pieces(file, |piece| hasher.update(piece))?;
    Ok((hasher.finish(), length))
}

/// SHA-256 of what is left in the file: what people compare.
pub(crate) fn sha256_of_file(file: &mut File) -> io::Result<Sha256> {
    let mut hasher = Sha256Hasher::new();
    pieces(file, |piece| hasher.update(piece))?;
    Ok(hasher.finish())
}

fn pieces(file: &mut impl Read, mut take: impl FnMut(&[u8])) -> io::Result<u64> {
    let mut length = 0;
    let mut piece = vec![0; READ_BYTES];
    loop {
        match file.read(&mut piece)? {
            0 => return Ok(length),
            count => {
                take(piece.get(..count).unwrap_or_default());
                length += count as u64;
            }
        }
    }
}

/// Read at once.
const READ_BYTES: usize = 64 * 1024;

//! Entries of the ZIP file and the fields around them.

use std::io::{Cursor, Write};

use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, DateTime, ZipWriter};

use super::{Deviation, without};
use crate::altered::Entries;

/// Of each entry: taken away, doubled, renamed, moved to the front, compressed, encrypted by its flag; one more, of a strange name; each field of each header
/// (PKWARE APPNOTE 4.3.7, 4.3.12, 4.3.16).
pub(super) fn deviations(good: &[u8], parts: &Entries) -> Vec<Deviation> {
    let mut all = Vec::new();
    for (at, (name, content)) in parts.iter().enumerate() {
        let mut add =
            |kind, parts: &Entries| all.push(Deviation::new(format!("zip/{name}"), kind, stored(parts)));
        add("removed", &without(parts, at));
        let mut renamed = parts.clone();
        renamed[at].0.push('x');
        add("renamed", &renamed);
        renamed[at].0 = format!("../{name}");
        add("renamed out of the folder", &renamed);
        renamed[at].0 = name.to_uppercase();
        if renamed[at].0 != *name {
            add("in capitals", &renamed);
        }
        if at > 0 {
            let mut moved = without(parts, at);
            moved.insert(0, (name.clone(), content.clone()));
            add("moved to the front", &moved);
        }
        let mut doubled = parts.clone();
        doubled.push((format!("{}\u{1}", &name[..name.len() - 1]), b"other".to_vec()));
        let twice = stored(&doubled);
        let (from, to) = (doubled[parts.len()].0.clone(), name.clone());
        all.push(Deviation::new("headers/", "an entry doubled", replaced(&twice, &from, &to)));
        all.push(Deviation::new(format!("zip/{name}"), "compressed", with_one_compressed(parts, at)));
    }
    for (name, content) in
        [("extra.txt", "x"), ("META-INF/signatures2.xml", "<a/>"), ("/etc/passwd", "x"), ("attachment2", "x")]
    {
        let mut more = parts.clone();
        more.push((name.to_owned(), content.as_bytes().to_vec()));
        all.push(Deviation::new("zip", "with an entry more", stored(&more)));
    }
    all.extend(headers(good, parts));
    all
}

/// As Kogge writes them: nothing but the entries tells one from a container of its own.
pub(crate) fn stored(parts: &Entries) -> Vec<u8> {
    let (mut out, mut directory) = (Vec::new(), Vec::new());
    for (name, content) in parts {
        let size = u32::try_from(content.len()).unwrap().to_le_bytes();
        let checksum = crc32fast::hash(content).to_le_bytes();
        let name_length = u16::try_from(name.len()).unwrap().to_le_bytes();
        let about = [&FIXED, &checksum[..], &size, &size, &name_length, &[0, 0]].concat();
        let offset = u32::try_from(out.len()).unwrap().to_le_bytes();
        directory.push([b"PK\x01\x02", &MADE_BY[..], &about, &[0; 10], &offset, name.as_bytes()].concat());
        out.extend([b"PK\x03\x04", &about[..], name.as_bytes(), content].concat());
    }
    let count = u16::try_from(parts.len()).unwrap().to_le_bytes();
    let [start, length] =
        [out.len(), directory.concat().len()].map(|at| u32::try_from(at).unwrap().to_le_bytes());
    out.extend(directory.concat());
    out.extend([b"PK\x05\x06", &[0; 4][..], &count, &count, &length, &start, &[0, 0]].concat());
    out
}

/// Version needed, flags, method, time, date; and by which version it was made.
const FIXED: [u8; 10] = [10, 0, 0, 0, 0, 0, 0, 0, 0x21, 0];
const MADE_BY: [u8; 2] = [10, 0];

/// By another writer.
fn with_one_compressed(parts: &Entries, compressed: usize) -> Vec<u8> {
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    for (at, (name, content)) in parts.iter().enumerate() {
        let method = if at == compressed { CompressionMethod::Deflated } else { CompressionMethod::Stored };
        let options = SimpleFileOptions::default().compression_method(method);
        zip.start_file(name, options.last_modified_time(DateTime::default())).unwrap();
        zip.write_all(content).unwrap();
    }
    zip.finish().unwrap().into_inner()
}

/// Each byte of each header, one bit altered.
fn headers(good: &[u8], parts: &Entries) -> Vec<Deviation> {
    let kinds: [(&[u8], &str, usize); 3] = [
        (b"PK\x03\x04", "local header", 30),
        (b"PK\x01\x02", "directory", 46),
        (b"PK\x05\x06", "end of directory", 22),
    ];
    let mut all = Vec::new();
    for at in 0..good.len() - 4 {
        let Some((_, name, length)) = kinds.iter().find(|(magic, _, _)| good[at..].starts_with(magic)) else {
            continue;
        };
        // The entry that a header is about stands behind it.
        let entry = parts.iter().find(|(entry, _)| good[at + length..].starts_with(entry.as_bytes()));
        let entry = entry.map_or("", |(entry, _)| entry);
        for byte in at..at + length {
            let mut altered = good.to_vec();
            altered[byte] ^= 0x01;
            all.push(Deviation::new(
                format!("headers/{entry}/{name} byte {}", byte - at),
                "altered",
                altered,
            ));
        }
    }
    all
}

fn replaced(bytes: &[u8], from: &str, to: &str) -> Vec<u8> {
    assert_eq!(from.len(), to.len());
    let mut out = bytes.to_vec();
    for at in 0..out.len() - from.len() {
        if out[at..].starts_with(from.as_bytes()) {
            out[at..at + to.len()].copy_from_slice(to.as_bytes());
        }
    }
    out
}

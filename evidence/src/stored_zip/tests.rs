use std::io::Cursor;
use std::process::Command;

use proptest::prelude::*;
use zip::{CompressionMethod, ZipArchive};

use super::*;

fn file(contents: &[(&str, &[u8])]) -> Vec<u8> {
    let mut out = Cursor::new(Vec::new());
    let mut writer = Writer::new(&mut out);
    for (index, (name, content)) in contents.iter().enumerate() {
        if index % 2 == 0 {
            writer.add(name, content).unwrap();
        } else {
            writer.add_from(name, content.len() as u64, &mut &**content).unwrap();
        }
    }
    writer.finish().unwrap();
    out.into_inner()
}

/// The entries as another implementation reads them.
fn entries(file: impl Read + Seek) -> Vec<Entry> {
    let mut archive = ZipArchive::new(file).unwrap();
    (0..archive.len())
        .map(|index| {
            let entry = archive.by_index_raw(index).unwrap();
            assert_eq!(entry.compression(), CompressionMethod::Stored);
            Entry { name: entry.name().unwrap().into_owned(), size: entry.size(), crc32: entry.crc32() }
        })
        .collect()
}

const CONTENTS: [(&str, &[u8]); 3] =
    [("mimetype", b"text/plain"), ("empty", b""), ("META-INF/a.xml", b"<a></a>")];

#[test]
fn the_bytes_follow_from_names_and_contents() {
    let file = file(&CONTENTS[..1]);
    let expected = "504b0304 0a00 0000 0000 0000 2100 86a4cf9e 0a000000 0a000000 0800 0000 6d696d6574797065 746578742f706c61696e\
         504b0102 0a00 0a00 0000 0000 0000 2100 86a4cf9e 0a000000 0a000000 0800 0000 0000 0000 0000 00000000 00000000 6d696d6574797065\
         504b0506 0000 0000 0100 0100 36000000 30000000 0000";
    let crc = hex::encode(crc32fast::hash(b"text/plain").to_le_bytes());
    assert_eq!(hex::encode(file), expected.replace(' ', "").replace("86a4cf9e", &crc));
}

#[test]
fn other_readers_read_it() {
    let bytes = file(&CONTENTS);
    let mut archive = ZipArchive::new(Cursor::new(&bytes)).unwrap();
    for (name, content) in CONTENTS {
        let mut found = Vec::new();
        archive.by_name(name).unwrap().read_to_end(&mut found).unwrap();
        assert_eq!(found, content);
    }
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.zip");
    std::fs::write(&path, &bytes).unwrap();
    let Ok(unzip) = Command::new("unzip").arg("-t").arg(&path).output() else {
        assert_ne!(std::env::var("CI").as_deref(), Ok("true"), "unzip is missing");
        eprintln!("SKIPPED: unzip is missing");
        return;
    };
    assert!(unzip.status.success(), "{}", String::from_utf8_lossy(&unzip.stdout));
}

#[test]
fn a_reader_with_another_length_is_refused() {
    for (size, content) in [(3, &b"four"[..]), (5, b"four"), (0, b"f"), (1, b"")] {
        let mut writer = Writer::new(Cursor::new(Vec::new()));
        let error = writer.add_from("a", size, &mut &*content).unwrap_err();
        assert_eq!(error.to_string(), format!("the body does not have its {size} bytes"));
    }
}

/// A sparse file stands in for the content, so the frame alone is judged.
#[test]
fn sizes_and_offsets_of_four_gibibytes_and_more_are_zip64() {
    for size in [ZIP64_SIZE - 1, ZIP64_SIZE, ZIP64_SIZE + 1, 5 << 30] {
        let large = [
            Entry { name: "attachment1".to_owned(), size, crc32: 7 },
            Entry { name: "META-INF/signatures.xml".to_owned(), size: 0, crc32: 0 },
        ];
        let mut file = tempfile::tempfile().unwrap();
        let mut position = 0;
        for entry in &large {
            let header = local_header(entry);
            file.seek(SeekFrom::Start(position)).unwrap();
            file.write_all(&header).unwrap();
            position += header.len() as u64 + entry.size;
        }
        file.set_len(position).unwrap();
        file.seek(SeekFrom::Start(position)).unwrap();
        file.write_all(&directory(&large)).unwrap();

        assert_eq!(entries(&file), large);
        assert!(frame_holds(&file, &large).unwrap());
        let extra = local_header(&large[0]).len() - 30 - "attachment1".len();
        assert_eq!(extra, if size >= ZIP64_SIZE { 20 } else { 0 });
    }
}

#[test]
fn another_frame_does_not_hold() {
    let bytes = file(&CONTENTS);
    let right = entries(Cursor::new(&bytes));
    assert!(frame_holds(Cursor::new(&bytes), &right).unwrap());
    assert!(!frame_holds(Cursor::new(&bytes), &right[..2]).unwrap());
    assert!(!frame_holds(Cursor::new(&bytes[..bytes.len() - 1]), &right).unwrap());
    assert!(!frame_holds(Cursor::new([&bytes[..], b" "].concat()), &right).unwrap());
    assert!(!frame_holds(Cursor::new(b""), &right).unwrap());
    let mut swapped = right.clone();
    swapped.swap(0, 1);
    assert!(!frame_holds(Cursor::new(&bytes), &swapped).unwrap());
    let mut huge = right;
    huge[0].size = u64::MAX;
    assert!(!frame_holds(Cursor::new(&bytes), &huge).unwrap());
}

proptest! {
    /// A flipped bit is either in a content, where the checksum finds it, or in the frame.
    #[test]
    fn no_bit_can_change_unnoticed(bit in 0_usize..8 * 400) {
        let mut bytes = file(&CONTENTS);
        let right = entries(Cursor::new(&bytes));
        let bit = bit % (bytes.len() * 8);
        bytes[bit / 8] ^= 1 << (bit % 8);

        let mut start = 0;
        let in_a_content = right.iter().any(|entry| {
            let content = start + local_header(entry).len() as u64;
            start = content + entry.size;
            (content..start).contains(&(bit as u64 / 8))
        });
        prop_assert_eq!(frame_holds(Cursor::new(&bytes), &right).unwrap(), in_a_content);
    }
}

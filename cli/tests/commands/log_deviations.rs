//! Deviations of a valid log: each field of each entry made otherwise, and whole entries taken out, repeated, swapped. The checksums are made right again, and in a
//! second round the chain of digests too, as somebody would who owns the log. Every one is refused, and among the checks that do not pass is the one that a
//! reader would name.

use std::collections::BTreeMap;
use std::path::PathBuf;

use kogge_proto::digest::sha256;
use serde_json::Value;

use crate::world::World;

/// Place, what was done there, the entries.
type Deviation = (String, &'static str, Vec<Vec<u8>>);

#[test]
fn each_deviation_of_a_log_fails_the_check_that_is_about_it() {
    let world = World::stamped();
    let segment = world.path("log/segments/0000000001.log");
    let good = std::fs::read(&segment).unwrap();
    let (mask, entries) = read(&good);
    assert!(not_passed(&world).0, "the log itself must be good");
    let deviations = deviations(&entries);
    assert!(deviations.len() > 200, "there are only {} deviations", deviations.len());

    let mut wrong = BTreeMap::new();
    for (rewritten, checks) in [(false, AS_IT_IS), (true, REWRITTEN)] {
        for (place, kind, changed) in &deviations {
            let chained = if rewritten { chained(changed) } else { changed.clone() };
            let bytes = written(mask, &chained, good.len());
            if bytes == good {
                continue;
            }
            std::fs::write(&segment, bytes).unwrap();
            let (passed, names) = not_passed(&world);
            let expected = expected(checks, place, kind);
            let named = expected.split('|').any(|one| names.iter().any(|name| name == one));
            if passed || !named {
                wrong.insert(format!("{rewritten}\t{place}:{kind}"), (expected, names));
            }
        }
    }
    for (deviation, (expected, names)) in &wrong {
        println!("{deviation}\t{expected}\t{}", names.join(","));
    }
    assert!(wrong.is_empty(), "{} of {} deviations", wrong.len(), 2 * deviations.len());
}

/// By the longest beginning of `kind of entry.field.field:deviation`; between `|` what each will do. The owner who has rewritten the chain has not rewritten the note of
/// what was acknowledged (and if he has, the other party's log tells: `kogge audit reconcile`).
const AS_IT_IS: &[(&str, &str)] = &[
    ("", "log.chain|log.sequence|log.frame"),
    ("start:", "log.frame|log.chain"),
    ("start.4.8:", "log.checksum|log.chain"),
    ("stamp.7.2:altered", "log.stamp"),
];
const REWRITTEN: &[(&str, &str)] = &[
    ("", "log.chain|log.sequence"),
    ("start:", "log.frame|log.chain"),
    ("start.4:removed", "log.frame"),
    ("start.4.8:", "log.checksum|log.chain"),
    ("material.5.1:altered", "signature.value|ocsp.response"),
    ("message:removed", "log.stamp"),
    ("message.3:removed", "record.time"),
    ("message.6.2:altered", "record.fields"),
    ("message.6.3:altered", "record.fields"),
    ("message.6.6:altered", "record.fields"),
    ("message.6.7:altered", "signature.value"),
    ("message.6.8.1:altered", "signature.value"),
    ("message.6.8.2.1:altered", "log.body"),
    ("message.6.8.2.2:altered", "signature.value"),
    ("message.6.9.1:altered", "signature.xml"),
    ("message.6.9.2:altered", "signature.xml"),
    ("message.6.9.3:altered", "signature.value"),
    ("message.6.10:altered", "log.material"),
    ("message.6.11:altered", "log.material"),
    ("stamp:doubled", "log.stamp"),
    ("stamp:removed", "timestamp.present"),
    ("stamp.7.1:altered", "timestamp.token"),
    ("stamp.7.2:altered", "log.stamp"),
    ("stamp.7.3:altered", "timestamp.tree"),
    ("stamp.7.5:altered", "timestamp.tree"),
];

fn expected<'c>(checks: &[(&str, &'c str)], place: &str, kind: &str) -> &'c str {
    // Without the entry's number.
    let entry_end = place.find(' ').unwrap();
    let fields = place.find('.').map_or("", |at| &place[at..]);
    let whole = format!("{}{fields}:{kind}", &place[..entry_end]);
    let fitting = checks.iter().filter(|(beginning, _)| whole.starts_with(beginning));
    fitting.max_by_key(|(beginning, _)| beginning.len()).map_or("-", |(_, check)| check)
}

/// Whether the log passes, and the checks that do not.
fn not_passed(world: &World) -> (bool, Vec<String>) {
    let output = world.kogge(&["verify", "log", "--anchor", "anchor.toml", "--json", "--verbose"]);
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    let result = &report["results"][0];
    if let Some(error) = result["error"].as_str() {
        return (false, vec![format!("unreadable: {error}")]);
    }
    let lists = std::iter::once(&result["checks"])
        .chain(result["records"].as_array().into_iter().flatten().map(|record| &record["checks"]));
    let checks = lists.flat_map(|checks| checks.as_array().unwrap());
    let names = checks.filter(|check| check["outcome"] != "passed");
    let names: Vec<String> = names.map(|check| check["name"].as_str().unwrap().to_owned()).collect();
    assert_eq!(output.status.code(), Some(i32::from(result["passed"] != true)));
    (output.status.success(), names)
}

fn deviations(entries: &[Vec<u8>]) -> Vec<Deviation> {
    let mut all = Vec::new();
    for (at, entry) in entries.iter().enumerate() {
        let name = format!("{} {}", kind_of(entry), at + 1);
        let mut with = |place: &str, kind, instead: &[Vec<u8>]| {
            let changed = [&entries[..at], instead, &entries[at + 1..]].concat();
            all.push((format!("{name}{place}"), kind, changed));
        };
        with("", "removed", &[]);
        with("", "doubled", &[entry.clone(), entry.clone()]);
        if let Some(next) = entries.get(at + 1) {
            let swapped = [&entries[..at], &[next.clone(), entry.clone()], &entries[at + 2..]].concat();
            all.push((name.clone(), "swapped", swapped));
        }
        for (place, kind, changed) in fields(entry, &mut Vec::new()) {
            let changed = [&entries[..at], &[changed], &entries[at + 1..]].concat();
            all.push((format!("{name}{place}"), kind, changed));
        }
    }
    all
}

fn kind_of(entry: &[u8]) -> &'static str {
    let numbers: Vec<u64> = parse(entry).unwrap().iter().map(|field| field.number).collect();
    let names = [(4, "start"), (5, "material"), (6, "message"), (7, "stamp"), (9, "name"), (10, "erasure")];
    names.iter().find(|(number, _)| numbers.contains(number)).map_or("unknown", |(_, name)| name)
}

/// A field of a protobuf message as it stands there.
struct Field<'a> {
    number: u64,
    /// Tag, and for bytes the length.
    content: Content<'a>,
    whole: &'a [u8],
}

enum Content<'a> {
    Varint(u64),
    Bytes(&'a [u8]),
    Fixed(&'a [u8]),
}

/// Of each field of a message, and of those in it: taken away, doubled, altered.
fn fields(message: &[u8], way: &mut Vec<u64>) -> Vec<(String, &'static str, Vec<u8>)> {
    let all = parse(message).unwrap();
    let mut deviations = Vec::new();
    for (at, field) in all.iter().enumerate() {
        way.push(field.number);
        let place: String = way.iter().map(|number| format!(".{number}")).collect();
        let mut with = |place: String, kind, instead: &[u8]| {
            let before = all[..at].iter().flat_map(|field| field.whole);
            let after = all[at + 1..].iter().flat_map(|field| field.whole);
            let changed: Vec<u8> = before.chain(instead).chain(after).copied().collect();
            deviations.push((place, kind, changed));
        };
        with(place.clone(), "removed", &[]);
        with(place.clone(), "doubled", &field.whole.repeat(2));
        match field.content {
            Content::Varint(value) => {
                let instead = [varint(field.number << 3), varint(value + 1)].concat();
                with(place, "altered", &instead);
            }
            Content::Fixed(bytes) => {
                let mut whole = field.whole.to_vec();
                let first = whole.len() - bytes.len();
                whole[first] ^= 1;
                with(place, "altered", &whole);
            }
            Content::Bytes(bytes) if NESTED.contains(&&way[..]) => {
                for (place, kind, changed) in fields(bytes, way) {
                    with(place, kind, &of_bytes(field.number, &changed));
                }
            }
            Content::Bytes(bytes) => {
                if let Some(last) = bytes.len().checked_sub(1) {
                    let mut altered = bytes.to_vec();
                    altered[last] ^= 1;
                    with(place.clone(), "altered", &of_bytes(field.number, &altered));
                    with(place.clone(), "emptied", &of_bytes(field.number, &[]));
                    with(place, "cut", &of_bytes(field.number, &bytes[..last]));
                }
            }
        }
        way.pop();
    }
    let unknown = [message, &of_bytes(15_000, b"x")].concat();
    let place: String = way.iter().map(|number| format!(".{number}")).collect();
    deviations.push((place, "with a field more", unknown));
    deviations
}

/// Which fields hold messages, from `Entry` down.
const NESTED: [&[u64]; 11] =
    [&[4], &[5], &[6], &[7], &[9], &[10], &[6, 8], &[6, 8, 2], &[6, 8, 3], &[6, 9], &[6, 9, 7]];

fn parse(mut rest: &[u8]) -> Option<Vec<Field<'_>>> {
    let mut fields = Vec::new();
    while !rest.is_empty() {
        let start = rest;
        let tag = take_varint(&mut rest)?;
        let content = match tag & 7 {
            0 => Content::Varint(take_varint(&mut rest)?),
            1 => Content::Fixed(take(&mut rest, 8)?),
            2 => {
                let length = usize::try_from(take_varint(&mut rest)?).ok()?;
                Content::Bytes(take(&mut rest, length)?)
            }
            5 => Content::Fixed(take(&mut rest, 4)?),
            _ => return None,
        };
        fields.push(Field { number: tag >> 3, content, whole: &start[..start.len() - rest.len()] });
    }
    Some(fields)
}

fn take<'a>(rest: &mut &'a [u8], length: usize) -> Option<&'a [u8]> {
    let (taken, left) = rest.split_at_checked(length)?;
    *rest = left;
    Some(taken)
}

fn take_varint(rest: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let byte = take(rest, 1)?[0];
        value |= u64::from(byte & 0x7F) << shift;
        if byte < 0x80 {
            return Some(value);
        }
    }
    None
}

fn varint(mut value: u64) -> Vec<u8> {
    let mut out = Vec::new();
    while value >= 0x80 {
        out.push((value as u8) | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
    out
}

fn of_bytes(number: u64, bytes: &[u8]) -> Vec<u8> {
    [varint(number << 3 | 2), varint(bytes.len() as u64), bytes.to_vec()].concat()
}

/// The mask of the segment's checksums, and the payloads.
fn read(segment: &[u8]) -> (u32, Vec<Vec<u8>>) {
    let mut entries: Vec<Vec<u8>> = Vec::new();
    let mut at = 0;
    let word = |at: usize| u32::from_le_bytes(segment[at..at + 4].try_into().unwrap());
    let mut mask = 0;
    while at + 8 < segment.len() && word(at) != 0 {
        let payload = &segment[at + 8..at + 8 + word(at) as usize];
        if entries.len() == 1 {
            mask = word(at + 4) ^ crc32c::crc32c(payload);
        }
        entries.push(payload.to_vec());
        at += 8 + payload.len();
    }
    (mask, entries)
}

fn written(mask: u32, entries: &[Vec<u8>], length: usize) -> Vec<u8> {
    let mut out = Vec::new();
    for (at, entry) in entries.iter().enumerate() {
        let checksum = crc32c::crc32c(entry) ^ if at == 0 { 0 } else { mask };
        out.extend([&(entry.len() as u32).to_le_bytes()[..], &checksum.to_le_bytes(), entry].concat());
    }
    out.resize(length.max(out.len()), 0);
    out
}

/// Each entry with its number and the digest of the one before, as in a log written anew.
fn chained(entries: &[Vec<u8>]) -> Vec<Vec<u8>> {
    let mut previous = [0; 32].to_vec();
    let mut out = Vec::new();
    for (at, entry) in entries.iter().enumerate() {
        let mut chained = Vec::new();
        for field in parse(entry).unwrap() {
            match field.number {
                1 => chained.extend([varint(1 << 3), varint(at as u64 + 1)].concat()),
                2 => chained.extend(of_bytes(2, &previous)),
                _ => chained.extend(field.whole),
            }
        }
        previous = sha256(&chained).as_bytes().to_vec();
        out.push(chained);
    }
    out
}

#[test]
fn what_was_read_is_written_again() {
    let world = World::stamped();
    let path: PathBuf = world.path("log/segments/0000000001.log");
    let good = std::fs::read(path).unwrap();
    let (mask, entries) = read(&good);
    assert_eq!(written(mask, &chained(&entries), good.len()), good);
}

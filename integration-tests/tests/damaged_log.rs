//! A message log that was damaged while its server was down: what can be mended is mended and said, what cannot keeps the server from
//! starting, and no record is lost.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests fail by panicking")]

use std::path::{Path, PathBuf};

use kogge_integration_tests::{Demo, Process, Refusal};

const BINARY: &str = env!("CARGO_BIN_EXE_kogge-under-test");
const EXCHANGES: usize = 20;

/// Exchanges whose requests fill several segments of 1 MiB.
const LARGE_EXCHANGES: usize = 30;
const LARGE_BYTES: usize = 200 * 1024;

/// What is done to the directory of an index.
type Damage = fn(&Path);

/// A demo whose consumer has exchanges in its log, all stamped, and has been stopped.
struct Stopped {
    consumer: Process,
    demo: Demo,
}

impl Stopped {
    fn new() -> Self {
        let demo = Demo::start(BINARY, &[]).unwrap();
        for _ in 0..EXCHANGES {
            demo.assert_answered();
        }
        demo.wait_stamped().unwrap();
        let mut consumer = demo.process("consumer");
        consumer.stop().unwrap();
        Self { consumer, demo }
    }

    /// Goes on with small segments until several are sealed, and stops the server again.
    fn seal_segments(&mut self) {
        self.demo.configure(&self.demo.server("consumer").config, |config| {
            config["message_log"].as_table_mut().unwrap().insert("segment_mib".to_owned(), 1.into());
        });
        self.consumer.start().unwrap();
        self.demo.wait_ready("consumer").unwrap();
        for _ in 0..LARGE_EXCHANGES {
            let answer = self.demo.call("POST", "/attachments", &vec![b'x'; LARGE_BYTES]).unwrap();
            assert_eq!(answer.status, 201, "{}", answer.text());
        }
        self.demo.wait_stamped().unwrap();
        self.consumer.stop().unwrap();
    }

    fn log(&self) -> &Path {
        &self.demo.server("consumer").log_dir
    }

    fn segment(&self) -> PathBuf {
        self.log().join("segments/0000000001.log")
    }

    /// As the operator's command prints it.
    fn list(&self) -> String {
        let config = &self.demo.server("consumer").config;
        self.demo.must(
            &["log", "list", "--json", "--config"]
                .map(Path::new)
                .iter()
                .chain([&config.as_path()])
                .copied()
                .collect::<Vec<_>>(),
        )
    }

    /// The server starts, says this, has every record, and works.
    fn assert_starts(&mut self, what: &str, word: &str, records: &str) {
        self.consumer.start().unwrap();
        self.demo
            .wait_ready("consumer")
            .unwrap_or_else(|error| panic!("{what}: {error:#}\n{}", self.consumer.output()));
        let output = self.consumer.output();
        assert!(output.contains(word), "{what}: {output}");
        assert!(!output.contains("panicked at"), "{what}: {output}");
        self.demo.assert_answered();
        self.demo.wait_stamped().unwrap();
        self.consumer.stop().unwrap();
        let now = self.list();
        assert!(
            now.starts_with(records),
            "{what}: records are lost or altered:\n{records}\nbefore, now\n{now}"
        );
        assert!(now.len() > records.len(), "{what}: the last exchange is missing");
        self.demo.assert_logs_verify();
    }
}

#[test]
fn a_damaged_index_is_rebuilt_and_no_record_is_lost() {
    let mut stopped = Stopped::new();
    stopped.seal_segments();
    let index = stopped.log().join("index");
    let damages: [(&str, Damage, &str); 7] = [
        (
            "flipped bytes of summaries",
            |index| summaries(index, |bytes| flip_every_61st(bytes)),
            "index is rebuilt",
        ),
        ("cut summaries", |index| summaries(index, |bytes| bytes.truncate(bytes.len() * 7 / 10)), ""),
        ("emptied summaries", |index| summaries(index, Vec::clear), "index is rebuilt"),
        // The blocks are read only by those who look for something old.
        ("flipped bytes of blocks", |index| change(&blocks(index), |bytes| flip_every_61st(bytes)), ""),
        ("emptied blocks", |index| change(&blocks(index), Vec::clear), ""),
        ("blocks that are away", |index| std::fs::remove_file(blocks(index)).unwrap(), ""),
        ("a directory that is away", |index| std::fs::remove_dir_all(index).unwrap(), "index was rebuilt"),
    ];
    for (what, damage, word) in damages {
        let records = stopped.list();
        assert!(records.lines().count() >= 2 * EXCHANGES, "{records}");
        damage(&index);
        stopped.assert_starts(what, word, &records);
        let sealed = std::fs::read_dir(stopped.log().join("segments")).unwrap().count() - 1;
        let mut indexed = 0;
        summaries(&index, |_| indexed += 1);
        assert_eq!(indexed, sealed, "{what}");
    }
}

#[test]
fn a_torn_tail_is_set_aside() {
    let mut stopped = Stopped::new();
    let records = stopped.list();
    change(&stopped.segment(), |bytes| {
        let frames = frames(bytes);
        let half = bytes[frames[1].clone()][..40].to_vec();
        let end = frames.last().unwrap().end;
        bytes[end..end + half.len()].copy_from_slice(&half);
    });
    stopped.assert_starts("half a frame", "torn tail", &records);
}

#[test]
fn a_damaged_record_keeps_the_server_from_starting() {
    let stopped = Stopped::new();
    let config = stopped.demo.server("consumer").config.clone();
    let args = ["security-server", "run", "--config", config.to_str().unwrap()];
    let intact = std::fs::read(stopped.segment()).unwrap();
    let frames = frames(&intact);
    let last = frames.len() - 1;
    for number in [0, 1, last / 2, last] {
        let frame = frames[number].clone();
        for at in [frame.start + 4, frame.start + 12, frame.end - 1] {
            change(&stopped.segment(), |bytes| bytes[at] ^= 1);
            let what = format!("byte {at}, frame {number} of {last}");
            let refused = Refusal::of(Path::new(BINARY), &args);
            refused.assert(&what, 1, &["damage", "0000000001.log", &format!("byte {}", frame.start)]);
            std::fs::write(stopped.segment(), &intact).unwrap();
        }
    }
    change(&stopped.segment(), |bytes| bytes[frames[last / 2].start..].fill(0));
    let refused = Refusal::of(Path::new(BINARY), &args);
    refused.assert("acknowledged records are cut off", 1, &["damage"]);
    std::fs::remove_file(stopped.segment()).unwrap();
    Refusal::of(Path::new(BINARY), &args).assert("the segment is away", 1, &["damage"]);
}

fn summaries(index: &Path, mut change: impl FnMut(&mut Vec<u8>)) {
    for entry in std::fs::read_dir(index).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "summary") {
            self::change(&path, &mut change);
        }
    }
}

/// sled's data file.
fn blocks(index: &Path) -> PathBuf {
    index.join("blocks-0000000001/db")
}

fn flip_every_61st(bytes: &mut [u8]) {
    bytes.iter_mut().step_by(61).for_each(|byte| *byte ^= 0xff);
}

fn change(file: &Path, change: impl FnOnce(&mut Vec<u8>)) {
    let mut bytes = std::fs::read(file).unwrap();
    change(&mut bytes);
    std::fs::write(file, bytes).unwrap();
}

/// Where the frames of a segment are: a length of four bytes (little endian), a checksum of four, the payload; zeros follow the last.
fn frames(segment: &[u8]) -> Vec<std::ops::Range<usize>> {
    let mut frames = Vec::new();
    let mut start = 0;
    while let Some(length) =
        segment.get(start..start + 4).map(|bytes| u32::from_le_bytes(bytes.try_into().unwrap()))
    {
        if length == 0 {
            break;
        }
        let end = start + 8 + usize::try_from(length).unwrap();
        frames.push(start..end);
        start = end;
    }
    assert!(frames.len() > 2 * EXCHANGES, "the segment is not what this test takes it for");
    frames
}

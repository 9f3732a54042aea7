//! Whatever byte of an exported container or of an acknowledged log record is flipped, `kogge verify` exits with 1 and names a failed check.
//!
//! `KOGGE_FLIPS` sets how many positions are tried in each (default 40); `KOGGE_FLIP_SEED` repeats a run's choices. The crates' own tests try every
//! position of small containers and logs.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests fail by panicking")]

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

use kogge_integration_tests::dice::{Dice, from_environment};
use serde_json::Value;

const BINARY: &str = env!("CARGO_BIN_EXE_kogge-under-test");

#[test]
fn no_byte_of_the_evidence_can_change_unseen() {
    let flips = from_environment("KOGGE_FLIPS").unwrap_or(40);
    let seed = from_environment("KOGGE_FLIP_SEED").unwrap_or_else(|| u64::from(std::process::id()));
    eprintln!("{flips} flips, KOGGE_FLIP_SEED={seed}");
    let mut dice = Dice::new(seed);
    let dir = tempfile::tempdir().unwrap();
    let demo = dir.path().join("demo");
    let output = Command::new(BINARY)
        .args(["demo", "--once", "--json", "--port-base", "0", "--dir"])
        .arg(&demo)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    let trust = vec!["--anchor".into(), demo.join("anchor.toml").into_os_string()];
    for container in report["containers"].as_array().unwrap() {
        let container = PathBuf::from(container.as_str().unwrap());
        let length = std::fs::metadata(&container).unwrap().len();
        // The five MiB of an attachment would otherwise take nearly all the flips.
        let tail = length.min(60_000);
        for flip in 0..flips.div_ceil(4) {
            let position = if flip % 4 == 0 { dice.below(length) } else { length - 1 - dice.below(tail) };
            assert_found(&container, &container, position, &mut dice, &trust);
        }
    }
    for role in ["consumer", "provider"] {
        let log = demo.join(role).join("log");
        // A body's file is encrypted: whether it is what was signed is only seen with the log key.
        let mut pin = OsString::from("file:");
        pin.push(demo.join("pin"));
        let key = demo.join(role).join("token/log.key").into_os_string();
        let trust = [&trust[..], &["--log-key".into(), key, "--pin".into(), pin]].concat();
        let segment =
            log.join("segments").read_dir().unwrap().map(|entry| entry.unwrap().path()).min().unwrap();
        let written = written_bytes(&segment);
        for _ in 0..flips {
            let position = dice.below(written);
            assert_found(&log, &segment, position, &mut dice, &trust);
        }
        let body = log.join("bodies").read_dir().unwrap().map(|entry| entry.unwrap().path()).next().unwrap();
        let length = std::fs::metadata(&body).unwrap().len();
        for _ in 0..3 {
            assert_found(&log, &body, dice.below(length), &mut dice, &trust);
        }
        assert!(verify(&log, &trust).0, "the log must verify again once the byte is restored");
    }
}

/// Flips one bit of `file`, has `evidence` verified, restores the byte.
fn assert_found(evidence: &Path, file: &Path, position: u64, dice: &mut Dice, trust: &[OsString]) {
    use std::os::unix::fs::FileExt;
    let open = std::fs::File::options().read(true).write(true).open(file).unwrap();
    let mut byte = [0];
    open.read_exact_at(&mut byte, position).unwrap();
    let mask = 1 << dice.below(8);
    open.write_all_at(&[byte[0] ^ mask], position).unwrap();
    let (passed, text, status) = verify(evidence, trust);
    open.write_all_at(&byte, position).unwrap();
    assert!(!passed, "{} with byte {position} xor {mask:#04x} verified", file.display());
    assert_eq!(status, Some(1), "{} with byte {position} xor {mask:#04x}: {text}", file.display());
    assert!(text.contains("FAIL"), "no failed check is named: {text}");
}

fn verify(evidence: &Path, trust: &[OsString]) -> (bool, String, Option<i32>) {
    let output = Command::new(BINARY).arg("verify").arg(evidence).args(trust).output().unwrap();
    let text =
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    (output.status.success(), text, output.status.code())
}

/// Length of a segment without the zeros that it was preallocated with.
fn written_bytes(segment: &Path) -> u64 {
    let bytes = std::fs::read(segment).unwrap();
    bytes.iter().rposition(|byte| *byte != 0).unwrap() as u64 + 1
}

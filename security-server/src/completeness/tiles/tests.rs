#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

use std::collections::BTreeSet;
use std::process::Command;
use std::sync::mpsc;
use std::time::Duration;

use bytes::Bytes;
use kogge_message_log::{Durability, NewMessage, Options};
use kogge_proto::id::SecurityServerId;
use kogge_proto::time::UnixMillis;
use kogge_proto::wire::evidence::{Material, Signature};
use kogge_proto::wire::log::{Direction, Role};
use kogge_signer::{Pin, SoftToken};
use tempfile::TempDir;

use super::*;
use crate::completeness::Completeness;

/// A server's log with a token beside it.
struct World {
    dir: TempDir,
    log: MessageLog,
    completeness: Completeness,
}

impl World {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        SoftToken::create(&dir.path().join("token"), &pin()).unwrap();
        let (log, _) = MessageLog::open(&dir.path().join("log"), options()).unwrap();
        let completeness = open(&dir, &log);
        Self { dir, log, completeness }
    }

    /// As after a restart.
    fn restarted(self) -> Self {
        let Self { dir, log, completeness } = self;
        drop(completeness);
        log.close();
        let (log, _) = MessageLog::open(&dir.path().join("log"), options()).unwrap();
        let completeness = open(&dir, &log);
        Self { dir, log, completeness }
    }

    fn append(&self, count: u32) {
        let (tell, told) = mpsc::channel();
        for number in 0..count {
            let is_last = number + 1 == count;
            let durability = if is_last { Durability::Now } else { Durability::WithNext };
            let (tell, name) = (tell.clone(), format!("{}-{number}", self.log.tree().unwrap().size));
            self.log.append(message(&name), durability, Box::new(move |told| tell.send(told).unwrap()));
            told.recv().unwrap().unwrap();
        }
    }

    fn publish(&self) -> Signed {
        let signed = self.completeness.sign().unwrap().unwrap();
        self.completeness.tiles.publish(&self.log, &signed).unwrap();
        signed
    }

    fn tiles(&self) -> PathBuf {
        self.dir.path().join("log").join(FOLDER)
    }

    /// Paths of all tiles, and whatever else lies there.
    fn files(&self) -> BTreeSet<String> {
        let mut files = BTreeSet::new();
        let mut dirs = vec![self.tiles().join("tile")];
        while let Some(dir) = dirs.pop() {
            for entry in fs::read_dir(dir).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    dirs.push(path);
                } else {
                    files.insert(path.strip_prefix(self.tiles()).unwrap().to_str().unwrap().to_owned());
                }
            }
        }
        files
    }

    /// What a reader makes of the folder: the checkpoint's text and the root over the leaves in the tiles, by Python.
    fn judge(&self) -> Option<()> {
        let judged = Command::new("python3").arg("-c").arg(JUDGE).arg(self.tiles()).output();
        let Ok(judged) = judged else {
            assert!(std::env::var("CI").as_deref() != Ok("true"), "python3 is needed in CI");
            eprintln!("SKIPPED: there is no python3 to judge the tiles");
            return None;
        };
        assert!(judged.status.success(), "{}", String::from_utf8_lossy(&judged.stderr));
        Some(())
    }
}

const JUDGE: &str = r#"
import base64, hashlib, os, sys
folder = sys.argv[1]
text = open(folder + "/checkpoint", encoding="utf-8").read().split("\n\n")[0].split("\n")
size, root = int(text[1]), base64.b64decode(text[2])
sha = lambda data: hashlib.sha256(data).digest()
def tile(level, index, width):
    path = f"{folder}/tile/{level}/{index:03d}" + (f".p/{width}" if width < 256 else "")
    data = open(path, "rb").read()
    assert len(data) == 32 * width, path
    return [data[at:at + 32] for at in range(0, len(data), 32)]
def row(level, count):
    return [h for at in range(0, count, 256) for h in tile(level, at // 256, min(256, count - at))]
def over(hashes):
    if len(hashes) == 1: return hashes[0]
    split = 1
    while split * 2 < len(hashes): split *= 2
    return sha(b"\x01" + over(hashes[:split]) + over(hashes[split:]))
leaves = row(0, size)
assert over(leaves) == root, "the root over the leaves is another one"
for level in range(1, 8):
    count = size >> (8 * level)
    below = leaves if level == 1 else above
    above = row(level, count)
    for at in range(count): assert over(below[at * 256:(at + 1) * 256]) == above[at]
"#;

fn open(dir: &TempDir, log: &MessageLog) -> Completeness {
    let token = SoftToken::open(&dir.path().join("token"), &pin()).unwrap();
    Completeness::open(&server(), log.clone(), &token, &dir.path().join("log")).unwrap()
}

fn pin() -> Pin {
    Pin::new("a long enough pin")
}

fn server() -> SecurityServerId {
    SecurityServerId::parse("DEMO/GOV/1001/SS1").unwrap()
}

fn options() -> Options {
    Options {
        server: server(),
        segment_bytes: 64 * 1024,
        index_cache_bytes: 1024 * 1024,
        replay_window: Duration::from_secs(60),
        log_key: None,
        clock: || UnixMillis(1_800_000_000_000),
    }
}

fn message(name: &str) -> NewMessage {
    NewMessage {
        role: Role::Consumer,
        direction: Direction::Request,
        message_id: name.to_owned(),
        request_id: name.to_owned(),
        client: String::new(),
        service: String::new(),
        subject: None,
        peer_server: String::new(),
        message: Bytes::from_static(b"message"),
        body: None,
        signature: Signature::default(),
        material: Material::default(),
        follows: None,
    }
}

/// The paths of the tiles of a tree of these sizes, full ones of the largest.
fn expected(sizes: &[u64]) -> BTreeSet<String> {
    let largest = *sizes.last().unwrap();
    Tile::grown(0, largest)
        .chain(sizes.iter().flat_map(|size| partial(*size)))
        .map(|tile| tile.path())
        .collect()
}

#[test]
fn they_are_those_of_the_checkpoint_and_of_the_one_before() {
    let mut world = World::new();
    let mut sizes = Vec::new();
    for count in [1, 3, 250, 1, 1, 255, 256, 300] {
        world.append(count);
        sizes.push(world.publish().list.size);
        let newest = &sizes[sizes.len().saturating_sub(2)..];
        assert_eq!(world.files(), expected(newest), "sizes {sizes:?}");
        world.judge();
    }
    world = world.restarted();
    world.publish();
    world.append(10);
    world.publish();
    world.judge();
}

#[test]
fn what_a_power_cut_took_is_made_anew() {
    let spoil: [fn(&Path); 6] = [
        |tiles| fs::remove_file(tiles.join("tile/0/000")).unwrap(),
        |tiles| fs::write(tiles.join("tile/0/001"), "").unwrap(),
        |tiles| fs::remove_dir_all(tiles.join("tile/1")).unwrap(),
        |tiles| fs::remove_dir_all(tiles).unwrap(),
        |tiles| fs::remove_file(tiles.join(CHECKPOINT)).unwrap(),
        |tiles| fs::write(tiles.join("tile/1/000.p/2"), [7; 64]).unwrap(),
    ];
    let mut world = World::new();
    world.append(600);
    for spoil in spoil {
        world.publish();
        spoil(&world.tiles());
        world = world.restarted();
        world.append(1);
        let size = world.publish().list.size;
        assert!(expected(&[size]).is_subset(&world.files()));
        world.judge();
    }
}

#[test]
fn killed_before_the_checkpoint_they_go_on_from_the_one_that_is_there() {
    let mut world = World::new();
    world.append(200);
    let before = world.publish();
    world.append(200);
    let killed = world.completeness.sign().unwrap().unwrap();
    world.completeness.tiles.extend(&world.log, before.list.size, &killed).unwrap();
    assert_eq!(fs::read(world.tiles().join(CHECKPOINT)).unwrap(), before.note);
    world.judge();
    world = world.restarted();
    world.append(5);
    world.publish();
    world.judge();
}

#[test]
fn tiles_of_another_history_are_replaced() {
    let (world, other) = (World::new(), World::new());
    other.append(700);
    other.publish();
    // The same key, and a log that was set back: as after a restored backup.
    let forged = other.completeness.sign().unwrap().unwrap();
    let key = world.completeness.name.clone();
    assert_ne!(key, other.completeness.name, "each server has a key of its own");
    fs::create_dir_all(world.tiles()).unwrap();
    fs::write(world.tiles().join(CHECKPOINT), &forged.note).unwrap();
    world.append(20);
    world.publish();
    world.judge();

    let own = World::new();
    own.append(300);
    own.publish();
    let (log, _) = MessageLog::open(&own.dir.path().join("second"), options()).unwrap();
    let second = open(&own.dir, &log);
    for history in [&second, &own.completeness] {
        let signed = history.sign().unwrap().unwrap();
        own.completeness.tiles.publish(&history.log, &signed).unwrap();
        own.judge();
        assert_eq!(fs::read(own.tiles().join(CHECKPOINT)).unwrap(), signed.note);
    }
}

#[test]
fn openssl_believes_the_signature() {
    let world = World::new();
    let signed = world.completeness.sign().unwrap().unwrap();
    let note = SignedNote::parse(&signed.note).unwrap();
    let path = |name: &str| world.dir.path().join(name);
    let line = note.signatures()[0].to_string();
    let bytes = base64(line.rsplit(' ').next().unwrap());
    let spki = world.completeness.key.public_key().spki().to_vec();
    fs::write(path("text"), note.text()).unwrap();
    fs::write(path("key.der"), spki).unwrap();
    // Behind the key's id.
    fs::write(path("signature"), &bytes[4..]).unwrap();
    let verify = || {
        Command::new("openssl")
            .args(["pkeyutl", "-verify", "-pubin", "-keyform", "DER", "-rawin", "-inkey"])
            .arg(path("key.der"))
            .arg("-in")
            .arg(path("text"))
            .arg("-sigfile")
            .arg(path("signature"))
            .output()
    };
    let Ok(verified) = verify() else {
        assert!(std::env::var("CI").as_deref() != Ok("true"), "openssl is needed in CI");
        return eprintln!("SKIPPED: there is no openssl to judge the signature");
    };
    assert!(verified.status.success(), "{}", String::from_utf8_lossy(&verified.stderr));
    fs::write(path("text"), note.text().replace("\n1\n", "\n2\n")).unwrap();
    assert!(!verify().unwrap().status.success());
}

fn base64(text: &str) -> Vec<u8> {
    let decode = Command::new("python3")
        .args(["-c", "import base64,sys; sys.stdout.buffer.write(base64.b64decode(sys.argv[1]))", text])
        .output();
    decode.unwrap().stdout
}

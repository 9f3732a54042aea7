//! `kogge audit reconcile` with the logs of two parties, of which one is tampered with by its owner, who can write a whole and valid log anew.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Mutex, PoisonError, mpsc};
use std::time::Duration;

use bytes::Bytes;
use kogge_message_log::{Durability, MessageLog, NewBody, NewBodyPlace, NewMessage, Options};
use kogge_proto::digest::{sha256, sha512};
use kogge_proto::id::SecurityServerId;
use kogge_proto::time::UnixMillis;
use kogge_proto::wire::evidence::{Material, Signature, SignatureMethod};
use kogge_proto::wire::log::{Direction, Role};
use serde_json::Value;
use tempfile::TempDir;

const A: &str = "DEMO/GOV/1001/SS1";
const B: &str = "DEMO/GOV/2002/SS1";
const THIRD: &str = "DEMO/GOV/3003/SS1";
/// 2026-01-01, and so long after each other that most are far from both ends.
const BEGIN_MS: i64 = 1_767_225_600_000;
const STEP_MS: i64 = 20_000;

/// The clock of whatever log is being written; only one is.
static CLOCK_MS: AtomicI64 = AtomicI64::new(0);
static WRITING: Mutex<()> = Mutex::new(());

/// Exchanges between the two; with the variable, as many as the goal is about.
fn exchanges() -> u32 {
    std::env::var("KOGGE_AUDIT_EXCHANGES").map_or(80, |text| text.parse().unwrap())
}

/// A record to be, and when.
#[derive(Clone)]
struct Entry {
    time: i64,
    message: NewMessage,
}

/// What an honest server logs: exchanges with the other, and in between with a third, and requests that nobody answered.
fn history(server: &str, exchanges: u32) -> Vec<Entry> {
    let mut entries = Vec::new();
    let mut add = |number: u32, version, role, direction, peer: &str| {
        let late = i64::from(direction == Direction::Response) * 40 + i64::from(role == Role::Provider) * 10;
        let time = BEGIN_MS + i64::from(number) * STEP_MS + late;
        entries.push(Entry { time, message: message(number, version, role, direction, peer) });
    };
    for number in 0..exchanges {
        let consumer = if number % 5 == 0 { B } else { A };
        let role = if server == consumer { Role::Consumer } else { Role::Provider };
        let other = if server == A { B } else { A };
        add(number, "", role, Direction::Request, other);
        // Every 13th has no answer on either side: the register failed.
        if number % 13 != 3 {
            add(number, "", role, Direction::Response, other);
        }
        if number % 7 == 0 {
            let own = if server == A { "of A" } else { "of B" };
            add(number, own, Role::Consumer, Direction::Request, THIRD);
            add(number, own, Role::Consumer, Direction::Response, THIRD);
        }
        if number % 11 == 0 && server == A {
            add(number, "unanswered", Role::Consumer, Direction::Request, THIRD);
        }
    }
    entries
}

fn message(number: u32, version: &str, role: Role, direction: Direction, peer: &str) -> NewMessage {
    let what = format!("{version}{number}{direction:?}");
    let certificate = Bytes::from(format!("certificate {}", number % 3));
    let body = Bytes::from(format!("body {what}"));
    let has_body = direction == Direction::Response || number.is_multiple_of(2);
    let named = role == Role::Provider || direction == Direction::Response;
    NewMessage {
        role,
        direction,
        message_id: format!("message {version}{number}"),
        request_id: format!("{version}550e8400-e29b-41d4-a716-{number:012x}"),
        client: "DEMO/GOV/1001/portal".to_owned(),
        service: format!("DEMO/GOV/2002/register/service-{}", number % 3),
        subject: None,
        peer_server: if named { peer.to_owned() } else { String::new() },
        message: Bytes::from(format!("message {what}")),
        body: has_body.then(|| NewBody {
            length: body.len() as u64,
            sha512: sha512(&body),
            place: NewBodyPlace::DigestOnly,
        }),
        signature: Signature {
            method: SignatureMethod::EcdsaP256Sha256.into(),
            signing_time_ms: BEGIN_MS,
            value: sha512(what.as_bytes()).0.to_vec(),
            certificate_sha256: sha256(&certificate).0.to_vec(),
            ..Signature::default()
        },
        material: Material { items: vec![certificate] },
        follows: None,
    }
}

/// Writes a log; `offset` is how far this server's clock is ahead.
fn write(dir: &Path, server: &str, offset: Duration, entries: &[Entry]) {
    let _alone = WRITING.lock().unwrap_or_else(PoisonError::into_inner);
    let options = Options {
        server: SecurityServerId::parse(server).unwrap(),
        segment_bytes: if entries.len() > 10_000 { 64 * 1024 * 1024 } else { 8 * 1024 },
        index_cache_bytes: 8 * 1024 * 1024,
        replay_window: Duration::from_secs(3600),
        log_key: None,
        clock: || UnixMillis(CLOCK_MS.load(Ordering::Relaxed)),
    };
    let at = |time: i64| CLOCK_MS.store(time + offset.as_millis() as i64, Ordering::Relaxed);
    at(entries[0].time);
    let log = MessageLog::open(dir, options).unwrap().0;
    for entry in entries {
        at(entry.time);
        let (tell, told) = mpsc::channel();
        let acknowledge = Box::new(move |outcome| tell.send(outcome).unwrap());
        log.append(entry.message.clone(), Durability::WithNext, acknowledge);
        told.recv().unwrap().unwrap();
    }
    log.close();
}

/// Two logs, `a` and `b`, in a directory.
struct Logs {
    dir: TempDir,
}

impl Logs {
    fn new(a: &[Entry], b: &[Entry]) -> Self {
        Self::with_clocks(a, b, Duration::ZERO)
    }

    fn with_clocks(a: &[Entry], b: &[Entry], offset: Duration) -> Self {
        let dir = tempfile::tempdir().unwrap();
        write(&dir.path().join("a"), A, Duration::ZERO, a);
        write(&dir.path().join("b"), B, offset, b);
        Self { dir }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn reconcile(&self, arguments: &[&str]) -> Output {
        self.audit("reconcile", arguments)
    }

    fn audit(&self, command: &str, arguments: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_kogge"))
            .args(["audit", command])
            .args(arguments)
            .current_dir(self.dir.path())
            .output()
            .unwrap()
    }

    #[track_caller]
    fn json(&self, arguments: &[&str], code: i32) -> Value {
        let output = self.reconcile(&[&["a", "b", "--json"], arguments].concat());
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{said}{}", String::from_utf8_lossy(&output.stdout));
        serde_json::from_slice(&output.stdout).unwrap()
    }

    #[track_caller]
    fn text(&self, arguments: &[&str], code: i32) -> String {
        let output = self.reconcile(&[&["a", "b"], arguments].concat());
        assert_eq!(output.status.code(), Some(code), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }
}

/// Kind, server, direction, message id and fields of each finding, as one line.
fn told(list: &Value) -> BTreeSet<String> {
    let text = |value: &Value| value.as_str().unwrap_or("-").to_owned();
    let line = |finding: &Value| {
        let fields: Vec<String> = finding["fields"].as_array().unwrap().iter().map(text).collect();
        [
            text(&finding["kind"]),
            text(&finding["server"]),
            text(&finding["direction"]),
            text(&finding["message_id"]),
            fields.join("+"),
        ]
        .join("|")
    };
    list.as_array().unwrap().iter().map(line).collect()
}

fn lines(expected: impl IntoIterator<Item = String>) -> BTreeSet<String> {
    expected.into_iter().collect()
}

/// The next exchange that A asks for and B answers.
fn chosen(from: u32) -> u32 {
    (from..).find(|number| number % 5 != 0 && number % 13 != 3).unwrap()
}

fn is_about(entry: &Entry, number: u32, direction: Direction) -> bool {
    entry.message.message_id == format!("message {number}") && entry.message.direction == direction
}

#[test]
fn honest_logs_say_the_same_with_clocks_5_s_apart_and_strangers_in_between() {
    let count = exchanges();
    for offset in [Duration::ZERO, Duration::from_secs(5)] {
        let logs = Logs::with_clocks(&history(A, count), &history(B, count), offset);
        for margin in [&[][..], &["--margin", "0"]] {
            let said = logs.json(margin, 0);
            assert_eq!(said["matched"], true);
            assert_eq!(said["counts"]["matched"], count, "{}", said["counts"]);
            assert_eq!(said["counts"]["unanswered"], count.div_ceil(11));
            assert_eq!(said["counts"]["with_others"], 2 * count.div_ceil(7));
            assert_eq!(
                (&said["findings"], &said["undecided"]),
                (&Value::Array(vec![]), &Value::Array(vec![]))
            );
        }
    }
}

#[test]
fn what_one_side_has_deleted_is_named() {
    let count = exchanges();
    let whole = history(A, count);
    // A record of a request, one of a response, and both of an exchange.
    let request = chosen(count / 2);
    let response = chosen(request + 1);
    let exchange = chosen(response + 1);
    let cut: Vec<Entry> = history(B, count)
        .into_iter()
        .filter(|entry| !is_about(entry, request, Direction::Request))
        .filter(|entry| !is_about(entry, response, Direction::Response))
        .filter(|entry| entry.message.message_id != format!("message {exchange}"))
        .collect();
    let expected = lines([
        format!("lacks|{B}|request|message {request}|"),
        format!("lacks|{B}|response|message {response}|"),
        format!("lacks|{B}|request|message {exchange}|"),
        format!("lacks|{B}|response|message {exchange}|"),
    ]);
    let logs = Logs::new(&whole, &cut);
    let said = logs.json(&[], 1);
    assert_eq!(told(&said["findings"]), expected);
    assert_eq!(said["undecided"], Value::Array(vec![]));
    assert_eq!(said["counts"]["matched"], count - 3);
    let text = logs.text(&[], 1);
    assert_eq!(text.lines().filter(|line| line.starts_with("LACKS ")).count(), 4, "{text}");
    assert!(text.contains(&format!("request message {exchange} (request id 550e8400-")), "{text}");
    // Whichever log is named first.
    let turned = logs.reconcile(&["b", "a", "--json"]);
    let turned: Value = serde_json::from_slice(&turned.stdout).unwrap();
    assert_eq!(told(&turned["findings"]), expected);
}

#[test]
fn what_the_consumer_has_deleted_is_named_too() {
    let count = exchanges();
    let (number, next) = (chosen(count / 2), chosen(count / 2 + 4));
    let cut: Vec<Entry> = history(A, count)
        .into_iter()
        .filter(|entry| !is_about(entry, number, Direction::Request))
        .filter(|entry| !is_about(entry, next, Direction::Response))
        .collect();
    let said = Logs::new(&cut, &history(B, count)).json(&[], 1);
    let expected = lines([
        format!("lacks|{A}|request|message {number}|"),
        format!("lacks|{A}|response|message {next}|"),
    ]);
    assert_eq!(told(&said["findings"]), expected);
}

#[test]
fn each_field_that_one_side_has_altered_is_named() {
    type Alteration = fn(&mut NewMessage);
    let alterations: [(&str, Alteration); 9] = [
        ("message_id", |message| message.message_id.push('x')),
        ("client", |message| message.client.push('x')),
        ("service", |message| message.service.push('x')),
        ("message", |message| message.message = Bytes::from_static(b"another")),
        ("body_length", |message| message.body.as_mut().unwrap().length += 1),
        ("body_digest", |message| message.body.as_mut().unwrap().sha512 = sha512(b"another")),
        ("body_length+body_digest", |message| message.body = None),
        ("signature", |message| message.signature.value[7] ^= 1),
        ("signature+signing_certificate", |message| {
            let certificate = Bytes::from_static(b"another");
            message.signature.certificate_sha256 = sha256(&certificate).0.to_vec();
            message.signature.signing_time_ms += 1000;
            message.material.items = vec![certificate];
        }),
    ];
    let count = exchanges();
    for (side, server) in [("a", A), ("b", B)] {
        let (mut a, mut b) = (history(A, count), history(B, count));
        let mut expected = BTreeSet::new();
        for (index, (fields, alter)) in alterations.iter().enumerate() {
            let number = count / 4 + 2 * index as u32;
            let number = number + u32::from(number % 13 == 3);
            let altered = if side == "a" { &mut a } else { &mut b };
            let entry =
                altered.iter_mut().find(|entry| is_about(entry, number, Direction::Response)).unwrap();
            alter(&mut entry.message);
            let shown = if side == "a" { &entry.message.message_id } else { &format!("message {number}") };
            expected.insert(format!("differs|-|response|{shown}|{fields}"));
        }
        let said = Logs::new(&a, &b).json(&[], 1);
        assert_eq!(told(&said["findings"]), expected, "altered by {server}");
        assert_eq!(said["counts"]["matched"], count - alterations.len() as u32);
    }
}

#[test]
fn a_second_history_from_some_point_on_is_named_record_by_record() {
    let count = exchanges();
    let fork = count / 4;
    let mut expected = BTreeSet::new();
    let second: Vec<Entry> = history(B, count)
        .into_iter()
        .map(|mut entry| {
            let number = (entry.time - BEGIN_MS) / STEP_MS;
            let ours =
                entry.message.peer_server == A || entry.message.message_id == format!("message {number}");
            if number < i64::from(fork) || !ours {
                return entry;
            }
            let message = &mut entry.message;
            let direction = if message.direction == Direction::Request { "request" } else { "response" };
            if number % 2 == 0 {
                // The same exchange with another content and, of course, another signature.
                message.message = Bytes::from(format!("second history {number}"));
                message.signature.value = sha512(&message.message).0.to_vec();
                expected.insert(format!("differs|-|{direction}|{}|message+signature", message.message_id));
            } else {
                // Another exchange in place of this one.
                let (asked_by_b, answered) = (message.role == Role::Consumer, number % 13 != 3);
                // A consumer's request that nobody answered might have been for anybody.
                if asked_by_b || answered {
                    expected.insert(format!("lacks|{B}|{direction}|{}|", message.message_id));
                }
                if !asked_by_b || answered {
                    expected.insert(format!("lacks|{A}|{direction}|second {number}|"));
                }
                message.request_id = format!("second-{}", message.request_id);
                message.message_id = format!("second {number}");
            }
            entry
        })
        .collect();
    let said = Logs::new(&history(A, count), &second).json(&["--margin", "0"], 1);
    assert_eq!(told(&said["findings"]), expected);
    assert_eq!(said["counts"]["matched"], fork);
}

#[test]
fn what_may_be_on_its_way_is_not_called_missing() {
    let count = 80;
    // Copied while the last exchange was under way, and begun when the first was.
    let in_flight: Vec<Entry> = history(B, count)
        .into_iter()
        .filter(|entry| !is_about(entry, count - 1, Direction::Response))
        .filter(|entry| !is_about(entry, 0, Direction::Request))
        .collect();
    let logs = Logs::new(&history(A, count), &in_flight);
    let said = logs.json(&[], 0);
    let open = lines([
        format!("lacks|{B}|request|message 0|"),
        format!("lacks|{B}|response|message {}|", count - 1),
    ]);
    assert_eq!(told(&said["undecided"]), open);
    assert!(logs.text(&[], 0).contains("UNSURE   response message 79 "), "{}", logs.text(&[], 0));
    assert_eq!(told(&logs.json(&["--margin", "0"], 1)["findings"]), open);
    // An end that was cut off is longer than anything is on its way.
    let cut: Vec<Entry> =
        history(B, count).into_iter().filter(|entry| entry.time < BEGIN_MS + 40 * STEP_MS).collect();
    let logs = Logs::new(&history(A, count), &cut);
    let missing = told(&logs.json(&[], 1)["findings"]);
    assert!(missing.contains(&format!("lacks|{B}|request|message 79|")), "{missing:?}");
    assert!(!missing.iter().any(|line| line.ends_with("message 41|")), "{missing:?}");
    // Of the time that both logs reach over, they say the same.
    let to = ["--to", "2026-01-01T00:13:00Z"];
    assert_eq!(told(&logs.json(&to, 0)["findings"]), BTreeSet::new());
}

#[test]
fn a_window_is_about_exchanges_not_records() {
    let count = 80;
    let mut altered = history(B, count);
    let entry = altered.iter_mut().find(|entry| is_about(entry, 40, Direction::Response)).unwrap();
    entry.message.signature.value[0] ^= 1;
    // The clock of B is 5 s ahead: the twins of the edge are outside of the window by one clock.
    let logs = Logs::with_clocks(&history(A, count), &altered, Duration::from_secs(5));
    let (before, at) = ("2026-01-01T00:13:18Z", "2026-01-01T00:13:20Z");
    assert_eq!(told(&logs.json(&["--to", before], 0)["findings"]).len(), 0);
    assert_eq!(told(&logs.json(&["--from", at], 1)["findings"]).len(), 1);
    assert_eq!(
        told(&logs.json(&["--from", "2026-01-01T00:13:30Z", "--margin", "10"], 0)["findings"]).len(),
        0
    );
    assert_eq!(logs.json(&["--from", before, "--to", at], 0)["counts"]["matched"], 0);
}

#[test]
fn a_record_twice_and_one_that_names_a_third_server_are_named() {
    let count = 80;
    let mut a = history(A, count);
    let again = a.iter().find(|entry| is_about(entry, 41, Direction::Request)).unwrap().clone();
    let at = a.iter().position(|entry| is_about(entry, 42, Direction::Request)).unwrap();
    a.insert(at, Entry { time: a[at].time, ..again });
    let named = a.iter_mut().find(|entry| is_about(entry, 44, Direction::Response)).unwrap();
    named.message.peer_server = THIRD.to_owned();
    let logs = Logs::new(&a, &history(B, count));
    let expected =
        lines([format!("twice|{A}|request|message 41|"), format!("peer|{A}|response|message 44|")]);
    assert_eq!(told(&logs.json(&[], 1)["findings"]), expected);
}

#[test]
fn a_history_that_cannot_be_is_damage() {
    let count = 80;
    let segments = |logs: &Logs| {
        let mut files: Vec<PathBuf> =
            std::fs::read_dir(logs.path("b/segments")).unwrap().map(|entry| entry.unwrap().path()).collect();
        files.retain(|file| file.extension().is_some_and(|extension| extension == "log"));
        files.sort();
        assert!(files.len() > 3);
        files
    };
    let checks = |logs: &Logs| -> BTreeSet<String> {
        let said = logs.json(&["--margin", "0"], 1);
        assert_eq!(said["logs"][0]["damage"], Value::Array(vec![]));
        let damage = said["logs"][1]["damage"].as_array().unwrap();
        damage.iter().map(|damage| damage["check"].as_str().unwrap().to_owned()).collect()
    };
    for back in [1, 2, usize::MAX] {
        let logs = Logs::new(&history(A, count), &history(B, count));
        let files = segments(&logs);
        let file = &files[files.len().saturating_sub(back)];
        std::fs::remove_file(file).unwrap();
        assert_eq!(checks(&logs), lines(["log.sequence".to_owned()]), "{} removed", file.display());
        assert!(logs.text(&[], 1).contains("DAMAGE   b: damage in segments/"));
    }
    // A segment of another history, with the same numbers in it.
    let logs = Logs::new(&history(A, count), &history(B, count));
    let mut second = history(B, count);
    second[0].message.signature.value[0] ^= 1;
    let other = Logs::new(&history(A, 2), &second);
    std::fs::copy(
        other.path("b/segments").join(segments(&other)[2].file_name().unwrap()),
        &segments(&logs)[2],
    )
    .unwrap();
    assert!(checks(&logs).contains("log.chain"));
    // All segments of another history, whole in itself. The note of what was acknowledged was forgotten.
    let logs = Logs::new(&history(A, count), &history(B, count));
    std::fs::remove_dir_all(logs.path("b/segments")).unwrap();
    std::fs::rename(other.path("b/segments"), logs.path("b/segments")).unwrap();
    assert_eq!(checks(&logs), lines(["log.chain".to_owned()]));
}

#[test]
fn logs_that_cannot_be_compared_are_exit_code_2() {
    let logs = Logs::new(&history(A, 5), &history(B, 5));
    std::fs::create_dir_all(logs.path("empty/segments")).unwrap();
    for (arguments, said) in [
        (&["a"][..], "Usage"),
        (&["a", "missing"], "missing"),
        (&["a", "empty"], "nothing says whose it is"),
        (&["a", "a"], "both logs are of DEMO/GOV/1001/SS1"),
        (&["a", "b", "--from", "yesterday"], "give a date"),
        (&["a", "b", "--margin=-1"], "--margin"),
    ] {
        let output = logs.reconcile(arguments);
        let error = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {error}");
        assert!(error.contains(said) && output.stdout.is_empty(), "{arguments:?}: {error}");
    }
}

#[test]
fn a_log_extends_its_earlier_checkpoints_and_no_other() {
    let whole = history(A, 40);
    let logs = Logs::new(&whole[..20], &history(B, 5));
    let run = |arguments: &[&str], code: i32| {
        let output = logs.audit("consistency", arguments);
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {said}");
        assert_eq!(output.stdout.is_empty(), code != 0, "{arguments:?}");
        (String::from_utf8(output.stdout).unwrap(), said)
    };
    let keep = |name: &str, text: &str| std::fs::write(logs.path(name), text).unwrap();
    let (old, _) = run(&["a"], 0);
    keep("old", &old);
    assert_eq!(old.lines().count(), 3, "{old}");
    assert_eq!(run(&["a", "--old", "old"], 0).0, old);
    // More entries, by the same server.
    write(&logs.path("a"), A, Duration::ZERO, &whole[20..]);
    let (new, said) = run(&["a", "--old", "old"], 0);
    assert!(new != old && said.contains("are there, and"), "{said}");
    keep("new", &new);
    assert_eq!(run(&["a", "--old", "new"], 0).0, new);
    keep("empty", &format!("{A}\n0\n47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\n"));
    assert_eq!(run(&["a", "--old", "empty"], 0).0, new);
    // Another log with as many entries, and one without the last ones, each whole in itself.
    let mut other = whole.clone();
    other[3].message.signature.value[0] ^= 1;
    write(&logs.path("rewritten"), A, Duration::ZERO, &other);
    assert!(run(&["rewritten", "--old", "old"], 1).1.contains("the log was rewritten"));
    write(&logs.path("short"), A, Duration::ZERO, &whole[..10]);
    assert!(run(&["short", "--old", "old"], 1).1.contains("its end was cut off"));
    assert!(run(&["b", "--old", "old"], 1).1.contains("this is the log of DEMO/GOV/2002/SS1"));
    // What is no checkpoint, or is signed by nobody knows whom.
    keep("broken", &old[..old.len() - 1]);
    assert!(run(&["a", "--old", "broken"], 2).1.contains("three lines"));
    keep("signed", &format!("{old}\n\u{2014} name AAAAAAA=\n"));
    assert!(run(&["a", "--old", "signed"], 2).1.contains("--key"));
    let key = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";
    assert!(run(&["a", "--old", "signed", "--key", key], 2).1.contains("no known key has signed"));
    assert!(run(&["a", "--old", "old", "--key", key], 2).1.contains("blank line"));
    assert!(run(&["missing"], 2).1.contains("missing"));
    let segment = std::fs::read_dir(logs.path("a/segments")).unwrap().next().unwrap().unwrap().path();
    std::fs::remove_file(segment).unwrap();
    let output = logs.audit("consistency", &["a", "--old", "old"]);
    assert_ne!(output.status.code(), Some(0));
    assert!(output.stdout.is_empty());
}
